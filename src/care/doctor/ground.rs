//! What the checks stand on: where things are, what the gateway says, and how other programs are asked.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;

use crate::config::Config;
use crate::config::file::{LoadError, Loaded};
use crate::config::first_start::Places;
use crate::sys::disk::Disk;
use crate::sys::processes::{Finished, Processes, Program};
use crate::sys::{Clock, Files as _};

/// Longest wait for another program or machine.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// Most output of a program that is looked at.
const OUTPUT_BYTES: usize = 256 * 1024;
/// Most of a file of the system that is looked at.
const SYSTEM_FILE_BYTES: u64 = 256 * 1024;

/// What the gateway says.
#[derive(Debug, Clone)]
pub enum Online {
    /// It answers: `health`, `channels.status`, `device.pair.list` and `channels.pair.list`.
    Yes {
        /// health
        health: Value,
        /// channels.status
        channels: Value,
        /// device.pair.list
        devices: Value,
        /// channels.pair.list
        people: Value,
    },
    /// Nobody listens.
    Nobody,
    /// Somebody listens, but it didn't come to an answer.
    Trouble(String),
}

/// The ground.
pub struct Ground {
    /// Where things are.
    pub places: Places,
    /// The environment.
    pub env: BTreeMap<String, String>,
    /// The configuration.
    pub loaded: Result<Loaded, LoadError>,
    /// The gateway.
    pub online: Online,
    /// Time.
    pub clock: Rc<dyn Clock>,
    /// Other programs.
    pub processes: Rc<dyn Processes>,
    /// Where the system's own files are; `/` but in tests.
    pub root: std::path::PathBuf,
}

impl fmt::Debug for Ground {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ground").field("places", &self.places).finish_non_exhaustive()
    }
}

impl Ground {
    /// The configuration, if it can be read.
    #[must_use]
    pub fn config(&self) -> Option<&Config> {
        self.loaded.as_ref().ok().map(|loaded| &loaded.config)
    }

    /// Whether a gateway uses the state directory now.
    #[must_use]
    pub fn is_running(&self) -> bool {
        !matches!(self.online, Online::Nobody)
    }

    /// Runs a program to its end; `None` when it isn't there or doesn't end in time.
    pub fn run(&self, argv: &[&str]) -> Option<Finished> {
        let session = ["XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"];
        let program = Program {
            argv: argv.iter().map(|word| (*word).to_owned()).collect(),
            dir: None,
            env: session.iter().filter_map(|name| Some(((*name).to_owned(), self.env.get(*name)?.clone()))).collect(),
            limit: PATIENCE,
            output_bytes: OUTPUT_BYTES,
            on_line: None,
            sandbox: None,
        };
        smol::block_on(self.processes.run(program)).ok()
    }

    /// A file that the system writes, such as `proc/meminfo`.
    #[must_use]
    pub fn system_file(&self, path: &str) -> Option<String> {
        let bytes = Disk::default().read(&self.root.join(path), SYSTEM_FILE_BYTES).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Whether the state directory is there.
    #[must_use]
    pub fn has_state(&self) -> bool {
        crate::sys::host::is_there(&self.places.state_dir)
    }

    /// A path as it is typed in a shell.
    #[must_use]
    pub fn quoted(path: &Path) -> String {
        let text = path.display().to_string();
        let is_plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+@:,".contains(c));
        if is_plain { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
    }
}
