//! `cron.*`: scheduled jobs (methods.md section 10).

use serde_json::{Map, Value};

use crate::cron::book::{Change, Full};
use crate::cron::job::{BadJob, Isolation, Job, Missed, Payload, State, Status, Target, WakeMode};
use crate::cron::lenient;
use crate::cron::log::Entry;
use crate::cron::schedule::Schedule;
use crate::error::Error;
use crate::gateway::post::store_error;
use crate::limits::{CRON_DESCRIPTION_CHARS, CRON_MESSAGE_CHARS, CRON_NAME_CHARS};
use crate::rpc::{Cx, Method};
use crate::stores::session_key;
use crate::wire::Access;
use crate::wire::shape::{Clearable, Kind, int_within, text, text_within};
use crate::{later, now};

/// Rows.
pub const METHODS: &[Method] = &[
    Method {
        name: "cron.list",
        aliases: &[],
        access: Access::Read,
        listed: true,
        doc: "Lists scheduled jobs, the next one first.",
        handler: now!(list),
    },
    Method {
        name: "cron.status",
        aliases: &[],
        access: Access::Read,
        listed: true,
        doc: "Tells whether scheduled jobs run, how many there are and when the next one is due.",
        handler: now!(status),
    },
    Method {
        name: "cron.add",
        aliases: &[],
        access: Access::Admin,
        listed: true,
        doc: "Schedules a job.",
        handler: later!(lenient::add => add),
    },
    Method {
        name: "cron.update",
        aliases: &[],
        access: Access::Admin,
        listed: true,
        doc: "Changes a scheduled job.",
        handler: later!(lenient::update => update),
    },
    Method {
        name: "cron.remove",
        aliases: &[],
        access: Access::Admin,
        listed: true,
        doc: "Removes a scheduled job; its log stays.",
        handler: later!(remove),
    },
    Method {
        name: "cron.run",
        aliases: &[],
        access: Access::Admin,
        listed: true,
        doc: "Runs a scheduled job now and answers at once, or with `wait` when it has ended.",
        handler: later!(run),
    },
    Method {
        name: "cron.runs",
        aliases: &[],
        access: Access::Read,
        listed: true,
        doc: "Shows the last runs of a scheduled job.",
        handler: now!(runs),
    },
];

/// A text that null clears.
const NAME: Kind = text_within(0, CRON_NAME_CHARS);
const DESCRIPTION: Kind = text_within(0, CRON_DESCRIPTION_CHARS);

/// Runs in one answer when the caller names no number.
const RUNS: u32 = 200;

crate::wire! {
    /// Which jobs.
    pub struct ListParams {
        /// Whether those that are switched off are listed too, in front.
        include_disabled: Option<bool>,
    }

    /// Jobs.
    pub struct List {
        jobs: Vec<Job>,
    }

    /// No params.
    pub struct NoParams {}

    /// The jobs in short.
    pub struct CronStatus {
        /// Whether jobs run by themselves.
        enabled: bool,
        store_path: String,
        jobs: usize,
        /// When the next job is due, milliseconds since the Unix epoch, or null.
        next_wake_at_ms: Value,
    }
}

fn list(cx: &Cx, params: ListParams) -> Result<List, Error> {
    let mut jobs = cx.gateway.jobs.book.all();
    jobs.retain(|job| job.enabled || params.include_disabled == Some(true));
    jobs.sort_by_key(|job| job.state.next_run_at_ms);
    Ok(List { jobs })
}

fn status(cx: &Cx, _: NoParams) -> Result<CronStatus, Error> {
    let gateway = &cx.gateway;
    let enabled = gateway.config.get().cron.enabled;
    let jobs = gateway.jobs.book.all();
    let next = jobs.iter().filter(|job| job.enabled).filter_map(|job| job.state.next_run_at_ms).min();
    Ok(CronStatus {
        enabled,
        store_path: gateway.jobs.book.path().display().to_string(),
        jobs: jobs.len(),
        next_wake_at_ms: next.filter(|_| enabled).map_or(Value::Null, Value::from),
    })
}

crate::wire! {
    /// A new job; it may be wrapped in `job` or `data`.
    pub struct AddParams {
        name: String = text_within(1, CRON_NAME_CHARS),
        agent_id: Option<String> = text_within(0, CRON_NAME_CHARS),
        description: Option<String> = text_within(0, CRON_DESCRIPTION_CHARS),
        /// `true` when left out; may be a text.
        enabled: Option<bool>,
        /// Whether an `at` job is removed once it went well.
        delete_after_run: Option<bool>,
        schedule: Schedule,
        /// Follows the payload's kind when left out; `isolated` needs an `agentTurn`.
        session_target: Target,
        /// `next-heartbeat` when left out.
        wake_mode: WakeMode,
        payload: Payload,
        isolation: Option<Isolation>,
        /// What becomes of times that passed while the gateway didn't run; `cron.missed` of the configuration
        /// when left out.
        missed: Option<Missed>,
    }
}

async fn add(cx: Cx, params: AddParams) -> Result<Job, Error> {
    let gateway = &cx.gateway;
    let now_ms = gateway.sys.clock.now_ms();
    let mut job = Job {
        id: gateway.sys.chance.uuid(),
        agent_id: filled(params.agent_id).map(|id| session_key::agent_id(&id)),
        name: params.name.trim().to_owned(),
        description: filled(params.description),
        enabled: params.enabled.unwrap_or(true),
        delete_after_run: params.delete_after_run,
        created_at_ms: now_ms,
        updated_at_ms: now_ms,
        schedule: params.schedule,
        session_target: params.session_target,
        wake_mode: params.wake_mode,
        payload: params.payload,
        isolation: params.isolation,
        missed: params.missed,
        asked_by: None,
        state: State::default(),
    };
    check_name(&cx, &job)?;
    job.plan(now_ms, &gateway.sys.zone).map_err(|bad| refused(&bad))?;
    gateway.add_job(&job).await?;
    Ok(job)
}

crate::wire! {
    /// What to change.
    pub struct Patch {
        name: Option<String> = text_within(1, CRON_NAME_CHARS),
        /// Null or a blank text means the default agent.
        #[serde(default)]
        agent_id: Clearable<String> = Kind::OrNull(&NAME),
        /// Null or a blank text removes it.
        #[serde(default)]
        description: Clearable<String> = Kind::OrNull(&DESCRIPTION),
        enabled: Option<bool>,
        delete_after_run: Option<bool>,
        schedule: Option<Schedule>,
        session_target: Option<Target>,
        wake_mode: Option<WakeMode>,
        /// Of the same kind, its fields are merged; of another one, all needed fields must come.
        payload: Option<Map<String, Value>> = PayloadPatch::KIND,
        isolation: Option<Isolation>,
        /// Null means that of the configuration.
        #[serde(default)]
        missed: Clearable<Missed>,
    }

    /// What to change of a payload; only its keys matter here.
    pub struct PayloadPatch {
        kind: Option<String> = Kind::OneOf(&["systemEvent", "agentTurn"]),
        text: Option<String> = text_within(1, CRON_MESSAGE_CHARS),
        message: Option<String> = text_within(1, CRON_MESSAGE_CHARS),
        model: Option<String> = text_within(0, CRON_NAME_CHARS),
        thinking: Option<String> = text_within(0, CRON_NAME_CHARS),
        timeout_seconds: Option<u64> = int_within(1, 86_400),
        deliver: Option<bool>,
        channel: Option<String> = text_within(0, CRON_NAME_CHARS),
        to: Option<String> = text_within(0, CRON_NAME_CHARS),
        best_effort_deliver: Option<bool>,
    }

    /// Which job, and what to change.
    pub struct UpdateParams {
        id: Option<String> = text(1),
        /// The same.
        job_id: Option<String> = text(1),
        patch: Patch,
    }
}

async fn update(cx: Cx, params: UpdateParams) -> Result<Job, Error> {
    let gateway = &cx.gateway;
    let id = the_id(&cx, params.id, params.job_id)?;
    let old = gateway.jobs.book.get(&id).ok_or_else(|| unknown(&id))?;
    let now_ms = gateway.sys.clock.now_ms();
    let patch = params.patch;
    let is_rescheduled = patch.schedule.is_some() || patch.enabled.is_some();
    let mut job = old.clone();
    job.updated_at_ms = now_ms;
    job.name = patch.name.map_or(job.name, |name| name.trim().to_owned());
    job.enabled = patch.enabled.unwrap_or(job.enabled);
    job.delete_after_run = patch.delete_after_run.or(job.delete_after_run);
    job.schedule = patch.schedule.unwrap_or(job.schedule);
    job.session_target = patch.session_target.unwrap_or(job.session_target);
    job.wake_mode = patch.wake_mode.unwrap_or(job.wake_mode);
    job.isolation = patch.isolation.or(job.isolation);
    job.agent_id = cleared(patch.agent_id, job.agent_id).map(|id| session_key::agent_id(&id));
    job.description = cleared(patch.description, job.description);
    job.missed = match patch.missed {
        Clearable::Keep => job.missed,
        Clearable::Clear => None,
        Clearable::Set(missed) => Some(missed),
    };
    if let Some(payload) = patch.payload {
        job.payload = merged(&job.payload, payload)?;
    }
    check_name(&cx, &job)?;
    let state = job.state.clone();
    job.plan(now_ms, &gateway.sys.zone).map_err(|bad| refused(&bad))?;
    if !is_rescheduled {
        job.state = state;
    }
    gateway.jobs.book.put(job.clone()).map_err(full)?;
    if let Err(error) = gateway.jobs.book.save(Change::Jobs).await {
        gateway.jobs.book.change(&id, |kept| *kept = Job { state: kept.state.clone(), ..old });
        return Err(store_error(&error));
    }
    gateway.tell_of_job(&job, "updated");
    gateway.jobs.changed(&id);
    Ok(job)
}

/// A payload with a patch over it.
fn merged(old: &Payload, patch: Map<String, Value>) -> Result<Payload, Error> {
    let old = serde_json::to_value(old).unwrap_or_default();
    let kind = patch.get("kind").or_else(|| old.get("kind")).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut fields = match old {
        Value::Object(old) if old.get("kind").and_then(Value::as_str) == Some(&kind) => old,
        _ => Map::new(),
    };
    fields.extend(patch);
    let (needed, foreign): (_, &[&str]) = if kind == "systemEvent" {
        ("text", &["message", "model", "thinking", "timeoutSeconds", "deliver", "channel", "to", "bestEffortDeliver"])
    } else {
        ("message", &["text"])
    };
    if let Some(name) = foreign.iter().find(|name| fields.contains_key(**name)) {
        return Err(Error::invalid(format!(
            "invalid cron.update params: at /patch/payload: unexpected property '{name}'"
        )));
    }
    serde_json::from_value(Value::Object(fields))
        .map_err(|_| Error::unavailable(format!("Error: cron.update payload.kind=\"{kind}\" requires {needed}")))
}

crate::wire! {
    /// Which job.
    pub struct RemoveParams {
        id: Option<String> = text(1),
        /// The same.
        job_id: Option<String> = text(1),
    }

    /// What became of it.
    pub struct Removed {
        ok: bool,
        /// Whether there was such a job.
        removed: bool,
    }
}

async fn remove(cx: Cx, params: RemoveParams) -> Result<Removed, Error> {
    let gateway = &cx.gateway;
    let id = the_id(&cx, params.id, params.job_id)?;
    Ok(Removed { ok: true, removed: gateway.remove_job(&id).await? })
}

crate::wire! {
    /// Which job, and whether it must be due.
    pub struct RunParams {
        id: Option<String> = text(1),
        /// The same.
        job_id: Option<String> = text(1),
        /// `due` (the usual) runs it only when its time has come, `force` always, also when it is switched off.
        mode: Option<String> = Kind::OneOf(&["due", "force"]),
        /// Whether the answer comes when the run has ended.
        wait: Option<bool>,
    }

    /// What became of it.
    pub struct Ran {
        ok: bool,
        /// Whether it runs, or ran.
        ran: bool,
        /// Why not: `not-due` or `already-running`.
        reason: Option<String>,
        /// Id of the run, also for agent.wait when an agent was asked.
        run_id: Option<String>,
        /// How it ended, with `wait`.
        status: Option<Status>,
        /// Why it failed or was skipped, with `wait`.
        error: Option<String>,
    }
}

async fn run(cx: Cx, params: RunParams) -> Result<Ran, Error> {
    let gateway = &cx.gateway;
    let id = the_id(&cx, params.id, params.job_id)?;
    let job = gateway.jobs.book.get(&id).ok_or_else(|| unknown(&id))?;
    let no = |reason: &str, run_id| {
        Ok(Ran { ok: true, ran: false, reason: Some(reason.to_owned()), run_id, status: None, error: None })
    };
    if let Some(active) = gateway.jobs.active(&id) {
        return no("already-running", Some(active.run_id.clone()));
    }
    let now_ms = gateway.sys.clock.now_ms();
    let is_due = job.enabled && job.state.next_run_at_ms.is_some_and(|next| next <= now_ms);
    if params.mode.as_deref() != Some("force") && !is_due {
        return no("not-due", None);
    }
    let going = gateway.force_job(&id);
    let run_id = Some(going.run_id.clone());
    if params.wait != Some(true) {
        return Ok(Ran { ok: true, ran: true, reason: None, run_id, status: None, error: None });
    }
    let ended = going.ended.wait().await;
    Ok(Ran { ok: true, ran: true, reason: None, run_id, status: Some(ended.status), error: ended.error })
}

crate::wire! {
    /// Whose runs.
    pub struct RunsParams {
        id: Option<String> = text(1),
        /// The same.
        job_id: Option<String> = text(1),
        /// Most runs, 200 when left out.
        limit: Option<u32> = int_within(1, 5000),
    }

    /// Runs.
    pub struct Runs {
        /// Oldest first; none for an unknown job.
        entries: Vec<Entry>,
    }
}

fn runs(cx: &Cx, params: RunsParams) -> Result<Runs, Error> {
    let id = the_id(cx, params.id, params.job_id)?;
    let limit = params.limit.unwrap_or(RUNS) as usize;
    Ok(Runs { entries: cx.gateway.jobs.log.last(&id, limit).map_err(|error| store_error(&error))? })
}

/// The id, by either of its names.
fn the_id(cx: &Cx, id: Option<String>, job_id: Option<String>) -> Result<String, Error> {
    id.or(job_id).ok_or_else(|| {
        let missing =
            "must have required property 'id'; must have required property 'jobId'; must match a schema in anyOf";
        Error::invalid(format!("invalid {} params: {missing}", cx.method()))
    })
}

fn check_name(cx: &Cx, job: &Job) -> Result<(), Error> {
    let place = if cx.method() == "cron.update" { "/patch/name" } else { "/name" };
    if job.name.is_empty() {
        return Err(Error::invalid(format!(
            "invalid {} params: at {place}: must NOT have fewer than 1 characters",
            cx.method()
        )));
    }
    Ok(())
}

fn filled(text: Option<String>) -> Option<String> {
    text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn cleared(change: Clearable<String>, old: Option<String>) -> Option<String> {
    match change {
        Clearable::Keep => old,
        Clearable::Clear => None,
        Clearable::Set(text) => filled(Some(text)),
    }
}

/// The reference answers these as `UNAVAILABLE` (methods.md 10.3).
fn refused(bad: &BadJob) -> Error {
    Error::unavailable(bad.to_string())
}

fn unknown(id: &str) -> Error {
    Error::unavailable(format!("Error: unknown cron job id: {}", id.chars().take(64).collect::<String>()))
}

fn full(full: Full) -> Error {
    Error::invalid(full.to_string())
}
