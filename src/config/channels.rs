//! `channels` and `bindings`: which accounts there are on which channels, who may write to them, and
//! which agent answers (methods.md 9.4 and 7.1). What a channel needs to connect stays in its own keys.

use std::collections::BTreeMap;

use serde_json::Value;

use super::problem::Notes;
use super::tree::{Field, Kind, Node};

/// The account when the file names none.
pub const DEFAULT_ACCOUNT: &str = "default";
/// The entry of a list of senders that means everybody.
pub const EVERYBODY: &str = "*";
/// Characters of one message when the file says nothing (methods.md 9.4).
const CHUNK_CHARS: usize = 4000;
/// The same on Discord.
const DISCORD_CHARS: usize = 2000;

/// A channel that the file may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Its id.
    pub id: &'static str,
    /// Its credentials: the key in the file, the account's field that tells where it comes from, and the
    /// environment variable that holds it for the default account.
    pub credentials: &'static [(&'static str, &'static str, &'static str)],
}

/// The channels that the field knows, in its order (methods.md 11.1), and ours. Other names are accepted
/// with a warning.
pub const KNOWN: &[Known] = &[
    Known { id: "telegram", credentials: &[("botToken", "tokenSource", "TELEGRAM_BOT_TOKEN")] },
    Known { id: "whatsapp", credentials: &[] },
    Known { id: "discord", credentials: &[("token", "tokenSource", "DISCORD_BOT_TOKEN")] },
    Known { id: "googlechat", credentials: &[] },
    Known {
        id: "slack",
        credentials: &[
            ("botToken", "botTokenSource", "SLACK_BOT_TOKEN"),
            ("appToken", "appTokenSource", "SLACK_APP_TOKEN"),
        ],
    },
    Known { id: "signal", credentials: &[] },
    Known { id: "imessage", credentials: &[] },
    Known { id: "loopback", credentials: &[] },
];

/// Whether the file may name a channel without a warning.
#[must_use]
pub fn is_known(id: &str) -> bool {
    KNOWN.iter().any(|known| known.id == id)
}

/// The `channels` and `bindings` sections.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Channels {
    /// The named channels by id, `defaults` left out; those that nobody knows too.
    pub list: BTreeMap<String, Channel>,
    /// Which agent answers whom, in the order of the file.
    pub bindings: Vec<Binding>,
}

/// One channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Channel {
    /// Its accounts by id; at least one.
    pub accounts: BTreeMap<String, Account>,
}

/// One account on a channel.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Account {
    /// Name for people.
    pub name: Option<String>,
    /// Whether it is to be used.
    pub enabled: bool,
    /// Who may write to it directly.
    pub dm_policy: DmPolicy,
    /// Senders that may; [`EVERYBODY`] for all.
    pub allow_from: Vec<String>,
    /// Who may write in groups.
    pub group_policy: GroupPolicy,
    /// Senders that may, in groups; `None` for those of `allow_from`.
    pub group_allow_from: Option<Vec<String>>,
    /// Groups by id, or [`EVERYBODY`]; empty when the file lists none.
    pub groups: BTreeMap<String, Group>,
    /// Most characters of one message.
    pub chunk_chars: usize,
    /// Where long texts are split.
    pub chunk_mode: ChunkMode,
    /// By field of the account: `config`, `env`, `tokenFile` or `none`.
    pub sources: BTreeMap<&'static str, &'static str>,
    /// Differs when any key of the account, its channel or the defaults does.
    pub print: [u8; 32],
}

/// Who may write to an account directly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DmPolicy {
    /// Strangers get a code that the owner approves.
    #[default]
    Pairing,
    /// Those on the list.
    Allowlist,
    /// Everybody.
    Open,
    /// Nobody.
    Disabled,
}

impl DmPolicy {
    /// The name in the configuration and on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pairing => "pairing",
            Self::Allowlist => "allowlist",
            Self::Open => "open",
            Self::Disabled => "disabled",
        }
    }
}

/// Who may write in groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GroupPolicy {
    /// Everybody.
    Open,
    /// Nobody.
    Disabled,
    /// Those on the list.
    #[default]
    Allowlist,
}

/// Where long texts are split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ChunkMode {
    /// Only what is too long, between paragraphs, lines or words.
    #[default]
    Length,
    /// Each paragraph is a message.
    Newline,
}

/// A group of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Whether messages from it are looked at.
    pub enabled: bool,
    /// Whether only messages that name us are answered.
    pub require_mention: bool,
    /// Senders that may write there; `None` for those of the account.
    pub allow_from: Option<Vec<String>>,
}

/// Who is answered by which agent (methods.md 7.1).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Binding {
    /// The agent's id as written.
    pub agent_id: String,
    /// The channel.
    pub channel: String,
    /// The account; [`EVERYBODY`] for all, the default one when `None`.
    pub account_id: Option<String>,
    /// Kind (`dm`, `group` or `channel`) and id of the peer.
    pub peer: Option<(String, String)>,
    /// Discord's guild.
    pub guild_id: Option<String>,
    /// Slack's team.
    pub team_id: Option<String>,
}

pub(super) fn read(root: &Field<'_>, env: &BTreeMap<String, String>, notes: &mut Notes<'_>) -> Channels {
    let mut channels = Channels { bindings: read_bindings(root, notes), ..Channels::default() };
    let Some(section) = root.find("channels") else { return channels };
    let base = section.find("defaults");
    for (id, field) in section.entries() {
        if id == "defaults" {
            continue;
        }
        let mut accounts = BTreeMap::new();
        for (account_id, own) in field.find("accounts").map(|accounts| accounts.entries()).unwrap_or_default() {
            let layers = Layers(vec![Some(own), Some(field.clone()), base.clone()]);
            accounts.insert(account_id.to_owned(), read_account(id, account_id, &layers, env, notes));
        }
        if accounts.is_empty() {
            let layers = Layers(vec![Some(field.clone()), base.clone()]);
            accounts.insert(DEFAULT_ACCOUNT.to_owned(), read_account(id, DEFAULT_ACCOUNT, &layers, env, notes));
        }
        channels.list.insert(id.to_owned(), Channel { accounts });
    }
    channels
}

/// The places where a key of an account may stand, the nearest first.
struct Layers<'n>(Vec<Option<Field<'n>>>);

impl<'n> Layers<'n> {
    fn find(&self, path: &str) -> Option<Field<'n>> {
        self.0.iter().flatten().find_map(|field| field.find(path))
    }

    /// All of them as one value.
    fn joined(&self) -> Node {
        Node { at: 0, kind: Kind::List(self.0.iter().flatten().map(|field| field.node.clone()).collect()) }
    }

    fn text(&self, path: &str) -> Option<&'n str> {
        self.find(path).and_then(|field| field.filled_text())
    }
}

fn read_account(
    channel: &str,
    id: &str,
    layers: &Layers<'_>,
    env: &BTreeMap<String, String>,
    notes: &mut Notes<'_>,
) -> Account {
    let dm_policy = match layers.text("dmPolicy").or_else(|| layers.text("dm.policy")) {
        Some("allowlist") => DmPolicy::Allowlist,
        Some("open") => DmPolicy::Open,
        Some("disabled") => DmPolicy::Disabled,
        _ => DmPolicy::Pairing,
    };
    let own_senders = layers.find("allowFrom").or_else(|| layers.find("dm.allowFrom"));
    let allow_from = own_senders.map(|field| names(&field, notes)).unwrap_or_default();
    let policy_field = layers.find("dmPolicy").or_else(|| layers.find("dm.policy"));
    if let Some(field) = policy_field.filter(|_| dm_policy == DmPolicy::Open) {
        if !allow_from.iter().any(|name| name == EVERYBODY) {
            notes.problem(&field, "`open` lets everybody in, so `allowFrom` has to hold \"*\"");
        }
    }
    // An account is off when it or its channel is.
    let enabled = layers.0.iter().flatten().all(|field| field.find("enabled").and_then(|f| f.flag()) != Some(false));
    let chunk = layers.find("textChunkLimit").and_then(|field| field.whole());
    let chunk = chunk.and_then(|chars| usize::try_from(chars).ok());
    Account {
        name: layers.0.first().and_then(|own| own.as_ref()?.find("name")?.filled_text().map(str::to_owned)),
        enabled,
        dm_policy,
        allow_from,
        group_policy: match layers.text("groupPolicy") {
            Some("open") => GroupPolicy::Open,
            Some("disabled") => GroupPolicy::Disabled,
            _ => GroupPolicy::Allowlist,
        },
        group_allow_from: layers.find("groupAllowFrom").map(|field| names(&field, notes)),
        groups: layers.find("groups").map(|field| read_groups(&field, notes)).unwrap_or_default(),
        chunk_chars: chunk.unwrap_or(if channel == "discord" { DISCORD_CHARS } else { CHUNK_CHARS }),
        chunk_mode: match layers.text("chunkMode") {
            Some("newline") => ChunkMode::Newline,
            _ => ChunkMode::Length,
        },
        sources: sources(channel, id, layers, env),
        print: super::digest_of(&layers.joined()),
    }
}

/// Where an account's credentials come from; the environment is the default account's.
fn sources(
    channel: &str,
    id: &str,
    layers: &Layers<'_>,
    env: &BTreeMap<String, String>,
) -> BTreeMap<&'static str, &'static str> {
    let known = KNOWN.iter().find(|known| known.id == channel);
    let credentials = known.map_or(&[][..], |known| known.credentials);
    let source = |key: &str, variable: &str| {
        if layers.text(key).is_some() {
            "config"
        } else if layers.text("tokenFile").is_some() {
            "tokenFile"
        } else if id == DEFAULT_ACCOUNT && env.get(variable).is_some_and(|value| !value.trim().is_empty()) {
            "env"
        } else {
            "none"
        }
    };
    credentials.iter().map(|(key, field, variable)| (*field, source(key, variable))).collect()
}

/// A list of senders or groups, which may be written as texts or numbers.
pub(super) fn names(field: &Field<'_>, notes: &mut Notes<'_>) -> Vec<String> {
    if !matches!(field.node.kind, Kind::List(_)) {
        notes.problem(field, format!("expected a list of texts or numbers, found {}", field.node.describe_type()));
    }
    let mut out = Vec::new();
    for item in field.items() {
        match item.node.to_json() {
            Value::String(text) => out.push(text.trim().to_owned()),
            Value::Number(number) => out.push(number.to_string()),
            _ => notes.problem(&item, format!("expected a text or a number, found {}", item.node.describe_type())),
        }
    }
    out
}

fn read_groups(field: &Field<'_>, notes: &mut Notes<'_>) -> BTreeMap<String, Group> {
    let flag = |group: &Field<'_>, name: &str| group.find(name).and_then(|field| field.flag()).unwrap_or(true);
    let groups = field.entries().into_iter();
    groups
        .map(|(id, group)| {
            let rule = Group {
                enabled: flag(&group, "enabled"),
                require_mention: flag(&group, "requireMention"),
                allow_from: group.find("allowFrom").map(|list| names(&list, notes)),
            };
            (id.to_owned(), rule)
        })
        .collect()
}

fn read_bindings(root: &Field<'_>, notes: &mut Notes<'_>) -> Vec<Binding> {
    let mut bindings = Vec::new();
    for item in root.find("bindings").map(|list| list.items()).unwrap_or_default() {
        let text = |path: &str| item.find(path).and_then(|field| field.filled_text().map(str::to_owned));
        let (Some(agent_id), Some(channel)) = (text("agentId"), text("match.channel")) else {
            notes.problem(&item, "a binding needs `agentId` and `match.channel`");
            continue;
        };
        let peer = text("match.peer.kind").zip(text("match.peer.id"));
        bindings.push(Binding {
            agent_id,
            channel: channel.to_lowercase(),
            account_id: text("match.accountId"),
            peer,
            guild_id: text("match.guildId"),
            team_id: text("match.teamId"),
        });
    }
    bindings
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    fn parse(text: &str) -> Result<(Channels, Vec<String>), Vec<String>> {
        let env = BTreeMap::from([("DISCORD_BOT_TOKEN".to_owned(), "t".to_owned())]);
        match Config::parse(text, "f", &env) {
            Ok((config, warnings)) => Ok((config.channels, warnings.iter().map(ToString::to_string).collect())),
            Err(problems) => Err(problems.iter().map(ToString::to_string).collect()),
        }
    }

    #[test]
    fn an_account_has_its_own_keys_then_its_channels_then_the_defaults() {
        let text = "{channels:{defaults:{groupPolicy:'open'}, telegram:{botToken:'x',dmPolicy:'allowlist',allowFrom:[77,'@ann'],
            accounts:{a:{name:'A',dmPolicy:'disabled'},b:{enabled:false,textChunkLimit:100}}}, discord:{}}}";
        let (channels, warnings) = parse(text).unwrap();
        assert_eq!(warnings, Vec::<String>::new());
        let accounts = &channels.list["telegram"].accounts;
        assert_eq!((accounts["a"].dm_policy, accounts["b"].dm_policy), (DmPolicy::Disabled, DmPolicy::Allowlist));
        assert_eq!(accounts["a"].allow_from, ["77", "@ann"]);
        assert_eq!((accounts["a"].enabled, accounts["b"].enabled), (true, false));
        assert_eq!((accounts["a"].chunk_chars, accounts["b"].chunk_chars), (4000, 100));
        assert_eq!(accounts["a"].group_policy, GroupPolicy::Open);
        assert_eq!(accounts["a"].sources["tokenSource"], "config");
        let discord = &channels.list["discord"].accounts["default"];
        assert_eq!((discord.sources["tokenSource"], discord.chunk_chars), ("env", 2000));
    }

    #[test]
    fn unknown_channels_are_accepted_and_open_needs_everybody() {
        let (channels, warnings) = parse("{channels:{carrier:{pigeons:3}}}").unwrap();
        assert!(channels.list.contains_key("carrier"));
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(parse("{channels:{loopback:{dmPolicy:'open'}}}").unwrap_err()[0].contains("everybody"));
        assert!(parse("{channels:{loopback:{dmPolicy:'open',allowFrom:['*']}}}").is_ok());
        assert!(parse("{channels:{telegram:{dmPolicy:'maybe'}}}").unwrap_err()[0].contains("expected one of"));
        assert!(parse("{channels:{telegram:{accounts:{a:{botToken:7}}}}}").unwrap_err()[0].contains("secret"));
        let (_, warnings) = parse("{channels:{telegram:{botTokn:'x'}}}").unwrap();
        assert!(warnings[0].contains("did you mean `botToken`"), "{warnings:?}");
    }

    #[test]
    fn bindings_name_an_agent_and_a_channel() {
        let (channels, _) = parse(
            "{bindings:[{agentId:'Work',match:{channel:'Slack',peer:{kind:'dm',id:'U1'}}}], channels:{loopback:{groups:{'*':{requireMention:false}}}}}",
        )
        .unwrap();
        assert_eq!(channels.bindings[0].peer, Some(("dm".into(), "U1".into())));
        assert_eq!(channels.bindings[0].channel, "slack");
        assert!(!channels.list["loopback"].accounts["default"].groups["*"].require_mention);
        assert!(parse("{bindings:[{agentId:'x'}]}").is_err());
    }
}
