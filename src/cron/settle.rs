//! What a finished run means for its job: what is remembered, and when it is due again. Pure.

use jiff::tz::TimeZone;

use super::job::{Job, Status};
use super::schedule::Timetable;
use crate::limits::{CRON_GAP_MS, CRON_TRIES};

/// Pauses after the first, second … failure in a row, ms; the last one holds for all that follow.
const PAUSES_MS: [u64; 5] = [30_000, 60_000, 5 * 60_000, 15 * 60_000, 60 * 60_000];
/// A last run that lies this far ahead was dated by a wrong clock, ms.
const WRONG_CLOCK_MS: u64 = 24 * 60 * 60 * 1000;

/// How a run went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Went {
    /// How it ended.
    pub status: Status,
    /// Why it failed or was skipped.
    pub error: Option<String>,
    /// When it began, milliseconds since the Unix epoch.
    pub run_at_ms: u64,
    /// How long it took.
    pub duration_ms: u64,
}

impl Job {
    /// Remembers a run and sets the time of the next one.
    ///
    /// A job that is due once ends when it went well; otherwise it is tried again after growing pauses, and
    /// switched off after [`CRON_TRIES`] failures. Others come again by their schedule, after a failure not
    /// before such a pause. `behind_ms` is the time that was made up for by this run, when more of them follow.
    pub fn settle(&mut self, went: &Went, now_ms: u64, behind_ms: Option<u64>, home: &TimeZone) {
        let state = &mut self.state;
        state.running_at_ms = None;
        state.last_run_at_ms = Some(went.run_at_ms);
        state.last_status = Some(went.status);
        state.last_error.clone_from(&went.error);
        state.last_duration_ms = Some(went.duration_ms);
        let is_once = self.is_once();
        let counts = went.status == Status::Error || (is_once && went.status == Status::Skipped);
        let failures = if counts { self.state.consecutive_errors.unwrap_or(0).saturating_add(1) } else { 0 };
        self.state.consecutive_errors = Some(failures).filter(|failures| *failures > 0);
        if is_once && (failures == 0 || failures >= CRON_TRIES) {
            self.enabled = false;
        }
        let pause = (failures as usize)
            .checked_sub(1)
            .map_or(0, |index| PAUSES_MS.get(index).or(PAUSES_MS.last()).copied().unwrap_or_default());
        self.state.next_run_at_ms = match self.timetable(home) {
            _ if !self.enabled => None,
            Ok(Timetable::At(at)) => Some(at.max(now_ms + pause)),
            Ok(table) => match behind_ms.filter(|_| failures == 0) {
                Some(behind) => table.next(behind),
                None => table.next(now_ms + pause.max(CRON_GAP_MS) - 1),
            },
            Err(bad) => {
                self.state.last_error = Some(bad.to_string());
                None
            }
        };
    }

    /// Sets the time of the next run anew after the clock was found to have been wrong, or the file was changed
    /// by hand. What ran already doesn't run again.
    pub fn replan(&mut self, now_ms: u64, home: &TimeZone) {
        if !self.enabled {
            self.state.next_run_at_ms = None;
            return;
        }
        let after = self.state.last_run_at_ms.filter(|last| *last < now_ms.saturating_add(WRONG_CLOCK_MS)).unwrap_or(0);
        match self.timetable(home) {
            Ok(Timetable::At(at)) => {
                self.state.next_run_at_ms.get_or_insert(at);
            }
            Ok(table) => self.state.next_run_at_ms = table.next(now_ms.max(after)),
            Err(bad) => {
                self.state.next_run_at_ms = None;
                self.state.last_status = Some(Status::Error);
                self.state.last_error = Some(bad.to_string());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const NOW: u64 = 1_795_372_186_000;

    fn job(schedule: &Value) -> Job {
        serde_json::from_value(json!({
            "id": "a", "name": "n", "schedule": schedule, "sessionTarget": "main", "wakeMode": "now",
            "payload": {"kind": "systemEvent", "text": "t"}, "createdAtMs": NOW,
        }))
        .unwrap()
    }

    fn went(status: Status) -> Went {
        Went { status, error: (status != Status::Ok).then(|| "why".to_owned()), run_at_ms: NOW, duration_ms: 5 }
    }

    /// Pauses until the next run after so many failures in a row, seconds; `None` once there is none.
    fn pauses(schedule: &Value, status: Status, count: usize) -> Vec<Option<u64>> {
        let mut job = job(schedule);
        (0..count)
            .map(|_| {
                job.settle(&went(status), NOW, None, &TimeZone::UTC);
                job.state.next_run_at_ms.map(|next| (next - NOW) / 1000)
            })
            .collect()
    }

    #[test]
    fn a_failing_job_that_is_due_once_pauses_longer_and_longer_and_is_switched_off() {
        let at = json!({"kind": "at", "atMs": NOW - 1000});
        let expected = [Some(30), Some(60), Some(300), Some(900), None];
        assert_eq!(pauses(&at, Status::Error, 5), expected);
        assert_eq!(pauses(&at, Status::Skipped, 5), expected);
        assert_eq!(pauses(&at, Status::Ok, 1), [None]);
    }

    #[test]
    fn a_failing_job_that_comes_again_pauses_longer_and_longer_and_never_ends() {
        let every = json!({"kind": "every", "everyMs": 10_000});
        let expected = [Some(30), Some(60), Some(300), Some(900), Some(3600), Some(3600), Some(3600)];
        assert_eq!(pauses(&every, Status::Error, 7), expected);
        assert_eq!(pauses(&every, Status::Skipped, 2), [Some(10), Some(10)]);
        let spinning = json!({"kind": "every", "everyMs": 1});
        assert_eq!(pauses(&spinning, Status::Ok, 2), [Some(1), Some(1)]);
    }

    #[test]
    fn success_forgets_the_failures_before_it() {
        let mut job = job(&json!({"kind": "every", "everyMs": 1000}));
        for status in [Status::Error, Status::Error, Status::Ok] {
            job.settle(&went(status), NOW, None, &TimeZone::UTC);
        }
        assert_eq!((job.state.consecutive_errors, job.state.last_error.clone()), (None, None));
    }

    #[test]
    fn a_clock_that_went_back_repeats_nothing_unless_it_was_wrong_by_a_day() {
        let mut job = job(&json!({"kind": "every", "everyMs": 3_600_000}));
        job.state.last_run_at_ms = Some(NOW + 3_600_000);
        job.replan(NOW + 3_600_000 - 120_000, &TimeZone::UTC);
        assert_eq!(job.state.next_run_at_ms, Some(NOW + 7_200_000));
        job.state.last_run_at_ms = Some(NOW + 400 * 86_400_000);
        job.replan(NOW + 10, &TimeZone::UTC);
        assert_eq!(job.state.next_run_at_ms, Some(NOW + 3_600_000));
    }
}
