//! Compares the tree with the table of keys: wrong types and values out of range are problems, keys
//! that are unknown or without use are warnings. What a value means beyond its type is checked where it is read.

use super::keys::Type;
use super::lookup::{LIMITS, Step, below, nearest, place};
use super::problem::Notes;
use super::tree::{Field, Kind, Node, join};
use crate::limits;

/// Checks the whole tree. `false` when it is too large to be read on: a list or an object has more
/// than [`limits::CONFIG_ENTRIES`] entries, or there are no problems left to report.
pub(super) fn check(root: &Node, notes: &mut Notes<'_>) -> bool {
    let fits = check_size(&Field::root(root), notes);
    if fits {
        check_at(&Field::root(root), "", notes);
    }
    fits && !notes.is_full()
}

fn check_size(field: &Field<'_>, notes: &mut Notes<'_>) -> bool {
    let below = match &field.node.kind {
        Kind::List(items) if items.len() <= limits::CONFIG_ENTRIES => field.items(),
        Kind::Object(entries) if entries.len() <= limits::CONFIG_ENTRIES => {
            field.entries().into_iter().map(|(_, field)| field).collect()
        }
        Kind::List(_) | Kind::Object(_) => {
            notes.problem(field, format!("more than {} entries", limits::CONFIG_ENTRIES));
            return false;
        }
        _ => return true,
    };
    below.iter().all(|field| check_size(field, notes))
}

fn check_at(field: &Field<'_>, pattern: &str, notes: &mut Notes<'_>) {
    let Some(place) = place(pattern) else { return };
    if notes.is_full() {
        return;
    }
    match &field.node.kind {
        Kind::Object(entries) if place.object => {
            for entry in entries {
                let key = join(&field.key, &entry.name);
                match below(pattern, &entry.name) {
                    Step::Known(pattern) => check_at(&Field { node: &entry.value, key }, &pattern, notes),
                    Step::Unused => notes.warning_at(entry.at, &key, "not used by this version"),
                    Step::Unknown => {
                        let hint = nearest(pattern, &entry.name)
                            .map_or_else(String::new, |known| format!("; did you mean `{known}`?"));
                        let message = format!("unknown key{hint}");
                        // Whatever it is, it may be another version's; but the limits are ours alone, and one
                        // that doesn't hold is worse than a gateway that doesn't start.
                        if pattern == LIMITS {
                            notes.problem_at(entry.at, &key, message);
                        } else {
                            notes.warning_at(entry.at, &key, format!("{message}; it is kept and has no effect"));
                        }
                    }
                }
            }
        }
        Kind::List(_) if place.list => {
            let pattern = format!("{pattern}[]");
            for item in field.items() {
                check_at(&item, &pattern, notes);
            }
        }
        _ => match place.value {
            Some(value) => check_value(field, value, notes),
            None => {
                let expected = if place.list { "a list" } else { "an object" };
                notes.problem(field, format!("expected {expected}, found {}", field.node.describe_type()));
            }
        },
    }
}

fn check_value(field: &Field<'_>, value: Type, notes: &mut Notes<'_>) {
    let fits = match value {
        Type::Flag => field.flag().is_some(),
        Type::Secret => field.text().is_some(),
        Type::Text(max) => {
            if let Some(length) = field.text().map(|text| text.chars().count()).filter(|length| *length > max) {
                notes.problem(field, format!("expected at most {max} characters, found {length}"));
                return;
            }
            field.text().is_some()
        }
        Type::Whole(min, max) => field.whole().is_some_and(|number| (min..=max).contains(&number)),
        Type::Amount => field.number().is_some_and(|number| number >= 0.0),
        Type::Choice(names) => field.text().is_some_and(|text| names.contains(&text)),
        Type::Texts => {
            for item in field.items().iter().filter(|item| item.text().is_none()) {
                notes.problem(item, format!("expected a text, found {}", item.node.describe()));
            }
            matches!(field.node.kind, Kind::List(_))
        }
        Type::Anything => true,
    };
    if !fits {
        let found = match value {
            Type::Secret => field.node.describe_type().to_owned(),
            _ => field.node.describe(),
        };
        notes.problem(field, format!("expected {value}, found {found}"));
    }
}
