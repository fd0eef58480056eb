//! Finds a key's row by the path at which it stands in a file, and the key that was probably meant.

use serde_json::Value;

use super::keys::{Type, UNUSED, keys};
use super::tree::join;
use crate::limits::Limits;

/// Whether something in this version reads the key or one below it.
pub(super) fn has_effect(path: &str) -> bool {
    let is_below =
        |row: &str| row.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
    path == LIMITS || keys().any(|row| row.value != Type::Anything && is_below(row.path))
}

/// The defaults that are plain values, by path. Left out are those whose presence alone means something.
pub(super) fn defaults() -> impl Iterator<Item = (&'static str, Value)> {
    let rows = keys().filter(|row| !row.path.contains(['*', '[']) && !row.path.starts_with("session.reset."));
    rows.filter_map(|row| {
        let value = match row.value {
            Type::Choice(names) => names.contains(&row.default).then(|| row.default.into()),
            Type::Whole(..) | Type::Amount | Type::Flag | Type::Texts => serde_json::from_str(row.default).ok(),
            Type::Text(_) | Type::Secret | Type::Anything => None,
        };
        Some((row.path, value?))
    })
}

/// The pattern of channels, of one of them, and of its accounts, which have the keys of a channel.
const CHANNELS: &str = "channels";
const CHANNEL: &str = "channels.*";
const CHANNEL_ACCOUNTS: &str = "channels.*.accounts";
/// The pattern of the limits' keys.
pub(super) const LIMITS: &str = "gateway.limits";

/// What stands at a pattern.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Place {
    /// The type of a plain value, if one may stand here.
    pub(super) value: Option<Type>,
    /// Whether an object may stand here.
    pub(super) object: bool,
    /// Whether a list of objects may stand here.
    pub(super) list: bool,
}

/// What the table says about a pattern; `None` when no key begins with it.
pub(super) fn place(pattern: &str) -> Option<Place> {
    if pattern == LIMITS {
        return Some(Place { value: None, object: true, list: false });
    }
    if let Some(name) = pattern.strip_prefix(LIMITS).and_then(|rest| rest.strip_prefix('.')) {
        let row = Limits::ROWS.iter().find(|row| row.key == name)?;
        return Some(Place { value: Some(Type::Whole(row.min, row.max)), object: false, list: false });
    }
    let mut place = Place { value: None, object: pattern.is_empty(), list: false };
    let mut found = pattern.is_empty();
    for row in keys() {
        let Some(rest) = row.path.strip_prefix(pattern) else { continue };
        match rest.chars().next() {
            None => place.value = Some(row.value),
            Some('.') => place.object = true,
            Some('[') => place.list = true,
            Some(_) => continue,
        }
        found = true;
    }
    found.then_some(place)
}

/// The pattern of a key below a pattern: the key itself, or `*` where any name may stand.
pub(super) fn below(pattern: &str, name: &str) -> Step {
    match pattern {
        // Names of channels are free, but one that nobody knows is a slip worth a warning.
        CHANNELS if name != "defaults" && !super::channels::is_known(name) => return Step::Unused,
        CHANNEL_ACCOUNTS => return Step::Known(CHANNEL.to_owned()),
        _ => {}
    }
    let exact = join(pattern, name);
    if !name.contains(['*', '[', '.']) && !name.is_empty() {
        if place(&exact).is_some() {
            return Step::Known(exact);
        }
        if UNUSED.contains(&exact.as_str()) {
            return Step::Unused;
        }
    }
    let any = join(pattern, "*");
    if place(&any).is_some() { Step::Known(any) } else { Step::Unknown }
}

/// The type that the table asks for at a path whose list positions are numbers.
pub(super) fn type_at(path: &[String]) -> Option<Type> {
    let mut pattern = String::new();
    for name in path {
        let here = place(&pattern)?;
        pattern = match below(&pattern, name) {
            _ if here.list && name.bytes().all(|byte| byte.is_ascii_digit()) => format!("{pattern}[]"),
            Step::Known(pattern) => pattern,
            Step::Unused | Step::Unknown => return None,
        };
    }
    place(&pattern)?.value
}

/// What a key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// In the table, at this pattern.
    Known(String),
    /// A key of the field's original without use here.
    Unused,
    /// Neither.
    Unknown,
}

/// The known key that `name` below `pattern` was probably meant to be.
pub(super) fn nearest(pattern: &str, name: &str) -> Option<String> {
    let siblings = names_below(pattern);
    let close = siblings
        .iter()
        .map(|known| (distance(&known.to_lowercase(), &name.to_lowercase()), *known))
        .min()
        .filter(|(distance, known)| *distance <= slips(known));
    if let Some((_, known)) = close {
        return Some(known.to_owned());
    }
    let mut elsewhere = keys().map(|row| row.path).filter(|path| path.rsplit('.').next() == Some(name));
    match (elsewhere.next(), elsewhere.next()) {
        (Some(path), None) if !path.contains(['*', '[']) => Some(path.to_owned()),
        _ => None,
    }
}

pub(super) fn names_below(pattern: &str) -> Vec<&'static str> {
    if pattern == LIMITS {
        return Limits::ROWS.iter().map(|row| row.key).collect();
    }
    let mut names: Vec<&'static str> = keys()
        .map(|row| row.path)
        .chain(UNUSED.iter().copied())
        .filter_map(|path| {
            let rest = if pattern.is_empty() { path } else { path.strip_prefix(pattern)?.strip_prefix('.')? };
            rest.split(['.', '[']).next().filter(|name| *name != "*")
        })
        .collect();
    if pattern == "gateway" {
        names.push("limits");
    }
    names.sort_unstable();
    names.dedup();
    names
}

/// How many slips a key forgives; two swapped letters count as two.
fn slips(known: &str) -> usize {
    if known.len() < 4 { 1 } else { (known.len() / 3).max(2) }
}

/// How many letters have to be added, removed or changed. Long names are far from everything.
fn distance(a: &str, b: &str) -> usize {
    if a.len() > 64 || b.len() > 64 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, to) in row.iter_mut().skip(1).zip(b.chars()) {
            let best = (diagonal + usize::from(from != to)).min(left + 1).min(*cell + 1);
            diagonal = std::mem::replace(cell, best);
            left = best;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_traced_to_the_key_that_was_meant() {
        for (pattern, name, expected) in [
            ("gateway", "prot", Some("port")),
            ("gateway", "Port", Some("port")),
            ("gateway", "limit", Some("limits")),
            ("gateway.limits", "maxPayloads", Some("maxPayload")),
            ("", "port", Some("gateway.port")),
            ("", "agent", Some("agents")),
            ("models.providers.*", "apikey", Some("apiKey")),
            ("agents.list[]", "workspce", Some("workspace")),
            ("", "zzzzzz", None),
        ] {
            assert_eq!(nearest(pattern, name).as_deref(), expected, "{pattern} {name}");
        }
    }
}
