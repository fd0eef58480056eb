//! `barnacle audit`: what agents did.

use std::rc::Rc;

use serde_json::{Value, json};

use super::args::Audit;
use super::connection::Target;
use super::console::Console;
use super::exit::Failure;
use super::health::{ask, print_json};
use super::summary::{duration, text};
use super::table::Table;
use crate::sys::Clock;

/// Lines that are shown when nobody says.
const LINES: u64 = 30;
/// Characters of what a call was about.
const ABOUT_CHARS: usize = 80;

/// Asks and tells.
///
/// # Errors
/// What went wrong, with the exit code.
pub async fn audit(args: &Audit, target: &Target, clock: &Rc<dyn Clock>, console: &mut Console) -> Result<(), Failure> {
    let params = json!({"limit": args.number.unwrap_or(LINES), "tool": args.tool, "sessionKey": args.session});
    let params = params.as_object().map(|fields| fields.clone().into_iter().filter(|(_, value)| !value.is_null()));
    let params = Value::Object(params.into_iter().flatten().collect());
    let (_, payload) = ask(target, clock, "audit.list", &params).await?;
    if args.json {
        return print_json(console, &payload);
    }
    let read: Value = serde_json::from_str(payload.get()).unwrap_or_default();
    let entries = read.get("entries").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut table = Table::new(&["WHEN", "TOOL", "ASKED BY", "DECIDED", "OUTCOME", "ABOUT"]);
    for (index, entry) in entries.iter().enumerate().rev() {
        // A call that has ended is told once.
        let is_same =
            |other: &&Value| ["/runId", "/tool", "/summary"].iter().all(|at| other.pointer(at) == entry.pointer(at));
        if text(entry, "/outcome").as_deref() == Some("runs") && entries.iter().take(index).any(|other| is_same(&other))
        {
            continue;
        }
        let age = entry.get("ts").and_then(Value::as_u64).map(|ts| clock.now_ms().saturating_sub(ts));
        let decided = match (text(entry, "/decision"), text(entry, "/by")) {
            (Some(decision), Some(by)) => Some(format!("{decision}: {by}")),
            (decision, _) => decision,
        };
        let about = text(entry, "/summary").map(|about| about.chars().take(ABOUT_CHARS).collect());
        table.row(vec![
            age.map(|age| format!("{} ago", duration(age))),
            text(entry, "/tool"),
            text(entry, "/asker"),
            decided,
            text(entry, "/outcome"),
            about,
        ]);
    }
    if table.is_empty() {
        return console.print("No tool was called yet.\n");
    }
    table.print(console)
}

#[cfg(test)]
mod tests {
    use smol::future::zip;

    use super::super::console::testing::console;
    use super::super::fake::Gateway;
    use super::*;
    use crate::sys::clock::RealClock;

    #[test]
    fn the_newest_call_stands_last_with_who_decided() {
        let answer = json!({"entries": [
            {"ts": 2, "tool": "exec", "asker": "cli", "decision": "ask", "by": "Pi", "outcome": "done", "summary": "uptime"},
            {"ts": 1, "tool": "read", "asker": "telegram:77", "decision": "allow", "outcome": "done", "summary": "a\u{1b}[2J"},
        ]});
        let out = smol::block_on(async {
            let gateway = Gateway::bind().await;
            let (target, clock) = (gateway.target(), Rc::new(RealClock::start()) as Rc<dyn Clock>);
            let (mut console, out, _) = console(false);
            let served = async {
                let mut peer = gateway.greet(61_000).await;
                let request = peer.expect("audit.list").await;
                peer.reply(&request, &answer).await;
            };
            let args = Audit::default();
            let (outcome, ()) = zip(audit(&args, &target, &clock, &mut console), served).await;
            assert_eq!(outcome, Ok(()));
            out.text()
        });
        let lines: Vec<_> = out.lines().collect();
        assert!(
            lines[1].contains("telegram:77") && lines[2].contains("ask: Pi") && lines[2].ends_with("uptime"),
            "{out}"
        );
        assert!(!out.contains('\u{1b}'), "{out}");
    }
}
