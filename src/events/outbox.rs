//! What a connection has still to be sent: a queue of WebSocket frames, bounded in bytes.
//!
//! Replies and events go through the same queue, so a client sees things in the order in which they
//! happened. The bytes of an event are shared between all connections; only the frame header and the
//! number at its end are this connection's own. Pushing never waits and never writes: the
//! connection's writer drains the queue (`net/writer.rs`).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::IoSlice;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use async_tungstenite::tungstenite::protocol::CloseFrame;
use async_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use async_tungstenite::tungstenite::protocol::frame::{Frame, FrameHeader};

use super::budget::Budget;
use crate::limits::CLOSE_REASON_BYTES;

/// A frame header of a server is at most this long (RFC 6455 section 5.2, no mask).
const HEADER_BYTES: usize = 10;
/// `,"seq":18446744073709551615}`
const TAIL_BYTES: usize = 28;
/// Entries that an idle queue keeps allocated.
const IDLE_CAPACITY: usize = 4;
/// Frames handed to one vectored write.
const FRAMES_PER_WRITE: usize = 16;
/// Bookkeeping bytes counted for every queued frame, so that tiny frames are bounded too.
const FRAME_OVERHEAD: usize = 64;

/// The end of an event frame: the brace, with the connection's number before it if it has one.
pub type Tail = heapless::Vec<u8, TAIL_BYTES>;

/// What became of a pushed frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It will be sent.
    Queued,
    /// It was droppable and the connection is slow: skipped.
    Skipped,
    /// The connection's own bound is reached, or it is closing: it must be, or already is, cut.
    Full,
    /// The bound of all connections together is reached.
    NoRoom,
}

#[derive(Debug)]
enum Body {
    Shared(Rc<[u8]>),
    Owned(Box<[u8]>),
}

impl Body {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Shared(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }
}

#[derive(Debug)]
struct Chunk {
    header: heapless::Vec<u8, HEADER_BYTES>,
    body: Body,
    tail: Tail,
}

impl Chunk {
    fn size(&self) -> usize {
        self.header.len() + self.body.bytes().len() + self.tail.len()
    }
}

/// The bounded queue of one connection.
#[derive(Debug)]
pub struct Outbox {
    queue: RefCell<VecDeque<Chunk>>,
    /// Bytes of the first chunk that the socket has taken already.
    sent_of_first: Cell<usize>,
    /// Bytes counted against the bounds.
    bytes: Cell<usize>,
    bytes_max: usize,
    total: Rc<Budget>,
    /// Set once nothing more may be pushed: why the connection ends.
    closing: RefCell<Option<Close>>,
    writer: RefCell<Option<Waker>>,
    close_watcher: RefCell<Option<Waker>>,
}

/// How a connection ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// WebSocket close code; 0 when the peer closed first or the socket broke.
    pub code: u16,
    /// Reason, at most [`CLOSE_REASON_BYTES`].
    pub reason: String,
}

impl Outbox {
    /// An empty queue of at most `bytes_max` bytes, which also count against `total`.
    #[must_use]
    pub fn new(bytes_max: usize, total: Rc<Budget>) -> Self {
        Self {
            queue: RefCell::new(VecDeque::new()),
            sent_of_first: Cell::new(0),
            bytes: Cell::new(0),
            bytes_max,
            total,
            closing: RefCell::new(None),
            writer: RefCell::new(None),
            close_watcher: RefCell::new(None),
        }
    }

    /// Bytes that the socket has not taken yet.
    #[must_use]
    pub fn unsent_bytes(&self) -> usize {
        self.bytes.get()
    }

    /// How the connection ends, once that is settled.
    #[must_use]
    pub fn closing(&self) -> Option<Close> {
        self.closing.borrow().clone()
    }

    /// Queues a text frame of this connection alone.
    ///
    /// # Errors
    /// The text comes back with the reason why it can't be queued.
    pub fn push(&self, text: Vec<u8>) -> Result<(), (Vec<u8>, Pushed)> {
        match self.room(text.len(), false) {
            Ok(cost) => {
                let header = text_header(text.len());
                self.enqueue(Chunk { header, body: Body::Owned(text.into_boxed_slice()), tail: Tail::new() }, cost);
                Ok(())
            }
            Err(refused) => Err((text, refused)),
        }
    }

    /// Queues a text frame whose body is shared; `drop_if_slow` frames are skipped once half of the
    /// bound is used, so that they go before anything that matters.
    pub fn push_shared(&self, body: Rc<[u8]>, tail: Tail, drop_if_slow: bool) -> Pushed {
        let size = body.len() + tail.len();
        match self.room(size, drop_if_slow) {
            Ok(cost) => {
                self.enqueue(Chunk { header: text_header(size), body: Body::Shared(body), tail }, cost);
                Pushed::Queued
            }
            Err(refused) => refused,
        }
    }

    /// Takes room for a text frame of `size` bytes; the result is what it costs.
    fn room(&self, size: usize, drop_if_slow: bool) -> Result<usize, Pushed> {
        if self.closing.borrow().is_some() {
            return Err(Pushed::Full);
        }
        let cost = text_header(size).len() + size + FRAME_OVERHEAD;
        if drop_if_slow && self.bytes.get() > self.bytes_max / 2 {
            return Err(Pushed::Skipped);
        }
        if self.bytes.get().saturating_add(cost) > self.bytes_max {
            return Err(Pushed::Full);
        }
        if !self.total.take(cost) {
            return Err(Pushed::NoRoom);
        }
        Ok(cost)
    }

    /// Queues bytes that are a WebSocket frame already: the library's own pongs. Skipped when the
    /// queue is full or closing, as a peer that doesn't read has no use for them.
    pub fn push_raw(&self, frame: &[u8]) {
        let cost = frame.len() + FRAME_OVERHEAD;
        let fits = self.bytes.get().saturating_add(cost) <= self.bytes_max / 2;
        if self.closing.borrow().is_none() && fits && self.total.take(cost) {
            let body = Body::Owned(frame.into());
            self.enqueue(Chunk { header: heapless::Vec::new(), body, tail: Tail::new() }, cost);
        }
    }

    fn enqueue(&self, chunk: Chunk, cost: usize) {
        self.bytes.set(self.bytes.get() + cost);
        self.queue.borrow_mut().push_back(chunk);
        wake(&self.writer);
    }

    /// Ends the connection after what is queued has been sent.
    pub fn close(&self, code: u16, reason: &str) {
        self.end(code, reason, false);
    }

    /// Ends the connection now: what is queued is dropped, as its reader is too slow for it.
    pub fn cut(&self, code: u16, reason: &str) {
        self.end(code, reason, true);
    }

    /// Notes that the socket broke: nothing more is sent.
    pub fn abandon(&self) {
        self.end(0, "", true);
    }

    /// Notes that the peer has closed: what is queued, the answer to its close above all, is sent,
    /// and nothing is added.
    pub fn finish(&self) {
        self.end(0, "", false);
    }

    fn end(&self, code: u16, reason: &str, drop_queue: bool) {
        if self.closing.borrow().is_some() && !drop_queue {
            return;
        }
        let reason = cut_reason(reason);
        let first_end = self.closing.borrow().is_none();
        if drop_queue {
            self.clear();
        }
        if first_end {
            if code != 0 {
                let close = CloseFrame { code: code.into(), reason: reason.to_owned().into() };
                let mut bytes = Vec::with_capacity(HEADER_BYTES + 2 + reason.len());
                // Formatting into memory has no way to fail; without the frame the socket just ends.
                let _ = Frame::close(Some(close)).format(&mut bytes);
                let cost = bytes.len() + FRAME_OVERHEAD;
                // The close frame itself is not refused: it is what makes room.
                if self.total.take(cost) {
                    self.enqueue(
                        Chunk { header: heapless::Vec::new(), body: Body::Owned(bytes.into()), tail: Tail::new() },
                        cost,
                    );
                }
            }
            *self.closing.borrow_mut() = Some(Close { code, reason: reason.to_owned() });
        }
        wake(&self.writer);
        wake(&self.close_watcher);
    }

    /// Drops all frames but one that is on the wire in part, since half a frame would be garbage.
    fn clear(&self) {
        let mut queue = self.queue.borrow_mut();
        let keep = usize::from(self.sent_of_first.get() > 0);
        let mut freed = 0;
        while queue.len() > keep {
            if let Some(chunk) = queue.pop_back() {
                freed += chunk.size() + FRAME_OVERHEAD;
            }
        }
        self.bytes.set(self.bytes.get() - freed);
        self.total.give(freed);
    }

    /// Ready once the connection is to end.
    pub fn poll_closing(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.closing.borrow().is_some() {
            return Poll::Ready(());
        }
        *self.close_watcher.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Whether there is something to write; if not, and the connection goes on, the task of `cx` is
    /// woken by the next push.
    pub fn poll_work(&self, cx: &mut Context<'_>) -> Poll<Work> {
        if !self.queue.borrow().is_empty() {
            return Poll::Ready(Work::Frames);
        }
        if self.closing.borrow().is_some() {
            return Poll::Ready(Work::Done);
        }
        *self.writer.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Shows the unsent bytes to `write`, as slices, and takes off what it reports as written.
    ///
    /// # Errors
    /// What `write` returns.
    pub fn write_with<E>(
        &self,
        write: impl FnOnce(&[IoSlice<'_>]) -> Poll<Result<usize, E>>,
    ) -> Poll<Result<usize, E>> {
        let outcome = {
            let queue = self.queue.borrow();
            let mut slices: heapless::Vec<IoSlice<'_>, { FRAMES_PER_WRITE * 3 }> = heapless::Vec::new();
            let mut skip = self.sent_of_first.get();
            for chunk in queue.iter().take(FRAMES_PER_WRITE) {
                for part in [&chunk.header[..], chunk.body.bytes(), &chunk.tail[..]] {
                    if skip >= part.len() {
                        skip -= part.len();
                        continue;
                    }
                    // The capacity is three parts for each of the frames taken.
                    let _ = slices.push(IoSlice::new(part.get(skip..).unwrap_or_default()));
                    skip = 0;
                }
            }
            write(&slices)
        };
        if let Poll::Ready(Ok(count)) = outcome {
            self.advance(count);
        }
        outcome
    }

    fn advance(&self, mut count: usize) {
        let mut queue = self.queue.borrow_mut();
        while let Some(first) = queue.front() {
            let left = first.size() - self.sent_of_first.get();
            if count < left {
                self.sent_of_first.set(self.sent_of_first.get() + count);
                return;
            }
            count -= left;
            let cost = first.size() + FRAME_OVERHEAD;
            self.sent_of_first.set(0);
            self.bytes.set(self.bytes.get() - cost);
            self.total.give(cost);
            queue.pop_front();
        }
        if queue.capacity() > IDLE_CAPACITY {
            queue.shrink_to(0);
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.total.give(self.bytes.get());
    }
}

/// What the writer has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Frames wait.
    Frames,
    /// All is sent and the connection ends.
    Done,
}

fn wake(slot: &RefCell<Option<Waker>>) {
    let waker = slot.borrow_mut().take();
    if let Some(waker) = waker {
        waker.wake();
    }
}

fn text_header(size: usize) -> heapless::Vec<u8, HEADER_BYTES> {
    let mut bytes = [0; HEADER_BYTES];
    let mut rest = &mut bytes[..];
    let header = FrameHeader { opcode: OpCode::Data(Data::Text), ..FrameHeader::default() };
    // The longest header fits into the array, so formatting has no way to fail.
    let _ = header.format(size as u64, &mut rest);
    let length = HEADER_BYTES - rest.len();
    bytes.get(..length).and_then(|bytes| heapless::Vec::from_slice(bytes).ok()).unwrap_or_default()
}

/// The longest beginning of `reason` that fits into a close frame.
#[must_use]
pub fn cut_reason(reason: &str) -> &str {
    let mut end = reason.len().min(CLOSE_REASON_BYTES);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Context;

    fn outbox(max: usize) -> (Outbox, Rc<Budget>) {
        let total = Budget::new(1_000_000);
        (Outbox::new(max, Rc::clone(&total)), total)
    }

    /// Takes everything off, `step` bytes at a time.
    fn drain(outbox: &Outbox, step: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while !outbox.queue.borrow().is_empty() {
            let _ = outbox.write_with(|slices| {
                let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).take(step).collect();
                all.extend_from_slice(&bytes);
                Poll::Ready(Ok::<_, ()>(bytes.len()))
            });
        }
        all
    }

    #[test]
    fn frames_come_out_whole_and_in_order_whatever_the_socket_takes() {
        for step in [1, 2, 3, 7, 1000] {
            let (outbox, total) = outbox(10_000);
            outbox.push(b"first".to_vec()).unwrap();
            outbox.push_shared(Rc::from(&b"{\"a\":1"[..]), Tail::from_slice(b",\"seq\":9}").unwrap(), false);
            let long = vec![b'x'; 300];
            outbox.push(long.clone()).unwrap();
            let mut expected = b"\x81\x05first\x81\x0f{\"a\":1,\"seq\":9}\x81\x7e\x01\x2c".to_vec();
            expected.extend_from_slice(&long);
            assert_eq!(drain(&outbox, step), expected, "step {step}");
            assert_eq!((outbox.unsent_bytes(), total.used()), (0, 0));
        }
    }

    #[test]
    fn a_slow_connection_loses_droppable_frames_first_and_is_full_later() {
        let (outbox, _) = outbox(1000);
        outbox.push(vec![b'x'; 450]).unwrap();
        assert_eq!(outbox.push_shared(Rc::from(&b"tick"[..]), Tail::new(), true), Pushed::Skipped);
        outbox.push(vec![b'x'; 300]).unwrap();
        assert_eq!(outbox.push(vec![b'x'; 300]).unwrap_err().1, Pushed::Full);
        assert!(outbox.unsent_bytes() <= 1000);
    }

    #[test]
    fn the_bound_of_all_connections_is_kept_and_given_back() {
        let total = Budget::new(1000);
        let (a, b) = (Outbox::new(900, Rc::clone(&total)), Outbox::new(900, Rc::clone(&total)));
        a.push(vec![b'x'; 700]).unwrap();
        assert_eq!(b.push(vec![b'x'; 700]).unwrap_err().1, Pushed::NoRoom);
        drop(a);
        assert_eq!(total.used(), 0);
        b.push(vec![b'x'; 700]).unwrap();
    }

    #[test]
    fn cutting_drops_the_queue_but_never_half_a_frame() {
        let (outbox, total) = outbox(10_000);
        outbox.push(b"first".to_vec()).unwrap();
        outbox.push(b"second".to_vec()).unwrap();
        let _ = outbox.write_with(|_| Poll::Ready(Ok::<_, ()>(3)));
        outbox.cut(1008, "slow consumer");
        assert_eq!(outbox.push(b"late".to_vec()).unwrap_err().1, Pushed::Full);
        assert_eq!(drain(&outbox, 1000), b"irst\x88\x0f\x03\xf0slow consumer");
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(outbox.poll_work(&mut cx), Poll::Ready(Work::Done));
        assert_eq!(total.used(), 0);
    }

    #[test]
    fn a_close_reason_is_cut_between_characters() {
        let reason = "ä".repeat(100);
        assert_eq!(cut_reason(&reason).len(), 120);
        assert_eq!(cut_reason("short"), "short");
        assert_eq!(cut_reason(&format!("x{reason}")).len(), 119);
    }
}
