//! Events as the gateway knows them, before a dialect writes them down.

use std::rc::Rc;

use serde::Serialize;
use serde_json::value::RawValue;

/// A kind of event. The table of all kinds is in `events`.
#[derive(Debug)]
pub struct Kind {
    /// Native name, and the one used in code.
    pub name: &'static str,
    /// The guide's name.
    pub guide_name: &'static str,
    /// Who gets it.
    pub audience: Audience,
    /// Whether a slow connection misses it instead of being closed.
    pub drop_if_slow: bool,
    /// Whether it carries the state versions.
    pub versioned: bool,
    /// One sentence for the documentation.
    pub doc: &'static str,
}

/// Who gets an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Every connection that finished its handshake.
    Everyone,
    /// Operators that may read.
    Operators,
    /// Operators that may pair devices.
    Pairing,
    /// Operators that may decide about commands.
    Approvals,
    /// Sent to one connection only.
    Direct,
}

/// One event.
#[derive(Debug)]
pub struct Event {
    /// Its kind.
    pub kind: &'static Kind,
    /// What it says.
    pub payload: Payload,
    /// State versions, for kinds that carry them.
    pub state_version: Option<StateVersion>,
}

/// Counters of the two states that a client may mirror (connection.md 1.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct StateVersion {
    /// Grows with every change of the presence list.
    pub presence: u64,
    /// Grows with every health refresh.
    pub health: u64,
}

/// What an event says.
#[derive(Debug)]
pub enum Payload {
    /// The same JSON in every dialect.
    Json(Box<RawValue>),
    /// Progress of a run.
    Agent(AgentProgress),
    /// The state of a chat turn.
    Chat(ChatUpdate),
}

/// Progress of a run (methods.md section 4).
#[derive(Debug, Clone)]
pub struct AgentProgress {
    /// The run.
    pub run_id: String,
    /// The session key as the caller wrote it.
    pub session_key: Option<String>,
    /// The session key in canonical form; not sent, but compared with what nodes are subscribed to.
    pub key: Rc<str>,
    /// Number among the run's native events, from 1.
    pub seq: u64,
    /// Number among the run's guide events, from 0.
    pub guide_seq: u64,
    /// Milliseconds since the Unix epoch.
    pub ts: u64,
    /// What happened.
    pub stream: Stream,
}

/// What happened in a run.
#[derive(Debug, Clone)]
pub enum Stream {
    /// It started, ended or failed.
    Lifecycle(Lifecycle),
    /// The model said something.
    Assistant {
        /// All of the current message so far.
        text: String,
        /// The new part.
        delta: String,
    },
    /// The model thought something; natively never sent.
    Thinking {
        /// All of the current thought so far.
        text: String,
        /// The new part.
        delta: String,
    },
    /// A tool started or gave a result (JSON of methods.md section 4).
    Tool {
        /// What happened.
        data: Box<RawValue>,
        /// Whether the session's verbose level shows tools.
        is_shown: bool,
    },
}

impl Stream {
    /// Whether native connections get it (methods.md section 4).
    #[must_use]
    pub fn is_native(&self) -> bool {
        !matches!(self, Self::Thinking { .. } | Self::Tool { is_shown: false, .. })
    }
}

/// A run's start or end.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "phase", rename_all = "lowercase", rename_all_fields = "camelCase")]
pub enum Lifecycle {
    /// Its turn has come.
    Start {
        /// Milliseconds since the Unix epoch.
        started_at: u64,
    },
    /// It ended.
    End {
        /// Milliseconds since the Unix epoch.
        ended_at: u64,
        /// Only on runs that were stopped.
        #[serde(skip_serializing_if = "Option::is_none")]
        started_at: Option<u64>,
        /// Whether it was stopped.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        aborted: bool,
    },
    /// It failed.
    Error {
        /// Milliseconds since the Unix epoch.
        started_at: u64,
        /// Milliseconds since the Unix epoch.
        ended_at: u64,
        /// Why.
        error: String,
    },
}

/// The state of a chat turn (methods.md section 5).
#[derive(Debug, Clone)]
pub struct ChatUpdate {
    /// The run.
    pub run_id: String,
    /// The session key as the caller wrote it.
    pub session_key: String,
    /// The session key in canonical form; not sent, but compared with what nodes are subscribed to.
    pub key: Rc<str>,
    /// Number of the run's event that caused it.
    pub seq: u64,
    /// Milliseconds since the Unix epoch.
    pub ts: u64,
    /// The state.
    pub state: ChatState,
}

/// The state of a chat turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChatState {
    /// The answer so far.
    Delta(String),
    /// The whole answer; `None` when there was no text.
    Final {
        /// The text.
        text: Option<String>,
        /// Whether the gateway wrote it, not a model.
        injected: bool,
    },
    /// Stopped by a person or a limit: `rpc`, `stop` or `timeout`.
    Aborted(&'static str),
    /// Failed, and why.
    Error(String),
}

impl ChatState {
    /// The name on the wire.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Delta(_) => "delta",
            Self::Final { .. } => "final",
            Self::Aborted(_) => "aborted",
            Self::Error(_) => "error",
        }
    }
}
