//! The configuration: one JSON5 file, read into types, with every mistake named by file, line and key.
//!
//! Reading is pure: text and environment in, an immutable [`Config`] or a list of problems out.
//! [`mod@file`] finds the text on disk and keeps the last good copy; [`first_start`] says where files
//! are and which credential holds. Nothing here watches files or restarts anything.

pub mod agents;
mod catalogue;
mod check;
pub mod cron;
mod current;
pub mod file;
pub mod first_start;
pub mod gateway;
pub mod heartbeat;
mod keys;
pub mod logging;
pub mod models;
pub mod network;
mod old_layout;
mod problem;
mod providers;
mod resolve;
pub mod session;
mod strength;
mod substitute;
mod tree;
mod unused_keys;

use std::collections::BTreeMap;
use std::rc::Rc;

use ring::digest::{SHA256, digest};

pub use current::Current;
pub use keys::manual_table;
pub use problem::{Problem, Warning};
pub use resolve::ResolveError;

use crate::limits;
use crate::secret::Secret;
use agents::Agents;
use cron::Cron;
use gateway::Gateway;
use logging::Logging;
use models::Provider;
use problem::Notes;
use session::Session;
use tree::{Field, Node};

/// A valid configuration. It never changes; a reload makes a new one.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen, who may come in.
    pub gateway: Gateway,
    /// Who answers.
    pub agents: Agents,
    /// Whose conversation is whose.
    pub session: Session,
    /// Scheduled jobs.
    pub cron: Cron,
    /// What is written where.
    pub logging: Logging,
    /// `ui.assistant`.
    pub assistant: Assistant,
    /// Providers by id; see [`Config::resolve`] and [`Config::models`].
    providers: BTreeMap<String, Rc<Provider>>,
    /// SHA-256 of each area's resolved JSON, to compare two configurations without keeping secrets.
    areas: BTreeMap<String, [u8; 32]>,
}

/// How the web page shows the assistant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Assistant {
    /// Its name.
    pub name: Option<String>,
    /// Its picture.
    pub avatar: Option<String>,
}

/// What differs between two configurations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// Top-level keys (`gateway`, `agents` …) that differ, in the order of the alphabet.
    pub areas: Vec<String>,
    /// Whether the new one holds only after a restart (methods.md 8.6).
    pub restart: bool,
}

/// Areas that are applied without a restart (methods.md 8.6). `meta` is among them because a write
/// by the gateway itself must not restart it (section 18 item 8).
const HOT: &[&str] = &[
    "agents",
    "bindings",
    "browser",
    "channels",
    "cron",
    "gateway.auth",
    "gateway.nodes",
    "gateway.reload",
    "gateway.remote",
    "hooks",
    "logging",
    "messages",
    "meta",
    "models",
    "session",
    "skills",
    "talk",
    "tools",
    "ui",
    "wizard",
];

impl Config {
    /// Reads a configuration. `file` names it in messages; `env` is the process's environment. All
    /// problems are reported, up to [`limits::CONFIG_PROBLEMS`]; keys of the field's original that
    /// this version doesn't use are warnings.
    ///
    /// A gateway that listens beyond this machine needs a credential in the file or in `env`: give a
    /// `--token` of the command line in as `BARNACLE_TOKEN`.
    ///
    /// # Errors
    /// Every problem with its line and key; never the value of a secret.
    pub fn parse(text: &str, file: &str, env: &BTreeMap<String, String>) -> Result<(Self, Vec<Warning>), Vec<Problem>> {
        let mut notes = Notes::new(file, text);
        if text.len() as u64 > limits::CONFIG_BYTES {
            notes.problem_at(0, "", format!("larger than {} bytes", limits::CONFIG_BYTES));
            return Err(notes.problems);
        }
        let Some(mut root) = tree::read(text, &mut notes) else { return Err(notes.problems) };
        let env = substitute::environment(&root, env);
        substitute::fill(&mut root, &env, &mut notes);
        old_layout::migrate(&mut root, &mut notes);
        if !check::check(&root, &mut notes) {
            return Err(notes.problems);
        }
        let field = Field::root(&root);
        let config = Self {
            gateway: gateway::read(&field, &env, &mut notes),
            agents: agents::read(&field, &env, &mut notes),
            session: session::read(&field),
            cron: cron::read(&field, &env),
            logging: logging::read(&field, &env),
            assistant: read_assistant(&field),
            providers: providers::read(&field, &env, &mut notes),
            areas: areas(&root),
        };
        if notes.problems.is_empty() { Ok((config, notes.warnings)) } else { Err(notes.problems) }
    }

    /// What differs from `old` to `new`, values of the environment included.
    #[must_use]
    pub fn changed(old: &Self, new: &Self) -> Changes {
        let mut changes = Changes { areas: Vec::new(), restart: false };
        let mut names: Vec<&String> = old.areas.keys().chain(new.areas.keys()).collect();
        names.sort_unstable();
        names.dedup();
        for name in names.into_iter().filter(|name| old.areas.get(*name) != new.areas.get(*name)) {
            let top = name.split('.').next().unwrap_or(name);
            if changes.areas.last().map(String::as_str) != Some(top) {
                changes.areas.push(top.to_owned());
            }
            changes.restart |= !HOT.contains(&name.as_str());
        }
        changes
    }

    /// Every secret of the configuration, for the log's redaction.
    #[must_use]
    pub fn secrets(&self) -> Vec<Secret> {
        let auth = &self.gateway.auth;
        let keys = self.providers.values().filter_map(|provider| provider.api_key.as_ref());
        let headers = self.providers.values().flat_map(|provider| &provider.headers);
        auth.token
            .iter()
            .chain(&auth.password)
            .chain(keys)
            .cloned()
            .chain(headers.map(|(_, value)| Secret::new(value.as_str())))
            .collect()
    }
}

/// The text as plain JSON, before variables are filled in (`parsed` of methods.md 8.1).
///
/// # Errors
/// The syntax error.
pub fn parse_json(text: &str, file: &str) -> Result<serde_json::Value, Vec<Problem>> {
    let mut notes = Notes::new(file, text);
    tree::read(text, &mut notes).map(|root| root.to_json()).ok_or(notes.problems)
}

fn read_assistant(root: &Field<'_>) -> Assistant {
    let text = |path: &str| root.find(path).and_then(|field| field.filled_text().map(str::to_owned));
    Assistant { name: text("ui.assistant.name"), avatar: text("ui.assistant.avatar") }
}

/// One digest per top-level key; `gateway` by its own keys, because some of them are applied hot.
fn areas(root: &Node) -> BTreeMap<String, [u8; 32]> {
    let field = Field::root(root);
    let mut out = BTreeMap::new();
    for (name, section) in field.entries() {
        let parts = if name == "gateway" { section.entries() } else { Vec::new() };
        if parts.is_empty() {
            out.insert(section.key.clone(), digest_of(section.node));
        }
        for (_, part) in parts {
            out.insert(part.key.clone(), digest_of(part.node));
        }
    }
    out
}

fn digest_of(node: &Node) -> [u8; 32] {
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(digest(&SHA256, node.to_json().to_string().as_bytes()).as_ref()) {
        *to = *from;
    }
    out
}

#[cfg(test)]
mod tests;
