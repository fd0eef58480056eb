//! Tool calls and their results belong together: providers refuse a conversation where one lacks
//! the other. A power cut or a cut-off history may have parted them (INTEGRATIONS 6.4).

use crate::wire::message::{AssistantMessage, Block, Message, ToolResultMessage};

/// Text of a result that was never written.
const INTERRUPTED: &str = "interrupted";

/// Gives every call that lacks one a result `interrupted`, right after its message and the results
/// that are there; leaves out results that don't follow their call.
#[must_use]
pub fn pair_tool_results(messages: Vec<Message>) -> Vec<Message> {
    let mut paired = Vec::with_capacity(messages.len());
    let mut open: Vec<ToolResultMessage> = Vec::new();
    for message in messages {
        match message {
            Message::ToolResult(result) => {
                if let Some(at) = open.iter().position(|call| call.tool_call_id == result.tool_call_id) {
                    open.remove(at);
                    paired.push(Message::ToolResult(result));
                }
            }
            message => {
                paired.extend(open.drain(..).map(Message::ToolResult));
                if let Message::Assistant(answer) = &message {
                    open = missing_results(answer);
                }
                paired.push(message);
            }
        }
    }
    paired.extend(open.into_iter().map(Message::ToolResult));
    paired
}

fn missing_results(answer: &AssistantMessage) -> Vec<ToolResultMessage> {
    let calls = answer.content.iter().filter_map(|block| match block {
        Block::ToolCall { id, name, .. } => Some((id, name)),
        _ => None,
    });
    calls
        .map(|(id, name)| ToolResultMessage {
            tool_call_id: id.clone(),
            tool_name: name.clone(),
            content: vec![Block::Text { text: INTERRUPTED.to_string() }],
            details: None,
            is_error: true,
            timestamp: answer.timestamp,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn show(messages: Value) -> Vec<String> {
        let messages: Vec<Message> = serde_json::from_value(messages).unwrap();
        pair_tool_results(messages)
            .iter()
            .map(|message| match message {
                Message::ToolResult(result) => format!("{} {}", result.tool_call_id, message.text()),
                _ => message.text(),
            })
            .collect()
    }

    #[test]
    fn calls_get_results_and_lone_results_go() {
        let call = |id: &str| json!({"type":"toolCall","id":id,"name":"exec","arguments":{}});
        let result = |id: &str| json!({"role":"toolResult","toolCallId":id,"content":[{"type":"text","text":"done"}]});
        let shown = show(json!([
            result("lost"),
            {"role":"user","content":"hi"},
            {"role":"assistant","content":[call("a"), call("b"), {"type":"text","text":"1"}]},
            result("b"),
            result("x"),
            {"role":"user","content":"and?"},
            result("a"),
            {"role":"assistant","content":[call("c"), {"type":"text","text":"2"}]},
        ]));
        assert_eq!(shown, ["hi", "1", "b done", "a interrupted", "and?", "2", "c interrupted"]);
    }
}
