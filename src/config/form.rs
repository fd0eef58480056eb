//! What a form sends: the whole configuration as it was shown, defaults and all, with a few values changed. Only these
//! are changes of the file; its comments and its order stay, and no default is written down. It knows no file.

use serde_json::{Map, Value};

use super::old_layout::migrate_value;
use super::{Reading, lookup, view};

/// The changes, as a JSON merge patch, that a form has made of what was shown; `None` when the text is no form's. It is
/// one when it has most of the defaults that are shown and that the file doesn't have.
pub(super) fn changes(sent: &Value, old: &Reading) -> Option<Value> {
    let mut migrated = old.merged.clone();
    migrate_value(&mut migrated);
    if old.outcome.is_err() || migrated != old.merged {
        return None;
    }
    let unwritten: Vec<_> = lookup::defaults().map(|(path, _)| path).filter(|path| !has(&old.merged, path)).collect();
    let sent_too = unwritten.iter().filter(|path| has(sent, path)).count();
    if sent_too * 2 <= unwritten.len() {
        return None;
    }
    difference(&view::config_of(old), sent).or_else(|| Some(Value::Object(Map::new())))
}

fn has(value: &Value, path: &str) -> bool {
    path.split('.').try_fold(value, |place, name| place.get(name)).is_some()
}

/// What makes `new` of `old`; `None` for nothing.
fn difference(old: &Value, new: &Value) -> Option<Value> {
    if old == new {
        return None;
    }
    let (Value::Object(old), Value::Object(new)) = (old, new) else { return Some(new.clone()) };
    let gone = old.keys().filter(|name| !new.contains_key(*name)).map(|name| (name.clone(), Value::Null));
    let changed = new.iter().filter_map(|(name, value)| {
        let change = old.get(name).map_or_else(|| Some(value.clone()), |old| difference(old, value))?;
        Some((name.clone(), change))
    });
    Some(Value::Object(gone.chain(changed).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::Standing;
    use crate::config::proposal::{Change, propose};
    use crate::config::{Config, include};
    use serde_json::json;
    use std::collections::BTreeMap;

    const FILE: &str = "// mine\n{\n  gateway: { auth: { token: 'secret-of-mine-abcdefg' } }, // hush\n  session: { idleMinutes: 5 },\n}\n";

    fn read(text: &str) -> Reading {
        Config::read(text, "f", &BTreeMap::new(), &include::none)
    }

    fn sent(change: impl Fn(&mut Value)) -> String {
        let mut form = view::config_of(&read(FILE));
        change(&mut form);
        let standing = Standing::of(Some(FILE));
        let whole = format!("{form:#}\n");
        propose(&standing, Some(&standing.hash), Change::Whole(&whole), &read).unwrap().text
    }

    #[test]
    fn a_form_changes_what_it_changes_and_nothing_else() {
        assert_eq!(sent(|_| ()), FILE);
        assert_eq!(sent(|form| form["session"]["idleMinutes"] = json!(7)), FILE.replace('5', "7"));
        let added = sent(|form| form["logging"]["level"] = json!("debug"));
        assert!(added.contains("// hush") && !added.contains("reload"), "{added}");
        assert_eq!(read(&added).parsed["logging"], json!({"level": "debug"}));
        let removed = sent(|form| drop(form.as_object_mut().unwrap().remove("session")));
        assert!(removed.contains("// hush") && read(&removed).parsed.get("session").is_none(), "{removed}");
    }

    #[test]
    fn a_text_without_the_defaults_replaces_the_file() {
        let standing = Standing::of(Some(FILE));
        let whole = "{\"session\": {\"idleMinutes\": 5}}";
        let proposal = propose(&standing, Some(&standing.hash), Change::Whole(whole), &read).unwrap();
        assert_eq!(proposal.text, whole);
    }
}
