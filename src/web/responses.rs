//! `POST /v1/responses` in the form of OpenAI's newer interface (connection.md section 7 row 4).

use hyper::StatusCode;
use serde_json::{Value, json};

use super::prompt::{self, Turn as Message};
use super::run::{self, Next, Turn};
use super::{Answer, At, Call, Guard, Route, Verb, invalid, json_answer, sse};
use crate::limits::RESPONSES_BYTES;
use crate::runs::run::Outcome;

/// Rows.
pub(super) const ROUTES: &[Route] = &[Route {
    path: At::Path("/v1/responses"),
    doc: "asks an agent in the form of OpenAI's responses; with `stream` the answer comes as server-sent events",
    verb: Verb::Post,
    is_on: |config| config.gateway.http.responses,
    guard: Guard::Secret,
    body_max: |_| RESPONSES_BYTES,
    run: |call| Box::pin(async move { answer(call).await.unwrap_or_else(|refusal| *refusal) }),
}];

/// What session keys and ids of this route begin with.
const KIND: &str = "openresponses";

async fn answer(call: Call) -> Result<Answer, Box<Answer>> {
    let body = call.json()?;
    let wrong = |message: String| Box::new(invalid(&message));
    let Some(model) = body.get("model").and_then(Value::as_str).map(str::to_owned) else {
        return Err(wrong("`model` must be a text, such as \"barnacle\"".to_owned()));
    };
    if body.get("tools").and_then(Value::as_array).is_some_and(|tools| !tools.is_empty()) {
        return Err(wrong("`tools` of the caller are not supported; the agent has its own".to_owned()));
    }
    if body.get("previous_response_id").is_some_and(|id| !id.is_null()) {
        return Err(wrong(
            "`previous_response_id` is not supported; give `user`, and the session remembers".to_owned(),
        ));
    }
    let place = run::place(&call, KIND, &model, body.get("user").and_then(Value::as_str)).map_err(wrong)?;
    let mut turns = messages(body.get("input")).map_err(wrong)?;
    if let Some(instructions) = body.get("instructions").and_then(Value::as_str) {
        turns.insert(0, Message { role: "system".into(), text: instructions.into(), pictures: Vec::new() });
    }
    let built = prompt::build(&turns, place.is_kept, "Missing user message in `input`.").map_err(wrong)?;
    let is_streamed = body.get("stream").and_then(Value::as_bool).unwrap_or(false);
    let turn = Turn::start(&call, place, built, KIND).await.map_err(|error| Box::new(failed(&error.message)))?;
    let head = Head {
        id: format!("resp_{}", call.gateway.sys.chance.hex::<16>()),
        item: format!("msg_{}", call.gateway.sys.chance.hex::<16>()),
        created_at: call.gateway.sys.clock.now_ms() / 1000,
        model,
    };
    if is_streamed {
        return Ok(stream(head, turn));
    }
    let outcome = turn.outcome().await;
    Ok(match run::failure(&outcome) {
        Some(problem) => failed(&problem),
        None => json_answer(StatusCode::OK, &head.completed(&outcome, &outcome.texts.join("\n\n"))),
    })
}

/// `input`: a text, or a list of items of which messages count.
fn messages(input: Option<&Value>) -> Result<Vec<Message>, String> {
    match input {
        Some(Value::String(text)) => {
            Ok(vec![Message { role: "user".into(), text: text.clone(), pictures: Vec::new() }])
        }
        Some(Value::Array(items)) => {
            let is_message = |item: &&Value| match item.get("type").and_then(Value::as_str) {
                Some(kind) => kind == "message",
                None => item.get("role").is_some(),
            };
            if let Some(other) = items.iter().find(|item| !is_message(item)) {
                let kind = other.get("type").and_then(Value::as_str).unwrap_or("unknown");
                return Err(format!("`input` items of type {kind:?} are not supported"));
            }
            items.iter().map(Message::read).collect()
        }
        _ => Err("`input` must be a text or a list of messages".to_owned()),
    }
}

/// What every event of one answer repeats.
struct Head {
    id: String,
    item: String,
    created_at: u64,
    model: String,
}

impl Head {
    fn response(&self, status: &str, output: &Value) -> Value {
        json!({
            "id": self.id, "object": "response", "created_at": self.created_at, "status": status, "model": self.model,
            "output": output, "error": null,
        })
    }

    fn completed(&self, outcome: &Outcome, text: &str) -> Value {
        let mut response = self.response("completed", &json!([self.message("completed", text)]));
        let usage = &outcome.usage;
        if let Value::Object(fields) = &mut response {
            fields.insert(
                "usage".into(),
                json!({
                    "input_tokens": usage.input + usage.cache_read + usage.cache_write,
                    "output_tokens": usage.output,
                    "total_tokens": usage.total_tokens,
                }),
            );
        }
        response
    }

    fn message(&self, status: &str, text: &str) -> Value {
        let content = if status == "completed" { json!([part(text)]) } else { json!([]) };
        json!({"type": "message", "id": self.item, "status": status, "role": "assistant", "content": content})
    }
}

fn part(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": []})
}

/// A stream under way: its events are numbered.
struct Talk {
    head: Head,
    turn: Turn,
    sequence: u64,
    text: String,
    step: Step,
}

enum Step {
    Begin,
    Talk,
    Done,
}

impl Talk {
    fn event(&mut self, name: &str, fields: Value) -> Vec<u8> {
        let mut payload = json!({"type": name, "sequence_number": self.sequence});
        self.sequence += 1;
        if let (Value::Object(payload), Value::Object(fields)) = (&mut payload, fields) {
            payload.extend(fields);
        }
        sse::event(name, &payload)
    }

    fn begin(&mut self) -> Vec<u8> {
        let response = self.head.response("in_progress", &json!([]));
        let item = self.head.message("in_progress", "");
        let mut pieces = self.event("response.created", json!({"response": response}));
        pieces.extend(self.event("response.in_progress", json!({"response": response})));
        pieces.extend(self.event("response.output_item.added", json!({"output_index": 0, "item": item})));
        let place = self.place(json!({"part": part("")}));
        pieces.extend(self.event("response.content_part.added", place));
        pieces
    }

    fn delta(&mut self, text: &str) -> Vec<u8> {
        self.text.push_str(text);
        let place = self.place(json!({"delta": text}));
        self.event("response.output_text.delta", place)
    }

    fn end(&mut self, outcome: &Outcome) -> Vec<u8> {
        let problem = match run::failure(outcome) {
            Some(problem) => Some(problem),
            None if self.turn.lost_text() => Some("the answer was read too slowly; a part of it is missing".to_owned()),
            None => None,
        };
        let mut pieces = Vec::new();
        if let Some(problem) = problem {
            let mut response = self.head.response("failed", &json!([]));
            if let Value::Object(fields) = &mut response {
                fields.insert("error".into(), json!({"code": "server_error", "message": problem}));
            }
            pieces.extend(self.event("response.failed", json!({"response": response})));
        } else {
            let text = std::mem::take(&mut self.text);
            let place = self.place(json!({"text": text}));
            pieces.extend(self.event("response.output_text.done", place));
            let place = self.place(json!({"part": part(&text)}));
            pieces.extend(self.event("response.content_part.done", place));
            let item = self.head.message("completed", &text);
            pieces.extend(self.event("response.output_item.done", json!({"output_index": 0, "item": item})));
            let response = self.head.completed(outcome, &text);
            pieces.extend(self.event("response.completed", json!({"response": response})));
        }
        pieces.extend(sse::data("[DONE]"));
        pieces
    }

    fn place(&self, fields: Value) -> Value {
        let mut place = json!({"item_id": self.head.item, "output_index": 0, "content_index": 0});
        if let (Value::Object(place), Value::Object(fields)) = (&mut place, fields) {
            place.extend(fields);
        }
        place
    }
}

fn stream(head: Head, turn: Turn) -> Answer {
    let talk = Talk { head, turn, sequence: 0, text: String::new(), step: Step::Begin };
    sse::answer(smol::stream::unfold(talk, |mut talk| async move {
        let pieces = match talk.step {
            Step::Begin => {
                talk.step = Step::Talk;
                talk.begin()
            }
            Step::Talk => match talk.turn.next().await {
                Next::Text(text) => talk.delta(&text),
                Next::Over(outcome) => {
                    talk.step = Step::Done;
                    talk.end(&outcome)
                }
            },
            Step::Done => return None,
        };
        Some((pieces, talk))
    }))
}

fn failed(problem: &str) -> Answer {
    json_answer(StatusCode::INTERNAL_SERVER_ERROR, &json!({"error": {"message": problem, "type": "api_error"}}))
}
