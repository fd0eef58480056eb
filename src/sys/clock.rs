//! Wall time, monotonic time and sleeping.
//!
//! Durations are decided on the monotonic clock, dates on the wall clock: a board without a clock
//! battery starts in the past and jumps when the network comes up.
#![allow(clippy::disallowed_methods, reason = "the one place that reads the real clock")]

use std::fmt;
use std::future::poll_fn;
use std::path::Path;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime};

use rustix::time::{ClockId, clock_gettime};

use super::LocalFuture;
use crate::limits::CLOCK_MIN_MS;

/// Made by systemd-timesyncd when it has set the clock. The system call that tells the same is closed in our unit
/// (`ProtectClock=`).
const SYNCHRONISED: &str = "/run/systemd/timesync/synchronized";

/// A source of time.
pub trait Clock: fmt::Debug {
    /// Wall time in milliseconds since the Unix epoch. May jump either way.
    fn now_ms(&self) -> u64;

    /// Monotonic time since this clock was made. Never jumps.
    fn elapsed(&self) -> Duration;

    /// Time since the machine was switched on.
    fn since_boot(&self) -> Duration;

    /// Whether the system says that its time comes from a time server.
    fn is_synchronised(&self) -> bool;

    /// Resolves when [`elapsed`](Self::elapsed) has reached `at`; at once if it has already.
    fn sleep_until(&self, at: Duration) -> LocalFuture<'static, ()>;
}

/// The deadline came before the future was ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimedOut;

impl dyn Clock {
    /// Whether the wall clock can be right: a time server has set it, or the machine has run for `patience` without
    /// one, and it shows no time before this program was written.
    pub fn is_set(&self, patience: Duration) -> bool {
        self.now_ms() >= CLOCK_MIN_MS && (self.since_boot() >= patience || self.is_synchronised())
    }

    /// Resolves after `pause`.
    pub fn sleep(&self, pause: Duration) -> LocalFuture<'static, ()> {
        self.sleep_until(self.elapsed().saturating_add(pause))
    }

    /// Runs `future` until it is ready or [`elapsed`](Clock::elapsed) reaches `deadline`.
    ///
    /// # Errors
    /// [`TimedOut`] when the deadline came first; the future is dropped then.
    pub async fn before<F: Future>(&self, deadline: Duration, future: F) -> Result<F::Output, TimedOut> {
        let mut future = pin!(future);
        let mut alarm = self.sleep_until(deadline);
        poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            alarm.as_mut().poll(cx).map(|()| Err(TimedOut))
        })
        .await
    }

    /// Runs `future` for at most `limit`.
    ///
    /// # Errors
    /// [`TimedOut`] when the limit passed first; the future is dropped then.
    pub async fn timeout<F: Future>(&self, limit: Duration, future: F) -> Result<F::Output, TimedOut> {
        self.before(self.elapsed().saturating_add(limit), future).await
    }
}

/// The machine's clocks.
#[derive(Debug)]
pub struct RealClock {
    started: Instant,
}

impl RealClock {
    /// A clock whose monotonic time starts now.
    #[must_use]
    pub fn start() -> Self {
        Self { started: Instant::now() }
    }
}

impl Clock for RealClock {
    fn now_ms(&self) -> u64 {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    fn since_boot(&self) -> Duration {
        let time = clock_gettime(ClockId::Boottime);
        Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0))
    }

    fn is_synchronised(&self) -> bool {
        Path::new(SYNCHRONISED).exists()
    }

    fn sleep_until(&self, at: Duration) -> LocalFuture<'static, ()> {
        let Some(instant) = self.started.checked_add(at) else {
            return Box::pin(std::future::pending());
        };
        Box::pin(async move {
            smol::Timer::at(instant).await;
        })
    }
}
