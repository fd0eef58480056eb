//! Whether and when a failed request is tried again (INTEGRATIONS.md part 4 "Retry").
//!
//! Only decides; [`super::Answer`] waits and asks. After the first piece of an answer has been shown
//! nothing is tried again.

use std::time::Duration;

use super::fault::{FaultKind, Trouble};
use crate::sys::Chance;
use crate::sys::http::HttpError;

/// Further tries after the first one.
pub(super) const RETRIES_MAX: u32 = 2;
/// The pause before the first further try; it doubles each time.
const PAUSE: Duration = Duration::from_millis(500);
/// The longest pause of our own making.
const PAUSE_MAX: Duration = Duration::from_secs(8);
/// How much of a pause chance may take away, per cent.
const JITTER_PERCENT: u64 = 25;
/// The longest pause at the provider's wish. A longer one is told to the caller instead.
const WISH_MAX: Duration = Duration::from_secs(60);

/// What is to be done about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// Ask again after this pause.
    Again(Duration),
    /// Give up; when the provider wants to be asked again, if it said so.
    GiveUp(Option<Duration>),
}

/// What a provider's response head says about trying again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Wish {
    /// `x-should-retry`.
    should: Option<bool>,
    /// `retry-after-ms` or `retry-after`.
    after: Option<Duration>,
}

impl Wish {
    /// Reads the headers (names in lower case); a date is measured against `now_ms`.
    pub(super) fn of(headers: &[(String, String)], now_ms: u64) -> Self {
        let value = |name: &str| headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.trim());
        let should = match value("x-should-retry") {
            Some("true") => Some(true),
            Some("false") => Some(false),
            _ => None,
        };
        let number = |name| value(name)?.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
        let date = || {
            let at = jiff::fmt::rfc2822::parse(value("retry-after")?).ok()?.timestamp().as_millisecond();
            Some(Duration::from_millis(u64::try_from(at).ok()?.saturating_sub(now_ms)))
        };
        let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds).ok();
        let after = number("retry-after-ms").and_then(|ms| seconds(ms / 1000.0));
        let after = after.or_else(|| number("retry-after").and_then(seconds)).or_else(date);
        Self { should, after }
    }
}

/// Decides after `tries` requests have failed, the last one with `trouble`.
pub(super) fn decide(tries: u32, trouble: &Trouble, wish: Wish, chance: &Chance) -> Decision {
    if tries > RETRIES_MAX || !is_passing(trouble, wish) {
        return Decision::GiveUp(wish.after);
    }
    match wish.after {
        Some(after) if after > WISH_MAX => Decision::GiveUp(Some(after)),
        Some(after) => Decision::Again(after),
        None => Decision::Again(pause(tries.saturating_sub(1), chance)),
    }
}

/// Whether the same request may succeed soon. A deadline that passed is not tried again: whoever
/// asks has waited a minute already.
fn is_passing(trouble: &Trouble, wish: Wish) -> bool {
    match trouble {
        Trouble::Complaint(complaint) => match (complaint.kind(), complaint.status) {
            (FaultKind::Quota | FaultKind::TooLong, _) => false,
            (kind, 0) => matches!(kind, FaultKind::RateLimited | FaultKind::Overloaded | FaultKind::Server),
            (_, status) => wish.should.unwrap_or(matches!(status, 408 | 409 | 429 | 500..)),
        },
        Trouble::Http(error) => {
            matches!(error, HttpError::NoSuchHost(_) | HttpError::Connect(_) | HttpError::CutOff)
        }
        Trouble::CutOff => true,
        Trouble::Malformed(_) | Trouble::Withheld(_) | Trouble::LineTooLong => false,
    }
}

fn pause(retries: u32, chance: &Chance) -> Duration {
    let whole = PAUSE.saturating_mul(2_u32.saturating_pow(retries)).min(PAUSE_MAX);
    let less = u32::try_from(chance.below(JITTER_PERCENT * 10 + 1)).unwrap_or(0);
    whole - whole * less / 1000
}

#[cfg(test)]
mod tests {
    use super::super::fault::Complaint;
    use super::*;

    const NOW_MS: u64 = 784_111_777_000;

    fn headers(list: &[(&str, &str)]) -> Wish {
        let owned: Vec<_> = list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Wish::of(&owned, NOW_MS)
    }

    fn status(status: u16) -> Trouble {
        Trouble::Complaint(Complaint { status, ..Complaint::default() })
    }

    fn is_again(trouble: &Trouble, wish: Wish) -> bool {
        matches!(decide(1, trouble, wish, &Chance::seeded(1)), Decision::Again(_))
    }

    #[test]
    fn statuses_decide_unless_the_provider_does() {
        for (code, again) in [
            (400, false),
            (401, false),
            (402, false),
            (404, false),
            (408, true),
            (409, true),
            (429, true),
            (500, true),
            (529, true),
        ] {
            assert_eq!(is_again(&status(code), Wish::default()), again, "{code}");
        }
        assert!(is_again(&status(400), headers(&[("x-should-retry", "true")])));
        assert!(!is_again(&status(500), headers(&[("x-should-retry", "false")])));
        let quota = Complaint { status: 429, code: "insufficient_quota".into(), text: String::new() };
        assert!(!is_again(&Trouble::Complaint(quota), headers(&[("x-should-retry", "true")])));
        assert!(is_again(&Trouble::Http(HttpError::CutOff), Wish::default()));
        assert!(!is_again(&Trouble::Http(HttpError::Tls("x".into())), Wish::default()));
        assert!(!is_again(&Trouble::Http(HttpError::Timeout(HttpError::FIRST_BYTE)), Wish::default()));
    }

    #[test]
    fn waits_are_read_from_every_header_form() {
        let after = |list: &[(&str, &str)]| headers(list).after.map(|wait| wait.as_millis());
        assert_eq!(after(&[("retry-after", "7")]), Some(7000));
        assert_eq!(after(&[("retry-after", "7"), ("retry-after-ms", "250")]), Some(250));
        assert_eq!(after(&[("retry-after", "Sun, 06 Nov 1994 08:49:40 GMT")]), Some(3000));
        assert_eq!(after(&[("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT")]), Some(0));
        for odd in ["-1", "soon", "NaN", "1e300", ""] {
            assert_eq!(after(&[("retry-after", odd)]), None, "{odd}");
        }
    }

    #[test]
    fn pauses_grow_within_their_bounds_and_end_after_two() {
        let chance = Chance::seeded(3);
        for (tries, whole) in [(1, 500), (2, 1000)] {
            for _ in 0..200 {
                let Decision::Again(pause) = decide(tries, &status(500), Wish::default(), &chance) else { panic!() };
                assert!((whole * 3 / 4..=whole).contains(&pause.as_millis()), "{pause:?}");
            }
        }
        assert!(pause(40, &chance) <= PAUSE_MAX);
        assert_eq!(decide(3, &status(500), Wish::default(), &chance), Decision::GiveUp(None));
    }

    #[test]
    fn a_long_wait_is_handed_on_instead_of_waited() {
        let chance = Chance::seeded(3);
        let decide = |seconds| decide(1, &status(429), headers(&[("retry-after", seconds)]), &chance);
        assert_eq!(decide("60"), Decision::Again(Duration::from_secs(60)));
        assert_eq!(decide("61"), Decision::GiveUp(Some(Duration::from_secs(61))));
    }
}
