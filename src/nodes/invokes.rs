//! Questions to nodes that wait for their answers (connection.md 6.3).
//!
//! A question waits as long as somebody holds its [`Ticket`]; after that its answer comes too late and
//! is ignored. It sends nothing and knows no time.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::value::RawValue;

use crate::limits::{INVOKES, INVOKES_PER_NODE};
use crate::sys::Latch;

/// The waiting questions.
#[derive(Debug, Default)]
pub struct Invokes(Rc<Waiting>);

type Waiting = RefCell<BTreeMap<String, Entry>>;

#[derive(Debug)]
struct Entry {
    node_id: String,
    /// The connection that was asked.
    connection: u64,
    outcome: Rc<Latch<Outcome>>,
}

/// What became of a question.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The node has answered.
    Answered(Rc<NodeAnswer>),
    /// Its connection ended first.
    Gone,
    /// Its answer was larger than a node's message may be, and was dropped.
    TooLarge {
        /// Size of the answer's message.
        bytes: u64,
        /// What it may be.
        limit: u64,
    },
}

/// A node's answer as it came.
#[derive(Debug)]
pub struct NodeAnswer {
    /// Whether the node says that it worked.
    pub ok: bool,
    /// The result, as JSON.
    pub payload: Option<Box<RawValue>>,
    /// The result, as a text that should hold JSON.
    pub payload_text: Option<String>,
    /// Why it did not work.
    pub error: Option<NodeError>,
}

impl NodeAnswer {
    /// The result: the text as JSON if there is one (connection.md 6.3).
    #[must_use]
    pub fn result(&self) -> Option<Box<RawValue>> {
        match self.payload_text.as_deref().map(str::trim).filter(|text| !text.is_empty()) {
            Some(text) => match serde_json::from_str::<Box<RawValue>>(text) {
                Ok(payload) => Some(payload),
                Err(_) => serde_json::value::to_raw_value(&serde_json::json!({"payloadJSON": self.payload_text})).ok(),
            },
            None => self.payload.clone(),
        }
    }
}

crate::wire! {
    /// Why a node could not do what it was asked.
    pub struct NodeError {
        code: Option<String> = crate::wire::shape::text(1),
        message: Option<String> = crate::wire::shape::text(1),
    }
}

/// Somebody waits for an answer. Dropping it means that nobody does any more.
#[derive(Debug)]
pub struct Ticket {
    waiting: Rc<Waiting>,
    id: String,
    /// Set with the answer.
    pub outcome: Rc<Latch<Outcome>>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.waiting.borrow_mut().remove(&self.id);
    }
}

/// Too many questions wait, for this node or for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

impl Invokes {
    /// A question with that id begins to wait.
    ///
    /// # Errors
    /// [`Full`].
    pub fn begin(&self, id: &str, node_id: &str, connection: u64) -> Result<Ticket, Full> {
        let mut waiting = self.0.borrow_mut();
        let same = waiting.values().filter(|entry| entry.node_id == node_id).count();
        if waiting.len() >= INVOKES || same >= INVOKES_PER_NODE {
            return Err(Full);
        }
        let outcome: Rc<Latch<Outcome>> = Rc::default();
        let entry = Entry { node_id: node_id.to_owned(), connection, outcome: Rc::clone(&outcome) };
        waiting.insert(id.to_owned(), entry);
        Ok(Ticket { waiting: Rc::clone(&self.0), id: id.to_owned(), outcome })
    }

    /// A node answers; tells whether somebody waited for that.
    pub fn answer(&self, id: &str, node_id: &str, answer: NodeAnswer) -> bool {
        let outcome = self.0.borrow().get(id).filter(|entry| entry.node_id == node_id).map(Entry::outcome);
        self.settle(id, outcome, Outcome::Answered(Rc::new(answer)))
    }

    /// A connection is gone, and with it the answers that it owed.
    pub fn gone(&self, connection: u64) {
        for (id, outcome) in self.of(connection) {
            self.settle(&id, Some(outcome), Outcome::Gone);
        }
    }

    /// A connection has sent an answer of `bytes` that was dropped. The question is the one whose id
    /// `is_in` the message, or the only one that waits. Tells whether there is one.
    pub fn too_large(&self, connection: u64, bytes: u64, limit: u64, is_in: impl Fn(&str) -> bool) -> bool {
        let waiting = self.of(connection);
        let found = match waiting.iter().find(|(id, _)| is_in(id)) {
            None if waiting.len() == 1 => waiting.into_iter().next(),
            found => found.cloned(),
        };
        let Some((id, outcome)) = found else { return false };
        self.settle(&id, Some(outcome), Outcome::TooLarge { bytes, limit })
    }

    /// Questions that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.borrow().len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn of(&self, connection: u64) -> Vec<(String, Rc<Latch<Outcome>>)> {
        let waiting = self.0.borrow();
        let own = waiting.iter().filter(|(_, entry)| entry.connection == connection);
        own.map(|(id, entry)| (id.clone(), entry.outcome())).collect()
    }

    /// The first outcome counts, and from then on nobody waits.
    fn settle(&self, id: &str, latch: Option<Rc<Latch<Outcome>>>, outcome: Outcome) -> bool {
        let Some(latch) = latch else { return false };
        self.0.borrow_mut().remove(id);
        latch.set(outcome);
        true
    }
}

impl Entry {
    fn outcome(&self) -> Rc<Latch<Outcome>> {
        Rc::clone(&self.outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn yes() -> NodeAnswer {
        NodeAnswer { ok: true, payload: None, payload_text: None, error: None }
    }

    #[test]
    fn an_answer_counts_once_and_only_from_the_node_that_was_asked() {
        let invokes = Invokes::default();
        let ticket = invokes.begin("i", "phone", 1).unwrap();
        assert!(!invokes.answer("i", "other", yes()) && !invokes.answer("j", "phone", yes()));
        assert!(invokes.answer("i", "phone", yes()) && !invokes.answer("i", "phone", yes()));
        assert!(matches!(ticket.outcome.get(), Some(Outcome::Answered(answer)) if answer.ok));
        assert!(invokes.is_empty());
    }

    #[test]
    fn an_answer_that_nobody_waits_for_is_ignored() {
        let invokes = Invokes::default();
        drop(invokes.begin("i", "phone", 1).unwrap());
        assert!(!invokes.answer("i", "phone", yes()));
    }

    #[test]
    fn a_lost_connection_fails_its_own_questions_at_once() {
        let invokes = Invokes::default();
        let (lost, kept) = (invokes.begin("a", "phone", 1).unwrap(), invokes.begin("b", "phone", 2).unwrap());
        invokes.gone(1);
        assert!(matches!(lost.outcome.get(), Some(Outcome::Gone)) && kept.outcome.get().is_none());
    }

    #[test]
    fn a_dropped_message_fails_the_question_that_it_names_or_the_only_one() {
        let invokes = Invokes::default();
        let (a, b) = (invokes.begin("a", "phone", 1).unwrap(), invokes.begin("b", "phone", 1).unwrap());
        assert!(!invokes.too_large(1, 9, 5, |_| false));
        assert!(invokes.too_large(1, 9, 5, |id| id == "b"));
        assert!(matches!(b.outcome.get(), Some(Outcome::TooLarge { bytes: 9, limit: 5 })));
        assert!(a.outcome.get().is_none() && invokes.too_large(1, 9, 5, |_| false) && a.outcome.get().is_some());
    }

    #[test]
    fn waiting_questions_are_bounded_for_each_node_and_in_all() {
        let invokes = Invokes::default();
        let mut tickets = Vec::new();
        for node in 0..INVOKES / INVOKES_PER_NODE {
            for number in 0..INVOKES_PER_NODE {
                tickets.push(invokes.begin(&format!("{node}.{number}"), &node.to_string(), 1).unwrap());
            }
            assert_eq!(invokes.begin("x", &node.to_string(), 1).unwrap_err(), Full);
        }
        assert_eq!(invokes.begin("x", "other", 1).unwrap_err(), Full);
        tickets.clear();
        assert!(invokes.begin("x", "other", 1).is_ok());
    }
}
