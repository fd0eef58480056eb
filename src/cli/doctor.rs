//! `barnacle doctor`: asks the gateway, has the checks done, and tells what they found, short when all is well.

use std::fmt::Write as _;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};

use super::Environment;
use super::args::Doctor;
use super::client::{Client, Patience};
use super::client_error::ClientError;
use super::connection::Target;
use super::console::Console;
use super::exit::{Exit, Failure};
use super::json::{Layout, laid_out};
use crate::care::doctor::finding::Level;
use crate::care::doctor::ground::{Ground, Online};
use crate::care::doctor::{Report, examine};
use crate::config::file;
use crate::sys::disk::Disk;
use crate::sys::processes::RealProcesses;
use crate::sys::{Clock, Files as _};

/// How long the gateway's answers are waited for, unless `--timeout` says so.
const ANSWER: Duration = Duration::from_secs(10);

/// Looks and tells.
///
/// # Errors
/// A quiet end with exit code 1 when something has failed; what went wrong on the command line.
pub fn doctor(
    args: &Doctor,
    target: &Target,
    environment: &Environment,
    clock: &Rc<dyn Clock>,
    console: &mut Console,
) -> Result<(), Failure> {
    if !target.endpoint.is_loopback() {
        return Err(Failure::usage("doctor looks at this machine; run it where the gateway is"));
    }
    let reach = args.reach();
    let mut places = super::backup::places(reach.config.as_deref(), reach.state_dir.as_deref(), environment)?;
    // systemd may have put a link where the state seems to be.
    places.state_dir = Disk::default().real_path(&places.state_dir).unwrap_or(places.state_dir);
    let ground = Ground {
        loaded: file::load(&Disk::default(), &places, environment),
        online: smol::block_on(ask(target, clock)),
        places,
        env: environment.clone(),
        clock: Rc::clone(clock),
        processes: Rc::new(RealProcesses::new(Rc::clone(clock), environment)),
        root: "/".into(),
    };
    let reports = examine(&ground, args.fix);
    let has_failed = reports.iter().any(|report| report.level() == Level::Fail);
    if args.json {
        let layout = if console.out_is_terminal() { Layout::Indented } else { Layout::OneLine };
        console.print(&format!("{}\n", laid_out(&as_json(&reports, !has_failed).to_string(), layout)))?;
    } else {
        console.print(&told(&reports, args.fix))?;
    }
    if has_failed { Err(Failure::quiet(Exit::Failed)) } else { Ok(()) }
}

/// What the gateway says, if there is one.
async fn ask(target: &Target, clock: &Rc<dyn Clock>) -> Online {
    let limit = target.timeout.unwrap_or(ANSWER);
    let trouble = |error: &ClientError| Online::Trouble(error.explain(target).message.unwrap_or_default());
    let mut client = match Client::connect(clock, target, Patience::default()).await {
        Ok(client) => client,
        Err(ClientError::Dial(_)) => return Online::Nobody,
        Err(error) => return trouble(&error),
    };
    let mut answers = Vec::new();
    for method in ["health", "channels.status", "device.pair.list", "channels.pair.list"] {
        match client.ask(method, &json!({}), limit).await {
            Ok(Ok(payload)) => answers.push(serde_json::from_str::<Value>(payload.get()).unwrap_or_default()),
            // An older gateway doesn't have every method.
            Ok(Err(_)) => answers.push(Value::Null),
            Err(error) => return trouble(&error),
        }
    }
    client.close().await;
    let mut answers = answers.into_iter();
    let mut next = || answers.next().unwrap_or_default();
    Online::Yes { health: next(), channels: next(), devices: next(), people: next() }
}

fn as_json(reports: &[Report], ok: bool) -> Value {
    let checks: Vec<_> = reports
        .iter()
        .map(|report| json!({"name": report.check.name, "looksAt": report.check.looks_at, "findings": report.findings}))
        .collect();
    json!({"ok": ok, "checks": checks})
}

/// The findings, the worst last where they are read first, and all that is well in one line.
fn told(reports: &[Report], mended: bool) -> String {
    let mut text = String::new();
    let well: Vec<_> =
        reports.iter().filter(|report| report.level() == Level::Ok).map(|report| report.check.name).collect();
    if !well.is_empty() {
        let _ = writeln!(text, "ok    {}", well.join(", "));
    }
    let mut can_fix = false;
    for (level, word) in [(Level::Note, "note"), (Level::Warn, "warn"), (Level::Fail, "FAIL")] {
        for report in reports {
            for finding in report.findings.iter().filter(|finding| finding.level == level) {
                can_fix |= finding.fix.is_some();
                let _ = writeln!(text, "{word}  {}: {}", report.check.name, finding.what);
                if let Some(mend) = &finding.mend {
                    let _ = writeln!(text, "      → {mend}");
                }
            }
        }
    }
    if can_fix && !mended {
        text.push_str("`barnacle doctor --fix` does what is safe of this\n");
    }
    text
}
