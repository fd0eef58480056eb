//! All jobs, in memory and as one file in the field's format (methods.md 10.7).
//!
//! Which jobs there are is copied to `<file>.bak` too; how their runs went is not, which spares the card. A
//! file that can't be read is set aside and the copy is used. Records that can't be read are kept as they
//! are, and so are keys that this version doesn't know.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde_json::{Map, Value, json};

use super::job::{Job, is_id};
use crate::config;
use crate::limits::{CRON_BOOK_BYTES, CRON_FILE_BYTES, CRON_JOBS};
use crate::stores::{Durable, Saver, StoreError, stamp};
use crate::sys::Sys;

/// The book. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Book(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    saver: Saver,
    path: PathBuf,
    state: RefCell<State>,
}

#[derive(Debug, Default)]
struct State {
    jobs: BTreeMap<String, Record>,
    /// Records that this version can't read.
    foreign: Vec<Value>,
}

#[derive(Debug, Clone)]
struct Record {
    job: Job,
    /// What the file has beyond what a job has.
    extras: Option<Value>,
    /// Its size in the file when it was put in.
    bytes: usize,
}

/// What a change is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Which jobs there are, and whether they are due at all: the copy is written too.
    Jobs,
    /// How a job that comes again went.
    State,
}

/// The book takes no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// As many jobs as it may hold.
    Jobs,
    /// As many bytes as its file may have.
    Bytes,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Jobs => write!(f, "{CRON_JOBS} jobs are scheduled, the limit: remove some first"),
            Self::Bytes => write!(f, "all scheduled jobs together would have more than {CRON_BOOK_BYTES} bytes"),
        }
    }
}

impl std::error::Error for Full {}

impl Book {
    /// Reads the book at `path`, making its directory.
    ///
    /// # Errors
    /// What the disk says when a file that is there can't be read.
    pub fn load(sys: &Sys, saver: &Saver, path: PathBuf) -> Result<Self, StoreError> {
        if let Some(dir) = path.parent() {
            sys.files.create_dir(dir)?;
        }
        let mut is_recovered = true;
        let state = match read(sys, &path)? {
            Found::Jobs(state) => {
                is_recovered = false;
                state
            }
            // A start that set a damaged file aside may have ended before it wrote anything in its place.
            Found::Nothing => match read(sys, &copy_of(&path))? {
                Found::Jobs(state) if !state.is_empty() => {
                    log::warn!("there is no file of scheduled jobs; its copy is used");
                    state
                }
                _ => State::default(),
            },
            Found::Damaged => {
                let aside = stamp::free_name(&*sys.files, &path, ".damaged-", sys.clock.now_ms())?;
                saver.rename(&path, &aside)?;
                let copy = read(sys, &copy_of(&path))?;
                let used = if matches!(copy, Found::Jobs(_)) { "the copy is used" } else { "there is no usable copy" };
                log::error!("the scheduled jobs are unreadable; kept as {}; {used}", aside.display());
                if let Found::Jobs(state) = copy { state } else { State::default() }
            }
        };
        for record in &state.foreign {
            let id = record.get("id").and_then(Value::as_str).unwrap_or("without an id");
            log::warn!("scheduled job {id} can't be read by this version: it is kept but doesn't run");
        }
        let book = Self(Rc::new(Inner { saver: saver.clone(), path, state: RefCell::new(state) }));
        if is_recovered && !book.0.state.borrow().is_empty() {
            // In the background: until it is written the copy is there.
            drop(book.save(Change::State));
        }
        Ok(book)
    }

    /// Whether a book could be at `path`; makes its directory.
    ///
    /// # Errors
    /// What the disk says when the directory can't be made or a file that is there can't be read.
    pub fn check(sys: &Sys, path: &Path) -> Result<(), StoreError> {
        if let Some(dir) = path.parent() {
            sys.files.create_dir(dir)?;
        }
        read(sys, path)?;
        read(sys, &copy_of(path))?;
        Ok(())
    }

    /// Its file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// How many jobs there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.state.borrow().jobs.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All jobs, those that were made first in front.
    #[must_use]
    pub fn all(&self) -> Vec<Job> {
        let mut jobs: Vec<_> = self.0.state.borrow().jobs.values().map(|record| record.job.clone()).collect();
        jobs.sort_by(|a, b| a.created_at_ms.cmp(&b.created_at_ms).then_with(|| a.id.cmp(&b.id)));
        jobs
    }

    /// Jobs whose time has come at `now_ms`, those first that wait longest, and the next time after it.
    #[must_use]
    pub fn due(&self, now_ms: u64) -> (Vec<Job>, Option<u64>) {
        let state = self.0.state.borrow();
        let planned = || state.jobs.values().filter(|record| record.job.enabled);
        let time = |record: &&Record| record.job.state.next_run_at_ms;
        let mut due: Vec<_> = planned().filter(|record| time(record).is_some_and(|at| at <= now_ms)).collect();
        due.sort_by_key(time);
        let due = due.into_iter().map(|record| record.job.clone()).collect();
        (due, planned().filter_map(|record| time(&record)).filter(|at| *at > now_ms).min())
    }

    /// The job with that id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<Job> {
        self.0.state.borrow().jobs.get(id).map(|record| record.job.clone())
    }

    /// Puts a job in or takes its new form; gives back the old one. Not written yet.
    ///
    /// # Errors
    /// [`Full`]; nothing is changed then.
    pub fn put(&self, job: Job) -> Result<Option<Job>, Full> {
        let mut state = self.0.state.borrow_mut();
        if state.jobs.len() >= CRON_JOBS && !state.jobs.contains_key(&job.id) {
            return Err(Full::Jobs);
        }
        let id = job.id.clone();
        let old = state.jobs.get(&id).cloned();
        let extras = old.as_ref().and_then(|record| record.extras.clone());
        let is_same_payload = old
            .as_ref()
            .is_some_and(|old| std::mem::discriminant(&old.job.payload) == std::mem::discriminant(&job.payload));
        let extras = extras.map(|extras| if is_same_payload { extras } else { without_payload(extras) });
        let record = Record::of(job, extras);
        let others = state.jobs.iter().filter(|(other, _)| **other != id).map(|(_, record)| record.bytes);
        let foreign = state.foreign.iter().map(|value| value.to_string().len());
        if others.chain(foreign).sum::<usize>() + record.bytes > CRON_BOOK_BYTES {
            return Err(Full::Bytes);
        }
        state.jobs.insert(id, record);
        Ok(old.map(|record| record.job))
    }

    /// Changes a job that is there; gives back its new form. Not written yet.
    pub fn change(&self, id: &str, change: impl FnOnce(&mut Job)) -> Option<Job> {
        let mut state = self.0.state.borrow_mut();
        let record = state.jobs.get_mut(id)?;
        change(&mut record.job);
        Some(record.job.clone())
    }

    /// Takes a job out. Not written yet.
    #[must_use]
    pub fn remove(&self, id: &str) -> Option<Job> {
        self.0.state.borrow_mut().jobs.remove(id).map(|record| record.job)
    }

    /// Writes the book as it is now; durable when the result resolves.
    pub fn save(&self, change: Change) -> Durable {
        let text = self.0.state.borrow().text();
        let copy = copy_of(&self.0.path);
        if change == Change::Jobs {
            self.0.saver.replace(&copy, text.clone().into_bytes());
        }
        self.0.saver.replace(&self.0.path, text.into_bytes());
        // The copy may come later: it only matters once the file itself is damaged.
        self.0.saver.settled(&self.0.path)
    }
}

impl State {
    fn is_empty(&self) -> bool {
        self.jobs.is_empty() && self.foreign.is_empty()
    }

    /// Two-space JSON without a newline at the end.
    fn text(&self) -> String {
        let mut jobs: Vec<&Record> = self.jobs.values().collect();
        jobs.sort_by(|a, b| a.job.created_at_ms.cmp(&b.job.created_at_ms).then_with(|| a.job.id.cmp(&b.job.id)));
        let own = jobs.into_iter().map(Record::value);
        let jobs: Vec<Value> = own.chain(self.foreign.iter().cloned()).collect();
        // Plain JSON values always have a text.
        serde_json::to_string_pretty(&json!({"version": 1, "jobs": jobs})).unwrap_or_default()
    }
}

impl Record {
    fn of(job: Job, extras: Option<Value>) -> Self {
        let mut record = Self { job, extras, bytes: 0 };
        record.bytes = record.value().to_string().len();
        record
    }

    fn value(&self) -> Value {
        let mut value = serde_json::to_value(&self.job).unwrap_or_default();
        if let Some(extras) = &self.extras {
            overlay(&mut value, extras);
        }
        value
    }
}

enum Found {
    Jobs(State),
    Nothing,
    Damaged,
}

fn read(sys: &Sys, path: &Path) -> Result<Found, StoreError> {
    let bytes = match sys.files.read(path, CRON_FILE_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) if error.kind() == ErrorKind::FileTooLarge => return Ok(Found::Damaged),
        Err(error) => return Err(error.into()),
    };
    let parsed = serde_json::from_slice::<Value>(&bytes).ok().or_else(|| {
        // By hand, people write comments and trailing commas.
        config::parse_json(std::str::from_utf8(&bytes).ok()?, "jobs.json").ok()
    });
    let Some(Value::Array(records)) = parsed.and_then(|mut file| file.get_mut("jobs").map(Value::take)) else {
        return Ok(Found::Damaged);
    };
    let mut state = State::default();
    for raw in records {
        match serde_json::from_value::<Job>(raw.clone()) {
            Ok(job) if is_id(&job.id) && !state.jobs.contains_key(&job.id) && state.jobs.len() < CRON_JOBS => {
                let own = serde_json::to_value(&job).unwrap_or_default();
                let extras = leftover(&raw, &own);
                state.jobs.insert(job.id.clone(), Record::of(job, extras));
            }
            _ => state.foreign.push(raw),
        }
    }
    Ok(Found::Jobs(state))
}

fn copy_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(".bak");
    name.into()
}

/// What `raw` has beyond `own`, key by key.
fn leftover(raw: &Value, own: &Value) -> Option<Value> {
    let (Value::Object(raw), Value::Object(own)) = (raw, own) else { return None };
    let mut extras = Map::new();
    for (key, value) in raw {
        let extra = match own.get(key) {
            Some(known) => leftover(value, known),
            None => Some(value.clone()).filter(|value| !value.is_null()),
        };
        extras.extend(extra.map(|extra| (key.clone(), extra)));
    }
    (!extras.is_empty()).then_some(Value::Object(extras))
}

/// Puts back what [`leftover`] took, where its place is still there.
fn overlay(value: &mut Value, extras: &Value) {
    let (Value::Object(value), Value::Object(extras)) = (value, extras) else { return };
    for (key, extra) in extras {
        match value.get_mut(key) {
            Some(known) => overlay(known, extra),
            None => {
                value.insert(key.clone(), extra.clone());
            }
        }
    }
}

fn without_payload(mut extras: Value) -> Value {
    if let Value::Object(extras) = &mut extras {
        extras.remove("payload");
    }
    extras
}

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
