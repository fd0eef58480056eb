//! The gateway's log: lines for people (or journald) on the console, the same lines as JSON in files
//! of our own, the last ones in memory (INTEGRATIONS.md 6.6, methods.md 14.3).
//!
//! Logging never waits for the disk and never fails. `log::Log` has to be `Send` and `Sync`, the
//! files of [`crate::sys::Sys`] are neither: so logging only puts lines into memory, and a task of
//! the loop ([`Journal::keep`]) hands them to [`Journal::write_out`], which writes. The caller calls it
//! once more before the process ends. Every line is redacted before it goes anywhere.

mod line;
mod memory;
mod message;
pub mod reader;
mod redact;
mod rotate;
mod tail;

use std::fmt;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use log::{Level, LevelFilter, Log, Metadata, Record};

pub use line::{Style, guide_line, people_line};
pub use tail::{Ask, Tail};

use crate::limits;
use crate::secret::Secret;
use crate::sys::{Files, Sys};
use line::Line;
use memory::Memory;
use rotate::Rules;

/// The one lock of the gateway. It is held for a few lines of code, never across an await or a file call.
#[allow(clippy::disallowed_types, reason = "log::Log has to be Sync")]
type Lock<T> = std::sync::Mutex<T>;

/// How often [`Journal::keep`] looks whether a write is due.
const LOOK: Duration = Duration::from_secs(1);
/// How often old files are looked for, ms.
const EXPIRE_MS: u64 = 24 * 60 * 60 * 1000;

/// What is logged and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Least important lines on the console.
    pub console_level: LevelFilter,
    /// Least important lines in the file.
    pub file_level: LevelFilter,
    /// Filters per module (`info,barnacle::net=debug`, from `BARNACLE_LOG`); they replace both levels.
    pub filters: Option<String>,
    /// The log file.
    pub file: PathBuf,
    /// Size at which it is put aside, bytes.
    pub max_bytes: u64,
    /// Files kept, the current one included.
    pub files: u64,
    /// Age at which a file is deleted, days.
    pub days: u64,
    /// How lines look on the console.
    pub style: Style,
}

/// What is wrong with the log files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What the system said.
    pub message: String,
    /// Lines that left memory before they could be written.
    pub lines_lost: u64,
}

/// The log. See the module.
pub struct Journal {
    now_ms: Box<dyn Fn() -> u64 + Send + Sync>,
    state: Lock<State>,
}

struct State {
    console_filter: env_logger::Logger,
    file_filter: env_logger::Logger,
    style: Style,
    rules: Rules,
    console: Box<dyn Write + Send>,
    secrets: redact::Known,
    memory: Memory,
    last: Option<Last>,
    trouble: Option<String>,
    /// When the last write failed.
    failed_ms: Option<u64>,
    /// When old files were last looked for.
    expired_ms: Option<u64>,
}

/// The last line, to fold its repeats.
struct Last {
    line: Line,
    to_console: bool,
    to_file: bool,
    repeats: u64,
    /// When the first repeat came.
    since_ms: u64,
}

impl Journal {
    /// A log that shows its lines on `console` and takes its time from `now_ms` (milliseconds since
    /// the Unix epoch).
    #[must_use]
    pub fn new(
        settings: &Settings,
        console: Box<dyn Write + Send>,
        now_ms: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Self {
        let state = State {
            console_filter: filter(settings.console_level, settings.filters.as_deref()),
            file_filter: filter(settings.file_level, settings.filters.as_deref()),
            style: settings.style,
            rules: rules(settings),
            console,
            secrets: redact::Known::default(),
            memory: Memory::default(),
            last: None,
            trouble: None,
            failed_ms: None,
            expired_ms: None,
        };
        Self { now_ms: Box::new(now_ms), state: Lock::new(state) }
    }

    /// Applies changed settings. Lines that still wait go to the new file.
    pub fn reconfigure(&self, settings: &Settings) {
        let mut state = self.lock();
        state.console_filter = filter(settings.console_level, settings.filters.as_deref());
        state.file_filter = filter(settings.file_level, settings.filters.as_deref());
        state.style = settings.style;
        state.rules = rules(settings);
        state.expired_ms = None;
        state.failed_ms = None;
    }

    /// The least important level that goes anywhere, for `log::set_max_level`.
    #[must_use]
    pub fn max_level(&self) -> LevelFilter {
        let state = self.lock();
        state.console_filter.filter().max(state.file_filter.filter())
    }

    /// Hides these texts in every later line. Texts under 6 bytes are left out, and those beyond
    /// [`limits::LOG_SECRETS`].
    pub fn protect(&self, secrets: &[Secret]) {
        self.lock().secrets.add(secrets);
    }

    /// A text without the secrets that lines hide.
    #[must_use]
    pub fn hide(&self, text: &str) -> String {
        self.lock().secrets.hide(text)
    }

    /// Whether lines wait that should be written now: a warning or an error, [`limits::LOG_BUFFER_BYTES`], or one
    /// that is [`limits::LOG_FLUSH_MS`] old. After a failed write that time has to pass first.
    #[must_use]
    pub fn is_due(&self, now_ms: u64) -> bool {
        let state = self.lock();
        let waits = state.failed_ms.is_some_and(|failed| now_ms.abs_diff(failed) < limits::LOG_FLUSH_MS);
        !waits && state.memory.is_due(now_ms)
    }

    /// Writes all waiting lines, puts the file aside when it is full, deletes old files. When the
    /// disk refuses, the lines stay in memory and [`trouble`](Self::trouble) tells.
    pub fn write_out(&self, files: &dyn Files, now_ms: u64) {
        let (rules, waiting, expires) = {
            let mut state = self.lock();
            state.tell_repeats(now_ms);
            let expires = state.expired_ms.is_none_or(|last| now_ms.abs_diff(last) >= EXPIRE_MS);
            state.expired_ms = if expires { Some(now_ms) } else { state.expired_ms };
            (state.rules.clone(), state.memory.waiting(), expires)
        };
        // No lock from here on: the file system may log.
        let expired = if expires { rotate::expire(files, &rules, now_ms) } else { Ok(()) };
        let gap = (waiting.lost > 0).then(|| gap_line(waiting.lost, now_ms));
        let gap_text = gap.map(|line| line.json() + "\n").unwrap_or_default();
        let outcome = if waiting.text.is_empty() && gap_text.is_empty() {
            rotate::Outcome { lines: 0, error: None }
        } else {
            rotate::append(files, &rules, &(gap_text.clone() + &waiting.text), now_ms)
        };
        let mut state = self.lock();
        let gap_written = !gap_text.is_empty() && outcome.lines > 0;
        let lines = outcome.lines - u64::from(gap_written);
        state.memory.written(waiting.first, lines, if gap_written { waiting.lost } else { 0 }, now_ms);
        state.note_outcome(outcome.error.or_else(|| expired.err()), now_ms);
    }

    /// Keeps the log on disk for as long as it is polled: looks every second, tells folded repeats,
    /// writes what is due, and makes errors durable at once (a warning is left to the system: a sync of each would wear
    /// out the card).
    pub async fn keep(self: Arc<Self>, sys: Sys) {
        loop {
            sys.clock.sleep(LOOK).await;
            let now_ms = sys.clock.now_ms();
            self.lock().tell_old_repeats(now_ms);
            if !self.is_due(now_ms) {
                continue;
            }
            let file = {
                let state = self.lock();
                state.memory.error_waits().then(|| state.rules.file.clone())
            };
            self.write_out(&*sys.files, now_ms);
            if let Some(file) = file {
                let synced = sys.files.sync(file).await;
                if let Err(error) = synced {
                    self.lock().note_outcome(Some(error), now_ms);
                }
            }
        }
    }

    /// What is wrong with the log files; `None` when the last write succeeded.
    #[must_use]
    pub fn trouble(&self) -> Option<Trouble> {
        let state = self.lock();
        let lines_lost = state.memory.lost();
        state.trouble.clone().map(|message| Trouble { message, lines_lost })
    }

    /// The last lines in memory, as they are on disk, oldest first; at most `limit` and at most
    /// [`limits::LOG_MEMORY_BYTES`] of them.
    #[must_use]
    pub fn recent(&self, limit: usize) -> Vec<String> {
        self.lock().memory.recent(limit)
    }

    /// A piece of the log for logs.tail (methods.md 14.3), lines that wait for the disk included. A
    /// disk that can't be read is no error: what memory has comes back, with `reset`.
    #[must_use]
    pub fn tail(&self, files: &dyn Files, ask: Ask) -> Tail {
        let (file, waiting) = {
            let state = self.lock();
            (state.rules.file.clone(), state.memory.waiting().text)
        };
        tail::tail(files, &file, &waiting, ask).unwrap_or_else(|_| {
            let mut text = self.recent(usize::MAX).join("\n");
            if !text.is_empty() {
                text.push('\n');
            }
            tail::tail_of_text(&text, &file, ask)
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log for Journal {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let state = self.lock();
        state.console_filter.enabled(metadata) || state.file_filter.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        // Formatting may run foreign code, which may log: not under the lock.
        let text = message::format(record.args());
        let now_ms = (self.now_ms)();
        let mut state = self.lock();
        let to_console = state.console_filter.matches(record);
        let to_file = state.file_filter.matches(record);
        if !to_console && !to_file {
            return;
        }
        let line = Line {
            time_ms: now_ms,
            level: record.level(),
            subsystem: message::subsystem(record.target()),
            message: message::cut(state.secrets.hide(&text)),
        };
        state.take(line, to_console, to_file);
    }

    /// Does nothing: the console isn't buffered, and files are written by [`Journal::write_out`].
    fn flush(&self) {}
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Journal")
    }
}

impl State {
    /// A new line, which may be a repeat of the last one.
    fn take(&mut self, line: Line, to_console: bool, to_file: bool) {
        let now_ms = line.time_ms;
        if let Some(last) = &mut self.last {
            let same = last.line.message == line.message
                && last.line.level == line.level
                && last.line.subsystem == line.subsystem;
            if same {
                if last.repeats == 0 {
                    last.since_ms = now_ms;
                }
                last.repeats += 1;
                self.tell_old_repeats(now_ms);
                return;
            }
        }
        self.tell_repeats(now_ms);
        self.emit(&line, to_console, to_file);
        self.last = Some(Last { line, to_console, to_file, repeats: 0, since_ms: now_ms });
    }

    fn tell_old_repeats(&mut self, now_ms: u64) {
        if self.last.as_ref().is_some_and(|last| now_ms.abs_diff(last.since_ms) >= limits::LOG_REPEAT_MS) {
            self.tell_repeats(now_ms);
        }
    }

    /// Says how often the last line came again.
    fn tell_repeats(&mut self, now_ms: u64) {
        let Some(last) = self.last.as_mut().filter(|last| last.repeats > 0) else { return };
        let mut line = Line { time_ms: now_ms, ..last.line.clone() };
        if last.repeats > 1 {
            line.message = format!("last line repeated {} times", last.repeats);
        }
        last.repeats = 0;
        let (to_console, to_file) = (last.to_console, last.to_file);
        self.emit(&line, to_console, to_file);
    }

    fn emit(&mut self, line: &Line, to_console: bool, to_file: bool) {
        if to_console {
            // A console that is gone must not end the gateway.
            let _ = self.console.write_all(line.console(self.style).as_bytes());
        }
        if to_file {
            self.memory.push(line.json(), line.level, line.time_ms);
        }
    }

    /// Remembers how the last write went, and says so on the console when that changed.
    fn note_outcome(&mut self, error: Option<std::io::Error>, now_ms: u64) {
        let before = std::mem::replace(&mut self.trouble, error.map(|error| error.to_string()));
        self.failed_ms = self.trouble.as_ref().map(|_| now_ms);
        let message = match (&before, &self.trouble) {
            (None, Some(why)) => format!("the log file cannot be written, lines stay in memory: {why}"),
            (Some(_), None) => "the log file can be written again".to_owned(),
            _ => return,
        };
        let line = Line { time_ms: now_ms, level: Level::Warn, subsystem: "journal".to_owned(), message };
        let _ = self.console.write_all(line.console(self.style).as_bytes());
    }
}

fn filter(level: LevelFilter, filters: Option<&str>) -> env_logger::Logger {
    let mut builder = env_logger::Builder::new();
    match filters {
        Some(filters) => builder.parse_filters(filters),
        // Other crates are heard at `warn` and above: their details may hold what is sent.
        None => builder.filter_level(level.min(LevelFilter::Warn)).filter_module(message::CRATE, level),
    };
    builder.build()
}

fn rules(settings: &Settings) -> Rules {
    Rules {
        file: settings.file.clone(),
        max_bytes: settings.max_bytes,
        files: settings.files.max(1),
        days: settings.days,
    }
}

fn gap_line(lost: u64, now_ms: u64) -> Line {
    Line {
        time_ms: now_ms,
        level: Level::Warn,
        subsystem: "journal".to_owned(),
        message: format!("{lost} lines are missing here: they could not be written"),
    }
}

#[cfg(test)]
mod tests;
