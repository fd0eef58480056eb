//! The methods, a file for each domain. A method is one row, its types and its function.
//!
//! Methods know no socket and no dialect. To add one, add a row to its file; to add a domain, add a
//! file and a line to [`GROUPS`].

pub mod agent_run;
pub mod agents;
pub mod approvals;
pub mod audit;
pub mod channel_pairing;
pub mod channels;
pub mod chat;
pub mod config;
pub mod cron;
pub mod devices;
pub mod heartbeat;
pub mod logs;
pub mod node_pairing;
pub mod node_side;
pub mod nodes;
pub mod send;
pub mod sessions;
pub mod sessions_change;
pub mod skills;
pub mod speech;
pub mod system;
pub mod update;
pub mod usage;
pub mod voice;
pub mod wizard;

use crate::rpc::Method;

/// All methods, in the order in which hello-ok lists them: the reference's (connection.md 2.4), and
/// behind it what only this gateway has. The reference mixes domains, so a domain may have several groups.
pub const GROUPS: &[&[Method]] = &[
    system::HEALTH,
    logs::METHODS,
    channels::METHODS,
    system::STATUS,
    usage::METHODS,
    speech::METHODS,
    config::METHODS,
    approvals::METHODS,
    wizard::METHODS,
    voice::TALK,
    agents::METHODS,
    skills::METHODS,
    update::METHODS,
    voice::WAKE_WORDS,
    sessions::METHODS,
    sessions_change::METHODS,
    heartbeat::METHODS,
    node_pairing::METHODS,
    devices::METHODS,
    nodes::METHODS,
    node_side::METHODS,
    cron::METHODS,
    system::PRESENCE,
    send::METHODS,
    agent_run::AGENT,
    agents::IDENTITY,
    agent_run::WAIT,
    chat::METHODS,
    devices::REMOVAL,
    channel_pairing::METHODS,
    audit::METHODS,
    system::CONNECT,
];
