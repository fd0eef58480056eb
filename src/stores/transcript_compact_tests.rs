//! That a shortened transcript keeps what it must, whatever happens meanwhile.

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::stores::bench::Bench;
use crate::stores::transcripts::Reason;
use crate::sys::Files as _;
use crate::wire::message::Message;

const DIR: &str = "/s";

fn setup(roles: &str) -> (Bench, TranscriptStore, TranscriptFile) {
    let bench = Bench::new(1);
    bench.files.create_dir(Path::new(DIR)).unwrap();
    let store = TranscriptStore::load(&bench.sys, &bench.saver, "/w", &[]).unwrap();
    let file = TranscriptFile::new(Path::new(DIR), "s", None).unwrap();
    for (number, role) in roles.chars().enumerate() {
        store.append(&file, &message(role, number)).unwrap();
    }
    (bench, store, file)
}

/// `u`ser, `c`all of a tool, or `r`esult.
fn message(role: char, number: usize) -> Message {
    let text = json!({"type": "text", "text": number.to_string()});
    serde_json::from_value(match role {
        'u' => json!({"role": "user", "content": [text]}),
        'c' => json!({"role": "assistant", "content": [text, {"type": "toolCall", "id": "t", "name": "x", "arguments": {}}]}),
        _ => json!({"role": "toolResult", "toolCallId": "t", "content": [text]}),
    })
    .unwrap()
}

fn compact(bench: &Bench, store: &TranscriptStore, file: &TranscriptFile, lines: u64) -> Compaction {
    let (store, file) = (store.clone(), file.clone());
    bench.run(async move { store.compact(&file, lines).await }).unwrap()
}

fn numbers(store: &TranscriptStore, file: &TranscriptFile) -> Vec<usize> {
    let tail = store.tail(file, 1000, 1_000_000).unwrap();
    tail.items.iter().map(|raw| serde_json::from_str::<Message>(raw.get()).unwrap().text().parse().unwrap()).collect()
}

fn lines(bench: &Bench, path: &Path) -> Vec<Value> {
    let text = String::from_utf8(bench.files.read(path, 1_000_000).unwrap()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_last_lines_stay_under_the_header_and_the_whole_file_is_kept() {
    let (bench, store, file) = setup("uuuuuuuu");
    let Compaction::Done { kept, archived } = compact(&bench, &store, &file, 3) else { panic!("not done") };
    assert_eq!((kept, numbers(&store, &file)), (3, vec![5, 6, 7]));
    assert_eq!(archived, Path::new("/s/s.jsonl.bak.2026-11-22T18-29-46.000Z"));
    assert_eq!(lines(&bench, &archived).len(), 9);
    let left = lines(&bench, file.path());
    assert_eq!((left[0]["type"].as_str(), left[0]["cwd"].as_str()), (Some("session"), Some("/w")));
    assert_eq!((&left[1]["parentId"], &left[2]["parentId"]), (&Value::Null, &left[1]["id"]));
    assert_eq!(compact(&bench, &store, &file, 3), Compaction::Unneeded { kept: 3 });
    store.append(&file, &message('u', 8)).unwrap();
    assert_eq!(lines(&bench, file.path())[4]["parentId"], left[3]["id"]);
}

#[test]
fn a_tool_result_never_loses_its_call() {
    for (roles, keep, expected) in [
        ("ucrru", 4, vec![1, 2, 3, 4]),
        ("ucrru", 3, vec![4]),
        ("ucrru", 2, vec![4]),
        ("ucrr", 2, vec![1, 2, 3]),
        ("ucrr", 1, vec![1, 2, 3]),
        ("rrr", 2, vec![1, 2]),
    ] {
        let (bench, store, file) = setup(roles);
        let Compaction::Done { kept, .. } = compact(&bench, &store, &file, keep) else { panic!("not done") };
        assert_eq!(numbers(&store, &file), expected, "{roles} to {keep}");
        assert_eq!(kept, expected.len() as u64);
    }
}

#[test]
fn a_missing_header_is_made_again() {
    let (bench, store, file) = setup("");
    assert_eq!(compact(&bench, &store, &file, 1), Compaction::Missing);
    let line = "{\"type\":\"message\",\"id\":\"a\",\"message\":{\"role\":\"user\",\"content\":\"1\"}}\n";
    bench.files.append(file.path(), line.repeat(3).as_bytes()).unwrap();
    compact(&bench, &store, &file, 1);
    let left = lines(&bench, file.path());
    assert_eq!((left.len(), left[0]["id"].as_str()), (2, Some("s")));
}

#[test]
fn messages_that_arrive_meanwhile_are_kept_and_others_must_wait() {
    let (bench, store, file) = setup("uuuuuuuu");
    let done = Rc::new(Cell::new(false));
    let (task_store, task_file, flag) = (store.clone(), file.clone(), Rc::clone(&done));
    bench.world.tasks().detach(async move {
        assert!(matches!(task_store.compact(&task_file, 2).await, Ok(Compaction::Done { .. })));
        flag.set(true);
    });
    bench.world.run_for(Duration::from_millis(5));
    store.append(&file, &message('u', 8)).unwrap();
    let waiting = store.synced(&file);
    assert_eq!(store.archive(&file, Reason::Deleted).unwrap_err(), StoreError::Busy);
    bench.run(waiting).unwrap();
    bench.world.run_for(Duration::from_secs(1));
    assert!(done.get());
    assert_eq!(numbers(&store, &file), [6, 7, 8]);
    assert!(store.archive(&file, Reason::Deleted).unwrap().is_some());
}

#[test]
fn a_failure_leaves_the_transcript_and_nothing_else() {
    let (bench, store, file) = setup("uuuu");
    bench.files.fill_up();
    let (task_store, task_file) = (store.clone(), file.clone());
    let result = bench.run(async move { task_store.compact(&task_file, 2).await });
    assert_eq!(result, Err(StoreError::Full));
    assert_eq!(numbers(&store, &file), [0, 1, 2, 3]);
    assert_eq!(bench.files.list(Path::new(DIR)).unwrap().len(), 1);
}

#[test]
fn an_interrupted_swap_is_finished_and_an_interrupted_write_undone() {
    for (is_swapping, left) in [(true, vec![1]), (false, vec![0, 1])] {
        let (bench, store, file) = setup("uu");
        let name = |part: &str| Path::new(DIR).join(format!("s.jsonl{part}2026-11-22T18-29-46.000Z"));
        bench.files.append(&name(".compact-"), &format!("{}\n", lines(&bench, file.path())[2]).into_bytes()).unwrap();
        if is_swapping {
            bench.files.rename(file.path(), &name(".bak.")).unwrap();
        }
        drop(store);
        let store = TranscriptStore::load(&bench.sys, &bench.saver, "/w", &[DIR.into()]).unwrap();
        assert_eq!(numbers(&store, &file), left);
        assert!(bench.files.size(&name(".compact-")).is_err());
    }
}
