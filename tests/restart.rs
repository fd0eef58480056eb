//! Changes of the configuration in the real binary: applied at once, by a restart inside the process, or refused.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests start processes and read their files"
)]

mod support;

use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{Client, Dialect, FakeModel, Gateway, TempDir};

const FILE: &str = "barnacle.json";

fn hash(client: &mut Client) -> Value {
    client.call("config.get", &json!({}))["payload"]["hash"].clone()
}

fn patch(client: &mut Client, raw: &str, delay_ms: u64) -> Value {
    let params = json!({"raw": raw, "baseHash": hash(client), "restartDelayMs": delay_ms, "note": "by a test"});
    client.call("config.patch", &params)
}

fn log(client: &mut Client) -> String {
    client.call("logs.tail", &json!({"maxBytes": 1_000_000}))["payload"]["lines"].to_string()
}

fn wait_for(what: &str, mut there: impl FnMut() -> bool) {
    let deadline = Instant::now() + support::PATIENCE;
    while !there() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Reads up to the close.
fn goodbye(client: &mut Client) -> (Value, Value) {
    let shutdown = client.find(|frame| frame["event"] == "shutdown")["payload"].clone();
    loop {
        let frame = client.read();
        if frame.get("close").is_some() {
            return (shutdown, frame["close"].clone());
        }
    }
}

fn text(dir: &Path, name: &str) -> String {
    std::fs::read_to_string(dir.join(name)).unwrap()
}

#[test]
fn a_change_that_needs_it_restarts_once_and_no_connection_is_refused_meanwhile() {
    let dir = TempDir::new("restart");
    let model = FakeModel::start();
    let gateway = Gateway::start(dir.path(), &model.config());
    let mut guide = Client::connect(gateway.port, Dialect::Guide);
    let mut native = Client::connect(gateway.port, Dialect::Native);
    let uptime = guide.hello["snapshot"]["uptimeMs"].as_u64().unwrap();

    let stop = Arc::new(AtomicBool::new(false));
    let (knocking, port) = (Arc::clone(&stop), gateway.port);
    let knocks = std::thread::spawn(move || {
        let mut refused = 0;
        while !knocking.load(Ordering::Relaxed) {
            refused += u32::from(TcpStream::connect(("127.0.0.1", port)).is_err());
            std::thread::sleep(Duration::from_millis(2));
        }
        refused
    });
    let answer = patch(&mut guide, "{gateway:{allowedOrigins:['https://a.example']}}", 100);
    let restart = &answer["payload"]["restart"];
    assert_eq!(
        (&restart["ok"], &restart["delayMs"], &restart["reason"]),
        (&json!(true), &json!(100), &json!("config.patch")),
        "{answer}"
    );
    let sentinel = &answer["payload"]["sentinel"];
    assert_eq!(
        (&sentinel["payload"]["kind"], &sentinel["payload"]["message"]),
        (&json!("config-apply"), &json!("by a test"))
    );
    for client in [&mut guide, &mut native] {
        let (shutdown, close) = goodbye(client);
        assert_eq!(shutdown, json!({"reason": "gateway restarting", "restartExpectedMs": 1500}));
        assert_eq!(close, json!([1012, "service restart"]));
    }
    let mut client = Client::connect(gateway.port, Dialect::Guide);
    assert!(client.hello["snapshot"]["uptimeMs"].as_u64().unwrap() > uptime, "uptimeMs counts on");
    assert!(!Path::new(sentinel["path"].as_str().unwrap()).exists(), "the note is read once");
    // Longer than the pause between two looks at the file: our own write is no reason for a second restart.
    let second = client.find_within(Duration::from_millis(2600), |frame| frame["event"] == "shutdown");
    stop.store(true, Ordering::Relaxed);
    assert_eq!(knocks.join().unwrap(), 0, "connections were refused");
    assert_eq!(second, None);
    assert!(log(&mut client).contains("restarted after config.patch: by a test"));
    assert_eq!(client.call("health", &json!({}))["ok"], true);
}

#[test]
fn a_hot_change_holds_at_once_keeps_comments_and_restarts_nothing() {
    let dir = TempDir::new("hot");
    let model = FakeModel::start();
    let gateway = Gateway::start(dir.path(), &model.config());
    let mut client = Client::connect(gateway.port, Dialect::Guide);
    // By hand, with a comment; the gateway sees it by itself.
    let mut config = model.config();
    config["ui"] = json!({"assistant": {"name": "Hand"}});
    let by_hand = format!("// mine\n{config}\n");
    std::fs::write(dir.path().join(FILE), &by_hand).unwrap();
    let mut name = || client.call("agent.identity.get", &json!({}))["payload"]["name"].clone();
    wait_for("the file is looked at", || name() == "Hand");

    let answer =
        patch(&mut client, "{ui:{assistant:{name:'Pinchy'}},models:{providers:{fake:{apiKey:'__REDACTED__'}}}}", 0);
    assert_eq!(
        (&answer["payload"]["restart"], &answer["payload"]["sentinel"]),
        (&Value::Null, &Value::Null),
        "{answer}"
    );
    assert_eq!(client.call("agent.identity.get", &json!({}))["payload"]["name"], "Pinchy");
    let written = text(dir.path(), FILE);
    assert_eq!(written, by_hand.replace("Hand", "Pinchy"));
    assert_eq!(text(dir.path(), "barnacle.json.bak"), by_hand);
    assert_eq!(client.find_within(Duration::from_millis(700), |frame| frame["event"] == "shutdown"), None);
}

#[test]
fn a_restart_that_could_not_start_again_is_refused_and_the_gateway_goes_on() {
    let dir = TempDir::new("refused");
    let model = FakeModel::start();
    let mut config = model.config();
    config["gateway"] = json!({"reload": {"mode": "off"}});
    let gateway = Gateway::start(dir.path(), &config);
    let mut client = Client::connect(gateway.port, Dialect::Native);
    std::fs::write(dir.path().join(FILE), "{ gateway: { port: 'x' } }").unwrap();
    gateway.signal("USR1");
    wait_for("the refusal is logged", || {
        log(&mut client).contains("doesn't restart, because it could not start again")
    });
    assert!(log(&mut client).contains("barnacle.json:1:20"));
    let broken = client.call("config.get", &json!({}));
    assert_eq!(
        (&broken["payload"]["valid"], &broken["payload"]["issues"][0]["path"]),
        (&json!(false), &json!("gateway.port"))
    );
    // The way out: the whole text.
    let params = json!({"raw": config.to_string(), "baseHash": broken["payload"]["hash"]});
    assert_eq!(client.call("config.set", &params)["ok"], true);
    gateway.signal("USR1");
    let (shutdown, _) = goodbye(&mut client);
    assert_eq!(shutdown["reason"], "gateway restarting");
    Client::connect(gateway.port, Dialect::Native);
}

#[test]
fn apply_restarts_at_the_requested_time_and_the_new_listener_is_in_place_first() {
    let dir = TempDir::new("apply");
    let gateway = Gateway::start(dir.path(), &json!({}));
    let mut client = Client::connect(gateway.port, Dialect::Guide);
    let began = Instant::now();
    // From loopback to every address of the machine, on the same port.
    let raw = "{\"agent\":{\"model\":\"claude-sonnet-4-20250514\"},gateway:{bind:'0.0.0.0'}}";
    let params = json!({"raw": raw, "baseHash": hash(&mut client), "restartDelayMs": 400});
    let answer = client.call("config.apply", &params);
    assert_eq!(answer["payload"]["restart"]["delayMs"], 400, "{answer}");
    assert_eq!(answer["payload"]["config"]["agents"]["defaults"]["model"], "claude-sonnet-4-20250514");
    goodbye(&mut client);
    assert!(began.elapsed() >= Duration::from_millis(400));
    let mut client = Client::connect(gateway.port, Dialect::Guide);
    assert!(log(&mut client).contains("listens on ws://0.0.0.0:"));
}

#[test]
fn an_emptied_file_is_changed_from_its_last_good_copy_and_a_garbled_one_can_be_replaced() {
    let dir = TempDir::new("emptied");
    let gateway = Gateway::start(
        dir.path(),
        &json!({"ui": {"assistant": {"name": "First"}}, "gateway": {"auth": {"mode": "token", "token": support::TOKEN}}}),
    );
    let mut client = Client::connect(gateway.port, Dialect::Native);
    std::fs::write(dir.path().join(FILE), "").unwrap();
    let blind = client.call("config.patch", &json!({"raw": "{ui:{assistant:{name:'Second'}}}"}));
    assert_eq!(blind["error"]["message"], "config base hash required; re-run config.get and retry");
    let answer = patch(&mut client, "{ui:{assistant:{name:'Second'}}}", 0);
    assert_eq!(answer["payload"]["config"]["ui"]["assistant"]["name"], "Second", "{answer}");
    for file in [FILE, "state/config.last-good.json"] {
        assert!(text(dir.path(), file).contains(support::TOKEN), "{file} lost its content");
    }
    std::fs::write(dir.path().join(FILE), b"{ ui: '\xff' }").unwrap();
    let seen = client.call("config.get", &json!({}))["payload"].clone();
    assert_eq!((&seen["raw"], &seen["exists"], &seen["valid"]), (&Value::Null, &json!(true), &json!(false)), "{seen}");
    assert!(seen["issues"][0]["message"].as_str().unwrap().ends_with("this is not UTF-8 text"));
    let repaired = client.call("config.set", &json!({"raw": "{}", "baseHash": seen["hash"]}));
    assert_eq!(repaired["ok"], true, "{repaired}");
}

#[test]
fn an_unusable_file_of_jobs_is_refused_and_a_usable_one_takes_a_restart() {
    let dir = TempDir::new("store");
    let gateway = Gateway::start(dir.path(), &json!({}));
    let mut client = Client::connect(gateway.port, Dialect::Native);
    let below_a_file = dir.path().join(FILE).join("jobs.json").display().to_string();
    let refused = patch(&mut client, &json!({"cron": {"store": below_a_file}}).to_string(), 0);
    assert!(refused["error"]["message"].as_str().unwrap().contains("cron.store: "), "{refused}");
    // By hand, and past the check of what a client sends.
    std::fs::write(dir.path().join(FILE), json!({"cron": {"store": below_a_file}}).to_string()).unwrap();
    gateway.signal("USR1");
    wait_for("the refusal is logged", || log(&mut client).contains("doesn't restart, because it could not"));
    assert!(log(&mut client).contains("cron.store: "));
    let usable = dir.path().join("jobs/jobs.json").display().to_string();
    let answer = patch(&mut client, &json!({"cron": {"store": usable}}).to_string(), 0);
    assert_eq!(answer["payload"]["restart"]["ok"], true, "{answer}");
    goodbye(&mut client);
    Client::connect(gateway.port, Dialect::Native);
}

#[test]
fn a_new_token_shuts_out_who_came_in_with_the_old_one_after_the_answer() {
    let dir = TempDir::new("rotate");
    let gateway = Gateway::start(dir.path(), &json!({}));
    let mut client = Client::connect(gateway.port, Dialect::Guide);
    let mut other = Client::connect(gateway.port, Dialect::Native);
    let token = "another-token-9f31c07a";
    let answer = patch(&mut client, &format!("{{gateway:{{auth:{{token:'{token}'}}}}}}"), 0);
    assert_eq!(answer["ok"], true, "{answer}");
    for client in [&mut client, &mut other] {
        let close = loop {
            let frame = client.read();
            if frame.get("close").is_some() {
                break frame["close"].clone();
            }
        };
        assert_eq!(close, json!([1008, "credentials changed"]));
    }
    let mut back = Client::connect_with(gateway.port, Dialect::Native, &json!({"auth": {"token": token}}));
    let same = patch(&mut back, "{ui:{assistant:{name:'x'}}}", 0);
    assert_eq!(same["ok"], true);
    assert_eq!(back.find_within(Duration::from_millis(300), |frame| frame.get("close").is_some()), None);
}

#[test]
fn a_mistake_in_an_included_file_is_seen_to_be_repaired_there() {
    let dir = TempDir::new("included");
    let gateway = Gateway::start(dir.path(), &json!({}));
    let mut client = Client::connect(gateway.port, Dialect::Native);
    std::fs::write(dir.path().join("more.json5"), "{ ui: ").unwrap();
    std::fs::write(dir.path().join(FILE), "{ '$include': 'more.json5' }").unwrap();
    wait_for("the mistake is logged", || log(&mut client).contains("the configuration was not reloaded"));
    std::fs::write(dir.path().join("more.json5"), "{ ui: { assistant: { name: 'Mended' } } }").unwrap();
    wait_for("the repair", || client.call("agent.identity.get", &json!({}))["payload"]["name"] == "Mended");
}

#[test]
fn what_waits_for_a_session_and_the_state_versions_outlive_a_restart() {
    let dir = TempDir::new("outlive");
    let gateway = Gateway::start(dir.path(), &json!({}));
    let mut client = Client::connect(gateway.port, Dialect::Native);
    client.call("wake", &json!({"mode": "next-heartbeat", "text": "kettle on"}));
    let before = client.hello["snapshot"]["stateVersion"]["presence"].as_u64().unwrap();
    gateway.signal("USR1");
    goodbye(&mut client);
    let mut client = Client::connect(gateway.port, Dialect::Native);
    assert_eq!(client.call("status", &json!({}))["payload"]["queuedSystemEvents"], json!(["kettle on"]));
    assert!(client.hello["snapshot"]["stateVersion"]["presence"].as_u64().unwrap() > before);
}
