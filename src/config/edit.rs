//! Changes in the configuration text that leave everything else as its owner wrote it: comments,
//! order, quotes, indentation. Text in, text out; it knows no key of ours.
//!
//! The pieces that change are cut out of the text by their places in the parsed file. (The parser's
//! own editor drops comments beside a removed key and trusts its input more than we may.)

use std::ops::Range;

use jsonc_parser::ast::{Object, ObjectPropName, Value as Ast};
use jsonc_parser::common::Ranged as _;
use serde_json::{Map, Value};

use super::tree::{parsed, read_any};

/// The text can't be edited: it is no valid JSON5 object. The byte and why.
pub(super) type Unreadable = (usize, String);

/// Applies a JSON merge patch (RFC 7396): `null` removes a key, objects are merged, everything else
/// is replaced. The result, read, is the patched value; every comment outside replaced and removed
/// values is still in it.
///
/// # Errors
/// [`Unreadable`].
pub(super) fn patch(text: &str, patch: &Map<String, Value>) -> Result<String, Unreadable> {
    // Two passes, so that no two changes can meet in one place.
    let changed = splice(text, plan(text, patch, Pass::Change)?);
    let added = plan(&changed, patch, Pass::Add)?;
    Ok(splice(&changed, added))
}

/// A JSON merge patch on a value.
pub(super) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else { return };
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

/// One change: these bytes become this text.
pub(super) type Splice = (Range<usize>, String);

/// Makes the changes, which must not overlap.
pub(super) fn splice(text: &str, mut splices: Vec<Splice>) -> String {
    splices.sort_by_key(|(range, _)| range.start);
    let mut out = String::with_capacity(text.len() + 256);
    let mut from = 0;
    for (range, new) in splices {
        out.push_str(text.get(from..range.start).unwrap_or_default());
        out.push_str(&new);
        from = range.end.max(from);
    }
    out.push_str(text.get(from..).unwrap_or_default());
    out
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pass {
    /// Values are replaced, keys removed.
    Change,
    /// Keys are added.
    Add,
}

fn plan(text: &str, patch: &Map<String, Value>, pass: Pass) -> Result<Vec<Splice>, Unreadable> {
    parsed(text, |root| match root {
        Some(Ast::Object(object)) => {
            let mut plan = Plan { text, pass, splices: Vec::new() };
            plan.object(&object, patch);
            Ok(plan.splices)
        }
        None if pass == Pass::Change => Ok(Vec::new()),
        None => {
            let mut value = Value::Object(Map::new());
            merge(&mut value, &Value::Object(patch.clone()));
            let newline = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
            Ok(vec![(text.len()..text.len(), format!("{newline}{value:#}\n"))])
        }
        Some(other) => Err((other.start(), "expected an object in braces".to_owned())),
    })?
}

struct Plan<'t> {
    text: &'t str,
    pass: Pass,
    splices: Vec<Splice>,
}

impl Plan<'_> {
    fn object(&mut self, object: &Object<'_>, patch: &Map<String, Value>) {
        let mut added = Vec::new();
        for (key, value) in patch {
            let property = object.properties.iter().find(|property| property.name.as_str() == key);
            match (property, self.pass) {
                (None, Pass::Add) if !value.is_null() => added.push((key, value)),
                (None, _) => {}
                (Some(property), pass) => match (&property.value, value) {
                    (Ast::Object(below), Value::Object(patch)) => self.object(below, patch),
                    _ if pass == Pass::Add => {}
                    (_, Value::Null) => self.remove(property.start()..property.value.end()),
                    (old, new) => self.replace(old.range().start..old.range().end, new),
                },
            }
        }
        if !added.is_empty() {
            self.add(object, &added);
        }
    }

    fn replace(&mut self, range: Range<usize>, new: &Value) {
        let mut value = Value::Null;
        merge(&mut value, new);
        let old = self.text.get(range.clone()).and_then(|old| read_any(old, 0).ok()).flatten();
        if old.is_some_and(|old| old.to_json() == value) {
            return;
        }
        let indent = line_indent(self.text, range.start).to_owned();
        let unit = if indent.starts_with('\t') { "\t" } else { "  " };
        self.splices.push((range, rendered(&value, &indent, unit)));
    }

    /// Takes a key out with its comma, and with its line when nothing else stands there.
    fn remove(&mut self, range: Range<usize>) {
        let comma = comma_after(self.text, range.end);
        let adjacent = comma.is_some_and(|comma| self.blank(range.end, comma));
        let end = if adjacent { comma.map_or(range.end, |comma| comma + 1) } else { range.end };
        if let Some(comma) = comma.filter(|_| !adjacent) {
            self.splices.push((comma..comma + 1, String::new()));
        }
        let line_start = line_start(self.text, range.start);
        let line_end = line_end(self.text, end);
        let is_alone = line_start > 0
            && self.blank(line_start, range.start)
            && self.blank(end, line_end)
            && line_end < self.text.len();
        let whole = if is_alone { line_start..line_end + 1 } else { range.start..end };
        self.splices.push((whole, String::new()));
    }

    fn add(&mut self, object: &Object<'_>, added: &[(&String, &Value)]) {
        let text = self.text;
        let base = line_indent(text, object.range.start);
        let Some(last) = object.properties.last() else {
            let at = object.range.start + 1;
            let indent = format!("{base}{}", unit_of(base, text));
            let mut new = String::new();
            for (index, (key, value)) in added.iter().enumerate() {
                let comma = if index + 1 == added.len() { "" } else { "," };
                new.push_str(&format!("\n{indent}{}{comma}", entry(key, value, &indent, text, false)));
            }
            let rest = text.get(at..object.range.end.saturating_sub(1)).unwrap_or_default();
            if !rest.trim_start_matches([' ', '\t', '\r']).starts_with('\n') {
                new.push_str(&format!("\n{base}"));
            }
            self.splices.push((at..at, new));
            return;
        };
        let is_bare = matches!(object.properties.first().map(|first| &first.name), Some(ObjectPropName::Word(_)));
        let inner = text.get(object.range.start..last.start()).unwrap_or_default();
        let is_multiline = inner.contains('\n');
        let comma = comma_after(text, last.value.end());
        let mut at = comma.map_or_else(|| last.value.end(), |comma| comma + 1);
        let indent = if is_multiline {
            let first = object.properties.last().map_or(0, |property| property.start());
            line_indent(text, first).to_owned()
        } else {
            String::new()
        };
        let mut new = String::new();
        for (key, value) in added {
            if is_multiline {
                new.push_str(&format!("\n{indent}{},", entry(key, value, &indent, text, is_bare)));
            } else {
                let shown = value_without_nulls(value);
                new.push_str(&format!(" {}: {shown},", key_text(key, is_bare)));
            }
        }
        if comma.is_none() {
            new.pop();
        }
        if is_multiline {
            at = past_line_comments(text, at);
        }
        match comma {
            None if at == last.value.end() => new.insert(0, ','),
            None => self.splices.push((last.value.end()..last.value.end(), ",".to_owned())),
            Some(_) => {}
        }
        self.splices.push((at..at, new));
    }

    fn blank(&self, from: usize, to: usize) -> bool {
        self.text.get(from..to).is_some_and(|part| part.trim().is_empty())
    }
}

fn entry(key: &str, value: &Value, indent: &str, text: &str, is_bare: bool) -> String {
    format!("{}: {}", key_text(key, is_bare), rendered(&value_without_nulls(value), indent, unit_of(indent, text)))
}

fn value_without_nulls(value: &Value) -> Value {
    let mut plain = Value::Null;
    merge(&mut plain, value);
    plain
}

fn key_text(key: &str, is_bare: bool) -> String {
    let fits = key.starts_with(|first: char| first.is_ascii_alphabetic())
        && key.chars().all(|c| c.is_ascii_alphanumeric())
        && !matches!(key, "true" | "false" | "null");
    if is_bare && fits { key.to_owned() } else { Value::from(key).to_string() }
}

/// JSON text whose further lines are indented.
fn rendered(value: &Value, indent: &str, unit: &str) -> String {
    let mut lines = Vec::new();
    for (index, line) in format!("{value:#}").lines().enumerate() {
        let depth = line.len() - line.trim_start_matches(' ').len();
        let indent = if index == 0 { String::new() } else { format!("{indent}{}", unit.repeat(depth / 2)) };
        lines.push(format!("{indent}{}", line.trim_start_matches(' ')));
    }
    lines.join("\n")
}

/// What one step of indentation is.
fn unit_of(indent: &str, text: &str) -> &'static str {
    if indent.contains('\t') || text.contains("\n\t") {
        "\t"
    } else if text.contains("\n    ") && !text.lines().any(|line| line.starts_with("  ") && !line.starts_with("   ")) {
        "    "
    } else {
        "  "
    }
}

fn line_start(text: &str, at: usize) -> usize {
    text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1)
}

fn line_end(text: &str, at: usize) -> usize {
    text.get(at..).and_then(|rest| rest.find('\n')).map_or(text.len(), |newline| at + newline)
}

/// The blanks at the start of the line.
fn line_indent(text: &str, at: usize) -> &str {
    let line = text.get(line_start(text, at)..at).unwrap_or_default();
    let end = line.find(|c| c != ' ' && c != '\t').unwrap_or(line.len());
    line.get(..end).unwrap_or_default()
}

/// Where the comma stands that follows, behind blanks and comments.
fn comma_after(text: &str, at: usize) -> Option<usize> {
    let at = past_trivia(text, at, false);
    text.get(at..)?.starts_with(',').then_some(at)
}

/// The end of the line if only blanks and comments stand before it, else `at`.
fn past_line_comments(text: &str, at: usize) -> usize {
    let end = past_trivia(text, at, true);
    let rest = text.get(end..).unwrap_or_default();
    if rest.is_empty() || rest.starts_with('\n') || rest.starts_with("\r\n") { end } else { at }
}

/// Goes over blanks and comments; on one line, stops before its end and before a comment that goes on.
fn past_trivia(text: &str, mut at: usize, one_line: bool) -> usize {
    while let Some(rest) = text.get(at..) {
        if let Some(comment) = rest.strip_prefix("//") {
            let length = comment.find('\n').unwrap_or(comment.len());
            let length =
                if comment.get(..length).is_some_and(|line| line.ends_with('\r')) { length - 1 } else { length };
            at += 2 + length;
        } else if let Some(comment) = rest.strip_prefix("/*") {
            let Some(length) = comment.find("*/") else { return at };
            if one_line && comment.get(..length).is_some_and(|inner| inner.contains('\n')) {
                return at;
            }
            at += length + 4;
        } else {
            match rest.chars().next() {
                Some('\n') if one_line => return at,
                Some('\r') if one_line && rest.starts_with("\r\n") => return at,
                Some(blank) if blank.is_whitespace() => at += blank.len_utf8(),
                _ => return at,
            }
        }
    }
    at
}

#[cfg(test)]
#[path = "edit_tests.rs"]
mod tests;
