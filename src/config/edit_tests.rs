//! Edits keep what they don't change.

use super::*;
use serde_json::json;

fn patched(text: &str, change: Value) -> String {
    let Value::Object(change) = change else { panic!("a patch is an object") };
    patch(text, &change).unwrap()
}

fn value(text: &str) -> Value {
    let read = read_any(text, 0).unwrap_or_else(|(at, why)| panic!("{why} at {at}: {:?} in\n{text}", &text[at..]));
    read.map_or_else(|| json!({}), |node| node.to_json())
}

#[test]
fn only_the_value_changes_and_comments_stay_where_they_are() {
    let text =
        "// mine\n{\n  gateway: {\n    port: 1, // the port\n    /* who */ bind: 'lan',\n  },\n  // the end\n}\n";
    assert_eq!(
        patched(text, json!({"gateway": {"port": 2, "bind": null}, "ui": {"assistant": {"name": "B"}}})),
        "// mine\n{\n  gateway: {\n    port: 2, // the port\n    /* who */ \n  },\n  ui: {\n    \"assistant\": {\n      \"name\": \"B\"\n    }\n  },\n  // the end\n}\n"
    );
}

#[test]
fn a_removed_key_takes_its_line_along() {
    let text = "{\n  a: 1,\n  b: {\n    c: 2\n  },\n  d: 3\n}\n";
    assert_eq!(patched(text, json!({"b": null})), "{\n  a: 1,\n  d: 3\n}\n");
    assert_eq!(patched(text, json!({"d": null})), "{\n  a: 1,\n  b: {\n    c: 2\n  },\n}\n");
}

#[test]
fn keys_are_added_in_the_style_of_their_neighbours() {
    assert_eq!(patched("{a:1}", json!({"b": [1], "c": {"d": null, "e": 2}})), "{a:1, b: [1], c: {\"e\":2}}");
    assert_eq!(patched("{\n\t\"a\": 1 // one\n}", json!({"b": 2})), "{\n\t\"a\": 1, // one\n\t\"b\": 2\n}");
    assert_eq!(patched("{\n  a: {},\n}", json!({"a": {"x": 1}})), "{\n  a: {\n    \"x\": 1\n  },\n}");
    assert_eq!(patched("{\n}\n", json!({"a": 1})), "{\n  \"a\": 1\n}\n");
    assert_eq!(patched("{ // nothing yet\n}\n", json!({"a": 1})), "{\n  \"a\": 1\n // nothing yet\n}\n");
    assert_eq!(patched("// only this\n", json!({"a": 1})), "// only this\n{\n  \"a\": 1\n}\n");
    assert_eq!(patched("", json!({"a": 1})), "{\n  \"a\": 1\n}\n");
}

#[test]
fn a_value_that_is_the_same_keeps_its_spelling() {
    let text = "{ a: 'x', \"b\": 1.50, c: ['y',] }";
    assert_eq!(patched(text, json!({"a": "x", "c": ["y"]})), text);
    assert_eq!(patched("\u{feff}{a:1}", json!({"a": 2})), "\u{feff}{a:2}");
}

#[test]
fn what_is_no_object_is_not_edited() {
    assert!(patch("[]", &Map::new()).is_err());
    assert_eq!(patch("{a:", &Map::new()).unwrap_err().0, 3);
}

/// Texts as people write them, and any sequence of patches on them.
#[test]
fn any_sequence_of_patches_gives_the_patched_value_and_keeps_outside_comments() {
    for seed in 0..400 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut comments = 0;
        let mut text = format!("/*c{comments}*/ ");
        object(&mut random, 0, &mut text, &mut comments);
        text.push_str(" // last\n");
        let mut expected = value(&text);
        for _ in 0..4 {
            let change = change(&mut random, &expected);
            // What stands inside something that is replaced or removed may go.
            let kept = outside(&text, change.as_object().unwrap());
            let after = patched(&text, change.clone());
            merge(&mut expected, &change);
            assert_eq!(value(&after), expected, "seed {seed}\n{text}\n{change}\n{after}");
            for comment in kept {
                assert!(after.contains(&comment), "seed {seed}: {comment} is gone\n{text}\n{change}\n{after}");
            }
            text = after;
        }
    }
}

fn trivia(random: &mut fastrand::Rng, text: &mut String, comments: &mut u32) {
    match random.u8(0..8) {
        0 => {
            *comments += 1;
            text.push_str(&format!(" /*c{comments},}}*/ "));
        }
        1 => {
            *comments += 1;
            text.push_str(&format!(" //c{comments}, {{x\n"));
        }
        2 => text.push_str("\n   "),
        3 => {
            *comments += 1;
            text.push_str(&format!("/*c{comments}\n é */"));
        }
        4 => text.push_str("\r\n"),
        _ => text.push(' '),
    }
}

fn object(random: &mut fastrand::Rng, depth: u32, text: &mut String, comments: &mut u32) {
    text.push('{');
    let count = random.usize(0..4);
    for index in 0..count {
        trivia(random, text, comments);
        let key = ["a", "b", "c", "d"][index];
        text.push_str(&if random.bool() { format!("{key} ") } else { format!("\"{key}\"") });
        trivia(random, text, comments);
        text.push(':');
        trivia(random, text, comments);
        match random.u8(0..6) {
            0..=2 if depth < 3 => object(random, depth + 1, text, comments),
            3 => text.push_str("[1, /* in */ 'x',]"),
            4 => text.push_str("'it // is'"),
            _ => text.push_str("12"),
        }
        trivia(random, text, comments);
        if index + 1 < count || random.bool() {
            text.push(',');
        }
    }
    trivia(random, text, comments);
    text.push('}');
}

fn change(random: &mut fastrand::Rng, current: &Value) -> Value {
    let mut change = Map::new();
    for key in ["a", "b", "c", "d", "new key"] {
        let below = current.get(key).unwrap_or(&Value::Null);
        let new = match random.u8(0..8) {
            0 => Value::Null,
            1 => json!(5),
            2 => json!({"x": null, "y": ["z"]}),
            3 if below.is_object() => self::change(random, below),
            4 => json!("te\"xt"),
            _ => continue,
        };
        change.insert(key.to_owned(), new);
    }
    Value::Object(change)
}

/// The comments of the text that no change may touch.
fn outside(text: &str, change: &Map<String, Value>) -> Vec<String> {
    let gone: Vec<Range<usize>> = parsed(text, |root| {
        let mut gone = Vec::new();
        if let Some(Ast::Object(object)) = &root {
            replaced(object, change, &mut gone);
        }
        gone
    })
    .unwrap();
    let mut kept = Vec::new();
    for part in ["/*c", "//c"] {
        for (at, _) in text.match_indices(part) {
            if gone.iter().all(|range| !range.contains(&at)) {
                let name = text[at + 2..].split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap();
                kept.push(text[at..at + 2 + name.len() + 1].to_owned());
            }
        }
    }
    kept
}

fn replaced(object: &Object<'_>, change: &Map<String, Value>, gone: &mut Vec<Range<usize>>) {
    for property in &object.properties {
        match (&property.value, change.get(property.name.as_str())) {
            (_, None) => {}
            (Ast::Object(below), Some(Value::Object(change))) => replaced(below, change, gone),
            (_, Some(Value::Null)) => gone.push(property.start()..property.value.end()),
            (old, Some(_)) => gone.push(old.start()..old.end()),
        }
    }
}
