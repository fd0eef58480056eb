//! `exec.approvals.*`, the file of rules, and `exec.approval.*`, one decision (connection.md 6.10, 6.11).

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::nodes::given_id;
use crate::error::{Code, Error};
use crate::gateway::invoke::Question;
use crate::gateway::post::store_error;
use crate::later;
use crate::limits::{APPROVAL_MS_MAX, APPROVAL_TEXT_CHARS};
use crate::nodes::binding;
use crate::nodes::decisions::{Request, Text, Verdict};
use crate::rpc::{Cx, Method};
use crate::stores::exec_approvals::{SetError, Snapshot};
use crate::wire::Access;
use crate::wire::shape::{Clearable, Kind, int, int_within, text, text_within};

/// Rows.
pub const METHODS: &[Method] = &[
    Method {
        name: "exec.approvals.get",
        aliases: &[],
        access: Access::Admin,
        listed: true,
        doc: "Shows which commands may run without asking.",
        handler: later!(file),
    },
    Method {
        name: "exec.approvals.set",
        aliases: &[],
        access: Access::Admin,
        listed: true,
        doc: "Replaces the rules for commands, if they are still those that the caller knows.",
        handler: later!(set_file),
    },
    Method {
        name: "exec.approvals.node.get",
        aliases: &[],
        access: Access::Admin,
        listed: true,
        doc: "Asks a node for its own rules for commands.",
        handler: later!(node_file),
    },
    Method {
        name: "exec.approvals.node.set",
        aliases: &[],
        access: Access::Admin,
        listed: true,
        doc: "Asks a node to replace its own rules for commands.",
        handler: later!(set_node_file),
    },
    Method {
        name: "exec.approval.request",
        aliases: &[],
        access: Access::Approvals,
        listed: true,
        doc: "Asks whoever may decide whether a command may run, and waits for the decision.",
        handler: later!(request),
    },
    Method {
        name: "exec.approval.resolve",
        aliases: &[],
        access: Access::Approvals,
        listed: true,
        doc: "Decides whether a waiting command may run.",
        handler: later!(resolve),
    },
];

crate::wire! {
    /// Nothing.
    pub struct Nothing {}

    /// The file, without the socket's token.
    pub struct File {
        path: String,
        exists: bool,
        /// SHA-256 of its bytes, for `baseHash`.
        hash: String,
        file: Map<String, Value>,
    }

    /// The new content.
    pub struct SetParams {
        file: Map<String, Value> = FileShape::KIND,
        /// `hash` of the content that the caller knows; needed once there is a file.
        base_hash: Option<String> = text(1),
    }

    /// What the file holds; further keys are kept.
    pub open struct FileShape {
        version: u64 = int_within(1, 1),
        socket: Option<SocketShape>,
        defaults: Option<RulesShape>,
        agents: Option<std::collections::BTreeMap<String, AgentShape>>,
    }

    /// The original's socket, which this gateway doesn't open.
    pub open struct SocketShape {
        path: Option<String>,
        token: Option<String>,
    }

    /// What holds where an agent has no rule of its own.
    pub open struct RulesShape {
        /// deny, allowlist or full.
        security: Option<String>,
        /// off, on-miss or always.
        ask: Option<String>,
        /// deny, allowlist or full.
        ask_fallback: Option<String>,
        auto_allow_skills: Option<bool>,
    }

    /// An agent's rules.
    pub open struct AgentShape {
        security: Option<String>,
        ask: Option<String>,
        ask_fallback: Option<String>,
        auto_allow_skills: Option<bool>,
        allowlist: Option<Vec<AllowedShape>>,
    }

    /// A command that may run.
    pub open struct AllowedShape {
        id: Option<String>,
        pattern: String,
        last_used_at: Option<f64>,
        last_used_command: Option<String>,
        last_resolved_path: Option<String>,
    }
}

impl From<Snapshot> for File {
    fn from(snapshot: Snapshot) -> Self {
        Self { path: snapshot.path, exists: true, hash: snapshot.hash, file: snapshot.file }
    }
}

async fn file(cx: Cx, _: Nothing) -> Result<File, Error> {
    let (snapshot, durable) = cx.gateway.stores.exec_approvals.snapshot().map_err(|error| store_error(&error))?;
    durable.await.map_err(|error| store_error(&error))?;
    Ok(snapshot.into())
}

async fn set_file(cx: Cx, params: SetParams) -> Result<File, Error> {
    let set = cx.gateway.stores.exec_approvals.set(params.file, params.base_hash.as_deref());
    let (snapshot, durable) = set.map_err(|error| match error {
        SetError::HashRequired => {
            Error::invalid("exec approvals base hash required; re-run exec.approvals.get and retry")
        }
        SetError::Changed => {
            Error::invalid("exec approvals changed since last load; re-run exec.approvals.get and retry")
        }
        SetError::Store(error) => store_error(&error),
    })?;
    durable.await.map_err(|error| store_error(&error))?;
    Ok(snapshot.into())
}

crate::wire! {
    /// Which node.
    pub struct NodeParams {
        node_id: String = text(1),
    }

    /// Which node, and its new rules.
    pub struct NodeSetParams {
        node_id: String = text(1),
        file: Map<String, Value> = FileShape::KIND,
        base_hash: Option<String> = text(1),
    }
}

async fn node_file(cx: Cx, params: NodeParams) -> Result<Option<Box<RawValue>>, Error> {
    ask(&cx, &params.node_id, "system.execApprovals.get", json!({})).await
}

async fn set_node_file(cx: Cx, params: NodeSetParams) -> Result<Option<Box<RawValue>>, Error> {
    let mut new = json!({"file": params.file});
    if let (Value::Object(new), Some(hash)) = (&mut new, params.base_hash) {
        new.insert("baseHash".into(), hash.into());
    }
    ask(&cx, &params.node_id, "system.execApprovals.set", new).await
}

/// Unlike in the original, the node's platform and offer count here too.
async fn ask(cx: &Cx, node_id: &str, command: &str, params: Value) -> Result<Option<Box<RawValue>>, Error> {
    let question = Question {
        node_id: given_id(node_id)?.to_owned(),
        command: command.to_owned(),
        params: Some(params),
        timeout_ms: None,
        idempotency_key: None,
    };
    let asked = cx.gateway.ask_node(&question).map_err(|error| match error.code {
        Code::NotLinked | Code::NodeUnknown => {
            let details = json!({"nodeError": {"code": "NOT_CONNECTED", "message": "node not connected"}});
            error.with_details(details)
        }
        _ => error,
    })?;
    Ok(asked.answer().await?.result())
}

/// A text of a request.
const SHOWN: Kind = text_within(0, APPROVAL_TEXT_CHARS);
/// The same, or null.
const MAYBE: Kind = Kind::OrNull(&SHOWN);
/// How long a request waits when nobody says.
const WAIT_MS: u64 = 120_000;

crate::wire! {
    /// What somebody is to allow.
    pub struct RequestParams {
        /// Chosen by the caller, or made.
        id: Option<String> = text_within(1, 256),
        /// The command as people read it.
        command: String = text_within(1, APPROVAL_TEXT_CHARS),
        /// Its exact arguments, if they are more than the command's text says.
        argv: Option<Vec<String>> = Kind::List { of: &SHOWN, min: 1, max: 256 },
        #[serde(default)]
        cwd: Clearable<String> = MAYBE,
        #[serde(default)]
        host: Clearable<String> = MAYBE,
        /// The node that is to run it; a decision is bound to it then.
        node_id: Option<String> = text_within(1, 256),
        #[serde(default)]
        security: Clearable<String> = MAYBE,
        #[serde(default)]
        ask: Clearable<String> = MAYBE,
        #[serde(default)]
        agent_id: Clearable<String> = MAYBE,
        #[serde(default)]
        resolved_path: Clearable<String> = MAYBE,
        #[serde(default)]
        session_key: Clearable<String> = MAYBE,
        /// How long to wait, 120,000 by default.
        timeout_ms: Option<u64> = int(1),
    }

    /// What was decided.
    pub struct Decided {
        id: String,
        /// allow-once, allow-always, deny, or null when nobody decided in time.
        decision: Value,
        created_at_ms: u64,
        expires_at_ms: u64,
        /// Digest of what the decision is bound to.
        binding_hash: String,
    }
}

async fn request(cx: Cx, params: RequestParams) -> Result<Decided, Error> {
    let wait_ms = params.timeout_ms.unwrap_or(WAIT_MS).min(APPROVAL_MS_MAX);
    let id = params.id.as_deref().map(str::trim).filter(|id| !id.is_empty()).map(str::to_owned);
    let request = Request {
        command: params.command,
        cwd: filled(params.cwd),
        host: filled(params.host),
        security: filled(params.security),
        ask: filled(params.ask),
        agent_id: filled(params.agent_id),
        resolved_path: filled(params.resolved_path),
        session_key: filled(params.session_key),
        argv: params.argv,
        node_id: params.node_id,
    };
    if request.argv.as_ref().is_some_and(|argv| !binding::says(&request.command, argv)) {
        return Err(Error::invalid("argv is not what command says: who decides would see something else"));
    }
    let binding_hash = binding::hash(&request);
    let waiting = cx.gateway.ask_approval(id, request, wait_ms)?;
    let verdict = waiting.verdict.wait().await;
    Ok(Decided {
        id: waiting.id.clone(),
        decision: verdict.map_or(Value::Null, |verdict| verdict.name().into()),
        created_at_ms: waiting.created_at_ms,
        expires_at_ms: waiting.expires_at_ms,
        binding_hash,
    })
}

fn filled(text: Clearable<String>) -> Text {
    match text {
        Clearable::Set(text) => Text(Some(text)),
        Clearable::Keep | Clearable::Clear => Text(None),
    }
}

crate::wire! {
    /// A decision.
    pub struct ResolveParams {
        id: String = text(1),
        /// allow-once, allow-always or deny.
        decision: String = text(1),
    }

    /// It is recorded.
    pub struct Resolved {
        ok: bool,
    }
}

async fn resolve(cx: Cx, params: ResolveParams) -> Result<Resolved, Error> {
    let verdict = Verdict::parse(&params.decision).ok_or_else(|| Error::invalid("invalid decision"))?;
    let client = &cx.caller.client;
    let by = client.display_name.as_ref().unwrap_or(&client.id).clone();
    cx.gateway.decide_approval(&params.id, verdict, by).await?;
    Ok(Resolved { ok: true })
}
