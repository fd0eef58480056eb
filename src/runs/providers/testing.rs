//! Providers, models and messages for the tests of this folder.

use serde_json::json;

use super::{Prompt, ToolSpec};
use crate::config::models::{Api, Model, Provider};
use crate::secret::Secret;
use crate::wire::message::{
    AssistantMessage, Block, Content, Message, StopReason, ToolResultMessage, Usage, UserMessage,
};
use crate::wire::thinking::ThinkingLevel;

pub(super) fn provider(api: Api) -> Provider {
    Provider {
        id: "own".to_owned(),
        api,
        base_url: "https://api.example.com".to_owned(),
        api_key: Some(Secret::new("sk-very-secret")),
        needs_key: true,
        headers: Vec::new(),
        models: vec![model()],
    }
}

pub(super) fn model() -> Model {
    Model {
        id: "m".to_owned(),
        name: "M".to_owned(),
        context_window: 200_000,
        max_tokens: 8192,
        reasoning: true,
        images: true,
        rates: None,
    }
}

pub(super) fn prompt(messages: Vec<Message>) -> Prompt {
    let system = "system".to_owned();
    let session_id = "session-1".to_owned();
    Prompt { system, messages, tools: Vec::new(), thinking: ThinkingLevel::Off, session_id }
}

pub(super) fn spec(name: &str) -> ToolSpec {
    let parameters = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    ToolSpec { name: name.to_owned(), description: format!("does {name}"), parameters }
}

pub(super) fn text_block(text: &str) -> Block {
    Block::Text { text: text.to_owned() }
}

pub(super) fn call_block(id: &str) -> Block {
    Block::ToolCall { id: id.to_owned(), name: "tool".to_owned(), arguments: json!({}) }
}

pub(super) fn user(text: &str) -> Message {
    Message::User(UserMessage { content: Content::Blocks(vec![text_block(text)]), timestamp: 0 })
}

/// An answer of any of the providers that [`provider`] makes.
pub(super) fn assistant(content: Vec<Block>, stop_reason: StopReason) -> Message {
    // Thoughts go back to the dialect that sealed them; these tests seal in two.
    let is_openai = content.iter().any(
        |block| matches!(block, Block::Thinking { thinking_signature: Some(seal), .. } if seal == "reasoning_content"),
    );
    let api = if is_openai { Api::OpenaiCompletions } else { Api::AnthropicMessages };
    Message::Assistant(AssistantMessage {
        content,
        api: api.name().to_owned(),
        provider: "own".to_owned(),
        model: "m".to_owned(),
        usage: Usage::default(),
        stop_reason,
        error_message: None,
        timestamp: 0,
    })
}

pub(super) fn result(id: &str, text: &str) -> Message {
    Message::ToolResult(ToolResultMessage {
        tool_call_id: id.to_owned(),
        tool_name: "tool".to_owned(),
        content: vec![text_block(text)],
        details: None,
        is_error: false,
        timestamp: 0,
    })
}
