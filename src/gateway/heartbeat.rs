//! Heartbeats: an agent looks around by itself, now and then (methods.md 10.8).
//!
//! No model is asked when there is nothing to do: no event waits, HEARTBEAT.md has no tasks, and the owner set
//! no prompt of his own. The timers are monotonic; only active hours and days are the wall clock's.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use jiff::{Timestamp, Zoned};

use super::Gateway;
use super::delivery::DeliveryTarget;
use super::errand::{Errand, Undone};
use super::heartbeat_text::{Said, has_tasks, said};
use super::heartbeat_tokens::Tokens;
use crate::config::agents::Agent;
use crate::config::heartbeat::Heartbeat;
use crate::events::HEARTBEAT;
use crate::limits::CRON_LOOK_MS;
use crate::runs::asker::Asker;
use crate::runs::prompt;
use crate::runs::run::Outcome;
use crate::stores::{Durability, SessionKey};
use crate::sys::Bell;

/// How long requests for a heartbeat are gathered; many make one.
const GATHER: Duration = Duration::from_millis(250);
/// Pause before a heartbeat is tried again whose session was busy.
const BUSY_PAUSE: Duration = Duration::from_secs(1);
/// Characters of an answer that the event shows.
const PREVIEW_CHARS: usize = 200;
/// The same answer is not sent again within this time.
const REPEAT_MS: u64 = 24 * 60 * 60 * 1000;
/// The agent's list of tasks in its workspace.
const TASKS_FILE: &str = "HEARTBEAT.md";

/// Why a heartbeat was skipped because something else went on the session.
const BUSY: &str = "requests-in-flight";

/// What the gateway knows of heartbeats.
#[derive(Debug)]
pub struct Heart {
    /// What they used.
    tokens: Tokens,
    is_enabled: Cell<bool>,
    last: RefCell<Option<Beaten>>,
    /// By agent.
    pulses: RefCell<BTreeMap<String, Pulse>>,
    bell: Bell,
}

#[derive(Debug)]
struct Pulse {
    /// When it last beat, or when its interval began.
    last: Duration,
    /// When it is to beat out of turn, and why.
    wanted: Option<(Duration, String)>,
    is_beating: bool,
}

/// What came of a heartbeat.
#[derive(Debug)]
pub enum Beat {
    /// The agent was asked.
    Ran,
    /// It was not, and why.
    Skipped(&'static str),
    /// It could not answer.
    Failed(Undone),
}

impl Beat {
    /// Whether it was skipped because something else went on, so that it is worth another try.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Skipped(why) if *why == BUSY)
    }
}

crate::wire! {
    /// A heartbeat that ended or was skipped.
    pub struct Beaten {
        /// Milliseconds since the Unix epoch.
        ts: u64,
        /// `sent`, `ok-empty`, `ok-token`, `skipped` or `failed`.
        status: String,
        reason: Option<String>,
        /// The recipient.
        to: Option<String>,
        /// The answer's first 200 characters.
        preview: Option<String>,
        duration_ms: Option<u64>,
        has_media: Option<bool>,
        channel: Option<String>,
        silent: Option<bool>,
        /// `ok`, `alert` or `error`.
        indicator_type: Option<String>,
    }

    /// An agent's heartbeat as health and status tell it.
    pub struct HeartbeatSummary {
        enabled: bool,
        /// The interval as configured.
        every: String,
        /// The same in milliseconds; null when it is off.
        every_ms: serde_json::Value,
        prompt: String,
        target: String,
        model: Option<String>,
        ack_max_chars: u64,
    }
}

impl Heart {
    /// A heart that has not beaten since the start, but perhaps before a restart inside the process.
    #[must_use]
    pub fn new(tokens: Tokens, last: Option<Beaten>) -> Self {
        Self {
            tokens,
            is_enabled: Cell::new(true),
            last: RefCell::new(last),
            pulses: RefCell::default(),
            bell: Bell::default(),
        }
    }

    /// The last heartbeat since the process started.
    #[must_use]
    pub fn last(&self) -> Option<Beaten> {
        self.last.borrow().clone()
    }

    /// Switches all heartbeats off or on, until the next start.
    pub fn enable(&self, enabled: bool) {
        self.is_enabled.set(enabled);
        self.bell.ring();
    }
}

impl Gateway {
    /// An agent's heartbeat as health and status tell it.
    #[must_use]
    pub fn heartbeat_summary(&self, agent: &Agent) -> HeartbeatSummary {
        let beat = agent.heartbeat.as_ref().filter(|beat| beat.every_ms > 0 && self.heart.is_enabled.get());
        let or_default = |part: Option<&str>, default: &str| part.unwrap_or(default).to_owned();
        HeartbeatSummary {
            enabled: beat.is_some(),
            every: or_default(beat.map(|beat| beat.every.as_str()), "0m"),
            every_ms: beat.map_or(serde_json::Value::Null, |beat| beat.every_ms.into()),
            prompt: or_default(agent.heartbeat.as_ref().map(|beat| beat.prompt.as_str()), ""),
            target: or_default(agent.heartbeat.as_ref().map(|beat| beat.target.as_str()), "last"),
            model: agent.heartbeat.as_ref().and_then(|beat| beat.model.clone()),
            ack_max_chars: agent.heartbeat.as_ref().map_or(300, |beat| beat.ack_max_chars),
        }
    }

    /// Asks for a heartbeat soon; many requests at the same time make one.
    pub fn want_heartbeat(&self, agent_id: &str, reason: &str) {
        let at = self.sys.clock.elapsed() + GATHER;
        self.want_heartbeat_at(agent_id, at, reason);
    }

    fn want_heartbeat_at(&self, agent_id: &str, at: Duration, reason: &str) {
        let config = self.config.get();
        // Of an agent that isn't configured nothing is kept.
        if config.agents.list.iter().any(|agent| agent.id == agent_id && agent.heartbeat.is_some()) {
            let now = self.sys.clock.elapsed();
            let mut pulses = self.heart.pulses.borrow_mut();
            let pulse = pulses.entry(agent_id.to_owned()).or_insert_with(|| Pulse::from(now));
            pulse.wanted.get_or_insert_with(|| (at, reason.to_owned()));
        }
        self.heart.bell.ring();
    }

    /// Beats when it is time, until dropped.
    pub async fn keep_heart(self: Rc<Self>) {
        loop {
            let ring = self.heart.bell.next();
            let deadline = self.beat_what_is_due();
            // Either way it looks again.
            let _ = self.sys.clock.before(deadline, ring.wait()).await;
        }
    }

    /// Starts what is due; the result is when to look again.
    fn beat_what_is_due(self: &Rc<Self>) -> Duration {
        let now = self.sys.clock.elapsed();
        let config = self.config.get();
        let mut deadline = now + Duration::from_millis(CRON_LOOK_MS);
        let mut pulses = self.heart.pulses.borrow_mut();
        pulses.retain(|id, pulse| pulse.is_beating || config.agents.list.iter().any(|agent| agent.id == *id));
        for agent in &config.agents.list {
            let Some(beat) = &agent.heartbeat else { continue };
            let pulse = pulses.entry(agent.id.clone()).or_insert_with(|| Pulse::from(now));
            if pulse.is_beating {
                continue;
            }
            let interval = (beat.every_ms > 0).then(|| pulse.last + Duration::from_millis(beat.every_ms));
            let reason = match &pulse.wanted {
                Some((at, reason)) if *at <= now => Some(reason.clone()),
                _ => interval.filter(|at| *at <= now).map(|_| "interval".to_owned()),
            };
            let Some(reason) = reason else {
                let wanted = pulse.wanted.as_ref().map(|(at, _)| *at);
                deadline = [interval, wanted].into_iter().flatten().fold(deadline, Duration::min);
                continue;
            };
            (pulse.last, pulse.wanted, pulse.is_beating) = (now, None, true);
            let (gateway, id) = (Rc::clone(self), agent.id.clone());
            self.sys.tasks.detach(async move {
                let outcome = gateway.beat(&id, &reason).await;
                if let Some(pulse) = gateway.heart.pulses.borrow_mut().get_mut(&id) {
                    pulse.is_beating = false;
                }
                if outcome.is_busy() {
                    gateway.want_heartbeat_at(&id, gateway.sys.clock.elapsed() + BUSY_PAUSE, &reason);
                }
                gateway.heart.bell.ring();
            });
        }
        deadline
    }

    /// One heartbeat of an agent, now.
    pub async fn beat(self: &Rc<Self>, agent_id: &str, reason: &str) -> Beat {
        let config = self.config.get();
        let Some(agent) = config.agents.list.iter().find(|agent| agent.id == agent_id) else {
            return Beat::Skipped("disabled");
        };
        let Some(beat) = agent.heartbeat.as_ref().filter(|beat| beat.every_ms > 0 && self.heart.is_enabled.get())
        else {
            return Beat::Skipped("disabled");
        };
        let now = self.local_time();
        if let Some(active) = &beat.active {
            let there = active.zone.as_ref().map_or_else(|| now.clone(), |zone| now.with_time_zone(zone.clone()));
            let minute = u16::try_from(i32::from(there.hour()) * 60 + i32::from(there.minute())).unwrap_or(0);
            if !active.has(minute) {
                return Beat::Skipped("quiet-hours");
            }
        }
        let key = self.heartbeat_session(agent, beat);
        if !self.runs.active_in(&key).is_empty() {
            return Beat::Skipped(BUSY);
        }
        let started = self.sys.clock.elapsed();
        let tasks = match self.what_to_do(agent, beat, &key, &now.date().to_string()) {
            Ok(tasks) => tasks,
            Err(why) => {
                self.beaten(started, |told| {
                    told.status = "skipped".to_owned();
                    told.reason = Some(why.to_owned());
                });
                return Beat::Skipped(why);
            }
        };
        let before = self.stores.sessions.get(&key).and_then(|entry| entry.updated_at);
        let asked = self.run_errand(Errand {
            run_id: self.sys.chance.uuid(),
            key: key.clone(),
            agent_id: agent.id.clone(),
            asker: Asker::Heartbeat,
            text: beat.prompt.clone(),
            model: beat.model.clone(),
            thinking: None,
            timeout: None,
            extra_system_prompt: tasks.map(|tasks| format!("# {TASKS_FILE}\n\n{}", tasks.trim())),
        });
        let asked = asked.await;
        let tokens = asked.as_ref().map_or_else(|undone| undone.tokens, |outcome| outcome.usage.total_tokens);
        if tokens > 0 {
            self.heart.tokens.add(&self.local_time().date().to_string(), &agent.id, tokens);
        }
        match asked {
            Ok(outcome) => {
                self.pass_on(beat, &key, &outcome, before, started, reason).await;
                Beat::Ran
            }
            Err(undone) => {
                self.beaten(started, |told| {
                    told.status = "failed".to_owned();
                    told.reason = Some(cut(&undone.problem));
                    told.indicator_type = Some("error".to_owned());
                });
                Beat::Failed(undone)
            }
        }
    }

    /// What HEARTBEAT.md says, if anything.
    ///
    /// # Errors
    /// Why nothing is to be done: the reason of the skipped heartbeat.
    fn what_to_do(
        &self,
        agent: &Agent,
        beat: &Heartbeat,
        key: &SessionKey,
        today: &str,
    ) -> Result<Option<String>, &'static str> {
        let config = self.config.get();
        let workspace = agent.workspace.clone().or_else(|| config.agents.defaults.workspace.clone());
        let path = workspace.unwrap_or_else(|| self.places.workspace()).join(TASKS_FILE);
        let chars = usize::try_from(config.agents.defaults.bootstrap_max_chars).unwrap_or(usize::MAX);
        let tasks = prompt::workspace_file(&self.sys, &path, chars).filter(|text| has_tasks(text));
        if tasks.is_none() && self.sys.files.size(&path).is_ok() {
            return Err("empty-heartbeat-file");
        }
        if tasks.is_none() && !beat.prompt_is_own && self.system_events.texts(key).is_empty() {
            return Err("nothing-to-do");
        }
        match beat.max_tokens_per_day {
            Some(ceiling) if self.heart.tokens.used(today, &agent.id) >= ceiling => Err("daily-token-limit"),
            _ => Ok(tasks),
        }
    }

    /// Sends an answer where it should go, unless it says that there is nothing to say.
    async fn pass_on(
        self: &Rc<Self>,
        beat: &Heartbeat,
        key: &SessionKey,
        outcome: &Outcome,
        before: Option<u64>,
        started: Duration,
        reason: &str,
    ) {
        let entry = self.stores.sessions.get(key).unwrap_or_default();
        let target = (beat.target != "none")
            .then(|| DeliveryTarget::of(&entry, Some(&beat.target), beat.to.as_deref()))
            .flatten();
        let channel = target.as_ref().map(|target| target.channel.clone());
        let max = usize::try_from(beat.ack_max_chars).unwrap_or(usize::MAX);
        let said = match said(&outcome.texts, max) {
            Said::Something(text) => text,
            nothing => {
                self.put_back(key, before);
                return self.beaten(started, |told| {
                    told.status = if nothing == Said::Nothing { "ok-empty" } else { "ok-token" }.to_owned();
                    told.reason = Some(reason.to_owned());
                    told.channel = channel;
                    told.silent = Some(true);
                    told.indicator_type = Some("ok".to_owned());
                });
            }
        };
        let now_ms = self.sys.clock.now_ms();
        let is_repeat = entry.last_heartbeat_text.as_deref() == Some(said.as_str())
            && entry.last_heartbeat_sent_at.is_some_and(|at| now_ms.saturating_sub(at) < REPEAT_MS);
        let skipped = |why: &str| {
            self.beaten(started, |told| {
                told.status = "skipped".to_owned();
                told.reason = Some(why.to_owned());
                told.preview = Some(cut(&said));
                told.has_media = Some(false);
                told.channel = channel.clone();
            });
        };
        if is_repeat {
            self.put_back(key, before);
            return skipped("duplicate");
        }
        let Some(target) = target else {
            return skipped(if beat.target == "none" { "target-none" } else { "no-target" });
        };
        let sent = self.deliver(&target, &said).await;
        if sent.is_ok() {
            let noted = self.stores.sessions.update(key, Durability::Lazy, |entry| {
                entry.last_heartbeat_text = Some(said.clone());
                entry.last_heartbeat_sent_at = Some(now_ms);
            });
            if let Err(error) = noted {
                log::warn!("what a heartbeat sent is not recorded: {error}");
            }
        }
        self.beaten(started, |told| {
            told.status = if sent.is_ok() { "sent" } else { "failed" }.to_owned();
            told.reason = sent.as_ref().err().map(|error| error.message.clone());
            told.indicator_type = Some(if sent.is_ok() { "alert" } else { "error" }.to_owned());
            told.to = Some(target.to);
            told.preview = Some(cut(&said));
            told.has_media = Some(false);
            told.channel = channel.clone();
        });
    }

    /// A heartbeat without anything to say doesn't make the session look used.
    fn put_back(&self, key: &SessionKey, before: Option<u64>) {
        let Some(before) = before else { return };
        if self.runs.active_in(key).is_empty() {
            if let Err(error) = self.stores.sessions.put_back(key, before) {
                log::warn!("the time of a session is not put back: {error}");
            }
        }
    }

    /// Tells everybody, and whoever asks later.
    fn beaten(&self, started: Duration, fill: impl FnOnce(&mut Beaten)) {
        let took = self.sys.clock.elapsed().saturating_sub(started);
        let mut told = Beaten {
            ts: self.sys.clock.now_ms(),
            status: String::new(),
            reason: None,
            to: None,
            preview: None,
            duration_ms: Some(u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
            has_media: None,
            channel: None,
            silent: None,
            indicator_type: None,
        };
        fill(&mut told);
        self.hub.emit_json(&HEARTBEAT, &told);
        *self.heart.last.borrow_mut() = Some(told);
    }

    fn heartbeat_session(&self, agent: &Agent, beat: &Heartbeat) -> SessionKey {
        let named = beat.session.as_ref().and_then(|session| {
            let short = !session.contains(':') && session != "global";
            self.session_key(&if short { format!("agent:{}:{session}", agent.id) } else { session.clone() }).ok()
        });
        named.unwrap_or_else(|| self.main_key(&agent.id))
    }

    /// What the host's clock on the wall shows.
    #[must_use]
    pub fn local_time(&self) -> Zoned {
        let now = i64::try_from(self.sys.clock.now_ms()).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        now.unwrap_or_default().to_zoned(self.sys.zone.clone())
    }
}

impl Pulse {
    fn from(now: Duration) -> Self {
        Self { last: now, wanted: None, is_beating: false }
    }
}

fn cut(text: &str) -> String {
    text.chars().take(PREVIEW_CHARS).collect()
}
