//! One run: what was asked, and what became of it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use super::asker::Asker;
use super::listener::Listener;
use crate::stores::{SessionKey, TranscriptFile};
use crate::sys::Latch;
use crate::wire::message::Usage;
use crate::wire::thinking::ThinkingLevel;

/// What is asked of an agent. The message itself is in the session's transcript already.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Id of the run: the request's idempotency key.
    pub run_id: String,
    /// The session.
    pub key: SessionKey,
    /// Its key as the caller wrote it, for events.
    pub shown_key: String,
    /// The transcript.
    pub file: TranscriptFile,
    /// The agent that answers.
    pub agent_id: String,
    /// Timestamp of the user's message, which names it within the transcript.
    pub message_ts: u64,
    /// Thinking level of this run alone.
    pub thinking: Option<ThinkingLevel>,
    /// Model of this run alone, as a reference of the configuration.
    pub model: Option<String>,
    /// Time limit, from the start of the run.
    pub timeout: Duration,
    /// What the caller adds to the system prompt.
    pub extra_system_prompt: Option<String>,
    /// Which method asked.
    pub origin: Origin,
    /// On whose word it acts.
    pub asker: Asker,
}

/// Which method started a run; their ends differ (methods.md 3.2, section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// `agent`
    Agent,
    /// `chat.send`
    Chat,
}

/// Why a run is stopped before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// By `chat.abort`.
    Rpc,
    /// By a stop phrase, `/stop`, or a reset of the session.
    Phrase,
    /// By its time limit.
    Timeout,
    /// The gateway stops.
    Shutdown,
}

impl Stop {
    /// `stopReason` on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rpc => "rpc",
            Self::Phrase => "stop",
            Self::Timeout => "timeout",
            Self::Shutdown => "shutdown",
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// How.
    pub end: End,
    /// Milliseconds since the Unix epoch; when its turn came, or when it was withdrawn.
    pub started_at: u64,
    /// Milliseconds since the Unix epoch.
    pub ended_at: u64,
    /// One text for each assistant message that has one.
    pub texts: Vec<String>,
    /// The model that spoke, as provider and id; empty when none did.
    pub model: (String, String),
    /// Tokens and cost of all its model calls.
    pub usage: Usage,
}

/// The kinds of ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The answer is complete.
    Completed,
    /// It was stopped.
    Stopped(Stop),
    /// It failed, and why.
    Failed(String),
}

/// A run that waits or goes.
#[derive(Debug)]
pub struct Run {
    /// What was asked.
    pub ask: Ask,
    /// When its turn came, milliseconds since the Unix epoch.
    pub begun: Cell<Option<u64>>,
    /// Set when it is to stop.
    pub stop: Latch<Stop>,
    /// Set once its last event is out; what follows is bookkeeping.
    pub announced: Latch<()>,
    /// Set at the very end.
    pub outcome: Latch<Rc<Outcome>>,
    /// Who listens to what it says, beside the events.
    pub(super) listener: Rc<Listener>,
    /// Its task, while it goes.
    pub(super) task: RefCell<Option<crate::sys::tasks::Task<()>>>,
}

impl Run {
    /// From now on, what it says can be read from the result too. One listener at most.
    #[must_use]
    pub fn listen(&self) -> Rc<Listener> {
        self.listener.begin();
        Rc::clone(&self.listener)
    }

    /// A run that has not begun.
    #[must_use]
    pub fn new(ask: Ask) -> Rc<Self> {
        Rc::new(Self {
            ask,
            begun: Cell::new(None),
            stop: Latch::new(),
            announced: Latch::new(),
            outcome: Latch::new(),
            listener: Rc::default(),
            task: RefCell::new(None),
        })
    }
}
