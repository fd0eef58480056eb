//! System events: short lines that wait for a session's next prompt (methods.md 2.8).
//!
//! In memory only: they outlive a restart inside the process, and end with the process.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;

use jiff::Timestamp;

use crate::limits::{SYSTEM_EVENT_CHARS, SYSTEM_EVENT_SESSIONS, SYSTEM_EVENTS};
use crate::stores::SessionKey;
use crate::wire::message::Block;

/// The lines that wait.
#[derive(Debug, Default)]
pub struct SystemEvents {
    queues: RefCell<BTreeMap<SessionKey, Queue>>,
    counter: Cell<u64>,
}

#[derive(Debug, Default)]
struct Queue {
    /// Number of its newest change.
    changed: u64,
    events: VecDeque<Waiting>,
}

/// A line that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// When it came, milliseconds since the Unix epoch.
    pub ts: u64,
    /// What it says.
    pub text: String,
}

impl SystemEvents {
    /// Adds a line to a session's queue; `false` for a blank one and for a repeat of the one before it.
    pub fn push(&self, key: &SessionKey, text: &str, now_ms: u64) -> bool {
        let text: String = text.trim().chars().take(SYSTEM_EVENT_CHARS).collect();
        let mut queues = self.queues.borrow_mut();
        let is_repeat = queues.get(key).and_then(|queue| queue.events.back()).is_some_and(|last| last.text == text);
        if text.is_empty() || is_repeat {
            return false;
        }
        if !queues.contains_key(key) && queues.len() >= SYSTEM_EVENT_SESSIONS {
            let oldest = queues.iter().min_by_key(|(_, queue)| queue.changed).map(|(key, _)| key.clone());
            if let Some(oldest) = oldest {
                queues.remove(&oldest);
            }
        }
        self.counter.set(self.counter.get() + 1);
        let queue = queues.entry(key.clone()).or_default();
        queue.changed = self.counter.get();
        queue.events.push_back(Waiting { ts: now_ms, text });
        while queue.events.len() > SYSTEM_EVENTS {
            queue.events.pop_front();
        }
        true
    }

    /// The lines that wait for a session's next prompt, oldest first.
    #[must_use]
    pub fn texts(&self, key: &SessionKey) -> Vec<String> {
        let queues = self.queues.borrow();
        queues.get(key).into_iter().flat_map(|queue| &queue.events).map(|event| event.text.clone()).collect()
    }

    /// Takes those of all sessions, for the next gateway.
    #[must_use]
    pub fn take_all(&self) -> Self {
        Self { queues: RefCell::new(self.queues.take()), counter: self.counter.clone() }
    }

    /// Takes them.
    #[must_use]
    pub fn take(&self, key: &SessionKey) -> Vec<Waiting> {
        self.queues.borrow_mut().remove(key).map(|queue| queue.events.into()).unwrap_or_default()
    }

    /// Puts back what was taken for a prompt that could not be written, before what came meanwhile.
    pub fn give_back(&self, key: &SessionKey, events: Vec<Waiting>) {
        if events.is_empty() {
            return;
        }
        let mut queues = self.queues.borrow_mut();
        let queue = queues.entry(key.clone()).or_default();
        for event in events.into_iter().rev().take(SYSTEM_EVENTS.saturating_sub(queue.events.len())) {
            queue.events.push_front(event);
        }
    }
}

/// A message with these lines before its text.
#[must_use]
pub fn put_before(events: &[Waiting], mut content: Vec<Block>) -> Vec<Block> {
    if events.is_empty() {
        return content;
    }
    let mut lines = String::new();
    for event in events {
        let time = Timestamp::from_millisecond(i64::try_from(event.ts).unwrap_or(0)).unwrap_or_default();
        for line in event.text.lines() {
            let _ = writeln!(lines, "System: [{}] {line}", time.strftime("%Y-%m-%d %H:%M:%S UTC"));
        }
    }
    let first = content.iter_mut().find_map(|block| if let Block::Text { text } = block { Some(text) } else { None });
    match first {
        Some(text) => *text = format!("{lines}\n{text}"),
        None => content.insert(0, Block::Text { text: lines }),
    }
    content
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(agent: &str) -> SessionKey {
        SessionKey::main_of(agent)
    }

    #[test]
    fn twenty_lines_wait_the_oldest_leaves_and_a_repeat_is_left_out() {
        let events = SystemEvents::default();
        assert!(!events.push(&key("main"), "  ", 0));
        for number in 0..25 {
            assert!(events.push(&key("main"), &format!("line {number}"), number));
            assert!(!events.push(&key("main"), &format!("line {number} "), number));
        }
        let texts = events.texts(&key("main"));
        assert_eq!((texts.len(), texts[0].as_str()), (SYSTEM_EVENTS, "line 5"));
        assert_eq!(events.texts(&key("other")).len(), 0);
    }

    #[test]
    fn the_number_of_sessions_is_bounded() {
        let events = SystemEvents::default();
        for number in 0..SYSTEM_EVENT_SESSIONS + 5 {
            events.push(&key(&format!("a{number}")), "x", 0);
        }
        assert_eq!(events.queues.borrow().len(), SYSTEM_EVENT_SESSIONS);
        assert!(events.texts(&key("a0")).is_empty());
    }

    #[test]
    fn lines_stand_before_the_prompt_and_can_be_given_back() {
        let events = SystemEvents::default();
        events.push(&key("main"), "Reminder: tea\nand cake", 1_795_372_186_000);
        let taken = events.take(&key("main"));
        assert!(events.texts(&key("main")).is_empty());
        let prompt = put_before(&taken, vec![Block::Text { text: "hello".into() }]);
        let expected =
            "System: [2026-11-22 18:29:46 UTC] Reminder: tea\nSystem: [2026-11-22 18:29:46 UTC] and cake\n\nhello";
        assert_eq!(prompt, [Block::Text { text: expected.into() }]);
        events.push(&key("main"), "later", 0);
        events.give_back(&key("main"), taken);
        assert_eq!(events.texts(&key("main")), ["Reminder: tea\nand cake", "later"]);
    }
}
