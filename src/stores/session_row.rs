//! A session as the index holds it in memory: what lists sort by, and the entry as compact text.

use serde_json::{Map, Value};

use super::session_entry::{Entry, whole_number};
use super::{SessionKey, StoreError};
use crate::limits::SESSION_ENTRY_BYTES;

/// The field that is dropped when an index is loaded: about 5 KB a session (methods.md 16.1).
const DROPPED_FIELD: &str = "skillsSnapshot";

/// One session. About 250 bytes and the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    key: SessionKey,
    updated_at: u64,
    session_id: Box<str>,
    text: Box<str>,
}

impl Row {
    /// The session's key.
    #[must_use]
    pub fn key(&self) -> &SessionKey {
        &self.key
    }

    /// Last change, milliseconds since the Unix epoch; 0 when unknown.
    #[must_use]
    pub fn updated_at(&self) -> u64 {
        self.updated_at
    }

    /// Id of the current transcript; empty when there is none.
    #[must_use]
    pub fn session_id(&self) -> &str {
        &self.session_id
    }

    /// The entry's JSON.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The entry, parsed.
    #[must_use]
    #[allow(clippy::expect_used, reason = "the text was made by serde_json from an object, and every field is lenient")]
    pub fn entry(&self) -> Entry {
        serde_json::from_str(&self.text).expect("a row's text is an entry")
    }

    /// The row of an entry.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] over [`SESSION_ENTRY_BYTES`].
    pub(super) fn of(key: SessionKey, entry: &Entry) -> Result<Self, StoreError> {
        let too_large = StoreError::TooLarge("session entry", SESSION_ENTRY_BYTES);
        let text = serde_json::to_string(entry).map_err(|_| too_large)?;
        if text.len() > SESSION_ENTRY_BYTES {
            return Err(too_large);
        }
        Ok(Self {
            key,
            updated_at: entry.updated_at.unwrap_or(0),
            session_id: entry.session_id.clone().unwrap_or_default().into(),
            text: text.into(),
        })
    }

    /// The row of a stored entry, every field as it was.
    pub(super) fn stored(key: SessionKey, mut fields: Map<String, Value>) -> Self {
        fields.remove(DROPPED_FIELD);
        let updated_at = fields.get("updatedAt").and_then(whole_number).unwrap_or(0);
        let session_id = fields.get("sessionId").and_then(Value::as_str).unwrap_or_default().into();
        Self { key, updated_at, session_id, text: Value::Object(fields).to_string().into() }
    }
}
