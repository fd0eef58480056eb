//! `barnacle update` with real programs and a stand-in for systemctl: swapped when it does, back when it doesn't.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests start processes and read their files"
)]

mod support;

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::process::{Command, Output};

use support::{Client, Dialect, TempDir, free_port};

/// An installed gateway and its service.
struct Home {
    dir: TempDir,
    port: u16,
}

impl Home {
    fn new(test: &str) -> Self {
        let home = Self { dir: TempDir::new(test), port: free_port() };
        for below in ["bin", "path"] {
            std::fs::create_dir_all(home.path(below)).unwrap();
        }
        std::fs::copy(env!("CARGO_BIN_EXE_barnacle"), home.path("bin/barnacle")).unwrap();
        std::fs::write(home.path("barnacle.json"), "{}").unwrap();
        // systemctl as far as the command uses it; a restart fails when the program ends at once, as with Type=notify.
        let script = format!(
            "#!/bin/sh\ncd {dir}\ncase \"$1\" in\n--user) exit 1 ;;\nis-active) [ -f pid ] && echo active ;;\nreset-failed) : ;;\n\
             restart)\n  echo restart >> restarts\n  [ -f pid ] && kill $(cat pid) 2>/dev/null\n  sleep 0.3\n\
             \x20 BARNACLE_TOKEN={token} setsid bin/barnacle run --config barnacle.json --state-dir state --port {port} >>out 2>&1 &\n  echo $! > pid\n\
             \x20 sleep 0.5\n  kill -0 $(cat pid) 2>/dev/null || {{ echo 'Job for barnacle.service failed.' >&2; exit 1; }}\n  ;;\nesac\n",
            dir = home.dir.path().display(),
            port = home.port,
            token = support::TOKEN,
        );
        home.script("systemctl", &script);
        // Nothing here came as a package.
        home.script("dpkg", "#!/bin/sh\nexit 1\n");
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn script(&self, name: &str, text: &str) {
        let path = self.path("path").join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn command(&self, program: &str) -> Command {
        let path = format!("{}:/usr/bin:/bin", self.path("path").display());
        let mut command = Command::new(program);
        command.env("PATH", path).env("BARNACLE_TOKEN", support::TOKEN).env("HOME", self.dir.path());
        command
    }

    /// Has the service started.
    fn start(&self) {
        assert!(self.command("systemctl").arg("restart").status().unwrap().success());
    }

    fn update(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(self.path("bin/barnacle").to_str().unwrap());
        command.arg("update").args(arguments).args(["--url", &format!("ws://127.0.0.1:{}", self.port)]);
        command.args(["--timeout", "5"]).output().unwrap()
    }

    fn inode(&self) -> u64 {
        std::fs::metadata(self.path("bin/barnacle")).unwrap().ino()
    }

    /// A program that is compiled from this text.
    fn program(&self, name: &str, text: &str) -> String {
        let source = self.path(&format!("{name}.rs"));
        std::fs::write(&source, text).unwrap();
        let out = self.path(name);
        let compiler = option_env!("RUSTC").unwrap_or("rustc");
        let done = Command::new(compiler).arg("-o").args([&out, &source]).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        out.to_str().unwrap().to_owned()
    }

    fn is_well(&self) -> bool {
        !Client::connect(self.port, Dialect::Native).hello.is_null()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Ok(pid) = std::fs::read_to_string(self.path("pid")) {
            // It may have ended by itself.
            let _ = Command::new("kill").arg(pid.trim()).output();
        }
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn a_program_that_does_is_put_in_place_and_the_old_one_kept() {
    let home = Home::new("update-good");
    home.start();
    let before = home.inode();
    let output = home.update(&[env!("CARGO_BIN_EXE_barnacle")]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("the service runs"), "{}", said(&output));
    assert_ne!(home.inode(), before);
    assert!(home.path("bin/barnacle.old").exists() && !home.path("bin/barnacle.new").exists());
    assert!(home.is_well());
}

#[test]
fn a_program_that_does_not_answer_or_ends_at_once_is_taken_back_and_the_old_one_runs() {
    let home = Home::new("update-bad");
    home.start();
    let old = std::fs::read(home.path("bin/barnacle")).unwrap();
    let says = "fn main() { if std::env::args().any(|a| a == \"--version\") { println!(\"barnacle 9.9.9\"); return }";
    let mute = home.program("mute", &format!("{says} std::thread::sleep(std::time::Duration::from_secs(30)); }}"));
    let broken = home.program("broken", &format!("{says} std::process::exit(1); }}"));
    for (program, why) in [(mute, "doesn't do"), (broken, "Job for barnacle.service failed")] {
        let output = home.update(&[&program]);
        assert_eq!(output.status.code(), Some(1));
        let text = said(&output);
        assert!(text.contains(why) && text.contains("the old program is back"), "{text}");
        assert!(std::fs::read(home.path("bin/barnacle")).unwrap() == old, "another program is in place");
        assert!(home.is_well());
    }
}

#[test]
fn what_is_no_barnacle_for_this_machine_is_refused_and_nothing_changes() {
    let home = Home::new("update-refused");
    let before = home.inode();
    let mut foreign = std::fs::read(env!("CARGO_BIN_EXE_barnacle")).unwrap();
    foreign[18] = if foreign[18] == 183 { 62 } else { 183 };
    std::fs::write(home.path("foreign"), foreign).unwrap();
    std::fs::write(home.path("script"), "#!/bin/sh\necho barnacle 9.9.9\n").unwrap();
    let other = home.program("other", "fn main() { println!(\"octopus 1.0\"); }");
    let names = [home.path("foreign"), home.path("script"), other.into(), home.path("missing")];
    for (file, why) in names.iter().zip(["is made for", "neither a program", "octopus 1.0", "No such file"]) {
        let output = home.update(&[file.to_str().unwrap()]);
        let text = said(&output);
        assert!(
            output.status.code() == Some(1) && text.contains(why) && text.contains("nothing was changed"),
            "{text}"
        );
    }
    assert_eq!(home.inode(), before);
    assert!(!home.path("bin/barnacle.new").exists() && !home.path("restarts").exists());
}

#[test]
fn a_check_changes_nothing_and_without_a_service_the_owner_is_told_what_to_do() {
    let home = Home::new("update-check");
    let before = home.inode();
    let check = home.update(&["--check", env!("CARGO_BIN_EXE_barnacle")]);
    assert!(check.status.success() && said(&check).contains("for this machine, version"), "{}", said(&check));
    assert!(said(&home.update(&["--check"])).contains("updated with a program"));
    assert_eq!(home.inode(), before);
    let output = home.update(&[env!("CARGO_BIN_EXE_barnacle")]);
    assert!(
        output.status.success() && said(&output).contains("end the process and start it again"),
        "{}",
        said(&output)
    );
    assert_ne!(home.inode(), before);
}
