//! Files as the stores see them: a seam with a durable implementation ([`super::disk`]) and a
//! forgetful one for crash tests ([`super::sim`]).
//!
//! Reads and appends are synchronous (small and served by the page cache). What must reach the
//! medium, [`sync`](Files::sync) and [`replace`](Files::replace), is a future, because an SD card
//! may take half a second; it runs off the loop.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::LocalFuture;

/// One directory entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// File name without its directory.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Size in bytes; 0 for a directory.
    pub size_bytes: u64,
    /// Last change, milliseconds since the Unix epoch.
    pub modified_ms: u64,
}

/// What tells that a file was changed, without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Last change, nanoseconds since the Unix epoch as far as the system knows them.
    pub modified_ns: u128,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Which file it is: another one after a replacement.
    pub file: u64,
}

/// A file system. Files are made with mode 0600, directories with 0700.
pub trait Files: fmt::Debug {
    /// The whole file.
    ///
    /// # Errors
    /// `NotFound`; `FileTooLarge` when it has more than `max_bytes`; what the system says.
    fn read(&self, path: &Path, max_bytes: u64) -> io::Result<Vec<u8>>;

    /// Up to `buffer.len()` bytes from `offset`; 0 at the end.
    ///
    /// # Errors
    /// `NotFound`; what the system says.
    fn read_at(&self, path: &Path, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Size in bytes.
    ///
    /// # Errors
    /// `NotFound`; what the system says.
    fn size(&self, path: &Path) -> io::Result<u64>;

    /// What tells that the file was changed.
    ///
    /// # Errors
    /// `NotFound`; what the system says.
    fn stamp(&self, path: &Path) -> io::Result<Stamp>;

    /// The path without symbolic links in it.
    ///
    /// # Errors
    /// `NotFound`; what the system says.
    fn real_path(&self, path: &Path) -> io::Result<PathBuf>;

    /// The entries of a directory, by name.
    ///
    /// # Errors
    /// `NotFound`; what the system says.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;

    /// Makes a directory and its parents; fine if it is there.
    ///
    /// # Errors
    /// What the system says.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// Adds bytes at the end, making the file if needed. Not durable before [`sync`](Self::sync).
    ///
    /// # Errors
    /// What the system says (`StorageFull` …). A part of the bytes may have been written; the
    /// caller cuts it off with [`truncate`](Self::truncate).
    fn append(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;

    /// Cuts the file to `size_bytes`.
    ///
    /// # Errors
    /// What the system says.
    fn truncate(&self, path: &Path, size_bytes: u64) -> io::Result<()>;

    /// Renames within the state directory.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file; fine if it is gone.
    ///
    /// # Errors
    /// What the system says.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Resolves when the file's content, length and directory entry are on the medium.
    fn sync(&self, path: PathBuf) -> LocalFuture<'static, io::Result<()>>;

    /// Replaces the file's whole content so that a power cut leaves the old or the new content,
    /// never a mixture: temporary file, fsync, rename, fsync of the directory. Durable when it
    /// resolves.
    fn replace(&self, path: PathBuf, bytes: Vec<u8>) -> LocalFuture<'static, io::Result<()>>;
}
