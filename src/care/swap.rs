//! `barnacle update`: another program in place of the one that is there, and back when it doesn't do.
//!
//! At any moment there is a whole program under its name. The old one stays beside it as `NAME.old`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use super::program::{self, Kind};
use crate::sys::processes::{Finished, Processes, Program};
use crate::sys::tree;

/// Longest wait for systemd or dpkg.
const PATIENCE: Duration = Duration::from_secs(300);
/// The gateway's unit.
const UNIT: &str = "barnacle.service";
/// The package's name begins so; `barnacle-armv6` is another one.
const PACKAGE: &str = "barnacle";

/// What there is to work with.
pub struct Machine {
    /// The program that is in place.
    pub own: PathBuf,
    /// Other programs.
    pub processes: Rc<dyn Processes>,
    /// Where a user's systemd is found.
    pub session: Vec<(String, String)>,
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine").field("own", &self.own).finish_non_exhaustive()
    }
}

/// A file that would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The file.
    pub file: PathBuf,
    /// What it is.
    pub kind: Kind,
    /// Its version.
    pub version: String,
}

/// Whose systemd runs the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// The machine's.
    System,
    /// The user's.
    User,
    /// Nobody's.
    None,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The service runs the new program.
    Runs,
    /// The new program is in place; what runs is the owner's business.
    InPlace,
    /// The old program is back, because of this.
    Back(String),
}

impl Machine {
    /// Looks whether a file would do. A program is copied beside the one that is there and asked for its version; the
    /// copy is gone afterwards.
    ///
    /// # Errors
    /// Why it wouldn't.
    pub fn look(&self, file: &Path) -> Result<Candidate, String> {
        let kind = program::kind(file, &self.own)?;
        let version = match kind {
            Kind::Package => self.package_version(file)?,
            Kind::Program => {
                let copy = self.staged(file)?;
                let version =
                    program::version(&copy, &*self.processes).map_err(|why| format!("{}: {why}", file.display()));
                let removed = crate::sys::host::remove(&copy).map_err(|error| format!("{}: {error}", copy.display()));
                removed.and(version)?
            }
        };
        Ok(Candidate { file: file.to_path_buf(), kind, version })
    }

    /// Puts it in place, restarts the service, and asks `probe` whether it does; goes back when it doesn't.
    ///
    /// # Errors
    /// What went wrong; the old program is in place then, unless it says so.
    pub fn replace(&self, candidate: &Candidate, probe: &dyn Fn() -> Result<(), String>) -> Result<Outcome, String> {
        let is_packaged = self.is_packaged();
        match (candidate.kind, is_packaged) {
            (Kind::Program, true) => {
                return Err(format!("{} came as a package; update it with a package", self.own.display()));
            }
            (Kind::Package, false) => {
                return Err(format!("{} didn't come as a package; update it with a program", self.own.display()));
            }
            _ => {}
        }
        let service = self.service();
        let old = self.beside(".old");
        tree::copy(&self.own, &old, 0o755).map_err(|error| format!("cannot keep the old program: {error}"))?;
        match candidate.kind {
            Kind::Package => {
                let file = crate::sys::Files::real_path(&crate::sys::disk::Disk::default(), &candidate.file);
                let file = file.map_err(|error| format!("{}: {error}", candidate.file.display()))?;
                self.must(&["dpkg", "--install", &file.display().to_string()])?;
            }
            Kind::Program => {
                let new = self.staged(&candidate.file)?;
                tree::rename(&new, &self.own).map_err(|error| format!("cannot put it in place: {error}"))?;
            }
        }
        if service == Service::None {
            return Ok(Outcome::InPlace);
        }
        let outcome = self.systemctl(service, &["restart", UNIT]).and_then(|()| probe());
        let Err(why) = outcome else { return Ok(Outcome::Runs) };
        let back = self.beside(".new");
        tree::copy(&old, &back, 0o755)
            .and_then(|()| tree::rename(&back, &self.own))
            .map_err(|error| format!("{why}; the old program can't be put back: {error}; it is {}", old.display()))?;
        // A unit that was tried too often isn't started before this; what it says doesn't matter.
        let _ = self.systemctl(service, &["reset-failed", UNIT]);
        self.systemctl(service, &["restart", UNIT])
            .map_err(|again| format!("{why}; the old program is back, but doesn't start either: {again}"))?;
        Ok(Outcome::Back(why))
    }

    /// Who runs the gateway.
    #[must_use]
    pub fn service(&self) -> Service {
        let is_active = |service| {
            let done = self.run(&Self::words(service, &["is-active", UNIT]));
            done.is_ok_and(|done| matches!(done.stdout.trim(), "active" | "activating" | "reloading" | "failed"))
        };
        if is_active(Service::System) {
            Service::System
        } else if is_active(Service::User) {
            Service::User
        } else {
            Service::None
        }
    }

    /// Whether dpkg has put the program there.
    #[must_use]
    pub fn is_packaged(&self) -> bool {
        self.run(&["dpkg", "--search", &self.own.display().to_string()]).is_ok_and(|done| done.is_success())
    }

    fn package_version(&self, file: &Path) -> Result<String, String> {
        let path = file.display().to_string();
        let field = |name: &str| Ok::<_, String>(self.must(&["dpkg-deb", "--field", &path, name])?.trim().to_owned());
        let (package, architecture) = (field("Package")?, field("Architecture")?);
        if package != PACKAGE && !package.starts_with("barnacle-") {
            return Err(format!("{path} is the package {package}, not {PACKAGE}"));
        }
        let own = self.must(&["dpkg", "--print-architecture"])?.trim().to_owned();
        if architecture != own {
            return Err(format!("{path} is made for {architecture}, and this machine is {own}"));
        }
        field("Version")
    }

    /// A copy of a program where it can be renamed from.
    fn staged(&self, file: &Path) -> Result<PathBuf, String> {
        let new = self.beside(".new");
        match tree::copy(file, &new, 0o755) {
            Ok(()) => Ok(new),
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                Err(format!("{} can't be written; run this with sudo", new.display()))
            }
            Err(error) => Err(format!("{}: {error}", new.display())),
        }
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.own.file_name().unwrap_or_default().to_os_string();
        name.push(suffix);
        self.own.with_file_name(name)
    }

    fn words<'a>(service: Service, arguments: &[&'a str]) -> Vec<&'a str> {
        let mut words = vec!["systemctl"];
        words.extend((service == Service::User).then_some("--user"));
        words.extend(arguments);
        words
    }

    fn systemctl(&self, service: Service, arguments: &[&str]) -> Result<(), String> {
        self.must(&Self::words(service, arguments)).map(drop)
    }

    /// Runs a program that has to succeed; gives its output.
    fn must(&self, argv: &[&str]) -> Result<String, String> {
        let done = self.run(argv).map_err(|error| format!("{}: {error}", argv.join(" ")))?;
        if done.is_success() {
            return Ok(done.stdout);
        }
        let why =
            done.stderr.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it failed without a word");
        Err(format!("{}: {why}", argv.join(" ")))
    }

    fn run(&self, argv: &[&str]) -> Result<Finished, crate::sys::processes::ProcessError> {
        smol::block_on(self.processes.run(Program {
            argv: argv.iter().map(|word| (*word).to_owned()).collect(),
            dir: None,
            env: self.session.clone(),
            limit: PATIENCE,
            output_bytes: 16 * 1024,
            on_line: None,
            sandbox: None,
        }))
    }
}
