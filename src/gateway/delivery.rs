//! Where an answer goes besides the connected clients: a recipient on a channel.
//!
//! This version has no channels, so every delivery is refused by name.

use std::rc::Rc;

use super::Gateway;
use crate::error::Error;
use crate::stores::Entry;

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

impl Gateway {
    /// Sends a text to a recipient.
    ///
    /// # Errors
    /// `INVALID_REQUEST` `unsupported channel: <id>` for a channel that this gateway doesn't have.
    #[allow(clippy::unused_async, reason = "channels will send over the network")]
    pub async fn deliver(self: &Rc<Self>, target: &DeliveryTarget, _text: &str) -> Result<(), Error> {
        Err(Error::invalid(format!("unsupported channel: {}", target.channel)))
    }
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
