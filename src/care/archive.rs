//! Archives: a compressed tar file that is written in one go and read in one go. Any other program can read one too;
//! a member that comes twice counts as it came last, as `tar` does it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;
use ring::digest::{Context, SHA256};

use super::manifest::{self, Manifest, Member, is_inside};
use crate::limits::{BACKUP_FILES, BACKUP_MANIFEST_BYTES};
use crate::sys::tree::{self, Kind};

/// Bytes copied at once.
const BLOCK_BYTES: usize = 64 * 1024;

/// An archive that is being written.
pub struct Writer {
    tar: tar::Builder<GzEncoder<BufWriter<File>>>,
    files: BTreeMap<String, Member>,
    now_s: u64,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("files", &self.files.len()).finish_non_exhaustive()
    }
}

impl Writer {
    /// Into that file; `now_s` is the time of its members.
    #[must_use]
    pub fn new(file: File, now_s: u64) -> Self {
        let packed = GzEncoder::new(BufWriter::new(file), Compression::new(6));
        Self { tar: tar::Builder::new(packed), files: BTreeMap::new(), now_s }
    }

    /// Adds the first `bytes` of a file. A file that has become shorter meanwhile is an error.
    ///
    /// # Errors
    /// What the system says; `UnexpectedEof`.
    pub fn add(&mut self, name: &str, file: &mut File, bytes: u64) -> io::Result<()> {
        let mut counted = Hashing::new(file.take(bytes));
        self.tar.append_data(&mut header(bytes, self.now_s), name, &mut counted)?;
        if counted.bytes != bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.files.insert(name.to_owned(), counted.member());
        Ok(())
    }

    /// A member that was added no longer counts: its file is gone.
    pub fn forget(&mut self, name: &str) {
        self.files.remove(name);
    }

    /// Which members count.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// Writes the manifest, to whose files those that were added come; the archive is on the medium then.
    ///
    /// # Errors
    /// What the system says.
    pub fn finish(mut self, mut manifest: Manifest) -> io::Result<Manifest> {
        manifest.files = self.files;
        let text = serde_json::to_vec_pretty(&manifest)?;
        self.tar.append_data(&mut header(text.len() as u64, self.now_s), manifest::NAME, text.as_slice())?;
        let mut packed = self.tar.into_inner()?;
        packed.try_finish()?;
        let mut buffered = packed.finish()?;
        buffered.flush()?;
        buffered.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        Ok(manifest)
    }
}

fn header(bytes: u64, now_s: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o600);
    header.set_size(bytes);
    header.set_mtime(now_s);
    header
}

/// Reads a whole archive and checks every byte of it.
///
/// # Errors
/// What is wrong with it, in words.
pub fn check(path: &Path) -> Result<Manifest, String> {
    let mut found = BTreeMap::new();
    let mut manifest = None;
    each(path, |name, mut content| {
        if name == manifest::NAME {
            let mut text = Vec::new();
            content.take(BACKUP_MANIFEST_BYTES + 1).read_to_end(&mut text).map_err(damaged)?;
            let read: Manifest =
                serde_json::from_slice(&text).map_err(|error| format!("its manifest can't be read: {error}"))?;
            manifest = Some(read);
            return Ok(());
        }
        let mut counted = Hashing::new(&mut content);
        io::copy(&mut counted, &mut io::sink()).map_err(damaged)?;
        found.insert(name.to_owned(), counted.member());
        if found.len() > BACKUP_FILES { Err(format!("it has more than {BACKUP_FILES} files")) } else { Ok(()) }
    })?;
    let manifest = manifest.ok_or("it has no manifest: it isn't a backup of Barnacle's, or not all of it")?;
    if let Some(fault) = manifest.fault() {
        return Err(fault);
    }
    for (name, member) in &manifest.files {
        match found.get(name) {
            None => return Err(format!("{name} is missing")),
            Some(other) if other != member => return Err(format!("{name} is damaged")),
            Some(_) => {}
        }
    }
    Ok(manifest)
}

/// Writes the members that the manifest names to where `place` wants them; each file is on the medium afterwards.
///
/// # Errors
/// What is wrong, in words.
pub fn unpack(path: &Path, manifest: &Manifest, place: impl Fn(&str) -> Option<PathBuf>) -> Result<(), String> {
    each(path, |name, content| {
        let Some((member, to)) = manifest.files.get(name).zip(place(name)) else { return Ok(()) };
        let failed = |error: io::Error| format!("cannot write {}: {error}", to.display());
        if let Some(dir) = to.parent() {
            tree::create_dir(dir).map_err(failed)?;
        }
        if tree::meta(&to).is_ok_and(|meta| meta.kind == Kind::File) {
            crate::sys::host::remove(&to).map_err(failed)?;
        }
        let mut file = tree::create(&to).map_err(failed)?;
        let mut counted = Hashing::new(content);
        io::copy(&mut counted, &mut file).and_then(|_| file.sync_all()).map_err(failed)?;
        // An older copy of a file that changed while the backup was made; the right one comes later.
        if counted.member() != *member {
            crate::sys::host::remove(&to).map_err(failed)?;
        }
        Ok(())
    })?;
    for name in manifest.files.keys() {
        if let Some(to) = place(name) {
            tree::meta(&to).map_err(|_| format!("{name} is damaged"))?;
        }
    }
    Ok(())
}

/// Goes through the members; every name is one that stays inside.
fn each(path: &Path, mut visit: impl FnMut(&str, &mut dyn Read) -> Result<(), String>) -> Result<(), String> {
    let file = tree::open_named(path).map_err(|error| format!("it can't be read: {error}"))?;
    let mut tar = tar::Archive::new(GzDecoder::new(BufReader::with_capacity(BLOCK_BYTES, file)));
    for entry in tar.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let path = entry.path().map_err(damaged)?.into_owned();
        let name = path.to_str().ok_or("a name in it is no text")?.to_owned();
        if entry.header().entry_type() != tar::EntryType::Regular {
            return Err(format!("{name:?} in it is no file"));
        }
        if name != manifest::NAME && !is_inside(&name) {
            return Err(format!("{name:?} leads out of the archive"));
        }
        visit(&name, &mut entry)?;
    }
    // To the very end: the compression's own check sum is the last thing in it.
    io::copy(&mut tar.into_inner(), &mut io::sink()).map_err(damaged)?;
    Ok(())
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn damaged(error: io::Error) -> String {
    format!("it is damaged or not a backup: {error}")
}

/// Counts and hashes what is read through it.
struct Hashing<R> {
    inner: R,
    hash: Context,
    bytes: u64,
}

impl<R: Read> Hashing<R> {
    fn new(inner: R) -> Self {
        Self { inner, hash: Context::new(&SHA256), bytes: 0 }
    }

    fn member(self) -> Member {
        Member { bytes: self.bytes, sha256: data_encoding::HEXLOWER.encode(self.hash.finish().as_ref()) }
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hash.update(buffer.get(..count).unwrap_or_default());
        self.bytes += count as u64;
        Ok(count)
    }
}
