//! A connection whose frames are numbered as they come, so that their order can be compared too.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::support::Client;

/// How long the gateway may be silent before an answer or event counts as missing.
pub(crate) const PATIENCE: Duration = Duration::from_secs(4);

/// The connection, and what came that nobody has asked for yet.
pub(crate) struct Inbox {
    pub(crate) client: Client,
    unread: Vec<(usize, Value)>,
    count: usize,
    patience: Duration,
}

impl Inbox {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, unread: Vec::new(), count: 0, patience: PATIENCE }
    }

    /// With other patience.
    pub(crate) fn patient(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// The first frame that fits and was not found yet, and the how many-th it is.
    pub(crate) fn find(&mut self, fits: impl Fn(&Value) -> bool) -> Option<(usize, Value)> {
        if let Some(index) = self.unread.iter().position(|(_, frame)| fits(frame)) {
            return Some(self.unread.remove(index));
        }
        // Ticks and the like must not keep it waiting.
        let begun = Instant::now();
        while begun.elapsed() < 3 * self.patience {
            let frame = self.client.next_within(self.patience)?;
            self.count += 1;
            if fits(&frame) {
                return Some((self.count, frame));
            }
            self.unread.push((self.count, frame));
        }
        None
    }
}
