//! Whom a text means on a channel: the forms of targets (methods.md 11.3), read once, at the border.

use serde::{Deserialize, Serialize};

use super::message::ChatKind;

/// A recipient on a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The form that the channel sends to.
    pub to: String,
    /// With one person or many.
    pub kind: ChatKind,
    /// The person, group or room, without the words around it.
    pub peer: String,
    /// A topic within a group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<String>,
}

impl Target {
    /// A recipient's text on that channel; `None` when the channel knows no such form.
    #[must_use]
    pub fn parse(channel: &str, text: &str) -> Option<Self> {
        let text = text.trim();
        let bare = without(text, &[&format!("{channel}:"), if channel == "telegram" { "tg:" } else { "" }]);
        if bare.is_empty() || bare.chars().any(char::is_control) {
            return None;
        }
        match channel {
            "telegram" => telegram(bare),
            "whatsapp" => whatsapp(bare),
            "slack" | "discord" => Some(room_or_user(bare)),
            "signal" | "imessage" | "loopback" => Some(group_or_person(bare)),
            "googlechat" => google_chat(bare),
            _ => None,
        }
    }

    /// How the reference writes it in a session's `origin.from` and label.
    #[must_use]
    pub fn from_text(&self, channel: &str) -> String {
        match self.kind {
            ChatKind::Direct => format!("{channel}:{}", self.peer),
            ChatKind::Group | ChatKind::Room => format!("{channel}:{}:{}", self.kind.key_part(), self.peer),
        }
    }

    /// How the reference writes it in `origin.to`, `lastTo` and `deliveryContext.to`; reads back as the same.
    #[must_use]
    pub fn to_text(&self, channel: &str) -> String {
        match (self.kind, channel) {
            (ChatKind::Room, _) | (_, "discord" | "slack") => self.to.clone(),
            _ => format!("{channel}:{}", self.to),
        }
    }
}

fn without<'a>(text: &'a str, prefixes: &[&str]) -> &'a str {
    let is_prefix = |prefix: &&&str| {
        !prefix.is_empty() && text.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix))
    };
    let length = prefixes.iter().find(is_prefix).map_or(0, |prefix| prefix.len());
    text.get(length..).unwrap_or(text).trim()
}

fn direct(to: &str) -> Target {
    Target { to: to.to_owned(), kind: ChatKind::Direct, peer: to.to_owned(), thread: None }
}

/// `77`, `+77`, `@name`, `-100123`, `group:-100123`, each perhaps with `:topic:7`.
fn telegram(text: &str) -> Option<Target> {
    let (chat, thread) = text.split_once(":topic:").map_or((text, None), |(chat, topic)| (chat, Some(topic)));
    let chat = without(chat, &["group:"]);
    // The guide writes an id like a telephone number.
    let chat = chat.strip_prefix('+').unwrap_or(chat);
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let kind = match (chat.strip_prefix('-'), chat.strip_prefix('@')) {
        (Some(digits), _) if is_number(digits) => ChatKind::Group,
        (_, Some(name)) if name.len() > 1 && !name.contains(char::is_whitespace) => ChatKind::Direct,
        _ if is_number(chat) => ChatKind::Direct,
        _ => return None,
    };
    Some(Target { kind, thread: thread.map(str::to_owned), ..direct(chat) })
}

/// `+15551230000` with blanks, dashes and brackets as people write them, or `…@g.us`.
fn whatsapp(text: &str) -> Option<Target> {
    if let Some(id) = text.strip_suffix("@g.us") {
        let fits = !id.is_empty() && id.chars().all(|c| c.is_ascii_digit() || c == '-');
        return fits.then(|| Target { kind: ChatKind::Group, ..direct(text) });
    }
    let number: String = text.chars().filter(|c| !matches!(c, ' ' | '-' | '(' | ')' | '.')).collect();
    let digits = number.strip_prefix('+').unwrap_or(&number);
    let fits = (7..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    fits.then(|| direct(&format!("+{digits}")))
}

/// `channel:C1` or `C1`, `user:U1`. A bare id is taken as a room's, as the reference does.
fn room_or_user(text: &str) -> Target {
    if let Some(user) = text.strip_prefix("user:") {
        return Target { to: text.to_owned(), ..direct(user) };
    }
    let room = text.strip_prefix("channel:").unwrap_or(text);
    Target { to: format!("channel:{room}"), kind: ChatKind::Room, ..direct(room) }
}

fn group_or_person(text: &str) -> Target {
    match text.strip_prefix("group:") {
        Some(group) if !group.is_empty() => Target { to: text.to_owned(), kind: ChatKind::Group, ..direct(group) },
        _ => direct(text),
    }
}

fn google_chat(text: &str) -> Option<Target> {
    let kind = match text.split_once('/')?.0 {
        "users" => ChatKind::Direct,
        "spaces" => ChatKind::Group,
        _ => return None,
    };
    Some(Target { kind, ..direct(text) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_references_forms_are_read() {
        for (channel, text, to, from) in [
            ("telegram", "77", "77", "telegram:77"),
            ("telegram", "telegram:77", "77", "telegram:77"),
            ("telegram", "TG:77", "77", "telegram:77"),
            ("telegram", "@name", "@name", "telegram:@name"),
            ("telegram", "+1234567890", "1234567890", "telegram:1234567890"),
            ("telegram", "-100123", "-100123", "telegram:group:-100123"),
            ("telegram", "telegram:group:-100123:topic:7", "-100123", "telegram:group:-100123"),
            ("whatsapp", "+1 (555) 123-0000", "+15551230000", "whatsapp:+15551230000"),
            ("whatsapp", "123-456@g.us", "123-456@g.us", "whatsapp:group:123-456@g.us"),
            ("slack", "U123", "channel:U123", "slack:channel:U123"),
            ("slack", "user:U1", "user:U1", "slack:U1"),
            ("discord", "channel:5", "channel:5", "discord:channel:5"),
            ("signal", "group:g", "group:g", "signal:group:g"),
            ("googlechat", "spaces/A", "spaces/A", "googlechat:group:spaces/A"),
            ("loopback", "loopback:echo:hi there", "echo:hi there", "loopback:echo:hi there"),
        ] {
            let target = Target::parse(channel, text).unwrap_or_else(|| panic!("{channel} {text}"));
            assert_eq!((target.to.as_str(), target.from_text(channel)), (to, from.to_owned()), "{channel} {text}");
            let again = Target::parse(channel, &target.to_text(channel)).unwrap();
            assert_eq!((again.to, again.kind), (target.to, target.kind), "{channel} {text}");
        }
    }

    #[test]
    fn what_a_channel_cannot_reach_is_no_target() {
        for (channel, text) in [
            ("whatsapp", "garbage!"),
            ("whatsapp", "+12"),
            ("telegram", "some one"),
            ("telegram", "-"),
            ("googlechat", "x"),
            ("loopback", " "),
            ("loopback", "a\nb"),
            ("nosuch", "x"),
        ] {
            assert_eq!(Target::parse(channel, text), None, "{channel} {text:?}");
        }
    }
}
