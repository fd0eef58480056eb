//! The guide dialect: the contract for client authors (guide.md).
//!
//! It differs from the native one in its handshake, its event names, and the few fields below.

use serde_json::{Map, Value, json};

use super::event::{AgentProgress, ChatUpdate, Event, Payload, Stream};
use super::frame::{self, put};
use super::handshake::{
    Client, Connect, Credentials, Device, Hello, Offer, PROTOCOL, PermissionMap, Role, SHORT, STRINGS,
};
use super::native::{Auth, HelloPayload, chat_message, chat_payload, event_frame};
use super::shape::{Wire as _, int, text, text_within};
use super::thinking::ThinkingLevel;
use super::{Dialect, Refused, event};
use crate::error::Error;

/// The guide dialect.
#[derive(Debug)]
pub struct Guide;

crate::wire! {
    /// The guide's handshake (guide section 1); fields it doesn't name are ignored.
    pub open struct Handshake {
        min_protocol: u32 = int(1),
        max_protocol: u32 = int(1),
        client: GuideClient,
        caps: Option<Vec<String>> = STRINGS,
        commands: Option<Vec<String>> = STRINGS,
        permissions: Option<PermissionMap>,
        path_env: Option<String> = text_within(0, 8192),
        role: Option<String> = text(1),
        scopes: Option<Vec<String>> = STRINGS,
        device: Option<Device>,
        auth: Option<GuideAuth>,
    }

    /// The guide's client; only id and mode are required.
    pub open struct GuideClient {
        id: String = SHORT,
        mode: String = SHORT,
        display_name: Option<String> = text_within(0, 1024),
        version: Option<String> = text_within(0, 1024),
        platform: Option<String> = text_within(0, 1024),
        device_family: Option<String> = text_within(0, 1024),
        model_identifier: Option<String> = text_within(0, 1024),
        instance_id: Option<String> = text_within(0, 1024),
    }

    /// Credentials.
    pub open struct GuideAuth {
        token: Option<String>,
        password: Option<String>,
    }
}

/// The id under which a refused bare handshake is answered, as it has none of its own.
const HANDSHAKE_ID: &str = "connect";

/// The guide's names of methods that natively have another; the table's alias of that form is offered.
const GUIDE_PREFIX: &str = "nodes.";

impl Dialect for Guide {
    fn index(&self) -> usize {
        1
    }

    fn name(&self) -> &'static str {
        "guide"
    }

    fn protocol(&self) -> u32 {
        PROTOCOL
    }

    fn open(&self, first: &Map<String, Value>) -> Option<Result<Connect, Box<Refused>>> {
        if first.contains_key("type") || !(first.contains_key("minProtocol") || first.contains_key("client")) {
            return None;
        }
        Some(open(first))
    }

    fn hello(&self, _connect_id: &Value, hello: &Hello<'_>) -> Vec<u8> {
        let mut payload = HelloPayload::new(self.protocol(), hello);
        payload.auth = Some(json!({
            "deviceToken": hello.grant.token.as_ref().map(|issued| issued.token.expose()),
            "role": hello.grant.role.name(),
            "scopes": hello.grant.scopes,
        }));
        let mut frame = Vec::with_capacity(4096);
        put(&mut frame, &payload);
        frame
    }

    fn method_name(&self, name: &'static str, aliases: &'static [&'static str]) -> &'static str {
        aliases.iter().find(|alias| alias.starts_with(GUIDE_PREFIX)).copied().unwrap_or(name)
    }

    fn lists_hidden_methods(&self) -> bool {
        true
    }

    fn event_name(&self, event: &'static event::Kind) -> &'static str {
        event.guide_name
    }

    /// The guide counts an agent's time limit in milliseconds, takes any text as `thinking`, and calls
    /// the session key `sessionId` (guide section 5, methods.md 3.2).
    fn params(&self, method: &str, params: &mut Value) {
        let Value::Object(params) = params else { return };
        if method == "logs.tail" {
            params.entry("format").or_insert_with(|| "text".into());
        }
        if !matches!(method, "agent" | "chat.send") {
            return;
        }
        if params.get("thinking").and_then(Value::as_str).is_some_and(|level| ThinkingLevel::parse(level).is_none()) {
            params.remove("thinking");
        }
        if method == "agent" {
            if let Some(timeout_ms) = params.remove("timeout") {
                params.entry("timeoutMs").or_insert(timeout_ms);
            }
        }
    }

    fn reply(&self, id: &Value, outcome: Result<&[u8], &Error>) -> Vec<u8> {
        let own_id = HANDSHAKE_ID.into();
        frame::reply(if id.is_null() { &own_id } else { id }, outcome, |code| code)
    }

    fn event(&self, event: &Event) -> Option<Vec<u8>> {
        let name = event.kind.guide_name;
        Some(match &event.payload {
            Payload::Json(json) => event_frame(name, event, json),
            Payload::Agent(progress) => event_frame(name, event, &agent(progress)),
            Payload::Chat(update) => event_frame(name, event, &chat(update)),
        })
    }
}

fn open(first: &Map<String, Value>) -> Result<Connect, Box<Refused>> {
    let mut value = Value::Object(first.clone());
    let mut problems = Handshake::KIND.check(&mut value);
    let handshake = match serde_json::from_value::<Handshake>(value) {
        Ok(handshake) if problems.is_empty() => handshake,
        outcome => {
            if let (Err(error), true) = (outcome, problems.is_empty()) {
                problems.push(error.to_string());
            }
            let message = format!("invalid connect params: {}", problems.join("; "));
            let reply = Some((Value::Null, Error::invalid(message.clone())));
            return Err(Box::new(Refused { reply, code: 1008, reason: message }));
        }
    };
    let client = handshake.client;
    let implied = Role::parse(&client.mode).unwrap_or(Role::Operator);
    let auth = handshake
        .auth
        .map_or(Auth { token: None, password: None }, |auth| Auth { token: auth.token, password: auth.password });
    let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
    Ok(Connect {
        id: Value::Null,
        min_protocol: handshake.min_protocol,
        max_protocol: handshake.max_protocol,
        client: Client {
            id: client.id,
            display_name: filled(client.display_name),
            version: filled(client.version).unwrap_or_else(|| "unknown".into()),
            platform: filled(client.platform).unwrap_or_else(|| "unknown".into()),
            device_family: filled(client.device_family),
            model_identifier: filled(client.model_identifier),
            mode: client.mode,
            instance_id: filled(client.instance_id),
        },
        role: handshake.role.map_or(Ok(implied), |role| Role::parse(&role).ok_or(role)),
        scopes: handshake.scopes.unwrap_or_default(),
        offer: Offer {
            caps: handshake.caps.unwrap_or_default(),
            commands: handshake.commands.unwrap_or_default(),
            permissions: handshake.permissions,
            path_env: handshake.path_env,
        },
        device: handshake.device,
        credentials: Credentials::new(auth.token, auth.password),
        device_expected: false,
    })
}

fn agent(progress: &AgentProgress) -> Value {
    let (stream, data) = match &progress.stream {
        Stream::Lifecycle(lifecycle) => ("lifecycle", json!(lifecycle)),
        Stream::Assistant { text, delta } => {
            ("message", json!({"role": "assistant", "content": text, "text": text, "delta": delta}))
        }
        Stream::Thinking { text, delta } => ("thinking", json!({"content": text, "text": text, "delta": delta})),
        Stream::Tool { data, .. } => ("tool", serde_json::from_str(data.get()).unwrap_or_default()),
    };
    let mut payload = json!({
        "runId": progress.run_id, "seq": progress.guide_seq, "stream": stream, "ts": progress.ts, "data": data,
    });
    if let (Some(key), Value::Object(payload)) = (&progress.session_key, &mut payload) {
        payload.insert("sessionKey".into(), key.as_str().into());
    }
    payload
}

fn chat(update: &ChatUpdate) -> impl serde::Serialize + '_ {
    chat_payload(update, |text, injected| chat_message(text.into(), update.ts, injected))
}
