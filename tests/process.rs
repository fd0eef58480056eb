//! The binary as a process: start, second start, signals, kill -9, reload.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests start processes and read their files"
)]

mod support;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{ANSWER, Client, Dialect, FakeModel, Gateway, TempDir, command, free_port};

fn send(client: &mut Client, message: &str, key: &str) -> Value {
    client.call("chat.send", &json!({"sessionKey": "main", "message": message, "idempotencyKey": key}))
}

fn history(client: &mut Client) -> Vec<String> {
    let answer = client.call("chat.history", &json!({"sessionKey": "main"}));
    let messages = answer["payload"]["messages"].as_array().unwrap().clone();
    messages.iter().map(|message| message["content"][0]["text"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_first_start_makes_a_private_token_and_says_where_it_is() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = TempDir::new("first");
    let mut command = command(dir.path(), free_port());
    let mut child = command.env_remove("BARNACLE_TOKEN").stdout(std::process::Stdio::piped()).spawn().unwrap();
    let token = dir.path().join("state/token");
    let deadline = Instant::now() + support::PATIENCE;
    while !token.exists() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(300));
    child.kill().unwrap();
    let said = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    assert!(said.contains("token made and written to") && said.contains(&token.display().to_string()), "{said}");
    assert_eq!(std::fs::metadata(&token).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_to_string(&token).unwrap().trim().len(), 64);
}

#[test]
fn a_second_gateway_on_the_same_state_is_refused_with_the_pid_of_the_first() {
    let dir = TempDir::new("second");
    let first = Gateway::start(dir.path(), &json!({}));
    let output = command(dir.path(), free_port()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(&format!("pid {}", first.child.id())), "{said}");
}

#[test]
fn a_taken_port_is_said_in_one_line() {
    let dir = TempDir::new("port");
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let output = command(dir.path(), taken.local_addr().unwrap().port()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.lines().count() == 1 && said.contains("choose another with --port"), "{said}");
}

#[test]
fn a_bad_configuration_is_refused_with_file_line_and_key() {
    let dir = TempDir::new("config");
    std::fs::write(dir.path().join("barnacle.json"), "{\n  gateway: {\n    port: 'abc',\n  },\n}\n").unwrap();
    let output = command(dir.path(), free_port()).output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("barnacle.json:3:") && said.contains("gateway.port"), "{said}");
}

#[test]
fn sigterm_tells_everyone_closes_with_1012_and_exits_0() {
    let dir = TempDir::new("term");
    let model = FakeModel::start();
    let mut gateway = Gateway::start(dir.path(), &model.config());
    let mut client = Client::connect(gateway.port, Dialect::Guide);
    let mut idle = Client::open(gateway.port, "/");
    send(&mut client, "SLOW please", "k1");
    let began = Instant::now();
    gateway.signal("TERM");
    let goodbye = client.find(|frame| frame["event"] == "shutdown");
    assert_eq!(goodbye["payload"], json!({"reason": "gateway stopping", "restartExpectedMs": null}));
    client.find(|frame| frame["event"] == "chat.event" && frame["payload"]["state"] == "aborted");
    while client.read() != json!({"close": [1012, "service restart"]}) {}
    assert_eq!(gateway.ended().code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    // A socket without a handshake doesn't hold the stop up.
    assert_eq!(idle.read()["event"], "connect.challenge");
}

#[test]
fn kill_9_during_a_run_loses_nothing_that_was_acknowledged() {
    let dir = TempDir::new("kill");
    let model = FakeModel::start();
    let mut gateway = Gateway::start(dir.path(), &model.config());
    let mut client = Client::connect(gateway.port, Dialect::Native);
    assert_eq!(send(&mut client, "first", "k1")["payload"]["status"], "started");
    client.find(|frame| frame["event"] == "chat" && frame["payload"]["state"] == "final");
    assert_eq!(send(&mut client, "SLOW second", "k2")["payload"]["status"], "started");
    let patched = client.call("sessions.patch", &json!({"key": "main", "label": "Kitchen"}));
    assert_eq!(patched["ok"], true);
    gateway.signal("KILL");
    gateway.ended();

    let gateway = Gateway::start(dir.path(), &model.config());
    let mut client = Client::connect(gateway.port, Dialect::Guide);
    assert_eq!(history(&mut client), ["first", ANSWER, "SLOW second"]);
    let list = client.call("sessions.list", &json!({"label": "Kitchen"}));
    assert_eq!(list["payload"]["sessions"][0]["key"], "agent:main:main");
    // The conversation goes on.
    send(&mut client, "third", "k3");
    client.find(|frame| frame["event"] == "chat.event" && frame["payload"]["state"] == "final");
    assert_eq!(history(&mut client), ["first", ANSWER, "SLOW second", "third", ANSWER]);
}

#[test]
fn sighup_puts_a_new_configuration_in_force_and_refuses_a_bad_one() {
    let dir = TempDir::new("hup");
    let model = FakeModel::start();
    let mut config = model.config();
    let gateway = Gateway::start(dir.path(), &config);
    let mut client = Client::connect(gateway.port, Dialect::Guide);
    let file = dir.path().join("barnacle.json");
    let name_becomes = |client: &mut Client, wanted: &str| {
        let deadline = Instant::now() + support::PATIENCE;
        loop {
            let name = client.call("agent.identity.get", &json!({}))["payload"]["name"].clone();
            if name == wanted {
                return;
            }
            assert!(Instant::now() < deadline, "the name is still {name}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    config["ui"] = json!({"assistant": {"name": "Pinchy"}});
    std::fs::write(&file, config.to_string()).unwrap();
    gateway.signal("HUP");
    name_becomes(&mut client, "Pinchy");

    std::fs::write(&file, "{ gateway: { port: 'x' } }").unwrap();
    gateway.signal("HUP");
    let deadline = Instant::now() + support::PATIENCE;
    loop {
        let lines = client.call("logs.tail", &json!({}))["payload"]["lines"].to_string();
        if lines.contains("barnacle.json:1:") && lines.contains("gateway.port") {
            break;
        }
        assert!(Instant::now() < deadline, "{lines}");
        std::thread::sleep(Duration::from_millis(20));
    }
    name_becomes(&mut client, "Pinchy");
}

/// Set for the process that is to panic: where its log goes.
const PANIC_LOG: &str = "BARNACLE_TEST_PANIC_LOG";

#[test]
fn a_panic_in_a_task_is_logged_and_ends_the_process_with_101() {
    if let Some(log) = std::env::var_os(PANIC_LOG) {
        return panic_in_a_task(log.into());
    }
    let dir = TempDir::new("panic");
    let log = dir.path().join("gateway.log");
    let name = "a_panic_in_a_task_is_logged_and_ends_the_process_with_101";
    let own = std::env::current_exe().unwrap();
    let output = std::process::Command::new(own).args(["--exact", name]).env(PANIC_LOG, &log).output().unwrap();
    assert_eq!(output.status.code(), Some(101));
    let written = std::fs::read_to_string(&log).unwrap();
    assert!(written.contains("internal error") && written.contains("on purpose"), "{written}");
}

/// What the gateway does at its start, and then a task that panics while another waits.
fn panic_in_a_task(file: std::path::PathBuf) {
    let settings = barnacle::journal::Settings {
        console_level: log::LevelFilter::Info,
        file_level: log::LevelFilter::Info,
        filters: None,
        file,
        max_bytes: 100_000,
        files: 1,
        days: 1,
        style: barnacle::journal::Style::People,
    };
    let journal = barnacle::journal::Journal::new(&settings, Box::new(std::io::sink()), || 1);
    barnacle::serve::start_logging(&std::sync::Arc::new(journal));
    let executor = std::rc::Rc::new(smol::LocalExecutor::new());
    barnacle::sys::Tasks::on(&executor).detach(async { panic!("on purpose") });
    smol::block_on(executor.run(std::future::pending::<()>()));
}

#[test]
fn a_run_goes_on_when_its_client_hangs_up() {
    let dir = TempDir::new("hangup");
    let model = FakeModel::start();
    let gateway = Gateway::start(dir.path(), &model.config());
    let mut client = Client::connect(gateway.port, Dialect::Guide);
    client.request("chat.send", &json!({"sessionKey": "main", "message": "bye", "idempotencyKey": "k1"}));
    // The request is read before the end of the stream is.
    drop(client);
    let mut client = Client::connect(gateway.port, Dialect::Guide);
    let ended = client.call("agent.wait", &json!({"runId": "k1", "timeoutMs": 10_000}));
    assert_eq!(ended["payload"]["status"], "ok", "{ended}");
    assert_eq!(history(&mut client), ["bye", ANSWER]);
}
