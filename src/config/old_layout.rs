//! The layout that older guides show: `agent.model` and other `agent.*` (methods.md 8.6, Guide).

use serde_json::{Map, Value};

use super::problem::Notes;
use super::tree::{Entry, Kind, Node};

/// How its warnings begin.
pub(super) const OLD_LAYOUT: &str = "old layout";

/// The same move in a value: a patch, or what a client sees. `agents.defaults` wins where both are given.
pub(super) fn migrate_value(root: &mut Value) {
    let Some(root) = root.as_object_mut() else { return };
    let Some(Value::Object(old)) = root.remove("agent") else { return };
    let object = || Value::Object(Map::new());
    let agents = root.entry("agents").or_insert_with(object);
    let Some(agents) = agents.as_object_mut() else { return };
    let Some(defaults) = agents.entry("defaults").or_insert_with(object).as_object_mut() else { return };
    for (key, value) in old {
        defaults.entry(key).or_insert(value);
    }
}

/// Moves `agent.model` to `agents.defaults.model` and every other `agent.*` to `agents.defaults.*`,
/// with a warning for each. A key that is given in both layouts is a problem.
pub(super) fn migrate(root: &mut Node, notes: &mut Notes<'_>) {
    let Kind::Object(entries) = &mut root.kind else { return };
    let Some(index) = entries.iter().position(|entry| entry.name == "agent") else { return };
    let old = entries.remove(index);
    let Kind::Object(old_entries) = old.value.kind else {
        notes.problem_at(old.at, "agent", format!("expected an object, found {}", old.value.describe_type()));
        return;
    };
    let Some(defaults) = root.object_mut("agents", old.at).and_then(|agents| agents.object_mut("defaults", old.at))
    else {
        return;
    };
    let Kind::Object(defaults) = &mut defaults.kind else { return };
    for Entry { at, name, value } in old_entries {
        let key = format!("agent.{name}");
        if defaults.iter().any(|entry| entry.name == name) {
            notes.problem_at(at, &key, format!("also given as agents.defaults.{name}"));
        } else {
            notes.warning_at(at, &key, format!("{OLD_LAYOUT}, read as agents.defaults.{name}"));
            defaults.push(Entry { at, name, value });
        }
    }
}
