//! A socket in memory: two ends, a bounded buffer each way, and a reader that can be stopped.
//!
//! It behaves like TCP where it matters to the code above: short reads and writes, a full buffer
//! makes the writer wait, closing one end is the end of input at the other.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// One direction.
#[derive(Debug)]
struct Lane {
    bytes: RefCell<VecDeque<u8>>,
    capacity: usize,
    /// Most bytes that one read or write moves; chops frames to pieces.
    chop: Cell<usize>,
    ended: Cell<bool>,
    reader: RefCell<Option<Waker>>,
    writer: RefCell<Option<Waker>>,
}

impl Lane {
    fn new(capacity: usize) -> Rc<Self> {
        Rc::new(Self {
            bytes: RefCell::new(VecDeque::new()),
            capacity,
            chop: Cell::new(usize::MAX),
            ended: Cell::new(false),
            reader: RefCell::new(None),
            writer: RefCell::new(None),
        })
    }

    fn wake(slot: &RefCell<Option<Waker>>) {
        let waker = slot.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn end(&self) {
        self.ended.set(true);
        Self::wake(&self.reader);
        Self::wake(&self.writer);
    }
}

/// One end of a pipe. Cloning shares it.
#[derive(Debug, Clone)]
pub struct End {
    incoming: Rc<Lane>,
    outgoing: Rc<Lane>,
}

/// A connection in memory with `capacity` bytes of buffer each way.
#[must_use]
pub fn pair(capacity: usize) -> (End, End) {
    let (there, back) = (Lane::new(capacity), Lane::new(capacity));
    (End { incoming: Rc::clone(&back), outgoing: Rc::clone(&there) }, End { incoming: there, outgoing: back })
}

impl End {
    /// From now on reads and writes at this end move at most `bytes` at once.
    pub fn chop(&self, bytes: usize) {
        self.incoming.chop.set(bytes.max(1));
        self.outgoing.chop.set(bytes.max(1));
    }

    /// Ends both directions.
    pub fn close(&self) {
        self.incoming.end();
        self.outgoing.end();
    }

    /// Ends the outgoing direction.
    pub fn end_writing(&self) {
        self.outgoing.end();
    }

    /// Reads what is there.
    pub fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let lane = &self.incoming;
        let mut bytes = lane.bytes.borrow_mut();
        if bytes.is_empty() {
            if lane.ended.get() {
                return Poll::Ready(Ok(0));
            }
            *lane.reader.borrow_mut() = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let count = bytes.len().min(buffer.len()).min(lane.chop.get());
        for (slot, byte) in buffer.iter_mut().zip(bytes.drain(..count)) {
            *slot = byte;
        }
        drop(bytes);
        Lane::wake(&lane.writer);
        Poll::Ready(Ok(count))
    }

    /// Writes what fits.
    pub fn poll_write(&self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let lane = &self.outgoing;
        if lane.ended.get() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let mut bytes = lane.bytes.borrow_mut();
        let room = lane.capacity.saturating_sub(bytes.len()).min(lane.chop.get());
        if room == 0 {
            *lane.writer.borrow_mut() = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let before = bytes.len();
        bytes.extend(slices.iter().flat_map(|slice| slice.iter()).take(room));
        let count = bytes.len() - before;
        drop(bytes);
        Lane::wake(&lane.reader);
        Poll::Ready(Ok(count))
    }
}
