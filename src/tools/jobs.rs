//! Reminders and scheduled jobs, in natural times.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::when::{self, When};
use super::{Cx, Group, Problem, Risk, Tool};
use crate::cron::job::{AgentTurn, AskedBy, Job, Payload, Reminder, State, Target, WakeMode};
use crate::limits::{CRON_MESSAGE_CHARS, CRON_NAME_CHARS};
use crate::runs::asker::{Asker, Person};
use crate::runs::tools::ToolOutput;
use crate::wire::shape::text_within;

/// Rows.
pub(super) const TOOLS: &[Tool] = &[
    Tool::new(
        "remind",
        Group::Jobs,
        Risk::Change,
        "Tells a text in this conversation at a time or again and again. `when`: `10m`, `in 2 hours`, `18:30`, \
         `tomorrow 7:00`, `2026-12-24 18:00`, `every 30m`, `every day 7:00`, `every monday 8:15`, or a cron expression.",
        tool!(remind),
    ),
    Tool::new(
        "schedule",
        Group::Jobs,
        Risk::World,
        "Gives yourself a task at a time or again and again; your answer is told in this conversation. `when` as of \
         `remind`.",
        tool!(schedule),
    ),
    Tool::new("jobs", Group::Jobs, Risk::Private, "Lists reminders and scheduled jobs.", tool!(list)),
    Tool::new("job_remove", Group::Jobs, Risk::Change, "Removes a reminder or scheduled job.", tool!(remove)),
];

crate::wire! {
    /// A reminder.
    pub struct RemindParams {
        /// When.
        when: String = text_within(1, 200),
        /// What is told.
        text: String = text_within(1, CRON_MESSAGE_CHARS),
    }

    /// A task.
    pub struct ScheduleParams {
        /// When.
        when: String = text_within(1, 200),
        /// What you are to do then.
        task: String = text_within(1, CRON_MESSAGE_CHARS),
        /// A short name.
        name: Option<String> = text_within(0, CRON_NAME_CHARS),
    }

    /// Nothing.
    pub struct Nothing {}

    /// Which job.
    pub struct RemoveParams {
        /// Its id, or the beginning of it.
        id: String = text_within(1, 64),
    }
}

async fn remind(cx: Cx, params: RemindParams) -> Result<ToolOutput, Problem> {
    add_reminder(&cx, &params.when, &params.text).await.map(ToolOutput::text)
}

/// Adds a reminder for this conversation and says when it comes.
pub(super) async fn add_reminder(cx: &Cx, when: &str, text: &str) -> Result<String, Problem> {
    let person = person(cx);
    let payload = Payload::Reminder(Reminder {
        text: text.to_owned(),
        session_key: Some(cx.scene.session.to_string()),
        channel: person.map(|person| person.channel.to_owned()),
        to: person.map(|person| person.chat.clone()),
        account_id: person.map(|person| person.account_id.clone()),
    });
    add(cx, when, &name_of(text), payload).await
}

/// Whoever asked, if over a channel: what was asked for there is told there.
fn person(cx: &Cx) -> Option<&Person> {
    match &cx.scene.asker {
        Asker::Person(person) => Some(person),
        _ => None,
    }
}

async fn schedule(cx: Cx, params: ScheduleParams) -> Result<ToolOutput, Problem> {
    let person = person(&cx);
    let payload = Payload::AgentTurn(AgentTurn {
        message: params.task.clone(),
        model: None,
        thinking: None,
        timeout_seconds: None,
        deliver: person.map(|_| true),
        channel: person.map(|person| person.channel.to_owned()),
        to: person.map(|person| person.chat.clone()),
        best_effort_deliver: None,
    });
    let name = params.name.filter(|name| !name.trim().is_empty()).unwrap_or_else(|| name_of(&params.task));
    add(&cx, &params.when, &name, payload).await.map(ToolOutput::text)
}

async fn add(cx: &Cx, when: &str, name: &str, payload: Payload) -> Result<String, Problem> {
    let (clock, zone) = (&cx.gateway.sys.clock, &cx.gateway.sys.zone);
    let now_ms = clock.now_ms();
    let When { schedule, is_once } = when::read(when, now_ms, zone)?;
    let target = if matches!(payload, Payload::AgentTurn(_)) { Target::Isolated } else { Target::Main };
    let mut job = Job {
        id: cx.gateway.sys.chance.uuid(),
        agent_id: Some(cx.scene.agent_id.clone()),
        name: name.to_owned(),
        description: Some(format!("by {}", cx.scene.asker.name())),
        enabled: true,
        delete_after_run: is_once.then_some(true),
        created_at_ms: now_ms,
        updated_at_ms: now_ms,
        schedule,
        session_target: target,
        wake_mode: WakeMode::Now,
        payload,
        isolation: None,
        missed: None,
        asked_by: person(cx).map(|person| AskedBy {
            channel: person.channel.to_owned(),
            account_id: person.account_id.clone(),
            sender_id: person.sender_id.clone(),
            username: person.username.clone(),
            chat: person.chat.clone(),
        }),
        state: State::default(),
    };
    job.plan(now_ms, zone).map_err(|bad| bad.to_string())?;
    cx.gateway.add_job(&job).await.map_err(|error| error.message)?;
    let id: String = job.id.chars().take(8).collect();
    Ok(format!("{} ({id})", next_of(cx, &job).unwrap_or_else(|| "never".to_owned())))
}

async fn list(cx: Cx, _: Nothing) -> Result<ToolOutput, Problem> {
    Ok(ToolOutput::text(told(&cx)))
}

/// All jobs, a line each, the next one first.
pub(super) fn told(cx: &Cx) -> String {
    let mut jobs = cx.gateway.jobs.book.all();
    jobs.retain(|job| job.enabled);
    jobs.sort_by_key(|job| job.state.next_run_at_ms.unwrap_or(u64::MAX));
    let mut out = String::new();
    for job in jobs.iter().take(SHOWN) {
        let id: String = job.id.chars().take(8).collect();
        let next = next_of(cx, job).unwrap_or_else(|| "never".to_owned());
        let again = if job.is_once() { "" } else { ", again and again" };
        let _ = writeln!(out, "{id}  {next}{again}: {}", job.name);
    }
    if jobs.len() > SHOWN {
        let _ = write!(out, "[{} more]", jobs.len() - SHOWN);
    }
    if out.is_empty() { "There are none.".to_owned() } else { out.trim_end().to_owned() }
}

/// Jobs that are shown at once.
const SHOWN: usize = 50;

async fn remove(cx: Cx, params: RemoveParams) -> Result<ToolOutput, Problem> {
    let jobs = cx.gateway.jobs.book.all();
    let found: Vec<_> = jobs.iter().filter(|job| job.id.starts_with(params.id.trim())).collect();
    let [job] = found.as_slice() else {
        return Err(Problem(format!("{} jobs begin with {:?}; `jobs` lists them.", found.len(), params.id)));
    };
    cx.gateway.remove_job(&job.id).await.map_err(|error| error.message)?;
    Ok(ToolOutput::text(format!("Removed: {}", job.name)))
}

fn name_of(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(60).collect()
}

/// When a job comes next, in the owner's time.
fn next_of(cx: &Cx, job: &Job) -> Option<String> {
    let at = Timestamp::from_millisecond(i64::try_from(job.state.next_run_at_ms?).ok()?).ok()?;
    Some(at.to_zoned(cx.gateway.sys.zone.clone()).strftime("%a %Y-%m-%d %H:%M").to_string())
}
