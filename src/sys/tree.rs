//! Whole trees of files, for the commands that look after a gateway: walk them, copy them, look at modes and space,
//! put one directory in another's place. The gateway itself uses none of it.
#![allow(clippy::disallowed_methods, reason = "commands that copy state can't hold it in memory")]

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use rustix::fs::{StatVfsMountFlags, statvfs};

/// What something in a tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link, a socket, a device.
    Other,
}

/// What is known of it without reading it. Symbolic links are not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// What it is.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u32,
    /// Who owns it: user and group.
    pub owner: (u32, u32),
    /// Size in bytes.
    pub size_bytes: u64,
    /// Which file it is: another one after a replacement.
    pub file: u64,
    /// Last change, seconds since the Unix epoch.
    pub modified_s: i64,
}

impl Meta {
    fn of(meta: &fs::Metadata) -> Self {
        let kind = match meta.file_type() {
            kind if kind.is_file() => Kind::File,
            kind if kind.is_dir() => Kind::Directory,
            _ => Kind::Other,
        };
        Self {
            kind,
            mode: meta.mode() & 0o7777,
            owner: (meta.uid(), meta.gid()),
            size_bytes: meta.len(),
            file: meta.ino(),
            modified_s: meta.mtime(),
        }
    }
}

/// What is under that name.
///
/// # Errors
/// `NotFound`; what the system says.
pub fn meta(path: &Path) -> io::Result<Meta> {
    fs::symlink_metadata(path).map(|meta| Meta::of(&meta))
}

/// What an open file is.
///
/// # Errors
/// What the system says.
pub fn meta_of(file: &File) -> io::Result<Meta> {
    file.metadata().map(|meta| Meta::of(&meta))
}

/// Everything below `dir` by its path there, in order of names, without `dir` itself; what goes away meanwhile is
/// left out. `wanted` says what is entered and listed.
///
/// # Errors
/// What the system says; `FileTooLarge` for more than `max` entries.
pub fn walk(dir: &Path, max: usize, wanted: impl Fn(&Path) -> bool) -> io::Result<Vec<(PathBuf, Meta)>> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::new()];
    while let Some(below) = open.pop() {
        let entries = match fs::read_dir(dir.join(&below)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !below.as_os_str().is_empty() => continue,
            other => other?,
        };
        for entry in entries {
            let path = below.join(entry?.file_name());
            if !wanted(&path) {
                continue;
            }
            let meta = match meta(&dir.join(&path)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            };
            if meta.kind == Kind::Directory {
                open.push(path.clone());
            }
            found.push((path, meta));
            if found.len() > max {
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {max} files")));
            }
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}

/// Opens a file for reading. A symbolic link as the last part of the path is refused.
///
/// # Errors
/// `NotFound`; what the system says.
pub fn open(path: &Path) -> io::Result<File> {
    // O_NONBLOCK, so that a named pipe doesn't hold us up.
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    OpenOptions::new().read(true).custom_flags(i32::try_from(flags.bits()).unwrap_or(0)).open(path)
}

/// Opens a file that the owner of this process named, links and pipes included.
///
/// # Errors
/// `NotFound`; what the system says.
pub fn open_named(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// Makes a file that wasn't there, readable by its owner only.
///
/// # Errors
/// `AlreadyExists`; what the system says.
pub fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Makes a directory and those above it, for their owner only.
///
/// # Errors
/// What the system says.
pub fn create_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Renames; the new name is on the medium afterwards.
///
/// # Errors
/// What the system says.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_dir(to.parent())
}

/// Puts the names in a directory on the medium.
///
/// # Errors
/// What the system says.
pub fn sync_dir(dir: Option<&Path>) -> io::Result<()> {
    let dir = dir.filter(|dir| !dir.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    File::open(dir)?.sync_all()
}

/// Removes a directory with all that is in it; fine if it is gone.
///
/// # Errors
/// What the system says.
pub fn remove_tree(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Copies a file, with these permission bits, over what has that name; on the medium afterwards.
///
/// # Errors
/// What the system says.
pub fn copy(from: &Path, to: &Path, mode: u32) -> io::Result<()> {
    match fs::remove_file(to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut target = OpenOptions::new().write(true).create_new(true).mode(mode).open(to)?;
    io::copy(&mut File::open(from)?, &mut target)?;
    // The process's mask may have taken bits away.
    target.set_permissions(Permissions::from_mode(mode))?;
    target.sync_all()
}

/// Sets permission bits.
///
/// # Errors
/// What the system says.
pub fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Gives a file to somebody; root alone may.
///
/// # Errors
/// What the system says.
pub fn set_owner(path: &Path, owner: (u32, u32)) -> io::Result<()> {
    chown(path, Some(owner.0), Some(owner.1))
}

/// Who runs this process: user and group.
#[must_use]
pub fn own_ids() -> (u32, u32) {
    (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
}

/// The file system on which something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes for which there is room.
    pub free_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
    /// Files for which there is room, and files in all; zero of both where that has no bound.
    pub free_files: (u64, u64),
    /// Whether it is mounted for reading only.
    pub is_read_only: bool,
}

/// Asks about it.
///
/// # Errors
/// What the system says.
pub fn space(path: &Path) -> io::Result<Space> {
    let found = statvfs(path)?;
    Ok(Space {
        free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
        total_bytes: found.f_blocks.saturating_mul(found.f_frsize),
        free_files: (found.f_favail, found.f_files),
        is_read_only: found.f_flag.contains(StatVfsMountFlags::RDONLY),
    })
}

/// Whether files can be made in a directory: makes one and removes it.
///
/// # Errors
/// What the system says.
pub fn try_write(dir: &Path) -> io::Result<()> {
    let path = dir.join(format!(".barnacle-trial-{}", std::process::id()));
    let made = create(&path).and_then(|mut file| {
        use std::io::Write as _;
        file.write_all(b"trial\n")
    });
    fs::remove_file(&path).and(made)
}
