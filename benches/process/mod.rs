//! A server as a process of its own, and what the system says it takes.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running server; ended when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    state_dir: Option<PathBuf>,
}

/// Memory of a process, bytes.
pub(crate) struct Memory {
    pub(crate) resident: f64,
    pub(crate) private: f64,
}

/// What a process used in a span.
pub(crate) struct Usage {
    pub(crate) cpu: Duration,
}

impl Server {
    /// Starts gateways, each with a state directory of its own.
    pub(crate) fn gateway(token: &'static str) -> impl Fn() -> Self {
        move || {
            let port = free_port();
            let state_dir = std::env::temp_dir().join(format!("barnacle-bench-{}-{port}", std::process::id()));
            std::fs::create_dir_all(&state_dir).unwrap();
            let config = state_dir.join("barnacle.json");
            std::fs::write(&config, "{gateway: {limits: {connections: 20000, pendingPerAddress: 5000}}, logging: {consoleLevel: 'error', level: 'error'}}").unwrap();
            let child = Command::new(env!("CARGO_BIN_EXE_barnacle"))
                .args(["run", "--port", &port.to_string(), "--token", token, "--config"])
                .arg(&config)
                .arg("--state-dir")
                .arg(&state_dir)
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            Self { child, port, state_dir: Some(state_dir) }
        }
    }

    /// Starts echoes.
    pub(crate) fn echo() -> impl Fn() -> Self {
        || {
            let port = free_port();
            let own = std::env::current_exe().unwrap();
            let child = Command::new(own).args(["--echo", &port.to_string()]).spawn().unwrap();
            Self { child, port, state_dir: None }
        }
    }

    pub(crate) fn is_gateway(&self) -> bool {
        self.state_dir.is_some()
    }

    /// Connects, waiting until the server listens.
    pub(crate) fn connect(&self) -> TcpStream {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            match TcpStream::connect(("127.0.0.1", self.port)) {
                Ok(stream) => return stream,
                Err(error) => assert!(Instant::now() < deadline, "port {}: {error}", self.port),
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Size of the program's file.
    pub(crate) fn binary_bytes(&self) -> Option<f64> {
        let file = std::fs::metadata(env!("CARGO_BIN_EXE_barnacle")).ok()?;
        self.is_gateway().then_some(file.len() as f64)
    }

    pub(crate) fn memory(&self) -> Memory {
        let text = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.child.id())).unwrap();
        let sum = |names: &[&str]| -> f64 {
            let lines = text.lines().filter(|line| names.iter().any(|name| line.starts_with(name)));
            lines.filter_map(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok()).sum::<f64>() * 1024.0
        };
        Memory { resident: sum(&["Rss:"]), private: sum(&["Private_Clean:", "Private_Dirty:"]) }
    }

    /// Bytes that the server has sent to the disk so far, as the kernel counts them: whole pages, not what the card
    /// makes of them.
    pub(crate) fn written_bytes(&self) -> Option<f64> {
        let text = std::fs::read_to_string(format!("/proc/{}/io", self.child.id())).ok()?;
        text.lines().find_map(|line| line.strip_prefix("write_bytes: "))?.parse().ok()
    }

    /// Runs `work` and tells the CPU time that the server used meanwhile, and how long it took.
    pub(crate) fn during(&self, work: impl FnOnce()) -> (Usage, Duration) {
        let before = self.cpu();
        let began = Instant::now();
        work();
        let elapsed = began.elapsed();
        std::thread::sleep(Duration::from_millis(200));
        (Usage { cpu: self.cpu().saturating_sub(before) }, elapsed)
    }

    /// CPU time so far, from the scheduler, in nanoseconds, over all threads.
    fn cpu(&self) -> Duration {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let spent = tasks.filter_map(|task| {
            let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(spent.sum())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already; the measuring is over either way.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(state_dir) = &self.state_dir {
            let _ = std::fs::remove_dir_all(state_dir);
        }
    }
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}
