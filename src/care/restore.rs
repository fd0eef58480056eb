//! `barnacle restore`: brings a backup back. Everything is checked before anything is touched, written beside what is
//! there, and put in its place by renames; what was there is kept.

use std::io;
use std::path::{Path, PathBuf};

use super::archive;
use super::manifest::{CONFIG, Manifest, STATE};
use crate::stores::stamp;
use crate::sys::disk::Disk;
use crate::sys::instance::{Instance, Taken};
use crate::sys::tree::{self, Kind};
use crate::sys::{Files as _, host};

/// Where to.
#[derive(Debug, Clone)]
pub struct Places {
    /// The state directory.
    pub state_dir: PathBuf,
    /// The configuration file.
    pub config_file: PathBuf,
}

/// What came of it.
#[derive(Debug)]
pub struct Done {
    /// What was in the archive.
    pub manifest: Manifest,
    /// What was there before, under its new name.
    pub kept: Vec<PathBuf>,
}

/// Checks the archive and brings it back. `now_ms` names what was there before.
///
/// # Errors
/// What is wrong, in words; nothing has changed then, unless it says so.
pub fn restore(archive: &Path, places: &Places, now_ms: u64) -> Result<Done, String> {
    let named = |fault: String| format!("{}: {fault}; nothing was changed", archive.display());
    let manifest = archive::check(archive).map_err(named)?;
    // systemd may have put a link where the state seems to be: what it leads to is put aside.
    let state_dir = Disk::default().real_path(&places.state_dir).unwrap_or_else(|_| places.state_dir.clone());
    let places = &Places { state_dir, config_file: places.config_file.clone() };
    let before = meta_of_dir(&places.state_dir).map_err(|fault| format!("{fault}; nothing was changed"))?;
    // Held until the end: no gateway starts meanwhile.
    let _lock = match &before {
        Some(_) => Some(Instance::take(&places.state_dir).map_err(|taken| refused(&taken, &places.state_dir))?),
        None => None,
    };
    let new_dir = beside(&places.state_dir, ".restoring-", now_ms)?;
    let unpacked = unpack(archive, &manifest, &new_dir, before.map(|meta| meta.owner));
    let swapped = unpacked.and_then(|()| swap(&new_dir, &places.state_dir, before.is_some(), now_ms));
    if swapped.is_err() {
        // What is wrong is said; the rest of it is of no use.
        let _ = tree::remove_tree(&new_dir);
    }
    let mut kept: Vec<_> = swapped.map_err(named)?.into_iter().collect();
    kept.extend(
        config(archive, &manifest, &places.config_file, now_ms)
            .map_err(|fault| format!("the state was brought back, but not the configuration: {fault}"))?,
    );
    Ok(Done { manifest, kept })
}

fn meta_of_dir(dir: &Path) -> Result<Option<tree::Meta>, String> {
    match tree::meta(dir) {
        Ok(meta) if meta.kind == Kind::Directory => Ok(Some(meta)),
        Ok(_) => Err(format!("{} is no directory; name the state directory with --state-dir", dir.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{}: {error}", dir.display())),
    }
}

fn refused(taken: &Taken, dir: &Path) -> String {
    match taken {
        Taken::By(pid) => {
            let pid = pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
            format!("a gateway{pid} uses {}; stop it first: `systemctl stop barnacle`", dir.display())
        }
        Taken::Error(error) => format!("{}: {error}", dir.display()),
    }
}

/// A name beside a directory or file that nothing has yet.
fn beside(path: &Path, suffix: &str, now_ms: u64) -> Result<PathBuf, String> {
    stamp::free_name(&Disk::default(), path, suffix, now_ms).map_err(|error| format!("{}: {error}", path.display()))
}

fn unpack(archive: &Path, manifest: &Manifest, dir: &Path, owner: Option<(u32, u32)>) -> Result<(), String> {
    let failed = |error: io::Error| format!("cannot write {}: {error}", dir.display());
    tree::create_dir(dir).map_err(failed)?;
    archive::unpack(archive, manifest, |name| Some(dir.join(name.strip_prefix(STATE)?.strip_prefix('/')?)))?;
    let everything = tree::walk(dir, usize::MAX, |_| true).map_err(failed)?;
    let dirs = everything.iter().filter(|(_, meta)| meta.kind == Kind::Directory).map(|(path, _)| dir.join(path));
    for path in dirs.chain([dir.to_path_buf()]) {
        tree::sync_dir(Some(&path)).map_err(failed)?;
    }
    // Root brings it back for the one who runs the gateway.
    if let Some(owner) = owner.filter(|owner| host::is_root() && *owner != tree::own_ids()) {
        for path in everything.iter().map(|(path, _)| dir.join(path)).chain([dir.to_path_buf()]) {
            tree::set_owner(&path, owner).map_err(failed)?;
        }
    }
    Ok(())
}

/// Puts the new directory in the old one's place.
fn swap(new: &Path, dir: &Path, was_there: bool, now_ms: u64) -> Result<Option<PathBuf>, String> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::ResourceBusy | io::ErrorKind::CrossesDevices => format!(
            "{} is a mount point, which can't be put aside as a whole; restore into a directory below it with \
             --state-dir and move its content",
            dir.display()
        ),
        _ => format!("{} can't be put aside: {error}", dir.display()),
    };
    if !was_there {
        tree::rename(new, dir).map_err(failed)?;
        return Ok(None);
    }
    let old = beside(dir, ".before-restore-", now_ms)?;
    tree::rename(dir, &old).map_err(failed)?;
    if let Err(error) = tree::rename(new, dir) {
        let back = tree::rename(&old, dir);
        let state = if back.is_ok() { "is as it was".to_owned() } else { format!("is in {}", old.display()) };
        return Err(format!("the new state can't be put in place: {error}; the old one {state}"));
    }
    Ok(Some(old))
}

/// The configuration and what it includes, each with its former text kept beside it.
fn config(archive: &Path, manifest: &Manifest, file: &Path, now_ms: u64) -> Result<Vec<PathBuf>, String> {
    let Some(main) = &manifest.config_file else { return Ok(Vec::new()) };
    let dir = file.parent().map(Path::to_path_buf).unwrap_or_default();
    let to = |name: &str| {
        let below = name.strip_prefix(CONFIG)?.strip_prefix('/')?;
        Some(if below == main { file.to_path_buf() } else { dir.join(below) })
    };
    let fresh = |path: &Path| {
        let mut name = path.as_os_str().to_os_string();
        name.push(".restoring");
        PathBuf::from(name)
    };
    let owner = tree::meta(file).or_else(|_| tree::meta(&dir)).ok().map(|meta| (meta.owner, meta.mode));
    archive::unpack(archive, manifest, |name| to(name).map(|path| fresh(&path)))?;
    let mut kept = Vec::new();
    for path in manifest.files.keys().filter_map(|name| to(name)) {
        let failed = |error: io::Error| format!("{}: {error}", path.display());
        let new = fresh(&path);
        if same(&path, &new) {
            host::remove(&new).map_err(failed)?;
            continue;
        }
        if let Some((owner, _)) = owner.filter(|(owner, _)| host::is_root() && *owner != tree::own_ids()) {
            tree::set_owner(&new, owner).map_err(failed)?;
        }
        if let Ok(meta) = tree::meta(&path) {
            tree::set_mode(&new, meta.mode & 0o640).map_err(failed)?;
            let old = beside(&path, ".before-restore-", now_ms)?;
            tree::rename(&path, &old).map_err(failed)?;
            kept.push(old);
        }
        tree::rename(&new, &path).map_err(failed)?;
    }
    Ok(kept)
}

fn same(one: &Path, other: &Path) -> bool {
    let read = |path: &Path| Disk::default().read(path, crate::limits::CONFIG_BYTES).ok();
    read(one).is_some_and(|text| read(other).as_ref() == Some(&text))
}
