//! `node.list`, `node.describe`, `node.rename`, `node.invoke` (connection.md 6.3 and 6.7).

use std::collections::BTreeSet;
use std::rc::Rc;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::Error;
use crate::gateway::invoke::Question;
use crate::gateway::post::store_error;
use crate::limits::DEVICE_TEXT_CHARS;
use crate::limits::RUN_ID_CHARS;
use crate::nodes::invokes::NodeAnswer;
use crate::nodes::registry::Node;
use crate::rpc::{Cx, Method};
use crate::stores::devices::PairedDevice;
use crate::wire::Access;
use crate::wire::handshake::{PermissionMap, Role};
use crate::wire::shape::{Clearable, Kind, int, text, text_within};
use crate::{later, now};

/// Rows.
pub const METHODS: &[Method] = &[
    Method {
        name: "node.rename",
        aliases: &["nodes.rename"],
        access: Access::Pairing,
        listed: true,
        doc: "Gives a node another name.",
        handler: later!(rename),
    },
    Method {
        name: "node.list",
        aliases: &["nodes.list"],
        access: Access::Read,
        listed: true,
        doc: "Lists the nodes that are paired or connected, connected ones first.",
        handler: now!(list),
    },
    Method {
        name: "node.describe",
        aliases: &["nodes.describe"],
        access: Access::Read,
        listed: true,
        doc: "Tells what is known of one node.",
        handler: now!(describe),
    },
    Method {
        name: "node.invoke",
        aliases: &["nodes.invoke"],
        access: Access::Write,
        listed: true,
        doc: "Asks a node to run one of its commands and waits for the result.",
        handler: later!(invoke),
    },
];

crate::wire! {
    /// Nothing.
    pub struct Nothing {}

    /// The nodes.
    pub struct NodeList {
        /// Milliseconds since the Unix epoch.
        ts: u64,
        nodes: Vec<NodeRow>,
    }

    /// One node.
    pub struct NodeRow {
        /// Milliseconds since the Unix epoch; only in `node.describe`.
        ts: Option<u64>,
        node_id: String,
        display_name: Option<String>,
        platform: Option<String>,
        version: Option<String>,
        device_family: Option<String>,
        model_identifier: Option<String>,
        remote_ip: Option<String>,
        /// Sorted; none while it is away.
        caps: Vec<String>,
        /// What it may be asked, sorted; none while it is away.
        commands: Vec<String>,
        path_env: Option<String>,
        permissions: Option<PermissionMap>,
        paired: bool,
        connected: bool,
        /// Milliseconds since the Unix epoch.
        connected_at_ms: Option<u64>,
    }

    /// Which node.
    pub struct DescribeParams {
        node_id: String = text(1),
    }
}

fn list(cx: &Cx, _: Nothing) -> Result<NodeList, Error> {
    Ok(NodeList { ts: cx.gateway.sys.clock.now_ms(), nodes: rows(cx) })
}

fn describe(cx: &Cx, params: DescribeParams) -> Result<NodeRow, Error> {
    let id = given_id(&params.node_id)?;
    let node = rows(cx).into_iter().find(|node| node.node_id == id).ok_or_else(unknown)?;
    Ok(NodeRow { ts: Some(cx.gateway.sys.clock.now_ms()), ..node })
}

/// Paired devices that may be nodes, and connected nodes, in the order of `node.list`.
fn rows(cx: &Cx) -> Vec<NodeRow> {
    let gateway = &cx.gateway;
    let mut rows: Vec<NodeRow> = gateway.nodes.registry.list().iter().map(|node| live(cx, node)).collect();
    for device in gateway.stores.devices.paired() {
        if device.has_role(Role::Node.name()) && rows.iter().all(|row| row.node_id != device.device_id) {
            rows.push(away(&device));
        }
    }
    rows.sort_by_cached_key(|row| {
        let name = row.display_name.as_ref().unwrap_or(&row.node_id).to_lowercase();
        (!row.connected, name, row.node_id.clone())
    });
    rows
}

/// A node that is here: the name that its owner gave it counts most, then what it says of itself.
fn live(cx: &Cx, node: &Node) -> NodeRow {
    let (client, offer, stores) = (&node.peer.client, &node.peer.offer, &cx.gateway.stores);
    let device = stores.devices.get(&node.id).filter(|device| device.has_role(Role::Node.name()));
    let given = cx.gateway.given_name(&node.id);
    let stored = device.as_ref().map(away);
    let stored_of = |pick: fn(&NodeRow) -> Option<String>| stored.as_ref().and_then(pick);
    NodeRow {
        ts: None,
        node_id: node.id.clone(),
        display_name: given
            .or_else(|| client.display_name.clone())
            .or_else(|| stored_of(|stored| stored.display_name.clone())),
        platform: Some(client.platform.clone()),
        version: Some(client.version.clone()),
        device_family: client.device_family.clone(),
        model_identifier: client.model_identifier.clone(),
        remote_ip: node.peer.address.clone().or_else(|| stored_of(|stored| stored.remote_ip.clone())),
        caps: sorted(&offer.caps),
        commands: sorted(&node.commands),
        path_env: offer.path_env.clone(),
        permissions: offer.permissions.clone(),
        paired: device.is_some(),
        connected: true,
        connected_at_ms: Some(node.connected_at_ms),
    }
}

/// A node that isn't here.
fn away(device: &PairedDevice) -> NodeRow {
    NodeRow {
        ts: None,
        node_id: device.device_id.clone(),
        display_name: device.name().map(str::to_owned),
        platform: device.platform.clone(),
        version: None,
        device_family: None,
        model_identifier: None,
        remote_ip: device.remote_ip.clone(),
        caps: Vec::new(),
        commands: Vec::new(),
        path_env: None,
        permissions: None,
        paired: true,
        connected: false,
        connected_at_ms: None,
    }
}

fn sorted(names: &[String]) -> Vec<String> {
    let names: BTreeSet<&str> = names.iter().map(|name| name.trim()).filter(|name| !name.is_empty()).collect();
    names.into_iter().map(str::to_owned).collect()
}

/// A node id as it was meant.
///
/// # Errors
/// `nodeId required` for a blank one.
pub(super) fn given_id(text: &str) -> Result<&str, Error> {
    let id = text.trim();
    if id.is_empty() { Err(Error::invalid("nodeId required")) } else { Ok(id) }
}

fn unknown() -> Error {
    Error::invalid("unknown nodeId")
}

crate::wire! {
    /// Which node, and its new name.
    pub struct RenameParams {
        node_id: String = text(1),
        display_name: String = text_within(1, 1024),
    }

    /// The node with its new name.
    pub struct Renamed {
        node_id: String,
        display_name: String,
    }
}

async fn rename(cx: Cx, params: RenameParams) -> Result<Renamed, Error> {
    let gateway = &cx.gateway;
    let id = given_id(&params.node_id)?;
    let name = params.display_name.trim();
    if name.is_empty() {
        return Err(Error::invalid("displayName required"));
    }
    if name.chars().count() > DEVICE_TEXT_CHARS {
        return Err(Error::invalid(format!("displayName may have {DEVICE_TEXT_CHARS} characters")));
    }
    let stores = &gateway.stores;
    let is_device = stores.devices.get(id).is_some_and(|device| device.has_role(Role::Node.name()));
    let durable = if is_device && stores.devices.rename(id, name) {
        stores.devices.saved()
    } else if gateway.nodes.registry.find(id).is_some() || stores.node_names.find(id).is_some() {
        stores.node_names.set(id, name).map_err(|error| store_error(&error))?
    } else {
        return Err(unknown());
    };
    durable.await.map_err(|error| store_error(&error))?;
    Ok(Renamed { node_id: id.to_owned(), display_name: name.to_owned() })
}

crate::wire! {
    /// What a node is asked to do.
    pub struct InvokeParams {
        /// Exact id, as `node.list` has it.
        node_id: String = text(1),
        command: String = text(1),
        /// Passed on; a claim in them that somebody has approved a command is checked.
        #[serde(default)]
        params: Clearable<Value> = Kind::Any,
        /// How long the node has, 30,000 by default; 0 doesn't wait.
        timeout_ms: Option<u64> = int(0),
        /// The same key for the same question gets the same answer.
        idempotency_key: String = text_within(1, RUN_ID_CHARS),
    }

    /// What the node answered.
    pub struct Invoked {
        ok: bool,
        node_id: String,
        command: String,
        /// The result; read from `payloadJSON` if that was given.
        payload: Option<Box<RawValue>>,
        /// The result as the node wrote it, or null.
        payload_j_s_o_n: Value,
    }
}

async fn invoke(cx: Cx, params: InvokeParams) -> Result<Rc<RawValue>, Error> {
    let (node_id, command) = (params.node_id.trim().to_owned(), params.command.trim().to_owned());
    if node_id.is_empty() || command.is_empty() {
        return Err(Error::invalid("nodeId and command required"));
    }
    let question = Question {
        node_id: node_id.clone(),
        command: command.clone(),
        params: match params.params {
            Clearable::Keep => None,
            Clearable::Clear => Some(Value::Null),
            Clearable::Set(value) => Some(value),
        },
        timeout_ms: params.timeout_ms,
        idempotency_key: Some(params.idempotency_key.clone()),
    };
    let bytes_max = cx.gateway.limits.max_buffered_bytes / 2;
    let result = move |answer: &NodeAnswer| {
        let invoked = Invoked {
            ok: true,
            node_id: node_id.clone(),
            command: command.clone(),
            payload: answer.result(),
            payload_j_s_o_n: answer.payload_text.clone().map_or(Value::Null, Value::from),
        };
        // Our own types always have a JSON form.
        let json = serde_json::value::to_raw_value(&invoked).unwrap_or_default();
        fits(json, bytes_max)
    };
    cx.gateway.invoke(&question, &params.idempotency_key, result).await
}

/// A result that is too large for the caller's outbox is refused in words, with room for the frame.
fn fits(json: Box<RawValue>, bytes_max: u64) -> Result<Box<RawValue>, Error> {
    const FRAME: u64 = 1024;
    let size = json.get().len() as u64;
    if size + FRAME <= bytes_max {
        return Ok(json);
    }
    Err(Error::unavailable(format!(
        "the node's answer makes a reply of {size} bytes, more than half of policy.maxBufferedBytes ({bytes_max}); ask the node for less"
    )))
}
