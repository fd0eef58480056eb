//! A model server that always says the same, in the chat interfaces of OpenAI and of Anthropic.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use serde_json::{Value, json};

/// What it says.
pub const ANSWER: &str = "Hello from the fake model.";

/// Words of the message that make it fail: the status, the kind of error, and what it says.
const FAILURES: [(&str, &str, &str, &str); 4] = [
    ("FAIL", "401 Unauthorized", "authentication_error", "invalid api key"),
    ("E401", "401 Unauthorized", "authentication_error", "invalid x-api-key"),
    ("E429", "429 Too Many Requests", "rate_limit_error", "Rate limit exceeded, slow down"),
    ("E500", "500 Internal Server Error", "api_error", "Internal server error"),
];

/// The server.
#[derive(Debug)]
pub struct FakeModel {
    pub port: u16,
    /// Path and body of what it was asked.
    pub asked: Receiver<(String, Value)>,
}

impl FakeModel {
    /// Serves in the background for as long as the test runs. What the last line of the message contains
    /// decides: `SLOW` is answered with a word every 50 ms for ten seconds, `LONG` for two seconds, `THINKTAG`
    /// with a thought in tags, `REASON` with one beside the text, `NOREPLY` and `ALLWELL` with the word for
    /// that, and the words of [`FAILURES`] with a failure.
    pub fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tell, asked) = mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let tell = tell.clone();
                std::thread::spawn(move || answer(stream, &tell));
            }
        });
        Self { port, asked }
    }

    /// A configuration that uses it.
    pub fn config(&self) -> Value {
        json!({
            "models": {"providers": {"fake": self.provider("openai-completions", "fake-gpt")}},
            "agents": {"defaults": {"model": "fake/fake-gpt"}},
            "session": {"reset": {"mode": "never"}},
            "logging": {"level": "debug"},
        })
    }

    /// The server as a provider of one model, spoken to through that interface.
    pub fn provider(&self, api: &str, model: &str) -> Value {
        json!({
            "baseUrl": format!("http://127.0.0.1:{}/v1", self.port), "api": api, "apiKey": "sk-fake-key",
            "models": [{"id": model, "name": "Fake GPT", "contextWindow": 128_000, "maxTokens": 4096,
                        "cost": {"input": 1.0, "output": 2.0, "cacheRead": 0.1, "cacheWrite": 0.0}}],
        })
    }
}

/// What is said: thoughts or text, and whether the next piece takes its time.
enum Piece {
    Thought(&'static str),
    Text(String),
    Slowly(String),
}

/// One exchange. Errors end it: the gateway may hang up at any time.
fn answer(mut stream: TcpStream, tell: &Sender<(String, Value)>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let (mut length, mut path) = (0, String::new());
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if path.is_empty() {
            path = line.split(' ').nth(1)?.to_owned();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body: Value = serde_json::from_slice(&body).ok()?;
    let last = last_text(&body["messages"].as_array()?.last()?["content"])?;
    // Few tests want to know.
    let _ = tell.send((path.clone(), body));
    if let Some((_, status, kind, message)) = FAILURES.iter().find(|(word, ..)| last.contains(word)) {
        let error = json!({"type": "error", "error": {"message": message, "type": kind}}).to_string();
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            error.len()
        );
        return stream.write_all(format!("{head}{error}").as_bytes()).ok();
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n").ok()?;
    let mut say = |data: &Value| stream.write_all(format!("data: {data}\n\n").as_bytes()).ok();
    if path.ends_with("/messages") {
        return as_anthropic(&last, &mut say);
    }
    as_openai(&last, &mut say)?;
    stream.write_all(b"data: [DONE]\n\n").ok()
}

fn as_openai(last: &str, say: &mut impl FnMut(&Value) -> Option<()>) -> Option<()> {
    for piece in pieces(last) {
        let delta = match &piece {
            Piece::Thought(thought) => json!({"reasoning_content": thought}),
            Piece::Text(text) | Piece::Slowly(text) => json!({"content": text}),
        };
        say(&json!({"choices": [{"index": 0, "delta": delta}]}))?;
        pause(&piece);
    }
    say(&json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}))?;
    say(&json!({"choices": [], "usage": {
        "prompt_tokens": 1200, "completion_tokens": 34, "total_tokens": 1234, "prompt_tokens_details": {"cached_tokens": 200},
    }}))
}

fn as_anthropic(last: &str, say: &mut impl FnMut(&Value) -> Option<()>) -> Option<()> {
    let usage = json!({"input_tokens": 1000, "output_tokens": 1, "cache_read_input_tokens": 200, "cache_creation_input_tokens": 0});
    say(&json!({"type": "message_start", "message": {"id": "m", "role": "assistant", "content": [], "usage": usage}}))?;
    let (mut index, mut open) = (0, "");
    for piece in pieces(last) {
        let (kind, delta) = match &piece {
            Piece::Thought(thought) => ("thinking", json!({"type": "thinking_delta", "thinking": thought})),
            Piece::Text(text) | Piece::Slowly(text) => ("text", json!({"type": "text_delta", "text": text})),
        };
        if open != kind {
            (index, open) = (index + 1, kind);
            say(&json!({"type": "content_block_start", "index": index, "content_block": {"type": kind, kind: ""}}))?;
        }
        say(&json!({"type": "content_block_delta", "index": index, "delta": delta}))?;
        pause(&piece);
    }
    say(&json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 34}}))?;
    say(&json!({"type": "message_stop"}))
}

fn pieces(last: &str) -> Vec<Piece> {
    let text = |text: &str| Piece::Text(text.to_owned());
    let slowly = |words| (0..words).map(|word| Piece::Slowly(format!("w{word} "))).collect();
    match last {
        _ if last.contains("SLOW") => slowly(200),
        _ if last.contains("LONG") => slowly(40),
        _ if last.contains("NOREPLY") => vec![text("NO_REPLY")],
        _ if last.contains("ALLWELL") => vec![text("HEARTBEAT_OK")],
        _ if last.contains("THINKTAG") => {
            vec![text("<think>pondering the question</think>The answer "), text("is 42.")]
        }
        _ if last.contains("REASON") => {
            vec![Piece::Thought("pondering "), Piece::Thought("the question"), text("The answer is 42.")]
        }
        _ => ANSWER.split_inclusive(' ').map(text).collect(),
    }
}

fn pause(piece: &Piece) {
    if matches!(piece, Piece::Slowly(_)) {
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The last paragraph of a message: what was said last, also where an unanswered message stands
/// before it.
fn last_text(content: &Value) -> Option<String> {
    let text = match content {
        Value::String(text) => text.as_str(),
        blocks => blocks.as_array()?.last()?["text"].as_str()?,
    };
    text.lines().last().map(str::to_owned)
}
