//! The connected nodes, by their id (connection.md 6.1).
//!
//! A newer connection of a node takes the place of the older one; only the registered connection can
//! leave. A node that has proved its identity can't be replaced by a client that merely uses its id.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use super::policy::{self, Platform};
use crate::config::gateway::NodeRules;
use crate::events::Peer;
use crate::limits::NODES_SEEN;

/// One connected node.
#[derive(Debug)]
pub struct Node {
    /// Device id, else client id.
    pub id: String,
    /// Its connection.
    pub peer: Rc<Peer>,
    /// What it runs on.
    pub platform: Platform,
    /// What of its offer was taken.
    pub commands: Vec<String>,
    /// Milliseconds since the Unix epoch.
    pub connected_at_ms: u64,
}

/// The connected nodes.
#[derive(Debug, Default)]
pub struct Registry {
    nodes: RefCell<BTreeMap<String, Rc<Node>>>,
    /// Nodes that were here and have left, oldest first.
    seen: RefCell<VecDeque<String>>,
}

/// What became of a registration.
#[derive(Debug)]
pub enum Registered {
    /// It is registered; the older connection with its id, if there was one, has lost its place.
    Done(Option<Rc<Node>>),
    /// The id belongs to a device that is connected, and this client isn't that device.
    Taken,
}

/// The id of a node: that of its device, else that of its program, which all nodes without a device
/// that run it share.
#[must_use]
pub fn node_id(peer: &Peer) -> &str {
    peer.device_id.as_deref().unwrap_or(&peer.client.id)
}

impl Registry {
    /// Registers a node's connection.
    pub fn add(&self, peer: &Rc<Peer>, rules: &NodeRules, now_ms: u64) -> Registered {
        let id = node_id(peer).to_owned();
        let mut nodes = self.nodes.borrow_mut();
        if peer.device_id.is_none() && nodes.get(&id).is_some_and(|older| older.peer.device_id.is_some()) {
            return Registered::Taken;
        }
        let platform = Platform::of(&peer.client.platform, peer.client.device_family.as_deref());
        let node = Rc::new(Node {
            id: id.clone(),
            peer: Rc::clone(peer),
            platform,
            commands: policy::reduce(platform, &peer.offer.commands, rules),
            connected_at_ms: now_ms,
        });
        Registered::Done(nodes.insert(id, node))
    }

    /// A connection is gone; tells whether it was a registered one.
    pub fn remove(&self, peer: &Peer) -> bool {
        let id = node_id(peer);
        let mut nodes = self.nodes.borrow_mut();
        if nodes.get(id).is_none_or(|node| node.peer.id != peer.id) {
            return false;
        }
        nodes.remove(id);
        let mut seen = self.seen.borrow_mut();
        seen.retain(|other| other != id);
        if seen.len() >= NODES_SEEN {
            seen.pop_front();
        }
        seen.push_back(id.to_owned());
        true
    }

    /// The connected node with that id.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<Rc<Node>> {
        self.nodes.borrow().get(id).cloned()
    }

    /// Whether that connection is the one that speaks for its node.
    #[must_use]
    pub fn is_registered(&self, peer: &Peer) -> bool {
        self.nodes.borrow().get(node_id(peer)).is_some_and(|node| node.peer.id == peer.id)
    }

    /// Whether a node with that id has been here since the start.
    #[must_use]
    pub fn was_seen(&self, id: &str) -> bool {
        self.seen.borrow().iter().any(|seen| seen == id)
    }

    /// All connected nodes, by id.
    #[must_use]
    pub fn list(&self) -> Vec<Rc<Node>> {
        self.nodes.borrow().values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{node_peer, with_device};
    use super::*;

    fn add(registry: &Registry, peer: &Rc<Peer>) -> Registered {
        registry.add(peer, &NodeRules::default(), 5)
    }

    #[test]
    fn a_newer_connection_replaces_the_older_and_only_the_registered_one_leaves() {
        let registry = Registry::default();
        let (older, newer) = (node_peer(1, "phone"), node_peer(2, "phone"));
        assert!(matches!(add(&registry, &older), Registered::Done(None)));
        let Registered::Done(Some(replaced)) = add(&registry, &newer) else { panic!("not replaced") };
        assert_eq!(replaced.peer.id, 1);
        assert!(!registry.remove(&older) && registry.is_registered(&newer) && !registry.is_registered(&older));
        assert!(registry.remove(&newer) && registry.find("phone").is_none() && registry.was_seen("phone"));
    }

    #[test]
    fn a_client_without_identity_cannot_take_a_devices_place() {
        let registry = Registry::default();
        let device = with_device(1, "host", "abc");
        assert!(matches!(add(&registry, &device), Registered::Done(None)));
        assert!(matches!(add(&registry, &node_peer(2, "abc")), Registered::Taken));
        assert!(matches!(add(&registry, &with_device(3, "host", "abc")), Registered::Done(Some(_))));
        assert!(matches!(add(&registry, &node_peer(4, "host")), Registered::Done(None)));
    }

    #[test]
    fn nodes_that_left_are_remembered_within_a_bound() {
        let registry = Registry::default();
        for number in 0..=NODES_SEEN as u64 {
            let peer = node_peer(number, &format!("n{number}"));
            assert!(matches!(add(&registry, &peer), Registered::Done(None)));
            assert!(registry.remove(&peer));
        }
        assert!(!registry.was_seen("n0") && registry.was_seen("n1"));
        assert_eq!(registry.seen.borrow().len(), NODES_SEEN);
    }
}
