//! Lines and server-sent events out of a byte stream, however it is cut into pieces.
//!
//! Pure framing: what the text means is the dialects' business. Lines end with LF or CRLF; broken
//! UTF-8 becomes replacement characters, and only once the whole line is there.

use crate::limits::STREAM_LINE_BYTES;

/// A line or event is over [`STREAM_LINE_BYTES`]; the stream can't be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong;

/// Splits a byte stream into lines.
#[derive(Debug, Default)]
pub struct Lines {
    /// The line that has not ended yet.
    rest: Vec<u8>,
    /// Whether the first line has been seen; a byte order mark may stand before it.
    started: bool,
}

impl Lines {
    /// Takes in `bytes` and adds the lines that they complete to `lines`.
    ///
    /// # Errors
    /// [`TooLong`]; the lines before the long one are in `lines`.
    pub fn feed(&mut self, bytes: &[u8], lines: &mut Vec<String>) -> Result<(), TooLong> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.rest.len() + piece.len() > STREAM_LINE_BYTES {
                return Err(TooLong);
            }
            self.rest.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                lines.push(self.cut());
            }
        }
        Ok(())
    }

    /// The line that the end of the stream left without its line break.
    pub fn end(&mut self) -> Option<String> {
        (!self.rest.is_empty()).then(|| self.cut())
    }

    fn cut(&mut self) -> String {
        let line = self.rest.strip_suffix(b"\n").unwrap_or(&self.rest);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let text = String::from_utf8_lossy(line);
        let text = if self.started { &text } else { text.trim_start_matches('\u{feff}') }.to_owned();
        self.started = true;
        self.rest.clear();
        text
    }
}

/// One server-sent event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Event {
    /// Its `event` field; empty when it has none. `error` also for a server that sends its error
    /// as a field of that name instead of data.
    pub name: String,
    /// Its `data` lines, joined by line breaks.
    pub data: String,
}

/// Splits a byte stream into server-sent events.
#[derive(Debug, Default)]
pub struct Events {
    lines: Lines,
    open: Event,
    has_data: bool,
    /// Start of what is no field of an event: most likely a plain error message.
    stray: String,
}

impl Events {
    /// Most bytes of stray text that are kept.
    const STRAY_BYTES: usize = 1024;

    /// Takes in `bytes` and adds the events that they complete to `events`.
    ///
    /// # Errors
    /// [`TooLong`] for a line or the data of one event.
    pub fn feed(&mut self, bytes: &[u8], events: &mut Vec<Event>) -> Result<(), TooLong> {
        let mut lines = Vec::new();
        let fed = self.lines.feed(bytes, &mut lines);
        for line in lines {
            self.line(&line, events)?;
        }
        fed
    }

    /// Takes what the end of the stream left: some servers forget the last empty line.
    ///
    /// # Errors
    /// [`TooLong`] as above.
    pub fn end(&mut self, events: &mut Vec<Event>) -> Result<(), TooLong> {
        if let Some(line) = self.lines.end() {
            self.line(&line, events)?;
        }
        self.dispatch(events);
        Ok(())
    }

    /// The start of the text that belongs to no event.
    #[must_use]
    pub fn stray(&self) -> &str {
        &self.stray
    }

    fn line(&mut self, line: &str, events: &mut Vec<Event>) -> Result<(), TooLong> {
        if line.is_empty() {
            self.dispatch(events);
            return Ok(());
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            // A comment; servers send them to keep the line open.
            "" | "id" | "retry" => {}
            "event" => value.clone_into(&mut self.open.name),
            "data" => self.data(value)?,
            "error" => {
                "error".clone_into(&mut self.open.name);
                self.data(value)?;
            }
            _ if self.stray.len() + line.len() <= Self::STRAY_BYTES => self.stray.push_str(line),
            _ => {}
        }
        Ok(())
    }

    fn data(&mut self, value: &str) -> Result<(), TooLong> {
        if self.open.data.len() + value.len() > STREAM_LINE_BYTES {
            return Err(TooLong);
        }
        if self.has_data {
            self.open.data.push('\n');
        }
        self.open.data.push_str(value);
        self.has_data = true;
        Ok(())
    }

    fn dispatch(&mut self, events: &mut Vec<Event>) {
        let event = std::mem::take(&mut self.open);
        if std::mem::take(&mut self.has_data) {
            events.push(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events_of(pieces: &[&[u8]]) -> Vec<Event> {
        let (mut events, mut all) = (Events::default(), Vec::new());
        for piece in pieces {
            events.feed(piece, &mut all).unwrap();
        }
        events.end(&mut all).unwrap();
        all
    }

    #[test]
    fn every_cut_of_a_stream_gives_the_same_events() {
        let stream = "\u{feff}: hello\r\nevent: a\r\ndata: grüße 🦀\r\ndata:two\r\n\r\nid: 7\nretry: 1\ndata: x\n\nevent: none\n\nerror: {}\n\ndata: last";
        let bytes = stream.as_bytes();
        let whole = events_of(&[bytes]);
        let event = |name: &str, data: &str| Event { name: name.to_owned(), data: data.to_owned() };
        assert_eq!(whole, [event("a", "grüße 🦀\ntwo"), event("", "x"), event("error", "{}"), event("", "last")]);
        for at in 0..bytes.len() {
            assert_eq!(events_of(&[&bytes[..at], &bytes[at..]]), whole, "cut at {at}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(events_of(&single), whole);
    }

    #[test]
    fn a_line_over_the_bound_is_refused_and_the_lines_before_it_are_kept() {
        let mut lines = Lines::default();
        let mut out = Vec::new();
        let mut bytes = b"good\n".to_vec();
        bytes.resize(STREAM_LINE_BYTES + 10, b'x');
        assert_eq!(lines.feed(&bytes, &mut out), Err(TooLong));
        assert_eq!(out, ["good"]);

        let mut events = Events::default();
        let line = format!("data: {}\n", "x".repeat(1000));
        let outcome = (0..2000).find_map(|_| events.feed(line.as_bytes(), &mut Vec::new()).err());
        assert_eq!(outcome, Some(TooLong));
    }

    #[test]
    fn stray_text_is_kept_within_its_bound() {
        let mut events = Events::default();
        let mut out = Vec::new();
        events.feed(b"{\"error\":\"no\"}\n", &mut out).unwrap();
        events.feed("{x\n".repeat(1000).as_bytes(), &mut out).unwrap();
        assert!(out.is_empty());
        assert!(events.stray().starts_with("{\"error\":\"no\"}") && events.stray().len() <= Events::STRAY_BYTES);
    }
}
