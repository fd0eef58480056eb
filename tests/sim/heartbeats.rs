//! Heartbeats in the real gateway, in virtual time: when a model is asked, and when it is not.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use barnacle::sys::sim::http::Script;
use barnacle::sys::{Clock as _, Files as _};
use serde_json::{Value, json};

use super::client::{Client, Who};
use super::home::{Furnishing, Home};
use super::provider::{Answer, body, says, says_slowly};

const HOUR: Duration = Duration::from_secs(3600);

/// A home whose model counts its calls, with the prompts of the last one.
struct House {
    home: Home,
    calls: Rc<Cell<u32>>,
    prompt: Rc<RefCell<String>>,
}

impl House {
    fn new(heartbeat: &'static str, answer: &'static str) -> Self {
        let (calls, prompt) = (Rc::new(Cell::new(0)), Rc::new(RefCell::new(String::new())));
        let (counted, seen) = (Rc::clone(&calls), Rc::clone(&prompt));
        let furnishing = Furnishing::new(5, move |request| {
            counted.set(counted.get() + 1);
            *seen.borrow_mut() = String::from_utf8_lossy(&request.body).into_owned();
            says(request, answer)
        });
        let home = Home::new(Furnishing { own_accord: ("{}", heartbeat), ..furnishing });
        Self { home, calls, prompt }
    }

    fn write_tasks(&self, text: &str) {
        let dir = Path::new("/state/workspace");
        self.home.files.create_dir(dir).unwrap();
        self.home.files.append(&dir.join("HEARTBEAT.md"), text.as_bytes()).unwrap();
    }

    fn calls_within(&self, span: Duration) -> u32 {
        let before = self.calls.get();
        self.home.run_for(span);
        self.calls.get() - before
    }

    fn call(&self, client: &Client, id: &str, method: &str, params: Value) -> Value {
        client.request(id, method, params);
        self.home.run_ms(20);
        client.reply(id)["payload"].clone()
    }
}

#[test]
fn no_model_is_asked_when_there_is_nothing_to_do() {
    let house = House::new("{}", "HEARTBEAT_OK");
    let client = house.home.admit(Who::native());
    assert_eq!(house.call(&client, "first", "last-heartbeat", json!({})), Value::Null);
    assert_eq!(house.calls_within(24 * HOUR), 0);
    assert_eq!(house.call(&client, "last", "last-heartbeat", json!({}))["reason"], "nothing-to-do");
    house.write_tasks("# Heartbeat\n\n- [ ]\n");
    assert_eq!(house.calls_within(24 * HOUR), 0);
    assert_eq!(house.call(&client, "empty", "last-heartbeat", json!({}))["reason"], "empty-heartbeat-file");
}

#[test]
fn an_agent_with_tasks_is_asked_every_half_hour_and_an_acknowledgement_leaves_no_trace() {
    let house = House::new("{}", "HEARTBEAT_OK");
    house.write_tasks("- water the plants\n");
    let client = house.home.admit(Who::guide());
    assert_eq!(house.calls_within(24 * HOUR + Duration::from_secs(60)), 48);
    assert!(house.prompt.borrow().contains("water the plants"));
    let last = client.events("heartbeat").pop().unwrap();
    assert_eq!(
        (&last["status"], &last["reason"], &last["silent"]),
        (&json!("ok-token"), &json!("interval"), &json!(true))
    );
    let listed = house.call(&client, "list", "sessions.list", json!({}));
    let updated = listed["sessions"][0]["updatedAt"].as_u64().unwrap();
    // The first heartbeat made the session; none since then changed its time.
    assert!(updated + 23 * 3_600_000 < house.home.world.clock.now_ms());
}

#[test]
fn a_wake_is_looked_at_at_once_and_what_it_says_reaches_the_agent() {
    let house = House::new("{}", "The tea is ready.");
    let client = house.home.admit(Who::native());
    assert_eq!(house.call(&client, "blank", "wake", json!({"mode": "now", "text": "  "})), json!({"ok": false}));
    assert_eq!(
        house.call(&client, "later", "wake", json!({"mode": "next-heartbeat", "text": "kettle on"})),
        json!({"ok": true})
    );
    assert_eq!(house.calls_within(Duration::from_secs(60)), 0);
    let status = house.call(&client, "status", "status", json!({}));
    assert_eq!(status["queuedSystemEvents"], json!(["kettle on"]));
    assert_eq!(
        status["heartbeat"]["agents"][0],
        json!({"agentId": "main", "enabled": true, "every": "30m", "everyMs": 1_800_000})
    );
    house.call(&client, "now", "wake", json!({"mode": "now", "text": "tea"}));
    house.call(&client, "now again", "wake", json!({"mode": "now", "text": "and cake"}));
    assert_eq!(house.calls_within(Duration::from_secs(5)), 1);
    let prompt = house.prompt.borrow().clone();
    for line in ["] kettle on", "] tea", "] and cake"] {
        assert!(prompt.contains(line), "{prompt}");
    }
    let last = client.events("heartbeat").pop().unwrap();
    assert_eq!(
        (&last["status"], &last["reason"], &last["preview"]),
        (&json!("skipped"), &json!("no-target"), &json!("The tea is ready."))
    );
}

#[test]
fn it_is_quiet_outside_the_active_hours() {
    // It is noon.
    let house = House::new("{activeHours:{start:'14:00',end:'16:00'}}", "HEARTBEAT_OK");
    house.write_tasks("- water the plants\n");
    assert_eq!(house.calls_within(2 * HOUR - Duration::from_secs(60)), 0);
    assert_eq!(house.calls_within(2 * HOUR), 4);
    assert_eq!(house.calls_within(20 * HOUR), 0);
}

#[test]
fn the_daily_ceiling_of_tokens_holds_also_after_a_power_cut() {
    let mut house = House::new("{maxTokensPerDay:40}", "HEARTBEAT_OK");
    house.write_tasks("- water the plants\n");
    house.home.run_ms(1);
    // Fifteen tokens each; the third one reaches the ceiling.
    assert_eq!(house.calls_within(6 * HOUR), 3);
    house.home.power_cut();
    house.write_tasks("- water the plants\n");
    assert_eq!(house.calls_within(4 * HOUR), 0);
    assert_eq!(house.calls_within(4 * HOUR), 3);
}

#[test]
fn switched_off_nothing_beats_until_it_is_on_again() {
    let house = House::new("{}", "HEARTBEAT_OK");
    house.write_tasks("- water the plants\n");
    let client = house.home.admit(Who::native());
    let off = house.call(&client, "off", "set-heartbeats", json!({"enabled": false}));
    assert_eq!(off, json!({"ok": true, "enabled": false}));
    assert_eq!(house.call(&client, "status", "status", json!({}))["heartbeat"]["agents"][0]["enabled"], false);
    assert_eq!(house.calls_within(5 * HOUR), 0);
    house.call(&client, "on", "set-heartbeats", json!({"enabled": true}));
    assert_eq!(house.calls_within(HOUR), 2);
    let error = {
        client.request("bad", "set-heartbeats", json!({"enabled": 1}));
        house.home.run_ms(20);
        client.reply("bad")["error"]["message"].clone()
    };
    assert_eq!(error, "invalid set-heartbeats params: enabled (boolean) required");
}

#[test]
fn a_busy_session_is_not_disturbed_and_the_heartbeat_follows() {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let noted = Rc::clone(&seen);
    let home = Home::new(Furnishing::new(5, move |request| {
        noted.borrow_mut().push(String::from_utf8_lossy(&request.body).contains("] tea"));
        says_slowly(request, "word ", 20, Duration::from_secs(1))
    }));
    let client = home.admit(Who::native());
    client.request("chat", "chat.send", json!({"sessionKey": "main", "message": "tell me", "idempotencyKey": "k"}));
    home.run_ms(2_000);
    client.request("wake", "wake", json!({"mode": "now", "text": "tea"}));
    home.run_ms(10_000);
    assert_eq!(*seen.borrow(), [false]);
    home.run_ms(30_000);
    assert_eq!(*seen.borrow(), [false, true]);
}

#[test]
fn a_heartbeat_that_failed_counts_its_tokens_too() {
    let calls = Rc::new(Cell::new(0));
    let counted = Rc::clone(&calls);
    // It asks for tools until it is stopped.
    let furnishing = Furnishing::new(5, move |request| {
        counted.set(counted.get() + 1);
        Script::answer(200, body(request, &Answer::Call("hm".to_owned())))
    });
    let home = Home::new(Furnishing { own_accord: ("{}", "{maxTokensPerDay:40}"), ..furnishing });
    let house = House { home, calls, prompt: Rc::default() };
    house.write_tasks("- water the plants\n");
    let client = house.home.admit(Who::native());
    let first = house.calls_within(HOUR / 2 + Duration::from_secs(60));
    assert!(first > 3, "{first}");
    assert_eq!(client.events("heartbeat").pop().unwrap()["status"], "failed");
    assert_eq!(house.calls_within(6 * HOUR), 0);
}
