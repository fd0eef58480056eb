//! The Anthropic messages dialect (methods.md 17.1, 17.2; INTEGRATIONS.md part 4).

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value;

use super::collect::{Call, Collector, REDACTED};
use super::decoder::{Progress, json, tokens};
use super::fault::{Complaint, Trouble};
use super::history::{Outcome, Part, Said, Turn, turns};
use super::sse::Event;
use super::{Prompt, ToolSpec};
use crate::config::models::{Model, Provider};
use crate::wire::message::StopReason;
use crate::wire::thinking::ThinkingLevel;

/// What follows the base URL.
pub(super) const PATH: &str = "/v1/messages";
/// The version of the API that this file speaks.
pub(super) const VERSION: &str = "2023-06-01";
/// Lets a model think between its tool calls too.
pub(super) const BETA: &str = "interleaved-thinking-2025-05-14";

/// Longest id of a tool call that the API takes, bytes; also its alphabet is letters, digits, `_`, `-`.
const CALL_ID_BYTES: usize = 64;
/// The smallest thinking budget that the API takes, tokens; also what is left for the answer.
const BUDGET_MIN: u64 = 1024;

/// The request's JSON.
pub(super) fn body(provider: &Provider, model: &Model, prompt: &Prompt) -> Vec<u8> {
    let turns = turns(&prompt.messages, provider, model);
    let thinking = budget(model, prompt.thinking).filter(|_| may_think(&turns));
    let mut messages = entries(&turns, thinking.is_some());
    if let Some(last) = messages.iter_mut().rev().find(|entry| entry.role == "user").and_then(|e| e.content.last_mut())
    {
        last.cache_control = Some(EPHEMERAL);
    }
    let system = Piece::of(Kind::Text { text: &prompt.system }).cached();
    let body = Body {
        model: &model.id,
        messages,
        max_tokens: model.max_tokens,
        stream: true,
        system: if prompt.system.trim().is_empty() { Vec::new() } else { vec![system] },
        tools: tools(&prompt.tools),
        thinking: thinking.map(|budget_tokens| Thinking { kind: "enabled", budget_tokens }),
    };
    serde_json::to_vec(&body).unwrap_or_default()
}

/// Whether the request asks for thinking, which wants a header.
pub(super) fn thinks(model: &Model, level: ThinkingLevel) -> bool {
    budget(model, level).is_some()
}

/// Tokens of thinking (methods.md 17.1), or none.
fn budget(model: &Model, level: ThinkingLevel) -> Option<u64> {
    let wanted = match level {
        ThinkingLevel::Off => return None,
        ThinkingLevel::Minimal => 1024,
        ThinkingLevel::Low => 2048,
        ThinkingLevel::Medium => 8192,
        ThinkingLevel::High | ThinkingLevel::Xhigh => 16384,
    };
    let budget = wanted.min(model.max_tokens.saturating_sub(BUDGET_MIN));
    (model.reasoning && budget >= BUDGET_MIN).then_some(budget)
}

/// A turn that stopped for tools must start with its thought, or the API refuses to think on. It
/// has none when another model, or this one without thinking, began it.
fn may_think(turns: &[Turn<'_>]) -> bool {
    let last = turns.iter().rev().find_map(|turn| match turn {
        Turn::Assistant(said) => Some(said),
        _ => None,
    });
    !matches!(turns.last(), Some(Turn::Results(_)))
        || last.is_some_and(|said| matches!(said.first(), Some(Said::Thought { .. })))
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Entry<'a>>,
    max_tokens: u64,
    stream: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Piece<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Thinking>,
}

#[derive(Serialize)]
struct Thinking {
    #[serde(rename = "type")]
    kind: &'static str,
    budget_tokens: u64,
}

#[derive(Serialize)]
struct Tool<'a> {
    name: &'a str,
    description: &'a str,
    input_schema: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<CacheControl>,
}

#[derive(Serialize)]
struct Entry<'a> {
    role: &'static str,
    content: Vec<Piece<'a>>,
}

#[derive(Serialize)]
struct Piece<'a> {
    #[serde(flatten)]
    kind: Kind<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<CacheControl>,
}

#[derive(Serialize, Clone, Copy)]
struct CacheControl {
    #[serde(rename = "type")]
    kind: &'static str,
}

const EPHEMERAL: CacheControl = CacheControl { kind: "ephemeral" };

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Kind<'a> {
    Text { text: &'a str },
    Image { source: Source<'a> },
    Thinking { thinking: &'a str, signature: &'a str },
    RedactedThinking { data: &'a str },
    ToolUse { id: Cow<'a, str>, name: &'a str, input: &'a Value },
    ToolResult { tool_use_id: Cow<'a, str>, content: Given<'a>, is_error: bool },
}

#[derive(Serialize)]
struct Source<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    media_type: &'a str,
    data: &'a str,
}

/// A tool's output: plain, or with pictures.
#[derive(Serialize)]
#[serde(untagged)]
enum Given<'a> {
    Text(&'a str),
    Pieces(Vec<Piece<'a>>),
}

impl<'a> Piece<'a> {
    fn of(kind: Kind<'a>) -> Self {
        Self { kind, cache_control: None }
    }

    fn of_part(part: Part<'a>) -> Self {
        Self::of(match part {
            Part::Text(text) => Kind::Text { text },
            Part::Image { mime_type, data } => {
                Kind::Image { source: Source { kind: "base64", media_type: mime_type, data } }
            }
        })
    }

    fn cached(self) -> Self {
        Self { cache_control: Some(EPHEMERAL), ..self }
    }
}

/// Messages of alternating roles: results and what the user says next are one message.
fn entries<'a>(turns: &'a [Turn<'a>], with_thoughts: bool) -> Vec<Entry<'a>> {
    let mut entries: Vec<Entry<'a>> = Vec::new();
    for turn in turns {
        let (role, content): (_, Vec<Piece<'a>>) = match turn {
            Turn::User(parts) => ("user", parts.iter().map(|part| Piece::of_part(*part)).collect()),
            Turn::Results(outcomes) => {
                ("user", outcomes.iter().map(|outcome| Piece::of(of_outcome(outcome))).collect())
            }
            Turn::Assistant(said) => {
                ("assistant", said.iter().filter_map(|said| of_said(said, with_thoughts)).map(Piece::of).collect())
            }
        };
        match entries.last_mut() {
            Some(last) if last.role == role => last.content.extend(content),
            _ => entries.push(Entry { role, content }),
        }
    }
    entries
}

fn of_said<'a>(said: &'a Said<'a>, with_thoughts: bool) -> Option<Kind<'a>> {
    Some(match said {
        Said::Text(text) => Kind::Text { text },
        Said::Call { id, name, arguments } => Kind::ToolUse { id: call_id(id), name, input: arguments },
        Said::Thought { .. } if !with_thoughts => return None,
        Said::Thought { text, seal } => match seal.strip_prefix(REDACTED) {
            Some(data) => Kind::RedactedThinking { data },
            None => Kind::Thinking { thinking: text, signature: seal },
        },
    })
}

fn of_outcome<'a>(outcome: &'a Outcome<'a>) -> Kind<'a> {
    let content = if outcome.images.is_empty() {
        Given::Text(&outcome.text)
    } else {
        let parts = std::iter::once(Part::Text(&outcome.text)).chain(outcome.images.iter().copied());
        Given::Pieces(parts.map(Piece::of_part).collect())
    };
    Kind::ToolResult { tool_use_id: call_id(outcome.id), content, is_error: outcome.is_error }
}

/// An id that the API takes; ids of other providers may be longer or have other characters.
fn call_id(id: &str) -> Cow<'_, str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if id.len() <= CALL_ID_BYTES && !id.is_empty() && id.chars().all(fits) {
        return Cow::Borrowed(id);
    }
    let fitted: String = id.chars().map(|c| if fits(c) { c } else { '_' }).take(CALL_ID_BYTES).collect();
    Cow::Owned(if fitted.is_empty() { "_".to_owned() } else { fitted })
}

fn tools(specs: &[ToolSpec]) -> Vec<Tool<'_>> {
    let last = specs.len().saturating_sub(1);
    let tool = |(index, spec): (usize, _)| {
        let ToolSpec { name, description, parameters }: &ToolSpec = spec;
        Tool { name, description, input_schema: parameters, cache_control: (index == last).then_some(EPHEMERAL) }
    };
    specs.iter().enumerate().map(tool).collect()
}

/// Reads the events of an answer.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// Calls by the index of their block, at most `limits::TOOL_CALLS`.
    calls: Vec<(Option<u64>, Call)>,
}

impl Stream {
    /// Takes in one event. Kinds that it doesn't know are ignored, as the API asks of its clients.
    pub(super) fn take(&mut self, event: &Event, answer: &mut Collector) -> Result<Progress, Trouble> {
        let value = json(event)?;
        let kind = value.get("type").and_then(Value::as_str).unwrap_or(&event.name);
        let word = |at: &Value, key: &str| at.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        match kind {
            "message_start" => count(value.pointer("/message/usage"), answer),
            "content_block_start" => {
                let block = value.get("content_block").unwrap_or(&Value::Null);
                match word(block, "type").as_str() {
                    "text" => answer.text(&word(block, "text")),
                    "thinking" => answer.thought(&word(block, "thinking")),
                    "redacted_thinking" => answer.seal(&format!("{REDACTED}{}", word(block, "data"))),
                    "tool_use" => {
                        let call = answer.call(&word(block, "id"), &word(block, "name"))?;
                        if let Some(input) = block.get("input").filter(|input| has_members(input)) {
                            answer.call_arguments_whole(call, input);
                        }
                        self.calls.push((value.get("index").and_then(Value::as_u64), call));
                    }
                    _ => {}
                }
            }
            "content_block_delta" => self.delta(&value, answer)?,
            "message_delta" => {
                count(value.get("usage"), answer);
                if let Some(reason) = value.pointer("/delta/stop_reason").and_then(Value::as_str) {
                    answer.stop = Some(stop(reason)?);
                    return Ok(Progress::Stopped);
                }
            }
            "message_stop" => return Ok(Progress::Over),
            "error" => return Err(Trouble::Complaint(Complaint::of_value(&value))),
            // A server or proxy that speaks no events of this API at all.
            _ if value.get("error").is_some_and(|error| !error.is_null()) => {
                return Err(Trouble::Complaint(Complaint::of_value(&value)));
            }
            _ => {}
        }
        Ok(Progress::Open)
    }

    fn delta(&self, value: &Value, answer: &mut Collector) -> Result<(), Trouble> {
        let delta = value.get("delta").unwrap_or(&Value::Null);
        let word = |key: &str| delta.get(key).and_then(Value::as_str).unwrap_or_default();
        match word("type") {
            "text_delta" => answer.text(word("text")),
            "thinking_delta" => answer.thought(word("thinking")),
            "signature_delta" => answer.seal(word("signature")),
            "input_json_delta" => {
                let index = value.get("index").and_then(Value::as_u64);
                let by_index = self.calls.iter().rev().find(|(at, _)| index.is_some() && *at == index);
                let (_, call) = by_index
                    .or_else(|| self.calls.last())
                    .ok_or_else(|| Trouble::Malformed("tool arguments without a tool call".to_owned()))?;
                answer.call_arguments(*call, word("partial_json"));
            }
            _ => {}
        }
        Ok(())
    }
}

fn has_members(input: &Value) -> bool {
    input.as_object().is_some_and(|members| !members.is_empty())
}

/// Takes over the counts that are there; the last ones count (they are cumulative).
fn count(usage: Option<&Value>, answer: &mut Collector) {
    let Some(usage) = usage else {
        return;
    };
    let take = |key: &str, into: &mut u64| {
        if let Some(count) = tokens(usage, &[key]) {
            *into = count;
        }
    };
    take("input_tokens", &mut answer.usage.input);
    take("output_tokens", &mut answer.usage.output);
    take("cache_read_input_tokens", &mut answer.usage.cache_read);
    take("cache_creation_input_tokens", &mut answer.usage.cache_write);
}

fn stop(reason: &str) -> Result<StopReason, Trouble> {
    Ok(match reason {
        "tool_use" => StopReason::ToolUse,
        "max_tokens" | "model_context_window_exceeded" => StopReason::Length,
        "refusal" => return Err(Trouble::Withheld("refusal")),
        _ => StopReason::Stop,
    })
}

#[cfg(test)]
mod tests;
