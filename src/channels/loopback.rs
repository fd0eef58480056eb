//! A channel for tests: what is sent to it comes back. It speaks to nobody.
//!
//! | target | does |
//! | --- | --- |
//! | `echo:TEXT` | somebody named `echo` writes TEXT to the account |
//! | `echo/PEER:TEXT` | PEER does |
//! | `echo/PEER/GROUP:TEXT` | PEER does, in GROUP |
//! | `fail:N` | fails N times before it takes a message |
//! | `refuse` | never takes one |
//! | `vote:POLL` | the message, such as `1` or `1,3`, votes in that poll |
//! | any other | takes the message |

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use serde_json::{Map, Value, json};

use super::known::LOOPBACK;
use super::message::{Body, Chat, ChatKind, Fault, Inbound, Part, Poll, Receipt, Sender, Taken};
use super::{Capabilities, Channel, Door};
use crate::limits::{CHANNEL_PAUSE_MAX_MS, LOOPBACK_ITEMS};
use crate::sys::{Bell, LocalFuture, Sys};

/// Most options of a poll.
const POLL_OPTIONS: usize = 12;
/// The first message's id.
const FIRST_ID: u64 = 1001;
/// Characters of a message in `channels.status`.
const SHOWN_CHARS: usize = 200;
/// Messages in `channels.status`.
const SHOWN: usize = 10;

/// The service behind the channel: what would be elsewhere, and outlives the gateway.
#[derive(Debug, Default)]
pub struct Far(RefCell<Service>);

#[derive(Debug, Default)]
struct Service {
    taken: VecDeque<Taking>,
    count: u64,
    /// Failed tries by part.
    failures: BTreeMap<String, u32>,
    polls: VecDeque<OpenPoll>,
}

/// A message that was taken.
#[derive(Debug, Clone)]
struct Taking {
    part_id: String,
    message_id: String,
    to: String,
    text: String,
    media: Vec<String>,
    at_ms: u64,
}

#[derive(Debug)]
struct OpenPoll {
    id: String,
    poll: Poll,
    votes: Vec<u64>,
}

impl Far {
    /// Recipient and text of every message that was taken and is still remembered, oldest first.
    #[must_use]
    pub fn messages(&self) -> Vec<(String, String)> {
        self.0.borrow().taken.iter().map(|taking| (taking.to.clone(), taking.text.clone())).collect()
    }
}

/// An account on it.
#[derive(Debug)]
pub struct Loopback {
    sys: Sys,
    account_id: String,
    far: Rc<Far>,
    /// Messages that somebody there wrote and that the gateway has not taken yet.
    echoes: RefCell<VecDeque<Inbound>>,
    bell: Bell,
}

impl Loopback {
    /// An account on that service.
    #[must_use]
    pub fn new(sys: &Sys, account_id: &str, far: Rc<Far>) -> Self {
        let (echoes, bell) = (RefCell::default(), Bell::default());
        Self { sys: sys.clone(), account_id: account_id.to_owned(), far, echoes, bell }
    }

    fn take(&self, part: &Part) -> Result<Receipt, Fault> {
        let mut service = self.far.0.borrow_mut();
        if let Some(taking) = service.taken.iter().find(|taking| taking.part_id == part.id) {
            return Ok(receipt(&taking.message_id, part, service.polls.back()));
        }
        if part.to == "refuse" {
            return Err(Fault::Refused("the recipient takes nothing".to_owned()));
        }
        if let Some(wanted) = part.to.strip_prefix("fail:").and_then(|count| count.parse::<u32>().ok()) {
            let failures = service.failures.entry(part.id.clone()).or_default();
            if *failures < wanted {
                *failures += 1;
                return Err(Fault::Later(format!("told to fail, {failures} of {wanted}"), None));
            }
            service.failures.remove(&part.id);
        }
        let message_id = (FIRST_ID + service.count).to_string();
        let (text, media) = match &part.body {
            Body::Message { text, media_urls } => (text.clone(), media_urls.clone()),
            Body::Poll(poll) => {
                let open = OpenPoll { id: message_id.clone(), poll: poll.clone(), votes: vec![0; poll.options.len()] };
                keep(&mut service.polls, open);
                (poll.question.clone(), Vec::new())
            }
        };
        if let Some(poll) = part.to.strip_prefix("vote:") {
            vote(&mut service.polls, poll, &text)?;
        }
        if let Some(echo) = self.echo(&part.to, &message_id) {
            keep(&mut self.echoes.borrow_mut(), echo);
            self.bell.ring();
        }
        service.count += 1;
        let taking = Taking {
            part_id: part.id.clone(),
            message_id: message_id.clone(),
            to: part.to.clone(),
            text,
            media,
            at_ms: self.sys.clock.now_ms(),
        };
        keep(&mut service.taken, taking);
        Ok(receipt(&message_id, part, service.polls.back()))
    }

    /// What somebody there writes because of a message to such a target.
    fn echo(&self, to: &str, message_id: &str) -> Option<Inbound> {
        let (who, text) = to.strip_prefix("echo")?.split_once(':')?;
        let mut names = who.split('/').skip(1);
        let peer = names.next().filter(|name| !name.is_empty()).unwrap_or("echo");
        let group = names.next();
        Some(Inbound {
            channel: LOOPBACK,
            account_id: self.account_id.clone(),
            message_id: format!("echo-{message_id}"),
            chat: Chat {
                kind: if group.is_some() { ChatKind::Group } else { ChatKind::Direct },
                id: group.unwrap_or(peer).to_owned(),
                title: group.map(str::to_owned),
                thread: None,
                space: None,
            },
            sender: Sender { id: peer.to_owned(), name: Some(peer.to_owned()), username: None },
            is_for_us: group.is_none() || text.contains("@barnacle"),
            text: text.to_owned(),
        })
    }
}

impl Channel for Loopback {
    fn capabilities(&self) -> Capabilities {
        Capabilities { poll_options_max: Some(POLL_OPTIONS), media: true }
    }

    fn serve(self: Rc<Self>, door: Door) -> LocalFuture<'static, String> {
        Box::pin(async move {
            door.connected();
            loop {
                let ring = self.bell.next();
                let next = self.echoes.borrow().front().cloned();
                let Some(message) = next else {
                    ring.wait().await;
                    continue;
                };
                let id = message.message_id.clone();
                if door.take(message).await == Taken::Busy {
                    self.sys.clock.sleep(std::time::Duration::from_millis(CHANNEL_PAUSE_MAX_MS / 300)).await;
                    continue;
                }
                self.echoes.borrow_mut().retain(|echo| echo.message_id != id);
            }
        })
    }

    fn send(self: Rc<Self>, part: Part) -> LocalFuture<'static, Result<Receipt, Fault>> {
        Box::pin(async move { self.take(&part) })
    }

    fn details(&self) -> Map<String, Value> {
        let service = self.far.0.borrow();
        let shown: Vec<_> = service.taken.iter().rev().take(SHOWN).map(shown).collect();
        let polls: Vec<_> = service
            .polls
            .iter()
            .rev()
            .take(SHOWN)
            .map(|open| {
                let options = open.poll.options.iter().zip(&open.votes);
                let options: Vec<_> = options.map(|(text, votes)| json!({"text": text, "votes": votes})).collect();
                json!({"pollId": open.id, "question": open.poll.question, "options": options})
            })
            .collect();
        let mut details = Map::new();
        details.insert("mode".into(), "test".into());
        details.insert("lastOutbound".into(), shown.first().cloned().unwrap_or(Value::Null));
        details.insert("outbox".into(), shown.into());
        details.insert("polls".into(), polls.into());
        details
    }

    fn probe(self: Rc<Self>) -> LocalFuture<'static, Value> {
        Box::pin(std::future::ready(json!({"ok": true, "status": null, "error": null, "elapsedMs": 0})))
    }

    fn log_out(&self) -> bool {
        let mut service = self.far.0.borrow_mut();
        let had = !service.taken.is_empty() || !service.polls.is_empty();
        service.taken.clear();
        service.polls.clear();
        had
    }
}

fn receipt(message_id: &str, part: &Part, last_poll: Option<&OpenPoll>) -> Receipt {
    let mut fields = Map::new();
    fields.insert("chatId".into(), part.to.as_str().into());
    if let (Body::Poll(_), Some(open)) = (&part.body, last_poll) {
        fields.insert("pollId".into(), open.id.as_str().into());
    }
    Receipt { message_id: message_id.to_owned(), fields }
}

/// Counts the chosen options, at most as many as the poll allows.
fn vote(polls: &mut VecDeque<OpenPoll>, id: &str, text: &str) -> Result<(), Fault> {
    let open = polls.iter_mut().find(|open| open.id == id);
    let open = open.ok_or_else(|| Fault::Refused(format!("there is no poll {id}")))?;
    let most = open.poll.max_selections as usize;
    for choice in text.split(',').take(most).filter_map(|choice| choice.trim().parse::<usize>().ok()) {
        if let Some(votes) = choice.checked_sub(1).and_then(|index| open.votes.get_mut(index)) {
            *votes += 1;
        }
    }
    Ok(())
}

fn shown(taking: &Taking) -> Value {
    let text: String = taking.text.chars().take(SHOWN_CHARS).collect();
    let mut shown = json!({"messageId": taking.message_id, "to": taking.to, "text": text, "at": taking.at_ms});
    if let (Value::Object(fields), false) = (&mut shown, taking.media.is_empty()) {
        fields.insert("mediaUrls".into(), json!(taking.media));
    }
    shown
}

fn keep<T>(items: &mut VecDeque<T>, item: T) {
    if items.len() >= LOOPBACK_ITEMS {
        items.pop_front();
    }
    items.push_back(item);
}
