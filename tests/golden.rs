//! Exchanges as data: each file of `tests/golden/` is played against the real binary over a real socket.
//!
//! A file is one line of JSON a step; lines that begin with `#` are headings. Except for the handshakes a file is
//! played twice, each time with a gateway of its own: once as a guide client, once as a native one. What differs
//! between the two stands side by side, under `guide` and `native` (guide.md holds for the one, connection.md and
//! methods.md for the other). `tests/golden/pattern.rs` tells what a pattern may contain.
//!
//! | step | is |
//! | --- | --- |
//! | `call`, `params`, `as`, `on` | sends a request; the next response is expected under `ok`, `error` or `frame` |
//! | `answer` | a further response to the call of that name, expected in the same way |
//! | `call` with `later` | sends the request without waiting for a response |
//! | `run`, `agent`, `chat` | all events of that run up to its last one |
//! | `event` | the next event with that name (of the native dialect) has this `payload` |
//! | `send`, `reply` | sends a text as it is; the next response frame is `reply`, or none comes when it is null |
//! | `connect`, `with` | opens another connection of that name; `with` changes the handshake's params |
//! | `close`, `hang_up` | the next frame on that connection (`on`) is this close; that connection is ended by us |
//! | `open`, `first`, `text`, `frames` | a socket at that path, what is sent first, and all frames up to the close |
//! | `config` | as the first step: sections of the configuration for this file |
//! | `file`, `text` | writes a file below the directory that holds the configuration and `state` |
//! | `only` | the step is for that dialect alone |
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic, in its helpers too")]
#![allow(clippy::disallowed_methods, reason = "tests start processes and read their files")]

#[path = "golden/pattern.rs"]
mod pattern;
mod support;

use std::collections::BTreeMap;

use pattern::{Names, compare, filled};
use serde_json::{Value, json};
use support::{Client, Dialect, FakeModel, Gateway, TempDir};

/// A file that is being played.
struct Play {
    dialect: Dialect,
    gateway: Gateway,
    clients: BTreeMap<String, Client>,
    /// Name of a call → its connection and request id.
    calls: BTreeMap<String, (String, String)>,
    names: Names,
    place: String,
    wrong: Vec<String>,
    // Last, so that they are gone after the gateway.
    _model: FakeModel,
    dir: TempDir,
}

fn play(file: &str, steps: &str, dialects: &[Dialect]) {
    let mut wrong = Vec::new();
    for &dialect in dialects {
        let mut play = Play::begin(file, dialect, &own_config(steps));
        for (index, line) in steps.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            play.place = format!("{file}:{} ({dialect:?})", index + 1);
            let step: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{}: {error}", play.place));
            if step["config"].is_object() {
                continue;
            }
            let only = step["only"].as_str();
            if only.is_none_or(|only| only == name_of(dialect)) {
                play.step(&step);
            }
        }
        wrong.append(&mut play.wrong);
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// The sections that the file's first step adds to the configuration.
fn own_config(steps: &str) -> Value {
    let first = steps.lines().find(|line| !line.starts_with('#')).unwrap_or_default();
    serde_json::from_str::<Value>(first).map(|step| step["config"].clone()).unwrap_or_default()
}

fn name_of(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Guide => "guide",
        Dialect::Native => "native",
    }
}

impl Play {
    fn begin(file: &str, dialect: Dialect, own: &Value) -> Self {
        let dir = TempDir::new(file.trim_end_matches(".jsonl"));
        let model = FakeModel::start();
        let mut config = model.config();
        for (section, value) in own.as_object().into_iter().flatten() {
            config[section] = value.clone();
        }
        let gateway = Gateway::start(dir.path(), &config);
        let client = Client::connect(gateway.port, dialect);
        Self {
            dialect,
            gateway,
            clients: BTreeMap::from([("first".to_owned(), client)]),
            calls: BTreeMap::new(),
            names: Names::new(),
            place: String::new(),
            wrong: Vec::new(),
            _model: model,
            dir,
        }
    }

    /// The part of a step that is for this dialect, or the step itself.
    fn own<'a>(&self, step: &'a Value, key: &str) -> Option<&'a Value> {
        step[name_of(self.dialect)].get(key).or_else(|| step.get(key))
    }

    fn step(&mut self, step: &Value) {
        if let Some(path) = step["open"].as_str() {
            self.open(path, step);
        } else if let Some(method) = step["call"].as_str() {
            let none = json!({});
            let params = filled(self.own(step, "params").unwrap_or(&none), &self.names);
            let on = step["on"].as_str().unwrap_or("first").to_owned();
            let id = self.client(&on).request(method, &params);
            self.calls.insert(step["as"].as_str().unwrap_or(method).to_owned(), (on.clone(), id.clone()));
            if step["later"] != true {
                let answer = self.client(&on).response(&id);
                self.check_answer(step, &id, &answer);
            }
        } else if let Some(name) = step["answer"].as_str() {
            let (on, id) = self.calls[name].clone();
            let answer = self.client(&on).response(&id);
            self.check_answer(step, &id, &answer);
        } else if let Some(run) = step["run"].as_str() {
            self.run(run, step);
        } else if let Some(event) = step["event"].as_str() {
            let name = self.event_name(event);
            let on = step["on"].as_str().unwrap_or("first").to_owned();
            let frame = self.client(&on).find(|frame| frame["event"] == name);
            let pattern = self.own(step, "payload").cloned().unwrap_or_else(|| json!("<any>"));
            self.check(&pattern, &frame["payload"], "payload");
            if let Some(pattern) = self.own(step, "frame").cloned() {
                self.check(&pattern, &frame, "event");
            }
        } else if let Some(text) = step["send"].as_str() {
            self.send(text, &step["reply"]);
        } else if let Some(path) = step["file"].as_str() {
            let path = self.dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, step["text"].as_str().unwrap()).unwrap();
        } else if let Some(name) = step["connect"].as_str() {
            let client = Client::connect_with(self.gateway.port, self.dialect, &step["with"]);
            self.clients.insert(name.to_owned(), client);
        } else if step["close"].is_array() {
            let on = step["on"].as_str().unwrap_or("first").to_owned();
            let frame = self.client(&on).find_close();
            self.check(&step["close"], &frame["close"], "close");
        } else if let Some(name) = step["hang_up"].as_str() {
            self.clients.remove(name).unwrap().hang_up();
        } else {
            panic!("{}: not a step: {step}", self.place);
        }
    }

    fn client(&mut self, name: &str) -> &mut Client {
        self.clients.get_mut(name).unwrap()
    }

    fn event_name(&self, native: &str) -> String {
        let is_run = matches!(native, "agent" | "chat");
        if is_run && self.dialect == Dialect::Guide { format!("{native}.event") } else { native.to_owned() }
    }

    fn check(&mut self, pattern: &Value, value: &Value, what: &str) {
        compare(pattern, value, &format!("{}: {what}", self.place), &mut self.names, &mut self.wrong);
    }

    /// A frame's form follows from what is expected; an error always says whether trying again may help.
    fn check_answer(&mut self, step: &Value, id: &str, answer: &Value) {
        let frame = if let Some(frame) = self.own(step, "frame") {
            frame.clone()
        } else if let Some(ok) = self.own(step, "ok") {
            json!({"type": "res", "id": id, "ok": true, "payload": ok})
        } else {
            let mut error =
                self.own(step, "error").unwrap_or_else(|| panic!("{}: what is expected?", self.place)).clone();
            if let Value::String(message) = error {
                error = json!({"code": "INVALID_REQUEST", "message": message, "retryable": false});
            }
            let mut frame = json!({"type": "res", "id": id, "ok": false, "error": error});
            if let Some(payload) = self.own(step, "payload") {
                frame["payload"] = payload.clone();
            }
            frame
        };
        self.check(&frame, answer, "answer");
    }

    /// Text of a run comes in as many pieces as the network likes. So consecutive pieces are joined after it
    /// was checked that they add up, and the chat's deltas but the first are left out.
    fn run(&mut self, run: &str, step: &Value) {
        let (agent_name, chat_name) = (self.event_name("agent"), self.event_name("chat"));
        let on = step["on"].as_str().unwrap_or("first").to_owned();
        let has_chat = self.own(step, "chat").is_some();
        let (mut agent, mut chat): (Vec<Value>, Vec<Value>) = (Vec::new(), Vec::new());
        let is_over = |agent: &[Value], chat: &[Value]| {
            let ended =
                agent.last().is_some_and(|last| matches!(last["data"]["phase"].as_str(), Some("end" | "error")));
            let said = chat.last().is_some_and(|last| last["state"] != "delta");
            (said || !has_chat) && (ended || agent.is_empty())
        };
        let wants_agent = self.own(step, "agent").is_some();
        while !(is_over(&agent, &chat) && (!wants_agent || !agent.is_empty())) {
            let frame = self.client(&on).find(|frame| frame["type"] == "event" && frame["payload"]["runId"] == run);
            if frame["event"] == agent_name.as_str() {
                agent.push(frame["payload"].clone());
            } else if frame["event"] == chat_name.as_str() {
                chat.push(frame["payload"].clone());
            } else {
                self.wrong.push(format!("{}: event of another dialect: {frame}", self.place));
            }
        }
        self.check_numbers(&agent);
        let agent = self.joined(agent);
        let chat: Vec<_> = chat
            .iter()
            .enumerate()
            .filter(|(at, event)| *at == 0 || event["state"] != "delta")
            .map(|(_, event)| event.clone())
            .collect();
        let own = |what: &str| self.own(step, what).cloned().unwrap_or_else(|| json!([]));
        let (agent_pattern, chat_pattern) = (own("agent"), own("chat"));
        self.check(&agent_pattern, &agent.into(), "agent events");
        self.check(&chat_pattern, &chat.into(), "chat events");
    }

    fn check_numbers(&mut self, agent: &[Value]) {
        let first = if self.dialect == Dialect::Guide { 0 } else { 1 };
        let numbers: Vec<_> = agent.iter().filter_map(|event| event["seq"].as_u64()).collect();
        let expected: Vec<_> = (first..).take(agent.len()).collect();
        // What a native client isn't shown counts all the same.
        let may_jump = self.dialect == Dialect::Native && numbers.windows(2).all(|pair| pair[0] < pair[1]);
        if numbers != expected && !may_jump {
            self.wrong.push(format!("{}: numbers {numbers:?}", self.place));
        }
    }

    fn joined(&mut self, events: Vec<Value>) -> Vec<Value> {
        let mut joined: Vec<Value> = Vec::new();
        for mut event in events {
            let text = event["data"]["text"].as_str().map(str::to_owned);
            let before =
                joined.last().filter(|last| last["stream"] == event["stream"]).map(|last| last["data"]["text"].clone());
            if let Some(text) = text {
                let delta = event["data"]["delta"].as_str().unwrap_or_default().to_owned();
                let before = before.and_then(|before| before.as_str().map(str::to_owned));
                if format!("{}{delta}", before.as_deref().unwrap_or_default()) != text {
                    self.wrong.push(format!("{}: {before:?} and {delta:?} don't make {text:?}", self.place));
                }
                event["data"]["delta"] = "".into();
                if before.is_some() {
                    joined.pop();
                }
            }
            joined.push(event);
        }
        joined
    }

    fn send(&mut self, text: &str, reply: &Value) {
        let client = self.client("first");
        client.send_text(text);
        if reply.is_null() {
            // The next answer is that to the next request.
            let id = client.request("health", &json!({}));
            let next = client.find(|frame| frame["type"] == "res");
            if next["id"] != id {
                self.wrong.push(format!("{}: answered: {next}", self.place));
            }
            return;
        }
        let answer = client.find(|frame| frame["type"] == "res");
        self.check(reply, &answer, "reply");
    }

    fn open(&mut self, path: &str, step: &Value) {
        let mut client = Client::open(self.gateway.port, path);
        match step["text"].as_str() {
            Some(text) => client.send_text(text),
            None if step["first"].is_object() => client.send(&step["first"]),
            None => {}
        }
        for pattern in step["frames"].as_array().unwrap() {
            let frame = client.read();
            self.check(pattern, &frame, "frame");
        }
    }
}

const BOTH: [Dialect; 2] = [Dialect::Guide, Dialect::Native];

macro_rules! golden {
    ($($claim:ident: $file:literal on $dialects:expr;)*) => {
        $(
            #[test]
            fn $claim() {
                play($file, include_str!(concat!("golden/", $file)), &$dialects);
            }
        )*
    };
}

golden! {
    handshakes_are_answered_and_refused_as_written: "handshake.jsonl" on [Dialect::Guide];
    frames_that_are_no_request_are_answered_as_written: "frames.jsonl" on BOTH;
    the_gateway_tells_about_itself_as_written: "about.jsonl" on BOTH;
    agent_runs_go_as_written: "agent.jsonl" on BOTH;
    agent_runs_fail_as_written: "agent_errors.jsonl" on BOTH;
    chats_go_as_written: "chat.jsonl" on BOTH;
    commands_are_answered_as_written: "commands.jsonl" on BOTH;
    every_request_of_the_guide_works_as_the_guide_shows_it: "guide_requests.jsonl" on [Dialect::Guide];
    sessions_are_listed_and_changed_as_written: "sessions.jsonl" on BOTH;
    nodes_are_asked_and_answer_as_written: "nodes.jsonl" on BOTH;
    commands_are_approved_as_written: "approvals.jsonl" on BOTH;
    the_configuration_is_read_and_changed_as_written: "config.jsonl" on BOTH;
    the_wizard_asks_as_written: "wizard.jsonl" on BOTH;
    scheduled_jobs_go_as_written: "cron.jsonl" on BOTH;
    heartbeats_go_as_written: "heartbeat.jsonl" on BOTH;
    channels_and_what_is_sent_over_them_are_as_written: "channels.jsonl" on BOTH;
    skills_are_told_and_changed_as_written: "skills.jsonl" on BOTH;
    speech_goes_as_written: "speech.jsonl" on BOTH;
    scopes_are_enforced_as_written: "scopes.jsonl" on BOTH;
}
