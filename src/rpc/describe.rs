//! Documents made from the table: `docs/methods.md`, `docs/events.md` and `docs/schema.json`. A test
//! keeps them fresh.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::Table;
use crate::events::EVENTS;
use crate::wire::Access;
use crate::wire::shape::Kind;

/// `docs/methods.md`.
#[must_use]
pub fn methods(table: &Table) -> String {
    let mut out = String::from(
        "# Methods\n\nMade from the table of methods; `tests/docs.rs` keeps it fresh. `*` marks required params.\n",
    );
    for row in table.rows() {
        let _ = write!(out, "\n## {}\n\n{}\n\n", row.name, row.doc);
        if !row.aliases.is_empty() {
            let _ = writeln!(out, "Also: `{}`.", row.aliases.join("`, `"));
        }
        let hidden = if row.listed { "" } else { " Not listed in hello-ok for native clients." };
        let _ = writeln!(out, "Access: {}.{hidden}\n", access(row.access));
        fields(&mut out, &(row.handler.params)());
    }
    out
}

/// Who may call, in a few words.
#[must_use]
pub fn access(access: Access) -> &'static str {
    match access {
        Access::Read => "`operator.read` or `operator.write`",
        Access::Write => "`operator.write`",
        Access::Admin => "`operator.admin`",
        Access::Approvals => "`operator.approvals`",
        Access::Pairing => "`operator.pairing`",
        Access::PairingOrOwnDevice => "`operator.pairing`; a device for itself",
        Access::Node => "role `node`",
        Access::NodeOrRead => "role `node`, `operator.read` or `operator.write`",
    }
}

fn fields(out: &mut String, kind: &Kind) {
    let Kind::Object(shape) = kind else { return };
    if shape.fields.is_empty() {
        out.push_str("No params.\n");
        return;
    }
    out.push_str("| param | is | meaning |\n| --- | --- | --- |\n");
    for field in shape.fields {
        let star = if field.required { "*" } else { "" };
        let _ = writeln!(out, "| `{}`{star} | {} | {} |", field.name(), words(&field.kind), field.doc.trim());
    }
}

fn words(kind: &Kind) -> String {
    match kind {
        Kind::Any => "any".into(),
        Kind::Bool => "boolean".into(),
        Kind::Number => "number".into(),
        Kind::Int { min, max } if *max == i64::MAX || *max == i64::from(u32::MAX) => {
            if *min == i64::MIN {
                "integer".into()
            } else {
                format!("integer ≥ {min}")
            }
        }
        Kind::Int { min, max } => format!("integer {min}…{max}"),
        Kind::Text { min: 0, max: usize::MAX } => "string".into(),
        Kind::Text { min: 1, max: usize::MAX } => "non-empty string".into(),
        Kind::Text { min, max } => format!("string of {min}…{max} characters"),
        Kind::OneOf(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" or "),
        Kind::List { of, .. } => format!("list of {}", words(of)),
        Kind::Map(of) => format!("object of {}", words(of)),
        Kind::Object(shape) => shape.name.to_owned(),
        Kind::OrNull(of) => format!("{} or null", words(of)),
        Kind::Tagged { tag, of } => {
            let branch = |(name, rest): &(&str, Kind)| {
                let Kind::Object(shape) = rest else { return format!("`{name}`") };
                let field = |field: &crate::wire::shape::Field| {
                    format!("{}{}", field.name(), if field.required { "*" } else { "" })
                };
                let fields: Vec<_> = shape.fields.iter().map(field).collect();
                format!("`{name}` with {}", fields.join(", "))
            };
            format!("object whose `{tag}` is {}", of.iter().map(branch).collect::<Vec<_>>().join("; or "))
        }
    }
}

/// `docs/events.md`.
#[must_use]
pub fn events() -> String {
    let mut out = String::from(
        "# Events\n\nMade from the table of events; `tests/docs.rs` keeps it fresh.\n\n| event | guide name | who gets it | slow connections | meaning |\n| --- | --- | --- | --- | --- |\n",
    );
    for kind in EVENTS {
        let audience = match kind.audience {
            crate::wire::event::Audience::Everyone => "everyone",
            crate::wire::event::Audience::Operators => "operators that may read",
            crate::wire::event::Audience::Pairing => "operators with `operator.pairing`",
            crate::wire::event::Audience::Approvals => "operators with `operator.approvals`",
            crate::wire::event::Audience::Direct => "one connection",
        };
        let slow = if kind.drop_if_slow { "miss it" } else { "are closed" };
        let _ = writeln!(out, "| `{}` | `{}` | {audience} | {slow} | {} |", kind.name, kind.guide_name, kind.doc);
    }
    out
}

/// `docs/schema.json`: params and result of every method.
#[must_use]
pub fn schema(table: &Table) -> String {
    let mut methods = Map::new();
    for row in table.rows() {
        methods.insert(
            row.name.to_owned(),
            json!({
                "description": row.doc,
                "params": (row.handler.params)().schema(),
                "result": (row.handler.result)().schema(),
            }),
        );
    }
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Barnacle methods",
        "methods": Value::Object(methods),
    });
    format!("{schema:#}\n")
}

/// `docs/limits.md`.
#[must_use]
pub fn limits() -> String {
    let mut out = String::from(
        "# Limits\n\nMade from `src/limits.rs`; `tests/docs.rs` keeps it fresh. Every buffer has a bound; what hello-ok announces is what is enforced.\n\n## Configurable, under `gateway.limits`\n\n| key | default | range | what | at the bound |\n| --- | --- | --- | --- | --- |\n",
    );
    for row in crate::limits::Limits::ROWS {
        let _ = writeln!(
            out,
            "| `{}` | {} | {}…{} | {} | {} |",
            row.key,
            row.default,
            row.min,
            row.max,
            row.what.trim(),
            row.when_full
        );
    }
    out.push_str("\n## Fixed\n\n| what | value | at the bound |\n| --- | --- | --- |\n");
    for (what, value, when_full) in crate::limits::FIXED {
        let _ = writeln!(out, "| {what} | {value} | {when_full} |");
    }
    out
}
