//! `barnacle service` with a systemctl that only writes down what it is asked. `tests/system/run` has the real one.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests start processes and read their files")]

mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use support::TempDir;

/// A machine with programs of our own.
struct Machine(TempDir);

impl Machine {
    /// `state` is what `systemctl is-system-running` says.
    fn new(state: &str) -> Self {
        let machine = Self(TempDir::new("service"));
        machine.program(
            "systemctl",
            &format!(
                "echo \"$*\" >> '{}'\ncase \"$*\" in\n*is-system-running) echo {state};;\n\
                 *'show barnacle.service'*) cat '{}' 2>/dev/null;;\n\
                 *restart*) [ ! -e '{}' ] || {{ echo 'Job failed.' >&2; exit 1; }};;\nesac\n",
                machine.path("asked").display(),
                machine.path("shown").display(),
                machine.path("broken").display(),
            ),
        );
        machine.program("loginctl", "echo no\n");
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn program(&self, name: &str, script: &str) {
        std::fs::write(self.path(name), format!("#!/bin/sh\n{script}exit 0\n")).unwrap();
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn run_with(&self, path: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_barnacle"));
        command.arg("service").args(arguments).env_clear();
        command.env("PATH", path).env("HOME", self.0.path()).env("USER", "pi").output().unwrap()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.run_with(&format!("{}:/usr/bin:/bin", self.0.path().display()), arguments)
    }

    /// What systemctl was asked since the last time.
    fn asked(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path("asked")).unwrap_or_default();
        let _ = std::fs::remove_file(self.path("asked"));
        text.lines().filter(|line| !line.contains("is-system-running")).map(str::to_owned).collect()
    }
}

fn said(output: &Output) -> (String, String) {
    (String::from_utf8(output.stdout.clone()).unwrap(), String::from_utf8(output.stderr.clone()).unwrap())
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_users_service_is_installed_started_when_asked_and_removed_again() {
    let machine = Machine::new("running");
    let unit = machine.path(".config/systemd/user/barnacle.service");
    let output = machine.run(&["install", "--user"]);
    let (out, err) = said(&output);
    assert!(output.status.success(), "{err}");
    assert!(out.contains("`systemctl --user enable --now barnacle.service`"), "{out}");
    assert!(out.contains("`sudo loginctl enable-linger pi`"), "{out}");
    let text = std::fs::read_to_string(&unit).unwrap();
    assert!(text.contains(&format!("ExecStart={} run\n", env!("CARGO_BIN_EXE_barnacle"))), "{text}");
    assert_eq!(mode(&unit), 0o644);
    let asked = machine.asked();
    assert!(asked.last().unwrap().ends_with("daemon-reload") && !asked.iter().any(|line| line.contains("enable")));

    let output = machine.run(&["install", "--user", "--now"]);
    assert!(output.status.success(), "{:?}", said(&output));
    assert_eq!(machine.asked().last().unwrap(), "--user enable --now barnacle.service");

    let output = machine.run(&["uninstall", "--user"]);
    assert!(output.status.success(), "{:?}", said(&output));
    assert_eq!(machine.asked(), ["--user disable --now barnacle.service", "--user daemon-reload"]);
    assert!(!unit.exists());
    let (_, err) = said(&machine.run(&["uninstall", "--user"]));
    assert!(err.contains("no unit of the gateway's is in"), "{err}");
}

#[test]
fn a_new_program_takes_the_place_of_a_running_one_and_a_start_that_fails_says_where_to_look() {
    let machine = Machine::new("degraded");
    std::fs::write(machine.path("shown"), "LoadState=loaded\nActiveState=active\n").unwrap();
    let output = machine.run(&["install", "--user", "--now"]);
    assert!(output.status.success(), "{:?}", said(&output));
    assert_eq!(machine.asked().last().unwrap(), "--user restart barnacle.service");
    std::fs::write(machine.path("broken"), "").unwrap();
    let output = machine.run(&["install", "--user", "--now"]);
    let (_, err) = said(&output);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        err,
        "error: systemctl --user restart barnacle.service: Job failed.\n\
         hint: journalctl --user -u barnacle -n 20 --no-pager says why\n"
    );
}

#[test]
fn status_tells_how_it_does_and_its_code_says_whether_it_runs() {
    let machine = Machine::new("running");
    std::fs::write(machine.path("shown"), "LoadState=not-found\nActiveState=inactive\n").unwrap();
    let output = machine.run(&["status"]);
    assert_eq!(
        (output.status.code(), said(&output).0.as_str()),
        (Some(3), "not installed; `sudo barnacle service install` does it\n")
    );
    let running =
        "LoadState=loaded\nActiveState=active\nMainPID=7\nNRestarts=1\nStatusText=Listening\nMemoryCurrent=1\n";
    std::fs::write(machine.path("shown"), running).unwrap();
    let output = machine.run(&["status", "--user"]);
    let (out, _) = said(&output);
    assert!(output.status.success() && out.starts_with("running (pid 7)\n  Listening\nrestarts   1 "), "{out}");
}

#[test]
fn without_systemd_it_says_so_and_writes_nothing() {
    for (state, arguments, wanted) in [
        ("offline", &["install"][..], "this machine was not started by systemd"),
        ("", &["install", "--user"], "your user has no systemd of its own here"),
        ("offline", &["status"], "this machine was not started by systemd"),
    ] {
        let machine = Machine::new(state);
        let output = machine.run(arguments);
        let (_, err) = said(&output);
        assert_eq!(output.status.code(), Some(1));
        assert!(err.contains(wanted) && err.contains("hint: "), "{err}");
        assert!(machine.asked().is_empty() && !machine.path(".config").exists());
    }
    let machine = Machine::new("running");
    let (_, err) = said(&machine.run_with("/nonexistent", &["install"]));
    assert!(err.contains("systemctl is not installed") && err.contains("`barnacle run`"), "{err}");
}

#[test]
fn mistakes_are_refused_before_anything_is_done() {
    for (arguments, wanted) in [
        (&["start"][..], "expected one of install, uninstall, status"),
        (&["install", "twice"], "one argument too many"),
        (&["status", "--now"], "--now belongs to `service install`"),
    ] {
        let machine = Machine::new("running");
        let output = machine.run(arguments);
        assert_eq!(output.status.code(), Some(2));
        assert!(said(&output).1.contains(wanted), "{:?}", said(&output));
        assert!(machine.asked().is_empty());
    }
}
