//! The configuration: kept as its owner wrote it, but for what this gateway can't read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::{Item, Plan};
use crate::config::{Config, Problem, Reading, file};
use crate::limits::CONFIG_BYTES;
use crate::sys::disk::Disk;
use crate::sys::{Files as _, host};

/// Rounds of taking out what can't be read; each finds what the one before hid.
const ROUNDS: usize = 20;
/// Where the original keeps the workspace when its configuration names none, below the home directory.
const WORKSPACES: [&str; 2] = ["clawd", ".openclaw/workspace"];

pub(super) fn plan(plan: &mut Plan, config: Option<&Path>, env: &BTreeMap<String, String>) {
    let Some(from) = config else {
        plan.items.push(Item::Note("configuration: there is none; the defaults hold".to_owned()));
        return;
    };
    let name = from.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let text = match Disk::default().read(from, CONFIG_BYTES).map(String::from_utf8) {
        Ok(Ok(text)) => text,
        Ok(Err(_)) => return plan.items.push(Item::Not(format!("configuration: {name} is not UTF-8 text"))),
        Err(error) => return plan.items.push(Item::Not(format!("configuration: {name}: {error}"))),
    };
    let mut notes = Vec::new();
    match adapted(plan, from, text, env, &mut notes) {
        Ok((text, included)) => {
            let to = plan.places.config_file.clone();
            if plan.merge && host::is_there(&to) {
                plan.items.push(Item::Same(format!("configuration: {} stays as it is", to.display())));
                return;
            }
            plan.write(to, text.into_bytes(), "configuration, with its comments");
            copy_included(plan, from, &included);
            plan.items.extend(notes);
        }
        Err(why) => plan.items.push(Item::Not(format!("configuration: {why}"))),
    }
}

/// The text as this gateway can read it, and the files that it includes.
fn adapted(
    plan: &mut Plan,
    from: &Path,
    mut text: String,
    env: &BTreeMap<String, String>,
    notes: &mut Vec<Item>,
) -> Result<(String, Vec<PathBuf>), String> {
    let variables = variables(&plan.source);
    let home = env.get("HOME").map(PathBuf::from);
    let mut patch = Map::new();
    let reading = read(from, &text, env);
    if let Some(whole) =
        reading.outcome.as_ref().err().and_then(|problems| problems.iter().find(|one| one.key.is_empty()))
    {
        return Err(format!("{whole}; mend it there and import again"));
    }
    let parsed = reading.parsed;
    if !variables.is_empty() {
        let names = variables.keys().cloned().collect::<Vec<_>>().join(", ");
        patch.insert("env".into(), json!({"vars": variables}));
        notes.push(Item::Note(format!("from its .env into env.vars of the configuration: {names}")));
    }
    for (name, key) in keys(plan, notes) {
        if env.contains_key(&name) {
            continue;
        }
        notes.push(Item::Note(format!("a key of a login profile into env.vars.{name}")));
        let vars = patch.entry("env").or_insert_with(|| json!({"vars": {}}));
        if let Some(vars) = vars.get_mut("vars").and_then(Value::as_object_mut) {
            vars.entry(name).or_insert_with(|| key.into());
        }
    }
    if parsed.pointer("/agents/defaults/workspace").or_else(|| parsed.pointer("/agent/workspace")).is_none() {
        let usual = home.iter().flat_map(|home| WORKSPACES.iter().map(|dir| home.join(dir)));
        let beside = std::iter::once(plan.source.join("workspace"));
        if let Some(dir) = beside.chain(usual).find(|dir| host::is_there(dir)) {
            patch.insert("agents".into(), json!({"defaults": {"workspace": dir.display().to_string()}}));
            notes.push(Item::Note(format!("the workspace stays in {}: agents.defaults.workspace", dir.display())));
        }
    }
    let people = people(&plan.source, &parsed, notes);
    if !people.is_empty() {
        patch.insert("channels".into(), Value::Object(people));
    }
    if !patch.is_empty() {
        text = Config::patched(&text, &patch)?;
    }
    for _ in 0..ROUNDS {
        let reading = read(from, &text, env);
        let problems = match reading.outcome {
            Ok(config) => {
                notes.extend(
                    reading.warnings.iter().map(|warning| Item::Note(format!("{}: {}", warning.key, warning.message))),
                );
                notes.push(Item::Note(format!(
                    "port {}: the other gateway must be stopped, and not start again at boot, before this one starts",
                    config.gateway.port
                )));
                return Ok((text, reading.included));
            }
            Err(problems) => problems,
        };
        let removed = removal(&problems, &reading.parsed).ok_or_else(|| {
            let first = problems.first().map(ToString::to_string).unwrap_or_default();
            format!("{first}; mend it there and import again")
        })?;
        notes.extend(
            problems.iter().map(|problem| Item::Not(format!("configuration: {}: {}", problem.key, problem.message))),
        );
        text = Config::patched(&text, &removed)?;
    }
    Err("it has too many keys that this gateway can't read".to_owned())
}

fn read(from: &Path, text: &str, env: &BTreeMap<String, String>) -> Reading {
    file::read_text(&Disk::default(), from, from, text, env)
}

/// A merge patch that takes out what the problems are about; `None` when one of them can't be taken out.
fn removal(problems: &[Problem], parsed: &Value) -> Option<Map<String, Value>> {
    let mut rest = parsed.clone();
    let mut patch = Value::Object(Map::new());
    for problem in problems {
        let path: Vec<&str> = problem.key.split('.').filter(|part| !part.is_empty()).collect();
        // Up to the first list: a patch replaces a list as a whole.
        let list = (0..path.len()).find(|at| path.get(*at).is_some_and(|part| part.parse::<usize>().is_ok()));
        let is_gone = take_out(&mut rest, &path);
        if !is_gone || path.is_empty() {
            return None;
        }
        let upto = path.get(..list.unwrap_or(path.len()))?;
        let value = if list.is_some() {
            upto.iter().try_fold(&rest, |value, part| value.get(part))?.clone()
        } else {
            Value::Null
        };
        let mut place = &mut patch;
        for part in upto {
            place = place.as_object_mut()?.entry((*part).to_owned()).or_insert_with(|| json!({}));
            if place.is_null() {
                break;
            }
        }
        *place = value;
    }
    patch.as_object().cloned()
}

/// Removes what is at that path; tells whether something was there.
fn take_out(value: &mut Value, path: &[&str]) -> bool {
    let Some((first, rest)) = path.split_first() else { return false };
    if rest.is_empty() {
        return match value {
            Value::Object(map) => map.remove(*first).is_some(),
            Value::Array(list) => match first.parse::<usize>() {
                Ok(index) if index < list.len() => {
                    list.remove(index);
                    true
                }
                _ => false,
            },
            _ => false,
        };
    }
    let next = match value {
        Value::Object(map) => map.get_mut(*first),
        Value::Array(list) => first.parse::<usize>().ok().and_then(|index| list.get_mut(index)),
        _ => None,
    };
    next.is_some_and(|next| take_out(next, rest))
}

/// Whoever was let in by a code (`credentials/CHANNEL-allowFrom.json`), for the configured channels: a patch of
/// `channels.CHANNEL.allowFrom`.
fn people(source: &Path, parsed: &Value, notes: &mut Vec<Item>) -> Map<String, Value> {
    let dir = source.join("credentials");
    let mut patch = Map::new();
    for entry in Disk::default().list(&dir).unwrap_or_default() {
        let Some(channel) = entry.name.strip_suffix("-allowFrom.json") else { continue };
        let Some(settings) = parsed.pointer("/channels").and_then(|channels| channels.get(channel)) else { continue };
        let bytes = Disk::default().read(&dir.join(&entry.name), CONFIG_BYTES).unwrap_or_default();
        let stored: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let list = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
        let mut allowed = list(settings.get("allowFrom"));
        let before = allowed.len();
        for one in list(stored.get("allowFrom")) {
            let is_known =
                allowed.iter().any(|known| known.to_string().trim_matches('"') == one.to_string().trim_matches('"'));
            if !is_known {
                allowed.push(one);
            }
        }
        if allowed.len() > before {
            notes.push(Item::Note(format!(
                "{} people who were let in: channels.{channel}.allowFrom",
                allowed.len() - before
            )));
            patch.insert(channel.to_owned(), json!({"allowFrom": allowed}));
        }
    }
    patch
}

fn copy_included(plan: &mut Plan, from: &Path, included: &[PathBuf]) {
    let dir = from.parent().unwrap_or_else(|| Path::new(""));
    let to = plan.places.config_file.parent().map(Path::to_path_buf).unwrap_or_default();
    for path in included {
        let below = path.strip_prefix(dir).unwrap_or(path);
        match Disk::default().read(path, CONFIG_BYTES) {
            Ok(bytes) => plan.write(to.join(below), bytes, &format!("included configuration {}", below.display())),
            Err(error) => plan.items.push(Item::Not(format!("included configuration {}: {error}", path.display()))),
        }
    }
}

/// `NAME=value` lines of its `.env`.
fn variables(source: &Path) -> Map<String, Value> {
    let bytes = Disk::default().read(&source.join(".env"), CONFIG_BYTES).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let lines =
        text.lines().map(|line| line.trim().trim_start_matches("export ")).filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.trim().to_owned(), value.trim().trim_matches(['"', '\'']).to_owned()))
        .filter(|(name, value)| !name.is_empty() && !value.is_empty())
        .map(|(name, value)| (name, value.into()))
        .collect()
}

/// Keys of the agents' login profiles, by the variable that stands for them; logins by browser stay behind.
fn keys(plan: &mut Plan, notes: &mut Vec<Item>) -> Vec<(String, String)> {
    let agents = plan.source.join("agents");
    let mut found = Vec::new();
    for entry in Disk::default().list(&agents).unwrap_or_default().into_iter().filter(|entry| entry.is_dir) {
        let path = agents.join(&entry.name).join("agent/auth-profiles.json");
        let Ok(bytes) = Disk::default().read(&path, CONFIG_BYTES) else { continue };
        let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        for (id, profile) in value.get("profiles").and_then(Value::as_object).into_iter().flatten() {
            let text = |field: &str| profile.get(field).and_then(Value::as_str).unwrap_or_default();
            if text("type") == "api_key" && !text("key").is_empty() && !text("provider").is_empty() {
                let name = format!("{}_API_KEY", text("provider").to_uppercase().replace(['-', '.'], "_"));
                found.push((name, text("key").to_owned()));
            } else {
                notes.push(Item::Not(format!("login profile {id} of agent {}: only keys can be taken", entry.name)));
            }
        }
    }
    found
}
