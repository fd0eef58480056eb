//! Ollama's own chat dialect: one JSON object a line (INTEGRATIONS.md part 4).

use serde::Serialize;
use serde_json::Value;

use super::collect::Collector;
use super::decoder::{Progress, json, tokens};
use super::fault::{Complaint, Trouble};
use super::history::{Outcome, Part, Said, Turn, turns};
use super::sse::Event;
use super::{Prompt, ToolSpec};
use crate::config::models::{Model, Provider};
use crate::wire::message::StopReason;
use crate::wire::thinking::ThinkingLevel;

/// What follows the base URL.
pub(super) const PATH: &str = "/api/chat";

/// The request's JSON.
pub(super) fn body(provider: &Provider, model: &Model, prompt: &Prompt) -> Vec<u8> {
    let turns = turns(&prompt.messages, provider, model);
    let mut messages = Vec::new();
    if !prompt.system.trim().is_empty() {
        messages.push(Entry { content: prompt.system.clone(), ..Entry::of("system") });
    }
    for turn in &turns {
        match turn {
            Turn::User(parts) => messages.push(user(parts)),
            Turn::Assistant(said) => messages.push(assistant(said)),
            Turn::Results(outcomes) => messages.extend(outcomes.iter().map(result)),
        }
    }
    let body = Body {
        model: &model.id,
        messages,
        stream: true,
        think: think(model, prompt.thinking),
        options: Options { num_ctx: model.context_window, num_predict: model.max_tokens },
        tools: prompt.tools.iter().map(tool).collect(),
    };
    serde_json::to_vec(&body).unwrap_or_default()
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Entry<'a>>,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    think: Option<Think>,
    options: Options,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
}

/// On and off; one family of models takes levels only.
#[derive(Serialize, Debug, PartialEq)]
#[serde(untagged)]
enum Think {
    Switch(bool),
    Level(&'static str),
}

/// Without `num_ctx` Ollama silently cuts the prompt to a few thousand tokens.
#[derive(Serialize)]
struct Options {
    num_ctx: u64,
    num_predict: u64,
}

#[derive(Serialize)]
struct Entry<'a> {
    role: &'static str,
    content: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    images: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Asked<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_name: Option<&'a str>,
}

impl Entry<'_> {
    fn of(role: &'static str) -> Self {
        Self { role, content: String::new(), images: Vec::new(), tool_calls: Vec::new(), tool_name: None }
    }
}

#[derive(Serialize)]
struct Asked<'a> {
    function: AskedFunction<'a>,
}

#[derive(Serialize)]
struct AskedFunction<'a> {
    name: &'a str,
    arguments: &'a Value,
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
}

fn tool(spec: &ToolSpec) -> Tool<'_> {
    let ToolSpec { name, description, parameters } = spec;
    Tool { kind: "function", function: ToolFunction { name, description, parameters } }
}

/// Models that can't think refuse the switch, so they don't get it.
fn think(model: &Model, level: ThinkingLevel) -> Option<Think> {
    if !model.reasoning {
        return None;
    }
    if !model.id.starts_with("gpt-oss") {
        return Some(Think::Switch(level != ThinkingLevel::Off));
    }
    Some(Think::Level(match level {
        ThinkingLevel::Off | ThinkingLevel::Minimal | ThinkingLevel::Low => "low",
        ThinkingLevel::Medium => "medium",
        ThinkingLevel::High | ThinkingLevel::Xhigh => "high",
    }))
}

fn user<'a>(parts: &[Part<'a>]) -> Entry<'a> {
    let mut entry = Entry::of("user");
    add_parts(&mut entry, parts);
    entry
}

fn add_parts<'a>(entry: &mut Entry<'a>, parts: &[Part<'a>]) {
    for part in parts {
        match part {
            Part::Text(text) => add_text(&mut entry.content, text),
            Part::Image { data, .. } => entry.images.push(data),
        }
    }
}

fn add_text(content: &mut String, text: &str) {
    if !content.is_empty() {
        content.push('\n');
    }
    content.push_str(text);
}

fn assistant<'a>(said: &'a [Said<'a>]) -> Entry<'a> {
    let mut entry = Entry::of("assistant");
    for said in said {
        match said {
            Said::Text(text) => add_text(&mut entry.content, text),
            Said::Call { name, arguments, .. } => {
                entry.tool_calls.push(Asked { function: AskedFunction { name, arguments } });
            }
            Said::Thought { .. } => {}
        }
    }
    entry
}

fn result<'a>(outcome: &'a Outcome<'a>) -> Entry<'a> {
    let content = outcome.text.clone().into_owned();
    let mut entry = Entry { content, tool_name: Some(outcome.name), ..Entry::of("tool") };
    add_parts(&mut entry, &outcome.images);
    entry
}

/// Takes in one line of an answer.
pub(super) fn take(event: &Event, answer: &mut Collector) -> Result<Progress, Trouble> {
    if event.data.trim().is_empty() {
        return Ok(Progress::Open);
    }
    let value = json(event)?;
    if value.get("error").is_some_and(|error| !error.is_null()) {
        return Err(Trouble::Complaint(Complaint::of_value(&value)));
    }
    let word = |path: &str| value.pointer(path).and_then(Value::as_str).unwrap_or_default();
    answer.thought(word("/message/thinking"));
    answer.tagged(word("/message/content"));
    for call in value.pointer("/message/tool_calls").and_then(Value::as_array).into_iter().flatten() {
        let word = |path: &str| call.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let begun = answer.call(word("/id"), word("/function/name"))?;
        match call.pointer("/function/arguments") {
            Some(Value::String(text)) => answer.call_arguments(begun, text),
            Some(whole @ Value::Object(_)) => answer.call_arguments_whole(begun, whole),
            _ => {}
        }
    }
    if value.get("done").and_then(Value::as_bool) != Some(true) {
        return Ok(Progress::Open);
    }
    answer.usage.input = tokens(&value, &["prompt_eval_count"]).unwrap_or(0);
    answer.usage.output = tokens(&value, &["eval_count"]).unwrap_or(0);
    let reason = if word("/done_reason") == "length" { StopReason::Length } else { StopReason::Stop };
    answer.stop = Some(reason);
    Ok(Progress::Over)
}

#[cfg(test)]
mod tests {
    use super::super::decoder::testing::{at_every_cut, call, text, thought};
    use super::super::testing::{assistant, model, prompt, provider, result, spec, user};
    use super::*;
    use crate::config::models::Api;
    use crate::wire::message::{Block, Content, Message, UserMessage};
    use serde_json::json;

    #[test]
    fn the_request_is_what_ollama_documents() {
        let image = Block::Image { data: "AA==".into(), mime_type: "image/png".into() };
        let asked = UserMessage { content: Content::Blocks(vec![text("look"), image, text("here")]), timestamp: 0 };
        let calls = vec![text("ok"), call("x", "exec", json!({"a": 1}))];
        let history =
            vec![Message::User(asked), assistant(calls, StopReason::ToolUse), result("x", "out"), user("more")];
        let mut prompt = prompt(history);
        prompt.tools = vec![spec("exec")];
        prompt.thinking = ThinkingLevel::Low;
        let sent: Value = serde_json::from_slice(&body(&provider(Api::OllamaChat), &model(), &prompt)).unwrap();
        assert_eq!(
            sent,
            json!({
                "model": "m",
                "messages": [
                    {"role": "system", "content": "system"},
                    {"role": "user", "content": "look\nhere", "images": ["AA=="]},
                    {"role": "assistant", "content": "ok", "tool_calls": [{"function": {"name": "exec", "arguments": {"a": 1}}}]},
                    {"role": "tool", "content": "out", "tool_name": "exec"},
                    {"role": "user", "content": "more"},
                ],
                "stream": true,
                "think": true,
                "options": {"num_ctx": 200_000, "num_predict": 8192},
                "tools": [{"type": "function", "function":
                    {"name": "exec", "description": "does exec", "parameters": spec("exec").parameters}}],
            })
        );
    }

    #[test]
    fn the_thinking_switch_fits_the_model() {
        assert_eq!(think(&Model { reasoning: false, ..model() }, ThinkingLevel::High), None);
        assert_eq!(think(&model(), ThinkingLevel::Off), Some(Think::Switch(false)));
        let levels = Model { id: "gpt-oss:20b".into(), ..model() };
        assert_eq!(think(&levels, ThinkingLevel::Off), Some(Think::Level("low")));
        assert_eq!(think(&levels, ThinkingLevel::Xhigh), Some(Think::Level("high")));
    }

    #[test]
    fn a_whole_answer_is_read_at_every_cut() {
        let stream = r#"{"model":"m","message":{"role":"assistant","content":"","thinking":"Hm, "},"done":false}
{"model":"m","message":{"role":"assistant","content":"","thinking":"gut."},"done":false}

{"model":"m","message":{"role":"assistant","content":"Grüße 🦀"},"done":false}
{"model":"m","message":{"role":"assistant","content":"","tool_calls":[{"function":{"name":"exec","arguments":{"a":"ü"}}},{"id":"z","function":{"name":"now"}}]},"done":false}
{"model":"m","message":{"role":"assistant","content":""},"done_reason":"stop","done":true,"prompt_eval_count":26,"eval_count":12}"#;
        let (shown, thoughts, finished, end) = at_every_cut(Api::OllamaChat, stream);
        assert_eq!(end, Ok(()));
        assert_eq!((shown.as_str(), thoughts.as_str()), ("Grüße 🦀", "Hm, gut."));
        assert_eq!(
            finished.content,
            [
                thought("Hm, gut.", None),
                text("Grüße 🦀"),
                call("call_test_0", "exec", json!({"a": "ü"})),
                call("z", "now", json!({})),
            ]
        );
        assert_eq!(finished.stop_reason, StopReason::ToolUse);
        assert_eq!((finished.usage.input, finished.usage.output, finished.usage.total_tokens), (26, 12, 38));
    }

    #[test]
    fn tags_lengths_errors_and_cuts_are_read() {
        let line = |text: &str| format!("{}\n", json!({"message": {"content": text}, "done": false}));
        let tagged = format!("{}{}", line("<think>hm"), line("</think> 42"));
        let done = "{\"done\":true,\"done_reason\":\"length\"}\n";
        let (_, _, finished, end) = at_every_cut(Api::OllamaChat, &format!("{tagged}{done}"));
        assert_eq!((end, finished.stop_reason), (Ok(()), StopReason::Length));
        assert_eq!(finished.content, [thought("hm", None), text("42")]);
        let failed = "{\"error\":\"model runner has unexpectedly stopped\"}\n";
        let (_, _, finished, end) = at_every_cut(Api::OllamaChat, &format!("{tagged}{failed}"));
        assert!(matches!(end, Err(Trouble::Complaint(complaint)) if complaint.text.contains("stopped")));
        assert_eq!(finished.content.len(), 2);
        assert_eq!(at_every_cut(Api::OllamaChat, &tagged).3, Err(Trouble::CutOff));
        assert!(matches!(at_every_cut(Api::OllamaChat, "<html>\n").3, Err(Trouble::Malformed(_))));
    }
}
