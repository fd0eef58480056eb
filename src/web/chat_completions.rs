//! `POST /v1/chat/completions` in OpenAI's form (connection.md section 7 row 5).

use hyper::StatusCode;
use serde_json::{Value, json};

use super::prompt::{self, Turn as Message};
use super::run::{self, Next, Turn};
use super::{Answer, At, Call, Guard, Route, Verb, invalid, json_answer, sse};
use crate::limits::CHAT_COMPLETIONS_BYTES;
use crate::runs::run::Outcome;

/// Rows.
pub(super) const ROUTES: &[Route] = &[Route {
    path: At::Path("/v1/chat/completions"),
    doc: "asks an agent in OpenAI's form; with `stream` the answer comes as server-sent events",
    verb: Verb::Post,
    is_on: |config| config.gateway.http.chat_completions,
    guard: Guard::Secret,
    body_max: |_| CHAT_COMPLETIONS_BYTES,
    run: |call| Box::pin(async move { answer(call).await.unwrap_or_else(|refusal| *refusal) }),
}];

/// What session keys and ids of this route begin with.
const KIND: &str = "openai";

async fn answer(call: Call) -> Result<Answer, Box<Answer>> {
    let body = call.json()?;
    let wrong = |message: String| Box::new(invalid(&message));
    let model = body.get("model").and_then(Value::as_str).unwrap_or("barnacle").to_owned();
    let place = run::place(&call, KIND, &model, body.get("user").and_then(Value::as_str)).map_err(wrong)?;
    let messages = body.get("messages").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let turns = messages.iter().map(Message::read).collect::<Result<Vec<_>, _>>().map_err(wrong)?;
    let built = prompt::build(&turns, place.is_kept, "Missing user message in `messages`.").map_err(wrong)?;
    let is_streamed = body.get("stream").and_then(Value::as_bool).unwrap_or(false);
    let wants_usage = body.pointer("/stream_options/include_usage").and_then(Value::as_bool).unwrap_or(false);
    let turn = Turn::start(&call, place, built, KIND).await.map_err(|error| Box::new(failed(&error.message)))?;
    let head = Head {
        id: format!("chatcmpl-{}", call.gateway.sys.chance.hex::<16>()),
        created: call.gateway.sys.clock.now_ms() / 1000,
        model,
    };
    if is_streamed {
        return Ok(stream(head, turn, wants_usage));
    }
    let outcome = turn.outcome().await;
    if let Some(problem) = run::failure(&outcome) {
        return Ok(failed(&problem));
    }
    let message = json!({"role": "assistant", "content": outcome.texts.join("\n\n")});
    Ok(json_answer(
        StatusCode::OK,
        &json!({
            "id": head.id, "object": "chat.completion", "created": head.created, "model": head.model,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": usage(&outcome),
        }),
    ))
}

/// What every piece of one answer repeats.
struct Head {
    id: String,
    created: u64,
    model: String,
}

impl Head {
    fn chunk(&self, delta: &Value, finish_reason: Option<&str>) -> Vec<u8> {
        sse::data(json!({
            "id": self.id, "object": "chat.completion.chunk", "created": self.created, "model": self.model,
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
        }))
    }
}

enum Step {
    Begin,
    Talk,
    Done,
}

fn stream(head: Head, turn: Turn, wants_usage: bool) -> Answer {
    sse::answer(smol::stream::unfold((head, turn, Step::Begin), move |(head, mut turn, step)| async move {
        match step {
            Step::Begin => {
                let piece = head.chunk(&json!({"role": "assistant", "content": ""}), None);
                Some((piece, (head, turn, Step::Talk)))
            }
            Step::Talk => match turn.next().await {
                Next::Text(text) => {
                    let piece = head.chunk(&json!({"content": text}), None);
                    Some((piece, (head, turn, Step::Talk)))
                }
                Next::Over(outcome) => {
                    let piece = last_pieces(&head, &turn, &outcome, wants_usage);
                    Some((piece, (head, turn, Step::Done)))
                }
            },
            Step::Done => None,
        }
    }))
}

fn last_pieces(head: &Head, turn: &Turn, outcome: &Outcome, wants_usage: bool) -> Vec<u8> {
    let problem = match run::failure(outcome) {
        Some(problem) => Some(problem),
        None if turn.lost_text() => Some("the answer was read too slowly; a part of it is missing".to_owned()),
        None => None,
    };
    let mut pieces = match problem {
        Some(problem) => sse::data(json!({"error": {"message": problem, "type": "api_error"}})),
        None => head.chunk(&json!({}), Some("stop")),
    };
    if wants_usage {
        pieces.extend(sse::data(json!({
            "id": head.id, "object": "chat.completion.chunk", "created": head.created, "model": head.model,
            "choices": [], "usage": usage(outcome),
        })));
    }
    pieces.extend(sse::data("[DONE]"));
    pieces
}

fn usage(outcome: &Outcome) -> Value {
    let usage = &outcome.usage;
    json!({
        "prompt_tokens": usage.input + usage.cache_read + usage.cache_write,
        "completion_tokens": usage.output,
        "total_tokens": usage.total_tokens,
    })
}

fn failed(problem: &str) -> Answer {
    json_answer(StatusCode::INTERNAL_SERVER_ERROR, &json!({"error": {"message": problem, "type": "api_error"}}))
}
