//! Channels: services where people write to the gateway and hear from it.
//!
//! A channel is one file that implements [`Channel`], a row of [`known::CATALOGUE`], and an arm of [`make`].
//! [`Channels`] keeps one seat for each configured account, runs and restarts it, and sends through a
//! bounded queue on disk. Nothing here knows sessions or agents: what comes in goes through an [`Inlet`].

pub mod account;
pub mod chunk;
pub mod inbox;
pub mod known;
pub mod loopback;
pub mod message;
pub mod policy;
mod pump;
pub mod queue;
mod queue_line;
pub mod registry;
pub mod status;
pub mod strangers;
pub mod target;

use std::fmt;
use std::rc::Rc;

use serde_json::{Map, Value};

use crate::config::channels::Account;
use crate::sys::{LocalFuture, Sys};
use account::Health;
use message::{Fault, Inbound, Part, Receipt, Taken};
use queue::Item;
pub use registry::{Channels, Seat};

/// One account on a service.
pub trait Channel: fmt::Debug {
    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// Keeps the connection to the service and hands over what comes in. Resolves when the connection is
    /// lost, with the reason; it is started again after a pause. Dropping it stops the account.
    fn serve(self: Rc<Self>, door: Door) -> LocalFuture<'static, String>;

    /// Sends one part of a message, or a poll. It may be asked again for a part that it has sent already,
    /// after a power cut: where the service allows, it recognises [`Part::id`].
    fn send(self: Rc<Self>, part: Part) -> LocalFuture<'static, Result<Receipt, Fault>>;

    /// What `channels.status` tells about the account beside the common fields.
    fn details(&self) -> Map<String, Value>;

    /// Asks the service whether the account works; what `channels.status` shows as `probe`.
    fn probe(self: Rc<Self>) -> LocalFuture<'static, Value>;

    /// Forgets the account's link to the service; whether there was something to forget.
    fn log_out(&self) -> bool;
}

/// What a channel can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Most options of a poll; `None` when it has no polls.
    pub poll_options_max: Option<usize>,
    /// Whether it sends media by URL.
    pub media: bool,
}

/// What takes messages that came in: the gateway.
pub trait Inlet: fmt::Debug {
    /// Takes a message. Resolves when it is durable, or when it is clear that it is not wanted; a channel
    /// confirms it to the service only then.
    fn take(&self, message: Inbound) -> LocalFuture<'static, Taken>;

    /// A message out of the queue has arrived. It leaves the queue when this resolves.
    fn delivered(&self, channel: &'static str, item: &Item) -> LocalFuture<'static, ()>;

    /// Something that `channels.status` tells has changed.
    fn changed(&self);
}

/// The way in for one account.
#[derive(Debug, Clone)]
pub struct Door {
    inlet: Rc<dyn Inlet>,
    health: Rc<Health>,
    sys: Sys,
}

impl Door {
    /// The connection to the service stands.
    pub fn connected(&self) {
        self.health.connected(self.sys.clock.now_ms());
        self.inlet.changed();
    }

    /// Hands a message over; see [`Inlet::take`].
    pub async fn take(&self, message: Inbound) -> Taken {
        self.health.heard(self.sys.clock.now_ms());
        self.inlet.take(message).await
    }
}

/// Makes the account of a channel; `None` when this version doesn't have the channel.
#[must_use]
pub fn make(sys: &Sys, channel: &str, account_id: &str, _config: &Account) -> Option<Rc<dyn Channel>> {
    match channel {
        known::LOOPBACK => Some(Rc::new(loopback::Loopback::new(sys, account_id, Rc::default()))),
        _ => None,
    }
}
