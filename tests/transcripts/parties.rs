//! Recordings with several connections: operators and nodes that talk to each other through the gateway.
//!
//! Ids that the gateway makes, and the node's device, are ours instead of the recorded ones.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::deviations::Findings;
use super::inbox::Inbox;
use super::support::device::{AWAY, Ask, Device};
use super::support::{Client, Dialect, Gateway, TOKEN};

/// Events of which the others of the same kind may be more or fewer (the gateway's own rhythm).
const RHYTHM: [&str; 4] = ["connect.challenge", "health", "presence", "tick"];

/// One recording that is being replayed.
pub(crate) struct Parties<'a> {
    file: &'a str,
    gateway: &'a Gateway,
    clients: BTreeMap<String, Inbox>,
    /// Parties that were turned away: the error and the close.
    refused: BTreeMap<String, (Value, Value)>,
    /// Whether an operator beside the recording asks the nodes.
    asks: bool,
    /// Headers of connections with a device.
    headers: &'static [(&'static str, &'static str)],
    /// Connection and recorded request id → our id, and the method.
    sent: BTreeMap<(String, String), (String, String)>,
    /// What each party was told last: the how many-th frame, and what it was.
    last: BTreeMap<String, (usize, String)>,
    /// Recorded texts → ours.
    names: BTreeMap<String, String>,
    findings: &'a mut Findings,
}

impl<'a> Parties<'a> {
    pub(crate) fn new(file: &'a str, gateway: &'a Gateway, findings: &'a mut Findings) -> Self {
        let (clients, refused, sent, last, names) = Default::default();
        Self { file, gateway, clients, refused, asks: false, headers: &[], sent, last, names, findings }
    }

    /// With devices that come from elsewhere.
    pub(crate) fn away(self) -> Self {
        Self { headers: AWAY, ..self }
    }

    /// With an operator beside the recording, who asks nodes what they were asked.
    pub(crate) fn asked(self) -> Self {
        Self { asks: true, ..self }
    }

    pub(crate) fn line(&mut self, line: &Value) {
        let (party, frame) = (line["conn"].as_str().unwrap_or("only"), &line["frame"]);
        match (line["dir"].as_str().unwrap(), frame["type"].as_str()) {
            ("c2s", _) if frame["method"] == "connect" => self.connect(party, &frame["params"]),
            ("c2s", _) => {
                let method = frame["method"].as_str().unwrap();
                let params = self.ours(&frame["params"]);
                let id = self.client(party).client.request(method, &params);
                let key = (party.to_owned(), frame["id"].as_str().unwrap().to_owned());
                self.sent.insert(key, (id, method.to_owned()));
            }
            ("close", _) => self.close(party, frame),
            (_, Some("res")) if frame["payload"]["type"] == "hello-ok" => self.greeting(party, frame),
            (_, Some("res")) if self.refused.contains_key(party) => self.refusal(party, frame),
            (_, Some("res")) => self.response(party, frame),
            (_, Some("event")) if !RHYTHM.contains(&frame["event"].as_str().unwrap()) => self.event(party, frame),
            _ => {}
        }
    }

    fn connect(&mut self, party: &str, params: &Value) {
        if !params["device"].is_object() {
            let mut changes = json!({"client": params["client"]});
            if params["scopes"].is_array() {
                changes["scopes"] = params["scopes"].clone();
            }
            let client = Client::connect_with(self.gateway.port, Dialect::Native, &changes);
            self.clients.insert(party.to_owned(), Inbox::new(client));
            return;
        }
        let device = self.device(params["device"]["id"].as_str().unwrap());
        let mut params = params.clone();
        if let Some(token) = params["auth"]["token"].as_str() {
            params["auth"]["token"] = self.names.get(token).map_or(TOKEN, String::as_str).into();
        }
        let ask = Ask::of(&params);
        match device.connect_with(self.gateway.port, self.headers, &ask, params) {
            Ok(client) => drop(self.clients.insert(party.to_owned(), Inbox::new(client))),
            Err(refused) => drop(self.refused.insert(party.to_owned(), refused)),
        }
    }

    /// Our device for the recorded one; the same one each time.
    fn device(&mut self, recorded: &str) -> Device {
        let known = self.names.keys().filter(|name| name.len() == recorded.len());
        let seed = known.clone().position(|name| name == recorded).unwrap_or_else(|| known.count());
        let seeds: Vec<_> = (0_u8..20).map(|seed| Device::new(100 + seed)).collect();
        let ours = self.names.get(recorded).cloned();
        let device = match ours {
            Some(id) => seeds.into_iter().find(|device| device.id == id).unwrap(),
            None => seeds.into_iter().nth(seed).unwrap(),
        };
        self.names.insert(recorded.to_owned(), device.id.clone());
        device
    }

    fn greeting(&mut self, party: &str, recorded: &Value) {
        if let Some((error, _)) = self.refused.remove(party) {
            return self.findings.add(self.file, "connect", &format!("is refused: {error}"));
        }
        let auth = self.client(party).client.hello["auth"].clone();
        let theirs = recorded["payload"]["auth"].clone();
        if let (Some(theirs), Some(own)) = (theirs["deviceToken"].as_str(), auth["deviceToken"].as_str()) {
            self.names.insert(theirs.to_owned(), own.to_owned());
        }
        self.findings.compare(self.file, "connect auth", &theirs, &auth);
    }

    fn refusal(&mut self, party: &str, recorded: &Value) {
        let mut error = self.refused[party].0.clone();
        error.as_object_mut().unwrap().remove("retryable");
        if let (Some(theirs), Some(own)) =
            (recorded["error"]["details"]["requestId"].as_str(), error["details"]["requestId"].as_str())
        {
            self.names.insert(theirs.to_owned(), own.to_owned());
        }
        self.findings.compare(self.file, "connect refused", &recorded["error"], &error);
    }

    fn close(&mut self, party: &str, recorded: &Value) {
        if let Some((_, close)) = self.refused.remove(party) {
            if close != json!([recorded["code"], recorded["reason"]]) {
                self.findings.add(self.file, "connect refused", &format!("closes with {close}"));
            }
        } else if let Some(client) = self.clients.remove(party) {
            client.client.hang_up();
        }
    }

    fn response(&mut self, party: &str, recorded: &Value) {
        let key = (party.to_owned(), recorded["id"].as_str().unwrap().to_owned());
        let Some((id, method)) = self.sent.get(&key).cloned() else { return };
        let ours = self.client(party).find(|frame| frame["type"] == "res" && frame["id"] == id);
        let Some((place, mut ours)) = ours else {
            return self.findings.add(self.file, &method, &format!("{} is never answered", key.1));
        };
        self.in_order(party, place, &method);
        ours["id"] = recorded["id"].clone();
        if let Some(error) = ours.get_mut("error").and_then(Value::as_object_mut) {
            error.remove("retryable");
        }
        self.findings.compare(self.file, &method, recorded, &ours);
    }

    fn event(&mut self, party: &str, recorded: &Value) {
        let name = recorded["event"].as_str().unwrap();
        if self.asks && name == "node.invoke.request" {
            self.ask(&recorded["payload"]);
        }
        let ours = self.client(party).find(|frame| frame["event"] == name);
        let Some((place, ours)) = ours else {
            return self.findings.add(self.file, name, &format!("never comes to the {party}"));
        };
        self.in_order(party, place, name);
        for key in ["id", "requestId"] {
            if let (Some(theirs), Some(own)) = (recorded["payload"][key].as_str(), ours["payload"][key].as_str()) {
                self.names.insert(theirs.to_owned(), own.to_owned());
            }
        }
        self.findings.compare(self.file, name, recorded, &ours);
    }

    /// Notes when a party is told something before what was recorded before it.
    fn in_order(&mut self, party: &str, place: usize, what: &str) {
        if let Some((before, other)) = self.last.insert(party.to_owned(), (place, what.to_owned())) {
            if place < before {
                self.findings.add(self.file, what, &format!("comes before {other}"));
            }
        }
    }

    /// Asks the node what it was asked.
    fn ask(&mut self, payload: &Value) {
        let port = self.gateway.port;
        let connect = || Inbox::new(Client::connect(port, Dialect::Native));
        let payload = self.ours(payload);
        let params: Value = serde_json::from_str(payload["paramsJSON"].as_str().unwrap()).unwrap();
        let asker = self.clients.entry("asker".to_owned()).or_insert_with(connect);
        let mut invoke = json!({"params": params});
        for key in ["nodeId", "command", "timeoutMs", "idempotencyKey"] {
            invoke[key] = payload[key].clone();
        }
        asker.client.request("node.invoke", &invoke);
    }

    fn client(&mut self, party: &str) -> &mut Inbox {
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
