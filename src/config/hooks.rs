//! `hooks`: requests from elsewhere that wake an agent (connection.md 7 row 1, methods.md 9.5).

use super::problem::Notes;
use super::tree::Field;
use crate::secret::Secret;
use crate::wire::thinking::ThinkingLevel;

/// The `hooks` section.
#[derive(Debug, Clone)]
pub struct Hooks {
    /// Whether they are on at all.
    pub enabled: bool,
    /// What a caller shows.
    pub token: Option<Secret>,
    /// How a caller signs instead.
    pub hmac: Option<Hmac>,
    /// Where they are, with a slash before and none behind.
    pub path: String,
    /// Largest body, bytes.
    pub max_body_bytes: u64,
    /// What other services' calls mean; the first that fits holds.
    pub mappings: Vec<Mapping>,
}

/// `hooks.hmac`: the body signed with HMAC-SHA256.
#[derive(Debug, Clone)]
pub struct Hmac {
    /// The shared secret.
    pub secret: Secret,
    /// The header field with the signature, in lower case.
    pub header: String,
    /// The header field with the time of the signature, in lower case. With it the signed text is
    /// `<timestamp>.<body>`, as several services do it.
    pub timestamp_header: Option<String>,
    /// How far that time may be from now, seconds.
    pub window_seconds: u64,
}

/// One of `hooks.mappings`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mapping {
    /// Its name in the log.
    pub id: String,
    /// The path below `hooks.path`.
    pub path: Option<String>,
    /// What `source` of the body has to be.
    pub source: Option<String>,
    /// Whether it wakes the main session instead of asking an agent.
    pub wakes: bool,
    /// Whether a heartbeat follows at once.
    pub now: bool,
    /// Name of the hook for people.
    pub name: Option<String>,
    /// The session; a new one when `None`. May hold `{{…}}`.
    pub session_key: Option<String>,
    /// What the agent is asked.
    pub message_template: Option<String>,
    /// What the main session hears.
    pub text_template: Option<String>,
    /// Whether the answer goes to a channel.
    pub deliver: bool,
    /// Which channel.
    pub channel: Option<String>,
    /// Which recipient.
    pub to: Option<String>,
    /// Model of these turns alone.
    pub model: Option<String>,
    /// Thinking level of these turns alone.
    pub thinking: Option<ThinkingLevel>,
    /// Time limit, seconds.
    pub timeout_seconds: Option<u64>,
}

/// Default of `hooks.path`.
const PATH: &str = "/hooks";
/// Default of `hooks.maxBodyBytes`.
const BODY_BYTES: u64 = 262_144;
/// Default of `hooks.hmac.header`.
const SIGNATURE_HEADER: &str = "x-hub-signature-256";
/// Default of `hooks.hmac.windowSeconds`.
const WINDOW_SECONDS: u64 = 300;

pub(super) fn read(root: &Field<'_>, notes: &mut Notes<'_>) -> Hooks {
    let at = |name: &str| root.find(&format!("hooks.{name}"));
    let secret = |name: &str| at(name).and_then(|field| field.filled_text().map(Secret::new));
    let lower = |name: &str| at(name).and_then(|field| field.filled_text().map(str::to_lowercase));
    let hmac = secret("hmac.secret").map(|secret| Hmac {
        secret,
        header: lower("hmac.header").unwrap_or_else(|| SIGNATURE_HEADER.to_owned()),
        timestamp_header: lower("hmac.timestampHeader"),
        window_seconds: at("hmac.windowSeconds").and_then(|field| field.whole()).unwrap_or(WINDOW_SECONDS),
    });
    let enabled = at("enabled").and_then(|field| field.flag()).unwrap_or(false);
    let token = secret("token");
    if enabled && token.is_none() && hmac.is_none() {
        if let Some(field) = at("enabled") {
            notes.warning_at(field.node.at, "hooks.enabled", "closed until hooks.token or hooks.hmac.secret is set");
        }
    }
    let mut mappings: Vec<Mapping> = Vec::new();
    for (index, field) in at("mappings").map(|list| list.items()).unwrap_or_default().iter().enumerate() {
        mappings.extend(mapping(index, field, notes));
    }
    for field in at("presets").map(|list| list.items()).unwrap_or_default() {
        match field.filled_text() {
            Some("gmail") => mappings.push(gmail()),
            _ => notes.problem(&field, "the preset that there is: `gmail`"),
        }
    }
    Hooks {
        enabled,
        token,
        hmac,
        path: read_path(at("path"), notes),
        max_body_bytes: at("maxBodyBytes").and_then(|field| field.whole()).unwrap_or(BODY_BYTES),
        mappings,
    }
}

fn read_path(field: Option<Field<'_>>, notes: &mut Notes<'_>) -> String {
    let Some(field) = field else { return PATH.to_owned() };
    let name = field.text().unwrap_or(PATH).trim().trim_matches('/');
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    if name.is_empty() || !name.chars().all(is_plain) {
        notes.problem(&field, "expected a path like /hooks, not the root");
        return PATH.to_owned();
    }
    format!("/{name}")
}

fn mapping(index: usize, field: &Field<'_>, notes: &mut Notes<'_>) -> Option<Mapping> {
    let text = |name: &str| field.find(name).and_then(|field| field.filled_text().map(str::to_owned));
    let wakes = text("action").as_deref() == Some("wake");
    let mapping = Mapping {
        id: text("id").unwrap_or_else(|| format!("mapping-{}", index + 1)),
        path: text("match.path").map(|path| path.trim_matches('/').to_owned()),
        source: text("match.source"),
        wakes,
        now: text("wakeMode").as_deref() != Some("next-heartbeat"),
        name: text("name"),
        session_key: text("sessionKey"),
        message_template: text("messageTemplate"),
        text_template: text("textTemplate"),
        deliver: field.find("deliver").and_then(|field| field.flag()).unwrap_or(true),
        channel: text("channel"),
        to: text("to"),
        model: text("model"),
        thinking: text("thinking").as_deref().and_then(ThinkingLevel::parse),
        timeout_seconds: field.find("timeoutSeconds").and_then(|field| field.whole()),
    };
    let (template, name) = match wakes {
        true => (&mapping.text_template, "textTemplate"),
        false => (&mapping.message_template, "messageTemplate"),
    };
    if template.is_none() {
        notes.problem(field, format!("a mapping needs a `{name}`"));
        return None;
    }
    if mapping.path.is_none() && mapping.source.is_none() {
        notes.problem(field, "a mapping needs `match.path` or `match.source`");
        return None;
    }
    Some(mapping)
}

/// Mail that Gmail's push relay reports.
fn gmail() -> Mapping {
    Mapping {
        id: "gmail".into(),
        path: Some("gmail".into()),
        now: true,
        name: Some("Gmail".into()),
        session_key: Some("hook:gmail:{{messages[0].id}}".into()),
        message_template: Some(
            "A new mail has come.\nFrom: {{messages[0].from}}\nSubject: {{messages[0].subject}}\n\
             {{messages[0].snippet}}\n\n{{messages[0].body}}"
                .into(),
        ),
        deliver: true,
        ..Mapping::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use std::collections::BTreeMap;

    fn read(text: &str) -> Result<(Hooks, usize), Vec<String>> {
        let read = Config::parse(text, "barnacle.json", &BTreeMap::new());
        read.map(|(config, warnings)| (config.hooks, warnings.len()))
            .map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn hooks_are_closed_without_a_secret_and_blank_ones_are_none() {
        let (hooks, warnings) = read("{hooks:{enabled:true,token:' '}}").unwrap();
        assert!(hooks.enabled && hooks.token.is_none() && hooks.hmac.is_none() && warnings == 1);
        let (hooks, _) = read("{}").unwrap();
        assert_eq!((hooks.enabled, hooks.path.as_str(), hooks.max_body_bytes), (false, "/hooks", 262_144));
    }

    #[test]
    fn mappings_and_presets_are_read_in_order() {
        let (hooks, _) = read(
            "{hooks:{enabled:true,token:'t',path:'in/',presets:['gmail'],hmac:{secret:'s',header:'X-Sig'},mappings:[\
             {id:'ci',match:{path:'/ci'},action:'wake',wakeMode:'next-heartbeat',textTemplate:'{{a}}'},\
             {match:{source:'door'},messageTemplate:'ring',deliver:false,thinking:'low',timeoutSeconds:5}]}}",
        )
        .unwrap();
        assert_eq!(hooks.path, "/in");
        assert_eq!(hooks.hmac.unwrap().header, "x-sig");
        let ids: Vec<_> = hooks.mappings.iter().map(|mapping| mapping.id.as_str()).collect();
        assert_eq!(ids, ["ci", "mapping-2", "gmail"]);
        assert!(hooks.mappings[0].wakes && !hooks.mappings[0].now);
        assert!(!hooks.mappings[1].deliver && hooks.mappings[1].thinking.is_some());
    }

    #[test]
    fn mappings_that_could_never_work_are_problems() {
        for (text, expected) in [
            ("{hooks:{mappings:[{match:{path:'a'}}]}}", "needs a `messageTemplate`"),
            ("{hooks:{mappings:[{action:'wake',textTemplate:'x'}]}}", "needs `match.path` or `match.source`"),
            ("{hooks:{presets:['x']}}", "`gmail`"),
            ("{hooks:{path:'/'}}", "expected a path like /hooks"),
        ] {
            assert!(read(text).unwrap_err()[0].contains(expected), "{text}");
        }
    }
}
