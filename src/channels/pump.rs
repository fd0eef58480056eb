//! Sends what waits in a channel's queue, one message at a time, until it has arrived or is given up.

use std::rc::Rc;
use std::time::Duration;

use super::Channels;
use super::message::{Fault, GivenUp, Receipt};
use super::queue::{Item, Next, Queue};
use crate::limits::{DELIVERY_PAUSE_MAX_MS, DELIVERY_PAUSE_MS, DELIVERY_TRIES, DELIVERY_TRY_MS};

/// Serves the queue until dropped.
pub(super) async fn run(channels: Channels, channel: &'static str, queue: Rc<Queue>) {
    let clock = &channels.0.sys.clock;
    loop {
        let ring = queue.bell.next();
        match queue.next(clock.now_ms()) {
            Next::Item(item) => deliver(&channels, channel, &queue, &item).await,
            Next::Wait(pause) => {
                // Whether the bell rang or the time passed, the queue is looked at.
                let _ = clock.timeout(pause, ring.wait()).await;
            }
            Next::Nothing => ring.wait().await,
        }
    }
}

async fn deliver(channels: &Channels, channel: &'static str, queue: &Queue, item: &Item) {
    match try_parts(channels, channel, queue, item).await {
        Ok(receipt) => {
            if let Some(inlet) = channels.inlet() {
                inlet.delivered(channel, item).await;
            }
            queue.done(&item.id, Ok(receipt));
        }
        Err(Tried { fault: Fault::Refused(reason), .. }) => give_up(channels, channel, queue, item, reason),
        Err(Tried { fault: Fault::Later(reason, after), attempts }) => {
            if attempts + 1 >= DELIVERY_TRIES {
                let reason = format!("{reason} (tried {DELIVERY_TRIES} times)");
                return give_up(channels, channel, queue, item, reason);
            }
            let sys = &channels.0.sys;
            let doubled = DELIVERY_PAUSE_MS.saturating_mul(1 << attempts.min(20)).min(DELIVERY_PAUSE_MAX_MS);
            let pause = sys.chance.jitter(Duration::from_millis(doubled), 20).max(after.unwrap_or_default());
            let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(DELIVERY_PAUSE_MAX_MS);
            queue.postponed(&item.id, sys.clock.now_ms().saturating_add(pause_ms), &reason);
        }
    }
}

/// A try that failed, and how many failed before it.
struct Tried {
    fault: Fault,
    attempts: u32,
}

/// Sends the parts that have not arrived yet; what the service said about the last one.
async fn try_parts(channels: &Channels, channel: &'static str, queue: &Queue, item: &Item) -> Result<Receipt, Tried> {
    let clock = &channels.0.sys.clock;
    let parts = item.parts();
    let count = parts.len();
    let mut attempts = item.attempts;
    let mut last = Receipt::default();
    for (index, part) in parts.into_iter().enumerate().skip(item.sent_parts) {
        // Looked up for each part: the configuration may have changed meanwhile.
        let seat = channels.seat(channel, &item.account_id).filter(|seat| seat.problem().is_none());
        let Some((seat, service)) = seat.and_then(|seat| Some((Rc::clone(&seat), seat.channel.clone()?))) else {
            let reason = format!("account {} is not there or switched off", item.account_id);
            return Err(Tried { fault: Fault::Later(reason, None), attempts });
        };
        let sent = clock.timeout(Duration::from_millis(DELIVERY_TRY_MS), service.send(part)).await;
        // A service that answers at once must not keep the others from their turn.
        smol::future::yield_now().await;
        match sent.unwrap_or_else(|_| Err(Fault::Later("the service took too long".to_owned(), None))) {
            Ok(receipt) => {
                last = receipt;
                seat.health.sent(clock.now_ms());
                if index + 1 < count {
                    queue.progressed(&item.id, index + 1);
                    attempts = 0;
                }
            }
            Err(fault) => return Err(Tried { fault, attempts }),
        }
    }
    Ok(last)
}

fn give_up(channels: &Channels, channel: &'static str, queue: &Queue, item: &Item, reason: String) {
    log::warn!("channel {channel}, account {}: a message is given up: {reason}", item.account_id);
    if let Some(seat) = channels.seat(channel, &item.account_id) {
        seat.health.failed(reason.clone());
    }
    queue.done(&item.id, Err(GivenUp(reason)));
    if let Some(inlet) = channels.inlet() {
        inlet.changed();
    }
}
