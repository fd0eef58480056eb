//! The saver: every durable write of the stores goes through it.
//!
//! Appends reach the file at once and the medium by a sync that all waiters of the file share, at
//! most one at a time. Replacements have one slot a file: newer content takes the place of older
//! content that is not being written yet. It knows nothing of what the bytes mean.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::durable::{Ticket, resolve};
use super::{Durable, StoreError};
use crate::sys::Sys;

/// When an append must be on the medium.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Before it is acknowledged: [`Saver::synced`] waits for it.
    Forced,
    /// With the next forced one of the same file, or at the end.
    Lazy,
}

/// The saver. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Saver(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    sys: Sys,
    /// Files with something unsynced, somebody waiting, or a torn end.
    appended: RefCell<BTreeMap<PathBuf, Appended>>,
    /// Files with a replacement under way or a failed last one.
    slots: RefCell<BTreeMap<PathBuf, Slot>>,
    trouble: RefCell<Option<(Deed, StoreError)>>,
    counter: Cell<u64>,
}

#[derive(Debug, Default)]
struct Appended {
    /// Numbers of the newest write, the newest forced one, and the newest one on the medium.
    written: u64,
    forced: u64,
    synced: u64,
    /// The sync task at work, by its number; another number means that its result is void.
    syncing: Option<u64>,
    tickets: Vec<Rc<Ticket>>,
    /// Where a failed append began whose rest could not be cut off.
    torn_at: Option<u64>,
}

#[derive(Debug, Default)]
struct Slot {
    waiting: Option<(u64, Vec<u8>)>,
    /// Number of the newest replacement.
    newest: u64,
    busy: bool,
    tickets: Vec<Rc<Ticket>>,
    failed: Option<StoreError>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Append,
    Sync,
    Replace,
}

impl Saver {
    /// A saver on `sys`'s files and tasks.
    #[must_use]
    pub fn new(sys: &Sys) -> Self {
        Self(Rc::new(Inner {
            sys: sys.clone(),
            appended: RefCell::default(),
            slots: RefCell::default(),
            trouble: RefCell::default(),
            counter: Cell::new(0),
        }))
    }

    /// Adds whole lines at the end of the file. They are visible at once and durable with
    /// [`synced`](Self::synced).
    ///
    /// # Errors
    /// What the disk says. Nothing of `bytes` is in the file then: it is cut back to its old length.
    /// If even that fails, the next append tries again, and else starts on a new line, so that the
    /// torn part is a bad line of its own.
    pub fn append(&self, path: &Path, bytes: &[u8], durability: Durability) -> Result<(), StoreError> {
        let result = self.append_or_cut(path, bytes).map_err(StoreError::from);
        self.note(Deed::Append, result);
        result?;
        self.touch(path, durability);
        Ok(())
    }

    /// Resolves when every forced append to the file before this call is on the medium. After a
    /// failure, what was refused stays refused: a later sync that works may not cover it, because
    /// the system may have dropped the bytes.
    pub fn synced(&self, path: &Path) -> Durable {
        let mut appended = self.0.appended.borrow_mut();
        let Some(file) = appended.get_mut(path).filter(|file| file.synced < file.forced) else {
            return Durable::done();
        };
        let ticket = Ticket::new(file.forced);
        file.tickets.push(Rc::clone(&ticket));
        self.start_sync(path, file);
        Durable::on(ticket)
    }

    /// Puts the file and the names in its directory on the medium, whether or not something was
    /// written to it.
    pub fn force(&self, path: &Path) -> Durable {
        self.touch(path, Durability::Forced);
        self.synced(path)
    }

    /// Gives the file a new content, whole or not at all. Newer content takes the place of content
    /// that still waits.
    pub fn replace(&self, path: &Path, bytes: Vec<u8>) {
        let number = self.fresh();
        let mut slots = self.0.slots.borrow_mut();
        let slot = slots.entry(path.to_path_buf()).or_default();
        slot.newest = number;
        slot.waiting = Some((number, bytes));
        if !slot.busy {
            slot.busy = true;
            let (saver, path) = (self.clone(), path.to_path_buf());
            self.0.sys.tasks.detach(async move { saver.empty_slot(path).await });
        }
    }

    /// Resolves when the newest content given to [`replace`](Self::replace) before this call, or a
    /// newer one, is on the medium; fails if the last attempt did.
    pub fn settled(&self, path: &Path) -> Durable {
        let mut slots = self.0.slots.borrow_mut();
        let Some(slot) = slots.get_mut(path) else {
            return Durable::done();
        };
        if !slot.busy {
            return slot.failed.map_or_else(Durable::done, Durable::failed);
        }
        let ticket = Ticket::new(slot.newest);
        slot.tickets.push(Rc::clone(&ticket));
        Durable::on(ticket)
    }

    /// Cuts the file to `size_bytes`; a forced change.
    ///
    /// # Errors
    /// What the disk says.
    pub fn truncate(&self, path: &Path, size_bytes: u64) -> Result<(), StoreError> {
        self.0.sys.files.truncate(path, size_bytes)?;
        self.touch(path, Durability::Forced);
        Ok(())
    }

    /// Renames a file, over another one if there is one; [`synced`](Self::synced) of `to` makes it
    /// durable. Whoever waits for either file waits for the next sync of `to`.
    ///
    /// # Errors
    /// What the disk says.
    pub fn rename(&self, from: &Path, to: &Path) -> Result<(), StoreError> {
        self.0.sys.files.rename(from, to)?;
        let number = self.fresh();
        let mut appended = self.0.appended.borrow_mut();
        let mut file = appended.remove(from).unwrap_or_default();
        file.tickets.extend(appended.remove(to).unwrap_or_default().tickets);
        (file.written, file.forced, file.syncing) = (number, number, None);
        if !file.tickets.is_empty() {
            self.start_sync(to, &mut file);
        }
        appended.insert(to.to_path_buf(), file);
        Ok(())
    }

    /// Removes a file whose content is durable elsewhere or no longer wanted: whoever waits for it
    /// is told that it is done. The removal itself is durable with the next sync in its directory.
    ///
    /// # Errors
    /// What the disk says.
    pub fn remove(&self, path: &Path) -> Result<(), StoreError> {
        self.0.sys.files.remove(path)?;
        if let Some(mut file) = self.0.appended.borrow_mut().remove(path) {
            resolve(&mut file.tickets, u64::MAX, Ok(()));
        }
        Ok(())
    }

    /// Resolves when everything that was given to the saver so far is on the medium, lazy appends
    /// too.
    pub fn flush_all(&self) -> Durable {
        let mut parts = Vec::new();
        let mut appended = self.0.appended.borrow_mut();
        for (path, file) in appended.iter_mut().filter(|(_, file)| file.synced < file.written) {
            file.forced = file.written;
            let ticket = Ticket::new(file.written);
            file.tickets.push(Rc::clone(&ticket));
            self.start_sync(path, file);
            parts.push(Durable::on(ticket));
        }
        drop(appended);
        let slots: Vec<_> = self.0.slots.borrow().keys().cloned().collect();
        parts.extend(slots.iter().map(|path| self.settled(path)));
        Durable::all(parts)
    }

    /// What is wrong with the disk, for health; ends with the next write of the same kind that
    /// works, or with a replacement that works.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        let trouble = self.0.trouble.borrow();
        let (deed, error) = trouble.as_ref()?;
        let what = match deed {
            Deed::Append => "writing",
            Deed::Sync => "syncing",
            Deed::Replace => "replacing a file",
        };
        Some(format!("{what} failed: {error}"))
    }

    fn fresh(&self) -> u64 {
        let number = self.0.counter.get() + 1;
        self.0.counter.set(number);
        number
    }

    fn touch(&self, path: &Path, durability: Durability) {
        let number = self.fresh();
        let mut appended = self.0.appended.borrow_mut();
        let file = appended.entry(path.to_path_buf()).or_default();
        file.written = number;
        if durability == Durability::Forced {
            file.forced = number;
        }
    }

    fn append_or_cut(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let files = &*self.0.sys.files;
        let torn = self.cut_again(path);
        let old_size = match files.size(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            other => Some(other?),
        };
        let written = if torn { files.append(path, &[b"\n", bytes].concat()) } else { files.append(path, bytes) };
        let Err(error) = written else {
            if torn {
                self.set_torn(path, None);
            }
            return Ok(());
        };
        let cut = old_size.map_or_else(|| files.remove(path), |size| files.truncate(path, size));
        if !torn && cut.is_err() {
            self.set_torn(path, Some(old_size.unwrap_or(0)));
        }
        Err(error)
    }

    /// Tries to cut off what an earlier append left; tells whether it is still there.
    fn cut_again(&self, path: &Path) -> bool {
        let Some(size) = self.0.appended.borrow().get(path).and_then(|file| file.torn_at) else {
            return false;
        };
        let still_torn = self.0.sys.files.truncate(path, size).is_err();
        if !still_torn {
            self.set_torn(path, None);
        }
        still_torn
    }

    fn set_torn(&self, path: &Path, torn_at: Option<u64>) {
        self.0.appended.borrow_mut().entry(path.to_path_buf()).or_default().torn_at = torn_at;
    }

    fn note(&self, deed: Deed, result: Result<(), StoreError>) {
        let mut trouble = self.0.trouble.borrow_mut();
        match result {
            Err(error) => {
                if trouble.as_ref() != Some(&(deed, error)) {
                    log::warn!("disk trouble: {error}");
                }
                *trouble = Some((deed, error));
            }
            Ok(()) if deed == Deed::Replace || trouble.as_ref().is_some_and(|(what, _)| *what == deed) => {
                *trouble = None;
            }
            Ok(()) => {}
        }
    }

    fn start_sync(&self, path: &Path, file: &mut Appended) {
        if file.syncing.is_some() {
            return;
        }
        let number = self.fresh();
        file.syncing = Some(number);
        let (saver, path) = (self.clone(), path.to_path_buf());
        self.0.sys.tasks.detach(async move { saver.sync_while_wanted(path, number).await });
    }

    async fn sync_while_wanted(&self, path: PathBuf, number: u64) {
        loop {
            let covered = match self.0.appended.borrow().get(&path) {
                Some(file) if file.syncing == Some(number) => file.written,
                _ => return,
            };
            let result = self.0.sys.files.sync(path.clone()).await.map_err(StoreError::from);
            if !self.finish_sync(&path, number, covered, result) {
                return;
            }
        }
    }

    /// Tells the waiters; says whether some came meanwhile.
    fn finish_sync(&self, path: &Path, number: u64, covered: u64, result: Result<(), StoreError>) -> bool {
        let mut appended = self.0.appended.borrow_mut();
        let Some(file) = appended.get_mut(path).filter(|file| file.syncing == Some(number)) else {
            // Renamed or removed meanwhile: another sync answers, or nobody waits.
            return false;
        };
        self.note(Deed::Sync, result);
        if result.is_ok() {
            file.synced = covered;
        }
        resolve(&mut file.tickets, covered, result);
        if !file.tickets.is_empty() {
            return true;
        }
        file.syncing = None;
        if file.synced >= file.written && file.torn_at.is_none() {
            appended.remove(path);
        }
        false
    }

    async fn empty_slot(&self, path: PathBuf) {
        while let Some((number, bytes)) = self.take_waiting(&path) {
            let result = self.0.sys.files.replace(path.clone(), bytes).await.map_err(StoreError::from);
            self.note(Deed::Replace, result);
            if let Some(slot) = self.0.slots.borrow_mut().get_mut(&path) {
                resolve(&mut slot.tickets, number, result);
                slot.failed = result.err();
            }
        }
    }

    /// The content to write next; without one the slot rests, and goes away unless it failed.
    fn take_waiting(&self, path: &Path) -> Option<(u64, Vec<u8>)> {
        let mut slots = self.0.slots.borrow_mut();
        let slot = slots.get_mut(path)?;
        let next = slot.waiting.take();
        if next.is_none() {
            slot.busy = false;
            if slot.failed.is_none() {
                slots.remove(path);
            }
        }
        next
    }
}

#[cfg(test)]
#[path = "saver_tests.rs"]
mod tests;
