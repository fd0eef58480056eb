//! Turns in virtual time: a scripted model, files in memory, and events read from an outbox.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};

use super::asker::Asker;
use super::run::{Ask, End, Origin, Outcome, Run, Stop};
use super::tools::{NoTools, Scene, ToolOutput, Tools};
use super::*;
use crate::config::Config;
use crate::events::Peer;
use crate::events::budget::Budget;
use crate::events::outbox::Outbox;
use crate::events::peer::Admission;
use crate::stores::{
    DeviceStore, Durability, ExecApprovals, KeyRules, NodeNames, NodePairStore, Saver, SessionStore, TranscriptFile,
    TranscriptStore, UsageStore, VoiceWake,
};
use crate::sys::http::Request;
use crate::sys::sim::http::{Ending, Script};
use crate::sys::sim::{ScriptedHttp, SimFiles, World};
use crate::sys::{Chance, LocalFuture};
use crate::wire::handshake::{Client, Grant, Role, Way};
use crate::wire::message::{Block, Content, Message, UserMessage};
use crate::wire::native::Native;
use providers::ToolSpec;

const NOW_MS: u64 = 1_795_305_600_000;

/// A home with one scripted model server and one operator that listens.
struct Home {
    world: World,
    runs: Runs,
    peer: Rc<Peer>,
    http: Rc<ScriptedHttp>,
    heard: RefCell<Vec<Value>>,
}

impl Home {
    fn new(config: &Value, tools: Rc<dyn Tools>, scripts: Vec<Script>) -> Self {
        let world = World::at(NOW_MS);
        let scripts = RefCell::new(VecDeque::from(scripts));
        let refused = || Script::error(crate::sys::http::HttpError::Connect("nobody".into()));
        let http = Rc::new(ScriptedHttp::new(&world.clock, move |_: &Request| {
            scripts.borrow_mut().pop_front().unwrap_or_else(refused)
        }));
        let sys = Sys {
            zone: jiff::tz::TimeZone::UTC,
            clock: Rc::new(world.clock.clone()),
            chance: Rc::new(Chance::seeded(7)),
            files: Rc::new(SimFiles::new()),
            http: Rc::clone(&http) as Rc<dyn crate::sys::Outbound>,
            processes: Rc::new(crate::sys::sim::ScriptedProcesses::none(&world.clock)),
            tasks: world.tasks(),
        };
        let (config, _) = Config::parse(&config.to_string(), "barnacle.json", &BTreeMap::new()).unwrap();
        let limits = config.gateway.limits.clone();
        let state = Path::new("/state");
        let env = BTreeMap::from([("HOME".to_owned(), "/home".to_owned())]);
        let places = Places::find(None, Some(state), &env).unwrap();
        let saver = Saver::new(&sys);
        let (sessions, _) = SessionStore::load(&sys, &saver, state, "main", &limits).unwrap();
        let transcripts = TranscriptStore::load(&sys, &saver, "/w", &sessions.sessions_dirs()).unwrap();
        let usage = UsageStore::load(&sys, &saver, state, jiff::tz::TimeZone::UTC).unwrap();
        let devices = Rc::new(DeviceStore::load(&sys, &saver, state).unwrap());
        let node_pairs = Rc::new(NodePairStore::load(&sys, &saver, state).unwrap());
        let hub = Hub::new(Budget::new(50_000_000));
        let client = Client {
            id: "t".into(),
            display_name: None,
            version: "1".into(),
            platform: "p".into(),
            device_family: None,
            model_identifier: None,
            mode: "test".into(),
            instance_id: None,
        };
        let peer = Rc::new(Peer::new(Admission {
            id: 1,
            conn_id: "c".into(),
            dialect: &Native,
            grant: Grant {
                role: Role::Operator,
                scopes: vec!["operator.admin".into()],
                way: Way::SharedSecret,
                token: None,
            },
            client,
            device_id: None,
            offer: Default::default(),
            address: None,
            presence_key: None,
            outbox: Rc::new(Outbox::new(50_000_000, Budget::new(50_000_000))),
        }));
        hub.join(Rc::clone(&peer));
        let runs = Runs::new(Rc::new(Context {
            sys: sys.clone(),
            config: Current::new(config),
            places,
            limits,
            hub,
            stores: Stores {
                media: crate::stores::MediaStore::new(&sys, state).unwrap(),
                exec_approvals: ExecApprovals::new(&sys, &saver, state),
                voice_wake: VoiceWake::load(&sys, &saver, state).unwrap(),
                speech: crate::stores::SpeechPrefs::load(&sys, &saver, state).unwrap(),
                node_names: NodeNames::load(&sys, &saver, state).unwrap(),
                saver,
                sessions,
                transcripts,
                usage,
                devices,
                node_pairs,
            },
            tools,
            local: choice::LocalServer::default(),
            last_timestamp: Cell::new(0),
        }));
        Self { world, runs, peer, http, heard: RefCell::default() }
    }

    fn with_model(scripts: Vec<Script>) -> Self {
        Self::new(&config(&[]), Rc::new(NoTools), scripts)
    }

    fn key() -> SessionKey {
        SessionKey::canonical("main", &KeyRules { default_agent: "main".into(), global: false }).unwrap()
    }

    fn file(&self) -> TranscriptFile {
        let sessions = &self.runs.context().stores.sessions;
        let entry = sessions.update(&Self::key(), Durability::Lazy, |_| ()).unwrap();
        TranscriptFile::new(&sessions.sessions_dir("main"), &entry.session_id.unwrap(), None).unwrap()
    }

    /// Puts a message into the session and its run into the queue.
    fn ask(&self, run_id: &str, text: &str, origin: Origin, timeout: Duration) -> Rc<Run> {
        let cx = self.runs.context();
        let file = self.file();
        let message_ts = cx.timestamp();
        let content = Content::Blocks(vec![Block::Text { text: text.into() }]);
        let message = Message::User(UserMessage { content, timestamp: message_ts });
        cx.stores.transcripts.append(&file, &message).unwrap();
        let run = self.runs.expect(Ask {
            run_id: run_id.into(),
            key: Self::key(),
            shown_key: "main".into(),
            file,
            agent_id: "main".into(),
            message_ts,
            thinking: None,
            model: None,
            timeout,
            extra_system_prompt: None,
            origin,
            asker: Asker::Schedule,
        });
        self.runs.arrived(&run);
        self.runs.pump();
        run
    }

    fn chat(&self, run_id: &str, text: &str) -> Rc<Run> {
        self.ask(run_id, text, Origin::Chat, Duration::from_secs(600))
    }

    fn end_of(&self, run: &Run) -> Rc<Outcome> {
        let limit = Duration::from_secs(2000);
        assert!(self.world.run_until(limit, || run.outcome.get().is_some()), "the run has no end");
        run.outcome.get().unwrap()
    }

    /// Every event so far.
    fn events(&self) -> Vec<Value> {
        let mut bytes = Vec::new();
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        while self.peer.outbox.poll_work(&mut cx).is_ready() {
            let _ = self.peer.outbox.write_with(|slices| {
                let before = bytes.len();
                slices.iter().for_each(|slice| bytes.extend_from_slice(slice));
                std::task::Poll::Ready(Ok::<_, ()>(bytes.len() - before))
            });
        }
        let mut heard = self.heard.borrow_mut();
        let mut rest = &bytes[..];
        while let [_, length, tail @ ..] = rest {
            let (size, tail) = match length {
                126 => (u16::from_be_bytes([tail[0], tail[1]]) as usize, &tail[2..]),
                127 => (u64::from_be_bytes(tail[..8].try_into().unwrap()) as usize, &tail[8..]),
                short => (*short as usize, tail),
            };
            heard.push(serde_json::from_slice(&tail[..size]).unwrap());
            rest = &tail[size..];
        }
        heard.clone()
    }

    /// `chat` states so far, with the text, error or stop reason.
    fn chat_states(&self) -> Vec<(String, String)> {
        let chats = self.events().into_iter().filter(|event| event["event"] == "chat");
        chats
            .map(|event| {
                let payload = &event["payload"];
                let said =
                    [&payload["message"]["content"][0]["text"], &payload["errorMessage"], &payload["stopReason"]];
                let said = said.into_iter().find_map(Value::as_str).unwrap_or_default();
                (payload["state"].as_str().unwrap().to_owned(), said.to_owned())
            })
            .collect()
    }

    fn last_state(&self) -> (String, String) {
        self.chat_states().pop().unwrap()
    }

    fn transcript(&self) -> Vec<Message> {
        self.runs.context().stores.transcripts.history_for_prompt(&self.file(), 1_000_000).unwrap().items
    }

    fn prompts(&self) -> Vec<Value> {
        let requests = self.http.requests().into_iter().filter(|(_, request)| !request.body.is_empty());
        requests.map(|(_, request)| serde_json::from_slice(&request.body).unwrap()).collect()
    }
}

fn config(limits: &[(&str, u64)]) -> Value {
    let limits: BTreeMap<_, _> = limits.iter().copied().collect();
    let model = |id: &str| json!({"id": id, "name": id, "contextWindow": 32_000, "maxTokens": 1000});
    json!({
        "gateway": {"limits": limits},
        "models": {"providers": {
            "one": {"baseUrl": "http://one.test/v1", "api": "openai-completions", "apiKey": "k1-long-enough", "models": [model("m1")]},
            "two": {"baseUrl": "http://two.test/v1", "api": "openai-completions", "apiKey": "k2-long-enough", "models": [model("m2")]},
        }},
        "agents": {"defaults": {"model": {"primary": "one/m1", "fallbacks": ["two/m2"]}}},
    })
}

fn sse(frames: &[Value]) -> Vec<u8> {
    frames.iter().flat_map(|frame| format!("data: {frame}\n\n").into_bytes()).collect()
}

fn text(text: &str) -> Value {
    json!({"choices": [{"index": 0, "delta": {"content": text}}]})
}

fn done(reason: &str) -> Vec<u8> {
    let mut bytes = sse(&[
        json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}),
        json!({"choices": [], "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}}),
    ]);
    bytes.extend_from_slice(b"data: [DONE]\n\n");
    bytes
}

fn says(words: &[&str], pause_ms: u64) -> Script {
    let pause = Duration::from_millis(pause_ms);
    let script = words.iter().fold(Script::answer(200, ""), |script, word| script.then(pause, sse(&[text(word)])));
    script.then(Duration::ZERO, done("stop"))
}

fn calls_tool(name: &str) -> Script {
    let call =
        json!({"index": 0, "id": "call-1", "type": "function", "function": {"name": name, "arguments": "{\"a\":1}"}});
    let delta = json!({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]});
    Script::answer(200, "").then(Duration::ZERO, sse(&[delta])).then(Duration::ZERO, done("tool_calls"))
}

fn refuses(status: u16, message: &str) -> Script {
    let body = json!({"error": {"message": message}}).to_string().into_bytes();
    Script::answer(status, "").then(Duration::ZERO, body)
}

#[test]
fn an_answer_is_durable_before_its_end_is_told() {
    let home = Home::with_model(vec![says(&["Hello ", "there"], 10)]);
    let run = home.chat("r1", "hi");
    let told = || home.chat_states().iter().any(|(state, _)| state == "final");
    assert!(home.world.run_until(Duration::from_secs(60), told));
    let messages = home.transcript();
    assert_eq!(messages.iter().map(Message::text).collect::<Vec<_>>(), ["hi", "Hello there"]);
    let outcome = home.end_of(&run);
    assert_eq!((&outcome.end, outcome.texts.as_slice()), (&End::Completed, &["Hello there".to_owned()][..]));
    assert_eq!(outcome.usage.total_tokens, 110);
}

#[test]
fn the_word_for_silence_is_shown_and_sent_to_nobody() {
    let home = Home::with_model(vec![says(&["NO_", "REPLY", "\n"], 10), says(&["NO", " reply needed"], 10)]);
    let silent = home.end_of(&home.chat("r1", "hi"));
    assert!(silent.texts.is_empty());
    assert_eq!(home.chat_states(), [("delta".to_owned(), String::new()), ("final".to_owned(), String::new())]);
    assert!(home.events().last().unwrap()["payload"].get("message").is_none());
    assert_eq!(home.transcript().iter().map(Message::text).collect::<Vec<_>>(), ["hi", "NO_REPLY\n"]);
    home.end_of(&home.chat("r2", "hi"));
    assert_eq!(home.last_state().1, "NO reply needed");
}

#[test]
fn deltas_are_cumulative_and_at_least_150_ms_apart() {
    let words: Vec<String> = (0..40).map(|word| format!("w{word} ")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let home = Home::with_model(vec![says(&words, 20)]);
    home.end_of(&home.chat("r1", "hi"));
    let deltas: Vec<Value> = home.events().into_iter().filter(|event| event["payload"]["state"] == "delta").collect();
    assert!(deltas.len() >= 4, "{}", deltas.len());
    let stamp = |event: &Value| event["payload"]["message"]["timestamp"].as_u64().unwrap();
    assert!(deltas.windows(2).all(|pair| stamp(&pair[1]) - stamp(&pair[0]) >= 150));
    let text = |event: &Value| event["payload"]["message"]["content"][0]["text"].as_str().unwrap().to_owned();
    assert!(deltas.windows(2).all(|pair| text(&pair[1]).starts_with(&text(&pair[0]))));
    assert_eq!(home.last_state(), ("final".into(), words.concat()));
}

#[test]
fn the_next_model_answers_when_the_first_cannot_and_the_reason_is_kept() {
    let home = Home::with_model(vec![refuses(401, "bad key"), says(&["from two"], 0)]);
    let outcome = home.end_of(&home.chat("r1", "hi"));
    assert_eq!(outcome.end, End::Completed);
    assert_eq!(outcome.model, ("two".into(), "m2".into()));
    assert_eq!(home.last_state(), ("final".into(), "from two".into()));
}

#[test]
fn when_all_models_fail_the_error_names_each() {
    let home = Home::with_model(vec![refuses(401, "bad key"), refuses(401, "bad key too")]);
    let outcome = home.end_of(&home.chat("r1", "hi"));
    let End::Failed(error) = &outcome.end else { panic!("{:?}", outcome.end) };
    assert!(error.starts_with("All models failed (2): one/m1: ") && error.contains(" | two/m2: "), "{error}");
    assert_eq!(home.last_state().0, "error");
}

#[test]
fn nothing_falls_back_once_a_part_was_shown_and_the_part_is_kept() {
    let cut = Script::answer(200, "").then(Duration::ZERO, sse(&[text("half an ans")])).ending(Ending::CutOff);
    let home = Home::with_model(vec![cut, says(&["never asked"], 0)]);
    let outcome = home.end_of(&home.chat("r1", "hi"));
    assert!(matches!(outcome.end, End::Failed(_)));
    assert_eq!(home.prompts().len(), 1);
    assert_eq!(home.transcript().last().unwrap().text(), "half an ans");
}

#[test]
fn a_prompt_that_is_too_long_is_shortened_and_tried_again() {
    let home = Home::with_model(vec![refuses(400, "context_length_exceeded"), says(&["ok"], 0)]);
    for turn in 0..30 {
        let message = Message::User(UserMessage {
            content: Content::Text(format!("old {turn} {}", "x".repeat(2000))),
            timestamp: home.runs.context().timestamp(),
        });
        home.runs.context().stores.transcripts.append(&home.file(), &message).unwrap();
    }
    let outcome = home.end_of(&home.chat("r1", "the question"));
    assert_eq!(outcome.end, End::Completed);
    let prompts = home.prompts();
    let sizes: Vec<_> = prompts.iter().map(|prompt| prompt.to_string().len()).collect();
    assert!(sizes[1] < sizes[0] * 4 / 5, "{sizes:?}");
    assert!(prompts[1].to_string().contains("the question"));
}

#[derive(Debug)]
struct Scale;

impl Tools for Scale {
    fn offered(&self, _: &Scene) -> Vec<ToolSpec> {
        let parameters = json!({"type": "object", "properties": {"a": {"type": "number"}}});
        vec![ToolSpec { name: "weigh".into(), description: "Weighs.".into(), parameters }]
    }

    fn call(&self, _: &Scene, name: &str, arguments: &Value) -> LocalFuture<'static, ToolOutput> {
        assert_eq!((name, arguments), ("weigh", &json!({"a": 1})));
        let content = vec![Block::Text { text: "5 kg".into() }];
        Box::pin(async { ToolOutput { content, details: None, is_error: false } })
    }
}

#[test]
fn a_tool_is_called_and_its_result_goes_back_to_the_model() {
    let mut config = config(&[]);
    config["agents"]["defaults"]["verboseDefault"] = json!("on");
    let home = Home::new(&config, Rc::new(Scale), vec![calls_tool("weigh"), says(&["It weighs 5 kg."], 0)]);
    let outcome = home.end_of(&home.chat("r1", "how heavy?"));
    assert_eq!(outcome.texts, ["It weighs 5 kg."]);
    let second = &home.prompts()[1]["messages"];
    let roles: Vec<_> =
        second.as_array().unwrap().iter().map(|message| message["role"].as_str().unwrap().to_owned()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "tool"]);
    let tools: Vec<Value> = home.events().into_iter().filter(|event| event["payload"]["stream"] == "tool").collect();
    let phases: Vec<_> = tools.iter().map(|event| event["payload"]["data"]["phase"].clone()).collect();
    assert_eq!(phases, ["start", "result"]);
    assert_eq!(home.transcript().len(), 4);
}

#[test]
fn a_model_that_asks_for_tools_without_end_is_stopped() {
    let scripts = (0..TOOL_ROUNDS_MAX + 5).map(|_| calls_tool("nosuch")).collect();
    let home = Home::with_model(scripts);
    let outcome = home.end_of(&home.chat("r1", "loop"));
    assert!(matches!(&outcome.end, End::Failed(error) if error.contains("25 times")), "{:?}", outcome.end);
    assert_eq!(home.prompts().len(), TOOL_ROUNDS_MAX);
}

const TOOL_ROUNDS_MAX: usize = crate::limits::TOOL_ROUNDS;

#[test]
fn a_stopped_run_ends_at_once_and_keeps_what_it_said() {
    let stalls = Script::answer(200, "").then(Duration::ZERO, sse(&[text("so far")])).ending(Ending::Stall);
    let home = Home::with_model(vec![stalls]);
    let run = home.chat("r1", "hi");
    home.world.run_for(Duration::from_secs(1));
    let before = crate::sys::Clock::elapsed(&home.world.clock);
    let (runs, stopped) = (home.runs.clone(), Rc::clone(&run));
    home.world.tasks().detach(async move { runs.stop(&[stopped], Stop::Rpc).await });
    let outcome = home.end_of(&run);
    assert_eq!(crate::sys::Clock::elapsed(&home.world.clock), before);
    assert_eq!(outcome.end, End::Stopped(Stop::Rpc));
    assert_eq!(home.last_state(), ("aborted".into(), "rpc".into()));
    let Some(Message::Assistant(message)) = home.transcript().pop() else { panic!("nothing kept") };
    assert_eq!(message.stop_reason, crate::wire::message::StopReason::Aborted);
}

#[test]
fn a_time_limit_aborts_a_chat_turn_and_ends_an_agent_run_with_what_it_had() {
    let stalls = || Script::answer(200, "").then(Duration::ZERO, sse(&[text("so far")])).ending(Ending::Stall);
    let home = Home::with_model(vec![stalls(), stalls()]);
    let limit = Duration::from_secs(2);
    let outcome = home.end_of(&home.ask("r1", "hi", Origin::Chat, limit));
    assert_eq!(outcome.end, End::Stopped(Stop::Timeout));
    assert_eq!(home.last_state(), ("aborted".into(), "timeout".into()));
    home.end_of(&home.ask("r2", "hi", Origin::Agent, limit));
    assert_eq!(home.last_state(), ("final".into(), "so far".into()));
}

#[test]
fn an_answer_ends_at_its_bound() {
    let long = "x".repeat(3000);
    let home = Home::new(&config(&[("runOutputBytes", 4096)]), Rc::new(NoTools), vec![says(&[&long, &long, &long], 0)]);
    let outcome = home.end_of(&home.chat("r1", "hi"));
    assert_eq!(outcome.end, End::Completed);
    assert!(outcome.texts[0].len() <= 4096, "{}", outcome.texts[0].len());
    let Some(Message::Assistant(message)) = home.transcript().pop() else { panic!("nothing kept") };
    assert_eq!(message.stop_reason, crate::wire::message::StopReason::Length);
}

fn said(content: &Value) -> String {
    content.as_str().or_else(|| content[0]["text"].as_str()).unwrap_or_default().to_owned()
}

#[test]
fn messages_that_wait_their_turn_are_answered_in_order_each_behind_the_answers_before_it() {
    let home = Home::with_model(vec![says(&["one"], 100), says(&["two"], 100), says(&["three"], 100)]);
    let runs = ["first", "second", "third"].map(|text| home.chat(text, text));
    for run in &runs {
        home.end_of(run);
    }
    let asked: Vec<Vec<String>> = home
        .prompts()
        .iter()
        .map(|prompt| {
            let messages = prompt["messages"].as_array().unwrap().iter().skip(1);
            messages.map(|message| said(&message["content"])).collect()
        })
        .collect();
    assert_eq!(asked[0], ["first"]);
    assert_eq!(asked[1], ["first", "one", "second"]);
    // Two that were sent before the first answer stand together, as they do on everybody's screen.
    assert_eq!(asked[2], ["first", "one", "third"]);
    assert!(home.prompts()[2].to_string().contains("second") && home.prompts()[2].to_string().contains("two"));
}

#[test]
fn without_a_model_the_gateway_says_what_to_paste_and_plays_no_model() {
    let home = Home::new(&json!({}), Rc::new(NoTools), vec![]);
    let outcome = home.end_of(&home.chat("r1", "hi"));
    assert!(outcome.texts[0].contains("echo '{models:{providers:{anthropic:{apiKey:"), "{}", outcome.texts[0]);
    let Some(Message::Assistant(message)) = home.transcript().pop() else { panic!("nothing kept") };
    assert_eq!(message.provider, "barnacle");
    assert_eq!(message.stop_reason, crate::wire::message::StopReason::Injected);
}
