//! Facts for people: aligned lines with plain words, from payloads in which anything may be missing.

use std::fmt::Write as _;

use serde_json::Value;

use super::client::Hello;

/// Width of the first column.
const NAME_CHARS: usize = 13;

/// Lines of a name and a value each.
#[derive(Debug, Default)]
pub struct Summary {
    text: String,
}

impl Summary {
    /// Begins with who the gateway is.
    #[must_use]
    pub fn of(hello: &Hello) -> Self {
        let mut text = "Barnacle".to_owned();
        for (before, part) in [(" ", &hello.server.version), (" on ", &hello.server.host)] {
            if !part.is_empty() {
                text.push_str(before);
                text.push_str(part);
            }
        }
        if let Some(uptime_ms) = hello.snapshot.uptime_ms {
            let _ = write!(text, ", up {}", duration(uptime_ms));
        }
        text.push('\n');
        Self { text }
    }

    /// Adds a line, if there is something to say.
    pub fn line(&mut self, name: &str, value: Option<impl AsRef<str>>) {
        if let Some(value) = value {
            let _ = writeln!(self.text, "  {name:<NAME_CHARS$}{}", value.as_ref().replace('\n', " "));
        }
    }

    /// What `health` and `status` both may know.
    pub fn common_lines(&mut self, payload: &Value) {
        self.line("connections", count(payload, "/connections").or_else(|| count(payload, "/connections/open")));
        self.line("sessions", count(payload, "/sessions/count"));
        self.line("runs", runs(payload));
        self.line("storage", storage(payload));
        self.line("log", text(payload, "/logTrouble").map(|trouble| format!("trouble: {trouble}")));
        self.line("model", text(payload, "/sessions/defaults/model").or_else(|| text(payload, "/model")));
    }

    /// All lines.
    #[must_use]
    pub fn text(self) -> String {
        self.text
    }
}

fn runs(payload: &Value) -> Option<String> {
    let running = payload.pointer("/runs/running")?.as_u64()?;
    match payload.pointer("/runs/queued").and_then(Value::as_u64) {
        Some(queued) if queued > 0 => Some(format!("{running} running, {queued} waiting")),
        _ => Some(format!("{running} running")),
    }
}

fn storage(payload: &Value) -> Option<String> {
    let trouble = text(payload, "/storage/trouble").or_else(|| text(payload, "/storageTrouble"));
    match (payload.pointer("/storage/ok").and_then(Value::as_bool), trouble) {
        (_, Some(trouble)) => Some(format!("trouble: {trouble}")),
        (Some(true), None) => Some("ok".to_owned()),
        (Some(false), None) => Some("trouble".to_owned()),
        (None, None) => None,
    }
}

/// A number in a payload, as text.
#[must_use]
pub fn count(payload: &Value, pointer: &str) -> Option<String> {
    payload.pointer(pointer)?.as_u64().map(|count| count.to_string())
}

/// A text in a payload that isn't empty.
#[must_use]
pub fn text(payload: &Value, pointer: &str) -> Option<String> {
    payload.pointer(pointer)?.as_str().filter(|text| !text.is_empty()).map(ToOwned::to_owned)
}

/// Milliseconds in the two largest units that matter.
#[must_use]
pub fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_told_in_the_units_that_matter() {
        let told = [0, 59_999, 60_000, 3_599_000, 3_600_000, 86_399_000, 86_400_000, 1_000_000_000].map(duration);
        assert_eq!(
            told,
            ["0 s", "59 s", "1 min 0 s", "59 min 59 s", "1 h 0 min", "23 h 59 min", "1 d 0 h", "11 d 13 h"]
        );
    }

    #[test]
    fn what_is_missing_is_left_out() {
        let mut summary = Summary::of(&Hello::default());
        summary.common_lines(&serde_json::json!({"sessions": "odd", "runs": {}, "storage": null}));
        assert_eq!(summary.text(), "Barnacle\n");
    }
}
