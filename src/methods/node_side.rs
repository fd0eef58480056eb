//! What nodes call: `node.invoke.result` and `node.event` (connection.md 6.3 to 6.5).

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::{agent_run, chat};
use crate::error::Error;
use crate::gateway::post::{Memory, Post};
use crate::later;
use crate::limits::{NODE_TEXT_CHARS, SESSION_KEY_BYTES};
use crate::nodes::invokes::{NodeAnswer, NodeError};
use crate::nodes::registry::node_id;
use crate::rpc::{Cx, Handler, Method, Reply, Run, decode, encode};
use crate::runs::run::Origin;
use crate::wire::Access;
use crate::wire::message::Block;
use crate::wire::shape::{Kind, Wire as _, text};
use crate::wire::thinking::ThinkingLevel;

/// Rows.
pub const METHODS: &[Method] = &[
    Method {
        name: "node.invoke.result",
        aliases: &[],
        access: Access::Node,
        listed: true,
        doc: "Answers a node.invoke.request.",
        handler: Handler { run: Run::Raw(result), params: || ResultParams::KIND, result: || Taken::KIND },
    },
    Method {
        name: "node.event",
        aliases: &[],
        access: Access::Node,
        listed: true,
        doc: "Tells what happened on a node: something was said, asked or run, or a chat is to be followed.",
        handler: later!(event),
    },
];

crate::wire! {
    /// A node's answer.
    pub struct ResultParams {
        /// Id of the request.
        id: String = text(1),
        /// The node's own id.
        node_id: String = text(1),
        ok: bool,
        /// The result.
        payload: Option<Box<RawValue>>,
        /// The result as a text of JSON, which counts more.
        payload_j_s_o_n: Option<Box<RawValue>>,
        error: Option<NodeError> = Kind::OrNull(&NodeError::KIND),
    }

    /// The answer has arrived.
    pub struct Taken {
        ok: bool,
        /// Nobody waits for it any more.
        ignored: Option<bool>,
    }
}

/// The two results are never taken apart: a picture of megabytes would become a tree.
fn result(cx: &Cx, params: Option<&RawValue>) -> Reply {
    let mut fields: BTreeMap<String, Box<RawValue>> = match params.map(RawValue::get) {
        None | Some("null") => BTreeMap::new(),
        Some(text) => serde_json::from_str(text)
            .map_err(|_| Error::invalid(format!("invalid {} params: must be object", cx.method())))?,
    };
    let (mut payload, text) = (fields.remove("payload"), fields.remove("payloadJSON"));
    let mut payload_text = None;
    match text {
        Some(text) if text.get().starts_with('"') => payload_text = serde_json::from_str(text.get()).ok(),
        // Tolerated: null is nothing, and another type is the result itself.
        Some(text) if text.get() != "null" => payload = payload.or(Some(text)),
        _ => {}
    }
    let size: usize = fields.values().map(|field| field.get().len()).sum();
    if size > REST_BYTES {
        return Err(Error::invalid(format!("invalid {} params: too large beside the payload", cx.method())));
    }
    let rest: Map<String, Value> =
        fields.into_iter().map(|(key, field)| (key, serde_json::from_str(field.get()).unwrap_or_default())).collect();
    let params: ResultParams = decode(cx.method(), rest.into())?;
    if params.node_id != node_id(&cx.caller) {
        return Err(Error::invalid("nodeId mismatch"));
    }
    let answer = NodeAnswer { ok: params.ok, payload, payload_text, error: params.error };
    // Only the connection that speaks for the node is believed.
    let is_taken = cx.gateway.nodes.registry.is_registered(&cx.caller)
        && cx.gateway.nodes.invokes.answer(&params.id, &params.node_id, answer);
    Ok(encode(&Taken { ok: true, ignored: (!is_taken).then_some(true) }))
}

/// What an answer may hold beside its payload, bytes.
const REST_BYTES: usize = 64 * 1024;

crate::wire! {
    /// What happened.
    pub struct EventParams {
        /// Unknown kinds are ignored.
        event: String = text(1),
        /// What there is to say of it.
        payload: Option<Value>,
        /// The same as a text of JSON, which counts more.
        payload_j_s_o_n: Option<String>,
    }
}

/// What is wrong with a payload is ignored, as nodes expect (connection.md 6.4).
async fn event(cx: Cx, params: EventParams) -> Result<Taken, Error> {
    let payload = match params.payload_j_s_o_n {
        Some(text) => serde_json::from_str(&text).ok(),
        None => params.payload,
    };
    if let Some(Value::Object(payload)) = payload {
        let told = Told { payload };
        match params.event.as_str() {
            "voice.transcript" => transcript(&cx, &told).await?,
            "agent.request" => request(&cx, &told).await?,
            "chat.subscribe" => follow(&cx, &told, true),
            "chat.unsubscribe" => follow(&cx, &told, false),
            "exec.started" | "exec.finished" | "exec.denied" => executed(&cx, &params.event, &told),
            _ => {}
        }
    }
    Ok(Taken { ok: true, ignored: None })
}

/// The payload of an event, read leniently.
struct Told {
    payload: Map<String, Value>,
}

impl Told {
    /// A trimmed text that isn't blank.
    fn text(&self, key: &str) -> Option<&str> {
        self.payload.get(key).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty())
    }

    /// What somebody said, unless it is endless.
    fn speech(&self, key: &str) -> Option<&str> {
        self.text(key).filter(|text| text.chars().count() <= NODE_TEXT_CHARS)
    }

    /// The session that is meant, unless its key is endless.
    fn session(&self, default: impl FnOnce() -> String) -> Option<String> {
        let key = self.text("sessionKey").map_or_else(default, str::to_owned);
        (key.len() <= SESSION_KEY_BYTES).then_some(key)
    }
}

/// Something was said to the node's microphone.
async fn transcript(cx: &Cx, told: &Told) -> Result<(), Error> {
    let main = || cx.gateway.session_defaults().main_session_key;
    let (Some(text), Some(session)) = (told.speech("text"), told.session(main)) else { return Ok(()) };
    let run_id = format!("voice-{}", cx.gateway.sys.chance.uuid());
    let memory = Memory { kind: "chat", accepted: None, ended: chat::end_of };
    let asked = Asked { run_id, session, text, thinking: Some(ThinkingLevel::Low), seconds: None };
    post(cx, asked, Origin::Chat, memory).await
}

/// The node's own program asks an agent.
async fn request(cx: &Cx, told: &Told) -> Result<(), Error> {
    let own = || own_session(cx);
    let (Some(text), Some(session)) = (told.speech("message"), told.session(own)) else { return Ok(()) };
    let memory = Memory { kind: "agent", accepted: None, ended: agent_run::end_of };
    let asked = Asked {
        run_id: cx.gateway.sys.chance.uuid(),
        session,
        text,
        thinking: told.text("thinking").and_then(ThinkingLevel::parse),
        seconds: told.payload.get("timeoutSeconds").and_then(Value::as_u64).filter(|seconds| *seconds > 0),
    };
    post(cx, asked, Origin::Agent, memory).await
}

/// A run that a node asks for.
struct Asked<'a> {
    run_id: String,
    session: String,
    text: &'a str,
    thinking: Option<ThinkingLevel>,
    seconds: Option<u64>,
}

/// Resolves when the message is durable; the run goes on.
async fn post(cx: &Cx, asked: Asked<'_>, origin: Origin, memory: Memory) -> Result<(), Error> {
    let gateway = &cx.gateway;
    let Ok(key) = gateway.session_key(&asked.session) else { return Ok(()) };
    if gateway.stores.sessions.get(&key).is_some_and(|entry| entry.send_policy.as_deref() == Some("deny")) {
        return Ok(());
    }
    let seconds = asked.seconds.unwrap_or_else(|| gateway.config.get().agents.defaults.timeout_seconds);
    let claim = gateway.answers.claim(&asked.run_id).map_err(|_| Error::unavailable("run id in use"))?;
    let posted = gateway.post(Post {
        run_id: asked.run_id,
        agent_id: gateway.agent_of(&key),
        key,
        shown_key: asked.session,
        content: vec![Block::Text { text: asked.text.to_owned() }],
        thinking: asked.thinking,
        model: None,
        timeout: Duration::from_secs(seconds),
        extra_system_prompt: None,
        origin,
        asker: cx.asker(),
        label: None,
        reach: None,
        renews: true,
        claim,
        memory,
    })?;
    posted.accepted.wait().await.map(drop)
}

fn follow(cx: &Cx, told: &Told, is_wanted: bool) {
    let Some(shown) = told.text("sessionKey") else { return };
    let Ok(key) = cx.gateway.session_key(shown) else { return };
    cx.caller.change_following(|following| {
        if is_wanted {
            following.add(shown, key.as_str());
        } else {
            following.remove(shown, key.as_str());
        }
    });
}

/// A command began, ended or was not run on the node.
fn executed(cx: &Cx, kind: &str, told: &Told) {
    let Some(session) = told.session(|| own_session(cx)) else { return };
    let mut text = format!("Exec {} (node={}", kind.trim_start_matches("exec."), node_id(&cx.caller));
    if let Some(run) = told.text("runId") {
        text.push_str(&format!(" id={run}"));
    }
    match kind {
        "exec.finished" => {
            let code = told.payload.get("exitCode").and_then(Value::as_i64);
            match (told.payload.get("timedOut") == Some(&json!(true)), code) {
                (true, _) => text.push_str(", timeout"),
                (false, Some(code)) => text.push_str(&format!(", code {code}")),
                (false, None) => {}
            }
        }
        "exec.denied" => text.push_str(&told.text("reason").map(|reason| format!(", {reason}")).unwrap_or_default()),
        _ => {}
    }
    text.push(')');
    for part in ["command", "output"].into_iter().filter_map(|key| told.text(key)) {
        text.push_str(": ");
        text.extend(part.chars().take(NODE_TEXT_CHARS));
    }
    cx.gateway.node_reports(&session, &text);
}

fn own_session(cx: &Cx) -> String {
    format!("node-{}", node_id(&cx.caller))
}
