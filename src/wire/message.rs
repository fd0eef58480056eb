//! A message of a conversation, in the field's transcript format (methods.md 16.2).
//!
//! The same types are what a model is asked with, what it answered, and what `chat.history` shows.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "camelCase")]
pub enum Message {
    /// What a person (or the gateway on someone's behalf) said.
    User(UserMessage),
    /// What the model answered.
    Assistant(AssistantMessage),
    /// What a tool gave back.
    ToolResult(ToolResultMessage),
}

/// What a person said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UserMessage {
    /// Text and images.
    pub content: Content,
    /// Milliseconds since the Unix epoch.
    #[serde(default)]
    pub timestamp: u64,
}

/// What the model answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AssistantMessage {
    /// Text, thinking and tool calls, in the order in which they came.
    pub content: Vec<Block>,
    /// The provider's API, e.g. `openai-completions`.
    #[serde(default)]
    pub api: String,
    /// Provider id.
    #[serde(default)]
    pub provider: String,
    /// Model id.
    #[serde(default)]
    pub model: String,
    /// Tokens and cost.
    #[serde(default)]
    pub usage: Usage,
    /// Why it ended.
    #[serde(default)]
    pub stop_reason: StopReason,
    /// The provider's failure, when `stop_reason` is `error`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// Milliseconds since the Unix epoch.
    #[serde(default)]
    pub timestamp: u64,
}

/// What a tool gave back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolResultMessage {
    /// The call that it answers.
    pub tool_call_id: String,
    /// The tool's name.
    #[serde(default)]
    pub tool_name: String,
    /// Text and images.
    pub content: Vec<Block>,
    /// Machine-readable addition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
    /// Whether the tool failed.
    #[serde(default)]
    pub is_error: bool,
    /// Milliseconds since the Unix epoch.
    #[serde(default)]
    pub timestamp: u64,
}

/// A user message's content: blocks, or one text in older files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Content {
    /// One text.
    Text(String),
    /// Blocks.
    Blocks(Vec<Block>),
}

/// A piece of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Block {
    /// Text.
    Text {
        /// The text.
        text: String,
    },
    /// A picture.
    Image {
        /// base64.
        data: String,
        /// e.g. `image/png`.
        mime_type: String,
    },
    /// What the model thought before it answered.
    Thinking {
        /// The thought.
        thinking: String,
        /// The provider's seal; goes back unchanged.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        thinking_signature: Option<String>,
    },
    /// The model asks for a tool.
    ToolCall {
        /// The call's id.
        id: String,
        /// The tool's name.
        name: String,
        /// The arguments, an object.
        arguments: Value,
    },
    /// A kind that this version doesn't know.
    #[serde(other)]
    Unknown,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StopReason {
    /// It was complete.
    #[default]
    Stop,
    /// It reached a length limit.
    Length,
    /// The model waits for tool results.
    ToolUse,
    /// The provider failed.
    Error,
    /// A person stopped it.
    Aborted,
    /// It was written by the gateway, not by a model.
    Injected,
}

/// Tokens of one model call; `input` excludes what came from the cache.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Usage {
    /// Prompt tokens that were not cached.
    pub input: u64,
    /// Answer tokens.
    pub output: u64,
    /// Prompt tokens read from the provider's cache.
    pub cache_read: u64,
    /// Prompt tokens written to the provider's cache.
    pub cache_write: u64,
    /// All of them.
    pub total_tokens: u64,
    /// US dollars; `None` when the model's prices are unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
}

/// Cost in US dollars.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Cost {
    /// Of the uncached prompt.
    pub input: f64,
    /// Of the answer.
    pub output: f64,
    /// Of cached prompt tokens.
    pub cache_read: f64,
    /// Of writing the cache.
    pub cache_write: f64,
    /// All of it.
    pub total: f64,
}

impl Message {
    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub fn timestamp(&self) -> u64 {
        match self {
            Self::User(message) => message.timestamp,
            Self::Assistant(message) => message.timestamp,
            Self::ToolResult(message) => message.timestamp,
        }
    }

    /// The text blocks, joined.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::User(UserMessage { content: Content::Text(text), .. }) => text.clone(),
            Self::User(UserMessage { content: Content::Blocks(blocks), .. })
            | Self::Assistant(AssistantMessage { content: blocks, .. })
            | Self::ToolResult(ToolResultMessage { content: blocks, .. }) => text_of(blocks),
        }
    }
}

/// The text blocks, joined.
#[must_use]
pub fn text_of(blocks: &[Block]) -> String {
    blocks.iter().fold(String::new(), |mut all, block| {
        if let Block::Text { text } = block {
            all.push_str(text);
        }
        all
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_a_recorded_message_survive_a_round_trip() {
        let recorded = r#"{"role":"assistant","content":[{"type":"thinking","thinking":"hm","thinkingSignature":"s"},{"type":"text","text":"hi"},{"type":"toolCall","id":"t1","name":"exec","arguments":{"a":1}}],"api":"openai-completions","provider":"p","model":"m","usage":{"input":1000,"output":34,"cacheRead":200,"cacheWrite":0,"totalTokens":1234,"cost":{"input":0.001,"output":0.0,"cacheRead":0.0,"cacheWrite":0.0,"total":0.001}},"stopReason":"toolUse","timestamp":1795371860867}"#;
        let message: Message = serde_json::from_str(recorded).unwrap();
        assert_eq!(serde_json::to_string(&message).unwrap(), recorded);
        assert_eq!(message.text(), "hi");
    }

    #[test]
    fn old_and_unknown_content_is_read() {
        let old: Message = serde_json::from_str(r#"{"role":"user","content":"plain"}"#).unwrap();
        assert_eq!(old.text(), "plain");
        let new: Message =
            serde_json::from_str(r#"{"role":"user","content":[{"type":"hologram","x":1},{"type":"text","text":"t"}]}"#)
                .unwrap();
        assert_eq!(new.text(), "t");
    }
}
