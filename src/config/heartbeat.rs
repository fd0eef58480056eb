//! `agents.defaults.heartbeat` and `agents.list[].heartbeat`: when an agent looks around by itself
//! (methods.md 9.2 and 10.8).

use jiff::tz::TimeZone;

use super::problem::Notes;
use super::tree::Field;
use crate::sys::zone;

/// What an agent is asked when the file doesn't say.
pub const PROMPT: &str = "This is a heartbeat. If HEARTBEAT.md has tasks for you, follow them exactly; don't repeat or \
    guess tasks from earlier conversations. If nothing needs attention, answer HEARTBEAT_OK and nothing else.";
/// Interval when the file names none.
const EVERY: &str = "30m";
/// Shortest interval, milliseconds: a turn of an agent takes seconds.
const EVERY_MIN_MS: u64 = 10_000;
/// Other text beside the token when the file names no bound, characters.
const ACK_MAX_CHARS: u64 = 300;

/// An agent's heartbeat.
#[derive(Debug, Clone, PartialEq)]
pub struct Heartbeat {
    /// The interval as written.
    pub every: String,
    /// The same in milliseconds; 0 is off.
    pub every_ms: u64,
    /// `last`, `none`, or a channel.
    pub target: String,
    /// The recipient there, instead of the last one.
    pub to: Option<String>,
    /// The session instead of the main one.
    pub session: Option<String>,
    /// The model instead of the session's.
    pub model: Option<String>,
    /// What the agent is asked.
    pub prompt: String,
    /// Whether the file says so; then there is always something to do.
    pub prompt_is_own: bool,
    /// An answer with the token and at most so much other text, characters, is an acknowledgement.
    pub ack_max_chars: u64,
    /// The hours outside which it is quiet.
    pub active: Option<ActiveHours>,
    /// Tokens a day, in the host's zone, beyond which it is quiet.
    pub max_tokens_per_day: Option<u64>,
}

/// `activeHours`.
#[derive(Debug, Clone, PartialEq)]
pub struct ActiveHours {
    /// First minute of the day.
    pub start: u16,
    /// First minute that is quiet again; before `start` when the hours go past midnight.
    pub end: u16,
    /// Whose minutes; `None` for the host's zone.
    pub zone: Option<TimeZone>,
}

impl ActiveHours {
    /// Whether a minute of the day is among them; equal ends mean the whole day.
    #[must_use]
    pub fn has(&self, minute: u16) -> bool {
        if self.start <= self.end {
            self.start == self.end || (self.start..self.end).contains(&minute)
        } else {
            minute >= self.start || minute < self.end
        }
    }
}

/// An agent's own settings over the common ones, both of which may be absent.
pub(super) fn read(own: Option<&Field<'_>>, common: Option<&Field<'_>>, notes: &mut Notes<'_>) -> Heartbeat {
    let at = |name: &str| {
        let find = |field: Option<&Field<'_>>| field.and_then(|field| field.find(name)).map(|found| Owned::of(&found));
        find(own).or_else(|| find(common))
    };
    let text = |name: &str| at(name).and_then(|found| found.text);
    let every = text("every").unwrap_or_else(|| EVERY.to_owned());
    let prompt = text("prompt");
    Heartbeat {
        every_ms: duration(&every).unwrap_or_default(),
        every,
        target: text("target").map_or_else(|| "last".to_owned(), |target| target.to_lowercase()),
        to: text("to"),
        session: text("session").filter(|session| session != "main"),
        model: text("model"),
        prompt_is_own: prompt.is_some(),
        prompt: prompt.unwrap_or_else(|| PROMPT.to_owned()),
        ack_max_chars: at("ackMaxChars").and_then(|found| found.whole).unwrap_or(ACK_MAX_CHARS),
        active: [own, common].into_iter().flatten().find_map(|field| hours(&field.find("activeHours")?, notes)),
        max_tokens_per_day: at("maxTokensPerDay").and_then(|found| found.whole),
    }
}

/// Checks what the types of the keys don't: durations.
pub(super) fn check(field: &Field<'_>, notes: &mut Notes<'_>) {
    if let Some(every) = field.find("every") {
        if every.text().is_some_and(|text| duration(text).is_none()) {
            notes.problem(
                &every,
                format!("expected a time like `30m`, `90s` or `2h` (at most 365d), found {}", every.node.describe()),
            );
        }
        if every.text().and_then(duration).is_some_and(|ms| (1..EVERY_MIN_MS).contains(&ms)) {
            notes.problem(
                &every,
                format!("expected 0 (never) or at least {} s, found {}", EVERY_MIN_MS / 1000, every.node.describe()),
            );
        }
    }
}

struct Owned {
    text: Option<String>,
    whole: Option<u64>,
}

impl Owned {
    fn of(field: &Field<'_>) -> Self {
        Self { text: field.filled_text().map(str::to_owned), whole: field.whole() }
    }
}

fn hours(field: &Field<'_>, notes: &mut Notes<'_>) -> Option<ActiveHours> {
    let mut minute = |name: &str, default: u16| -> Option<u16> {
        let Some(found) = field.find(name) else { return Some(default) };
        let minute = found.text().and_then(minute_of_day);
        if minute.is_none() {
            notes.problem(&found, format!("expected a time of the day like `08:00`, found {}", found.node.describe()));
        }
        minute
    };
    let (start, end) = (minute("start", 0)?, minute("end", 24 * 60)?);
    let named = field.find("timezone");
    let zone = match named.as_ref().and_then(|found| found.filled_text()) {
        None | Some("user" | "local") => None,
        Some(name) => match zone::find(name) {
            Ok(zone) => Some(zone),
            Err(error) => {
                let why = match error {
                    zone::NoZone::Unknown => "no such time zone",
                    zone::NoZone::NoData => "this host has no time zone data (package tzdata)",
                };
                notes.problem(named.as_ref().unwrap_or(field), why);
                return None;
            }
        },
    };
    Some(ActiveHours { start, end, zone })
}

/// `HH:MM`, up to `24:00`.
fn minute_of_day(text: &str) -> Option<u16> {
    let (hour, minute) = text.trim().split_once(':')?;
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    let all = hour.checked_mul(60)?.checked_add(minute)?;
    (minute < 60 && all <= 24 * 60).then_some(all)
}

/// `<number>[ms|s|m|h|d]` in milliseconds; a bare number is minutes. At most a year.
fn duration(text: &str) -> Option<u64> {
    let text = text.trim().to_lowercase();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at_checked(digits)?;
    let unit_ms = match unit.trim() {
        "ms" => 1,
        "s" => 1000,
        "" | "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit_ms).filter(|ms| *ms <= 365 * 86_400_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit_or_are_minutes() {
        for (text, ms) in [
            ("30m", Some(1_800_000)),
            ("5", Some(300_000)),
            ("90s", Some(90_000)),
            ("250ms", Some(250)),
            ("2H", Some(7_200_000)),
            ("1d", Some(86_400_000)),
            ("0m", Some(0)),
            ("", None),
            ("m", None),
            ("1w", None),
            ("-5m", None),
            ("99999999999999999999d", None),
        ] {
            assert_eq!(duration(text), ms, "{text}");
        }
    }

    #[test]
    fn active_hours_may_go_past_midnight() {
        let hours = |start, end| ActiveHours { start, end, zone: None };
        let day = hours(8 * 60, 22 * 60);
        assert!(day.has(8 * 60) && day.has(21 * 60 + 59) && !day.has(22 * 60) && !day.has(0));
        let night = hours(22 * 60, 6 * 60);
        assert!(night.has(23 * 60) && night.has(0) && !night.has(6 * 60) && !night.has(12 * 60));
        assert!(hours(0, 0).has(5));
        assert_eq!(
            (minute_of_day("24:00"), minute_of_day("24:01"), minute_of_day("8:05")),
            (Some(1440), None, Some(485))
        );
    }
}
