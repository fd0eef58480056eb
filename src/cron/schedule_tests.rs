//! Laws of schedules, by seed and by the days on which clocks change.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::*;

/// 2026-01-01 00:00 UTC.
const YEAR_2026: u64 = 1_767_225_600_000;
const DAY: u64 = 86_400_000;

fn cron(expression: &str, zone: &str) -> Timetable {
    let schedule = Schedule::Cron(Expression { expr: expression.into(), tz: Some(zone.into()) });
    Timetable::of(&schedule, 0, &TimeZone::UTC).unwrap()
}

fn bad(expression: &str, zone: &str) -> String {
    let schedule = Schedule::Cron(Expression { expr: expression.into(), tz: Some(zone.into()) });
    Timetable::of(&schedule, 0, &TimeZone::UTC).unwrap_err().to_string()
}

fn at(zone: &str, local: &str) -> u64 {
    let time: DateTime = local.parse().unwrap();
    ms(time.to_zoned(TimeZone::get(zone).unwrap()).unwrap()).unwrap()
}

/// Times of a timetable from `from` on, as wall clock and offset of the zone.
fn times(expression: &str, zone: &str, from: &str, count: usize) -> Vec<String> {
    let table = cron(expression, zone);
    let mut now = at(zone, from);
    let mut out = Vec::new();
    for _ in 0..count {
        now = table.next(now).unwrap();
        let time = zoned(now, &TimeZone::get(zone).unwrap()).unwrap();
        out.push(time.strftime("%m-%dT%H:%M%:z").to_string());
    }
    out
}

#[test]
fn an_interval_is_anchored_and_never_drifts() {
    let table = |anchor_ms| {
        let schedule = Schedule::Every(Every { every_ms: 3_600_000, anchor_ms });
        Timetable::of(&schedule, YEAR_2026 + 5, &TimeZone::UTC).unwrap()
    };
    assert_eq!(table(Some(YEAR_2026)).next(YEAR_2026 - 10), Some(YEAR_2026));
    assert_eq!(table(Some(YEAR_2026)).next(YEAR_2026), Some(YEAR_2026 + 3_600_000));
    assert_eq!(table(None).next(YEAR_2026 + 3_600_004), Some(YEAR_2026 + 3_600_005));
    assert_eq!(table(None).next(YEAR_2026 + 3_600_005), Some(YEAR_2026 + 7_200_005));
    assert_eq!(Timetable::Every(u64::MAX - 1, 10).next(u64::MAX), None);
}

#[test]
fn a_time_that_daylight_saving_skips_is_shifted_forward() {
    let next = |zone, from| times("30 2 * * *", zone, from, 2);
    assert_eq!(next("Europe/Berlin", "2026-03-28T12:00:00"), ["03-29T03:00+02:00", "03-30T02:30+02:00"]);
    assert_eq!(next("America/New_York", "2026-03-07T12:00:00"), ["03-08T03:00-04:00", "03-09T02:30-04:00"]);
    // Here the clock jumps by half an hour, from 02:00 to 02:30.
    assert_eq!(
        times("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00", 2),
        ["10-04T02:30+11:00", "10-05T02:15+11:00"]
    );
}

#[test]
fn a_time_that_daylight_saving_repeats_counts_once_the_first_time() {
    let next = |zone, minute: &str, from| times(minute, zone, from, 2);
    assert_eq!(next("Europe/Berlin", "30 2 * * *", "2026-10-24T12:00:00"), ["10-25T02:30+02:00", "10-26T02:30+01:00"]);
    assert_eq!(
        next("America/New_York", "30 1 * * *", "2026-10-31T12:00:00"),
        ["11-01T01:30-04:00", "11-02T01:30-05:00"]
    );
    assert_eq!(
        next("Australia/Lord_Howe", "45 1 * * *", "2026-04-04T12:00:00"),
        ["04-05T01:45+11:00", "04-06T01:45+10:30"]
    );
}

#[test]
fn five_six_and_seven_fields_names_and_nicknames_are_read() {
    for expression in ["0 8 * * 1-5", "*/10 * * * * *", "0 0 12 L * * 2027", "@daily", "0 0 * * MON#2", "0 0 1 JAN *"] {
        assert!(cron(expression, "UTC").next(YEAR_2026).is_some(), "{expression}");
    }
    assert_eq!(cron("0 8 * * *", "Asia/Shanghai").next(YEAR_2026), Some(YEAR_2026 + DAY));
}

#[test]
fn what_is_wrong_is_named_with_its_field() {
    assert_eq!(bad("61 * * * *", "UTC"), "RangeError: CronPattern: Invalid value for minute: 61");
    assert_eq!(bad("0 0 * FOO *", "UTC"), "RangeError: CronPattern: Invalid value for month: FOO");
    assert_eq!(bad("0 8 * * *", "Nope/Zone"), "RangeError: Invalid time zone specified: Nope/Zone");
    for expression in ["", "* *", "* * * * * * * *", "é * * * *", "@never"] {
        assert!(bad(expression, "UTC").starts_with("RangeError: CronPattern: "), "{expression}");
    }
}

#[test]
fn the_next_time_is_strictly_later_and_nothing_lies_between_it_and_the_last() {
    let mut dice = fastrand::Rng::with_seed(17);
    let zones = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"];
    for round in 0..400 {
        let field = |dice: &mut fastrand::Rng, low: u32, high: u32| match dice.u32(0..4) {
            0 => "*".to_owned(),
            1 => format!("*/{}", dice.u32(1..=high.min(30))),
            _ => dice.u32(low..=high).to_string(),
        };
        let expression = format!(
            "{} {} {} * {}",
            field(&mut dice, 0, 59),
            field(&mut dice, 0, 23),
            if dice.bool() { "*".into() } else { dice.u32(1..=28).to_string() },
            if dice.bool() { "*".into() } else { dice.u32(0..=6).to_string() },
        );
        let table = cron(&expression, dice.choice(zones).unwrap());
        let now = YEAR_2026 + dice.u64(0..365 * DAY);
        let next = table.next(now).unwrap_or_else(|| panic!("round {round}: {expression} at {now}"));
        assert!(next > now && next % 1000 == 0, "round {round}: {expression} at {now}: {next}");
        let later = table.next(next).unwrap();
        assert!(later > next, "round {round}: {expression}: {next} and {later}");
        assert_eq!(table.next(next - 1), Some(next), "round {round}: {expression} is not found from just before");
        let last = table.last(now).unwrap();
        assert!(
            last <= now && table.next(last).is_some_and(|after| after > now),
            "round {round}: {expression}: {last} before {now}"
        );
    }
}

#[test]
fn no_text_panics_the_reader() {
    let mut dice = fastrand::Rng::with_seed(5);
    for _ in 0..3000 {
        let length = dice.usize(0..24);
        let text: String = (0..length)
            .map(|_| *dice.choice("0123456789*/,-?LW# @MONJAN+é\0".chars().collect::<Vec<_>>().iter()).unwrap())
            .collect();
        let schedule = Schedule::Cron(Expression { expr: text, tz: None });
        if let Ok(table) = Timetable::of(&schedule, 0, &TimeZone::UTC) {
            let _ = (table.next(YEAR_2026), table.last(YEAR_2026));
        }
    }
}

#[test]
fn catching_up_is_bounded_to_the_newest_times() {
    let table = Timetable::Every(YEAR_2026, 60_000);
    let year_later = YEAR_2026 + 365 * DAY;
    assert_eq!(table.newest(YEAR_2026, year_later, 24), year_later - 23 * 60_000);
    assert_eq!(table.newest(year_later - 120_000, year_later, 24), year_later - 120_000);
    let daily = cron("0 8 * * *", "UTC");
    assert_eq!(daily.newest(YEAR_2026, YEAR_2026 + 3 * DAY, 24), YEAR_2026);
    assert_eq!(daily.newest(YEAR_2026, YEAR_2026 + 100 * DAY, 2), YEAR_2026 + 98 * DAY + 8 * 3_600_000);
}

#[test]
fn an_expression_without_a_day_is_refused_without_a_search() {
    for expression in ["0 0 31 4,6,9,11 *", "0 0 30 2 *", "0 0 0 30-31 2 *", "0 0 31W 4 *", "0 0 1-7 * +1#5"] {
        assert_eq!(bad(expression, "UTC"), format!("RangeError: CronPattern: {expression} never comes true"));
    }
    for expression in [
        "0 0 29 2 *",
        "0 0 31 4,5 *",
        "0 0 31 4 1",
        "0 0 L 2 *",
        "0 0 * 2 *",
        "0 0 * 2 1#5",
        "0 0 29 2 +1#5",
        "0 0 LW * *",
    ] {
        assert!(cron(expression, "UTC").next(YEAR_2026).is_some(), "{expression}");
    }
}
