//! The lines of a transcript (methods.md 16.2): what is written, and what is understood.

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::{StoreError, stamp};
use crate::limits::TRANSCRIPT_LINE_BYTES;
use crate::wire::message::Message;

/// The version of the format that headers name.
const VERSION: u32 = 3;

/// A line as far as the gateway cares.
#[derive(Debug)]
pub(super) enum Item<'a> {
    /// The first line.
    Header,
    /// A message, unparsed.
    Message(Option<String>, &'a RawValue),
    /// What came before an entry was summarised.
    Compaction(Option<String>, Compaction),
    /// Anything else that is an entry.
    Other(Option<String>),
}

/// A summary in place of older messages.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Compaction {
    pub(super) summary: String,
    /// The first entry that the summary doesn't replace.
    pub(super) first_kept_entry_id: String,
    #[serde(default)]
    timestamp: String,
}

impl Compaction {
    /// When it was made, milliseconds since the Unix epoch; 0 when unknown.
    pub(super) fn timestamp_ms(&self) -> u64 {
        stamp::parse_iso(&self.timestamp).unwrap_or(0)
    }
}

impl<'a> Item<'a> {
    /// What a line says; `None` when it is no entry.
    pub(super) fn parse(line: &'a [u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Head<'a> {
            #[serde(rename = "type")]
            kind: String,
            id: Option<String>,
            #[serde(borrow)]
            message: Option<&'a RawValue>,
        }
        let Head { kind, id, message } = serde_json::from_slice(line).ok()?;
        Some(match kind.as_str() {
            "session" => Self::Header,
            "message" => Self::Message(id, message.filter(|message| message.get().starts_with('{'))?),
            "compaction" => match serde_json::from_slice(line) {
                Ok(compaction) => Self::Compaction(id, compaction),
                Err(_) => Self::Other(id),
            },
            _ => Self::Other(id),
        })
    }

    /// The entry's id, for the chain.
    pub(super) fn id(self) -> Option<String> {
        match self {
            Self::Header => None,
            Self::Message(id, _) | Self::Compaction(id, _) | Self::Other(id) => id,
        }
    }
}

/// The role of an unparsed message.
pub(super) fn role(message: &RawValue) -> Option<String> {
    #[derive(Deserialize)]
    struct Head {
        role: String,
    }
    serde_json::from_str::<Head>(message.get()).ok().map(|head| head.role)
}

/// Whether a line is JSON at all; one that isn't was not written whole.
pub(super) fn is_json(line: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(line).is_ok()
}

/// The header of a new transcript, with its newline.
pub(super) fn header(session_id: &str, workspace: &str, now_ms: u64) -> Result<Vec<u8>, StoreError> {
    #[derive(Serialize)]
    struct Header<'a> {
        r#type: &'a str,
        version: u32,
        id: &'a str,
        timestamp: String,
        cwd: &'a str,
    }
    line(&Header { r#type: "session", version: VERSION, id: session_id, timestamp: stamp::iso(now_ms), cwd: workspace })
}

/// A message's entry, with its newline.
pub(super) fn message(id: &str, parent: Option<&str>, now_ms: u64, message: &Message) -> Result<Vec<u8>, StoreError> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Entry<'a> {
        r#type: &'a str,
        id: &'a str,
        parent_id: Option<&'a str>,
        timestamp: String,
        message: &'a Message,
    }
    line(&Entry { r#type: "message", id, parent_id: parent, timestamp: stamp::iso(now_ms), message })
}

/// The same entry without a parent, with its newline: the first one of a shortened transcript.
pub(super) fn orphaned(entry: &[u8]) -> Vec<u8> {
    let mut bytes = match serde_json::from_slice::<Value>(entry) {
        Ok(Value::Object(mut fields)) if fields.contains_key("parentId") => {
            fields.insert("parentId".to_string(), Value::Null);
            Value::Object(fields).to_string().into_bytes()
        }
        _ => entry.to_vec(),
    };
    bytes.push(b'\n');
    bytes
}

fn line(value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    let mut bytes = serde_json::to_vec(value).map_err(|_| StoreError::Disk(std::io::ErrorKind::InvalidData))?;
    if bytes.len() > TRANSCRIPT_LINE_BYTES {
        return Err(StoreError::TooLarge("message", TRANSCRIPT_LINE_BYTES));
    }
    bytes.push(b'\n');
    Ok(bytes)
}
