//! Messages that came in: which were taken, so that none is taken twice, and which still want an answer, so that
//! a power cut costs nobody theirs. `channels/inbox.<generation>.jsonl`. It answers nothing itself.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::target::Target;
use crate::limits::{INBOUND_IDS, INBOX_FILE_BYTES, INBOX_LINE_BYTES, INBOX_OWED};
use crate::stores::rolling::{Rolling, Sizes};
use crate::stores::{Durability, Durable, Saver, StoreError};
use crate::sys::Sys;

/// The files.
const SIZES: Sizes = Sizes { line_bytes: INBOX_LINE_BYTES, file_bytes: INBOX_FILE_BYTES };

/// A message that is in a transcript and waits for its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owed {
    /// Channel, account and the service's id of the message.
    pub name: String,
    /// The run that answers it.
    pub run_id: String,
    /// The agent.
    pub agent_id: String,
    /// The session's key.
    pub session_key: String,
    /// The conversation that was the session's then.
    pub session_id: String,
    /// The message's timestamp, which names it within the transcript.
    pub message_ts: u64,
    /// Starts of the gateway that have tried to answer it.
    #[serde(default)]
    pub tries: u32,
    /// The channel.
    pub channel: String,
    /// The account.
    pub account_id: String,
    /// The service's id of whoever wrote it.
    pub sender_id: String,
    /// The name within the service, without `@`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The chat.
    pub target: Target,
    /// Discord's guild or Slack's team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub space: Option<String>,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Record {
    /// A message was taken; its name.
    Taken(String),
    /// It waits for an answer.
    Owed(Box<Owed>),
    /// The run's answer waits to be sent, or there is none to come.
    Given(String),
    /// A message that was taken is not in its transcript: it may come again.
    Lost(String),
}

/// What is known of a message that comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// Nothing: it is taken now.
    New,
    /// It came a moment ago and is on its way to the medium.
    UnderWay,
    /// It was taken before.
    Before,
}

/// The store.
#[derive(Debug)]
pub struct Inbox {
    file: Rolling<Record>,
    state: RefCell<State>,
}

#[derive(Debug, Default)]
struct State {
    names: BTreeSet<String>,
    order: VecDeque<String>,
    /// Messages that are being taken.
    under_way: BTreeSet<String>,
    /// In the order in which they came.
    owed: Vec<Owed>,
}

impl State {
    fn take(&mut self, name: &str) {
        self.under_way.remove(name);
        if !self.names.insert(name.to_owned()) {
            return;
        }
        self.order.push_back(name.to_owned());
        if self.order.len() > INBOUND_IDS {
            self.order.pop_front().map(|oldest| self.names.remove(&oldest));
        }
    }

    fn lose(&mut self, name: &str) {
        self.under_way.remove(name);
        if self.names.remove(name) {
            self.order.retain(|other| other != name);
        }
        self.owed.retain(|owed| owed.name != name);
    }

    fn owe(&mut self, owed: Owed) {
        self.take(&owed.name);
        match self.owed.iter_mut().find(|other| other.run_id == owed.run_id) {
            Some(other) => *other = owed,
            None => self.owed.push(owed),
        }
    }

    fn apply(&mut self, record: Record) {
        match record {
            Record::Taken(name) => self.take(&name),
            Record::Owed(owed) => self.owe(*owed),
            Record::Given(run_id) => self.owed.retain(|owed| owed.run_id != run_id),
            Record::Lost(name) => self.lose(&name),
        }
    }

    fn records(&self) -> Vec<Record> {
        let is_owed = |name: &String| self.owed.iter().any(|owed| owed.name == *name);
        let taken = self.order.iter().filter(|name| !is_owed(name)).cloned().map(Record::Taken);
        taken.chain(self.owed.iter().cloned().map(|owed| Record::Owed(Box::new(owed)))).collect()
    }
}

impl Inbox {
    /// Reads the journal below `dir`.
    ///
    /// # Errors
    /// What the disk says when something that is there can't be read.
    pub fn load(sys: &Sys, saver: &Saver, dir: &Path) -> Result<Self, StoreError> {
        let sum = |records: Vec<Record>| {
            let mut state = State::default();
            records.into_iter().for_each(|record| state.apply(record));
            state
        };
        let (file, records) = Rolling::load(sys, saver, dir, "inbox", SIZES, |records| sum(records).records())?;
        Ok(Self { file, state: RefCell::new(sum(records)) })
    }

    /// Begins to take a message. In memory only, until [`taken`](Self::taken), [`owe`](Self::owe) or
    /// [`give_back`](Self::give_back).
    #[must_use]
    pub fn begin(&self, name: &str) -> Begun {
        let mut state = self.state.borrow_mut();
        if state.names.contains(name) {
            return Begun::Before;
        }
        if state.under_way.insert(name.to_owned()) { Begun::New } else { Begun::UnderWay }
    }

    /// It was not taken after all: it may come again.
    pub fn give_back(&self, name: &str) {
        self.state.borrow_mut().under_way.remove(name);
    }

    /// It was taken and wants no answer.
    pub fn taken(&self, name: &str) {
        self.state.borrow_mut().take(name);
        self.write(&Record::Taken(name.to_owned()), Durability::Lazy);
    }

    /// Whether one more may wait for its answer.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.state.borrow().owed.len() < INBOX_OWED
    }

    /// It was taken and wants an answer; durable when the future resolves.
    ///
    /// # Errors
    /// What the disk says; nothing is owed then.
    pub fn owe(&self, owed: Owed) -> Result<Durable, StoreError> {
        let record = Record::Owed(Box::new(owed.clone()));
        self.state.borrow_mut().owe(owed);
        self.file.append(&record, Durability::Forced, || self.state.borrow().records())
    }

    /// The run's answer waits to be sent, or there is none to come.
    pub fn given(&self, run_id: &str) {
        self.state.borrow_mut().owed.retain(|owed| owed.run_id != run_id);
        self.write(&Record::Given(run_id.to_owned()), Durability::Forced);
    }

    /// A message that a power cut took out of its transcript: the service gives it again.
    pub fn lost(&self, name: &str) {
        self.state.borrow_mut().lose(name);
        self.write(&Record::Lost(name.to_owned()), Durability::Lazy);
    }

    /// What waits for its answer, in the order in which it came.
    #[must_use]
    pub fn owed(&self) -> Vec<Owed> {
        self.state.borrow().owed.clone()
    }

    /// Ids that are remembered.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.state.borrow().order.len()
    }

    fn write(&self, record: &Record, durability: Durability) {
        if let Err(error) = self.file.append(record, durability, || self.state.borrow().records()) {
            log::warn!("a message may be answered again after a restart: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::bench::Bench;

    fn load(bench: &Bench) -> Inbox {
        Inbox::load(&bench.sys, &bench.saver, Path::new("/s/channels")).unwrap()
    }

    fn owed(name: &str, run_id: &str) -> Owed {
        Owed {
            name: name.into(),
            run_id: run_id.into(),
            agent_id: "main".into(),
            session_key: "agent:main:main".into(),
            session_id: "s".into(),
            message_ts: 1,
            tries: 0,
            channel: "loopback".into(),
            account_id: "default".into(),
            sender_id: "ann".into(),
            username: None,
            target: Target::parse("loopback", "ann").unwrap(),
            space: None,
            label: None,
        }
    }

    #[test]
    fn what_was_taken_and_what_is_owed_outlives_a_restart() {
        let bench = Bench::new(1);
        let inbox = load(&bench);
        assert_eq!((inbox.begin("a"), inbox.begin("a")), (Begun::New, Begun::UnderWay));
        inbox.taken("a");
        assert_eq!(inbox.begin("a"), Begun::Before);
        inbox.give_back("x");
        bench.run(inbox.owe(owed("b", "r1")).unwrap()).unwrap();
        bench.run(inbox.owe(owed("c", "r2")).unwrap()).unwrap();
        inbox.given("r1");
        bench.run(bench.saver.flush_all()).unwrap();
        let inbox = load(&bench);
        assert_eq!((inbox.begin("a"), inbox.begin("b")), (Begun::Before, Begun::Before));
        assert_eq!(inbox.owed().iter().map(|owed| owed.run_id.as_str()).collect::<Vec<_>>(), ["r2"]);
        inbox.lost("c");
        bench.run(bench.saver.flush_all()).unwrap();
        let inbox = load(&bench);
        assert!(inbox.owed().is_empty());
        assert_eq!((inbox.begin("c"), inbox.begin("b")), (Begun::New, Begun::Before));
    }

    #[test]
    fn the_files_and_the_memory_stay_within_their_bounds() {
        let bench = Bench::new(1);
        let inbox = load(&bench);
        for index in 0..8000 {
            let name = format!("loopback:default:{index}");
            assert_eq!(inbox.begin(&name), Begun::New);
            inbox.taken(&name);
        }
        bench.run(bench.saver.flush_all()).unwrap();
        let sizes: Vec<u64> =
            bench.sys.files.list(Path::new("/s/channels")).unwrap().iter().map(|entry| entry.size_bytes).collect();
        assert!(sizes.iter().sum::<u64>() <= 4 * INBOX_FILE_BYTES, "{sizes:?}");
        let inbox = load(&bench);
        assert_eq!(inbox.remembered(), INBOUND_IDS);
        assert_eq!(inbox.begin("loopback:default:5"), Begun::New);
        assert_eq!(inbox.begin("loopback:default:7999"), Begun::Before);
    }
}
