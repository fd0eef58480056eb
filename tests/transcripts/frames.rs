//! Recordings of one connection, frame by frame as they stand: handshakes, nonsense, what comes by itself, goodbyes.
//!
//! Refusals and closes must be the same word for word, everything else in its shape. The shared token, signatures
//! and nonces are ours.

use std::time::Duration;

use serde_json::{Value, json};

use super::deviations::Findings;
use super::inbox::Inbox;
use super::support::device::{Ask, Device};
use super::support::{Client, Gateway, TOKEN};

/// Limits of a gateway that plays these: what the original took, and less patience.
pub(crate) fn limits() -> Value {
    json!({"maxPayload": PAYLOAD, "handshakeMs": 1000, "tickIntervalMs": 1000})
}

const PAYLOAD: usize = 524_288;
/// Longer than the limits above.
const PATIENCE: Duration = Duration::from_secs(2);
/// The original's shared token.
const THEIRS: &str = "secret-token";
/// Closes by which the recorded client went away.
const CLIENT_LEFT: [u64; 2] = [1005, 1006];

/// One recording that is being replayed.
pub(crate) struct Frames<'a> {
    file: &'a str,
    gateway: &'a Gateway,
    inbox: Inbox,
    challenge: Value,
    /// Asks the gateway to end when it is about to say goodbye.
    signal: Option<&'static str>,
    findings: &'a mut Findings,
}

impl<'a> Frames<'a> {
    pub(crate) fn new(
        file: &'a str,
        gateway: &'a Gateway,
        signal: Option<&'static str>,
        findings: &'a mut Findings,
    ) -> Self {
        let inbox = Inbox::new(Client::open(gateway.port, "/")).patient(PATIENCE);
        Self { file, gateway, inbox, challenge: Value::Null, signal, findings }
    }

    pub(crate) fn line(&mut self, line: &Value) {
        let frame = &line["frame"];
        match (line["dir"].as_str().unwrap(), frame["type"].as_str()) {
            ("c2s", _) => self.send(frame),
            ("close", _) => self.close(frame),
            (_, Some("res")) => self.response(frame),
            (_, Some("event")) => self.event(frame),
            _ => {}
        }
    }

    fn send(&mut self, frame: &Value) {
        if let Some(text) = frame["raw"].as_str() {
            return self.inbox.client.send_text(text);
        }
        if frame["note"].is_string() {
            let pad = "x".repeat(PAYLOAD);
            return self
                .inbox
                .client
                .send(&json!({"type": "req", "id": "r", "method": "health", "params": {"pad": pad}}));
        }
        let mut frame = frame.clone();
        for auth in ["/params/auth/token", "/auth/token"] {
            if let Some(token) = frame.pointer_mut(auth).filter(|token| **token == THEIRS) {
                *token = TOKEN.into();
            }
        }
        if frame["params"]["device"].is_object() {
            let ask = Ask::of(&frame["params"]);
            let (nonce, ts) = (self.challenge["nonce"].as_str().unwrap(), self.challenge["ts"].as_u64().unwrap());
            frame["params"]["device"] = Device::new(77).proof(&ask, Some(nonce), ts);
        }
        self.inbox.client.send(&frame);
    }

    fn response(&mut self, recorded: &Value) {
        let Some((_, mut ours)) = self.inbox.find(|frame| frame["event"].is_null()) else {
            return self.findings.add(self.file, self.file, &format!("{} is never answered", recorded["id"]));
        };
        if recorded["payload"]["type"] == "hello-ok" {
            return self.findings.compare(self.file, "connect", &recorded["payload"], &ours["payload"]);
        }
        if let Some(error) = ours.get_mut("error").and_then(Value::as_object_mut) {
            error.remove("retryable");
        }
        if ours != *recorded {
            self.findings.add(self.file, self.file, &format!("answers {ours} instead of {recorded}"));
        }
    }

    fn event(&mut self, recorded: &Value) {
        let name = recorded["event"].as_str().unwrap();
        match name {
            "shutdown" => self.gateway.signal(self.signal.unwrap()),
            "connect.challenge" | "tick" => {}
            // Of other connections.
            _ => return,
        }
        let Some((_, ours)) = self.inbox.find(|frame| frame["event"] == name) else {
            return self.findings.add(self.file, self.file, &format!("{name} never comes"));
        };
        if name == "connect.challenge" {
            self.challenge = ours["payload"].clone();
        }
        self.findings.compare(self.file, name, recorded, &ours);
        if name == "shutdown" && ours["payload"] != recorded["payload"] {
            self.findings.add(self.file, name, &format!("says {}", ours["payload"]));
        }
    }

    fn close(&mut self, recorded: &Value) {
        if CLIENT_LEFT.contains(&recorded["code"].as_u64().unwrap()) {
            return;
        }
        let ours = self.inbox.find(|frame| frame.get("close").is_some());
        let ours = ours.map_or(Value::Null, |(_, frame)| frame["close"].clone());
        let theirs = json!([recorded["code"], recorded["reason"]]);
        if ours != theirs {
            self.findings.add(self.file, self.file, &format!("closes with {ours} instead of {theirs}"));
        }
    }
}
