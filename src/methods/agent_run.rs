//! `agent` and `agent.wait` (methods.md section 3).

use std::time::Duration;

use serde_json::{Value, json};

use super::agents::agent_for;
use crate::channels::known;
use crate::error::{Code, Error};
use crate::gateway::attachments::{self, Attachment};
use crate::gateway::dedupe::{Answer, Claim};
use crate::gateway::delivery::{DeliveryTarget, LAST};
use crate::gateway::post::{Memory, Post};
use crate::later;
use crate::limits::{RUN_ID_CHARS, SESSION_KEY_BYTES};
use crate::rpc::{Cx, Method};
use crate::runs::run::{End, Origin, Outcome, Run, Stop};
use crate::stores::SessionKey;
use crate::wire::Access;
use crate::wire::message::Block;
use crate::wire::shape::{int, text, text_within};
use crate::wire::thinking::ThinkingLevel;

/// The run.
pub const AGENT: &[Method] = &[Method {
    name: "agent",
    aliases: &[],
    access: Access::Write,
    listed: true,
    doc: "Runs an agent on a message: answers `accepted` at once and again when the run has ended; events show its progress.",
    handler: later!(agent),
}];

/// Its end.
pub const WAIT: &[Method] = &[Method {
    name: "agent.wait",
    aliases: &[],
    access: Access::Write,
    listed: true,
    doc: "Waits for the end of a run, whichever method started it.",
    handler: later!(wait),
}];

/// Kind of remembered answers (methods.md 1.3).
const KIND: &str = "agent";

crate::wire! {
    /// A message for an agent.
    pub struct AgentParams {
        /// Trimmed before use.
        message: String = text(1),
        /// Becomes the run's id; the same key gets the same answer.
        idempotency_key: String = text_within(1, RUN_ID_CHARS),
        agent_id: Option<String> = text(1),
        session_key: Option<String> = text_within(0, SESSION_KEY_BYTES),
        /// A transcript's id, or a session key.
        session_id: Option<String> = text_within(0, SESSION_KEY_BYTES),
        to: Option<String>,
        reply_to: Option<String>,
        /// Where the answer goes with `deliver`; the session's last channel by default, `whatsapp` without one.
        channel: Option<String>,
        reply_channel: Option<String>,
        account_id: Option<String>,
        reply_account_id: Option<String>,
        thread_id: Option<String>,
        group_id: Option<String>,
        group_channel: Option<String>,
        group_space: Option<String>,
        spawned_by: Option<String>,
        /// off, minimal, low, medium, high or xhigh.
        thinking: Option<String>,
        /// Whether the answer is sent to the channel.
        deliver: Option<bool>,
        attachments: Option<Vec<Attachment>>,
        /// Time limit in seconds; guide clients give milliseconds.
        timeout: Option<u64> = int(0),
        /// Time limit in milliseconds.
        timeout_ms: Option<u64> = int(0),
        /// Queue name; this version has one queue a session.
        lane: Option<String>,
        extra_system_prompt: Option<String>,
        label: Option<String> = text_within(1, 64),
    }
}

async fn agent(cx: Cx, params: AgentParams) -> Result<Value, Error> {
    let run_id = params.idempotency_key.clone();
    let answers = &cx.gateway.answers;
    let claim = loop {
        if let Some(answer) = answers.get(KIND, &run_id, cx.gateway.uptime_ms()) {
            return answer.map(|payload| serde_json::from_slice(&payload).unwrap_or_default());
        }
        match answers.claim(&run_id) {
            Ok(claim) => break claim,
            // A run with this id goes that this method has no answer for: another method's, or one that
            // was accepted too long ago.
            Err(decided) if decided.get().is_some() => return Ok(json!({"runId": run_id, "status": "in_flight"})),
            Err(decided) => decided.wait().await,
        }
    };
    let accepted = json!({"runId": run_id, "status": "accepted", "acceptedAt": cx.gateway.sys.clock.now_ms()});
    let early = Ok(accepted.to_string().into_bytes().into());
    let memory = Memory { kind: KIND, accepted: Some(early), ended: end_of };
    let (started, delivery) = match prepare(&cx, params, claim, memory)? {
        Ok((post, delivery)) => (cx.gateway.post(post)?.accepted.wait().await?, delivery),
        // Found too late for a plain refusal, by the order of the reference: accepted, then failed.
        Err(problem) => {
            let failure = failed(&run_id, &problem);
            answers.put(KIND, &run_id, Err(failure.clone()), cx.gateway.uptime_ms());
            cx.ack(&accepted);
            return Err(failure);
        }
    };
    cx.ack(&accepted);
    let delivered = delivery.map(|target| cx.gateway.deliver_answer_of(&started, target));
    let outcome = started.outcome.wait().await;
    if let Some(Err(problem)) = match delivered {
        Some(delivered) => Some(delivered.wait().await),
        None => None,
    } {
        // On the main session a failure is only logged (methods.md 3.2).
        if !started.ask.key.is_main() {
            let failure = failed(&run_id, &problem.message);
            answers.put(KIND, &run_id, Err(failure.clone()), cx.gateway.uptime_ms());
            return Err(failure);
        }
    }
    answer_of(&started, &outcome)
}

/// What a repeat of the request hears once the run has ended.
pub(super) fn end_of(run: &Run, outcome: &Outcome) -> Answer {
    answer_of(run, outcome).map(|payload| payload.to_string().into_bytes().into())
}

/// A message, and where its answer is delivered to.
type Prepared = (Post, Option<DeliveryTarget>);

/// Checks in the order of the reference. The outer error is a plain refusal; the inner one ends a run
/// that was accepted (methods.md 3.1 and 3.2).
fn prepare(cx: &Cx, params: AgentParams, claim: Claim, memory: Memory) -> Result<Result<Prepared, String>, Error> {
    if let Some(channel) = params.reply_channel.as_ref().or(params.channel.as_ref()) {
        if channel != LAST && !known::is_way(channel) {
            return Err(Error::invalid(format!("invalid {} params: unknown channel: {channel}", cx.method())));
        }
    }
    let by_id =
        params.session_id.as_deref().and_then(|id| cx.gateway.stores.sessions.by_session_id(id).into_iter().next());
    let shown_key = match (&params.session_key, &by_id, &params.session_id) {
        (Some(key), ..) if !key.trim().is_empty() => Some(key.clone()),
        (_, Some(key), _) => Some(key.to_string()),
        (_, None, Some(id)) if !id.trim().is_empty() => Some(id.clone()),
        _ => None,
    };
    let agent = agent_for(cx, params.agent_id.as_deref(), shown_key.as_deref())?;
    let shown_key = match shown_key {
        Some(key) => key,
        None if params.agent_id.is_some() || params.to.is_some() => SessionKey::main_of(&agent.id).to_string(),
        None => return Ok(Err("Pass --to <E.164>, --session-id, or --agent to choose a session".into())),
    };
    let key = match params.agent_id {
        // A short key belongs to the named agent.
        Some(_) if !shown_key.contains(':') => {
            cx.gateway.session_key(&format!("agent:{}:{}", agent.id, shown_key.trim()))?
        }
        _ => cx.gateway.session_key(&shown_key)?,
    };
    let mut content = Vec::new();
    let images = attachments::images(params.attachments.as_deref().unwrap_or_default())?;
    if cx.gateway.stores.sessions.get(&key).is_some_and(|entry| entry.send_policy.as_deref() == Some("deny")) {
        return Err(Error::invalid("send blocked by session policy"));
    }
    let message = params.message.trim();
    if message.is_empty() {
        return Ok(Err("Message (--message) is required".into()));
    }
    let thinking = match params.thinking.as_deref().map(str::trim).filter(|level| !level.is_empty()) {
        None => None,
        Some(level) => match ThinkingLevel::parse(level) {
            Some(level) => Some(level),
            None => return Ok(Err("Invalid thinking level. Use one of: off, minimal, low, medium, high.".into())),
        },
    };
    let timeout = match (params.timeout_ms, params.timeout) {
        (Some(0), _) | (None, Some(0)) => return Ok(Err("--timeout must be a positive integer (seconds)".into())),
        (Some(ms), _) => Duration::from_millis(ms),
        (None, Some(seconds)) => Duration::from_secs(seconds),
        (None, None) => Duration::from_secs(cx.gateway.config.get().agents.defaults.timeout_seconds),
    };
    let delivery = match params.deliver {
        Some(true) => match delivery(cx, &params, &key) {
            Ok(target) => Some(target),
            Err(problem) => return Ok(Err(problem)),
        },
        _ => None,
    };
    content.push(Block::Text { text: message.to_owned() });
    content.extend(images);
    let post = Post {
        run_id: params.idempotency_key,
        key,
        shown_key,
        agent_id: agent.id,
        content,
        thinking,
        model: None,
        timeout,
        extra_system_prompt: params.extra_system_prompt.filter(|text| !text.trim().is_empty()),
        origin: Origin::Agent,
        asker: cx.asker(),
        label: params.label,
        reach: None,
        renews: params.session_key.is_none(),
        claim,
        memory,
    };
    Ok(Ok((post, delivery)))
}

/// Where the answer is delivered to, checked before the run (methods.md 3.2).
fn delivery(cx: &Cx, params: &AgentParams, key: &SessionKey) -> Result<DeliveryTarget, String> {
    let entry = cx.gateway.stores.sessions.get(key).unwrap_or_default();
    let wished = |first: &Option<String>, second: &Option<String>| first.clone().or_else(|| second.clone());
    let mut channel = wished(&params.reply_channel, &params.channel);
    let knows_none = entry.delivery_context.is_none() && entry.last_channel.is_none();
    if knows_none && channel.as_deref().is_none_or(|channel| channel == LAST) {
        channel = Some(known::DEFAULT.to_owned());
    }
    let to = wished(&params.reply_to, &params.to);
    let unknown = |channel: &str| format!("Unknown channel: {channel}");
    let Some(mut target) = DeliveryTarget::of(&entry, channel.as_deref(), to.as_deref()) else {
        let channel = channel.unwrap_or_else(|| LAST.to_owned());
        // A channel that can't be used needs no recipient to be refused.
        let meta = known::find(&channel).ok_or_else(|| unknown(&channel))?;
        cx.gateway.channels.sender(meta, None).map_err(|_| unknown(&channel))?;
        return Err(format!("Delivering to {channel} requires a recipient (--to)"));
    };
    target.account_id = wished(&params.reply_account_id, &params.account_id).or(target.account_id);
    match cx.gateway.recipient(&target) {
        Ok(_) => Ok(target),
        Err(error) if error.code == Code::InvalidRequest => Err(error.message.trim_start_matches("Error: ").to_owned()),
        Err(_) => Err(unknown(&target.channel)),
    }
}

fn failed(run_id: &str, problem: &str) -> Error {
    let text = format!("Error: {problem}");
    Error::unavailable(text.clone()).with_payload(json!({"runId": run_id, "status": "error", "summary": text}))
}

/// The final answer of a run (methods.md 3.2).
fn answer_of(run: &Run, outcome: &Outcome) -> Result<Value, Error> {
    let run_id = &run.ask.run_id;
    let stopped = match &outcome.end {
        End::Failed(problem) => return Err(failed(run_id, problem)),
        End::Stopped(stop) => Some(*stop),
        End::Completed => None,
    };
    let texts: &[String] = if stopped.is_some() { &[] } else { &outcome.texts };
    let payloads: Vec<_> = texts.iter().map(|text| json!({"text": text, "mediaUrl": null})).collect();
    let (provider, model) = &outcome.model;
    let mut agent_meta = json!({"sessionId": run.ask.file.session_id(), "provider": provider, "model": model});
    let usage = &outcome.usage;
    if let (Value::Object(meta), true) = (&mut agent_meta, usage.total_tokens > 0) {
        meta.insert(
            "usage".into(),
            json!({
                "input": usage.input, "output": usage.output, "cacheRead": usage.cache_read,
                "cacheWrite": usage.cache_write, "total": usage.total_tokens,
            }),
        );
    }
    let payload = json!({
        "runId": run_id, "status": "ok", "summary": "completed",
        "result": {
            "payloads": payloads,
            "meta": {
                "durationMs": outcome.ended_at.saturating_sub(outcome.started_at),
                "agentMeta": agent_meta,
                "aborted": stopped.is_some(),
            },
        },
    });
    if stopped == Some(Stop::Timeout) {
        let error = Error::new(Code::AgentTimeout, "Agent response timeout").with_payload(payload);
        return Err(error.retry_after(RETRY_AFTER_TIMEOUT_MS));
    }
    Ok(payload)
}

/// When a client that hit the time limit may try again (guide section 6).
const RETRY_AFTER_TIMEOUT_MS: u64 = 5000;
/// How long `agent.wait` waits when the caller doesn't say.
const WAIT_MS: u64 = 30_000;

crate::wire! {
    /// Which run, and how long to wait.
    pub struct WaitParams {
        run_id: String = text_within(1, RUN_ID_CHARS),
        /// 30,000 by default; 0 only looks.
        timeout_ms: Option<u64> = int(0),
    }

    /// How a run ended.
    pub struct Waited {
        run_id: String,
        /// `ok`, `error`, or `timeout` when it has not ended.
        status: String,
        started_at: Option<u64>,
        ended_at: Option<u64>,
        error: Option<String>,
    }
}

async fn wait(cx: Cx, params: WaitParams) -> Result<Waited, Error> {
    let limit = Duration::from_millis(params.timeout_ms.unwrap_or(WAIT_MS));
    let run_id = params.run_id;
    let Some(outcome) = cx.gateway.runs.wait(&run_id, limit).await else {
        return Ok(Waited { run_id, status: "timeout".into(), started_at: None, ended_at: None, error: None });
    };
    let (status, error) = match &outcome.end {
        End::Completed | End::Stopped(_) => ("ok", None),
        End::Failed(error) => ("error", Some(error.clone())),
    };
    Ok(Waited {
        run_id,
        status: status.into(),
        started_at: Some(outcome.started_at),
        ended_at: Some(outcome.ended_at),
        error,
    })
}
