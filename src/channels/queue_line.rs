//! The lines of a channel's queue on disk, and what they add up to.

use serde::{Deserialize, Serialize};

use super::queue::Item;

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(super) enum Record {
    /// A message came.
    Item(Box<Item>),
    /// A try failed, or a part arrived.
    Progress {
        id: String,
        attempts: u32,
        sent_parts: usize,
        next_at_ms: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last_error: Option<String>,
    },
    /// A message left.
    Done(String),
}

impl Record {
    pub(super) fn progress(item: &Item) -> Self {
        Self::Progress {
            id: item.id.clone(),
            attempts: item.attempts,
            sent_parts: item.sent_parts,
            next_at_ms: item.next_at_ms,
            last_error: item.last_error.clone(),
        }
    }

    pub(super) fn into_item(self) -> Option<Item> {
        match self {
            Self::Item(item) => Some(*item),
            Self::Progress { .. } | Self::Done(_) => None,
        }
    }
}

/// What waits, oldest first.
pub(super) fn condense(records: Vec<Record>) -> Vec<Record> {
    let mut items: Vec<Item> = Vec::new();
    for record in records {
        match record {
            // One that is there already was taken over by the next generation.
            Record::Item(item) => match items.iter_mut().find(|other| other.id == item.id) {
                Some(other) => *other = *item,
                None => items.push(*item),
            },
            Record::Progress { id, attempts, sent_parts, next_at_ms, last_error } => {
                if let Some(item) = items.iter_mut().find(|item| item.id == id) {
                    (item.attempts, item.sent_parts, item.next_at_ms) = (attempts, sent_parts, next_at_ms);
                    item.last_error = last_error;
                }
            }
            Record::Done(id) => items.retain(|item| item.id != id),
        }
    }
    items.into_iter().map(|item| Record::Item(Box::new(item))).collect()
}
