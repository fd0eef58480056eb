//! What a scheduled job does when its time has come (methods.md 10.5).

use std::rc::Rc;
use std::time::Duration;

use super::Gateway;
use super::delivery::DeliveryTarget;
use super::errand::{Errand, Undone};
use super::heartbeat::Beat;
use super::heartbeat_text::is_token;
use super::jobs::Ended;
use crate::channels::known;
use crate::cron::job::{AgentTurn, Job, Payload, PostMode, Reminder, Status, Target, WakeMode};
use crate::limits::{CRON_BUSY_MS, CRON_SUMMARY_CHARS};
use crate::runs::asker::{Asker, Person};
use crate::runs::run::Outcome;
use crate::stores::{Durability, SessionKey};
use crate::wire::thinking::ThinkingLevel;

/// Pause before another look at a busy session.
const BUSY_PAUSE: Duration = Duration::from_secs(1);
/// What the main session is told in front of a summary.
const PREFIX: &str = "Cron";
/// Characters of a full answer for the main session.
const POST_CHARS: u64 = 8000;
/// What a delivery without a recipient says.
const NO_RECIPIENT: &str = "Cron delivery requires a recipient (--to).";

impl Gateway {
    /// Does what a job says.
    pub(super) async fn do_job(self: &Rc<Self>, job: &Job, run_id: &str) -> Ended {
        let config = self.config.get();
        let agent = job.agent_id.as_deref().and_then(|id| config.agents.find(id));
        let agent_id = agent.unwrap_or_else(|| config.agents.default_agent()).id.clone();
        let main = self.main_key(&agent_id);
        match (&job.payload, job.session_target) {
            (Payload::Reminder(reminder), _) => self.remind(reminder, &main, run_id).await,
            (Payload::SystemEvent(event), _) => self.say_to_main(job, &agent_id, &main, &event.text).await,
            (Payload::AgentTurn(turn), Target::Main) => self.ask_agent(job, turn, run_id, &agent_id, main).await.0,
            (Payload::AgentTurn(turn), Target::Isolated) => {
                let key = self.session_key(&format!("agent:{agent_id}:cron:{}", job.id));
                // A fresh transcript every time, whose id is the run's.
                let fresh = key.and_then(|key| {
                    let renewed = self.stores.sessions.update(&key, Durability::Forced, |entry| {
                        *entry = std::mem::take(entry).reset(run_id.to_owned());
                    });
                    renewed.map(|_| key).map_err(|error| super::post::store_error(&error))
                });
                let (ended, answer) = match fresh {
                    Ok(key) => self.ask_agent(job, turn, run_id, &agent_id, key).await,
                    Err(error) => (failed(&error.message), None),
                };
                if ended.by_shutdown {
                    return ended;
                }
                self.tell_main(job, &main, &ended, answer);
                if job.wake_mode == WakeMode::Now {
                    self.want_heartbeat(&agent_id, &format!("cron:{}", job.id));
                }
                ended
            }
        }
    }

    /// A text told as it is: over its channel, where its session learns of it, else in the session itself.
    async fn remind(self: &Rc<Self>, reminder: &Reminder, main: &SessionKey, run_id: &str) -> Ended {
        let named = reminder.session_key.as_deref().filter(|key| !key.trim().is_empty());
        let key = named.and_then(|key| self.session_key(key).ok()).unwrap_or_else(|| main.clone());
        let told = match (&reminder.channel, &reminder.to) {
            (Some(channel), Some(to)) => {
                let (channel, to) = (channel.clone(), to.clone());
                let target = DeliveryTarget { channel, to, account_id: reminder.account_id.clone() };
                self.queue_text(&target, &reminder.text, format!("reminder:{run_id}"), Some(&key)).await
            }
            _ => self.say_in(&key, &reminder.text).await,
        };
        match told {
            Ok(()) => Ended { summary: Some(cut(&reminder.text)), ..Ended::of(Status::Ok, None) },
            Err(error) => failed(&error.message),
        }
    }

    /// A system event for the main session, and a heartbeat that looks at it.
    async fn say_to_main(self: &Rc<Self>, job: &Job, agent_id: &str, main: &SessionKey, text: &str) -> Ended {
        let summary = Some(cut(text));
        let reason = format!("cron:{}", job.id);
        self.system_events.push(main, text, self.sys.clock.now_ms());
        if job.wake_mode == WakeMode::NextHeartbeat {
            self.want_heartbeat(agent_id, &reason);
            return Ended { summary, ..Ended::of(Status::Ok, None) };
        }
        let deadline = self.sys.clock.elapsed() + Duration::from_millis(CRON_BUSY_MS);
        let beat = loop {
            let beat = self.beat(agent_id, &reason).await;
            if !beat.is_busy() || self.sys.clock.elapsed() >= deadline || self.runs.is_closed() {
                break beat;
            }
            self.sys.clock.sleep(BUSY_PAUSE).await;
        };
        match beat {
            Beat::Ran => Ended { summary, ..Ended::of(Status::Ok, None) },
            Beat::Skipped(why) => Ended {
                summary,
                by_shutdown: self.runs.is_closed(),
                ..Ended::of(Status::Skipped, Some(why.to_owned()))
            },
            Beat::Failed(undone) => Ended { summary, ..not_done(&undone) },
        }
    }

    /// A message for the agent, whose answer may go to a channel. The answer is given back uncut, too.
    async fn ask_agent(
        self: &Rc<Self>,
        job: &Job,
        turn: &AgentTurn,
        run_id: &str,
        agent_id: &str,
        key: SessionKey,
    ) -> (Ended, Option<String>) {
        let now = self.local_time();
        let zone = now.time_zone().iana_name().unwrap_or("local time").to_owned();
        let text = format!(
            "[cron:{} {}] {}\nCurrent time: {} ({zone})",
            job.id,
            job.name,
            turn.message.trim(),
            now.strftime("%A, %-d %B %Y — %H:%M")
        );
        let filled =
            |text: &Option<String>| text.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
        let asked = self.run_errand(Errand {
            run_id: run_id.to_owned(),
            key,
            agent_id: agent_id.to_owned(),
            asker: asker_of(job),
            text,
            model: filled(&turn.model),
            thinking: turn.thinking.as_deref().and_then(ThinkingLevel::parse),
            timeout: turn.timeout_seconds.map(Duration::from_secs),
            extra_system_prompt: None,
        });
        let outcome = match asked.await {
            Ok(outcome) => outcome,
            Err(undone) => return (not_done(&undone), None),
        };
        let answer = answer_of(&outcome);
        let summary = answer.as_deref().map(cut);
        let ended = Ended { summary, ..Ended::of(Status::Ok, None) };
        let ended = match answer.as_deref().filter(|answer| !is_token(answer)) {
            Some(answer) => self.deliver_answer(job, turn, agent_id, answer, ended).await,
            None => ended,
        };
        (ended, answer)
    }

    /// Sends an answer to its recipient, if it has one (methods.md 10.5; on the main session the guide's way:
    /// to the channel if it is known).
    async fn deliver_answer(
        self: &Rc<Self>,
        job: &Job,
        turn: &AgentTurn,
        agent_id: &str,
        answer: &str,
        ended: Ended,
    ) -> Ended {
        // The main session is the one that people write to; an isolated one knows no channel.
        let entry = self.stores.sessions.get(&self.main_key(agent_id)).unwrap_or_default();
        let target = DeliveryTarget::of(&entry, turn.channel.as_deref(), turn.to.as_deref());
        let has_recipient = turn.to.as_deref().is_some_and(|to| !to.trim().is_empty());
        let is_wished =
            has_recipient || (job.session_target == Target::Main && turn.channel.is_some() && target.is_some());
        if !turn.deliver.unwrap_or(is_wished) {
            return ended;
        }
        let is_best_effort = turn.best_effort_deliver == Some(true);
        match target {
            None if is_best_effort => Ended { status: Status::Skipped, error: Some(NO_RECIPIENT.to_owned()), ..ended },
            None => Ended { status: Status::Error, error: Some(NO_RECIPIENT.to_owned()), ..ended },
            Some(target) => match self.deliver(&target, answer).await {
                Ok(()) => ended,
                Err(error) if is_best_effort => {
                    log::warn!("scheduled job {}: the answer is not delivered: {}", job.id, error.message);
                    ended
                }
                Err(error) => Ended { status: Status::Error, error: Some(error.message), ..ended },
            },
        }
    }

    /// What the main session hears of an isolated run.
    fn tell_main(&self, job: &Job, main: &SessionKey, ended: &Ended, answer: Option<String>) {
        let isolation = job.isolation.as_ref();
        let prefix = isolation.and_then(|isolation| isolation.post_to_main_prefix.as_deref()).map(str::trim);
        let prefix = prefix.filter(|prefix| !prefix.is_empty()).unwrap_or(PREFIX);
        let prefix =
            if ended.status == Status::Ok { prefix.to_owned() } else { format!("{prefix} ({})", ended.status.name()) };
        let is_full = isolation.and_then(|isolation| isolation.post_to_main_mode) == Some(PostMode::Full);
        let Some(mut said) = ended.summary.clone().or_else(|| ended.error.clone()) else { return };
        if is_full {
            let max = isolation.and_then(|isolation| isolation.post_to_main_max_chars).unwrap_or(POST_CHARS);
            said = shorten(&answer.unwrap_or(said), usize::try_from(max).unwrap_or(usize::MAX));
        }
        self.system_events.push(main, &format!("{prefix}: {said}"), self.sys.clock.now_ms());
    }
}

/// On whose word a job acts: that of whoever asked for it over a channel, else the owner's.
fn asker_of(job: &Job) -> Asker {
    let Some(by) = &job.asked_by else { return Asker::Schedule };
    // A channel that this version doesn't have is nobody's word.
    let Some(meta) = known::find(&by.channel) else { return Asker::Hook };
    Asker::Person(Person {
        channel: meta.id,
        account_id: by.account_id.clone(),
        sender_id: by.sender_id.clone(),
        username: by.username.clone(),
        chat: by.chat.clone(),
    })
}

/// The last thing that the agent said.
pub(super) fn answer_of(outcome: &Outcome) -> Option<String> {
    outcome.texts.iter().rev().map(|text| text.trim()).find(|text| !text.is_empty()).map(str::to_owned)
}

fn failed(problem: &str) -> Ended {
    Ended::of(Status::Error, Some(cut(problem)))
}

fn not_done(undone: &Undone) -> Ended {
    Ended { by_shutdown: undone.by_shutdown, ..failed(&undone.problem) }
}

pub(super) fn cut(text: &str) -> String {
    shorten(text, CRON_SUMMARY_CHARS)
}

/// At most `max` characters, and an ellipsis when there were more.
fn shorten(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default().trim_end()),
        None => text.to_owned(),
    }
}
