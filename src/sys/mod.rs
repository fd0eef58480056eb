//! The only door to the outside: time, chance, files, outbound HTTP, other programs and tasks.
//!
//! Everything above this module takes a [`Sys`] and so runs the same on a board and in the
//! simulation (`sys::sim`), where time is virtual, files lose what was not synced, and a seed
//! decides the rest. No other module reads a clock, opens a file or draws a random number.

pub mod bell;
pub mod chance;
pub mod client;
pub mod clock;
pub mod disk;
pub mod files;
pub mod handed;
pub mod host;
pub mod http;
pub mod hyper_io;
pub mod instance;
pub mod knock;
pub mod latch;
pub mod processes;
pub mod reach;
pub mod sandbox;
pub mod sim;
pub mod supervisor;
pub mod tasks;
pub mod tree;
pub mod url;
pub mod zone;

use std::rc::Rc;

use jiff::tz::TimeZone;

pub use bell::Bell;
pub use chance::Chance;
pub use clock::{Clock, TimedOut};
pub use files::Files;
pub use http::Outbound;
pub use latch::Latch;
pub use processes::Processes;
pub use tasks::Tasks;

/// A future that stays on this thread.
pub type LocalFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + 'a>>;

/// The outside world as the gateway sees it. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Sys {
    /// Wall time, monotonic time, sleeping.
    pub clock: Rc<dyn Clock>,
    /// The owner's time zone, for days and the hour at which sessions begin anew.
    pub zone: TimeZone,
    /// Secrets, ids and jitter.
    pub chance: Rc<Chance>,
    /// State on disk.
    pub files: Rc<dyn Files>,
    /// Requests to model providers.
    pub http: Rc<dyn Outbound>,
    /// Other programs.
    pub processes: Rc<dyn Processes>,
    /// Background work.
    pub tasks: Tasks,
}
