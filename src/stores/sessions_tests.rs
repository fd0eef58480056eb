//! What the session index promises, on forgetful files.

use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::stores::KeyRules;
use crate::stores::bench::{Bench, NOW_MS};
use crate::sys::Files as _;

const DIR: &str = "/s/agents/main/sessions";

fn load(bench: &Bench) -> (SessionStore, Vec<Problem>) {
    SessionStore::load(&bench.sys, &bench.saver, Path::new("/s"), "main", &Limits::default()).unwrap()
}

fn key(text: &str) -> SessionKey {
    SessionKey::canonical(text, &KeyRules { default_agent: "main".into(), global: false }).unwrap()
}

fn put(bench: &Bench, name: &str, content: &str) {
    bench.files.create_dir(Path::new(DIR)).unwrap();
    bench.files.append(&Path::new(DIR).join(name), content.as_bytes()).unwrap();
}

fn index_json(bench: &Bench) -> Value {
    serde_json::from_slice(&bench.files.read(&Path::new(DIR).join("sessions.json"), 100_000).unwrap()).unwrap()
}

fn names(bench: &Bench) -> Vec<String> {
    bench.files.list(Path::new(DIR)).unwrap().into_iter().map(|entry| entry.name).collect()
}

#[test]
fn a_new_session_gets_an_id_and_a_time_and_is_found_again() {
    let bench = Bench::new(1);
    let (store, problems) = load(&bench);
    assert_eq!(problems, []);
    let made = store.update(&key("main"), Durability::Forced, |entry| entry.label = Some("Home".into())).unwrap();
    assert_eq!(made.updated_at, Some(NOW_MS));
    let id = made.session_id.clone().unwrap();
    assert_eq!(id.len(), 36);
    assert_eq!(store.get(&key("main")), Some(made));
    assert_eq!(store.by_session_id(&id), [key("main")]);
    assert_eq!(store.by_label("Home"), [key("main")]);
    assert_eq!(store.by_label("Hom"), []);
    assert_eq!(store.len(), 1);
}

#[test]
fn an_existing_index_is_read_with_its_unknown_fields_and_without_the_dropped_one() {
    let bench = Bench::new(1);
    let stored = json!({
        "agent:main:Main": {"sessionId": "a", "updatedAt": 7, "skillsSnapshot": {"prompt": "x"}, "future": [1, 2]},
        "global": {"sessionId": "g", "updatedAt": 9},
    });
    put(&bench, "sessions.json", &stored.to_string());
    let (store, problems) = load(&bench);
    assert_eq!(problems, []);
    assert_eq!(store.get(&key("main")).unwrap().rest["future"], json!([1, 2]));
    assert!(!store.row(&key("main")).unwrap().text().contains("skills"));
    assert_eq!(store.newest().iter().map(|row| row.key().as_str()).collect::<Vec<_>>(), ["global", "agent:main:main"]);
    store.update(&key("main"), Durability::Forced, |entry| entry.total_tokens = Some(3)).unwrap();
    bench.run(store.close()).unwrap();
    let written = index_json(&bench);
    assert_eq!(written["agent:main:main"]["future"], json!([1, 2]));
    assert_eq!(written["agent:main:main"]["totalTokens"], 3);
    assert_eq!(written["global"]["sessionId"], "g");
}

#[test]
fn a_clean_stop_leaves_only_the_file_that_others_read_in_two_space_json() {
    let bench = Bench::new(1);
    let (store, _) = load(&bench);
    store
        .update(&key("a\"b"), Durability::Forced, |entry| {
            entry.label = Some("two\nlines".into());
            entry.session_id = Some("s".into());
        })
        .unwrap();
    bench.run(store.close()).unwrap();
    assert_eq!(names(&bench), ["sessions.json"]);
    let text = bench.files.read(&Path::new(DIR).join("sessions.json"), 1000).unwrap();
    let expected = format!(
        "{{\n  \"agent:main:a\\\"b\": {{\n    \"label\": \"two\\nlines\",\n    \"sessionId\": \"s\",\n    \"updatedAt\": {NOW_MS}\n  }}\n}}\n"
    );
    assert_eq!(String::from_utf8(text).unwrap(), expected);
    let writes = bench.files.stats().bytes_written;
    bench.run(store.close()).unwrap();
    assert_eq!(bench.files.stats().bytes_written, writes, "nothing changed, nothing is written");
    assert_eq!(load(&bench).0.get(&key("a\"b")).unwrap().label.as_deref(), Some("two\nlines"));
}

#[test]
fn forced_changes_cost_one_shared_sync_and_lazy_ones_none() {
    let bench = Bench::new(1);
    let (store, _) = load(&bench);
    for round in 0..5 {
        store.update(&key("a"), Durability::Forced, |entry| entry.total_tokens = Some(round)).unwrap();
    }
    let (one, two) = (store.saved(), store.saved());
    bench.run(Durable::all([one, two])).unwrap();
    assert_eq!(bench.files.stats().syncs, 1);
    store.update(&key("a"), Durability::Lazy, |entry| entry.total_tokens = Some(9)).unwrap();
    bench.run(store.saved()).unwrap();
    assert_eq!(bench.files.stats().syncs, 1);
    assert_eq!(load(&bench).0.get(&key("a")).unwrap().total_tokens, Some(9), "it is in the journal all the same");
}

#[test]
fn deletion_and_reset_survive_a_restart() {
    let bench = Bench::new(1);
    let (store, _) = load(&bench);
    store.update(&key("gone"), Durability::Forced, |_| ()).unwrap();
    let old = store.update(&key("kept"), Durability::Forced, |entry| entry.label = Some("L".into())).unwrap();
    assert!(store.remove(&key("gone")).unwrap().is_some());
    assert_eq!(store.remove(&key("gone")).unwrap(), None);
    let fresh = store.reset(&key("kept")).unwrap();
    assert_ne!(fresh.session_id, old.session_id);
    let (again, _) = load(&bench);
    assert_eq!((again.len(), again.get(&key("kept"))), (1, Some(fresh)));
}

#[test]
fn a_torn_journal_tail_is_cut_off_and_bad_lines_are_counted_once() {
    let bench = Bench::new(1);
    put(
        &bench,
        "sessions.journal.jsonl",
        "{\"key\":\"agent:main:a\",\"entry\":{\"sessionId\":\"1\"}}\n\0\0\0\n{\"key\":\"agent:main:b\",\"entry\":{\"sess",
    );
    let (store, problems) = load(&bench);
    assert_eq!(
        problems,
        [
            Problem::TornJournal { agent: "main".into(), bytes: 36 },
            Problem::BadJournalLines { agent: "main".into(), count: 1 },
        ]
    );
    assert_eq!(store.len(), 1);
    bench.run(store.close()).unwrap();
    assert_eq!(load(&bench).1, []);
}

#[test]
fn a_damaged_index_is_kept_aside_and_rebuilt_from_all_that_can_be_read() {
    let bench = Bench::new(1);
    put(&bench, "sessions.json", "{\"agent:main:a\": {\"sessionId\": \"1\"}, \"agent:main:b\": {\"sess");
    put(&bench, "sessions.journal.jsonl", "{\"key\":\"agent:main:c\",\"entry\":{\"sessionId\":\"3\"}}\n");
    put(&bench, "1.jsonl", "{\"type\":\"session\",\"id\":\"1\"}\n");
    put(&bench, "lost.jsonl", "{\"type\":\"session\",\"id\":\"lost\"}\n");
    let (store, problems) = load(&bench);
    let kept_as = "sessions.json.damaged-2026-11-22T18-29-46.000Z";
    assert_eq!(problems, [Problem::DamagedIndex { agent: "main".into(), kept_as: kept_as.into(), sessions: 3 }]);
    assert!(!problems[0].to_string().contains('/'));
    assert_eq!(store.get(&key("a")).unwrap().session_id.as_deref(), Some("1"));
    assert_eq!(store.get(&key("c")).unwrap().session_id.as_deref(), Some("3"));
    assert_eq!(store.get(&key("recovered:lost")).unwrap().session_id.as_deref(), Some("lost"));
    // A crash before the new index is written: the same copy serves.
    let bench = Bench::on(bench.files.clone(), 2);
    let (store, problems) = load(&bench);
    assert_eq!(problems.len(), 1);
    bench.run(store.close()).unwrap();
    assert_eq!(names(&bench), ["1.jsonl", "lost.jsonl", "sessions.json", kept_as]);
    assert_eq!(load(&bench).1, []);
    assert_eq!(load(&bench).0.len(), 3);
}

#[test]
fn an_empty_index_is_damage_and_one_with_comments_is_not() {
    let bench = Bench::new(1);
    put(&bench, "sessions.json", "");
    assert!(matches!(load(&bench).1[..], [Problem::DamagedIndex { sessions: 0, .. }]));
    let bench = Bench::new(1);
    put(&bench, "sessions.json", "{ // by hand\n 'agent:main:a': {sessionId: \"1\",},\n}");
    let (store, problems) = load(&bench);
    assert_eq!((store.len(), problems), (1, vec![]));
    let bench = Bench::new(1);
    put(&bench, "sessions.json", &"[".repeat(100_000));
    assert_eq!(load(&bench).1.len(), 1);
}

#[test]
fn keys_that_differ_in_case_become_the_newest_one() {
    let bench = Bench::new(1);
    put(
        &bench,
        "sessions.json",
        r#"{"agent:main:Foo":{"sessionId":"new","updatedAt":2},"agent:main:foo":{"sessionId":"old","updatedAt":1},"":{},"x":3}"#,
    );
    let (store, problems) = load(&bench);
    assert_eq!(store.get(&key("foo")).unwrap().session_id.as_deref(), Some("new"));
    assert_eq!(
        problems,
        [
            Problem::BadEntries { agent: "main".into(), count: 2 },
            Problem::MergedKeys { agent: "main".into(), count: 1 },
        ]
    );
}

#[test]
fn an_unreadable_disk_is_an_error_and_not_an_empty_index() {
    let bench = Bench::new(1);
    put(&bench, "sessions.json", "{}");
    bench.files.break_reads(true);
    assert!(SessionStore::load(&bench.sys, &bench.saver, Path::new("/s"), "main", &Limits::default()).is_err());
}

#[test]
fn a_full_disk_changes_nothing_and_says_so() {
    let bench = Bench::new(1);
    let (store, _) = load(&bench);
    let before = store.update(&key("a"), Durability::Forced, |_| ()).unwrap();
    bench.files.fill_up();
    let refused = store.update(&key("a"), Durability::Forced, |entry| entry.label = Some("x".into()));
    assert_eq!(refused, Err(StoreError::Full));
    assert_eq!(store.remove(&key("a")), Err(StoreError::Full));
    assert_eq!(store.get(&key("a")), Some(before.clone()));
    assert!(bench.run(store.close()).is_err());
    bench.files.free_up();
    bench.run(store.close()).unwrap();
    assert_eq!(load(&bench).0.get(&key("a")), Some(before));
}

#[test]
fn the_bounds_are_kept() {
    let bench = Bench::new(1);
    let limits = Limits { sessions: 2, ..Limits::default() };
    let (store, _) = SessionStore::load(&bench.sys, &bench.saver, Path::new("/s"), "main", &limits).unwrap();
    for name in ["a", "b"] {
        store.update(&key(name), Durability::Forced, |_| ()).unwrap();
    }
    assert_eq!(store.update(&key("c"), Durability::Forced, |_| ()), Err(StoreError::TooManySessions(2)));
    store.update(&key("a"), Durability::Forced, |_| ()).unwrap();
    let long = "x".repeat(70_000);
    let refused = store.update(&key("a"), Durability::Forced, |entry| entry.label = Some(long));
    assert!(matches!(refused, Err(StoreError::TooLarge(..))));
}

#[test]
fn a_long_journal_becomes_a_checkpoint_while_changes_go_on() {
    let bench = Bench::new(1);
    let (store, _) = load(&bench);
    for round in 0..3000_u64 {
        let name = format!("s{}", round % 50);
        store.update(&key(&name), Durability::Forced, |entry| entry.total_tokens = Some(round)).unwrap();
        if round % 100 == 0 {
            bench.world.run_for(std::time::Duration::from_millis(3));
        }
    }
    bench.world.run_for(std::time::Duration::from_secs(1));
    let journals: Vec<_> = names(&bench).into_iter().filter(|name| name.contains("journal")).collect();
    assert_eq!(journals.len(), 1, "{journals:?}");
    assert!(index_json(&bench).as_object().unwrap().len() == 50);
    let (again, problems) = load(&bench);
    assert_eq!(problems, []);
    for number in 0..50 {
        assert_eq!(again.get(&key(&format!("s{number}"))).unwrap().total_tokens, Some(2950 + number));
    }
}

#[test]
fn sessions_live_in_their_agents_directories() {
    let bench = Bench::new(1);
    let (store, _) = load(&bench);
    store.update(&key("agent:office:main"), Durability::Forced, |_| ()).unwrap();
    store.update(&key("global"), Durability::Forced, |_| ()).unwrap();
    bench.run(store.close()).unwrap();
    assert_eq!(index_json(&bench).as_object().unwrap().keys().collect::<Vec<_>>(), ["global"]);
    assert!(bench.files.size(Path::new("/s/agents/office/sessions/sessions.json")).unwrap() > 10);
    let (again, _) = load(&bench);
    assert_eq!(again.len(), 2);
    assert_eq!(again.sessions_dirs().len(), 2);
    assert_eq!(again.sessions_dir("../x"), Path::new("/s/agents/x/sessions"));
}

#[test]
fn ten_thousand_sessions_are_listed_and_written_in_bounded_memory() {
    let bench = Bench::new(1);
    let (store, _) = load(&bench);
    for number in 0..10_000_u64 {
        let name = format!("s{number}");
        store.update(&key(&name), Durability::Lazy, |entry| entry.total_tokens = Some(number)).unwrap();
    }
    let rows = store.newest();
    assert_eq!(rows.len(), 10_000);
    let bytes: usize =
        rows.iter().map(|row| row.text().len() + row.session_id().len() + row.key().as_str().len()).sum();
    assert!(bytes < 3_000_000, "{bytes}");
    bench.run(store.close()).unwrap();
    assert_eq!(load(&bench).0.len(), 10_000);
}

#[test]
fn sessions_that_change_within_a_millisecond_are_listed_in_the_order_of_their_changes() {
    let bench = Bench::new(1);
    let (store, _) = load(&bench);
    for name in ["a", "c", "b", "a"] {
        store.update(&key(name), Durability::Lazy, |_| ()).unwrap();
    }
    let order: Vec<_> = store.newest().iter().map(|row| row.key().to_string()).collect();
    assert_eq!(order, ["agent:main:a", "agent:main:b", "agent:main:c"]);
}
