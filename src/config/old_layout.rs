//! The layout that older guides show: `agent.model` and other `agent.*` (methods.md 8.6, Guide).

use super::problem::Notes;
use super::tree::{Entry, Kind, Node};

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
            notes.warning_at(at, &key, format!("old layout, read as agents.defaults.{name}"));
            defaults.push(Entry { at, name, value });
        }
    }
}
