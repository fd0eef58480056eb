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

/// All methods, in the order in which hello-ok lists them.
pub const GROUPS: &[&[Method]] = &[
    system::METHODS,
    logs::METHODS,
    usage::METHODS,
    approvals::METHODS,
    voice::METHODS,
    speech::METHODS,
    config::METHODS,
    wizard::METHODS,
    update::METHODS,
    skills::METHODS,
    agents::METHODS,
    sessions::METHODS,
    sessions_change::METHODS,
    node_pairing::METHODS,
    devices::METHODS,
    agent_run::METHODS,
    nodes::METHODS,
    node_side::METHODS,
    chat::METHODS,
    channels::METHODS,
    channel_pairing::METHODS,
    send::METHODS,
    cron::METHODS,
    heartbeat::METHODS,
    audit::METHODS,
];
