//! What clients were promised, kept outside of the gateway so that it outlives a power cut.
//!
//! A promise is what a client has been told before the power went: a message that was acknowledged, an
//! answer whose end was announced, a setting that was confirmed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::client::{Dialect, Who};
use super::home::Home;

/// Sessions that nobody resets, deletes or shortens: what is promised about them must hold.
pub const KEPT: [&str; 2] = ["keep-0", "keep-1"];

/// One idempotency key of the present life.
#[derive(Debug, Default)]
pub struct Key {
    /// `chat.send` or `agent`.
    pub method: &'static str,
    /// The session that it was used on.
    pub session: String,
    /// The message.
    pub message: String,
    /// How often it was sent.
    pub uses: u32,
    /// How often `started` was answered.
    started: u32,
    /// When the run was accepted, as told.
    accepted_at: Option<u64>,
    /// The last answer, by dialect.
    last: BTreeMap<&'static str, Value>,
    /// Whether an attempt was refused, so that a further one is a new beginning.
    refused: bool,
}

impl Key {
    /// A key that was not used yet.
    pub fn new(method: &'static str, session: &str, message: String) -> Self {
        Self { method, session: session.to_owned(), message, ..Self::default() }
    }
}

/// All promises.
#[derive(Debug, Default)]
pub struct Ledger {
    /// By idempotency key, of the present life.
    pub keys: BTreeMap<String, Key>,
    /// By session and connection: acknowledged messages in the order of their acknowledgements.
    messages: BTreeMap<(String, String), Vec<String>>,
    /// By session: texts of answers whose end was announced.
    answers: BTreeMap<String, Vec<String>>,
    /// By session: labels that were asked for in this order, and how many of them are confirmed.
    labels: BTreeMap<String, (Vec<String>, usize)>,
    /// Messages that were refused at least once: the disk may have kept them all the same.
    refused: BTreeSet<String>,
}

impl Ledger {
    /// A client asks for a label.
    pub fn label_asked(&mut self, session: &str, label: &str) {
        self.labels.entry(session.to_owned()).or_default().0.push(label.to_owned());
    }

    /// It is confirmed, and so are all before it.
    pub fn label_confirmed(&mut self, session: &str, label: &str) {
        let Some((asked, confirmed)) = self.labels.get_mut(session) else { return };
        if let Some(index) = asked.iter().position(|have| have == label) {
            *confirmed = (*confirmed).max(index + 1);
        }
    }

    /// The end of a run was announced with this text.
    pub fn answered(&mut self, session: &str, text: &str) {
        if KEPT.contains(&session) {
            self.answers.entry(session.to_owned()).or_default().push(text.to_owned());
        }
    }

    /// A request with an idempotency key was answered. Claims: *the same key gets the same answer* —
    /// one `started`, one time of acceptance, one outcome.
    pub fn keyed_reply(&mut self, connection: &str, dialect: Dialect, key: &str, frame: &Value) {
        let Some(record) = self.keys.get_mut(key) else { return };
        let payload = &frame["payload"];
        match payload["status"].as_str() {
            Some("started") => {
                record.started += 1;
                assert!(record.started == 1 || record.refused, "{key} was started {} times", record.started);
                let (session, message) = (record.session.clone(), record.message.clone());
                self.promise(connection, session, message);
            }
            Some("accepted") => {
                let at = payload["acceptedAt"].as_u64();
                assert!(at.is_some(), "accepted without a time: {frame}");
                if record.accepted_at.is_none() {
                    record.accepted_at = at;
                    let (session, message) = (record.session.clone(), record.message.clone());
                    self.promise(connection, session, message);
                } else {
                    assert!(record.accepted_at == at || record.refused, "{key} was accepted twice: {frame}");
                }
            }
            Some("in_flight") => {}
            Some(_) => {
                let told = json!([frame["ok"], payload]);
                let name = if dialect == Dialect::Native { "native" } else { "guide" };
                let before = record.last.entry(name).or_insert_with(|| told.clone());
                assert!(*before == told || record.refused, "{key} was answered {before} and then {told}");
            }
            None => {
                record.refused |= frame["ok"] == false;
                self.refused.insert(record.message.clone());
            }
        }
    }

    /// Runs of the present life that were acknowledged.
    pub fn accepted(&self) -> impl Iterator<Item = &str> {
        let told = self.keys.iter().filter(|(_, key)| key.started > 0 || key.accepted_at.is_some());
        told.map(|(run, _)| run.as_str())
    }

    /// The power goes: keys are forgotten, promises are not.
    pub fn power_cut(&mut self) {
        self.keys.clear();
    }

    fn promise(&mut self, connection: &str, session: String, message: String) {
        if KEPT.contains(&session.as_str()) && !message.starts_with('/') {
            self.messages.entry((session, connection.to_owned())).or_default().push(message);
        }
    }

    /// Claim: *what was acknowledged is there after a power cut, in order* — messages, announced
    /// answers, confirmed labels.
    pub fn check_against(&mut self, home: &Home) {
        let client = home.admit(Who { socket_bytes: 1 << 20, ..Who::native() });
        for (index, session) in KEPT.iter().enumerate() {
            client.request(&format!("h{index}"), "chat.history", json!({"sessionKey": session, "limit": 1000}));
        }
        client.request("list", "sessions.list", json!({}));
        home.run_ms(100);
        for (index, session) in KEPT.iter().enumerate() {
            let history = client.reply(&format!("h{index}"));
            let said = texts(&history["payload"]["messages"]);
            assert!(said.len() < 1000, "the scenario says too much in one session");
            self.check_session(session, &said);
        }
        let rows = client.reply("list");
        for (session, (asked, confirmed)) in &mut self.labels {
            let rows = rows["payload"]["sessions"].as_array().expect("rows");
            let row = rows.iter().find(|row| row["key"] == format!("agent:main:{session}").as_str());
            let label = row.and_then(|row| row["label"].as_str());
            let index = label.and_then(|label| asked.iter().position(|have| have == label));
            let kept = index.map_or(0, |index| index + 1);
            assert!(kept >= *confirmed, "{session}: label {label:?}, of {asked:?} {confirmed} were confirmed");
            asked.truncate(kept);
            *confirmed = kept;
        }
    }

    fn check_session(&self, session: &str, said: &[(String, String)]) {
        for ((of, connection), promised) in &self.messages {
            if of != session {
                continue;
            }
            let mut rest = said.iter();
            for message in promised {
                let found = rest.any(|(role, text)| role == "user" && text == message);
                assert!(found, "{session}: {message:?}, acknowledged to {connection}, is lost or out of order");
            }
        }
        for answer in self.answers.get(session).into_iter().flatten() {
            let found = said.iter().any(|(role, text)| role == "assistant" && text == answer);
            assert!(found, "{session}: the announced answer {answer:?} is lost");
        }
        // One key, one message: each message of the scenario is unique.
        let once = |(role, text): &&(String, String)| {
            role == "user" && text.starts_with("once ") && !self.refused.contains(text)
        };
        let mut seen: Vec<_> = said.iter().filter(once).collect();
        seen.sort_unstable();
        let count = seen.len();
        seen.dedup();
        assert_eq!(seen.len(), count, "{session}: a message stands there twice");
    }
}

/// Role and text of messages in a transcript.
fn texts(messages: &Value) -> Vec<(String, String)> {
    let text = |message: &Value| match &message["content"] {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => blocks.iter().filter_map(|block| block["text"].as_str()).collect(),
        _ => String::new(),
    };
    let messages = messages.as_array().map(Vec::as_slice).unwrap_or_default();
    messages.iter().map(|message| (message["role"].as_str().unwrap_or_default().to_owned(), text(message))).collect()
}
