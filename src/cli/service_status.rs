//! How the service does, in plain words, from what systemd knows about it. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::exit::Exit;
use super::service_units::{Owner, SERVICE, SOCKET};

/// What is asked about the gateway's unit.
pub(super) const PROPERTIES: &str = "--property=LoadState,ActiveState,SubState,Result,MainPID,ExecMainStatus,\
    ActiveEnterTimestamp,InactiveEnterTimestamp,NRestarts,StatusText,WatchdogUSec,UnitFileState,MemoryCurrent,MemoryMax,\
    FragmentPath";

/// The properties of a unit, by name.
pub(super) type Properties = BTreeMap<String, String>;

/// Reads what `systemctl show` prints.
pub(super) fn read(text: &str) -> Properties {
    text.lines().filter_map(|line| line.split_once('=')).map(|(name, value)| (name.into(), value.into())).collect()
}

/// What is known about both units, for people, and how the command ends.
pub(super) fn words(owner: Owner, service: &Properties, socket: &Properties) -> (String, Exit) {
    let of = |name: &str| service.get(name).map(String::as_str).unwrap_or_default();
    let flag = if owner == Owner::User { "--user " } else { "" };
    // The socket gives up together with the service.
    let units = if owner == Owner::User { SERVICE.to_owned() } else { format!("{SOCKET} {SERVICE}") };
    let mut text = String::new();
    let mut line = |words: &str| {
        let _ = writeln!(text, "{words}");
    };
    if of("LoadState") != "loaded" {
        let install =
            if owner == Owner::User { "barnacle service install --user" } else { "sudo barnacle service install" };
        line(&format!("not installed; `{install}` does it"));
        return (text, Exit::NoConnection);
    }
    let since =
        |name: &str| Some(of(name)).filter(|at| !at.is_empty()).map(|at| format!(" since {at}")).unwrap_or_default();
    let exit = match of("ActiveState") {
        "active" => {
            line(&format!("running{} (pid {})", since("ActiveEnterTimestamp"), of("MainPID")));
            Exit::Ok
        }
        "reloading" => {
            line(&format!("running, and beginning anew (pid {})", of("MainPID")));
            Exit::Ok
        }
        "activating" => {
            line(if of("SubState") == "auto-restart" { "waiting for the next try to start" } else { "starting" });
            Exit::NoConnection
        }
        "deactivating" => {
            line("stopping");
            Exit::NoConnection
        }
        "failed" => {
            line(&format!("failed{}: {}", since("InactiveEnterTimestamp"), reason(of("Result"), of("ExecMainStatus"))));
            line(&format!(
                "when it is mended: `systemctl {flag}reset-failed {units} && systemctl {flag}start {units}`"
            ));
            Exit::NoConnection
        }
        _ => {
            line(&format!("stopped{}; `systemctl {flag}start barnacle` starts it", since("InactiveEnterTimestamp")));
            Exit::NoConnection
        }
    };
    if !of("StatusText").is_empty() && exit == Exit::Ok {
        line(&format!("  {}", of("StatusText")));
    }
    line(&format!("restarts   {} since somebody started it", number(of("NRestarts"))));
    line(&format!(
        "at boot    {}",
        match of("UnitFileState") {
            "enabled" | "enabled-runtime" => "starts by itself".to_owned(),
            _ => format!("does not start; `systemctl {flag}enable barnacle` changes that"),
        }
    ));
    line(&format!(
        "watchdog   {}",
        match of("WatchdogUSec") {
            "" | "0" | "infinity" => "off: a gateway that hangs stays so".to_owned(),
            limit => format!("a gateway that hangs for {limit} is started anew"),
        }
    ));
    if owner == Owner::System {
        let is_held = socket.get("ActiveState").is_some_and(|state| state == "active");
        line(&format!(
            "port       {}",
            if is_held {
                format!("held by {SOCKET}: a restart refuses nobody")
            } else {
                format!(
                    "not held: a restart refuses connections for a moment; `systemctl stop {SERVICE} && systemctl enable --now {SOCKET} {SERVICE}` changes that"
                )
            }
        ));
    }
    if exit == Exit::Ok && !of("MemoryCurrent").chars().all(|c| c.is_ascii_digit()) {
        line(
            "memory     not limited: this kernel has the memory cgroup switched off; on Raspberry Pi OS, \
              cgroup_enable=memory cgroup_memory=1 in /boot/firmware/cmdline.txt switches it on",
        );
    }
    line(&format!("log        journalctl {flag}-u barnacle"));
    line(&format!("unit       {}", of("FragmentPath")));
    (text, exit)
}

fn number(text: &str) -> &str {
    if text.is_empty() { "0" } else { text }
}

/// Why it failed.
fn reason(result: &str, status: &str) -> String {
    match (result, status) {
        (_, "78") => "the configuration is wrong; the log says where".to_owned(),
        ("start-limit-hit", _) => "it could not start and was tried too often; the log says why".to_owned(),
        ("watchdog", _) => "it hung".to_owned(),
        ("oom-kill", _) => "it was ended for lack of memory".to_owned(),
        ("timeout", _) => "it was not ready in time".to_owned(),
        ("exit-code", code) => format!("it ended with {code}; the log says why"),
        (result, _) => format!("{result}; the log says why"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNNING: &str = "LoadState=loaded\nActiveState=active\nSubState=running\nResult=success\nMainPID=71\n\
        ExecMainStatus=0\nActiveEnterTimestamp=Mon 2026-11-30 22:00:00 UTC\nNRestarts=2\n\
        StatusText=Listening on ws://127.0.0.1:18789; 3 clients\nWatchdogUSec=30s\nUnitFileState=enabled\n\
        MemoryCurrent=5120000\nFragmentPath=/etc/systemd/system/barnacle.service\n";

    fn told(owner: Owner, changes: &[(&str, &str)], socket: &str) -> (String, Exit) {
        let mut service = read(RUNNING);
        service.extend(changes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        words(owner, &service, &read(socket))
    }

    #[test]
    fn a_running_service_is_told_with_all_that_an_owner_asks() {
        let (text, exit) = told(Owner::System, &[], "ActiveState=active\n");
        assert_eq!(exit, Exit::Ok);
        assert_eq!(
            text,
            "running since Mon 2026-11-30 22:00:00 UTC (pid 71)\n\
             \x20 Listening on ws://127.0.0.1:18789; 3 clients\n\
             restarts   2 since somebody started it\n\
             at boot    starts by itself\n\
             watchdog   a gateway that hangs for 30s is started anew\n\
             port       held by barnacle.socket: a restart refuses nobody\n\
             log        journalctl -u barnacle\n\
             unit       /etc/systemd/system/barnacle.service\n"
        );
    }

    #[test]
    fn what_is_not_as_it_should_be_is_told_with_the_command_that_changes_it() {
        for (owner, changes, wanted, code) in [
            (Owner::System, &[("LoadState", "not-found")][..], "`sudo barnacle service install`", Exit::NoConnection),
            (Owner::User, &[("LoadState", "not-found")], "`barnacle service install --user`", Exit::NoConnection),
            (Owner::System, &[("ActiveState", "inactive")], "`systemctl start barnacle` starts it", Exit::NoConnection),
            (Owner::User, &[("ActiveState", "failed"), ("Result", "watchdog")], "it hung", Exit::NoConnection),
            (
                Owner::User,
                &[("ActiveState", "failed"), ("Result", "exit-code"), ("ExecMainStatus", "78")],
                "the configuration is wrong",
                Exit::NoConnection,
            ),
            (Owner::User, &[("ActiveState", "failed")], "systemctl --user reset-failed", Exit::NoConnection),
            (
                Owner::System,
                &[("ActiveState", "activating"), ("SubState", "auto-restart")],
                "waiting for the next try",
                Exit::NoConnection,
            ),
            (Owner::System, &[("UnitFileState", "disabled")], "`systemctl enable barnacle`", Exit::Ok),
            (Owner::System, &[("WatchdogUSec", "0")], "watchdog   off", Exit::Ok),
            (Owner::System, &[("MemoryCurrent", "[not set]")], "cgroup_enable=memory", Exit::Ok),
            (Owner::System, &[], "systemctl enable --now barnacle.socket barnacle.service`", Exit::Ok),
        ] {
            let (text, exit) = told(owner, changes, "");
            assert!(text.contains(wanted), "{wanted:?} is not in {text}");
            assert_eq!(exit, code, "{text}");
        }
    }
}
