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
