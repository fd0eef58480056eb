//! A value that is set once and that any number of tasks may wait for.

use std::cell::RefCell;
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// A value to come.
#[derive(Debug)]
pub struct Latch<T> {
    state: RefCell<State<T>>,
}

#[derive(Debug)]
struct State<T> {
    value: Option<T>,
    waiting: Vec<Waker>,
}

impl<T: Clone> Latch<T> {
    /// A value that isn't known yet.
    #[must_use]
    pub fn new() -> Self {
        Self { state: RefCell::new(State { value: None, waiting: Vec::new() }) }
    }

    /// Sets the value and wakes everyone who waits. The first value stays.
    pub fn set(&self, value: T) {
        let waiting = {
            let mut state = self.state.borrow_mut();
            state.value.get_or_insert(value);
            std::mem::take(&mut state.waiting)
        };
        for waker in waiting {
            waker.wake();
        }
    }

    /// The value, if it is known.
    #[must_use]
    pub fn get(&self) -> Option<T> {
        self.state.borrow().value.clone()
    }

    /// Waits for the value.
    pub async fn wait(&self) -> T {
        poll_fn(|cx| {
            let mut state = self.state.borrow_mut();
            if let Some(value) = &state.value {
                return Poll::Ready(value.clone());
            }
            if !state.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                state.waiting.push(cx.waker().clone());
            }
            Poll::Pending
        })
        .await
    }
}

impl<T: Clone> Default for Latch<T> {
    fn default() -> Self {
        Self::new()
    }
}
