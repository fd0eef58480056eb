//! The native dialect: what the field's existing clients speak (connection.md).

use serde::Serialize;
use serde_json::{Map, Value};

use super::event::{AgentProgress, ChatState, ChatUpdate, Event, Payload, StateVersion, Stream};
use super::frame::{self, put};
use super::handshake::{Client, Connect, Credentials, Device, Hello, Offer, PROTOCOL, PermissionMap, Role, STRINGS};
use super::shape::{Wire as _, int, text, text_within};
use super::{Dialect, Refused, event};
use crate::error::{Code, Error};

/// Close code for a handshake that breaks the rules.
const POLICY_VIOLATION: u16 = 1008;

/// The native dialect.
#[derive(Debug)]
pub struct Native;

crate::wire! {
    /// Params of `connect` (connection.md 2.2).
    pub struct ConnectParams {
        min_protocol: u32 = int(1),
        max_protocol: u32 = int(1),
        client: Client,
        caps: Option<Vec<String>> = STRINGS,
        commands: Option<Vec<String>> = STRINGS,
        permissions: Option<PermissionMap>,
        path_env: Option<String> = text_within(0, 8192),
        role: Option<String> = text(1),
        scopes: Option<Vec<String>> = STRINGS,
        device: Option<Device>,
        auth: Option<Auth>,
        locale: Option<String>,
        user_agent: Option<String>,
    }

    /// Credentials as they are written in a handshake.
    pub struct Auth {
        token: Option<String>,
        password: Option<String>,
    }
}

impl Dialect for Native {
    fn index(&self) -> usize {
        0
    }

    fn name(&self) -> &'static str {
        "native"
    }

    fn protocol(&self) -> u32 {
        PROTOCOL
    }

    fn open(&self, first: &Map<String, Value>) -> Option<Result<Connect, Box<Refused>>> {
        if !first.contains_key("type") {
            return None;
        }
        Some(open(first))
    }

    fn hello(&self, connect_id: &Value, hello: &Hello<'_>) -> Vec<u8> {
        let mut payload = Vec::with_capacity(4096);
        let mut hello_ok = HelloPayload::new(self.protocol(), hello);
        hello_ok.auth = hello.grant.token.as_ref().map(|issued| {
            serde_json::json!({
                "deviceToken": issued.token.expose(),
                "role": hello.grant.role.name(),
                "scopes": issued.scopes,
                "issuedAtMs": issued.issued_at_ms,
            })
        });
        put(&mut payload, &hello_ok);
        frame::reply(connect_id, Ok(&payload), native_code)
    }

    fn method_name(&self, name: &'static str, _aliases: &'static [&'static str]) -> &'static str {
        name
    }

    fn lists_hidden_methods(&self) -> bool {
        false
    }

    fn event_name(&self, event: &'static event::Kind) -> &'static str {
        event.name
    }

    fn params(&self, _method: &str, _params: &mut Value) {}

    /// A run that reached its time limit is a success here, with what it had (methods.md 3.2).
    fn reply(&self, id: &Value, outcome: Result<&[u8], &Error>) -> Vec<u8> {
        if let Err(Error { code: Code::AgentTimeout, payload: Some(payload), .. }) = outcome {
            return frame::reply(id, Ok(payload.to_string().as_bytes()), native_code);
        }
        if let Err(error @ Error { code: Code::NodeUnknown, .. }) = outcome {
            let error = Error { message: NODE_AWAY.to_owned(), ..error.clone() };
            return frame::reply(id, Err(&error), native_code);
        }
        frame::reply(id, outcome, native_code)
    }

    fn event(&self, event: &Event) -> Option<Vec<u8>> {
        match &event.payload {
            Payload::Json(json) => Some(event_frame(event.kind.name, event, json)),
            Payload::Agent(progress) if progress.stream.is_native() => {
                Some(event_frame(event.kind.name, event, &agent(progress)))
            }
            Payload::Agent(_) => None,
            Payload::Chat(update) => Some(event_frame(event.kind.name, event, &chat(update))),
        }
    }
}

/// Rows 2 to 4 of connection.md 2.5.
fn open(first: &Map<String, Value>) -> Result<Connect, Box<Refused>> {
    let refused = |reply, reason: &str| Box::new(Refused { reply, code: POLICY_VIOLATION, reason: reason.to_owned() });
    let mut request = Value::Object(first.clone());
    if !frame::RequestShape::KIND.check(&mut request).is_empty() {
        return Err(refused(None, "invalid request frame"));
    }
    let id = request.get("id").cloned().unwrap_or_default();
    if request.get("method").and_then(Value::as_str) != Some("connect") {
        let reason = "invalid handshake: first request must be connect";
        return Err(refused(Some((id, Error::invalid(reason))), reason));
    }
    let mut params = match request.get_mut("params").map(Value::take) {
        None | Some(Value::Null) => Value::Object(Map::new()),
        Some(params) => params,
    };
    let mut problems = ConnectParams::KIND.check(&mut params);
    let params = match serde_json::from_value::<ConnectParams>(params) {
        Ok(params) if problems.is_empty() => params,
        Ok(_) => return Err(refuse_params(id, &problems)),
        Err(error) => {
            if problems.is_empty() {
                problems.push(error.to_string());
            }
            return Err(refuse_params(id, &problems));
        }
    };
    let auth = params.auth.unwrap_or(Auth { token: None, password: None });
    Ok(Connect {
        id,
        min_protocol: params.min_protocol,
        max_protocol: params.max_protocol,
        client: params.client,
        role: params.role.map_or(Ok(Role::Operator), |role| native_role(&role).ok_or(role)),
        scopes: params.scopes.unwrap_or_default(),
        offer: Offer {
            caps: params.caps.unwrap_or_default(),
            commands: params.commands.unwrap_or_default(),
            permissions: params.permissions,
            path_env: params.path_env,
        },
        device: params.device,
        credentials: Credentials::new(auth.token, auth.password),
        device_expected: true,
    })
}

/// The guide's role `device` doesn't exist natively.
fn native_role(name: &str) -> Option<Role> {
    Role::parse(name).filter(|role| *role != Role::Device)
}

fn refuse_params(id: Value, problems: &[String]) -> Box<Refused> {
    let message = format!("invalid connect params: {}", problems.join("; "));
    Box::new(Refused { reply: Some((id, Error::invalid(message.clone()))), code: POLICY_VIOLATION, reason: message })
}

/// What is said of a node that isn't there, known or not (connection.md 6.3).
const NODE_AWAY: &str = "node not connected";

/// Some codes exist natively but are never sent; clients see `UNAVAILABLE` (connection.md 1.4).
fn native_code(code: Code) -> Code {
    match code {
        Code::NotLinked | Code::NodeUnknown | Code::AgentTimeout => Code::Unavailable,
        code => code,
    }
}

/// An event frame without its closing brace.
pub(super) fn event_frame(name: &str, event: &Event, payload: &impl Serialize) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    out.extend_from_slice(b"{\"type\":\"event\",\"event\":");
    put(&mut out, name);
    out.extend_from_slice(b",\"payload\":");
    put(&mut out, payload);
    if let Some(version) = &event.state_version {
        out.extend_from_slice(b",\"stateVersion\":");
        put(&mut out, version);
    }
    out
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AgentPayload<'a, D> {
    run_id: &'a str,
    stream: &'static str,
    data: D,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_key: Option<&'a str>,
    seq: u64,
    ts: u64,
}

fn agent(progress: &AgentProgress) -> AgentPayload<'_, Value> {
    let (stream, data) = match &progress.stream {
        Stream::Lifecycle(lifecycle) => ("lifecycle", serde_json::to_value(lifecycle).unwrap_or_default()),
        Stream::Assistant { text, delta } => ("assistant", serde_json::json!({"text": text, "delta": delta})),
        Stream::Thinking { text, delta } => ("thinking", serde_json::json!({"text": text, "delta": delta})),
        Stream::Tool { data, .. } => ("tool", serde_json::from_str(data.get()).unwrap_or_default()),
    };
    AgentPayload {
        run_id: &progress.run_id,
        stream,
        data,
        session_key: progress.session_key.as_deref(),
        seq: progress.seq,
        ts: progress.ts,
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ChatPayload<'a, M> {
    run_id: &'a str,
    session_key: &'a str,
    seq: u64,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<M>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_reason: Option<&'a str>,
}

/// The common part of a chat payload; `message` makes the dialect's message of text and "injected".
pub(super) fn chat_payload<M>(update: &ChatUpdate, message: impl Fn(&str, bool) -> M) -> ChatPayload<'_, M> {
    let mut payload = ChatPayload {
        run_id: &update.run_id,
        session_key: &update.session_key,
        seq: update.seq,
        state: update.state.name(),
        message: None,
        error_message: None,
        stop_reason: None,
    };
    match &update.state {
        ChatState::Delta(text) => payload.message = Some(message(text, false)),
        ChatState::Final { text, injected } => {
            payload.message = text.as_deref().map(|text| message(text, *injected));
        }
        ChatState::Aborted(reason) => payload.stop_reason = Some(reason),
        ChatState::Error(text) => payload.error_message = Some(text),
    }
    payload
}

fn chat(update: &ChatUpdate) -> ChatPayload<'_, Value> {
    chat_payload(update, |text, injected| {
        chat_message(serde_json::json!([{"type": "text", "text": text}]), update.ts, injected)
    })
}

/// A chat event's message; one of the gateway's own says so (methods.md section 5).
pub(super) fn chat_message(content: Value, timestamp: u64, injected: bool) -> Value {
    let mut message = serde_json::json!({"role": "assistant", "content": content, "timestamp": timestamp});
    if let (true, Value::Object(message)) = (injected, &mut message) {
        message.insert("stopReason".into(), "injected".into());
        message.insert("usage".into(), serde_json::json!({"input": 0, "output": 0, "totalTokens": 0}));
    }
    message
}

/// hello-ok (connection.md 2.4), which the guide extends.
#[derive(Serialize)]
pub(super) struct HelloPayload<'a> {
    r#type: &'static str,
    protocol: u32,
    server: Server<'a>,
    features: Features<'a>,
    snapshot: Snapshot<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) auth: Option<Value>,
    policy: &'a super::handshake::Policy,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Server<'a> {
    version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<&'static str>,
    host: &'a str,
    conn_id: &'a str,
}

#[derive(Serialize)]
struct Features<'a> {
    methods: &'a [&'static str],
    events: &'a [&'static str],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Snapshot<'a> {
    presence: &'a serde_json::value::RawValue,
    health: &'a serde_json::value::RawValue,
    state_version: StateVersion,
    uptime_ms: u64,
    config_path: &'a str,
    state_dir: &'a str,
    session_defaults: &'a super::handshake::SessionDefaults,
}

impl<'a> HelloPayload<'a> {
    pub(super) fn new(protocol: u32, hello: &'a Hello<'a>) -> Self {
        Self {
            r#type: "hello-ok",
            protocol,
            server: Server {
                version: crate::VERSION,
                commit: option_env!("BARNACLE_COMMIT"),
                host: hello.host,
                conn_id: hello.conn_id,
            },
            features: Features { methods: hello.methods, events: hello.events },
            snapshot: Snapshot {
                presence: hello.presence,
                health: hello.health,
                state_version: hello.state_version,
                uptime_ms: hello.uptime_ms,
                config_path: hello.config_path,
                state_dir: hello.state_dir,
                session_defaults: &hello.session_defaults,
            },
            auth: None,
            policy: &hello.policy,
        }
    }
}
