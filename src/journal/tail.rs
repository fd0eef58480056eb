//! Reading the log from a position on (methods.md 14.3).
//!
//! Positions are bytes of the file, followed by the lines that still wait for the disk: polling
//! writes nothing. Unlike the field's original, no line is lost when `limit` cuts an answer: the
//! cursor then points after the last line that was returned (section 18 item 14).

use std::io;
use std::path::Path;

use super::rotate::ends_torn;
use crate::limits;
use crate::sys::Files;

/// A piece of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tail {
    /// The log file.
    pub file: String,
    /// Where the next call goes on.
    pub cursor: u64,
    /// Size of the log, bytes.
    pub size: u64,
    /// Lines as they are on disk.
    pub lines: Vec<String>,
    /// Whether the log has more before these lines than `max_bytes` let through.
    pub truncated: bool,
    /// Whether the caller's cursor couldn't be used: what it has shown so far is no beginning of this.
    pub reset: bool,
}

/// What is asked for. Out of range values are brought into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// Where to go on; `None` for the end of the log.
    pub cursor: Option<u64>,
    /// Most lines, 1 to 5000.
    pub limit: usize,
    /// Most bytes to read, 1 to 1,000,000.
    pub max_bytes: u64,
}

impl Default for Ask {
    /// The defaults of methods.md 14.3.
    fn default() -> Self {
        Self { cursor: None, limit: 500, max_bytes: 250_000 }
    }
}

/// Reads the file followed by `waiting`.
///
/// # Errors
/// What the system says; a missing file is an empty one.
pub(super) fn tail(files: &dyn Files, file: &Path, waiting: &str, ask: Ask) -> io::Result<Tail> {
    let on_disk = match files.size(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        other => other?,
    };
    // The next write ends a torn last line; the waiting lines follow that newline.
    let torn = !waiting.is_empty() && ends_torn(files, file, on_disk)?;
    let waiting = if torn { format!("\n{waiting}") } else { waiting.to_owned() };
    let size = on_disk + waiting.len() as u64;
    let read = |start: u64| -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(on_disk.saturating_sub(start)).unwrap_or_default()];
        if !bytes.is_empty() {
            let count = files.read_at(file, start, &mut bytes)?;
            bytes.truncate(count);
        }
        let skip = usize::try_from(start.saturating_sub(on_disk)).unwrap_or(usize::MAX);
        bytes.extend_from_slice(waiting.as_bytes().get(skip..).unwrap_or_default());
        Ok(bytes)
    };
    cut(read, &file.to_string_lossy(), size, ask)
}

/// The same from memory alone, for a disk that can't be read.
pub(super) fn tail_of_text(text: &str, file: &Path, ask: Ask) -> Tail {
    let read = |start: u64| {
        let start = usize::try_from(start).unwrap_or(usize::MAX);
        Ok(text.as_bytes().get(start..).unwrap_or_default().to_vec())
    };
    let end = Ask { cursor: None, ..ask };
    let size = text.len() as u64;
    let file = file.to_string_lossy();
    cut(read, &file, size, end).map_or_else(
        |_| Tail { file: file.to_string(), cursor: 0, size, lines: Vec::new(), truncated: true, reset: true },
        |tail| Tail { reset: true, ..tail },
    )
}

fn cut(read: impl Fn(u64) -> io::Result<Vec<u8>>, file: &str, size: u64, ask: Ask) -> io::Result<Tail> {
    let limit = ask.limit.clamp(1, limits::LOG_TAIL_LINES);
    let last_part = size.saturating_sub(ask.max_bytes.clamp(1, limits::LOG_TAIL_BYTES));
    let (start, goes_on, reset) = match ask.cursor {
        None => (last_part, false, false),
        Some(cursor) if cursor > size || cursor < last_part => (last_part, false, true),
        Some(cursor) => (cursor, true, false),
    };
    // One byte earlier, to see whether `start` is the start of a line.
    let from = start.saturating_sub(1);
    let bytes = read(from)?;
    let mut at = from;
    let mut lines: Vec<(u64, &[u8])> = Vec::new();
    for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
        let whole = at >= start;
        if let Some(line) = piece.strip_suffix(b"\n") {
            at += piece.len() as u64;
            if whole {
                lines.push((at, line));
            }
        }
    }
    let mut tail =
        Tail { file: file.to_owned(), cursor: at.max(start), size, lines: Vec::new(), truncated: false, reset };
    let skipped = if goes_on { 0 } else { lines.len().saturating_sub(limit) };
    tail.truncated = !goes_on && start > 0;
    if goes_on && lines.len() > limit {
        lines.truncate(limit);
        tail.cursor = lines.last().map_or(start, |(end, _)| *end);
    }
    tail.lines = lines.iter().skip(skipped).map(|(_, line)| String::from_utf8_lossy(line).into_owned()).collect();
    Ok(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "one\ntwo\nthree\nfour\n";

    fn ask(cursor: Option<u64>, limit: usize, max_bytes: u64) -> (String, u64, bool, bool) {
        let text = LOG;
        let read = |start: u64| Ok(text.as_bytes()[usize::try_from(start).unwrap()..].to_vec());
        let tail = cut(read, "f", text.len() as u64, Ask { cursor, limit, max_bytes }).unwrap();
        (tail.lines.join(" "), tail.cursor, tail.truncated, tail.reset)
    }

    #[test]
    fn without_a_cursor_the_last_lines_come_and_more_is_marked() {
        assert_eq!(ask(None, 500, 1000), ("one two three four".into(), 19, false, false));
        assert_eq!(ask(None, 2, 1000), ("three four".into(), 19, false, false));
        assert_eq!(ask(None, 500, 11), ("three four".into(), 19, true, false));
        assert_eq!(ask(None, 500, 12), ("three four".into(), 19, true, false));
        assert_eq!(ask(None, 500, 2), (String::new(), 19, true, false));
    }

    #[test]
    fn a_cursor_goes_on_and_the_limit_loses_nothing() {
        assert_eq!(ask(Some(4), 500, 1000), ("two three four".into(), 19, false, false));
        assert_eq!(ask(Some(0), 1, 1000), ("one".into(), 4, false, false));
        assert_eq!(ask(Some(4), 2, 1000), ("two three".into(), 14, false, false));
        assert_eq!(ask(Some(19), 500, 1000), (String::new(), 19, false, false));
        assert_eq!(ask(Some(5), 500, 1000), ("three four".into(), 19, false, false));
    }

    #[test]
    fn a_cursor_too_far_back_or_beyond_the_end_starts_anew() {
        assert_eq!(ask(Some(0), 500, 6), ("four".into(), 19, true, true));
        assert_eq!(ask(Some(20), 500, 1000), ("one two three four".into(), 19, false, true));
        assert_eq!(ask(Some(20), 1, 1000), ("four".into(), 19, false, true));
    }

    #[test]
    fn a_line_without_its_end_waits_for_it() {
        let read = |start: u64| Ok(b"one\ntw"[usize::try_from(start).unwrap()..].to_vec());
        let tail = cut(read, "f", 6, Ask::default()).unwrap();
        assert_eq!((tail.lines, tail.cursor, tail.size), (vec!["one".to_owned()], 4, 6));
        let none = cut(|_| Ok(Vec::new()), "f", 0, Ask { cursor: Some(0), ..Ask::default() }).unwrap();
        assert_eq!((none.cursor, none.size, none.reset), (0, 0, false));
    }
}
