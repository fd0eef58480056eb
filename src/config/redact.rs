//! Hides secrets of the configuration in everything that leaves the gateway, and puts them back into
//! what clients send (INTEGRATIONS.md section 7, test 23).
//!
//! A secret is what the table of keys calls one and, among keys that this version doesn't know, what
//! has the name of one. It may hide too much; it must not hide too little.

use std::ops::Range;

use jsonc_parser::ast::Value as Ast;
use jsonc_parser::common::Ranged as _;
use serde_json::Value;

use super::edit::{Splice, splice};
use super::keys::Type;
use super::lookup;
use super::tree::{Kind, Node, parsed};
use crate::secret::Secret;

/// What clients see, and send back, in place of a secret.
pub const MARKER: &str = "__REDACTED__";

/// Last words of a secret's name.
const WORDS: &[&str] =
    &["token", "password", "passwd", "passphrase", "secret", "credential", "authorization", "cookie"];
/// Words before `key` that make it a secret.
const KEY_KINDS: &[&str] = &["api", "private", "access", "signing", "encryption", "auth", "client", "service", "bot"];
/// Maps in which every text is a secret.
const MAPS: &[&str] = &["headers", "env"];

/// A marker stands where there is no secret to put back: the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stray(pub String);

/// Whether the value at a path (list positions as numbers) is a secret.
pub(super) fn is_secret(path: &[String], value: &Value) -> bool {
    match value {
        Value::String(text) if text.is_empty() => false,
        Value::String(text) => {
            lookup::type_at(path) == Some(Type::Secret)
                || path.iter().any(|name| names_secret(name, true))
                || path.iter().rev().skip(1).any(|name| MAPS.contains(&name.as_str()))
                || address_holds_secret(text)
        }
        Value::Number(_) => path.last().is_some_and(|name| names_secret(name, false)),
        _ => false,
    }
}

/// Hides every secret of a value.
pub(super) fn hide(value: &mut Value) {
    each_leaf(value, &mut Vec::new(), &mut |path, leaf| {
        if is_secret(path, leaf) {
            *leaf = MARKER.into();
        }
    });
}

/// Every secret text of the tree, for the log.
pub(super) fn secrets(root: &Node) -> Vec<Secret> {
    let mut found: Vec<Secret> = Vec::new();
    collect(root, &mut Vec::new(), &mut found);
    found
}

fn collect(node: &Node, path: &mut Vec<String>, found: &mut Vec<Secret>) {
    match &node.kind {
        Kind::Text(text) | Kind::Filled(text) => {
            let is_new = !found.iter().any(|known| known.expose() == text);
            if is_new && is_secret(path, &Value::String(text.clone())) {
                found.push(Secret::new(text.as_str()));
            }
        }
        Kind::List(items) => {
            for (index, item) in items.iter().enumerate() {
                path.push(index.to_string());
                collect(item, path, found);
                path.pop();
            }
        }
        Kind::Object(entries) => {
            for entry in entries {
                path.push(entry.name.clone());
                collect(&entry.value, path, found);
                path.pop();
            }
        }
        _ => {}
    }
}

/// The text without secrets, comments included; everything else as written. A text that can't be
/// read keeps only what certainly is no secret.
pub(super) fn hide_in_text(text: &str) -> String {
    let Ok(leaves) = leaves_of(text) else { return hide_in_broken(text) };
    let mut splices: Vec<Splice> = Vec::new();
    for leaf in leaves {
        if is_secret(&leaf.path, &leaf.value) {
            splices.push((leaf.range, format!("\"{MARKER}\"")));
        }
    }
    for range in comments_of(text) {
        let comment = text.get(range.clone()).unwrap_or_default();
        let hidden = hide_in_comment(comment);
        if hidden != comment {
            splices.push((range, hidden));
        }
    }
    splice(text, splices)
}

/// Puts secrets back into a new text: a marker becomes what `old` has at the same path, as it is
/// written there (`${NAME}` stays `${NAME}`). `old_values` are the values to look in, first one first.
///
/// # Errors
/// [`Stray`]. A text that can't be read comes back as it is: reading it will tell what is wrong.
pub(super) fn restore_text(new: &str, old: &str, old_values: &[&Value]) -> Result<String, Stray> {
    if !new.contains(MARKER) {
        return Ok(new.to_owned());
    }
    let Ok(leaves) = leaves_of(new) else { return Ok(new.to_owned()) };
    let new_value = super::tree::read_any(new, 0).ok().flatten().map(|node| node.to_json()).unwrap_or_default();
    let mut splices: Vec<Splice> = Vec::new();
    for leaf in leaves.iter().filter(|leaf| has_marker(&leaf.value)) {
        let secret = secret_at(&leaf.path, &leaf.value, &new_value, old_values)?;
        splices.push((leaf.range.clone(), secret.to_string()));
    }
    let mut old_comments: Vec<&str> = comments_of(old).into_iter().filter_map(|range| old.get(range)).collect();
    for range in comments_of(new) {
        let comment = new.get(range.clone()).unwrap_or_default();
        if comment.contains(MARKER) {
            let same = old_comments.iter().position(|old| hide_in_comment(old) == comment);
            let index = same.ok_or_else(|| Stray("a comment".to_owned()))?;
            splices.push((range, old_comments.remove(index).to_owned()));
        }
    }
    Ok(splice(new, splices))
}

/// The same for a value, a patch for example.
///
/// # Errors
/// [`Stray`].
pub(super) fn restore_value(new: &mut Value, old_values: &[&Value]) -> Result<(), Stray> {
    let whole = new.clone();
    let mut stray = None;
    each_leaf(new, &mut Vec::new(), &mut |path, leaf| {
        if has_marker(leaf) {
            match secret_at(path, leaf, &whole, old_values) {
                Ok(secret) => *leaf = secret,
                Err(wrong) => stray = stray.take().or(Some(wrong)),
            }
        }
    });
    stray.map_or(Ok(()), Err)
}

fn has_marker(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.contains(MARKER))
}

/// The old secret at the marker's path. In lists, entries with the same `id` belong together.
fn secret_at(path: &[String], marker: &Value, new: &Value, old_values: &[&Value]) -> Result<Value, Stray> {
    let stray = || Stray(path.join("."));
    if marker.as_str() != Some(MARKER) {
        return Err(stray());
    }
    let found = old_values.iter().find_map(|old| find(path, new, old));
    found.filter(|old| is_secret(path, old)).cloned().ok_or_else(stray)
}

fn find<'v>(path: &[String], new: &Value, old: &'v Value) -> Option<&'v Value> {
    let Some((name, rest)) = path.split_first() else { return Some(old) };
    match (new, old) {
        (Value::Object(new), Value::Object(old)) => find(rest, new.get(name)?, old.get(name)?),
        (Value::Array(new), Value::Array(old)) => {
            let index: usize = name.parse().ok()?;
            let entry = new.get(index)?;
            let same_id = |other: &&Value| other.get("id") == entry.get("id");
            let old = if entry.get("id").is_some() { old.iter().find(same_id)? } else { old.get(index)? };
            find(rest, entry, old)
        }
        _ => None,
    }
}

fn each_leaf(value: &mut Value, path: &mut Vec<String>, visit: &mut impl FnMut(&[String], &mut Value)) {
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                path.push(key.clone());
                each_leaf(value, path, visit);
                path.pop();
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                path.push(index.to_string());
                each_leaf(item, path, visit);
                path.pop();
            }
        }
        leaf => visit(path, leaf),
    }
}

/// A text or number of the text, and where it stands.
struct Leaf {
    range: Range<usize>,
    path: Vec<String>,
    value: Value,
}

fn leaves_of(text: &str) -> Result<Vec<Leaf>, (usize, String)> {
    parsed(text, |root| {
        let mut leaves = Vec::new();
        if let Some(root) = root {
            gather(root, &mut Vec::new(), &mut leaves);
        }
        leaves
    })
}

fn gather(value: Ast<'_>, path: &mut Vec<String>, leaves: &mut Vec<Leaf>) {
    let range = value.start()..value.end();
    match value {
        Ast::StringLit(text) => {
            leaves.push(Leaf { range, path: path.clone(), value: text.value.into_owned().into() });
        }
        Ast::NumberLit(number) => {
            let value = number.value.parse().map_or(Value::Null, Value::Number);
            leaves.push(Leaf { range, path: path.clone(), value });
        }
        Ast::Object(object) => {
            for property in object.properties {
                path.push(property.name.into_string());
                gather(property.value, path, leaves);
                path.pop();
            }
        }
        Ast::Array(array) => {
            for (index, element) in array.elements.into_iter().enumerate() {
                path.push(index.to_string());
                gather(element, path, leaves);
                path.pop();
            }
        }
        Ast::BooleanLit(_) | Ast::NullKeyword(_) => {}
    }
}

fn comments_of(text: &str) -> Vec<Range<usize>> {
    use jsonc_parser::tokens::Token;
    let blanked = text.strip_prefix('\u{feff}').map(|rest| format!("   {rest}"));
    let mut scanner = jsonc_parser::Scanner::new(blanked.as_deref().unwrap_or(text));
    let mut comments = Vec::new();
    while let Ok(Some(token)) = scanner.scan() {
        if matches!(token, Token::CommentLine(_) | Token::CommentBlock(_)) {
            comments.push(scanner.token_start()..scanner.token_end());
        }
    }
    comments
}

/// Hides the value in `// token: 'abc'`: whatever follows a secret's name and a colon on its line.
fn hide_in_comment(comment: &str) -> String {
    let mut lines = Vec::new();
    for line in comment.split('\n') {
        let named = line.match_indices([':', '=']).find(|(at, _)| {
            let before = line.get(..*at).unwrap_or_default().trim_end_matches([' ', '"', '\'', '`']);
            let start = before.rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_').map_or(0, |at| at + 1);
            before.get(start..).is_some_and(|name| names_secret(name, true))
        });
        let value = named.and_then(|(at, _)| line.get(at + 1..).map(|value| (at + 1, value)));
        match value.filter(|(_, value)| !value.trim_end_matches("*/").trim().is_empty()) {
            Some((at, value)) => {
                let end = if value.ends_with("*/") { "*/" } else { "" };
                lines.push(format!("{} {MARKER}{end}", line.get(..at).unwrap_or_default()));
            }
            None => lines.push(line.to_owned()),
        }
    }
    lines.join("\n")
}

/// A text that is no JSON5: of each line only the name before its first colon, and brackets.
fn hide_in_broken(text: &str) -> String {
    let is_plain = |part: &str| {
        let part = part.trim().trim_end_matches(',');
        matches!(part, "true" | "false" | "null") || part.chars().all(|c| "{}[] ".contains(c))
    };
    let is_name = |part: &str| part.chars().all(|c| c.is_ascii_alphanumeric() || "_-$\"'{[, \t".contains(c));
    let mut lines = Vec::new();
    for line in text.lines() {
        let indent = line.get(..line.len() - line.trim_start().len()).unwrap_or_default();
        lines.push(match line.split_once(':') {
            _ if is_plain(line) => line.to_owned(),
            Some((name, rest)) if is_name(name) && is_plain(rest) => line.to_owned(),
            Some((name, _)) if is_name(name) => format!("{name}: {MARKER}"),
            _ => format!("{indent}{MARKER}"),
        });
    }
    lines.join("\n")
}

/// Whether a key has the name of a secret; `many` takes plurals too.
fn names_secret(name: &str, many: bool) -> bool {
    let words = words(name);
    let Some((last, before)) = words.split_last() else { return false };
    let last = if many && last.len() > 3 { last.strip_suffix('s').unwrap_or(last) } else { last };
    let is_kind = |word: &String| KEY_KINDS.contains(&word.as_str());
    WORDS.contains(&last)
        || matches!(last, "apikey" | "privatekey" | "secretkey" | "accesskey" | "seckey")
        || (last == "key" && before.last().is_some_and(|word| is_kind(word) || WORDS.contains(&word.as_str())))
        || name == "serviceAccount"
}

/// `botToken` and `BOT_TOKEN` as `bot`, `token`.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut was_lower = false;
    let mut is_open = false;
    for letter in name.chars() {
        if !letter.is_ascii_alphanumeric() {
            is_open = false;
            continue;
        }
        let begins = !is_open || (letter.is_ascii_uppercase() && was_lower);
        match words.last_mut().filter(|_| !begins) {
            Some(word) => word.push(letter.to_ascii_lowercase()),
            None => words.push(letter.to_ascii_lowercase().to_string()),
        }
        was_lower = !letter.is_ascii_uppercase();
        is_open = true;
    }
    words
}

/// Whether an address carries a user's password or a key in its query.
fn address_holds_secret(text: &str) -> bool {
    let Some((_, rest)) = text.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let query = rest.split_once('?').map_or("", |(_, query)| query);
    authority.contains('@')
        || query
            .split(['&', '#'])
            .any(|pair| pair.split_once('=').is_some_and(|(name, _)| names_secret(name, true) || name == "key"))
}

#[cfg(test)]
#[path = "redact_tests.rs"]
mod tests;
