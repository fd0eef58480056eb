//! A client of the native dialect: connects, shows its secret, asks, and reads what comes.
//!
//! It doesn't wait for the challenge, has no device identity, and keeps nothing on disk
//! (connection.md 2.1, 2.2, appendix A). It never interprets an event: that is the command's part.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use async_tungstenite::tungstenite::Message;
use async_tungstenite::tungstenite::protocol::WebSocketConfig;
use async_tungstenite::{WebSocketStream, client_async_with_config};
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use smol::stream::StreamExt as _;

use super::client_error::{Awaited, ClientError, Refusal, of_socket, of_upgrade};
use super::connection::Target;
use super::dial::{self, Stream};
use crate::limits;
use crate::sys::Clock;

/// Read buffer of the WebSocket library, bytes.
const READ_BUFFER_BYTES: usize = 16 * 1024;
/// Scopes of the field's own command line (connection.md appendix A).
const SCOPES: [&str; 3] = ["operator.admin", "operator.approvals", "operator.pairing"];

/// How long the steps of a connection may take.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Name look-up, TCP and TLS.
    pub connect: Duration,
    /// WebSocket upgrade and hello-ok; also each write.
    pub handshake: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_millis(limits::CLIENT_CONNECT_MS),
            handshake: Duration::from_millis(limits::CLIENT_HANDSHAKE_MS),
        }
    }
}

/// An open connection.
pub struct Client {
    socket: WebSocketStream<Box<dyn Stream>>,
    clock: Rc<dyn Clock>,
    patience: Patience,
    requests: u64,
    hello: Hello,
}

/// What the gateway said about itself (connection.md 2.4). What is missing has its default.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Hello {
    /// Who it is.
    pub server: Server,
    /// What it can do.
    pub features: Features,
    /// How it is.
    pub snapshot: Snapshot,
    /// What it enforces.
    pub policy: Policy,
}

/// Who a gateway is.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Server {
    /// Its version.
    pub version: String,
    /// Its machine's name.
    pub host: String,
}

/// What a gateway can do.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Features {
    /// Its methods.
    pub methods: Vec<String>,
}

/// The part of the snapshot that commands use.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Snapshot {
    /// Time since its process started, ms.
    pub uptime_ms: Option<u64>,
}

/// What a client should know about the limits.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Policy {
    /// Largest message that the gateway takes, bytes.
    pub max_payload: u64,
    /// Interval of its ticks, ms.
    pub tick_interval_ms: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Self { max_payload: 512 * 1024, tick_interval_ms: 30_000 }
    }
}

/// A frame from the gateway.
#[derive(Debug)]
pub enum Incoming {
    /// An answer to one of our requests.
    Reply(Reply),
    /// Something happened.
    Event {
        /// Its name.
        name: String,
        /// What.
        payload: Box<RawValue>,
    },
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    /// The request's id.
    pub id: String,
    /// The payload, as it was sent, or the refusal.
    pub outcome: Result<Box<RawValue>, Refusal>,
}

#[derive(Deserialize)]
struct Frame {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    id: serde_json::Value,
    #[serde(default)]
    ok: bool,
    #[serde(default)]
    event: String,
    payload: Option<Box<RawValue>>,
    error: Option<Refusal>,
}

#[derive(Serialize)]
struct Request<'a, P: ?Sized> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    method: &'a str,
    params: &'a P,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("hello", &self.hello).finish_non_exhaustive()
    }
}

impl Client {
    /// Connects and shows the secret; ready for requests afterwards.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn connect(clock: &Rc<dyn Clock>, target: &Target, patience: Patience) -> Result<Self, ClientError> {
        // On the heap, because these two are large and every command holds this future.
        let stream = clock
            .timeout(patience.connect, Box::pin(dial::open(&target.endpoint)))
            .await
            .map_err(|_| ClientError::Timeout(Awaited::Connection, patience.connect))?
            .map_err(ClientError::Dial)?;
        clock
            .timeout(patience.handshake, Box::pin(Self::shake_hands(Rc::clone(clock), target, patience, stream)))
            .await
            .map_err(|_| ClientError::Timeout(Awaited::Handshake, patience.handshake))?
    }

    async fn shake_hands(
        clock: Rc<dyn Clock>,
        target: &Target,
        patience: Patience,
        stream: Box<dyn Stream>,
    ) -> Result<Self, ClientError> {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_message_size(Some(limits::CLIENT_MESSAGE_BYTES))
            .max_frame_size(Some(limits::CLIENT_MESSAGE_BYTES));
        let (socket, _) =
            client_async_with_config(target.endpoint.url.as_str(), stream, Some(config)).await.map_err(of_upgrade)?;
        let mut client = Self { socket, clock, patience, requests: 0, hello: Hello::default() };
        let id = client.request("connect", &connect_params(target)).await?;
        let payload = client.answer(&id).await?.map_err(ClientError::Refused)?;
        client.hello = serde_json::from_str(payload.get())
            .map_err(|error| ClientError::NotAGateway(format!("its greeting is not understood: {error}")))?;
        Ok(client)
    }

    /// What the gateway said about itself.
    #[must_use]
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// The clock on which it waits.
    #[must_use]
    pub fn clock(&self) -> Rc<dyn Clock> {
        Rc::clone(&self.clock)
    }

    /// Sends a request and gives its id. `params` must become JSON.
    ///
    /// # Errors
    /// [`ClientError`]; with [`ClientError::TooLarge`] nothing was sent.
    pub async fn request(&mut self, method: &str, params: &(impl Serialize + ?Sized)) -> Result<String, ClientError> {
        self.requests += 1;
        let id = self.requests.to_string();
        let frame = serde_json::to_string(&Request { kind: "req", id: &id, method, params })
            .map_err(|error| ClientError::Lost(error.to_string()))?;
        if frame.len() as u64 > self.hello.policy.max_payload {
            return Err(ClientError::TooLarge(frame.len(), self.hello.policy.max_payload));
        }
        let sent = self.clock.timeout(self.patience.handshake, self.socket.send(Message::text(frame))).await;
        sent.map_err(|_| ClientError::Timeout(Awaited::Write, self.patience.handshake))?.map_err(of_socket)?;
        Ok(id)
    }

    /// The next answer or event. It waits without limit: the caller knows how long that makes sense.
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`ClientError`] when the connection is over.
    pub async fn next(&mut self) -> Result<Incoming, ClientError> {
        loop {
            let message = match self.socket.next().await {
                Some(Ok(message)) => message,
                Some(Err(error)) => return Err(of_socket(error)),
                None => return Err(ClientError::Lost("it ended".to_owned())),
            };
            let frame = match &message {
                Message::Text(text) => serde_json::from_str::<Frame>(text.as_str()),
                Message::Binary(bytes) => serde_json::from_slice(bytes),
                Message::Close(Some(close)) => {
                    return Err(ClientError::Closed(close.code.into(), close.reason.to_string()));
                }
                Message::Close(None) => return Err(ClientError::Closed(1005, String::new())),
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
            };
            let frame =
                frame.map_err(|error| ClientError::NotAGateway(format!("a frame is not understood: {error}")))?;
            // A frame of a kind that this version doesn't know is for others.
            if let Some(incoming) = frame.sort() {
                return Ok(incoming);
            }
        }
    }

    /// The first answer to a request; events in between are left out.
    ///
    /// # Errors
    /// [`ClientError`] when the connection is over.
    pub async fn answer(&mut self, id: &str) -> Result<Result<Box<RawValue>, Refusal>, ClientError> {
        loop {
            match self.next().await? {
                Incoming::Reply(reply) if reply.id == id => return Ok(reply.outcome),
                Incoming::Reply(_) | Incoming::Event { .. } => {}
            }
        }
    }

    /// Asks and waits for the first answer, at most `limit`.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn ask(
        &mut self,
        method: &str,
        params: &(impl Serialize + ?Sized),
        limit: Duration,
    ) -> Result<Result<Box<RawValue>, Refusal>, ClientError> {
        let id = self.request(method, params).await?;
        let clock = Rc::clone(&self.clock);
        clock.timeout(limit, self.answer(&id)).await.map_err(|_| ClientError::Timeout(Awaited::Answer, limit))?
    }

    /// Says good-bye, without waiting for the other side's.
    pub async fn close(mut self) {
        let _ = self.clock.timeout(self.patience.connect, self.socket.close(None)).await;
    }
}

impl Frame {
    fn sort(self) -> Option<Incoming> {
        match self.kind.as_str() {
            "res" => {
                let id = self.id.as_str().map_or_else(|| self.id.to_string(), ToOwned::to_owned);
                let outcome =
                    if self.ok { Ok(self.payload.unwrap_or_default()) } else { Err(self.error.unwrap_or_default()) };
                Some(Incoming::Reply(Reply { id, outcome }))
            }
            "event" => Some(Incoming::Event { name: self.event, payload: self.payload.unwrap_or_default() }),
            _ => None,
        }
    }
}

fn connect_params(target: &Target) -> serde_json::Value {
    let mut auth = serde_json::Map::new();
    for (name, secret) in [("token", &target.token), ("password", &target.password)] {
        if let Some(secret) = secret {
            auth.insert(name.to_owned(), secret.expose().into());
        }
    }
    json!({
        "minProtocol": crate::wire::handshake::PROTOCOL,
        "maxProtocol": crate::wire::handshake::PROTOCOL,
        "client": {"id": "cli", "version": crate::VERSION, "platform": std::env::consts::OS, "mode": "cli"},
        "role": "operator",
        "scopes": SCOPES,
        "auth": auth,
    })
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
