//! `barnacle call`: one request, its answer as JSON.

use std::rc::Rc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::args::Call;
use super::client::{Client, Patience};
use super::client_error::{Awaited, ClientError, Refusal};
use super::connection::Target;
use super::console::Console;
use super::exit::Failure;
use super::input;
use super::json::{Layout, laid_out};
use super::table::Table;
use crate::rpc::describe;
use crate::sys::Clock;

/// How long an answer is waited for, unless `--timeout` says so.
const ANSWER: Duration = Duration::from_secs(30);
/// How long a result is waited for after `accepted`: an agent's own limit of 600 s, and a minute.
const RESULT: Duration = Duration::from_secs(660);

/// Makes the call and prints the answer.
///
/// # Errors
/// What went wrong, with the exit code.
pub async fn call(args: &Call, target: &Target, clock: &Rc<dyn Clock>, console: &mut Console) -> Result<(), Failure> {
    if args.list {
        return list(console);
    }
    let words: Vec<&str> = args.words.iter().map(String::as_str).collect();
    let (method, params) = match words.as_slice() {
        [] => return Err(Failure::usage("which method?").hint("`barnacle call --list` lists them all")),
        [method] => (*method, parse("{}")?),
        [method, "-"] => (*method, parse(&input::all_of_stdin()?)?),
        [method, text] => (*method, parse(text)?),
        [_, _, extra, ..] => {
            return Err(Failure::usage(format!("{extra:?} is one argument too many"))
                .hint("the params are one argument: put single quotes around the JSON"));
        }
    };
    let explain = |error: ClientError| error.explain(target);
    let mut client = Client::connect(clock, target, Patience::default()).await.map_err(explain)?;
    let outcome = exchange(&mut client, method, args, &params, target.timeout).await.map_err(explain)?;
    let outcome = outcome.map_err(|refusal| refusal.explain_call(&client.hello().features.methods));
    client.close().await;
    let layout = if console.out_is_terminal() && !args.compact { Layout::Indented } else { Layout::OneLine };
    console.print(&format!("{}\n", laid_out(outcome?.get(), layout)))
}

async fn exchange(
    client: &mut Client,
    method: &str,
    args: &Call,
    params: &RawValue,
    timeout: Option<Duration>,
) -> Result<Result<Box<RawValue>, Refusal>, ClientError> {
    let id = client.request(method, params).await?;
    let mut limit = timeout.unwrap_or(ANSWER);
    let clock = client.clock();
    let mut deadline = clock.elapsed().saturating_add(limit);
    loop {
        let answer = clock.before(deadline, client.answer(&id)).await;
        let outcome = answer.map_err(|_| ClientError::Timeout(Awaited::Answer, limit))??;
        match &outcome {
            Ok(payload) if !args.first && is_accepted(payload) => {
                if timeout.is_none() {
                    limit = RESULT;
                    deadline = clock.elapsed().saturating_add(limit);
                }
            }
            Ok(_) | Err(_) => return Ok(outcome),
        }
    }
}

/// Every method of this program, from the table.
fn list(console: &mut Console) -> Result<(), Failure> {
    let mut table = Table::new(&["METHOD", "NEEDS", "DOES"]);
    for row in crate::methods::GROUPS.iter().flat_map(|group| group.iter()) {
        let aliases: String = row.aliases.iter().map(|alias| format!(" = {alias}")).collect();
        let needs = describe::access(row.access).replace('`', "");
        table.row(vec![Some(format!("{}{aliases}", row.name)), Some(needs), Some(row.doc.to_owned())]);
    }
    table.print(console)
}

/// Whether a second answer follows (methods.md 3.2).
fn is_accepted(payload: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct Accepted<'a> {
        #[serde(borrow)]
        status: Option<std::borrow::Cow<'a, str>>,
    }
    serde_json::from_str::<Accepted<'_>>(payload.get())
        .is_ok_and(|payload| payload.status.as_deref() == Some("accepted"))
}

fn parse(text: &str) -> Result<Box<RawValue>, Failure> {
    serde_json::from_str(text).map_err(|error| {
        Failure::usage(format!("the params are not JSON: {error}"))
            .hint(r#"names and texts need double quotes, and the shell single ones around it all: '{"limit":5}'"#)
    })
}

#[cfg(test)]
#[path = "call_tests.rs"]
mod tests;
