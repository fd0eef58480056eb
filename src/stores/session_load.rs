//! Reading the session index of one agent back: `sessions.json`, then the journals over it.
//!
//! Nothing is thrown away here: an unreadable index is copied aside, and what can be read of it, of
//! the journals and of the transcripts' names becomes the index (methods.md 16.1, INTEGRATIONS 6.4).

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::lines::{Forward, Found, Line};
use super::session_row::Row;
use super::{Durability, KeyRules, Saver, SessionKey, StoreError, stamp};
use crate::limits::{JSON_DEPTH, SESSION_ENTRY_BYTES, SESSION_KEY_BYTES, SESSIONS_FILE_BYTES};
use crate::sys::{Files, Sys};

/// The index as other programs of the field know it.
pub(super) const INDEX_FILE: &str = "sessions.json";
/// The index while it is written.
pub(super) const INDEX_NEW_FILE: &str = "sessions.json.new";
/// A line of a journal, bytes: key and entry, each maybe escaped to twice its length, and names.
const JOURNAL_LINE_BYTES: usize = 2 * (SESSION_ENTRY_BYTES + SESSION_KEY_BYTES) + 64;
/// Bytes copied at once.
const BLOCK_BYTES: usize = 64 * 1024;

/// A name of a journal. Higher numbers are newer.
pub(super) fn journal_name(number: u64) -> String {
    if number == 0 { "sessions.journal.jsonl".to_string() } else { format!("sessions.journal.{number}.jsonl") }
}

fn journal_number(name: &str) -> Option<u64> {
    let rest = name.strip_prefix("sessions.journal.")?;
    if rest == "jsonl" { Some(0) } else { rest.strip_suffix(".jsonl")?.parse().ok() }
}

/// Damage that was found, and mended, while an index was loaded. For the owner's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// `sessions.json` could not be read to its end; it was kept under that name, and the index has
    /// that many sessions now.
    DamagedIndex { agent: String, kept_as: String, sessions: usize },
    /// Entries that are no objects, or whose key is no key.
    BadEntries { agent: String, count: usize },
    /// Keys that became one by lower-casing; the newest entry was kept.
    MergedKeys { agent: String, count: usize },
    /// The journal's last line was not written whole; so many bytes were cut off.
    TornJournal { agent: String, bytes: u64 },
    /// Lines of the journal that say nothing readable.
    BadJournalLines { agent: String, count: usize },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DamagedIndex { agent, kept_as, sessions } => write!(
                f,
                "session index of agent {agent} is damaged; kept as {kept_as}, {sessions} sessions could be restored"
            ),
            Self::BadEntries { agent, count } => write!(f, "session index of agent {agent}: {count} bad entries"),
            Self::MergedKeys { agent, count } => {
                write!(f, "session index of agent {agent}: {count} keys differed only in case and were merged")
            }
            Self::TornJournal { agent, bytes } => {
                write!(f, "session journal of agent {agent}: {bytes} bytes of an unfinished line were cut off")
            }
            Self::BadJournalLines { agent, count } => {
                write!(f, "session journal of agent {agent}: {count} unreadable lines were skipped")
            }
        }
    }
}

/// What was found in one directory.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub(super) rows: BTreeMap<SessionKey, Rc<Row>>,
    /// Numbers of the journals that exist, oldest first.
    pub(super) journals: Vec<u64>,
    /// Size of the newest journal, bytes.
    pub(super) journal_bytes: u64,
    /// Size of `sessions.json`, bytes.
    pub(super) index_bytes: u64,
    /// The copy of a damaged `sessions.json`, which must be durable before that is overwritten.
    pub(super) aside: Option<PathBuf>,
    pub(super) problems: Vec<Problem>,
}

/// Loads the index of `agent` from its directory of sessions, which must exist.
///
/// # Errors
/// What the disk says when a file that is there can't be read, or a damaged one can't be copied.
pub(super) fn load(sys: &Sys, saver: &Saver, dir: &Path, agent: &str) -> Result<Loaded, StoreError> {
    let mut loading = Loading {
        files: &*sys.files,
        saver,
        dir,
        rules: KeyRules { default_agent: agent.to_string(), global: false },
        found: Loaded::default(),
        bad_entries: 0,
        merged_keys: 0,
    };
    let entries = sys.files.list(dir)?;
    let has = |name: &str| entries.iter().find(|entry| entry.name == name && !entry.is_dir);
    if has(INDEX_NEW_FILE).is_some() {
        saver.remove(&dir.join(INDEX_NEW_FILE))?;
    }
    let damaged = match has(INDEX_FILE) {
        Some(entry) => {
            loading.found.index_bytes = entry.size_bytes;
            !loading.read_index(&dir.join(INDEX_FILE), entry.size_bytes)?
        }
        None => false,
    };
    let mut journals: Vec<_> = entries.iter().filter_map(|entry| journal_number(&entry.name)).collect();
    journals.sort_unstable();
    for number in &journals {
        loading.replay(&dir.join(journal_name(*number)))?;
    }
    if let Some(newest) = journals.last() {
        loading.found.journal_bytes = sys.files.size(&dir.join(journal_name(*newest)))?;
    }
    loading.found.journals = journals;
    loading.report_counts();
    if damaged {
        loading.add_lost_transcripts(entries.iter().map(|entry| (entry.name.as_str(), entry.modified_ms)));
        loading.set_aside(sys.clock.now_ms(), &entries)?;
    }
    Ok(loading.found)
}

struct Loading<'a> {
    files: &'a dyn Files,
    saver: &'a Saver,
    dir: &'a Path,
    rules: KeyRules,
    found: Loaded,
    bad_entries: usize,
    merged_keys: usize,
}

impl Loading<'_> {
    fn agent(&self) -> String {
        self.rules.default_agent.clone()
    }

    /// Reads the index entry by entry; tells whether it could be read to the end. What came before
    /// the damage stays.
    fn read_index(&mut self, path: &Path, size_bytes: u64) -> Result<bool, StoreError> {
        if size_bytes > SESSIONS_FILE_BYTES {
            return Ok(false);
        }
        let blocks = io::BufReader::with_capacity(BLOCK_BYTES, Blocks { files: self.files, path, offset: 0 });
        let mut parser = serde_json::Deserializer::from_reader(blocks);
        let strict = parser.deserialize_map(EveryEntry(self)).and_then(|()| parser.end());
        match strict {
            Ok(()) => return Ok(true),
            Err(error) if error.is_io() => return Err(io::Error::from(error).into()),
            Err(_) => {}
        }
        let text = String::from_utf8(self.files.read(path, SESSIONS_FILE_BYTES)?).unwrap_or_default();
        let Some(entries) = parse_json5(&text) else {
            return Ok(false);
        };
        self.found.rows.clear();
        (self.bad_entries, self.merged_keys) = (0, 0);
        for (key, entry) in entries {
            self.add(&key, entry);
        }
        Ok(true)
    }

    fn add(&mut self, key: &str, entry: Value) {
        let (Ok(key), Value::Object(fields)) = (SessionKey::canonical(key, &self.rules), entry) else {
            self.bad_entries += 1;
            return;
        };
        let row = Row::stored(key.clone(), fields);
        if let Some(other) = self.found.rows.get(&key) {
            self.merged_keys += 1;
            if other.updated_at() >= row.updated_at() {
                return;
            }
        }
        self.found.rows.insert(key, Rc::new(row));
    }

    /// Carries out a journal's changes; cuts off a line that was not written whole.
    fn replay(&mut self, path: &Path) -> Result<(), StoreError> {
        let mut bad = 0;
        for line in Forward::from(self.files, path, 0, JOURNAL_LINE_BYTES) {
            let line = line?;
            if let Line { start, found: Found::Unended(_) } = line {
                let bytes = self.files.size(path)?.saturating_sub(start);
                self.saver.truncate(path, start)?;
                self.found.problems.push(Problem::TornJournal { agent: self.agent(), bytes });
                break;
            }
            if !line.whole().is_some_and(|line| self.replay_line(line)) {
                bad += 1;
            }
        }
        if bad > 0 {
            self.found.problems.push(Problem::BadJournalLines { agent: self.agent(), count: bad });
        }
        Ok(())
    }

    fn replay_line(&mut self, line: &[u8]) -> bool {
        let Ok(Value::Object(mut record)) = serde_json::from_slice(line) else {
            return false;
        };
        let Some(Ok(key)) =
            record.get("key").and_then(Value::as_str).map(|key| SessionKey::canonical(key, &self.rules))
        else {
            return false;
        };
        match record.remove("entry") {
            Some(Value::Object(fields)) => {
                self.found.rows.insert(key.clone(), Rc::new(Row::stored(key, fields)));
                true
            }
            None if record.get("deleted") == Some(&Value::Bool(true)) => {
                self.found.rows.remove(&key);
                true
            }
            _ => false,
        }
    }

    fn report_counts(&mut self) {
        let agent = self.agent();
        if self.bad_entries > 0 {
            self.found.problems.push(Problem::BadEntries { agent: agent.clone(), count: self.bad_entries });
        }
        if self.merged_keys > 0 {
            self.found.problems.push(Problem::MergedKeys { agent, count: self.merged_keys });
        }
    }

    /// Gives every transcript without an entry a key of its own, so that it can be reached.
    fn add_lost_transcripts<'n>(&mut self, names: impl Iterator<Item = (&'n str, u64)>) {
        let known: Vec<_> = self.found.rows.values().cloned().collect();
        for (name, modified_ms) in names {
            let Some(id) = name.strip_suffix(".jsonl").filter(|id| super::transcript_file::is_safe_id(id)) else {
                continue;
            };
            if journal_number(name).is_some() || known.iter().any(|row| row.session_id() == id) {
                continue;
            }
            let mut fields = Map::new();
            fields.insert("sessionId".to_string(), id.into());
            fields.insert("updatedAt".to_string(), modified_ms.into());
            if let Ok(key) = SessionKey::canonical(&format!("recovered:{id}"), &self.rules) {
                self.found.rows.insert(key.clone(), Rc::new(Row::stored(key, fields)));
            }
        }
    }

    /// Copies the damaged index aside, unless an earlier start has done so.
    fn set_aside(&mut self, now_ms: u64, entries: &[crate::sys::files::Entry]) -> Result<(), StoreError> {
        let path = self.dir.join(INDEX_FILE);
        let earlier = entries
            .iter()
            .filter(|entry| entry.name.starts_with("sessions.json.damaged-"))
            .map(|entry| self.dir.join(&entry.name))
            .find(|copy| same_content(self.files, copy, &path).unwrap_or(false));
        let copy = match earlier {
            Some(copy) => copy,
            None => {
                let copy = stamp::free_name(self.files, &path, ".damaged-", now_ms)?;
                copy_file(self.files, self.saver, &path, &copy)?;
                copy
            }
        };
        let kept_as = copy.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let sessions = self.found.rows.len();
        self.found.problems.push(Problem::DamagedIndex { agent: self.agent(), kept_as, sessions });
        self.found.aside = Some(copy);
        Ok(())
    }
}

/// Hands every entry of the index over as soon as it is read.
struct EveryEntry<'a, 'b>(&'a mut Loading<'b>);

impl<'de> Visitor<'de> for EveryEntry<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of sessions")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key.len() > SESSION_KEY_BYTES {
                map.next_value::<IgnoredAny>()?;
                self.0.bad_entries += 1;
                continue;
            }
            self.0.add(&key, map.next_value()?);
        }
        Ok(())
    }
}

/// A file as a reader.
struct Blocks<'a> {
    files: &'a dyn Files,
    path: &'a Path,
    offset: u64,
}

impl Read for Blocks<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.files.read_at(self.path, self.offset, buffer)?;
        self.offset += count as u64;
        Ok(count)
    }
}

/// The entries of an index that was edited by hand, with comments or trailing commas.
fn parse_json5(text: &str) -> Option<Map<String, Value>> {
    // The parser below descends without a limit; brackets within texts only make this stricter.
    let mut depth = 0_usize;
    for byte in text.bytes() {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > JSON_DEPTH {
            return None;
        }
    }
    match jsonc_parser::parse_to_serde_value(text, &jsonc_parser::ParseOptions::default()) {
        Ok(Some(Value::Object(entries))) => Some(entries),
        _ => None,
    }
}

fn same_content(files: &dyn Files, one: &Path, other: &Path) -> io::Result<bool> {
    if files.size(one)? != files.size(other)? {
        return Ok(false);
    }
    let (mut a, mut b) = (vec![0; BLOCK_BYTES], vec![0; BLOCK_BYTES]);
    let mut offset = 0;
    loop {
        let count = files.read_at(one, offset, &mut a)?;
        if count != files.read_at(other, offset, &mut b)? || a != b {
            return Ok(false);
        }
        if count == 0 {
            return Ok(true);
        }
        offset += count as u64;
    }
}

/// Copies a whole file; removes the copy again if that fails.
fn copy_file(files: &dyn Files, saver: &Saver, from: &Path, to: &Path) -> Result<(), StoreError> {
    let mut block = vec![0; BLOCK_BYTES];
    let mut offset = 0;
    let copied = loop {
        let count = match files.read_at(from, offset, &mut block) {
            Ok(count) => count,
            Err(error) => break Err(error.into()),
        };
        let appended = saver.append(to, block.get(..count).unwrap_or_default(), Durability::Forced);
        if appended.is_err() || count == 0 {
            break appended;
        }
        offset += count as u64;
    };
    if copied.is_err() {
        // The first error is the one to tell.
        let _ = saver.remove(to);
    }
    copied
}
