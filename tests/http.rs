//! HTTP on the same port against the real binary (connection.md section 7).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic, in its helpers too")]
#![allow(clippy::disallowed_methods, reason = "tests start processes and read their files")]

mod support;

use serde_json::{Value, json};
use support::http::{exchange, raw};
use support::{ANSWER, Client, Dialect, FakeModel, Gateway, TOKEN, TempDir};

struct Home {
    gateway: Gateway,
    dir: TempDir,
    _model: FakeModel,
}

impl Home {
    fn new(gateway: Value) -> Self {
        let (dir, model) = (TempDir::new("http"), FakeModel::start());
        let mut config = model.config();
        config["gateway"] = gateway;
        Self { gateway: Gateway::start(dir.path(), &config), dir, _model: model }
    }

    fn open() -> Self {
        Self::new(
            json!({"http": {"endpoints": {"chatCompletions": {"enabled": true}, "responses": {"enabled": true}}}}),
        )
    }

    fn post(&self, path: &str, body: &Value) -> support::http::Answer {
        let bearer = format!("Bearer {TOKEN}");
        exchange(self.gateway.port, "POST", path, &[("Authorization", &bearer)], &body.to_string())
    }
}

fn hello() -> Value {
    json!({"model": "barnacle", "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "hi"}]})
}

#[test]
fn probes_need_no_secret_and_tell_nothing() {
    let home = Home::new(json!({}));
    let port = home.gateway.port;
    let health = exchange(port, "GET", "/healthz", &[], "");
    assert_eq!((health.status, health.json()), (200, json!({"status": "ok"})));
    let ready = exchange(port, "GET", "/readyz", &[], "");
    assert_eq!((ready.status, ready.json()["status"].clone()), (200, json!("ready")));
    assert_eq!(exchange(port, "POST", "/healthz", &[], "x").status, 405);
    assert_eq!(exchange(port, "HEAD", "/healthz", &[], "").body, "");
    assert_eq!(exchange(port, "GET", "/", &[], "").status, 426);
    assert_eq!(exchange(port, "GET", "/nothing", &[], "").status, 404);
    let off = Home::new(json!({"http": {"endpoints": {"healthz": {"enabled": false}, "metrics": {"enabled": false}}}}));
    assert_eq!(exchange(off.gateway.port, "GET", "/healthz", &[], "").status, 404);
    assert_eq!(exchange(off.gateway.port, "GET", "/metrics", &[], "").status, 404);
}

#[test]
fn metrics_need_the_secret_and_count() {
    let home = Home::new(json!({}));
    let refused = exchange(home.gateway.port, "GET", "/metrics", &[], "");
    assert_eq!(refused.status, 401);
    assert_eq!(refused.json(), json!({"error": {"message": "Unauthorized", "type": "unauthorized"}}));
    let _client = Client::connect(home.gateway.port, Dialect::Native);
    let bearer = format!("Bearer {TOKEN}");
    let metrics = exchange(home.gateway.port, "GET", "/metrics", &[("Authorization", &bearer)], "");
    assert!(metrics.head.contains("text/plain; version=0.0.4"), "{}", metrics.head);
    for line in ["barnacle_connections 1", "barnacle_storage_ok 1", "# TYPE barnacle_loop_lag_seconds histogram"] {
        assert!(metrics.body.contains(line), "{line}: {}", metrics.body);
    }
    let resident = metrics.body.lines().find_map(|line| line.strip_prefix("barnacle_resident_bytes ")).unwrap();
    assert!(resident.parse::<u64>().unwrap() > 100_000);
}

#[test]
fn chat_completions_are_off_until_they_are_switched_on() {
    let home = Home::new(json!({}));
    assert_eq!(home.post("/v1/chat/completions", &hello()).status, 404);
    assert_eq!(home.post("/v1/responses", &json!({"model": "x", "input": "hi"})).status, 404);
}

#[test]
fn a_chat_completion_is_answered_whole_and_leaves_no_session() {
    let home = Home::open();
    let answer = home.post("/v1/chat/completions", &hello());
    assert_eq!(answer.status, 200, "{}", answer.body);
    let body = answer.json();
    assert_eq!((&body["object"], &body["model"]), (&json!("chat.completion"), &json!("barnacle")));
    assert_eq!(body["choices"][0]["message"], json!({"role": "assistant", "content": ANSWER}));
    assert_eq!(body["choices"][0]["finish_reason"], "stop");
    assert_eq!(body["usage"], json!({"prompt_tokens": 1200, "completion_tokens": 34, "total_tokens": 1234}));
    let mut client = Client::connect(home.gateway.port, Dialect::Native);
    let sessions = client.call("sessions.list", &json!({}));
    assert_eq!(sessions["payload"]["sessions"], json!([]));
    let left = std::fs::read_dir(home.dir.path().join("state/agents/main/sessions")).unwrap();
    let transcripts = left.filter(|entry| entry.as_ref().unwrap().file_name().len() > 36);
    assert_eq!(transcripts.count(), 0);
    // With a user, the session stays and remembers.
    let mut asked = hello();
    asked["user"] = "ann".into();
    home.post("/v1/chat/completions", &asked);
    let sessions = client.call("sessions.list", &json!({}));
    assert_eq!(sessions["payload"]["sessions"][0]["key"], "agent:main:openai-user:ann");
}

#[test]
fn a_chat_completion_streams() {
    let home = Home::open();
    let mut asked = hello();
    asked["stream"] = true.into();
    asked["stream_options"] = json!({"include_usage": true});
    let answer = home.post("/v1/chat/completions", &asked);
    assert!(answer.head.contains("text/event-stream"), "{}", answer.head);
    assert!(answer.body.ends_with("data: [DONE]\n\n"), "{}", answer.body);
    let events = answer.events();
    assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
    let text: String = events.iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(text, ANSWER);
    assert_eq!(events[events.len() - 2]["choices"][0]["finish_reason"], "stop");
    assert_eq!(events[events.len() - 1]["usage"]["total_tokens"], 1234);
}

#[test]
fn a_response_is_answered_whole_and_streams() {
    let home = Home::open();
    let body = home.post("/v1/responses", &json!({"model": "barnacle", "input": "hi", "instructions": "x"})).json();
    assert_eq!((&body["object"], &body["status"]), (&json!("response"), &json!("completed")));
    assert_eq!(body["output"][0]["content"][0], json!({"type": "output_text", "text": ANSWER, "annotations": []}));
    let input = json!([{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}]);
    let answer = home.post("/v1/responses", &json!({"model": "barnacle", "input": input, "stream": true}));
    let events = answer.events();
    let names: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(
        names[..4],
        ["response.created", "response.in_progress", "response.output_item.added", "response.content_part.added"]
    );
    assert_eq!(names[names.len() - 1], "response.completed");
    assert_eq!(events[events.len() - 1]["response"]["output"][0]["content"][0]["text"], ANSWER);
    let numbers: Vec<_> = events.iter().map(|event| event["sequence_number"].as_u64().unwrap()).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{numbers:?}");
}

#[test]
fn a_failure_of_the_model_is_a_failure_here_too() {
    let home = Home::open();
    let mut asked = hello();
    asked["messages"][1]["content"] = "FAIL".into();
    let answer = home.post("/v1/chat/completions", &asked);
    assert_eq!((answer.status, &answer.json()["error"]["type"]), (500, &json!("api_error")));
    asked["stream"] = true.into();
    let streamed = home.post("/v1/chat/completions", &asked);
    assert!(streamed.body.contains("api_error") && streamed.body.ends_with("data: [DONE]\n\n"), "{}", streamed.body);
}

#[test]
fn wrong_requests_are_told_what_is_wrong() {
    let home = Home::open();
    let port = home.gateway.port;
    let refused = |answer: support::http::Answer, status: u16, said: &str| {
        assert!(answer.status == status && answer.body.contains(said), "{status} {said}: {answer:?}");
    };
    refused(home.post("/v1/chat/completions", &json!({"messages": []})), 400, "Missing user message in `messages`.");
    refused(home.post("/v1/chat/completions", &json!([])), 400, "invalid_request_error");
    refused(
        home.post("/v1/chat/completions", &json!({"model": "clawdbot:nobody", "messages": []})),
        400,
        "unknown agent",
    );
    refused(home.post("/v1/responses", &json!({"input": "hi"})), 400, "`model`");
    refused(exchange(port, "POST", "/v1/chat/completions", &[], "{}"), 401, "Unauthorized");
    refused(
        exchange(port, "POST", "/v1/chat/completions", &[("Authorization", "Bearer wrong")], "{}"),
        401,
        "Unauthorized",
    );
    refused(exchange(port, "GET", "/v1/chat/completions", &[], ""), 405, "Method Not Allowed");
    let endless = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Length: 99999999999\r\n\r\n"
    );
    refused(raw(port, &endless), 413, "at most");
    let foreign = [("Origin", "https://evil.example"), ("Authorization", "Bearer x")];
    refused(exchange(port, "POST", "/v1/chat/completions", &foreign, "{}"), 403, "origin");
}

#[test]
fn a_stranger_is_refused_before_his_body_takes_any_room() {
    let home = Home::open();
    let head = "POST /v1/responses HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8000000\r\n\r\n{";
    assert_eq!(raw(home.gateway.port, head).status, 401);
    let many = format!("{{\"model\":\"x\",\"input\":[{}0]}}", "0,".repeat(30_000));
    let bearer = format!("Bearer {TOKEN}");
    let answer = exchange(home.gateway.port, "POST", "/v1/responses", &[("Authorization", &bearer)], &many);
    assert!(answer.status == 400 && answer.body.contains("20000 values"), "{answer:?}");
}
