//! What goes out over a channel and what comes in.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What is to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Body {
    /// A text, media, or both.
    Message {
        /// The whole text; it is split when it is sent.
        text: String,
        /// Addresses of pictures and files; they go with the first part.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        media_urls: Vec<String>,
    },
    /// A question with options.
    Poll(Poll),
}

impl Body {
    /// The text alone.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::Message { text: text.into(), media_urls: Vec::new() }
    }

    /// Bytes that it takes, roughly.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::Message { text, media_urls } => text.len() + media_urls.iter().map(String::len).sum::<usize>(),
            Self::Poll(poll) => poll.question.len() + poll.options.iter().map(String::len).sum::<usize>(),
        }
    }
}

/// A question with options.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Poll {
    /// The question.
    pub question: String,
    /// What may be chosen.
    pub options: Vec<String>,
    /// How many of them one person may choose.
    pub max_selections: u32,
    /// Hours after which it ends; the service's own time when `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_hours: Option<u32>,
}

/// One step of sending a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The same whenever this part is sent again.
    pub id: String,
    /// To whom, in the channel's own form.
    pub to: String,
    /// What.
    pub body: Body,
}

/// What the service says about a part that it took.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Receipt {
    /// The service's id of the message.
    pub message_id: String,
    /// Further fields of the answer to `send` and `poll`: `chatId`, `channelId`, `pollId` …
    pub fields: Map<String, Value>,
}

/// Why a part was not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It never will be.
    Refused(String),
    /// It may be later, at the earliest after that time if the service named one.
    Later(String, Option<Duration>),
}

/// Why a message was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenUp(pub String);

/// What kind of conversation it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ChatKind {
    /// With one person.
    Direct,
    /// A group.
    Group,
    /// A room of a team.
    Room,
}

impl ChatKind {
    /// The name in session entries.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Group => "group",
            Self::Room => "channel",
        }
    }

    /// The name in session keys and in bindings (methods.md 7.1).
    #[must_use]
    pub fn key_part(self) -> &'static str {
        match self {
            Self::Direct => "dm",
            Self::Group => "group",
            Self::Room => "channel",
        }
    }
}

/// A message that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inbound {
    /// The channel.
    pub channel: &'static str,
    /// The account that it came to.
    pub account_id: String,
    /// The service's id of the message, which names it within the account.
    pub message_id: String,
    /// Where it was written.
    pub chat: Chat,
    /// Who wrote it.
    pub sender: Sender,
    /// The text.
    pub text: String,
    /// Whether it names the account; always true in direct conversations.
    pub is_for_us: bool,
}

/// Where a message was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chat {
    /// With one person or many.
    pub kind: ChatKind,
    /// The service's id; in direct conversations that of the person.
    pub id: String,
    /// A group's name.
    pub title: Option<String>,
    /// A thread or topic within it.
    pub thread: Option<String>,
    /// Discord's guild or Slack's team.
    pub space: Option<String>,
}

/// Who wrote a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// The service's id.
    pub id: String,
    /// A name for people.
    pub name: Option<String>,
    /// The name within the service, without `@`.
    pub username: Option<String>,
}

/// What became of a message that came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is durable, and will be answered.
    Accepted,
    /// It is not wanted: a stranger's, one that was seen before, or one that nobody asked us.
    Ignored,
    /// There is no room now; the service should give it again.
    Busy,
}
