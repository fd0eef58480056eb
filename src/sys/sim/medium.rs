//! What a forgetful file system holds: names and contents, as programs see them and as the medium
//! has them. It knows no time, no faults and no chance.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Everything that a power cut decides about.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    pub(super) directories: BTreeSet<PathBuf>,
    /// Names as a program sees them.
    pub(super) names: BTreeMap<PathBuf, u64>,
    /// Names on the medium.
    pub(super) durable_names: BTreeMap<PathBuf, u64>,
    /// Changes of names that are not on the medium yet, oldest first, each with its number.
    pub(super) pending: Vec<(u64, Change)>,
    pub(super) inodes: BTreeMap<u64, Inode>,
    /// Replacements under way: they may leave the old content, the new one or a temporary file.
    pub(super) unfinished: BTreeMap<u64, (PathBuf, Vec<u8>)>,
    /// The last number given to an inode, a change or a replacement.
    pub(super) next: u64,
}

/// A file's content, whatever it is called.
#[derive(Debug, Clone, Default)]
pub(super) struct Inode {
    pub(super) content: Vec<u8>,
    /// Content at the last finished sync.
    pub(super) durable: Vec<u8>,
    pub(super) modified_ms: u64,
}

/// A change of a name.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Link(PathBuf, u64),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf, u64),
}

impl State {
    pub(super) fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// A new nameless file.
    pub(super) fn add(&mut self, inode: Inode) -> u64 {
        let number = self.fresh();
        self.inodes.insert(number, inode);
        number
    }

    pub(super) fn inode_of(&self, path: &Path) -> io::Result<u64> {
        match self.names.get(path) {
            Some(inode) => Ok(*inode),
            None if self.directories.contains(path) => Err(ErrorKind::IsADirectory.into()),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn change(&mut self, change: Change) {
        apply(&mut self.names, &change);
        let number = self.fresh();
        self.pending.push((number, change));
    }

    pub(super) fn content_of(&mut self, path: &Path) -> io::Result<&mut Inode> {
        let inode = self.inode_of(path)?;
        Ok(self.inodes.entry(inode).or_default())
    }

    pub(super) fn has_directory_of(&self, path: &Path) -> bool {
        path.parent().is_some_and(|dir| self.directories.contains(dir))
    }

    /// Puts the changes up to `number` that touch `dir` on the medium.
    pub(super) fn sync_directory(&mut self, dir: Option<&Path>, number: u64) {
        let pending = std::mem::take(&mut self.pending);
        for (at, change) in pending {
            if at <= number && change.touches(dir) {
                apply(&mut self.durable_names, &change);
            } else {
                self.pending.push((at, change));
            }
        }
    }
}

impl Change {
    fn touches(&self, dir: Option<&Path>) -> bool {
        match self {
            Self::Link(path, _) | Self::Unlink(path) => path.parent() == dir,
            Self::Rename(from, to, _) => from.parent() == dir || to.parent() == dir,
        }
    }
}

/// Carries a change out, whether or not earlier ones are.
pub(super) fn apply(names: &mut BTreeMap<PathBuf, u64>, change: &Change) {
    match change {
        Change::Link(path, inode) => {
            names.insert(path.clone(), *inode);
        }
        Change::Unlink(path) => {
            names.remove(path);
        }
        Change::Rename(from, to, inode) => {
            names.remove(from);
            names.insert(to.clone(), *inode);
        }
    }
}
