//! A cage for other programs, made by the kernel (Landlock): they read the system, write where they are told, and see
//! nothing of the gateway's own files and processes. Without the kernel's help nothing runs.
//!
//! The gateway starts itself as `barnacle sandbox-exec …`, which puts itself into the cage and becomes the program: so
//! no code runs between a fork and an exec.
#![allow(clippy::disallowed_methods, reason = "it is a process of its own, and ends by becoming another")]

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, RulesetAttr, RulesetCreatedAttr, RulesetError,
    RulesetStatus, Scope,
};
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::limits::{SANDBOX_FILE_BYTES, SANDBOX_FILES};

/// The word that starts this instead of the gateway's command line.
pub const COMMAND: &str = "sandbox-exec";
/// Exit code when the program could not be put into the cage.
pub const FAILED: u8 = 125;
/// What every program may read and run: the system, but not what is somebody's own.
const SYSTEM: [&str; 9] =
    ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc", "/opt", "/run/systemd/resolve", "/nix/store"];
/// What of `/proc` it may read: the machine and itself, but not other processes, whose environment may hold secrets.
const PROC: [&str; 8] = [
    "/proc/cpuinfo",
    "/proc/filesystems",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/self",
    "/proc/stat",
    "/proc/uptime",
    "/proc/version",
];
/// What every program may write to.
const DEVICES: [&str; 7] =
    ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/shm"];
/// The oldest kernel's rules that must hold; what newer ones add is taken where it is there.
const REQUIRED: ABI = ABI::V1;
const WISHED: ABI = ABI::V6;

/// What a program may do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sandbox {
    /// Directories that it may change.
    pub writable: Vec<PathBuf>,
    /// Files and directories that it must not see, though they lie where it may read.
    pub hidden: Vec<PathBuf>,
}

impl Sandbox {
    /// The arguments of `barnacle` that run `program` in this cage.
    #[must_use]
    pub fn arguments(&self, program: &Path) -> Vec<OsString> {
        let mut arguments = vec![OsString::from(COMMAND)];
        for (flag, paths) in [("--write", &self.writable), ("--hide", &self.hidden)] {
            for path in paths {
                arguments.extend([OsString::from(flag), path.clone().into_os_string()]);
            }
        }
        arguments.extend([OsString::from("--"), program.as_os_str().to_owned()]);
        arguments
    }
}

/// Why the program does not run.
#[derive(Debug)]
pub enum Refused {
    /// The arguments are not those that [`Sandbox::arguments`] makes.
    Arguments,
    /// The kernel has no Landlock, or a system-call filter hides it.
    NotEnforced,
    /// The rules can't be made.
    Rules(RulesetError),
    /// What the system says.
    System(io::Error),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arguments => f.write_str("expected [--write DIR]… [--hide PATH]… -- PROGRAM [ARGUMENT]…"),
            Self::NotEnforced => f.write_str(
                "this kernel can't cage programs: Landlock is off or hidden by a system-call filter \
                 (`barnacle doctor` tells more); tools.exec.sandbox: false runs commands without a cage",
            ),
            Self::Rules(error) => write!(f, "the cage can't be built: {error}"),
            Self::System(error) => write!(f, "the program can't be run: {error}"),
        }
    }
}

/// Becomes the program of the arguments, in the cage; comes back only when that fails.
#[must_use]
pub fn become_program(arguments: &[OsString]) -> Refused {
    let Some((sandbox, program)) = parse(arguments) else { return Refused::Arguments };
    let Some((path, rest)) = program.split_first() else { return Refused::Arguments };
    if let Err(refused) = limit().and_then(|()| enter(&sandbox)) {
        return refused;
    }
    Refused::System(Command::new(path).args(rest).exec())
}

fn parse(arguments: &[OsString]) -> Option<(Sandbox, &[OsString])> {
    let mut sandbox = Sandbox::default();
    let mut rest = arguments;
    loop {
        let (word, after) = rest.split_first()?;
        if word == "--" {
            return Some((sandbox, after));
        }
        let (path, after) = after.split_first()?;
        match word.to_str()? {
            "--write" => sandbox.writable.push(path.into()),
            "--hide" => sandbox.hidden.push(path.into()),
            _ => return None,
        }
        rest = after;
    }
}

/// No core dumps, no endless files, few descriptors.
fn limit() -> Result<(), Refused> {
    for (resource, most) in
        [(Resource::Core, 0), (Resource::Fsize, SANDBOX_FILE_BYTES), (Resource::Nofile, SANDBOX_FILES)]
    {
        let limit = Rlimit { current: Some(most), maximum: Some(most) };
        setrlimit(resource, limit).map_err(|error| Refused::System(error.into()))?;
    }
    Ok(())
}

fn enter(sandbox: &Sandbox) -> Result<(), Refused> {
    let (all, read) = (AccessFs::from_all(WISHED), AccessFs::from_read(WISHED));
    let ruleset = landlock::Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(REQUIRED))
        .map_err(|_| Refused::NotEnforced)?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)
        .and_then(|ruleset| ruleset.scope(Scope::Signal | Scope::AbstractUnixSocket))
        .and_then(landlock::Ruleset::create);
    let mut ruleset = ruleset.map_err(Refused::Rules)?;
    let mut visible = Vec::new();
    for path in SYSTEM.iter().chain(&PROC) {
        around(Path::new(path), &sandbox.hidden, &mut visible);
    }
    let mut writable: Vec<PathBuf> = DEVICES.iter().map(PathBuf::from).collect();
    for path in &sandbox.writable {
        // The workspace may lie in a directory that is hidden otherwise; what is hidden below it stays so.
        let below: Vec<_> = sandbox.hidden.iter().filter(|hidden| hidden.starts_with(path)).cloned().collect();
        around(path, &below, &mut writable);
    }
    let rules = visible.into_iter().map(|path| (path, read)).chain(writable.into_iter().map(|path| (path, all)));
    for (path, access) in rules {
        // What isn't there needs no rule.
        let Ok(descriptor) = PathFd::new(&path) else { continue };
        let access = if path.is_dir() { access } else { access & AccessFs::from_file(WISHED) };
        ruleset = ruleset.add_rule(PathBeneath::new(descriptor, access)).map_err(Refused::Rules)?;
    }
    let status = ruleset.restrict_self().map_err(Refused::Rules)?;
    match status.ruleset {
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced if status.no_new_privs => Ok(()),
        _ => Err(Refused::NotEnforced),
    }
}

/// A directory, or, where something hidden lies below it, what lies around that.
fn around(path: &Path, hidden: &[PathBuf], out: &mut Vec<PathBuf>) {
    if hidden.iter().any(|hidden| path.starts_with(hidden)) {
        return;
    }
    if !hidden.iter().any(|hidden| hidden.starts_with(path)) {
        out.push(path.to_owned());
        return;
    }
    let entries: BTreeSet<PathBuf> =
        fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    for entry in entries {
        around(&entry, hidden, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_read_back() {
        let sandbox = Sandbox { writable: vec!["/w".into()], hidden: vec!["/etc/barnacle".into(), "/x".into()] };
        let mut arguments = sandbox.arguments(Path::new("/usr/bin/env"));
        arguments.extend(["--hide".into(), "a".into()]);
        assert_eq!(arguments[0], COMMAND);
        let (read, program) = parse(&arguments[1..]).unwrap();
        assert_eq!(read, sandbox);
        assert_eq!(program, ["/usr/bin/env", "--hide", "a"]);
        for wrong in [&["--write"][..], &["--write", "/w"], &["--other", "/w", "--", "x"], &[]] {
            let wrong: Vec<OsString> = wrong.iter().map(OsString::from).collect();
            assert!(parse(&wrong).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn what_is_hidden_is_left_out_and_all_around_it_stays() {
        let dir = std::env::temp_dir().join(format!("barnacle-around-{}", std::process::id()));
        fs::create_dir_all(dir.join("etc/secret")).unwrap();
        fs::create_dir_all(dir.join("etc/plain")).unwrap();
        let mut out = Vec::new();
        around(&dir.join("etc"), &[dir.join("etc/secret")], &mut out);
        assert_eq!(out, [dir.join("etc/plain")]);
        out.clear();
        around(&dir.join("etc"), &["/elsewhere".into()], &mut out);
        assert_eq!(out, [dir.join("etc")]);
        out.clear();
        around(&dir.join("etc"), std::slice::from_ref(&dir), &mut out);
        assert!(out.is_empty());
        fs::remove_dir_all(&dir).unwrap();
    }
}
