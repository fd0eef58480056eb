//! Times as people write them, made into schedules. Pure.

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan as _, Zoned};

use super::Problem;
use crate::cron::schedule::{At, Every, Expression, Schedule};

/// A schedule, and whether it comes once.
#[derive(Debug, Clone, PartialEq)]
pub struct When {
    /// When it is due.
    pub schedule: Schedule,
    /// Whether that is once.
    pub is_once: bool,
}

/// What is understood, for an error's text.
const FORMS: &str = "10m, in 2 hours, 18:30, tomorrow 7:00, monday 9:00, 2026-12-24 18:00, every 30m, every day 7:00, \
                     every monday 8:15, or a cron expression";

/// Units of spans: names and seconds.
const UNITS: &[(&[&str], u64)] = &[
    (&["s", "sec", "secs", "second", "seconds"], 1),
    (&["m", "min", "mins", "minute", "minutes"], 60),
    (&["h", "hr", "hrs", "hour", "hours"], 3600),
    (&["d", "day", "days"], 86_400),
    (&["w", "week", "weeks"], 604_800),
];

/// Days of the week, in jiff's order.
const DAYS: &[(&str, Weekday, u8)] = &[
    ("monday", Weekday::Monday, 1),
    ("tuesday", Weekday::Tuesday, 2),
    ("wednesday", Weekday::Wednesday, 3),
    ("thursday", Weekday::Thursday, 4),
    ("friday", Weekday::Friday, 5),
    ("saturday", Weekday::Saturday, 6),
    ("sunday", Weekday::Sunday, 0),
];

/// Reads a time.
///
/// # Errors
/// What it takes, when it can't be read or lies in the past.
pub fn read(text: &str, now_ms: u64, zone: &TimeZone) -> Result<When, Problem> {
    let unclear = || Problem(format!("{text:?} is no time that I understand. Write it like {FORMS}."));
    let lower = text.trim().to_lowercase();
    let now = Timestamp::from_millisecond(i64::try_from(now_ms).unwrap_or(i64::MAX)).map_err(|_| unclear())?;
    let now = now.to_zoned(zone.clone());
    if let Some(rest) = lower.strip_prefix("every ") {
        return again(rest.trim()).ok_or_else(unclear);
    }
    if let Some(seconds) = span(lower.strip_prefix("in ").unwrap_or(&lower)) {
        let at_ms = now_ms.saturating_add(seconds.saturating_mul(1000));
        return Ok(When { schedule: Schedule::At(At { at_ms }), is_once: true });
    }
    if is_cron(&lower) {
        let expr = text.trim().to_owned();
        return Ok(When { schedule: Schedule::Cron(Expression { expr, tz: None }), is_once: false });
    }
    let at = moment(&lower, &now).ok_or_else(unclear)?;
    let at_ms = u64::try_from(at.timestamp().as_millisecond()).map_err(|_| unclear())?;
    if at_ms <= now_ms {
        return Err(Problem(format!("{text:?} is past already.")));
    }
    Ok(When { schedule: Schedule::At(At { at_ms }), is_once: true })
}

/// `30m`, `2 hours`, `1h 30m`: seconds.
fn span(text: &str) -> Option<u64> {
    let mut total: u64 = 0;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).filter(|&end| end > 0)?;
        let number: u64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?.trim_start();
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let unit = rest.get(..letters)?;
        let (_, seconds) = UNITS.iter().find(|(names, _)| names.contains(&unit))?;
        total = total.checked_add(number.checked_mul(*seconds)?)?;
        rest = rest.get(letters..)?.trim_start();
        rest = rest.strip_prefix("and ").or_else(|| rest.strip_prefix(',')).unwrap_or(rest).trim_start();
    }
    // Ten years is more than anybody means.
    (total > 0 && total <= 10 * 366 * 86_400).then_some(total)
}

/// What follows `every`: a span, or a day with a time.
fn again(rest: &str) -> Option<When> {
    if let Some(seconds) = span(rest).or_else(|| span(&format!("1 {rest}"))) {
        let schedule = Schedule::Every(Every { every_ms: seconds.checked_mul(1000)?, anchor_ms: None });
        return Some(When { schedule, is_once: false });
    }
    let (day, time) = match rest.split_once(' ') {
        Some((day, time)) => (day, clock(time.trim_start_matches("at ").trim())?),
        None => (rest, Time::constant(9, 0, 0, 0)),
    };
    let days = match day {
        "day" | "morning" | "evening" | "night" => "*".to_owned(),
        "weekday" => "1-5".to_owned(),
        "weekend" => "0,6".to_owned(),
        name => weekday(name)?.1.to_string(),
    };
    let expr = format!("{} {} * * {days}", time.minute(), time.hour());
    Some(When { schedule: Schedule::Cron(Expression { expr, tz: None }), is_once: false })
}

/// `18:30`, `tomorrow 7:00`, `monday 9:00`, `2026-12-24`, `2026-12-24 18:00`.
fn moment(text: &str, now: &Zoned) -> Option<Zoned> {
    let text = text.strip_prefix("at ").or_else(|| text.strip_prefix("on ")).unwrap_or(text);
    let today = now.date();
    if let Some(time) = clock(text) {
        let at = on(today, time, now)?;
        return if at > *now { Some(at) } else { on(today.checked_add(1.day()).ok()?, time, now) };
    }
    let (day, rest) = text.split_once([' ', 't']).filter(|(day, _)| is_day(day)).unwrap_or((text, ""));
    let rest = rest.trim().trim_start_matches("at ").trim();
    let time = if rest.is_empty() { Time::constant(9, 0, 0, 0) } else { clock(rest)? };
    match day {
        "today" => on(today, time, now),
        "tomorrow" => on(today.checked_add(1.day()).ok()?, time, now),
        name => match weekday(name) {
            Some((wanted, _)) => {
                let ahead = i64::from(wanted.to_monday_zero_offset() - today.weekday().to_monday_zero_offset());
                let days = |count: i64| today.checked_add(Span::new().days(count)).ok();
                let at = on(days(ahead.rem_euclid(7))?, time, now)?;
                if at > *now { Some(at) } else { on(days(ahead.rem_euclid(7) + 7)?, time, now) }
            }
            None => on(day.parse::<Date>().ok()?, time, now),
        },
    }
}

fn is_day(word: &str) -> bool {
    matches!(word, "today" | "tomorrow") || weekday(word).is_some() || word.parse::<Date>().is_ok()
}

fn on(date: Date, time: Time, now: &Zoned) -> Option<Zoned> {
    date.to_datetime(time).to_zoned(now.time_zone().clone()).ok()
}

/// `7`, `7:30`, `7:30:15`, `7am`, `7:30 pm`.
fn clock(text: &str) -> Option<Time> {
    let text = text.trim();
    let (digits, shift) = match (text.strip_suffix("am"), text.strip_suffix("pm")) {
        (Some(digits), _) => (digits.trim(), Some(0)),
        (_, Some(digits)) => (digits.trim(), Some(12)),
        _ => (text, None),
    };
    let mut parts = digits.split(':').map(|part| part.parse::<i8>().ok());
    let hour = parts.next()??;
    let (minute, second) = match (parts.next(), parts.next(), parts.next()) {
        // A bare number is a time only with am or pm.
        (None, ..) if shift.is_some() => (0, 0),
        (Some(minute), None, _) => (minute?, 0),
        (Some(minute), Some(second), None) => (minute?, second?),
        _ => return None,
    };
    let hour = match shift {
        Some(shift) if (1..=12).contains(&hour) => hour % 12 + shift,
        Some(_) => return None,
        None => hour,
    };
    Time::new(hour, minute, second, 0).ok()
}

fn weekday(name: &str) -> Option<(Weekday, u8)> {
    let is_it = |(full, _, _): &&(&str, Weekday, u8)| {
        *full == name || full.strip_suffix("day").is_some_and(|_| name.len() == 3 && full.starts_with(name))
    };
    DAYS.iter().find(is_it).map(|(_, day, number)| (*day, *number))
}

fn is_cron(text: &str) -> bool {
    let fields: Vec<_> = text.split_whitespace().collect();
    let is_field = |field: &&str| field.chars().all(|c| c.is_ascii_alphanumeric() || "*/,-#?L".contains(c));
    (5..=7).contains(&fields.len()) && fields.iter().all(is_field) && fields.iter().any(|field| field.contains('*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Monday 2026-11-30 10:00 UTC.
    const NOW: u64 = 1_796_032_800_000;
    const MINUTE: u64 = 60_000;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;

    fn at(text: &str) -> Option<u64> {
        match read(text, NOW, &TimeZone::UTC).ok()?.schedule {
            Schedule::At(at) => Some(at.at_ms),
            _ => None,
        }
    }

    #[test]
    fn spans_and_clock_times_are_read() {
        for (text, expected) in [
            ("10m", NOW + 10 * MINUTE),
            ("in 2 hours", NOW + 2 * HOUR),
            ("1h 30m", NOW + 90 * MINUTE),
            ("in 1 hour and 5 minutes", NOW + 65 * MINUTE),
            ("18:30", NOW + 8 * HOUR + 30 * MINUTE),
            ("9:00", NOW + 23 * HOUR),
            ("7pm", NOW + 9 * HOUR),
            ("12am", NOW + 14 * HOUR),
            ("today 12:00", NOW + 2 * HOUR),
            ("tomorrow 7:00", NOW + 21 * HOUR),
            ("tomorrow", NOW + 23 * HOUR),
            ("friday 9:00", NOW + 4 * DAY - HOUR),
            ("monday at 9:00", NOW + 7 * DAY - HOUR),
            ("mon 11:00", NOW + HOUR),
            ("2026-12-24 18:00", NOW + 24 * DAY + 8 * HOUR),
            ("2026-12-01t10:00", NOW + DAY),
        ] {
            assert_eq!(at(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_comes_again_is_a_span_or_an_expression() {
        let every = |text: &str| read(text, NOW, &TimeZone::UTC).unwrap();
        let expr = |text: &str| match every(text) {
            When { schedule: Schedule::Cron(expression), is_once: false } => expression.expr,
            other => panic!("{other:?}"),
        };
        assert_eq!(every("every 30m").schedule, Schedule::Every(Every { every_ms: 30 * MINUTE, anchor_ms: None }));
        assert_eq!(every("every hour").schedule, Schedule::Every(Every { every_ms: HOUR, anchor_ms: None }));
        assert_eq!(expr("every day 7:00"), "0 7 * * *");
        assert_eq!(expr("every monday at 8:15"), "15 8 * * 1");
        assert_eq!(expr("every weekday 6:30"), "30 6 * * 1-5");
        assert_eq!(expr("*/5 8-18 * * 1-5"), "*/5 8-18 * * 1-5");
    }

    #[test]
    fn what_is_no_time_or_past_is_refused_with_examples() {
        for text in
            ["", "soon", "25:00", "7", "every", "every blue moon", "10x", "13pm", "in -5m", "today 9:00", "2020-01-01"]
        {
            let problem = read(text, NOW, &TimeZone::UTC).unwrap_err().0;
            assert!(problem.contains("every monday") || problem.contains("past already"), "{text}: {problem}");
        }
        let mut dice = fastrand::Rng::with_seed(7);
        for _ in 0..2000 {
            let letters: Vec<char> = "every 0123456789:mhdapt-,/*monday tomorrow\u{e9}".chars().collect();
            let text: String = (0..dice.usize(0..20)).map(|_| letters[dice.usize(0..letters.len())]).collect();
            let _ = read(&text, NOW, &TimeZone::UTC);
        }
    }
}
