//! Every key of the configuration, declared once: the checks, the "did you mean" hints and
//! `docs/configuration.md` come from these rows.
//!
//! In a path `*` stands for any name and `[]` for every entry of a list. The keys of
//! `gateway.limits` are the rows of [`Limits::ROWS`].

use std::fmt;

use super::service_keys::SERVICES;
use super::tool_keys::TOOLS;
pub(super) use super::unused_keys::UNUSED;

/// What a value has to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Type {
    /// `true` or `false`.
    Flag,
    /// A text of at most so many characters.
    Text(usize),
    /// A text that no message may show.
    Secret,
    /// A whole number within these bounds.
    Whole(u64, u64),
    /// A number from 0.
    Amount,
    /// One of these texts.
    Choice(&'static [&'static str]),
    /// A list of texts.
    Texts,
    /// Anything; accepted for configurations of the field's original, without effect here.
    Anything,
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("true or false"),
            Self::Text(_) => f.write_str("a text"),
            Self::Secret => f.write_str("a secret text"),
            Self::Whole(min, max) => write!(f, "a whole number from {min} to {max}"),
            Self::Amount => f.write_str("a number from 0"),
            Self::Choice(names) => write!(f, "one of `{}`", names.join("`, `")),
            Self::Texts => f.write_str("a list of texts"),
            Self::Anything => f.write_str("anything"),
        }
    }
}

/// One row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    pub(super) path: &'static str,
    pub(super) value: Type,
    /// For the documentation.
    pub(super) default: &'static str,
    pub(super) doc: &'static str,
}

pub(super) const fn key(path: &'static str, value: Type, default: &'static str, doc: &'static str) -> Key {
    Key { path, value, default, doc }
}

/// Longest text where nothing shorter is asked for, characters.
pub(super) const TEXT: usize = 4096;
/// Log levels, quietest first (methods.md 9.5).
const LEVELS: Type = Type::Choice(&["silent", "fatal", "error", "warn", "info", "debug", "trace"]);
/// Who may write directly, and in groups (methods.md 9.4).
const DM_POLICY: Type = Type::Choice(&["pairing", "allowlist", "open", "disabled"]);
const GROUP_POLICY: Type = Type::Choice(&["open", "disabled", "allowlist"]);
/// Wire formats of [`super::models::Api`].
const API: &str = "wire format: `openai-completions`, `anthropic-messages` or `ollama-chat`; a provider with another one is left out with a warning";
const MODEL: &str = "model reference: `provider/id`, an alias, or an id of the default provider";

/// The keys that have a meaning in this version.
pub(super) fn keys() -> impl Iterator<Item = &'static Key> {
    CORE.iter().chain(SERVICES).chain(TOOLS)
}

/// Those of the gateway itself, its agents and its models.
const CORE: &[Key] = &[
    key("meta", Type::Anything, "-", "written by the field's original; not looked at"),
    key("gateway.mode", Type::Choice(&["local"]), "local", "this program is always the gateway itself"),
    key("gateway.port", Type::Whole(1, 65535), "18789", "TCP port for HTTP and WebSocket"),
    key(
        "gateway.bind",
        Type::Text(64),
        "loopback",
        "where to listen: `loopback`, `auto` (the same: it never opens up by itself), `lan` (every IPv4 address), `custom` (see customBindHost), or an IP address",
    ),
    key("gateway.customBindHost", Type::Text(64), "-", "IP address to listen on when bind is `custom`"),
    key(
        "gateway.auth.mode",
        Type::Choice(&["token", "password"]),
        "password if one is set, else token",
        "what clients have to show",
    ),
    key(
        "gateway.auth.token",
        Type::Secret,
        "BARNACLE_TOKEN, else the file `token` in the state directory (made at the first start)",
        "shared token; at least 16 characters when others can reach the port",
    ),
    key(
        "gateway.auth.password",
        Type::Secret,
        "BARNACLE_PASSWORD",
        "shared password; at least 8 characters when others can reach the port",
    ),
    key(
        "gateway.trustedProxies",
        Type::Texts,
        "none",
        "IP addresses or networks (`10.0.0.0/8`) whose forwarding headers are believed",
    ),
    key("gateway.allowedOrigins", Type::Texts, "none", "further web origins that may connect, `https://host[:port]`"),
    key(
        "gateway.allowedHosts",
        Type::Texts,
        "none",
        "further names that clients may put into the Host header, without port",
    ),
    key(
        "gateway.auth.allowTailscale",
        Type::Flag,
        "false",
        "whether a login that Tailscale Serve names opens the door to a paired device; the Tailscale daemon is asked each time",
    ),
    key(
        "gateway.http.endpoints.chatCompletions.enabled",
        Type::Flag,
        "false",
        "whether `/v1/chat/completions` answers in OpenAI's form",
    ),
    key(
        "gateway.http.endpoints.responses.enabled",
        Type::Flag,
        "false",
        "whether `/v1/responses` answers in the form of OpenAI's newer interface",
    ),
    key(
        "gateway.http.endpoints.tools.enabled",
        Type::Flag,
        "false",
        "whether `/tools/invoke` runs the tools of `gateway.tools.allow`",
    ),
    key("gateway.http.endpoints.metrics.enabled", Type::Flag, "true", "whether `/metrics` answers who has the secret"),
    key("gateway.http.endpoints.healthz.enabled", Type::Flag, "true", "whether `/healthz` and `/readyz` answer"),
    key(
        "gateway.controlUi.allowInsecureAuth",
        Type::Flag,
        "false",
        "whether a control page opened over plain HTTP may connect with the shared secret alone",
    ),
    key("gateway.controlUi.enabled", Type::Anything, "-", "accepted, without effect"),
    key("gateway.controlUi.basePath", Type::Anything, "-", "accepted, without effect"),
    key(
        "gateway.nodes.allowCommands",
        Type::Texts,
        "none",
        "commands that nodes of every platform may be asked to run, beside those of their platform",
    ),
    key("gateway.nodes.denyCommands", Type::Texts, "none", "commands that no node may be asked to run"),
    key("gateway.tools.allow", Type::Texts, "none", "tools that `/tools/invoke` may run"),
    key(
        "gateway.reload.mode",
        Type::Choice(&["hybrid", "hot", "restart", "off"]),
        "hybrid",
        "what a change of this file does: what can be is applied at once and the rest by a restart (`hybrid`), only the former (`hot`), every change restarts (`restart`), nothing (`off`)",
    ),
    key(
        "gateway.reload.debounceMs",
        Type::Whole(0, 60_000),
        "300",
        "how long the file has to be unchanged before a change counts, ms",
    ),
    key("agents.defaults.model", Type::Text(256), "-", MODEL),
    key("agents.defaults.model.primary", Type::Text(256), "anthropic/claude-opus-4-5", MODEL),
    key(
        "agents.defaults.model.fallbacks",
        Type::Texts,
        "none",
        "models to try in this order when the primary one fails",
    ),
    key(
        "agents.defaults.models.*.alias",
        Type::Text(64),
        "-",
        "another name of the model; `agents.defaults.models` as a whole is the list of allowed models, and all are allowed without it",
    ),
    key(
        "agents.defaults.workspace",
        Type::Text(TEXT),
        "`workspace` in the state directory",
        "directory with the agent's files; `~/` is the home directory",
    ),
    key(
        "agents.defaults.bootstrapMaxChars",
        Type::Whole(0, 1_000_000),
        "20000",
        "most characters of one workspace file in the prompt",
    ),
    key(
        "agents.defaults.contextTokens",
        Type::Whole(1000, 10_000_000),
        "the model's window",
        "tokens of conversation and answer together",
    ),
    key(
        "agents.defaults.thinkingDefault",
        Type::Choice(&["off", "minimal", "low", "medium", "high", "xhigh"]),
        "low for models that can think, else off",
        "how much a model thinks first",
    ),
    key("agents.defaults.verboseDefault", Type::Choice(&["off", "on", "full"]), "off", "whether tool calls are shown"),
    key("agents.defaults.timeoutSeconds", Type::Whole(1, 86_400), "600", "longest run, seconds"),
    key("agents.defaults.maxConcurrent", Type::Whole(1, 64), "4", "runs at the same time"),
    key("agents.defaults.subagents.maxConcurrent", Type::Whole(1, 64), "8", "runs of helpers at the same time"),
    key(
        "agents.defaults.heartbeat.every",
        Type::Text(32),
        "30m",
        "how often it looks around by itself: a number with `ms`, `s`, `m`, `h` or `d`, minutes without one; `0m` is never. No model is asked when no event waits, HEARTBEAT.md in the workspace has nothing, and no `prompt` is set",
    ),
    key(
        "agents.defaults.heartbeat.target",
        Type::Text(64),
        "last",
        "where an answer that is more than HEARTBEAT_OK goes: `last` for the session's last channel, `none`, or a channel",
    ),
    key("agents.defaults.heartbeat.to", Type::Text(256), "the last one", "recipient on that channel"),
    key("agents.defaults.heartbeat.session", Type::Text(512), "main", "session in which it happens"),
    key("agents.defaults.heartbeat.model", Type::Text(256), "the session's", "model of heartbeats alone"),
    key("agents.defaults.heartbeat.prompt", Type::Text(TEXT), "built in", "what the agent is asked"),
    key(
        "agents.defaults.heartbeat.ackMaxChars",
        Type::Whole(0, 100_000),
        "300",
        "an answer with HEARTBEAT_OK and at most so many other characters goes nowhere",
    ),
    key("agents.defaults.heartbeat.includeReasoning", Type::Flag, "false", "accepted, without effect"),
    key(
        "agents.defaults.heartbeat.activeHours.start",
        Type::Text(8),
        "00:00",
        "first minute of the hours outside which it is quiet",
    ),
    key(
        "agents.defaults.heartbeat.activeHours.end",
        Type::Text(8),
        "24:00",
        "their end; before `start` when they go past midnight",
    ),
    key(
        "agents.defaults.heartbeat.activeHours.timezone",
        Type::Text(64),
        "the host's",
        "whose hours: `user` or `local` for the host's zone, or an IANA name",
    ),
    key(
        "agents.defaults.heartbeat.maxTokensPerDay",
        Type::Whole(0, 1_000_000_000_000),
        "no ceiling",
        "tokens that heartbeats may use within a day of the host's zone; the one that reaches it is the last",
    ),
    key(
        "agents.list[].id",
        Type::Text(64),
        "required",
        "id of the agent: small letters, digits, `_` and `-`; without a list there is one agent `main`",
    ),
    key("agents.list[].default", Type::Flag, "false", "whether it answers when no agent is named; else the first does"),
    key("agents.list[].name", Type::Text(128), "-", "name for people"),
    key("agents.list[].workspace", Type::Text(TEXT), "agents.defaults.workspace", "its own workspace"),
    key("agents.list[].model", Type::Text(256), "-", MODEL),
    key("agents.list[].model.primary", Type::Text(256), "agents.defaults.model", MODEL),
    key("agents.list[].model.fallbacks", Type::Texts, "none", "models to try when the primary one fails"),
    key("agents.list[].identity.name", Type::Text(128), "-", "how the agent calls itself"),
    key("agents.list[].identity.theme", Type::Text(512), "-", "its character in a few words"),
    key("agents.list[].identity.emoji", Type::Text(16), "-", "its emoji"),
    key("agents.list[].identity.avatar", Type::Text(TEXT), "-", "its picture: a URL or a file of the workspace"),
    key(
        "agents.list[].heartbeat.every",
        Type::Text(32),
        "agents.defaults.heartbeat",
        "the same for this agent; when an agent of the list has a heartbeat of its own, only such agents beat",
    ),
    key("agents.list[].heartbeat.target", Type::Text(64), "agents.defaults.heartbeat", "the same for this agent"),
    key("agents.list[].heartbeat.to", Type::Text(256), "agents.defaults.heartbeat", "the same for this agent"),
    key("agents.list[].heartbeat.session", Type::Text(512), "agents.defaults.heartbeat", "the same for this agent"),
    key("agents.list[].heartbeat.model", Type::Text(256), "agents.defaults.heartbeat", "the same for this agent"),
    key("agents.list[].heartbeat.prompt", Type::Text(TEXT), "agents.defaults.heartbeat", "the same for this agent"),
    key(
        "agents.list[].heartbeat.ackMaxChars",
        Type::Whole(0, 100_000),
        "agents.defaults.heartbeat",
        "the same for this agent",
    ),
    key("agents.list[].heartbeat.includeReasoning", Type::Flag, "agents.defaults.heartbeat", "the same for this agent"),
    key(
        "agents.list[].heartbeat.activeHours.start",
        Type::Text(8),
        "agents.defaults.heartbeat",
        "the same for this agent",
    ),
    key(
        "agents.list[].heartbeat.activeHours.end",
        Type::Text(8),
        "agents.defaults.heartbeat",
        "the same for this agent",
    ),
    key(
        "agents.list[].heartbeat.activeHours.timezone",
        Type::Text(64),
        "agents.defaults.heartbeat",
        "the same for this agent",
    ),
    key(
        "agents.list[].heartbeat.maxTokensPerDay",
        Type::Whole(0, 1_000_000_000_000),
        "agents.defaults.heartbeat",
        "the same for this agent",
    ),
    key(
        "models.mode",
        Type::Choice(&["merge", "replace"]),
        "merge",
        "whether the built-in providers and models exist beside the configured ones",
    ),
    key(
        "models.providers.*.baseUrl",
        Type::Text(TEXT),
        "built in for known providers, else required",
        "`http://` or `https://` address of the service",
    ),
    key(
        "models.providers.*.apiKey",
        Type::Secret,
        "the provider's environment variable, e.g. ANTHROPIC_API_KEY",
        "its key",
    ),
    key("models.providers.*.auth", Type::Choice(&["api-key"]), "api-key", "how the gateway identifies itself"),
    key("models.providers.*.api", Type::Text(64), "built in for known providers, else `openai-completions`", API),
    key("models.providers.*.headers.*", Type::Secret, "none", "further request headers"),
    key("models.providers.*.models[].id", Type::Text(256), "required", "id of the model at the provider"),
    key("models.providers.*.models[].name", Type::Text(256), "the id", "name for people"),
    key("models.providers.*.models[].reasoning", Type::Flag, "false", "whether it can think before it answers"),
    key("models.providers.*.models[].input", Type::Texts, "[\"text\"]", "what it takes: `text`, `image`"),
    key(
        "models.providers.*.models[].cost.input",
        Type::Amount,
        "0 when any price is given",
        "US dollars per million prompt tokens",
    ),
    key(
        "models.providers.*.models[].cost.output",
        Type::Amount,
        "0 when any price is given",
        "US dollars per million answer tokens",
    ),
    key(
        "models.providers.*.models[].cost.cacheRead",
        Type::Amount,
        "0 when any price is given",
        "US dollars per million cached prompt tokens",
    ),
    key(
        "models.providers.*.models[].cost.cacheWrite",
        Type::Amount,
        "0 when any price is given",
        "US dollars per million tokens put into the cache",
    ),
    key(
        "models.providers.*.models[].contextWindow",
        Type::Whole(256, 100_000_000),
        "200000",
        "tokens of prompt and answer together",
    ),
    key(
        "models.providers.*.models[].maxTokens",
        Type::Whole(1, 100_000_000),
        "8192",
        "most tokens of an answer; at most the window",
    ),
    key(
        "session.scope",
        Type::Choice(&["per-sender", "global"]),
        "per-sender",
        "one session for each sender, or one for all",
    ),
    key("session.reset.mode", Type::Choice(&["daily", "idle", "never"]), "daily", "when a conversation begins anew"),
    key("session.reset.atHour", Type::Whole(0, 23), "4", "hour of the host's day for `daily`"),
    key(
        "session.reset.idleMinutes",
        Type::Whole(1, 525_600),
        "60 for `idle`, else never",
        "minutes without a message after which it begins anew",
    ),
    key("session.idleMinutes", Type::Whole(1, 525_600), "-", "older place of reset.idleMinutes; alone it means `idle`"),
    key("session.resetTriggers", Type::Texts, "[\"/new\", \"/reset\"]", "messages that begin a new conversation"),
    key(
        "bindings[].agentId",
        Type::Text(64),
        "required",
        "agent that answers what fits `match`; the first fit in the order peer, guild, team, account, channel",
    ),
    key("bindings[].match.channel", Type::Text(64), "required", "channel"),
    key("bindings[].match.accountId", Type::Text(256), "the default account", "account; `*` for all"),
    key("bindings[].match.peer.kind", Type::Choice(&["dm", "group", "channel"]), "-", "kind of the peer"),
    key("bindings[].match.peer.id", Type::Text(256), "-", "the peer: a person, a group or a room"),
    key("bindings[].match.guildId", Type::Text(256), "-", "Discord's guild"),
    key("bindings[].match.teamId", Type::Text(256), "-", "Slack's team"),
    key("channels.defaults.groupPolicy", GROUP_POLICY, "allowlist", "as `groupPolicy` of a channel"),
    key("channels.defaults.heartbeat", Type::Anything, "-", "accepted, without effect"),
    key(
        "channels.*.enabled",
        Type::Flag,
        "true",
        "whether the channel is used; `loopback` is for tests: what is sent to it comes back",
    ),
    key("channels.*.name", Type::Text(128), "-", "name for people"),
    key("channels.*.accounts.*", Type::Anything, "one account `default`", "an account with the same keys"),
    key(
        "channels.*.dmPolicy",
        DM_POLICY,
        "pairing",
        "who may write directly: strangers that the owner approves, those of `allowFrom`, everybody, nobody",
    ),
    key("channels.*.allowFrom", Type::Anything, "nobody", "list of senders, as texts or numbers; `*` for everybody"),
    key("channels.*.groupPolicy", GROUP_POLICY, "allowlist", "who may write in groups"),
    key("channels.*.groupAllowFrom", Type::Anything, "allowFrom", "list of senders that may write in groups"),
    key(
        "channels.*.groups",
        Type::Anything,
        "any group",
        "groups by id, or `*`: `enabled` (true), `requireMention` (true), `allowFrom` (groupAllowFrom)",
    ),
    key(
        "channels.*.dm",
        Type::Anything,
        "-",
        "Slack and Discord: `policy` and `allowFrom`, as `dmPolicy` and `allowFrom`",
    ),
    key(
        "channels.*.textChunkLimit",
        Type::Whole(32, 65_536),
        "4000, on Discord 2000",
        "most characters of one message; longer texts are split",
    ),
    key(
        "channels.*.chunkMode",
        Type::Choice(&["length", "newline"]),
        "length",
        "whether only long texts are split, or each paragraph is a message",
    ),
    key(
        "channels.*.botToken",
        Type::Secret,
        "-",
        "Telegram's (or TELEGRAM_BOT_TOKEN) and Slack's (or SLACK_BOT_TOKEN) token",
    ),
    key("channels.*.appToken", Type::Secret, "SLACK_APP_TOKEN", "Slack's second token"),
    key("channels.*.token", Type::Secret, "DISCORD_BOT_TOKEN", "Discord's token"),
    key("channels.*.userToken", Type::Secret, "-", "Slack's third token; without effect"),
    key("channels.*.signingSecret", Type::Secret, "-", "Slack's; without effect"),
    key("channels.*.webhookSecret", Type::Secret, "-", "Telegram's; without effect"),
    key("channels.*.tokenFile", Type::Text(TEXT), "-", "file that holds the token"),
    key(
        "session.dmScope",
        Type::Choice(&["main", "per-peer", "per-channel-peer"]),
        "main",
        "session of direct messages: the agent's main one, one for each person, or one for each person and channel",
    ),
    key("session.identityLinks.*", Type::Texts, "none", "a person's `channel:peer` names, which share one session"),
    key("session.sendPolicy", Type::Anything, "-", "accepted, without effect"),
    key("cron.enabled", Type::Flag, "true", "whether scheduled jobs run by themselves"),
    key(
        "cron.store",
        Type::Text(TEXT),
        "`cron/jobs.json` in the state directory",
        "file of the scheduled jobs; holds after a restart",
    ),
    key(
        "cron.clockWaitSeconds",
        Type::Whole(0, 86_400),
        "120",
        "how long after the machine's start jobs wait until a time server has set the clock; afterwards they run by the clock as it is",
    ),
    key("cron.maxConcurrentRuns", Type::Whole(1, 64), "1", "scheduled jobs that run at the same time"),
    key(
        "cron.missed",
        Type::Choice(&["skip", "once", "all"]),
        "once",
        "what becomes of times that passed while the gateway didn't run, for jobs whose own `missed` doesn't say: left out, made up for by one run, or each made up for, at most 24",
    ),
    key("logging.level", LEVELS, "info", "least important lines in the log file"),
    key("logging.consoleLevel", LEVELS, "info", "least important lines on the console (or in journald)"),
    key("logging.file", Type::Text(TEXT), "`logs/gateway.log` in the state directory", "the log file"),
    key(
        "logging.maxBytes",
        Type::Whole(16_384, 67_108_864),
        "262144",
        "size at which the log file is put aside, bytes",
    ),
    key("logging.files", Type::Whole(1, 50), "4", "log files kept, the current one included"),
    key("logging.days", Type::Whole(1, 3650), "14", "age at which a log file is deleted, days"),
    key("messages.queue", Type::Anything, "-", "accepted, without effect"),
    key("ui.assistant.name", Type::Text(50), "-", "name of the assistant in the web page"),
    key("ui.assistant.avatar", Type::Text(200), "-", "its picture"),
    key("env.vars.*", Type::Secret, "-", "environment variables for `${NAME}` and for provider keys, used when unset"),
    key("env.*", Type::Secret, "-", "the same, older place"),
];

/// The table of keys as `docs/configuration.md` has it.
#[must_use]
pub fn manual_table() -> String {
    let mut out = "| key | value | default | meaning |\n|---|---|---|---|\n".to_owned();
    for Key { path, value, default, doc } in keys() {
        out.push_str(&format!("| `{path}` | {value} | {default} | {doc} |\n"));
    }
    out
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
