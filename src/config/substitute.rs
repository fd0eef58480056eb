//! `${NAME}` in texts of the configuration (methods.md 8.6), and the two things that are wrong
//! anywhere in the tree: a key given twice, and `$include`.

use std::collections::{BTreeMap, BTreeSet};

use super::problem::Notes;
use super::tree::{Kind, Node, join};

/// The environment that texts are filled in from: the process's own, and below it `env.vars` and
/// `env.NAME` of the configuration (methods.md 9.5: used when unset).
pub(super) fn environment(root: &Node, process: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let root = super::tree::Field::root(root);
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

/// Fills in the texts below `node`. A name that is unset or empty is a problem.
pub(super) fn fill(node: &mut Node, key: &str, env: &BTreeMap<String, String>, notes: &mut Notes<'_>) {
    match &mut node.kind {
        Kind::Text(text) if text.contains('$') => match filled(text, env) {
            Ok((new, true)) => node.kind = Kind::Filled(new),
            Ok((new, false)) => node.kind = Kind::Text(new),
            Err(name) => {
                notes.problem_at(node.at, key, format!("the environment variable {name} is not set (or is empty)"));
            }
        },
        Kind::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                fill(item, &join(key, &index.to_string()), env, notes);
            }
        }
        Kind::Object(entries) => {
            let mut seen = BTreeSet::new();
            for entry in entries {
                let key = join(key, &entry.name);
                if entry.name == "$include" {
                    notes.problem_at(entry.at, &key, "`$include` is not in this version; put everything into one file");
                } else if !seen.insert(entry.name.clone()) {
                    notes.problem_at(entry.at, &key, "this key is given twice");
                }
                fill(&mut entry.value, &key, env, notes);
            }
        }
        _ => {}
    }
}

/// The text with every `${NAME}` replaced and whether there was one; or the name that is missing.
fn filled(text: &str, env: &BTreeMap<String, String>) -> Result<(String, bool), String> {
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
        out.push_str(env.get(name).filter(|value| !value.is_empty()).ok_or_else(|| name.to_owned())?);
        replaced = true;
    }
    out.push_str(rest);
    Ok((out, replaced))
}

fn is_name(name: &str) -> bool {
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
            assert_eq!(filled(text, &env()), Ok((expected.to_owned(), true)), "{text}");
        }
        for (text, expected) in [("$5 and $${lower}", "$5 and $${lower}"), ("$${B}", "${B}")] {
            assert_eq!(filled(text, &env()), Ok((expected.to_owned(), false)), "{text}");
        }
    }

    #[test]
    fn an_unset_or_empty_name_is_an_error() {
        assert_eq!(filled("${NOPE}", &env()), Err("NOPE".to_owned()));
        assert_eq!(filled("${EMPTY}", &env()), Err("EMPTY".to_owned()));
    }
}
