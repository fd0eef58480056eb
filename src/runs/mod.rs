//! Agent runs: queued by session, streamed from a provider, recorded in the transcript.
//!
//! A run belongs to the gateway, not to the connection that asked for it: it goes on when the
//! connection is gone, and ends only by itself, by being stopped, or with the process.

pub mod asker;
pub mod choice;
pub mod lanes;
pub mod listener;
pub mod prompt;
pub mod providers;
pub mod run;
pub mod stream;
pub mod tools;
pub mod turn;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use crate::config::Current;
use crate::config::first_start::Places;
use crate::error::Error;
use crate::events::Hub;
use crate::limits::{Limits, RUN_OUTCOME_TTL_MS, RUN_OUTCOMES};
use crate::stores::{SessionKey, Stores};
use crate::sys::{Latch, Sys};
use crate::wire::event::ChatState;
use lanes::{Bounds, Lanes};
use run::{Ask, End, Outcome, Run, Stop};
use stream::RunStream;

/// What runs work with.
#[derive(Debug)]
pub struct Context {
    /// The outside world.
    pub sys: Sys,
    /// The configuration in force.
    pub config: Current,
    /// Where files are.
    pub places: Places,
    /// The bounds.
    pub limits: Limits,
    /// Where events go.
    pub hub: Hub,
    /// Sessions, transcripts, usage.
    pub stores: Stores,
    /// What agents may do.
    pub tools: Rc<dyn tools::Tools>,
    /// A model server on this machine.
    pub local: choice::LocalServer,
    /// The last timestamp given to a message.
    pub last_timestamp: Cell<u64>,
}

impl Context {
    /// A timestamp for a message, later than every one before, so that it names the message.
    pub fn timestamp(&self) -> u64 {
        let timestamp = self.sys.clock.now_ms().max(self.last_timestamp.get() + 1);
        self.last_timestamp.set(timestamp);
        timestamp
    }
}

/// All runs. Cloning shares them.
#[derive(Debug, Clone)]
pub struct Runs(Rc<State>);

#[derive(Debug)]
struct State {
    cx: Rc<Context>,
    lanes: RefCell<Lanes<String>>,
    /// Runs that wait or go, by run id.
    active: RefCell<BTreeMap<String, Rc<Run>>>,
    /// Of them, those whose message is still on its way to the medium, with their sessions.
    expected: RefCell<BTreeMap<String, SessionKey>>,
    /// Ends of runs, and of runs that somebody waits for before they exist.
    outcomes: RefCell<BTreeMap<String, Rc<Latch<Rc<Outcome>>>>>,
    /// Ended runs in the order of their ends, with the monotonic time.
    ended: RefCell<VecDeque<(Duration, String)>>,
    /// Whether the gateway stops: nothing is taken and nothing begins.
    closed: Cell<bool>,
}

impl Runs {
    /// No runs yet.
    #[must_use]
    pub fn new(cx: Rc<Context>) -> Self {
        let limit = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        let bounds = Bounds {
            going_max: limit(cx.config.get().agents.defaults.max_concurrent.max(1)),
            lane_max: limit(cx.limits.lane_queue),
            queued_max: limit(cx.limits.runs_queued),
        };
        Self(Rc::new(State {
            cx,
            lanes: RefCell::new(Lanes::new(bounds)),
            active: RefCell::default(),
            expected: RefCell::default(),
            outcomes: RefCell::default(),
            ended: RefCell::default(),
            closed: Cell::new(false),
        }))
    }

    /// What runs work with.
    #[must_use]
    pub fn context(&self) -> &Rc<Context> {
        &self.0.cx
    }

    /// Whether a run on that session would be taken.
    ///
    /// # Errors
    /// `UNAVAILABLE` when a queue is full or the gateway stops.
    pub fn room(&self, key: &SessionKey) -> Result<(), Error> {
        if self.0.closed.get() {
            return Err(Error::unavailable("the gateway is stopping"));
        }
        // A message that is still on its way to the medium has its place in the queue.
        let expected = self.0.expected.borrow();
        let (all, here) = (expected.len(), expected.values().filter(|other| *other == key).count());
        let room = self.0.lanes.borrow().room(key.as_str(), here, all);
        room.map_err(|lanes::Full| Error::unavailable("too many messages are waiting for an answer").retry_after(5000))
    }

    /// Takes a run whose message is on its way to the medium: it can be found and stopped, and holds
    /// its place in the queue, but doesn't go before [`arrived`](Self::arrived).
    pub fn expect(&self, ask: Ask) -> Rc<Run> {
        let run = Run::new(ask);
        self.forget_outcome(&run.ask.run_id);
        self.0.expected.borrow_mut().insert(run.ask.run_id.clone(), run.ask.key.clone());
        self.0.active.borrow_mut().insert(run.ask.run_id.clone(), Rc::clone(&run));
        run
    }

    /// The message is durable; [`pump`](Self::pump) starts the run when its turn has come, unless it
    /// was stopped meanwhile.
    pub fn arrived(&self, run: &Rc<Run>) {
        self.0.expected.borrow_mut().remove(&run.ask.run_id);
        match run.stop.get() {
            Some(stop) => self.withdrawn(run, stop),
            None => self.0.lanes.borrow_mut().push(run.ask.key.as_str(), run.ask.run_id.clone()),
        }
    }

    /// The message could not be written: there is no run.
    pub fn lost(&self, run: &Rc<Run>, reason: &str) {
        self.0.expected.borrow_mut().remove(&run.ask.run_id);
        self.ended_unbegun(run, End::Failed(reason.to_owned()));
    }

    /// Whether the gateway stops: no message is taken any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.closed.get()
    }

    /// Starts what may start.
    pub fn pump(&self) {
        if self.0.closed.get() {
            return;
        }
        loop {
            let next = self.0.lanes.borrow_mut().begin();
            let Some(run_id) = next else { return };
            let run = self.0.active.borrow().get(&run_id).cloned();
            match run {
                Some(run) => self.launch(run),
                // Not to be seen: every queued run is active. But a lane must not stay taken.
                None => log::error!("run {run_id} is queued but unknown"),
            }
        }
    }

    fn launch(&self, run: Rc<Run>) {
        let runs = self.clone();
        let going = Rc::clone(&run);
        let task = self.0.cx.sys.tasks.spawn(async move {
            let outcome = turn::run(Rc::clone(&runs.0.cx), Rc::clone(&going)).await;
            runs.finished(&going, outcome);
        });
        *run.task.borrow_mut() = Some(task);
    }

    fn finished(&self, run: &Rc<Run>, outcome: Rc<Outcome>) {
        self.0.active.borrow_mut().remove(&run.ask.run_id);
        self.0.lanes.borrow_mut().done(run.ask.key.as_str());
        self.remember(&run.ask.run_id, &outcome);
        run.outcome.set(outcome);
        if let Some(task) = run.task.borrow_mut().take() {
            task.detach();
        }
        self.pump();
    }

    fn remember(&self, run_id: &str, outcome: &Rc<Outcome>) {
        let now = self.0.cx.sys.clock.elapsed();
        let mut outcomes = self.0.outcomes.borrow_mut();
        // Whoever asks later wants to know how it ended, not what was said: that is in the transcript.
        let kept = Rc::new(Outcome { texts: Vec::new(), ..Outcome::clone(outcome) });
        outcomes.entry(run_id.to_owned()).or_default().set(kept);
        let mut ended = self.0.ended.borrow_mut();
        ended.push_back((now, run_id.to_owned()));
        while let Some((at, oldest)) = ended.front() {
            if ended.len() <= RUN_OUTCOMES && now < *at + Duration::from_millis(RUN_OUTCOME_TTL_MS) {
                break;
            }
            outcomes.remove(oldest);
            ended.pop_front();
        }
    }

    /// An id that is used again means the new run.
    fn forget_outcome(&self, run_id: &str) {
        let mut outcomes = self.0.outcomes.borrow_mut();
        if outcomes.get(run_id).is_some_and(|latch| latch.get().is_some()) {
            outcomes.remove(run_id);
            self.0.ended.borrow_mut().retain(|(_, other)| other != run_id);
        }
    }

    /// How a run ended; waits up to `limit` for its end. `None` when that passed.
    pub async fn wait(&self, run_id: &str, limit: Duration) -> Option<Rc<Outcome>> {
        let latch = Rc::clone(self.0.outcomes.borrow_mut().entry(run_id.to_owned()).or_default());
        let waiter = Waiter { runs: self.clone(), run_id: run_id.to_owned(), latch };
        self.0.cx.sys.clock.timeout(limit, waiter.latch.wait()).await.ok()
    }

    /// Outcomes that [`wait`](Self::wait) can tell, and ids that somebody waits for.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.0.outcomes.borrow().len()
    }

    /// The run with that id, while it waits or goes.
    #[must_use]
    pub fn active(&self, run_id: &str) -> Option<Rc<Run>> {
        self.0.active.borrow().get(run_id).cloned()
    }

    /// Runs of a session that wait or go, in the order of their messages.
    #[must_use]
    pub fn active_in(&self, key: &SessionKey) -> Vec<Rc<Run>> {
        let mut runs: Vec<_> = self.0.active.borrow().values().filter(|run| run.ask.key == *key).cloned().collect();
        runs.sort_by_key(|run| run.ask.message_ts);
        runs
    }

    /// Runs that go, and runs that wait.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let lanes = self.0.lanes.borrow();
        (lanes.going(), lanes.queued())
    }

    /// Stops runs; resolves once their last events are out. All are told before any is waited for, the
    /// last ones first, or they would begin when the one before them ends.
    pub async fn stop(&self, runs: &[Rc<Run>], stop: Stop) {
        self.tell(runs, stop);
        for run in runs {
            run.announced.wait().await;
        }
    }

    /// Tells runs to stop, the last ones first, and waits for nothing.
    pub fn tell(&self, runs: &[Rc<Run>], stop: Stop) {
        for run in runs.iter().rev() {
            if self.0.lanes.borrow_mut().withdraw(run.ask.key.as_str(), &run.ask.run_id) {
                self.withdrawn(run, stop);
            } else {
                run.stop.set(stop);
            }
        }
    }

    /// A run that never began still has an end that clients hear of.
    fn withdrawn(&self, run: &Rc<Run>, stop: Stop) {
        let cx = &self.0.cx;
        let ask = &run.ask;
        let mut stream =
            RunStream::new(cx.sys.clone(), cx.hub.clone(), ask.run_id.clone(), &ask.key, ask.shown_key.clone());
        stream.skip_number();
        stream.chat(ChatState::Aborted(stop.name()));
        self.ended_unbegun(run, End::Stopped(stop));
    }

    fn ended_unbegun(&self, run: &Rc<Run>, end: End) {
        run.announced.set(());
        let now = self.0.cx.sys.clock.now_ms();
        let outcome = Rc::new(Outcome {
            end,
            started_at: now,
            ended_at: now,
            texts: Vec::new(),
            model: Default::default(),
            usage: Default::default(),
        });
        self.0.active.borrow_mut().remove(&run.ask.run_id);
        self.remember(&run.ask.run_id, &outcome);
        run.outcome.set(outcome);
    }

    /// Takes no more runs, gives those that go `grace` to end, then stops them.
    pub async fn close(&self, grace: Duration) {
        self.0.closed.set(true);
        let all: Vec<_> = self.0.active.borrow().values().cloned().collect();
        let unbegun: Vec<_> = all.into_iter().filter(|run| run.task.borrow().is_none()).collect();
        self.tell(&unbegun, Stop::Shutdown);
        let going: Vec<_> = self.0.active.borrow().values().cloned().collect();
        let ended = async {
            for run in &going {
                run.outcome.wait().await;
            }
        };
        if self.0.cx.sys.clock.timeout(grace, ended).await.is_err() {
            for run in &going {
                run.stop.set(Stop::Shutdown);
            }
            for run in &going {
                run.outcome.wait().await;
            }
        }
    }
}

/// Somebody who waits for a run that may never exist. Whether the wait passes or its caller leaves,
/// the last one takes the entry away.
struct Waiter {
    runs: Runs,
    run_id: String,
    latch: Rc<Latch<Rc<Outcome>>>,
}

impl Drop for Waiter {
    fn drop(&mut self) {
        // Two hold it: the table and this one.
        if Rc::strong_count(&self.latch) <= 2 && self.latch.get().is_none() {
            self.runs.0.outcomes.borrow_mut().remove(&self.run_id);
        }
    }
}

#[cfg(test)]
mod tests;
