//! Laws of the table of methods, and who may call what beside the reference.

use std::collections::BTreeMap;
use std::rc::Rc;

use barnacle::events::EVENTS;
use barnacle::events::budget::Budget;
use barnacle::events::outbox::Outbox;
use barnacle::events::peer::{Admission, Peer};
use barnacle::methods::GROUPS;
use barnacle::rpc::{Table, access};
use barnacle::wire::handshake::{Client, Grant, Role, Way};
use barnacle::wire::{DIALECTS, Dialect};

/// The reference's methods in the order of its hello-ok (connection.md 2.4), ours behind them, and last those that it
/// hides; each with its scope (4.2) and the guide's wider rules in both dialects (docs/dialects.md).
const REFERENCE: &[(&str, &str)] = &[
    ("health", "read"),
    ("logs.tail", "read"),
    ("channels.status", "read"),
    ("channels.logout", "admin"),
    ("status", "read"),
    ("usage.status", "read"),
    ("usage.cost", "read"),
    ("tts.status", "read"),
    ("tts.providers", "read"),
    ("tts.enable", "write"),
    ("tts.disable", "write"),
    ("tts.convert", "write"),
    ("tts.setProvider", "write"),
    ("config.get", "read"),
    ("config.set", "admin"),
    ("config.apply", "admin"),
    ("config.patch", "admin"),
    ("config.schema", "read"),
    ("exec.approvals.get", "admin"),
    ("exec.approvals.set", "admin"),
    ("exec.approvals.node.get", "admin"),
    ("exec.approvals.node.set", "admin"),
    ("exec.approval.request", "approvals"),
    ("exec.approval.resolve", "approvals"),
    ("wizard.start", "admin"),
    ("wizard.next", "admin"),
    ("wizard.cancel", "admin"),
    ("wizard.status", "admin"),
    ("talk.mode", "write"),
    ("models.list", "read"),
    ("agents.list", "read"),
    ("skills.status", "read"),
    ("skills.bins", "node or read"),
    ("skills.install", "admin"),
    ("skills.update", "admin"),
    ("update.run", "admin"),
    ("voicewake.get", "read"),
    ("voicewake.set", "write"),
    ("sessions.list", "read"),
    ("sessions.preview", "read"),
    ("sessions.patch", "write"),
    ("sessions.reset", "write"),
    ("sessions.delete", "write"),
    ("sessions.compact", "write"),
    ("last-heartbeat", "read"),
    ("set-heartbeats", "admin"),
    ("wake", "write"),
    ("node.pair.request", "pairing"),
    ("node.pair.list", "pairing"),
    ("node.pair.approve", "pairing"),
    ("node.pair.reject", "pairing"),
    ("node.pair.verify", "pairing"),
    ("device.pair.list", "pairing"),
    ("device.pair.approve", "pairing"),
    ("device.pair.reject", "pairing"),
    ("device.token.rotate", "pairing"),
    ("device.token.revoke", "pairing"),
    ("node.rename", "pairing"),
    ("node.list", "read"),
    ("node.describe", "read"),
    ("node.invoke", "write"),
    ("node.invoke.result", "node"),
    ("node.event", "node"),
    ("cron.list", "read"),
    ("cron.status", "read"),
    ("cron.add", "admin"),
    ("cron.update", "admin"),
    ("cron.remove", "admin"),
    ("cron.run", "admin"),
    ("cron.runs", "read"),
    ("system-presence", "read"),
    ("system-event", "admin"),
    ("send", "write"),
    ("agent", "write"),
    ("agent.identity.get", "read"),
    ("agent.wait", "write"),
    ("chat.history", "read"),
    ("chat.abort", "write"),
    ("chat.send", "write"),
    ("device.pair.remove", "pairing"),
    ("channels.pair.list", "pairing"),
    ("channels.pair.approve", "pairing"),
    ("channels.pair.reject", "pairing"),
    ("channels.pair.remove", "pairing"),
    ("audit.list", "admin"),
    ("connect", "admin"),
    ("sessions.resolve", "admin"),
    ("chat.inject", "admin"),
    ("poll", "write"),
    ("web.login.start", "admin"),
    ("web.login.wait", "admin"),
];

/// Methods that the reference doesn't list in hello-ok though they can be called.
const HIDDEN: [&str; 6] = ["connect", "sessions.resolve", "chat.inject", "poll", "web.login.start", "web.login.wait"];

/// The reference's events in the order of its hello-ok (connection.md 2.4).
const REFERENCE_EVENTS: [&str; 18] = [
    "connect.challenge",
    "agent",
    "chat",
    "presence",
    "tick",
    "talk.mode",
    "shutdown",
    "health",
    "heartbeat",
    "cron",
    "node.pair.requested",
    "node.pair.resolved",
    "node.invoke.request",
    "device.pair.requested",
    "device.pair.resolved",
    "voicewake.changed",
    "exec.approval.requested",
    "exec.approval.resolved",
];

fn peer(dialect: &'static dyn Dialect, role: Role, scopes: &[&str]) -> Peer {
    let client = Client {
        id: "test".into(),
        display_name: None,
        version: "1".into(),
        platform: "linux".into(),
        device_family: None,
        model_identifier: None,
        mode: "test".into(),
        instance_id: None,
    };
    Peer::new(Admission {
        id: 1,
        conn_id: "c".into(),
        dialect,
        grant: Grant {
            role,
            scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(),
            way: Way::SharedSecret,
            token: None,
        },
        client,
        device_id: None,
        offer: Default::default(),
        address: None,
        presence_key: None,
        outbox: Rc::new(Outbox::new(1000, Budget::new(1000))),
    })
}

/// What an operator needs for a method that nodes may call too.
fn of_operator(needed: &'static str) -> &'static str {
    needed.strip_prefix("node or ").unwrap_or(needed)
}

fn allows(scope: &str, needed: &str) -> bool {
    scope == "operator.admin"
        || scope == format!("operator.{needed}")
        || (needed == "read" && scope == "operator.write")
}

#[test]
fn names_and_aliases_are_unique_and_well_formed() {
    let mut seen = BTreeMap::new();
    for row in Table::new(GROUPS).rows() {
        for name in std::iter::once(&row.name).chain(row.aliases) {
            assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-')), "{name}");
            assert_eq!(seen.insert(*name, row.name), None, "{name} is there twice");
        }
    }
}

#[test]
fn every_method_and_field_group_is_documented_in_one_sentence() {
    for row in Table::new(GROUPS).rows() {
        assert!(row.doc.ends_with('.') && !row.doc.trim_end_matches('.').contains(". "), "{}: {}", row.name, row.doc);
        assert!(row.doc.starts_with(char::is_uppercase), "{}: {}", row.name, row.doc);
    }
}

#[test]
fn the_table_and_the_reference_list_name_the_same_methods() {
    let table = Table::new(GROUPS);
    let ours: Vec<_> = table.rows().iter().map(|row| row.name).collect();
    for (name, _) in REFERENCE {
        assert!(ours.contains(name), "{name} has no row");
    }
    for name in &ours {
        assert!(REFERENCE.iter().any(|(known, _)| known == name), "{name} is not in the reference list");
    }
    for row in table.rows() {
        assert_eq!(row.listed, !HIDDEN.contains(&row.name), "{}", row.name);
    }
}

#[test]
fn access_is_the_references_for_every_scope_and_dialect() {
    let table = Table::new(GROUPS);
    let scopes = ["operator.read", "operator.write", "operator.admin", "operator.approvals", "operator.pairing", "x"];
    for dialect in DIALECTS {
        for scope in scopes {
            let caller = peer(dialect, Role::Operator, &[scope]);
            for (name, needed) in REFERENCE {
                let (verdict, needed) = (access::check(&caller, table.find(name)), &of_operator(needed));
                if *needed == "node" {
                    assert_eq!(verdict.unwrap_err().message, "unauthorized role: operator", "{name}");
                    continue;
                }
                if allows(scope, needed) {
                    assert!(verdict.is_ok(), "{name} for {scope} on {}", dialect.name());
                } else {
                    let message = verdict.unwrap_err().message;
                    assert_eq!(message, format!("missing scope: operator.{needed}"), "{name} for {scope}");
                }
            }
        }
    }
}

#[test]
fn only_admins_learn_which_names_exist_and_nodes_may_call_only_what_is_theirs() {
    let table = Table::new(GROUPS);
    let native = DIALECTS[0];
    let check = |role, scopes: &[&str], name| access::check(&peer(native, role, scopes), table.find(name));
    for name in ["no.such.method", "toString", "__proto__", ""] {
        assert_eq!(
            check(Role::Operator, &["operator.write"], name).unwrap_err().message,
            "missing scope: operator.admin"
        );
        assert!(check(Role::Operator, &["operator.admin"], name).is_ok());
    }
    for row in table.rows() {
        let is_for_nodes = |(name, needed): &(&str, &str)| *name == row.name && needed.starts_with("node");
        if REFERENCE.iter().any(is_for_nodes) {
            assert!(check(Role::Node, &[], row.name).is_ok(), "{}", row.name);
            continue;
        }
        assert_eq!(check(Role::Node, &["operator.admin"], row.name).unwrap_err().message, "unauthorized role: node");
    }
}

#[test]
fn each_dialect_lists_what_its_documents_promise() {
    let table = Table::new(GROUPS);
    for dialect in DIALECTS {
        let listed = table.listed(dialect);
        let hidden = dialect.name() == "native";
        for name in HIDDEN {
            assert_eq!(listed.contains(&name), !hidden && name != "connect", "{name} on {}", dialect.name());
        }
    }
}

#[test]
fn native_hello_ok_lists_methods_and_events_in_the_references_order_and_ours_behind_them() {
    let native = DIALECTS[0];
    let reference: Vec<_> = REFERENCE.iter().map(|(name, _)| *name).filter(|name| !HIDDEN.contains(name)).collect();
    assert_eq!(Table::new(GROUPS).listed(native), reference);
    let events: Vec<_> = EVENTS.iter().map(|kind| native.event_name(kind)).collect();
    assert!(events.starts_with(&REFERENCE_EVENTS), "{events:?}");
}

#[test]
fn a_dialect_stands_where_its_index_says() {
    for (index, dialect) in DIALECTS.iter().enumerate() {
        assert_eq!(dialect.index(), index, "{}", dialect.name());
    }
}
