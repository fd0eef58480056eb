//! `barnacle nodes`: the phones and machines that lend their commands.

use std::rc::Rc;

use serde_json::{Value, json};

use super::args::Nodes;
use super::connection::Target;
use super::console::Console;
use super::devices::{known, short, waiting};
use super::exit::{Exit, Failure};
use super::health::{ask, print_json};
use super::summary::text;
use super::table::Table;
use crate::sys::Clock;

/// What can be done.
pub const ACTIONS: &str = "list, describe, invoke, rename, approve, reject";

/// Does it and tells what came of it.
///
/// # Errors
/// What went wrong, with the exit code.
pub async fn nodes(args: &Nodes, target: &Target, clock: &Rc<dyn Clock>, console: &mut Console) -> Result<(), Failure> {
    let mut rest = args.words.iter().map(String::as_str);
    let action = rest.next().unwrap_or("list");
    let (method, params) = match action {
        "list" => return list(args, target, clock, console).await,
        "approve" | "reject" => {
            let is_node = |request: &Value| text(request, "/role").as_deref() == Some("node");
            let request = waiting(&known(target, clock).await?, rest.next(), is_node)?;
            (format!("node.pair.{action}"), json!({"requestId": request}))
        }
        "describe" => ("node.describe".to_owned(), json!({"nodeId": node(target, clock, rest.next()).await?})),
        "rename" => {
            let id = node(target, clock, rest.next()).await?;
            let name = rest.next().ok_or_else(|| Failure::usage("nodes rename NODE NAME: the name is missing"))?;
            ("node.rename".to_owned(), json!({"nodeId": id, "displayName": name}))
        }
        "invoke" => {
            let id = node(target, clock, rest.next()).await?;
            let command = rest.next().ok_or_else(|| Failure::usage("nodes invoke NODE COMMAND: which command?"))?;
            let params = rest.next().map(parse).transpose()?;
            ("node.invoke".to_owned(), invocation(&id, command, params, clock, target))
        }
        _ => return Err(Failure::usage(format!("nodes: expected one of {ACTIONS}, found {action:?}"))),
    };
    if let Some(extra) = rest.next() {
        return Err(Failure::usage(format!("nodes {action}: {extra:?} is one argument too many")));
    }
    let (_, payload) = ask(target, clock, &method, &params).await?;
    if args.json || matches!(action, "describe" | "invoke") {
        return print_json(console, &payload);
    }
    let done = if action == "rename" { "renamed" } else { "done" };
    console.print(&format!("{done}\n"))
}

/// Each call is a new one: its key never repeats.
fn invocation(id: &str, command: &str, params: Option<Value>, clock: &Rc<dyn Clock>, target: &Target) -> Value {
    let key = format!("cli-{}-{}", std::process::id(), clock.now_ms());
    let mut invocation = json!({"nodeId": id, "command": command, "idempotencyKey": key});
    if let Value::Object(fields) = &mut invocation {
        fields.extend(params.map(|params| ("params".to_owned(), params)));
        let timeout = target.timeout.map(|limit| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX));
        fields.extend(timeout.map(|ms| ("timeoutMs".to_owned(), ms.into())));
    }
    invocation
}

fn parse(text: &str) -> Result<Value, Failure> {
    serde_json::from_str(text).map_err(|error| Failure::usage(format!("the params are not JSON: {error}")))
}

async fn list(args: &Nodes, target: &Target, clock: &Rc<dyn Clock>, console: &mut Console) -> Result<(), Failure> {
    let (_, payload) = ask(target, clock, "node.list", &json!({})).await?;
    if args.json {
        return print_json(console, &payload);
    }
    let nodes: Value = serde_json::from_str(payload.get()).unwrap_or_default();
    let mut table = Table::new(&["NODE", "NAME", "PLATFORM", "STATE", "COMMANDS"]);
    for node in nodes.get("nodes").and_then(Value::as_array).into_iter().flatten() {
        let is = |field: &str| node.get(field).and_then(Value::as_bool).unwrap_or(false);
        let state = match (is("connected"), is("paired")) {
            (true, true) => "connected",
            (true, false) => "connected, not paired",
            (false, _) => "away",
        };
        let commands = node.get("commands").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        table.row(vec![
            text(node, "/nodeId").map(|id| short(&id).to_owned()),
            text(node, "/displayName"),
            text(node, "/platform"),
            Some(state.to_owned()),
            Some(commands.collect::<Vec<_>>().join(" ")),
        ]);
    }
    if table.is_empty() {
        return console
            .print("No node is paired or connected; `barnacle devices` lists those that wait for approval.\n");
    }
    table.print(console)
}

/// The id of the node that `wanted` names, or that begins with it.
async fn node(target: &Target, clock: &Rc<dyn Clock>, wanted: Option<&str>) -> Result<String, Failure> {
    let wanted = wanted.ok_or_else(|| Failure::usage("which node? its id or its name").hint("barnacle nodes"))?;
    let (_, payload) = ask(target, clock, "node.list", &json!({})).await?;
    let nodes: Value = serde_json::from_str(payload.get()).unwrap_or_default();
    let nodes = nodes.get("nodes").and_then(Value::as_array).into_iter().flatten();
    let is_meant = |node: &&Value| {
        text(node, "/nodeId").is_some_and(|id| id.starts_with(wanted))
            || text(node, "/displayName").as_deref() == Some(wanted)
    };
    let found: Vec<String> = nodes.filter(is_meant).filter_map(|node| text(node, "/nodeId")).collect();
    match found.as_slice() {
        [id] => Ok(id.clone()),
        [] => Err(Failure::new(Exit::Failed, format!("no node is called {wanted:?} or begins with it"))
            .hint("barnacle nodes")),
        several => Err(Failure::usage(format!("{wanted:?} fits {} nodes: give more of the id", several.len()))),
    }
}

#[cfg(test)]
#[path = "nodes_tests.rs"]
mod tests;
