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

use super::budget::{Budget, Held};
use crate::limits::CLOSE_REASON_BYTES;

/// A frame header of a server is at most this long (RFC 6455 section 5.2, no mask).
const HEADER_BYTES: usize = 10;
/// `,"seq":18446744073709551615}`
const TAIL_BYTES: usize = 28;
/// Entries that an idle queue keeps allocated.
const IDLE_CAPACITY: usize = 4;
/// Frames handed to one vectored write.
const FRAMES_PER_WRITE: usize = 16;
/// Control frames that may wait, bytes.
const CONTROL_BYTES: usize = 1024;
/// A frame on the wire in part that is larger than this is not waited for when its reader is cut.
const LARGE_FRAME: usize = 16 * 1024;
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

/// Bytes that many outboxes send; they count against the bound of all connections once.
#[derive(Debug)]
pub struct Shared {
    bytes: Box<[u8]>,
    _held: Held,
}

impl Shared {
    /// Takes room for `bytes` until the last outbox has sent them.
    ///
    /// # Errors
    /// The bytes come back when there is no room.
    pub fn new(bytes: Vec<u8>, total: &Rc<Budget>) -> Result<Rc<Self>, Vec<u8>> {
        match total.hold(bytes.len()) {
            Some(held) => Ok(Rc::new(Self { bytes: bytes.into_boxed_slice(), _held: held })),
            None => Err(bytes),
        }
    }
}

#[derive(Debug)]
enum Body {
    Shared(Rc<Shared>),
    Owned(Box<[u8]>),
}

impl Body {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Shared(shared) => &shared.bytes,
            Self::Owned(bytes) => bytes,
        }
    }
}

#[derive(Debug)]
struct Chunk {
    header: heapless::Vec<u8, HEADER_BYTES>,
    body: Body,
    tail: Tail,
    /// Bytes taken from the bound of all connections.
    charged: usize,
}

impl Chunk {
    fn size(&self) -> usize {
        self.header.len() + self.body.bytes().len() + self.tail.len()
    }

    /// Bytes counted against the connection's own bound.
    fn cost(&self) -> usize {
        self.size() + FRAME_OVERHEAD
    }

    /// Whether it is a control frame, which comes with its header in the body.
    fn is_control(&self) -> bool {
        self.header.is_empty()
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
    /// Of them, bytes of control frames.
    control_bytes: Cell<usize>,
    /// Bytes taken from the bound of all connections.
    charged: Cell<usize>,
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
            control_bytes: Cell::new(0),
            charged: Cell::new(0),
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

    /// Bytes of the room of all connections that cutting this one would free.
    #[must_use]
    pub fn charged_bytes(&self) -> usize {
        self.charged.get()
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
        match self.room(text.len(), 0, false) {
            Ok(charged) => {
                let header = text_header(text.len());
                let body = Body::Owned(text.into_boxed_slice());
                self.enqueue(Chunk { header, body, tail: Tail::new(), charged });
                Ok(())
            }
            Err(refused) => Err((text, refused)),
        }
    }

    /// Queues a text frame whose body is shared; `drop_if_slow` frames are skipped once half of the
    /// bound is used, so that they go before anything that matters.
    pub fn push_shared(&self, body: Rc<Shared>, tail: Tail, drop_if_slow: bool) -> Pushed {
        let size = body.bytes.len() + tail.len();
        match self.room(size, body.bytes.len(), drop_if_slow) {
            Ok(charged) => {
                self.enqueue(Chunk { header: text_header(size), body: Body::Shared(body), tail, charged });
                Pushed::Queued
            }
            Err(refused) => refused,
        }
    }

    /// Takes room for a text frame of `size` bytes, of which `shared` are paid for already; the result
    /// is what was taken from the bound of all connections.
    fn room(&self, size: usize, shared: usize, drop_if_slow: bool) -> Result<usize, Pushed> {
        if self.closing.borrow().is_some() {
            return Err(Pushed::Full);
        }
        let cost = text_header(size).len() + size + FRAME_OVERHEAD;
        if drop_if_slow && self.bytes.get() > self.bytes_max / 2 {
            return Err(Pushed::Skipped);
        }
        if self.bytes.get().saturating_add(cost) > self.bytes_max {
            return Err(if drop_if_slow { Pushed::Skipped } else { Pushed::Full });
        }
        let charged = cost - shared;
        if !self.total.take(charged) {
            return Err(Pushed::NoRoom);
        }
        Ok(charged)
    }

    /// Queues bytes that are a WebSocket frame already: the library's own pongs and its answer to a
    /// close. Only a few may wait: a peer that doesn't read has no use for more of them.
    pub fn push_raw(&self, frame: &[u8]) {
        let charged = frame.len() + FRAME_OVERHEAD;
        let fits = self.control_bytes.get() + charged <= CONTROL_BYTES;
        if self.closing.borrow().is_none() && fits && self.total.take(charged) {
            self.enqueue(Chunk {
                header: heapless::Vec::new(),
                body: Body::Owned(frame.into()),
                tail: Tail::new(),
                charged,
            });
        }
    }

    fn enqueue(&self, chunk: Chunk) {
        self.bytes.set(self.bytes.get() + chunk.cost());
        self.charged.set(self.charged.get() + chunk.charged);
        if chunk.is_control() {
            self.control_bytes.set(self.control_bytes.get() + chunk.cost());
        }
        self.queue.borrow_mut().push_back(chunk);
        wake(&self.writer);
    }

    /// Ends the connection after what is queued has been sent.
    pub fn close(&self, code: u16, reason: &str) {
        self.end(code, reason, false);
    }

    /// Ends the connection now: what is queued is dropped, as its reader is too slow for it.
    /// Without a close frame when it stalls within a large one, which is dropped too then.
    pub fn cut(&self, code: u16, reason: &str) {
        if self.is_stuck_in_a_large_frame() {
            self.sent_of_first.set(0);
            return self.end(0, reason, true);
        }
        self.end(code, reason, true);
    }

    /// Notes that the socket broke: nothing more is sent.
    pub fn abandon(&self) {
        self.end(0, "", true);
    }

    /// Notes that the peer has closed: it hears the answer to its close, and nothing more.
    pub fn finish(&self) {
        if self.is_stuck_in_a_large_frame() {
            return self.abandon();
        }
        let begun = usize::from(self.sent_of_first.get() > 0);
        let queue = self.queue.take();
        for (index, chunk) in queue.into_iter().enumerate() {
            if index < begun || chunk.is_control() {
                self.queue.borrow_mut().push_back(chunk);
            } else {
                self.release(&chunk);
            }
        }
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
                // It isn't charged: it is what makes room.
                let body = Body::Owned(bytes.into());
                self.enqueue(Chunk { header: heapless::Vec::new(), body, tail: Tail::new(), charged: 0 });
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
        while queue.len() > keep {
            if let Some(chunk) = queue.pop_back() {
                self.release(&chunk);
            }
        }
    }

    /// Whether the frame that is on the wire in part is so large that a cut would free too little.
    fn is_stuck_in_a_large_frame(&self) -> bool {
        self.sent_of_first.get() > 0 && self.queue.borrow().front().is_some_and(|first| first.size() > LARGE_FRAME)
    }

    /// Gives back what a frame that leaves the queue has taken.
    fn release(&self, chunk: &Chunk) {
        self.bytes.set(self.bytes.get() - chunk.cost());
        if chunk.is_control() {
            self.control_bytes.set(self.control_bytes.get() - chunk.cost());
        }
        self.charged.set(self.charged.get() - chunk.charged);
        self.total.give(chunk.charged);
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
            self.sent_of_first.set(0);
            self.release(first);
            queue.pop_front();
        }
        if queue.is_empty() && queue.capacity() > IDLE_CAPACITY {
            queue.shrink_to(0);
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.total.give(self.charged.get());
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
            let shared = Shared::new(b"{\"a\":1".to_vec(), &total).unwrap();
            outbox.push_shared(shared, Tail::from_slice(b",\"seq\":9}").unwrap(), false);
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
        let (outbox, total) = outbox(1000);
        outbox.push(vec![b'x'; 450]).unwrap();
        assert_eq!(
            outbox.push_shared(Shared::new(b"tick".to_vec(), &total).unwrap(), Tail::new(), true),
            Pushed::Skipped
        );
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

    #[test]
    fn a_shared_body_counts_once_for_all_connections() {
        let total = Budget::new(10_000);
        let outboxes: Vec<_> = (0..20).map(|_| Outbox::new(9_000, Rc::clone(&total))).collect();
        let body = Shared::new(vec![b'x'; 6_000], &total).unwrap();
        for outbox in &outboxes {
            assert_eq!(outbox.push_shared(Rc::clone(&body), Tail::new(), false), Pushed::Queued);
        }
        drop(body);
        assert!((6_000..10_000).contains(&total.used()), "{}", total.used());
        outboxes.iter().for_each(|outbox| drop(drain(outbox, 1_000_000)));
        assert_eq!(total.used(), 0);
    }

    #[test]
    fn a_peer_that_pings_without_reading_gets_few_pongs() {
        let (outbox, total) = outbox(1_000_000);
        for _ in 0..10_000 {
            outbox.push_raw(&[0x8a, 0x7d, 0]);
        }
        assert!(total.used() <= CONTROL_BYTES, "{}", total.used());
        drain(&outbox, 1000);
        outbox.push_raw(&[0x8a, 0]);
        assert!(total.used() > 0);
    }

    #[test]
    fn cutting_a_reader_that_stalls_within_a_large_frame_frees_it() {
        let (outbox, total) = outbox(1_000_000);
        outbox.push(vec![b'x'; 500_000]).unwrap();
        let _ = outbox.write_with(|_| Poll::Ready(Ok::<_, ()>(3)));
        outbox.cut(1008, "slow consumer");
        assert_eq!((total.used(), outbox.unsent_bytes()), (0, 0));
    }

    #[test]
    fn a_peer_that_closes_hears_only_the_answer_to_its_close() {
        let (outbox, total) = outbox(100_000);
        outbox.push(b"begun".to_vec()).unwrap();
        outbox.push(vec![b'x'; 50_000]).unwrap();
        let _ = outbox.write_with(|_| Poll::Ready(Ok::<_, ()>(3)));
        outbox.push_raw(&[0x88, 0]);
        outbox.finish();
        assert!(total.used() < 500, "{}", total.used());
        assert_eq!(drain(&outbox, 1000), b"egun\x88\x00");
        assert_eq!((total.used(), outbox.charged_bytes()), (0, 0));
    }
}
