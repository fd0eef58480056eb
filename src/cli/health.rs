//! `barnacle health`: is the gateway well? The exit code says it too.

use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;
use serde_json::value::RawValue;

use super::args::Health;
use super::client::{Client, Hello, Patience};
use super::connection::Target;
use super::console::Console;
use super::exit::{Exit, Failure};
use super::json::{Layout, laid_out};
use super::summary::{Summary, text};
use crate::sys::Clock;

/// How long an answer is waited for, unless `--timeout` says so.
const ANSWER: Duration = Duration::from_secs(10);

/// Asks and tells. A degraded gateway is a failure without a further word.
///
/// # Errors
/// What went wrong, with the exit code.
pub async fn health(
    args: &Health,
    target: &Target,
    clock: &Rc<dyn Clock>,
    console: &mut Console,
) -> Result<(), Failure> {
    let (hello, payload) = ask(target, clock, "health", &serde_json::json!({})).await?;
    let value: Value = serde_json::from_str(payload.get()).unwrap_or_default();
    if args.json {
        print_json(console, &payload)?;
    } else {
        console.print(&told(&hello, &value))?;
    }
    if is_well(&value) { Ok(()) } else { Err(Failure::quiet(Exit::Failed)) }
}

/// Connects, asks one method, and hangs up.
pub(super) async fn ask(
    target: &Target,
    clock: &Rc<dyn Clock>,
    method: &str,
    params: &Value,
) -> Result<(Hello, Box<RawValue>), Failure> {
    let explain = |error: super::client_error::ClientError| error.explain(target);
    let mut client = Client::connect(clock, target, Patience::default()).await.map_err(explain)?;
    let limit = target.timeout.unwrap_or(ANSWER);
    let answer = client.ask(method, params, limit).await.map_err(explain)?;
    let hello = client.hello().clone();
    client.close().await;
    let payload = answer.map_err(|refusal| refusal.explain_call(&hello.features.methods))?;
    Ok((hello, payload))
}

/// Prints a payload, indented on a terminal.
pub(super) fn print_json(console: &mut Console, payload: &RawValue) -> Result<(), Failure> {
    let layout = if console.out_is_terminal() { Layout::Indented } else { Layout::OneLine };
    console.print(&format!("{}\n", laid_out(payload.get(), layout)))
}

/// A gateway that doesn't say otherwise is well.
fn is_well(payload: &Value) -> bool {
    payload.get("ok").and_then(Value::as_bool).unwrap_or(true)
        && payload.get("status").and_then(Value::as_str).is_none_or(|status| status == "ok")
}

fn told(hello: &Hello, payload: &Value) -> String {
    let mut summary = Summary::of(hello);
    let status =
        text(payload, "/status").unwrap_or_else(|| if is_well(payload) { "ok" } else { "degraded" }.to_owned());
    summary.line("health", Some(status));
    summary.common_lines(payload);
    summary.line("channels", channels(payload));
    summary.text()
}

/// Channels by their labels, in the gateway's order.
fn channels(payload: &Value) -> Option<String> {
    let order = payload.get("channelOrder")?.as_array()?;
    let label = |id: &Value| {
        let id = id.as_str()?;
        let labels = payload.get("channelLabels");
        Some(labels.and_then(|labels| labels.get(id)?.as_str()).unwrap_or(id).to_owned())
    };
    let labels: Vec<String> = order.iter().filter_map(label).collect();
    (!labels.is_empty()).then(|| labels.join(", "))
}

#[cfg(test)]
#[path = "health_tests.rs"]
mod tests;
