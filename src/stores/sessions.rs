//! The session index: which sessions exist and what is set for each (methods.md 7 and 16.1).
//!
//! Memory holds a [`Row`] a session. Every change is a line in the agent's journal; `sessions.json`
//! is written whole only when the journal has grown and at a clean stop, for other programs of the
//! field. A change is acknowledged after [`SessionStore::saved`], never before. Transcripts are not
//! touched here.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde::Serialize;
use serde_json::value::RawValue;

use super::durable::Ticket;
use super::session_entry::Entry;
use super::session_load::{self, INDEX_FILE, Loaded, Problem, journal_name};
use super::session_row::Row;
use super::{Durability, Durable, Saver, SessionKey, StoreError, session_key};
use crate::limits::{Limits, SESSION_JOURNAL_BYTES};
use crate::sys::Sys;

/// How far times of changes may run ahead of the clock, ms: what a burst of changes takes.
const BURST_MS: u64 = 1000;

/// The index of all agents' sessions. Cloning shares it.
#[derive(Debug, Clone)]
pub struct SessionStore(pub(super) Rc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) sys: Sys,
    pub(super) saver: Saver,
    agents_dir: PathBuf,
    default_agent: String,
    sessions_max: u64,
    /// By agent id, one for each directory.
    pub(super) indexes: RefCell<BTreeMap<String, Index>>,
    pub(super) counter: Cell<u64>,
    /// When a session was changed last.
    pub(super) last_change_ms: Cell<u64>,
}

/// The index of one agent.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) dir: PathBuf,
    pub(super) rows: BTreeMap<SessionKey, Rc<Row>>,
    /// Number of the journal that takes changes, and its size.
    pub(super) journal: u64,
    pub(super) journal_bytes: u64,
    /// Journals that the next checkpoint makes unneeded, oldest first.
    pub(super) old_journals: Vec<u64>,
    /// Size of `sessions.json`.
    pub(super) index_bytes: u64,
    /// Whether `sessions.json` must be written even without a change: something was mended.
    pub(super) is_mended: bool,
    /// A copy of a damaged index that must be durable first.
    pub(super) aside: Option<PathBuf>,
    pub(super) is_checkpointing: bool,
    pub(super) tickets: Vec<Rc<Ticket>>,
}

impl SessionStore {
    /// Reads the indexes below `state_dir/agents`, making the default agent's directory. Damage is
    /// mended and listed; what was mended is written in the background.
    ///
    /// # Errors
    /// What the disk says when something that is there can't be read: starting without it would
    /// overwrite it.
    pub fn load(
        sys: &Sys,
        saver: &Saver,
        state_dir: &Path,
        default_agent: &str,
        limits: &Limits,
    ) -> Result<(Self, Vec<Problem>), StoreError> {
        let agents_dir = state_dir.join("agents");
        let default_agent = session_key::agent_id(default_agent);
        sys.files.create_dir(&sessions_dir(&agents_dir, &default_agent))?;
        let mut indexes = BTreeMap::new();
        let mut problems = Vec::new();
        for entry in sys.files.list(&agents_dir)? {
            let dir = sessions_dir(&agents_dir, &entry.name);
            let is_agent = entry.is_dir && entry.name == session_key::agent_id(&entry.name);
            if !is_agent || matches!(sys.files.list(&dir), Err(error) if error.kind() == std::io::ErrorKind::NotFound) {
                continue;
            }
            let mut loaded = session_load::load(sys, saver, &dir, &entry.name)?;
            problems.append(&mut loaded.problems.clone());
            indexes.insert(entry.name, Index::of(dir, &mut loaded));
        }
        let store = Self(Rc::new(Inner {
            sys: sys.clone(),
            saver: saver.clone(),
            agents_dir,
            default_agent,
            sessions_max: limits.sessions,
            indexes: RefCell::new(indexes),
            counter: Cell::new(0),
            last_change_ms: Cell::new(0),
        }));
        // In the background: what was read is true whether or not this succeeds.
        drop(store.checkpoint_where(|index| index.is_mended || index.is_journal_long()));
        Ok((store, problems))
    }

    /// The directory of an agent's sessions and transcripts.
    #[must_use]
    pub fn sessions_dir(&self, agent: &str) -> PathBuf {
        sessions_dir(&self.0.agents_dir, &session_key::agent_id(agent))
    }

    /// The directories of all agents that have one.
    #[must_use]
    pub fn sessions_dirs(&self) -> Vec<PathBuf> {
        self.0.indexes.borrow().values().map(|index| index.dir.clone()).collect()
    }

    /// How many sessions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.indexes.borrow().values().map(|index| index.rows.len()).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A session's row.
    #[must_use]
    pub fn row(&self, key: &SessionKey) -> Option<Rc<Row>> {
        let indexes = self.0.indexes.borrow();
        indexes.get(&self.home_of(&indexes, key)).and_then(|index| index.rows.get(key)).cloned()
    }

    /// A session's entry.
    #[must_use]
    pub fn get(&self, key: &SessionKey) -> Option<Entry> {
        self.row(key).map(|row| row.entry())
    }

    /// The time of a change, later than every one before, so that sessions that were changed within a millisecond are
    /// listed in the order of their changes. A clock that was set back is followed.
    fn stamp(&self) -> u64 {
        let (now_ms, last_ms) = (self.0.sys.clock.now_ms(), self.0.last_change_ms.get());
        let is_burst = now_ms <= last_ms && last_ms - now_ms < BURST_MS;
        let stamp = if is_burst { last_ms + 1 } else { now_ms };
        self.0.last_change_ms.set(stamp);
        stamp
    }

    /// Changes an entry, making it first if there is none: with a new session id if it has none,
    /// and `updatedAt` now. [`Durability::Lazy`] is for counters, which may be lost.
    ///
    /// # Errors
    /// [`StoreError::TooManySessions`], [`StoreError::TooLarge`], or what the disk says; nothing is
    /// changed then.
    pub fn update(
        &self,
        key: &SessionKey,
        durability: Durability,
        change: impl FnOnce(&mut Entry),
    ) -> Result<Entry, StoreError> {
        let old = self.get(key);
        if old.is_none() && self.len() as u64 >= self.0.sessions_max {
            return Err(StoreError::TooManySessions(self.0.sessions_max));
        }
        let mut entry = old.unwrap_or_default();
        change(&mut entry);
        entry.session_id.get_or_insert_with(|| self.0.sys.chance.uuid());
        entry.updated_at = Some(self.stamp());
        let row = Row::of(key.clone(), &entry)?;
        self.record(key, Some(row), durability)?;
        Ok(entry)
    }

    /// Makes the last change look as old as it was before; may be lost.
    ///
    /// # Errors
    /// What the disk says; nothing is changed then.
    pub fn put_back(&self, key: &SessionKey, updated_at: u64) -> Result<(), StoreError> {
        let Some(entry) = self.get(key) else { return Ok(()) };
        let row = Row::of(key.clone(), &Entry { updated_at: Some(updated_at), ..entry })?;
        self.record(key, Some(row), Durability::Lazy)
    }

    /// Begins the session anew (methods.md 7.5): a new session id, settings kept; made if there is
    /// none. The old transcript stays where it is.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub fn reset(&self, key: &SessionKey) -> Result<Entry, StoreError> {
        let session_id = self.0.sys.chance.uuid();
        self.update(key, Durability::Forced, |entry| *entry = std::mem::take(entry).reset(session_id))
    }

    /// Forgets a session; gives back what it was.
    ///
    /// # Errors
    /// What the disk says; the session is still there then.
    pub fn remove(&self, key: &SessionKey) -> Result<Option<Entry>, StoreError> {
        let Some(entry) = self.get(key) else {
            return Ok(None);
        };
        self.record(key, None, Durability::Forced)?;
        Ok(Some(entry))
    }

    /// All sessions, newest change first, equal ones by key. Rows are shared, nothing is parsed.
    #[must_use]
    pub fn newest(&self) -> Vec<Rc<Row>> {
        let indexes = self.0.indexes.borrow();
        let mut rows: Vec<_> = indexes.values().flat_map(|index| index.rows.values().cloned()).collect();
        rows.sort_by(|a, b| b.updated_at().cmp(&a.updated_at()).then_with(|| a.key().cmp(b.key())));
        rows
    }

    /// The sessions whose current transcript has that id.
    #[must_use]
    pub fn by_session_id(&self, session_id: &str) -> Vec<SessionKey> {
        self.keys_where(|row| row.session_id() == session_id)
    }

    /// The sessions with that label.
    #[must_use]
    pub fn by_label(&self, label: &str) -> Vec<SessionKey> {
        // Rows without any label, nearly all of them, are not parsed.
        self.keys_where(|row| row.text().contains("\"label\"") && row.entry().label.as_deref() == Some(label))
    }

    /// Resolves when every forced change so far is on the medium. One sync is shared by all who
    /// wait.
    pub fn saved(&self) -> Durable {
        let indexes = self.0.indexes.borrow();
        Durable::all(indexes.values().flat_map(|index| {
            let journals = index.old_journals.iter().chain([&index.journal]);
            journals.map(|number| self.0.saver.synced(&index.dir.join(journal_name(*number))))
        }))
    }

    /// Writes every `sessions.json` that is behind its journal, for a clean stop.
    pub fn close(&self) -> Durable {
        self.checkpoint_where(|index| index.is_mended || index.journal_bytes > 0 || !index.old_journals.is_empty())
    }

    /// Puts a change into the journal, and only then into memory.
    fn record(&self, key: &SessionKey, row: Option<Row>, durability: Durability) -> Result<(), StoreError> {
        let line = journal_line(key, row.as_ref())?;
        let mut indexes = self.0.indexes.borrow_mut();
        let agent = self.home_of(&indexes, key);
        if !indexes.contains_key(&agent) {
            let dir = sessions_dir(&self.0.agents_dir, &agent);
            self.0.sys.files.create_dir(&dir)?;
            indexes.insert(agent.clone(), Index::of(dir, &mut Loaded::default()));
        }
        let Some(index) = indexes.get_mut(&agent) else {
            return Err(StoreError::Missing);
        };
        self.0.saver.append(&index.dir.join(journal_name(index.journal)), &line, durability)?;
        index.journal_bytes += line.len() as u64;
        match row {
            Some(row) => index.rows.insert(key.clone(), Rc::new(row)),
            None => index.rows.remove(key),
        };
        drop(indexes);
        // In the background: the journal holds the change.
        drop(self.checkpoint_where(Index::is_journal_long));
        Ok(())
    }

    /// The agent whose index holds the key: the one it names, unless an existing state directory
    /// keeps it elsewhere.
    fn home_of(&self, indexes: &BTreeMap<String, Index>, key: &SessionKey) -> String {
        let named = key.agent().unwrap_or(&self.0.default_agent);
        let holds = |agent: &str| indexes.get(agent).is_some_and(|index| index.rows.contains_key(key));
        if holds(named) {
            return named.to_string();
        }
        indexes.keys().find(|agent| holds(agent)).map_or_else(|| named.to_string(), Clone::clone)
    }

    fn keys_where(&self, wanted: impl Fn(&Row) -> bool) -> Vec<SessionKey> {
        let indexes = self.0.indexes.borrow();
        let rows = indexes.values().flat_map(|index| index.rows.values());
        rows.filter(|row| wanted(row)).map(|row| row.key().clone()).collect()
    }
}

impl Index {
    fn of(dir: PathBuf, loaded: &mut Loaded) -> Self {
        let mut old_journals = std::mem::take(&mut loaded.journals);
        // An emptied journal is as unneeded as one before it.
        let journal = match old_journals.last() {
            Some(newest) if loaded.journal_bytes == 0 => newest + 1,
            _ => old_journals.pop().unwrap_or(0),
        };
        Self {
            dir,
            rows: std::mem::take(&mut loaded.rows),
            journal,
            journal_bytes: loaded.journal_bytes,
            old_journals,
            index_bytes: loaded.index_bytes,
            is_mended: !loaded.problems.is_empty(),
            aside: loaded.aside.take(),
            is_checkpointing: false,
            tickets: Vec::new(),
        }
    }

    /// Whether a checkpoint pays: the journal is longer than its bound and than half of the index.
    fn is_journal_long(&self) -> bool {
        !self.is_checkpointing && self.journal_bytes > SESSION_JOURNAL_BYTES.max(self.index_bytes / 2)
    }

    pub(super) fn index_path(&self) -> PathBuf {
        self.dir.join(INDEX_FILE)
    }
}

fn sessions_dir(agents_dir: &Path, agent: &str) -> PathBuf {
    agents_dir.join(agent).join("sessions")
}

/// `{"key":…,"entry":{…}}` or `{"key":…,"deleted":true}`, with a newline.
fn journal_line(key: &SessionKey, row: Option<&Row>) -> Result<Vec<u8>, StoreError> {
    #[derive(Serialize)]
    struct Record<'a> {
        key: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        entry: Option<&'a RawValue>,
        #[serde(skip_serializing_if = "Option::is_none")]
        deleted: Option<bool>,
    }
    let bad = |_| StoreError::Disk(std::io::ErrorKind::InvalidData);
    let entry = row.map(|row| serde_json::from_str(row.text())).transpose().map_err(bad)?;
    let record = Record { key: key.as_str(), entry, deleted: row.is_none().then_some(true) };
    let mut line = serde_json::to_vec(&record).map_err(bad)?;
    line.push(b'\n');
    Ok(line)
}

#[cfg(test)]
#[path = "sessions_tests.rs"]
mod tests;
