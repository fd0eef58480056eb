//! Connections for the tests of nodes.

use std::rc::Rc;

use crate::events::Peer;
use crate::events::budget::Budget;
use crate::events::outbox::Outbox;
use crate::events::peer::Admission;
use crate::wire::handshake::{Client, Grant, Offer, Role, Way};
use crate::wire::native::Native;

/// A node's connection without a device.
pub(super) fn node_peer(id: u64, client_id: &str) -> Rc<Peer> {
    peer(id, client_id, None)
}

/// A node's connection with a device.
pub(super) fn with_device(id: u64, client_id: &str, device_id: &str) -> Rc<Peer> {
    peer(id, client_id, Some(device_id.to_owned()))
}

fn peer(id: u64, client_id: &str, device_id: Option<String>) -> Rc<Peer> {
    let client = Client {
        id: client_id.to_owned(),
        display_name: None,
        version: "1".into(),
        platform: "linux".into(),
        device_family: None,
        model_identifier: None,
        mode: "node".into(),
        instance_id: None,
    };
    Rc::new(Peer::new(Admission {
        id,
        conn_id: format!("c{id}"),
        dialect: &Native,
        grant: Grant { role: Role::Node, scopes: Vec::new(), way: Way::SharedSecret, token: None },
        client,
        device_id,
        offer: Offer { commands: vec!["system.run".into()], ..Offer::default() },
        address: None,
        presence_key: None,
        outbox: Rc::new(Outbox::new(100_000, Budget::new(100_000))),
    }))
}
