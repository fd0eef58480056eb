//! What the gateway remembers: small stores in memory, kept on disk.
//!
//! Functions of a store are synchronous, give back owned values and call nobody; a [`Durable`] tells
//! when a change is on the medium. Nothing is acknowledged to a client before that.

pub mod devices;
mod durable;
pub mod error;
pub mod exec_approvals;
pub mod json_file;
pub mod ledger;
pub mod lines;
mod node_names;
pub mod node_pairs;
pub mod rolling;
pub mod saver;
mod session_checkpoint;
pub mod session_entry;
pub mod session_key;
mod session_load;
mod session_row;
pub mod sessions;
mod speech_prefs;
pub mod stamp;
pub mod tool_pairs;
pub mod transcript_compact;
pub mod transcript_file;
mod transcript_line;
pub mod transcript_read;
pub mod transcripts;
pub mod usage;
mod voice_wake;

pub use devices::DeviceStore;
pub use durable::Durable;
pub use error::StoreError;
pub use exec_approvals::ExecApprovals;
pub use node_names::NodeNames;
pub use node_pairs::NodePairStore;
pub use saver::{Durability, Saver};
pub use session_entry::Entry;
pub use session_key::{KeyRules, SessionKey};
pub use session_load::Problem;
pub use session_row::Row;
pub use sessions::SessionStore;
pub use speech_prefs::SpeechPrefs;
pub use transcript_file::TranscriptFile;
pub use transcripts::TranscriptStore;
pub use usage::UsageStore;
pub use voice_wake::VoiceWake;

use std::rc::Rc;

/// The gateway's stores. Cloning shares them.
#[derive(Debug, Clone)]
pub struct Stores {
    /// Every durable write goes through it.
    pub saver: Saver,
    /// Which sessions there are.
    pub sessions: SessionStore,
    /// What was said in them.
    pub transcripts: TranscriptStore,
    /// Tokens and cost by day.
    pub usage: UsageStore,
    /// Devices that may connect, and those that wait for it.
    pub devices: Rc<DeviceStore>,
    /// Nodes of the older transport.
    pub node_pairs: Rc<NodePairStore>,
    /// Which commands may run without asking.
    pub exec_approvals: ExecApprovals,
    /// The words that wake a listening device.
    pub voice_wake: VoiceWake,
    /// What clients chose about spoken answers.
    pub speech: SpeechPrefs,
    /// Names that an owner gave to nodes.
    pub node_names: NodeNames,
}

#[cfg(test)]
pub(crate) mod bench;
#[cfg(test)]
mod crash_tests;
