//! The real binary, a real client, and a model that always says the same, for tests over real sockets.
#![allow(dead_code, unreachable_pub, unused_imports, reason = "each test binary uses a part")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests start processes and wait for them"
)]

pub mod device;
pub mod http;
pub mod model;

use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use async_tungstenite::tungstenite::client::{IntoClientRequest as _, client};
use async_tungstenite::tungstenite::http::HeaderName;
use async_tungstenite::tungstenite::{Message, WebSocket};
pub use model::{ANSWER, FakeModel};
use serde_json::{Value, json};

/// The token of every test gateway.
pub const TOKEN: &str = "test-token-0123456789";
/// Longest that any test waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A directory that is gone after the test.
#[derive(Debug)]
pub struct TempDir(PathBuf);

impl TempDir {
    pub fn new(name: &str) -> Self {
        let unique = format!("barnacle-{name}-{}-{}", std::process::id(), free_port());
        let path = std::env::temp_dir().join(unique);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // Left-overs in the system's temporary directory hurt nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    pub child: Child,
    pub port: u16,
}

impl Gateway {
    /// Starts one in `dir` with this configuration and waits until it listens.
    pub fn start(dir: &Path, config: &Value) -> Self {
        std::fs::write(dir.join("barnacle.json"), config.to_string()).unwrap();
        let port = free_port();
        let mut child = command(dir, port).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.contains("listens on"), "the gateway said: {line}");
        Self { child, port }
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for its end.
    pub fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the gateway doesn't end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A binary for another processor to test in the place of this build's own; `targets/build TARGET --test` sets both.
const OTHER_BINARY: &str = "BARNACLE_TEST_BIN";
/// The emulator that runs it, and its arguments, separated by spaces.
const RUNNER: &str = "BARNACLE_TEST_RUNNER";

/// The program under test, with no arguments yet.
pub fn program() -> Command {
    let Some(binary) = std::env::var_os(OTHER_BINARY) else {
        return Command::new(env!("CARGO_BIN_EXE_barnacle"));
    };
    let runner = std::env::var(RUNNER).unwrap_or_default();
    let mut words = runner.split_whitespace();
    let Some(emulator) = words.next() else { return Command::new(binary) };
    let mut command = Command::new(emulator);
    command.args(words).arg(binary);
    command
}

/// `barnacle run` in `dir`, not started yet.
pub fn command(dir: &Path, port: u16) -> Command {
    let mut command = program();
    command.arg("run").arg("--config").arg(dir.join("barnacle.json")).arg("--state-dir").arg(dir.join("state"));
    command.args(["--port", &port.to_string()]).env("BARNACLE_TOKEN", TOKEN).env_remove("BARNACLE_LOG");
    command
}

pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// Which handshake a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    Guide,
    Native,
}

/// A connected client that finished its handshake.
#[derive(Debug)]
pub struct Client {
    socket: WebSocket<TcpStream>,
    pub hello: Value,
    next_id: u32,
    /// Frames that came while another was waited for.
    pub passed: Vec<Value>,
}

impl Client {
    pub fn connect(port: u16, dialect: Dialect) -> Self {
        Self::connect_with(port, dialect, &json!({}))
    }

    /// With some of the handshake's params changed.
    pub fn connect_with(port: u16, dialect: Dialect, changes: &Value) -> Self {
        let (path, mut hello) = match dialect {
            Dialect::Guide => (
                "/v1/connect",
                json!({
                    "minProtocol": 1, "maxProtocol": 3, "auth": {"token": TOKEN},
                    "client": {"id": "golden", "mode": "operator", "displayName": "Golden", "version": "1.0.0", "platform": "test"},
                }),
            ),
            Dialect::Native => (
                "/",
                json!({
                    "type": "req", "id": "hello", "method": "connect", "params": {
                        "minProtocol": 3, "maxProtocol": 3, "auth": {"token": TOKEN},
                        "client": {"id": "gateway-client", "mode": "backend", "displayName": "Golden", "version": "1.0.0", "platform": "test"},
                    },
                }),
            ),
        };
        let params = if dialect == Dialect::Native { &mut hello["params"] } else { &mut hello };
        for (key, value) in changes.as_object().into_iter().flatten() {
            params[key] = value.clone();
        }
        let mut client = Self::open(port, path);
        client.send(&hello);
        let answer = loop {
            let frame = client.read();
            if frame["event"] != "connect.challenge" {
                break frame;
            }
        };
        client.hello = if dialect == Dialect::Native { answer["payload"].clone() } else { answer.clone() };
        assert_eq!(client.hello["type"], "hello-ok", "{answer}");
        client
    }

    /// A socket without a handshake.
    pub fn open(port: u16, path: &str) -> Self {
        Self::open_from(port, path, &[])
    }

    /// The same with further request headers.
    pub fn open_from(port: u16, path: &str, headers: &[(&str, &str)]) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut request = format!("ws://127.0.0.1:{port}{path}").into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        let (socket, _) = client(request, stream).unwrap();
        Self { socket, hello: Value::Null, next_id: 0, passed: Vec::new() }
    }

    /// The answer to a handshake: hello-ok, or the error and the close behind it.
    pub fn greeted(mut self) -> Result<Self, (Value, Value)> {
        let answer = loop {
            let frame = self.read();
            if frame["event"] != "connect.challenge" {
                break frame;
            }
        };
        if answer["ok"] == false || answer.get("close").is_some() {
            let close = if answer.get("close").is_some() { answer.clone() } else { self.read() };
            return Err((answer["error"].clone(), close["close"].clone()));
        }
        self.hello = if answer["type"] == "res" { answer["payload"].clone() } else { answer };
        Ok(self)
    }

    pub fn send(&mut self, frame: &Value) {
        self.send_text(&frame.to_string());
    }

    pub fn send_text(&mut self, text: &str) {
        self.socket.send(Message::text(text)).unwrap();
    }

    /// The next frame; a close is `{"close": [code, reason]}`.
    pub fn read(&mut self) -> Value {
        loop {
            if let Some(frame) = frame_of(self.socket.read().unwrap()) {
                return frame;
            }
        }
    }

    /// Sends a request; its id is the result.
    pub fn request(&mut self, method: &str, params: &Value) -> String {
        self.next_id += 1;
        let id = format!("r{}", self.next_id);
        self.send(&json!({"type": "req", "id": id, "method": method, "params": params}));
        id
    }

    /// The next response to `id`.
    pub fn response(&mut self, id: &str) -> Value {
        self.find(|frame| frame["type"] == "res" && frame["id"] == id)
    }

    /// Sends a request and waits for its first response.
    pub fn call(&mut self, method: &str, params: &Value) -> Value {
        let id = self.request(method, params);
        self.response(&id)
    }

    /// The next frame that fits, or `None` if none comes within that time after the last frame, or at all.
    pub fn find_within(&mut self, patience: Duration, fits: impl Fn(&Value) -> bool) -> Option<Value> {
        loop {
            if let Some(index) = self.passed.iter().position(&fits) {
                return Some(self.passed.remove(index));
            }
            let frame = self.next_within(patience)?;
            if frame.get("close").is_some() && !fits(&frame) {
                return None;
            }
            self.passed.push(frame);
        }
    }

    /// The next frame, a close too, or `None` if none comes within that time.
    pub fn next_within(&mut self, patience: Duration) -> Option<Value> {
        self.socket.get_ref().set_read_timeout(Some(patience)).unwrap();
        let frame = loop {
            match self.socket.read() {
                Ok(message) => match frame_of(message) {
                    Some(frame) => break Some(frame),
                    None => continue,
                },
                Err(_) => break None,
            }
        };
        self.socket.get_ref().set_read_timeout(Some(PATIENCE)).unwrap();
        frame
    }

    /// The close of the connection; what comes before it is passed over.
    pub fn find_close(&mut self) -> Value {
        loop {
            let frame = self.read();
            if frame.get("close").is_some() {
                return frame;
            }
            self.passed.push(frame);
        }
    }

    /// Closes as the protocol says, and waits for the gateway to have done so too.
    pub fn hang_up(mut self) {
        self.socket.close(None).unwrap();
        while self.socket.read().is_ok() {}
    }

    /// The next frame that fits, also among those that were passed over.
    pub fn find(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        if let Some(index) = self.passed.iter().position(&fits) {
            return self.passed.remove(index);
        }
        loop {
            let frame = self.read();
            assert!(frame.get("close").is_none(), "closed: {frame}");
            if fits(&frame) {
                return frame;
            }
            self.passed.push(frame);
        }
    }
}

/// A message as JSON, unless it is one of the WebSocket's own.
fn frame_of(message: Message) -> Option<Value> {
    match message {
        Message::Text(text) => Some(serde_json::from_str(&text).unwrap()),
        Message::Close(Some(close)) => Some(json!({"close": [u16::from(close.code), close.reason.as_str()]})),
        Message::Close(None) => Some(json!({"close": [1005, ""]})),
        _ => None,
    }
}

/// A program's output, line by line, as it comes.
pub fn lines_of(output: std::process::ChildStdout) -> std::sync::mpsc::Receiver<String> {
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                break;
            }
        }
    });
    receive
}

/// Waits for a line that has `part` in it.
pub fn wait_for_line(lines: &std::sync::mpsc::Receiver<String>, part: &str) -> String {
    loop {
        let line = lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no line with {part:?} came"));
        if line.contains(part) {
            return line;
        }
    }
}
