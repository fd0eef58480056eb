//! `${NAME}` in texts of the configuration (methods.md 8.6), and the one thing that is wrong
//! anywhere in the tree: a key given twice.

use std::collections::{BTreeMap, BTreeSet};

use super::problem::Notes;
use super::tree::{Field, Kind, Node, join};
use crate::limits;

/// The environment that texts are filled in from: the process's own, and below it `env.vars` and
/// `env.NAME` of the configuration (methods.md 9.5: used when unset).
pub(super) fn environment(root: &Node, process: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let root = Field::root(root);
    for section in ["env", "env.vars"] {
        for (name, field) in root.find(section).map(|section| section.entries()).unwrap_or_default() {
            if let Some(text) = field.text() {
                all.insert(name.to_owned(), text.to_owned());
            }
        }
    }
    all.extend(
        process.iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (name.clone(), value.clone())),
    );
    all
}

/// Fills in the texts of the whole tree. A name that is unset or empty is a problem, and so is a
/// result of more than [`limits::CONFIG_BYTES`] in all.
pub(super) fn fill(root: &mut Node, env: &BTreeMap<String, String>, notes: &mut Notes<'_>) {
    let mut room = usize::try_from(limits::CONFIG_BYTES).unwrap_or(usize::MAX);
    fill_below(root, "", env, &mut room, notes);
}

fn fill_below(node: &mut Node, key: &str, env: &BTreeMap<String, String>, room: &mut usize, notes: &mut Notes<'_>) {
    match &mut node.kind {
        Kind::Text(text) if text.contains('$') => match filled(text, env, room) {
            Ok((new, true)) => node.kind = Kind::Filled(new),
            Ok((new, false)) => node.kind = Kind::Text(new),
            Err(Unfilled::Missing(name)) => {
                notes.problem_at(node.at, key, format!("the environment variable {name} is not set (or is empty)"));
            }
            Err(Unfilled::TooLong) => notes.problem_at(node.at, key, "too long when the variables are filled in"),
        },
        Kind::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                fill_below(item, &join(key, &index.to_string()), env, room, notes);
            }
        }
        Kind::Object(entries) => {
            let mut seen = BTreeSet::new();
            for entry in entries {
                let key = join(key, &entry.name);
                if !seen.insert(entry.name.clone()) {
                    notes.problem_at(entry.at, &key, "this key is given twice");
                }
                fill_below(&mut entry.value, &key, env, room, notes);
            }
        }
        _ => {}
    }
}

/// Why a text can't be filled in.
#[derive(Debug, PartialEq)]
enum Unfilled {
    /// This name is unset or empty.
    Missing(String),
    /// There is no room left for the values.
    TooLong,
}

/// The text with every `${NAME}` replaced and whether there was one. The values are taken off `room`.
fn filled(text: &str, env: &BTreeMap<String, String>, room: &mut usize) -> Result<(String, bool), Unfilled> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut replaced = false;
    while let Some(start) = rest.find("${") {
        let (before, from) = rest.split_at(start);
        let name = from.strip_prefix("${").and_then(|inner| inner.split_once('}')).map(|(name, _)| name);
        let Some(name) = name.filter(|name| is_name(name)) else {
            out.push_str(before);
            out.push_str("${");
            rest = from.strip_prefix("${").unwrap_or_default();
            continue;
        };
        rest = from.get(name.len() + 3..).unwrap_or_default();
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            out.push_str(name);
            out.push('}');
            continue;
        }
        out.push_str(before);
        let value = env.get(name).filter(|value| !value.is_empty());
        let value = value.ok_or_else(|| Unfilled::Missing(name.to_owned()))?;
        *room = room.checked_sub(value.len()).ok_or(Unfilled::TooLong)?;
        out.push_str(value);
        replaced = true;
    }
    out.push_str(rest);
    Ok((out, replaced))
}

/// How a text is written that is to be read as it stands: no part of it is a variable then.
#[must_use]
pub fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (index, part) in text.split("${").enumerate() {
        if index > 0 {
            let is_variable = part.split_once('}').is_some_and(|(name, _)| is_name(name));
            out.push_str(if is_variable { "$${" } else { "${" });
        }
        out.push_str(part);
    }
    out
}

/// Whether it can be the name of a variable in a text.
pub(super) fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_uppercase() || first == '_')
        && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env() -> BTreeMap<String, String> {
        [("A_1", "one"), ("B", "two"), ("EMPTY", "")].map(|(k, v)| (k.to_owned(), v.to_owned())).into()
    }

    #[test]
    fn names_are_filled_in_and_other_dollars_are_left_alone() {
        for (text, expected) in [
            ("${A_1}", "one"),
            ("x${A_1}-${B}y", "xone-twoy"),
            ("${A_1} costs $5 ${lower} ${", "one costs $5 ${lower} ${"),
            ("$${B} and ${B}", "${B} and two"),
        ] {
            assert_eq!(filled(text, &env(), &mut 1000), Ok((expected.to_owned(), true)), "{text}");
        }
        for (text, expected) in [("$5 and $${lower}", "$5 and $${lower}"), ("$${B}", "${B}")] {
            assert_eq!(filled(text, &env(), &mut 1000), Ok((expected.to_owned(), false)), "{text}");
        }
    }

    #[test]
    fn a_literal_text_is_read_as_it_stands() {
        for text in ["${B}", "a${B}${A_1}-", "$${B}", "${b} ${", "$5", "${${B}}", ""] {
            assert_eq!(filled(&literal(text), &env(), &mut 1000), Ok((text.to_owned(), false)), "{text}");
        }
    }

    #[test]
    fn an_unset_or_empty_name_is_an_error() {
        assert_eq!(filled("${NOPE}", &env(), &mut 9), Err(Unfilled::Missing("NOPE".to_owned())));
        assert_eq!(filled("${EMPTY}", &env(), &mut 9), Err(Unfilled::Missing("EMPTY".to_owned())));
        assert_eq!(filled("${B}${B}${B}${B}", &env(), &mut 9), Err(Unfilled::TooLong));
    }
}
