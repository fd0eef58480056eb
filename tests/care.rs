//! The commands that look after a gateway, with the real binary: backup under load, restore, logs, doctor, import.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests start processes and read their files"
)]

mod support;

use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::device::{AWAY, Ask, Device};
use support::{Client, Dialect, FakeModel, Gateway, TempDir};

/// `barnacle COMMAND` for the gateway in `dir`.
fn barnacle(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = support::program();
    command.args(arguments).arg("--config").arg(dir.join("barnacle.json")).arg("--state-dir").arg(dir.join("state"));
    command.env("BARNACLE_TOKEN", support::TOKEN).env("HOME", dir).env_remove("BARNACLE_LOG");
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn texts(client: &mut Client, session: &str) -> Vec<String> {
    let answer = client.call("chat.history", &json!({"sessionKey": session, "limit": 1000}));
    let messages = answer["payload"]["messages"].as_array().cloned().unwrap_or_default();
    messages.iter().filter_map(|message| Some(message["content"][0]["text"].as_str()?.to_owned())).collect()
}

/// Writes messages into sessions without a model, as fast as the gateway takes them; gives the acknowledged ones.
fn load(port: u16, session: &str, end: &AtomicBool) -> Vec<(Instant, String)> {
    let mut client = Client::connect(port, Dialect::Native);
    let mut done = Vec::new();
    for number in 0.. {
        if end.load(Ordering::Relaxed) {
            break;
        }
        let text = format!("{session} says {number}");
        let answer = client.call("chat.inject", &json!({"sessionKey": session, "message": text}));
        assert_eq!(answer["ok"], true, "{answer}");
        done.push((Instant::now(), text.clone()));
        // What replaces files: settings of sessions, conversations that are cut or begin anew.
        let patch = json!({"key": session, "label": format!("{session} {number}")});
        assert_eq!(client.call("sessions.patch", &patch)["ok"], true);
        if number % 40 == 39 {
            client.call("sessions.reset", &json!({"key": format!("{session}-other")}));
            client.call("cron.add", &json!({"name": text, "schedule": {"kind": "every", "everyMs": 86_400_000},
                "sessionTarget": "main", "wakeMode": "next-heartbeat", "payload": {"kind": "systemEvent", "text": "x"}}));
        }
    }
    done
}

#[test]
fn a_backup_taken_under_load_has_every_message_that_was_acknowledged_before_it() {
    let dir = TempDir::new("care-backup");
    let model = FakeModel::start();
    let gateway = Gateway::start(dir.path(), &model.config());
    let sessions = ["one", "two", "three"];
    let mut client = Client::connect(gateway.port, Dialect::Native);
    for session in sessions {
        let key = format!("first-{session}");
        let sent = json!({"sessionKey": session, "message": "hello", "idempotencyKey": key});
        assert_eq!(client.call("chat.send", &sent)["ok"], true);
        client.find(|frame| frame["event"] == "chat" && frame["payload"]["state"] == "final");
    }
    let end = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = sessions
        .into_iter()
        .map(|session| {
            let (port, end) = (gateway.port, Arc::clone(&end));
            (session, std::thread::spawn(move || load(port, session, &end)))
        })
        .collect();
    std::thread::sleep(Duration::from_millis(700));
    let mut backups = Vec::new();
    for number in 0..3 {
        let file = dir.path().join(format!("{number}.tar.gz"));
        let began = Instant::now();
        let output = barnacle(dir.path(), &["backup", file.to_str().unwrap()]);
        assert!(output.status.success(), "{}", said(&output));
        backups.push((began, file));
    }
    end.store(true, Ordering::Relaxed);
    let written: Vec<_> = writers.into_iter().map(|(session, writer)| (session, writer.join().unwrap())).collect();
    drop(client);
    drop(gateway);

    for (began, file) in backups {
        let other = TempDir::new("care-restored");
        let output = barnacle(other.path(), &["restore", file.to_str().unwrap()]);
        assert!(output.status.success(), "{}", said(&output));
        let config: Value =
            serde_json::from_slice(&std::fs::read(other.path().join("barnacle.json")).unwrap()).unwrap();
        let gateway = Gateway::start(other.path(), &config);
        let mut client = Client::connect(gateway.port, Dialect::Native);
        for (session, messages) in &written {
            let found = texts(&mut client, session);
            let before: Vec<_> = messages.iter().filter(|(at, _)| *at < began).map(|(_, text)| text.clone()).collect();
            assert!(!before.is_empty());
            // The history gives the last ones; they are there in order and without a hole.
            let ours: Vec<_> = found.iter().filter(|text| text.contains(" says ")).cloned().collect();
            let last = before.last().unwrap();
            assert!(ours.iter().any(|text| text.contains(last.as_str())), "{last} is not in {ours:?}");
            for pair in ours.windows(2) {
                let number = |text: &str| text.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
                assert_eq!(number(&pair[0]) + 1, number(&pair[1]), "{pair:?}");
            }
        }
        let mut aside = Vec::new();
        put_aside(&other.path().join("state"), &mut aside);
        assert!(aside.is_empty(), "{aside:?}");
    }
}

/// Names of files that could not be read.
fn put_aside(dir: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            put_aside(&entry.path(), found);
        } else if name.contains(".damaged") {
            found.push(name);
        }
    }
}

#[test]
fn a_running_gateway_keeps_its_state_and_says_who_it_is() {
    let dir = TempDir::new("care-refused");
    let gateway = Gateway::start(dir.path(), &json!({}));
    let file = dir.path().join("b.tar.gz");
    assert!(barnacle(dir.path(), &["backup", file.to_str().unwrap()]).status.success());
    let output = barnacle(dir.path(), &["restore", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains(&format!("pid {}", gateway.child.id())), "{}", said(&output));
    std::fs::create_dir(dir.path().join("elsewhere")).unwrap();
    let config = json!({"agents": {"defaults": {"workspace": dir.path().join("elsewhere")}}});
    std::fs::write(dir.path().join("barnacle.json"), config.to_string()).unwrap();
    let second = barnacle(dir.path(), &["backup", dir.path().join("c.tar.gz").to_str().unwrap()]);
    assert!(said(&second).contains("not in it") && said(&second).contains("elsewhere"), "{}", said(&second));
    let dry = barnacle(dir.path(), &["restore", file.to_str().unwrap(), "--dry-run"]);
    assert!(dry.status.success() && said(&dry).contains("nothing was changed"), "{}", said(&dry));
}

#[test]
fn logs_come_from_the_gateway_and_without_it_from_the_files() {
    let dir = TempDir::new("care-logs");
    let mut gateway = Gateway::start(dir.path(), &json!({}));
    let url = format!("ws://127.0.0.1:{}", gateway.port);
    let output = barnacle(dir.path(), &["logs", "--url", &url]);
    assert!(output.status.success() && said(&output).contains("INFO  serve: Barnacle"), "{}", said(&output));
    gateway.signal("TERM");
    gateway.ended();
    let output = barnacle(dir.path(), &["logs", "--url", &url, "-n", "1"]);
    let text = said(&output);
    assert!(text.contains("INFO  serve: stopped") && text.contains("no gateway runs"), "{text}");
    let none = barnacle(dir.path(), &["logs", "--url", &url, "--level", "error"]);
    assert!(none.status.success() && none.stdout.is_empty(), "{}", said(&none));
}

#[test]
fn logs_are_followed_across_a_restart_of_the_gateway() {
    let dir = TempDir::new("care-follow");
    let mut gateway = Gateway::start(dir.path(), &json!({}));
    let mut command = support::program();
    command.args(["logs", "-f", "--url", &format!("ws://127.0.0.1:{}", gateway.port)]);
    command.env("BARNACLE_TOKEN", support::TOKEN).stdout(std::process::Stdio::piped());
    let mut child = command.stderr(std::process::Stdio::null()).spawn().unwrap();
    let lines = support::lines_of(child.stdout.take().unwrap());
    support::wait_for_line(&lines, "listens on");
    gateway.signal("TERM");
    gateway.ended();
    let again = support::command(dir.path(), gateway.port).stdout(std::process::Stdio::null()).spawn();
    let mut again = Gateway { child: again.unwrap(), port: gateway.port };
    support::wait_for_line(&lines, "stopped");
    support::wait_for_line(&lines, "listens on");
    child.kill().unwrap();
    child.wait().unwrap();
    again.signal("TERM");
    again.ended();
}

#[test]
fn doctor_is_short_when_all_is_well_and_names_the_port_that_somebody_else_has() {
    let dir = TempDir::new("care-doctor");
    let model = FakeModel::start();
    let mut gateway = Gateway::start(dir.path(), &model.config());
    let url = format!("ws://127.0.0.1:{}", gateway.port);
    let fixed = barnacle(dir.path(), &["doctor", "--url", &url, "--fix"]);
    assert!(fixed.status.success(), "{}", said(&fixed));
    let output = barnacle(dir.path(), &["doctor", "--url", &url]);
    let text = said(&output);
    let first = text.lines().next().unwrap();
    for name in ["configuration", "permissions", "gateway", "models", "pairing", "state"] {
        assert!(first.starts_with("ok ") && first.contains(name), "{text}");
    }
    gateway.signal("TERM");
    gateway.ended();
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    std::fs::write(dir.path().join("barnacle.json"), json!({"gateway": {"port": port}}).to_string()).unwrap();
    let output = barnacle(dir.path(), &["doctor", "--json", "--timeout", "1"]);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let gateway = report["checks"].as_array().unwrap().iter().find(|check| check["name"] == "gateway").unwrap();
    assert_eq!(gateway["findings"][0]["level"], "fail", "{gateway}");
    assert!(gateway["findings"][0]["mend"].as_str().unwrap().contains(&port.to_string()), "{gateway}");
}

#[test]
fn a_phone_that_was_paired_with_the_other_gateway_connects_after_the_import_without_pairing_again() {
    let dir = TempDir::new("care-import");
    let device = Device::new(7);
    let token = "391953c193b4473eb0e0fd1e726d351f";
    let ask = Ask::operator(&["operator.read", "operator.write"]).token(token);
    let id = &device.id;
    let old = dir.path().join(".clawdbot");
    for below in ["devices", "agents/main/sessions"] {
        std::fs::create_dir_all(old.join(below)).unwrap();
    }
    let paired = json!({id.as_str(): {
        "deviceId": id, "publicKey": device.proof(&ask, None, 0)["publicKey"], "displayName": "Phone", "clientId": "test",
        "clientMode": "test", "role": "operator", "roles": ["operator"], "scopes": ["operator.read", "operator.write"],
        "tokens": {"operator": {"token": token, "role": "operator", "scopes": ["operator.read", "operator.write"], "createdAtMs": 1}},
        "createdAtMs": 1, "approvedAtMs": 1,
    }});
    std::fs::write(old.join("devices/paired.json"), paired.to_string()).unwrap();
    let line = "{\"type\":\"session\",\"version\":3,\"id\":\"s1\",\"timestamp\":\"2026-01-27T10:00:00.000Z\",\"cwd\":\"/\"}\n\
        {\"type\":\"message\",\"id\":\"aaaaaaaa\",\"parentId\":null,\"timestamp\":\"2026-01-27T10:00:00.000Z\",\
        \"message\":{\"role\":\"user\",\"content\":\"from the other gateway\",\"timestamp\":1}}\n";
    std::fs::write(old.join("agents/main/sessions/s1.jsonl"), line).unwrap();
    let index = json!({"agent:main:main": {"sessionId": "s1", "updatedAt": 1_795_372_186_044_u64}});
    std::fs::write(old.join("agents/main/sessions/sessions.json"), index.to_string()).unwrap();
    let config = json!({"gateway": {"auth": {"token": support::TOKEN}}, "session": {"reset": {"mode": "never"}}});
    std::fs::write(old.join("clawdbot.json"), config.to_string()).unwrap();

    let told = barnacle(dir.path(), &["import"]);
    assert!(told.status.success() && said(&told).contains("nothing was changed"), "{}", said(&told));
    let done = barnacle(dir.path(), &["import", "--apply"]);
    assert!(done.status.success(), "{}", said(&done));

    let config = serde_json::from_slice(&std::fs::read(dir.path().join("barnacle.json")).unwrap()).unwrap();
    let gateway = Gateway::start(dir.path(), &config);
    let mut client = device.connect(gateway.port, AWAY, &ask).unwrap();
    let answer = client.call("chat.history", &json!({"sessionKey": "main"}));
    assert!(answer.to_string().contains("from the other gateway"), "{answer}");
}

#[test]
fn an_idle_gateway_with_clients_writes_nothing() {
    let dir = TempDir::new("care-idle");
    let gateway = Gateway::start(dir.path(), &json!({"agents": {"defaults": {"heartbeat": {"every": "0m"}}}}));
    let clients: Vec<_> = [Dialect::Native, Dialect::Guide, Dialect::Native]
        .into_iter()
        .map(|dialect| Client::connect(gateway.port, dialect))
        .collect();
    // What the start and the connections left to be written.
    std::thread::sleep(Duration::from_millis(500));
    let before = (write_bytes(gateway.child.id()), files_of(dir.path()));
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!((write_bytes(gateway.child.id()), files_of(dir.path())), before);
    drop(clients);
}

/// What the process has sent to block devices, as the kernel counts it; `None` where it doesn't.
fn write_bytes(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("write_bytes: "))?.parse().ok()
}

/// Every file with its size and the time of its last change.
fn files_of(dir: &Path) -> Vec<(std::path::PathBuf, u64, std::time::SystemTime)> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).unwrap().flatten() {
            let meta = entry.metadata().unwrap();
            if meta.is_dir() {
                open.push(entry.path());
            } else {
                found.push((entry.path(), meta.len(), meta.modified().unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// A small file system of its own in a directory.
struct Mount {
    path: std::path::PathBuf,
}

impl Mount {
    /// `None`, with a word, where this process may not mount.
    fn new(path: &Path) -> Option<Self> {
        std::fs::create_dir_all(path).unwrap();
        let mount = Self { path: path.to_path_buf() };
        let done =
            mount.run("mount", &["-t", "tmpfs", "-o", "size=2m,mode=700", "barnacle-test", path.to_str().unwrap()]);
        if !done {
            eprintln!("skipped: this needs root's right to mount");
        }
        done.then_some(mount)
    }

    fn remount(&self, how: &str) {
        assert!(self.run("mount", &["-o", &format!("remount,{how}"), self.path.to_str().unwrap()]));
    }

    fn run(&self, program: &str, arguments: &[&str]) -> bool {
        let output = std::process::Command::new(program).args(arguments).output();
        output.is_ok_and(|output| output.status.success())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: the gateway may still be ending.
        let _ = self.run("umount", &["-l", self.path.to_str().unwrap()]);
    }
}

/// What health says once it says what is wanted.
fn health_until(client: &mut Client, wanted: &str) -> Value {
    let deadline = Instant::now() + support::PATIENCE;
    loop {
        let health = client.call("health", &json!({"probe": true}))["payload"].clone();
        if health["status"] == wanted || Instant::now() > deadline {
            return health;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_full_disk_is_told_and_the_gateway_serves_on_and_recovers() {
    let dir = TempDir::new("care-full");
    let Some(_mount) = Mount::new(&dir.path().join("state")) else { return };
    let model = FakeModel::start();
    let mut gateway = Gateway::start(dir.path(), &model.config());
    let mut client = Client::connect(gateway.port, Dialect::Native);
    let filler = dir.path().join("state/filler");
    let mut full = std::fs::File::create(&filler).unwrap();
    while std::io::Write::write_all(&mut full, &[0; 4096]).is_ok() {}
    let answer = client.call("sessions.patch", &json!({"key": "main", "label": "full"}));
    assert_eq!(answer["ok"], false, "nothing that can't be kept is acknowledged: {answer}");
    let health = health_until(&mut client, "degraded");
    assert!(health["storage"]["trouble"].as_str().unwrap().contains("fail"), "{health}");
    assert_eq!(client.call("sessions.list", &json!({}))["ok"], true);
    let url = format!("ws://127.0.0.1:{}", gateway.port);
    let status = barnacle(dir.path(), &["status", "--url", &url]);
    assert!(said(&status).contains("storage      trouble"), "{}", said(&status));
    let doctor = barnacle(dir.path(), &["doctor", "--url", &url]);
    assert!(said(&doctor).contains("FAIL  gateway: it runs, but can't keep anything"), "{}", said(&doctor));
    // The card is still full when the board is switched on again.
    drop(client);
    gateway.signal("KILL");
    gateway.ended();
    let gateway = Gateway::start(dir.path(), &model.config());
    let mut client = Client::connect(gateway.port, Dialect::Native);
    assert_eq!(client.call("sessions.list", &json!({}))["ok"], true);
    drop(full);
    std::fs::remove_file(&filler).unwrap();
    let answer = client.call("sessions.patch", &json!({"key": "main", "label": "room again"}));
    assert_eq!(answer["ok"], true, "{answer}");
    assert_eq!(health_until(&mut client, "ok")["storage"]["ok"], true);
}

#[test]
fn a_state_that_became_read_only_is_told_and_the_gateway_serves_on_also_after_a_start() {
    let dir = TempDir::new("care-read-only");
    let Some(mount) = Mount::new(&dir.path().join("state")) else { return };
    let model = FakeModel::start();
    let mut gateway = Gateway::start(dir.path(), &model.config());
    let mut client = Client::connect(gateway.port, Dialect::Native);
    let sent = json!({"sessionKey": "main", "message": "before", "idempotencyKey": "k"});
    assert_eq!(client.call("chat.send", &sent)["ok"], true);
    client.find(|frame| frame["event"] == "chat" && frame["payload"]["state"] == "final");
    drop(client);
    gateway.signal("TERM");
    gateway.ended();
    mount.remount("ro");
    let gateway = Gateway::start(dir.path(), &model.config());
    let mut client = Client::connect(gateway.port, Dialect::Native);
    assert!(texts(&mut client, "main").contains(&"before".to_owned()));
    assert_eq!(client.call("sessions.patch", &json!({"key": "main", "label": "x"}))["ok"], false);
    let health = health_until(&mut client, "degraded");
    assert_eq!(health["status"], "degraded", "{health}");
    let url = format!("ws://127.0.0.1:{}", gateway.port);
    let doctor = barnacle(dir.path(), &["doctor", "--url", &url]);
    assert!(said(&doctor).contains("is mounted for reading only"), "{}", said(&doctor));
    mount.remount("rw");
    assert_eq!(client.call("sessions.patch", &json!({"key": "main", "label": "x"}))["ok"], true);
    assert_eq!(health_until(&mut client, "ok")["storage"]["ok"], true);
}
