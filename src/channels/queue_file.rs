//! A channel's queue on disk: a journal of JSON lines, `<channel>.queue.<generation>.jsonl`.
//!
//! Lines are only ever added. An empty queue empties its file; a file that has grown is followed by the
//! next generation, which begins with all that waits and then says so, and only then does the old one go.
//! Whatever a power cut leaves of these steps reads back as at least what was acknowledged.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::queue::Item;
use crate::limits::{QUEUE_BYTES, QUEUE_FILE_BYTES};
use crate::stores::lines::{Forward, Found};
use crate::stores::{Durability, Durable, Saver, StoreError, stamp};
use crate::sys::Sys;

/// A line, bytes: the largest message, its text maybe escaped to six times its length.
const LINE_BYTES: usize = 6 * QUEUE_BYTES + 4096;

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(super) enum Record {
    /// A message came, or was taken over from the last generation.
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
    /// Everything of earlier generations that still waits stands above.
    Complete(bool),
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
}

/// The files of one channel's queue.
#[derive(Debug)]
pub(super) struct QueueFile {
    sys: Sys,
    saver: Saver,
    /// The path without generation and ending.
    base: PathBuf,
    generation: Cell<u64>,
    bytes: Cell<u64>,
    /// Size of the current generation when it began.
    first_bytes: Cell<u64>,
}

impl QueueFile {
    /// Reads what waits, oldest first.
    pub(super) fn load(sys: &Sys, saver: &Saver, dir: &Path, channel: &str) -> Result<(Self, Vec<Item>), StoreError> {
        sys.files.create_dir(dir)?;
        let file = Self {
            sys: sys.clone(),
            saver: saver.clone(),
            base: dir.join(format!("{channel}.queue")),
            generation: Cell::new(0),
            bytes: Cell::new(0),
            first_bytes: Cell::new(0),
        };
        let prefix = format!("{channel}.queue.");
        let mut generations: Vec<u64> = Vec::new();
        for entry in sys.files.list(dir)? {
            let number = entry.name.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(".jsonl"));
            generations.extend(number.and_then(|number| number.parse::<u64>().ok()));
        }
        generations.sort_unstable();
        let mut items = Vec::new();
        let mut damaged = Vec::new();
        for generation in &generations {
            if !file.replay(*generation, &mut items)? {
                damaged.push(*generation);
            }
        }
        let newest = generations.last().copied().unwrap_or(0);
        file.generation.set(newest);
        if generations.len() > 1 || !damaged.is_empty() {
            file.begin_next(&items, generations, damaged)?;
        } else if !generations.is_empty() {
            file.bytes.set(sys.files.size(&file.path(newest))?);
        }
        Ok((file, items))
    }

    /// Adds a line; `live` is everything that waits, the line's own change included.
    pub(super) fn append(&self, record: &Record, live: impl Fn() -> Vec<Item>) -> Result<Durable, StoreError> {
        if self.bytes.get() > QUEUE_FILE_BYTES + 2 * self.first_bytes.get() {
            let old = self.generation.get();
            self.begin_next(&live(), vec![old], Vec::new())?;
        }
        let path = self.path(self.generation.get());
        let line = line(record)?;
        self.saver.append(&path, &line, Durability::Forced)?;
        self.bytes.set(self.bytes.get() + line.len() as u64);
        Ok(self.saver.synced(&path))
    }

    /// Nothing waits any more.
    pub(super) fn clear(&self) -> Result<(), StoreError> {
        let path = self.path(self.generation.get());
        self.saver.truncate(&path, 0)?;
        self.bytes.set(0);
        self.first_bytes.set(0);
        drop(self.saver.synced(&path));
        Ok(())
    }

    fn path(&self, generation: u64) -> PathBuf {
        let mut path = self.base.clone().into_os_string();
        path.push(format!(".{generation}.jsonl"));
        path.into()
    }

    /// Carries out a generation's lines; `false` when some can't be read. An unfinished last line is cut off.
    fn replay(&self, generation: u64, items: &mut Vec<Item>) -> Result<bool, StoreError> {
        let path = self.path(generation);
        let earlier: Vec<String> = items.iter().map(|item| item.id.clone()).collect();
        let mut own: Vec<String> = Vec::new();
        let mut is_whole = true;
        for line in Forward::from(&*self.sys.files, &path, 0, LINE_BYTES) {
            let line = line?;
            match &line.found {
                Found::Unended(_) => {
                    self.saver.truncate(&path, line.start)?;
                    break;
                }
                Found::TooLong => is_whole = false,
                Found::Whole(bytes) => match serde_json::from_slice(bytes) {
                    Ok(Record::Item(item)) => {
                        own.push(item.id.clone());
                        match items.iter_mut().find(|other| other.id == item.id) {
                            Some(other) => *other = *item,
                            None => items.push(*item),
                        }
                    }
                    Ok(Record::Progress { id, attempts, sent_parts, next_at_ms, last_error }) => {
                        if let Some(item) = items.iter_mut().find(|item| item.id == id) {
                            (item.attempts, item.sent_parts, item.next_at_ms) = (attempts, sent_parts, next_at_ms);
                            item.last_error = last_error;
                        }
                    }
                    Ok(Record::Done(id)) => items.retain(|item| item.id != id),
                    Ok(Record::Complete(_)) => {
                        items.retain(|item| own.contains(&item.id) || !earlier.contains(&item.id));
                    }
                    Err(_) => is_whole = false,
                },
            }
        }
        Ok(is_whole)
    }

    /// Writes all that waits into the next generation. The old ones go once it is on the medium; damaged
    /// ones are kept under another name.
    fn begin_next(&self, items: &[Item], old: Vec<u64>, damaged: Vec<u64>) -> Result<(), StoreError> {
        let next = self.generation.get() + 1;
        let path = self.path(next);
        let mut bytes = Vec::new();
        for item in items {
            bytes.extend(line(&Record::Item(Box::new(item.clone())))?);
        }
        bytes.extend(line(&Record::Complete(true))?);
        self.saver.append(&path, &bytes, Durability::Forced)?;
        self.generation.set(next);
        self.bytes.set(bytes.len() as u64);
        self.first_bytes.set(bytes.len() as u64);
        let durable = self.saver.synced(&path);
        let (sys, saver) = (self.sys.clone(), self.saver.clone());
        let old: Vec<_> = old.into_iter().map(|old| (self.path(old), damaged.contains(&old))).collect();
        self.sys.tasks.detach(async move {
            if durable.await.is_err() {
                // The old ones are read together with the new one then.
                return;
            }
            for (path, is_damaged) in old {
                let gone = if is_damaged { put_aside(&sys, &saver, &path) } else { saver.remove(&path) };
                if let Err(error) = gone {
                    log::warn!("an old delivery queue is still there: {error}");
                }
            }
        });
        Ok(())
    }
}

fn put_aside(sys: &Sys, saver: &Saver, path: &Path) -> Result<(), StoreError> {
    let aside = stamp::free_name(&*sys.files, path, ".damaged-", sys.clock.now_ms())?;
    saver.rename(path, &aside)?;
    let name = aside.file_name().unwrap_or_default().to_string_lossy().into_owned();
    log::warn!("a delivery queue has unreadable lines; it is kept as {name}");
    Ok(())
}

fn line(record: &Record) -> Result<Vec<u8>, StoreError> {
    let mut line = serde_json::to_vec(record).map_err(|_| StoreError::Disk(std::io::ErrorKind::InvalidData))?;
    line.push(b'\n');
    Ok(line)
}
