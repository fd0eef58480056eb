//! What waits to be sent on one channel: in order for each recipient, bounded, on disk before anything
//! is sent. It decides what is due; sending is the pump's.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::chunk;
use super::message::{Body, GivenUp, Part, Receipt};
use super::queue_line::{self, Record};
use crate::config::channels::ChunkMode;
use crate::error::Error;
use crate::limits::{DELIVERY_PAUSE_MAX_MS, QUEUE_BYTES, QUEUE_FILE_BYTES, QUEUE_ITEMS};
use crate::stores::rolling::{Rolling, Sizes};
use crate::stores::{Durability, Durable, Saver, StoreError};
use crate::sys::{Bell, Latch, Sys};

/// A message in the queue, as it stands in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// Its id; that of a part is `<id>.<index>`.
    pub id: String,
    /// The account to send from.
    pub account_id: String,
    /// To whom, in the channel's own form.
    pub to: String,
    /// The request's idempotency key with its kind before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What.
    pub body: Body,
    /// The session that is told once it has arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<String>,
    /// Most characters of a part.
    pub chunk_chars: usize,
    /// Whether each paragraph is a part.
    #[serde(default)]
    pub by_paragraph: bool,
    /// When it came, milliseconds since the Unix epoch.
    pub created_at_ms: u64,
    /// Failed tries since the last part that arrived.
    #[serde(default)]
    pub attempts: u32,
    /// Parts that have arrived.
    #[serde(default)]
    pub sent_parts: usize,
    /// When it is tried next, milliseconds since the Unix epoch.
    #[serde(default)]
    pub next_at_ms: u64,
    /// What the last try said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// What others wrote there.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Item {
    /// Its parts, in order. The same whenever they are asked for.
    #[must_use]
    pub fn parts(&self) -> Vec<Part> {
        let bodies = match &self.body {
            Body::Poll(_) => vec![self.body.clone()],
            Body::Message { text, media_urls } => {
                let mode = if self.by_paragraph { ChunkMode::Newline } else { ChunkMode::Length };
                let mut texts = chunk::split(text, self.chunk_chars, mode);
                if texts.is_empty() {
                    texts.push(String::new());
                }
                let media = |index| if index == 0 { media_urls.clone() } else { Vec::new() };
                let parts = texts.into_iter().enumerate();
                parts.map(|(index, text)| Body::Message { text, media_urls: media(index) }).collect()
            }
        };
        let id = |index| format!("{}.{index}", self.id);
        bodies.into_iter().enumerate().map(|(index, body)| Part { id: id(index), to: self.to.clone(), body }).collect()
    }
}

/// The files: the longest line is the largest message, its text maybe escaped to six times its length.
const SIZES: Sizes = Sizes { line_bytes: 6 * QUEUE_BYTES + 4096, file_bytes: QUEUE_FILE_BYTES };

/// What becomes of a message. The first is set when it is on the medium, the second when it has arrived
/// or is given up.
#[derive(Debug, Default)]
pub struct Ticket {
    /// Set when it is on the medium, or could not be put there.
    pub accepted: Latch<Result<(), Error>>,
    /// Set when it has arrived, or never will.
    pub outcome: Latch<Result<Receipt, GivenUp>>,
    trouble: RefCell<Option<String>>,
}

impl Ticket {
    /// Why it has not arrived yet, after a try that failed.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.trouble.borrow().clone()
    }
}

/// What there is to do.
#[derive(Debug, PartialEq)]
pub enum Next {
    /// Send this.
    Item(Box<Item>),
    /// Wait so long, or until the bell rings.
    Wait(Duration),
    /// Wait until the bell rings.
    Nothing,
}

/// The queue of one channel.
#[derive(Debug)]
pub struct Queue {
    sys: Sys,
    file: Rolling<Record>,
    entries: RefCell<Vec<Entry>>,
    /// Rings when there may be something to send.
    pub bell: Bell,
}

#[derive(Debug)]
struct Entry {
    item: Item,
    is_durable: bool,
    ticket: Rc<Ticket>,
}

impl Queue {
    /// Reads the queue of a channel below `dir`. Damage is put aside and logged.
    ///
    /// # Errors
    /// What the disk says when something that is there can't be read.
    pub fn load(sys: &Sys, saver: &Saver, dir: &Path, channel: &str) -> Result<Self, StoreError> {
        let name = format!("{channel}.queue");
        let (file, records) = Rolling::load(sys, saver, dir, &name, SIZES, queue_line::condense)?;
        let items = records.into_iter().filter_map(Record::into_item);
        let entries = items.map(|item| {
            let ticket: Rc<Ticket> = Rc::default();
            ticket.accepted.set(Ok(()));
            Entry { item, is_durable: true, ticket }
        });
        let entries = RefCell::new(entries.collect());
        Ok(Self { sys: sys.clone(), file, entries, bell: Bell::default() })
    }

    /// Takes a message; it is sent once it is on the medium.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the queue is full or the disk takes nothing.
    pub fn add(self: &Rc<Self>, item: Item) -> Result<Rc<Ticket>, Error> {
        let held: usize = self.entries.borrow().iter().map(|entry| entry.item.body.size()).sum();
        if self.len() >= QUEUE_ITEMS || held + item.body.size() > QUEUE_BYTES {
            return Err(Error::unavailable("too many messages wait to be sent on this channel").retry_after(5000));
        }
        let durable = self.write(&Record::Item(Box::new(item.clone()))).map_err(|error| cannot_save(&error))?;
        let ticket: Rc<Ticket> = Rc::default();
        let id = item.id.clone();
        self.entries.borrow_mut().push(Entry { item, is_durable: false, ticket: Rc::clone(&ticket) });
        let (queue, pending) = (Rc::clone(self), Rc::clone(&ticket));
        self.sys.tasks.detach(async move {
            let saved = durable.await;
            match saved {
                Ok(()) => queue.with(&id, |entry| entry.is_durable = true),
                Err(error) => {
                    queue.done(&id, Err(GivenUp(error.to_string())));
                }
            }
            pending.accepted.set(saved.map_err(|error| cannot_save(&error)));
            queue.bell.ring();
        });
        Ok(ticket)
    }

    /// The ticket of a message that waits under that key.
    #[must_use]
    pub fn by_key(&self, key: &str) -> Option<Rc<Ticket>> {
        let entries = self.entries.borrow();
        entries.iter().find(|entry| entry.item.key.as_deref() == Some(key)).map(|entry| Rc::clone(&entry.ticket))
    }

    /// Messages that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.borrow().len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Messages that wait for an account.
    #[must_use]
    pub fn waiting_for(&self, account_id: &str) -> usize {
        self.entries.borrow().iter().filter(|entry| entry.item.account_id == account_id).count()
    }

    /// What is to be sent next: the oldest message that is due and has none before it to the same recipient.
    #[must_use]
    pub fn next(&self, now_ms: u64) -> Next {
        let mut taken = BTreeSet::new();
        let mut wait: Option<u64> = None;
        for entry in &*self.entries.borrow() {
            if !taken.insert((&entry.item.account_id, &entry.item.to)) || !entry.is_durable {
                continue;
            }
            // A time further away than any pause was told by a clock that was ahead: it must not stop the queue.
            let left = entry.item.next_at_ms.saturating_sub(now_ms);
            let pause = if left > DELIVERY_PAUSE_MAX_MS + DELIVERY_PAUSE_MAX_MS / 2 { 0 } else { left };
            if pause == 0 {
                return Next::Item(Box::new(entry.item.clone()));
            }
            wait = Some(wait.map_or(pause, |other| other.min(pause)));
        }
        wait.map_or(Next::Nothing, |pause| Next::Wait(Duration::from_millis(pause)))
    }

    /// So many parts of a message have arrived.
    pub fn progressed(&self, id: &str, sent_parts: usize) {
        self.change(id, |item| {
            item.sent_parts = sent_parts;
            item.attempts = 0;
        });
    }

    /// A try failed; the next one is at `next_at_ms`.
    pub fn postponed(&self, id: &str, next_at_ms: u64, reason: &str) {
        self.change(id, |item| {
            item.attempts += 1;
            item.next_at_ms = next_at_ms;
            item.last_error = Some(reason.to_owned());
        });
        self.with(id, |entry| *entry.ticket.trouble.borrow_mut() = Some(reason.to_owned()));
    }

    /// A message leaves the queue.
    pub fn done(&self, id: &str, outcome: Result<Receipt, GivenUp>) {
        let entry = {
            let mut entries = self.entries.borrow_mut();
            let Some(at) = entries.iter().position(|entry| entry.item.id == id) else { return };
            entries.remove(at)
        };
        let written =
            if self.is_empty() { self.file.clear() } else { self.write(&Record::Done(id.to_owned())).map(drop) };
        if let Err(error) = written {
            log::warn!("a message that left its queue may be sent again after a restart: {error}");
        }
        entry.ticket.outcome.set(outcome);
    }

    fn change(&self, id: &str, change: impl FnOnce(&mut Item)) {
        let mut changed = None;
        self.with(id, |entry| {
            change(&mut entry.item);
            changed = Some(Record::progress(&entry.item));
        });
        if let Some(Err(error)) = changed.map(|record| self.write(&record)) {
            log::warn!("the progress of a message is not recorded: {error}");
        }
    }

    fn with(&self, id: &str, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.entries.borrow_mut().iter_mut().find(|entry| entry.item.id == id) {
            change(entry);
        }
    }

    fn write(&self, record: &Record) -> Result<Durable, StoreError> {
        let live = || self.entries.borrow().iter().map(|entry| Record::Item(Box::new(entry.item.clone()))).collect();
        self.file.append(record, Durability::Forced, live)
    }
}

fn cannot_save(error: &StoreError) -> Error {
    Error::unavailable(format!("could not be saved: {error}"))
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
