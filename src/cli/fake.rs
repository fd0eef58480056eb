//! A gateway for tests of the commands: real sockets, and a script instead of a mind.

use async_net::{TcpListener, TcpStream};
use async_tungstenite::tungstenite::Message;
use async_tungstenite::tungstenite::protocol::CloseFrame;
use async_tungstenite::{WebSocketStream, accept_async};
use serde_json::{Value, json};
use smol::stream::StreamExt as _;

use super::connection::{Source, Target};
use super::endpoint::Endpoint;
use crate::secret::Secret;

/// Listens on a port of this machine.
pub(super) struct Gateway {
    listener: TcpListener,
}

/// One client of it.
pub(super) struct Peer {
    socket: WebSocketStream<TcpStream>,
}

impl Gateway {
    pub(super) async fn bind() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    pub(super) fn target(&self) -> Target {
        Target {
            endpoint: Endpoint::local(self.listener.local_addr().unwrap().port()),
            token: Some(Secret::new("right")),
            password: None,
            source: Source::Flag,
            config_trouble: None,
            timeout: None,
        }
    }

    /// The next client, after the upgrade and the challenge.
    pub(super) async fn accept(&self) -> Peer {
        let (stream, _) = self.listener.accept().await.unwrap();
        let mut peer = Peer { socket: accept_async(stream).await.unwrap() };
        peer.event("connect.challenge", &json!({"nonce": "n", "ts": 1})).await;
        peer
    }

    /// The next client, greeted with this uptime.
    pub(super) async fn greet(&self, uptime_ms: u64) -> Peer {
        let mut peer = self.accept().await;
        let connect = peer.read().await;
        assert_eq!(connect["method"], "connect");
        assert_eq!(connect["params"]["auth"], json!({"token": "right"}));
        let hello = json!({
            "type": "hello-ok", "protocol": 3,
            "server": {"version": "9.9.9", "host": "pi", "connId": "c"},
            "features": {"methods": ["health", "chat.send", "chat.history"], "events": []},
            "snapshot": {"presence": [], "health": {}, "uptimeMs": uptime_ms},
            "policy": {"maxPayload": 4096, "maxBufferedBytes": 1_000_000, "tickIntervalMs": 30_000},
        });
        peer.reply(&connect, &hello).await;
        peer
    }
}

impl Peer {
    /// The next frame; null when the client has gone.
    pub(super) async fn read(&mut self) -> Value {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).unwrap(),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Value::Null,
                Some(Ok(_)) => {}
            }
        }
    }

    /// Reads a request and checks its method.
    pub(super) async fn expect(&mut self, method: &str) -> Value {
        let request = self.read().await;
        assert_eq!(request["method"], method, "{request}");
        request
    }

    pub(super) async fn send(&mut self, frame: &Value) {
        self.socket.send(Message::text(frame.to_string())).await.unwrap();
    }

    pub(super) async fn event(&mut self, event: &str, payload: &Value) {
        self.send(&json!({"type": "event", "event": event, "payload": payload})).await;
    }

    pub(super) async fn reply(&mut self, request: &Value, payload: &Value) {
        self.send(&json!({"type": "res", "id": request["id"], "ok": true, "payload": payload})).await;
    }

    pub(super) async fn refuse(&mut self, request: &Value, error: &Value) {
        self.send(&json!({"type": "res", "id": request["id"], "ok": false, "error": error})).await;
    }

    /// A chat event with text for the run that `request` began.
    pub(super) async fn chat(&mut self, request: &Value, state: &str, text: &str) {
        let message = json!({"role": "assistant", "content": [{"type": "text", "text": text}]});
        let run_id = &request["params"]["idempotencyKey"];
        self.event("chat", &json!({"runId": run_id, "sessionKey": "main", "state": state, "message": message})).await;
    }

    pub(super) async fn close(mut self, code: u16, reason: &str) {
        let frame = CloseFrame { code: code.into(), reason: reason.to_owned().into() };
        let _ = self.socket.close(Some(frame)).await;
    }
}
