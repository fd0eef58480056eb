//! The gateway as a service of systemd.

use std::collections::BTreeMap;

use super::finding::Finding;
use super::ground::Ground;

const UNIT: &str = "barnacle.service";
const PROPERTIES: &str = "--property=LoadState,ActiveState,SubState,Result,NRestarts,UnitFileState,WatchdogUSec";
/// Restarts by which something is wrong.
const MANY_RESTARTS: u64 = 3;

pub(super) fn look(ground: &Ground) -> Vec<Finding> {
    let show = |flags: &[&str]| {
        let mut argv = vec!["systemctl"];
        argv.extend(flags);
        argv.extend(["show", UNIT, PROPERTIES]);
        let done = ground.run(&argv)?;
        let pairs = done.stdout.lines().filter_map(|line| line.split_once('='));
        let found: BTreeMap<String, String> = pairs.map(|(name, value)| (name.into(), value.into())).collect();
        found.get("LoadState").is_some_and(|state| state == "loaded").then_some(found)
    };
    let mut findings = Vec::new();
    if let Some(unit) = show(&[]) {
        findings.extend(unit_findings(&unit, ""));
    }
    if let Some(unit) = show(&["--user"]) {
        findings.extend(unit_findings(&unit, "--user "));
        findings.extend(lingering(ground));
    }
    if findings.is_empty() {
        let has_systemd = ground.system_file("proc/1/comm").is_some_and(|name| name.trim() == "systemd");
        findings.push(if has_systemd {
            Finding::note("no unit is installed: the gateway ends when you log out, and doesn't start at boot")
                .mend("sudo barnacle service install --now")
        } else {
            Finding::ok("this machine isn't run by systemd")
        });
    }
    findings
}

fn unit_findings(unit: &BTreeMap<String, String>, flag: &str) -> Vec<Finding> {
    let of = |name: &str| unit.get(name).map(String::as_str).unwrap_or_default();
    let sudo = if flag.is_empty() { "sudo " } else { "" };
    let mut findings = Vec::new();
    match of("ActiveState") {
        "active" | "reloading" => {}
        "failed" => findings.push(
            Finding::fail(format!("the service has failed ({})", of("Result")))
                .mend(format!("journalctl {flag}-u barnacle -n 20 --no-pager; {sudo}systemctl {flag}reset-failed barnacle && {sudo}systemctl {flag}start barnacle")),
        ),
        state => findings.push(
            Finding::warn(format!("the service is {state} ({})", of("SubState")))
                .mend(format!("{sudo}systemctl {flag}start barnacle")),
        ),
    }
    if !of("UnitFileState").starts_with("enabled") {
        findings.push(
            Finding::warn("the service doesn't start at boot").mend(format!("{sudo}systemctl {flag}enable barnacle")),
        );
    }
    let restarts = of("NRestarts").parse::<u64>().unwrap_or(0);
    if restarts >= MANY_RESTARTS {
        findings.push(
            Finding::warn(format!("systemd has restarted it {restarts} times"))
                .mend(format!("journalctl {flag}-u barnacle -p warning -n 50 --no-pager")),
        );
    }
    if matches!(of("WatchdogUSec"), "" | "0" | "infinity") {
        findings.push(
            Finding::note("the watchdog is off: a gateway that hangs stays so")
                .mend(format!("{sudo}barnacle service install {flag}").trim().to_owned()),
        );
    }
    if findings.is_empty() {
        findings.push(Finding::ok("runs, starts at boot, is watched"));
    }
    findings
}

/// A user's services end with the last session.
fn lingering(ground: &Ground) -> Option<Finding> {
    let user = ground.env.get("USER")?;
    let done = ground.run(&["loginctl", "show-user", user, "--property=Linger", "--value"])?;
    (done.stdout.trim() == "no").then(|| {
        Finding::warn("your service ends when you log out").mend(format!("sudo loginctl enable-linger {user}"))
    })
}
