//! The text and the origin of a line, within their bounds.

use std::fmt::{self, Write as _};

use crate::limits;

/// Our own crate, which is left out of a line's origin.
pub(super) const CRATE: &str = env!("CARGO_PKG_NAME");

/// The formatted text, at most [`limits::LOG_FORMAT_BYTES`] of it.
pub(super) fn format(arguments: &fmt::Arguments<'_>) -> String {
    let mut text = Bounded(String::new());
    // An error is the bound, or a `Display` that gave up: what is there is the message.
    let _ = write!(text, "{arguments}");
    text.0
}

/// At most [`limits::LOG_LINE_BYTES`] of a message, with a mark where it was cut.
pub(super) fn cut(message: String) -> String {
    if message.len() <= limits::LOG_LINE_BYTES {
        return message;
    }
    format!("{}… (cut)", start_of(&message, limits::LOG_LINE_BYTES - 16))
}

/// `barnacle::net::ws` is `net/ws`.
pub(super) fn subsystem(target: &str) -> String {
    let target = target.strip_prefix(CRATE).map_or(target, |rest| rest.strip_prefix("::").unwrap_or(rest));
    if target.is_empty() { CRATE.to_owned() } else { target.replace("::", "/") }
}

/// A text that takes no more than [`limits::LOG_FORMAT_BYTES`].
struct Bounded(String);

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = limits::LOG_FORMAT_BYTES.saturating_sub(self.0.len());
        if text.len() <= room {
            self.0.push_str(text);
            return Ok(());
        }
        self.0.push_str(start_of(text, room));
        Err(fmt::Error)
    }
}

/// The longest beginning of at most `bytes` bytes.
fn start_of(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}
