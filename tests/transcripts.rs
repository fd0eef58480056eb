//! Replays recordings of the original gateway and compares what Barnacle answers and tells: the sequence, keys, JSON
//! types, error codes and error texts.
//!
//! The recordings are not part of this package. Where they don't lie beside the checkout, the tests say so and
//! pass. Where Barnacle differs on purpose, the difference is a row of [`deviations::DELIBERATE`] with its reason; a
//! row that no recording needs any more fails the test, and so does a recording that no row of
//! [`recordings::RECORDINGS`] plays.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test may panic and print, in its helpers too"
)]
#![allow(clippy::disallowed_methods, reason = "tests read files and the clock, and play recordings side by side")]

mod support;

#[path = "transcripts/calls.rs"]
mod calls;
#[path = "transcripts/deviations.rs"]
mod deviations;
#[path = "transcripts/frames.rs"]
mod frames;
#[path = "transcripts/inbox.rs"]
mod inbox;
#[path = "transcripts/parties.rs"]
mod parties;
#[path = "transcripts/provider.rs"]
mod provider;
#[path = "transcripts/recordings.rs"]
mod recordings;
#[path = "transcripts/shapes.rs"]
mod shapes;

use std::path::{Path, PathBuf};
use std::thread;

use calls::Calls;
use deviations::Findings;
use frames::Frames;
use inbox::PATIENCE;
use parties::Parties;
use recordings::{Play, RECORDINGS, Scene};
use serde_json::{Value, json};
use support::{Client, Dialect, FakeModel, Gateway, TempDir};

#[test]
fn every_recording_is_played_or_has_a_reason_why_not() {
    let Some(dir) = recordings() else { return };
    let there: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    let mut there: Vec<_> = there.iter().map(|path| path.file_stem().unwrap().to_str().unwrap()).collect();
    there.sort_unstable();
    let mut listed: Vec<_> = RECORDINGS.iter().map(|(file, _)| *file).collect();
    listed.sort_unstable();
    assert_eq!(there, listed);
    for (file, play) in RECORDINGS {
        if let Play::Not { why, instead } = play {
            println!("{file} is not played: {why}; see {instead}");
        }
    }
}

#[test]
fn barnacle_tells_what_the_original_told() {
    let Some(dir) = recordings() else { return };
    let stages: [fn(&Path) -> Findings; 5] = [calls, alone, frames, parties, once];
    let stages = stages.map(|stage| {
        let dir = dir.clone();
        thread::spawn(move || stage(&dir))
    });
    let mut findings = Findings::default();
    for stage in stages {
        findings.join(stage.join().unwrap());
    }
    let wrong = findings.verdict();
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// The directory of the recordings, beside the checkout or beside one of its parents.
fn recordings() -> Option<PathBuf> {
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().skip(1);
    let dir = above.map(|above| above.join("shared/protocol/transcripts")).find(|dir| dir.is_dir());
    if dir.is_none() {
        println!("skipped: recordings not beside the checkout");
    }
    dir
}

fn lines(dir: &Path, file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(dir.join(format!("{file}.jsonl"))).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The providers of the recordings; one of them is not there.
fn config(model: &FakeModel) -> Value {
    let mut config = model.config();
    config["models"]["providers"] = json!({
        "fakeoai": model.provider("openai-completions", "fake-gpt"),
        "fakeanth": model.provider("anthropic-messages", "fake-claude"),
        // The original spoke through OpenAI's responses here. Clients see no difference.
        "fakeresp": model.provider("openai-completions", "fake-o"),
        "dead": {
            "baseUrl": format!("http://127.0.0.1:{}/v1", support::free_port()), "api": "openai-completions",
            "apiKey": "sk-dead", "models": [{"id": "nobody", "name": "Nobody"}],
        },
    });
    config["models"]["providers"]["fakeanth"]["models"][0]["reasoning"] = true.into();
    config["agents"]["defaults"]["model"] = "fakeoai/fake-gpt".into();
    config
}

/// One client each, on one gateway.
fn calls(dir: &Path) -> Findings {
    let mut findings = Findings::default();
    let (temp, model) = (TempDir::new("calls"), FakeModel::start());
    let mut config = config(&model);
    config["agents"]["defaults"]["heartbeat"] = json!({"every": "0m"});
    let gateway = Gateway::start(temp.path(), &config);
    let file = temp.path().join("barnacle.json");
    for (name, play) in RECORDINGS {
        let by_hand = matches!(play, Play::WrittenByHand);
        if !by_hand && !matches!(play, Play::Calls) {
            continue;
        }
        let lines = lines(dir, name);
        let mut calls = Calls::new(name, &gateway, &lines, &mut findings);
        for (index, line) in lines.iter().enumerate() {
            let answer = lines.get(index + 1).map(|next| &next["frame"]["payload"]["raw"]);
            if let (true, true, Some(Value::String(raw))) = (by_hand, line["frame"]["method"] == "config.get", answer) {
                std::fs::write(&file, raw).unwrap();
            }
            calls.line(line);
        }
        if by_hand {
            std::fs::write(&file, config.to_string()).unwrap();
        }
    }
    findings
}

/// One client each, on a gateway of its own.
fn alone(dir: &Path) -> Findings {
    let mut findings = Findings::default();
    let model = FakeModel::start();
    for (file, play) in RECORDINGS {
        let Play::Alone(scene) = play else { continue };
        let temp = TempDir::new("alone");
        let mut config = config(&model);
        let mut tasks = "# Heartbeat\n";
        match scene {
            Scene::Heartbeats(told) => tasks = told,
            Scene::AllWell => {
                tasks = "- look around\n";
                config["agents"]["defaults"]["heartbeat"] = json!({"prompt": "ALLWELL"});
            }
            Scene::NoModel => config["agents"]["defaults"]["model"] = "nosuch/model".into(),
            Scene::Channels => {
                config["channels"] = json!({
                    "telegram": {"botToken": "1:recorded"},
                    "whatsapp": {"dmPolicy": "allowlist", "allowFrom": ["+15551230000"]},
                    "discord": {"enabled": false, "token": "recorded"},
                    "slack": {"enabled": false, "botToken": "recorded", "appToken": "recorded"},
                });
            }
        }
        if *scene != Scene::Channels {
            let workspace = temp.path().join("state/workspace");
            std::fs::create_dir_all(&workspace).unwrap();
            std::fs::write(workspace.join("HEARTBEAT.md"), tasks).unwrap();
        }
        let gateway = Gateway::start(temp.path(), &config);
        let lines = lines(dir, file);
        let mut calls = Calls::new(file, &gateway, &lines, &mut findings);
        lines.iter().for_each(|line| calls.line(line));
    }
    findings
}

/// Frame by frame.
fn frames(dir: &Path) -> Findings {
    let mut findings = Findings::default();
    let temp = TempDir::new("frames");
    let config = json!({"gateway": {"limits": frames::limits()}});
    let shared = Gateway::start(temp.path(), &config);
    for (file, play) in RECORDINGS {
        let signal = match play {
            Play::Frames => None,
            Play::Goodbye(signal) => Some(*signal),
            _ => continue,
        };
        let temp = TempDir::new("goodbye");
        let own = signal.map(|_| Gateway::start(temp.path(), &config));
        let mut frames = Frames::new(file, own.as_ref().unwrap_or(&shared), signal, &mut findings);
        lines(dir, file).iter().for_each(|line| frames.line(line));
    }
    findings
}

/// Several connections.
fn parties(dir: &Path) -> Findings {
    let mut findings = Findings::default();
    let temp = TempDir::new("parties");
    let shared = Gateway::start(temp.path(), &json!({}));
    for (file, play) in RECORDINGS {
        let temp = TempDir::new("from-elsewhere");
        let own = matches!(play, Play::FromElsewhere).then(|| Gateway::start(temp.path(), &json!({})));
        let parties = Parties::new(file, own.as_ref().unwrap_or(&shared), &mut findings);
        let mut parties = match play {
            Play::Parties => parties,
            Play::FromElsewhere => parties.away(),
            Play::Asked => parties.asked(),
            _ => continue,
        };
        lines(dir, file).iter().for_each(|line| parties.line(line));
    }
    findings
}

/// What is compared in a way of its own.
fn once(dir: &Path) -> Findings {
    let mut findings = Findings::default();
    for (file, play) in RECORDINGS {
        match play {
            Play::Greeting => greeting(file, &lines(dir, file), &mut findings),
            Play::Provider => provider::play(file, &lines(dir, file), &mut findings),
            _ => {}
        }
    }
    findings
}

fn greeting(file: &str, lines: &[Value], findings: &mut Findings) {
    let temp = TempDir::new("greeting");
    let gateway = Gateway::start(temp.path(), &json!({}));
    let ours = Client::connect(gateway.port, Dialect::Native).hello;
    let payloads = lines.iter().map(|line| &line["frame"]["payload"]);
    let recorded = payloads.into_iter().find(|payload| payload["type"] == "hello-ok").unwrap();
    findings.compare(file, "connect", recorded, &ours);
    for list in ["methods", "events"] {
        let (recorded, ours) = (recorded["features"][list].as_array(), ours["features"][list].as_array());
        assert!(ours.unwrap().starts_with(recorded.unwrap()), "{list} in another order: {ours:?}");
    }
}
