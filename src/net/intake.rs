//! The reading side of a connection under the WebSocket library.
//!
//! It keeps messages that are too large from being buffered (`sieve`); it counts what has come in since the last whole message, so that unfinished messages of all
//! connections together stay within `totalIncomingBytes`; and it sends the library's own frames
//! (pongs) through the outbox, so that everything written is counted in one place.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use smol::io::{AsyncRead, AsyncWrite};

use super::sieve::{Excess, Sieve, Skipped};
use super::socket::Socket;
use crate::events::budget::Budget;
use crate::events::outbox::Outbox;
use crate::limits::INCOMING_ALLOWANCE_BYTES;

/// Reads in one go before others get their turn; a peer that sends without end would otherwise have
/// the one thread for itself.
const READS_PER_TURN: u32 = 16;
/// Header and mask of a client's control frame.
const CONTROL_FRAME_BYTES: usize = 6;

/// Why reading was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// One message is too large, or is chopped into endless fragments.
    TooLarge,
    /// Unfinished messages of all connections use up the room.
    NoRoom,
}

/// What reader and session share about it.
#[derive(Debug)]
pub struct Meter {
    budget: Rc<Budget>,
    /// Bytes since the last whole message.
    since: Cell<usize>,
    /// Of them, bytes taken from the budget.
    taken: Cell<usize>,
    max: Cell<usize>,
    sieve: RefCell<Sieve>,
    refusal: Cell<Option<Refusal>>,
}

impl Meter {
    /// A meter that stops reading at `max` bytes without a whole message, and at the header of a message
    /// of more than `message_max` bytes.
    #[must_use]
    pub fn new(budget: Rc<Budget>, max: usize, message_max: u64) -> Rc<Self> {
        Rc::new(Self {
            budget,
            since: Cell::new(0),
            taken: Cell::new(0),
            max: Cell::new(max),
            sieve: RefCell::new(Sieve::new(message_max)),
            refusal: Cell::new(None),
        })
    }

    /// Changes the bounds, as the handshake is over.
    pub fn allow(&self, max: usize, message_max: u64, excess: Excess) {
        self.max.set(max);
        self.sieve.borrow_mut().allow(message_max, excess);
    }

    /// A message that was too large and has been dropped since the last call.
    #[must_use]
    pub fn take_skipped(&self) -> Option<Skipped> {
        self.sieve.borrow_mut().take_skipped()
    }

    /// A whole message has arrived.
    pub fn whole(&self) {
        self.since.set(0);
        self.budget.give(self.taken.replace(0));
    }

    /// A control frame of `payload` bytes has arrived, perhaps between the fragments of a message.
    pub fn control(&self, payload: usize) {
        self.since.set(self.since.get().saturating_sub(payload + CONTROL_FRAME_BYTES));
    }

    /// Why reading was stopped, if it was.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        self.refusal.get()
    }

    fn count(&self, bytes: usize) -> Result<(), Refusal> {
        let since = self.since.get() + bytes;
        self.since.set(since);
        if since > self.max.get() {
            return Err(Refusal::TooLarge);
        }
        let needed = since.saturating_sub(INCOMING_ALLOWANCE_BYTES).saturating_sub(self.taken.get());
        if needed > 0 {
            if !self.budget.take(needed) {
                return Err(Refusal::NoRoom);
            }
            self.taken.set(self.taken.get() + needed);
        }
        Ok(())
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.budget.give(self.taken.get());
    }
}

/// A socket for the WebSocket library.
#[derive(Debug)]
pub struct Intake {
    socket: Socket,
    outbox: Rc<Outbox>,
    meter: Rc<Meter>,
    reads: u32,
    /// Bytes that come before what the socket has: read with the upgrade, or held back by the sieve.
    /// The latter have been sifted.
    early: VecDeque<u8>,
    ready: VecDeque<u8>,
}

impl Intake {
    /// Reads `early` and then from `socket`, writes to `outbox`.
    #[must_use]
    pub fn new(socket: Socket, early: Vec<u8>, outbox: Rc<Outbox>, meter: Rc<Meter>) -> Self {
        Self { socket, outbox, meter, reads: 0, early: early.into(), ready: VecDeque::new() }
    }

    /// Sifts what was read into `buffer`; `None` when nothing of it is left.
    fn sift(&mut self, buffer: &mut [u8], count: usize) -> Option<io::Result<usize>> {
        let sifted = self.meter.sieve.borrow_mut().sift(buffer.get_mut(..count).unwrap_or_default());
        let kept = sifted.kept;
        let refusal = self.meter.count(sifted.held.len() + kept).err();
        if sifted.refused {
            // What came before it is still heard; the next read finds the refusal.
            self.meter.refusal.set(Some(Refusal::TooLarge));
        }
        if let Some(refusal) = refusal {
            self.meter.refusal.set(Some(refusal));
            return Some(Err(self.refuse()));
        }
        if sifted.held.is_empty() {
            return (kept > 0).then_some(Ok(kept));
        }
        self.ready.extend(sifted.held);
        self.ready.extend(buffer.get(..kept).unwrap_or_default());
        Some(Ok(take(&mut self.ready, buffer)))
    }

    /// Nothing more is read: what it held is for the others, at once.
    fn refuse(&self) -> io::Error {
        self.meter.whole();
        io::Error::other("incoming bytes over their bound")
    }
}

/// Moves bytes from the queue into the buffer.
fn take(queue: &mut VecDeque<u8>, buffer: &mut [u8]) -> usize {
    let count = queue.len().min(buffer.len());
    for (slot, byte) in buffer.iter_mut().zip(queue.drain(..count)) {
        *slot = byte;
    }
    if queue.is_empty() {
        queue.shrink_to_fit();
    }
    count
}

impl AsyncRead for Intake {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            if !self.ready.is_empty() {
                return Poll::Ready(Ok(take(&mut self.ready, buffer)));
            }
            if self.meter.refusal.get().is_some() {
                return Poll::Ready(Err(self.refuse()));
            }
            let has_news = self.meter.sieve.borrow().has_skipped();
            if has_news || self.reads >= READS_PER_TURN {
                self.reads = 0;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let count = if self.early.is_empty() {
                let Poll::Ready(read) = Pin::new(&mut self.socket).poll_read(cx, buffer) else {
                    self.reads = 0;
                    return Poll::Pending;
                };
                read?
            } else {
                take(&mut self.early, buffer)
            };
            self.reads += 1;
            if count == 0 {
                return Poll::Ready(Ok(0));
            }
            if let Some(outcome) = self.sift(buffer, count) {
                return Poll::Ready(outcome);
            }
        }
    }
}

impl AsyncWrite for Intake {
    fn poll_write(self: Pin<&mut Self>, _cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.outbox.push_raw(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfinished_messages_draw_on_the_shared_room_and_give_it_back() {
        let budget = Budget::new(10_000);
        let meter = Meter::new(Rc::clone(&budget), 100_000, 100_000);
        assert_eq!(meter.count(INCOMING_ALLOWANCE_BYTES), Ok(()));
        assert_eq!(budget.used(), 0);
        assert_eq!(meter.count(6_000), Ok(()));
        assert_eq!(budget.used(), 6_000);
        meter.whole();
        assert_eq!(budget.used(), 0);
        assert_eq!(meter.count(20_000), Err(Refusal::NoRoom));
    }

    #[test]
    fn pings_between_fragments_neither_count_nor_reset() {
        let meter = Meter::new(Budget::new(10_000), 5_000, 5_000);
        meter.count(4_000).unwrap();
        for _ in 0..1_000 {
            meter.count(16).unwrap();
            meter.control(10);
        }
        assert_eq!(meter.count(1_001), Err(Refusal::TooLarge));
    }
}
