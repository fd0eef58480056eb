//! `node.pair.*` and the guide's `nodes.pair.*` (connection.md 6.6).
//!
//! One view over two stores: nodes of the older transport, and the phones that really wait to connect,
//! which are devices with role `node`.

use serde_json::{Value, json};

use super::devices;
use crate::error::Error;
use crate::events::{NODE_PAIR_REQUESTED, NODE_PAIR_RESOLVED};
use crate::gateway::pairing::{Decision, full};
use crate::gateway::post::store_error;
use crate::later;
use crate::rpc::{Cx, Method};
use crate::stores::devices::{PairedDevice, PairingRequest};
use crate::stores::node_pairs::{NodeFacts, NodeRequest, PairedNode};
use crate::wire::Access;
use crate::wire::handshake::{SHORT, STRINGS};
use crate::wire::shape::text;

/// Rows.
pub const METHODS: &[Method] = &[
    Method {
        name: "node.pair.request",
        aliases: &[],
        access: Access::Pairing,
        listed: true,
        doc: "Asks to pair a node of the older transport, on its behalf.",
        handler: later!(request),
    },
    Method {
        name: "node.pair.list",
        aliases: &["nodes.pair.list"],
        access: Access::Pairing,
        listed: true,
        doc: "Lists nodes that wait for approval and nodes that are paired, phones that wait to connect included.",
        handler: later!(list),
    },
    Method {
        name: "node.pair.approve",
        aliases: &["nodes.pair.approve"],
        access: Access::Pairing,
        listed: true,
        doc: "Approves a waiting node or phone.",
        handler: later!(approve),
    },
    Method {
        name: "node.pair.reject",
        aliases: &["nodes.pair.reject"],
        access: Access::Pairing,
        listed: true,
        doc: "Rejects a waiting node or phone; it may ask again.",
        handler: later!(reject),
    },
    Method {
        name: "node.pair.verify",
        aliases: &[],
        access: Access::Pairing,
        listed: true,
        doc: "Tells whether a token belongs to a paired node of the older transport.",
        handler: later!(verify),
    },
];

crate::wire! {
    /// What a node says about itself.
    pub struct PairParams {
        node_id: String = SHORT,
        display_name: Option<String> = SHORT,
        platform: Option<String> = SHORT,
        version: Option<String> = SHORT,
        core_version: Option<String> = SHORT,
        ui_version: Option<String> = SHORT,
        device_family: Option<String> = SHORT,
        model_identifier: Option<String> = SHORT,
        caps: Option<Vec<String>> = STRINGS,
        commands: Option<Vec<String>> = STRINGS,
        remote_ip: Option<String> = SHORT,
        /// Only stored.
        silent: Option<bool>,
    }

    /// Whose token.
    pub struct VerifyParams {
        node_id: String = text(1),
        token: String = text(1),
    }
}

async fn request(cx: Cx, params: PairParams) -> Result<Value, Error> {
    let node_id = params.node_id.trim().to_owned();
    if node_id.is_empty() {
        return Err(Error::invalid("nodeId required"));
    }
    let request = NodeRequest {
        request_id: cx.gateway.sys.chance.uuid(),
        node_id,
        facts: NodeFacts {
            display_name: params.display_name,
            platform: params.platform,
            version: params.version,
            core_version: params.core_version,
            ui_version: params.ui_version,
            device_family: params.device_family,
            model_identifier: params.model_identifier,
            caps: params.caps,
            commands: params.commands,
            remote_ip: params.remote_ip,
        },
        silent: params.silent,
        is_repair: false,
        ts: cx.gateway.sys.clock.now_ms(),
    };
    let nodes = &cx.gateway.stores.node_pairs;
    let (request, created) = nodes.ask(request).map_err(full)?;
    nodes.saved().await.map_err(|error| store_error(&error))?;
    if created {
        cx.gateway.hub.emit_json(&NODE_PAIR_REQUESTED, &request);
    }
    Ok(json!({"status": "pending", "request": request, "created": created}))
}

async fn list(cx: Cx, _: devices::NoParams) -> Result<Value, Error> {
    let stores = &cx.gateway.stores;
    let now_ms = cx.gateway.sys.clock.now_ms();
    let phones = stores.devices.pending(now_ms).into_iter().filter(is_phone);
    let mut pending: Vec<(u64, Value)> = phones.map(|request| (request.ts, shown_request(&request))).collect();
    pending.extend(stores.node_pairs.pending(now_ms).iter().map(|request| (request.ts, json!(request))));
    let phones = stores.devices.paired().into_iter().filter(|device| device.has_role("node"));
    let mut paired: Vec<(u64, Value)> = phones.map(|device| (device.approved_at_ms, shown_device(&device))).collect();
    paired.extend(stores.node_pairs.paired().iter().map(|node| (node.approved_at_ms, without_token(node))));
    let newest_first = |mut rows: Vec<(u64, Value)>| {
        rows.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        rows.into_iter().map(|(_, row)| row).collect::<Vec<_>>()
    };
    Ok(json!({"pending": newest_first(pending), "paired": newest_first(paired)}))
}

async fn approve(cx: Cx, params: devices::RequestParams) -> Result<Value, Error> {
    if let Some(phone) = phone(&cx, &params.request_id) {
        let device = devices::let_in(&cx, &phone).await?;
        return Ok(json!({"requestId": phone.request_id, "node": shown_device(&device)}));
    }
    let nodes = &cx.gateway.stores.node_pairs;
    let now_ms = cx.gateway.sys.clock.now_ms();
    let node = nodes.approve(&params.request_id, cx.gateway.fresh_token(), now_ms).map_err(full)?;
    let node = node.ok_or_else(|| Error::invalid("unknown requestId"))?;
    nodes.saved().await.map_err(|error| store_error(&error))?;
    tell(&cx, &params.request_id, &node.node_id, Decision::Approved);
    // The one answer that has the token: whoever asked for the node hands it on.
    Ok(json!({"requestId": params.request_id, "node": node}))
}

async fn reject(cx: Cx, params: devices::RequestParams) -> Result<Value, Error> {
    if let Some(phone) = phone(&cx, &params.request_id) {
        let request = devices::turn_away(&cx, &phone).await?;
        return Ok(json!({"requestId": request.request_id, "nodeId": request.device_id}));
    }
    let nodes = &cx.gateway.stores.node_pairs;
    let request = nodes.reject(&params.request_id, cx.gateway.sys.clock.now_ms());
    let request = request.ok_or_else(|| Error::invalid("unknown requestId"))?;
    nodes.saved().await.map_err(|error| store_error(&error))?;
    tell(&cx, &request.request_id, &request.node_id, Decision::Rejected);
    Ok(json!({"requestId": request.request_id, "nodeId": request.node_id}))
}

async fn verify(cx: Cx, params: VerifyParams) -> Result<Value, Error> {
    let node = cx.gateway.stores.node_pairs.verify(params.node_id.trim(), &params.token);
    Ok(node.map_or_else(|| json!({"ok": false}), |node| json!({"ok": true, "node": without_token(&node)})))
}

fn tell(cx: &Cx, request_id: &str, node_id: &str, decision: Decision) {
    let ts = cx.gateway.sys.clock.now_ms();
    let payload = json!({"requestId": request_id, "nodeId": node_id, "decision": decision.name(), "ts": ts});
    cx.gateway.hub.emit_json(&NODE_PAIR_RESOLVED, &payload);
}

fn is_phone(request: &PairingRequest) -> bool {
    request.role == "node"
}

fn phone(cx: &Cx, request_id: &str) -> Option<PairingRequest> {
    devices::waiting(cx, request_id).ok().filter(is_phone)
}

/// A waiting device in the words of this store.
fn shown_request(request: &PairingRequest) -> Value {
    let mut shown = json!(request);
    if let Value::Object(fields) = &mut shown {
        fields.insert("nodeId".into(), request.device_id.as_str().into());
    }
    shown
}

/// A paired device in the words of this store. It gets its token when it connects, so nobody else has to.
fn shown_device(device: &PairedDevice) -> Value {
    let mut shown = json!({
        "nodeId": device.device_id,
        "deviceId": device.device_id,
        "createdAtMs": device.created_at_ms,
        "approvedAtMs": device.approved_at_ms,
    });
    let facts = [
        ("displayName", device.name().map(Value::from)),
        ("platform", device.platform.as_deref().map(Value::from)),
        ("caps", device.caps.as_deref().map(Value::from)),
        ("commands", device.commands.as_deref().map(Value::from)),
        ("remoteIp", device.remote_ip.as_deref().map(Value::from)),
    ];
    if let Value::Object(fields) = &mut shown {
        fields.extend(facts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    }
    shown
}

fn without_token(node: &PairedNode) -> Value {
    let mut shown = json!(node);
    if let Value::Object(fields) = &mut shown {
        fields.remove("token");
    }
    shown
}
