//! When a job is due: a schedule's next and earlier times. Pure (methods.md 10.4).
//!
//! A wall-clock time that daylight saving skips is shifted forward to the first moment after the gap; one that
//! it repeats counts the first time only. An unknown zone is an error, never UTC.

use std::fmt;

use croner::parser::{CronParser, Seconds, Year};
use croner::{Cron, Weekday};
use jiff::civil::{self, Date};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};
use serde::{Deserialize, Serialize};

use crate::limits::{CRON_EXPRESSION_CHARS, CRON_MAX_MS};
use crate::sys::zone::{self, NoZone};
use crate::wire::shape::{Kind, Wire, int_within, text_within};

/// When a job is due, in the field's form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Schedule {
    /// Once.
    At(At),
    /// Again and again after the same time.
    Every(Every),
    /// By a cron expression.
    Cron(Expression),
}

impl Wire for Schedule {
    const KIND: Kind =
        Kind::Tagged { tag: "kind", of: &[("at", At::KIND), ("every", Every::KIND), ("cron", Expression::KIND)] };
}

crate::wire! {
    /// Once.
    #[derive(PartialEq)]
    pub struct At {
        /// Milliseconds since the Unix epoch; `at` or a text takes an ISO time too. A past time is due at once.
        at_ms: u64 = int_within(0, CRON_MAX_MS as i64),
    }

    /// Again and again.
    #[derive(PartialEq)]
    pub struct Every {
        /// Milliseconds between two times; runs are at least a second apart.
        every_ms: u64 = int_within(1, CRON_MAX_MS as i64),
        /// Times are this one plus multiples of `everyMs`; by default when the job was made.
        anchor_ms: Option<u64> = int_within(0, CRON_MAX_MS as i64),
    }

    /// A cron expression.
    #[derive(PartialEq)]
    pub struct Expression {
        /// Five fields; six with seconds in front, seven with years at the end.
        expr: String = text_within(1, CRON_EXPRESSION_CHARS),
        /// IANA time zone; the host's when left out.
        tz: Option<String> = text_within(0, CRON_EXPRESSION_CHARS),
    }
}

/// Why a schedule can't be used. The texts are those of methods.md 10.3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadSchedule {
    /// The expression, and what is wrong with it.
    Pattern(String),
    /// No such zone.
    Zone(String),
    /// The host has no time zone data.
    NoZones(String),
    /// The expression never comes true.
    Never(String),
}

impl fmt::Display for BadSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pattern(problem) => write!(f, "RangeError: CronPattern: {problem}"),
            Self::Zone(name) => write!(f, "RangeError: Invalid time zone specified: {name}"),
            Self::NoZones(name) => write!(
                f,
                "RangeError: Invalid time zone specified: {name} (this host has no time zone data; install the package tzdata)"
            ),
            Self::Never(expression) => write!(f, "RangeError: CronPattern: {expression} never comes true"),
        }
    }
}

impl std::error::Error for BadSchedule {}

/// A schedule that can be asked for times.
#[derive(Debug)]
pub enum Timetable {
    /// Once, milliseconds since the Unix epoch.
    At(u64),
    /// Anchor and distance, ms.
    Every(u64, u64),
    /// An expression in its zone.
    Cron(Box<Cron>, TimeZone),
}

impl Timetable {
    /// Reads a schedule. `created_ms` anchors an `every` without anchor, so that it doesn't drift; `home` is
    /// the zone of expressions that name none.
    ///
    /// # Errors
    /// [`BadSchedule`].
    pub fn of(schedule: &Schedule, created_ms: u64, home: &TimeZone) -> Result<Self, BadSchedule> {
        match schedule {
            Schedule::At(at) => Ok(Self::At(at.at_ms)),
            Schedule::Every(every) => Ok(Self::Every(every.anchor_ms.unwrap_or(created_ms), every.every_ms.max(1))),
            Schedule::Cron(Expression { expr, tz }) => {
                let zone = match tz.as_deref().map(str::trim).filter(|name| !name.is_empty()) {
                    None => home.clone(),
                    Some(name) => zone::find(name).map_err(|error| match error {
                        NoZone::Unknown => BadSchedule::Zone(name.to_owned()),
                        NoZone::NoData => BadSchedule::NoZones(name.to_owned()),
                    })?,
                };
                let cron = parse(expr).map_err(|problem| BadSchedule::Pattern(named(expr, &problem)))?;
                if !has_a_day(&cron) {
                    return Err(BadSchedule::Never(expr.clone()));
                }
                Ok(Self::Cron(Box::new(cron), zone))
            }
        }
    }

    /// The first time that is strictly later than `after_ms`; `None` when there is none.
    #[must_use]
    pub fn next(&self, after_ms: u64) -> Option<u64> {
        match self {
            Self::At(at) => (*at > after_ms).then_some(*at),
            Self::Every(anchor, _) if *anchor > after_ms => Some(*anchor),
            Self::Every(anchor, every) => {
                let passed = (after_ms - anchor) / every;
                passed.checked_add(1)?.checked_mul(*every)?.checked_add(*anchor)
            }
            Self::Cron(cron, zone) => cron.find_next_occurrence(&zoned(after_ms, zone)?, false).ok().and_then(ms),
        }
    }

    /// The last time that is not later than `now_ms`.
    #[must_use]
    pub fn last(&self, now_ms: u64) -> Option<u64> {
        match self {
            Self::At(at) => (*at <= now_ms).then_some(*at),
            Self::Every(anchor, every) => now_ms.checked_sub(*anchor).map(|passed| now_ms - passed % every),
            Self::Cron(cron, zone) => {
                let found = cron.find_previous_occurrence(&zoned(now_ms, zone)?, true).ok().and_then(ms)?;
                // The search looks at whole seconds.
                (found <= now_ms).then_some(found)
            }
        }
    }

    /// Of the times from `due_ms` to `now_ms`, the one from which on there are at most `most`.
    #[must_use]
    pub fn newest(&self, due_ms: u64, now_ms: u64, most: usize) -> u64 {
        let mut from = now_ms;
        let mut first = due_ms.max(now_ms);
        for _ in 0..most {
            match self.last(from) {
                Some(at) if at > due_ms => (first, from) = (at, at.saturating_sub(1)),
                _ => return due_ms,
            }
        }
        first
    }
}

fn parser() -> CronParser {
    CronParser::builder().seconds(Seconds::Optional).year(Year::Optional).build()
}

fn parse(expression: &str) -> Result<Cron, String> {
    parser().parse(expression).map_err(|error| error.to_string())
}

/// Within so many years every date meets every day of the week.
const YEARS: std::ops::Range<i16> = 2000..2028;

/// Whether there is a day for it in any year. Without one the search would look through thousands of them, while
/// everything waits.
fn has_a_day(cron: &Cron) -> bool {
    let pattern = &cron.pattern;
    let months: Vec<i8> = pattern.months.values().into_iter().filter_map(|month| i8::try_from(month).ok()).collect();
    let mut starts = YEARS.flat_map(|year| months.iter().filter_map(move |month| Date::new(year, *month, 1).ok()));
    starts.any(|first| {
        first.series(Span::new().days(1)).take_while(|date| date.month() == first.month()).any(|date| {
            let (month, day) = (date.month().unsigned_abs(), date.day().unsigned_abs());
            let weekday = match date.weekday() {
                civil::Weekday::Sunday => Weekday::Sunday,
                civil::Weekday::Monday => Weekday::Monday,
                civil::Weekday::Tuesday => Weekday::Tuesday,
                civil::Weekday::Wednesday => Weekday::Wednesday,
                civil::Weekday::Thursday => Weekday::Thursday,
                civil::Weekday::Friday => Weekday::Friday,
                civil::Weekday::Saturday => Weekday::Saturday,
            };
            pattern.day_match(i32::from(date.year()), month.into(), day.into(), weekday).unwrap_or(true)
        })
    })
}

/// The names of the fields of an expression with seven of them.
const FIELDS: [&str; 7] = ["second", "minute", "hour", "day", "month", "day of week", "year"];

/// What is wrong with an expression, by the field that can't be read on its own.
fn named(expression: &str, problem: &str) -> String {
    let fields: Vec<&str> = expression.split_whitespace().collect();
    let shift = usize::from(fields.len() == 5);
    for (index, field) in fields.iter().enumerate() {
        let alone: Vec<_> = (0..fields.len()).map(|other| if other == index { *field } else { "*" }).collect();
        let name = FIELDS.get(index + shift).filter(|_| (5..=FIELDS.len()).contains(&fields.len()));
        if let (Some(name), Err(_)) = (name, parse(&alone.join(" "))) {
            return format!("Invalid value for {name}: {field}");
        }
    }
    problem.to_owned()
}

fn zoned(ms: u64, zone: &TimeZone) -> Option<Zoned> {
    Some(Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok()?.to_zoned(zone.clone()))
}

#[allow(clippy::needless_pass_by_value, reason = "the last step of a chain of options")]
fn ms(time: Zoned) -> Option<u64> {
    u64::try_from(time.timestamp().as_millisecond()).ok()
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
