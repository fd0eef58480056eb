//! Compares JSON with a pattern, key by key.
//!
//! A pattern is JSON. These texts in it are placeholders, everything else is literal:
//! `<any>`, `<string>`, `<number>`, `<integer>`, `<bool>`, `<uuid>`, `<hex>`, `<list>`, `<object>`,
//! `<time>` (milliseconds of our age), `<starts …>`, `<ends …>`, `<has …>`. With `=name` before the closing
//! bracket (`<uuid=session>`) the value is remembered the first time and must be the same afterwards.
//!
//! An object must have exactly the pattern's keys. A key that ends in `?` may be missing; the key `...` lets
//! further keys pass. A list must have as many items as the pattern; `["...", p]` is a list in which some item
//! fits each of the patterns behind the dots.

use std::collections::BTreeMap;

use serde_json::Value;

/// What placeholders remembered.
pub(crate) type Names = BTreeMap<String, Value>;

/// Appends every difference to `wrong`, each with the place where it is.
pub(crate) fn compare(pattern: &Value, value: &Value, place: &str, names: &mut Names, wrong: &mut Vec<String>) {
    match (pattern, value) {
        (Value::String(text), _) if text.starts_with('<') && text.ends_with('>') => {
            placeholder(text.trim_start_matches('<').trim_end_matches('>'), value, place, names, wrong);
        }
        (Value::Object(pattern), Value::Object(object)) => {
            let is_open = pattern.contains_key("...");
            for (key, part) in pattern.iter().filter(|(key, _)| *key != "...") {
                let name = key.strip_suffix('?').unwrap_or(key);
                match object.get(name) {
                    Some(value) => compare(part, value, &format!("{place}.{name}"), names, wrong),
                    None if key.ends_with('?') => {}
                    None => wrong.push(format!("{place}.{name} is missing")),
                }
            }
            for (key, value) in object {
                if !is_open && !pattern.contains_key(key) && !pattern.contains_key(&format!("{key}?")) {
                    wrong.push(format!("{place}.{key} is unexpected: {value}"));
                }
            }
        }
        (Value::Array(patterns), Value::Array(items)) => match patterns.split_first() {
            Some((dots, wanted)) if dots == "..." => {
                for part in wanted {
                    let fits = items.iter().any(|item| {
                        let mut problems = Vec::new();
                        compare(part, item, place, &mut names.clone(), &mut problems);
                        problems.is_empty()
                    });
                    if !fits {
                        wrong.push(format!("{place} has no item like {part}: {value}"));
                    }
                }
            }
            _ if patterns.len() != items.len() => {
                wrong.push(format!("{place} has {} items instead of {}: {value}", items.len(), patterns.len()));
            }
            _ => {
                for (index, (part, item)) in patterns.iter().zip(items).enumerate() {
                    compare(part, item, &format!("{place}[{index}]"), names, wrong);
                }
            }
        },
        (Value::Number(a), Value::Number(b)) if a.as_f64() == b.as_f64() => {}
        _ if pattern == value => {}
        _ => wrong.push(format!("{place} is {value} instead of {pattern}")),
    }
}

fn placeholder(text: &str, value: &Value, place: &str, names: &mut Names, wrong: &mut Vec<String>) {
    let (kind, name) = match text.rsplit_once('=') {
        Some((kind, name)) if !kind.contains(' ') => (kind, Some(name)),
        _ => (text, None),
    };
    let text = value.as_str();
    let fits = match kind.split_once(' ') {
        Some(("starts", start)) => text.is_some_and(|text| text.starts_with(start)),
        Some(("ends", end)) => text.is_some_and(|text| text.ends_with(end)),
        Some(("has", part)) => text.is_some_and(|text| text.contains(part)),
        _ => match kind {
            "any" => true,
            "string" => text.is_some(),
            "number" => value.is_number(),
            "integer" => value.is_u64() || value.is_i64(),
            "time" => value.as_u64().is_some_and(|ms| ms > 1_700_000_000_000),
            "bool" => value.is_boolean(),
            "list" => value.is_array(),
            "object" => value.is_object(),
            "uuid" => text.is_some_and(is_uuid),
            "hex" => text.is_some_and(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit())),
            other => panic!("no such placeholder: {other}"),
        },
    };
    if !fits {
        wrong.push(format!("{place} is {value} instead of <{kind}>"));
    }
    if let Some(name) = name {
        let known = names.entry(name.to_owned()).or_insert_with(|| value.clone());
        if known != value {
            wrong.push(format!("{place} is {value}, but {name} was {known}"));
        }
    }
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.char_indices().all(|(at, letter)| match at {
            8 | 13 | 18 | 23 => letter == '-',
            _ => letter.is_ascii_hexdigit(),
        })
}

/// Params with `$name` replaced by what was remembered.
pub(crate) fn filled(params: &Value, names: &Names) -> Value {
    match params {
        Value::String(text) => match text.strip_prefix('$').and_then(|name| names.get(name)) {
            Some(value) => value.clone(),
            None => params.clone(),
        },
        Value::Array(items) => items.iter().map(|item| filled(item, names)).collect(),
        Value::Object(object) => {
            Value::Object(object.iter().map(|(key, value)| (key.clone(), filled(value, names))).collect())
        }
        _ => params.clone(),
    }
}
