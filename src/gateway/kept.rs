//! What outlives a restart inside the process though it is on no disk (methods.md 8.4).

use super::Gateway;
use super::heartbeat::Beaten;
use super::presence::Entry;
use super::system_events::SystemEvents;
use crate::wire::event::StateVersion;

/// Handed from one gateway to the next; nothing at the process's start.
#[derive(Debug, Default)]
pub struct Kept {
    /// Lines that wait for a session's next prompt.
    pub(super) system_events: SystemEvents,
    /// The last heartbeat.
    pub last_beat: Option<Beaten>,
    /// Who was here, by key.
    pub(super) presence: Vec<(String, Entry)>,
    /// Clients may compare versions across their own reconnects: these only grow.
    pub(super) versions: Option<StateVersion>,
}

impl Gateway {
    /// Gives away what the next gateway goes on with. This one is over.
    #[must_use]
    pub fn hand_over(&self) -> Kept {
        Kept {
            system_events: self.system_events.take_all(),
            last_beat: self.heart.last(),
            presence: self.presence.known(),
            versions: Some(self.hub.version()),
        }
    }

    /// Takes over who was here, and the versions.
    pub(super) fn resume(&self, presence: Vec<(String, Entry)>, versions: Option<StateVersion>) {
        for (key, entry) in presence {
            self.presence.report(&key, entry, self.uptime_ms());
        }
        if let Some(versions) = versions {
            self.hub.resume(versions);
        }
    }
}
