//! What reaches the SD card: an idle day with clients connected, and a household's day.
//!
//! Costs are those measured on a block device (INTEGRATIONS.md 6.4): a synced append 17 KB beside its bytes, a safe
//! replacement 66 KB. The log isn't in it; idle it writes nothing (`tests/care.rs`).

use std::time::Duration;

use serde_json::{Value, json};

use super::client::{Client, Who};
use super::home::{Furnishing, Home};
use super::provider::says;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// At most this much in an idle day.
const IDLE_BYTES: u64 = 1_000_000;
/// What docs/operating.md promises for a household's day.
const HOUSEHOLD_BYTES: u64 = 20_000_000;

fn home() -> Home {
    let quiet =
        Furnishing { own_accord: ("{}", "{every:'0m'}"), ..Furnishing::new(7, |request| says(request, "Done.")) };
    Home::new(quiet)
}

/// Bytes that the block device has seen.
fn on_card(home: &Home) -> u64 {
    let stats = home.files.stats();
    stats.bytes_written + stats.syncs * 17_000 + stats.replaces * 66_000
}

fn call(home: &Home, client: &Client, id: &str, method: &str, params: Value) -> Value {
    client.request(id, method, params);
    home.run_ms(200);
    client.reply(id)
}

#[test]
fn an_idle_day_without_clients_writes_nothing_at_all() {
    let home = home();
    home.settle();
    let before = home.files.stats();
    home.run_for(DAY);
    assert_eq!(home.files.stats().operations, before.operations);
    assert_eq!(home.files.stats().bytes_written, before.bytes_written);
}

#[test]
fn an_idle_day_with_clients_that_look_now_and_then_stays_below_a_megabyte() {
    let home = home();
    let clients = [home.admit(Who::native()), home.admit(Who::guide()), home.admit(Who::native())];
    let before = on_card(&home);
    for hour in 0..24 {
        home.run_for(Duration::from_secs(3600));
        for (index, client) in clients.iter().enumerate() {
            let id = format!("{hour}-{index}");
            assert_eq!(call(&home, client, &id, "health", json!({}))["ok"], true);
        }
    }
    assert!(clients.iter().all(|client| client.closed().is_none()));
    let written = on_card(&home) - before;
    assert!(written <= IDLE_BYTES, "{written} bytes");
}

/// The household of docs/operating.md: 72 messages with answers, a job every hour, three clients of which one comes and
/// goes every hour, and somebody who looks every ten minutes.
#[test]
fn a_households_day_stays_within_its_budget() {
    let home = home();
    let owner = home.admit(Who::native());
    let page = home.admit(Who::guide());
    let job = json!({
        "name": "hourly", "schedule": {"kind": "every", "everyMs": 3_600_000},
        "payload": {"kind": "agentTurn", "message": "look at the sensors"},
    });
    assert_eq!(call(&home, &owner, "job", "cron.add", job)["ok"], true);
    let before = on_card(&home);
    for hour in 0..24 {
        let phone = home.admit(Who::native());
        for turn in 0..3 {
            let id = format!("{hour}-{turn}");
            let text = "What is on the list? ".repeat(20);
            let message = json!({"sessionKey": "main", "message": text, "idempotencyKey": id});
            assert_eq!(call(&home, &phone, &id, "chat.send", message)["ok"], true);
            for look in 0..2 {
                home.run_for(Duration::from_secs(590));
                call(&home, &page, &format!("{hour}-{turn}-{look}"), "status", json!({}));
            }
        }
        phone.close();
        home.run_ms(1000);
    }
    let runs = home.gateway().jobs.log.last(job_id(&home).as_str(), 5000).unwrap().len();
    assert!(runs >= 22, "{runs}");
    let written = on_card(&home) - before;
    assert!(written <= HOUSEHOLD_BYTES, "{written} bytes: {:?}", home.files.stats());
    assert!(written > IDLE_BYTES, "{written} bytes: nothing was measured");
}

fn job_id(home: &Home) -> String {
    let client = home.admit(Who::native());
    let jobs = call(home, &client, "list", "cron.list", json!({}));
    jobs["payload"]["jobs"][0]["id"].as_str().unwrap().to_owned()
}
