//! Where Barnacle differs from the recordings on purpose, each difference with its reason. `docs/dialects.md` tells
//! the same to people.

use std::collections::BTreeSet;

use serde_json::Value;

use super::shapes::shapes;

/// Runs whose events don't come, and why.
pub(crate) const WITHOUT_EVENTS: [(&str, &str); 5] = [
    ("dup-1", "chat.abort reaches agent runs, so how much it says before its end is a matter of chance"),
    ("ae-b5", "a channel that isn't there is refused before the run, not after it"),
    ("sm-3", "/new alone is answered without a model"),
    ("sm-4", "/reset alone is answered without a model"),
    ("sm-23", "a command is a whole message; directives inside a longer one are not cut out"),
];

/// What a difference is about (a method, event or file; with the file behind it where it is about one recording),
/// the difference, and why it is meant.
pub(crate) const DELIBERATE: &[(&str, &str, &str)] = &[
    ("channels.status", "/payload/channelDefaultAccountId/", "every channel that clients know is listed"),
    ("channels.status", "/payload/channelDetailLabels/", "every channel that clients know is listed"),
    ("channels.status", "/payload/channelLabels/", "every channel that clients know is listed"),
    ("channels.status", "/payload/channelSystemImages/", "every channel that clients know is listed"),
    ("channels.status", "/payload/channelAccounts/discord", "every channel that clients know is listed"),
    ("channels.status", "/payload/channels/discord", "every channel that clients know is listed"),
    ("channels.status", "/payload/channelAccounts/googlechat", "every channel that clients know is listed"),
    ("channels.status", "/payload/channels/googlechat", "every channel that clients know is listed"),
    ("channels.status", "/payload/channelAccounts/imessage", "every channel that clients know is listed"),
    ("channels.status", "/payload/channels/imessage", "every channel that clients know is listed"),
    ("channels.status", "/payload/channelAccounts/signal", "every channel that clients know is listed"),
    ("channels.status", "/payload/channels/signal", "every channel that clients know is listed"),
    ("channels.status", "/payload/channelAccounts/slack", "every channel that clients know is listed"),
    ("channels.status", "/payload/channels/slack", "every channel that clients know is listed"),
    ("channels.status", "/payload/channelAccounts/telegram", "this version has none of these channels"),
    ("channels.status", "/payload/channels/telegram", "this version has none of these channels"),
    ("channels.status", "/payload/channelAccounts/whatsapp", "every channel that clients know is listed"),
    ("channels.status", "/payload/channels/whatsapp", "every channel that clients know is listed"),
    ("health", "/payload/channels/discord", "this version has none of these channels"),
    ("health", "/payload/channels/slack", "this version has none of these channels"),
    ("health", "/payload/channels/telegram", "this version has none of these channels"),
    ("health", "/payload/channels/whatsapp", "this version has none of these channels"),
    ("channels.logout", "/error is missing", "nothing is configured there, so nothing has to be written"),
    ("channels.logout", "/payload is new", "nothing is configured there, so nothing has to be written"),
    ("send", "/error/message is \"Error: Telegram ", "this version has none of these channels"),
    ("send", "/error/message is \"Error: WhatsApp ", "this version has none of these channels"),
    ("send", "/error/message is \"Error: Slack ", "this version has none of these channels"),
    ("poll", "/error/message is \"Error: Telegram ", "this version has none of these channels"),
    ("poll", "/error/message is \"Error: WhatsApp ", "this version has none of these channels"),
    ("poll", "/error/message is \"Error: Discord ", "this version has none of these channels"),
    ("send", "/error is new", "this version has none of these channels"),
    ("send", "/payload is missing", "this version has none of these channels"),
    ("poll", "/error/code is \"UNAVAILABLE\"", "Telegram has polls"),
    ("agent assistant", "/payload/sessionKey is new", "a run by sessionId alone belongs to a session too"),
    ("agent lifecycle start", "/payload/sessionKey is new", "a run by sessionId alone belongs to a session too"),
    ("agent lifecycle end", "/payload/sessionKey is new", "a run by sessionId alone belongs to a session too"),
    ("agent lifecycle end", "is agent lifecycle error", "a provider's failure is an error"),
    ("chat final", "is chat error", "a provider's failure is an error"),
    (
        "chat final",
        "/payload/message/stopReason is missing",
        "commands that this version doesn't have are text for the model",
    ),
    (
        "chat final",
        "/payload/message/usage is missing",
        "commands that this version doesn't have are text for the model",
    ),
    ("agent", "/error is new", "a provider's failure is an error"),
    ("agent", "/payload/result is missing", "a provider's failure is an error"),
    ("agent", "/payload/summary is \"Error: ", "a provider's failure is an error"),
    ("agent", "/error/message is \"Error: All models failed", "it says which model and why, without a path"),
    (
        "agent",
        "/payload/result/meta/agentMeta/usage is missing",
        "chat.abort reaches agent runs, and then the usage is unknown",
    ),
    ("agent", "/payload/result/meta/systemPromptReport is missing", "methods.md 3.2: a small gateway may leave it out"),
    ("agent.wait", "/payload/startedAt is new", "agent.wait hears of aborted runs"),
    ("agent.wait", "/payload/endedAt is new", "agent.wait hears of aborted runs"),
    ("agent.wait", "/payload/startedAt is missing", "a channel that isn't there is refused before the run"),
    ("agent.wait", "/payload/endedAt is missing", "a channel that isn't there is refused before the run"),
    ("agent.wait", "/payload/error is new", "a provider's failure is an error"),
    ("chat.inject", "/error is missing", "a message is written before it is acknowledged, so there is a transcript"),
    ("chat.inject", "/payload is new", "a message is written before it is acknowledged, so there is a transcript"),
    ("chat.send", "/error is missing", "/send off is a command that this version doesn't have"),
    ("chat.send", "/payload is new", "/send off is a command that this version doesn't have"),
    ("exec.approval.request", "/payload/bindingHash is new", "tells what the decision is bound to"),
    ("config.get", "/payload/config", "another configuration, and other defaults"),
    ("config.get", "/payload/parsed/", "another configuration"),
    ("config.set", "/error/message is \"SyntaxError: raw:", "our parser's words, with line and column"),
    ("config.set", "/error/message is \"invalid config: ", "the first mistake is in the message too"),
    ("config.set", "/error is missing", "the guide's old layout is taken"),
    ("config.set", "/payload is new", "the guide's old layout is taken"),
    ("config.patch", "/error/message is \"invalid config: ", "the first mistake is in the message too"),
    ("config.patch", "/payload/config/", "another configuration, and other defaults"),
    ("config.patch", "/payload/restart is null", "what needs no restart gets none"),
    ("config.patch", "/payload/sentinel is null", "what needs no restart gets none"),
    ("config.apply", "/error/message is \"invalid config: ", "the first mistake is in the message too"),
    ("config.apply", "/payload/config/", "other defaults"),
    ("/v1/chat/completions", "a tool's result is not told", "the model that plays here calls no tools"),
    ("/v1/messages", "a tool's result is not told", "the model that plays here calls no tools"),
    ("/v1/responses", "is not asked", "OpenAI is spoken to through its chat interface"),
    ("04d-bad-params", "answers {\"error\":{\"code\":\"NOT_PAIRED\"", "any client id and mode is taken"),
    ("04d-bad-params", "closes with [1008,\"device identity required\"]", "any client id and mode is taken"),
    ("04e-seed-raw-handshake", "closes with null", "this is the guide's handshake, and is answered"),
    (
        "17-pipelined-request-before-hello",
        "answers {\"id\":\"c1\",\"ok\":true",
        "requests may follow the handshake at once",
    ),
    ("17-pipelined-request-before-hello", "closes with null", "requests may follow the handshake at once"),
    ("chat final [methods-chat-queue]", "/payload/message is new", "a second message is answered under its own id"),
    ("chat final [methods-agent-unreachable]", "/payload/message is new", "the usual model stands in for a chosen one"),
    (
        "chat final [methods-chat-provider-errors]",
        "/payload/message is new",
        "the usual model stands in for a chosen one",
    ),
    (
        "shutdown [methods-channels-logout]",
        "never comes",
        "the file that it takes a credential from is applied at once",
    ),
    ("shutdown [methods-chat-thinking-param]", "never comes", "the recorded gateway was restarted from outside"),
    ("shutdown [methods-config-invalid-file]", "never comes", "the recorded gateway was restarted from outside"),
    ("config.set", "/payload/config/", "other defaults"),
    ("node.invoke.request", "never comes to the only", "asks nodes nothing by itself"),
    ("shutdown [methods-config-patch-restart]", "never comes", "what needs no restart gets none"),
    ("status", "/payload/sessions/byAgent[]/recent[]/thinkingLevel is new", "another session came last"),
    ("status", "/payload/sessions/recent[]/thinkingLevel is new", "another session came last"),
    ("config.schema", "/payload/schema/additionalProperties is missing", "unknown keys are kept and reported"),
    ("config.schema", "/payload/schema/properties/", "keys without effect in this version are not in the schema"),
    ("config.schema", "/payload/uiHints/", "the keys of this version"),
    ("config.get", "/error is missing", "who may read may read the configuration: secrets are hidden"),
    ("config.get", "/payload is new", "who may read may read the configuration: secrets are hidden"),
    ("config.get", "/payload/raw is null", "a text that can't be read may hold secrets anywhere"),
    ("connect refused", "/details/approve is new", "a refusal says why, and what to do"),
    ("connect refused", "/details/reason is new", "a refusal says why, and what to do"),
    ("device.pair.approve", "/payload/device/caps is new", "an approval is for what a node brings too"),
    ("device.pair.approve", "/payload/device/commands is new", "an approval is for what a node brings too"),
    ("device.pair.list", "/payload/paired[]/caps is new", "an approval is for what a node brings too"),
    ("device.pair.list", "/payload/paired[]/commands is new", "an approval is for what a node brings too"),
    ("device.pair.list", "/payload/pending[]/caps is new", "an approval is for what a node brings too"),
    ("device.pair.list", "/payload/pending[]/commands is new", "an approval is for what a node brings too"),
    ("device.pair.list", "/payload/pending[]/reason is new", "a refusal says why, and what to do"),
    ("device.pair.requested", "/payload/caps is new", "an approval is for what a node brings too"),
    ("device.pair.requested", "/payload/commands is new", "an approval is for what a node brings too"),
    ("device.pair.requested", "/payload/reason is new", "a refusal says why, and what to do"),
    ("skills.bins", "/error is missing", "operators that may read may ask too"),
    ("skills.bins", "/payload is new", "operators that may read may ask too"),
    ("skills.install", "/error/message is \"Skill not found: github\"", "this gateway brings no skills of its own"),
    ("health", "/payload/runs is new", "more is told"),
    ("health", "/payload/status is new", "the guide wants it"),
    ("health", "/payload/storage is new", "more is told"),
    ("health", "/payload/uptimeMs is new", "the guide wants it"),
    (
        "sessions.compact",
        "/payload/archived is missing",
        "transcripts have no housekeeping lines, so this one is short already",
    ),
    ("sessions.list", "/payload/sessions[]/lastMessagePreview is new", "methods.md 18: the original forgets it"),
    ("sessions.patch", "/error is missing", "xhigh is not bound to models that it knows"),
    ("sessions.patch", "/payload is new", "xhigh is not bound to models that it knows"),
    ("sessions.patch", "/payload/entry/thinkingLevel is new", "xhigh is not bound to models that it knows"),
    ("sessions.patch", "/payload/entry/skillsSnapshot is missing", "methods.md 16.1: leave it out"),
    ("sessions.reset", "/payload/entry/skillsSnapshot is missing", "methods.md 16.1: leave it out"),
    ("status", "/payload/callsInFlight is new", "more is told"),
    ("status", "/payload/connections is new", "more is told"),
    ("status", "/payload/eventsSkipped is new", "more is told"),
    ("status", "/payload/host is new", "more is told"),
    ("status", "/payload/incomingBytes is new", "more is told"),
    ("status", "/payload/runs is new", "more is told"),
    ("status", "/payload/slowClosed is new", "more is told"),
    ("status", "/payload/unsentBytes is new", "more is told"),
    ("status", "/payload/uptimeMs is new", "more is told"),
    ("status", "/payload/version is new", "more is told"),
    ("cron finished", "/payload/error is new", "there is no telegram channel in this version"),
    (
        "cron finished",
        "/payload/nextRunAtMs is missing",
        "methods.md 18: the original names a past time for a one-shot that is gone",
    ),
    (
        "cron finished",
        "/payload/summary is \"Hello from the fake model.\"",
        "the fake model of the recordings puts a blank before the full stop",
    ),
    ("cron.add", "/error is missing", "agentTurn is taken on the main session"),
    ("cron.add", "/payload is new", "agentTurn is taken on the main session"),
    ("cron.add", "/error/message is \"invalid cron.add params: at /", "only the branch that was meant is reported"),
    ("cron.run", "/error/message is \"invalid cron.run params: at /mode", "only what is wrong is reported"),
    ("cron.run", "/payload/runId is new", "it answers at once, with the id"),
    ("cron.runs", "/payload/entries[]/error is new", "there is no telegram channel in this version"),
    (
        "cron.runs",
        "/payload/entries[]/nextRunAtMs is missing",
        "methods.md 18: the original names a past time for a one-shot that is gone",
    ),
    (
        "cron.runs",
        "/payload/entries[]/summary is \"Hello from the fake model.\"",
        "the fake model of the recordings puts a blank before the full stop",
    ),
    ("cron.update", "/error/message is \"invalid cron.update params: ", "only what is wrong is reported"),
    ("heartbeat", "/payload/channel is missing", "there is no telegram channel in this version"),
    ("heartbeat", "/payload/indicatorType is missing", "there is no telegram channel in this version"),
    ("heartbeat", "/payload/reason is new", "there is no telegram channel in this version"),
    ("heartbeat", "/payload/to is missing", "there is no telegram channel in this version"),
    ("last-heartbeat", "/payload/channel is missing", "there is no telegram channel in this version"),
    ("last-heartbeat", "/payload/indicatorType is missing", "there is no telegram channel in this version"),
    ("last-heartbeat", "/payload/reason is new", "there is no telegram channel in this version"),
    ("last-heartbeat", "/payload/to is missing", "there is no telegram channel in this version"),
    ("status", "/payload/linkChannel is missing", "there is no whatsapp channel in this version"),
    ("status", "/payload/sessions/byAgent[]/recent[]/abortedLastRun is new", "every run says how it ended"),
    ("status", "/payload/sessions/recent[]/abortedLastRun is new", "every run says how it ended"),
    ("system-presence", "/payload[]/ip is missing", "the gateway doesn't look up an address of its own"),
    ("connect", "/snapshot/presence[]/ip is missing", "the gateway doesn't look up an address of its own"),
    ("wizard.cancel", "/error/message is \"wizard not found\"", "the guide names no session"),
    ("wizard.next", "/error/message is \"wizard not found\"", "the guide's form is taken, and names no session"),
    ("wizard.next", "/payload/step/", "the questions are our own"),
    ("connect", "/canvasHostUrl is missing", "there is no canvas in this version"),
    ("connect", "/snapshot/health", "compared with the answer of health"),
];

/// Differences found so far, and which rows of the table explained one.
#[derive(Default)]
pub(crate) struct Findings {
    pub(crate) wrong: BTreeSet<String>,
    used: BTreeSet<usize>,
}

impl Findings {
    /// Notes a difference unless it is meant.
    pub(crate) fn add(&mut self, file: &str, about: &str, difference: &str) {
        let here = format!("{about} [{file}]");
        let is_meant = |whose: &str| whose == about || whose == here;
        let row = DELIBERATE.iter().position(|(whose, what, _)| is_meant(whose) && difference.starts_with(what));
        match row {
            Some(row) => {
                self.used.insert(row);
            }
            None => {
                self.wrong.insert(format!("{about}: {difference} [{file}]"));
            }
        }
    }

    pub(crate) fn compare(&mut self, file: &str, about: &str, recorded: &Value, ours: &Value) {
        let mut differences = Vec::new();
        shapes("", recorded, ours, &mut differences);
        for difference in differences {
            self.add(file, about, &difference);
        }
    }

    /// Takes over what was found elsewhere.
    pub(crate) fn join(&mut self, other: Self) {
        self.wrong.extend(other.wrong);
        self.used.extend(other.used);
    }

    /// What is wrong in the end: differences that aren't meant, and rows that nothing shows any more.
    pub(crate) fn verdict(mut self) -> Vec<String> {
        for (row, (about, what, _)) in DELIBERATE.iter().enumerate() {
            if !self.used.contains(&row) {
                self.wrong.insert(format!("no recording shows this any more: {about}: {what}"));
            }
        }
        self.wrong.into_iter().collect()
    }
}
