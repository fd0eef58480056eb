//! Changing sessions: `sessions.patch`, `.reset`, `.delete`, `.compact` (methods.md 7.4 and 7.5).

use std::time::Duration;

use crate::error::Error;
use crate::gateway::post::store_error;
use crate::later;
use crate::rpc::{Cx, Method};
use crate::runs::run::Stop;
use crate::stores::transcript_compact::Compaction;
use crate::stores::transcripts::Reason;
use crate::stores::{Durability, Entry, SessionKey};
use crate::wire::Access;
use crate::wire::shape::{Clearable, Kind, int, text, text_within};
use crate::wire::thinking::ThinkingLevel;

/// Rows.
pub const METHODS: &[Method] = &[
    Method {
        name: "sessions.patch",
        aliases: &[],
        access: Access::Write,
        listed: true,
        doc: "Changes a session's settings; null clears one, an absent key leaves it alone.",
        handler: later!(patch),
    },
    Method {
        name: "sessions.reset",
        aliases: &[],
        access: Access::Write,
        listed: true,
        doc: "Begins a session anew; its old transcript stays on disk.",
        handler: later!(reset),
    },
    Method {
        name: "sessions.delete",
        aliases: &[],
        access: Access::Write,
        listed: true,
        doc: "Forgets a session and puts its transcript aside.",
        handler: later!(delete),
    },
    Method {
        name: "sessions.compact",
        aliases: &[],
        access: Access::Write,
        listed: true,
        doc: "Keeps only the last lines of a session's transcript; the whole one is put aside.",
        handler: later!(compact),
    },
];

/// How long a run gets to stop before its session is deleted (methods.md 7.5).
const STOP_WAIT: Duration = Duration::from_secs(15);

crate::wire! {
    /// The session and its new settings.
    pub struct PatchParams {
        key: String = text(1),
        #[serde(default)]
        label: Clearable<String> = Kind::OrNull(&text_within(1, 64)),
        #[serde(default)]
        thinking_level: Clearable<String> = Kind::OrNull(&text(1)),
        #[serde(default)]
        verbose_level: Clearable<String> = Kind::OrNull(&text(1)),
        #[serde(default)]
        reasoning_level: Clearable<String> = Kind::OrNull(&text(1)),
        #[serde(default)]
        response_usage: Clearable<String> = Kind::OrNull(&Kind::OneOf(&["off", "tokens", "full", "on"])),
        #[serde(default)]
        elevated_level: Clearable<String> = Kind::OrNull(&text(1)),
        #[serde(default)]
        exec_host: Clearable<String> = Kind::OrNull(&text(1)),
        #[serde(default)]
        exec_security: Clearable<String> = Kind::OrNull(&text(1)),
        #[serde(default)]
        exec_ask: Clearable<String> = Kind::OrNull(&text(1)),
        #[serde(default)]
        exec_node: Clearable<String> = Kind::OrNull(&text(1)),
        /// `provider/id`, an alias, or an id of the default provider.
        #[serde(default)]
        model: Clearable<String> = Kind::OrNull(&text(0)),
        #[serde(default)]
        spawned_by: Clearable<String> = Kind::OrNull(&text(1)),
        #[serde(default)]
        send_policy: Clearable<String> = Kind::OrNull(&Kind::OneOf(&["allow", "deny"])),
        #[serde(default)]
        group_activation: Clearable<String> = Kind::OrNull(&Kind::OneOf(&["mention", "always"])),
    }

    /// The changed session.
    pub struct Patched {
        ok: bool,
        path: String,
        key: String,
        entry: serde_json::Value,
    }
}

/// A setting of a few words: its name, the stored words, synonyms, and the word that clears it.
struct Words {
    name: &'static str,
    words: &'static [&'static str],
    synonyms: &'static [(&'static str, &'static str)],
    clears: Option<&'static str>,
    refusal: &'static str,
}

impl Words {
    /// What is stored for `change` over `old`.
    fn apply(&self, old: Option<String>, change: Clearable<String>) -> Result<Option<String>, Error> {
        let word = match change {
            Clearable::Keep => return Ok(old),
            Clearable::Clear => return Ok(None),
            Clearable::Set(word) => word.trim().to_lowercase(),
        };
        let synonym = self.synonyms.iter().find(|(synonym, _)| *synonym == word).map(|(_, meant)| *meant);
        let word = synonym.or_else(|| self.words.iter().find(|known| **known == word).copied());
        let word = word.ok_or_else(|| Error::invalid(format!("invalid {} ({})", self.name, self.refusal)))?;
        Ok(Some(word.to_owned()).filter(|word| Some(word.as_str()) != self.clears))
    }
}

const VERBOSE: Words = Words {
    name: "verboseLevel",
    words: &["on", "off", "full"],
    synonyms: &[],
    clears: None,
    refusal: "use \"on\"|\"off\"",
};
const REASONING: Words = Words {
    name: "reasoningLevel",
    words: &["on", "off", "stream"],
    synonyms: &[],
    clears: Some("off"),
    refusal: "use \"on\"|\"off\"|\"stream\"",
};
const USAGE: Words = Words {
    name: "responseUsage",
    words: &["off", "tokens", "full"],
    synonyms: &[("on", "tokens")],
    clears: Some("off"),
    refusal: "use \"off\"|\"tokens\"|\"full\"",
};
const ELEVATED: Words = Words {
    name: "elevatedLevel",
    words: &["on", "off", "ask", "full"],
    synonyms: &[],
    clears: None,
    refusal: "use \"on\"|\"off\"|\"ask\"|\"full\"",
};
const EXEC_HOST: Words = Words {
    name: "execHost",
    words: &["sandbox", "gateway", "node"],
    synonyms: &[],
    clears: None,
    refusal: "use \"sandbox\"|\"gateway\"|\"node\"",
};
const EXEC_SECURITY: Words = Words {
    name: "execSecurity",
    words: &["deny", "allowlist", "full"],
    synonyms: &[],
    clears: None,
    refusal: "use \"deny\"|\"allowlist\"|\"full\"",
};
const EXEC_ASK: Words = Words {
    name: "execAsk",
    words: &["off", "on-miss", "always"],
    synonyms: &[],
    clears: None,
    refusal: "use \"off\"|\"on-miss\"|\"always\"",
};

async fn patch(cx: Cx, params: PatchParams) -> Result<Patched, Error> {
    let gateway = &cx.gateway;
    let key = gateway.session_key(&params.key)?;
    let old = gateway.stores.sessions.get(&key).unwrap_or_default();
    let shown_key = params.key.clone();
    let new = apply(&cx, &key, old, params)?;
    let entry = gateway.stores.sessions.update(&key, Durability::Forced, |entry| *entry = new);
    let entry = entry.map_err(|error| store_error(&error))?;
    gateway.stores.sessions.saved().await.map_err(|error| store_error(&error))?;
    log::info!("session {shown_key}: settings changed");
    Ok(Patched {
        ok: true,
        path: gateway.index_path(&gateway.agent_of(&key)),
        key: key.to_string(),
        entry: serde_json::json!(entry),
    })
}

/// The entry with all changes, or the first refusal; nothing is half changed.
fn apply(cx: &Cx, key: &SessionKey, mut entry: Entry, params: PatchParams) -> Result<Entry, Error> {
    let plain = |old: Option<String>, change| match change {
        Clearable::Keep => old,
        Clearable::Clear => None,
        Clearable::Set(value) => Some(value),
    };
    if let Clearable::Set(label) = &params.label {
        let taken = cx.gateway.stores.sessions.by_label(label);
        if taken.iter().any(|other| other != key) {
            return Err(Error::invalid(format!("label already in use: {label}")));
        }
    }
    match &params.spawned_by {
        Clearable::Keep => {}
        _ if !key.rest().starts_with("subagent:") => {
            return Err(Error::invalid("spawnedBy is only supported for subagent:* sessions"));
        }
        Clearable::Clear if entry.spawned_by.is_some() => {
            return Err(Error::invalid("spawnedBy cannot be cleared once set"));
        }
        Clearable::Set(parent) if entry.spawned_by.as_ref().is_some_and(|old| old != parent) => {
            return Err(Error::invalid("spawnedBy cannot be changed once set"));
        }
        _ => entry.spawned_by = plain(entry.spawned_by, params.spawned_by),
    }
    entry.label = plain(entry.label, params.label);
    entry.thinking_level = match params.thinking_level {
        Clearable::Keep => entry.thinking_level,
        Clearable::Clear => None,
        Clearable::Set(level) => {
            let level = ThinkingLevel::parse(&level)
                .ok_or_else(|| Error::invalid("invalid thinkingLevel (use off|minimal|low|medium|high)"))?;
            (level != ThinkingLevel::Off).then(|| level.name().to_owned())
        }
    };
    entry.verbose_level = VERBOSE.apply(entry.verbose_level, params.verbose_level)?;
    entry.reasoning_level = REASONING.apply(entry.reasoning_level, params.reasoning_level)?;
    entry.response_usage = USAGE.apply(entry.response_usage, params.response_usage)?;
    entry.elevated_level = ELEVATED.apply(entry.elevated_level, params.elevated_level)?;
    entry.exec_host = EXEC_HOST.apply(entry.exec_host, params.exec_host)?;
    entry.exec_security = EXEC_SECURITY.apply(entry.exec_security, params.exec_security)?;
    entry.exec_ask = EXEC_ASK.apply(entry.exec_ask, params.exec_ask)?;
    entry.exec_node = match params.exec_node {
        Clearable::Set(node) if node.trim().is_empty() => return Err(Error::invalid("invalid execNode: empty")),
        Clearable::Set(node) => Some(node.trim().to_owned()),
        change => plain(entry.exec_node, change),
    };
    entry.send_policy = plain(entry.send_policy, params.send_policy);
    entry.group_activation = plain(entry.group_activation, params.group_activation);
    match params.model {
        Clearable::Keep => {}
        Clearable::Clear => (entry.provider_override, entry.model_override) = (None, None),
        Clearable::Set(reference) => set_model(cx, key, &mut entry, &reference)?,
    }
    Ok(entry)
}

/// Chooses a model for a session. Its own agent's model clears the choice; a model that nobody knows
/// is stored as it is, as the reference does.
fn set_model(cx: &Cx, key: &SessionKey, entry: &mut Entry, reference: &str) -> Result<(), Error> {
    let reference = reference.trim();
    if reference.is_empty() {
        return Err(Error::invalid("invalid model: empty"));
    }
    let config = cx.gateway.config.get();
    let agent = config.agents.find(&cx.gateway.agent_of(key)).unwrap_or_else(|| config.agents.default_agent());
    let default = config.resolve(&config.agents.models_of(agent).primary).ok();
    let (provider, model) = match config.resolve(reference) {
        Ok((provider, model)) => (provider.id.clone(), model.id),
        Err(crate::config::ResolveError::NotAllowed(name)) => {
            return Err(Error::invalid(format!("model not allowed: {name}")));
        }
        Err(_) => match reference.split_once('/') {
            Some((provider, model)) if !provider.is_empty() && !model.is_empty() => {
                (provider.to_owned(), model.to_owned())
            }
            _ => return Err(Error::invalid(format!("invalid model: {reference}"))),
        },
    };
    let is_default = default.is_some_and(|(other, known)| other.id == provider && known.id == model);
    (entry.provider_override, entry.model_override) =
        if is_default { (None, None) } else { (Some(provider), Some(model)) };
    Ok(())
}

crate::wire! {
    /// Which session.
    pub struct ResetParams {
        key: String = text(1),
    }

    /// The session, begun anew.
    pub struct Reset {
        ok: bool,
        key: String,
        entry: serde_json::Value,
    }
}

async fn reset(cx: Cx, params: ResetParams) -> Result<Reset, Error> {
    let key = cx.gateway.session_key(&params.key)?;
    let entry = cx.gateway.renew(&key).await?;
    Ok(Reset { ok: true, key: key.to_string(), entry: serde_json::json!(entry) })
}

crate::wire! {
    /// Which session.
    pub struct DeleteParams {
        key: String = text(1),
        /// Whether the transcript is put aside too, true by default.
        delete_transcript: Option<bool>,
    }

    /// What was deleted.
    pub struct Deleted {
        ok: bool,
        key: String,
        deleted: bool,
        /// Where the transcript is now.
        archived: Vec<String>,
    }
}

async fn delete(cx: Cx, params: DeleteParams) -> Result<Deleted, Error> {
    let gateway = &cx.gateway;
    let key = gateway.session_key(&params.key)?;
    if key.is_main() {
        return Err(Error::invalid(format!("Cannot delete the main session ({key}).")));
    }
    let stopped = gateway.sys.clock.timeout(STOP_WAIT, gateway.stop_session(&key, Stop::Phrase)).await;
    if stopped.is_err() {
        return Err(Error::unavailable(format!("Session {} is still active; try again in a moment.", params.key)));
    }
    let removed = gateway.stores.sessions.remove(&key).map_err(|error| store_error(&error))?;
    let Some(entry) = removed else {
        return Ok(Deleted { ok: true, key: key.to_string(), deleted: false, archived: Vec::new() });
    };
    gateway.stores.sessions.saved().await.map_err(|error| store_error(&error))?;
    let mut archived = Vec::new();
    if params.delete_transcript != Some(false) {
        let file = gateway.transcript(&key, &entry).map_err(|error| store_error(&error))?;
        let aside = gateway.stores.transcripts.archive(&file, Reason::Deleted).map_err(|error| store_error(&error))?;
        if let Some((path, durable)) = aside {
            durable.await.map_err(|error| store_error(&error))?;
            archived.push(path.display().to_string());
        }
    }
    Ok(Deleted { ok: true, key: key.to_string(), deleted: true, archived })
}

/// Lines that are kept when the caller names no number.
const KEPT_LINES: u64 = 400;

crate::wire! {
    /// Which session, and how much is kept.
    pub struct CompactParams {
        key: String = text(1),
        /// Lines that are kept, 400 by default.
        max_lines: Option<u64> = int(1),
    }

    /// What was kept.
    pub struct Compacted {
        ok: bool,
        key: String,
        compacted: bool,
        /// Where the whole transcript is now.
        archived: Option<String>,
        kept: Option<u64>,
        /// Why nothing was done, if there was nothing to do it to.
        reason: Option<String>,
    }
}

async fn compact(cx: Cx, params: CompactParams) -> Result<Compacted, Error> {
    let gateway = &cx.gateway;
    let key = gateway.session_key(&params.key)?;
    let unchanged = |kept, reason: Option<&str>| Compacted {
        ok: true,
        key: key.to_string(),
        compacted: false,
        archived: None,
        kept,
        reason: reason.map(str::to_owned),
    };
    let entry = gateway.stores.sessions.get(&key).unwrap_or_default();
    if entry.session_id.is_none() {
        return Ok(unchanged(None, Some("no sessionId")));
    }
    let file = gateway.transcript(&key, &entry).map_err(|error| store_error(&error))?;
    let done = gateway.stores.transcripts.compact(&file, params.max_lines.unwrap_or(KEPT_LINES)).await;
    match done.map_err(|error| store_error(&error))? {
        Compaction::Missing => Ok(unchanged(None, Some("no transcript"))),
        Compaction::Unneeded { kept } => Ok(unchanged(Some(kept), None)),
        Compaction::Done { kept, archived } => {
            let clear =
                |entry: &mut Entry| (entry.input_tokens, entry.output_tokens, entry.total_tokens) = (None, None, None);
            let cleared = gateway.stores.sessions.update(&key, Durability::Lazy, clear);
            cleared.map_err(|error| store_error(&error))?;
            Ok(Compacted {
                ok: true,
                key: key.to_string(),
                compacted: true,
                archived: Some(archived.display().to_string()),
                kept: Some(kept),
                reason: None,
            })
        }
    }
}
