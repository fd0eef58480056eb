//! `barnacle service`: the gateway as a service of systemd, the machine's or one user's.
//!
//! It writes the same unit files that the package has, tells systemd, and starts nothing unless asked to. It never
//! touches configuration or state.

use std::rc::Rc;
use std::time::Duration;

use super::Environment;
use super::args::Service;
use super::console::Console;
use super::exit::{Exit, Failure};
use super::service_status::{self, PROPERTIES, Properties};
use super::service_units::{self, Owner, PACKAGE_DIRS, SERVE_SOCKET, SERVICE, SOCKET};
use crate::sys::host;
use crate::sys::processes::{Finished, Processes, Program, RealProcesses};
use crate::sys::{Clock, processes::ProcessError};

/// What can be done.
pub const ACTIONS: &str = "install, uninstall, status";
/// Longest wait for systemd; a start waits until the gateway is ready.
const PATIENCE: Duration = Duration::from_secs(90);
/// Most output of a program that is looked at.
const OUTPUT_BYTES: usize = 16 * 1024;
/// Where a user's systemd is found; other programs see no more of the environment.
const SESSION_VARIABLES: [&str; 2] = ["XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"];

/// Does it and tells what came of it.
///
/// # Errors
/// What went wrong, with the exit code.
pub async fn service(
    args: &Service,
    environment: &Environment,
    clock: &Rc<dyn Clock>,
    console: &mut Console,
) -> Result<(), Failure> {
    let owner = if args.user { Owner::User } else { Owner::System };
    let manager = Manager { owner, environment, processes: RealProcesses::new(Rc::clone(clock), environment) };
    let mut words = args.words.iter().map(String::as_str);
    let action = words.next().unwrap_or("status");
    if let Some(extra) = words.next() {
        return Err(Failure::usage(format!("service {action}: {extra:?} is one argument too many")));
    }
    if args.now && action != "install" {
        return Err(Failure::usage(format!("service {action}: --now belongs to `service install`")));
    }
    match action {
        "install" => manager.install(args.now, console).await,
        "uninstall" => manager.uninstall(console).await,
        "status" => manager.status(console).await,
        _ => Err(Failure::usage(format!("service: expected one of {ACTIONS}, found {action:?}"))),
    }
}

/// Somebody's systemd.
struct Manager<'a> {
    owner: Owner,
    environment: &'a Environment,
    processes: RealProcesses,
}

impl Manager<'_> {
    async fn install(&self, now: bool, console: &mut Console) -> Result<(), Failure> {
        self.must_be_there().await?;
        self.must_be_allowed("install")?;
        let program = host::own_program().map_err(|error| {
            Failure::new(Exit::Failed, format!("where this program is can't be found out: {error}"))
        })?;
        let program = service_units::runnable(self.owner, &program)?;
        let dir = service_units::dir(self.owner, self.environment)?;
        let packaged = || PACKAGE_DIRS.iter().find(|dir| host::is_there(&std::path::Path::new(dir).join(SERVICE)));
        if let (Owner::System, Some(packaged)) = (self.owner, packaged()) {
            return Err(Failure::new(
                Exit::Failed,
                format!("a package has installed the service already, in {packaged}"),
            )
            .hint(format!("systemctl enable --now {SOCKET} {SERVICE}")));
        }
        let was_running = self.is_active(SERVICE).await?;
        // systemd opens a socket only while its service is down.
        let is_in_the_way = was_running && self.owner == Owner::System && !self.is_active(SOCKET).await?;
        for (name, text) in service_units::files(self.owner, &program) {
            let path = dir.join(name);
            host::write_public(&path, &text)
                .map_err(|error| Failure::new(Exit::Failed, format!("cannot write {}: {error}", path.display())))?;
            console.print(&format!("written: {}\n", path.display()))?;
        }
        self.must(&["daemon-reload"]).await?;
        let units: &[&str] = if self.owner == Owner::System { &[SOCKET, SERVICE] } else { &[SERVICE] };
        if now {
            if is_in_the_way {
                self.must(&["stop", SERVICE]).await?;
            }
            let enable: Vec<_> = ["enable", "--now"].iter().chain(units).copied().collect();
            self.must_start(&enable).await?;
            if was_running && !is_in_the_way {
                self.must_start(&["restart", SERVICE]).await?;
            }
            console.print("running; `barnacle service status` tells how it does\n")?;
        } else {
            let ctl = self.systemctl();
            let (first, then) = match (was_running, is_in_the_way) {
                (_, true) => (format!("{ctl} stop {SERVICE} && "), String::new()),
                (true, false) => (String::new(), format!(" && {ctl} restart {SERVICE}")),
                (false, false) => (String::new(), String::new()),
            };
            let units = units.join(" ");
            console.print(&format!("start it now and at boot: `{first}{ctl} enable --now {units}{then}`\n"))?;
        }
        match self.owner {
            Owner::System => console.print(
                "configuration: /etc/barnacle/barnacle.json; talk to it: `sudo barnacle chat --state-dir /var/lib/barnacle`\n",
            ),
            Owner::User => self.tell_of_lingering(console).await,
        }
    }

    async fn uninstall(&self, console: &mut Console) -> Result<(), Failure> {
        self.must_be_there().await?;
        self.must_be_allowed("uninstall")?;
        let dir = service_units::dir(self.owner, self.environment)?;
        let files: Vec<_> = [SERVICE, SOCKET, SERVE_SOCKET]
            .into_iter()
            .map(|name| (name, dir.join(name)))
            .filter(|(_, path)| host::is_there(path))
            .collect();
        if files.is_empty() {
            return Err(Failure::new(Exit::Failed, format!("no unit of the gateway's is in {}", dir.display()))
                .hint("what a package has installed, the package removes"));
        }
        let mut disable = vec!["disable", "--now"];
        disable.extend(files.iter().map(|(name, _)| *name));
        self.must(&disable).await?;
        for (_, path) in &files {
            host::remove(path)
                .map_err(|error| Failure::new(Exit::Failed, format!("cannot remove {}: {error}", path.display())))?;
            console.print(&format!("removed: {}\n", path.display()))?;
        }
        self.must(&["daemon-reload"]).await?;
        console.print(match self.owner {
            Owner::System => "kept: /etc/barnacle, /var/lib/barnacle, /var/log/barnacle\n",
            Owner::User => "kept: configuration and state\n",
        })
    }

    async fn status(&self, console: &mut Console) -> Result<(), Failure> {
        self.must_be_there().await?;
        let (text, exit) = service_status::words(self.owner, &self.show(SERVICE).await?, &self.show(SOCKET).await?);
        console.print(&text)?;
        if exit == Exit::Ok { Ok(()) } else { Err(Failure::quiet(exit)) }
    }

    /// A user's services end with the last session, unless the user lingers.
    async fn tell_of_lingering(&self, console: &mut Console) -> Result<(), Failure> {
        let user = self.environment.get("USER").map_or("$USER", String::as_str);
        let argv = ["loginctl", "show-user", user, "--property=Linger", "--value"];
        let lingers = self.run(&argv).await.is_ok_and(|done| done.stdout.trim() == "yes");
        console.print(&if lingers {
            "it goes on when you log out, and starts at boot: you linger\n".to_owned()
        } else {
            format!(
                "it ends when you log out; to let it go on, and start at boot: `sudo loginctl enable-linger {user}`\n"
            )
        })
    }

    async fn is_active(&self, unit: &str) -> Result<bool, Failure> {
        Ok(self.show(unit).await?.get("ActiveState").is_some_and(|state| state == "active"))
    }

    /// What systemd knows about a unit.
    async fn show(&self, unit: &str) -> Result<Properties, Failure> {
        Ok(service_status::read(&self.must(&["show", unit, PROPERTIES]).await?.stdout))
    }

    async fn must_be_there(&self) -> Result<(), Failure> {
        let hint = "without systemd, let your own supervisor run `barnacle run`; SIGTERM ends it";
        let state = match self.ask(&["is-system-running"]).await {
            Ok(done) => done,
            Err(ProcessError::NotFound(_)) => {
                return Err(
                    Failure::new(Exit::Failed, "this machine has no systemd: systemctl is not installed").hint(hint)
                );
            }
            Err(error) => return Err(Failure::new(Exit::Failed, format!("systemctl: {error}"))),
        };
        match (state.stdout.trim(), self.owner) {
            ("running" | "degraded" | "starting" | "initializing" | "maintenance" | "stopping", _) => Ok(()),
            (_, Owner::System) => Err(Failure::new(Exit::Failed, "this machine was not started by systemd").hint(hint)),
            (_, Owner::User) => Err(Failure::new(Exit::Failed, "your user has no systemd of its own here")
                .hint("log in as that user (ssh, or `machinectl shell USER@`), not with su or sudo")),
        }
    }

    fn must_be_allowed(&self, action: &str) -> Result<(), Failure> {
        if self.owner == Owner::User || host::is_root() {
            return Ok(());
        }
        Err(Failure::new(Exit::Failed, "a service of the machine needs root's rights")
            .hint(format!("sudo barnacle service {action}, or for you alone: barnacle service {action} --user")))
    }

    /// Starts something, and says where to look when it doesn't.
    async fn must_start(&self, arguments: &[&str]) -> Result<(), Failure> {
        let flag = if self.owner == Owner::User { "--user " } else { "" };
        let hint = format!("journalctl {flag}-u barnacle -n 20 --no-pager says why");
        self.must(arguments).await.map(drop).map_err(|failure| failure.hint(hint))
    }

    /// Runs systemctl, which has to succeed.
    async fn must(&self, arguments: &[&str]) -> Result<Finished, Failure> {
        let failed =
            |why: &str| Failure::new(Exit::Failed, format!("{} {}: {why}", self.systemctl(), arguments.join(" ")));
        let done = self.ask(arguments).await.map_err(|error| failed(&error.to_string()))?;
        if done.is_success() {
            return Ok(done);
        }
        let why = done.stderr.lines().map(str::trim).find(|line| !line.is_empty());
        Err(failed(why.unwrap_or("it failed without a word")))
    }

    async fn ask(&self, arguments: &[&str]) -> Result<Finished, ProcessError> {
        let mut argv = vec!["systemctl"];
        argv.extend((self.owner == Owner::User).then_some("--user"));
        argv.extend(arguments);
        self.run(&argv).await
    }

    async fn run(&self, argv: &[&str]) -> Result<Finished, ProcessError> {
        let session = |name: &&str| Some(((*name).to_owned(), self.environment.get(*name)?.clone()));
        self.processes
            .run(Program {
                argv: argv.iter().map(|word| (*word).to_owned()).collect(),
                dir: None,
                env: SESSION_VARIABLES.iter().filter_map(session).collect(),
                limit: PATIENCE,
                output_bytes: OUTPUT_BYTES,
                on_line: None,
            })
            .await
    }

    fn systemctl(&self) -> &'static str {
        if self.owner == Owner::User { "systemctl --user" } else { "systemctl" }
    }
}
