//! Where an answer goes besides the connected clients: a recipient on a channel, through its queue; and
//! how a session learns what was sent to its chat.

use std::rc::Rc;
use std::time::Duration;

use super::Gateway;
use super::post::store_error;
use super::reach::Reach;
use crate::channels::known::{self, Meta};
use crate::channels::message::{Body, GivenUp};
use crate::channels::queue::Item;
use crate::channels::registry::{Draft, Seat};
use crate::channels::target::Target;
use crate::error::Error;
use crate::limits::SEND_WAIT_MS;
use crate::runs::run::{End, Run};
use crate::stores::{Durability, Durable, Entry, SessionKey};
use crate::sys::Latch;
use crate::wire::message::{AssistantMessage, Block, Cost, Message, StopReason, Usage};

/// Provider and model of a message that stands in a transcript because it was sent to a channel; clients
/// of the field look for them (methods.md 11.3).
const MIRROR_PROVIDER: &str = "clawdbot";
const MIRROR_MODEL: &str = "delivery-mirror";
const MIRROR_API: &str = "openai-responses";

/// The channel that means the one over which the session was last reached.
pub const LAST: &str = "last";

/// A recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryTarget {
    /// The channel's id.
    pub channel: String,
    /// The recipient on it, in the channel's own form.
    pub to: String,
    /// The account to send from; the channel's default one when `None`.
    pub account_id: Option<String>,
}

impl DeliveryTarget {
    /// The recipient that a session's fields and the caller's wishes lead to: the wished channel, else (or for
    /// `last`) the session's last one; the wished recipient, else the session's last one on that channel.
    /// `None` when one of the two stays unknown.
    #[must_use]
    pub fn of(entry: &Entry, channel: Option<&str>, to: Option<&str>) -> Option<Self> {
        let filled = |text: Option<&str>| text.map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
        let known = entry.delivery_context.clone().unwrap_or_default();
        let last_channel = filled(known.channel.as_deref()).or_else(|| filled(entry.last_channel.as_deref()));
        let last_to = filled(known.to.as_deref()).or_else(|| filled(entry.last_to.as_deref()));
        let wished = filled(channel).map(|channel| channel.to_lowercase()).filter(|channel| channel != LAST);
        let is_last = wished.is_none() || wished == last_channel;
        let channel = wished.or(last_channel)?;
        let account = filled(known.account_id.as_deref()).or_else(|| filled(entry.last_account_id.as_deref()));
        let to = filled(to).or_else(|| last_to.filter(|_| is_last))?;
        Some(Self { channel, to, account_id: account.filter(|_| is_last) })
    }
}

/// A recipient that something can be sent to.
#[derive(Debug)]
pub struct Recipient {
    /// The channel.
    pub meta: &'static Meta,
    /// The account to send from.
    pub seat: Rc<Seat>,
    /// Whom.
    pub target: Target,
}

impl Gateway {
    /// Finds the way to a recipient.
    ///
    /// # Errors
    /// `INVALID_REQUEST` for a channel that nobody knows and for a recipient that the channel can't have;
    /// `NOT_LINKED` when the channel can't be used here.
    pub fn recipient(&self, wish: &DeliveryTarget) -> Result<Recipient, Error> {
        let meta = known::find(&wish.channel)
            .ok_or_else(|| Error::invalid(format!("unsupported channel: {}", wish.channel)))?;
        let target = target_of(meta, &wish.to)?;
        let seat = self.channels.sender(meta, wish.account_id.as_deref())?;
        Ok(Recipient { meta, seat, target })
    }

    /// Sends a text to a recipient. When it resolves, the text has arrived, or waits on disk for further
    /// tries after `SEND_WAIT_MS` of failing ones.
    ///
    /// # Errors
    /// As [`Gateway::recipient`]'s; `UNAVAILABLE` when it can't be queued or the service refuses it.
    pub async fn deliver(self: &Rc<Self>, target: &DeliveryTarget, text: &str) -> Result<(), Error> {
        let recipient = self.recipient(target)?;
        let draft = Draft { to: recipient.target.to, key: None, body: Body::text(text), mirror: None };
        let ticket = self.channels.send(&recipient.seat, draft)?;
        ticket.accepted.wait().await?;
        match self.sys.clock.timeout(Duration::from_millis(SEND_WAIT_MS), ticket.outcome.wait()).await {
            Ok(Err(GivenUp(reason))) => Err(Error::unavailable(reason)),
            Ok(Ok(_)) | Err(_) => Ok(()),
        }
    }

    /// Puts a text into the queue to a recipient; durable when it resolves, and sent as soon as the service takes
    /// it. What waits under the key already is not sent twice. `mirror` is the session that is told.
    ///
    /// # Errors
    /// As [`Gateway::recipient`]'s; `UNAVAILABLE` when it can't be queued.
    pub async fn queue_text(
        &self,
        target: &DeliveryTarget,
        text: &str,
        key: String,
        mirror: Option<&SessionKey>,
    ) -> Result<(), Error> {
        let recipient = self.recipient(target)?;
        let mirror = mirror.map(ToString::to_string);
        let draft = Draft { to: recipient.target.to, key: Some(key), body: Body::text(text), mirror };
        self.channels.send(&recipient.seat, draft)?.accepted.wait().await
    }

    /// Delivers what a run says once it has ended; the latch tells the first failure. It goes on without the
    /// caller.
    pub fn deliver_answer_of(self: &Rc<Self>, run: &Rc<Run>, target: DeliveryTarget) -> Rc<Latch<Result<(), Error>>> {
        let delivered = Rc::new(Latch::new());
        let (gateway, run, result) = (Rc::clone(self), Rc::clone(run), Rc::clone(&delivered));
        self.sys.tasks.detach(async move {
            let outcome = run.outcome.wait().await;
            let texts: &[String] = if outcome.end == End::Completed { &outcome.texts } else { &[] };
            let mut all = Ok(());
            for text in texts.iter().filter(|text| !text.trim().is_empty()) {
                if let Err(error) = gateway.deliver(&target, text).await {
                    log::warn!("an answer is not delivered to {}: {error}", target.channel);
                    all = all.and(Err(error));
                }
            }
            result.set(all);
        });
        delivered
    }

    /// Writes what was sent into the session that the message names (methods.md 11.3). A failure is logged:
    /// the message has arrived all the same.
    pub(super) async fn mirror(&self, channel: &'static str, item: &Item) {
        let (Some(key), Body::Message { text, media_urls }) = (&item.mirror, &item.body) else { return };
        let text = if text.trim().is_empty() { media_urls.join("\n") } else { text.clone() };
        let reach = Target::parse(channel, &item.to).map(|target| Reach {
            channel,
            account_id: item.account_id.clone(),
            target,
            space: None,
            label: None,
        });
        let mirrored = match self.session_key(key) {
            Ok(key) => self.append_mirror(&key, text, reach).await,
            Err(error) => Err(error),
        };
        if let Err(error) = mirrored {
            log::warn!("a message that was sent is not in its session: {error}");
        }
    }

    async fn append_mirror(&self, key: &SessionKey, text: String, reach: Option<Reach>) -> Result<(), Error> {
        let stores = &self.stores;
        // Only the chat's own session learns of the way there.
        let own = reach.filter(|reach| self.session_of(reach).is_ok_and(|(_, session)| session == *key));
        let entry = stores.sessions.update(key, Durability::Forced, |entry| {
            if let Some(reach) = &own {
                reach.went_out(entry);
            }
        });
        let file = entry.and_then(|entry| self.transcript(key, &entry)).map_err(|error| store_error(&error))?;
        let message = Message::Assistant(AssistantMessage {
            content: vec![Block::Text { text }],
            api: MIRROR_API.to_owned(),
            provider: MIRROR_PROVIDER.to_owned(),
            model: MIRROR_MODEL.to_owned(),
            usage: Usage { cost: Some(Cost::default()), ..Usage::default() },
            stop_reason: StopReason::Stop,
            error_message: None,
            timestamp: self.runs.context().timestamp(),
        });
        stores.transcripts.append(&file, &message).map_err(|error| store_error(&error))?;
        let durable = Durable::all([stores.sessions.saved(), stores.transcripts.synced(&file)]);
        durable.await.map_err(|error| store_error(&error))
    }
}

/// A recipient's text as the channel sends to it.
///
/// # Errors
/// `INVALID_REQUEST` that names the forms.
pub fn target_of(meta: &Meta, to: &str) -> Result<Target, Error> {
    let forms = match meta.id {
        // The reference's words.
        "whatsapp" => "<E.164|group JID> or channels.whatsapp.allowFrom[0]",
        "telegram" => "<chat id|@name>",
        "slack" | "discord" => "<channel:ID|user:ID>",
        "googlechat" => "<users/ID|spaces/ID>",
        _ => "<recipient|group:ID>",
    };
    let problem = || Error::invalid(format!("Error: Delivering to {} requires target {forms}", meta.label));
    Target::parse(meta.id, to).ok_or_else(problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(channel: &str, to: &str, account: Option<&str>) -> Option<DeliveryTarget> {
        Some(DeliveryTarget { channel: channel.into(), to: to.into(), account_id: account.map(str::to_owned) })
    }

    #[test]
    fn the_last_channel_is_the_sessions_and_its_recipient_belongs_to_it() {
        let entry = Entry {
            last_channel: Some("telegram".into()),
            last_to: Some("77".into()),
            last_account_id: Some("a".into()),
            ..Entry::default()
        };
        assert_eq!(DeliveryTarget::of(&entry, Some("last"), None), target("telegram", "77", Some("a")));
        assert_eq!(DeliveryTarget::of(&entry, Some("Telegram"), Some("5")), target("telegram", "5", Some("a")));
        assert_eq!(DeliveryTarget::of(&entry, Some("slack"), None), None);
        assert_eq!(DeliveryTarget::of(&entry, Some("slack"), Some("U1")), target("slack", "U1", None));
        assert_eq!(DeliveryTarget::of(&Entry::default(), Some("last"), Some("5")), None);
    }
}
