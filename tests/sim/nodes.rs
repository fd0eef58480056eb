//! Nodes on virtual time: deadlines, repeats, callers that leave, newer connections, large answers, and
//! approvals that nobody gave.

use serde_json::{Value, json};

use super::client::{Client, Ended, Who};
use super::home::{Furnishing, Home};
use super::provider::says;

const LINUX: &[&str] = &["system.run", "system.which", "system.notify"];

fn home(limits: &[(&'static str, u64)]) -> Home {
    Home::new(Furnishing::new(3, |request| says(request, "Hello.")).limits(limits))
}

/// A node without a device.
pub fn node(home: &Home, id: &str, platform: &str, commands: &[&str]) -> Client {
    let mut first = Who { role: "node", ..Who::native() }.handshake();
    first["params"]["client"] = json!({"id": id, "version": "1", "platform": platform, "mode": "node"});
    first["params"]["commands"] = json!(commands);
    let client = home.connect(Who { introduces_itself: false, socket_bytes: 4 << 20, ..Who::native() });
    client.send(&first);
    home.run_ms(5);
    assert!(client.is_admitted(), "{:?}", client.closed());
    client
}

/// A caller who may invoke.
fn caller(home: &Home) -> Client {
    home.admit(Who { socket_bytes: 32 << 20, ..Who::native() })
}

fn invoke(client: &Client, id: &str, command: &str, more: Value) {
    let mut params = json!({"nodeId": "pi", "command": command, "idempotencyKey": id});
    for (key, value) in more.as_object().unwrap() {
        params[key] = value.clone();
    }
    client.request(id, "node.invoke", params);
}

/// What the node was asked, in order.
pub fn asked(node: &Client) -> Vec<Value> {
    node.events("node.invoke.request")
}

pub fn answer(node: &Client, request: &Value, id: &str, more: Value) {
    let mut params = json!({"id": request["id"], "nodeId": "pi", "ok": true});
    for (key, value) in more.as_object().unwrap() {
        params[key] = value.clone();
    }
    node.request(id, "node.invoke.result", params);
}

#[test]
fn a_node_hears_only_what_is_for_it_and_is_asked_what_it_offers() {
    let home = home(&[]);
    let (caller, node) = (caller(&home), node(&home, "pi", "linux", LINUX));
    assert_eq!(node.events("voicewake.changed"), [json!({"triggers": ["clawd", "claude", "computer"]})]);
    let hello = node.received().iter().find(|got| got.json["id"] == "connect").unwrap().json["payload"].clone();
    assert_eq!(hello["policy"]["maxPayload"], 8_388_608);
    invoke(&caller, "1", "system.which", json!({"params": {"bins": ["ls"]}, "timeoutMs": 5000}));
    home.run_ms(1);
    let request = asked(&node).remove(0);
    assert_eq!((&request["paramsJSON"], &request["timeoutMs"]), (&json!(r#"{"bins":["ls"]}"#), &json!(5000)));
    answer(&node, &request, "n1", json!({"payloadJSON": r#"{"bins":{}}"#}));
    home.run_ms(1);
    assert_eq!(node.reply("n1")["payload"], json!({"ok": true}));
    let expected = json!({"ok": true, "nodeId": "pi", "command": "system.which", "payload": {"bins": {}}, "payloadJSON": "{\"bins\":{}}"});
    assert_eq!(caller.reply("1")["payload"], expected);
    caller.request("c", "chat.send", json!({"sessionKey": "main", "message": "hi", "idempotencyKey": "c"}));
    home.run_ms(65_000);
    let names: std::collections::BTreeSet<_> =
        node.received().iter().filter_map(|got| got.json["event"].as_str().map(str::to_owned)).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    assert_eq!(names, ["connect.challenge", "node.invoke.request", "tick", "voicewake.changed"]);
}

#[test]
fn a_question_ends_with_its_deadline_and_the_late_answer_is_ignored() {
    let home = home(&[]);
    let (caller, node) = (caller(&home), node(&home, "pi", "linux", LINUX));
    invoke(&caller, "short", "system.notify", json!({"timeoutMs": 200}));
    invoke(&caller, "usual", "system.notify", json!({}));
    invoke(&caller, "none", "system.notify", json!({"timeoutMs": 0}));
    home.run_ms(199);
    let error = caller.reply("none")["error"].clone();
    assert_eq!((&error["code"], &error["message"]), (&json!("UNAVAILABLE"), &json!("node invoke timed out")));
    assert_eq!(error["details"]["nodeError"]["code"], "TIMEOUT");
    assert!(caller.replies("short").is_empty());
    home.run_ms(2);
    assert_eq!(caller.reply("short")["error"], error);
    answer(&node, &asked(&node)[0], "late", json!({}));
    home.run_ms(1);
    assert_eq!(node.reply("late")["payload"], json!({"ok": true, "ignored": true}));
    home.run_ms(29_000);
    assert!(caller.replies("usual").is_empty());
    home.run_ms(1_000);
    assert_eq!(caller.reply("usual")["error"], error);
    assert!(home.gateway().nodes.invokes.is_empty());
}

#[test]
fn the_same_key_is_asked_once_while_it_waits_and_afterwards() {
    let home = home(&[]);
    let (one, two, node) = (caller(&home), caller(&home), node(&home, "pi", "linux", LINUX));
    let same = json!({"params": {"a": 1}, "idempotencyKey": "k"});
    invoke(&one, "1", "system.which", same.clone());
    invoke(&two, "2", "system.which", same.clone());
    home.run_ms(1);
    assert_eq!(asked(&node).len(), 1);
    // The first caller leaves; the second still waits.
    drop(one);
    home.run_ms(3_000);
    answer(&node, &asked(&node)[0], "n", json!({"payload": {"done": true}}));
    home.run_ms(1);
    assert_eq!(node.reply("n")["payload"], json!({"ok": true}));
    assert_eq!(two.reply("2")["payload"]["payload"], json!({"done": true}));
    invoke(&two, "3", "system.which", same);
    invoke(&two, "4", "system.which", json!({"params": {"a": 2}, "idempotencyKey": "k"}));
    home.run_ms(1);
    assert_eq!(two.reply("3")["payload"], two.reply("2")["payload"]);
    assert_eq!(asked(&node).len(), 2, "the same key for another question is another question");
}

#[test]
fn a_question_that_every_caller_has_left_is_taken_back_and_not_asked_again() {
    let home = home(&[]);
    let (leaving, node) = (caller(&home), node(&home, "pi", "linux", LINUX));
    invoke(&leaving, "k", "system.which", json!({}));
    home.run_ms(1);
    drop(leaving);
    home.run_ms(3_000);
    assert!(home.gateway().nodes.invokes.is_empty());
    answer(&node, &asked(&node)[0], "n", json!({}));
    home.run_ms(1);
    assert_eq!(node.reply("n")["payload"]["ignored"], true);
    let back = caller(&home);
    invoke(&back, "k", "system.which", json!({}));
    home.run_ms(1);
    let message = back.reply("k")["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("was left before its answer came"), "{message}");
    assert_eq!(asked(&node).len(), 1);
}

#[test]
fn a_newer_connection_of_a_node_replaces_the_older() {
    let home = home(&[]);
    let (caller, older) = (caller(&home), node(&home, "pi", "linux", LINUX));
    invoke(&caller, "1", "system.run", json!({"params": {"command": ["sleep", "9"]}}));
    home.run_ms(1);
    let newer = node(&home, "pi", "linux", LINUX);
    assert_eq!(older.closed(), Some(Ended::Closed(1008, "replaced by a newer connection".to_owned())));
    assert_eq!(caller.reply("1")["error"]["message"], "Error: node disconnected (system.run)");
    home.run_ms(3_000);
    invoke(&caller, "2", "system.which", json!({}));
    home.run_ms(1);
    answer(&newer, &asked(&newer)[0], "n", json!({}));
    home.run_ms(1);
    assert_eq!(caller.reply("2")["ok"], true);
    drop(newer);
    home.run_ms(3_000);
    invoke(&caller, "3", "system.which", json!({}));
    home.run_ms(1);
    assert_eq!(caller.reply("3")["error"]["details"]["code"], "NOT_CONNECTED");
}

#[test]
fn an_answer_over_its_bound_fails_the_question_and_the_node_stays() {
    let home = home(&[("nodeMaxPayload", 100_000)]);
    let (caller, node) = (caller(&home), node(&home, "pi", "linux", LINUX));
    for id in ["1", "2"] {
        invoke(&caller, id, "system.run", json!({"params": {"command": [id]}}));
    }
    home.run_ms(1);
    let requests = asked(&node);
    answer(&node, &requests[1], "n1", json!({"payloadJSON": "x".repeat(200_000)}));
    node.request("n2", "node.event", json!({"event": "x", "payload": "x".repeat(200_000)}));
    answer(&node, &requests[0], "n3", json!({"payload": "x".repeat(90_000)}));
    home.run_ms(50);
    let error = caller.reply("2")["error"].clone();
    assert_eq!(
        (&error["code"], &error["details"]["nodeError"]["code"]),
        (&json!("UNAVAILABLE"), &json!("PAYLOAD_TOO_LARGE"))
    );
    assert!(error["message"].as_str().unwrap().contains("more than nodeMaxPayload with 100000"), "{error}");
    // Frames that were dropped are answered too, and cost nothing.
    for (id, what) in [("n1", "the invoke that it answers has failed"), ("n2", "is larger than policy.maxPayload")] {
        let message = node.reply(id)["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(what), "{message}");
    }
    assert_eq!((caller.reply("1")["ok"].clone(), node.closed()), (json!(true), None));
    assert_eq!(home.gateway().incoming.used(), 0);
}

#[test]
fn an_answer_that_no_reply_can_hold_is_refused_in_words() {
    let home = home(&[("maxBufferedBytes", 262_144), ("historyBytes", 65_536)]);
    let (caller, node) = (caller(&home), node(&home, "pi", "linux", LINUX));
    invoke(&caller, "1", "system.run", json!({}));
    home.run_ms(1);
    answer(&node, &asked(&node)[0], "n", json!({"payload": "x".repeat(140_000)}));
    home.run_ms(50);
    let error = caller.reply("1")["error"].clone();
    assert_eq!(error["code"], "UNAVAILABLE");
    assert!(error["message"].as_str().unwrap().contains("more than half of policy.maxBufferedBytes"), "{error}");
    assert_eq!(caller.closed(), None);
}

#[test]
fn too_many_questions_to_one_node_are_turned_away() {
    let home = home(&[]);
    let (caller, _node) = (caller(&home), node(&home, "pi", "linux", LINUX));
    for number in 0..=barnacle::limits::INVOKES_PER_NODE {
        invoke(&caller, &number.to_string(), "system.which", json!({}));
    }
    home.run_ms(1);
    let last = caller.reply(&barnacle::limits::INVOKES_PER_NODE.to_string());
    assert_eq!((&last["error"]["code"], &last["error"]["retryable"]), (&json!("UNAVAILABLE"), &json!(true)));
    home.run_ms(30_001);
    assert!(home.gateway().nodes.invokes.is_empty());
}

#[test]
fn a_subscribed_node_gets_each_event_of_its_session_once_and_in_order() {
    let home = home(&[]);
    let (caller, node) = (caller(&home), node(&home, "pi", "linux", LINUX));
    node.request("s", "node.event", json!({"event": "chat.subscribe", "payloadJSON": "{\"sessionKey\":\" main \"}"}));
    home.run_ms(1);
    let send = |id: &str, key: &str| {
        caller.request(id, "chat.send", json!({"sessionKey": key, "message": "hi", "idempotencyKey": id}));
        home.run_ms(5_000);
    };
    send("a", "agent:main:main");
    send("b", "other");
    assert_eq!(
        node.events("chat"),
        caller.events("chat").into_iter().filter(|chat| chat["runId"] == "a").collect::<Vec<_>>()
    );
    assert!(!node.events("chat").is_empty() && !node.events("agent").is_empty());
    let numbers: Vec<_> = node.received().iter().filter_map(|got| got.json["seq"].as_u64()).collect();
    assert_eq!(numbers, (1..).take(numbers.len()).collect::<Vec<_>>());
    let before = node.events("chat").len();
    node.request("u", "node.event", json!({"event": "chat.unsubscribe", "payload": {"sessionKey": "agent:main:main"}}));
    home.run_ms(1);
    send("c", "main");
    assert_eq!(node.events("chat").len(), before);
}

#[test]
fn what_a_node_says_becomes_a_run_and_what_it_says_wrongly_is_ignored() {
    let home = home(&[]);
    let (caller, node) = (caller(&home), node(&home, "pi", "linux", LINUX));
    let event = |id: &str, kind: &str, payload: Value| {
        node.request(id, "node.event", json!({"event": kind, "payload": payload}));
        home.run_ms(3_000);
        assert_eq!(node.reply(id)["payload"], json!({"ok": true}), "{kind}");
    };
    event("1", "voice.transcript", json!({"text": " turn it on "}));
    let said = caller.events("chat").pop().unwrap();
    assert_eq!((&said["state"], &said["sessionKey"]), (&json!("final"), &json!("agent:main:main")));
    assert!(said["runId"].as_str().unwrap().starts_with("voice-"));
    event("2", "agent.request", json!({"message": "hello", "thinking": "bogus", "deliver": true, "channel": "x"}));
    let run = caller.events("agent").pop().unwrap();
    assert_eq!((&run["sessionKey"], &run["data"]["phase"]), (&json!("node-pi"), &json!("end")));
    let events = caller.received().len();
    let long = "x".repeat(20_001);
    for (id, kind, payload) in [
        ("3", "voice.transcript", json!({"text": "  "})),
        ("4", "voice.transcript", json!({"text": long})),
        ("5", "agent.request", json!({"message": 5})),
        ("6", "chat.subscribe", json!([1])),
        ("7", "exec.finished", json!({"exitCode": "x"})),
        ("8", "no.such.kind", json!(null)),
    ] {
        event(id, kind, payload);
    }
    let ticks = caller
        .received()
        .iter()
        .skip(events)
        .filter(|got| got.json["event"] != "tick" && got.json["event"] != "health")
        .count();
    assert_eq!(ticks, 0);
}

/// An owner who may decide.
fn approver(home: &Home) -> Client {
    home.admit(Who { scopes: &["operator.approvals", "operator.write"], ..Who::native() })
}

#[test]
fn a_claim_of_approval_is_passed_on_only_for_what_was_approved_and_only_once() {
    let home = home(&[]);
    let (owner, node) = (approver(&home), node(&home, "pi", "linux", LINUX));
    let claim = |id: &str, argv: Value| {
        let params = json!({"command": argv, "cwd": "/srv", "approved": true, "approvalDecision": "allow-always"});
        invoke(&owner, id, "system.run", json!({"params": params, "timeoutMs": 10}));
        home.run_ms(20);
        let passed = asked(&node).pop().unwrap()["paramsJSON"].as_str().unwrap().to_owned();
        serde_json::from_str::<Value>(&passed).unwrap()
    };
    assert_eq!(claim("1", json!(["ls", "-l"])), json!({"command": ["ls", "-l"], "cwd": "/srv"}));
    owner.request("r", "exec.approval.request", json!({"id": "a", "command": "ls -l", "cwd": "/srv", "host": "node"}));
    owner.request("d", "exec.approval.resolve", json!({"id": "a", "decision": "allow-once"}));
    home.run_ms(100);
    assert_eq!(owner.reply("r")["payload"]["decision"], "allow-once");
    assert!(claim("2", json!(["ls", "-l", "/"])).get("approved").is_none());
    let allowed = claim("3", json!(["ls", "-l"]));
    assert_eq!((&allowed["approved"], &allowed["approvalDecision"]), (&json!(true), &json!("allow-once")));
    assert!(claim("4", json!(["ls", "-l"])).get("approved").is_none());
}

#[test]
fn a_request_waits_without_its_caller_until_it_is_decided_or_its_time_is_up() {
    let home = home(&[]);
    let (asking, owner) = (approver(&home), approver(&home));
    asking.request("r", "exec.approval.request", json!({"id": "a", "command": "x", "timeoutMs": 5000}));
    home.run_ms(1);
    assert_eq!(owner.events("exec.approval.requested")[0]["id"], "a");
    owner.request("same", "exec.approval.request", json!({"id": "a", "command": "y"}));
    home.run_ms(1);
    assert_eq!(owner.reply("same")["error"]["message"], "approval id already pending");
    drop(asking);
    home.run_ms(1_000);
    owner.request("d", "exec.approval.resolve", json!({"id": "a", "decision": "deny"}));
    home.run_ms(100);
    assert_eq!(owner.reply("d")["payload"], json!({"ok": true}));
    owner.request("t", "exec.approval.request", json!({"command": "x", "timeoutMs": 100}));
    home.run_ms(99);
    assert!(owner.replies("t").is_empty());
    home.run_ms(2);
    assert_eq!(owner.reply("t")["payload"]["decision"], Value::Null);
    assert_eq!(owner.events("exec.approval.resolved").len(), 1, "nothing is told of a time that is up");
    assert!(home.gateway().nodes.decisions.is_empty());
}

#[test]
fn a_decision_survives_a_power_cut_as_soon_as_it_was_acknowledged() {
    let mut home = home(&[]);
    let owner = approver(&home);
    owner.request("r", "exec.approval.request", json!({"id": "a", "command": "ls -l", "resolvedPath": "/bin/ls"}));
    owner.request("d", "exec.approval.resolve", json!({"id": "a", "decision": "allow-always"}));
    while owner.replies("d").is_empty() {
        home.run_ms(1);
    }
    home.power_cut();
    let file = home.gateway().stores.exec_approvals.snapshot().unwrap().0.file;
    assert_eq!(file["agents"]["main"]["allowlist"][0]["pattern"], "/bin/ls");
    use barnacle::sys::Files as _;
    let log = home.files.read(std::path::Path::new("/state/exec-approvals.log.jsonl"), 10_000).unwrap();
    let line: Value = serde_json::from_slice(&log).unwrap();
    assert_eq!((&line["decision"], &line["request"]["command"]), (&json!("allow-always"), &json!("ls -l")));
}
