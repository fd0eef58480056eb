//! Messages from channels: which session it is, the answer and its way back.
//!
//! Strangers get a code or nothing (methods.md 9.4). A message is taken once it is durable in the
//! transcript and in the inbox; the answer goes out through the channel's queue. What a power cut or a stop
//! leaves unanswered is answered after the next start.

use std::rc::{Rc, Weak};
use std::time::Duration;

use super::commands::{self, Effect};
use super::post::{Memory, Post};
use super::reach::Reach;
use super::{Gateway, envelope};
use crate::channels::inbox::{Begun, Owed};
use crate::channels::message::{Body, ChatKind, Inbound, Taken};
use crate::channels::policy::{Verdict, verdict};
use crate::channels::queue::Item;
use crate::channels::registry::Draft;
use crate::channels::strangers::Asked;
use crate::channels::target::Target;
use crate::channels::{Inlet, known};
use crate::limits::{INBOUND_CHARS, OWED_TRIES};
use crate::runs::asker::{Asker, Person};
use crate::runs::run::{Ask, End, Origin, Run, Stop};
use crate::stores::{SessionKey, TranscriptFile};
use crate::sys::{Latch, LocalFuture};
use crate::wire::message::{Block, Message};

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
    /// Starts the channels; what comes in is answered, and what the gateway before left unanswered.
    pub fn open_channels(self: &Rc<Self>) {
        self.channels.open(Rc::new(Way(Rc::downgrade(self))));
        for owed in self.channels.inbox().owed() {
            self.answer_again(owed);
        }
    }

    async fn take(self: Rc<Self>, mut message: Inbound) -> Taken {
        let name = name_of(&message);
        let inbox = self.channels.inbox();
        match inbox.begin(&name) {
            Begun::New => {}
            Begun::UnderWay => return Taken::Busy,
            Begun::Before => return Taken::Ignored,
        }
        message.text = message.text.trim().chars().take(INBOUND_CHARS).collect();
        let taken = self.judge(message).await;
        if taken == Taken::Busy {
            inbox.give_back(&name);
        } else {
            inbox.taken(&name);
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
                    // Nobody was told the code, so the next message makes another.
                    strangers.withdraw(&code);
                    return Taken::Busy;
                }
                log::info!(
                    "channel {}: somebody new asks to be let in; see them with: barnacle channels",
                    message.channel
                );
                self.tell_stranger(&code);
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
        let asker = Asker::Person(person_of(&message, &reach));
        let text = match commands::run(self, &asker, &who, &key, &message.text).await {
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
        let (name, person) = (name_of(&message), person_of(&message, &reach));
        let text = envelope::wrap(&Inbound { text, ..message }, label, idle_ms, now_ms, &self.sys.zone);
        self.put_to_agent(name, person, agent_id, key, text, reach).await
    }

    async fn put_to_agent(
        self: &Rc<Self>,
        name: String,
        person: Person,
        agent_id: String,
        key: SessionKey,
        text: String,
        reach: Reach,
    ) -> Taken {
        if !self.channels.inbox().has_room() {
            return Taken::Busy;
        }
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
            asker: Asker::Person(person.clone()),
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
                let kept = match self.channels.inbox().owe(owed(name, &person, &run, &reach)) {
                    Ok(durable) => durable.await,
                    Err(error) => Err(error),
                };
                if let Err(error) = kept {
                    // It is in the transcript and will be answered, if nothing ends the gateway before that.
                    log::warn!("channel {}: a message may be answered again after a restart: {error}", reach.channel);
                }
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

    /// Answers what the gateway before took and did not answer.
    fn answer_again(self: &Rc<Self>, owed: Owed) {
        let inbox = self.channels.inbox();
        let (Some(meta), Ok(key)) = (known::find(&owed.channel), self.session_key(&owed.session_key)) else {
            inbox.given(&owed.run_id);
            return;
        };
        let reach = Reach {
            channel: meta.id,
            account_id: owed.account_id.clone(),
            target: owed.target.clone(),
            space: owed.space.clone(),
            label: owed.label.clone(),
        };
        let person = Person {
            channel: meta.id,
            account_id: owed.account_id.clone(),
            sender_id: owed.sender_id.clone(),
            username: owed.username.clone(),
            chat: owed.target.to.clone(),
        };
        let entry = self.stores.sessions.get(&key).filter(|entry| entry.session_id.as_ref() == Some(&owed.session_id));
        // A session that has begun anew since then wants no answer to what was said before.
        let Some(Ok(file)) = entry.map(|entry| self.transcript(&key, &entry)) else {
            inbox.given(&owed.run_id);
            return;
        };
        if self.channels.waits(meta.id, &answer_key(&owed.run_id, 0)) {
            inbox.given(&owed.run_id);
            return;
        }
        if !self.holds(&file, owed.message_ts) {
            inbox.lost(&owed.name);
            return;
        }
        if owed.tries >= OWED_TRIES {
            let text = "I was interrupted before I could answer your last message. Please send it again.";
            self.reply(&reach, text.to_owned(), Some(answer_key(&owed.run_id, 0)));
            inbox.given(&owed.run_id);
            return;
        }
        if let Err(error) = inbox.owe(Owed { tries: owed.tries + 1, ..owed.clone() }) {
            log::warn!("channel {}: {error}", meta.id);
        }
        log::info!("channel {}: a message from before the start is answered now", meta.id);
        let run = self.runs.expect(Ask {
            run_id: owed.run_id,
            shown_key: key.to_string(),
            key,
            file,
            agent_id: owed.agent_id,
            message_ts: owed.message_ts,
            thinking: None,
            model: None,
            timeout: Duration::from_secs(self.config.get().agents.defaults.timeout_seconds),
            extra_system_prompt: None,
            origin: Origin::Agent,
            asker: Asker::Person(person),
        });
        self.runs.arrived(&run);
        self.runs.pump();
        let gateway = Rc::clone(self);
        self.sys.tasks.detach(async move { gateway.give_back(&run, &reach).await });
    }

    /// Whether a transcript's recent part has the user's message of that time.
    fn holds(&self, file: &TranscriptFile, message_ts: u64) -> bool {
        let bytes = usize::try_from(self.limits.prompt_bytes).unwrap_or(usize::MAX);
        let read = self.stores.transcripts.history_for_prompt(file, bytes);
        let is_it = |message: &Message| matches!(message, Message::User(user) if user.timestamp == message_ts);
        read.is_ok_and(|read| read.items.iter().any(is_it))
    }

    /// Sends what a run said back to where its message came from.
    async fn give_back(self: Rc<Self>, run: &Run, reach: &Reach) {
        let outcome = run.outcome.wait().await;
        if outcome.end == End::Stopped(Stop::Shutdown) {
            // The next gateway answers it.
            return;
        }
        let texts = match &outcome.end {
            End::Completed => outcome.texts.clone(),
            End::Failed(problem) => vec![format!("I could not answer: {problem}")],
            End::Stopped(Stop::Timeout) => vec!["I could not answer in time.".to_owned()],
            End::Stopped(Stop::Rpc | Stop::Phrase | Stop::Shutdown) => Vec::new(),
        };
        for (index, text) in texts.into_iter().enumerate() {
            self.reply(reach, text, Some(answer_key(&run.ask.run_id, index)));
        }
        self.channels.inbox().given(&run.ask.run_id);
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

/// What names a message among all that come in.
fn name_of(message: &Inbound) -> String {
    format!("{}:{}:{}", message.channel, message.account_id, message.message_id)
}

fn person_of(message: &Inbound, reach: &Reach) -> Person {
    Person {
        channel: message.channel,
        account_id: message.account_id.clone(),
        sender_id: message.sender.id.clone(),
        username: message.sender.username.clone(),
        chat: reach.target.to.clone(),
    }
}

/// What names a piece of a run's answer in the queue.
fn answer_key(run_id: &str, index: usize) -> String {
    format!("answer:{run_id}:{index}")
}

fn owed(name: String, person: &Person, run: &Run, reach: &Reach) -> Owed {
    let ask = &run.ask;
    Owed {
        name,
        run_id: ask.run_id.clone(),
        agent_id: ask.agent_id.clone(),
        session_key: ask.key.to_string(),
        session_id: ask.file.session_id().to_owned(),
        message_ts: ask.message_ts,
        tries: 0,
        channel: reach.channel.to_owned(),
        account_id: reach.account_id.clone(),
        sender_id: person.sender_id.clone(),
        username: person.username.clone(),
        target: reach.target.clone(),
        space: reach.space.clone(),
        label: reach.label.clone(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels::message::{Chat, Sender};

    #[test]
    fn a_reach_back_is_the_chat_itself() {
        let message = Inbound {
            channel: "telegram",
            account_id: "default".into(),
            message_id: "1".into(),
            chat: Chat { kind: ChatKind::Group, id: "-5".into(), title: None, thread: None, space: None },
            sender: Sender { id: "77".into(), name: None, username: Some("ann".into()) },
            text: "hi".into(),
            is_for_us: true,
        };
        let reach = reach_of(&message).unwrap();
        assert_eq!((reach.target.to.as_str(), reach.target.kind), ("-5", ChatKind::Group));
    }
}
