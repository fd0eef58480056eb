//! What transcripts promise, on forgetful files.

use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::stores::bench::Bench;
use crate::stores::transcript_read::PreviewItem;
use crate::sys::Files as _;

const DIR: &str = "/s";

fn store(bench: &Bench) -> TranscriptStore {
    bench.files.create_dir(Path::new(DIR)).unwrap();
    TranscriptStore::load(&bench.sys, &bench.saver, "/home/pi/workspace", &[DIR.into()]).unwrap()
}

fn file(id: &str) -> TranscriptFile {
    TranscriptFile::new(Path::new(DIR), id, None).unwrap()
}

fn message(value: Value) -> Message {
    serde_json::from_value(value).unwrap()
}

fn user(text: &str) -> Message {
    message(json!({"role": "user", "content": [{"type": "text", "text": text}], "timestamp": 1}))
}

fn put(bench: &Bench, id: &str, content: &str) {
    bench.files.create_dir(Path::new(DIR)).unwrap();
    bench.files.append(file(id).path(), content.as_bytes()).unwrap();
}

fn lines(bench: &Bench, name: &str) -> Vec<Value> {
    let bytes = bench.files.read(&Path::new(DIR).join(name), 10_000_000).unwrap();
    String::from_utf8(bytes).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn texts(store: &TranscriptStore, id: &str) -> Vec<String> {
    let tail = store.tail(&file(id), 1000, 10_000_000).unwrap();
    tail.items.iter().map(|raw| serde_json::from_str::<Message>(raw.get()).unwrap().text()).collect()
}

fn names(bench: &Bench) -> Vec<String> {
    bench.files.list(Path::new(DIR)).unwrap().into_iter().map(|entry| entry.name).collect()
}

#[test]
fn a_new_transcript_has_the_fields_of_the_field() {
    let bench = Bench::new(1);
    let store = store(&bench);
    let first = store.append(&file("s1"), &user("hello")).unwrap();
    let second = store.append(&file("s1"), &user("again")).unwrap();
    bench.run(store.synced(&file("s1"))).unwrap();
    assert_eq!(bench.files.stats().syncs, 1);
    let lines = lines(&bench, "s1.jsonl");
    let time = "2026-11-22T18:29:46.000Z";
    assert_eq!(
        lines[0],
        json!({"type": "session", "version": 3, "id": "s1", "timestamp": time, "cwd": "/home/pi/workspace"})
    );
    assert_eq!(lines[1]["parentId"], Value::Null);
    assert_eq!(
        lines[2],
        json!({"type": "message", "id": second, "parentId": first, "timestamp": time,
               "message": {"role": "user", "content": [{"type": "text", "text": "again"}], "timestamp": 1}})
    );
    assert!(first.len() == 8 && first.bytes().all(|byte| byte.is_ascii_hexdigit()));
}

#[test]
fn the_chain_goes_on_after_a_restart_and_past_entries_of_other_kinds() {
    let bench = Bench::new(1);
    put(
        &bench,
        "s1",
        "{\"type\":\"message\",\"id\":\"aaaaaaaa\",\"message\":{\"role\":\"user\",\"content\":\"x\"}}\n{\"type\":\"custom\",\"id\":\"bbbbbbbb\"}\n",
    );
    let store = store(&bench);
    store.append(&file("s1"), &user("next")).unwrap();
    assert_eq!(lines(&bench, "s1.jsonl")[2]["parentId"], "bbbbbbbb");
    assert_eq!(texts(&store, "s1"), ["x", "next"]);
}

#[test]
fn a_torn_end_is_put_aside_before_the_next_append_and_only_then() {
    let good = "{\"type\":\"session\",\"id\":\"s1\"}\n{\"type\":\"message\",\"id\":\"aaaaaaaa\",\"message\":{\"role\":\"user\",\"content\":\"x\"}}\n";
    for torn in
        ["{\"type\":\"mess", "\0\0\0\0", "{\"type\":\"mes\n", "\0\0\n{\"a", "{\"type\":\"custom\",\"id\":\"c\"}"]
    {
        let bench = Bench::new(1);
        put(&bench, "s1", &format!("{good}{torn}"));
        let store = store(&bench);
        assert_eq!(texts(&store, "s1"), ["x"]);
        assert_eq!(names(&bench), ["s1.jsonl"], "reading changes nothing");
        store.append(&file("s1"), &user("y")).unwrap();
        assert_eq!(texts(&store, "s1"), ["x", "y"]);
        let aside = Path::new(DIR).join("s1.jsonl.torn-2026-11-22T18-29-46.000Z");
        assert_eq!(bench.files.read(&aside, 100).unwrap(), torn.as_bytes());
        assert_eq!(lines(&bench, "s1.jsonl")[2]["parentId"], "aaaaaaaa");
    }
}

#[test]
fn a_file_without_a_readable_line_begins_anew_with_a_header() {
    for content in ["", "\0\0\0", "{\"type\":\"session\",\"ver"] {
        let bench = Bench::new(1);
        put(&bench, "s1", content);
        let store = store(&bench);
        store.append(&file("s1"), &user("x")).unwrap();
        let lines = lines(&bench, "s1.jsonl");
        assert_eq!((lines.len(), &lines[0]["type"]), (2, &json!("session")), "{content:?}");
    }
}

#[test]
fn bad_lines_in_the_middle_are_passed_over_and_counted() {
    let bench = Bench::new(1);
    put(
        &bench,
        "s1",
        "{\"type\":\"message\",\"message\":{\"role\":\"user\",\"content\":\"1\"}}\n\0\0{\"type\"\nnot json\n\n{\"type\":\"message\",\"message\":7}\n{\"type\":\"message\",\"message\":{\"role\":\"user\",\"content\":\"2\"}}\n",
    );
    let store = store(&bench);
    let tail = store.tail(&file("s1"), 10, 1000).unwrap();
    assert_eq!((tail.items.len(), tail.skipped), (2, 3));
}

#[test]
fn the_tail_is_cut_by_count_and_bytes_but_keeps_one_and_unknown_fields() {
    let bench = Bench::new(1);
    let store = store(&bench);
    put(&bench, "s1", "{\"type\":\"message\",\"message\":{\"role\":\"user\",\"content\":\"1\",\"future\":1}}\n");
    for text in ["2", "3"] {
        store.append(&file("s1"), &user(text)).unwrap();
    }
    let all = store.tail(&file("s1"), 10, 10_000).unwrap();
    assert!(all.items[0].get().contains("\"future\":1"));
    assert_eq!(store.tail(&file("s1"), 2, 10_000).unwrap().items.len(), 2);
    assert_eq!(store.tail(&file("s1"), 10, 1).unwrap().items.len(), 1);
    assert_eq!(store.tail(&file("s1"), 10, 2 * all.items[2].get().len() + 2).unwrap().items.len(), 2);
    assert_eq!(store.tail(&file("none"), 10, 100).unwrap().items.len(), 0);
}

#[test]
fn a_summary_stands_for_what_it_replaced() {
    let bench = Bench::new(1);
    let entry = |id: &str, text: &str| {
        format!("{{\"type\":\"message\",\"id\":\"{id}\",\"message\":{{\"role\":\"user\",\"content\":\"{text}\"}}}}\n")
    };
    let compaction = "{\"type\":\"compaction\",\"id\":\"c\",\"timestamp\":\"2026-11-22T18:29:46.000Z\",\"summary\":\"SUM\",\"firstKeptEntryId\":\"b\",\"tokensBefore\":9}\n";
    put(&bench, "s1", &[&entry("a", "1"), &entry("b", "2"), compaction, &entry("d", "3")].concat());
    let store = store(&bench);
    let history = store.history_for_prompt(&file("s1"), 10_000).unwrap();
    let shown: Vec<_> = history.items.iter().map(Message::text).collect();
    assert_eq!(shown, ["Summary of the conversation up to here:\n\nSUM", "2", "3"]);
    assert_eq!(history.items[0].timestamp(), crate::stores::bench::NOW_MS);
}

#[test]
fn the_oldest_are_left_out_of_a_prompt_and_no_result_stands_alone() {
    let bench = Bench::new(1);
    let store = store(&bench);
    let call =
        json!({"role": "assistant", "content": [{"type": "toolCall", "id": "t", "name": "exec", "arguments": {}}]});
    let result = json!({"role": "toolResult", "toolCallId": "t", "content": [{"type": "text", "text": "done"}]});
    for value in [call, result, json!({"role": "user", "content": "last"})] {
        store.append(&file("s1"), &message(value)).unwrap();
    }
    let all = store.history_for_prompt(&file("s1"), 10_000).unwrap().items;
    assert_eq!(all.len(), 3);
    let two_newest: usize = all.iter().skip(1).map(|message| serde_json::to_string(message).unwrap().len()).sum();
    let shown = store.history_for_prompt(&file("s1"), two_newest).unwrap().items;
    assert_eq!(shown.iter().map(Message::text).collect::<Vec<_>>(), ["last"]);
}

#[test]
fn titles_and_last_texts_follow_the_reference() {
    let bench = Bench::new(1);
    let store = store(&bench);
    let long = "Please tell me\n everything about the long history of the barnacle and its relatives";
    store.append(&file("s1"), &user(long)).unwrap();
    store
        .append(&file("s1"), &message(json!({"role": "assistant", "content": [{"type": "text", "text": " Sure. "}]})))
        .unwrap();
    store.append(&file("s1"), &message(json!({"role": "toolResult", "toolCallId": "t", "content": []}))).unwrap();
    let title = store.first_user_text(&file("s1")).unwrap().unwrap();
    assert_eq!(title, "Please tell me everything about the long history of the…");
    assert_eq!(store.last_text(&file("s1")).unwrap().as_deref(), Some("Sure."));
    store.append(&file("s2"), &user(&"x".repeat(9000))).unwrap();
    assert_eq!(store.first_user_text(&file("s2")).unwrap(), None, "beyond the first 8 KiB");
    assert_eq!(store.first_user_text(&file("none")).unwrap(), None);
    assert_eq!(store.last_text(&file("none")).unwrap(), None);
}

#[test]
fn previews_show_what_the_recording_shows() {
    let bench = Bench::new(1);
    let store = store(&bench);
    let call = |name: &str| json!({"type": "toolCall", "id": name, "name": name, "arguments": {}});
    for value in [
        json!({"role": "user", "content": "old"}),
        json!({"role": "assistant", "content": [call("exec"), call("read")]}),
        json!({"role": "toolResult", "toolCallId": "read", "content": [{"type": "text", "text": "# AGENTS.md - Your Workspace\n\nThis folder is home. Treat it that way."}]}),
        json!({"role": "user", "content": [{"type": "image", "data": "AAAA", "mimeType": "image/png"}]}),
        json!({"role": "assistant", "content": []}),
        json!({"role": "assistant", "content": [call("a"), call("b"), call("c")]}),
    ] {
        store.append(&file("s1"), &message(value)).unwrap();
    }
    let item = |role, text: &str| PreviewItem { role, text: text.into() };
    assert_eq!(
        store.preview(&file("s1"), 4, 60).unwrap(),
        [
            item("tool", "call exec, read"),
            item("tool", "# AGENTS.md - Your Workspace\n\nThis folder is home. Treat ..."),
            item("user", "[image]"),
            item("tool", "call a, b +1"),
        ]
    );
}

#[test]
fn an_archived_transcript_has_a_new_name_and_the_session_begins_anew() {
    let bench = Bench::new(1);
    let store = store(&bench);
    assert!(store.archive(&file("s1"), Reason::Deleted).unwrap().is_none());
    store.append(&file("s1"), &user("old")).unwrap();
    let (path, durable) = store.archive(&file("s1"), Reason::Deleted).unwrap().unwrap();
    bench.run(durable).unwrap();
    assert_eq!(path, Path::new("/s/s1.jsonl.deleted.2026-11-22T18-29-46.000Z"));
    assert!(!store.exists(&file("s1")));
    store.append(&file("s1"), &user("new")).unwrap();
    assert_eq!((texts(&store, "s1"), store.line_count(&file("s1")).unwrap()), (vec!["new".to_string()], 1));
    let (path, _) = store.archive(&file("s1"), Reason::Reset).unwrap().unwrap();
    assert!(path.to_string_lossy().contains(".reset."));
}

#[test]
fn a_full_disk_refuses_a_message_and_leaves_the_rest() {
    let bench = Bench::new(1);
    let store = store(&bench);
    bench.files.fill_up();
    assert_eq!(store.append(&file("s1"), &user("a")), Err(StoreError::Full));
    assert_eq!(names(&bench), [""; 0]);
    bench.files.free_up();
    store.append(&file("s1"), &user("a")).unwrap();
    bench.files.fill_up();
    assert_eq!(store.append(&file("s1"), &user("b")), Err(StoreError::Full));
    bench.files.free_up();
    store.append(&file("s1"), &user("c")).unwrap();
    assert_eq!(texts(&store, "s1"), ["a", "c"]);
    assert_eq!(lines(&bench, "s1.jsonl").len(), 3);
}

#[test]
fn more_transcripts_than_are_kept_open_are_no_harm() {
    let bench = Bench::new(1);
    let store = store(&bench);
    for round in 0..2 {
        for number in 0..OPEN_TRANSCRIPTS + 20 {
            store.append(&file(&format!("s{number}")), &user(&round.to_string())).unwrap();
        }
    }
    assert_eq!(store.0.open.borrow().len(), OPEN_TRANSCRIPTS);
    assert_eq!(texts(&store, "s0"), ["0", "1"]);
    let lines = lines(&bench, "s0.jsonl");
    assert_eq!(lines[2]["parentId"], lines[1]["id"]);
}

#[test]
fn the_tail_of_a_large_file_is_read_without_the_rest() {
    let bench = Bench::new(1);
    let store = store(&bench);
    let block = format!(
        "{{\"type\":\"message\",\"message\":{{\"role\":\"user\",\"content\":\"{}\"}}}}\n",
        "x".repeat(1_000_000)
    );
    for _ in 0..40 {
        bench.files.append(file("big").path(), block.as_bytes()).unwrap();
    }
    for number in 0..50 {
        store.append(&file("big"), &user(&number.to_string())).unwrap();
    }
    let before = bench.files.stats().bytes_read;
    assert_eq!(store.tail(&file("big"), 40, 1_000_000).unwrap().items.len(), 40);
    assert!(bench.files.stats().bytes_read - before <= 128 * 1024);
    assert_eq!(store.history_for_prompt(&file("big"), 500_000).unwrap().items.len(), 50);
    assert!(bench.files.stats().bytes_read - before <= 2 * 1024 * 1024);
}

#[test]
fn a_line_over_the_bound_is_refused_when_written_and_passed_over_when_read() {
    let bench = Bench::new(1);
    let store = store(&bench);
    let huge = "x".repeat(TRANSCRIPT_LINE_BYTES);
    assert!(matches!(store.append(&file("s1"), &user(&huge)), Err(StoreError::TooLarge(..))));
    put(&bench, "s1", &format!("{{\"type\":\"message\",\"message\":{{\"role\":\"user\",\"content\":\"{huge}\"}}}}\n"));
    put(&bench, "s1", "{\"type\":\"message\",\"message\":{\"role\":\"user\",\"content\":\"1\"}}\n");
    let tail = store.tail(&file("s1"), 10, 100).unwrap();
    assert_eq!((tail.items.len(), tail.skipped), (1, 1));
}
