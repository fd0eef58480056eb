//! `tools` and `approvals`: what agents may do, for whom, and who is asked (methods.md 9.5; the rules are ours).

use std::collections::BTreeMap;

use super::problem::Notes;
use super::tree::Field;

/// The `tools` section, with `approvals.exec`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tools {
    /// Which tools there are at all.
    pub profile: Profile,
    /// Further tools beside those of the profile.
    pub also_allow: Vec<String>,
    /// Only these, if any are named.
    pub allow: Vec<String>,
    /// None of these.
    pub deny: Vec<String>,
    /// Decisions for some agents, sessions, ways or senders; the first that fits counts.
    pub rules: Vec<Rule>,
    /// By channel: people who count as the owner.
    pub owners: BTreeMap<String, Vec<String>>,
    /// Commands on this machine.
    pub exec: Exec,
    /// Pages.
    pub fetch: Fetch,
    /// Who else is asked for approvals.
    pub forward: Forward,
}

/// A group of tools that go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// Only what tells about the session.
    Minimal,
    /// Files, commands, sessions and notes.
    Coding,
    /// Messages and sessions.
    Messaging,
    /// All.
    #[default]
    Full,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Decision {
    /// It runs.
    Allow,
    /// Somebody is asked first.
    Ask,
    /// It doesn't run.
    Deny,
}

impl Decision {
    /// The word in the configuration and in the audit log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Ask => "ask",
            Self::Deny => "deny",
        }
    }
}

/// `tools.policy[]`. An empty list fits everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Names and groups of tools.
    pub tools: Vec<String>,
    /// Agents.
    pub agents: Vec<String>,
    /// Session keys; a `*` at the end stands for the rest.
    pub sessions: Vec<String>,
    /// Ways: channels, or `operator`, `node`, `schedule`, `heartbeat`, `hook`.
    pub channels: Vec<String>,
    /// People on channels.
    pub senders: Vec<String>,
    /// What becomes of the call.
    pub decision: Decision,
}

/// `tools.exec`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exec {
    /// What may run on this machine.
    pub security: Security,
    /// When somebody is asked.
    pub ask: Ask,
    /// Longest time of a command, seconds.
    pub timeout_s: u64,
    /// Whether a shell may be among what runs.
    pub shell: bool,
    /// Whether commands run in a sandbox; without one they don't run at all then.
    pub sandbox: bool,
    /// Directories besides the workspace that commands may write to in the sandbox.
    pub writable: Vec<String>,
}

impl Default for Exec {
    fn default() -> Self {
        Self {
            security: Security::default(),
            ask: Ask::default(),
            timeout_s: EXEC_SECONDS,
            shell: false,
            sandbox: true,
            writable: Vec::new(),
        }
    }
}

/// What may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Security {
    /// Nothing.
    Deny,
    /// What is on the list of exec approvals; `ask` says what becomes of the rest.
    #[default]
    Allowlist,
    /// Everything.
    Full,
}

/// When somebody is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ask {
    /// Never.
    Off,
    /// For what is not on the list.
    #[default]
    OnMiss,
    /// Each time.
    Always,
}

/// `tools.web.fetch`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fetch {
    /// Hosts that are fetched from without asking; `.example.org` stands for all below it.
    pub hosts: Vec<String>,
    /// Addresses or networks inside the home that may be fetched from all the same.
    pub private: Vec<String>,
}

/// `approvals.exec`: where questions go beside the clients that are connected.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forward {
    /// Whether they go anywhere else.
    pub enabled: bool,
    /// Whether to the chat in which the question came up, if an owner is there.
    pub to_session: bool,
    /// Further chats.
    pub targets: Vec<ForwardTarget>,
}

/// A chat that hears of questions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardTarget {
    /// The channel.
    pub channel: String,
    /// The chat.
    pub to: String,
    /// The account; the channel's own when `None`.
    pub account_id: Option<String>,
}

/// Longest time of a command when the file says nothing, seconds.
const EXEC_SECONDS: u64 = 120;

pub(super) fn read(root: &Field<'_>, notes: &mut Notes<'_>) -> Tools {
    let word = |path: &str| root.find(path).and_then(|field| field.filled_text());
    let texts = |path: &str| root.find(path).map(|field| texts_of(&field)).unwrap_or_default();
    let flag = |path: &str| root.find(path).and_then(|field| field.flag());
    let mut owners = BTreeMap::new();
    for (channel, list) in root.find("tools.elevated.allowFrom").map(|field| field.entries()).unwrap_or_default() {
        owners.insert(channel.to_owned(), super::channels::names(&list, notes));
    }
    let policy = root.find("tools.policy").map(|field| field.items()).unwrap_or_default();
    let mut targets = Vec::new();
    for item in root.find("approvals.exec.targets").map(|field| field.items()).unwrap_or_default() {
        let text = |name: &str| item.find(name).and_then(|field| field.filled_text().map(str::to_owned));
        match (text("channel"), text("to")) {
            (Some(channel), Some(to)) => targets.push(ForwardTarget { channel, to, account_id: text("accountId") }),
            _ => notes.problem(&item, "a target needs `channel` and `to`"),
        }
    }
    Tools {
        profile: match word("tools.profile") {
            Some("minimal") => Profile::Minimal,
            Some("coding") => Profile::Coding,
            Some("messaging") => Profile::Messaging,
            _ => Profile::Full,
        },
        also_allow: texts("tools.alsoAllow"),
        allow: texts("tools.allow"),
        deny: texts("tools.deny"),
        rules: policy.iter().map(rule).collect(),
        owners,
        exec: Exec {
            security: match word("tools.exec.security") {
                Some("deny") => Security::Deny,
                Some("full") => Security::Full,
                _ => Security::Allowlist,
            },
            ask: match word("tools.exec.ask") {
                Some("off") => Ask::Off,
                Some("always") => Ask::Always,
                _ => Ask::OnMiss,
            },
            timeout_s: root.find("tools.exec.timeoutSec").and_then(|field| field.whole()).unwrap_or(EXEC_SECONDS),
            shell: flag("tools.exec.shell").unwrap_or(false),
            sandbox: flag("tools.exec.sandbox").unwrap_or(true),
            writable: texts("tools.exec.writable"),
        },
        fetch: Fetch {
            hosts: texts("tools.web.fetch.hosts").iter().map(|host| host.to_lowercase()).collect(),
            private: texts("tools.web.fetch.private"),
        },
        forward: Forward {
            enabled: flag("approvals.exec.enabled").unwrap_or(true),
            to_session: word("approvals.exec.mode") != Some("targets"),
            targets: if word("approvals.exec.mode") == Some("session") { Vec::new() } else { targets },
        },
    }
}

fn rule(field: &Field<'_>) -> Rule {
    let texts = |name: &str| field.find(name).map(|list| texts_of(&list)).unwrap_or_default();
    Rule {
        tools: texts("tools"),
        agents: texts("agents"),
        sessions: texts("sessions"),
        channels: texts("channels"),
        senders: texts("senders"),
        decision: match field.find("decision").and_then(|field| field.text()) {
            Some("allow") => Decision::Allow,
            Some("ask") => Decision::Ask,
            // The word is checked; a rule without one must not open anything.
            _ => Decision::Deny,
        },
    }
}

fn texts_of(list: &Field<'_>) -> Vec<String> {
    list.items().iter().filter_map(|item| item.filled_text().map(|text| text.trim().to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    fn parse(text: &str) -> Result<Tools, Vec<String>> {
        let read = Config::parse(text, "f", &BTreeMap::new());
        read.map(|(config, _)| config.tools).map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn rules_owners_and_targets_are_read() {
        let tools = parse(
            "{tools:{profile:'messaging',deny:['exec'],elevated:{allowFrom:{telegram:[77,'@ann']}},
              policy:[{tools:['nodes'],channels:['telegram'],senders:['telegram:77'],decision:'allow'}],
              exec:{security:'full',ask:'always',timeoutSec:5},web:{fetch:{hosts:['Example.ORG']}}},
              approvals:{exec:{mode:'targets',targets:[{channel:'telegram',to:'77'}]}}}",
        )
        .unwrap();
        assert_eq!((tools.profile, tools.deny.as_slice()), (Profile::Messaging, &["exec".to_owned()][..]));
        assert_eq!(tools.owners["telegram"], ["77", "@ann"]);
        assert_eq!(tools.rules[0].decision, Decision::Allow);
        assert_eq!((tools.exec.security, tools.exec.ask, tools.exec.timeout_s), (Security::Full, Ask::Always, 5));
        assert_eq!(tools.fetch.hosts, ["example.org"]);
        assert!(!tools.forward.to_session && tools.forward.enabled && tools.forward.targets.len() == 1);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, expected) in [
            ("{tools:{policy:[{tools:['x'],decision:'perhaps'}]}}", "one of `allow`, `ask`, `deny`"),
            ("{tools:{exec:{security:'some'}}}", "one of `deny`"),
            ("{approvals:{exec:{targets:[{channel:'telegram'}]}}}", "`channel` and `to`"),
        ] {
            let problems = parse(text).unwrap_err();
            assert!(problems[0].contains(expected), "{problems:?}");
        }
        assert_eq!(
            parse("{}").unwrap(),
            Tools { forward: Forward { enabled: true, to_session: true, targets: Vec::new() }, ..Tools::default() }
        );
    }
}
