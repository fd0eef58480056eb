//! Sessions, jobs, devices and choices: files of JSON whose form is the same here.

use std::path::Path;

use serde_json::{Map, Value};

use super::{Item, Plan};
use crate::limits::SESSIONS_FILE_BYTES;
use crate::sys::Files as _;
use crate::sys::disk::Disk;
use crate::sys::host;

/// Files that are one object by key, and what people call their content.
const LEDGERS: [(&str, &str); 3] = [
    ("devices/paired.json", "paired devices with their tokens"),
    ("nodes/paired.json", "paired nodes"),
    ("exec-approvals.json", "what agents may run without asking"),
];
/// Files that are taken as they are.
const CHOICES: [(&str, &str); 2] =
    [("settings/voicewake.json", "words that wake a device"), ("settings/tts.json", "choices about spoken answers")];
/// The job file.
const JOBS: &str = "cron/jobs.json";

pub(super) fn plan(plan: &mut Plan) {
    sessions(plan);
    for (path, what) in LEDGERS {
        let Some(Value::Object(theirs)) = read(plan, path, what) else { continue };
        let count = if path.ends_with("paired.json") { format!("{} {what}", theirs.len()) } else { what.to_owned() };
        if !theirs.is_empty() {
            object(plan, path, theirs, &count);
        }
    }
    if let Some(Value::Object(mut theirs)) = read(plan, JOBS, "jobs") {
        let jobs = theirs.get("jobs").and_then(Value::as_array).cloned().unwrap_or_default();
        if plan.merge && host::is_there(&plan.places.state_dir.join(JOBS)) {
            return merge_jobs(plan, &jobs);
        }
        theirs.insert("jobs".into(), Value::Array(jobs.clone()));
        if !jobs.is_empty() {
            let bytes = pretty(&Value::Object(theirs));
            plan.write(plan.places.state_dir.join(JOBS), bytes, &format!("{} jobs", jobs.len()));
        }
    }
    for (path, what) in CHOICES {
        let to = plan.places.state_dir.join(path);
        let Some(value) = read(plan, path, what) else { continue };
        if plan.merge && host::is_there(&to) {
            plan.items.push(Item::Same(format!("{what}: ours stay")));
        } else {
            plan.write(to, pretty(&value), what);
        }
    }
}

/// The index and the conversations of each agent.
fn sessions(plan: &mut Plan) {
    let agents = plan.source.join("agents");
    for entry in Disk::default().list(&agents).unwrap_or_default().into_iter().filter(|entry| entry.is_dir) {
        let below = format!("agents/{}/sessions", entry.name);
        let index = format!("{below}/sessions.json");
        let dir = plan.source.join(&below);
        if let Some(Value::Object(mut theirs)) = read(plan, &index, &format!("sessions of {}", entry.name)) {
            for session in theirs.values_mut().filter_map(Value::as_object_mut) {
                settle(session, &dir);
            }
            let what = format!("{} sessions of agent {}", theirs.len(), entry.name);
            if !theirs.is_empty() {
                object(plan, &index, theirs, &what);
            }
        }
        let is_conversation = |path: &Path| path.to_string_lossy().contains(".jsonl");
        let to = plan.places.state_dir.join(&below);
        plan.tree(&dir, &to, &format!("conversations of agent {}", entry.name), is_conversation);
        for name in ["auth-profiles.json", "models.json"] {
            let is_there = host::is_there(&agents.join(&entry.name).join("agent").join(name));
            if is_there && name == "models.json" {
                plan.items.push(Item::Not(format!("agents/{}/agent/{name}: made from the configuration", entry.name)));
            }
        }
    }
}

/// An entry of the index without what belongs to the other directory.
fn settle(session: &mut Map<String, Value>, dir: &Path) {
    session.remove("skillsSnapshot");
    let file = session.get("sessionFile").and_then(Value::as_str).map(Path::new);
    let name = file.filter(|file| file.parent() == Some(dir)).and_then(Path::file_name);
    if let Some(name) = name.map(|name| name.to_string_lossy().into_owned()) {
        session.insert("sessionFile".into(), name.into());
    }
}

/// Plans an object; with one that is there, when merging, theirs under keys that ours doesn't have.
fn object(plan: &mut Plan, path: &str, theirs: Map<String, Value>, what: &str) {
    let to = plan.places.state_dir.join(path);
    let ours = if plan.merge { ours(&to) } else { None };
    let Some(Value::Object(mut ours)) = ours else {
        return plan.write(to, pretty(&Value::Object(theirs)), what);
    };
    let before = ours.len();
    for (key, value) in theirs {
        ours.entry(key).or_insert(value);
    }
    let added = ours.len() - before;
    add(plan, to.as_path(), &Value::Object(ours), added, what);
}

fn merge_jobs(plan: &mut Plan, theirs: &[Value]) {
    let to = plan.places.state_dir.join(JOBS);
    let Some(mut ours) = ours(&to) else {
        return plan.items.push(Item::Not("jobs: those that are there can't be read".to_owned()));
    };
    let Some(jobs) = ours.get_mut("jobs").and_then(Value::as_array_mut) else {
        return plan.items.push(Item::Not("jobs: those that are there can't be read".to_owned()));
    };
    let fresh: Vec<_> =
        theirs.iter().filter(|job| !jobs.iter().any(|own| own.get("id") == job.get("id"))).cloned().collect();
    let added = fresh.len();
    jobs.extend(fresh);
    add(plan, &to, &ours, added, "jobs");
}

fn add(plan: &mut Plan, to: &Path, merged: &Value, added: usize, what: &str) {
    if added == 0 {
        return plan.items.push(Item::Same(what.to_owned()));
    }
    plan.items.push(Item::Take(format!("{what}: {added} that aren't there yet")));
    plan.work.push(super::Work::Write(to.to_path_buf(), pretty(merged)));
}

fn ours(path: &Path) -> Option<Value> {
    serde_json::from_slice(&Disk::default().read(path, SESSIONS_FILE_BYTES).ok()?).ok()
}

/// A file of the other directory; one that can't be read is told.
fn read(plan: &mut Plan, path: &str, what: &str) -> Option<Value> {
    let file = plan.source.join(path);
    let bytes = match Disk::default().read(&file, SESSIONS_FILE_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => {
            plan.items.push(Item::Not(format!("{what}: {path}: {error}")));
            return None;
        }
    };
    match serde_json::from_slice::<Value>(&bytes) {
        Ok(value @ Value::Object(_)) => Some(value),
        Ok(_) => {
            plan.items.push(Item::Not(format!("{what}: {path} is no JSON object")));
            None
        }
        Err(error) => {
            plan.items.push(Item::Not(format!("{what}: {path} can't be read: {error}")));
            None
        }
    }
}

fn pretty(value: &Value) -> Vec<u8> {
    // A JSON value always has a text.
    let mut bytes = serde_json::to_vec_pretty(value).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}
