//! The OpenAI dialect: requests against the recorded shapes, answers at every cut.

use super::super::decoder::testing::{at_every_cut, call, text, thought};
use super::super::testing::{assistant, model, prompt, provider, result, spec, user};
use super::*;
use crate::config::models::Api;
use crate::wire::message::{Block, Content, Message, UserMessage};
use serde_json::json;

fn body_at(base_url: &str, prompt: &Prompt, model: &Model) -> Value {
    let provider = Provider { base_url: base_url.to_owned(), ..provider(Api::OpenaiCompletions) };
    serde_json::from_slice(&body(&provider, model, prompt)).unwrap()
}

/// The shape of the second line of methods-provider-requests.jsonl.
#[test]
fn the_request_has_the_recorded_shape() {
    let mut prompt = prompt(vec![
        user("please TOOLX now"),
        assistant(
            vec![text("Let me run that."), call("call_fake_1", "exec", json!({"command": "echo hello-from-tool"}))],
            StopReason::ToolUse,
        ),
        result("call_fake_1", "hello-from-tool"),
    ]);
    prompt.tools = vec![spec("read")];
    assert_eq!(
        body_at("http://127.0.0.1:18829/v1", &prompt, &model()),
        json!({
            "model": "m",
            "messages": [
                {"role": "system", "content": "system"},
                {"role": "user", "content": [{"type": "text", "text": "please TOOLX now"}]},
                {"role": "assistant", "content": [{"type": "text", "text": "Let me run that."}], "tool_calls": [
                    {"id": "call_fake_1", "type": "function",
                     "function": {"name": "exec", "arguments": "{\"command\":\"echo hello-from-tool\"}"}}]},
                {"role": "tool", "content": "hello-from-tool", "tool_call_id": "call_fake_1"},
            ],
            "stream": true,
            "stream_options": {"include_usage": true},
            "store": false,
            "max_completion_tokens": 8192,
            "tools": [{"type": "function", "function":
                {"name": "read", "description": "does read", "parameters": spec("read").parameters, "strict": false}}],
        })
    );
}

#[test]
fn effort_is_asked_of_reasoning_models_and_hosts_get_what_they_take() {
    let mut prompt = prompt(vec![user("q")]);
    prompt.thinking = ThinkingLevel::Low;
    let official = body_at("https://api.openai.com/v1", &prompt, &model());
    assert_eq!((&official["reasoning_effort"], &official["prompt_cache_key"]), (&json!("low"), &json!("session-1")));
    let plain = Model { reasoning: false, ..model() };
    assert_eq!(body_at("https://api.openai.com/v1", &prompt, &plain).get("reasoning_effort"), None);
    let mistral = body_at("https://api.mistral.ai/v1", &prompt, &model());
    assert_eq!((mistral.get("store"), &mistral["max_tokens"]), (None, &json!(8192)));
    assert_eq!(mistral.get("max_completion_tokens"), None);
    assert_eq!(body_at("https://api.x.ai/v1", &prompt, &model()).get("reasoning_effort"), None);
}

#[test]
fn pictures_are_data_urls_and_a_tools_pictures_follow_it() {
    let image = || Block::Image { data: "AA==".into(), mime_type: "image/png".into() };
    let url = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}});
    let asked = Message::User(UserMessage { content: Content::Blocks(vec![text("what?"), image()]), timestamp: 0 });
    let mut answered = result("a", "seen");
    if let Message::ToolResult(message) = &mut answered {
        message.content.push(image());
    }
    let calls = vec![call("a", "f", json!({}))];
    let body = body_at("http://x/v1", &prompt(vec![asked, assistant(calls, StopReason::ToolUse), answered]), &model());
    assert_eq!(body["messages"][1]["content"][1], url);
    assert_eq!(body["messages"][2]["content"], Value::Null);
    assert_eq!(body["messages"][3]["content"], "seen");
    assert_eq!((&body["messages"][4]["role"], &body["messages"][4]["content"][1]), (&json!("user"), &url));
}

#[test]
fn thoughts_go_back_in_their_field_during_a_turn_only() {
    let said = || vec![thought("hm", Some("reasoning_content")), call("a", "f", json!({}))];
    let during = prompt(vec![user("q"), assistant(said(), StopReason::ToolUse), result("a", "A")]);
    assert_eq!(body_at("http://x/v1", &during, &model())["messages"][2]["reasoning_content"], "hm");
    let after = prompt(vec![user("q"), assistant(said(), StopReason::ToolUse), result("a", "A"), user("next")]);
    assert_eq!(body_at("http://x/v1", &after, &model())["messages"][2].get("reasoning_content"), None);
}

#[test]
fn a_whole_answer_is_read_at_every_cut() {
    let stream = r#": waiting

data: {"choices":[{"index":0,"delta":{"role":"assistant","content":null}}],"usage":null}

data: {"choices":[{"index":0,"delta":{"reasoning_content":"Hm, "}}]}

data: {"choices":[{"index":0,"delta":{"reasoning_content":"gut.","reasoning":"Hm"}}]}

data: {"choices":[{"index":0,"delta":{"content":"Grüße 🦀"}}]}

data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"exec","arguments":""}}]}}]}

data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\":"}},{"index":1,"id":"c2","function":{"name":"now"}}]}}]}

data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"\"ü\"}"}}]}}]}

data: {"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}

data: {"choices":[],"usage":{"prompt_tokens":1200,"completion_tokens":34,"prompt_tokens_details":{"cached_tokens":200}}}

data: [DONE]

data: not read any more

"#;
    let (shown, thoughts, finished, end) = at_every_cut(Api::OpenaiCompletions, stream);
    assert_eq!(end, Ok(()));
    assert_eq!((shown.as_str(), thoughts.as_str()), ("Grüße 🦀", "Hm, gut."));
    assert_eq!(
        finished.content,
        [
            thought("Hm, gut.", Some("reasoning_content")),
            text("Grüße 🦀"),
            call("c1", "exec", json!({"a": "ü"})),
            call("c2", "now", json!({})),
        ]
    );
    assert_eq!(finished.stop_reason, StopReason::ToolUse);
    let usage = finished.usage;
    assert_eq!((usage.input, usage.output, usage.cache_read, usage.total_tokens), (1000, 34, 200, 1234));
}

#[test]
fn calls_are_told_apart_however_they_are_numbered() {
    let chunk = |calls: &str| format!("data: {{\"choices\":[{{\"delta\":{{\"tool_calls\":[{calls}]}}}}]}}\n\n");
    let stop = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    let two = [call("a", "f", json!({"x": 1})), call("b", "g", json!({}))];
    for pieces in [
        // No index at all.
        [
            r#"{"id":"a","function":{"name":"f","arguments":"{\"x\""}}"#,
            r#"{"function":{"arguments":":1}"}},{"id":"b","function":{"name":"g","arguments":""}}"#,
        ],
        // Every index 0.
        [
            r#"{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":1}"}}"#,
            r#"{"index":0,"id":"b","function":{"name":"g"}}"#,
        ],
        // The id repeated, arguments as an object.
        [
            r#"{"index":0,"id":"a","function":{"name":"f"}}"#,
            r#"{"index":0,"id":"a","function":{"name":"f","arguments":{"x":1}}},{"index":1,"id":"b","function":{"name":"g"}}"#,
        ],
    ] {
        let stream = format!("{}{}{stop}", chunk(pieces[0]), chunk(pieces[1]));
        let (_, _, finished, end) = at_every_cut(Api::OpenaiCompletions, &stream);
        assert_eq!((end, finished.content.as_slice(), finished.stop_reason), (Ok(()), &two[..], StopReason::ToolUse));
    }
    // Without ids each call gets its own.
    let nameless = r#"{"function":{"name":"f","arguments":"{}"}},{"function":{"name":"f","arguments":"{}"}}"#;
    let (_, _, finished, _) = at_every_cut(Api::OpenaiCompletions, &format!("{}{stop}", chunk(nameless)));
    assert_eq!(finished.content, [call("call_test_0", "f", json!({})), call("call_test_1", "f", json!({}))]);
}

#[test]
fn thinking_tags_in_the_text_are_thoughts() {
    let chunk = |text: &str| format!("data: {{\"choices\":[{{\"delta\":{{\"content\":{}}}}}]}}\n\n", json!(text));
    let stream = ["<thi", "nk>let me", " see</think>", "\n\nThe", " answer is 42."].map(chunk).concat();
    let end = "data: {\"choices\":[{\"message\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]";
    let (shown, thoughts, finished, _) = at_every_cut(Api::OpenaiCompletions, &format!("{stream}{end}"));
    assert_eq!((shown.as_str(), thoughts.as_str()), ("The answer is 42.", "let me see"));
    assert_eq!(finished.content, [thought("let me see", None), text("The answer is 42.")]);
}

#[test]
fn lists_of_parts_and_plain_stops_are_read() {
    let stream = "data: {\"choices\":[{\"delta\":{\"content\":[{\"type\":\"thinking\",\"thinking\":[{\"type\":\"text\",\"text\":\"t\"}]},{\"type\":\"text\",\"text\":\"x\"}]}}]}\n\ndata: {\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}]}";
    let (_, _, finished, end) = at_every_cut(Api::OpenaiCompletions, stream);
    assert_eq!(end, Ok(()));
    assert_eq!((finished.content, finished.stop_reason), (vec![thought("t", None), text("x")], StopReason::Length));
}

#[test]
fn cut_streams_errors_and_filters_keep_what_came() {
    let start = "data: {\"choices\":[{\"delta\":{\"content\":\"half\"}}]}\n\n";
    let complaint =
        |status, code: &str| Trouble::Complaint(Complaint { status, code: code.to_owned(), text: "no".to_owned() });
    for (rest, trouble) in [
        ("", Trouble::CutOff),
        ("data: {\"error\":{\"message\":\"no\",\"code\":502}}\n\n", complaint(502, "")),
        ("error: {\"message\":\"no\",\"type\":\"server_error\"}\n\n", complaint(0, "server_error")),
        (
            "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"content_filter\"}]}\n\n",
            Trouble::Withheld("content_filter"),
        ),
        ("data: <html>\n\n", Trouble::Malformed("not JSON: <html>".to_owned())),
    ] {
        let (shown, _, finished, end) = at_every_cut(Api::OpenaiCompletions, &format!("{start}{rest}"));
        assert_eq!(end, Err(trouble));
        assert_eq!(
            (shown.as_str(), finished.content, finished.stop_reason),
            ("half", vec![text("half")], StopReason::Error)
        );
    }
}

#[test]
fn a_body_that_is_no_event_stream_is_told_as_what_it_is() {
    let (_, _, _, end) = at_every_cut(Api::OpenaiCompletions, "{\"error\":\"Unauthorized\"}");
    assert_eq!(end, Err(Trouble::Complaint(Complaint { text: "Unauthorized".to_owned(), ..Complaint::default() })));
    let (_, _, _, end) = at_every_cut(Api::OpenaiCompletions, "<html>Router login</html>");
    assert_eq!(end, Err(Trouble::Malformed("not an event stream: <html>Router login</html>".to_owned())));
}
