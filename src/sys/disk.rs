//! The machine's file system behind [`Files`].
#![allow(clippy::disallowed_methods, reason = "the one place that touches real files")]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use smol::lock::Semaphore;

use super::LocalFuture;
use super::files::{Entry, Files, Stamp};
use crate::limits::POOL_THREADS;

/// Mode of every file: readable by its owner only.
const FILE_MODE: u32 = 0o600;
/// Mode of every directory.
const DIR_MODE: u32 = 0o700;
/// Suffix of the temporary file of a replacement; left over only by a power cut.
const TEMPORARY_SUFFIX: &str = "tmp";

/// Real files. At most [`POOL_THREADS`] operations wait for the medium at once; the next one waits
/// its turn on the loop, so that no more threads than that are ever started for it.
#[derive(Debug, Clone)]
pub struct Disk {
    pool: Arc<Semaphore>,
}

impl Default for Disk {
    fn default() -> Self {
        Self { pool: Arc::new(Semaphore::new(POOL_THREADS)) }
    }
}

impl Disk {
    /// Runs a blocking operation off the loop.
    fn off_the_loop<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> LocalFuture<'static, T> {
        let pool = Arc::clone(&self.pool);
        Box::pin(async move {
            let _place = pool.acquire_arc().await;
            smol::unblock(work).await
        })
    }
}

impl Files for Disk {
    fn read(&self, path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
        let file = File::open(path)?;
        let mut bytes = Vec::new();
        file.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > max_bytes {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {max_bytes} bytes")));
        }
        Ok(bytes)
    }

    fn read_at(&self, path: &Path, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match file.read(rest) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn size(&self, path: &Path) -> io::Result<u64> {
        fs::metadata(path).map(|meta| meta.len())
    }

    fn stamp(&self, path: &Path) -> io::Result<Stamp> {
        let meta = fs::metadata(path)?;
        let modified_ns = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
        let modified_ns = u128::try_from(modified_ns).unwrap_or(0);
        Ok(Stamp { modified_ns, size_bytes: meta.len(), file: meta.ino() })
    }

    fn real_path(&self, path: &Path) -> io::Result<PathBuf> {
        fs::canonicalize(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let meta = entry.metadata()?;
            entries.push(Entry {
                name: entry.file_name().to_string_lossy().into_owned(),
                is_dir: meta.is_dir(),
                size_bytes: if meta.is_dir() { 0 } else { meta.len() },
                modified_ms: u64::try_from(meta.mtime() * 1000 + meta.mtime_nsec() / 1_000_000).unwrap_or(0),
            });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(DIR_MODE).create(dir)
    }

    fn append(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        OpenOptions::new().append(true).create(true).mode(FILE_MODE).open(path)?.write_all(bytes)
    }

    fn truncate(&self, path: &Path, size_bytes: u64) -> io::Result<()> {
        OpenOptions::new().write(true).open(path)?.set_len(size_bytes)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn sync(&self, path: PathBuf) -> LocalFuture<'static, io::Result<()>> {
        self.off_the_loop(move || {
            File::open(&path)?.sync_all()?;
            sync_dir_of(&path)
        })
    }

    fn replace(&self, path: PathBuf, bytes: Vec<u8>) -> LocalFuture<'static, io::Result<()>> {
        self.off_the_loop(move || replace_now(&path, &bytes))
    }
}

/// The blocking part of [`Files::replace`], also for the command line before the loop runs.
///
/// # Errors
/// What the system says; the old content is in place then.
pub fn replace_now(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".");
    name.push(TEMPORARY_SUFFIX);
    let temporary = path.with_file_name(name);
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written?;
    sync_dir_of(path)
}

/// Makes the directory entry of `path` durable.
fn sync_dir_of(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => File::open(dir)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}
