//! Messages from channels: who may write, which session it is, the answer and its way back.
//!
//! Strangers get a code or nothing (methods.md 9.4). A message is taken once it is durable in the
//! transcript; the answer goes out through the channel's queue.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::rc::{Rc, Weak};
use std::time::Duration;

use super::commands::{self, Effect};
use super::post::{Memory, Post};
use super::reach::Reach;
use super::{Gateway, envelope};
use crate::channels::message::{Body, ChatKind, Inbound, Taken};
use crate::channels::queue::Item;
use crate::channels::registry::Draft;
use crate::channels::strangers::Asked;
use crate::channels::target::Target;
use crate::channels::{Inlet, known};
use crate::config::channels::{Account, DmPolicy, EVERYBODY, Group, GroupPolicy};
use crate::limits::{INBOUND_CHARS, INBOUND_IDS};
use crate::runs::run::{End, Origin, Run, Stop};
use crate::stores::SessionKey;
use crate::sys::{Latch, LocalFuture};
use crate::wire::message::Block;

/// Messages that were taken not long ago, by channel, account and id.
#[derive(Debug, Default)]
pub struct Seen(RefCell<(BTreeSet<String>, VecDeque<String>)>);

impl Seen {
    fn has(&self, name: &str) -> bool {
        self.0.borrow().0.contains(name)
    }

    fn add(&self, name: String) {
        let (names, order) = &mut *self.0.borrow_mut();
        if !names.insert(name.clone()) {
            return;
        }
        order.push_back(name);
        if order.len() > INBOUND_IDS {
            order.pop_front().map(|oldest| names.remove(&oldest));
        }
    }
}

/// Whether a message is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It is.
    Welcome,
    /// Its sender gets a code.
    Stranger,
    /// It is passed over in silence.
    Unwanted,
}

/// The gateway as channels see it.
#[derive(Debug)]
struct Way(Weak<Gateway>);

impl Inlet for Way {
    fn take(&self, message: Inbound) -> LocalFuture<'static, Taken> {
        let Some(gateway) = self.0.upgrade() else { return Box::pin(std::future::ready(Taken::Busy)) };
        // It goes on when the channel is stopped meanwhile.
        let taken = Rc::new(Latch::new());
        let result = Rc::clone(&taken);
        let tasks = gateway.sys.tasks.clone();
        tasks.detach(async move { result.set(gateway.take(message).await) });
        Box::pin(async move { taken.wait().await })
    }

    fn delivered(&self, channel: &'static str, item: &Item) -> LocalFuture<'static, ()> {
        let Some(gateway) = self.0.upgrade() else { return Box::pin(std::future::ready(())) };
        let item = item.clone();
        Box::pin(async move { gateway.mirror(channel, &item).await })
    }

    fn changed(&self) {
        if let Some(gateway) = self.0.upgrade() {
            gateway.refresh_health();
        }
    }
}

impl Gateway {
    /// Starts the channels; what comes in is answered.
    pub fn open_channels(self: &Rc<Self>) {
        self.channels.open(Rc::new(Way(Rc::downgrade(self))));
    }

    async fn take(self: Rc<Self>, mut message: Inbound) -> Taken {
        let name = format!("{}:{}:{}", message.channel, message.account_id, message.message_id);
        if self.seen.has(&name) {
            return Taken::Ignored;
        }
        message.text = message.text.trim().chars().take(INBOUND_CHARS).collect();
        let taken = self.judge(message).await;
        if taken != Taken::Busy {
            self.seen.add(name);
        }
        taken
    }

    async fn judge(self: &Rc<Self>, message: Inbound) -> Taken {
        let seat = self.channels.seat(message.channel, &message.account_id);
        let Some(account) = seat.and_then(|seat| seat.config.clone()) else { return Taken::Busy };
        let Some(reach) = reach_of(&message).filter(|_| !message.text.is_empty()) else { return Taken::Ignored };
        let sender = &message.sender;
        let strangers = self.channels.strangers();
        let is_approved = strangers.is_approved(message.channel, &message.account_id, &sender.id);
        match verdict(&account, &message, is_approved) {
            Verdict::Welcome => self.answer(message, reach).await,
            Verdict::Unwanted => Taken::Ignored,
            Verdict::Stranger => {
                let asked = strangers.ask(message.channel, &message.account_id, &sender.id, sender.name.as_deref());
                let Asked::New(code) = asked else { return Taken::Ignored };
                if strangers.saved().await.is_err() {
                    return Taken::Busy;
                }
                log::info!("channel {}: somebody new asks to be let in", message.channel);
                let id = &sender.id;
                let text = format!(
                    "I only talk to people my owner knows. Your id is {id}. If the owner wants us to talk, give them this code: {code}"
                );
                self.reply(&reach, text, None);
                Taken::Ignored
            }
        }
    }

    async fn answer(self: &Rc<Self>, message: Inbound, reach: Reach) -> Taken {
        let (agent_id, key) = match self.session_of(&reach) {
            Ok(found) => found,
            Err(error) => {
                log::warn!("channel {}: a message has no session: {error}", message.channel);
                return Taken::Ignored;
            }
        };
        let entry = self.stores.sessions.get(&key);
        if entry.as_ref().is_some_and(|entry| entry.send_policy.as_deref() == Some("deny")) {
            return Taken::Ignored;
        }
        if commands::is_stop(&message.text) {
            self.stop_session(&key, Stop::Phrase).await;
            self.reply(&reach, "Stopped.".to_owned(), None);
            return Taken::Accepted;
        }
        let who = || format!("Identity\nChannel: {}\nId: {}", message.channel, message.sender.id);
        let text = match commands::run(self, &who, &key, &message.text).await {
            Ok(Effect::NotACommand) => message.text.clone(),
            Ok(Effect::Ask(text)) => text,
            Ok(Effect::Reply(text)) => {
                self.reply(&reach, text, None);
                return Taken::Accepted;
            }
            Err(error) => {
                log::warn!("channel {}: a command could not be carried out: {error}", message.channel);
                return Taken::Busy;
            }
        };
        let now_ms = self.sys.clock.now_ms();
        let idle_ms = entry.and_then(|entry| entry.updated_at).and_then(|at| self.jumps.age_ms(&*self.sys.clock, at));
        let label = known::find(message.channel).map_or(message.channel, |meta| meta.label);
        let text = envelope::wrap(&Inbound { text, ..message }, label, idle_ms, now_ms, &self.sys.zone);
        self.put_to_agent(agent_id, key, text, reach).await
    }

    async fn put_to_agent(self: &Rc<Self>, agent_id: String, key: SessionKey, text: String, reach: Reach) -> Taken {
        let run_id = self.sys.chance.uuid();
        let Ok(claim) = self.answers.claim(&run_id) else { return Taken::Busy };
        let posted = self.post(Post {
            run_id,
            shown_key: key.to_string(),
            key,
            agent_id,
            content: vec![Block::Text { text }],
            thinking: None,
            model: None,
            timeout: Duration::from_secs(self.config.get().agents.defaults.timeout_seconds),
            extra_system_prompt: None,
            origin: Origin::Agent,
            label: None,
            reach: Some(reach.clone()),
            renews: true,
            claim,
            memory: Memory { kind: "channel", accepted: None, ended: |_, _| Ok(Rc::from(*b"{}")) },
        });
        let accepted = match posted {
            Ok(posted) => posted.accepted.wait().await,
            Err(error) => Err(error),
        };
        match accepted {
            Ok(run) => {
                let gateway = Rc::clone(self);
                self.sys.tasks.detach(async move { gateway.give_back(&run, &reach).await });
                Taken::Accepted
            }
            Err(error) if error.code.retryable() => Taken::Busy,
            Err(error) => {
                log::warn!("channel {}: a message is not taken: {error}", reach.channel);
                Taken::Ignored
            }
        }
    }

    /// Sends what a run said back to where its message came from.
    async fn give_back(self: Rc<Self>, run: &Run, reach: &Reach) {
        let outcome = run.outcome.wait().await;
        let texts = match &outcome.end {
            End::Completed => outcome.texts.clone(),
            End::Failed(problem) => vec![format!("I could not answer: {problem}")],
            End::Stopped(Stop::Timeout) => vec!["I could not answer in time.".to_owned()],
            End::Stopped(Stop::Rpc | Stop::Phrase | Stop::Shutdown) => Vec::new(),
        };
        for (index, text) in texts.into_iter().enumerate() {
            self.reply(reach, text, Some(format!("answer:{}:{index}", run.ask.run_id)));
        }
    }

    /// Puts a text into the queue towards a chat. A full queue is logged: there is nobody else to tell.
    fn reply(&self, reach: &Reach, text: String, key: Option<String>) {
        let Some(seat) = self.channels.seat(reach.channel, &reach.account_id) else { return };
        if text.trim().is_empty() {
            return;
        }
        let draft = Draft { to: reach.target.to.clone(), key, body: Body::text(text), mirror: None };
        if let Err(error) = self.channels.send(&seat, draft) {
            log::warn!("channel {}: an answer is lost: {error}", reach.channel);
        }
    }
}

/// Where a message came from; `None` for an id that could not be answered.
fn reach_of(message: &Inbound) -> Option<Reach> {
    let chat = &message.chat;
    let word = match (chat.kind, message.channel) {
        (ChatKind::Direct, "slack" | "discord") => "user:",
        (ChatKind::Group, _) => "group:",
        (ChatKind::Direct | ChatKind::Room, _) => "",
    };
    let target = Target::parse(message.channel, &format!("{word}{}", chat.id));
    let target = target.or_else(|| Target::parse(message.channel, &chat.id))?;
    let label = match chat.kind {
        ChatKind::Direct => {
            let username = message.sender.username.as_ref().map_or_else(String::new, |name| format!(" (@{name})"));
            message.sender.name.as_ref().map(|name| format!("{name}{username} id:{}", message.sender.id))
        }
        ChatKind::Group | ChatKind::Room => chat.title.clone(),
    };
    Some(Reach {
        channel: message.channel,
        account_id: message.account_id.clone(),
        target: Target { kind: chat.kind, thread: chat.thread.clone(), ..target },
        space: chat.space.clone(),
        label,
    })
}

/// Whether the account's owner wants a message answered (methods.md 9.4).
fn verdict(account: &Account, message: &Inbound, is_approved: bool) -> Verdict {
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
    let group = account.groups.get(&message.chat.id).or_else(|| account.groups.get(EVERYBODY)).copied();
    let is_listed = group.is_some() || account.groups.is_empty();
    let group = group.unwrap_or(Group { enabled: true, require_mention: true });
    let senders = account.group_allow_from.as_deref().unwrap_or(&account.allow_from);
    let may_write = match account.group_policy {
        GroupPolicy::Open => true,
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
    use super::*;
    use crate::channels::message::{Chat, Sender};

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

    #[test]
    fn a_group_needs_its_policy_its_entry_and_a_mention() {
        let (named, unnamed) = (message(ChatKind::Group, true), message(ChatKind::Group, false));
        let mut account = account(DmPolicy::Pairing, &["77"]);
        assert_eq!(verdict(&account, &named, false), Verdict::Welcome);
        assert_eq!(verdict(&account, &unnamed, false), Verdict::Unwanted);
        account.groups.insert("-5".into(), Group { enabled: true, require_mention: false });
        assert_eq!(verdict(&account, &unnamed, false), Verdict::Welcome);
        account.group_allow_from = Some(vec!["78".into()]);
        assert_eq!(verdict(&account, &named, true), Verdict::Unwanted);
        account.group_policy = GroupPolicy::Open;
        assert_eq!(verdict(&account, &named, false), Verdict::Welcome);
        account.groups = [("-6".to_owned(), Group { enabled: true, require_mention: false })].into();
        assert_eq!(verdict(&account, &named, false), Verdict::Unwanted);
        account.group_policy = GroupPolicy::Disabled;
        account.groups.clear();
        assert_eq!(verdict(&account, &named, false), Verdict::Unwanted);
    }

    #[test]
    fn a_reach_back_is_the_chat_itself() {
        let reach = reach_of(&message(ChatKind::Group, true)).unwrap();
        assert_eq!((reach.target.to.as_str(), reach.target.kind), ("-5", ChatKind::Group));
        let seen = Seen::default();
        for index in 0..2 * INBOUND_IDS {
            seen.add(index.to_string());
        }
        assert!(!seen.has("5") && seen.has(&(2 * INBOUND_IDS - 1).to_string()));
        assert_eq!(seen.0.borrow().0.len(), INBOUND_IDS);
    }
}
