//! The OpenAI chat completions dialect and everything compatible with it (methods.md 17.1, 17.2;
//! INTEGRATIONS.md part 4).

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::collect::{Call, Collector};
use super::decoder::{Progress, json, tokens};
use super::fault::{Complaint, Trouble};
use super::history::{Outcome, Part, Said, Turn, turns};
use super::sse::Event;
use super::{Prompt, ToolSpec};
use crate::config::models::{Model, Provider};
use crate::sys::url::Url;
use crate::wire::message::StopReason;
use crate::wire::thinking::ThinkingLevel;

/// What follows the base URL.
pub(super) const PATH: &str = "/chat/completions";

/// Fields in which servers send thoughts; the first that is there counts.
const THOUGHT_FIELDS: [&str; 3] = ["reasoning_content", "reasoning", "reasoning_text"];

/// Which optional fields of a request a server takes. Most ignore what they don't know.
#[derive(Debug, Clone, Copy)]
struct Manners {
    /// End of the host name.
    host: &'static str,
    store: bool,
    cache_key: bool,
    effort: bool,
    /// The older name of the answer's bound.
    max_tokens: bool,
}

/// What is sent to hosts that no row names.
const USUAL: Manners = Manners { host: "", store: true, cache_key: false, effort: true, max_tokens: false };

/// Hosts that refuse a request with a field that they don't know, or want one more.
const MANNERS: &[Manners] = &[
    Manners { host: "api.openai.com", cache_key: true, ..USUAL },
    Manners { host: "api.mistral.ai", store: false, max_tokens: true, ..USUAL },
    Manners { host: "chutes.ai", store: false, max_tokens: true, ..USUAL },
    Manners { host: "api.x.ai", store: false, effort: false, ..USUAL },
    Manners { host: "api.z.ai", store: false, effort: false, ..USUAL },
    Manners { host: "api.cerebras.ai", store: false, ..USUAL },
    Manners { host: "api.deepseek.com", store: false, ..USUAL },
];

/// The request's JSON.
pub(super) fn body(provider: &Provider, model: &Model, prompt: &Prompt) -> Vec<u8> {
    let manners = manners(&provider.base_url);
    let turns = turns(&prompt.messages, provider, model);
    let mut messages = Vec::new();
    if !prompt.system.trim().is_empty() {
        messages.push(Entry { content: Some(Given::Text(&prompt.system)), ..Entry::of("system") });
    }
    // Thoughts go back while the model works on one request of the user, and only then.
    let current = turns.iter().rposition(|turn| matches!(turn, Turn::User(_))).unwrap_or(0);
    for (index, turn) in turns.iter().enumerate() {
        add(&mut messages, turn, index > current);
    }
    let max = Some(model.max_tokens);
    let body = Body {
        model: &model.id,
        messages,
        stream: true,
        stream_options: StreamOptions { include_usage: true },
        store: manners.store.then_some(false),
        max_completion_tokens: max.filter(|_| !manners.max_tokens),
        max_tokens: max.filter(|_| manners.max_tokens),
        reasoning_effort: (model.reasoning && manners.effort && prompt.thinking != ThinkingLevel::Off)
            .then(|| prompt.thinking.name()),
        prompt_cache_key: manners.cache_key.then_some(prompt.session_id.as_str()),
        tools: prompt.tools.iter().map(tool).collect(),
    };
    serde_json::to_vec(&body).unwrap_or_default()
}

fn manners(base_url: &str) -> Manners {
    let host = Url::parse(base_url).map(|url| url.host).unwrap_or_default();
    MANNERS.iter().find(|row| host.ends_with(row.host)).copied().unwrap_or(USUAL)
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Entry<'a>>,
    stream: bool,
    stream_options: StreamOptions,
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_cache_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
struct Entry<'a> {
    role: &'static str,
    /// `null` for an assistant that only called tools.
    content: Option<Given<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Asked<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
    #[serde(flatten)]
    thoughts: BTreeMap<&'a str, String>,
}

impl Entry<'_> {
    fn of(role: &'static str) -> Self {
        Self { role, content: None, tool_calls: Vec::new(), tool_call_id: None, thoughts: BTreeMap::new() }
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Given<'a> {
    Text(&'a str),
    Pieces(Vec<Piece<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Piece<'a> {
    Text { text: &'a str },
    ImageUrl { image_url: ImageUrl<'a> },
}

#[derive(Serialize)]
struct ImageUrl<'a> {
    url: DataUrl<'a>,
}

/// Written straight into the request: pictures are large.
struct DataUrl<'a> {
    mime_type: &'a str,
    data: &'a str,
}

impl fmt::Display for DataUrl<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "data:{};base64,{}", self.mime_type, self.data)
    }
}

impl Serialize for DataUrl<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A call that the model made.
#[derive(Serialize)]
struct Asked<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    function: AskedFunction<'a>,
}

#[derive(Serialize)]
struct AskedFunction<'a> {
    name: &'a str,
    /// JSON in a text, as the API wants it.
    arguments: String,
}

#[derive(Serialize)]
struct Tool<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    function: ToolFunction<'a>,
}

#[derive(Serialize)]
struct ToolFunction<'a> {
    name: &'a str,
    description: &'a str,
    parameters: &'a Value,
    strict: bool,
}

fn tool(spec: &ToolSpec) -> Tool<'_> {
    let ToolSpec { name, description, parameters } = spec;
    Tool { kind: "function", function: ToolFunction { name, description, parameters, strict: false } }
}

fn piece(part: Part<'_>) -> Piece<'_> {
    match part {
        Part::Text(text) => Piece::Text { text },
        Part::Image { mime_type, data } => Piece::ImageUrl { image_url: ImageUrl { url: DataUrl { mime_type, data } } },
    }
}

fn add<'a>(messages: &mut Vec<Entry<'a>>, turn: &'a Turn<'a>, with_thoughts: bool) {
    match turn {
        Turn::User(parts) => {
            let pieces = parts.iter().map(|part| piece(*part)).collect();
            messages.push(Entry { content: Some(Given::Pieces(pieces)), ..Entry::of("user") });
        }
        Turn::Assistant(said) => messages.push(assistant(said, with_thoughts)),
        Turn::Results(outcomes) => add_results(messages, outcomes),
    }
}

fn assistant<'a>(said: &'a [Said<'a>], with_thoughts: bool) -> Entry<'a> {
    let mut entry = Entry::of("assistant");
    let mut texts = Vec::new();
    for said in said {
        match said {
            Said::Text(text) => texts.push(Piece::Text { text }),
            Said::Call { id, name, arguments } => {
                let function = AskedFunction { name, arguments: arguments.to_string() };
                entry.tool_calls.push(Asked { id, kind: "function", function });
            }
            Said::Thought { text, seal } => {
                if with_thoughts && THOUGHT_FIELDS.contains(seal) {
                    entry.thoughts.entry(seal).or_default().push_str(text);
                }
            }
        }
    }
    entry.content = (!texts.is_empty()).then_some(Given::Pieces(texts));
    entry
}

/// A tool's answer is text only here; its pictures follow as if the user had sent them.
fn add_results<'a>(messages: &mut Vec<Entry<'a>>, outcomes: &'a [Outcome<'a>]) {
    let mut pictures = Vec::new();
    for outcome in outcomes {
        let content = Some(Given::Text(&outcome.text));
        messages.push(Entry { content, tool_call_id: Some(outcome.id), ..Entry::of("tool") });
        if !outcome.images.is_empty() {
            pictures.push(Piece::Text { text: "Pictures from the tool:" });
            pictures.extend(outcome.images.iter().map(|part| piece(*part)));
        }
    }
    if !pictures.is_empty() {
        messages.push(Entry { content: Some(Given::Pieces(pictures)), ..Entry::of("user") });
    }
}

/// Reads the chunks of an answer.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// Calls in the order in which they began, at most `limits::TOOL_CALLS`.
    calls: Vec<Begun>,
}

#[derive(Debug)]
struct Begun {
    index: Option<u64>,
    id: String,
    has_name: bool,
    call: Call,
}

impl Stream {
    /// Takes in one chunk.
    pub(super) fn take(&mut self, event: &Event, answer: &mut Collector) -> Result<Progress, Trouble> {
        if event.data.trim() == "[DONE]" {
            return Ok(Progress::Over);
        }
        let value = json(event)?;
        if event.name == "error" || value.get("error").is_some_and(|error| !error.is_null()) {
            return Err(Trouble::Complaint(Complaint::of_value(&value)));
        }
        let choice = value.pointer("/choices/0").unwrap_or(&Value::Null);
        count(value.get("usage").or_else(|| choice.get("usage")), answer);
        let delta = choice.get("delta").or_else(|| choice.get("message")).unwrap_or(&Value::Null);
        let word = |key: &&'static str| delta.get(key).and_then(Value::as_str).filter(|word| !word.is_empty());
        if let Some((field, piece)) = THOUGHT_FIELDS.iter().find_map(|field| Some((*field, word(field)?))) {
            answer.thought_in(field, piece);
        }
        content(delta.get("content").unwrap_or(&Value::Null), answer);
        if let Some(refusal) = word(&"refusal") {
            answer.text(refusal);
        }
        for call in delta.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
            self.call(call, answer)?;
        }
        match choice.get("finish_reason").and_then(Value::as_str) {
            Some(reason) => {
                answer.stop = Some(stop(reason)?);
                Ok(Progress::Stopped)
            }
            None => Ok(Progress::Open),
        }
    }

    /// A piece of a call. Pieces belong together by index, without one by id, without both to the
    /// latest. A new id under a used index is a new call: some servers number every call 0.
    fn call(&mut self, piece: &Value, answer: &mut Collector) -> Result<(), Trouble> {
        let index = piece.get("index").and_then(Value::as_u64);
        let id = piece.get("id").and_then(Value::as_str).unwrap_or_default();
        let name = piece.pointer("/function/name").and_then(Value::as_str).unwrap_or_default();
        let same = |begun: &&mut Begun| match (index, id) {
            (Some(_), "") => begun.index == index,
            (Some(_), _) => begun.index == index && (begun.id == id || begun.id.is_empty()),
            (None, "") => name.is_empty() || !begun.has_name,
            (None, _) => begun.id == id,
        };
        let call = match self.calls.iter_mut().rev().find(same) {
            Some(begun) => {
                if !begun.has_name && !name.is_empty() {
                    answer.call_name(begun.call, name);
                    begun.has_name = true;
                }
                begun.call
            }
            None => {
                let call = answer.call(id, name)?;
                self.calls.push(Begun { index, id: id.to_owned(), has_name: !name.is_empty(), call });
                call
            }
        };
        match piece.pointer("/function/arguments") {
            Some(Value::String(text)) => answer.call_arguments(call, text),
            Some(whole @ Value::Object(_)) => answer.call_arguments_whole(call, whole),
            _ => {}
        }
        Ok(())
    }
}

/// Text, or (some servers) a list of text and thinking parts.
fn content(content: &Value, answer: &mut Collector) {
    match content {
        Value::String(text) => answer.tagged(text),
        Value::Array(parts) => {
            for part in parts {
                let text = |at: &Value| at.get("text").and_then(Value::as_str).unwrap_or_default().to_owned();
                match part.get("type").and_then(Value::as_str) {
                    Some("text") => answer.tagged(&text(part)),
                    Some("thinking") => {
                        for inner in part.get("thinking").and_then(Value::as_array).into_iter().flatten() {
                            answer.thought(&text(inner));
                        }
                    }
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

/// Prompt tokens include the cached ones here; we keep them apart (methods.md 17.2).
fn count(usage: Option<&Value>, answer: &mut Collector) {
    let Some(prompt) = usage.and_then(|usage| tokens(usage, &["prompt_tokens"])) else {
        return;
    };
    let usage = usage.unwrap_or(&Value::Null);
    let cached = tokens(usage, &["prompt_tokens_details", "cached_tokens"])
        .or_else(|| tokens(usage, &["prompt_cache_hit_tokens"]))
        .unwrap_or(0);
    answer.usage.input = prompt.saturating_sub(cached);
    answer.usage.cache_read = cached;
    answer.usage.output = tokens(usage, &["completion_tokens"]).unwrap_or(0);
}

fn stop(reason: &str) -> Result<StopReason, Trouble> {
    Ok(match reason {
        "tool_calls" | "function_call" => StopReason::ToolUse,
        "length" | "max_tokens" | "model_length" => StopReason::Length,
        "content_filter" => return Err(Trouble::Withheld("content_filter")),
        "error" => {
            let text = "the answer ended with finish_reason error".to_owned();
            return Err(Trouble::Complaint(Complaint { text, ..Complaint::default() }));
        }
        _ => StopReason::Stop,
    })
}

#[cfg(test)]
mod tests;
