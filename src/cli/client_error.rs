//! Why a gateway can't be asked or doesn't do what it was asked, and what the owner is told about it.
//! A text never shows a secret.

use std::io;
use std::time::Duration;

use async_tungstenite::tungstenite::Error as WsError;
use async_tungstenite::tungstenite::error::ProtocolError;
use serde::Deserialize;

use super::connection::Target;
use super::dial::DialError;
use super::exit::{Exit, Failure};
use crate::limits;

/// Why a connection can't be used, or not any more.
#[derive(Debug)]
pub enum ClientError {
    /// There is no stream.
    Dial(DialError),
    /// A deadline passed.
    Timeout(Awaited, Duration),
    /// The gateway has as many connections as it takes (HTTP 503).
    Full,
    /// Somebody is there, but it isn't a gateway.
    NotAGateway(String),
    /// The handshake was refused.
    Refused(Refusal),
    /// The gateway closed the connection.
    Closed(u16, String),
    /// The connection broke.
    Lost(String),
    /// Our message is larger than the gateway takes: its size, the limit, bytes.
    TooLarge(usize, u64),
    /// The gateway's message is larger than we take.
    AnswerTooLarge,
}

/// What was waited for in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaited {
    /// A stream to the gateway.
    Connection,
    /// The upgrade and the greeting.
    Handshake,
    /// An answer, or any sign of life.
    Answer,
    /// The socket taking our bytes.
    Write,
}

impl Awaited {
    fn name(self) -> &'static str {
        match self {
            Self::Connection => "a connection",
            Self::Handshake => "the greeting",
            Self::Answer => "an answer",
            Self::Write => "the gateway to read our message",
        }
    }
}

/// A refusal as the gateway words it (connection.md 1.4).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Refusal {
    /// The error code.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// When trying again makes sense, ms.
    pub retry_after_ms: Option<u64>,
}

impl ClientError {
    /// Whether connecting once more may help, after a connection that worked.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Dial(DialError::Tls(..)) | Self::Refused(_) | Self::NotAGateway(_) => false,
            Self::TooLarge(..) | Self::AnswerTooLarge => false,
            Self::Dial(_) | Self::Full | Self::Timeout(..) | Self::Closed(..) | Self::Lost(_) => true,
        }
    }

    /// What the owner is told, with the exit code.
    #[must_use]
    pub fn explain(&self, target: &Target) -> Failure {
        let at = target.endpoint.host_port();
        match self {
            Self::Dial(error @ DialError::Refused(_)) => {
                let mut hint = "is the gateway running? start it with `barnacle run`".to_owned();
                if let Some(trouble) = &target.config_trouble {
                    hint = format!("{hint}; its port may be another one: {trouble}");
                }
                Failure::new(Exit::NoConnection, error.to_string()).hint(hint)
            }
            Self::Dial(error) => Failure::new(Exit::NoConnection, error.to_string()),
            Self::Timeout(what, limit) => {
                let message = format!("{at}: waited {} s for {}", limit.as_secs_f64(), what.name());
                let exit = if *what == Awaited::Connection { Exit::NoConnection } else { Exit::Timeout };
                Failure::new(exit, message)
            }
            Self::Full => {
                Failure::new(Exit::NoConnection, format!("the gateway at {at} takes no more connections now"))
                    .hint("try again later; gateway.limits.connections in the configuration sets how many it takes")
            }
            Self::NotAGateway(why) => Failure::new(Exit::NoConnection, format!("{at} is not a gateway: {why}"))
                .hint("check --url and the port"),
            Self::Refused(refusal) => refusal.explain_handshake(target),
            Self::Closed(_, reason) if reason.starts_with("unauthorized") => {
                Failure::new(Exit::Unauthorized, reason.clone()).hint(target.source.advice())
            }
            Self::Closed(1012, _) => Failure::new(Exit::NoConnection, "the gateway is shutting down or restarting"),
            Self::Closed(code, reason) if reason.is_empty() => {
                Failure::new(Exit::NoConnection, format!("the gateway closed the connection (code {code})"))
            }
            Self::Closed(code, reason) => {
                Failure::new(Exit::NoConnection, format!("the gateway closed the connection: {reason} (code {code})"))
            }
            Self::Lost(why) => Failure::new(Exit::NoConnection, format!("the connection to {at} broke: {why}")),
            Self::TooLarge(size, limit) => {
                let message = format!("the message is {size} bytes long; this gateway takes {limit}");
                Failure::new(Exit::Failed, message)
                    .hint("gateway.limits.maxPayload in the configuration sets that limit")
            }
            Self::AnswerTooLarge => Failure::new(
                Exit::Failed,
                format!("the answer is larger than {} bytes; ask for less of it", limits::CLIENT_MESSAGE_BYTES),
            ),
        }
    }
}

impl Refusal {
    /// `CODE: message`, with when to try again.
    #[must_use]
    pub fn line(&self) -> String {
        let code = if self.code.is_empty() { "ERROR" } else { &self.code };
        let message = if self.message.is_empty() { "no reason given" } else { &self.message };
        match self.retry_after_ms {
            Some(wait_ms) => format!("{code}: {message} (try again in {} s)", wait_ms.div_ceil(1000)),
            None => format!("{code}: {message}"),
        }
    }

    /// What the owner is told about a refused call; `methods` are the gateway's, for advice.
    #[must_use]
    pub fn explain_call(&self, methods: &[String]) -> Failure {
        let failure = Failure::new(Exit::Failed, self.line());
        let Some(unknown) = self.message.strip_prefix("unknown method: ") else {
            return failure;
        };
        let domain = unknown.split('.').next().unwrap_or(unknown);
        let alike: Vec<&str> =
            methods.iter().map(String::as_str).filter(|name| name.split('.').next() == Some(domain)).collect();
        if alike.is_empty() {
            return failure.hint(format!("this gateway has {} methods; docs/methods.md lists them", methods.len()));
        }
        failure.hint(format!("this gateway has {}", alike.join(", ")))
    }

    fn explain_handshake(&self, target: &Target) -> Failure {
        if self.message.starts_with("unauthorized") || self.code == "NOT_PAIRED" {
            return Failure::new(Exit::Unauthorized, self.line()).hint(target.source.advice());
        }
        Failure::new(Exit::Failed, self.line())
    }
}

/// Before the upgrade, an odd answer means that something else listens there.
pub(super) fn of_upgrade(error: WsError) -> ClientError {
    match error {
        WsError::Http(response) if response.status().as_u16() == 503 => ClientError::Full,
        WsError::Http(response) => ClientError::NotAGateway(format!("it answers HTTP {}", response.status().as_u16())),
        WsError::Io(error) if error.kind() != io::ErrorKind::Other => ClientError::Lost(error.to_string()),
        WsError::Url(_) | WsError::HttpFormat(_) => ClientError::NotAGateway("the URL cannot be asked for".to_owned()),
        other => ClientError::NotAGateway(other.to_string()),
    }
}

/// What a connection that worked ended with.
pub(super) fn of_socket(error: WsError) -> ClientError {
    match error {
        WsError::Capacity(_) => ClientError::AnswerTooLarge,
        WsError::ConnectionClosed | WsError::AlreadyClosed => ClientError::Lost("it was closed".to_owned()),
        WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => ClientError::Lost("it was cut".to_owned()),
        WsError::Protocol(_) | WsError::Utf8(_) => ClientError::NotAGateway(error.to_string()),
        other => ClientError::Lost(other.to_string()),
    }
}
