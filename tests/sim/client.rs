//! A client of the gateway: the WebSocket library's own client side over a socket in memory. It keeps
//! everything it receives, with the virtual time, and reads only while the test lets it.

use std::cell::{Cell, Ref, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use async_tungstenite::tungstenite::http::Request;
use async_tungstenite::tungstenite::protocol::WebSocketConfig;
use async_tungstenite::tungstenite::{Error, Message, handshake::client::generate_key};
use async_tungstenite::{WebSocketReceiver, client_async_with_config};
use barnacle::net::pipe::End;
use barnacle::net::socket::Socket;
use barnacle::sys::Clock;
use barnacle::sys::tasks::Task;
use serde_json::{Value, json};
use smol::io::AsyncWriteExt as _;
use smol::stream::{Stream as _, StreamExt as _};

use super::home::{Home, SOCKET_BYTES, TOKEN};

/// How a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// As the field's existing clients do.
    Native,
    /// As the guide for client authors says.
    Guide,
}

/// Who connects, and how.
#[derive(Debug, Clone)]
pub struct Who {
    /// How it speaks.
    pub dialect: Dialect,
    /// `operator` or `node`.
    pub role: &'static str,
    /// Scopes that it asks for; none means all that the token gives.
    pub scopes: &'static [&'static str],
    /// The shared token, or something else.
    pub token: &'static str,
    /// Where it comes from.
    pub address: IpAddr,
    /// Path of the upgrade.
    pub path: &'static str,
    /// Further request headers.
    pub headers: &'static [(&'static str, &'static str)],
    /// Socket buffer each way, bytes.
    pub socket_bytes: usize,
    /// Whether it sends its handshake by itself.
    pub introduces_itself: bool,
    /// Whether it comes through the entrance of Tailscale Serve.
    pub through_serve: bool,
}

impl Who {
    /// An operator on this machine who may do everything.
    pub fn native() -> Self {
        Self {
            dialect: Dialect::Native,
            role: "operator",
            scopes: &[],
            token: TOKEN,
            address: Ipv4Addr::LOCALHOST.into(),
            path: "/",
            headers: &[],
            socket_bytes: SOCKET_BYTES,
            introduces_itself: true,
            through_serve: false,
        }
    }

    /// The same in the guide's dialect.
    pub fn guide() -> Self {
        Self { dialect: Dialect::Guide, path: "/v1/connect", ..Self::native() }
    }

    /// From another address.
    pub fn from(self, address: [u8; 4]) -> Self {
        Self { address: Ipv4Addr::from(address).into(), ..self }
    }

    /// The first message.
    pub fn handshake(&self) -> Value {
        let scopes = (!self.scopes.is_empty()).then_some(self.scopes);
        match self.dialect {
            Dialect::Native => {
                let mut params = json!({
                    "minProtocol": 3, "maxProtocol": 3, "role": self.role, "auth": {"token": self.token},
                    "client": {"id": "cli", "version": "1", "platform": "linux", "mode": "cli"},
                });
                if let Some(scopes) = scopes {
                    params["scopes"] = json!(scopes);
                } else {
                    params["scopes"] = json!(["operator.admin", "operator.read", "operator.write"]);
                }
                json!({"type": "req", "id": "connect", "method": "connect", "params": params})
            }
            Dialect::Guide => {
                let mut first = json!({
                    "minProtocol": 1, "maxProtocol": 3, "role": self.role, "auth": {"token": self.token},
                    "client": {"id": "my-app", "mode": self.role},
                });
                if let Some(scopes) = scopes {
                    first["scopes"] = json!(scopes);
                }
                first
            }
        }
    }
}

/// Something that a client received.
#[derive(Debug, Clone)]
pub struct Got {
    /// Virtual time.
    pub at: Duration,
    /// The text frame.
    pub text: Rc<str>,
    /// The same, read.
    pub json: Rc<Value>,
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The gateway answered the upgrade with this status.
    Refused(u16),
    /// A close frame: code and reason.
    Closed(u16, String),
    /// The socket ended without one.
    Lost,
}

enum Outgoing {
    Message(Message),
    Raw(Vec<u8>),
}

#[derive(Default)]
struct State {
    got: RefCell<Vec<Got>>,
    ended: RefCell<Option<Ended>>,
    outgoing: RefCell<VecDeque<Outgoing>>,
    paused: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl State {
    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// The client.
pub struct Client {
    /// How it speaks.
    pub dialect: Dialect,
    /// Its end of the socket: [`End::chop`] makes it read and write in small pieces.
    pub socket: End,
    state: Rc<State>,
    _task: Task<()>,
}

impl Client {
    /// Dials and upgrades in the background.
    pub fn connect(home: &Home, who: Who) -> Self {
        let socket = match who.through_serve {
            true => home.dial_serve(who.socket_bytes),
            false => home.dial(who.address, who.socket_bytes),
        };
        let state = Rc::new(State::default());
        let mut request = Request::get(format!("ws://localhost{}", who.path))
            .header("Host", "localhost")
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", generate_key());
        for (name, value) in who.headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).expect("a request");
        let live = live(socket.clone(), request, Rc::clone(&state), home.gateway().sys.clock.clone());
        let task = home.world.tasks().spawn(live);
        let client = Self { dialect: who.dialect, socket, state, _task: task };
        if who.introduces_itself {
            client.send(&who.handshake());
        }
        client
    }

    /// Queues a text frame.
    pub fn send(&self, frame: &Value) {
        self.send_text(frame.to_string());
    }

    /// Queues a text frame that may be no JSON.
    pub fn send_text(&self, text: String) {
        self.push(Outgoing::Message(Message::text(text)));
    }

    /// Queues any message.
    pub fn send_message(&self, message: Message) {
        self.push(Outgoing::Message(message));
    }

    /// Queues bytes that are no frame, or half of one.
    pub fn send_raw(&self, bytes: Vec<u8>) {
        self.push(Outgoing::Raw(bytes));
    }

    /// Queues a request.
    pub fn request(&self, id: &str, method: &str, params: Value) {
        self.send(&json!({"type": "req", "id": id, "method": method, "params": params}));
    }

    /// Closes as the protocol says.
    pub fn close(&self) {
        self.push(Outgoing::Message(Message::Close(None)));
    }

    /// Pulls the cable.
    pub fn cut(&self) {
        self.socket.close();
    }

    /// Reads nothing from now on.
    pub fn pause(&self) {
        self.state.paused.set(true);
    }

    /// Reads again.
    pub fn resume(&self) {
        self.state.paused.set(false);
        self.state.wake();
    }

    /// Whether it reads nothing at present.
    pub fn is_paused(&self) -> bool {
        self.state.paused.get()
    }

    /// Everything so far, oldest first.
    pub fn received(&self) -> Ref<'_, Vec<Got>> {
        self.state.got.borrow()
    }

    /// How the connection ended, if it has.
    pub fn closed(&self) -> Option<Ended> {
        self.state.ended.borrow().clone()
    }

    /// Whether hello-ok has come.
    pub fn is_admitted(&self) -> bool {
        self.received().iter().any(|got| is_hello(&got.json))
    }

    /// Replies to a request, in order.
    pub fn replies(&self, id: &str) -> Vec<Value> {
        let got = self.received();
        let mine = got.iter().filter(|got| got.json["type"] == "res" && got.json["id"] == id);
        mine.map(|got| Value::clone(&got.json)).collect()
    }

    /// The only reply to a request.
    ///
    /// # Panics
    /// When there is none, or more than one.
    pub fn reply(&self, id: &str) -> Value {
        let mut replies = self.replies(id);
        assert_eq!(replies.len(), 1, "replies to {id}: {replies:?}; {:?}", self.closed());
        replies.remove(0)
    }

    /// Payloads of the events with that native name, in order.
    pub fn events(&self, name: &str) -> Vec<Value> {
        let guide = match name {
            "agent" => "agent.event",
            "chat" => "chat.event",
            name => name,
        };
        let name = if self.dialect == Dialect::Guide { guide } else { name };
        let got = self.received();
        got.iter().filter(|got| got.json["event"] == name).map(|got| got.json["payload"].clone()).collect()
    }

    fn push(&self, what: Outgoing) {
        self.state.outgoing.borrow_mut().push_back(what);
        self.state.wake();
    }
}

/// Whether a frame is the handshake's good answer in either dialect.
pub fn is_hello(frame: &Value) -> bool {
    frame["type"] == "hello-ok" || frame["payload"]["type"] == "hello-ok"
}

async fn live(socket: End, request: Request<()>, state: Rc<State>, clock: Rc<dyn Clock>) {
    let config = WebSocketConfig::default().read_buffer_size(1024).max_message_size(None).max_frame_size(None);
    let raw = Socket::Pipe(socket);
    let end = match client_async_with_config(request, raw.clone(), Some(config)).await {
        Err(Error::Http(answer)) => Ended::Refused(answer.status().as_u16()),
        Err(_) => Ended::Lost,
        Ok((socket, _)) => {
            let (mut sender, mut receiver) = socket.split();
            let write = async {
                while let Some(next) = next_outgoing(&state).await {
                    let sent = match next {
                        Outgoing::Message(message) => sender.send(message).await.is_ok(),
                        Outgoing::Raw(bytes) => raw.clone().write_all(&bytes).await.is_ok(),
                    };
                    if !sent {
                        break;
                    }
                }
                std::future::pending().await
            };
            let read = async {
                loop {
                    match next_message(&mut receiver, &state).await {
                        Some(Ok(Message::Text(text))) => {
                            let json = serde_json::from_str(&text).expect("the gateway sends JSON");
                            let got = Got { at: clock.elapsed(), text: text.as_str().into(), json: Rc::new(json) };
                            state.got.borrow_mut().push(got);
                        }
                        Some(Ok(Message::Close(frame))) => {
                            // Polled on, the library answers the close.
                            while let Some(Ok(_)) = receiver.next().await {}
                            break frame.map_or(Ended::Lost, |frame| {
                                Ended::Closed(frame.code.into(), frame.reason.as_str().to_owned())
                            });
                        }
                        Some(Ok(_)) => {}
                        Some(Err(_)) | None => break Ended::Lost,
                    }
                }
            };
            smol::future::or(pin!(read), pin!(write)).await
        }
    };
    *state.ended.borrow_mut() = Some(end);
    raw.shutdown();
}

async fn next_outgoing(state: &State) -> Option<Outgoing> {
    poll_fn(|cx| match state.outgoing.borrow_mut().pop_front() {
        Some(next) => Poll::Ready(Some(next)),
        None => {
            *state.waker.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        }
    })
    .await
}

/// The next message; while the client is paused, not even a waiting one is read.
async fn next_message(receiver: &mut WebSocketReceiver<Socket>, state: &State) -> Option<Result<Message, Error>> {
    poll_fn(|cx| {
        if state.paused.get() {
            *state.waker.borrow_mut() = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Pin::new(&mut *receiver).poll_next(cx)
    })
    .await
}

impl Drop for Client {
    /// A process that ends closes its sockets.
    fn drop(&mut self) {
        self.socket.close();
    }
}
