//! The channels that clients know by name (methods.md 11.1), whether or not this version has them.

/// The channel that is the WebSocket itself: sessions are reached over it, nothing is sent to it.
pub const WEBCHAT: &str = "webchat";
/// The channel for tests: what is sent comes back.
pub const LOOPBACK: &str = "loopback";
/// The channel when a request names none (methods.md 11.3).
pub const DEFAULT: &str = "whatsapp";

/// What is known about a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// Its id.
    pub id: &'static str,
    /// Its name for people.
    pub label: &'static str,
    /// The same, longer.
    pub detail_label: &'static str,
    /// A symbol of Apple's set.
    pub system_image: &'static str,
    /// Whether it has polls, on the service's side.
    pub has_polls: bool,
    /// Whether `channels.logout` means something for it.
    pub can_log_out: bool,
}

const fn meta(id: &'static str, label: &'static str, detail_label: &'static str, system_image: &'static str) -> Meta {
    Meta { id, label, detail_label, system_image, has_polls: false, can_log_out: false }
}

/// All channels in the order in which they are listed.
pub const CATALOGUE: &[Meta] = &[
    Meta { has_polls: true, can_log_out: true, ..meta("telegram", "Telegram", "Telegram Bot", "paperplane") },
    Meta { has_polls: true, can_log_out: true, ..meta("whatsapp", "WhatsApp", "WhatsApp Web", "message") },
    Meta { has_polls: true, ..meta("discord", "Discord", "Discord Bot", "bubble.left.and.bubble.right") },
    meta("googlechat", "Google Chat", "Google Chat API", "message.badge"),
    meta("slack", "Slack", "Slack Bot", "number"),
    meta("signal", "Signal", "Signal REST", "antenna.radiowaves.left.and.right"),
    meta("imessage", "iMessage", "iMessage", "message.fill"),
    Meta { has_polls: true, can_log_out: true, ..meta(LOOPBACK, "Loopback", "Loopback Test Channel", "repeat") },
];

/// The channel with that id, in any case of letters.
#[must_use]
pub fn find(id: &str) -> Option<&'static Meta> {
    CATALOGUE.iter().find(|meta| meta.id.eq_ignore_ascii_case(id.trim()))
}

/// Whether a request may name that channel as the way of an answer.
#[must_use]
pub fn is_way(id: &str) -> bool {
    id.eq_ignore_ascii_case(WEBCHAT) || find(id).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::channels::KNOWN;

    #[test]
    fn the_catalogue_has_what_the_configuration_knows() {
        let ids: Vec<_> = CATALOGUE.iter().map(|meta| meta.id).collect();
        assert_eq!(ids, KNOWN.iter().map(|known| known.id).collect::<Vec<_>>());
        assert!(find(" Telegram ").is_some() && find(WEBCHAT).is_none() && is_way("WebChat"));
    }
}
