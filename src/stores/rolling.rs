//! A journal of JSON lines that is rewritten when it has grown: `<name>.<generation>.jsonl`.
//!
//! Lines are only ever added. A file that has grown is followed by the next generation, which begins with all
//! that still counts and then says so, and only then does the old one go. Whatever a power cut leaves of these
//! steps reads back as at least what was acknowledged. It knows nothing of what a record means.

use std::cell::Cell;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::lines::{Forward, Found};
use super::{Durability, Durable, Saver, StoreError, stamp};
use crate::sys::Sys;

/// How large a journal's lines and files are.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Longest line, bytes; a longer one counts as damage.
    pub line_bytes: usize,
    /// Size at which the next generation begins, bytes, beside twice that of its first lines.
    pub file_bytes: u64,
}

/// The last line of a generation's beginning: what counts of earlier ones stands above.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Complete {
    complete: bool,
}

/// The files of one journal.
#[derive(Debug)]
pub struct Rolling<R> {
    sys: Sys,
    saver: Saver,
    /// The path without generation and ending.
    base: PathBuf,
    sizes: Sizes,
    generation: Cell<u64>,
    bytes: Cell<u64>,
    /// Size of the current generation when it began.
    first_bytes: Cell<u64>,
    records: PhantomData<fn(R) -> R>,
}

impl<R: Serialize + DeserializeOwned> Rolling<R> {
    /// Reads the journal `name` below `dir`. `condense` says the same in the fewest records, which is what comes
    /// back. A generation with unreadable lines is put aside once what could be read of it is safe.
    ///
    /// # Errors
    /// What the disk says when something that is there can't be read.
    pub fn load(
        sys: &Sys,
        saver: &Saver,
        dir: &Path,
        name: &str,
        sizes: Sizes,
        condense: impl FnOnce(Vec<R>) -> Vec<R>,
    ) -> Result<(Self, Vec<R>), StoreError> {
        sys.files.create_dir(dir)?;
        let journal = Self {
            sys: sys.clone(),
            saver: saver.clone(),
            base: dir.join(name),
            sizes,
            generation: Cell::new(0),
            bytes: Cell::new(0),
            first_bytes: Cell::new(0),
            records: PhantomData,
        };
        let prefix = format!("{name}.");
        let mut generations: Vec<u64> = Vec::new();
        for entry in sys.files.list(dir)? {
            let number = entry.name.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(".jsonl"));
            generations.extend(number.and_then(|number| number.parse::<u64>().ok()));
        }
        generations.sort_unstable();
        let mut records = Vec::new();
        let mut damaged = Vec::new();
        for generation in &generations {
            if !journal.replay(*generation, &mut records)? {
                damaged.push(*generation);
            }
        }
        let records = condense(records);
        let newest = generations.last().copied().unwrap_or(0);
        journal.generation.set(newest);
        if generations.len() > 1 || !damaged.is_empty() {
            journal.begin_next(&records, generations, damaged)?;
        } else if !generations.is_empty() {
            journal.bytes.set(sys.files.size(&journal.path(newest))?);
        }
        Ok((journal, records))
    }

    /// Adds a line; `live` is everything that still counts, the line's own change included. The future tells when
    /// it is on the medium; for [`Durability::Lazy`] that may be much later.
    ///
    /// # Errors
    /// What the disk says.
    pub fn append(&self, record: &R, durability: Durability, live: impl Fn() -> Vec<R>) -> Result<Durable, StoreError> {
        if self.bytes.get() > self.sizes.file_bytes + 2 * self.first_bytes.get() {
            let old = self.generation.get();
            self.begin_next(&live(), vec![old], Vec::new())?;
        }
        let path = self.path(self.generation.get());
        let line = line(record)?;
        self.saver.append(&path, &line, durability)?;
        self.bytes.set(self.bytes.get() + line.len() as u64);
        Ok(self.saver.synced(&path))
    }

    /// Nothing counts any more.
    ///
    /// # Errors
    /// What the disk says.
    pub fn clear(&self) -> Result<(), StoreError> {
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

    /// Adds a generation's records; `false` when some can't be read. An unfinished last line is cut off.
    fn replay(&self, generation: u64, records: &mut Vec<R>) -> Result<bool, StoreError> {
        let path = self.path(generation);
        let earlier = records.len();
        let mut earlier_count = true;
        let mut is_whole = true;
        for line in Forward::from(&*self.sys.files, &path, 0, self.sizes.line_bytes) {
            let line = line?;
            match &line.found {
                Found::Unended(_) => {
                    self.saver.truncate(&path, line.start)?;
                    break;
                }
                Found::TooLong => is_whole = false,
                Found::Whole(bytes) => match serde_json::from_slice(bytes) {
                    Ok(record) => records.push(record),
                    Err(_) if serde_json::from_slice::<Complete>(bytes).is_ok() => earlier_count = false,
                    Err(_) => is_whole = false,
                },
            }
        }
        if !earlier_count {
            records.drain(..earlier);
        }
        Ok(is_whole)
    }

    /// Writes all that counts into the next generation. The old ones go once it is on the medium; damaged
    /// ones are kept under another name.
    fn begin_next(&self, live: &[R], old: Vec<u64>, damaged: Vec<u64>) -> Result<(), StoreError> {
        let next = self.generation.get() + 1;
        let path = self.path(next);
        let mut bytes = Vec::new();
        for record in live {
            bytes.extend(line(record)?);
        }
        bytes.extend(line(&Complete { complete: true })?);
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
                    log::warn!("an old journal is still there: {error}");
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
    log::warn!("a journal has unreadable lines; it is kept as {name}");
    Ok(())
}

fn line(record: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    let mut line = serde_json::to_vec(record).map_err(|_| StoreError::Disk(std::io::ErrorKind::InvalidData))?;
    line.push(b'\n');
    Ok(line)
}
