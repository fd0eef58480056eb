use super::*;

fn turn() -> Turn {
    let mut turn = Turn::new("main", "hi", None, "run-1".into());
    turn.asked(Ask::Send, "2".into());
    turn
}

fn raw(value: &Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).unwrap()
}

fn chat(run_id: &str, rest: &Value) -> Incoming {
    let mut payload = rest.clone();
    payload["runId"] = run_id.into();
    Incoming::Event { name: "chat".into(), payload: raw(&payload) }
}

fn text(state: &str, text: &str) -> Incoming {
    chat(
        "run-1",
        &json!({"state": state, "message": {"role": "assistant", "content": [{"type": "text", "text": text}]}}),
    )
}

fn reply(id: &str, payload: &Value) -> Incoming {
    Incoming::Reply(Reply { id: id.into(), outcome: Ok(raw(payload)) })
}

fn print(text: &str) -> Action {
    Action::Print { starts_over: false, text: text.into() }
}

fn history(messages: &Value) -> Incoming {
    reply("3", &json!({"sessionKey": "main", "messages": messages}))
}

fn asked_history() -> Turn {
    let mut turn = turn();
    turn.asked(Ask::History, "3".into());
    turn
}

#[test]
fn deltas_are_printed_as_they_grow_and_the_final_ends_it() {
    let mut turn = turn();
    assert_eq!(turn.on(reply("2", &json!({"runId": "run-1", "status": "started"}))), []);
    assert_eq!(turn.on(text("delta", "He")), [print("He")]);
    assert_eq!(turn.on(chat("other", &json!({"state": "delta", "message": {"content": "no"}}))), []);
    assert_eq!(turn.on(Incoming::Event { name: "tick".into(), payload: raw(&json!({"ts": 1})) }), []);
    assert_eq!(turn.on(text("final", "Hello")), [print("llo"), Action::Over(Outcome::Answered)]);
}

#[test]
fn errors_and_stops_end_it_with_their_reason() {
    let failed = turn().on(chat("run-1", &json!({"state": "error", "errorMessage": "no key"})));
    assert_eq!(failed, [Action::Over(Outcome::Failed("no key".into()))]);
    let stopped = turn().on(chat("run-1", &json!({"state": "aborted", "stopReason": "timeout"})));
    assert_eq!(stopped, [Action::Over(Outcome::Stopped("stopped: it took too long".into()))]);
    let refusal = Refusal { code: "UNAVAILABLE".into(), ..Refusal::default() };
    let refused = turn().on(Incoming::Reply(Reply { id: "2".into(), outcome: Err(refusal.clone()) }));
    assert_eq!(refused, [Action::Over(Outcome::Refused(refusal))]);
    let phrase = turn().on(reply("2", &json!({"ok": true, "aborted": false, "runIds": []})));
    assert_eq!(phrase, [Action::Note("no answer was running"), Action::Over(Outcome::Answered)]);
}

#[test]
fn a_final_without_text_is_looked_up_in_the_history() {
    assert_eq!(turn().on(chat("run-1", &json!({"state": "final"}))), [Action::Ask(Ask::History)]);
    let user = json!({"role": "user", "content": [{"type": "text", "text": "hi\n"}]});
    let assistant = |stop: &str, text: &str| json!({"role": "assistant", "content": [{"type": "text", "text": text}], "stopReason": stop, "errorMessage": "quota"});
    let over = |outcome| Action::Over(outcome);
    let failed = asked_history().on(history(&json!([user, assistant("error", "")])));
    assert_eq!(failed, [over(Outcome::Failed("quota".into()))]);
    let answered = asked_history().on(history(&json!([{"role": "odd"}, user, assistant("stop", "yes")])));
    assert_eq!(answered, [print("yes"), over(Outcome::Answered)]);
    // Somebody said something else after it, and that was answered.
    let other = json!({"role": "user", "content": "other"});
    let silent = asked_history().on(history(&json!([user, other, assistant("stop", "to other")])));
    assert!(matches!(silent[..], [Action::Note(_), Action::Over(Outcome::Answered)]), "{silent:?}");
    // The answer is still at work with its tools.
    let working = asked_history().on(history(&json!([user, assistant("toolUse", "let me see")])));
    assert!(matches!(working[0], Action::Note(_)));
}

#[test]
fn a_gateway_that_went_on_is_asked_with_the_same_key() {
    let mut turn = turn();
    turn.on(reply("2", &json!({"status": "started"})));
    turn.on(text("delta", "He"));
    assert_eq!(turn.resume(false), Ask::Send);
    turn.asked(Ask::Send, "9".into());
    assert_eq!(turn.request(Ask::Send).1["idempotencyKey"], "run-1");
    assert_eq!(turn.on(reply("9", &json!({"status": "in_flight"}))), []);
    assert_eq!(turn.on(text("delta", "Hello")), [print("llo")]);
    assert_eq!(turn.resume(false), Ask::Send);
    turn.asked(Ask::Send, "10".into());
    assert_eq!(turn.on(reply("10", &json!({"status": "ok"}))), [Action::Ask(Ask::History)]);
}

#[test]
fn after_a_restart_an_acknowledged_message_is_never_said_twice() {
    let mut new = turn();
    assert_eq!(new.resume(true), Ask::Send);
    let mut taken = turn();
    taken.on(reply("2", &json!({"status": "started"})));
    assert_eq!(taken.resume(true), Ask::History);
    taken.asked(Ask::History, "3".into());
    let lost = taken.on(history(&json!([{"role": "user", "content": "hi"}])));
    assert!(matches!(&lost[..], [Action::Over(Outcome::Failed(why))] if why.contains("restarted")), "{lost:?}");
    assert_eq!(taken.resume(false), Ask::History);
}

#[test]
fn thinking_is_sent_only_when_asked_for() {
    assert!(turn().request(Ask::Send).1.get("thinking").is_none());
    let turn = Turn::new("s", "m", Some("high"), "r".into());
    let (method, params) = turn.request(Ask::Send);
    assert_eq!(method, "chat.send");
    assert_eq!(params, json!({"sessionKey": "s", "message": "m", "idempotencyKey": "r", "thinking": "high"}));
    assert_eq!(turn.request(Ask::Stop), ("chat.abort", json!({"sessionKey": "s", "runId": "r"})));
}
