//! `agents`: who answers, with which model, where their files are (methods.md 9.2).

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::heartbeat::{self, Heartbeat};
use super::problem::Notes;
use super::tree::Field;
use crate::wire::thinking::ThinkingLevel;

/// The primary model when the file names none (methods.md 9.2).
pub(super) const PRIMARY: &str = "anthropic/claude-opus-4-5";
/// The agent when the file lists none (methods.md 7.1).
const MAIN: &str = "main";
/// Longest agent id, characters (methods.md 7.1).
const ID_CHARACTERS: usize = 64;

/// The `agents` section. There is always at least one agent.
#[derive(Debug, Clone)]
pub struct Agents {
    /// What holds for all.
    pub defaults: Defaults,
    /// The agents, in the order of the file, with ids in canonical form.
    pub list: Vec<Agent>,
}

/// `agents.defaults`.
#[derive(Debug, Clone)]
pub struct Defaults {
    /// Models of agents that name none.
    pub model: ModelChoice,
    /// Whether the file names a model, or the built-in choice stands.
    pub model_is_chosen: bool,
    /// The allowed models (reference as written, alias); `None` when all are allowed.
    pub allowed: Option<Vec<(String, Option<String>)>>,
    /// Workspace directory; `None` for the one in the state directory.
    pub workspace: Option<PathBuf>,
    /// Most characters of one workspace file in the prompt.
    pub bootstrap_max_chars: u64,
    /// Tokens of conversation and answer together; `None` for the model's window.
    pub context_tokens: Option<u64>,
    /// How much a model thinks first; `None` for low where it can, else off.
    pub thinking: Option<ThinkingLevel>,
    /// Whether tool calls are shown.
    pub verbose: Verbose,
    /// Longest run, seconds.
    pub timeout_seconds: u64,
    /// Runs at the same time.
    pub max_concurrent: u64,
    /// Runs of helpers at the same time.
    pub subagents_max_concurrent: u64,
}

/// Which models to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelChoice {
    /// The first, as written.
    pub primary: String,
    /// The next ones, in order.
    pub fallbacks: Vec<String>,
}

/// Whether tool calls are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verbose {
    /// No.
    #[default]
    Off,
    /// That they happen.
    On,
    /// With their results.
    Full,
}

/// One agent.
#[derive(Debug, Clone)]
pub struct Agent {
    /// Canonical id (methods.md 7.1).
    pub id: String,
    /// Name for people.
    pub name: Option<String>,
    /// Its own workspace.
    pub workspace: Option<PathBuf>,
    /// Its own models.
    pub model: Option<ModelChoice>,
    /// How it shows itself.
    pub identity: Identity,
    /// Whether the file marks it as the default.
    pub marked_default: bool,
    /// How it looks around by itself; `None` when it doesn't, because only others do.
    pub heartbeat: Option<Heartbeat>,
}

/// `agents.list[].identity`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// How it calls itself.
    pub name: Option<String>,
    /// Its character in a few words.
    pub theme: Option<String>,
    /// Its emoji.
    pub emoji: Option<String>,
    /// URL or workspace file of its picture.
    pub avatar: Option<String>,
}

impl Agents {
    /// The agent that answers when none is named: the marked one, else the first.
    ///
    /// # Panics
    /// Never: there is at least one agent.
    #[must_use]
    pub fn default_agent(&self) -> &Agent {
        #[allow(clippy::expect_used, reason = "`read` puts an agent in when the file lists none")]
        self.list
            .iter()
            .find(|agent| agent.marked_default)
            .or_else(|| self.list.first())
            .expect("at least one agent is configured")
    }

    /// The agent with that id, in any case of letters. `default` and `main` also mean the default
    /// agent, unless an agent has that id (methods.md 12.2, Guide).
    #[must_use]
    pub fn find(&self, id: &str) -> Option<&Agent> {
        let id = canonical_id(id);
        let found = self.list.iter().find(|agent| agent.id == id);
        found.or_else(|| matches!(id.as_str(), "default" | MAIN).then(|| self.default_agent()))
    }

    /// The models of an agent: its own, else the common ones.
    #[must_use]
    pub fn models_of<'a>(&'a self, agent: &'a Agent) -> &'a ModelChoice {
        agent.model.as_ref().unwrap_or(&self.defaults.model)
    }
}

/// An agent id in canonical form: lower case, other characters become `-`, at most 64, empty is
/// `main` (methods.md 7.1).
#[must_use]
pub fn canonical_id(text: &str) -> String {
    let lower = text.trim().to_lowercase();
    let id: String = lower
        .chars()
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-' { c } else { '-' })
        .skip_while(|c| matches!(c, '-' | '_'))
        .take(ID_CHARACTERS)
        .collect();
    if id.is_empty() { MAIN.to_owned() } else { id }
}

pub(super) fn read(root: &Field<'_>, env: &BTreeMap<String, String>, notes: &mut Notes<'_>) -> Agents {
    let at = |path: &str| root.find(&format!("agents.defaults.{path}"));
    let whole = |path: &str, default: u64| at(path).and_then(|field| field.whole()).unwrap_or(default);
    let primary = PRIMARY.to_owned();
    let defaults = Defaults {
        model_is_chosen: at("model").is_some(),
        model: at("model")
            .and_then(|field| read_model(&field, &primary, notes))
            .unwrap_or(ModelChoice { primary, fallbacks: Vec::new() }),
        allowed: at("models").map(|field| read_allowed(&field, notes)),
        workspace: at("workspace").and_then(|field| path(&field, env)),
        bootstrap_max_chars: whole("bootstrapMaxChars", 20_000),
        context_tokens: at("contextTokens").and_then(|field| field.whole()),
        thinking: at("thinkingDefault").and_then(|field| ThinkingLevel::parse(field.text()?)),
        verbose: match at("verboseDefault").and_then(|field| field.text()) {
            Some("on") => Verbose::On,
            Some("full") => Verbose::Full,
            _ => Verbose::Off,
        },
        timeout_seconds: whole("timeoutSeconds", 600),
        max_concurrent: whole("maxConcurrent", 4),
        subagents_max_concurrent: whole("subagents.maxConcurrent", 8),
    };
    let list = read_list(root, &defaults, env, notes);
    let mut agents = Agents { defaults, list };
    read_heartbeats(root, &mut agents, notes);
    agents
}

/// Agents that have a heartbeat of their own beat; when none has, the default one does (methods.md 9.2).
fn read_heartbeats(root: &Field<'_>, agents: &mut Agents, notes: &mut Notes<'_>) {
    let common = root.find("agents.defaults.heartbeat");
    let items = root.find("agents.list").map(|list| list.items()).unwrap_or_default();
    let own: Vec<_> = items
        .iter()
        .filter_map(|item| Some((canonical_id(item.find("id")?.text()?), item.find("heartbeat")?)))
        .collect();
    for field in own.iter().map(|(_, field)| field).chain(&common) {
        heartbeat::check(field, notes);
    }
    if own.is_empty() {
        let default_id = agents.default_agent().id.clone();
        let beat = heartbeat::read(None, common.as_ref(), notes);
        agents
            .list
            .iter_mut()
            .filter(|agent| agent.id == default_id)
            .for_each(|agent| agent.heartbeat = Some(beat.clone()));
    }
    for (id, field) in own {
        let beat = heartbeat::read(Some(&field), common.as_ref(), notes);
        agents.list.iter_mut().filter(|agent| agent.id == id).for_each(|agent| agent.heartbeat = Some(beat.clone()));
    }
}

/// A path of the file with `~/` replaced.
pub(super) fn path(field: &Field<'_>, env: &BTreeMap<String, String>) -> Option<PathBuf> {
    let text = field.filled_text()?;
    match (text.strip_prefix("~/"), env.get("HOME")) {
        (Some(rest), Some(home)) => Some(PathBuf::from(home).join(rest)),
        _ => Some(PathBuf::from(text)),
    }
}

/// A model as a text or as `{primary, fallbacks}`. An empty text is a problem.
fn read_model(field: &Field<'_>, default_primary: &str, notes: &mut Notes<'_>) -> Option<ModelChoice> {
    let mut reference = |field: &Field<'_>| match field.text() {
        Some(text) if !text.trim().is_empty() && !text.trim().contains(char::is_whitespace) => {
            Some(text.trim().to_owned())
        }
        Some(_) => {
            notes.problem(field, format!("expected a model reference like {PRIMARY}, found {}", field.node.describe()));
            None
        }
        None => None,
    };
    if field.text().is_some() {
        return reference(field).map(|primary| ModelChoice { primary, fallbacks: Vec::new() });
    }
    let primary = field.find("primary").and_then(|field| reference(&field));
    let fallbacks = field.find("fallbacks").map(|field| field.items()).unwrap_or_default();
    Some(ModelChoice {
        primary: primary.unwrap_or_else(|| default_primary.to_owned()),
        fallbacks: fallbacks.iter().filter_map(&mut reference).collect(),
    })
}

fn read_allowed(field: &Field<'_>, notes: &mut Notes<'_>) -> Vec<(String, Option<String>)> {
    let mut out: Vec<(String, Option<String>)> = Vec::new();
    for (reference, entry) in field.entries() {
        let alias = entry.find("alias");
        let name = alias.as_ref().and_then(Field::filled_text).map(str::to_owned);
        let taken =
            |name: &String| out.iter().any(|(_, other)| other.as_ref().is_some_and(|o| o.eq_ignore_ascii_case(name)));
        if let Some(field) = alias.as_ref().filter(|_| name.as_ref().is_some_and(taken)) {
            notes.problem(field, "another model has this alias too");
        }
        out.push((reference.trim().to_owned(), name));
    }
    out
}

fn read_list(
    root: &Field<'_>,
    defaults: &Defaults,
    env: &BTreeMap<String, String>,
    notes: &mut Notes<'_>,
) -> Vec<Agent> {
    let mut list: Vec<Agent> = Vec::new();
    for item in root.find("agents.list").map(|list| list.items()).unwrap_or_default() {
        let id_field = item.find("id");
        let Some(written) = id_field.as_ref().and_then(Field::text) else {
            if id_field.is_none() && item.node.describe_type() == "an object" {
                notes.problem(&item, "`id` is missing");
            }
            continue;
        };
        let field = id_field.as_ref().unwrap_or(&item);
        let id = canonical_id(written);
        if id != written {
            notes.warning(field, format!("read as `{id}`: an id has small letters, digits, `_` and `-`"));
        }
        if list.iter().any(|agent| agent.id == id) {
            notes.problem(field, format!("another agent has the id `{id}` too"));
        }
        let marked_default = item.find("default").and_then(|field| field.flag()).unwrap_or(false);
        if marked_default && list.iter().any(|agent| agent.marked_default) {
            notes.warning(field, "an earlier agent is marked as the default already; that one counts");
        }
        let text = |path: &str| item.find(path).and_then(|field| field.filled_text().map(str::to_owned));
        list.push(Agent {
            id,
            name: text("name"),
            workspace: item.find("workspace").and_then(|field| path(&field, env)),
            model: item.find("model").and_then(|field| read_model(&field, &defaults.model.primary, notes)),
            identity: Identity {
                name: text("identity.name"),
                theme: text("identity.theme"),
                emoji: text("identity.emoji"),
                avatar: text("identity.avatar"),
            },
            marked_default,
            heartbeat: None,
        });
    }
    if list.is_empty() {
        list.push(Agent {
            id: MAIN.to_owned(),
            name: None,
            workspace: None,
            model: None,
            identity: Identity::default(),
            marked_default: true,
            heartbeat: None,
        });
    }
    list
}
