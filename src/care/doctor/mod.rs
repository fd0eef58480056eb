//! `barnacle doctor`: what could be wrong with this gateway and its machine, and the command that mends it.
//!
//! Each check is a row of [`CHECKS`] and a function that looks and changes nothing. What may be mended without asking
//! is a [`Fix`] in its finding; [`examine`] applies it when the owner wants that.

mod configuration;
pub mod finding;
pub mod ground;
mod machine;
mod outside;
mod permissions;
mod service;
mod state;

use finding::{Finding, Fix, Level};
use ground::Ground;

use crate::sys::{Files as _, host, tree};

/// One thing that is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    /// One word.
    pub name: &'static str,
    /// What it looks at.
    pub looks_at: &'static str,
    look: fn(&Ground) -> Vec<Finding>,
}

/// Every check, in the order in which they are told.
pub const CHECKS: &[Check] = &[
    Check {
        name: "configuration",
        looks_at: "the file and what it includes: mistakes, keys without effect",
        look: configuration::text,
    },
    Check { name: "secrets", looks_at: "who may read the configuration", look: configuration::secrets },
    Check { name: "permissions", looks_at: "who may read and write the state directory", look: permissions::look },
    Check { name: "gateway", looks_at: "whether it runs and is well, and who has its port", look: outside::gateway },
    Check { name: "clock", looks_at: "the time, and whether a time server sets it", look: machine::clock },
    Check { name: "disk", looks_at: "room on the disk, and whether it can be written", look: machine::disk },
    Check { name: "medium", looks_at: "whether the state outlives a restart of the machine", look: machine::medium },
    Check { name: "memory", looks_at: "the gateway's limits against the board's memory", look: machine::memory },
    Check { name: "cgroup", looks_at: "whether the kernel can limit memory", look: machine::cgroup },
    Check {
        name: "landlock",
        looks_at: "whether the kernel can keep programs out of directories",
        look: machine::landlock,
    },
    Check { name: "power", looks_at: "a Raspberry Pi's supply and temperature", look: machine::power },
    Check {
        name: "models",
        looks_at: "keys of the models in use, and whether their servers answer",
        look: outside::models,
    },
    Check { name: "channels", looks_at: "services where people write", look: outside::channels },
    Check { name: "pairing", looks_at: "devices and people who wait to be let in", look: outside::pairing },
    Check { name: "tailscale", looks_at: "its daemon, and Serve", look: outside::tailscale },
    Check {
        name: "service",
        looks_at: "the unit of systemd: installed, enabled, running, watched",
        look: service::look,
    },
    Check { name: "state", looks_at: "files that don't load, and those that were put aside", look: state::files },
    Check { name: "leftovers", looks_at: "half-written files", look: state::leftovers },
    Check { name: "log", looks_at: "the log files' place and size", look: state::log },
];

/// What a check found.
#[derive(Debug)]
pub struct Report {
    /// The check.
    pub check: Check,
    /// What it found; at least one.
    pub findings: Vec<Finding>,
}

impl Report {
    /// The worst of what was found.
    #[must_use]
    pub fn level(&self) -> Level {
        self.findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok)
    }
}

/// Does every check; with `mend`, applies what is safe.
#[must_use]
pub fn examine(ground: &Ground, mend: bool) -> Vec<Report> {
    CHECKS
        .iter()
        .map(|check| {
            let mut findings = (check.look)(ground);
            if mend {
                findings.iter_mut().for_each(apply);
            }
            Report { check: *check, findings }
        })
        .collect()
}

/// Applies a finding's fix and says what was done.
fn apply(finding: &mut Finding) {
    let Some(fix) = finding.fix.take() else { return };
    let disk = crate::sys::disk::Disk::default();
    let (done, what) = match &fix {
        Fix::Mode(path, mode) => (tree::set_mode(path, *mode), format!("mode {mode:o} set on {}", path.display())),
        Fix::MakeDir(path) => (disk.create_dir(path), format!("{} made", path.display())),
        Fix::Remove(path) => (host::remove(path), format!("{} removed", path.display())),
    };
    *finding = match done {
        Ok(()) => Finding { level: Level::Note, what: format!("mended: {what}"), mend: None, fix: None },
        Err(error) => Finding { what: format!("{}; mending it failed: {error}", finding.what), ..finding.clone() },
    };
}

#[cfg(test)]
mod tests;
