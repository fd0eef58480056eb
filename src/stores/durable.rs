//! Waiting until something is on the medium.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::StoreError;

/// Resolves when what it stands for is on the medium, or with the first failure. The write is under
/// way whether or not this is awaited.
#[derive(Debug, Default)]
#[must_use = "nothing is acknowledged before this resolves"]
pub struct Durable {
    waiting: Vec<Rc<Ticket>>,
    failed: Option<StoreError>,
}

impl Durable {
    /// Already on the medium.
    pub fn done() -> Self {
        Self::default()
    }

    /// Already failed.
    pub fn failed(error: StoreError) -> Self {
        Self { waiting: Vec::new(), failed: Some(error) }
    }

    /// Resolves when all of them have.
    pub fn all(parts: impl IntoIterator<Item = Self>) -> Self {
        parts.into_iter().fold(Self::done(), |mut all, part| {
            all.waiting.extend(part.waiting);
            all.failed = all.failed.or(part.failed);
            all
        })
    }

    /// Waits for one write.
    pub(super) fn on(ticket: Rc<Ticket>) -> Self {
        Self { waiting: vec![ticket], failed: None }
    }
}

impl Future for Durable {
    type Output = Result<(), StoreError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let failed = &mut this.failed;
        this.waiting.retain(|ticket| match ticket.outcome.take() {
            Some(outcome) => {
                if let Err(error) = outcome {
                    failed.get_or_insert(error);
                }
                false
            }
            None => {
                *ticket.waker.borrow_mut() = Some(cx.waker().clone());
                true
            }
        });
        if !this.waiting.is_empty() {
            return Poll::Pending;
        }
        Poll::Ready(this.failed.take().map_or(Ok(()), Err))
    }
}

/// One waiter for one file.
#[derive(Debug)]
pub(super) struct Ticket {
    /// The newest write that it waits for.
    number: u64,
    outcome: Cell<Option<Result<(), StoreError>>>,
    waker: RefCell<Option<Waker>>,
}

impl Ticket {
    pub(super) fn new(number: u64) -> Rc<Self> {
        Rc::new(Self { number, outcome: Cell::new(None), waker: RefCell::new(None) })
    }
}

/// Tells everyone who waits for a write up to `number`; the others stay in the list.
pub(super) fn resolve(tickets: &mut Vec<Rc<Ticket>>, number: u64, outcome: Result<(), StoreError>) {
    tickets.retain(|ticket| {
        if ticket.number > number {
            return true;
        }
        ticket.outcome.set(Some(outcome));
        if let Some(waker) = ticket.waker.take() {
            waker.wake();
        }
        false
    });
}
