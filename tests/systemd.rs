//! What systemd and the gateway say to each other, without systemd: a socket of our own hears the gateway, and a small
//! parent hands sockets over. `tests/system/run` does the same with the real one.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests start processes and read their files"
)]

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use support::http::exchange;
use support::{Client, Dialect, Gateway, TOKEN, TempDir, command, free_port};

/// Hears what the gateway says.
struct Ear(UnixDatagram);

impl Ear {
    fn new(dir: &Path) -> Self {
        let socket = UnixDatagram::bind(dir.join("notify")).unwrap();
        socket.set_read_timeout(Some(support::PATIENCE)).unwrap();
        Self(socket)
    }

    /// The next message.
    fn hear(&self) -> String {
        let mut text = [0; 4096];
        let length = self.0.recv(&mut text).unwrap();
        String::from_utf8(text[..length].to_vec()).unwrap()
    }

    /// The next message that has this line; what came before it is given too.
    fn hear_until(&self, line: &str) -> Vec<String> {
        let mut heard = Vec::new();
        let deadline = Instant::now() + support::PATIENCE;
        loop {
            heard.push(self.hear());
            if heard.last().unwrap().lines().any(|heard| heard == line) {
                return heard;
            }
            assert!(Instant::now() < deadline, "no {line} in {heard:?}");
        }
    }

    /// How many messages with this line come in that time.
    fn count(&self, line: &str, time: Duration) -> usize {
        let deadline = Instant::now() + time;
        let mut count = 0;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                self.0.set_read_timeout(Some(support::PATIENCE)).unwrap();
                return count;
            }
            self.0.set_read_timeout(Some(left)).unwrap();
            let mut text = [0; 4096];
            if let Ok(length) = self.0.recv(&mut text) {
                count += usize::from(String::from_utf8_lossy(&text[..length]).lines().any(|heard| heard == line));
            }
        }
    }
}

/// A gateway that an ear hears; it isn't waited for.
fn heard(dir: &TempDir, watchdog_us: Option<u64>) -> (Ear, Gateway) {
    std::fs::write(dir.path().join("barnacle.json"), "{}").unwrap();
    let ear = Ear::new(dir.path());
    let port = free_port();
    let mut command = command(dir.path(), port);
    command.env("NOTIFY_SOCKET", dir.path().join("notify")).stdout(Stdio::null()).stderr(Stdio::null());
    if let Some(us) = watchdog_us {
        command.env("WATCHDOG_USEC", us.to_string());
    }
    (ear, Gateway { child: command.spawn().unwrap(), port })
}

fn status_of(message: &str) -> &str {
    message.lines().find_map(|line| line.strip_prefix("STATUS=")).unwrap_or_else(|| panic!("no status in {message:?}"))
}

#[test]
fn ready_is_told_once_a_handshake_is_answered_and_the_end_is_told_first() {
    let dir = TempDir::new("ready");
    let (ear, mut gateway) = heard(&dir, None);
    let first = ear.hear();
    assert_eq!(first.lines().next(), Some("READY=1"), "{first}");
    let port = gateway.port;
    assert!(status_of(&first).starts_with(&format!("Listening on ws://127.0.0.1:{port}")), "{first}");
    assert!(status_of(&first).ends_with("; 0 clients"), "{first}");
    let _client = Client::connect(port, Dialect::Guide);
    gateway.signal("TERM");
    let last = ear.hear();
    assert_eq!(last.lines().collect::<Vec<_>>(), ["STOPPING=1", "STATUS=Stopping"]);
    assert_eq!(gateway.ended().code(), Some(0));
}

#[test]
fn a_reload_is_told_with_its_end_whether_the_configuration_is_good_or_bad() {
    let dir = TempDir::new("reload");
    let (ear, gateway) = heard(&dir, None);
    ear.hear_until("READY=1");
    for (text, is_refused) in
        [("{ui:{assistant:{name:'x'}}}", false), ("{ gateway: { port: 'x' } }", true), ("{}", false)]
    {
        std::fs::write(dir.path().join("barnacle.json"), text).unwrap();
        gateway.signal("HUP");
        let begun = ear.hear();
        let lines: Vec<_> = begun.lines().collect();
        assert_eq!(lines[0], "RELOADING=1", "{begun}");
        let at = lines[1].strip_prefix("MONOTONIC_USEC=").unwrap_or_else(|| panic!("{begun}"));
        assert!(at.parse::<u64>().unwrap() > 0);
        let done = ear.hear();
        assert_eq!(done.lines().next(), Some("READY=1"), "{done}");
        assert_eq!(status_of(&done).contains("the changed configuration is refused"), is_refused, "{done}");
    }
}

#[test]
fn a_restart_inside_the_process_is_a_reload_with_signs_of_life() {
    let dir = TempDir::new("inside");
    let (ear, gateway) = heard(&dir, Some(300_000));
    ear.hear_until("READY=1");
    gateway.signal("USR1");
    ear.hear_until("RELOADING=1");
    ear.hear_until("READY=1");
    assert!(ear.count("WATCHDOG=1", Duration::from_secs(1)) >= 3);
    let _client = Client::connect(gateway.port, Dialect::Native);
    ear.hear_until("WATCHDOG=1");
}

#[test]
fn signs_of_life_come_three_to_a_limit_and_not_from_a_loop_that_stands_still() {
    let dir = TempDir::new("watchdog");
    let (ear, gateway) = heard(&dir, Some(600_000));
    ear.hear_until("READY=1");
    let beats = ear.count("WATCHDOG=1", Duration::from_secs(2));
    assert!((5..=11).contains(&beats), "{beats} in two seconds");
    gateway.signal("STOP");
    // What was under way when it stopped.
    ear.count("WATCHDOG=1", Duration::from_millis(50));
    assert_eq!(ear.count("WATCHDOG=1", Duration::from_millis(900)), 0);
    gateway.signal("CONT");
    ear.hear_until("WATCHDOG=1");
}

/// A parent that hands sockets over.
struct Parent {
    child: Child,
    orders: ChildStdin,
    pids: BufReader<ChildStdout>,
}

impl Parent {
    fn start(dir: &Path, sockets: &[String], port: u16, env: &[(&str, &str)]) -> Self {
        std::fs::write(dir.join("barnacle.json"), "{}").unwrap();
        let program = command(dir, port);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/activate.py");
        let mut parent = Command::new("python3");
        parent.arg(script).args(sockets).arg("--").arg(program.get_program()).args(program.get_args());
        parent.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?)))).envs(env.iter().copied());
        parent.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = parent.spawn().unwrap();
        let (orders, pids) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, orders, pids }
    }

    /// The next pid of the gateway.
    fn pid(&mut self) -> String {
        let mut line = String::new();
        // What else stands there is the gateway's own greeting.
        while line.trim().parse::<u32>().is_err() {
            line.clear();
            assert!(self.pids.read_line(&mut line).unwrap() > 0, "the parent ended");
        }
        line.trim().to_owned()
    }

    fn restart(&mut self) {
        self.orders.write_all(b"restart\n").unwrap();
        self.pid();
    }

    /// Its end, after the gateway's: code and error output.
    fn ended(mut self) -> (Option<i32>, String) {
        drop(self.orders);
        let mut errors = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        (self.child.wait().unwrap().code(), errors)
    }
}

#[test]
fn a_handed_port_refuses_nobody_and_loses_no_request_across_two_restarts() {
    let dir = TempDir::new("handed");
    let port = free_port();
    // The configured port is taken by the parent: only who uses the handed socket can start at all.
    let mut parent = Parent::start(dir.path(), &[format!("local=127.0.0.1:{port}")], port, &[]);
    parent.pid();
    let stop = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..3)
        .map(|_| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let (mut asked, mut answered) = (0, 0);
                while !stop.load(Ordering::Relaxed) {
                    asked += 1;
                    answered += usize::from(exchange(port, "GET", "/healthz", &[], "").status == 200);
                }
                (asked, answered)
            })
        })
        .collect();
    for _ in 0..2 {
        std::thread::sleep(Duration::from_millis(300));
        parent.restart();
    }
    std::thread::sleep(Duration::from_millis(300));
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        let (asked, answered) = caller.join().unwrap();
        assert!(asked >= 10, "{asked} requests are no load");
        assert_eq!(asked, answered);
    }
    let _client = Client::connect(port, Dialect::Guide);
    assert_eq!(parent.ended().0, Some(0));
}

#[test]
fn the_private_entrance_is_served_beside_the_port() {
    let dir = TempDir::new("serve");
    let (port, path) = (free_port(), dir.path().join("serve.sock"));
    let sockets = [format!("local=127.0.0.1:{port}"), format!("serve={}", path.display())];
    let mut parent = Parent::start(dir.path(), &sockets, port, &[]);
    let pid = parent.pid();
    let mut client = Client::connect(port, Dialect::Guide);
    let answers = || {
        let mut socket = UnixStream::connect(&path).unwrap();
        let request = b"GET /healthz HTTP/1.1\r\nHost: pi.tail1.ts.net\r\nX-Forwarded-For: 100.64.0.9\r\n\r\n";
        socket.write_all(request).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    };
    answers();
    // Both are there after a restart inside the process.
    assert!(Command::new("kill").args(["-USR1", &pid]).status().unwrap().success());
    client.find_close();
    answers();
    let _client = Client::connect(port, Dialect::Guide);
    assert_eq!(parent.ended().0, Some(0));
}

#[test]
fn sockets_that_cannot_be_used_end_the_start_with_78_and_a_way_out() {
    for (socket, env, wanted) in [
        ("wrong=PATH", ("BARNACLE_TOKEN", TOKEN), "FileDescriptorName=serve"),
        ("serve=127.0.0.1:PORT", ("BARNACLE_TOKEN", TOKEN), "can't be used"),
        ("local=0.0.0.0:PORT", ("BARNACLE_TOKEN", "changeme"), "too weak"),
    ] {
        let dir = TempDir::new("unusable");
        let path = dir.path().join("s").display().to_string();
        let socket = socket.replace("PATH", &path).replace("PORT", &free_port().to_string());
        let mut parent = Parent::start(dir.path(), &[socket], free_port(), &[env]);
        parent.pid();
        // It ends by itself, and the parent tells its code.
        parent.orders.write_all(b"wait\n").unwrap();
        let (code, errors) = parent.ended();
        assert_eq!(code, Some(78), "{errors}");
        assert!(errors.contains(wanted), "{errors}");
    }
}

#[test]
fn credentials_come_before_the_environment_and_logs_go_to_their_directory() {
    let dir = TempDir::new("credentials");
    let credentials = dir.path().join("credentials");
    std::fs::create_dir(&credentials).unwrap();
    std::fs::write(credentials.join("token"), "handed-token-3f9a71c2\n").unwrap();
    std::fs::write(credentials.join("ASSISTANT"), "Pinchy\n").unwrap();
    std::fs::write(dir.path().join("barnacle.json"), "{ui:{assistant:{name:'${ASSISTANT}'}}}").unwrap();
    let port = free_port();
    let mut command = command(dir.path(), port);
    command.env("CREDENTIALS_DIRECTORY", &credentials).env("LOGS_DIRECTORY", dir.path().join("logs"));
    command.env("NOTIFY_SOCKET", dir.path().join("notify")).stdout(Stdio::null()).stderr(Stdio::null());
    let ear = Ear::new(dir.path());
    let mut gateway = Gateway { child: command.spawn().unwrap(), port };
    ear.hear_until("READY=1");
    let changes = json!({"auth": {"token": "handed-token-3f9a71c2"}});
    let mut client = Client::connect_with(port, Dialect::Native, &changes);
    assert_eq!(client.call("agent.identity.get", &json!({}))["payload"]["name"], "Pinchy");
    gateway.signal("TERM");
    gateway.ended();
    let log = std::fs::read_to_string(dir.path().join("logs/gateway.log")).unwrap();
    assert!(log.contains("credentials from systemd: ASSISTANT, BARNACLE_TOKEN"), "{log}");
    assert!(!log.contains("handed-token"), "{log}");
}
