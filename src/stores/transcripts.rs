//! Transcripts: what was said in a session, one line an entry, only ever appended to (methods.md
//! 16.2). No file is ever held in memory. Reading is in `transcript_read`, shortening in
//! `transcript_compact`.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::lines::{Backward, Found};
use super::transcript_file::TranscriptFile;
use super::transcript_line::{self, Item};
use super::{Durability, Durable, Saver, StoreError, stamp};
use crate::limits::{OPEN_TRANSCRIPTS, TRANSCRIPT_LINE_BYTES};
use crate::sys::Sys;
use crate::wire::message::Message;

/// How many lines at the end are looked at for damage and for the last entry's id.
const END_LINES: usize = 64;
/// Bytes copied at once.
const BLOCK_BYTES: usize = 64 * 1024;
/// Stands before the time in the name of a shortened transcript that is not in place yet.
pub(super) const UNFINISHED: &str = ".compact-";
/// Stands before the time in the name of the transcript that was shortened.
pub(super) const BACKUP: &str = ".bak.";

/// Why a transcript is put aside; part of the new name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The session was deleted: `<file>.deleted.<time>`.
    Deleted,
    /// The session begins anew: `<file>.reset.<time>`.
    Reset,
}

/// All transcripts. Cloning shares it.
#[derive(Debug, Clone)]
pub struct TranscriptStore(pub(super) Rc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) sys: Sys,
    pub(super) saver: Saver,
    pub(super) workspace: String,
    /// The ends of transcripts that were appended to, at most [`OPEN_TRANSCRIPTS`].
    open: RefCell<BTreeMap<PathBuf, End>>,
    uses: Cell<u64>,
    pub(super) compacting: RefCell<BTreeSet<PathBuf>>,
}

/// What an append must know of the file's end.
#[derive(Debug, Clone)]
struct End {
    last_id: Option<String>,
    is_empty: bool,
    used: u64,
}

impl TranscriptStore {
    /// Transcripts whose headers name `workspace`. Finishes or undoes the shortenings that a power
    /// cut interrupted in `sessions_dirs`.
    ///
    /// # Errors
    /// What the disk says.
    pub fn load(sys: &Sys, saver: &Saver, workspace: &str, sessions_dirs: &[PathBuf]) -> Result<Self, StoreError> {
        let store = Self(Rc::new(Inner {
            sys: sys.clone(),
            saver: saver.clone(),
            workspace: workspace.to_string(),
            open: RefCell::default(),
            uses: Cell::new(0),
            compacting: RefCell::default(),
        }));
        for dir in sessions_dirs {
            store.finish_compactions(dir)?;
        }
        Ok(store)
    }

    /// Adds a message; the file and its header are made first if needed. Gives back the entry's id
    /// (8 hex digits). Durable with [`synced`](Self::synced).
    ///
    /// On the first append the end of an existing file is checked: what was not written whole is
    /// copied to `<file>.torn-<time>` and cut off.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] over [`TRANSCRIPT_LINE_BYTES`]; what the disk says. Nothing is added
    /// then.
    pub fn append(&self, file: &TranscriptFile, message: &Message) -> Result<String, StoreError> {
        let end = self.open(file)?;
        let now_ms = self.0.sys.clock.now_ms();
        let id = self.0.sys.chance.hex::<4>();
        let mut bytes = Vec::new();
        if end.is_empty {
            bytes = transcript_line::header(file.session_id(), &self.0.workspace, now_ms)?;
        }
        bytes.extend(transcript_line::message(&id, end.last_id.as_deref(), now_ms, message)?);
        self.0.saver.append(file.path(), &bytes, Durability::Forced)?;
        self.remember(file.path(), End { last_id: Some(id.clone()), is_empty: false, used: 0 });
        Ok(id)
    }

    /// Resolves when everything appended to the transcript before this call is on the medium.
    pub fn synced(&self, file: &TranscriptFile) -> Durable {
        self.0.saver.synced(file.path())
    }

    /// Whether the transcript has a file with something in it.
    #[must_use]
    pub fn exists(&self, file: &TranscriptFile) -> bool {
        self.0.sys.files.size(file.path()).is_ok_and(|size| size > 0)
    }

    /// Puts a transcript aside under a name that tells why; gives back the new name, `None` when
    /// there is no file. The future tells when that is on the medium.
    ///
    /// # Errors
    /// [`StoreError::Busy`] while it is being compacted; what the disk says.
    pub fn archive(&self, file: &TranscriptFile, reason: Reason) -> Result<Option<(PathBuf, Durable)>, StoreError> {
        if self.0.compacting.borrow().contains(file.path()) {
            return Err(StoreError::Busy);
        }
        match self.0.sys.files.size(file.path()) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let suffix = match reason {
            Reason::Deleted => ".deleted.",
            Reason::Reset => ".reset.",
        };
        let aside = stamp::free_name(&*self.0.sys.files, file.path(), suffix, self.0.sys.clock.now_ms())?;
        self.0.saver.rename(file.path(), &aside)?;
        self.forget(file.path());
        let durable = self.0.saver.synced(&aside);
        Ok(Some((aside, durable)))
    }

    /// Removes a transcript; fine if there is none.
    ///
    /// # Errors
    /// [`StoreError::Busy`] while it is being compacted; what the disk says.
    pub fn discard(&self, file: &TranscriptFile) -> Result<(), StoreError> {
        if self.0.compacting.borrow().contains(file.path()) {
            return Err(StoreError::Busy);
        }
        self.forget(file.path());
        self.0.saver.remove(file.path())
    }

    /// Forgets what is known of a file's end; it is read again with the next append.
    pub(super) fn forget(&self, path: &Path) {
        self.0.open.borrow_mut().remove(path);
    }

    /// Makes sure that the next append comes after a whole line.
    pub(super) fn mend(&self, file: &TranscriptFile) -> Result<(), StoreError> {
        self.open(file).map(|_| ())
    }

    fn open(&self, file: &TranscriptFile) -> Result<End, StoreError> {
        let known = self.0.open.borrow().get(file.path()).cloned();
        let end = match known {
            Some(end) => end,
            None => self.read_end(file.path())?,
        };
        self.remember(file.path(), end.clone());
        Ok(end)
    }

    fn remember(&self, path: &Path, end: End) {
        let used = self.0.uses.get() + 1;
        self.0.uses.set(used);
        let mut open = self.0.open.borrow_mut();
        open.insert(path.to_path_buf(), End { used, ..end });
        if open.len() > OPEN_TRANSCRIPTS {
            let oldest = open.iter().min_by_key(|(_, end)| end.used).map(|(path, _)| path.clone());
            oldest.map(|path| open.remove(&path));
        }
    }

    /// Finds the last entry's id, after putting aside what follows the last readable line.
    fn read_end(&self, path: &Path) -> Result<End, StoreError> {
        let files = &*self.0.sys.files;
        let lines = match Backward::from_end(files, path, TRANSCRIPT_LINE_BYTES) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(End { last_id: None, is_empty: true, used: 0 });
            }
            other => other?,
        };
        let mut torn_from = None;
        let mut last_id = None;
        let mut readable = 0;
        for line in lines.take(END_LINES) {
            let line = line?;
            match &line.found {
                Found::Whole(bytes) if bytes.is_empty() => continue,
                Found::Whole(bytes) if transcript_line::is_json(bytes) => {
                    readable += 1;
                    last_id = Item::parse(bytes).and_then(Item::id);
                    if last_id.is_some() {
                        break;
                    }
                }
                _ if readable == 0 => torn_from = Some(line.start),
                _ => {}
            }
        }
        if let Some(start) = torn_from {
            self.put_torn_aside(path, start)?;
        }
        Ok(End { last_id, is_empty: files.size(path)? == 0, used: 0 })
    }

    fn put_torn_aside(&self, path: &Path, start: u64) -> Result<(), StoreError> {
        let (files, saver) = (&*self.0.sys.files, &self.0.saver);
        let aside = stamp::free_name(files, path, ".torn-", self.0.sys.clock.now_ms())?;
        let end = files.size(path)?;
        self.copy(path, start, end, &aside)?;
        saver.truncate(path, start)?;
        log::warn!(
            "{} bytes at the end of {} were not written whole; kept as {}",
            end.saturating_sub(start),
            path.display(),
            aside.display()
        );
        Ok(())
    }

    /// Appends a part of one file to another, in blocks.
    pub(super) fn copy(&self, from: &Path, start: u64, end: u64, to: &Path) -> Result<(), StoreError> {
        let mut block = vec![0; BLOCK_BYTES];
        let mut offset = start;
        while offset < end {
            let wanted = usize::try_from(end - offset).map_or(BLOCK_BYTES, |rest| rest.min(BLOCK_BYTES));
            let buffer = block.get_mut(..wanted).unwrap_or_default();
            let count = self.0.sys.files.read_at(from, offset, buffer)?;
            if count == 0 {
                return Err(StoreError::Disk(ErrorKind::UnexpectedEof));
            }
            self.0.saver.append(to, buffer.get(..count).unwrap_or_default(), Durability::Forced)?;
            offset += count as u64;
        }
        Ok(())
    }

    /// A power cut may come between the two renames of a shortening: then the new file is whole and
    /// gets its name. Otherwise what is left of it goes.
    fn finish_compactions(&self, dir: &Path) -> Result<(), StoreError> {
        let entries = match self.0.sys.files.list(dir) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        let exists = |name: &str| entries.iter().any(|entry| entry.name == name);
        for entry in &entries {
            let Some((base, time)) = entry.name.split_once(UNFINISHED) else { continue };
            let unfinished = dir.join(&entry.name);
            if !exists(base) && exists(&format!("{base}{BACKUP}{time}")) {
                self.0.saver.rename(&unfinished, &dir.join(base))?;
            } else {
                self.0.saver.remove(&unfinished)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "transcripts_tests.rs"]
mod tests;
