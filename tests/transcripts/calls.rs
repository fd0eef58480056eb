//! Recordings of one client that calls one method after the other.
//!
//! Ids, hashes and times of the recording are ours instead. Answers and the first event of each kind of a run are
//! compared; further ones of the same kind are a matter of speed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use serde_json::{Value, json};

use super::deviations::{Findings, WITHOUT_EVENTS};
use super::inbox::Inbox;
use super::support::{Client, Dialect, Gateway, TOKEN};

/// Methods that can be called though hello-ok doesn't list them.
const HIDDEN: [&str; 3] = ["chat.inject", "sessions.resolve", "poll"];

/// Stands for the shared token in recorded configurations.
const THEIR_TOKEN: &str = "GATEWAY_TOKEN";

/// One recording that is being replayed.
pub(crate) struct Calls<'a> {
    file: &'a str,
    inbox: Inbox,
    known: BTreeSet<String>,
    /// Recorded ids of requests that were answered.
    answered: BTreeSet<String>,
    /// Recorded request id → ours, the method, and the run that it starts.
    sent: BTreeMap<String, (String, String, String)>,
    runs: BTreeSet<String>,
    /// Recorded job id → ours.
    jobs: BTreeMap<String, Value>,
    /// How much later than the recorded ones our times are, ms.
    later_ms: u64,
    /// Runs and kinds of events that were waited for.
    seen: BTreeSet<(String, String)>,
    /// What was told last of each run: the how many-th frame, and what it was.
    last: BTreeMap<String, (usize, String)>,
    /// Hashes and ids of the recording → ours.
    names: BTreeMap<String, Value>,
    /// Whether the gateway has said that it will restart.
    restarts: bool,
    findings: &'a mut Findings,
}

impl<'a> Calls<'a> {
    pub(crate) fn new(file: &'a str, gateway: &Gateway, lines: &[Value], findings: &'a mut Findings) -> Self {
        let client = Client::connect(gateway.port, Dialect::Native);
        let listed = client.hello["features"]["methods"].as_array().unwrap().iter();
        let known = listed.map(|name| name.as_str().unwrap().to_owned());
        let known = known.chain(HIDDEN.map(str::to_owned)).collect();
        let ids = lines.iter().filter(|line| line["frame"]["type"] == "res").map(|line| &line["frame"]["id"]);
        let answered = ids.filter_map(|id| id.as_str().map(str::to_owned)).collect();
        let begun = lines.iter().find_map(|line| line["frame"]["payload"]["createdAtMs"].as_u64());
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as u64;
        Self {
            file,
            inbox: Inbox::new(client),
            known,
            answered,
            sent: BTreeMap::new(),
            runs: BTreeSet::new(),
            jobs: BTreeMap::new(),
            later_ms: begun.map_or(0, |begun| now - begun),
            seen: BTreeSet::new(),
            last: BTreeMap::new(),
            names: BTreeMap::new(),
            restarts: false,
            findings,
        }
    }

    pub(crate) fn line(&mut self, line: &Value) {
        let frame = &line["frame"];
        match (line["dir"].as_str(), frame["type"].as_str()) {
            (Some("c2s"), Some("req")) => self.request(frame),
            (Some("s2c"), Some("res")) => self.response(frame),
            (Some("s2c"), Some("event")) => self.event(frame),
            _ => {}
        }
    }

    fn request(&mut self, frame: &Value) {
        let method = frame["method"].as_str().unwrap();
        if !self.known.contains(method) || !self.answered.contains(frame["id"].as_str().unwrap()) {
            return;
        }
        let mut params = frame["params"].clone();
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
        let run = params["idempotencyKey"].as_str().unwrap_or_default().to_owned();
        if !run.is_empty() {
            self.runs.insert(run.clone());
        }
        self.translate(&mut params);
        let id = self.inbox.client.request(method, &params);
        self.sent.insert(frame["id"].as_str().unwrap().to_owned(), (id, method.to_owned(), run));
    }

    fn response(&mut self, frame: &Value) {
        let recorded_id = frame["id"].as_str().unwrap_or_default();
        let Some((id, method, run)) = self.sent.get(recorded_id).cloned() else { return };
        let ours = self.inbox.find(|frame| frame["type"] == "res" && frame["id"] == id.as_str());
        let Some((place, mut ours)) = ours else {
            self.findings.add(self.file, &method, &format!("{recorded_id} is never answered"));
            return;
        };
        let status = frame["payload"]["status"].as_str().unwrap_or_default();
        self.in_order(&run, place, format!("{method} {status}").trim_end());
        if method == "config.set" && ours["ok"] == true && frame["ok"] == false {
            // We took what the original refused: what follows is about another text.
            let hash = self.inbox.client.call("config.get", &json!({}))["payload"]["hash"].clone();
            self.names.values_mut().for_each(|own| *own = hash.clone());
        }
        if method.starts_with("config.") {
            // config.set says nothing about it.
            self.restarts = ours["payload"]["restart"].is_object() || (method == "config.set" && ours["ok"] == true);
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

    /// Puts our hashes and ids in the place of recorded ones.
    fn translate(&self, params: &mut Value) {
        match params {
            Value::String(text) => {
                *params = match self.names.get(text) {
                    Some(own) => own.clone(),
                    None => text.replace(THEIR_TOKEN, TOKEN).into(),
                };
            }
            Value::Object(fields) => fields.values_mut().for_each(|field| self.translate(field)),
            _ => {}
        }
    }

    /// Notes when something of a run comes before what was recorded before it.
    fn in_order(&mut self, run: &str, place: usize, what: &str) {
        if run.is_empty() {
            return;
        }
        if let Some((before, other)) = self.last.insert(run.to_owned(), (place, what.to_owned())) {
            if place < before {
                self.findings.add(self.file, what, &format!("comes before {other}"));
            }
        }
    }

    /// Waits for an event of the same run and kind, so that what follows finds the gateway in the same state.
    fn event(&mut self, recorded: &Value) {
        let run = recorded["payload"]["runId"].as_str().unwrap_or_default().to_owned();
        let kind = kind_of_event(recorded);
        match recorded["event"].as_str().unwrap() {
            // That a job was added is told before its id is known here.
            "cron" if recorded["payload"]["action"] != "added" => return self.cron_event(recorded, &kind),
            "shutdown" if !self.restarts => return self.findings.add(self.file, &kind, "never comes"),
            name @ ("heartbeat" | "shutdown") => {
                match self.inbox.find(|frame| frame["event"] == name) {
                    Some((_, ours)) => self.findings.compare(self.file, &kind, recorded, &ours),
                    None => return self.findings.add(self.file, &kind, "never comes"),
                }
                if name == "shutdown" {
                    // Whoever connects after this close meets the gateway that comes back.
                    self.inbox.find(|frame| frame.get("close").is_some());
                }
                return;
            }
            _ => {}
        }
        let is_expected = self.runs.contains(&run) && WITHOUT_EVENTS.iter().all(|(without, _)| *without != run);
        // The model that plays here calls no tools.
        if !is_expected || kind.contains("tool") || !self.seen.insert((run.clone(), rough(&kind))) {
            return;
        }
        let wanted = rough(&kind);
        let ours = self
            .inbox
            .find(|frame| frame["payload"]["runId"] == run.as_str() && rough(&kind_of_event(frame)) == wanted);
        let Some((place, ours)) = ours else {
            self.findings.add(self.file, &kind, &format!("never comes for {run}"));
            return;
        };
        self.in_order(&run, place, &kind);
        if kind_of_event(&ours) == kind {
            self.findings.compare(self.file, &kind, recorded, &ours);
        } else {
            self.findings.add(self.file, &kind, &format!("is {}", kind_of_event(&ours)));
        }
    }

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
        match self.inbox.find(same) {
            Some((place, ours)) => {
                self.in_order(&id.to_string(), place, kind);
                self.findings.compare(self.file, kind, recorded, &ours);
            }
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
