//! The one error that reaches a client: code, message, and whether trying again may help.
//!
//! Modules below `rpc` have small error enums of their own; methods turn them into this one at the
//! border. A message names what is wrong and which field, never a path, a secret or debug output.

use std::fmt;

use serde_json::Value;

/// The protocol's error codes (guide section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The request is wrong; the same request will fail again.
    InvalidRequest,
    /// The device or node is not paired.
    NotPaired,
    /// No such node is paired; `NOT_PAIRED` for guide connections (connection.md appendix C, 15).
    NodeUnknown,
    /// The node or channel is not linked (connected).
    NotLinked,
    /// The agent took too long.
    AgentTimeout,
    /// Not available now.
    Unavailable,
}

impl Code {
    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidRequest => "INVALID_REQUEST",
            Self::NotPaired | Self::NodeUnknown => "NOT_PAIRED",
            Self::NotLinked => "NOT_LINKED",
            Self::AgentTimeout => "AGENT_TIMEOUT",
            Self::Unavailable => "UNAVAILABLE",
        }
    }

    /// Whether the same request may succeed later (guide section 6).
    #[must_use]
    pub fn retryable(self) -> bool {
        matches!(self, Self::NotLinked | Self::AgentTimeout | Self::Unavailable)
    }
}

/// A refusal as the client sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Error {
    /// What kind of failure.
    pub code: Code,
    /// What was wrong and what was expected.
    pub message: String,
    /// Machine-readable addition, where the reference documents one.
    pub details: Option<Value>,
    /// When trying again makes sense, milliseconds.
    pub retry_after_ms: Option<u64>,
    /// A payload that goes with the failure (a failed run's summary).
    pub payload: Option<Value>,
}

impl Error {
    /// An error of `code`.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: None, retry_after_ms: None, payload: None }
    }

    /// The request is wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidRequest, message)
    }

    /// Not available now.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Code::Unavailable, message)
    }

    /// With a machine-readable addition.
    #[must_use]
    pub fn with_details(mut self, details: Value) -> Self {
        self.details = Some(details);
        self
    }

    /// With a payload beside the error.
    #[must_use]
    pub fn with_payload(mut self, payload: Value) -> Self {
        self.payload = Some(payload);
        self
    }

    /// With a wait after which trying again makes sense.
    #[must_use]
    pub fn retry_after(mut self, wait_ms: u64) -> Self {
        self.retry_after_ms = Some(wait_ms);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.name(), self.message)
    }
}

impl std::error::Error for Error {}
