//! The board: its clock, disk, memory and power.

use std::path::{Path, PathBuf};

use super::finding::Finding;
use super::ground::Ground;
use crate::limits::CLOCK_MIN_MS;
use crate::stores::stamp;
use crate::sys::{Files as _, disk::Disk, tree};

/// Room that a gateway needs to go on writing for a while, bytes.
const ROOM_BYTES: u64 = 20_000_000;
/// Room below which it is time to look, bytes.
const ROOM_SOON_BYTES: u64 = 200_000_000;
/// Files for which there should be room.
const ROOM_FILES: u64 = 1000;
/// What a gateway takes beside what waits for its clients, bytes: program, sessions, conversations under way.
const OWN_BYTES: u64 = 24 * 1024 * 1024;
/// What Raspberry Pi OS needs in the one line of its kernel's parameters.
const CGROUP_WORDS: &str = "cgroup_enable=memory cgroup_memory=1";

pub(super) fn clock(ground: &Ground) -> Vec<Finding> {
    let now_ms = ground.clock.now_ms();
    let ntp = "sudo timedatectl set-ntp true";
    if now_ms < CLOCK_MIN_MS {
        return vec![
            Finding::fail(format!("it shows {}, which is long ago; jobs wait and TLS fails", stamp::iso(now_ms)))
                .mend(ntp),
        ];
    }
    let asked = || ground.run(&["timedatectl", "show", "--property=NTPSynchronized", "--value"]);
    if ground.clock.is_synchronised() || asked().is_some_and(|done| done.stdout.trim() == "yes") {
        return vec![Finding::ok("set by a time server")];
    }
    vec![
        Finding::note(
            "no time server has set it, or it can't be told here; a board without a battery starts in the past",
        )
        .mend(ntp),
    ]
}

pub(super) fn disk(ground: &Ground) -> Vec<Finding> {
    let dir = standing(&ground.places.state_dir);
    let quoted = Ground::quoted(&dir);
    let space = match tree::space(&dir) {
        Ok(space) => space,
        Err(error) => {
            return vec![Finding::warn(format!("{}: {error}", dir.display())).mend(format!("df -h {quoted}"))];
        }
    };
    if space.is_read_only {
        return vec![
            Finding::fail(format!("{} is mounted for reading only: nothing can be kept", dir.display()))
                .mend(format!("sudo mount -o remount,rw $(findmnt -no TARGET -T {quoted})")),
        ];
    }
    if let Err(error) = tree::try_write(&dir) {
        let mend = match error.kind() {
            std::io::ErrorKind::PermissionDenied => format!("sudo barnacle doctor --state-dir {quoted}"),
            _ => format!("df -h {quoted}; df -i {quoted}; dmesg | tail"),
        };
        return vec![Finding::fail(format!("{} can't be written: {error}", dir.display())).mend(mend)];
    }
    let megabytes = space.free_bytes / 1_000_000;
    let (free_files, files) = space.free_files;
    let mut findings = Vec::new();
    let clean = format!("sudo journalctl --vacuum-size=50M; sudo apt-get clean; du -xh {quoted} | sort -h | tail");
    if space.free_bytes < ROOM_BYTES {
        findings.push(Finding::fail(format!("{megabytes} MB are free for {}", dir.display())).mend(clean));
    } else if space.free_bytes < ROOM_SOON_BYTES {
        findings.push(Finding::warn(format!("{megabytes} MB are free for {}", dir.display())).mend(clean));
    }
    if files > 0 && free_files < ROOM_FILES {
        findings.push(
            Finding::fail(format!("there is room for {free_files} more files at {}", dir.display()))
                .mend(format!("df -i {quoted}")),
        );
    }
    if findings.is_empty() {
        findings.push(Finding::ok(format!("{megabytes} MB free")));
    }
    findings
}

/// The nearest directory above that is there.
fn standing(dir: &Path) -> PathBuf {
    dir.ancestors().find(|dir| crate::sys::host::is_there(dir)).unwrap_or_else(|| Path::new("/")).to_path_buf()
}

pub(super) fn medium(ground: &Ground) -> Vec<Finding> {
    let dir = standing(&ground.places.state_dir);
    let dir = Disk::default().real_path(&dir).unwrap_or(dir);
    let mounts = ground.system_file("proc/self/mounts").unwrap_or_default();
    // `device place kind options`; the longest place that the directory is below, and of those the last.
    let mount = mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ').skip(1);
            Some((words.next()?, words.next()?))
        })
        .filter(|(place, _)| dir.starts_with(place.replace("\\040", " ")))
        .reduce(|best, next| if next.0.len() >= best.0.len() { next } else { best });
    match mount {
        Some((place, kind @ ("tmpfs" | "ramfs" | "overlay"))) => vec![
            Finding::warn(format!(
                "{} is on {kind} ({place}): what is written there may be gone after a restart of the machine",
                dir.display()
            ))
            .mend("put the state on a mount that is written: barnacle run --state-dir DIR"),
        ],
        _ => vec![Finding::ok("the state outlives a restart")],
    }
}

pub(super) fn memory(ground: &Ground) -> Vec<Finding> {
    let Some(total) = ground.system_file("proc/meminfo").and_then(|text| kilobytes(&text, "MemTotal")) else {
        return vec![Finding::ok("can't be told here")];
    };
    let Some(config) = ground.config() else { return vec![Finding::ok("the configuration comes first")] };
    let needed = OWN_BYTES + config.gateway.limits.total_buffered_bytes;
    let available = total * 1024;
    let megabytes = |bytes: u64| bytes / 1_048_576;
    if needed > available / 2 {
        return vec![
            Finding::warn(format!(
                "the configured limits allow {} MB, and the board has {} MB",
                megabytes(needed),
                megabytes(available)
            ))
            .mend(format!("set gateway.limits.totalBufferedBytes to {}", (available / 4).max(1_048_576))),
        ];
    }
    vec![Finding::ok(format!("at most {} of {} MB", megabytes(needed), megabytes(available)))]
}

fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.split(':').next() == Some(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

pub(super) fn cgroup(ground: &Ground) -> Vec<Finding> {
    let unified = ground.system_file("sys/fs/cgroup/cgroup.controllers");
    let older = ground.system_file("proc/cgroups").unwrap_or_default();
    let is_older_on = older.lines().any(|line| line.starts_with("memory\t") && line.ends_with("\t1"));
    let is_on = unified.as_ref().is_some_and(|text| text.split_whitespace().any(|name| name == "memory"));
    if is_on || is_older_on {
        return vec![Finding::ok("the kernel can")];
    }
    if unified.is_none() && older.is_empty() {
        return vec![Finding::ok("can't be told here")];
    }
    let line = ["boot/firmware/cmdline.txt", "boot/cmdline.txt"];
    let file = line.iter().find(|path| ground.system_file(path).is_some());
    let what = "the memory cgroup is switched off: MemoryMax= of the service means nothing";
    vec![match file {
        Some(path) => Finding::warn(format!("{what}; {CGROUP_WORDS} is missing in /{path}"))
            .mend(format!("sudo sed -i '1s/$/ {CGROUP_WORDS}/' /{path} && sudo reboot")),
        None => Finding::note(format!("{what}; start the kernel with {CGROUP_WORDS}")),
    }]
}

pub(super) fn landlock(ground: &Ground) -> Vec<Finding> {
    match ground.system_file("sys/kernel/security/lsm") {
        Some(modules) if modules.split(',').any(|name| name.trim() == "landlock") => vec![Finding::ok("there")],
        Some(_) => vec![
            Finding::note("this kernel doesn't have it switched on; the sandbox of the service's unit doesn't need it")
                .mend("add landlock to lsm= of the kernel's parameters"),
        ],
        None => vec![Finding::ok("can't be told here")],
    }
}

pub(super) fn power(ground: &Ground) -> Vec<Finding> {
    let asked = ground.run(&["vcgencmd", "get_throttled"]).filter(crate::sys::processes::Finished::is_success);
    let bits = asked.and_then(|done| {
        let bits = done.stdout.trim().strip_prefix("throttled=0x")?.to_owned();
        u32::from_str_radix(&bits, 16).ok()
    });
    let Some(bits) = bits else { return vec![Finding::ok("can't be told here")] };
    let is = |bit: u32| bits & (1 << bit) != 0;
    let supply = "use the supply made for this board, and a short thick cable; then: vcgencmd get_throttled";
    let mut findings = Vec::new();
    if is(0) {
        findings.push(Finding::fail("the voltage is too low now: cards break that way").mend(supply));
    } else if is(16) {
        findings.push(Finding::warn("the voltage has been too low since the board was switched on").mend(supply));
    }
    if is(2) || is(3) {
        findings.push(Finding::warn("the board is too hot and slows down").mend("vcgencmd measure_temp"));
    } else if is(18) || is(19) {
        findings
            .push(Finding::note("the board has been too hot since it was switched on").mend("vcgencmd measure_temp"));
    }
    if findings.is_empty() {
        findings.push(Finding::ok("enough of it"));
    }
    findings
}
