//! Who may write to an account (methods.md 9.4): pure, from the configuration and one message.

use super::message::{ChatKind, Inbound};
use crate::config::channels::{Account, DmPolicy, EVERYBODY, Group, GroupPolicy};

/// Whether a message is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Welcome,
    /// Its sender gets a code.
    Stranger,
    /// It is passed over in silence.
    Unwanted,
}

/// Whether the account's owner wants a message answered (methods.md 9.4).
#[must_use]
pub fn verdict(account: &Account, message: &Inbound, is_approved: bool) -> Verdict {
    let is_on = |list: &[String]| list.iter().any(|name| name == EVERYBODY || is_sender(name, message));
    if message.chat.kind == ChatKind::Direct {
        return match account.dm_policy {
            DmPolicy::Open => Verdict::Welcome,
            DmPolicy::Disabled => Verdict::Unwanted,
            DmPolicy::Allowlist if is_on(&account.allow_from) => Verdict::Welcome,
            DmPolicy::Allowlist => Verdict::Unwanted,
            DmPolicy::Pairing if is_approved || is_on(&account.allow_from) => Verdict::Welcome,
            DmPolicy::Pairing => Verdict::Stranger,
        };
    }
    let group = account.groups.get(&message.chat.id).or_else(|| account.groups.get(EVERYBODY));
    let is_listed = group.is_some() || account.groups.is_empty();
    let unlisted = Group { enabled: true, require_mention: true, allow_from: None };
    let group = group.unwrap_or(&unlisted);
    let own = group.allow_from.as_deref();
    let senders = own.or(account.group_allow_from.as_deref()).unwrap_or(&account.allow_from);
    let may_write = match account.group_policy {
        // A list of the group's own narrows an open policy too.
        GroupPolicy::Open => own.is_none_or(is_on),
        GroupPolicy::Disabled => false,
        GroupPolicy::Allowlist => is_on(senders),
    };
    let is_wanted = is_listed && group.enabled && may_write && (message.is_for_us || !group.require_mention);
    if is_wanted { Verdict::Welcome } else { Verdict::Unwanted }
}

/// Whether an entry of a list means the sender: its id, or its name with `@`, perhaps behind the channel's.
fn is_sender(name: &str, message: &Inbound) -> bool {
    let bare = name.strip_prefix(message.channel).and_then(|rest| rest.strip_prefix(':')).unwrap_or(name);
    let username = message.sender.username.as_deref();
    bare.eq_ignore_ascii_case(&message.sender.id)
        || bare.strip_prefix('@').is_some_and(|bare| username.is_some_and(|name| bare.eq_ignore_ascii_case(name)))
}

#[cfg(test)]
mod tests {
    use super::super::message::{Chat, Sender};
    use super::*;

    fn message(kind: ChatKind, is_for_us: bool) -> Inbound {
        Inbound {
            channel: "telegram",
            account_id: "default".into(),
            message_id: "1".into(),
            chat: Chat { kind, id: "-5".into(), title: None, thread: None, space: None },
            sender: Sender { id: "77".into(), name: None, username: Some("ann".into()) },
            text: "hi".into(),
            is_for_us,
        }
    }

    fn account(dm_policy: DmPolicy, allow_from: &[&str]) -> Account {
        Account {
            dm_policy,
            allow_from: allow_from.iter().map(|&name| name.to_owned()).collect(),
            ..Account::default()
        }
    }

    #[test]
    fn a_direct_message_is_judged_by_the_policy() {
        let direct = message(ChatKind::Direct, true);
        for (policy, list, is_approved, expected) in [
            (DmPolicy::Pairing, &[][..], false, Verdict::Stranger),
            (DmPolicy::Pairing, &[], true, Verdict::Welcome),
            (DmPolicy::Pairing, &["telegram:77"], false, Verdict::Welcome),
            (DmPolicy::Allowlist, &["@Ann"], false, Verdict::Welcome),
            (DmPolicy::Allowlist, &["78"], false, Verdict::Unwanted),
            (DmPolicy::Allowlist, &[], true, Verdict::Unwanted),
            (DmPolicy::Open, &["*"], false, Verdict::Welcome),
            (DmPolicy::Disabled, &["*"], true, Verdict::Unwanted),
        ] {
            assert_eq!(verdict(&account(policy, list), &direct, is_approved), expected, "{policy:?} {list:?}");
        }
    }

    fn open_group() -> Group {
        Group { enabled: true, require_mention: false, allow_from: None }
    }

    #[test]
    fn a_group_needs_its_policy_its_entry_and_a_mention() {
        let (named, unnamed) = (message(ChatKind::Group, true), message(ChatKind::Group, false));
        let mut account = account(DmPolicy::Pairing, &["77"]);
        assert_eq!(verdict(&account, &named, false), Verdict::Welcome);
        assert_eq!(verdict(&account, &unnamed, false), Verdict::Unwanted);
        account.groups.insert("-5".into(), open_group());
        assert_eq!(verdict(&account, &unnamed, false), Verdict::Welcome);
        account.group_allow_from = Some(vec!["78".into()]);
        assert_eq!(verdict(&account, &named, true), Verdict::Unwanted);
        account.group_policy = GroupPolicy::Open;
        assert_eq!(verdict(&account, &named, false), Verdict::Welcome);
        let own = Group { allow_from: Some(vec!["78".into()]), ..open_group() };
        account.groups.insert("-5".into(), own);
        assert_eq!(verdict(&account, &named, false), Verdict::Unwanted);
        account.groups = [("-6".to_owned(), open_group())].into();
        assert_eq!(verdict(&account, &named, false), Verdict::Unwanted);
        account.group_policy = GroupPolicy::Disabled;
        account.groups.clear();
        assert_eq!(verdict(&account, &named, false), Verdict::Unwanted);
    }
}
