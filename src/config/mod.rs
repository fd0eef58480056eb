//! The configuration: one JSON5 file, read into types, with every mistake named by file, line and key.
//!
//! Reading is pure: text and environment in, an immutable [`Config`] or a list of problems out.
//! [`mod@file`] finds the text on disk and keeps the last good copy, [`generations`] the older ones;
//! [`first_start`] says where files are and which credential holds, [`launch`] what the command line
//! has put over the file. [`proposal`] makes a new text from what a client sends, [`view`] is what a
//! client may see, [`schema`] what a form needs. Nothing here watches files or restarts anything.

pub mod agents;
mod catalogue;
pub mod channels;
mod check;
pub mod credentials;
pub mod cron;
mod current;
mod edit;
pub mod file;
pub mod first_start;
mod form;
pub mod gateway;
pub mod generations;
pub mod heartbeat;
pub mod hooks;
pub mod include;
mod keys;
pub mod launch;
pub mod logging;
mod lookup;
pub mod models;
pub mod network;
pub mod offers;
mod old_layout;
mod problem;
pub mod proposal;
mod providers;
pub mod redact;
mod resolve;
pub mod schema;
mod service_keys;
pub mod session;
pub mod skills;
pub mod speech;
mod strength;
mod substitute;
mod tool_keys;
pub mod tools;
mod tree;
mod unused_keys;
pub mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::rc::Rc;

use ring::digest::{SHA256, digest};

pub use current::Current;
pub use keys::manual_table;
pub use problem::{Problem, Warning};
pub use resolve::ResolveError;
pub use substitute::literal;

use crate::limits;
use crate::secret::Secret;
use agents::Agents;
use channels::Channels;
use cron::Cron;
use gateway::Gateway;
use hooks::Hooks;
use logging::Logging;
use models::Provider;
use problem::Notes;
use session::Session;
use skills::Skills;
use speech::Speech;
use tools::Tools;
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
    /// Where messages come from and go.
    pub channels: Channels,
    /// Scheduled jobs.
    pub cron: Cron,
    /// What is written where.
    pub logging: Logging,
    /// What agents can read up on.
    pub skills: Skills,
    /// Requests from elsewhere that wake an agent.
    pub hooks: Hooks,
    /// Texts that are spoken.
    pub speech: Speech,
    /// What agents may do.
    pub tools: Tools,
    /// `ui.assistant`.
    pub assistant: Assistant,
    /// Names of the environment's variables that hold something, `env` of the file included.
    pub variables: Rc<BTreeSet<String>>,
    /// Keys of the file whose value says yes: neither `false` nor 0 nor an empty text nor `null`.
    pub affirmed: Rc<BTreeSet<String>>,
    /// Providers by id; see [`Config::resolve`] and [`Config::models`].
    providers: BTreeMap<String, Rc<Provider>>,
    /// Every secret text, for the log's redaction.
    secrets: Vec<Secret>,
    /// SHA-256 of each area's resolved JSON, to compare two configurations without keeping secrets.
    areas: BTreeMap<String, [u8; 32]>,
}

/// Everything that one reading of a configuration tells.
#[derive(Debug)]
pub struct Reading {
    /// The configuration, or every problem.
    pub outcome: Result<Config, Vec<Problem>>,
    /// What the owner should know.
    pub warnings: Vec<Warning>,
    /// The text as plain JSON, before includes and variables; `{}` for what can't be read.
    pub parsed: serde_json::Value,
    /// With includes, texts as they are written: no variable is filled in.
    pub merged: serde_json::Value,
    /// The included files, by their paths below the configuration directory.
    pub included: Vec<PathBuf>,
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
/// by the gateway itself must not restart it (section 18 item 8). Keys without effect here need none either.
const HOT: &[&str] = &[
    "agents",
    "approvals",
    "bindings",
    "browser",
    "channels",
    "cron",
    "cron.enabled",
    "cron.maxConcurrentRuns",
    "cron.missed",
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
        let reading = Self::read(text, file, env, &include::none);
        reading.outcome.map(|config| (config, reading.warnings))
    }

    /// The same for a text that may include others, which `reader` gives in.
    #[must_use]
    pub fn read(text: &str, file: &str, env: &BTreeMap<String, String>, reader: include::Reader<'_>) -> Reading {
        let mut notes = Notes::new(file, text);
        let empty = || serde_json::Value::Object(serde_json::Map::new());
        let mut reading = Reading {
            outcome: Err(Vec::new()),
            warnings: Vec::new(),
            parsed: empty(),
            merged: empty(),
            included: Vec::new(),
        };
        let outcome = Self::read_into(&mut reading, text, env, reader, &mut notes);
        reading.outcome = match outcome {
            Some(config) if notes.problems.is_empty() => Ok(config),
            _ => Err(notes.problems),
        };
        reading.warnings = notes.warnings;
        reading
    }

    fn read_into(
        reading: &mut Reading,
        text: &str,
        env: &BTreeMap<String, String>,
        reader: include::Reader<'_>,
        notes: &mut Notes<'_>,
    ) -> Option<Self> {
        if text.len() as u64 > limits::CONFIG_BYTES {
            notes.problem_at(0, "", format!("larger than {} bytes", limits::CONFIG_BYTES));
            return None;
        }
        let mut root = tree::read(text, 0, notes)?;
        reading.parsed = root.to_json();
        reading.included = include::resolve(&mut root, reader, notes);
        reading.merged = root.to_json();
        if !matches!(root.kind, tree::Kind::Object(_)) {
            notes.problem_at(root.at, "", "the included file is no object");
            return None;
        }
        let env = substitute::environment(&root, env);
        substitute::fill(&mut root, &env, notes);
        old_layout::migrate(&mut root, notes);
        if !check::check(&root, notes) {
            return None;
        }
        let field = Field::root(&root);
        Some(Self {
            gateway: gateway::read(&field, &env, notes),
            agents: agents::read(&field, &env, notes),
            session: session::read(&field),
            channels: channels::read(&field, &env, notes),
            cron: cron::read(&field, &env),
            logging: logging::read(&field, &env),
            skills: skills::read(&field, &env, notes),
            hooks: hooks::read(&field, notes),
            speech: speech::read(&field, &env, notes),
            tools: tools::read(&field, notes),
            assistant: read_assistant(&field),
            variables: Rc::new(env.keys().cloned().collect()),
            affirmed: Rc::new(all_affirmed(&field)),
            providers: providers::read(&field, &env, notes),
            secrets: redact::secrets(&root),
            areas: areas(&root),
        })
    }

    /// The text with a JSON merge patch applied; everything else stays as its owner wrote it, comments too.
    ///
    /// # Errors
    /// Why the text can't be edited.
    pub fn patched(text: &str, patch: &serde_json::Map<String, serde_json::Value>) -> Result<String, String> {
        edit::patch(text, patch).map_err(|(_, why)| why)
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
            changes.restart |= !HOT.contains(&name.as_str()) && lookup::has_effect(name);
        }
        changes
    }

    /// Every secret of the configuration, for the log's redaction.
    #[must_use]
    pub fn secrets(&self) -> Vec<Secret> {
        let keys = self.providers.values().filter_map(|provider| provider.api_key.as_ref());
        self.secrets.iter().chain(keys).cloned().collect()
    }
}

/// Why a password is too weak for others to try; `None` when it isn't. The answer doesn't show it.
#[must_use]
pub fn weakness_of_password(password: &str) -> Option<String> {
    strength::weakness(password, strength::SecretKind::Password)
}

/// A text of the same language as plain JSON: other files of the field are written in it too.
///
/// # Errors
/// The syntax error.
pub fn parse_json(text: &str, file: &str) -> Result<serde_json::Value, Vec<Problem>> {
    let mut notes = Notes::new(file, text);
    tree::read(text, 0, &mut notes).map(|root| root.to_json()).ok_or(notes.problems)
}

fn read_assistant(root: &Field<'_>) -> Assistant {
    let text = |path: &str| root.find(path).and_then(|field| field.filled_text().map(str::to_owned));
    Assistant { name: text("ui.assistant.name"), avatar: text("ui.assistant.avatar") }
}

/// The keys that say yes; `browser.enabled` does when the file says nothing (methods.md 12.3).
fn all_affirmed(root: &Field<'_>) -> BTreeSet<String> {
    const BROWSER: &str = "browser.enabled";
    let unset = root.find(BROWSER).is_none().then(|| BROWSER.to_owned());
    affirmed(root).into_iter().chain(unset).collect()
}

/// The keys below that say yes.
fn affirmed(field: &Field<'_>) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for (_, below) in field.entries() {
        let says_yes = match &below.node.kind {
            tree::Kind::Null | tree::Kind::Flag(false) => false,
            tree::Kind::Number(_) => below.number().is_none_or(|number| number != 0.0),
            tree::Kind::Text(text) | tree::Kind::Filled(text) => !text.trim().is_empty(),
            _ => true,
        };
        keys.extend(affirmed(&below));
        if says_yes {
            keys.insert(below.key);
        }
    }
    keys
}

/// One digest per top-level key; `gateway` and `cron` by their own keys, because only some of them are applied hot.
fn areas(root: &Node) -> BTreeMap<String, [u8; 32]> {
    let field = Field::root(root);
    let mut out = BTreeMap::new();
    for (name, section) in field.entries() {
        let parts = if matches!(name, "gateway" | "cron") { section.entries() } else { Vec::new() };
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
