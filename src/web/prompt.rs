//! Turns a request's messages into one message for an agent, with its instructions.
//!
//! A session of ours remembers a conversation by itself. A caller without one sends the whole
//! conversation each time; then what was said before is put in front of the last message.

use serde_json::Value;

use crate::gateway::attachments::{self, Attachment};
use crate::wire::message::Block;

/// One message of a request.
#[derive(Debug, Default)]
pub(super) struct Turn {
    pub(super) role: String,
    pub(super) text: String,
    pub(super) pictures: Vec<Attachment>,
}

/// What an agent is asked.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) content: Vec<Block>,
    pub(super) instructions: Option<String>,
}

impl Turn {
    /// Reads `{role, content}`, where the content is a text or a list of parts.
    ///
    /// # Errors
    /// What can't be taken.
    pub(super) fn read(message: &Value) -> Result<Self, String> {
        let role = message.get("role").and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut turn = Self { role, ..Self::default() };
        match message.get("content") {
            Some(Value::String(text)) => turn.text.clone_from(text),
            Some(Value::Array(parts)) => {
                for part in parts {
                    turn.add_part(part)?;
                }
            }
            Some(Value::Null) | None => {}
            Some(_) => return Err("message content must be a text or a list of parts".to_owned()),
        }
        Ok(turn)
    }

    fn add_part(&mut self, part: &Value) -> Result<(), String> {
        match part.get("type").and_then(Value::as_str).unwrap_or_default() {
            "text" | "input_text" | "output_text" => {
                if !self.text.is_empty() {
                    self.text.push('\n');
                }
                self.text.push_str(part.get("text").and_then(Value::as_str).unwrap_or_default());
                Ok(())
            }
            "image_url" | "input_image" => {
                let url = part.pointer("/image_url/url").or_else(|| part.get("image_url"));
                let url = url.and_then(Value::as_str).unwrap_or_default();
                if !url.starts_with("data:") {
                    return Err("pictures are not fetched; send a data: URL".to_owned());
                }
                let content = Some(url.into());
                self.pictures.push(Attachment {
                    r#type: Some("image".into()),
                    mime_type: None,
                    file_name: None,
                    content,
                });
                Ok(())
            }
            other => Err(format!("content parts of type {other:?} are not supported")),
        }
    }
}

/// Makes the agent's message. `is_remembered` tells that the session holds what was said before.
///
/// # Errors
/// What is wrong, `missing` when there is nothing from the user.
pub(super) fn build(turns: &[Turn], is_remembered: bool, missing: &str) -> Result<Built, String> {
    let of = |roles: &'static [&'static str]| move |turn: &&Turn| roles.contains(&turn.role.as_str());
    let instructions: Vec<&str> =
        turns.iter().filter(of(&["system", "developer"])).map(|turn| turn.text.as_str()).collect();
    let said: Vec<&Turn> = turns.iter().filter(of(&["user", "assistant", "tool"])).collect();
    let Some(last) = said.iter().rposition(|turn| turn.role != "assistant") else { return Err(missing.to_owned()) };
    let Some((current, before)) = said.get(..=last).and_then(<[&Turn]>::split_last) else {
        return Err(missing.to_owned());
    };
    if current.text.trim().is_empty() && current.pictures.is_empty() {
        return Err(missing.to_owned());
    }
    let mut text = String::new();
    if !is_remembered && !before.is_empty() {
        text.push_str("What was said before in this conversation:\n");
        for turn in before.iter().filter(|turn| !turn.text.trim().is_empty()) {
            text.push_str(&format!("{}: {}\n", turn.role, turn.text.trim()));
        }
        text.push_str("\nNow:\n");
    }
    text.push_str(current.text.trim());
    let mut content = vec![Block::Text { text }];
    content.extend(attachments::images(&current.pictures).map_err(|error| error.message)?);
    let instructions = instructions.join("\n\n");
    Ok(Built { content, instructions: Some(instructions).filter(|text| !text.trim().is_empty()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn turns(messages: &Value) -> Vec<Turn> {
        messages.as_array().unwrap().iter().map(|message| Turn::read(message).unwrap()).collect()
    }

    fn text(built: &Built) -> &str {
        match &built.content[0] {
            Block::Text { text } => text,
            _ => panic!("no text"),
        }
    }

    #[test]
    fn the_last_message_is_asked_and_the_rest_goes_where_it_belongs() {
        let turns = turns(&json!([
            {"role": "system", "content": "Be short."},
            {"role": "user", "content": "My name is Ann."},
            {"role": "assistant", "content": "Hello Ann."},
            {"role": "user", "content": [{"type": "text", "text": "Who am I?"}]},
        ]));
        let built = build(&turns, false, "none").unwrap();
        assert_eq!(built.instructions.as_deref(), Some("Be short."));
        assert!(text(&built).contains("user: My name is Ann.\nassistant: Hello Ann.\n"));
        assert!(text(&built).ends_with("\nNow:\nWho am I?"));
        assert_eq!(text(&build(&turns, true, "none").unwrap()), "Who am I?");
    }

    #[test]
    fn what_cannot_be_taken_is_said() {
        let none =
            [json!([]), json!([{"role": "assistant", "content": "x"}]), json!([{"role": "user", "content": " "}])];
        for messages in none {
            assert_eq!(build(&turns(&messages), false, "none").unwrap_err(), "none");
        }
        for content in [json!(1), json!([{"type": "image_url", "image_url": {"url": "http://x/y.png"}}]), json!([{}])] {
            assert!(Turn::read(&json!({"role": "user", "content": content})).is_err(), "{content}");
        }
    }
}
