//! `session`: whose conversation is whose, and when it begins anew (methods.md 7.6 and 9.5).

use std::collections::BTreeMap;

use super::tree::Field;

/// The `session` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// One session for each sender, or one for all.
    pub scope: Scope,
    /// When a conversation begins anew.
    pub reset: Reset,
    /// Messages that begin a new one, in lower case.
    pub reset_triggers: Vec<String>,
    /// Which session a direct message belongs to.
    pub dm_scope: DmScope,
    /// A person's name by each of their `channel:peer` names, in lower case.
    pub identity_links: BTreeMap<String, String>,
}

/// Which session a direct message belongs to (methods.md 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DmScope {
    /// The agent's main one.
    #[default]
    Main,
    /// One for each person.
    PerPeer,
    /// One for each person and channel.
    PerChannelPeer,
}

/// Whose conversation is whose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// Each sender has one.
    #[default]
    PerSender,
    /// All share one, with the key `global`.
    Global,
}

impl Scope {
    /// The name in the configuration and on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::PerSender => "per-sender",
            Self::Global => "global",
        }
    }
}

/// A conversation begins anew at whichever comes first; never when neither is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reset {
    /// When it was last used before this hour of today, in the host's zone.
    pub at_hour: Option<u8>,
    /// When it was last used so many minutes ago.
    pub idle_minutes: Option<u64>,
}

/// Hour of the daily reset when the file names none.
const HOUR: u8 = 4;
/// Idle time of mode `idle` when the file names none, minutes.
const IDLE_MINUTES: u64 = 60;

pub(super) fn read(root: &Field<'_>) -> Session {
    let triggers = root.find("session.resetTriggers").map_or_else(
        || vec!["/new".to_owned(), "/reset".to_owned()],
        |list| list.items().iter().filter_map(Field::filled_text).map(str::to_lowercase).collect(),
    );
    Session {
        scope: match root.find("session.scope").and_then(|field| field.text()) {
            Some("global") => Scope::Global,
            _ => Scope::PerSender,
        },
        reset: read_reset(root),
        reset_triggers: triggers,
        dm_scope: match root.find("session.dmScope").and_then(|field| field.text()) {
            Some("per-peer") => DmScope::PerPeer,
            Some("per-channel-peer") => DmScope::PerChannelPeer,
            _ => DmScope::Main,
        },
        identity_links: read_links(root),
    }
}

fn read_links(root: &Field<'_>) -> BTreeMap<String, String> {
    let people = root.find("session.identityLinks").map(|links| links.entries()).unwrap_or_default();
    let names = people.iter().flat_map(|(person, names)| names.items().into_iter().map(move |name| (person, name)));
    names.filter_map(|(person, name)| Some((name.filled_text()?.to_lowercase(), person.to_lowercase()))).collect()
}

fn read_reset(root: &Field<'_>) -> Reset {
    let reset = root.find("session.reset");
    let older_idle = root.find("session.idleMinutes").and_then(|field| field.whole());
    let idle = reset.as_ref().and_then(|reset| reset.find("idleMinutes")?.whole()).or(older_idle);
    let hour = reset.as_ref().and_then(|reset| reset.find("atHour")?.whole()).and_then(|hour| u8::try_from(hour).ok());
    let mode = reset.as_ref().and_then(|reset| reset.find("mode")?.text());
    match mode {
        Some("never") => Reset { at_hour: None, idle_minutes: None },
        Some("idle") => Reset { at_hour: None, idle_minutes: Some(idle.unwrap_or(IDLE_MINUTES)) },
        None if reset.is_none() && older_idle.is_some() => Reset { at_hour: None, idle_minutes: older_idle },
        _ => Reset { at_hour: Some(hour.unwrap_or(HOUR)), idle_minutes: idle },
    }
}
