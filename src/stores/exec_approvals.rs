//! Which commands may run without asking: `exec-approvals.json` in the state directory (connection.md
//! 6.10), and the log of what was decided.
//!
//! The original keeps the file in the home directory and a socket beside it; this gateway opens no
//! socket, so `socket` is kept as it is and its token never leaves. The file may be edited by hand
//! while the gateway runs: it is read each time.

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use ring::digest::{SHA256, digest};
use serde_json::{Map, Value, json};

use super::json_file::{pretty, read};
use super::{Durability, Durable, Saver, StoreError};
use crate::limits::{APPROVALS_FILE_BYTES, APPROVALS_LOG_BYTES};
use crate::sys::Sys;

/// The agent whose rules `default` once named.
const MAIN: &str = "main";
const OLD_MAIN: &str = "default";

/// The store. Cloning shares it.
#[derive(Debug, Clone)]
pub struct ExecApprovals(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    sys: Sys,
    saver: Saver,
    path: PathBuf,
    log_path: PathBuf,
    old_log_path: PathBuf,
    /// The newest content, while it is on its way to the medium.
    unwritten: RefCell<Option<Map<String, Value>>>,
    writes: Cell<u64>,
}

/// The file as clients see it.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Where it is.
    pub path: String,
    /// SHA-256 of its bytes, lower-case hex.
    pub hash: String,
    /// Its content without the socket's token.
    pub file: Map<String, Value>,
}

/// Why the file was not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetError {
    /// The caller did not say which content it changes.
    HashRequired,
    /// It is no longer that content.
    Changed,
    /// The disk or a bound.
    Store(StoreError),
}

impl From<StoreError> for SetError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What the file says for one agent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// `deny`, `allowlist` or `full`, where the file says so.
    pub security: Option<String>,
    /// `off`, `on-miss` or `always`, where the file says so.
    pub ask: Option<String>,
    /// Programs that may run: paths; `/*` at the end stands for whatever lies in a directory.
    pub allowlist: Vec<String>,
}

impl Rules {
    /// Whether a program's file is on the list.
    #[must_use]
    pub fn lists(&self, path: &str) -> bool {
        self.allowlist.iter().any(|pattern| match pattern.strip_suffix("/*") {
            Some(dir) => {
                path.strip_prefix(dir).and_then(|rest| rest.strip_prefix('/')).is_some_and(|n| !n.contains('/'))
            }
            None => pattern == path,
        })
    }
}

/// A command that is always allowed from now on.
#[derive(Debug, Clone, Copy)]
pub struct Always<'a> {
    /// The agent.
    pub agent_id: &'a str,
    /// Path of the program.
    pub pattern: &'a str,
    /// What was allowed.
    pub command: &'a str,
}

impl ExecApprovals {
    /// The store below `state_dir`. Reads nothing yet.
    #[must_use]
    pub fn new(sys: &Sys, saver: &Saver, state_dir: &Path) -> Self {
        Self(Rc::new(Inner {
            sys: sys.clone(),
            saver: saver.clone(),
            path: state_dir.join("exec-approvals.json"),
            log_path: state_dir.join("exec-approvals.log.jsonl"),
            old_log_path: state_dir.join("exec-approvals.log.old.jsonl"),
            unwritten: RefCell::default(),
            writes: Cell::new(0),
        }))
    }

    /// The file as of now; it is made, or brought into its usual form, first.
    ///
    /// # Errors
    /// What the disk says.
    pub fn snapshot(&self) -> Result<(Snapshot, Durable), StoreError> {
        let (content, old_hash) = self.content()?;
        let normal = self.normal(content.clone());
        match old_hash {
            Some(hash) if normal == content => Ok((self.shown(normal, hash), Durable::done())),
            _ => {
                let (hash, durable) = self.write(&normal)?;
                Ok((self.shown(normal, hash), durable))
            }
        }
    }

    /// Replaces the content, if `base_hash` is that of the content that the caller knows.
    ///
    /// # Errors
    /// [`SetError`]; nothing is changed then.
    pub fn set(&self, file: Map<String, Value>, base_hash: Option<&str>) -> Result<(Snapshot, Durable), SetError> {
        let (old, old_hash) = self.content()?;
        match (&old_hash, base_hash) {
            (Some(_), None) => return Err(SetError::HashRequired),
            (Some(old), Some(base)) if base != old => return Err(SetError::Changed),
            _ => {}
        }
        let mut file = self.normal(file);
        keep_socket(&old, &mut file);
        let (hash, durable) = self.write(&file)?;
        Ok((self.shown(file, hash), durable))
    }

    /// Adds a command to an agent's allowlist, or notes its use if it is there.
    ///
    /// # Errors
    /// What the disk says; [`StoreError::TooLarge`] when the file would be.
    pub fn allow(&self, always: &Always<'_>) -> Result<Durable, StoreError> {
        let mut content = self.normal(self.content()?.0);
        let use_of = json!({
            "lastUsedAt": self.0.sys.clock.now_ms(),
            "lastUsedCommand": always.command,
            "lastResolvedPath": always.pattern,
        });
        let Value::Object(use_of) = use_of else { return Ok(Durable::done()) };
        let agents = object(content.entry("agents").or_insert_with(|| json!({})));
        let agent = object(agents.entry(always.agent_id).or_insert_with(|| json!({})));
        let list = agent.entry("allowlist").or_insert_with(|| json!([]));
        if !list.is_array() {
            *list = json!([]);
        }
        if let Value::Array(list) = list {
            let same = |entry: &Value| entry.get("pattern").and_then(Value::as_str) == Some(always.pattern);
            match list.iter_mut().find(|entry| same(entry)) {
                Some(entry) => object(entry).extend(use_of),
                None => {
                    let mut entry = Map::from_iter([
                        ("id".to_owned(), self.0.sys.chance.uuid().into()),
                        ("pattern".to_owned(), always.pattern.into()),
                    ]);
                    entry.extend(use_of);
                    list.push(entry.into());
                }
            }
        }
        self.write(&content).map(|(_, durable)| durable)
    }

    /// What holds for an agent: its own rules over the defaults.
    ///
    /// # Errors
    /// What the disk says.
    pub fn rules(&self, agent_id: &str) -> Result<Rules, StoreError> {
        let content = self.normal(self.content()?.0);
        let agent = content.get("agents").and_then(|agents| agents.get(agent_id));
        let defaults = content.get("defaults");
        let text = |key: &str| {
            let own = agent.and_then(|agent| agent.get(key)).or_else(|| defaults.and_then(|d| d.get(key)));
            own.and_then(Value::as_str).map(str::to_owned)
        };
        let list = agent.and_then(|agent| agent.get("allowlist")).and_then(Value::as_array).into_iter().flatten();
        let patterns = list.filter_map(|entry| entry.get("pattern").and_then(Value::as_str).map(str::to_owned));
        Ok(Rules { security: text("security"), ask: text("ask"), allowlist: patterns.collect() })
    }

    /// Appends a line to the log of decisions; a full log becomes the old one.
    ///
    /// # Errors
    /// What the disk says.
    pub fn log(&self, line: &Value) -> Result<Durable, StoreError> {
        let inner = &self.0;
        let size = match inner.sys.files.size(&inner.log_path) {
            Err(error) if error.kind() == ErrorKind::NotFound => 0,
            size => size?,
        };
        let mut bytes = line.to_string().into_bytes();
        bytes.push(b'\n');
        if size > 0 && size + bytes.len() as u64 > APPROVALS_LOG_BYTES {
            inner.saver.rename(&inner.log_path, &inner.old_log_path)?;
        }
        inner.saver.append(&inner.log_path, &bytes, Durability::Forced)?;
        Ok(inner.saver.synced(&inner.log_path))
    }

    /// The content, and the hash of the file if there is one.
    fn content(&self) -> Result<(Map<String, Value>, Option<String>), StoreError> {
        if let Some(content) = &*self.0.unwritten.borrow() {
            return Ok((content.clone(), Some(hash(&pretty(content)))));
        }
        let found = read(&self.0.sys, &self.0.saver, &self.0.path, APPROVALS_FILE_BYTES as u64)?;
        Ok(found.map_or_else(|| (Map::new(), None), |(content, bytes)| (content, Some(hash(&bytes)))))
    }

    /// Writes the file; the result is its new hash, and tells when it is on the medium.
    fn write(&self, content: &Map<String, Value>) -> Result<(String, Durable), StoreError> {
        let inner = &self.0;
        let bytes = pretty(content);
        if bytes.len() > APPROVALS_FILE_BYTES {
            return Err(StoreError::TooLarge("the file of exec approvals", APPROVALS_FILE_BYTES));
        }
        let hash = hash(&bytes);
        inner.saver.replace(&inner.path, bytes);
        *inner.unwritten.borrow_mut() = Some(content.clone());
        let write = inner.writes.get() + 1;
        inner.writes.set(write);
        let (settled, weak) = (inner.saver.settled(&inner.path), Rc::downgrade(inner));
        inner.sys.tasks.detach(async move {
            // Whoever asked for it hears of a failure; the file has the old content then.
            let _ = settled.await;
            if let Some(inner) = weak.upgrade().filter(|inner| inner.writes.get() == write) {
                inner.unwritten.take();
            }
        });
        Ok((hash, inner.saver.settled(&inner.path)))
    }

    /// Its usual form: a version, an id for every allowlist entry, no agent `default`.
    fn normal(&self, mut content: Map<String, Value>) -> Map<String, Value> {
        content.insert("version".into(), 1.into());
        content.entry("defaults").or_insert_with(|| json!({}));
        let agents = object(content.entry("agents").or_insert_with(|| json!({})));
        if let Some(Value::Object(old)) = agents.remove(OLD_MAIN) {
            merge_agent(object(agents.entry(MAIN).or_insert_with(|| json!({}))), old);
        }
        for agent in agents.values_mut() {
            let Some(Value::Array(list)) = agent.get_mut("allowlist") else { continue };
            for entry in list {
                let Value::Object(entry) = entry else { continue };
                if entry.get("id").and_then(Value::as_str).is_none_or(|id| id.trim().is_empty()) {
                    entry.insert("id".into(), self.0.sys.chance.uuid().into());
                }
            }
        }
        content
    }

    fn shown(&self, mut file: Map<String, Value>, hash: String) -> Snapshot {
        if let Some(Value::Object(socket)) = file.get_mut("socket") {
            socket.remove("token");
        }
        Snapshot { path: self.0.path.display().to_string(), hash, file }
    }
}

/// The object at that place; what is none becomes one.
fn object(place: &mut Value) -> &mut Map<String, Value> {
    if !place.is_object() {
        *place = json!({});
    }
    match place {
        Value::Object(object) => object,
        _ => unreachable!("it was made an object just above"),
    }
}

/// Adds the rules of `old` that `agent` doesn't have, and its allowlist.
fn merge_agent(agent: &mut Map<String, Value>, old: Map<String, Value>) {
    for (key, value) in old {
        match (key.as_str(), agent.get_mut(&key), value) {
            ("allowlist", Some(Value::Array(list)), Value::Array(more)) => list.extend(more),
            (_, Some(_), _) => {}
            (_, None, value) => drop(agent.insert(key, value)),
        }
    }
}

/// What a client leaves out of the socket's settings, or can't know, stays as it was.
fn keep_socket(old: &Map<String, Value>, new: &mut Map<String, Value>) {
    let Some(Value::Object(old)) = old.get("socket") else { return };
    let socket = object(new.entry("socket").or_insert_with(|| json!({})));
    for (key, value) in old {
        let is_blank = socket.get(key).is_none_or(|have| have.as_str().is_some_and(|text| text.trim().is_empty()));
        if is_blank {
            socket.insert(key.clone(), value.clone());
        }
    }
}

fn hash(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(digest(&SHA256, bytes).as_ref())
}

#[cfg(test)]
#[path = "exec_approvals_tests.rs"]
mod tests;
