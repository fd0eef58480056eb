//! What a command that sets up this machine needs: who it is, where its own program is, and files that other programs
//! read.
#![allow(clippy::disallowed_methods, reason = "files for other programs, which are no state")]

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Mode of a file that anybody may read.
const FILE_MODE: u32 = 0o644;
/// Mode of a directory that anybody may look into.
const DIR_MODE: u32 = 0o755;

/// The file of the program that runs.
///
/// # Errors
/// What the system says.
pub fn own_program() -> io::Result<PathBuf> {
    std::env::current_exe()
}

/// The machine's name.
#[must_use]
pub fn name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Whether the process may do everything here.
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Writes a file that anybody may read, whole or not at all, with the directories above it.
///
/// # Errors
/// What the system says.
pub fn write_public(path: &Path, text: &str) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(DIR_MODE).create(dir)?;
    }
    let temporary = path.with_extension("new");
    // One that was left by a power cut may have any mode.
    remove(&temporary)?;
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

/// Whether there is something under that name.
#[must_use]
pub fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Removes a file; fine if it isn't there.
///
/// # Errors
/// What the system says.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
