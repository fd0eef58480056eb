//! One log line in its three forms: JSON on disk, text for people, text for systemd.

use std::collections::BTreeMap;

use jiff::Timestamp;
use log::Level;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How lines look on the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// With the time (UTC) and the level in words.
    People,
    /// For journald: `<N>` in front, no time.
    Systemd,
}

impl Style {
    /// The style for this environment: systemd sets `JOURNAL_STREAM` when the console is its journal.
    #[must_use]
    pub fn of(env: &BTreeMap<String, String>) -> Self {
        if env.contains_key("JOURNAL_STREAM") { Self::Systemd } else { Self::People }
    }
}

/// A line before it has a form. The message holds no secret any more.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) time_ms: u64,
    pub(super) level: Level,
    /// Where it comes from, `net/ws`.
    pub(super) subsystem: String,
    pub(super) message: String,
}

/// The form on disk (methods.md 14.3), without what no client reads.
#[derive(Serialize)]
struct OnDisk<'a> {
    #[serde(rename = "0")]
    message: &'a str,
    _meta: Meta,
    time: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    name: String,
    date: String,
    log_level_id: u8,
    log_level_name: &'static str,
}

impl Line {
    /// The line on disk, without its newline.
    pub(super) fn json(&self) -> String {
        let time = time(self.time_ms);
        let (log_level_id, log_level_name) = match self.level {
            Level::Trace => (1, "TRACE"),
            Level::Debug => (2, "DEBUG"),
            Level::Info => (3, "INFO"),
            Level::Warn => (4, "WARN"),
            Level::Error => (5, "ERROR"),
        };
        let name = serde_json::json!({ "subsystem": self.subsystem }).to_string();
        let meta = Meta { name, date: time.clone(), log_level_id, log_level_name };
        let line = OnDisk { message: &self.message, _meta: meta, time: &time };
        // Texts and one number: there is nothing in it that JSON can't hold.
        serde_json::to_string(&line).unwrap_or_default()
    }

    /// The line on the console, with its newline.
    pub(super) fn console(&self, style: Style) -> String {
        let message = one_line(&self.message);
        match style {
            Style::People => {
                format!("{} {:<5} {}: {message}\n", time(self.time_ms), self.level.as_str(), self.subsystem)
            }
            Style::Systemd => {
                let priority = match self.level {
                    Level::Error => 3,
                    Level::Warn => 4,
                    Level::Info => 6,
                    Level::Debug | Level::Trace => 7,
                };
                format!("<{priority}>{}: {message}\n", self.subsystem)
            }
        }
    }
}

/// A line of the log file as people read it, and its level: `2025-01-27T10:00:00.005Z WARN  net/ws: …`. A line that
/// isn't ours comes back as it is, without a level.
#[must_use]
pub fn people_line(on_disk: &str) -> (Option<Level>, String) {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct ReadMeta {
        log_level_name: String,
        name: String,
    }
    #[derive(Deserialize)]
    struct Read {
        #[serde(rename = "0")]
        message: String,
        _meta: ReadMeta,
        time: String,
    }
    let foreign = || (None, one_line(on_disk));
    let Ok(line) = serde_json::from_str::<Read>(on_disk) else { return foreign() };
    let Ok(level) = line._meta.log_level_name.parse::<Level>() else { return foreign() };
    let name: Value = serde_json::from_str(&line._meta.name).unwrap_or_default();
    let subsystem = name.get("subsystem").and_then(Value::as_str).unwrap_or_default();
    let text = format!("{} {:<5} {subsystem}: {}", line.time, level.as_str(), line.message);
    (Some(level), one_line(&text))
}

/// A line of the log file as the guide dialect shows it: `[2025-01-27 10:00:00] INFO: …`. A line
/// that isn't ours comes back as it is.
#[must_use]
pub fn guide_line(on_disk: &str) -> String {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct ReadMeta {
        log_level_name: String,
    }
    #[derive(Deserialize)]
    struct Read {
        #[serde(rename = "0")]
        message: Value,
        _meta: ReadMeta,
        time: String,
    }
    let Ok(line) = serde_json::from_str::<Read>(on_disk) else { return on_disk.to_owned() };
    let time = line.time.get(..19).unwrap_or(&line.time).replacen('T', " ", 1);
    let message = line.message.as_str().map_or_else(|| line.message.to_string(), str::to_owned);
    format!("[{time}] {}: {message}", line._meta.log_level_name)
}

/// UTC with milliseconds; a time beyond the calendar is shown as its number.
fn time(time_ms: u64) -> String {
    i64::try_from(time_ms)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok())
        .map_or_else(|| time_ms.to_string(), |time| format!("{time:.3}"))
}

/// Control characters would let a client write lines of its own into the log.
fn one_line(message: &str) -> String {
    if !message.contains(char::is_control) {
        return message.to_owned();
    }
    message.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line {
        let message = "two\nlines \"x\"".to_owned();
        Line { time_ms: 1_737_972_000_005, level: Level::Warn, subsystem: "net/ws".into(), message }
    }

    #[test]
    fn the_line_on_disk_has_the_fields_that_clients_read() {
        let value: Value = serde_json::from_str(&line().json()).unwrap();
        assert_eq!(value["0"], "two\nlines \"x\"");
        assert_eq!(value["time"], "2025-01-27T10:00:00.005Z");
        assert_eq!(value["_meta"]["date"], value["time"]);
        assert_eq!(value["_meta"]["logLevelName"], "WARN");
        assert_eq!(value["_meta"]["name"], "{\"subsystem\":\"net/ws\"}");
        assert!(!line().json().contains('\n'));
    }

    #[test]
    fn the_console_shows_one_line_for_people_or_systemd() {
        let people = "2025-01-27T10:00:00.005Z WARN  net/ws: two\\nlines \"x\"\n";
        assert_eq!(line().console(Style::People), people);
        let env = BTreeMap::from([("JOURNAL_STREAM".to_owned(), "8:1".to_owned())]);
        assert_eq!((Style::of(&env), Style::of(&BTreeMap::new())), (Style::Systemd, Style::People));
        assert_eq!(line().console(Style::Systemd), "<4>net/ws: two\\nlines \"x\"\n");
    }

    #[test]
    fn people_get_the_line_of_the_console_and_its_level() {
        let (level, text) = people_line(&line().json());
        assert_eq!((level, format!("{text}\n")), (Some(Level::Warn), line().console(Style::People)));
        assert_eq!(people_line("plain\u{1b}[2J"), (None, "plain\\u{1b}[2J".to_owned()));
    }

    #[test]
    fn guide_connections_get_their_form_and_foreign_lines_stay() {
        assert_eq!(guide_line(&line().json()), "[2025-01-27 10:00:00] WARN: two\nlines \"x\"");
        assert_eq!(guide_line("plain"), "plain");
    }
}
