//! `barnacle channels`: which services people write over, who waits for the owner's approval, who was let in.

use std::rc::Rc;

use serde_json::{Value, json};

use super::args::Channels;
use super::connection::Target;
use super::console::Console;
use super::exit::{Exit, Failure};
use super::health::{ask, print_json};
use super::summary::{duration, text};
use super::table::Table;
use crate::sys::Clock;

/// What can be done.
pub const ACTIONS: &str = "list, approve, reject, remove, logout";

/// Does it and tells what came of it.
///
/// # Errors
/// What went wrong, with the exit code.
pub async fn channels(
    args: &Channels,
    target: &Target,
    clock: &Rc<dyn Clock>,
    console: &mut Console,
) -> Result<(), Failure> {
    let mut words = args.words.iter().map(String::as_str);
    let (action, what) = (words.next().unwrap_or("list"), words.next());
    if let Some(extra) = words.next() {
        return Err(Failure::usage(format!("channels {action}: {extra:?} is one argument too many")));
    }
    let (method, params) = match action {
        "list" => return list(args, target, clock, console).await,
        "approve" | "reject" => {
            let code = match what {
                Some(code) => code.to_owned(),
                None => only_code(target, clock).await?,
            };
            (format!("channels.pair.{action}"), json!({"code": code}))
        }
        "remove" => ("channels.pair.remove".to_owned(), person(what, args)?),
        "logout" => {
            let channel = what.ok_or_else(|| Failure::usage("channels logout CHANNEL: which one?"))?;
            ("channels.logout".to_owned(), with_account(json!({"channel": channel}), args))
        }
        _ => return Err(Failure::usage(format!("channels: expected one of {ACTIONS}, found {action:?}"))),
    };
    let (_, payload) = ask(target, clock, &method, &params).await?;
    if args.json {
        return print_json(console, &payload);
    }
    let value: Value = serde_json::from_str(payload.get()).unwrap_or_default();
    let who = value.get("person").map(called).unwrap_or_default();
    console.print(&match action {
        "approve" => format!("approved: {who} may write now\n"),
        "reject" => format!("rejected: {who} has to ask again\n"),
        "remove" => format!("removed: {who} has to ask again\n"),
        _ if value.get("cleared").and_then(Value::as_bool) == Some(true) => "logged out\n".to_owned(),
        _ => "nothing to forget: the account was not linked\n".to_owned(),
    })
}

async fn list(args: &Channels, target: &Target, clock: &Rc<dyn Clock>, console: &mut Console) -> Result<(), Failure> {
    let (_, status) = ask(target, clock, "channels.status", &json!({})).await?;
    let (_, people) = ask(target, clock, "channels.pair.list", &json!({})).await?;
    let parse = |payload: &str| serde_json::from_str::<Value>(payload).unwrap_or_default();
    let (status, people) = (parse(status.get()), parse(people.get()));
    if args.json {
        return print_json(console, &json_of(&json!({"status": status, "people": people}))?);
    }
    let mut table = Table::new(&["CHANNEL", "ACCOUNT", "STATE", "PROBLEM"]);
    let accounts = status.get("channelAccounts").and_then(Value::as_object).into_iter().flatten();
    for (channel, account) in
        accounts.flat_map(|(id, list)| list.as_array().into_iter().flatten().map(move |a| (id, a)))
    {
        let is = |field: &str| account.get(field).and_then(Value::as_bool) == Some(true);
        if !is("configured") {
            continue;
        }
        let state = match (is("running"), is("connected")) {
            (true, true) => "connected",
            (true, false) => "connecting",
            _ => "off",
        };
        let problem = text(account, "/lastError");
        table.row(vec![Some(channel.clone()), text(account, "/accountId"), Some(state.to_owned()), problem]);
    }
    if table.is_empty() {
        console.print("No channel is configured; docs/configuration.md lists them under `channels`.\n")?;
    } else {
        table.print(console)?;
    }
    let now_ms = clock.now_ms();
    let mut waiting = Table::new(&["CODE", "CHANNEL", "WHO", "SINCE"]);
    for person in rows(&people, "pending") {
        waiting.row(vec![
            text(person, "/code"),
            text(person, "/channel"),
            Some(called(person)),
            ago(person, "askedAtMs", now_ms),
        ]);
    }
    if !waiting.is_empty() {
        console.print("\n")?;
        waiting.print(console)?;
        console.print("Let somebody in with: barnacle channels approve CODE\n")?;
    }
    let mut known = Table::new(&["LET IN", "CHANNEL", "SINCE"]);
    for person in rows(&people, "approved") {
        known.row(vec![Some(called(person)), text(person, "/channel"), ago(person, "approvedAtMs", now_ms)]);
    }
    if known.is_empty() {
        return Ok(());
    }
    console.print("\n")?;
    known.print(console)
}

/// The code of the only request that waits.
async fn only_code(target: &Target, clock: &Rc<dyn Clock>) -> Result<String, Failure> {
    let (_, payload) = ask(target, clock, "channels.pair.list", &json!({})).await?;
    let people: Value = serde_json::from_str(payload.get()).unwrap_or_default();
    let codes: Vec<String> = rows(&people, "pending").filter_map(|person| text(person, "/code")).collect();
    match codes.as_slice() {
        [code] => Ok(code.clone()),
        [] => Err(Failure::new(Exit::Failed, "nobody waits for approval").hint("a code lasts an hour")),
        several => {
            Err(Failure::usage(format!("{} people wait: say which code", several.len())).hint("barnacle channels"))
        }
    }
}

/// `telegram:77` as params.
fn person(what: Option<&str>, args: &Channels) -> Result<Value, Failure> {
    let split =
        what.and_then(|what| what.split_once(':')).filter(|(channel, id)| !channel.is_empty() && !id.is_empty());
    let (channel, id) = split.ok_or_else(|| Failure::usage("channels remove CHANNEL:ID, such as telegram:77"))?;
    Ok(with_account(json!({"channel": channel, "senderId": id}), args))
}

fn with_account(mut params: Value, args: &Channels) -> Value {
    if let (Value::Object(fields), Some(account)) = (&mut params, &args.account) {
        fields.insert("accountId".into(), account.as_str().into());
    }
    params
}

/// `Ann (telegram:77)`.
fn called(person: &Value) -> String {
    let id =
        format!("{}:{}", text(person, "/channel").unwrap_or_default(), text(person, "/senderId").unwrap_or_default());
    text(person, "/name").map_or_else(|| id.clone(), |name| format!("{name} ({id})"))
}

fn rows<'v>(people: &'v Value, list: &str) -> impl Iterator<Item = &'v Value> + use<'v> {
    people.get(list).and_then(Value::as_array).into_iter().flatten()
}

fn ago(person: &Value, field: &str, now_ms: u64) -> Option<String> {
    let at = person.get(field)?.as_u64()?;
    Some(format!("{} ago", duration(now_ms.saturating_sub(at))))
}

fn json_of(value: &Value) -> Result<Box<serde_json::value::RawValue>, Failure> {
    serde_json::value::to_raw_value(value).map_err(|error| Failure::new(Exit::Failed, error.to_string()))
}

#[cfg(test)]
mod tests {
    use smol::future::zip;

    use super::super::console::testing::console;
    use super::super::fake::Gateway;
    use super::*;
    use crate::sys::clock::RealClock;

    fn asked(words: &[&str], answers: &[(&str, Value)]) -> (Result<(), Failure>, String) {
        let args = Channels { words: words.iter().map(|&word| word.to_owned()).collect(), ..Channels::default() };
        smol::block_on(async {
            let gateway = Gateway::bind().await;
            let (target, clock) = (gateway.target(), Rc::new(RealClock::start()) as Rc<dyn Clock>);
            let (mut console, out, _) = console(false);
            let served = async {
                for (method, answer) in answers {
                    let mut peer = gateway.greet(61_000).await;
                    let request = peer.expect(method).await;
                    peer.reply(&request, answer).await;
                }
            };
            let (outcome, ()) = zip(channels(&args, &target, &clock, &mut console), served).await;
            (outcome, out.text())
        })
    }

    fn people() -> Value {
        json!({
            "pending": [{"channel": "telegram", "accountId": "default", "senderId": "77", "name": "Ann\u{1b}[2J",
                         "code": "ABCD2345", "askedAtMs": 0}],
            "approved": [{"channel": "slack", "accountId": "default", "senderId": "U1", "code": "", "approvedAtMs": 0}],
        })
    }

    #[test]
    fn what_works_and_who_waits_is_shown_with_the_command_that_lets_in() {
        let status = json!({"channelAccounts": {
            "telegram": [{"accountId": "default", "configured": true, "running": true, "connected": true}],
            "slack": [{"accountId": "default", "configured": false}],
        }});
        let (outcome, out) = asked(&[], &[("channels.status", status), ("channels.pair.list", people())]);
        assert_eq!(outcome, Ok(()));
        assert!(out.contains("ABCD2345") && out.contains("barnacle channels approve CODE"), "{out}");
        assert!(out.contains("telegram  default  connected") && !out.contains('\u{1b}'), "{out}");
        assert!(out.contains("slack:U1"), "{out}");
    }

    #[test]
    fn the_only_request_needs_no_code_and_a_person_is_named_with_the_channel() {
        let person = json!({"person": {"channel": "telegram", "senderId": "77", "name": "Ann"}});
        let answers = [("channels.pair.list", people()), ("channels.pair.approve", person.clone())];
        let (outcome, out) = asked(&["approve"], &answers);
        assert_eq!((outcome, out.as_str()), (Ok(()), "approved: Ann (telegram:77) may write now\n"));
        let (outcome, out) = asked(&["remove", "telegram:77"], &[("channels.pair.remove", person)]);
        assert_eq!((outcome, out.as_str()), (Ok(()), "removed: Ann (telegram:77) has to ask again\n"));
        assert_eq!(asked(&["remove", "77"], &[]).0.unwrap_err().exit, Exit::Usage);
        assert_eq!(asked(&["dance"], &[]).0.unwrap_err().exit, Exit::Usage);
    }
}
