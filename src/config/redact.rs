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
/// Words of a comment after which a secret may stand.
const COMMENT_WORDS: &[&str] =
    &["key", "keys", "pass", "pin", "pw", "pwd", "auth", "bearer", "login", "headers", "env", "webhook"];
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

/// The text without secrets, comments included; everything else as written. `None` for a text that can't be
/// read: there nobody can tell what is a secret.
pub(super) fn hide_in_text(text: &str) -> Option<String> {
    let mut splices: Vec<Splice> = Vec::new();
    for leaf in leaves_of(text).ok()? {
        if is_secret(&leaf.path, &leaf.value) {
            splices.push((leaf.range, format!("\"{MARKER}\"")));
        }
    }
    splices.extend(hidden_comments(text));
    Some(splice(text, splices))
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
    let hidden = hidden_comments(old);
    for range in comments_of(new) {
        let comment = new.get(range.clone()).unwrap_or_default();
        if comment.contains(MARKER) {
            let same = hidden.iter().find(|(_, shown)| shown == comment.trim_end());
            let old = same.and_then(|(range, _)| old.get(range.clone()));
            splices.push((range, old.ok_or_else(|| Stray("a comment".to_owned()))?.to_owned()));
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
            let old = match entry.get("id") {
                Some(_) => old.iter().find(same_id)?,
                // One was added or removed: which one, nobody can tell.
                None if old.len() != new.len() => return None,
                None => old.get(index)?,
            };
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

/// The comments that may hold a secret, each with what is shown instead: its number tells it from the others,
/// so that it can be put back. Comments that follow each other are judged as one.
fn hidden_comments(text: &str) -> Vec<Splice> {
    let mut groups: Vec<Vec<Range<usize>>> = Vec::new();
    for range in comments_of(text) {
        let continues = |group: &&mut Vec<Range<usize>>| {
            let between = group.last().and_then(|before| text.get(before.end..range.start));
            between.is_some_and(|between| between.trim().is_empty())
        };
        match groups.last_mut().filter(continues) {
            Some(group) => group.push(range),
            None => groups.push(vec![range]),
        }
    }
    let may_hold = |range: &Range<usize>| text.get(range.clone()).is_some_and(may_hold_secret);
    let ranges = groups.into_iter().filter(|group| group.iter().any(may_hold)).flatten();
    let numbered = ranges.zip(1_usize..).map(|(range, number)| {
        let is_line = text.get(range.clone()).is_some_and(|comment| comment.starts_with("//"));
        let end = if is_line { "" } else { " */" };
        let shown = format!("{} {MARKER} {number}{end}", if is_line { "//" } else { "/*" });
        (range, shown)
    });
    numbered.collect()
}

/// Whether a comment is anything but plain words and settings of numbers.
fn may_hold_secret(comment: &str) -> bool {
    let inner = comment.trim_start_matches(['/', '*']).trim_end_matches(['/', '*']);
    let is_plain = |value: &str| {
        let value = value.trim().trim_end_matches([',', '}', ']', ' ']);
        let is_bracket = value.chars().all(|c| "{}[] ".contains(c));
        is_bracket || matches!(value, "true" | "false" | "null") || value.parse::<f64>().is_ok()
    };
    let sets_a_value = |line: &str| line.split_once([':', '=']).is_some_and(|(_, value)| !is_plain(value));
    let is_quoted = |(at, _): (usize, &str)| {
        let is_letter = |c: Option<char>| c.is_some_and(char::is_alphabetic);
        let after = inner.get(at + 1..).and_then(|rest| rest.chars().next());
        // As in "don't".
        !(inner.get(at..=at) == Some("'")
            && is_letter(inner.get(..at).and_then(|before| before.chars().next_back()))
            && is_letter(after))
    };
    let tells = |word: &str| {
        let is_mixed = word.bytes().any(|byte| byte.is_ascii_digit()) && word.bytes().any(|b| b.is_ascii_alphabetic());
        names_secret(word, true)
            || COMMENT_WORDS.contains(&word.to_ascii_lowercase().as_str())
            || (word.len() >= 8 && is_mixed)
            || word.len() >= 24
    };
    inner.contains(MARKER)
        || inner.contains("://")
        || inner.lines().any(sets_a_value)
        || inner.match_indices(['"', '\'', '`']).any(is_quoted)
        || inner.split(|c: char| !c.is_alphanumeric() && !"_-+/.".contains(c)).any(tells)
}

/// Whether a key has the name of a secret; `many` takes plurals too.
fn names_secret(name: &str, many: bool) -> bool {
    let words = words(name);
    let Some((last, before)) = words.split_last() else { return false };
    let last = if many && last.len() > 3 { last.strip_suffix('s').unwrap_or(last) } else { last };
    let is_kind = |word: &String| KEY_KINDS.contains(&word.as_str());
    let is_webhook = |word: &String| matches!(word.as_str(), "webhook" | "webhooks");
    WORDS.contains(&last)
        || last == "webhook"
        || (matches!(last, "url" | "uri") && before.iter().any(is_webhook))
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

/// Whether an address carries a user's password, a key in its query, or, as those of web hooks do, in its path.
fn address_holds_secret(text: &str) -> bool {
    let Some((_, rest)) = text.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let query = rest.split_once('?').map_or("", |(_, query)| query);
    let path = rest.get(authority.len()..).unwrap_or_default().to_ascii_lowercase();
    authority.contains('@')
        || authority.starts_with("hooks.")
        || path.contains("webhook")
        || path.starts_with("/bot")
        || query
            .split(['&', '#'])
            .any(|pair| pair.split_once('=').is_some_and(|(name, _)| names_secret(name, true) || name == "key"))
}

#[cfg(test)]
#[path = "redact_tests.rs"]
mod tests;
