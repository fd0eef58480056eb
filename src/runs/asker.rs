//! On whose word an agent acts: what its tools may do depends on it, not on what a text says.

/// Who asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asker {
    /// A client that may write, or a program with the shared secret.
    Operator(Operator),
    /// Somebody who writes over a channel and may.
    Person(Person),
    /// A paired node, by its id: a voice that it heard.
    Node(String),
    /// The owner's own jobs.
    Schedule,
    /// The agent itself, which looks around now and then; what it finds may have come from anywhere.
    Heartbeat,
    /// A request from elsewhere that wakes an agent.
    Hook,
}

/// A client of the owner's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// How it calls itself.
    pub name: String,
    /// Whether it may decide what needs an approval (`operator.approvals`).
    pub may_approve: bool,
}

/// Somebody on a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The channel.
    pub channel: &'static str,
    /// The account on our side.
    pub account_id: String,
    /// The service's id of the person.
    pub sender_id: String,
    /// The name within the service, without `@`.
    pub username: Option<String>,
    /// The chat in which the person writes, as the channel sends to it.
    pub chat: String,
}

impl Asker {
    /// The name of the way, as policies and the audit log have it: a channel's, or `operator`, `node`,
    /// `schedule`, `heartbeat`, `hook`.
    #[must_use]
    pub fn way(&self) -> &str {
        match self {
            Self::Operator(_) => "operator",
            Self::Person(person) => person.channel,
            Self::Node(_) => "node",
            Self::Schedule => "schedule",
            Self::Heartbeat => "heartbeat",
            Self::Hook => "hook",
        }
    }

    /// A program that shows the shared secret, by how it came.
    #[must_use]
    pub fn with_secret(name: &str) -> Self {
        Self::Operator(Operator { name: name.to_owned(), may_approve: true })
    }

    /// Who it is on that way, for the audit log: `telegram:77`, a client's or a node's name.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Operator(operator) => operator.name.clone(),
            Self::Node(id) => id.clone(),
            Self::Person(person) => format!("{}:{}", person.channel, person.sender_id),
            Self::Schedule | Self::Heartbeat | Self::Hook => self.way().to_owned(),
        }
    }
}

impl Person {
    /// Whether an entry of a list means this person: the id or the name with `@`, perhaps behind the channel's.
    #[must_use]
    pub fn is_called(&self, entry: &str) -> bool {
        let bare = entry.strip_prefix(self.channel).and_then(|rest| rest.strip_prefix(':')).unwrap_or(entry);
        let is_username = |name: &str| self.username.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(name));
        bare.eq_ignore_ascii_case(&self.sender_id) || bare.strip_prefix('@').is_some_and(is_username)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_meant_by_id_or_name_with_or_without_the_channel() {
        let ann = Person {
            channel: "telegram",
            account_id: "default".into(),
            sender_id: "77".into(),
            username: Some("ann".into()),
            chat: "77".into(),
        };
        for entry in ["77", "telegram:77", "@Ann", "telegram:@ann"] {
            assert!(ann.is_called(entry), "{entry}");
        }
        for entry in ["78", "slack:77", "ann", "*", ""] {
            assert!(!ann.is_called(entry), "{entry}");
        }
        assert_eq!((Asker::Person(ann).name().as_str(), Asker::Schedule.way()), ("telegram:77", "schedule"));
    }
}
