//! The seats: one for each configured account, with its channel while this version has it. Starts,
//! restarts and stops them; takes what is to be sent.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use super::account::Health;
use super::inbox::Inbox;
use super::known::{self, Meta};
use super::message::Body;
use super::queue::{Item, Queue, Ticket};
use super::strangers::Strangers;
use super::{Channel, Door, Inlet, pump};
use crate::config::channels::{Account, Channels as Config, ChunkMode, DEFAULT_ACCOUNT};
use crate::error::{Code, Error};
use crate::limits::CHANNEL_PAUSE_MAX_MS;
use crate::stores::{Saver, StoreError};
use crate::sys::Sys;
use crate::sys::tasks::Task;

/// A connection that stood so long was a good one: the pauses begin anew.
const GOOD: Duration = Duration::from_secs(60);
/// First pause before a lost connection is tried again; each further one doubles it.
const PAUSE: Duration = Duration::from_secs(1);

/// Makes the account of a channel; `None` for a channel that isn't there.
pub type Maker = Rc<dyn Fn(&Sys, &str, &str, &Account) -> Option<Rc<dyn Channel>>>;

/// All channels. Cloning shares them.
#[derive(Debug, Clone)]
pub struct Channels(pub(super) Rc<Inner>);

pub(super) struct Inner {
    pub(super) sys: Sys,
    saver: Saver,
    dir: PathBuf,
    make: Maker,
    /// By channel and account.
    pub(super) seats: RefCell<BTreeMap<(&'static str, String), Rc<Seat>>>,
    /// By channel.
    pub(super) queues: RefCell<BTreeMap<&'static str, Rc<Queue>>>,
    pumps: RefCell<BTreeMap<&'static str, Task<()>>>,
    inlet: RefCell<Option<Rc<dyn Inlet>>>,
    strangers: Strangers,
    inbox: Inbox,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Channels").field("seats", &self.seats).finish_non_exhaustive()
    }
}

/// An account.
#[derive(Debug)]
pub struct Seat {
    /// Its channel.
    pub meta: &'static Meta,
    /// Its id.
    pub account_id: String,
    /// What is set for it; `None` for a channel that the file doesn't name.
    pub config: Option<Account>,
    /// The account itself; `None` when this version doesn't have the channel.
    pub channel: Option<Rc<dyn Channel>>,
    /// How it is.
    pub health: Rc<Health>,
    task: RefCell<Option<Task<()>>>,
}

/// Something to send from an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// To whom, in the channel's own form.
    pub to: String,
    /// The request's idempotency key with its kind before it: what waits under it is not sent twice.
    pub key: Option<String>,
    /// What.
    pub body: Body,
    /// The session that is told once it has arrived.
    pub mirror: Option<String>,
}

impl Channels {
    /// Reads what waits below `state_dir/channels`, and makes the seats of `config`. Nothing works before
    /// [`open`](Self::open).
    ///
    /// # Errors
    /// What the disk says when something that is there can't be read.
    pub fn load(sys: &Sys, saver: &Saver, state_dir: &Path, make: Maker, config: &Config) -> Result<Self, StoreError> {
        let dir = state_dir.join("channels");
        let strangers = Strangers::load(sys, saver, &dir)?;
        let inbox = Inbox::load(sys, saver, &dir)?;
        let channels = Self(Rc::new(Inner {
            sys: sys.clone(),
            saver: saver.clone(),
            dir,
            make,
            seats: RefCell::default(),
            queues: RefCell::default(),
            pumps: RefCell::default(),
            inlet: RefCell::default(),
            strangers,
            inbox,
        }));
        channels.apply(config)?;
        Ok(channels)
    }

    /// Starts every account; what comes in goes to `inlet`.
    pub fn open(&self, inlet: Rc<dyn Inlet>) {
        *self.0.inlet.borrow_mut() = Some(inlet);
        self.start_all();
    }

    /// Stops every account. What waits stays in the queues.
    pub fn close(&self) {
        self.0.pumps.borrow_mut().clear();
        *self.0.inlet.borrow_mut() = None;
        for seat in self.seats() {
            self.stop(&seat);
        }
    }

    /// Puts a changed configuration in force: accounts whose keys changed begin anew, the others go on.
    ///
    /// # Errors
    /// What the disk says when the queue of a new channel can't be read; the seats are as configured then,
    /// and nothing can be sent on that channel.
    pub fn apply(&self, config: &Config) -> Result<(), StoreError> {
        let mut wanted = BTreeMap::new();
        for (id, channel) in &config.list {
            let Some(meta) = known::find(id) else { continue };
            for (account_id, account) in &channel.accounts {
                wanted.insert((meta.id, account_id.clone()), (meta, account.clone()));
            }
        }
        let same = |seat: &Seat| {
            let wish = wanted.get(&(seat.meta.id, seat.account_id.clone()));
            wish.is_some_and(|(_, account)| seat.config.as_ref().is_some_and(|own| own.print == account.print))
        };
        for seat in self.seats().into_iter().filter(|seat| !same(seat)) {
            self.stop(&seat);
            self.0.seats.borrow_mut().remove(&(seat.meta.id, seat.account_id.clone()));
        }
        let mut result = Ok(());
        for ((id, account_id), (meta, account)) in wanted {
            if self.0.seats.borrow().contains_key(&(id, account_id.clone())) {
                continue;
            }
            let channel = (self.0.make)(&self.0.sys, id, &account_id, &account);
            if channel.is_some() && !self.0.queues.borrow().contains_key(id) {
                match Queue::load(&self.0.sys, &self.0.saver, &self.0.dir, id) {
                    Ok(queue) => drop(self.0.queues.borrow_mut().insert(id, Rc::new(queue))),
                    Err(error) => result = Err(error),
                }
            }
            let seat = Rc::new(Seat::new(meta, &account_id, Some(account), channel));
            self.0.seats.borrow_mut().insert((id, account_id), seat);
        }
        self.start_all();
        result
    }

    /// People whom nobody has let in yet, and those that the owner has.
    #[must_use]
    pub fn strangers(&self) -> &Strangers {
        &self.0.strangers
    }

    /// Messages that came in.
    #[must_use]
    pub fn inbox(&self) -> &Inbox {
        &self.0.inbox
    }

    /// Whether something waits to be sent on a channel under that key.
    #[must_use]
    pub fn waits(&self, channel: &str, key: &str) -> bool {
        self.0.queues.borrow().get(channel).is_some_and(|queue| queue.by_key(key).is_some())
    }

    /// An account, the default one when none is named, that can send now or later.
    ///
    /// # Errors
    /// `NOT_LINKED` with the reason and what to do about it.
    pub fn sender(&self, meta: &'static Meta, account_id: Option<&str>) -> Result<Rc<Seat>, Error> {
        let named = account_id.map(str::trim).filter(|id| !id.is_empty());
        let seats = self.0.seats.borrow();
        let own = || seats.iter().filter(|((id, _), _)| *id == meta.id).map(|(_, seat)| seat);
        let seat = match named {
            Some(id) => own().find(|seat| seat.account_id == id),
            None => own().find(|seat| seat.account_id == DEFAULT_ACCOUNT).or_else(|| own().next()),
        };
        let problem = match seat {
            Some(seat) => match seat.problem() {
                None => return Ok(Rc::clone(seat)),
                Some(problem) => problem,
            },
            None if own().next().is_some() => {
                let id = named.unwrap_or(DEFAULT_ACCOUNT);
                format!("{} has no account {id:?}: set channels.{}.accounts.{id}", meta.label, meta.id)
            }
            None => Seat::absent(meta, &self.0).problem().unwrap_or_default(),
        };
        drop(seats);
        Err(Error::new(Code::NotLinked, format!("Error: {problem}. {}", self.alternatives())))
    }

    /// Takes something to send from an account that [`sender`](Self::sender) gave.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the queue is full or the disk takes nothing.
    pub fn send(&self, seat: &Seat, draft: Draft) -> Result<Rc<Ticket>, Error> {
        let queue = self.0.queues.borrow().get(seat.meta.id).cloned();
        let queue = queue.ok_or_else(|| Error::unavailable("this channel's queue could not be read; see the log"))?;
        if let Some(ticket) = draft.key.as_deref().and_then(|key| queue.by_key(key)) {
            return Ok(ticket);
        }
        let account = seat.config.as_ref();
        let now_ms = self.0.sys.clock.now_ms();
        queue.add(Item {
            id: self.0.sys.chance.hex::<8>(),
            account_id: seat.account_id.clone(),
            to: draft.to,
            key: draft.key,
            body: draft.body,
            mirror: draft.mirror,
            chunk_chars: account.map_or(usize::MAX, |account| account.chunk_chars),
            by_paragraph: account.is_some_and(|account| account.chunk_mode == ChunkMode::Newline),
            created_at_ms: now_ms,
            attempts: 0,
            sent_parts: 0,
            next_at_ms: now_ms,
            last_error: None,
            extra: serde_json::Map::new(),
        })
    }

    /// The account of that channel and id.
    #[must_use]
    pub fn seat(&self, channel: &str, account_id: &str) -> Option<Rc<Seat>> {
        let seats = self.0.seats.borrow();
        let mut found = seats.iter().filter(|((id, account), _)| *id == channel && account == account_id);
        found.next().map(|(_, seat)| Rc::clone(seat))
    }

    /// All seats, by channel and account.
    #[must_use]
    pub fn seats(&self) -> Vec<Rc<Seat>> {
        self.0.seats.borrow().values().cloned().collect()
    }

    /// Messages that wait on all channels.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.queues.borrow().values().map(|queue| queue.len()).sum()
    }

    pub(super) fn inlet(&self) -> Option<Rc<dyn Inlet>> {
        self.0.inlet.borrow().clone()
    }

    /// What else could be used.
    fn alternatives(&self) -> String {
        let seats = self.0.seats.borrow();
        let mut ids: Vec<_> = seats.values().filter(|seat| seat.problem().is_none()).map(|seat| seat.meta.id).collect();
        ids.dedup();
        if ids.is_empty() {
            "No channel works on this gateway now".to_owned()
        } else {
            format!("Channels that work on this gateway: {}", ids.join(", "))
        }
    }

    fn start_all(&self) {
        if self.inlet().is_none() {
            return;
        }
        let queues: Vec<_> = self.0.queues.borrow().iter().map(|(id, queue)| (*id, Rc::clone(queue))).collect();
        for (id, queue) in queues {
            let mut pumps = self.0.pumps.borrow_mut();
            pumps.entry(id).or_insert_with(|| self.0.sys.tasks.spawn(pump::run(self.clone(), id, queue)));
        }
        for seat in self.seats() {
            if seat.problem().is_none() && seat.task.borrow().is_none() {
                let task = self.0.sys.tasks.spawn(supervise(self.clone(), Rc::clone(&seat)));
                *seat.task.borrow_mut() = Some(task);
            }
        }
    }

    fn stop(&self, seat: &Seat) {
        if seat.task.borrow_mut().take().is_some() {
            seat.health.stopped(self.0.sys.clock.now_ms(), None);
        }
    }
}

impl Seat {
    fn new(meta: &'static Meta, account_id: &str, config: Option<Account>, channel: Option<Rc<dyn Channel>>) -> Self {
        let (account_id, task) = (account_id.to_owned(), RefCell::default());
        Self { meta, account_id, config, channel, health: Rc::default(), task }
    }

    /// What stands for a channel that the file doesn't name.
    pub(super) fn absent(meta: &'static Meta, inner: &Inner) -> Self {
        let account = Account::default();
        let channel = (inner.make)(&inner.sys, meta.id, DEFAULT_ACCOUNT, &account);
        Self::new(meta, DEFAULT_ACCOUNT, None, channel)
    }

    /// Whether the file names it.
    #[must_use]
    pub fn is_configured(&self) -> bool {
        self.config.is_some()
    }

    /// Whether the file wants it to work.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.config.as_ref().is_some_and(|config| config.enabled)
    }

    /// Why it can't work at all; `None` when it can.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let Meta { id, label, .. } = self.meta;
        if self.channel.is_none() {
            return Some(format!("{label} is not available: this version of Barnacle has no {label} channel"));
        }
        if !self.is_configured() {
            return Some(format!("{label} is not configured: set channels.{id}"));
        }
        (!self.is_enabled()).then(|| format!("{label} is switched off: set channels.{id}.enabled to true"))
    }
}

/// Keeps an account at work, with growing pauses after lost connections, until dropped.
async fn supervise(channels: Channels, seat: Rc<Seat>) {
    let sys = &channels.0.sys;
    let mut pause = PAUSE;
    loop {
        let (Some(inlet), Some(channel)) = (channels.inlet(), seat.channel.clone()) else { return };
        let began = sys.clock.elapsed();
        seat.health.started(sys.clock.now_ms());
        let door = Door { inlet: Rc::clone(&inlet), health: Rc::clone(&seat.health), sys: sys.clone() };
        let reason = channel.serve(door).await;
        log::warn!("channel {}, account {}: {reason}", seat.meta.id, seat.account_id);
        seat.health.stopped(sys.clock.now_ms(), Some(reason));
        inlet.changed();
        if sys.clock.elapsed().saturating_sub(began) >= GOOD {
            pause = PAUSE;
        }
        sys.clock.sleep(sys.chance.jitter(pause, 20)).await;
        pause = (pause * 2).min(Duration::from_millis(CHANNEL_PAUSE_MAX_MS));
        seat.health.reconnecting();
    }
}
