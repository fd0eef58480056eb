//! `chat.send`, `chat.history`, `chat.abort`, `chat.inject` (methods.md section 6).

use std::slice;
use std::time::Duration;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::error::Error;
use crate::gateway::attachments::{self, Attachment};
use crate::gateway::commands;
use crate::gateway::dedupe::Answer;
use crate::gateway::delivery::DeliveryTarget;
use crate::gateway::envelope;
use crate::gateway::post::{Memory, Post, store_error};
use crate::limits::{RUN_ID_CHARS, SESSION_KEY_BYTES};
use crate::rpc::{Cx, Method};
use crate::runs::run::{End, Origin, Outcome, Run, Stop};
use crate::runs::stream::RunStream;
use crate::stores::SessionKey;
use crate::wire::Access;
use crate::wire::event::ChatState;
use crate::wire::message::Block;
use crate::wire::shape::{int, int_within, text, text_within};
use crate::wire::thinking::ThinkingLevel;
use crate::{later, now};

/// Rows.
pub const METHODS: &[Method] = &[
    Method {
        name: "chat.history",
        aliases: &[],
        access: Access::Read,
        listed: true,
        doc: "Shows the last messages of a session.",
        handler: now!(history),
    },
    Method {
        name: "chat.abort",
        aliases: &[],
        access: Access::Write,
        listed: true,
        doc: "Stops a session's runs, or one of them.",
        handler: later!(abort),
    },
    Method {
        name: "chat.send",
        aliases: &[],
        access: Access::Write,
        listed: true,
        doc: "Sends a message into a session; the answer streams as chat events.",
        handler: later!(send),
    },
    Method {
        name: "chat.inject",
        aliases: &[],
        access: Access::Admin,
        listed: false,
        doc: "Adds an assistant message to a session without a model.",
        handler: later!(inject),
    },
];

/// Kind of remembered answers (methods.md 1.3).
const KIND: &str = "chat";

crate::wire! {
    /// A message for a session.
    pub struct SendParams {
        session_key: String = text_within(1, SESSION_KEY_BYTES),
        message: String = text(1),
        /// Becomes the run's id; the same key gets the same answer.
        idempotency_key: String = text_within(1, RUN_ID_CHARS),
        /// Thinking level of this run alone.
        thinking: Option<String>,
        /// Whether the answer also goes to the channel over which the session was last reached, if there is one.
        deliver: Option<bool>,
        attachments: Option<Vec<Attachment>>,
        /// The run is stopped after this time.
        timeout_ms: Option<u64> = int(0),
    }
}

async fn send(cx: Cx, params: SendParams) -> Result<Value, Error> {
    let gateway = &cx.gateway;
    let images = attachments::images(params.attachments.as_deref().unwrap_or_default())?;
    let key = gateway.session_key(&params.session_key)?;
    if gateway.stores.sessions.get(&key).is_some_and(|entry| entry.send_policy.as_deref() == Some("deny")) {
        return Err(Error::invalid("send blocked by session policy"));
    }
    let message = params.message.trim();
    if commands::is_stop(message) {
        return Ok(stop_all(&cx, &key, Stop::Phrase).await);
    }
    let run_id = params.idempotency_key.clone();
    if let Some(answer) = gateway.answers.get(KIND, &run_id, gateway.uptime_ms()) {
        return answer.map(|payload| serde_json::from_slice(&payload).unwrap_or_default());
    }
    let Ok(claim) = gateway.answers.claim(&run_id) else {
        return Ok(json!({"runId": run_id, "status": "in_flight"}));
    };
    let mut content = vec![Block::Text { text: message.to_owned() }];
    if message.is_empty() && images.is_empty() {
        let reply = "I see no text in your message.".to_owned();
        return say(&cx, &key, &params.session_key, &run_id, reply).await;
    }
    match commands::run(gateway, &|| commands::who_am_i(&cx.caller), &key, message).await? {
        commands::Effect::NotACommand => {}
        commands::Effect::Reply(reply) => return say(&cx, &key, &params.session_key, &run_id, reply).await,
        commands::Effect::Ask(text) => content = vec![Block::Text { text }],
    }
    content.extend(images);
    let default_limit = gateway.config.get().agents.defaults.timeout_seconds;
    let timeout = match params.timeout_ms {
        None | Some(0) => Duration::from_secs(default_limit),
        Some(ms) => Duration::from_millis(ms),
    };
    let posted = gateway.post(Post {
        run_id: run_id.clone(),
        agent_id: gateway.agent_of(&key),
        key,
        shown_key: params.session_key,
        content,
        thinking: params.thinking.as_deref().and_then(ThinkingLevel::parse),
        model: None,
        timeout,
        extra_system_prompt: None,
        origin: Origin::Chat,
        asker: cx.asker(),
        label: None,
        reach: None,
        renews: true,
        claim,
        memory: Memory { kind: KIND, accepted: None, ended: end_of },
    })?;
    let run = posted.accepted.wait().await?;
    if params.deliver == Some(true) {
        let entry = gateway.stores.sessions.get(&run.ask.key).unwrap_or_default();
        let target = DeliveryTarget::of(&entry, None, None).filter(|target| gateway.recipient(target).is_ok());
        if let Some(target) = target {
            // A failure is logged there; the answer is in the chat all the same.
            drop(gateway.deliver_answer_of(&run, target));
        }
    }
    Ok(json!({"runId": run_id, "status": "started"}))
}

/// What a repeat of the request hears once the run has ended.
pub(super) fn end_of(run: &Run, outcome: &Outcome) -> Answer {
    let run_id = &run.ask.run_id;
    match &outcome.end {
        End::Completed | End::Stopped(_) => {
            Ok(json!({"runId": run_id, "status": "ok"}).to_string().into_bytes().into())
        }
        End::Failed(problem) => Err(Error::unavailable(problem.clone())
            .with_payload(json!({"runId": run_id, "status": "error", "summary": problem}))),
    }
}

/// Answers without a model: acknowledged, then one `final` (methods.md 6.1). The reply is in the
/// transcript before either.
async fn say(cx: &Cx, key: &SessionKey, shown_key: &str, run_id: &str, reply: String) -> Result<Value, Error> {
    let gateway = &cx.gateway;
    gateway.write_ours(key, &reply).await?;
    let done = json!({"runId": run_id, "status": "ok"}).to_string().into_bytes();
    gateway.answers.put(KIND, run_id, Ok(done.into()), gateway.uptime_ms());
    let mut stream =
        RunStream::new(gateway.sys.clone(), gateway.hub.clone(), run_id.to_owned(), key, shown_key.to_owned());
    gateway.sys.tasks.detach(async move {
        stream.skip_number();
        stream.chat(ChatState::Final { text: Some(reply), injected: true });
    });
    Ok(json!({"runId": run_id, "status": "started"}))
}

async fn stop_all(cx: &Cx, key: &SessionKey, stop: Stop) -> Value {
    let mut runs = cx.gateway.runs.active_in(key);
    // One that was stopped before is still writing its last words.
    runs.retain(|run| run.stop.get().is_none());
    cx.gateway.runs.stop(&runs, stop).await;
    let ids: Vec<_> = runs.iter().map(|run| run.ask.run_id.as_str()).collect();
    json!({"ok": true, "aborted": !ids.is_empty(), "runIds": ids})
}

crate::wire! {
    /// Which session, or which of its runs.
    pub struct AbortParams {
        session_key: String = text_within(1, SESSION_KEY_BYTES),
        run_id: Option<String> = text(1),
    }
}

async fn abort(cx: Cx, params: AbortParams) -> Result<Value, Error> {
    let key = cx.gateway.session_key(&params.session_key)?;
    let Some(run_id) = params.run_id else {
        return Ok(stop_all(&cx, &key, Stop::Rpc).await);
    };
    match cx.gateway.runs.active(&run_id) {
        None => Ok(json!({"ok": true, "aborted": false, "runIds": []})),
        Some(run) if run.ask.key != key => Err(Error::invalid("runId does not match sessionKey")),
        Some(run) if run.stop.get().is_some() => Ok(json!({"ok": true, "aborted": false, "runIds": []})),
        Some(run) => {
            cx.gateway.runs.stop(slice::from_ref(&run), Stop::Rpc).await;
            Ok(json!({"ok": true, "aborted": true, "runIds": [run_id]}))
        }
    }
}

crate::wire! {
    /// Which session, and how much of it.
    pub struct HistoryParams {
        session_key: String = text_within(1, SESSION_KEY_BYTES),
        /// Most messages, 200 by default.
        limit: Option<u32> = int_within(1, 1000),
    }

    /// The last messages.
    pub struct History {
        /// As the caller wrote it.
        session_key: String,
        session_id: Option<String>,
        /// Oldest first, as they are stored.
        messages: Vec<Box<RawValue>>,
        thinking_level: String,
    }
}

/// Messages when the caller names no number.
const HISTORY_LIMIT: u32 = 200;

fn history(cx: &Cx, params: HistoryParams) -> Result<History, Error> {
    let gateway = &cx.gateway;
    let key = gateway.session_key(&params.session_key)?;
    let entry = gateway.stores.sessions.get(&key).unwrap_or_default();
    let limit = params.limit.unwrap_or(HISTORY_LIMIT) as usize;
    // The answer must fit into the outbox together with what else is on its way.
    let bytes = gateway.limits.history_bytes.min(gateway.limits.max_buffered_bytes / 3);
    let messages = match (&entry.session_id, gateway.transcript(&key, &entry)) {
        (Some(_), Ok(file)) => {
            let tail = gateway.stores.transcripts.tail(&file, limit, usize::try_from(bytes).unwrap_or(usize::MAX));
            tail.map_err(|error| store_error(&error))?.items
        }
        _ => Vec::new(),
    };
    let config = gateway.config.get();
    let own_level = entry.thinking_level.as_deref().and_then(ThinkingLevel::parse);
    let default_level = config.agents.defaults.thinking.or_else(|| {
        let (_, model) =
            crate::runs::choice::shown(&config, config.agents.default_agent(), &gateway.runs.context().local)?;
        model.reasoning.then_some(ThinkingLevel::Low)
    });
    Ok(History {
        session_key: params.session_key,
        session_id: entry.session_id,
        messages: messages.into_iter().map(without_envelope).collect(),
        thinking_level: own_level.or(default_level).unwrap_or_default().name().to_owned(),
    })
}

/// Takes the envelope of a channel and the `[message_id: …]` lines out of user messages for clients
/// (methods.md 6.2).
fn without_envelope(raw: Box<RawValue>) -> Box<RawValue> {
    if !raw.get().contains("[message_id: ") {
        return raw;
    }
    let Ok(mut message) = serde_json::from_str::<Value>(raw.get()) else { return raw };
    if message.get("role").and_then(Value::as_str) != Some("user") {
        return raw;
    }
    match message.get_mut("content") {
        Some(Value::String(text)) => *text = envelope::unwrap(text),
        Some(Value::Array(blocks)) => {
            for block in blocks {
                if let Some(Value::String(text)) = block.get_mut("text") {
                    *text = envelope::unwrap(text);
                }
            }
        }
        _ => {}
    }
    serde_json::value::to_raw_value(&message).unwrap_or(raw)
}

crate::wire! {
    /// What to add to which session.
    pub struct InjectParams {
        session_key: String = text_within(1, SESSION_KEY_BYTES),
        message: String = text(1),
        label: Option<String> = text_within(0, 100),
    }

    /// The added message.
    pub struct Injected {
        ok: bool,
        message_id: String,
    }
}

async fn inject(cx: Cx, params: InjectParams) -> Result<Injected, Error> {
    let gateway = &cx.gateway;
    let key = gateway.session_key(&params.session_key)?;
    let entry = gateway.stores.sessions.get(&key).ok_or_else(|| Error::invalid("session not found"))?;
    let file = gateway.transcript(&key, &entry).map_err(|error| store_error(&error))?;
    if !gateway.stores.transcripts.exists(&file) {
        return Err(Error::invalid("transcript file not found"));
    }
    let text = match params.label.filter(|label| !label.trim().is_empty()) {
        Some(label) => format!("[{label}]\n\n{}", params.message),
        None => params.message,
    };
    let message_id = gateway.write_ours(&key, &text).await?;
    let run_id = format!("inject-{message_id}");
    let mut stream = RunStream::new(gateway.sys.clone(), gateway.hub.clone(), run_id, &key, params.session_key);
    stream.chat(ChatState::Final { text: Some(text), injected: true });
    Ok(Injected { ok: true, message_id })
}
