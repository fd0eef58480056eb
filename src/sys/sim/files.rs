//! Files in memory that forget what was not synced.
//!
//! Kept apart: what a program sees (its page cache) and what the medium holds. [`SimFiles::power_cut`]
//! makes the file system that a board finds after the power came back. It never touches a real disk.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use super::SimClock;
use super::forget::survivors;
use super::medium::{Change, Inode, State};
use crate::sys::files::{Entry, Files, Stamp};
use crate::sys::{Chance, Clock, LocalFuture};

/// A forgetful file system. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct SimFiles(Rc<Shared>);

/// What has been done to a [`SimFiles`] so far, for write budgets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes that were read.
    pub bytes_read: u64,
    /// Bytes appended and bytes of replacements.
    pub bytes_written: u64,
    /// Finished syncs, successful or not.
    pub syncs: u64,
    /// Finished replacements, successful or not.
    pub replaces: u64,
    /// Calls that change something: the unit of [`SimFiles::cut_after`].
    pub operations: u64,
}

#[derive(Debug, Default)]
struct Shared {
    state: RefCell<State>,
    stats: Cell<Stats>,
    faults: Cell<Faults>,
    slowness: RefCell<Option<(SimClock, Duration)>>,
    /// The operation before which the state is frozen for [`SimFiles::power_cut`].
    cut_at: Cell<Option<u64>>,
    frozen: RefCell<Option<State>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Faults {
    full: bool,
    syncs_fail: bool,
    truncates_fail: bool,
    reads_fail: bool,
}

impl SimFiles {
    /// An empty file system whose syncs finish at once.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty file system whose syncs and replacements take `delay`; `clock` also dates the files.
    #[must_use]
    pub fn slow(clock: SimClock, delay: Duration) -> Self {
        let files = Self::default();
        files.run_on(clock, delay);
        files
    }

    /// From now on syncs and replacements take `delay` of `clock`'s time.
    pub fn run_on(&self, clock: SimClock, delay: Duration) {
        *self.0.slowness.borrow_mut() = Some((clock, delay));
    }

    /// Every write fails with `StorageFull` from now on; an append gets half of its bytes written.
    pub fn fill_up(&self) {
        self.change_faults(|faults| faults.full = true);
    }

    /// Writes work again.
    pub fn free_up(&self) {
        self.change_faults(|faults| faults.full = false);
    }

    /// Whether syncs fail; nothing becomes durable by a failed one.
    pub fn break_syncs(&self, broken: bool) {
        self.change_faults(|faults| faults.syncs_fail = broken);
    }

    /// Whether cutting a file fails.
    pub fn break_truncates(&self, broken: bool) {
        self.change_faults(|faults| faults.truncates_fail = broken);
    }

    /// Whether reading fails.
    pub fn break_reads(&self, broken: bool) {
        self.change_faults(|faults| faults.reads_fail = broken);
    }

    /// What has been done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.0.stats.get()
    }

    /// Fixes the moment of the next [`power_cut`](Self::power_cut): just before the operation that
    /// comes after `operations` more. The program runs on undisturbed; what it is told after
    /// [`has_cut`](Self::has_cut) doesn't count.
    pub fn cut_after(&self, operations: u64) {
        self.0.cut_at.set(Some(self.stats().operations + operations));
    }

    /// Whether the moment of [`cut_after`](Self::cut_after) has passed.
    #[must_use]
    pub fn has_cut(&self) -> bool {
        self.0.frozen.borrow().is_some()
    }

    /// The file system after a power cut: synced content exactly; of the rest, `chance` decides.
    /// Unsynced appends are lost, torn at any byte or partly NULs; unsynced renames, creations and
    /// removals are each lost or kept; a replacement under way left the old or the new content and
    /// maybe a `.tmp` file. Faults and delays are gone.
    #[must_use]
    pub fn power_cut(&self, chance: &Chance) -> Self {
        let state = self.0.frozen.borrow().clone().unwrap_or_else(|| self.0.state.borrow().clone());
        let files = Self::new();
        *files.0.state.borrow_mut() = survivors(state, chance);
        files
    }

    fn change_faults(&self, change: impl FnOnce(&mut Faults)) {
        let mut faults = self.0.faults.get();
        change(&mut faults);
        self.0.faults.set(faults);
    }

    /// Counts one operation; freezes the state when its moment has come.
    fn count(&self) {
        let mut stats = self.0.stats.get();
        if self.0.cut_at.get() == Some(stats.operations) && !self.has_cut() {
            *self.0.frozen.borrow_mut() = Some(self.0.state.borrow().clone());
        }
        stats.operations += 1;
        self.0.stats.set(stats);
    }

    fn add_stats(&self, change: impl FnOnce(&mut Stats)) {
        let mut stats = self.0.stats.get();
        change(&mut stats);
        self.0.stats.set(stats);
    }

    fn now_ms(&self) -> u64 {
        self.0.slowness.borrow().as_ref().map_or(0, |(clock, _)| clock.now_ms())
    }

    fn delay(&self) -> LocalFuture<'static, ()> {
        match &*self.0.slowness.borrow() {
            Some((clock, delay)) => clock.sleep_until(clock.elapsed().saturating_add(*delay)),
            None => Box::pin(std::future::ready(())),
        }
    }

    /// Runs `look` on a file's content.
    fn with_content<T>(&self, path: &Path, look: impl FnOnce(&[u8]) -> T) -> io::Result<T> {
        if self.0.faults.get().reads_fail {
            return Err(io::Error::other("simulated read error"));
        }
        let state = self.0.state.borrow();
        let inode = state.inode_of(path)?;
        Ok(look(state.inodes.get(&inode).map_or(&[], |inode| &inode.content)))
    }
}

impl Files for SimFiles {
    fn read(&self, path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
        self.with_content(path, |content| {
            if content.len() as u64 > max_bytes {
                Err(io::Error::new(ErrorKind::FileTooLarge, "too large"))
            } else {
                self.add_stats(|stats| stats.bytes_read += content.len() as u64);
                Ok(content.to_vec())
            }
        })?
    }

    fn read_at(&self, path: &Path, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.with_content(path, |content| {
            let rest = usize::try_from(offset).ok().and_then(|offset| content.get(offset..)).unwrap_or_default();
            let count = rest.len().min(buffer.len());
            if let (Some(to), Some(from)) = (buffer.get_mut(..count), rest.get(..count)) {
                to.copy_from_slice(from);
            }
            self.add_stats(|stats| stats.bytes_read += count as u64);
            count
        })
    }

    fn size(&self, path: &Path) -> io::Result<u64> {
        self.with_content(path, |content| content.len() as u64)
    }

    fn stamp(&self, path: &Path) -> io::Result<Stamp> {
        let state = self.0.state.borrow();
        let file = state.inode_of(path)?;
        let inode = state.inodes.get(&file).ok_or(ErrorKind::NotFound)?;
        Ok(Stamp {
            modified_ns: u128::from(inode.modified_ms) * 1_000_000,
            size_bytes: inode.content.len() as u64,
            file,
        })
    }

    /// There are no symbolic links here.
    fn real_path(&self, path: &Path) -> io::Result<PathBuf> {
        let state = self.0.state.borrow();
        if !state.directories.contains(path) {
            state.inode_of(path)?;
        }
        Ok(path.to_path_buf())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        if self.0.faults.get().reads_fail {
            return Err(io::Error::other("simulated read error"));
        }
        let state = self.0.state.borrow();
        if !state.directories.contains(dir) {
            return Err(ErrorKind::NotFound.into());
        }
        let here = |path: &Path| {
            (path.parent() == Some(dir)).then(|| path.file_name().unwrap_or_default().to_string_lossy().into_owned())
        };
        let directories = state
            .directories
            .iter()
            .filter_map(|path| Some(Entry { name: here(path)?, is_dir: true, size_bytes: 0, modified_ms: 0 }));
        let files = state.names.iter().filter_map(|(path, inode)| {
            let inode = state.inodes.get(inode)?;
            let size_bytes = inode.content.len() as u64;
            Some(Entry { name: here(path)?, is_dir: false, size_bytes, modified_ms: inode.modified_ms })
        });
        let mut entries: Vec<_> = directories.chain(files).collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// Directories survive a power cut as soon as they are made; the crash tests are about files.
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.count();
        let mut state = self.0.state.borrow_mut();
        if dir.ancestors().any(|part| state.names.contains_key(part)) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        state.directories.extend(dir.ancestors().map(Path::to_path_buf));
        Ok(())
    }

    fn append(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.count();
        let now = self.now_ms();
        let full = self.0.faults.get().full;
        let mut state = self.0.state.borrow_mut();
        if state.inode_of(path).is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            if !state.has_directory_of(path) {
                return Err(ErrorKind::NotFound.into());
            }
            let inode = state.add(Inode::default());
            state.change(Change::Link(path.to_path_buf(), inode));
        }
        let inode = state.content_of(path)?;
        let written = if full { bytes.len() / 2 } else { bytes.len() };
        inode.content.extend(bytes.iter().take(written));
        inode.modified_ms = now;
        self.add_stats(|stats| stats.bytes_written += written as u64);
        if full { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn truncate(&self, path: &Path, size_bytes: u64) -> io::Result<()> {
        self.count();
        let now = self.now_ms();
        let mut state = self.0.state.borrow_mut();
        let inode = state.content_of(path)?;
        if self.0.faults.get().truncates_fail {
            return Err(io::Error::other("simulated truncate error"));
        }
        inode.content.resize(usize::try_from(size_bytes).map_err(io::Error::other)?, 0);
        inode.modified_ms = now;
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.count();
        let mut state = self.0.state.borrow_mut();
        let inode = state.inode_of(from)?;
        if state.directories.contains(to) {
            return Err(ErrorKind::IsADirectory.into());
        }
        if !state.has_directory_of(to) {
            return Err(ErrorKind::NotFound.into());
        }
        if from != to {
            state.change(Change::Rename(from.to_path_buf(), to.to_path_buf(), inode));
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.count();
        let mut state = self.0.state.borrow_mut();
        match state.inode_of(path) {
            Ok(_) => {
                state.change(Change::Unlink(path.to_path_buf()));
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// What was written before the call is durable when it resolves; later writes are not.
    fn sync(&self, path: PathBuf) -> LocalFuture<'static, io::Result<()>> {
        let begun = {
            let mut state = self.0.state.borrow_mut();
            let number = state.fresh();
            state.inode_of(&path).map(|inode| {
                (inode, state.inodes.get(&inode).map(|inode| inode.content.clone()).unwrap_or_default(), number)
            })
        };
        let (files, delay) = (self.clone(), self.delay());
        Box::pin(async move {
            let (inode, content, number) = begun?;
            delay.await;
            files.count();
            files.add_stats(|stats| stats.syncs += 1);
            if files.0.faults.get().syncs_fail {
                return Err(io::Error::other("simulated sync error"));
            }
            let mut state = files.0.state.borrow_mut();
            state.inodes.entry(inode).or_default().durable = content;
            state.sync_directory(path.parent(), number);
            Ok(())
        })
    }

    fn replace(&self, path: PathBuf, bytes: Vec<u8>) -> LocalFuture<'static, io::Result<()>> {
        let number = {
            let mut state = self.0.state.borrow_mut();
            let number = state.fresh();
            state.unfinished.insert(number, (path, bytes));
            number
        };
        let unfinished = Unfinished { files: self.clone(), number };
        let delay = self.delay();
        Box::pin(async move {
            delay.await;
            unfinished.finish()
        })
    }
}

/// A replacement under way; dropping it leaves the old content.
struct Unfinished {
    files: SimFiles,
    number: u64,
}

impl Unfinished {
    fn finish(self) -> io::Result<()> {
        let files = &self.files;
        files.count();
        files.add_stats(|stats| stats.replaces += 1);
        let now = files.now_ms();
        let faults = files.0.faults.get();
        let mut state = files.0.state.borrow_mut();
        let Some((path, bytes)) = state.unfinished.remove(&self.number) else {
            return Err(io::Error::other("the replacement is gone"));
        };
        if !state.has_directory_of(&path) {
            return Err(ErrorKind::NotFound.into());
        }
        if state.directories.contains(&path) {
            return Err(ErrorKind::IsADirectory.into());
        }
        if faults.full {
            return Err(ErrorKind::StorageFull.into());
        }
        if faults.syncs_fail {
            return Err(io::Error::other("simulated sync error"));
        }
        files.add_stats(|stats| stats.bytes_written += bytes.len() as u64);
        let inode = state.add(Inode { content: bytes.clone(), durable: bytes, modified_ms: now });
        state.change(Change::Link(path.clone(), inode));
        state.sync_directory(path.parent(), u64::MAX);
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Ok(mut state) = self.files.0.state.try_borrow_mut() {
            state.unfinished.remove(&self.number);
        }
    }
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
