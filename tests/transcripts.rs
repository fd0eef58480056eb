//! Replays recordings of the original gateway and compares the shape of answers and events: keys, JSON types,
//! error codes and error texts.
//!
//! The recordings are not part of this package. Where they don't lie beside the checkout, the test says so and
//! passes. Where Barnacle differs on purpose, the difference is a row of [`DELIBERATE`] with its reason; a row that
//! no recording needs any more fails the test.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test may panic and print, in its helpers too"
)]
#![allow(clippy::disallowed_methods, reason = "tests read files")]

#[path = "transcripts/parties.rs"]
mod parties;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use support::{Client, Dialect, FakeModel, Gateway, TempDir};

/// How long the gateway may be silent before an answer or event counts as missing.
const PATIENCE: Duration = Duration::from_secs(4);

/// Recordings of methods that this version has.
const METHODS: [&str; 27] = [
    "methods-basic",
    "methods-agent-plain",
    "methods-agent-401",
    "methods-agent-500",
    "methods-agent-dup-inflight",
    "methods-agent-errors",
    "methods-agent-thinktag",
    "methods-agent-timeout",
    "methods-agent-unknown-model",
    "methods-agent-tool",
    "methods-agent-tool-verbose-on",
    "methods-agent-tool-verbose-full",
    "methods-chat-plain",
    "methods-chat-abort",
    "methods-chat-attachments",
    "methods-chat-errors",
    "methods-chat-slash",
    "methods-chat-slash2",
    "methods-chat-stop-phrase",
    "methods-chat-thinking-param",
    "methods-sessions",
    "methods-logs-skills-usage-wizard",
    "methods-config",
    "methods-config-include-env",
    "methods-config-invalid-file",
    "methods-config-patch-restart",
    // Restarts the gateway, so it is the last one.
    "methods-config-apply",
];

/// A recording whose answers show the configuration file as somebody else has written it.
const WRITTEN_BY_HAND: &str = "methods-config-invalid-file";

/// Recordings of what the gateway does by itself, with heartbeats on, and what stands in the workspace's
/// HEARTBEAT.md.
const OWN_ACCORD: [(&str, &str); 3] = [
    ("methods-cron", "# Heartbeat\n"),
    ("methods-cron-failing-at", "# Heartbeat\n"),
    ("methods-heartbeat-sent", "- look around\n"),
];

/// Recordings of a gateway with channels.
const CHANNELS: [&str; 3] = ["methods-channels-status", "methods-channels-logout", "methods-send-poll"];

/// Recordings of handshakes and of frames that are no request.
const HANDSHAKES: [&str; 6] = [
    "02-wrong-token",
    "02b-no-auth-no-device",
    "03-protocol-mismatch",
    "04a-not-json",
    "04b-not-a-request",
    "04c-not-connect",
];

/// Recordings with several connections.
const PARTIES: [&str; 5] = [
    "06-missing-scope",
    "08-node-invoke",
    "11-device-signatures",
    "13-exec-approval",
    "15-node-events-and-subscription",
];

/// Recordings whose devices come from elsewhere, each with a gateway of its own.
const FROM_ELSEWHERE: [&str; 2] = ["07-node-pairing", "12-scope-upgrade"];

/// Runs whose events don't come, and why.
const WITHOUT_EVENTS: [(&str, &str); 5] = [
    ("dup-1", "chat.abort reaches agent runs, so how much it says before its end is a matter of chance"),
    ("ae-b5", "a channel that isn't there is refused before the run, not after it"),
    ("sm-3", "/new alone is answered without a model"),
    ("sm-4", "/reset alone is answered without a model"),
    ("sm-23", "a command is a whole message; directives inside a longer one are not cut out"),
];

/// What a difference is about (a method or an event), the difference, and why it is meant.
const DELIBERATE: &[(&str, &str, &str)] = &[
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
    ("agent", "/payload/summary is \"Error: fake ", "a provider's failure is an error"),
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
    ("health", "/payload/agents[]/heartbeat/everyMs is null", "no heartbeat is configured"),
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
struct Findings {
    wrong: BTreeSet<String>,
    used: BTreeSet<usize>,
}

impl Findings {
    /// Notes a difference unless it is meant.
    fn add(&mut self, file: &str, about: &str, difference: &str) {
        let row = DELIBERATE.iter().position(|(whose, what, _)| *whose == about && difference.starts_with(what));
        match row {
            Some(row) => {
                self.used.insert(row);
            }
            None => {
                self.wrong.insert(format!("{about}: {difference} [{file}]"));
            }
        }
    }

    fn compare(&mut self, file: &str, about: &str, recorded: &Value, ours: &Value) {
        let mut differences = Vec::new();
        shapes("", recorded, ours, &mut differences);
        for difference in differences {
            self.add(file, about, &difference);
        }
    }
}

/// Where the shapes of two values differ. Lists are compared by their first items, errors by their text too.
fn shapes(place: &str, recorded: &Value, ours: &Value, differences: &mut Vec<String>) {
    let is_left_out = |value: &Value| value.as_str().is_some_and(|text| text.starts_with("<elided"));
    match (recorded, ours) {
        _ if is_left_out(recorded) => {}
        (Value::Object(recorded), Value::Object(ours)) => {
            for (key, value) in recorded {
                let place = format!("{place}/{key}");
                match ours.get(key) {
                    Some(own) => shapes(&place, value, own, differences),
                    None => differences.push(format!("{place} is missing")),
                }
            }
            for key in ours.keys().filter(|key| !recorded.contains_key(*key)) {
                differences.push(format!("{place}/{key} is new"));
            }
        }
        (Value::Array(recorded), Value::Array(ours)) => {
            if let (Some(recorded), Some(ours)) = (recorded.first(), ours.first()) {
                shapes(&format!("{place}[]"), recorded, ours, differences);
            }
        }
        (Value::String(recorded), Value::String(ours)) => {
            let matters =
                place.ends_with("error/message") || place.ends_with("error/code") || place.ends_with("/summary");
            if matters && recorded != ours {
                differences.push(format!("{place} is {ours:?} instead of {recorded:?}"));
            }
        }
        (recorded, ours) if kind(recorded) == kind(ours) => {}
        (recorded, ours) => differences.push(format!("{place} is {} instead of {}", kind(ours), kind(recorded))),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The recordings' directory, if it lies beside the checkout.
fn recordings() -> Option<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/protocol/transcripts");
    if !dir.is_dir() {
        println!("skipped: recordings not beside the checkout");
        return None;
    }
    Some(dir)
}

fn lines(dir: &Path, file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(dir.join(format!("{file}.jsonl"))).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// One recording that is being replayed.
struct Replay<'a> {
    file: &'a str,
    client: Client,
    /// Recorded request id → ours, and the method.
    sent: BTreeMap<String, (String, String)>,
    runs: BTreeSet<String>,
    /// Recorded job id → ours.
    jobs: BTreeMap<String, Value>,
    /// How much later than the recorded ones our times are, ms.
    later_ms: u64,
    /// Runs and kinds of events that were waited for.
    seen: BTreeSet<(String, String)>,
    /// Hashes and ids of the recording → ours.
    names: BTreeMap<String, Value>,
    findings: &'a mut Findings,
}

impl Replay<'_> {
    fn line(&mut self, line: &Value, known: &BTreeSet<String>) {
        let frame = &line["frame"];
        match (line["dir"].as_str(), frame["type"].as_str()) {
            (Some("c2s"), Some("req")) if known.contains(frame["method"].as_str().unwrap()) => {
                let method = frame["method"].as_str().unwrap();
                let mut params = frame["params"].clone();
                // The recorded gateway had several providers, ours has one.
                if params["model"] == "fakeoai/fake-gpt" {
                    params["model"] = "fake/fake-gpt".into();
                }
                for name in ["id", "jobId"] {
                    if let Some(own) = params[name].as_str().and_then(|id| self.jobs.get(id)) {
                        params[name] = own.clone();
                    }
                }
                if let Some(at) = params["schedule"]["atMs"].as_u64() {
                    params["schedule"]["atMs"] = (at + self.later_ms).into();
                }
                if let Some(at) = params["schedule"]["at"].as_str() {
                    // In the evening of the day of the recording.
                    assert_eq!(at, "2026-11-22T23:59:00");
                    params["schedule"]["at"] = (1_795_391_940_000 + self.later_ms).to_string().into();
                }
                if let Some(run) = params["idempotencyKey"].as_str() {
                    self.runs.insert(run.to_owned());
                }
                self.translate(&mut params);
                let id = self.client.request(method, &params);
                self.sent.insert(frame["id"].as_str().unwrap().to_owned(), (id, method.to_owned()));
            }
            (Some("s2c"), Some("res")) => {
                let recorded_id = frame["id"].as_str().unwrap_or_default();
                let Some((id, method)) = self.sent.get(recorded_id).cloned() else { return };
                let ours =
                    self.client.find_within(PATIENCE, |frame| frame["type"] == "res" && frame["id"] == id.as_str());
                let Some(mut ours) = ours else {
                    self.findings.add(self.file, &method, &format!("{recorded_id} is never answered"));
                    return;
                };
                if method == "config.set" && ours["ok"] == true && frame["ok"] == false {
                    // We took what the original refused: what follows is about another text.
                    let hash = self.client.call("config.get", &json!({}))["payload"]["hash"].clone();
                    self.names.values_mut().for_each(|own| *own = hash.clone());
                }
                ours["id"] = frame["id"].clone();
                if method == "cron.add" {
                    if let Some(recorded) = frame["payload"]["id"].as_str() {
                        self.jobs.insert(recorded.to_owned(), ours["payload"]["id"].clone());
                    }
                }
                for place in ["/payload/hash", "/payload/sessionId", "/payload/step/id"] {
                    if let (Some(Value::String(theirs)), Some(own)) = (frame.pointer(place), ours.pointer(place)) {
                        self.names.insert(theirs.clone(), own.clone());
                    }
                }
                if let Some(error) = ours.get_mut("error").and_then(Value::as_object_mut) {
                    // Always there in both dialects, and natively unknown (methods.md 1.2).
                    error.remove("retryable");
                }
                self.findings.compare(self.file, &method, frame, &ours);
            }
            (Some("s2c"), Some("event")) => self.event(frame),
            _ => {}
        }
    }

    /// Puts our hashes and ids in the place of recorded ones.
    fn translate(&self, params: &mut Value) {
        match params {
            Value::String(text) => {
                if let Some(own) = self.names.get(text) {
                    *params = own.clone();
                }
            }
            Value::Object(fields) => fields.values_mut().for_each(|field| self.translate(field)),
            _ => {}
        }
    }

    /// Waits for an event of the same run and kind, so that what follows finds the gateway in the same state.
    fn event(&mut self, recorded: &Value) {
        let run = recorded["payload"]["runId"].as_str().unwrap_or_default().to_owned();
        let kind = kind_of_event(recorded);
        // That a job was added is told before its id is known here.
        if recorded["event"] == "cron" && recorded["payload"]["action"] != "added" {
            return self.cron_event(recorded, &kind);
        }
        if recorded["event"] == "heartbeat" {
            return match self.client.find_within(PATIENCE, |frame| frame["event"] == "heartbeat") {
                Some(ours) => self.findings.compare(self.file, &kind, recorded, &ours),
                None => self.findings.add(self.file, &kind, "never comes"),
            };
        }
        let is_expected = self.runs.contains(&run) && WITHOUT_EVENTS.iter().all(|(without, _)| *without != run);
        if !is_expected || kind.contains("tool") || !self.seen.insert((run.clone(), rough(&kind))) {
            return;
        }
        let wanted = rough(&kind);
        let ours = self.client.find_within(PATIENCE, |frame| {
            frame["payload"]["runId"] == run.as_str() && rough(&kind_of_event(frame)) == wanted
        });
        let Some(ours) = ours else {
            self.findings.add(self.file, &kind, &format!("never comes for {run}"));
            return;
        };
        if kind_of_event(&ours) == kind {
            self.findings.compare(self.file, &kind, recorded, &ours);
        } else {
            self.findings.add(self.file, &kind, &format!("is {}", kind_of_event(&ours)));
        }
    }
}

impl Replay<'_> {
    /// Waits for the same news of the same job.
    fn cron_event(&mut self, recorded: &Value, kind: &str) {
        let Some(id) = self.jobs.get(recorded["payload"]["jobId"].as_str().unwrap()).cloned() else { return };
        // A failing job that spins is heard once.
        if !self.seen.insert((id.to_string(), kind.to_owned())) {
            return;
        }
        let same = |frame: &Value| {
            let payload = &frame["payload"];
            frame["event"] == "cron" && payload["jobId"] == id && payload["action"] == recorded["payload"]["action"]
        };
        match self.client.find_within(PATIENCE, same) {
            Some(ours) => self.findings.compare(self.file, kind, recorded, &ours),
            None => self.findings.add(self.file, kind, "never comes"),
        }
    }
}

fn kind_of_event(frame: &Value) -> String {
    let payload = &frame["payload"];
    let part = |value: &Value| value.as_str().map(|text| format!(" {text}")).unwrap_or_default();
    let (event, data) = (part(&frame["event"]), &payload["data"]);
    let (stream, action) = (part(&payload["stream"]), part(&payload["action"]));
    format!("{event}{stream}{}{}{action}", part(&data["phase"]), part(&payload["state"])).trim().to_owned()
}

/// All ends are one kind.
fn rough(kind: &str) -> String {
    match kind.split(' ').collect::<Vec<_>>().as_slice() {
        ["agent", "lifecycle", "end" | "error"] => "agent over".to_owned(),
        ["chat", "final" | "error" | "aborted"] => "chat over".to_owned(),
        _ => kind.to_owned(),
    }
}

#[test]
fn recorded_calls_are_answered_in_the_recorded_shape() {
    let Some(dir) = recordings() else { return };
    let temp = TempDir::new("recorded");
    let model = FakeModel::start();
    let mut config = model.config();
    config["agents"]["defaults"]["heartbeat"] = json!({"every": "0m"});
    let gateway = Gateway::start(temp.path(), &config);
    let mut findings = Findings::default();
    let mut known = BTreeSet::from(["chat.inject", "sessions.resolve", "poll"].map(str::to_owned));
    compare_hello(&dir, &gateway, &mut findings);
    for file in FROM_ELSEWHERE {
        let temp = TempDir::new("from-elsewhere");
        let gateway = Gateway::start(temp.path(), &json!({}));
        let mut parties = parties::Parties::new(file, &gateway, &mut findings).away();
        for line in lines(&dir, file) {
            parties.line(&line);
        }
    }
    for file in PARTIES {
        let mut parties = parties::Parties::new(file, &gateway, &mut findings);
        for line in lines(&dir, file) {
            parties.line(&line);
        }
    }
    let mut play = |file: &'static str, gateway: &Gateway| {
        let client = Client::connect(gateway.port, Dialect::Native);
        known.extend(
            client.hello["features"]["methods"]
                .as_array()
                .unwrap()
                .iter()
                .map(|name| name.as_str().unwrap().to_owned()),
        );
        let (sent, runs, seen, jobs) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
        let names = BTreeMap::new();
        let lines = lines(&dir, file);
        let begun = lines.iter().find_map(|line| line["frame"]["payload"]["createdAtMs"].as_u64());
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as u64;
        let later_ms = begun.map_or(0, |begun| now - begun);
        let mut replay = Replay { file, client, sent, runs, jobs, later_ms, seen, names, findings: &mut findings };
        for (index, line) in lines.iter().enumerate() {
            let answer = lines.get(index + 1).map(|next| &next["frame"]["payload"]["raw"]);
            if let (WRITTEN_BY_HAND, "config.get", Some(Value::String(raw))) =
                (file, line["frame"]["method"].as_str().unwrap_or_default(), answer)
            {
                std::fs::write(temp.path().join("barnacle.json"), raw).unwrap();
            }
            replay.line(line, &known);
        }
        if file == WRITTEN_BY_HAND {
            std::fs::write(temp.path().join("barnacle.json"), config.to_string()).unwrap();
        }
    };
    for file in METHODS {
        play(file, &gateway);
    }
    for (file, tasks) in OWN_ACCORD {
        let temp = TempDir::new("by-itself");
        let workspace = temp.path().join("state/workspace");
        std::fs::create_dir_all(&workspace).unwrap();
        std::fs::write(workspace.join("HEARTBEAT.md"), tasks).unwrap();
        let mut config = model.config();
        if file.ends_with("failing-at") {
            config["agents"]["defaults"]["model"] = "nosuch/model".into();
        }
        play(file, &Gateway::start(temp.path(), &config));
    }
    for file in CHANNELS {
        let temp = TempDir::new("channels");
        let mut config = model.config();
        config["channels"] = json!({
            "telegram": {"botToken": "1:recorded"},
            "whatsapp": {"dmPolicy": "allowlist", "allowFrom": ["+15551230000"]},
            "discord": {"enabled": false, "token": "recorded"},
            "slack": {"enabled": false, "botToken": "recorded", "appToken": "recorded"},
        });
        play(file, &Gateway::start(temp.path(), &config));
    }
    for (row, (about, what, _)) in DELIBERATE.iter().enumerate() {
        if !findings.used.contains(&row) {
            findings.wrong.insert(format!("no recording shows this any more: {about}: {what}"));
        }
    }
    assert!(findings.wrong.is_empty(), "\n{}\n", findings.wrong.into_iter().collect::<Vec<_>>().join("\n"));
}

fn compare_hello(dir: &Path, gateway: &Gateway, findings: &mut Findings) {
    const FILE: &str = "01-token-handshake";
    let ours = Client::connect(gateway.port, Dialect::Native).hello;
    let lines = lines(dir, FILE);
    let recorded =
        lines.iter().map(|line| &line["frame"]["payload"]).find(|payload| payload["type"] == "hello-ok").unwrap();
    findings.compare(FILE, "connect", recorded, &ours);
}

#[test]
fn recorded_handshakes_are_refused_in_the_recorded_words() {
    let Some(dir) = recordings() else { return };
    let temp = TempDir::new("refused");
    let gateway = Gateway::start(temp.path(), &json!({}));
    for file in HANDSHAKES {
        let mut client = Client::open(gateway.port, "/");
        for line in lines(&dir, file) {
            let recorded = &line["frame"];
            match line["dir"].as_str().unwrap() {
                "c2s" => match recorded["raw"].as_str() {
                    Some(text) => client.send_text(text),
                    None => client.send(recorded),
                },
                "close" => {
                    assert_eq!(client.read(), json!({"close": [recorded["code"], recorded["reason"]]}), "{file}")
                }
                _ => {
                    let mut ours = client.read();
                    if ours["error"].is_object() {
                        assert_eq!(ours["error"].as_object_mut().unwrap().remove("retryable"), Some(json!(false)));
                    }
                    if recorded["event"] == "connect.challenge" {
                        ours["payload"] = recorded["payload"].clone();
                    }
                    assert_eq!(ours, *recorded, "{file}");
                }
            }
        }
    }
}
