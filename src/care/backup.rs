//! `barnacle backup`: one archive of configuration and state, while the gateway runs or not.
//!
//! The gateway only ever appends to a file or replaces it whole, so that one open file is one version of it, and
//! everything that was acknowledged before the backup began is in the first bytes that it had then. What belongs
//! together is in one directory (an index, its journals, the conversations): when a file of it was replaced or went
//! away while it was copied, the directory's files are copied again, and count instead. Nothing of the state is
//! changed, and the gateway isn't asked.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use super::archive::Writer;
use super::manifest::{CONFIG, FORMAT, Manifest, STATE, VERSION};
use crate::limits::{BACKUP_FILES, BACKUP_TRIES};
use crate::sys::tree::{self, Kind, Meta};

/// Directly below the state directory: what is no state, or only until the process ends.
const LEFT_OUT: [&str; 3] = ["lock", "logs", "restart-sentinel.json"];

/// What to copy.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The state directory.
    pub state_dir: PathBuf,
    /// The configuration file and the files that it includes.
    pub config: Vec<PathBuf>,
}

/// What came of it.
#[derive(Debug)]
pub struct Done {
    /// What is in the archive.
    pub manifest: Manifest,
    /// What is no file or directory and was left out.
    pub left_out: Vec<PathBuf>,
}

/// Who makes it, and when.
#[derive(Debug, Clone)]
pub struct Made {
    /// Now, milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// The machine's name.
    pub host: String,
}

/// Makes the archive `to`, which must not be there yet. It has its name only when it is whole.
///
/// # Errors
/// What went wrong, in words; nothing is left then.
pub fn make(sources: &Sources, to: &Path, made: &Made) -> Result<Done, String> {
    if tree::meta(to).is_ok() {
        return Err(format!("{} is there already; choose another name or remove it", to.display()));
    }
    let mut unfinished = to.as_os_str().to_os_string();
    unfinished.push(".unfinished");
    let unfinished = PathBuf::from(unfinished);
    crate::sys::host::remove(&unfinished).map_err(|error| format!("{}: {error}", unfinished.display()))?;
    let done = write(sources, to, &unfinished, made);
    if done.is_err() {
        // What is wrong has been said; a half of an archive helps nobody.
        let _ = crate::sys::host::remove(&unfinished);
    }
    done
}

fn write(sources: &Sources, to: &Path, unfinished: &Path, made: &Made) -> Result<Done, String> {
    let no_write = |error: io::Error| format!("cannot write {}: {error}", to.display());
    let file = tree::create(unfinished).map_err(no_write)?;
    let own = [to, unfinished].map(absolute);
    let mut copy = Copy {
        writer: Writer::new(file, made.now_ms / 1000),
        root: &sources.state_dir,
        own,
        copied: BTreeMap::new(),
        left_out: BTreeSet::new(),
    };
    copy.state()?;
    let mut config_file = None;
    for path in &sources.config {
        let name = path.file_name().and_then(|name| name.to_str());
        let Some(below) = name.map(|name| below_config(&sources.config, path, name)) else { continue };
        let mut file = match tree::open_named(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other.map_err(|error| format!("cannot read {}: {error}", path.display()))?,
        };
        let bytes = tree::meta_of(&file).map_err(|error| format!("{}: {error}", path.display()))?.size_bytes;
        copy.writer
            .add(&format!("{CONFIG}/{below}"), &mut file, bytes)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        config_file.get_or_insert(below);
    }
    let manifest = Manifest {
        format: FORMAT.to_owned(),
        version: VERSION,
        program: crate::VERSION.to_owned(),
        made: crate::stores::stamp::iso(made.now_ms),
        host: made.host.clone(),
        config_file,
        files: BTreeMap::new(),
    };
    let Copy { writer, left_out, .. } = copy;
    let manifest = writer.finish(manifest).map_err(no_write)?;
    tree::rename(unfinished, to).map_err(no_write)?;
    Ok(Done { manifest, left_out: left_out.into_iter().collect() })
}

/// The configuration file by its name, an included one by its path beside it.
fn below_config(config: &[PathBuf], path: &Path, name: &str) -> String {
    let dir = config.first().and_then(|first| first.parent());
    let below = dir.and_then(|dir| path.strip_prefix(dir).ok()).and_then(|below| below.to_str());
    below.unwrap_or(name).to_owned()
}

fn absolute(path: &Path) -> PathBuf {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let dir = crate::sys::Files::real_path(&crate::sys::disk::Disk::default(), dir).unwrap_or_else(|_| dir.into());
    dir.join(path.file_name().unwrap_or_default())
}

/// The state on its way into the archive.
struct Copy<'a> {
    writer: Writer,
    root: &'a Path,
    /// The archive itself, should it lie in the state directory.
    own: [PathBuf; 2],
    /// Which file was copied under each name.
    copied: BTreeMap<PathBuf, u64>,
    left_out: BTreeSet<PathBuf>,
}

impl Copy<'_> {
    /// Copies until nothing that was copied has been replaced since.
    fn state(&mut self) -> Result<(), String> {
        for _ in 0..BACKUP_TRIES {
            let now = self.list()?;
            let stale = self.stale_dirs(&now);
            if stale.is_empty() && !self.copied.is_empty() {
                return Ok(());
            }
            self.copy(&now, &stale)?;
            if now.is_empty() {
                return Ok(());
            }
        }
        Err(format!(
            "the state changes faster than it can be copied ({BACKUP_TRIES} tries); try again when less happens"
        ))
    }

    fn list(&mut self) -> Result<BTreeMap<PathBuf, Meta>, String> {
        let root = absolute(self.root);
        let found = tree::walk(self.root, BACKUP_FILES, |path| is_state(path) && !self.own.contains(&root.join(path)));
        let found = match found {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            other => other.map_err(|error| format!("cannot read {}: {error}", self.root.display()))?,
        };
        self.left_out.extend(found.iter().filter(|(_, meta)| meta.kind == Kind::Other).map(|(path, _)| path.clone()));
        Ok(found.into_iter().filter(|(_, meta)| meta.kind == Kind::File).collect())
    }

    /// Directories in which a copied file is another one now, or gone.
    fn stale_dirs(&self, now: &BTreeMap<PathBuf, Meta>) -> BTreeSet<PathBuf> {
        let is_stale = |path: &PathBuf, file: u64| now.get(path).is_none_or(|meta| meta.file != file);
        self.copied
            .iter()
            .filter(|(path, file)| is_stale(path, **file))
            .map(|(path, _)| path.parent().map(Path::to_path_buf).unwrap_or_default())
            .collect()
    }

    /// Copies the stale directories anew; at the first time, everything.
    fn copy(&mut self, now: &BTreeMap<PathBuf, Meta>, stale: &BTreeSet<PathBuf>) -> Result<(), String> {
        let is_first = self.copied.is_empty();
        let is_wanted = |path: &Path| is_first || path.parent().is_some_and(|dir| stale.contains(dir));
        let old: Vec<_> = self.copied.keys().filter(|path| is_wanted(path)).cloned().collect();
        for path in old {
            self.copied.remove(&path);
            self.writer.forget(&member(&path)?);
        }
        // Each is opened before the next is read, so that a copy is of one moment as far as that is possible. All of
        // a directory's journals come before its index: an index that is newer than them only says more.
        for (path, _) in now.iter().filter(|(path, _)| is_wanted(path)) {
            let failed = |error: io::Error| format!("cannot copy {}: {error}", path.display());
            let mut file = match tree::open(&self.root.join(path)) {
                // The next look finds out what it was about.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.copied.insert(path.clone(), 0);
                    continue;
                }
                other => other.map_err(failed)?,
            };
            let meta = tree::meta_of(&file).map_err(failed)?;
            self.writer.add(&member(path)?, &mut file, meta.size_bytes).map_err(failed)?;
            self.copied.insert(path.clone(), meta.file);
        }
        Ok(())
    }
}

/// What a file of the state is called in the archive.
fn member(path: &Path) -> Result<String, String> {
    let name = path.to_str().ok_or_else(|| format!("the name of {} is no text", path.display()))?;
    Ok(format!("{STATE}/{name}"))
}

/// Whether a file below the state directory is kept: not what is half written, nor what others put beside.
fn is_state(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let is_left_out = path.components().count() == 1 && LEFT_OUT.contains(&name);
    let is_half = name.ends_with(".tmp") || name.starts_with(".barnacle-trial-") || name == "sessions.json.new";
    !is_left_out && !is_half
}

#[cfg(test)]
#[path = "backup_tests.rs"]
mod tests;
