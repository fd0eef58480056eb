//! systemd, or whoever else started the process and speaks its protocol (sd_notify(3)): is told when the gateway is
//! ready, that it is alive, and what it does.
//!
//! Without `NOTIFY_SOCKET` there is nobody, and nothing is sent. A message that can't be sent is logged and left: the
//! gateway serves its clients, whatever its supervisor does.

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use sd_notify::NotifyState;

/// Where messages go.
const SOCKET_VARIABLE: &str = "NOTIFY_SOCKET";
/// Signs of life that fit into the time after which the process is taken for dead.
const BEATS: u32 = 3;
/// Shortest pause between two of them: a supervisor that asks for more keeps a board busy.
const BEAT_MIN: Duration = Duration::from_millis(50);

/// Who is told.
#[derive(Debug, Clone, Copy)]
pub struct Supervisor {
    is_there: bool,
    beat: Option<Duration>,
}

impl Supervisor {
    /// The process's own, if there is one.
    #[must_use]
    pub fn find(env: &BTreeMap<String, String>) -> Self {
        let is_there = env.get(SOCKET_VARIABLE).is_some_and(|socket| !socket.is_empty());
        let watchdog = if is_there { sd_notify::watchdog_enabled() } else { None };
        Self { is_there, beat: watchdog.map(|limit| (limit / BEATS).max(BEAT_MIN)) }
    }

    /// Whether somebody listens.
    #[must_use]
    pub fn is_there(self) -> bool {
        self.is_there
    }

    /// How often it wants to hear that the process is alive; `None` when it doesn't ask.
    #[must_use]
    pub fn beat(self) -> Option<Duration> {
        self.beat
    }

    /// The gateway serves; also the end of a reload.
    pub fn ready(self, status: &str) {
        self.tell(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// The configuration is read again, or the gateway begins anew; [`Supervisor::ready`] has to follow.
    pub fn reloading(self, status: &str) {
        // Not the library's own clock: it counts microseconds in the processor's word, which overflows on 32 bits.
        let now = clock_gettime(ClockId::Monotonic);
        let now_us = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
        self.tell(&[NotifyState::Reloading, NotifyState::MonotonicUsec(now_us), NotifyState::Status(status)]);
    }

    /// The gateway ends.
    pub fn stopping(self) {
        self.tell(&[NotifyState::Stopping, NotifyState::Status("Stopping")]);
    }

    /// The event loop is alive; `status` when it changed.
    pub fn alive(self, status: Option<&str>) {
        match (self.beat, status) {
            (Some(_), Some(status)) => self.tell(&[NotifyState::Watchdog, NotifyState::Status(status)]),
            (Some(_), None) => self.tell(&[NotifyState::Watchdog]),
            (None, Some(status)) => self.tell(&[NotifyState::Status(status)]),
            (None, None) => {}
        }
    }

    fn tell(self, states: &[NotifyState<'_>]) {
        if !self.is_there {
            return;
        }
        if let Err(error) = sd_notify::notify(states) {
            log::warn!("systemd is not told how the gateway does: {error}");
        }
    }
}
