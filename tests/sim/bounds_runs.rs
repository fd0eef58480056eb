//! Bounds on runs, providers and sessions.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use barnacle::limits::SESSION_KEY_BYTES;
use barnacle::sys::sim::http::Script;
use serde_json::{Value, json};

use super::client::{Client, Who};
use super::home::{Furnishing, Home};
use super::provider::{says, stalls};

fn silent(limits: &[(&'static str, u64)], runs_at_once: u64) -> Home {
    let furnishing = Furnishing::new(5, |request| stalls(request, "Hm")).limits(limits);
    Home::new(Furnishing { runs_at_once, ..furnishing })
}

fn ask(client: &Client, session: &str, key: &str) {
    let params = json!({"sessionKey": session, "message": format!("message {key}"), "idempotencyKey": key});
    client.request(key, "chat.send", params);
}

fn is_turned_away(reply: &Value) -> bool {
    let error = &reply["error"];
    error["code"] == "UNAVAILABLE" && error["retryable"] == true && error["retryAfterMs"].is_u64()
}

fn history(home: &Home, client: &Client, session: &str) -> Vec<Value> {
    client.request("history", "chat.history", json!({"sessionKey": session}));
    home.run_ms(10);
    client.reply("history")["payload"]["messages"].as_array().cloned().unwrap_or_default()
}

#[test]
fn lane_queue_one_too_many_is_unavailable_and_other_sessions_go_on() {
    let home = silent(&[("laneQueue", 2)], 4);
    let client = home.admit(Who::native());
    for key in ["going", "first", "second", "third"] {
        ask(&client, "main", key);
        home.run_ms(50);
    }
    ask(&client, "other", "other");
    home.run_ms(50);
    assert!(is_turned_away(&client.reply("third")));
    for key in ["going", "first", "second", "other"] {
        assert_eq!(client.reply(key)["payload"]["status"], "started");
    }
}

#[test]
fn runs_queued_in_all_sessions_are_bounded_even_while_the_disk_is_slow() {
    for disk_ms in [0, 500] {
        let home = silent(&[("runsQueued", 3), ("laneQueue", 3)], 1);
        home.files.run_on(home.world.clock.clone(), Duration::from_millis(disk_ms));
        let client = home.admit(Who::native());
        ask(&client, "going", "going");
        home.run_ms(2_000);
        for key in ["a", "b", "c", "d", "e"] {
            ask(&client, key, key);
        }
        home.run_ms(2_000);
        let turned_away: Vec<_> =
            ["a", "b", "c", "d", "e"].iter().map(|key| is_turned_away(&client.reply(key))).collect();
        assert_eq!(turned_away, [false, false, false, true, true]);
        assert_eq!(home.gateway().runs.counts(), (1, 3));
    }
}

#[test]
fn run_output_bytes_end_the_answer_with_stop_reason_length() {
    let talk = |request: &_| says(request, &"word ".repeat(4_000));
    let home = Home::new(Furnishing::new(6, talk).limits(&[("runOutputBytes", 4_096)]));
    let client = home.admit(Who::native());
    ask(&client, "main", "1");
    home.run_ms(5_000);
    let answer = history(&home, &client, "main").pop().unwrap();
    assert_eq!(answer["stopReason"], "length");
    let length = answer["content"][0]["text"].as_str().unwrap().len();
    assert!((4_000..=4_096).contains(&length), "{length}");
    assert_eq!(client.events("chat").last().unwrap()["state"], "final");
}

#[test]
fn provider_response_bytes_end_the_run_with_an_error() {
    let noise = |_: &_| Script::answer(200, ": noise\n\n".repeat(8_000));
    let home = Home::new(Furnishing::new(7, noise).limits(&[("providerResponseBytes", 65_536)]));
    let client = home.admit(Who::native());
    ask(&client, "main", "1");
    home.run_ms(60_000);
    let last = client.events("chat").pop().unwrap();
    assert_eq!(last["state"], "error", "{last}");
}

#[test]
fn prompt_bytes_leave_out_the_oldest_messages_and_never_the_latest() {
    let bodies = Rc::new(RefCell::new(Vec::new()));
    let (largest, slot) = (Rc::new(Cell::new(0)), Rc::clone(&bodies));
    let size = Rc::clone(&largest);
    let play = move |request: &barnacle::sys::http::Request| {
        size.set(size.get().max(request.body.len()));
        *slot.borrow_mut() = request.body.clone();
        says(request, "Hello.")
    };
    let home = Home::new(Furnishing::new(8, play).limits(&[("promptBytes", 16_384)]));
    let client = home.admit(Who::native());
    for index in 0..20 {
        let message = format!("message k{index} {}", "x".repeat(3_000));
        let params = json!({"sessionKey": "main", "message": message, "idempotencyKey": format!("k{index}")});
        client.request(&format!("k{index}"), "chat.send", params);
        home.run_ms(1_000);
    }
    assert!(largest.get() < 24_000, "{} with the system prompt", largest.get());
    let last = String::from_utf8(bodies.borrow().clone()).unwrap();
    assert!(last.contains("message k19 ") && last.contains("message k17 ") && !last.contains("message k5 "));
}

#[test]
fn sessions_one_too_many_is_refused_and_a_deleted_one_makes_room() {
    let home = silent(&[("sessions", 16)], 4);
    let client = home.admit(Who::native());
    let patch = |id: &str| {
        client.request(id, "sessions.patch", json!({"key": id, "label": id}));
        home.run_ms(50);
        client.reply(id)
    };
    for index in 0..16 {
        assert_eq!(patch(&format!("s{index}"))["ok"], true);
    }
    let refusal = patch("one-more");
    assert_eq!(refusal["error"]["code"], "INVALID_REQUEST", "{refusal}");
    assert!(refusal["error"]["message"].as_str().unwrap().contains("delete"), "{refusal}");
    client.request("delete", "sessions.delete", json!({"key": "s0"}));
    home.run_ms(100);
    assert_eq!(client.reply("delete")["payload"]["deleted"], true);
    assert_eq!(patch("again")["ok"], true);
}

#[test]
fn history_bytes_leave_out_the_oldest_messages() {
    let talk = |request: &_| says(request, &"word ".repeat(1_000));
    let home = Home::new(Furnishing::new(9, talk).limits(&[("historyBytes", 65_536)]));
    let client = home.admit(Who::native());
    for index in 0..30 {
        ask(&client, "main", &format!("k{index}"));
        home.run_ms(1_000);
    }
    let messages = history(&home, &client, "main");
    let bytes = json!(messages).to_string().len();
    assert!((50_000..=66_000).contains(&bytes), "{bytes}");
    assert_eq!(messages[messages.len() - 2]["content"][0]["text"], "message k29");
}

#[test]
fn a_session_key_over_its_bound_is_refused() {
    let home = silent(&[], 4);
    let client = home.admit(Who::native());
    ask(&client, &"k".repeat(SESSION_KEY_BYTES), "long");
    home.run_ms(50);
    assert_eq!(client.reply("long")["error"]["code"], "INVALID_REQUEST");
}
