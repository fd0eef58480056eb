//! The shape of a value: its keys and the JSON types below them.

use serde_json::Value;

/// Where the shapes of two values differ. Lists are compared by their first items, errors by their text too.
pub(crate) fn shapes(place: &str, recorded: &Value, ours: &Value, differences: &mut Vec<String>) {
    let is_left_out = |value: &Value| value.as_str().is_some_and(|text| text.starts_with("<elided"));
    match (recorded, ours) {
        _ if is_left_out(recorded) => {}
        (Value::Object(recorded), Value::Object(ours)) => {
            for (key, value) in recorded {
                let place = format!("{place}/{key}");
                match ours.get(key) {
                    Some(own) => shapes(&place, value, own, differences),
                    None => differences.push(format!("{place} is missing")),
                }
            }
            for key in ours.keys().filter(|key| !recorded.contains_key(*key)) {
                differences.push(format!("{place}/{key} is new"));
            }
        }
        (Value::Array(recorded), Value::Array(ours)) => {
            if let (Some(recorded), Some(ours)) = (recorded.first(), ours.first()) {
                shapes(&format!("{place}[]"), recorded, ours, differences);
            }
        }
        (Value::String(recorded), Value::String(ours)) => {
            let matters =
                place.ends_with("error/message") || place.ends_with("error/code") || place.ends_with("/summary");
            if matters && recorded != ours {
                differences.push(format!("{place} is {ours:?} instead of {recorded:?}"));
            }
        }
        (recorded, ours) if kind(recorded) == kind(ours) => {}
        (recorded, ours) => differences.push(format!("{place} is {} instead of {}", kind(ours), kind(recorded))),
    }
}

/// What a value is.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
