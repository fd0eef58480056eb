//! Runs scheduled jobs when they are due (methods.md 10.4 and 10.5).
//!
//! Times are the wall clock's, waiting is monotonic and never longer than a minute, so that a clock that is set
//! late or jumps is noticed: missed times follow the policy, bounded, and nothing runs twice. Until a time server has
//! set the clock nothing runs by itself, for `cron.clockWaitSeconds` after the machine's start at most. What a job
//! does is in `job_run.rs`.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use super::Gateway;
use super::post::store_error;
use crate::config::Config;
use crate::config::cron::Missed as DefaultMissed;
use crate::config::first_start::Places;
use crate::cron::book::Change;
use crate::cron::job::{Job, Missed, Status};
use crate::cron::log::Entry;
use crate::cron::settle::Went;
use crate::cron::{Book, RunLog};
use crate::error::Error;
use crate::events::CRON;
use crate::limits::{CLOCK_LOOK_MS, CLOCK_MIN_MS, CRON_CATCH_UP, CRON_LATE_MS, CRON_LOOK_MS};
use crate::sys::{Bell, Latch, Sys};

/// Wall and monotonic time that differ by more than this since the last look: the clock was set.
const JUMP_MS: u64 = 60_000;
/// Why a missed job didn't run.
const WAS_MISSED: &str = "missed: the gateway was not running at that time";
/// Why a job failed whose run never ended.
const INTERRUPTED: &str = "interrupted: the gateway ended during the run";

/// Where a configuration keeps its jobs.
#[must_use]
pub fn store_of(places: &Places, config: &Config) -> PathBuf {
    config.cron.store.clone().unwrap_or_else(|| places.state_dir.join("cron").join("jobs.json"))
}

/// Whether a gateway could start with a configuration's file of jobs: otherwise that is found out when the old
/// gateway is gone already.
///
/// # Errors
/// The key, the file and what the disk says.
pub fn check_store(sys: &Sys, places: &Places, config: &Config) -> Result<(), String> {
    let path = store_of(places, config);
    Book::check(sys, &path)
        .and_then(|()| RunLog::check(sys, &path))
        .map_err(|error| format!("cron.store: {}: {error}", path.display()))
}

/// The scheduled jobs.
#[derive(Debug)]
pub struct Jobs {
    /// Which there are.
    pub book: Book,
    /// What came of their runs.
    pub log: RunLog,
    /// Those that run, by the job's id.
    going: RefCell<BTreeMap<String, Rc<Going>>>,
    /// Those that wait for their turn; each job of the book at most once, which bounds them.
    waiting: RefCell<VecDeque<Rc<Going>>>,
    /// Jobs whose missed times up to this one are made up for one by one.
    behind: RefCell<BTreeMap<String, u64>>,
    /// Wall time minus monotonic time at the last look, ms.
    offset_ms: Cell<Option<i64>>,
    /// Whether the owner has been told that they wait for the right time.
    is_waiting_for_clock: Cell<bool>,
    bell: Bell,
}

/// A run of a job.
#[derive(Debug)]
pub struct Going {
    /// The job.
    pub job_id: String,
    /// Id of this run; that of the agent's run, if there is one.
    pub run_id: String,
    /// The time that it is for; `None` when somebody asked for it.
    due_ms: Option<u64>,
    /// Set at the very end.
    pub ended: Latch<Ended>,
}

/// How a run of a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// How.
    pub status: Status,
    /// Why it failed or was skipped.
    pub error: Option<String>,
    /// What it said.
    pub summary: Option<String>,
    /// Whether the gateway's own end cut it short: then it is not the job's doing, and its time stays.
    pub by_shutdown: bool,
}

impl Ended {
    /// Without a word.
    #[must_use]
    pub fn of(status: Status, error: Option<String>) -> Self {
        Self { status, error, summary: None, by_shutdown: false }
    }
}

crate::wire! {
    /// Something about a job.
    pub struct CronEvent {
        job_id: String,
        /// `added`, `updated`, `removed`, `started` or `finished`.
        action: &'static str,
        status: Option<Status>,
        error: Option<String>,
        summary: Option<String>,
        run_at_ms: Option<u64>,
        duration_ms: Option<u64>,
        next_run_at_ms: Option<u64>,
    }
}

impl Jobs {
    /// Jobs none of which runs.
    #[must_use]
    pub fn new(book: Book, log: RunLog) -> Self {
        Self {
            book,
            log,
            going: RefCell::default(),
            waiting: RefCell::default(),
            behind: RefCell::default(),
            offset_ms: Cell::new(None),
            is_waiting_for_clock: Cell::new(false),
            bell: Bell::default(),
        }
    }

    /// The run of a job that goes or waits.
    #[must_use]
    pub fn active(&self, job_id: &str) -> Option<Rc<Going>> {
        let going = self.going.borrow().get(job_id).cloned();
        going.or_else(|| self.waiting.borrow().iter().find(|going| going.job_id == job_id).cloned())
    }

    /// Resolves when none runs any more.
    pub async fn ended(&self) {
        loop {
            let Some(going) = self.going.borrow().values().next().cloned() else { return };
            going.ended.wait().await;
        }
    }

    /// Somebody removed a job: its turn doesn't come any more. Only jobs of the book wait, each once.
    pub fn removed(&self, job_id: &str) {
        let mut waiting = self.waiting.take();
        waiting.retain(|going| {
            let stays = going.job_id != job_id;
            if !stays {
                going.ended.set(removed());
            }
            stays
        });
        self.waiting.replace(waiting);
        self.changed(job_id);
    }

    /// Somebody changed a job: what is due may have changed too.
    pub fn changed(&self, job_id: &str) {
        self.behind.borrow_mut().remove(job_id);
        self.bell.ring();
    }
}

impl Gateway {
    /// Tells everybody that a job changed.
    pub fn tell_of_job(&self, job: &Job, action: &'static str) {
        self.hub.emit_json(&CRON, &CronEvent { next_run_at_ms: job.state.next_run_at_ms, ..event(&job.id, action) });
    }

    /// Puts a planned job into the book; durable, and told to everybody, when it resolves.
    ///
    /// # Errors
    /// `INVALID_REQUEST` when the book is full; as the stores'.
    pub async fn add_job(&self, job: &Job) -> Result<(), Error> {
        let book = &self.jobs.book;
        book.put(job.clone()).map_err(|full| Error::invalid(full.to_string()))?;
        if let Err(error) = book.save(Change::Jobs).await {
            // Nobody was told that it is there.
            let _ = book.remove(&job.id);
            return Err(store_error(&error));
        }
        self.tell_of_job(job, "added");
        self.jobs.changed(&job.id);
        Ok(())
    }

    /// Takes a job out of the book; durable when it resolves. Tells whether there was one.
    ///
    /// # Errors
    /// As the stores'; the job stays then.
    pub async fn remove_job(&self, id: &str) -> Result<bool, Error> {
        let book = &self.jobs.book;
        let Some(mut job) = book.remove(id) else { return Ok(false) };
        if let Err(error) = book.save(Change::Jobs).await {
            book.put(job).map_err(|full| Error::invalid(full.to_string()))?;
            return Err(store_error(&error));
        }
        job.state.next_run_at_ms = None;
        self.tell_of_job(&job, "removed");
        self.jobs.removed(id);
        self.prune_job_logs();
        Ok(true)
    }

    /// Runs jobs when they are due, until dropped.
    pub async fn keep_jobs(self: Rc<Self>) {
        self.mend_jobs().await;
        loop {
            let ring = self.jobs.bell.next();
            let pause = self.start_due_jobs();
            // Either way it looks again.
            let _ = self.sys.clock.timeout(pause, ring.wait()).await;
        }
    }

    /// After a start: a run that never ended failed, and hand-made changes get their times.
    async fn mend_jobs(&self) {
        let (now_ms, home) = (self.sys.clock.now_ms(), &self.sys.zone);
        let mut is_changed = false;
        for old in self.jobs.book.all() {
            let mut job = old.clone();
            if let Some(run_at_ms) = job.state.running_at_ms {
                let error = Some(INTERRUPTED.to_owned());
                let went = Went { status: Status::Error, error, run_at_ms, duration_ms: 0 };
                job.settle(&went, now_ms, None, home);
                self.log_run(&job, &went, None).await;
            }
            let earliest = job.timetable(home).ok().and_then(|table| table.next(now_ms));
            let is_late = |next: u64| !job.is_once() && earliest.is_some_and(|earliest| earliest < next);
            let is_failing = job.state.consecutive_errors.is_some();
            if now_ms >= CLOCK_MIN_MS && !is_failing && job.state.next_run_at_ms.is_none_or(is_late) {
                job.replan(now_ms, home);
            }
            if job != old {
                is_changed = true;
                self.jobs.book.change(&old.id, |kept| *kept = job);
            }
        }
        if is_changed {
            self.save_jobs(Change::State).await;
        }
    }

    /// Puts what is due into the queue; the result is the pause until the next look.
    fn start_due_jobs(self: &Rc<Self>) -> Duration {
        let now_ms = self.sys.clock.now_ms();
        self.notice_jump(now_ms);
        let look = Duration::from_millis(CRON_LOOK_MS);
        if !self.config.get().cron.enabled || self.runs.is_closed() {
            return look;
        }
        if !self.is_clock_set() {
            if !self.jobs.is_waiting_for_clock.replace(true) {
                log::info!("scheduled jobs wait until a time server has set the clock (cron.clockWaitSeconds)");
            }
            // What is due is found out when the time is known.
            return Duration::from_millis(CLOCK_LOOK_MS);
        }
        let (due, next) = self.jobs.book.due(now_ms);
        for job in due {
            if self.jobs.active(&job.id).is_none() {
                self.take_due(job, now_ms);
            }
        }
        self.pump_jobs();
        next.map_or(look, |next| Duration::from_millis(next.saturating_sub(now_ms)).min(look))
    }

    /// A clock that was set forward makes times missed, as a stop does. One that was set back makes them far
    /// away: they are set anew.
    fn notice_jump(&self, now_ms: u64) {
        let elapsed_ms = i64::try_from(self.uptime_ms()).unwrap_or(i64::MAX);
        let offset = i64::try_from(now_ms).unwrap_or(i64::MAX).saturating_sub(elapsed_ms);
        let Some(before) = self.jobs.offset_ms.replace(Some(offset)) else { return };
        let jump = offset.saturating_sub(before);
        if jump.unsigned_abs() <= JUMP_MS || now_ms < CLOCK_MIN_MS {
            return;
        }
        log::warn!("the clock was set {} s {}", jump.unsigned_abs() / 1000, if jump > 0 { "forward" } else { "back" });
        for job in self.jobs.book.all() {
            // Planned while the clock had not been set at all.
            let is_from_nowhere = job.state.next_run_at_ms.is_some_and(|next| next < CLOCK_MIN_MS);
            if jump < 0 || is_from_nowhere {
                self.jobs.behind.borrow_mut().remove(&job.id);
                self.jobs.book.change(&job.id, |job| job.replan(now_ms, &self.sys.zone));
            }
        }
        // In the background: a lost plan is made anew at the next start.
        drop(self.jobs.book.save(Change::State));
    }

    /// Decides what becomes of a job whose time has come, perhaps long ago.
    fn take_due(self: &Rc<Self>, job: Job, now_ms: u64) {
        let Some(due_ms) = job.state.next_run_at_ms else { return };
        let is_missed = now_ms - due_ms > CRON_LATE_MS
            && !self.jobs.behind.borrow().contains_key(&job.id)
            // A past time is due at once when it was past already as somebody set it.
            && !(job.is_once() && job.updated_at_ms >= due_ms);
        let policy = job.missed.unwrap_or(match self.config.get().cron.missed {
            DefaultMissed::Skip => Missed::Skip,
            DefaultMissed::Once => Missed::Once,
            DefaultMissed::All => Missed::All,
        });
        let mut due_ms = due_ms;
        match policy {
            Missed::Skip if is_missed && job.is_once() => return self.give_up(job, now_ms),
            Missed::Skip if is_missed => {
                self.jobs.book.change(&job.id, |job| job.replan(now_ms, &self.sys.zone));
                log::info!("scheduled job {} ({}): missed and left out", job.id, job.name);
                // In the background: a lost plan is made anew at the next start.
                drop(self.jobs.book.save(Change::State));
                return;
            }
            Missed::All if is_missed && !job.is_once() => {
                if let Ok(table) = job.timetable(&self.sys.zone) {
                    due_ms = table.newest(due_ms, now_ms, CRON_CATCH_UP);
                    self.jobs.behind.borrow_mut().insert(job.id.clone(), now_ms);
                }
            }
            _ => {}
        }
        self.queue_job(&job.id, Some(due_ms));
    }

    /// A job that was due once, and that is not to run late.
    fn give_up(self: &Rc<Self>, job: Job, now_ms: u64) {
        let went =
            Went { status: Status::Skipped, error: Some(WAS_MISSED.to_owned()), run_at_ms: now_ms, duration_ms: 0 };
        let changed = self.jobs.book.change(&job.id, |job| {
            job.settle(&went, now_ms, None, &self.sys.zone);
            job.enabled = false;
            job.state.next_run_at_ms = None;
        });
        let Some(job) = changed else { return };
        let gateway = Rc::clone(self);
        self.sys.tasks.detach(async move {
            gateway.save_jobs(Change::Jobs).await;
            gateway.log_run(&job, &went, None).await;
            gateway.tell_of_run(&job.id, job.state.next_run_at_ms, &went, None);
        });
    }

    /// Queues a run of a job at somebody's wish.
    pub fn force_job(self: &Rc<Self>, job_id: &str) -> Rc<Going> {
        let going = self.queue_job(job_id, None);
        self.pump_jobs();
        going
    }

    fn queue_job(&self, job_id: &str, due_ms: Option<u64>) -> Rc<Going> {
        let going =
            Rc::new(Going { job_id: job_id.to_owned(), run_id: self.sys.chance.uuid(), due_ms, ended: Latch::new() });
        self.jobs.waiting.borrow_mut().push_back(Rc::clone(&going));
        going
    }

    /// Starts runs while fewer go than may.
    fn pump_jobs(self: &Rc<Self>) {
        let max = usize::try_from(self.config.get().cron.max_concurrent_runs).unwrap_or(usize::MAX);
        while self.jobs.going.borrow().len() < max && !self.runs.is_closed() {
            let Some(going) = self.jobs.waiting.borrow_mut().pop_front() else { return };
            self.jobs.going.borrow_mut().insert(going.job_id.clone(), Rc::clone(&going));
            let gateway = Rc::clone(self);
            self.sys.tasks.detach(async move {
                let ended = gateway.run_job(&going).await;
                gateway.jobs.going.borrow_mut().remove(&going.job_id);
                going.ended.set(ended);
                gateway.pump_jobs();
                gateway.jobs.bell.ring();
            });
        }
    }

    /// One run of a job, with everything around it.
    async fn run_job(self: &Rc<Self>, going: &Going) -> Ended {
        let id = going.job_id.as_str();
        let (run_at_ms, started) = (self.sys.clock.now_ms(), self.sys.clock.elapsed());
        let begun = self.jobs.book.change(id, |job| {
            job.state.running_at_ms = Some(run_at_ms);
            job.updated_at_ms = run_at_ms;
        });
        let Some(begun) = begun else {
            return removed();
        };
        // A run during which the power fails must not begin again without end: that it began is on disk first.
        self.save_jobs(Change::State).await;
        self.hub.emit_json(&CRON, &CronEvent { run_at_ms: Some(run_at_ms), ..event(id, "started") });
        let ended = self.do_job(&begun, &going.run_id).await;
        let took = self.sys.clock.elapsed().saturating_sub(started);
        let went = Went {
            // A run that was cut short is like one that was missed.
            status: if ended.by_shutdown { Status::Skipped } else { ended.status },
            error: ended.error.clone(),
            run_at_ms,
            duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        };
        self.finish_job(going, &begun, &went, &ended).await;
        ended
    }

    async fn finish_job(self: &Rc<Self>, going: &Going, begun: &Job, went: &Went, ended: &Ended) {
        let id = going.job_id.as_str();
        let summary = ended.summary.clone();
        let (now_ms, home) = (self.sys.clock.now_ms(), &self.sys.zone);
        let behind = going.due_ms.filter(|due| self.jobs.behind.borrow().get(id).is_some_and(|until| due < until));
        let settled = self.jobs.book.change(id, |job| {
            if ended.by_shutdown {
                job.state.running_at_ms = None;
                return;
            }
            let is_rescheduled = job.schedule != begun.schedule;
            let (enabled, next) = (job.enabled, job.state.next_run_at_ms);
            job.settle(went, now_ms, behind, home);
            if is_rescheduled {
                // What somebody decided during the run holds.
                (job.enabled, job.state.next_run_at_ms) = (enabled, next);
            }
        });
        let next = settled.as_ref().and_then(|job| job.state.next_run_at_ms);
        if went.status != Status::Ok || next.is_none_or(|next| next > now_ms) {
            self.jobs.behind.borrow_mut().remove(id);
        }
        let is_done = settled.as_ref().is_some_and(|job| {
            job.is_once() && !job.enabled && went.status == Status::Ok && job.delete_after_run == Some(true)
        });
        let removed = if is_done { self.jobs.book.remove(id) } else { None };
        let change = if begun.is_once() { Change::Jobs } else { Change::State };
        self.save_jobs(change).await;
        let job = settled.as_ref().unwrap_or(begun);
        self.log_run(
            &Job { state: crate::cron::job::State { next_run_at_ms: next, ..job.state.clone() }, ..job.clone() },
            went,
            summary.clone(),
        )
        .await;
        self.tell_of_run(id, next, went, summary);
        if removed.is_some() {
            self.hub.emit_json(&CRON, &event(id, "removed"));
            self.prune_job_logs();
        }
    }

    fn tell_of_run(&self, id: &str, next_run_at_ms: Option<u64>, went: &Went, summary: Option<String>) {
        self.hub.emit_json(
            &CRON,
            &CronEvent {
                status: Some(went.status),
                error: went.error.clone(),
                summary,
                run_at_ms: Some(went.run_at_ms),
                duration_ms: Some(went.duration_ms),
                next_run_at_ms,
                ..event(id, "finished")
            },
        );
    }

    async fn log_run(&self, job: &Job, went: &Went, summary: Option<String>) {
        let entry = Entry {
            ts: self.sys.clock.now_ms(),
            job_id: job.id.clone(),
            action: "finished".to_owned(),
            status: went.status,
            error: went.error.clone(),
            summary,
            run_at_ms: went.run_at_ms,
            duration_ms: went.duration_ms,
            next_run_at_ms: job.state.next_run_at_ms,
        };
        if let Err(error) = self.jobs.log.add(&entry).await {
            log::warn!("a run of scheduled job {} is not logged: {error}", job.id);
        }
    }

    /// Removes the oldest logs of removed jobs when there are too many.
    pub fn prune_job_logs(&self) {
        let alive = self.jobs.book.all().into_iter().map(|job| job.id).collect();
        if let Err(error) = self.jobs.log.prune(&alive) {
            log::warn!("old logs of scheduled jobs are not removed: {error}");
        }
    }

    async fn save_jobs(&self, change: Change) {
        if let Err(error) = self.jobs.book.save(change).await {
            log::warn!("the scheduled jobs are not saved: {error}");
        }
    }
}

fn removed() -> Ended {
    Ended::of(Status::Skipped, Some("the job was removed before its turn came".to_owned()))
}

fn event(job_id: &str, action: &'static str) -> CronEvent {
    CronEvent {
        job_id: job_id.to_owned(),
        action,
        status: None,
        error: None,
        summary: None,
        run_at_ms: None,
        duration_ms: None,
        next_run_at_ms: None,
    }
}
