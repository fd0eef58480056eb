//! One gateway a state directory: a lock that the system lets go when the process ends, however it ends.
#![allow(clippy::disallowed_methods, reason = "opens the lock file, which is no state")]

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

/// Name of the lock file in the state directory.
const NAME: &str = "lock";

/// The lock; let go when dropped.
#[derive(Debug)]
pub struct Instance {
    _file: File,
}

/// Why the directory can't be had.
#[derive(Debug)]
pub enum Taken {
    /// Another process has it; its pid, if it could be read.
    By(Option<u32>),
    /// What the system says.
    Error(io::Error),
}

impl Instance {
    /// Takes the directory for this process.
    ///
    /// # Errors
    /// [`Taken`].
    pub fn take(state_dir: &Path) -> Result<Self, Taken> {
        let path = state_dir.join(NAME);
        let mut options = OpenOptions::new();
        let mut file = match options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path) {
            // A medium that was mounted for reading only after trouble: the lock that is there can be taken.
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                File::open(&path).map_err(Taken::Error)?
            }
            other => other.map_err(Taken::Error)?,
        };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut text = String::new();
                // Without its pid the refusal is less helpful, but as right.
                let _ = file.take(32).read_to_string(&mut text);
                return Err(Taken::By(text.trim().parse().ok()));
            }
            Err(error) => return Err(Taken::Error(error.into())),
        }
        // A full disk doesn't keep the gateway from starting: without its pid the refusal of a second one is less
        // helpful, but as right.
        let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self { _file: file })
    }
}
