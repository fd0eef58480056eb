//! Shortening a transcript to its last lines (methods.md 7.5, without its two faults: the header
//! stays, and a tool result never loses its call).
//!
//! The new file is written and synced beside the old one; two renames put it in place. Messages that
//! arrive meanwhile are copied after it. A power cut leaves the old transcript or the new one.

use std::path::{Path, PathBuf};

use super::lines::Forward;
use super::transcript_file::TranscriptFile;
use super::transcript_line::{self, Item, role};
use super::transcripts::{BACKUP, TranscriptStore, UNFINISHED};
use super::{Durability, StoreError, stamp};
use crate::limits::TRANSCRIPT_LINE_BYTES;

/// Lines after which other tasks get a turn.
const LINES_AT_ONCE: u64 = 256;
/// How often lines that arrived during a sync are copied before giving up.
const CATCH_UP_MAX: u32 = 16;

/// What shortening did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compaction {
    /// There is no transcript.
    Missing,
    /// It has no more lines than wanted.
    Unneeded {
        /// Its lines, without the header.
        kept: u64,
    },
    /// It was shortened.
    Done {
        /// Lines left, without the header.
        kept: u64,
        /// Where the whole transcript is now.
        archived: PathBuf,
    },
}

impl TranscriptStore {
    /// Shortens a transcript to its last `max_lines` lines, not counting the header; to fewer where
    /// the first of them would be tool results without their call. Durable when it resolves.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when it is being compacted already, or when messages keep arriving
    /// faster than they can be synced; what the disk says. The transcript is as it was then, or,
    /// when the very last sync failed, shortened.
    pub async fn compact(&self, file: &TranscriptFile, max_lines: u64) -> Result<Compaction, StoreError> {
        let mut job = Job::begin(self, file)?;
        if !self.exists(file) {
            return Ok(Compaction::Missing);
        }
        self.mend(file)?;
        let (header, count) = job.survey().await?;
        if count <= max_lines {
            return Ok(Compaction::Unneeded { kept: count });
        }
        let (start, kept) = job.first_kept(count - max_lines, count).await?;
        let (new_file, archived) = job.names()?;
        job.write(&new_file, header, start).await?;
        job.swap(&new_file, &archived)?;
        self.0.saver.synced(file.path()).await?;
        Ok(Compaction::Done { kept, archived })
    }
}

/// A shortening under way. Dropping it before the end removes the new file.
struct Job<'a> {
    store: &'a TranscriptStore,
    file: &'a TranscriptFile,
    new_file: Option<PathBuf>,
}

impl<'a> Job<'a> {
    fn begin(store: &'a TranscriptStore, file: &'a TranscriptFile) -> Result<Self, StoreError> {
        if !store.0.compacting.borrow_mut().insert(file.path().to_path_buf()) {
            return Err(StoreError::Busy);
        }
        Ok(Self { store, file, new_file: None })
    }

    fn lines_from(&self, offset: u64) -> Forward<'a> {
        Forward::from(&*self.store.0.sys.files, self.file.path(), offset, TRANSCRIPT_LINE_BYTES)
    }

    /// The header, if there is one, and the number of other lines.
    async fn survey(&self) -> Result<(Option<Vec<u8>>, u64), StoreError> {
        let mut header = None;
        let mut count = 0;
        for line in self.lines_from(0) {
            let line = line?;
            if line.start == 0 && is_header(line.whole()) {
                header = line.whole().map(<[u8]>::to_vec);
                continue;
            }
            count += 1;
            pause_at(count).await;
        }
        Ok((header, count))
    }

    /// Where the kept part begins when `dropped` lines go, and how many lines it has.
    async fn first_kept(&self, dropped: u64, count: u64) -> Result<(u64, u64), StoreError> {
        let mut index = 0;
        let mut window = (0, 0);
        let mut begin = None;
        // The last message before the window that is no tool result, if the window has none.
        let mut anchor = None;
        for line in self.lines_from(0) {
            let line = line?;
            if line.start == 0 && is_header(line.whole()) {
                continue;
            }
            let kind = Kind::of(line.whole());
            if index == dropped {
                window = (line.start, index);
                begin = Some(window);
            }
            match kind {
                Kind::ToolResult if index >= dropped => begin = None,
                Kind::Message if index < dropped => anchor = Some((line.start, index)),
                Kind::Message => {
                    let (start, index) = begin.unwrap_or((line.start, index));
                    return Ok((start, count - index));
                }
                Kind::ToolResult | Kind::Other => {}
            }
            index += 1;
            pause_at(index).await;
        }
        let (start, index) = begin.or(anchor).unwrap_or(window);
        Ok((start, count - index))
    }

    /// The names of the new file and of the old one afterwards; they share their time, by which a
    /// start after a power cut knows that they belong together.
    fn names(&self) -> Result<(PathBuf, PathBuf), StoreError> {
        let sys = &self.store.0.sys;
        let archived = stamp::free_name(&*sys.files, self.file.path(), BACKUP, sys.clock.now_ms())?;
        let name = archived.file_name().unwrap_or_default().to_string_lossy().replacen(BACKUP, UNFINISHED, 1);
        Ok((archived.with_file_name(name), archived))
    }

    /// Writes the new file until it holds everything and is on the medium.
    async fn write(&mut self, new_file: &Path, header: Option<Vec<u8>>, start: u64) -> Result<(), StoreError> {
        let store = &self.store.0;
        store.saver.remove(new_file)?;
        self.new_file = Some(new_file.to_path_buf());
        let mut head = match header {
            Some(mut line) => {
                line.push(b'\n');
                line
            }
            None => transcript_line::header(self.file.session_id(), &store.workspace, store.sys.clock.now_ms())?,
        };
        let mut lines = self.lines_from(start);
        if let Some(first) = lines.next() {
            head.extend(first?.whole().map(transcript_line::orphaned).unwrap_or_default());
        }
        store.saver.append(new_file, &head, Durability::Forced)?;
        let mut copied = lines.offset();
        for _ in 0..CATCH_UP_MAX {
            let end = store.sys.files.size(self.file.path())?;
            while copied < end {
                let piece_end = end.min(copied + LINES_AT_ONCE * 1024);
                self.store.copy(self.file.path(), copied, piece_end, new_file)?;
                copied = piece_end;
                smol::future::yield_now().await;
            }
            store.saver.synced(new_file).await?;
            if store.sys.files.size(self.file.path())? == copied {
                return Ok(());
            }
        }
        Err(StoreError::Busy)
    }

    /// Puts the new file in place. No await: nothing can arrive in between.
    fn swap(&mut self, new_file: &Path, archived: &Path) -> Result<(), StoreError> {
        let saver = &self.store.0.saver;
        saver.rename(self.file.path(), archived)?;
        if let Err(error) = saver.rename(new_file, self.file.path()) {
            saver.rename(archived, self.file.path())?;
            return Err(error);
        }
        self.new_file = None;
        self.store.forget(self.file.path());
        Ok(())
    }
}

impl Drop for Job<'_> {
    fn drop(&mut self) {
        self.store.0.compacting.borrow_mut().remove(self.file.path());
        if let Some(new_file) = &self.new_file {
            if let Err(error) = self.store.0.saver.remove(new_file) {
                log::warn!("{} could not be removed: {error}", new_file.display());
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Message,
    ToolResult,
    Other,
}

impl Kind {
    fn of(line: Option<&[u8]>) -> Self {
        match line.and_then(Item::parse) {
            Some(Item::Message(_, raw)) if role(raw).as_deref() == Some("toolResult") => Self::ToolResult,
            Some(Item::Message(..)) => Self::Message,
            _ => Self::Other,
        }
    }
}

fn is_header(line: Option<&[u8]>) -> bool {
    matches!(line.and_then(Item::parse), Some(Item::Header))
}

async fn pause_at(count: u64) {
    if count % LINES_AT_ONCE == 0 {
        smol::future::yield_now().await;
    }
}

#[cfg(test)]
#[path = "transcript_compact_tests.rs"]
mod tests;
