//! The configuration as a JSON schema with hints for forms (methods.md 8.5), made from the table of
//! keys, so that a form knows what the check knows.

use serde_json::{Map, Value, json};

use super::keys::{Key, Type, keys};
use super::lookup::{LIMITS, names_below, place};
use super::tree::join;

/// The sections of the file: name, label for people. Their order is that of forms.
const SECTIONS: &[(&str, &str)] = &[
    ("gateway", "Gateway"),
    ("agents", "Agents"),
    ("models", "Models"),
    ("session", "Sessions"),
    ("messages", "Messages"),
    ("channels", "Channels"),
    ("cron", "Scheduled jobs"),
    ("hooks", "Hooks"),
    ("skills", "Skills"),
    ("tools", "Tools"),
    ("ui", "Web page"),
    ("logging", "Log"),
    ("env", "Environment"),
];

/// The schema (draft 7). Keys that it doesn't name are allowed: they are kept, with a warning.
#[must_use]
pub fn schema() -> Value {
    let mut schema = node("").unwrap_or_default();
    if let Value::Object(entries) = &mut schema {
        entries.insert("$schema".to_owned(), "http://json-schema.org/draft-07/schema#".into());
        entries.insert("title".to_owned(), "BarnacleConfig".into());
        entries.insert("required".to_owned(), json!([]));
    }
    schema
}

/// Hints for forms by path: label, help, group, order, and whether it is a secret.
#[must_use]
pub fn hints() -> Value {
    let mut hints = Map::new();
    for (index, (name, label)) in SECTIONS.iter().enumerate() {
        hints.insert((*name).to_owned(), json!({"label": label, "group": label, "order": (index + 1) * 10}));
    }
    for Key { path, value, default, doc } in keys() {
        let last = path.trim_end_matches("[]").rsplit('.').find(|part| *part != "*").unwrap_or(path);
        let mut hint = json!({"label": label(last), "help": doc});
        if let Value::Object(entries) = &mut hint {
            if *value == Type::Secret {
                entries.insert("sensitive".to_owned(), true.into());
            }
            if !matches!(*default, "-" | "none" | "required") {
                entries.insert("placeholder".to_owned(), (*default).into());
            }
            if *value == Type::Anything {
                entries.insert("advanced".to_owned(), true.into());
            }
        }
        hints.entry(*path).or_insert(hint);
    }
    for row in crate::limits::Limits::ROWS {
        let help = format!("{} At the bound: {}.", row.what.trim(), row.when_full);
        hints.insert(
            format!("gateway.limits.{}", row.key),
            json!({"label": label(row.key), "help": help, "advanced": true, "placeholder": row.default.to_string()}),
        );
    }
    Value::Object(hints)
}

/// The schema of what stands at a pattern; none where anything goes. Forms can't show a node without a type, nor one
/// whose further names may have any value, so neither is spelled out: what a schema doesn't name is allowed.
fn node(pattern: &str) -> Option<Value> {
    let here = place(pattern)?;
    let mut forms = Vec::new();
    forms.extend(here.value.filter(|value| *value != Type::Anything).map(|value| leaf(pattern, value)));
    if here.list {
        forms.extend(node(&format!("{pattern}[]")).map(|items| json!({"type": "array", "items": items})));
    }
    if here.object {
        let names = names_below(pattern).into_iter();
        let properties: Map<String, Value> =
            names.filter_map(|name| Some((name.to_owned(), node(&join(pattern, name))?))).collect();
        let mut object = json!({"type": "object", "properties": properties});
        let further = if pattern == LIMITS { Some(Value::Bool(false)) } else { node(&join(pattern, "*")) };
        if let (Value::Object(entries), Some(further)) = (&mut object, further) {
            entries.insert("additionalProperties".to_owned(), further);
        }
        forms.push(object);
    }
    let last = forms.pop()?;
    if forms.is_empty() {
        return Some(last);
    }
    forms.push(last);
    Some(json!({"anyOf": forms}))
}

fn leaf(pattern: &str, value: Type) -> Value {
    let mut schema = match value {
        Type::Flag => json!({"type": "boolean"}),
        Type::Text(max) => json!({"type": "string", "maxLength": max}),
        Type::Secret => json!({"type": "string"}),
        Type::Whole(min, max) => json!({"type": "integer", "minimum": min, "maximum": max}),
        Type::Amount => json!({"type": "number", "minimum": 0}),
        Type::Choice(names) => json!({"enum": names}),
        Type::Texts => json!({"type": "array", "items": {"type": "string"}}),
        Type::Anything => json!({}),
    };
    let row = keys().find(|row| row.path == pattern);
    if let (Value::Object(entries), Some(row)) = (&mut schema, row) {
        entries.insert("description".to_owned(), row.doc.into());
    }
    schema
}

/// `debounceMs` as `Debounce ms`.
fn label(name: &str) -> String {
    let mut label = String::new();
    for letter in name.chars() {
        if label.is_empty() {
            label.push(letter.to_ascii_uppercase());
        } else if letter.is_ascii_uppercase() {
            label.push(' ');
            label.push(letter.to_ascii_lowercase());
        } else {
            label.push(letter);
        }
    }
    label
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &str) -> Value {
        path.split('/').fold(schema(), |node, step| node.get(step).cloned().unwrap_or_default())
    }

    #[test]
    fn the_schema_knows_types_bounds_and_choices() {
        assert_eq!(at("properties/gateway/properties/port/maximum"), 65535);
        assert_eq!(
            at("properties/gateway/properties/reload/properties/mode/enum"),
            json!(["hybrid", "hot", "restart", "off"])
        );
        assert_eq!(at("properties/agents/properties/list/type"), "array");
        assert_eq!(at("properties/models/properties/providers/additionalProperties/properties/apiKey/type"), "string");
        assert_eq!(at("properties/gateway/properties/limits/additionalProperties"), false);
        assert_eq!(
            at("properties/agents/properties/defaults/properties/model/anyOf").as_array().map(Vec::len),
            Some(2)
        );
        assert_eq!(at("properties/channels/additionalProperties/properties/botToken/type"), "string");
    }

    #[test]
    fn nothing_in_the_schema_is_without_a_type() {
        fn check(node: &Value, path: &str) {
            let is_known = ["type", "enum", "anyOf"].iter().any(|key| node.get(key).is_some());
            assert!(is_known || *node == Value::Bool(false), "{path}: {node}");
            assert_ne!(node["additionalProperties"], true, "{path}");
            let below = node["properties"].as_object().into_iter().flatten();
            below.for_each(|(name, node)| check(node, &format!("{path}/{name}")));
            for key in ["items", "additionalProperties"] {
                node.get(key).into_iter().for_each(|node| check(node, &format!("{path}/{key}")));
            }
            node["anyOf"].as_array().into_iter().flatten().for_each(|node| check(node, &format!("{path}/anyOf")));
        }
        check(&schema(), "");
        assert_eq!(at("properties/plugins"), Value::Null);
    }

    #[test]
    fn every_key_has_a_hint_and_secrets_are_marked() {
        let hints = hints();
        for Key { path, value, .. } in keys() {
            let hint = &hints[*path];
            assert!(hint["label"].is_string(), "{path}");
            assert_eq!(hint["sensitive"] == true, *value == Type::Secret, "{path}");
        }
        assert_eq!(hints["gateway.reload.debounceMs"]["label"], "Debounce ms");
        assert_eq!(hints["channels"]["order"], 60);
    }
}
