//! JSON as it travels and as it is stored, without behaviour.
//!
//! Inside the gateway there is one set of methods and one event bus; a [`Dialect`] is how they look
//! on one connection. It is chosen once, by the connection's first frame, and lives here and in the
//! connection only. Another dialect is another file with one `impl Dialect` and a line in [`DIALECTS`].

pub mod event;
pub mod frame;
pub mod guide;
pub mod handshake;
pub mod message;
pub mod native;
pub mod shape;
pub mod thinking;

use std::fmt;

use serde_json::{Map, Value};

use crate::error::Error;
use event::Event;
use handshake::{Connect, Hello};

/// How the protocol looks on one connection. A dialect has no state.
pub trait Dialect: fmt::Debug + Sync {
    /// Its place in [`DIALECTS`]; encoded events are kept by it.
    fn index(&self) -> usize;

    /// A name for logs and `status`.
    fn name(&self) -> &'static str;

    /// The protocol version that it is.
    fn protocol(&self) -> u32;

    /// Reads a connection's first frame, if it is one of this dialect.
    fn open(&self, first: &Map<String, Value>) -> Option<Result<Connect, Box<Refused>>>;

    /// The answer to an accepted handshake.
    fn hello(&self, connect_id: &Value, hello: &Hello<'_>) -> Vec<u8>;

    /// The name under which a method of this gateway is offered.
    fn method_name(&self, name: &'static str, aliases: &'static [&'static str]) -> &'static str;

    /// Whether hello-ok lists methods that the native reference hides; the guide promises "every
    /// method that can be called".
    fn lists_hidden_methods(&self) -> bool;

    /// The name under which an event arrives.
    fn event_name(&self, event: &'static event::Kind) -> &'static str;

    /// Turns params as this dialect writes them into the gateway's own.
    fn params(&self, method: &str, params: &mut Value);

    /// A response frame; `payload` is JSON text.
    fn reply(&self, id: &Value, outcome: Result<&[u8], &Error>) -> Vec<u8>;

    /// An event frame without its closing brace, so that each connection can add its own number.
    /// `None` when this dialect doesn't carry the event.
    fn event(&self, event: &Event) -> Option<Vec<u8>>;
}

/// A handshake that is refused before anything else is looked at.
#[derive(Debug)]
pub struct Refused {
    /// The response, sent before the close; `None` where the reference sends none.
    pub reply: Option<(Value, Error)>,
    /// Close code.
    pub code: u16,
    /// Close reason.
    pub reason: String,
}

/// Who may call a method (connection.md section 4, guide section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// `operator.read` or `operator.write`.
    Read,
    /// `operator.write`.
    Write,
    /// `operator.admin`.
    Admin,
    /// `operator.approvals`.
    Approvals,
    /// `operator.pairing`.
    Pairing,
    /// `operator.pairing`, or any device for itself; the method looks whether it is itself.
    PairingOrOwnDevice,
    /// Role `node`.
    Node,
    /// Role `node`, or `operator.read` or `operator.write`.
    NodeOrRead,
}

/// Every dialect, in the order in which a first frame is offered to them.
pub static DIALECTS: [&dyn Dialect; 2] = [&native::Native, &guide::Guide];
