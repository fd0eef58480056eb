//! A conversation as providers accept it: every tool call has its result right behind it, nobody
//! speaks twice in a row, nothing is empty. All three dialects build their requests from this.

use std::borrow::Cow;

use serde_json::Value;

use crate::config::models::{Model, Provider};
use crate::wire::message::{AssistantMessage, Block, Content, Message, ToolResultMessage, UserMessage};

/// The result of a call whose own was lost to a stop, a crash or an abort.
const INTERRUPTED: &str = "interrupted: the tool's result was lost";
/// What stands before a conversation whose beginning was cut away.
const CUT: &str = "(The beginning of this conversation was left out.)";
/// What stands for a picture that the model can't take.
const NO_IMAGE: &str = "(A picture was left out: this model takes none.)";

/// One turn.
#[derive(Debug, PartialEq)]
pub(super) enum Turn<'a> {
    User(Vec<Part<'a>>),
    Assistant(Vec<Said<'a>>),
    /// One for each call of the turn before it, in the order of the calls.
    Results(Vec<Outcome<'a>>),
}

/// What a person gave.
#[derive(Debug, PartialEq, Clone, Copy)]
pub(super) enum Part<'a> {
    Text(&'a str),
    Image { mime_type: &'a str, data: &'a str },
}

/// What a model said, in its order.
#[derive(Debug, PartialEq)]
pub(super) enum Said<'a> {
    Text(&'a str),
    /// A sealed thought of this very provider; all others are left out.
    Thought {
        text: &'a str,
        seal: &'a str,
    },
    Call {
        id: &'a str,
        name: &'a str,
        arguments: Cow<'a, Value>,
    },
}

/// What a tool gave back.
#[derive(Debug, PartialEq)]
pub(super) struct Outcome<'a> {
    pub(super) id: &'a str,
    pub(super) name: &'a str,
    pub(super) text: Cow<'a, str>,
    pub(super) images: Vec<Part<'a>>,
    pub(super) is_error: bool,
    answered: bool,
}

/// The turns of a conversation for one model.
pub(super) fn turns<'a>(messages: &'a [Message], provider: &Provider, model: &Model) -> Vec<Turn<'a>> {
    let mut turns = Vec::new();
    for message in messages {
        match message {
            Message::User(message) => add_user(&mut turns, parts(message, model)),
            Message::Assistant(message) => add_assistant(&mut turns, said(message, provider)),
            Message::ToolResult(message) => add_result(&mut turns, message, model),
        }
    }
    if turns.first().is_some_and(|turn| !matches!(turn, Turn::User(_))) {
        turns.insert(0, Turn::User(vec![Part::Text(CUT)]));
    }
    turns
}

fn add_user<'a>(turns: &mut Vec<Turn<'a>>, parts: Vec<Part<'a>>) {
    match turns.last_mut() {
        _ if parts.is_empty() => {}
        Some(Turn::User(have)) => have.extend(parts),
        _ => turns.push(Turn::User(parts)),
    }
}

fn add_assistant<'a>(turns: &mut Vec<Turn<'a>>, said: Vec<Said<'a>>) {
    if !said.iter().any(|said| !matches!(said, Said::Thought { .. })) {
        return;
    }
    let mut outcomes = Vec::new();
    for said in &said {
        if let Said::Call { id, name, .. } = said {
            let text = Cow::Borrowed(INTERRUPTED);
            outcomes.push(Outcome { id, name, text, images: Vec::new(), is_error: true, answered: false });
        }
    }
    match turns.last_mut() {
        Some(Turn::Assistant(have)) => have.extend(said),
        _ => turns.push(Turn::Assistant(said)),
    }
    if !outcomes.is_empty() {
        turns.push(Turn::Results(outcomes));
    }
}

/// Puts a result where its call waits for it; one without a call is left out.
fn add_result<'a>(turns: &mut [Turn<'a>], message: &'a ToolResultMessage, model: &Model) {
    let waiting = turns.iter_mut().rev().find_map(|turn| match turn {
        Turn::Results(outcomes) => {
            outcomes.iter_mut().find(|outcome| outcome.id == message.tool_call_id && !outcome.answered)
        }
        _ => None,
    });
    let Some(outcome) = waiting else {
        return;
    };
    let (texts, images): (Vec<_>, Vec<_>) =
        blocks(&message.content, model).into_iter().partition(|part| matches!(part, Part::Text(_)));
    let mut texts = texts.into_iter().filter_map(|part| if let Part::Text(text) = part { Some(text) } else { None });
    outcome.text = match (texts.next(), texts.next()) {
        (None, _) if images.is_empty() => Cow::Borrowed("(no output)"),
        (None, _) => Cow::Borrowed("(see the picture)"),
        (Some(only), None) => Cow::Borrowed(only),
        (Some(first), Some(second)) => {
            Cow::Owned([first, second].into_iter().chain(texts).collect::<Vec<_>>().join("\n"))
        }
    };
    outcome.images = images;
    outcome.is_error = message.is_error;
    outcome.answered = true;
}

fn parts<'a>(message: &'a UserMessage, model: &Model) -> Vec<Part<'a>> {
    match &message.content {
        Content::Text(text) if text.trim().is_empty() => Vec::new(),
        Content::Text(text) => vec![Part::Text(text)],
        Content::Blocks(content) => blocks(content, model),
    }
}

fn blocks<'a>(content: &'a [Block], model: &Model) -> Vec<Part<'a>> {
    let part = |block: &'a Block| match block {
        Block::Text { text } if !text.trim().is_empty() => Some(Part::Text(text)),
        Block::Image { data, mime_type } if model.images => Some(Part::Image { mime_type, data }),
        Block::Image { .. } => Some(Part::Text(NO_IMAGE)),
        _ => None,
    };
    content.iter().filter_map(part).collect()
}

fn said<'a>(message: &'a AssistantMessage, provider: &Provider) -> Vec<Said<'a>> {
    let own = message.provider == provider.id && message.api == provider.api.name();
    let said = |block: &'a Block| match block {
        Block::Text { text } if !text.trim().is_empty() => Some(Said::Text(text)),
        Block::Thinking { thinking, thinking_signature: Some(seal) } if own => {
            Some(Said::Thought { text: thinking, seal })
        }
        Block::ToolCall { id, name, arguments } => Some(Said::Call { id, name, arguments: object(arguments) }),
        _ => None,
    };
    message.content.iter().filter_map(said).collect()
}

/// Providers take objects only; what the model wrote instead is wrapped in one.
fn object(arguments: &Value) -> Cow<'_, Value> {
    if arguments.is_object() {
        Cow::Borrowed(arguments)
    } else {
        Cow::Owned(serde_json::json!({ "invalid": arguments }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assistant, call_block, model, provider, result, text_block, user};
    use super::*;
    use crate::config::models::Api;
    use crate::wire::message::StopReason;
    use serde_json::json;

    fn shape(messages: &[Message]) -> String {
        let (provider, model) = (provider(Api::AnthropicMessages), model());
        let turns = turns(messages, &provider, &model);
        let show = |turn: &Turn<'_>| match turn {
            Turn::User(parts) => format!("user{}", parts.len()),
            Turn::Assistant(said) => format!("assistant{}", said.len()),
            Turn::Results(outcomes) => outcomes.iter().fold("results".to_owned(), |all, outcome| {
                format!("{all}:{}={}", outcome.id, outcome.text.chars().take(11).collect::<String>())
            }),
        };
        turns.iter().map(show).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn results_follow_their_calls_in_order_and_lost_ones_are_made_up() {
        let calls = assistant(vec![call_block("a"), call_block("b"), call_block("c")], StopReason::ToolUse);
        let history = [user("go"), calls, user("hurry"), result("c", "C"), result("a", "A"), result("ghost", "G")];
        assert_eq!(shape(&history), "user1 assistant3 results:a=A:b=interrupted:c=C user1");
    }

    #[test]
    fn empty_failures_are_left_out_and_neighbours_merged() {
        let history = [
            user("one"),
            assistant(Vec::new(), StopReason::Error),
            user("two"),
            user("  "),
            assistant(vec![text_block(" ")], StopReason::Aborted),
            assistant(vec![text_block("partial")], StopReason::Aborted),
            assistant(vec![text_block("whole")], StopReason::Stop),
        ];
        assert_eq!(shape(&history), "user2 assistant2");
    }

    #[test]
    fn a_conversation_without_its_beginning_starts_with_a_user() {
        assert_eq!(
            shape(&[result("x", "lost"), assistant(vec![text_block("hi")], StopReason::Stop)]),
            "user1 assistant1"
        );
        assert_eq!(shape(&[]), "");
    }

    #[test]
    fn thoughts_of_other_providers_and_unsealed_ones_stay_behind() {
        let thought =
            |seal: Option<&str>| Block::Thinking { thinking: "t".into(), thinking_signature: seal.map(Into::into) };
        let mut other = assistant(vec![thought(Some("s")), text_block("a")], StopReason::Stop);
        if let Message::Assistant(message) = &mut other {
            message.provider = "elsewhere".to_owned();
        }
        assert_eq!(shape(&[user("q"), other]), "user1 assistant1");
        let own = assistant(vec![thought(Some("s")), thought(None), text_block("a")], StopReason::Stop);
        assert_eq!(shape(&[user("q"), own]), "user1 assistant2");
    }

    #[test]
    fn pictures_become_a_note_for_a_model_that_takes_none() {
        let image = Block::Image { data: "AA==".into(), mime_type: "image/png".into() };
        let content = [image];
        let blind = Model { images: false, ..model() };
        assert_eq!(blocks(&content, &blind), [Part::Text(NO_IMAGE)]);
        assert_eq!(blocks(&content, &model()), [Part::Image { mime_type: "image/png", data: "AA==" }]);
        assert_eq!(*object(&json!("x")), json!({"invalid": "x"}));
    }
}
