//! Events: the table of all kinds, and the way from `emit` to each connection's outbox.
//!
//! The hub never waits: it encodes an event at most once per dialect and hands the shared bytes to
//! the outboxes, which are bounded.

pub mod budget;
pub mod following;
pub mod hub;
pub mod outbox;
pub mod peer;

pub use hub::Hub;
pub use peer::Peer;

use crate::wire::event::{Audience, Kind};

/// Sent to a native connection at once after the upgrade.
pub static CHALLENGE: Kind = Kind {
    name: "connect.challenge",
    guide_name: "connect.challenge",
    audience: Audience::Direct,
    drop_if_slow: false,
    versioned: false,
    doc: "A nonce that a device signs in its handshake.",
};

/// Progress of a run.
pub static AGENT: Kind = Kind {
    name: "agent",
    guide_name: "agent.event",
    audience: Audience::Operators,
    drop_if_slow: false,
    versioned: false,
    doc: "Progress of a run: its start and end, what the model says, the tools it uses.",
};

/// The state of a chat turn.
pub static CHAT: Kind = Kind {
    name: "chat",
    guide_name: "chat.event",
    audience: Audience::Operators,
    drop_if_slow: false,
    versioned: false,
    doc: "The state of a chat turn: delta (at most every 150 ms), final, aborted or error.",
};

/// A piece of an answer, superseded by the next one, so a slow connection may miss it.
pub static CHAT_DELTA: Kind = Kind { drop_if_slow: true, ..COPY_OF_CHAT };

const COPY_OF_CHAT: Kind = Kind {
    name: "chat",
    guide_name: "chat.event",
    audience: Audience::Operators,
    drop_if_slow: false,
    versioned: false,
    doc: "",
};

/// The presence list changed.
pub static PRESENCE: Kind = Kind {
    name: "presence",
    guide_name: "presence",
    audience: Audience::Operators,
    drop_if_slow: true,
    versioned: true,
    doc: "The whole presence list, after a client left or reported itself.",
};

/// The heartbeat of the connection.
pub static TICK: Kind = Kind {
    name: "tick",
    guide_name: "tick",
    audience: Audience::Everyone,
    drop_if_slow: true,
    versioned: false,
    doc: "The gateway is alive; sent every policy.tickIntervalMs.",
};

/// The gateway is about to stop.
pub static SHUTDOWN: Kind = Kind {
    name: "shutdown",
    guide_name: "shutdown",
    audience: Audience::Everyone,
    drop_if_slow: false,
    versioned: false,
    doc: "The gateway stops or restarts; restartExpectedMs tells when to come back.",
};

/// A new health snapshot.
pub static HEALTH: Kind = Kind {
    name: "health",
    guide_name: "health",
    audience: Audience::Operators,
    drop_if_slow: true,
    versioned: true,
    doc: "The health snapshot, every minute and after clients connected.",
};

/// An agent has looked around by itself.
pub static HEARTBEAT: Kind = Kind {
    name: "heartbeat",
    guide_name: "heartbeat",
    audience: Audience::Operators,
    drop_if_slow: true,
    versioned: false,
    doc: "An agent's heartbeat ended or was skipped: status, reason, where its answer went.",
};

/// A scheduled job has changed or ran.
pub static CRON: Kind = Kind {
    name: "cron",
    guide_name: "cron",
    audience: Audience::Operators,
    drop_if_slow: true,
    versioned: false,
    doc: "A scheduled job was added, updated, removed, started or finished.",
};

/// A device waits for approval.
pub static DEVICE_PAIR_REQUESTED: Kind = Kind {
    name: "device.pair.requested",
    guide_name: "device.pair.requested",
    audience: Audience::Pairing,
    drop_if_slow: true,
    versioned: false,
    doc: "A device waits for approval; the payload is its request.",
};

/// A device's request was approved or rejected.
pub static DEVICE_PAIR_RESOLVED: Kind = Kind {
    name: "device.pair.resolved",
    guide_name: "device.pair.resolved",
    audience: Audience::Pairing,
    drop_if_slow: true,
    versioned: false,
    doc: "A device's request was approved or rejected.",
};

/// A node of the older transport asks to be paired.
pub static NODE_PAIR_REQUESTED: Kind = Kind {
    name: "node.pair.requested",
    guide_name: "node.pair.requested",
    audience: Audience::Pairing,
    drop_if_slow: true,
    versioned: false,
    doc: "`node.pair.request` made a request; the payload is the request.",
};

/// Such a request was approved or rejected.
pub static NODE_PAIR_RESOLVED: Kind = Kind {
    name: "node.pair.resolved",
    guide_name: "node.pair.resolved",
    audience: Audience::Pairing,
    drop_if_slow: true,
    versioned: false,
    doc: "A node's request was approved or rejected.",
};

/// Somebody on a channel waits for the owner's approval.
pub static CHANNEL_PAIR_REQUESTED: Kind = Kind {
    name: "channels.pair.requested",
    guide_name: "channels.pair.requested",
    audience: Audience::Pairing,
    drop_if_slow: true,
    versioned: false,
    doc: "Somebody wrote on a channel and waits for approval; the payload is the request, with its code.",
};

/// The owner has decided about that person.
pub static CHANNEL_PAIR_RESOLVED: Kind = Kind {
    name: "channels.pair.resolved",
    guide_name: "channels.pair.resolved",
    audience: Audience::Pairing,
    drop_if_slow: true,
    versioned: false,
    doc: "Somebody on a channel was let in or sent away.",
};

/// Whether people talk to the assistant, and where in a conversation they are.
pub static TALK_MODE: Kind = Kind {
    name: "talk.mode",
    guide_name: "talk.mode",
    audience: Audience::Operators,
    drop_if_slow: true,
    versioned: false,
    doc: "Talk mode was switched on or off, or has reached another phase.",
};

/// A gateway's call to a node.
pub static NODE_INVOKE_REQUEST: Kind = Kind {
    name: "node.invoke.request",
    guide_name: "node.invoke.request",
    audience: Audience::Direct,
    drop_if_slow: false,
    versioned: false,
    doc: "A command for this node, which answers with node.invoke.result.",
};

/// The words that wake a listening device.
pub static VOICEWAKE_CHANGED: Kind = Kind {
    name: "voicewake.changed",
    guide_name: "voicewake.changed",
    audience: Audience::Everyone,
    drop_if_slow: true,
    versioned: false,
    doc: "The words that wake a listening device; also sent to a node after it connected.",
};

/// Somebody is asked whether a command may run.
pub static EXEC_APPROVAL_REQUESTED: Kind = Kind {
    name: "exec.approval.requested",
    guide_name: "exec.approval.requested",
    audience: Audience::Approvals,
    drop_if_slow: true,
    versioned: false,
    doc: "A command waits for somebody to allow or deny it, until expiresAtMs.",
};

/// Somebody has answered.
pub static EXEC_APPROVAL_RESOLVED: Kind = Kind {
    name: "exec.approval.resolved",
    guide_name: "exec.approval.resolved",
    audience: Audience::Approvals,
    drop_if_slow: true,
    versioned: false,
    doc: "A waiting command was allowed or denied; not sent when nobody decided in time.",
};

/// Every kind, in the order in which hello-ok lists them.
pub static EVENTS: &[&Kind] = &[
    &CHALLENGE,
    &AGENT,
    &CHAT,
    &PRESENCE,
    &TICK,
    &TALK_MODE,
    &SHUTDOWN,
    &HEALTH,
    &HEARTBEAT,
    &CRON,
    &NODE_PAIR_REQUESTED,
    &NODE_PAIR_RESOLVED,
    &NODE_INVOKE_REQUEST,
    &DEVICE_PAIR_REQUESTED,
    &DEVICE_PAIR_RESOLVED,
    &VOICEWAKE_CHANGED,
    &EXEC_APPROVAL_REQUESTED,
    &EXEC_APPROVAL_RESOLVED,
    &CHANNEL_PAIR_REQUESTED,
    &CHANNEL_PAIR_RESOLVED,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_kind_has_a_sentence_and_names_of_its_own() {
        for (index, kind) in EVENTS.iter().enumerate() {
            assert!(kind.doc.ends_with('.'), "{}", kind.name);
            for other in EVENTS.iter().skip(index + 1) {
                assert_ne!(kind.name, other.name);
                assert_ne!(kind.guide_name, other.guide_name);
            }
        }
    }
}
