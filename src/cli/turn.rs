//! One message and its answer, as a machine: frames go in, actions come out (methods.md 5 and 6).
//!
//! It knows neither socket, clock nor terminal, so that a broken connection is only a call of
//! [`Turn::resume`].

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::client::{Incoming, Reply};
use super::client_error::Refusal;
use super::growth::Growth;
use crate::wire::message::{Message, StopReason};

/// Messages that are looked through for an answer.
const HISTORY: u64 = 50;

/// A message that was said and is being answered.
#[derive(Debug)]
pub struct Turn {
    session: String,
    message: String,
    thinking: Option<&'static str>,
    run_id: String,
    growth: Growth,
    /// Ids of the requests that wait for their answer.
    sent: Option<String>,
    history: Option<String>,
    stop: Option<String>,
    is_acknowledged: bool,
    /// The gateway that ran it is gone: what history doesn't have will never come.
    is_orphaned: bool,
}

/// A request to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// Say the message; with its key, so that saying it twice does nothing.
    Send,
    /// Read what was answered.
    History,
    /// Stop the answer.
    Stop,
}

/// What to do next.
#[derive(Debug, PartialEq)]
pub enum Action {
    /// Print a part of the answer, on a new line if it starts over.
    Print {
        /// Begin a new line first.
        starts_over: bool,
        /// The part.
        text: String,
    },
    /// Say something beside the answer.
    Note(&'static str),
    /// Make a request, and then call [`Turn::asked`].
    Ask(Ask),
    /// Nothing more will come.
    Over(Outcome),
}

/// How an answer ended.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    /// It is complete.
    Answered,
    /// It was stopped: why.
    Stopped(String),
    /// It failed: why.
    Failed(String),
    /// The gateway didn't take the message.
    Refused(Refusal),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ChatEvent {
    #[serde(default)]
    run_id: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    message: Value,
    error_message: Option<String>,
    stop_reason: Option<String>,
}

#[derive(Deserialize)]
struct SendReply {
    status: Option<String>,
    aborted: Option<bool>,
}

impl Turn {
    /// A turn of `session`. `run_id` must be new and unguessable.
    #[must_use]
    pub fn new(session: &str, message: &str, thinking: Option<&'static str>, run_id: String) -> Self {
        Self {
            session: session.to_owned(),
            message: message.to_owned(),
            thinking,
            run_id,
            growth: Growth::default(),
            sent: None,
            history: None,
            stop: None,
            is_acknowledged: false,
            is_orphaned: false,
        }
    }

    /// Method and params of a request.
    #[must_use]
    pub fn request(&self, ask: Ask) -> (&'static str, Value) {
        let key = &self.session;
        match ask {
            Ask::Send => {
                let mut params = json!({"sessionKey": key, "message": self.message, "idempotencyKey": self.run_id});
                if let (Some(level), Some(params)) = (self.thinking, params.as_object_mut()) {
                    params.insert("thinking".to_owned(), level.into());
                }
                ("chat.send", params)
            }
            Ask::History => ("chat.history", json!({"sessionKey": key, "limit": HISTORY})),
            Ask::Stop => ("chat.abort", json!({"sessionKey": key, "runId": self.run_id})),
        }
    }

    /// A request was made under this id.
    pub fn asked(&mut self, ask: Ask, id: String) {
        match ask {
            Ask::Send => self.sent = Some(id),
            Ask::History => self.history = Some(id),
            Ask::Stop => self.stop = Some(id),
        }
    }

    /// Whether it was asked to stop.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stop.is_some()
    }

    /// There is a new connection; `is_restarted` when the gateway is younger than this turn. Gives the
    /// request that finds out how things stand.
    ///
    /// A gateway that went on knows the message's key: saying it again is answered with how far it
    /// is. One that restarted knows nothing: what it had taken is in the history or lost, and saying
    /// it again would make the agent do it twice.
    pub fn resume(&mut self, is_restarted: bool) -> Ask {
        (self.sent, self.history, self.stop) = (None, None, None);
        self.is_orphaned |= is_restarted && self.is_acknowledged;
        if self.is_orphaned { Ask::History } else { Ask::Send }
    }

    /// Takes what came from the gateway.
    pub fn on(&mut self, incoming: Incoming) -> Vec<Action> {
        match incoming {
            Incoming::Event { name, payload } if name == "chat" => self.on_chat(&payload),
            Incoming::Event { .. } => Vec::new(),
            Incoming::Reply(Reply { id, outcome }) => {
                let id = Some(id);
                if id == self.sent {
                    self.on_sent(outcome)
                } else if id == self.history {
                    self.on_history(outcome)
                } else if id == self.stop {
                    // The event comes first; without one there was nothing left to stop.
                    vec![Action::Over(Outcome::Stopped("stopped".to_owned()))]
                } else {
                    Vec::new()
                }
            }
        }
    }

    fn on_sent(&mut self, outcome: Result<Box<RawValue>, Refusal>) -> Vec<Action> {
        let payload = match outcome {
            Ok(payload) => payload,
            Err(refusal) => return vec![Action::Over(Outcome::Refused(refusal))],
        };
        self.is_acknowledged = true;
        match serde_json::from_str::<SendReply>(payload.get()) {
            Ok(SendReply { status: Some(status), .. }) if status == "ok" => vec![Action::Ask(Ask::History)],
            Ok(SendReply { status: None, aborted: Some(aborted) }) => {
                let note = if aborted { "the running answer was stopped" } else { "no answer was running" };
                vec![Action::Note(note), Action::Over(Outcome::Answered)]
            }
            Ok(_) | Err(_) => Vec::new(),
        }
    }

    fn on_chat(&mut self, payload: &RawValue) -> Vec<Action> {
        let Ok(event) = serde_json::from_str::<ChatEvent>(payload.get()) else {
            return Vec::new();
        };
        if event.run_id != self.run_id {
            return Vec::new();
        }
        let text = text_of(event.message);
        match (event.state.as_str(), text) {
            ("delta", Some(text)) => self.print(&text),
            ("final", Some(text)) => {
                let mut actions = self.print(&text);
                actions.push(Action::Over(Outcome::Answered));
                actions
            }
            // No text may mean silence, a failure, or a message that waits its turn: history knows.
            ("final", None) => vec![Action::Ask(Ask::History)],
            ("error", _) => {
                let why = event.error_message.unwrap_or_else(|| "the run failed".to_owned());
                vec![Action::Over(Outcome::Failed(why))]
            }
            ("aborted", _) => vec![Action::Over(Outcome::Stopped(match event.stop_reason.as_deref() {
                Some("timeout") => "stopped: it took too long".to_owned(),
                _ => "stopped".to_owned(),
            }))],
            _ => Vec::new(),
        }
    }

    fn on_history(&mut self, outcome: Result<Box<RawValue>, Refusal>) -> Vec<Action> {
        self.history = None;
        let payload = match outcome {
            Ok(payload) => payload,
            Err(refusal) => return vec![Action::Over(Outcome::Refused(refusal))],
        };
        match answer_in(&messages_of(&payload), &self.message) {
            Some(Ok(text)) => {
                let mut actions = self.print(&text);
                actions.push(Action::Over(Outcome::Answered));
                actions
            }
            Some(Err(why)) => vec![Action::Over(Outcome::Failed(why))],
            None if self.is_orphaned => {
                let why = "the gateway restarted before the answer was complete; ask again";
                vec![Action::Over(Outcome::Failed(why.to_owned()))]
            }
            None => {
                let note = "no text came; if another answer was running, this message waits for its turn";
                vec![Action::Note(note), Action::Over(Outcome::Answered)]
            }
        }
    }

    fn print(&mut self, whole: &str) -> Vec<Action> {
        let fresh = self.growth.show(whole);
        if fresh.text.is_empty() {
            return Vec::new();
        }
        vec![Action::Print { starts_over: fresh.starts_over, text: fresh.text.to_owned() }]
    }
}

/// The messages of a `chat.history` answer that this version understands.
#[must_use]
pub fn messages_of(payload: &RawValue) -> Vec<Message> {
    #[derive(Deserialize)]
    struct History {
        #[serde(default)]
        messages: Vec<Value>,
    }
    let Ok(history) = serde_json::from_str::<History>(payload.get()) else {
        return Vec::new();
    };
    history.messages.into_iter().filter_map(|message| serde_json::from_value(message).ok()).collect()
}

/// The complete answer to the last saying of `message`, or why it failed.
fn answer_in(messages: &[Message], message: &str) -> Option<Result<String, String>> {
    let is_it = |said: &Message| matches!(said, Message::User(_)) && said.text().trim() == message.trim();
    let at = messages.iter().rposition(is_it)?;
    let after = messages.iter().skip(at + 1).take_while(|next| !matches!(next, Message::User(_)));
    let Some(Message::Assistant(answer)) = after.last() else {
        return None;
    };
    let text = crate::wire::message::text_of(&answer.content);
    match answer.stop_reason {
        StopReason::ToolUse => None,
        StopReason::Error => Some(Err(answer.error_message.clone().unwrap_or_else(|| "the model failed".to_owned()))),
        StopReason::Aborted => Some(Err("stopped".to_owned())),
        _ if text.trim().is_empty() => None,
        _ => Some(Ok(text)),
    }
}

/// The text of an event's message: its text blocks, or the string that it is.
fn text_of(message: Value) -> Option<String> {
    let content = message.get("content")?;
    if let Some(text) = content.as_str() {
        return Some(text.to_owned());
    }
    let blocks = content.as_array()?.iter();
    let texts = blocks.filter(|block| block.get("type").and_then(Value::as_str) == Some("text"));
    Some(texts.filter_map(|block| block.get("text")?.as_str()).collect())
}

#[cfg(test)]
#[path = "turn_tests.rs"]
mod tests;
