//! Recordings with several connections: operators and nodes that talk to each other through the gateway.
//!
//! Ids that the gateway makes, and the node's device, are ours instead of the recorded ones.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::support::device::{Ask, Device};
use super::support::{Client, Dialect, Gateway};
use super::{Findings, PATIENCE};

/// Events of which the others of the same kind may be more or fewer (the gateway's own rhythm).
const RHYTHM: [&str; 4] = ["connect.challenge", "health", "presence", "tick"];

/// One recording that is being replayed.
pub(crate) struct Parties<'a> {
    file: &'a str,
    gateway: &'a Gateway,
    clients: BTreeMap<String, Client>,
    /// Connection and recorded request id → our id, and the method.
    sent: BTreeMap<(String, String), (String, String)>,
    /// Recorded texts → ours.
    names: BTreeMap<String, String>,
    findings: &'a mut Findings,
}

impl<'a> Parties<'a> {
    pub(crate) fn new(file: &'a str, gateway: &'a Gateway, findings: &'a mut Findings) -> Self {
        let (clients, sent, names) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { file, gateway, clients, sent, names, findings }
    }

    pub(crate) fn line(&mut self, line: &Value) {
        let (party, frame) = (line["conn"].as_str().unwrap(), &line["frame"]);
        match (line["dir"].as_str().unwrap(), frame["type"].as_str()) {
            ("c2s", _) if frame["method"] == "connect" => self.connect(party, &frame["params"]),
            ("c2s", _) => {
                let method = frame["method"].as_str().unwrap();
                let params = self.ours(&frame["params"]);
                let id = self.client(party).request(method, &params);
                let key = (party.to_owned(), frame["id"].as_str().unwrap().to_owned());
                self.sent.insert(key, (id, method.to_owned()));
            }
            ("close", _) => self.clients.remove(party).unwrap().hang_up(),
            (_, Some("res")) => self.response(party, frame),
            (_, Some("event")) if !RHYTHM.contains(&frame["event"].as_str().unwrap()) => self.event(party, frame),
            _ => {}
        }
    }

    fn connect(&mut self, party: &str, params: &Value) {
        let client = if params["device"].is_object() {
            let text = |value: &Value| -> &'static str { String::leak(value.as_str().unwrap_or_default().to_owned()) };
            let texts = |value: &Value| value.as_array().into_iter().flatten().map(text).collect();
            let device = Device::new(8);
            self.names.insert(params["device"]["id"].as_str().unwrap().to_owned(), device.id.clone());
            let ask = Ask {
                client: (text(&params["client"]["id"]), text(&params["client"]["mode"])),
                platform: text(&params["client"]["platform"]),
                caps: texts(&params["caps"]),
                commands: texts(&params["commands"]),
                ..Ask::phone()
            };
            device.connect(self.gateway.port, &[], &ask).unwrap()
        } else {
            let mut changes = json!({"client": params["client"]});
            if params["scopes"].is_array() {
                changes["scopes"] = params["scopes"].clone();
            }
            Client::connect_with(self.gateway.port, Dialect::Native, &changes)
        };
        self.clients.insert(party.to_owned(), client);
    }

    fn response(&mut self, party: &str, recorded: &Value) {
        let key = (party.to_owned(), recorded["id"].as_str().unwrap().to_owned());
        let Some((id, method)) = self.sent.get(&key).cloned() else { return };
        let ours = self.client(party).find_within(PATIENCE, |frame| frame["type"] == "res" && frame["id"] == id);
        let Some(mut ours) = ours else {
            return self.findings.add(self.file, &method, &format!("{} is never answered", key.1));
        };
        ours["id"] = recorded["id"].clone();
        if let Some(error) = ours.get_mut("error").and_then(Value::as_object_mut) {
            error.remove("retryable");
        }
        self.findings.compare(self.file, &method, recorded, &ours);
    }

    fn event(&mut self, party: &str, recorded: &Value) {
        let name = recorded["event"].as_str().unwrap();
        let ours = self.client(party).find_within(PATIENCE, |frame| frame["event"] == name);
        let Some(ours) = ours else {
            return self.findings.add(self.file, name, &format!("never comes to the {party}"));
        };
        for key in ["id", "requestId"] {
            if let (Some(theirs), Some(own)) = (recorded["payload"][key].as_str(), ours["payload"][key].as_str()) {
                self.names.insert(theirs.to_owned(), own.to_owned());
            }
        }
        self.findings.compare(self.file, name, recorded, &ours);
    }

    fn client(&mut self, party: &str) -> &mut Client {
        self.clients.get_mut(party).unwrap()
    }

    /// With our ids for the recorded ones.
    fn ours(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.names.get(text).map_or_else(|| value.clone(), |own| own.as_str().into()),
            Value::Array(items) => items.iter().map(|item| self.ours(item)).collect(),
            Value::Object(fields) => {
                Value::Object(fields.iter().map(|(key, field)| (key.clone(), self.ours(field))).collect())
            }
            _ => value.clone(),
        }
    }
}
