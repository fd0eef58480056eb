//! Asking a node: who may be asked for what, what of a caller's word is passed on, and what comes back
//! (connection.md 6.2 and 6.3).
//!
//! A question goes on as long as a caller waits for it. The same idempotency key gets the same answer,
//! while it is asked and afterwards; a question that every caller has left is not asked again.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::time::Duration;

use ring::digest::{SHA256, digest};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::Gateway;
use crate::error::{Code, Error};
use crate::events::NODE_INVOKE_REQUEST;
use crate::limits::{INVOKE_MS_MAX, INVOKE_REMEMBERED_BYTES};
use crate::nodes::binding::Command;
use crate::nodes::invokes::{NodeAnswer, Outcome, Ticket};
use crate::nodes::policy;
use crate::sys::tasks::Task;
use crate::sys::{Latch, Sys};
use crate::wire::event::{Event, Payload};
use crate::wire::handshake::Role;

/// How long a node has when nobody says.
const INVOKE_MS: u64 = 30_000;
/// When a caller may try again to find room.
const BUSY_MS: u64 = 1000;
/// Kind of remembered answers.
const KIND: &str = "node.invoke";
/// The command whose params may claim that somebody has approved it, and the claims.
const RUN: &str = "system.run";
const APPROVED: &str = "approved";
const DECISION: &str = "approvalDecision";

/// A question to a node.
#[derive(Debug, Clone)]
pub struct Question {
    /// The node.
    pub node_id: String,
    /// What it is to do.
    pub command: String,
    /// With what, if with anything.
    pub params: Option<Value>,
    /// How long it has, ms.
    pub timeout_ms: Option<u64>,
    /// Passed on to the node.
    pub idempotency_key: Option<String>,
}

/// A question that was sent.
#[derive(Debug)]
pub struct Asked {
    sys: Sys,
    ticket: Ticket,
    command: String,
    wait: Duration,
}

/// The result of an invoke as its callers get it, shared between them.
pub type Shared = Result<Rc<RawValue>, Error>;

/// Questions with an idempotency key that are being asked.
#[derive(Debug, Default)]
pub struct Flights(RefCell<BTreeMap<String, Weak<Flight>>>);

/// One of them; it ends when every caller has left.
#[derive(Debug)]
pub struct Flight {
    gateway: Weak<Gateway>,
    key: String,
    /// Set with the answer.
    pub answer: Latch<Shared>,
    task: RefCell<Option<Task<()>>>,
}

impl Gateway {
    /// Sends a question to a node, if it may be asked.
    ///
    /// # Errors
    /// As connection.md 6.3: not connected, not allowed; `UNAVAILABLE` when too many wait.
    pub fn ask_node(&self, question: &Question) -> Result<Asked, Error> {
        let Some(node) = self.nodes.registry.find(&question.node_id) else {
            let code = if self.knows_node(&question.node_id) { Code::NotLinked } else { Code::NodeUnknown };
            let message = if code == Code::NotLinked { "node not connected" } else { "no node with that id is paired" };
            return Err(Error::new(code, message).with_details(json!({"code": "NOT_CONNECTED"})));
        };
        let config = self.config.get();
        policy::check(node.platform, &node.commands, &question.command, &config.gateway.nodes).map_err(|refused| {
            let details = json!({"reason": refused.reason(), "command": question.command});
            Error::invalid("node command not allowed").with_details(details)
        })?;
        let id = self.sys.chance.uuid();
        let ticket = self
            .nodes
            .invokes
            .begin(&id, &node.id, node.peer.id)
            .map_err(|_| Error::unavailable("too many invokes wait for answers of nodes").retry_after(BUSY_MS))?;
        let params = self.vouched(question);
        let mut request = json!({
            "id": id, "nodeId": node.id, "command": question.command,
            "paramsJSON": params.map(|params| params.to_string()),
        });
        if let Value::Object(request) = &mut request {
            request.extend(question.timeout_ms.map(|ms| ("timeoutMs".to_owned(), ms.into())));
            request
                .extend(question.idempotency_key.as_ref().map(|key| ("idempotencyKey".to_owned(), key.clone().into())));
        }
        if let Ok(payload) = serde_json::value::to_raw_value(&request) {
            let event = Event { kind: &NODE_INVOKE_REQUEST, payload: Payload::Json(payload), state_version: None };
            self.hub.send_event(&node.peer, &event);
        }
        let wait = Duration::from_millis(question.timeout_ms.unwrap_or(INVOKE_MS).min(INVOKE_MS_MAX));
        Ok(Asked { sys: self.sys.clone(), ticket, command: question.command.clone(), wait })
    }

    /// Joins a question with that idempotency key, or asks it. `result` makes the callers' result of the
    /// node's answer.
    ///
    /// # Errors
    /// As [`Gateway::ask_node`], or the remembered refusal.
    pub async fn invoke(
        self: &Rc<Self>,
        question: &Question,
        key: &str,
        result: impl Fn(NodeAnswerRef<'_>) -> Result<Box<RawValue>, Error> + 'static,
    ) -> Shared {
        let key = same_question(question, key);
        if let Some(answer) = self.answers.get(KIND, &key, self.uptime_ms()) {
            return answer.map(|bytes| serde_json::from_slice::<Box<RawValue>>(&bytes).unwrap_or_default().into());
        }
        let known = self.flights.0.borrow().get(&key).and_then(Weak::upgrade);
        let flight = match known {
            Some(flight) => flight,
            None => self.take_off(question, key, result)?,
        };
        flight.answer.wait().await
    }

    fn take_off(
        self: &Rc<Self>,
        question: &Question,
        key: String,
        result: impl Fn(NodeAnswerRef<'_>) -> Result<Box<RawValue>, Error> + 'static,
    ) -> Result<Rc<Flight>, Error> {
        let asked = self.ask_node(question)?;
        let flight = Rc::new(Flight {
            gateway: Rc::downgrade(self),
            key: key.clone(),
            answer: Latch::new(),
            task: RefCell::default(),
        });
        self.flights.0.borrow_mut().insert(key, Rc::downgrade(&flight));
        let landing = Rc::downgrade(&flight);
        let task = self.sys.tasks.spawn(async move {
            let answer = asked.answer().await.and_then(|answer| result(&answer)).map(Rc::from);
            if let Some(flight) = landing.upgrade() {
                flight.land(answer);
            }
        });
        flight.task.replace(Some(task));
        Ok(flight)
    }

    /// Whether a node with that id is known, though it isn't connected.
    fn knows_node(&self, node_id: &str) -> bool {
        let is_paired = self.stores.devices.get(node_id).is_some_and(|device| device.has_role(Role::Node.name()));
        is_paired || self.nodes.registry.was_seen(node_id)
    }

    /// The params of a question, without a claim of approval that this gateway can't confirm.
    fn vouched(&self, question: &Question) -> Option<Value> {
        let mut params = question.params.clone();
        let Some(Value::Object(fields)) = &mut params else { return params };
        if question.command != RUN || !(fields.contains_key(APPROVED) || fields.contains_key(DECISION)) {
            return params;
        }
        let command = Command::read(fields);
        let granted =
            command.and_then(|command| self.nodes.decisions.redeem(&question.node_id, &command, self.uptime_ms()));
        fields.remove(APPROVED);
        fields.remove(DECISION);
        match granted {
            Some(verdict) => {
                fields.insert(APPROVED.into(), true.into());
                fields.insert(DECISION.into(), verdict.name().into());
            }
            None => log::warn!("node {}: a claim of approval that nobody gave was taken out", question.node_id),
        }
        params
    }
}

/// A node's answer that says that it worked.
pub type NodeAnswerRef<'a> = &'a NodeAnswer;

impl Asked {
    /// Waits for the answer of a node that says that it worked. Dropping the future takes the question
    /// back.
    ///
    /// # Errors
    /// As connection.md 6.3: the node's own error, its end, the time limit, an answer too large.
    pub async fn answer(self) -> Result<Rc<NodeAnswer>, Error> {
        let Ok(outcome) = self.sys.clock.timeout(self.wait, self.ticket.outcome.wait()).await else {
            let text = "node invoke timed out";
            return Err(
                Error::unavailable(text).with_details(json!({"nodeError": {"code": "TIMEOUT", "message": text}}))
            );
        };
        match outcome {
            Outcome::Answered(answer) if answer.ok => Ok(answer),
            Outcome::Answered(answer) => {
                let message = answer.error.as_ref().and_then(|error| error.message.clone());
                Err(Error::unavailable(message.unwrap_or_else(|| "node invoke failed".into()))
                    .with_details(json!({"nodeError": answer.error})))
            }
            Outcome::Gone => Err(Error::unavailable(format!("Error: node disconnected ({})", self.command))),
            Outcome::TooLarge { bytes, limit } => {
                let message = format!("the node's answer has {bytes} bytes, more than nodeMaxPayload with {limit}");
                let details = json!({"nodeError": {"code": "PAYLOAD_TOO_LARGE", "message": message}});
                Err(Error::unavailable(message).with_details(details))
            }
        }
    }
}

impl Flight {
    /// The answer is there: remembered for repeats, given to everyone who waits.
    fn land(&self, answer: Shared) {
        if let Some(gateway) = self.gateway.upgrade() {
            gateway.flights.0.borrow_mut().remove(&self.key);
            let remembered = match &answer {
                Ok(json) if json.get().len() > INVOKE_REMEMBERED_BYTES => Err(Error::invalid(
                    "this idempotencyKey was answered already, with too much to say it again; use another one",
                )),
                Ok(json) => Ok(json.get().as_bytes().into()),
                Err(error) => Err(error.clone()),
            };
            gateway.answers.put(KIND, &self.key, remembered, gateway.uptime_ms());
        }
        self.answer.set(answer);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if self.answer.get().is_none() {
            // The node may have done it by now: it isn't asked a second time.
            let left = Error::unavailable(
                "the invoke with this idempotencyKey was left before its answer came; use another one to ask again",
            );
            self.land(Err(left));
        }
    }
}

/// A key is the same only for the same question.
fn same_question(question: &Question, key: &str) -> String {
    let asked = json!([question.node_id, question.command, question.params]).to_string();
    let hash = data_encoding::HEXLOWER.encode(digest(&SHA256, asked.as_bytes()).as_ref());
    format!("{hash}:{key}")
}
