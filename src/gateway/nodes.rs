//! A node comes, goes, or tells what happened to it.

use std::rc::Rc;

use serde_json::json;

use super::Gateway;
use crate::events::{Peer, VOICEWAKE_CHANGED};
use crate::nodes::registry::{Registered, node_id};
use crate::wire::event::{Event, Payload};
use crate::wire::handshake::Role;

/// Close code for a connection that isn't wanted any more.
const POLICY_VIOLATION: u16 = 1008;

impl Gateway {
    /// A connection was let in; a node's takes the place of its older one.
    pub(super) fn node_arrived(&self, peer: &Rc<Peer>) {
        if peer.grant.role != Role::Node {
            return;
        }
        let (config, now_ms) = (self.config.get(), self.sys.clock.now_ms());
        let is_impostor = peer.device_id.is_none() && self.stores.devices.get(node_id(peer)).is_some();
        let registered =
            if is_impostor { Registered::Taken } else { self.nodes.registry.add(peer, &config.gateway.nodes, now_ms) };
        match registered {
            Registered::Done(None) => {}
            Registered::Done(Some(older)) => {
                self.nodes.invokes.gone(older.peer.id);
                older.peer.outbox.close(POLICY_VIOLATION, "replaced by a newer connection");
            }
            Registered::Taken => {
                log::warn!("connection {}: its node id {} belongs to a paired device", peer.conn_id, node_id(peer));
                peer.outbox.close(POLICY_VIOLATION, "node id belongs to a paired device");
                return;
            }
        }
        if let Ok(payload) = serde_json::value::to_raw_value(&json!({"triggers": self.stores.voice_wake.triggers()})) {
            let event = Event { kind: &VOICEWAKE_CHANGED, payload: Payload::Json(payload), state_version: None };
            self.hub.send_event(peer, &event);
        }
    }

    /// The name that the owner gave to a node: with its device, else by its id.
    #[must_use]
    pub fn given_name(&self, node_id: &str) -> Option<String> {
        let device = self.stores.devices.get(node_id).filter(|device| device.has_role(Role::Node.name()));
        device.map_or_else(|| self.stores.node_names.find(node_id), |device| device.label)
    }

    /// A connection is gone, and the answers that it owed with it.
    pub(super) fn node_left(&self, peer: &Peer) {
        if peer.grant.role == Role::Node {
            self.nodes.invokes.gone(peer.id);
            self.nodes.registry.remove(peer);
        }
    }

    /// Tells a session's agent what happened on a node, with its next prompt, and asks for a heartbeat where
    /// that prompt would be one (connection.md 6.4).
    pub fn node_reports(&self, session_key: &str, text: &str) {
        let Ok(key) = self.session_key(session_key) else { return };
        let agent_id = self.agent_of(&key);
        if self.system_events.push(&key, text, self.sys.clock.now_ms()) && key == self.main_key(&agent_id) {
            self.want_heartbeat(&agent_id, "exec-event");
        }
    }
}
