//! The Anthropic dialect: requests against the recorded shapes, answers at every cut.

use super::super::decoder::testing::{at_every_cut, call, text, thought};
use super::super::testing::{assistant, model, prompt, provider, result, spec, user};
use super::*;
use crate::config::models::Api;
use crate::wire::message::{Block, Message};
use serde_json::json;

fn body_of(prompt: &Prompt, model: &Model) -> Value {
    serde_json::from_slice(&body(&provider(Api::AnthropicMessages), model, prompt)).unwrap()
}

/// The shape of the fourth and fifth line of methods-provider-requests.jsonl.
#[test]
fn the_request_has_the_recorded_shape() {
    let mut prompt = prompt(vec![
        user("REASON and TOOLX"),
        assistant(
            vec![
                thought("Thinking about it.", Some("c2ln")),
                text("Let me run that."),
                call("toolu_fake_1", "exec", json!({"command": "echo hello-from-tool"})),
            ],
            StopReason::ToolUse,
        ),
        result("toolu_fake_1", "hello-from-tool"),
    ]);
    prompt.thinking = ThinkingLevel::Medium;
    prompt.tools = vec![spec("read"), spec("exec")];
    let schema = &spec("x").parameters;
    assert_eq!(
        body_of(&prompt, &model()),
        json!({
            "model": "m",
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "REASON and TOOLX"}]},
                {"role": "assistant", "content": [
                    {"type": "thinking", "thinking": "Thinking about it.", "signature": "c2ln"},
                    {"type": "text", "text": "Let me run that."},
                    {"type": "tool_use", "id": "toolu_fake_1", "name": "exec", "input": {"command": "echo hello-from-tool"}}]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "toolu_fake_1", "content": "hello-from-tool",
                     "is_error": false, "cache_control": {"type": "ephemeral"}}]},
            ],
            "max_tokens": 8192,
            "stream": true,
            "system": [{"type": "text", "text": "system", "cache_control": {"type": "ephemeral"}}],
            "tools": [
                {"name": "read", "description": "does read", "input_schema": schema},
                {"name": "exec", "description": "does exec", "input_schema": schema, "cache_control": {"type": "ephemeral"}},
            ],
            "thinking": {"type": "enabled", "budget_tokens": 7168},
        })
    );
}

#[test]
fn results_come_first_in_one_user_message_and_ids_are_made_to_fit() {
    let calls = vec![call("a|b", "f", json!({})), call("c", "g", json!({}))];
    let prompt = prompt(vec![user("go"), assistant(calls, StopReason::ToolUse), user("and?"), result("c", "C")]);
    let body = body_of(&prompt, &model());
    let last = &body["messages"][2]["content"];
    assert_eq!(body["messages"].as_array().unwrap().len(), 3);
    assert_eq!(last[0]["tool_use_id"], "a_b");
    assert_eq!(
        (&last[0]["is_error"], &last[1]["content"], &last[2]["text"]),
        (&json!(true), &json!("C"), &json!("and?"))
    );
}

#[test]
fn thinking_is_left_out_where_the_api_would_refuse_it() {
    let calls = vec![call("a", "f", json!({}))];
    let mut prompt = prompt(vec![user("go"), assistant(calls, StopReason::ToolUse), result("a", "A")]);
    prompt.thinking = ThinkingLevel::High;
    assert_eq!(body_of(&prompt, &model()).get("thinking"), None);
    prompt.messages.push(user("next"));
    assert_eq!(body_of(&prompt, &model())["thinking"]["budget_tokens"], 7168);
    assert_eq!(budget(&Model { max_tokens: 1500, ..model() }, ThinkingLevel::High), None);
    assert_eq!(budget(&Model { reasoning: false, ..model() }, ThinkingLevel::High), None);
    assert_eq!(budget(&Model { max_tokens: 64000, ..model() }, ThinkingLevel::Low), Some(2048));
}

#[test]
fn a_whole_answer_is_read_at_every_cut() {
    let stream = r#"event: message_start
data: {"type":"message_start","message":{"usage":{"input_tokens":10,"cache_read_input_tokens":200,"cache_creation_input_tokens":5,"output_tokens":1}}}

data: {"type":"message_start","message":{}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":""}}

data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Hm, "}}

data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"gut."}}

data: {"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"c2ln"}}

data: {"type":"content_block_stop","index":0}

data: {"type":"content_block_start","index":1,"content_block":{"type":"redacted_thinking","data":"AAA"}}

event: ping
data: {"type":"ping"}

data: {"type":"content_block_start","index":2,"content_block":{"type":"text","text":""}}

event: content_block_delta
data: {"index":2,"delta":{"type":"text_delta","text":"Grüße 🦀 "}}

data: {"type":"content_block_delta","index":2,"delta":{"type":"text_delta","text":"<think>"}}

data: {"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"t1","name":"exec"}}

data: {"type":"content_block_start","index":4,"content_block":{"type":"tool_use","id":"t2","name":"read","input":{"p":1}}}

data: {"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":""}}

data: {"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":"{\"a\":"}}

data: {"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":"\"ü\"}"}}

data: {"type":"something_new","index":9}

data: {"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":34}}

data: {"type":"message_stop"}

data: not read any more

"#;
    let (shown, thoughts, finished, end) = at_every_cut(Api::AnthropicMessages, stream);
    assert_eq!(end, Ok(()));
    assert_eq!((shown.as_str(), thoughts.as_str()), ("Grüße 🦀 <think>", "Hm, gut."));
    assert_eq!(
        finished.content,
        [
            thought("Hm, gut.", Some("c2ln")),
            thought("", Some("redacted:AAA")),
            text("Grüße 🦀 <think>"),
            call("t1", "exec", json!({"a": "ü"})),
            call("t2", "read", json!({"p": 1})),
        ]
    );
    assert_eq!(finished.stop_reason, StopReason::ToolUse);
    let usage = finished.usage;
    assert_eq!((usage.input, usage.output, usage.cache_read, usage.cache_write), (10, 34, 200, 5));
    assert_eq!(usage.total_tokens, 249);
}

#[test]
fn cut_streams_errors_and_refusals_keep_what_came() {
    let start = "data: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"half\"}}\n\n";
    for (rest, trouble) in [
        ("", Trouble::CutOff),
        (
            "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n",
            Trouble::Complaint(Complaint { status: 0, code: "overloaded_error".into(), text: "Overloaded".into() }),
        ),
        (
            "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"refusal\"}}\n\n",
            Trouble::Withheld("refusal"),
        ),
        ("data: {half\n\n", Trouble::Malformed("not JSON: {half".into())),
    ] {
        let (_, _, finished, end) = at_every_cut(Api::AnthropicMessages, &format!("{start}{rest}"));
        assert_eq!(end, Err(trouble));
        assert_eq!((finished.content, finished.stop_reason), (vec![text("half")], StopReason::Error));
    }
    let (_, _, finished, end) = at_every_cut(
        Api::AnthropicMessages,
        &format!("{start}data: {{\"type\":\"message_delta\",\"delta\":{{\"stop_reason\":\"max_tokens\"}}}}"),
    );
    assert_eq!((end, finished.stop_reason), (Ok(()), StopReason::Length));
}

#[test]
fn pictures_are_sent_to_models_that_take_them() {
    let image = Block::Image { data: "AA==".into(), mime_type: "image/png".into() };
    let part = Part::Image { mime_type: "image/png", data: "AA==" };
    let piece = serde_json::to_value(Piece::of_part(part)).unwrap();
    assert_eq!(
        piece,
        json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}})
    );
    let mut answered = result("a", "seen");
    if let Message::ToolResult(message) = &mut answered {
        message.content.push(image);
    }
    let calls = vec![call("a", "f", json!({}))];
    let body = body_of(&prompt(vec![user("go"), assistant(calls, StopReason::ToolUse), answered]), &model());
    assert_eq!(body["messages"][2]["content"][0]["content"][1]["type"], "image");
}
