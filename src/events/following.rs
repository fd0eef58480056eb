//! What a node is subscribed to: sessions whose runs it hears of (connection.md 6.5).
//!
//! A subscribed node gets one copy of each event, numbered like its others. Bounded; gone with the
//! connection.

use std::collections::VecDeque;

use crate::limits::NODE_SUBSCRIPTIONS;
use crate::wire::event::{Event, Payload};

/// The subscriptions of one connection, oldest first.
#[derive(Debug, Default)]
pub struct Following {
    sessions: VecDeque<Session>,
}

#[derive(Debug)]
struct Session {
    /// The key as the node wrote it, trimmed.
    shown: String,
    /// The key in canonical form.
    canonical: String,
}

impl Following {
    /// Subscribes to a session; the oldest subscription leaves when there are too many.
    pub fn add(&mut self, shown: &str, canonical: &str) {
        self.remove(shown, canonical);
        if self.sessions.len() >= NODE_SUBSCRIPTIONS {
            self.sessions.pop_front();
        }
        self.sessions.push_back(Session { shown: shown.to_owned(), canonical: canonical.to_owned() });
    }

    /// Ends a subscription, whichever form of the key it was made with.
    pub fn remove(&mut self, shown: &str, canonical: &str) {
        self.sessions.retain(|session| !session.is(shown, canonical));
        self.sessions.shrink_to_fit();
    }

    /// Whether an event is about a subscribed session; health is told to whoever has any.
    #[must_use]
    pub fn covers(&self, event: &Event) -> bool {
        let has = |shown: &str, canonical: &str| self.sessions.iter().any(|session| session.is(shown, canonical));
        match &event.payload {
            Payload::Agent(progress) => has(progress.session_key.as_deref().unwrap_or_default(), &progress.key),
            Payload::Chat(update) => has(&update.session_key, &update.key),
            Payload::Json(_) => std::ptr::eq(event.kind, &super::HEALTH) && !self.sessions.is_empty(),
        }
    }
}

impl Session {
    fn is(&self, shown: &str, canonical: &str) -> bool {
        self.shown == shown || self.canonical == canonical
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::event::{ChatState, ChatUpdate};

    fn chat(shown: &str, canonical: &str) -> Event {
        let update = ChatUpdate {
            run_id: "r".into(),
            session_key: shown.into(),
            key: canonical.into(),
            seq: 1,
            ts: 0,
            state: ChatState::Delta("x".into()),
        };
        Event { kind: &super::super::CHAT, payload: Payload::Chat(update), state_version: None }
    }

    #[test]
    fn a_session_is_followed_by_its_exact_or_its_canonical_key() {
        let mut following = Following::default();
        following.add("main", "agent:main:main");
        assert!(following.covers(&chat("Main", "agent:main:main")));
        assert!(following.covers(&chat("main", "agent:other:main")));
        assert!(!following.covers(&chat("x", "agent:main:x")));
        following.remove("agent:main:main", "agent:main:main");
        assert!(!following.covers(&chat("main", "agent:main:main")));
    }

    #[test]
    fn subscriptions_are_bounded_and_the_oldest_leaves() {
        let mut following = Following::default();
        for index in 0..=NODE_SUBSCRIPTIONS {
            following.add(&index.to_string(), &format!("agent:main:{index}"));
        }
        following.add("5", "agent:main:5");
        assert_eq!(following.sessions.len(), NODE_SUBSCRIPTIONS);
        assert!(!following.covers(&chat("0", "agent:main:0")) && following.covers(&chat("1", "agent:main:1")));
    }
}
