//! `barnacle devices`: who waits for approval, who may connect, and the ends of both.

use std::rc::Rc;

use serde_json::{Value, json};

use super::args::Devices;
use super::connection::Target;
use super::console::Console;
use super::exit::{Exit, Failure};
use super::health::{ask, print_json};
use super::summary::{duration, text};
use super::table::Table;
use crate::sys::Clock;

/// What can be done.
pub const ACTIONS: &str = "list, approve, reject, revoke, rotate, remove";

/// Does it and tells what came of it.
///
/// # Errors
/// What went wrong, with the exit code.
pub async fn devices(
    args: &Devices,
    target: &Target,
    clock: &Rc<dyn Clock>,
    console: &mut Console,
) -> Result<(), Failure> {
    let mut words = args.words.iter().map(String::as_str);
    let (action, id) = (words.next().unwrap_or("list"), words.next());
    if let Some(extra) = words.next() {
        return Err(Failure::usage(format!("devices {action}: {extra:?} is one argument too many")));
    }
    if action == "list" {
        return list(args, target, clock, console).await;
    }
    if !ACTIONS.split(", ").any(|known| known == action) {
        return Err(Failure::usage(format!("devices: expected one of {ACTIONS}, found {action:?}")));
    }
    let known = known(target, clock).await?;
    let (method, params) = match action {
        "approve" | "reject" => {
            let request = waiting(&known, id, |_| true)?;
            (format!("device.pair.{action}"), json!({"requestId": request}))
        }
        "remove" => ("device.pair.remove".to_owned(), json!({"deviceId": paired(&known, id)?.0})),
        _ => {
            let (device, roles) = paired(&known, id)?;
            let role = match (&args.role, roles.as_slice()) {
                (Some(role), _) => role.clone(),
                (None, [role]) => role.clone(),
                (None, _) => {
                    return Err(Failure::usage(format!("it has the roles {}: say --role", roles.join(", "))));
                }
            };
            (format!("device.token.{action}"), json!({"deviceId": device, "role": role}))
        }
    };
    let (_, payload) = ask(target, clock, &method, &params).await?;
    if args.json {
        return print_json(console, &payload);
    }
    let value: Value = serde_json::from_str(payload.get()).unwrap_or_default();
    let device = text(&value, "/device/deviceId").or_else(|| text(&value, "/deviceId")).unwrap_or_default();
    console.print(&match action {
        "approve" => format!("approved: device {} may connect now\n", short(&device)),
        "reject" => format!("rejected: device {} has to ask again\n", short(&device)),
        "revoke" => format!("revoked: device {} is cut off and has to ask again\n", short(&device)),
        "remove" => format!("removed: device {} is forgotten\n", short(&device)),
        // The only place where it is ever shown.
        _ => format!("the new token of device {}: {}\n", short(&device), text(&value, "/token").unwrap_or_default()),
    })
}

async fn list(args: &Devices, target: &Target, clock: &Rc<dyn Clock>, console: &mut Console) -> Result<(), Failure> {
    let (_, payload) = ask(target, clock, "device.pair.list", &json!({})).await?;
    if args.json {
        return print_json(console, &payload);
    }
    let known: Value = serde_json::from_str(payload.get()).unwrap_or_default();
    let now_ms = clock.now_ms();
    let mut table = Table::new(&["WAITING", "NAME", "ROLE", "SCOPES", "FROM", "WHY", "SINCE"]);
    for request in rows(&known, "pending") {
        table.row(vec![
            text(request, "/requestId"),
            name(request),
            text(request, "/role"),
            words(request, "scopes"),
            text(request, "/remoteIp"),
            text(request, "/reason"),
            ago(request, "ts", now_ms),
        ]);
    }
    if table.is_empty() {
        console.print("No device waits for approval.\n")?;
    } else {
        table.print(console)?;
        console.print("Approve with: barnacle devices approve ID (its first characters are enough)\n")?;
    }
    let mut table =
        Table::new(&["DEVICE", "NAME", "PLATFORM", "ROLES", "SCOPES", "LAST ADDRESS", "APPROVED", "TOKENS"]);
    for device in rows(&known, "paired") {
        table.row(vec![
            text(device, "/deviceId").map(|id| short(&id).to_owned()),
            name(device),
            text(device, "/platform"),
            words(device, "roles"),
            words(device, "scopes"),
            text(device, "/remoteIp"),
            ago(device, "approvedAtMs", now_ms),
            tokens(device),
        ]);
    }
    if table.is_empty() {
        return console.print("No device is paired.\n");
    }
    console.print("\n")?;
    table.print(console)
}

/// The answer of `device.pair.list`.
pub(super) async fn known(target: &Target, clock: &Rc<dyn Clock>) -> Result<Value, Failure> {
    let (_, payload) = ask(target, clock, "device.pair.list", &json!({})).await?;
    Ok(serde_json::from_str(payload.get()).unwrap_or_default())
}

/// The id of the waiting request that `wanted` begins, or of the only one.
pub(super) fn waiting(
    known: &Value,
    wanted: Option<&str>,
    is_meant: impl Fn(&Value) -> bool,
) -> Result<String, Failure> {
    let requests: Vec<&Value> = rows(known, "pending").filter(|request| is_meant(request)).collect();
    let id = |request: &Value| text(request, "/requestId").unwrap_or_default();
    let found: Vec<String> = requests
        .iter()
        .filter(|request| {
            wanted.is_none_or(|wanted| {
                id(request).starts_with(wanted) || text(request, "/deviceId").is_some_and(|id| id.starts_with(wanted))
            })
        })
        .map(|request| id(request))
        .collect();
    match (found.as_slice(), wanted) {
        ([one], _) => Ok(one.clone()),
        ([], None) => Err(Failure::new(Exit::Failed, "nothing waits for approval")
            .hint("a request lasts five minutes; let the device connect once more")),
        ([], Some(wanted)) => Err(Failure::new(Exit::Failed, format!("no waiting request begins with {wanted:?}"))
            .hint("a request lasts five minutes; `barnacle devices` lists what waits")),
        (several, _) => {
            Err(Failure::usage(format!("{} requests wait: say which one", several.len())).hint("barnacle devices"))
        }
    }
}

/// Id and roles of the paired device that `wanted` names or begins.
fn paired(known: &Value, wanted: Option<&str>) -> Result<(String, Vec<String>), Failure> {
    let Some(wanted) = wanted else {
        return Err(Failure::usage("which device? its id or its name").hint("barnacle devices"));
    };
    let id = |device: &Value| text(device, "/deviceId").unwrap_or_default();
    let found: Vec<&Value> = rows(known, "paired")
        .filter(|device| id(device).starts_with(wanted) || name(device).as_deref() == Some(wanted))
        .collect();
    match found.as_slice() {
        [device] => {
            let tokens = device.get("tokens").and_then(Value::as_array).into_iter().flatten();
            Ok((id(device), tokens.filter_map(|token| text(token, "/role")).collect()))
        }
        [] => Err(Failure::new(Exit::Failed, format!("no paired device is called {wanted:?} or begins with it"))
            .hint("barnacle devices")),
        several => Err(Failure::usage(format!("{wanted:?} fits {} devices: give more of the id", several.len()))),
    }
}

fn rows<'v>(known: &'v Value, list: &str) -> impl Iterator<Item = &'v Value> + use<'v> {
    known.get(list).and_then(Value::as_array).into_iter().flatten()
}

fn name(row: &Value) -> Option<String> {
    text(row, "/label").or_else(|| text(row, "/displayName")).or_else(|| text(row, "/clientId"))
}

fn words(row: &Value, list: &str) -> Option<String> {
    let words = row.get(list)?.as_array()?.iter().filter_map(Value::as_str);
    Some(words.map(|word| word.trim_start_matches("operator.")).collect::<Vec<_>>().join(" "))
}

fn tokens(device: &Value) -> Option<String> {
    let tokens = device.get("tokens")?.as_array()?.iter();
    let shown = tokens.filter_map(|token| {
        let role = text(token, "/role")?;
        Some(if token.get("revokedAtMs").is_some() { format!("{role} (revoked)") } else { role })
    });
    Some(shown.collect::<Vec<_>>().join(" "))
}

fn ago(row: &Value, field: &str, now_ms: u64) -> Option<String> {
    let at = row.get(field)?.as_u64()?;
    Some(format!("{} ago", duration(now_ms.saturating_sub(at))))
}

/// Enough of a device's id to name it.
pub(super) fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

#[cfg(test)]
#[path = "devices_tests.rs"]
mod tests;
