//! What exactly was allowed: whether a permission covers a command that a node is to run.
//!
//! A caller's word that somebody has approved is worth nothing (connection.md 6.3 and appendix D); the
//! arguments that will run are compared with what was shown. Where they can't be compared for certain,
//! they are not covered, and the node asks by itself.

use ring::digest::{SHA256, digest};
use serde_json::{Map, Value, json};

use super::decisions::Request;

/// Where on a node an approved command may run.
const HOST: &str = "node";
/// Programs that are what their name says; any other path may hold anything.
const SHELLS: &[&str] =
    &["sh", "/bin/sh", "/usr/bin/sh", "bash", "/bin/bash", "/usr/bin/bash", "zsh", "/bin/zsh", "/usr/bin/zsh"];
/// Programs that run what their arguments say.
const INTERPRETERS: &[&str] = &[
    "sh", "bash", "dash", "zsh", "fish", "ksh", "busybox", "env", "sudo", "doas", "xargs", "nohup", "timeout",
    "python", "perl", "ruby", "node", "deno", "bun", "lua", "php", "awk", "find",
];
/// How Windows is asked for a command line.
const CMD: &[&str] = &["cmd.exe", "/d", "/s", "/c"];
/// Characters that mean themselves on every command line, beside letters and digits.
const PLAIN: &str = "_./:=@%+,-";

/// What a node is to run, as `system.run` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    argv: Vec<String>,
    raw_command: Option<String>,
    cwd: Option<String>,
    agent_id: Option<String>,
    session_key: Option<String>,
}

impl Command {
    /// Reads the params of `system.run`; `None` when nothing can be said of them for certain. A changed
    /// environment is such a case: it changes what the arguments mean.
    #[must_use]
    pub fn read(params: &Map<String, Value>) -> Option<Self> {
        let argv: Option<Vec<String>> =
            params.get("command")?.as_array()?.iter().map(|part| part.as_str().map(str::to_owned)).collect();
        let has_env = match params.get("env") {
            None | Some(Value::Null) => false,
            Some(env) => env.as_object().is_none_or(|env| !env.is_empty()),
        };
        let text = |key: &str| match params.get(key) {
            None | Some(Value::Null) => Some(None),
            Some(value) => value.as_str().map(|text| Some(text.to_owned()).filter(|text| !text.is_empty())),
        };
        let command = Self {
            argv: argv.filter(|argv| !argv.is_empty())?,
            raw_command: text("rawCommand")?,
            cwd: text("cwd")?,
            agent_id: text("agentId")?,
            session_key: text("sessionKey")?,
        };
        (!has_env).then_some(command)
    }
}

/// Whether what was shown to whoever decided is what will run.
#[must_use]
pub fn covers(request: &Request, node_id: &str, command: &Command) -> bool {
    let set = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let may_differ_by_absence =
        |theirs: &Option<String>, shown: &Option<String>| theirs.is_none() || *theirs == set(shown);
    let same_words = match &request.argv {
        Some(argv) => *argv == command.argv,
        None => says(&request.command, &command.argv),
    };
    same_words
        && request.host.0.as_deref().is_none_or(|host| host == HOST)
        && request.node_id.as_deref().is_none_or(|node| node == node_id)
        && set(&request.cwd.0) == command.cwd
        && command.raw_command.as_deref().is_none_or(|raw| raw == request.command)
        && may_differ_by_absence(&command.agent_id, &request.agent_id.0)
        && may_differ_by_absence(&command.session_key, &request.session_key.0)
}

/// A digest of what a decision is bound to, lower-case hex.
#[must_use]
pub fn hash(request: &Request) -> String {
    let bound = json!([
        request.command,
        request.cwd,
        request.host,
        request.agent_id,
        request.resolved_path,
        request.session_key,
        request.argv,
        request.node_id,
    ]);
    data_encoding::HEXLOWER.encode(digest(&SHA256, bound.to_string().as_bytes()).as_ref())
}

/// Whether a path is that of a program that runs whatever its arguments say: no lasting rule is made for it.
#[must_use]
pub fn is_interpreter(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    INTERPRETERS.iter().any(|known| name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.') == *known)
}

/// Whether a command line that was shown is that list of arguments.
#[must_use]
pub fn says(shown: &str, argv: &[String]) -> bool {
    if let [shell, flag, line] = argv {
        if SHELLS.contains(&shell.as_str()) && matches!(flag.as_str(), "-c" | "-lc") {
            return line == shown;
        }
    }
    if let Some((line, before)) = argv.split_last() {
        if before.iter().map(String::as_str).eq(CMD.iter().copied()) {
            return line == shown;
        }
    }
    let is_plain = |part: &String| {
        !part.is_empty() && part.chars().all(|letter| letter.is_ascii_alphanumeric() || PLAIN.contains(letter))
    };
    argv.iter().all(is_plain) && argv.join(" ") == shown
}
