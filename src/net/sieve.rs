//! Bounds on messages before they are buffered: it follows the frames that come in (RFC 6455 section 5.2)
//! and stops at the header of one that is too large.
//!
//! An operator's connection ends there. A node's goes on: the message is dropped while it comes in, and
//! only its two edges are kept, so that whoever waits for it can be told. It looks at headers only and
//! leaves every other check to the WebSocket library.

use std::collections::VecDeque;

use crate::limits::SKIPPED_EDGE_BYTES;

/// A client's frame header is at most this long: two bytes, a 64-bit length, a mask.
const HEADER_BYTES: usize = 14;

/// A header that came in part, or that ends a read's first frame.
pub type Header = heapless::Vec<u8, HEADER_BYTES>;

/// What happens to a message over the bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excess {
    /// The connection ends.
    Refuse,
    /// The message is dropped, if it comes in one frame.
    Skip,
}

/// A message that was dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// How large it was.
    pub bytes: u64,
    /// How it began.
    pub head: Vec<u8>,
    /// How it ended.
    pub tail: Vec<u8>,
}

/// What is left of the bytes of one read.
#[derive(Debug, PartialEq, Eq)]
pub struct Sifted {
    /// The beginning of a header from earlier reads, which comes first.
    pub held: Header,
    /// Bytes that pass, at the beginning of the buffer.
    pub kept: usize,
    /// Whether what follows them must not be read.
    pub refused: bool,
}

/// The machine.
#[derive(Debug)]
pub struct Sieve {
    message_max: u64,
    excess: Excess,
    at: At,
    /// Bytes of the message that is coming in, in earlier fragments.
    before: u64,
    skipped: Option<Skipped>,
}

/// Where in the stream of frames it is.
#[derive(Debug)]
enum At {
    /// Within a header.
    Header(Header),
    /// Within a payload that passes.
    Passing(u64),
    /// Within a payload that is dropped.
    Skipping(Skipping),
}

#[derive(Debug)]
struct Skipping {
    bytes: u64,
    left: u64,
    mask: [u8; 4],
    head: Vec<u8>,
    tail: VecDeque<u8>,
}

impl Sieve {
    /// A sieve at the beginning of a stream, for messages of at most `message_max` bytes.
    #[must_use]
    pub fn new(message_max: u64) -> Self {
        Self { message_max, excess: Excess::Refuse, at: At::Header(Header::new()), before: 0, skipped: None }
    }

    /// Changes the bound for headers yet to come.
    pub fn allow(&mut self, message_max: u64, excess: Excess) {
        (self.message_max, self.excess) = (message_max, excess);
    }

    /// A message that was dropped to its end since the last call.
    pub fn take_skipped(&mut self) -> Option<Skipped> {
        self.skipped.take()
    }

    /// Whether a dropped message waits to be taken; no more is to be read then.
    #[must_use]
    pub fn has_skipped(&self) -> bool {
        self.skipped.is_some()
    }

    /// Takes the bytes of one read and moves those that pass to its beginning.
    pub fn sift(&mut self, bytes: &mut [u8]) -> Sifted {
        let mut sifted = Sifted { held: Header::new(), kept: 0, refused: false };
        let mut read = 0;
        while read < bytes.len() {
            let rest = bytes.len() - read;
            match &mut self.at {
                At::Passing(left) => {
                    let count = up_to(*left, rest);
                    *left -= count as u64;
                    let is_over = *left == 0;
                    bytes.copy_within(read..read + count, sifted.kept);
                    sifted.kept += count;
                    read += count;
                    if is_over {
                        self.at = At::Header(Header::new());
                    }
                }
                At::Skipping(skipping) => {
                    let count = up_to(skipping.left, rest);
                    skipping.take(bytes.get(read..read + count).unwrap_or_default());
                    read += count;
                    if skipping.left == 0 {
                        self.skipped = Some(skipping.done());
                        self.at = At::Header(Header::new());
                    }
                }
                At::Header(header) => {
                    // Of a header that began in an earlier read, that part isn't in the buffer.
                    let earlier = header.len();
                    let Some(byte) = bytes.get(read) else { break };
                    let start = read;
                    read += 1;
                    let mut whole = std::mem::take(header);
                    // A header that has all its bytes is left at once, so there is room.
                    let _ = whole.push(*byte);
                    while whole.len() < header_size(&whole) {
                        let Some(byte) = bytes.get(read) else { break };
                        let _ = whole.push(*byte);
                        read += 1;
                    }
                    if whole.len() < header_size(&whole) {
                        *header = whole;
                        break;
                    }
                    match self.judge(&whole) {
                        None => {
                            sifted.refused = true;
                            return sifted;
                        }
                        Some(At::Skipping(skipping)) => self.at = At::Skipping(skipping),
                        Some(next) => {
                            if earlier > 0 {
                                sifted.held = whole.iter().copied().take(earlier).collect();
                            }
                            bytes.copy_within(start..read, sifted.kept);
                            sifted.kept += read - start;
                            self.at = next;
                        }
                    }
                }
            }
        }
        sifted
    }

    /// What comes after that header; `None` when nothing may.
    fn judge(&mut self, header: &[u8]) -> Option<At> {
        let (first, length) = (header.first().copied().unwrap_or_default(), payload_size(header));
        let (is_last, opcode) = (first & 0x80 != 0, first & 0x0f);
        if opcode & 0x08 == 0 {
            let total = self.before.saturating_add(length);
            if total > self.message_max {
                let is_whole = is_last && opcode != 0 && self.before == 0;
                let mask = header.len().checked_sub(4).and_then(|at| header.get(at..)?.try_into().ok());
                return match (self.excess, mask.filter(|_| is_whole && is_masked(header))) {
                    (Excess::Skip, Some(mask)) => Some(At::Skipping(Skipping::new(length, mask))),
                    _ => None,
                };
            }
            self.before = if is_last { 0 } else { total };
        }
        Some(if length == 0 { At::Header(Header::new()) } else { At::Passing(length) })
    }
}

impl Skipping {
    fn new(bytes: u64, mask: [u8; 4]) -> Self {
        Self { bytes, left: bytes, mask, head: Vec::new(), tail: VecDeque::with_capacity(SKIPPED_EDGE_BYTES) }
    }

    /// Takes bytes that are within what is left, and keeps them where they belong to an edge.
    fn take(&mut self, bytes: &[u8]) {
        let offset = self.bytes - self.left;
        for (byte, at) in bytes.iter().zip(offset..) {
            let in_head = at < SKIPPED_EDGE_BYTES as u64;
            if !in_head && self.bytes - at > SKIPPED_EDGE_BYTES as u64 {
                continue;
            }
            let key = self.mask.get((at % 4) as usize).copied().unwrap_or_default();
            if in_head {
                self.head.push(byte ^ key);
            } else {
                self.tail.push_back(byte ^ key);
            }
        }
        self.left -= bytes.len() as u64;
    }

    fn done(&mut self) -> Skipped {
        Skipped { bytes: self.bytes, head: std::mem::take(&mut self.head), tail: std::mem::take(&mut self.tail).into() }
    }
}

fn up_to(left: u64, count: usize) -> usize {
    usize::try_from(left).map_or(count, |left| left.min(count))
}

fn is_masked(header: &[u8]) -> bool {
    header.get(1).is_some_and(|second| second & 0x80 != 0)
}

/// How long the header is, as far as its bytes tell; two bytes tell all.
fn header_size(header: &[u8]) -> usize {
    let Some(second) = header.get(1) else { return 2 };
    let length = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    2 + length + if is_masked(header) { 4 } else { 0 }
}

fn payload_size(header: &[u8]) -> u64 {
    let big_endian = |from: usize, count: usize| {
        header.iter().skip(from).take(count).fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
    };
    match header.get(1).map_or(0, |second| second & 0x7f) {
        126 => big_endian(2, 2),
        127 => big_endian(2, 8),
        short => u64::from(short),
    }
}

#[cfg(test)]
#[path = "sieve_tests.rs"]
mod tests;
