//! A message into a session: durable in the transcript first, acknowledged second, answered third.

use std::rc::Rc;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

use super::Gateway;
use super::dedupe::{Answer, Claim};
use super::reach::Reach;
use super::system_events::{Waiting, put_before};
use crate::config::session::Reset;
use crate::error::Error;
use crate::runs::asker::Asker;
use crate::runs::run::{Ask, Origin, Outcome, Run, Stop};
use crate::stores::{Durability, Durable, Entry, SessionKey, StoreError, TranscriptFile};
use crate::sys::Latch;
use crate::wire::message::{Block, Content, Message, UserMessage};
use crate::wire::thinking::ThinkingLevel;

/// What a caller wants an agent to answer.
#[derive(Debug)]
pub struct Post {
    /// Id of the run.
    pub run_id: String,
    /// The session.
    pub key: SessionKey,
    /// Its key as the caller wrote it.
    pub shown_key: String,
    /// The agent that answers.
    pub agent_id: String,
    /// Text and pictures.
    pub content: Vec<Block>,
    /// Thinking level of this run alone.
    pub thinking: Option<ThinkingLevel>,
    /// Model of this run alone.
    pub model: Option<String>,
    /// Time limit.
    pub timeout: Duration,
    /// What the caller adds to the system prompt.
    pub extra_system_prompt: Option<String>,
    /// Which method asks.
    pub origin: Origin,
    /// On whose word it acts.
    pub asker: Asker,
    /// A label for the session.
    pub label: Option<String>,
    /// The channel over which it came, which the session remembers.
    pub reach: Option<Reach>,
    /// Whether a session that is too old begins anew (methods.md 7.6).
    pub renews: bool,
    /// The run's id as an idempotency key.
    pub claim: Claim,
    /// What a repeat of the request hears.
    pub memory: Memory,
}

/// What is remembered of a post for repeats of its request (methods.md 1.3).
#[derive(Debug)]
pub struct Memory {
    /// Kind of the key.
    pub kind: &'static str,
    /// The answer while the run waits or goes, where a repeat gets one.
    pub accepted: Option<Answer>,
    /// The answer once it has ended.
    pub ended: fn(&Run, &Outcome) -> Answer,
}

/// A message on its way to the medium, or there.
#[derive(Debug)]
pub struct Posted {
    /// Set when the message is durable and its run is queued, or with the refusal.
    pub accepted: Latch<Result<Rc<Run>, Error>>,
}

impl Gateway {
    /// Takes a message. It goes on whether or not the caller waits for it: a client that sends and
    /// hangs up is answered too.
    ///
    /// # Errors
    /// `UNAVAILABLE` when queues are full or the disk takes nothing; `INVALID_REQUEST` when the
    /// session can't be made.
    pub fn post(self: &Rc<Self>, post: Post) -> Result<Rc<Posted>, Error> {
        self.runs.room(&post.key)?;
        let events = self.system_events.take(&post.key);
        let (file, message_ts, durable) = match self.write(&post, &events) {
            Ok(written) => written,
            Err(error) => {
                self.system_events.give_back(&post.key, events);
                return Err(store_error(&error));
            }
        };
        let posted = Rc::new(Posted { accepted: Latch::new() });
        let (gateway, pending) = (Rc::clone(self), Rc::clone(&posted));
        let (claim, memory) = (post.claim, post.memory);
        let run = self.runs.expect(Ask {
            run_id: post.run_id,
            key: post.key,
            shown_key: post.shown_key,
            file,
            agent_id: post.agent_id,
            message_ts,
            thinking: post.thinking,
            model: post.model,
            timeout: post.timeout,
            extra_system_prompt: post.extra_system_prompt,
            origin: post.origin,
            asker: post.asker,
        });
        self.sys.tasks.detach(async move {
            match durable.await {
                // The caller may be gone by now: what a repeat hears is settled here.
                Ok(()) => gateway.carry_out(run, &pending, &claim, memory).await,
                Err(error) => {
                    gateway.system_events.give_back(&run.ask.key, events);
                    gateway.runs.lost(&run, &error.to_string());
                    pending.accepted.set(Err(store_error(&error)));
                }
            }
        });
        Ok(posted)
    }

    /// Queues the run of a durable message, and remembers how it ends.
    async fn carry_out(&self, run: Rc<Run>, posted: &Posted, claim: &Claim, memory: Memory) {
        if let Some(accepted) = memory.accepted {
            self.answers.put(memory.kind, &run.ask.run_id, accepted, self.uptime_ms());
        }
        claim.decided();
        posted.accepted.set(Ok(Rc::clone(&run)));
        // Those who wait for it were woken before: their acknowledgement goes out before the run's
        // first event.
        smol::future::yield_now().await;
        self.runs.arrived(&run);
        self.runs.pump();
        let outcome = run.outcome.wait().await;
        self.answers.put(memory.kind, &run.ask.run_id, (memory.ended)(&run, &outcome), self.uptime_ms());
    }

    /// Writes the message, behind the system events that waited for it, and what it changes in the index; the
    /// future tells when both are durable.
    fn write(&self, post: &Post, events: &[Waiting]) -> Result<(TranscriptFile, u64, Durable), StoreError> {
        let sessions = &self.stores.sessions;
        let old = sessions.get(&post.key);
        if post.renews && old.as_ref().is_some_and(|entry| self.is_stale(entry)) {
            sessions.reset(&post.key)?;
        }
        // The newest timestamp is a convenience; a session's existence and settings are not.
        let is_known = old.as_ref().is_some_and(|entry| entry.session_id.is_some());
        let durability = if is_known && post.label.is_none() && post.reach.is_none() {
            Durability::Lazy
        } else {
            Durability::Forced
        };
        let entry = sessions.update(&post.key, durability, |entry| {
            if let Some(label) = &post.label {
                entry.label = Some(label.clone());
            }
            if let Some(reach) = &post.reach {
                reach.came_in(entry);
            }
        })?;
        let file = self.transcript(&post.key, &entry)?;
        let message_ts = self.runs.context().timestamp();
        let content = Content::Blocks(put_before(events, post.content.clone()));
        let message = Message::User(UserMessage { content, timestamp: message_ts });
        self.stores.transcripts.append(&file, &message)?;
        let durable = Durable::all([sessions.saved(), self.stores.transcripts.synced(&file)]);
        Ok((file, message_ts, durable))
    }

    /// Stops every run of a session and waits for their ends.
    pub async fn stop_session(&self, key: &SessionKey, stop: Stop) {
        let runs = self.runs.active_in(key);
        self.runs.stop(&runs, stop).await;
        for run in runs {
            run.outcome.wait().await;
        }
    }

    /// Begins a session anew, durably: its runs are stopped, its history is empty.
    ///
    /// # Errors
    /// As the store's.
    pub async fn renew(&self, key: &SessionKey) -> Result<Entry, Error> {
        self.stop_session(key, Stop::Phrase).await;
        let entry = self.stores.sessions.reset(key).map_err(|error| store_error(&error))?;
        self.stores.sessions.saved().await.map_err(|error| store_error(&error))?;
        Ok(entry)
    }

    /// The transcript of a session.
    ///
    /// # Errors
    /// [`StoreError::BadSessionId`] when the entry's id can't be a file name.
    pub fn transcript(&self, key: &SessionKey, entry: &Entry) -> Result<TranscriptFile, StoreError> {
        let dir = self.stores.sessions.sessions_dir(&self.agent_of(key));
        let session_id = entry.session_id.as_deref().unwrap_or_default();
        TranscriptFile::new(&dir, session_id, entry.session_file.as_deref())
    }

    /// The agent that a session belongs to.
    #[must_use]
    pub fn agent_of(&self, key: &SessionKey) -> String {
        key.agent().map_or_else(|| self.config.get().agents.default_agent().id.clone(), str::to_owned)
    }

    fn is_stale(&self, entry: &Entry) -> bool {
        // A clock that jumps must not end a conversation; one whose age nobody can tell goes on.
        let age_ms = entry.updated_at.and_then(|at| self.jumps.age_ms(&*self.sys.clock, at));
        let (now_ms, reset) = (self.sys.clock.now_ms(), self.config.get().session.reset);
        age_ms.is_some_and(|age_ms| is_stale(age_ms, now_ms, reset, &self.sys.zone))
    }
}

/// Whether a session that was last used `age_ms` ago begins anew (methods.md 7.6).
fn is_stale(age_ms: u64, now_ms: u64, reset: Reset, zone: &TimeZone) -> bool {
    let idle = reset.idle_minutes.is_some_and(|minutes| age_ms >= minutes.saturating_mul(60_000));
    let last_reset_ms = reset.at_hour.and_then(|hour| last_reset_ms(now_ms, hour, zone));
    let daily = last_reset_ms.is_some_and(|at| now_ms.saturating_sub(age_ms) < at);
    idle || daily
}

/// The last time that the zone's clock showed `hour`.
fn last_reset_ms(now_ms: u64, hour: u8, zone: &TimeZone) -> Option<u64> {
    let now = Timestamp::from_millisecond(i64::try_from(now_ms).ok()?).ok()?.to_zoned(zone.clone());
    let at = |day: &jiff::Zoned| {
        day.with().hour(i8::try_from(hour).ok()?).minute(0).second(0).subsec_nanosecond(0).build().ok()
    };
    let today = at(&now)?;
    let last = if today <= now { today } else { at(&now.checked_sub(1.day()).ok()?)? };
    u64::try_from(last.timestamp().as_millisecond()).ok()
}

/// A store's failure as clients see it.
#[must_use]
pub fn store_error(error: &StoreError) -> Error {
    match error {
        StoreError::TooLarge(..)
        | StoreError::BadSessionId
        | StoreError::EmptyKey
        | StoreError::TooManySessions(_)
        | StoreError::TooManyNames(_) => Error::invalid(error.to_string()),
        StoreError::Busy => Error::unavailable(error.to_string()).retry_after(1000),
        _ => Error::unavailable(format!("could not be saved: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;
    /// 2026-11-22 00:00 UTC.
    const MIDNIGHT: u64 = 1_795_305_600_000;

    #[test]
    fn a_session_begins_anew_after_the_daily_hour_or_when_idle() {
        let daily = Reset { at_hour: Some(4), idle_minutes: None };
        let stale = |updated, now, reset| is_stale(now - updated, now, reset, &TimeZone::UTC);
        assert!(stale(MIDNIGHT + 3 * HOUR, MIDNIGHT + 5 * HOUR, daily));
        assert!(!stale(MIDNIGHT + 5 * HOUR, MIDNIGHT + 23 * HOUR, daily));
        assert!(!stale(MIDNIGHT - HOUR, MIDNIGHT + 3 * HOUR, daily));
        assert!(stale(MIDNIGHT - 21 * HOUR, MIDNIGHT + 3 * HOUR, daily));
        let idle = Reset { at_hour: None, idle_minutes: Some(30) };
        assert!(stale(MIDNIGHT, MIDNIGHT + HOUR, idle));
        assert!(!stale(MIDNIGHT, MIDNIGHT + HOUR / 3, idle));
        assert!(!stale(0, MIDNIGHT, Reset { at_hour: None, idle_minutes: None }));
    }
}
