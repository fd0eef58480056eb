//! The keys of tools and approvals. A part of the table of [`super::keys`] and nothing else.

use super::keys::{Key, TEXT, Type, key};

/// The keys.
pub(super) const TOOLS: &[Key] = &[
    key(
        "tools.profile",
        Type::Choice(&["minimal", "coding", "messaging", "full"]),
        "full",
        "which tools agents have: what tells about the session; files, commands, sessions and notes; messages and sessions; all",
    ),
    key("tools.alsoAllow", Type::Texts, "none", "tools or groups (`group:fs`) beside those of the profile"),
    key(
        "tools.allow",
        Type::Texts,
        "all of the profile",
        "only these tools or groups; `*` at the end stands for the rest",
    ),
    key("tools.deny", Type::Texts, "none", "tools or groups that no agent has"),
    key(
        "tools.policy[].tools",
        Type::Texts,
        "all",
        "tools or groups that the rule is about; the first rule that fits a call counts, docs/tools.md has what holds without one",
    ),
    key("tools.policy[].agents", Type::Texts, "all", "agents that it is about"),
    key(
        "tools.policy[].sessions",
        Type::Texts,
        "all",
        "session keys that it is about; `*` at the end stands for the rest",
    ),
    key(
        "tools.policy[].channels",
        Type::Texts,
        "all",
        "where the request came from: channels, or `operator`, `node`, `schedule`, `heartbeat`, `hook`",
    ),
    key("tools.policy[].senders", Type::Texts, "all", "people on channels, such as `telegram:77` or `@ann`"),
    key(
        "tools.policy[].decision",
        Type::Choice(&["allow", "ask", "deny"]),
        "deny",
        "whether the call runs, runs when somebody approved it, or doesn't run",
    ),
    key(
        "tools.elevated.allowFrom.*",
        Type::Anything,
        "nobody",
        "by channel: people who count as the owner, as texts or numbers",
    ),
    key(
        "tools.exec.security",
        Type::Choice(&["deny", "allowlist", "full"]),
        "allowlist",
        "which commands run on this machine: none, those of exec-approvals.json, all",
    ),
    key(
        "tools.exec.ask",
        Type::Choice(&["off", "on-miss", "always"]),
        "on-miss",
        "whether somebody is asked: never, for what is not on the list, each time",
    ),
    key("tools.exec.timeoutSec", Type::Whole(1, 3600), "120", "longest time of a command, seconds"),
    key(
        "tools.exec.shell",
        Type::Flag,
        "false",
        "whether a command may be a text for a shell instead of a list of arguments",
    ),
    key(
        "tools.exec.sandbox",
        Type::Flag,
        "true",
        "whether commands see the file system read-only but for the workspace; where the kernel can't do that they don't run",
    ),
    key("tools.exec.writable", Type::Texts, "none", "directories beside the workspace that they may write to"),
    key(
        "tools.web.fetch.hosts",
        Type::Texts,
        "none",
        "hosts that pages are fetched from without asking; `.example.org` stands for all below it",
    ),
    key(
        "tools.web.fetch.private",
        Type::Texts,
        "none",
        "addresses or networks of the home that pages may be fetched from",
    ),
    key("approvals.exec.enabled", Type::Flag, "true", "whether questions also go to chats"),
    key(
        "approvals.exec.mode",
        Type::Choice(&["session", "targets", "both"]),
        "both",
        "which chats: where the question came up, if an owner is there; `targets`; both",
    ),
    key("approvals.exec.targets[].channel", Type::Text(64), "required", "channel of a chat that hears of questions"),
    key("approvals.exec.targets[].to", Type::Text(TEXT), "required", "the chat; who writes there may answer"),
    key("approvals.exec.targets[].accountId", Type::Text(256), "the channel's own", "account"),
];
