//! Hooks and `/tools/invoke` against the real binary (connection.md 7 rows 1 and 2).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic, in its helpers too")]
#![allow(clippy::disallowed_methods, reason = "tests start processes and read their files")]

mod support;

use ring::hmac;
use serde_json::{Value, json};
use support::http::{Answer, exchange};
use support::{ANSWER, Client, Dialect, FakeModel, Gateway, TOKEN, TempDir};

/// The token of the hooks.
const HOOK_TOKEN: &str = "herring-hook-herring-hook";

struct Home {
    gateway: Gateway,
    _dir: TempDir,
    _model: FakeModel,
}

impl Home {
    fn new(changes: &Value) -> Self {
        let (dir, model) = (TempDir::new("hooks"), FakeModel::start());
        let mut config = model.config();
        // Or a heartbeat takes the events before the test looks.
        config["agents"]["defaults"]["heartbeat"] = json!({"every": "0m"});
        for (key, value) in changes.as_object().unwrap() {
            config[key] = value.clone();
        }
        Self { gateway: Gateway::start(dir.path(), &config), _dir: dir, _model: model }
    }

    fn with_hooks(hooks: &Value) -> Self {
        let mut all = json!({"enabled": true, "token": HOOK_TOKEN});
        for (key, value) in hooks.as_object().unwrap() {
            all[key] = value.clone();
        }
        Self::new(&json!({"hooks": all}))
    }

    fn send(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        exchange(self.gateway.port, "POST", path, headers, body)
    }

    fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(path, &[("Authorization", &format!("Bearer {HOOK_TOKEN}"))], &body.to_string())
    }

    /// Asks the main session until what the agent reads holds each of these texts.
    fn main_hears(&self, texts: &[&str]) {
        let mut client = Client::connect(self.gateway.port, Dialect::Native);
        for _ in 0..50 {
            let params = json!({"sessionKey": "main", "message": "anything?", "idempotencyKey": fresh()});
            client.call("chat.send", &params);
            let history = client.call("chat.history", &json!({"sessionKey": "main"})).to_string();
            if texts.iter().all(|text| history.contains(text)) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("the main session never heard {texts:?}");
    }
}

fn fresh() -> String {
    static COUNT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    format!("ask-{}", COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
}

fn signature(secret: &str, text: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    format!("sha256={}", data_encoding::HEXLOWER.encode(hmac::sign(&key, text.as_bytes()).as_ref()))
}

#[test]
fn hooks_are_closed_until_they_are_on_and_have_a_secret() {
    let body = json!({"text": "x"});
    for hooks in [json!({}), json!({"enabled": false, "token": HOOK_TOKEN}), json!({"enabled": true, "token": "  "})] {
        let home = Home::new(&json!({"hooks": hooks}));
        assert_eq!(home.post("/hooks/wake", &body).status, 404, "{hooks}");
    }
}

#[test]
fn who_has_no_secret_learns_nothing_and_is_locked_out() {
    let home = Home::with_hooks(&json!({}));
    let wake = |headers: &[(&str, &str)]| home.send("/hooks/wake", headers, r#"{"text":"x"}"#);
    assert_eq!((wake(&[]).status, wake(&[]).body.as_str()), (401, "Unauthorized"));
    assert_eq!(wake(&[("Authorization", &format!("Bearer {TOKEN}"))]).status, 401);
    assert_eq!(wake(&[("X-Clawdbot-Token", HOOK_TOKEN)]).status, 200);
    let in_address = home.send(&format!("/hooks/wake?token={HOOK_TOKEN}"), &[], r#"{"text":"x"}"#);
    assert_eq!(in_address.status, 400);
    assert!(in_address.json()["error"].as_str().unwrap().contains("Authorization: Bearer"));
    let get = exchange(home.gateway.port, "GET", "/hooks/wake", &[("X-Clawdbot-Token", HOOK_TOKEN)], "");
    assert_eq!(get.status, 405);
    let tries = 0..12;
    let answers: Vec<_> = tries.map(|_| wake(&[("X-Clawdbot-Token", "wrong")])).collect();
    let refused = &answers[11];
    assert!(refused.status == 429 && refused.head.to_lowercase().contains("retry-after"), "{}", refused.head);
    assert_eq!(wake(&[("X-Clawdbot-Token", HOOK_TOKEN)]).status, 429);
}

#[test]
fn wrong_requests_are_named_and_large_ones_refused() {
    let home = Home::with_hooks(&json!({"maxBodyBytes": 1024}));
    for (path, body, status, expected) in [
        ("/hooks/wake", json!({"text": " "}), 400, "text required"),
        ("/hooks/wake", json!({"text": "x", "mode": "later"}), 400, "the mode must be now or next-heartbeat"),
        ("/hooks/agent", json!({}), 400, "message required"),
        ("/hooks/agent", json!({"message": "x", "model": ""}), 400, "model required"),
        ("/hooks/agent", json!({"message": "x", "channel": 5}), 400, "channel must be last|telegram|"),
        ("/hooks/agent", json!({"message": "x", "channel": "pigeon"}), 400, "channel must be last|telegram|"),
        ("/hooks/agent", json!([1]), 400, "an object is expected"),
        ("/hooks/nothing", json!({}), 404, "Not Found"),
        ("/hooks", json!({}), 404, "Not Found"),
        ("/hooksy", json!({}), 404, "Not Found"),
        ("/hooks/wake", json!({"text": "x".repeat(2000)}), 413, "1024 bytes"),
    ] {
        let answer = home.post(path, &body);
        assert!(answer.status == status && answer.body.contains(expected), "{path} {body}: {answer:?}");
    }
    let broken = home.send("/hooks/wake", &[("X-Clawdbot-Token", HOOK_TOKEN)], "{broken");
    assert!(broken.status == 400 && broken.json()["ok"] == false, "{}", broken.body);
}

#[test]
fn a_wake_reaches_the_main_session() {
    let home = Home::with_hooks(&json!({"path": "/in/coming"}));
    let answer = home.post("/in/coming/wake", &json!({"text": "the door is open", "mode": "next-heartbeat"}));
    assert_eq!((answer.status, answer.json()), (200, json!({"ok": true, "mode": "next-heartbeat"})));
    assert_eq!(home.post("/in/coming/wake", &json!({"text": "ring"})).json()["mode"], "now");
    home.main_hears(&["the door is open"]);
}

#[test]
fn an_agent_is_asked_in_a_session_of_its_own_and_the_main_one_hears_its_summary() {
    let home = Home::with_hooks(&json!({}));
    let answer = home.post("/hooks/agent", &json!({"message": "look", "name": "CI", "wakeMode": "next-heartbeat"}));
    assert_eq!(answer.status, 202, "{}", answer.body);
    assert!(answer.json()["runId"].as_str().unwrap().len() == 36 && answer.json()["ok"] == true);
    home.main_hears(&[&format!("Hook CI: {ANSWER}")]);
    home.post("/hooks/agent", &json!({"message": "look", "sessionKey": "agent:main:ci", "deliver": false}));
    home.post("/hooks/agent", &json!({"message": "tell", "name": "Far", "channel": "signal", "to": "x"}));
    home.main_hears(&["Hook Far (not delivered: ", &format!("Hook Hook: {ANSWER}")]);
    let mut client = Client::connect(home.gateway.port, Dialect::Native);
    let sessions = client.call("sessions.list", &json!({})).to_string();
    assert!(sessions.contains("agent:main:hook:") && sessions.contains("agent:main:ci"), "{sessions}");
}

#[test]
fn other_services_calls_are_mapped() {
    let home = Home::with_hooks(&json!({"presets": ["gmail"], "mappings": [
        {"id": "ci", "match": {"path": "ci"}, "action": "wake", "textTemplate": "{{repo.name}}: {{builds[0].state}}"},
        {"match": {"source": "door"}, "messageTemplate": "{{note}}", "name": "Door {{n}}", "sessionKey": "agent:main:door"},
    ]}));
    let answer = home.post("/hooks/ci", &json!({"repo": {"name": "barnacle"}, "builds": [{"state": "green"}]}));
    assert_eq!((answer.status, answer.json()), (200, json!({"ok": true, "mode": "now"})));
    home.main_hears(&["barnacle</from-outside-", "green</from-outside-"]);
    assert_eq!(home.post("/hooks/door", &json!({"source": "door", "note": ""})).status, 204);
    assert_eq!(home.post("/hooks/door", &json!({"source": "window", "note": "x"})).status, 404);
    assert_eq!(home.post("/hooks/door", &json!({"source": "door", "note": "rings", "n": 2})).status, 202);
    home.main_hears(&[&format!("Hook Door 2: {ANSWER}")]);
    let mail =
        json!({"messages": [{"id": "m1", "from": "ann", "subject": "hello", "snippet": "hi", "body": "hi there"}]});
    assert_eq!(home.post("/hooks/gmail", &mail).status, 202);
    home.main_hears(&[&format!("Hook Gmail: {ANSWER}")]);
}

#[test]
fn a_signed_body_needs_no_token() {
    let home = Home::new(&json!({"hooks": {"enabled": true, "hmac": {"secret": "whale-whale"}}}));
    let body = r#"{"text":"signed"}"#;
    let send = |signature: &str, body: &str| home.send("/hooks/wake", &[("X-Hub-Signature-256", signature)], body);
    assert_eq!(send(&signature("whale-whale", body), body).status, 200);
    assert_eq!(send(&signature("whale-whale", body), r#"{"text":"other"}"#).status, 401);
    assert_eq!(send(&signature("shark", body), body).status, 401);
    assert_eq!(send("sha256=zz", body).status, 401);
    assert_eq!(home.post("/hooks/wake", &json!({"text": "x"})).status, 401);
}

#[test]
fn a_signature_with_a_time_is_taken_once_and_not_late() {
    let hmac = json!({"secret": "whale", "header": "X-Sig", "timestampHeader": "X-Time", "windowSeconds": 60});
    let home = Home::new(&json!({"hooks": {"enabled": true, "hmac": hmac}}));
    let body = r#"{"text":"signed"}"#;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let send = |time: u64, signature: &str| {
        home.send("/hooks/wake", &[("X-Time", &time.to_string()), ("X-Sig", signature)], body).status
    };
    let sign = |time: u64| signature("whale", &format!("{time}.{body}"));
    assert_eq!((send(now, &sign(now)), send(now, &sign(now))), (200, 401));
    assert_eq!(send(now - 120, &sign(now - 120)), 401);
    assert_eq!(send(now - 1, &sign(now)), 401);
    assert_eq!(send(now - 1, &sign(now - 1)), 200);
}

#[test]
fn tools_are_off_and_then_only_those_that_are_named() {
    let off = Home::new(&json!({}));
    let bearer = format!("Bearer {TOKEN}");
    let call = |home: &Home, body: &Value| home.send("/tools/invoke", &[("Authorization", &bearer)], &body.to_string());
    assert_eq!(call(&off, &json!({"tool": "exec"})).status, 404);
    let gateway = json!({"http": {"endpoints": {"tools": {"enabled": true}}}, "tools": {"allow": ["read"]}});
    let on = Home::new(&json!({"gateway": gateway}));
    for name in ["exec", "write"] {
        let answer = call(&on, &json!({"tool": name, "args": {}}));
        let error = json!({"type": "not_found", "message": format!("Tool not available: {name}")});
        assert_eq!((answer.status, answer.json()), (404, json!({"ok": false, "error": error})));
    }
    let missing = call(&on, &json!({"tool": "read", "args": {"path": "none.txt"}}));
    let error = json!({"type": "tool_error", "message": "There is no such file or directory."});
    assert_eq!((missing.status, missing.json()), (400, json!({"ok": false, "error": error})));
    let nameless = call(&on, &json!({}));
    assert_eq!((nameless.status, &nameless.json()["error"]["type"]), (400, &json!("invalid_request_error")));
    assert_eq!(call(&on, &json!({"tool": "read", "args": []})).status, 400);
    assert_eq!(on.send("/tools/invoke", &[], "{}").status, 401);
    assert_eq!(exchange(on.gateway.port, "GET", "/tools/invoke", &[], "").status, 405);
}
