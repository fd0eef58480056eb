//! `barnacle logs`: the gateway's log, from the gateway while it runs, else from its files.

use std::rc::Rc;
use std::time::Duration;

use log::Level;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Environment;
use super::args::Logs;
use super::client::{Client, Patience};
use super::client_error::ClientError;
use super::connection::Target;
use super::console::Console;
use super::exit::{Exit, Failure};
use crate::config::file;
use crate::config::first_start::Places;
use crate::journal::people_line;
use crate::journal::reader::Reader;
use crate::limits::{LOG_TAIL_BYTES, LOG_TAIL_LINES};
use crate::sys::Clock;
use crate::sys::disk::Disk;

/// How long an answer is waited for, unless `--timeout` says so.
const ANSWER: Duration = Duration::from_secs(10);
/// Pause between two looks for new lines.
const LOOK: Duration = Duration::from_secs(1);
/// Longest pause between two tries to reach the gateway again.
const RETRY_MAX: Duration = Duration::from_secs(15);

/// A piece of the log as the gateway gives it.
#[derive(Debug, Deserialize)]
struct Piece {
    cursor: u64,
    lines: Vec<String>,
    #[serde(default)]
    reset: bool,
}

/// Shows it.
///
/// # Errors
/// What went wrong, with the exit code.
pub async fn logs(
    args: &Logs,
    target: &Target,
    environment: &Environment,
    clock: &Rc<dyn Clock>,
    console: &mut Console,
) -> Result<(), Failure> {
    let mut shown = Shown { level: args.level, json: args.json, console, last: None };
    match Client::connect(clock, target, Patience::default()).await {
        Ok(client) => from_gateway(args, target, client, clock, &mut shown).await,
        // Somewhere else there are no files of ours.
        Err(error) if !target.endpoint.is_loopback() => Err(error.explain(target)),
        Err(ClientError::Refused(refusal)) => Err(ClientError::Refused(refusal).explain(target)),
        Err(_) => from_files(args, environment, clock, &mut shown).await,
    }
}

/// What reaches the terminal.
struct Shown<'a> {
    level: Option<Level>,
    json: bool,
    console: &'a mut Console,
    /// The last line that came, shown or not.
    last: Option<String>,
}

impl Shown<'_> {
    fn lines(&mut self, lines: &[String]) -> Result<(), Failure> {
        let mut text = String::new();
        for line in lines {
            let (level, people) = people_line(line);
            // What has no level is the log's own business.
            if self.level.is_some_and(|least| level.is_some_and(|level| level > least)) {
                continue;
            }
            text.push_str(if self.json { line } else { &people });
            text.push('\n');
        }
        self.last = lines.last().cloned().or_else(|| self.last.take());
        if text.is_empty() { Ok(()) } else { self.console.print(&text) }
    }

    /// After a reset: the lines behind the last one that has come, all of them when it isn't among them.
    fn lines_after_reset(&mut self, lines: &[String]) -> Result<(), Failure> {
        let known = self.last.as_ref().and_then(|last| lines.iter().rposition(|line| line == last));
        self.lines(lines.get(known.map_or(0, |at| at + 1)..).unwrap_or_default())
    }
}

async fn from_gateway(
    args: &Logs,
    target: &Target,
    mut client: Client,
    clock: &Rc<dyn Clock>,
    shown: &mut Shown<'_>,
) -> Result<(), Failure> {
    let limit = target.timeout.unwrap_or(ANSWER);
    // Levels are chosen here, so that as many lines as are wanted are left.
    let wanted = if args.level.is_some() { LOG_TAIL_LINES } else { args.lines.clamp(1, LOG_TAIL_LINES) };
    let first = ask(&mut client, &json!({"limit": wanted, "maxBytes": LOG_TAIL_BYTES}), limit).await;
    let first = first.map_err(|error| error.explain(target))??;
    let kept: Vec<_> = first.lines.iter().filter(|line| is_wanted(line, args.level)).cloned().collect();
    shown.lines(kept.get(kept.len().saturating_sub(args.lines)..).unwrap_or_default())?;
    shown.last = first.lines.last().cloned();
    let mut cursor = first.cursor;
    if !args.follow {
        client.close().await;
        return Ok(());
    }
    loop {
        clock.sleep(LOOK).await;
        let params = json!({"cursor": cursor, "limit": LOG_TAIL_LINES, "maxBytes": LOG_TAIL_BYTES});
        match ask(&mut client, &params, limit).await {
            Ok(piece) => {
                let piece = piece?;
                cursor = piece.cursor;
                if piece.reset { shown.lines_after_reset(&piece.lines)? } else { shown.lines(&piece.lines)? }
            }
            Err(error) if error.is_passing() => {
                let what = error.explain(target).message.unwrap_or_default();
                shown.console.note(&format!("{what}; waiting for the gateway"));
                client = again(target, clock).await?;
                shown.console.note("the gateway is back");
            }
            Err(error) => return Err(error.explain(target)),
        }
    }
}

fn is_wanted(line: &str, level: Option<Level>) -> bool {
    level.is_none_or(|least| people_line(line).0.is_none_or(|level| level <= least))
}

/// Reaches the gateway again, however long that takes: the owner's Ctrl-C is the end.
async fn again(target: &Target, clock: &Rc<dyn Clock>) -> Result<Client, Failure> {
    let mut pause = LOOK;
    loop {
        clock.sleep(pause).await;
        pause = (pause * 2).min(RETRY_MAX);
        match Client::connect(clock, target, Patience::default()).await {
            Ok(client) => return Ok(client),
            Err(error) if error.is_passing() => {}
            Err(error) => return Err(error.explain(target)),
        }
    }
}

async fn ask(client: &mut Client, params: &Value, limit: Duration) -> Result<Result<Piece, Failure>, ClientError> {
    let answer = client.ask("logs.tail", params, limit).await?;
    let methods = client.hello().features.methods.clone();
    Ok(answer.map_err(|refusal| refusal.explain_call(&methods)).and_then(|payload| {
        serde_json::from_str(payload.get())
            .map_err(|error| Failure::new(Exit::Failed, format!("the gateway's answer is not understood: {error}")))
    }))
}

async fn from_files(
    args: &Logs,
    environment: &Environment,
    clock: &Rc<dyn Clock>,
    shown: &mut Shown<'_>,
) -> Result<(), Failure> {
    let reach = args.reach();
    let places = super::backup::places(reach.config.as_deref(), reach.state_dir.as_deref(), environment)?;
    let path = log_file(&places, environment);
    let disk = Disk::default();
    let failed = |error: std::io::Error| Failure::new(Exit::Failed, format!("{}: {error}", path.display()));
    let mut reader = Reader::new(path.clone());
    // Levels are chosen here, so that as many lines as are wanted are left.
    let count = if args.level.is_some() { usize::MAX } else { args.lines };
    let found = reader.last(&disk, count).map_err(failed)?;
    shown.console.note(&format!("no gateway runs; this is {}", path.display()));
    if found.is_empty() && !args.follow {
        return Err(Failure::new(Exit::NoConnection, "there is no log yet")
            .hint("under systemd the lines are in the journal too: journalctl -u barnacle; or say --state-dir"));
    }
    let kept: Vec<_> = found.into_iter().filter(|line| is_wanted(line, args.level)).collect();
    shown.lines(kept.get(kept.len().saturating_sub(args.lines)..).unwrap_or_default())?;
    if !args.follow {
        return Ok(());
    }
    loop {
        clock.sleep(LOOK).await;
        let more = reader.more(&disk).map_err(failed)?;
        shown.lines(&more)?;
    }
}

/// Where the log is, as far as the configuration can be read.
fn log_file(places: &Places, environment: &Environment) -> std::path::PathBuf {
    let configured =
        file::load(&Disk::default(), places, environment).ok().and_then(|loaded| loaded.config.logging.file);
    configured.unwrap_or_else(|| places.log_file(environment))
}

#[cfg(test)]
mod tests {
    use super::super::console::testing;
    use super::*;

    fn line(level: &str, text: &str) -> String {
        json!({"0": text, "_meta": {"name": "{\"subsystem\":\"net\"}", "logLevelName": level}, "time": "T"}).to_string()
    }

    #[test]
    fn lines_are_shown_by_level_and_none_twice_after_a_reset() {
        let (mut console, out, _) = testing::console(false);
        let mut shown = Shown { level: Some(Level::Warn), json: false, console: &mut console, last: None };
        let first = [line("INFO", "a"), line("WARN", "b")];
        shown.lines(&first).unwrap();
        shown.lines_after_reset(&[first[1].clone(), line("ERROR", "c"), "odd".to_owned()]).unwrap();
        shown.lines_after_reset(&[line("ERROR", "d")]).unwrap();
        assert_eq!(out.text(), "T WARN  net: b\nT ERROR net: c\nodd\nT ERROR net: d\n");
    }
}
