//! The checks on machines that are made up.
#![allow(clippy::disallowed_methods, reason = "a test makes the files that it looks at")]

use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde_json::json;

use super::*;
use crate::care::doctor::ground::Online;
use crate::config::file;
use crate::config::first_start::Places;
use crate::sys::disk::Disk;
use crate::sys::sim::{ScriptedProcesses, World};

struct Bench {
    dir: PathBuf,
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

impl Bench {
    fn new(test: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("barnacle-doctor-{}-{test}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(dir.join("root/proc")).unwrap();
        Self { dir }
    }

    fn put(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    fn ground(&self, online: Online) -> Ground {
        let places = Places { config_file: self.dir.join("etc/barnacle.json"), state_dir: self.dir.join("state") };
        let env = std::collections::BTreeMap::new();
        let world = World::at(1_795_372_186_044);
        Ground {
            loaded: file::load(&Disk::default(), &places, &env),
            places,
            env,
            online,
            clock: Rc::new(world.clock.clone()),
            processes: Rc::new(ScriptedProcesses::none(&world.clock)),
            root: self.dir.join("root"),
        }
    }
}

fn of<'a>(reports: &'a [Report], name: &str) -> &'a [Finding] {
    &reports.iter().find(|report| report.check.name == name).unwrap().findings
}

fn mode(path: &Path) -> u32 {
    tree::meta(path).unwrap().mode
}

#[test]
fn checks_have_names_of_their_own_and_say_what_they_look_at() {
    let mut names: Vec<_> = CHECKS.iter().map(|check| check.name).collect();
    assert!(CHECKS.iter().all(|check| !check.looks_at.is_empty()));
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn on_a_fresh_machine_nothing_has_failed() {
    let bench = Bench::new("fresh");
    let reports = examine(&bench.ground(Online::Nobody), false);
    let failed: Vec<_> =
        reports.iter().filter(|report| report.level() == Level::Fail).map(|report| report.check.name).collect();
    // Whether the usual port is free here is not this test's business.
    assert!(failed.iter().all(|name| *name == "gateway"), "{failed:?}");
    assert_eq!(of(&reports, "models")[0].level, Level::Note);
    assert!(of(&reports, "permissions")[0].what.contains("isn't there yet"));
}

#[test]
fn open_files_half_files_and_files_that_do_not_load_are_named_and_the_safe_ones_mended() {
    let bench = Bench::new("mess");
    let config = bench.put("etc/barnacle.json", "{gateway:{auth:{token:'a-long-secret-token-here'}}}");
    let token = bench.put("state/token", "x\n");
    let half = bench.put("state/devices/paired.json.tmp", "{");
    bench.put("state/cron/jobs.json", "{\"jobs\":[");
    bench.put("state/agents/main/sessions/a.jsonl.torn-2026", "x");
    let ground = bench.ground(Online::Nobody);
    let before = examine(&ground, false);
    assert!(of(&before, "secrets")[0].mend.as_ref().unwrap().starts_with("chmod o= "));
    assert!(of(&before, "permissions").iter().any(|finding| finding.what.contains("token")));
    let state: Vec<_> = of(&before, "state").iter().map(|finding| (finding.level, finding.what.clone())).collect();
    assert_eq!(state[0].0, Level::Fail);
    assert!(state[0].1.starts_with("cron/jobs.json does not load"), "{state:?}");
    assert!(state[1].1.contains("a.jsonl.torn-2026"), "{state:?}");
    assert_eq!(mode(&token), 0o644);

    let mended = examine(&ground, true);
    assert!(of(&mended, "leftovers")[0].what.starts_with("mended: "));
    assert!(!half.exists());
    assert_eq!((mode(&token), mode(&config) & 0o007, mode(&bench.dir.join("state"))), (0o600, 0, 0o700));
    let after = examine(&ground, false);
    for name in ["secrets", "permissions", "leftovers"] {
        assert_eq!(of(&after, name)[0].level, Level::Ok, "{name}");
    }
}

#[test]
fn mistakes_of_the_configuration_are_told_with_their_line_and_where_to_edit() {
    let bench = Bench::new("config");
    bench.put("etc/barnacle.json", "{\n  gateway: {port: 'x'}\n}");
    let reports = examine(&bench.ground(Online::Nobody), false);
    let finding = &of(&reports, "configuration")[0];
    assert!(finding.what.starts_with("barnacle.json:2:19: gateway.port: "), "{}", finding.what);
    assert!(finding.mend.as_ref().unwrap().contains("+2 "), "{finding:?}");
}

#[test]
fn a_kernel_without_the_memory_cgroup_is_told_with_the_exact_line() {
    let bench = Bench::new("cgroup");
    bench.put("root/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io pids\n");
    bench.put("root/boot/firmware/cmdline.txt", "console=tty1 root=PARTUUID=1 rootwait\n");
    let reports = examine(&bench.ground(Online::Nobody), false);
    let finding = &of(&reports, "cgroup")[0];
    assert_eq!(finding.level, Level::Warn);
    let command = "sudo sed -i '1s/$/ cgroup_enable=memory cgroup_memory=1/' /boot/firmware/cmdline.txt && sudo reboot";
    assert_eq!(finding.mend.as_deref(), Some(command));
    bench.put("root/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n");
    assert_eq!(of(&examine(&bench.ground(Online::Nobody), false), "cgroup")[0].level, Level::Ok);
}

#[test]
fn limits_that_the_board_cannot_hold_and_a_state_in_memory_are_told() {
    let bench = Bench::new("board");
    bench.put("root/proc/meminfo", "MemTotal:         65536 kB\nMemFree: 1 kB\n");
    bench.put("root/proc/self/mounts", "/dev/a / ext4 rw 0 0\noverlay / overlay rw 0 0\n");
    let reports = examine(&bench.ground(Online::Nobody), false);
    assert_eq!(of(&reports, "memory")[0].level, Level::Warn);
    assert!(of(&reports, "memory")[0].mend.as_ref().unwrap().contains("totalBufferedBytes"));
    assert!(of(&reports, "medium")[0].what.contains("overlay"));
}

#[test]
fn somebody_who_looks_beside_the_machines_service_is_sent_there() {
    let bench = Bench::new("service");
    let trouble = || Online::Trouble("unauthorized".to_owned());
    let mend = |bench: &Bench| of(&examine(&bench.ground(trouble()), false), "gateway")[0].mend.clone().unwrap();
    assert!(mend(&bench).contains("ss -ltnp"));
    bench.put("root/var/lib/barnacle/token", "x");
    assert!(mend(&bench).contains("--state-dir /var/lib/barnacle"));
}

#[test]
fn who_waits_is_told_with_the_command_that_lets_them_in() {
    let bench = Bench::new("pairing");
    let online = Online::Yes {
        health: json!({"storage": {"ok": false, "trouble": "writing failed: no space"}}),
        channels: json!({"channelAccounts": {"telegram": [{"accountId": "a", "configured": true, "running": false, "lastError": "401"}]}}),
        devices: json!({"pending": [{"requestId": "r-1", "displayName": "Phone", "role": "node"}]}),
        people: json!({"pending": [{"code": "K7M2PQ4X", "channel": "telegram"}]}),
    };
    let reports = examine(&bench.ground(online), false);
    let mends: Vec<_> = of(&reports, "pairing").iter().filter_map(|finding| finding.mend.clone()).collect();
    assert_eq!(mends, ["barnacle devices approve r-1", "barnacle channels approve K7M2PQ4X"]);
    assert!(of(&reports, "channels")[0].what.contains("telegram (a): 401"));
    assert!(of(&reports, "gateway")[0].what.contains("no space"));
}
