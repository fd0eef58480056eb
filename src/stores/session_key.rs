//! Session keys in their one canonical form (methods.md 7.1). A key from outside becomes a
//! [`SessionKey`] once, at the border; nothing else is a key.

use std::fmt;
use std::rc::Rc;

use super::StoreError;
use crate::limits::SESSION_KEY_BYTES;

/// The key of the one main session of all agents, under `session.scope: "global"`.
const GLOBAL: &str = "global";
/// The key of messages whose session isn't known.
const UNKNOWN: &str = "unknown";
/// What follows the agent id in the key of its main session.
const MAIN: &str = "main";
/// The agent id by which the guide's clients mean the default agent (guide section 5).
const DEFAULT_ALIAS: &str = "default";
/// Longest agent id, characters.
const AGENT_ID_CHARS: usize = 64;

/// A canonical session key: `global`, `unknown`, or `agent:<agentId>:<rest>`; lower case, at most
/// [`SESSION_KEY_BYTES`]. Cloning shares the text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionKey(Rc<str>);

/// What the configuration says about short keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRules {
    /// Id of the agent that short keys belong to; canonical, see [`agent_id`].
    pub default_agent: String,
    /// Whether `main` means the key `global` (`session.scope: "global"`).
    pub global: bool,
}

/// What a session is, as far as its key tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// With one person.
    Direct,
    /// A group or a room.
    Group,
    /// The one session of all agents.
    Global,
    /// Where messages go whose session isn't known.
    Unknown,
}

impl Kind {
    /// The name on the wire (methods.md 7.2).
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Group => "group",
            Self::Global => "global",
            Self::Unknown => "unknown",
        }
    }
}

impl SessionKey {
    /// Makes a client's text canonical: trimmed, lower case, short keys under the default agent.
    ///
    /// # Errors
    /// [`StoreError::EmptyKey`]; [`StoreError::TooLarge`].
    pub fn canonical(text: &str, rules: &KeyRules) -> Result<Self, StoreError> {
        let text = text.trim();
        if text.len() > SESSION_KEY_BYTES {
            return Err(StoreError::TooLarge("session key", SESSION_KEY_BYTES));
        }
        let text = text.to_lowercase();
        let key = match text.as_str() {
            "" => return Err(StoreError::EmptyKey),
            GLOBAL | UNKNOWN => text,
            MAIN if rules.global => GLOBAL.to_string(),
            _ => match split(&text) {
                Some((DEFAULT_ALIAS, rest)) => format!("agent:{}:{rest}", rules.default_agent),
                Some((agent, rest)) => format!("agent:{}:{rest}", agent_id(agent)),
                None => format!("agent:{}:{text}", rules.default_agent),
            },
        };
        if key.len() > SESSION_KEY_BYTES {
            return Err(StoreError::TooLarge("session key", SESSION_KEY_BYTES));
        }
        Ok(Self(key.into()))
    }

    /// The main session of an agent.
    #[must_use]
    pub fn main_of(agent: &str) -> Self {
        Self(format!("agent:{}:{MAIN}", agent_id(agent)).into())
    }

    /// The one main session of all agents.
    #[must_use]
    pub fn global() -> Self {
        Self(GLOBAL.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The agent's id; `None` for `global` and `unknown`.
    #[must_use]
    pub fn agent(&self) -> Option<&str> {
        split(&self.0).map(|(agent, _)| agent)
    }

    /// What follows the agent id; the whole key for `global` and `unknown`.
    #[must_use]
    pub fn rest(&self) -> &str {
        split(&self.0).map_or(&self.0, |(_, rest)| rest)
    }

    /// Whether it is the main session of its agent or of all.
    #[must_use]
    pub fn is_main(&self) -> bool {
        self.rest() == MAIN || self.as_str() == GLOBAL
    }

    /// What the session is, as far as the key tells.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.as_str() {
            GLOBAL => Kind::Global,
            UNKNOWN => Kind::Unknown,
            _ if self.rest().split(':').any(|part| part == "group" || part == "channel") => Kind::Group,
            _ => Kind::Direct,
        }
    }
}

impl fmt::Display for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An agent id in canonical form (methods.md 7.1): `[a-z0-9][a-z0-9_-]{0,63}`; other characters
/// become `-`, an empty one `main`. Safe as a directory name.
#[must_use]
pub fn agent_id(text: &str) -> String {
    let mapped: String = text
        .trim()
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' { c } else { '-' })
        .collect();
    let id: String = mapped.trim_start_matches(['-', '_']).chars().take(AGENT_ID_CHARS).collect();
    let id = id.trim_end_matches('-');
    if id.is_empty() { MAIN.to_string() } else { id.to_string() }
}

/// Agent id and rest of a key that has both.
fn split(key: &str) -> Option<(&str, &str)> {
    let (agent, rest) = key.strip_prefix("agent:")?.split_once(':')?;
    (!agent.trim().is_empty() && !rest.trim().is_empty()).then_some((agent, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        let rules = KeyRules { default_agent: "home".into(), global: false };
        SessionKey::canonical(text, &rules).unwrap().as_str().to_string()
    }

    #[test]
    fn keys_from_clients_become_canonical() {
        for (given, expected) in [
            ("main", "agent:home:main"),
            (" Main ", "agent:home:main"),
            ("session-123", "agent:home:session-123"),
            ("global", "global"),
            ("UNKNOWN", "unknown"),
            ("agent:work:Telegram:Group:-100", "agent:work:telegram:group:-100"),
            ("agent:default:main", "agent:home:main"),
            ("agent:work", "agent:home:agent:work"),
            ("agent::x", "agent:home:agent::x"),
            ("agent:../../etc:x", "agent:etc:x"),
            ("agent:My Agent:x", "agent:my-agent:x"),
            ("agent:..:x", "agent:main:x"),
        ] {
            assert_eq!(canonical(given), expected, "{given}");
            assert_eq!(canonical(expected), expected, "canonical keys stay");
        }
    }

    #[test]
    fn main_is_global_when_the_owner_says_so() {
        let rules = KeyRules { default_agent: "main".into(), global: true };
        assert_eq!(SessionKey::canonical("main", &rules).unwrap().as_str(), "global");
    }

    #[test]
    fn empty_and_overlong_keys_are_refused() {
        let rules = KeyRules { default_agent: "main".into(), global: false };
        assert_eq!(SessionKey::canonical("  ", &rules), Err(StoreError::EmptyKey));
        assert!(matches!(SessionKey::canonical(&"x".repeat(600), &rules), Err(StoreError::TooLarge(..))));
        assert!(matches!(SessionKey::canonical(&"x".repeat(510), &rules), Err(StoreError::TooLarge(..))));
    }

    #[test]
    fn the_key_tells_agent_and_kind() {
        let rules = KeyRules { default_agent: "main".into(), global: false };
        let key = |text| SessionKey::canonical(text, &rules).unwrap();
        assert_eq!(key("agent:a:telegram:group:-1").kind(), Kind::Group);
        assert_eq!(key("agent:a:slack:channel:u1").kind(), Kind::Group);
        assert_eq!(key("agent:a:dm:ann").kind(), Kind::Direct);
        assert_eq!(key("global").kind(), Kind::Global);
        assert_eq!((key("global").agent(), key("agent:a:b:c").rest()), (None, "b:c"));
        assert!(key("main").is_main() && !key("agent:a:dm:ann").is_main());
        assert_eq!(SessionKey::main_of("A"), key("agent:a:main"));
    }
}
