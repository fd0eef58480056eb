//! Backups come back as they were, and a damaged one is refused whole.
#![allow(clippy::disallowed_methods, reason = "a test makes the files that it looks at")]

use std::fs;

use super::super::restore::{self, Places};
use super::*;

struct Bench {
    dir: PathBuf,
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Bench {
    fn new(test: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("barnacle-backup-{}-{test}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        for below in ["state/agents/main/sessions", "state/logs", "etc"] {
            fs::create_dir_all(dir.join(below)).unwrap();
        }
        let bench = Self { dir };
        bench.put("state/token", "secret\n");
        bench.put("state/lock", "1\n");
        bench.put("state/logs/gateway.log", "line\n");
        bench.put("state/agents/main/sessions/sessions.json", "{}");
        bench.put("state/agents/main/sessions/a.jsonl", "one\ntwo\n");
        bench.put("etc/barnacle.json", "{ /* mine */ }");
        bench
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.dir.join(name), text).unwrap();
    }

    fn text(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.dir.join(name)).ok()
    }

    fn archive(&self) -> PathBuf {
        self.dir.join("backup.tar.gz")
    }

    fn backup(&self) -> Result<Done, String> {
        let sources = Sources { state_dir: self.dir.join("state"), config: vec![self.dir.join("etc/barnacle.json")] };
        make(&sources, &self.archive(), &Made { now_ms: 1_795_372_186_044, host: "pi".into() })
    }

    fn restore(&self) -> Result<restore::Done, String> {
        let places = Places { state_dir: self.dir.join("state"), config_file: self.dir.join("etc/barnacle.json") };
        restore::restore(&self.archive(), &places, 1_795_372_200_000)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.dir).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

#[test]
fn what_was_backed_up_comes_back_and_what_was_there_is_kept() {
    let bench = Bench::new("back");
    let done = bench.backup().unwrap();
    let names: Vec<_> = done.manifest.files.keys().map(String::as_str).collect();
    let wanted = [
        "config/barnacle.json",
        "state/agents/main/sessions/a.jsonl",
        "state/agents/main/sessions/sessions.json",
        "state/token",
    ];
    assert_eq!(names, wanted);
    assert_eq!(tree::meta(&bench.archive()).unwrap().mode, 0o600);
    bench.put("state/agents/main/sessions/a.jsonl", "other\n");
    bench.put("state/new", "x");
    bench.put("etc/barnacle.json", "{}");
    let back = bench.restore().unwrap();
    assert_eq!(bench.text("state/agents/main/sessions/a.jsonl").unwrap(), "one\ntwo\n");
    assert_eq!(bench.text("state/new"), None);
    assert_eq!(bench.text("etc/barnacle.json").unwrap(), "{ /* mine */ }");
    assert_eq!(back.kept.len(), 2);
    assert_eq!(fs::read_to_string(back.kept[0].join("agents/main/sessions/a.jsonl")).unwrap(), "other\n");
    assert_eq!(fs::read_to_string(&back.kept[1]).unwrap(), "{}");
    assert_eq!(tree::meta(&bench.dir.join("state")).unwrap().mode, 0o700);
    assert_eq!(tree::meta(&bench.dir.join("state/token")).unwrap().mode, 0o600);
}

#[test]
fn an_archive_with_one_byte_changed_or_missing_is_refused_and_nothing_is_touched() {
    let bench = Bench::new("damage");
    bench.backup().unwrap();
    let whole = fs::read(bench.archive()).unwrap();
    let before = bench.names();
    for at in (0..whole.len()).step_by(7) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x41;
        fs::write(bench.archive(), &bytes).unwrap();
        // Bytes of the head that mean nothing (its time, the system's number) may be any.
        if bench.restore().is_ok() {
            assert!(at < 10, "byte {at} was changed unnoticed");
        }
    }
    for length in (0..whole.len()).step_by(11) {
        fs::write(bench.archive(), &whole[..length]).unwrap();
        bench.restore().unwrap_err();
    }
    let left: Vec<_> = bench.names().into_iter().filter(|name| !name.contains("before-restore")).collect();
    assert_eq!(left, before);
    assert_eq!(bench.text("state/token").unwrap(), "secret\n");
}

#[test]
fn what_is_replaced_or_goes_away_while_it_is_copied_is_copied_again_with_what_belongs_to_it() {
    let bench = Bench::new("stale");
    bench.put("state/agents/main/sessions/sessions.journal.jsonl", "old change\n");
    let root = bench.dir.join("state");
    let mut copy = Copy {
        writer: Writer::new(tree::create(&bench.archive()).unwrap(), 0),
        root: &root,
        own: [bench.archive(), bench.archive()],
        copied: BTreeMap::new(),
        left_out: BTreeSet::new(),
    };
    let now = copy.list().unwrap();
    copy.copy(&now, &BTreeSet::new()).unwrap();
    // The gateway writes its index whole, begins a new journal, and removes the old one.
    bench.put("state/agents/main/sessions/sessions.json.new", "{\"new\":1}");
    fs::rename(root.join("agents/main/sessions/sessions.json.new"), root.join("agents/main/sessions/sessions.json"))
        .unwrap();
    bench.put("state/agents/main/sessions/sessions.journal.1.jsonl", "new change\n");
    fs::remove_file(root.join("agents/main/sessions/sessions.journal.jsonl")).unwrap();
    bench.put("state/agents/main/sessions/a.jsonl", "one\ntwo\nthree\n");
    copy.state().unwrap();
    let manifest = Manifest {
        format: FORMAT.into(),
        version: VERSION,
        program: String::new(),
        made: String::new(),
        host: String::new(),
        config_file: None,
        files: BTreeMap::new(),
    };
    copy.writer.finish(manifest).unwrap();
    bench.restore().unwrap();
    let text = |name: &str| bench.text(&format!("state/agents/main/sessions/{name}"));
    assert_eq!(text("sessions.json").unwrap(), "{\"new\":1}");
    assert_eq!(text("sessions.journal.1.jsonl").unwrap(), "new change\n");
    assert_eq!(text("sessions.journal.jsonl"), None);
    assert_eq!(text("a.jsonl").unwrap(), "one\ntwo\nthree\n");
}

#[test]
fn a_link_in_the_states_place_stays_one_and_what_it_leads_to_is_put_aside() {
    let bench = Bench::new("link");
    bench.backup().unwrap();
    fs::create_dir(bench.dir.join("private")).unwrap();
    fs::rename(bench.dir.join("state"), bench.dir.join("private/state")).unwrap();
    std::os::unix::fs::symlink("private/state", bench.dir.join("state")).unwrap();
    let back = bench.restore().unwrap();
    assert!(fs::symlink_metadata(bench.dir.join("state")).unwrap().is_symlink());
    assert!(back.kept[0].starts_with(fs::canonicalize(bench.dir.join("private")).unwrap()), "{:?}", back.kept);
    assert_eq!(bench.text("state/token").unwrap(), "secret\n");
}

#[test]
fn a_gateway_that_runs_is_not_robbed_of_its_state() {
    let bench = Bench::new("lock");
    bench.backup().unwrap();
    let lock = crate::sys::instance::Instance::take(&bench.dir.join("state")).unwrap();
    let refused = bench.restore().unwrap_err();
    assert!(refused.contains(&format!("pid {}", std::process::id())) && refused.contains("stop it"), "{refused}");
    drop(lock);
    bench.restore().unwrap();
}

#[test]
fn an_archive_is_never_overwritten_and_its_own_file_is_not_in_it() {
    let bench = Bench::new("own");
    let sources = Sources { state_dir: bench.dir.join("state"), config: Vec::new() };
    let to = bench.dir.join("state/backup.tar.gz");
    let made = Made { now_ms: 0, host: String::new() };
    let done = make(&sources, &to, &made).unwrap();
    assert!(!done.manifest.files.keys().any(|name| name.contains("backup")));
    assert!(make(&sources, &to, &made).unwrap_err().contains("is there already"));
}

#[test]
fn a_foreign_archive_and_one_that_leads_out_are_refused() {
    let bench = Bench::new("foreign");
    fs::write(bench.archive(), "no archive").unwrap();
    assert!(bench.restore().unwrap_err().contains("not a backup"));
    let file = fs::File::create(bench.archive()).unwrap();
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(file, flate2::Compression::fast()));
    let mut header = tar::Header::new_gnu();
    header.as_gnu_mut().unwrap().name[..11].copy_from_slice(b"../evil.txt");
    header.set_size(4);
    header.set_mode(0o600);
    header.set_cksum();
    tar.append(&header, &b"evil"[..]).unwrap();
    tar.into_inner().unwrap().finish().unwrap();
    assert!(bench.restore().unwrap_err().contains("leads out"));
    assert!(!bench.dir.parent().unwrap().join("evil.txt").exists());
}
