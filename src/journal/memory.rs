//! The last log lines in memory, bounded; those at the end may still wait for the disk.

use std::collections::VecDeque;

use log::Level;

use crate::limits;

/// Lines in the order in which they were logged, as they are on disk.
#[derive(Debug, Default)]
pub(super) struct Memory {
    lines: VecDeque<String>,
    /// Bytes of all lines with their newlines.
    bytes: usize,
    /// How many lines were ever pushed; the last line has this number less one.
    pushed: u64,
    /// Number of the first line that waits for the disk.
    waiting_from: u64,
    waiting_bytes: usize,
    /// When the first waiting line was pushed.
    waiting_since_ms: u64,
    /// The most important of the waiting lines.
    urgent: Option<Level>,
    /// Lines that left before they were written.
    lost: u64,
}

/// The lines that wait for the disk.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Each with its newline.
    pub(super) text: String,
    /// Number of the first one.
    pub(super) first: u64,
    /// How many are missing before it.
    pub(super) lost: u64,
}

impl Memory {
    /// Adds a line. Beyond [`limits::LOG_MEMORY_BYTES`] the oldest leave.
    pub(super) fn push(&mut self, line: String, level: Level, now_ms: u64) {
        if self.waiting_from == self.pushed {
            self.waiting_since_ms = now_ms;
        }
        self.bytes += line.len() + 1;
        self.waiting_bytes += line.len() + 1;
        self.urgent = Some(self.urgent.map_or(level, |urgent| urgent.min(level)));
        self.pushed += 1;
        self.lines.push_back(line);
        while self.bytes > limits::LOG_MEMORY_BYTES {
            let first = self.first();
            let Some(line) = self.lines.pop_front() else { break };
            self.bytes -= line.len() + 1;
            if self.waiting_from <= first {
                self.waiting_bytes -= line.len() + 1;
                self.waiting_from = first + 1;
                self.lost += 1;
            }
        }
    }

    /// Whether the waiting lines are worth a write now: a warning or an error, a full buffer, or a minute old.
    pub(super) fn is_due(&self, now_ms: u64) -> bool {
        self.waiting_from < self.pushed
            && (self.urgent.is_some_and(|level| level <= Level::Warn)
                || self.waiting_bytes >= limits::LOG_BUFFER_BYTES
                || now_ms.abs_diff(self.waiting_since_ms) >= limits::LOG_FLUSH_MS)
    }

    pub(super) fn error_waits(&self) -> bool {
        self.urgent == Some(Level::Error)
    }

    /// Lines that left before they were written, since the last successful write.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// A copy of the waiting lines.
    pub(super) fn waiting(&self) -> Waiting {
        let skip = usize::try_from(self.waiting_from.saturating_sub(self.first())).unwrap_or(usize::MAX);
        let mut text = String::with_capacity(self.waiting_bytes);
        for line in self.lines.iter().skip(skip) {
            text.push_str(line);
            text.push('\n');
        }
        Waiting { text, first: self.waiting_from, lost: self.lost }
    }

    /// `lines` lines from number `first` on are written, and that `lost` were missing has been told.
    pub(super) fn written(&mut self, first: u64, lines: u64, lost: u64, now_ms: u64) {
        self.lost = self.lost.saturating_sub(lost);
        self.waiting_from = self.waiting_from.max((first + lines).min(self.pushed));
        self.waiting_since_ms = now_ms;
        self.urgent = self.urgent.filter(|_| self.waiting_from < self.pushed);
        self.waiting_bytes = self.waiting().text.len();
    }

    /// The last `limit` lines.
    pub(super) fn recent(&self, limit: usize) -> Vec<String> {
        self.lines.iter().skip(self.lines.len().saturating_sub(limit)).cloned().collect()
    }

    /// Number of the oldest line.
    fn first(&self) -> u64 {
        self.pushed - self.lines.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_lines_leave_and_unwritten_ones_are_counted() {
        let mut memory = Memory::default();
        let line = "x".repeat(999);
        for _ in 0..60 {
            memory.push(line.clone(), Level::Info, 0);
        }
        memory.written(0, 60, 0, 0);
        assert!(!memory.is_due(u64::MAX));
        for _ in 0..100 {
            memory.push(line.clone(), Level::Info, 0);
        }
        let kept = limits::LOG_MEMORY_BYTES / 1000;
        assert_eq!(memory.recent(1000).len(), kept);
        let waiting = memory.waiting();
        assert_eq!((waiting.text.len(), waiting.lost), (kept * 1000, 100 - kept as u64));
        memory.written(waiting.first, kept as u64, waiting.lost, 0);
        assert_eq!((memory.waiting().text.len(), memory.lost()), (0, 0));
    }

    #[test]
    fn a_write_is_due_after_a_minute_a_full_buffer_or_something_urgent() {
        let mut memory = Memory::default();
        assert!(!memory.is_due(1_000_000));
        memory.push("a".into(), Level::Info, 5_000);
        assert!(!memory.is_due(64_999));
        assert!(memory.is_due(65_000));
        memory.push("b".into(), Level::Error, 5_000);
        assert!(memory.is_due(5_000) && memory.error_waits());
        memory.written(0, 2, 0, 6_000);
        assert!(!memory.is_due(6_000) && !memory.error_waits());
        memory.push("c".into(), Level::Warn, 6_000);
        assert!(memory.is_due(6_000) && !memory.error_waits());
        memory.written(2, 1, 0, 6_000);
        memory.push("x".repeat(limits::LOG_BUFFER_BYTES), Level::Info, 6_000);
        assert!(memory.is_due(6_000));
    }
}
