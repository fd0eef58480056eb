//! Commands of agents against the real binary and the real kernel: what a caged program can and can't do.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic, in its helpers too")]
#![allow(clippy::print_stdout, reason = "a test tells why it is skipped")]
#![allow(clippy::disallowed_methods, reason = "tests start processes and read their files")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use support::http::exchange;
use support::{FakeModel, Gateway, TOKEN, TempDir};

struct Home {
    gateway: Gateway,
    dir: TempDir,
    workspace: PathBuf,
    _model: FakeModel,
}

impl Home {
    fn new(exec: &Value) -> Self {
        let (dir, model) = (TempDir::new("exec"), FakeModel::start());
        let workspace = dir.path().join("workspace");
        std::fs::create_dir_all(&workspace).unwrap();
        let mut config = model.config();
        config["agents"]["defaults"]["workspace"] = workspace.display().to_string().into();
        config["gateway"] = json!({
            "http": {"endpoints": {"tools": {"enabled": true}}}, "tools": {"allow": ["exec", "read"]},
        });
        config["tools"] = json!({"policy": [{"decision": "allow"}], "exec": exec});
        Self { gateway: Gateway::start(dir.path(), &config), dir, workspace, _model: model }
    }

    /// What came of a command: whether it went well, and what the model would read.
    fn run(&self, argv: &[&str]) -> (bool, String) {
        self.run_with(&json!({"command": argv}))
    }

    fn run_with(&self, arguments: &Value) -> (bool, String) {
        let body = json!({"tool": "exec", "args": arguments}).to_string();
        let bearer = format!("Bearer {TOKEN}");
        let answer = exchange(self.gateway.port, "POST", "/tools/invoke", &[("Authorization", &bearer)], &body);
        let json = answer.json();
        let text = &json["result"]["content"][0]["text"];
        let text = text.as_str().or_else(|| json["error"]["message"].as_str()).unwrap_or_default();
        (answer.status == 200, text.to_owned())
    }

    fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }
}

/// Whether the kernel can cage programs; tells when it can't.
fn has_landlock() -> bool {
    let program = env!("CARGO_BIN_EXE_barnacle");
    let tried = Command::new(program).args(["sandbox-exec", "--", "/bin/true"]).output().unwrap();
    if !tried.status.success() {
        println!("skipped: Landlock not in this kernel: {}", String::from_utf8_lossy(&tried.stderr).trim());
    }
    tried.status.success()
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_caged_command_works_in_its_workspace_and_sees_nothing_of_the_gateway() {
    if !has_landlock() {
        return;
    }
    let home = Home::new(&json!({}));
    let (ok, text) = home.run(&["echo", "hello"]);
    assert!(ok && text.starts_with("exit code 0") && text.contains("hello"), "{text}");
    let (ok, text) = home.run(&["touch", "made"]);
    assert!(ok && home.workspace.join("made").exists(), "{text}");
    let token = home.state().join("token-for-test");
    std::fs::write(&token, "herring").unwrap();
    let outside = home.dir.path().join("outside");
    for argv in [
        &["cat", path(&token)][..],
        &["ls", path(&home.state())],
        &["cat", path(&home.dir.path().join("barnacle.json"))],
        &["touch", path(&outside)],
        &["touch", "/etc/barnacle-was-here"],
        &["rm", "-rf", path(&home.state())],
        &["ls", "/root"],
    ] {
        let (ok, text) = home.run(argv);
        assert!(!ok && !text.contains("herring"), "{argv:?}: {text}");
    }
    assert!(token.exists() && !outside.exists());
}

#[test]
fn a_caged_command_reaches_no_process_of_the_gateway() {
    if !has_landlock() {
        return;
    }
    let home = Home::new(&json!({}));
    let pid = home.gateway.child.id().to_string();
    for file in ["environ", "cmdline", "maps"] {
        let (ok, text) = home.run(&["cat", &format!("/proc/{pid}/{file}")]);
        assert!(!ok, "{file}: {text}");
    }
    let (_, text) = home.run(&["env"]);
    assert!(!text.contains(TOKEN) && !text.contains("BARNACLE"), "{text}");
}

#[test]
fn without_a_shell_a_line_is_refused_and_time_and_output_are_bounded() {
    if !has_landlock() {
        return;
    }
    let home = Home::new(&json!({"timeoutSec": 2}));
    let (ok, text) = home.run(&["sh", "-c", "echo x"]);
    assert!(!ok && text.contains("tools.exec.shell"), "{text}");
    let (ok, text) = home.run(&["no-such-program"]);
    assert!(!ok && text.contains("no program"), "{text}");
    let (ok, text) = home.run(&["sleep", "60"]);
    assert!(!ok && text.contains("killed after 2 s"), "{text}");
    let (ok, text) = home.run(&["seq", "1", "100000"]);
    assert!(ok && text.contains("100000") && text.len() < 70_000, "{}", text.len());
    let (ok, text) = home.run_with(&json!({"command": ["pwd"], "cwd": "../.."}));
    assert!(!ok && text.contains("outside of your workspace"), "{text}");
    let shell = Home::new(&json!({"shell": true}));
    let (ok, text) = shell.run(&["sh", "-c", "echo $((6*7)); pwd"]);
    assert!(ok && text.contains("42") && text.contains(path(&shell.workspace)), "{text}");
}

#[test]
fn a_gateway_that_forbids_commands_runs_none() {
    let home = Home::new(&json!({"security": "deny"}));
    let (ok, text) = home.run(&["echo", "hello"]);
    assert!(!ok && text.contains("switched off"), "{text}");
}
