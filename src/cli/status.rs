//! `barnacle status`: what the gateway is doing.

use std::rc::Rc;

use serde_json::Value;

use super::args::Status;
use super::client::Hello;
use super::connection::Target;
use super::console::Console;
use super::exit::Failure;
use super::health;
use super::summary::{Summary, count, duration, text};
use crate::sys::Clock;

/// Sessions that are named.
const RECENT: usize = 5;

/// Asks and tells.
///
/// # Errors
/// What went wrong, with the exit code.
pub async fn status(
    args: &Status,
    target: &Target,
    clock: &Rc<dyn Clock>,
    console: &mut Console,
) -> Result<(), Failure> {
    let (hello, payload) = health::ask(target, clock, "status", &serde_json::json!({})).await?;
    if args.json {
        return health::print_json(console, &payload);
    }
    let value: Value = serde_json::from_str(payload.get()).unwrap_or_default();
    console.print(&told(&hello, &value))
}

fn told(hello: &Hello, payload: &Value) -> String {
    let mut summary = Summary::of(hello);
    summary.common_lines(payload);
    summary
        .line("context", count(payload, "/sessions/defaults/contextTokens").map(|tokens| format!("{tokens} tokens")));
    summary.line("heartbeat", heartbeat(payload));
    let lines = payload.get("channelSummary").and_then(Value::as_array).into_iter().flatten();
    for line in lines.filter_map(Value::as_str).filter(|line| !line.starts_with(' ')) {
        summary.line("channel", Some(line));
    }
    let recent = payload.pointer("/sessions/recent").and_then(Value::as_array).into_iter().flatten();
    for row in recent.take(RECENT) {
        summary.line("session", session(row));
    }
    summary.text()
}

fn heartbeat(payload: &Value) -> Option<String> {
    let agent = payload.pointer("/heartbeat/agents/0")?;
    if !agent.get("enabled")?.as_bool()? {
        return Some("off".to_owned());
    }
    text(agent, "/every").map(|every| format!("every {every}"))
}

/// `agent:main:main, 3 min 2 s ago, 12 % of its context used`.
fn session(row: &Value) -> Option<String> {
    let mut told = text(row, "/key")?;
    if let Some(age_ms) = row.get("age").and_then(Value::as_u64) {
        told = format!("{told}, {} ago", duration(age_ms));
    }
    if let Some(percent) = row.get("percentUsed").and_then(Value::as_u64) {
        told = format!("{told}, {percent} % of its context used");
    }
    Some(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_status_is_told_in_aligned_lines() {
        let hello: Hello = serde_json::from_value(serde_json::json!({
            "server": {"version": "0.1.0", "host": "pi"}, "snapshot": {"uptimeMs": 11_520_000},
        }))
        .unwrap();
        let payload = serde_json::json!({
            "connections": 3, "runs": {"running": 1, "queued": 2},
            "storageTrouble": "disk full", "logTrouble": "disk full",
            "heartbeat": {"agents": [{"enabled": false}]},
            "channelSummary": ["Telegram: configured", "  account"],
            "sessions": {"count": 1, "defaults": {"model": "a/b", "contextTokens": 128_000},
                         "recent": [{"key": "agent:main:main", "age": 3000, "percentUsed": 12}]},
        });
        let expected = "Barnacle 0.1.0 on pi, up 3 h 12 min
  connections  3
  sessions     1
  runs         1 running, 2 waiting
  storage      trouble: disk full
  log          trouble: disk full
  model        a/b
  context      128000 tokens
  heartbeat    off
  channel      Telegram: configured
  session      agent:main:main, 3 s ago, 12 % of its context used
";
        assert_eq!(told(&hello, &payload), expected);
    }
}
