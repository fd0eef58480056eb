//! That the file is what its owner and its clients last made of it.

use super::*;
use crate::stores::bench::Bench;
use crate::sys::Files as _;

fn store(bench: &Bench) -> ExecApprovals {
    ExecApprovals::new(&bench.sys, &bench.saver, Path::new("/s"))
}

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => panic!("no object"),
    }
}

fn write_by_hand(bench: &Bench, text: &str) {
    bench.files.create_dir(Path::new("/s")).unwrap();
    let write = bench.files.replace("/s/exec-approvals.json".into(), text.as_bytes().to_vec());
    bench.run(write).unwrap();
}

fn on_disk(bench: &Bench) -> Value {
    serde_json::from_slice(&bench.files.read(Path::new("/s/exec-approvals.json"), 1_000_000).unwrap()).unwrap()
}

fn bench() -> Bench {
    let bench = Bench::new(1);
    bench.files.create_dir(Path::new("/s")).unwrap();
    bench
}

#[test]
fn the_file_is_made_and_its_hash_is_that_of_its_bytes() {
    let bench = bench();
    let (snapshot, durable) = store(&bench).snapshot().unwrap();
    bench.run(durable).unwrap();
    let bytes = bench.files.read(Path::new("/s/exec-approvals.json"), 1_000_000).unwrap();
    assert_eq!(snapshot.hash, hash(&bytes));
    assert_eq!(on_disk(&bench), json!({"version": 1, "defaults": {}, "agents": {}}));
    assert_eq!(store(&bench).snapshot().unwrap().0.hash, snapshot.hash);
}

#[test]
fn an_owners_file_gets_ids_keeps_unknown_keys_and_hides_the_token() {
    let bench = bench();
    write_by_hand(
        &bench,
        r#"{"version":1,"socket":{"path":"/x","token":"t"},"theirs":5,
            "agents":{"default":{"ask":"always","allowlist":[{"pattern":"a"}]},
                      "main":{"security":"full","allowlist":[{"id":"1","pattern":"b"}]}}}"#,
    );
    let (snapshot, durable) = store(&bench).snapshot().unwrap();
    bench.run(durable).unwrap();
    let main = &snapshot.file["agents"]["main"];
    assert_eq!((&main["ask"], &main["security"]), (&json!("always"), &json!("full")));
    assert_eq!(main["allowlist"][1]["id"].as_str().unwrap().len(), 36);
    assert!(snapshot.file["agents"].get("default").is_none());
    assert_eq!((&snapshot.file["theirs"], &snapshot.file["socket"]), (&json!(5), &json!({"path": "/x"})));
    assert_eq!(on_disk(&bench)["socket"]["token"], "t");
    // An edit by hand is seen, in whatever form.
    write_by_hand(&bench, r#"{"version": 1, "defaults": {"ask":"off"}, "agents": {}}"#);
    let (edited, _) = store(&bench).snapshot().unwrap();
    assert_eq!(edited.file["defaults"]["ask"], "off");
}

#[test]
fn a_change_needs_the_hash_of_what_it_changes() {
    let bench = bench();
    let store = store(&bench);
    let (first, durable) = store.set(map(json!({"version": 1})), None).unwrap();
    // It holds from now on, not only once it is on the medium.
    assert_eq!(store.set(map(json!({})), None).unwrap_err(), SetError::HashRequired);
    bench.run(durable).unwrap();
    assert_eq!(store.set(map(json!({})), Some("other")).unwrap_err(), SetError::Changed);
    write_by_hand(&bench, r#"{"version":1,"socket":{"path":"/x","token":"t"}}"#);
    assert_eq!(store.set(map(json!({})), Some(&first.hash)).unwrap_err(), SetError::Changed);
    let (known, durable) = store.snapshot().unwrap();
    bench.run(durable).unwrap();
    let (_, durable) = store.set(map(json!({"socket": {"path": " "}})), Some(&known.hash)).unwrap();
    bench.run(durable).unwrap();
    assert_eq!(on_disk(&bench)["socket"], json!({"path": "/x", "token": "t"}));
}

#[test]
fn a_command_that_is_always_allowed_stands_once_with_its_last_use() {
    let bench = bench();
    let store = store(&bench);
    for command in ["ls /srv", "ls /etc"] {
        let durable = store.allow(&Always { agent_id: "main", pattern: "/bin/ls", command }).unwrap();
        bench.run(durable).unwrap();
    }
    let list = on_disk(&bench)["agents"]["main"]["allowlist"].clone();
    assert_eq!((list.as_array().unwrap().len(), &list[0]["lastUsedCommand"]), (1, &json!("ls /etc")));
    assert_eq!((&list[0]["pattern"], &list[0]["lastResolvedPath"]), (&json!("/bin/ls"), &json!("/bin/ls")));
}

#[test]
fn damage_is_put_aside_and_a_file_over_its_bound_is_not_written() {
    let bench = bench();
    write_by_hand(&bench, "{ not json");
    assert!(store(&bench).snapshot().unwrap().0.file.contains_key("version"));
    let names = bench.files.list(Path::new("/s")).unwrap();
    assert!(names.iter().any(|entry| entry.name.starts_with("exec-approvals.json.damaged-")), "{names:?}");
    let large = map(json!({"defaults": {"note": "x".repeat(APPROVALS_FILE_BYTES)}}));
    let refused = ExecApprovals::new(&bench.sys, &bench.saver, Path::new("/t")).set(large, None).unwrap_err();
    assert_eq!(refused, SetError::Store(StoreError::TooLarge("the file of exec approvals", APPROVALS_FILE_BYTES)));
}

#[test]
fn the_log_of_decisions_is_bounded() {
    let bench = bench();
    let store = store(&bench);
    let line = json!({"text": "x".repeat(100_000)});
    for _ in 0..25 {
        let durable = store.log(&line).unwrap();
        bench.run(durable).unwrap();
    }
    for name in ["/s/exec-approvals.log.jsonl", "/s/exec-approvals.log.old.jsonl"] {
        let size = bench.files.size(Path::new(name)).unwrap();
        assert!(size > 100_000 && size <= APPROVALS_LOG_BYTES, "{name}: {size}");
    }
}
