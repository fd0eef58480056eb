//! A model provider that a test writes: answers in both wire formats, and every way to fail.

use std::cell::RefCell;
use std::time::Duration;

use barnacle::runs::providers::ToolSpec;
use barnacle::runs::tools::{Scene, ToolOutput, Tools};
use barnacle::sys::LocalFuture;
use barnacle::sys::http::{HttpError, Request};
use barnacle::sys::sim::http::{Ending, Script};
use barnacle::wire::message::Block;
use serde_json::{Value, json};

/// What a model answers.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Text, in as many deltas.
    Text(Vec<String>),
    /// Text, then a call of the tool `echo`.
    Call(String),
}

/// A whole response body in the format that `request` asks for.
pub fn body(request: &Request, answer: &Answer) -> String {
    if request.url.ends_with("/messages") { anthropic(answer) } else { openai(answer) }
}

/// An answer at once and in one piece.
pub fn says(request: &Request, text: &str) -> Script {
    Script::answer(200, body(request, &Answer::Text(vec![text.to_owned()])))
}

/// An answer in `count` deltas of `text`, each `pause` after the one before.
pub fn says_slowly(request: &Request, text: &str, count: usize, pause: Duration) -> Script {
    let whole = body(request, &Answer::Text(vec![text.to_owned(); count]));
    let mut script = Script::answer(200, "");
    for event in whole.split_inclusive("\n\n") {
        script = script.then(pause, event);
    }
    script
}

/// An answer that begins and then never goes on.
pub fn stalls(request: &Request, text: &str) -> Script {
    let whole = body(request, &Answer::Text(vec![text.to_owned()]));
    let begun = whole.split_inclusive("\n\n").take(2).collect::<String>();
    Script::answer(200, begun).ending(Ending::Stall)
}

fn openai(answer: &Answer) -> String {
    let mut out = String::from(": waiting\n\n");
    let mut event = |data: Value| out.push_str(&format!("data: {data}\n\n"));
    let delta = |delta: Value, reason: Option<&str>| json!({"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]});
    event(delta(json!({"role": "assistant", "content": ""}), None));
    match answer {
        Answer::Text(parts) => {
            for part in parts {
                event(delta(json!({"content": part}), None));
            }
            event(delta(json!({}), Some("stop")));
        }
        Answer::Call(text) => {
            event(delta(json!({"content": text}), None));
            let call = json!({"index": 0, "id": "call-1", "type": "function", "function": {"name": "echo", "arguments": "{\"a\":"}});
            event(delta(json!({"tool_calls": [call]}), None));
            event(delta(json!({"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]}), None));
            event(delta(json!({}), Some("tool_calls")));
        }
    }
    event(json!({"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 5}}));
    out.push_str("data: [DONE]\n\n");
    out
}

fn anthropic(answer: &Answer) -> String {
    let mut out = String::new();
    let mut event = |data: Value| {
        let kind = data["type"].as_str().unwrap_or_default().to_owned();
        out.push_str(&format!("event: {kind}\ndata: {data}\n\n"));
    };
    event(json!({"type": "message_start", "message": {"usage": {"input_tokens": 10, "output_tokens": 1}}}));
    event(json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}));
    let texts = match answer {
        Answer::Text(parts) => parts.as_slice(),
        Answer::Call(text) => std::slice::from_ref(text),
    };
    for text in texts {
        event(json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}));
    }
    event(json!({"type": "content_block_stop", "index": 0}));
    let mut reason = "end_turn";
    if let Answer::Call(_) = answer {
        reason = "tool_use";
        let call = json!({"type": "tool_use", "id": "toolu-1", "name": "echo", "input": {}});
        event(json!({"type": "content_block_start", "index": 1, "content_block": call}));
        let delta = json!({"type": "input_json_delta", "partial_json": "{\"a\":1}"});
        event(json!({"type": "content_block_delta", "index": 1, "delta": delta}));
        event(json!({"type": "content_block_stop", "index": 1}));
    }
    event(json!({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 5}}));
    event(json!({"type": "message_stop"}));
    out
}

/// A provider whose every answer is drawn from a seed.
pub struct Moody {
    dice: RefCell<fastrand::Rng>,
}

impl Moody {
    /// A provider with that seed.
    pub fn new(seed: u64) -> Self {
        Self { dice: RefCell::new(fastrand::Rng::with_seed(seed)) }
    }

    /// The answer to one request.
    pub fn answer(&self, request: &Request) -> Script {
        let dice = &mut *self.dice.borrow_mut();
        let head = Duration::from_millis(dice.u64(0..2_000));
        let script = match dice.u32(0..100) {
            0..5 => Script::answer(429, "{\"error\":{\"message\":\"slow down\"}}").header("retry-after", "2"),
            5..9 => Script::answer(500, "{\"error\":{\"message\":\"oops\"}}"),
            9..11 => Script::answer(529, "{\"error\":{\"type\":\"overloaded_error\",\"message\":\"busy\"}}"),
            11..13 => Script::answer(400, "{\"error\":{\"message\":\"what?\"}}"),
            13..16 => Script::error(HttpError::Connect("one.example".to_owned())),
            16..18 => Script::answer(200, "data: this is no json\n\n"),
            18..22 => cut(dice, request, Ending::CutOff),
            22..25 => cut(dice, request, Ending::Stall),
            25..37 => in_pieces(dice, request, &Answer::Call("Let me see. ".to_owned())),
            37..39 => talk(dice, request, 300),
            39..42 => in_pieces(dice, request, &Answer::Text(Vec::new())),
            _ => talk(dice, request, 12),
        };
        script.head_after(head)
    }
}

/// An answer of up to `parts_max` words, some of them long, some of them not ASCII.
fn talk(dice: &mut fastrand::Rng, request: &Request, parts_max: usize) -> Script {
    let word = |dice: &mut fastrand::Rng| match dice.u32(0..12) {
        0 => "Grüße 🦀 ".to_owned(),
        1 => "x".repeat(dice.usize(1..200)) + " ",
        2 => "line\nbreak \"quoted\" \\ ".to_owned(),
        _ => format!("word{} ", dice.u32(0..1000)),
    };
    let count = dice.usize(1..=parts_max);
    let words = (0..count).map(|_| word(dice)).collect();
    in_pieces(dice, request, &Answer::Text(words))
}

/// The answer cut anywhere, even within a character, with pauses.
fn in_pieces(dice: &mut fastrand::Rng, request: &Request, answer: &Answer) -> Script {
    let body = body(request, answer);
    let mut rest = body.as_bytes();
    let mut script = Script::answer(200, "");
    for _ in 0..dice.usize(0..16) {
        let (piece, behind) = rest.split_at(dice.usize(0..=rest.len() / 2));
        rest = behind;
        script = script.then(Duration::from_millis(dice.u64(0..500)), piece);
    }
    script.then(Duration::from_millis(dice.u64(0..500)), rest)
}

/// Only the first pieces of an answer.
fn cut(dice: &mut fastrand::Rng, request: &Request, ending: Ending) -> Script {
    let mut script = talk(dice, request, 12).ending(ending);
    script.pieces.truncate(dice.usize(0..=script.pieces.len()));
    script
}

/// One tool, which gives back what it is given.
#[derive(Debug)]
pub struct Echo;

impl Tools for Echo {
    fn offered(&self, _scene: &Scene) -> Vec<ToolSpec> {
        vec![ToolSpec {
            name: "echo".to_owned(),
            description: "Echoes.".to_owned(),
            parameters: json!({"type": "object"}),
        }]
    }

    fn call(&self, _scene: &Scene, name: &str, arguments: &Value) -> LocalFuture<'static, ToolOutput> {
        let text = format!("{name}: {arguments}");
        Box::pin(async move {
            smol::future::yield_now().await;
            ToolOutput { content: vec![Block::Text { text }], details: None, is_error: false }
        })
    }
}
