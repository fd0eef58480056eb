//! Tokens and cost by day (methods.md 14.2), without reading transcripts.
//!
//! Each run is a line in `usage/journal.jsonl`, numbered; `usage/daily.json` holds the totals of all
//! lines up to a number and is replaced every few minutes and at the end. Loading adds the lines
//! with higher numbers, so that nothing is counted twice or lost, whatever a power cut left.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::lines::Forward;
use super::{Durability, Durable, Saver, StoreError, stamp};
use crate::limits::{USAGE_DAYS, USAGE_WRITE_MS};
use crate::sys::{Sys, Tasks};
use crate::wire::message::Usage;

/// Largest file of totals, bytes; about 200 a day.
const DAILY_BYTES: u64 = 1024 * 1024;
/// Longest line of the journal, bytes.
const LINE_BYTES: usize = 4096;
/// Longest provider or model name in the journal, characters.
const NAME_CHARS: usize = 200;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Sums of a day or of several.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Totals {
    /// Prompt tokens that were not cached.
    pub input: u64,
    /// Answer tokens.
    pub output: u64,
    /// Prompt tokens read from the cache.
    pub cache_read: u64,
    /// Prompt tokens written to the cache.
    pub cache_write: u64,
    /// All of them.
    pub total_tokens: u64,
    /// US dollars.
    pub total_cost: f64,
    /// Answers whose cost is unknown; they are not in `total_cost`.
    pub missing_cost_entries: u64,
}

/// The usage store. Cloning shares it.
#[derive(Debug, Clone)]
pub struct UsageStore(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    sys: Sys,
    saver: Saver,
    zone: TimeZone,
    daily_path: PathBuf,
    journal_path: PathBuf,
    state: RefCell<State>,
}

#[derive(Debug, Default)]
struct State {
    days: BTreeMap<String, Totals>,
    /// Number of the newest line in the journal.
    newest: u64,
    /// Lines that the file of totals doesn't hold yet.
    is_behind: bool,
    /// Whether a write is due in a while.
    is_due: bool,
}

/// `usage/daily.json`.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Daily {
    /// The lines up to this number are in `days`.
    through: u64,
    /// By date, `YYYY-MM-DD` in the host's zone.
    days: BTreeMap<String, Totals>,
}

/// A line of `usage/journal.jsonl`: one run.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    number: u64,
    /// The day that it counts for.
    date: String,
    provider: String,
    model: String,
    usage: Usage,
}

impl UsageStore {
    /// Reads the totals below `state_dir/usage`. Dates are those of `zone`, the host's. Unreadable
    /// totals are put aside as `daily.json.damaged-<time>`.
    ///
    /// # Errors
    /// What the disk says when something that is there can't be read.
    pub fn load(sys: &Sys, saver: &Saver, state_dir: &Path, zone: TimeZone) -> Result<Self, StoreError> {
        let dir = state_dir.join("usage");
        sys.files.create_dir(&dir)?;
        let (daily_path, journal_path) = (dir.join("daily.json"), dir.join("journal.jsonl"));
        let Daily { through, days } = read_daily(sys, saver, &daily_path)?;
        let mut state = State { days, newest: through, ..State::default() };
        state.replay(sys, saver, &journal_path, through)?;
        let store = Self(Rc::new(Inner {
            sys: sys.clone(),
            saver: saver.clone(),
            zone,
            daily_path,
            journal_path,
            state: RefCell::new(state),
        }));
        if store.0.state.borrow().is_behind {
            store.write_later();
        }
        Ok(store)
    }

    /// Counts one run; durable with [`synced`](Self::synced).
    ///
    /// # Errors
    /// What the disk says; nothing is counted then.
    pub fn record(&self, now_ms: u64, provider: &str, model: &str, usage: &Usage) -> Result<(), StoreError> {
        let date = self.date_of(now_ms);
        let short = |name: &str| name.chars().take(NAME_CHARS).collect::<String>();
        let number = self.0.state.borrow().newest + 1;
        let line = Line { number, date: date.clone(), provider: short(provider), model: short(model), usage: *usage };
        let mut bytes = serde_json::to_vec(&line).map_err(|_| StoreError::Disk(ErrorKind::InvalidData))?;
        bytes.push(b'\n');
        self.0.saver.append(&self.0.journal_path, &bytes, Durability::Forced)?;
        self.0.state.borrow_mut().add(line);
        self.write_later();
        Ok(())
    }

    /// Resolves when everything recorded so far is on the medium.
    pub fn synced(&self) -> Durable {
        self.0.saver.synced(&self.0.journal_path)
    }

    /// The days with data from (`days` − 1)·24 hours before `now_ms` on, oldest first, and their sum.
    #[must_use]
    pub fn cost(&self, days: u64, now_ms: u64) -> (Vec<(String, Totals)>, Totals) {
        let from = self.date_of(now_ms.saturating_sub(days.saturating_sub(1).saturating_mul(DAY_MS)));
        let state = self.0.state.borrow();
        let daily: Vec<_> = state.days.range(from..).map(|(date, totals)| (date.clone(), *totals)).collect();
        let sum = daily.iter().fold(Totals::default(), |sum, (_, day)| sum.plus(day));
        (daily, sum)
    }

    /// Writes the totals if they are behind, and empties the journal then. For a clean stop; goes on
    /// every few minutes by itself.
    ///
    /// # Errors
    /// What the disk says; the journal still holds everything then.
    pub async fn flush(&self) -> Result<(), StoreError> {
        let saver = &self.0.saver;
        let (through, bytes) = {
            let state = self.0.state.borrow();
            if !state.is_behind {
                return Ok(());
            }
            let daily = Daily { through: state.newest, days: state.days.clone() };
            (state.newest, serde_json::to_vec(&daily).map_err(|_| StoreError::Disk(ErrorKind::InvalidData))?)
        };
        saver.replace(&self.0.daily_path, bytes);
        saver.settled(&self.0.daily_path).await?;
        let mut state = self.0.state.borrow_mut();
        if state.newest == through {
            saver.truncate(&self.0.journal_path, 0)?;
            state.is_behind = false;
        }
        Ok(())
    }

    fn date_of(&self, now_ms: u64) -> String {
        let time = i64::try_from(now_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or_default();
        time.to_zoned(self.0.zone.clone()).date().to_string()
    }

    /// Starts the pause after which the totals are written, unless it runs already.
    fn write_later(&self) {
        if std::mem::replace(&mut self.0.state.borrow_mut().is_due, true) {
            return;
        }
        let clock = Rc::clone(&self.0.sys.clock);
        let tasks: &Tasks = &self.0.sys.tasks;
        let store = Rc::downgrade(&self.0);
        tasks.detach(async move {
            clock.sleep(Duration::from_millis(USAGE_WRITE_MS)).await;
            let Some(inner) = store.upgrade() else { return };
            let store = Self(inner);
            store.0.state.borrow_mut().is_due = false;
            if let Err(error) = store.flush().await {
                log::warn!("usage totals could not be written: {error}");
            }
            // A run that came during the write, or a failure: again in a while.
            if store.0.state.borrow().is_behind {
                store.write_later();
            }
        });
    }
}

impl State {
    fn add(&mut self, line: Line) {
        self.newest = line.number;
        self.is_behind = true;
        let day = self.days.entry(line.date).or_default();
        *day = day.plus(&Totals::of(&line.usage));
        while self.days.len() > USAGE_DAYS {
            self.days.pop_first();
        }
    }

    /// Adds the journal's lines after `through`; cuts off an end that was not written whole.
    fn replay(&mut self, sys: &Sys, saver: &Saver, path: &Path, through: u64) -> Result<(), StoreError> {
        let mut bad = 0_usize;
        for line in Forward::from(&*sys.files, path, 0, LINE_BYTES) {
            let line = match line {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
                other => other?,
            };
            let parsed = line.whole().and_then(|line| serde_json::from_slice::<Line>(line).ok());
            match parsed {
                Some(parsed) if parsed.number > self.newest.max(through) && is_date(&parsed.date) => self.add(parsed),
                Some(_) => {}
                None if matches!(line.found, super::lines::Found::Unended(_)) => {
                    saver.truncate(path, line.start)?;
                    bad += 1;
                    break;
                }
                None => bad += 1,
            }
        }
        if bad > 0 {
            log::warn!("{bad} unreadable lines in the journal of usage were skipped");
        }
        Ok(())
    }
}

impl Totals {
    fn of(usage: &Usage) -> Self {
        Self {
            input: usage.input,
            output: usage.output,
            cache_read: usage.cache_read,
            cache_write: usage.cache_write,
            total_tokens: usage.total_tokens,
            total_cost: usage.cost.map_or(0.0, |cost| cost.total),
            missing_cost_entries: u64::from(usage.cost.is_none()),
        }
    }

    fn plus(&self, other: &Self) -> Self {
        Self {
            input: self.input.saturating_add(other.input),
            output: self.output.saturating_add(other.output),
            cache_read: self.cache_read.saturating_add(other.cache_read),
            cache_write: self.cache_write.saturating_add(other.cache_write),
            total_tokens: self.total_tokens.saturating_add(other.total_tokens),
            total_cost: self.total_cost + other.total_cost,
            missing_cost_entries: self.missing_cost_entries.saturating_add(other.missing_cost_entries),
        }
    }
}

fn read_daily(sys: &Sys, saver: &Saver, path: &Path) -> Result<Daily, StoreError> {
    let parsed = match sys.files.read(path, DAILY_BYTES) {
        Ok(bytes) => serde_json::from_slice::<Daily>(&bytes).ok(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Daily::default()),
        Err(error) if error.kind() == ErrorKind::FileTooLarge => None,
        Err(error) => return Err(error.into()),
    };
    if let Some(mut daily) = parsed {
        daily.days.retain(|date, _| is_date(date));
        return Ok(daily);
    }
    let aside = stamp::free_name(&*sys.files, path, ".damaged-", sys.clock.now_ms())?;
    saver.rename(path, &aside)?;
    log::warn!("usage totals are unreadable; kept as {}", aside.display());
    Ok(Daily::default())
}

fn is_date(text: &str) -> bool {
    text.parse::<jiff::civil::Date>().is_ok_and(|date| date.to_string() == text)
}

#[cfg(test)]
#[path = "usage_tests.rs"]
mod tests;
