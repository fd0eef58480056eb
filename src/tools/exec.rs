//! Commands: on this machine in a cage, or on a node that asks nobody again. A list of arguments, never a shell unless
//! the owner allows one; what somebody approved is exactly what runs.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::asking::Matter;
use super::files::Place;
use super::{Cx, Group, Problem, Risk, Standing, Tool, nodes, outside};
use crate::config::tools::{Ask, Exec, Security};
use crate::gateway::invoke::Question;
use crate::limits::{EXEC_OUTPUT_BYTES, TOOL_TEXT_BYTES};
use crate::nodes::binding;
use crate::runs::tools::ToolOutput;
use crate::skills;
use crate::stores::exec_approvals::Rules;
use crate::sys::processes::{Ending, Finished, Program};
use crate::sys::sandbox::{FAILED, Sandbox};
use crate::wire::shape::{Kind, int_within, text_within};

/// Rows.
pub(super) const TOOLS: &[Tool] = &[Tool::new(
    "exec",
    Group::Runtime,
    Risk::World,
    "Runs a program on the gateway's machine, in your workspace, or on a paired machine (`node`). `command` is the \
     program and its arguments, one by one; there is no shell.",
    tool!(exec),
)
.within(Duration::from_secs(3600))
.told_as(told)
.about(matter)
.listed_by(standing)
.each_anew()];

/// Where commands keep what is of no use afterwards, in the workspace.
const TEMPORARY: &str = ".tmp";
/// How a node is asked, and how it is told that somebody has approved.
const RUN: &str = "system.run";
/// Longest wait for a node beyond the command's own time, ms.
const NODE_GRACE_MS: u64 = 5000;
/// An argument.
const ARGUMENT: Kind = text_within(0, 8192);

crate::wire! {
    /// A command.
    pub struct ExecParams {
        /// The program and its arguments, one by one.
        command: Vec<String> = Kind::List { of: &ARGUMENT, min: 1, max: 256 },
        /// Directory below the workspace; the workspace itself when it is left out.
        cwd: Option<String> = text_within(0, 1024),
        /// Longest time, seconds.
        timeout_s: Option<u64> = int_within(1, 3600),
        /// Name or id of a paired machine that runs it instead of this one.
        node: Option<String> = text_within(0, 256),
    }
}

async fn exec(cx: Cx, params: ExecParams) -> Result<ToolOutput, Problem> {
    let config = cx.gateway.config.get();
    let rules = Effective::of(&cx, &config.tools.exec);
    if rules.security == Security::Deny {
        return Err(Problem::from("Commands are switched off here (tools.exec.security is `deny`)."));
    }
    let limit = Duration::from_secs(params.timeout_s.unwrap_or(u64::MAX).min(config.tools.exec.timeout_s));
    if let Some(node) = params.node.as_deref().filter(|node| !node.trim().is_empty()) {
        return on_node(&cx, node, params.command, params.cwd, limit).await;
    }
    let name = params.command.first().cloned().unwrap_or_default();
    let path = resolve(&cx, &name).ok_or_else(|| format!("There is no program {name:?} on this machine."))?;
    if binding::is_interpreter(&path) && !config.tools.exec.shell && is_shell_line(&params.command) {
        return Err(Problem::from(
            "A shell's own language is not allowed here (tools.exec.shell); run the program itself.",
        ));
    }
    let dir = Place::find(&cx, params.cwd.as_deref().filter(|dir| !dir.trim().is_empty()).unwrap_or("."))?;
    let workspace = skills::workspace_of(&config, &cx.gateway.places, &cx.scene.agent_id);
    let sandbox = config.tools.exec.sandbox.then(|| Sandbox {
        writable: std::iter::once(workspace.clone()).chain(config.tools.exec.writable.iter().map(Into::into)).collect(),
        hidden: hidden(&cx, &workspace),
    });
    // The system's own directory is everybody's.
    let temporary = Place::find(&cx, TEMPORARY)?;
    cx.gateway.sys.files.create_dir(&temporary.0).map_err(|error| error.to_string())?;
    let temporary = temporary.0.display().to_string();
    let program = Program {
        argv: params.command,
        dir: Some(dir.0),
        env: vec![("HOME".to_owned(), workspace.display().to_string()), ("TMPDIR".to_owned(), temporary)],
        limit,
        output_bytes: EXEC_OUTPUT_BYTES,
        on_line: None,
        sandbox,
    };
    let finished = cx.gateway.sys.processes.run(program).await.map_err(|error| error.to_string())?;
    if finished.ending == Ending::Exited(i32::from(FAILED)) && finished.stderr.contains("barnacle") {
        return Err(Problem(format!("It did not run: {}", finished.stderr.trim())));
    }
    Ok(shown(&cx, &finished, limit))
}

/// What a command must not see: the gateway's configuration and state, but for the workspace.
fn hidden(cx: &Cx, workspace: &Path) -> Vec<std::path::PathBuf> {
    let places = &cx.gateway.places;
    let config_dir = places.config_file.parent().map(Path::to_owned);
    // Where the workspace lies in the state directory, that is not among what may be read anyway.
    [config_dir, Some(places.state_dir.clone())]
        .into_iter()
        .flatten()
        .filter(|dir| !dir.as_os_str().is_empty() && dir != workspace)
        .collect()
}

fn shown(cx: &Cx, finished: &Finished, limit: Duration) -> ToolOutput {
    let how = match finished.ending {
        Ending::Exited(code) => format!("exit code {code}"),
        Ending::Killed => "killed by a signal".to_owned(),
        Ending::TimedOut => format!("killed after {} s", limit.as_secs()),
    };
    let mut text = finished.stdout.trim_end().to_owned();
    if !finished.stderr.trim().is_empty() {
        text.push_str("\n[standard error]\n");
        text.push_str(finished.stderr.trim_end());
    }
    let is_error = finished.ending != Ending::Exited(0);
    let told =
        if text.trim().is_empty() { "no output".to_owned() } else { outside(cx, "command", &text, TOOL_TEXT_BYTES) };
    ToolOutput { is_error, ..ToolOutput::text(format!("{how}\n{told}")) }
}

async fn on_node(
    cx: &Cx,
    node: &str,
    command: Vec<String>,
    cwd: Option<String>,
    limit: Duration,
) -> Result<ToolOutput, Problem> {
    let node = nodes::find(cx, node, Some(RUN))?;
    let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
    // The gateway passes the claim on only where exactly this was approved; else the node asks by itself.
    let mut params =
        json!({"command": command, "timeoutMs": limit_ms, "approved": true, "approvalDecision": "allow-once"});
    if let (Value::Object(fields), Some(cwd)) = (&mut params, cwd.filter(|cwd| !cwd.trim().is_empty())) {
        fields.insert("cwd".into(), cwd.into());
    }
    let question = Question {
        node_id: node.id.clone(),
        command: RUN.to_owned(),
        params: Some(params),
        timeout_ms: Some(limit_ms.saturating_add(NODE_GRACE_MS)),
        idempotency_key: Some(format!("{}-{}", cx.scene.run_id, cx.gateway.sys.chance.hex::<4>())),
    };
    let name = nodes::label(cx, &node);
    let failed = |error: crate::error::Error| Problem(format!("{name}: {}", error.message));
    let answer = cx.gateway.ask_node(&question).map_err(failed)?.answer().await.map_err(failed)?;
    let text = answer.result().map_or_else(|| "{}".to_owned(), |result| result.get().to_owned());
    Ok(ToolOutput::text(outside(cx, &name, &text, TOOL_TEXT_BYTES)))
}

/// The stricter of the configuration and the file of exec approvals.
struct Effective {
    security: Security,
    ask: Ask,
    rules: Rules,
}

impl Effective {
    fn of(cx: &Cx, exec: &Exec) -> Self {
        let rules = cx.gateway.stores.exec_approvals.rules(&cx.scene.agent_id).unwrap_or_else(|error| {
            log::warn!("the exec approvals can't be read, so nothing is on the list: {error}");
            Rules::default()
        });
        let security = match (exec.security, rules.security.as_deref()) {
            (Security::Deny, _) | (_, Some("deny")) => Security::Deny,
            (Security::Allowlist, _) | (_, Some("allowlist")) => Security::Allowlist,
            (Security::Full, _) => Security::Full,
        };
        let ask = match (exec.ask, rules.ask.as_deref()) {
            (Ask::Always, _) | (_, Some("always")) => Ask::Always,
            (ask, None | Some("on-miss")) => ask,
            (_, Some(_)) => Ask::Off,
        };
        Self { security, ask, rules }
    }
}

fn standing(cx: &Cx, arguments: &Value) -> Standing {
    let config = cx.gateway.config.get();
    let effective = Effective::of(cx, &config.tools.exec);
    let is_here = arguments.get("node").and_then(Value::as_str).is_none_or(|node| node.trim().is_empty());
    let is_listed = is_here
        && program_of(cx, arguments)
            .is_some_and(|path| !binding::is_interpreter(&path) && effective.rules.lists(&path));
    match (effective.security, effective.ask) {
        (Security::Deny, _) => Standing::Closed("Commands are switched off here (tools.exec.security is `deny`)."),
        (_, Ask::Always) => Standing::Unknown,
        (Security::Full, _) if is_here => Standing::Listed,
        _ if is_listed => Standing::Listed,
        (_, Ask::Off) => {
            Standing::Closed("This program is not on the list of exec approvals, and nobody is to be asked.")
        }
        _ => Standing::Unknown,
    }
}

fn matter(cx: &Cx, arguments: &Value) -> Matter {
    let node = arguments.get("node").and_then(Value::as_str).filter(|node| !node.trim().is_empty());
    let argv = arguments.get("command").and_then(Value::as_array).into_iter().flatten();
    let node_id = node.and_then(|name| nodes::find(cx, name, Some(RUN)).ok()).map(|node| node.id.clone());
    Matter {
        argv: Some(argv.filter_map(|part| part.as_str().map(str::to_owned)).collect()),
        cwd: arguments.get("cwd").and_then(Value::as_str).filter(|cwd| !cwd.trim().is_empty()).map(str::to_owned),
        resolved_path: if node.is_some() { None } else { program_of(cx, arguments) },
        node_id,
        ..Matter::default()
    }
}

/// The file of the program that would run here.
fn program_of(cx: &Cx, arguments: &Value) -> Option<String> {
    resolve(cx, arguments.get("command")?.get(0)?.as_str()?)
}

/// A program's file, links followed: a harmless name must not lead to an interpreter.
fn resolve(cx: &Cx, name: &str) -> Option<String> {
    let path = cx.gateway.sys.processes.which(name)?;
    let real = cx.gateway.sys.files.real_path(&path).unwrap_or(path);
    real.to_str().map(str::to_owned)
}

/// `sh -c LINE` and the like.
fn is_shell_line(argv: &[String]) -> bool {
    const SHELLS: [&str; 8] = ["sh", "bash", "dash", "zsh", "fish", "ksh", "busybox", "ash"];
    let name = argv.first().map_or("", |name| name.rsplit('/').next().unwrap_or(name));
    SHELLS.contains(&name) && argv.iter().skip(1).any(|part| part.starts_with('-') && part.ends_with('c'))
}

/// The command as people read it: parts with anything unusual in them are quoted, and nothing invisible stays so.
fn told(arguments: &Value) -> String {
    let part = |part: &Value| {
        let text = part.as_str().unwrap_or_default();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "_./:=@%+,-".contains(c);
        if !text.is_empty() && text.chars().all(is_plain) { text.to_owned() } else { format!("{text:?}") }
    };
    let command = arguments.get("command").and_then(Value::as_array).into_iter().flatten().map(part);
    let line = command.collect::<Vec<_>>().join(" ");
    match arguments.get("node").and_then(Value::as_str).filter(|node| !node.trim().is_empty()) {
        Some(node) => format!("on {node}: {line}"),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_so_that_nothing_in_it_hides() {
        let shown = told(&json!({"command": ["rm", "-rf", "a b", "", "x\u{202e}y", "--all"]}));
        assert_eq!(shown, "rm -rf \"a b\" \"\" \"x\\u{202e}y\" --all");
        assert_eq!(told(&json!({"command": ["uptime"], "node": "Pi"})), "on Pi: uptime");
    }

    #[test]
    fn a_shells_own_language_is_recognised() {
        let argv = |parts: &[&str]| parts.iter().map(|&part| part.to_owned()).collect::<Vec<_>>();
        assert!(is_shell_line(&argv(&["sh", "-c", "x"])) && is_shell_line(&argv(&["/bin/bash", "-lc", "x"])));
        assert!(!is_shell_line(&argv(&["sh", "script"])) && !is_shell_line(&argv(&["gcc", "-c", "x"])));
    }
}
