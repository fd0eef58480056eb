//! `device.*`: who may connect, and the tokens of those who may (connection.md 6.6).
//!
//! Nobody gives away more than they have: a request or token with scopes that the caller lacks is
//! refused. A token that ends takes its live connections with it.

use serde_json::{Value, json};

use crate::error::Error;
use crate::gateway::pairing::{Decision, full};
use crate::gateway::post::store_error;
use crate::later;
use crate::rpc::{Cx, Method};
use crate::stores::devices::{PairedDevice, PairingRequest, covers};
use crate::wire::Access;
use crate::wire::handshake::{Role, STRINGS, Way};
use crate::wire::shape::text;

/// Those of the reference.
pub const METHODS: &[Method] = &[
    Method {
        name: "device.pair.list",
        aliases: &[],
        access: Access::PairingOrOwnDevice,
        listed: true,
        doc: "Lists devices that wait for approval and devices that are paired, without their tokens.",
        handler: later!(list),
    },
    Method {
        name: "device.pair.approve",
        aliases: &[],
        access: Access::Pairing,
        listed: true,
        doc: "Lets a waiting device in with the role and scopes that it asked for; the caller must have these scopes.",
        handler: later!(approve),
    },
    Method {
        name: "device.pair.reject",
        aliases: &[],
        access: Access::Pairing,
        listed: true,
        doc: "Takes a waiting device's request away; it may ask again.",
        handler: later!(reject),
    },
    Method {
        name: "device.token.rotate",
        aliases: &[],
        access: Access::PairingOrOwnDevice,
        listed: true,
        doc: "Gives a device another token for a role and closes the connections that used the old one.",
        handler: later!(rotate),
    },
    Method {
        name: "device.token.revoke",
        aliases: &[],
        access: Access::PairingOrOwnDevice,
        listed: true,
        doc: "Ends a device's token for a role, closes its connections, and makes it ask for approval again.",
        handler: later!(revoke),
    },
];

/// Our own.
pub const REMOVAL: &[Method] = &[Method {
    name: "device.pair.remove",
    aliases: &[],
    access: Access::Pairing,
    listed: true,
    doc: "Forgets a paired device, ends its tokens and closes its connections.",
    handler: later!(remove),
}];

crate::wire! {
    /// No params.
    pub struct NoParams {}

    /// Which request.
    pub struct RequestParams {
        request_id: String = text(1),
    }

    /// Which device.
    pub struct DeviceParams {
        device_id: String = text(1),
    }

    /// Which token.
    pub struct TokenParams {
        device_id: String = text(1),
        /// `operator` or `node`.
        role: String = text(1),
    }

    /// Which token, and what the next one gives.
    pub struct RotateParams {
        device_id: String = text(1),
        /// `operator` or `node`.
        role: String = text(1),
        /// The old token's by default.
        scopes: Option<Vec<String>> = STRINGS,
    }
}

async fn list(cx: Cx, _: NoParams) -> Result<Value, Error> {
    let devices = &cx.gateway.stores.devices;
    let is_shown = |device_id: &str| cx.caller.grant.role != Role::Device || is_own(&cx, device_id);
    let mut pending = devices.pending(cx.gateway.sys.clock.now_ms());
    pending.retain(|request| is_shown(&request.device_id));
    let mut paired = devices.paired();
    paired.retain(|device| is_shown(&device.device_id));
    Ok(json!({"pending": pending, "paired": paired.iter().map(shown).collect::<Vec<_>>()}))
}

async fn approve(cx: Cx, params: RequestParams) -> Result<Value, Error> {
    let request = waiting(&cx, &params.request_id)?;
    let device = let_in(&cx, &request).await?;
    Ok(json!({"requestId": request.request_id, "device": shown(&device)}))
}

/// Approves a request within the caller's own scopes; durable when it returns.
pub(super) async fn let_in(cx: &Cx, request: &PairingRequest) -> Result<PairedDevice, Error> {
    may_give(cx, &request.scopes)?;
    let gateway = &cx.gateway;
    let devices = &gateway.stores.devices;
    let device = devices.approve(request, gateway.fresh_token(), gateway.sys.clock.now_ms()).map_err(full)?;
    devices.saved().await.map_err(|error| store_error(&error))?;
    gateway.tell_pairing(request, Decision::Approved);
    Ok(device)
}

async fn reject(cx: Cx, params: RequestParams) -> Result<Value, Error> {
    let request = turn_away(&cx, &waiting(&cx, &params.request_id)?).await?;
    Ok(json!({"requestId": request.request_id, "deviceId": request.device_id}))
}

/// Rejects a request; durable when it returns.
pub(super) async fn turn_away(cx: &Cx, request: &PairingRequest) -> Result<PairingRequest, Error> {
    let devices = &cx.gateway.stores.devices;
    let request = devices.reject(&request.request_id, cx.gateway.sys.clock.now_ms()).ok_or_else(unknown_request)?;
    devices.saved().await.map_err(|error| store_error(&error))?;
    cx.gateway.tell_pairing(&request, Decision::Rejected);
    Ok(request)
}

async fn remove(cx: Cx, params: DeviceParams) -> Result<Value, Error> {
    let devices = &cx.gateway.stores.devices;
    let device = devices.remove(&params.device_id).ok_or_else(|| Error::invalid("unknown deviceId"))?;
    devices.saved().await.map_err(|error| store_error(&error))?;
    cx.gateway.close_device(&device.device_id, &cx.caller, "device removed", |_| true);
    Ok(json!({"deviceId": device.device_id, "removedAtMs": cx.gateway.sys.clock.now_ms()}))
}

async fn rotate(cx: Cx, params: RotateParams) -> Result<Value, Error> {
    let RotateParams { device_id, role, scopes } = params;
    own_or_pairing(&cx, &device_id)?;
    let gateway = &cx.gateway;
    let devices = &gateway.stores.devices;
    let device = devices.get(&device_id).ok_or_else(unknown_token)?;
    let old = device.tokens.get(&role).map(|token| token.scopes.clone());
    let wanted = scopes.clone().or_else(|| old.clone()).unwrap_or_else(|| device.scopes.clone());
    // A device may have less for itself, never more; others may give what they have.
    match cx.caller.grant.role {
        Role::Device if covers(&old.unwrap_or_default(), &wanted) => {}
        Role::Device => return Err(Error::invalid("a device cannot widen its own scopes")),
        _ => may_give(&cx, &wanted)?,
    }
    let now_ms = gateway.sys.clock.now_ms();
    let token = devices
        .rotate(&device_id, &role, gateway.fresh_token(), scopes.as_deref(), now_ms)
        .ok_or_else(unknown_token)?;
    if let Err(error) = devices.saved().await {
        // The caller never sees the new token, so the old one has to go on.
        devices.put_back(&device);
        return Err(store_error(&error));
    }
    // The caller has the new token in a moment and may stay.
    gateway.close_device(&device_id, &cx.caller, "device token rotated", |peer| {
        peer.id != cx.caller.id && peer.grant.role.name() == role && peer.grant.way == Way::DeviceToken
    });
    Ok(json!({
        "deviceId": device_id, "role": role, "token": token.token.expose(), "scopes": token.scopes,
        "rotatedAtMs": token.issued_at_ms(),
    }))
}

async fn revoke(cx: Cx, params: TokenParams) -> Result<Value, Error> {
    let TokenParams { device_id, role } = params;
    own_or_pairing(&cx, &device_id)?;
    let gateway = &cx.gateway;
    let devices = &gateway.stores.devices;
    let now_ms = gateway.sys.clock.now_ms();
    if !devices.revoke(&device_id, &role, now_ms) {
        return Err(unknown_token());
    }
    // Whatever opened the door: the device is no longer trusted with that role.
    let saved = devices.saved().await;
    gateway.close_device(&device_id, &cx.caller, "device token revoked", |peer| peer.grant.role.name() == role);
    saved.map_err(|error| store_error(&error))?;
    let token = devices.get(&device_id).and_then(|device| device.tokens.get(&role).cloned());
    let revoked_at = token.and_then(|token| token.revoked_at_ms).unwrap_or(now_ms);
    Ok(json!({"deviceId": device_id, "role": role, "revokedAtMs": revoked_at}))
}

/// The waiting request with that id.
pub(super) fn waiting(cx: &Cx, request_id: &str) -> Result<PairingRequest, Error> {
    let now_ms = cx.gateway.sys.clock.now_ms();
    cx.gateway.stores.devices.request(request_id, now_ms).ok_or_else(unknown_request)
}

/// Refuses to give scopes that the caller doesn't have.
fn may_give(cx: &Cx, scopes: &[String]) -> Result<(), Error> {
    match scopes.iter().find(|scope| !cx.caller.has_scope(scope)) {
        Some(missing) => Err(Error::invalid(format!("missing scope: {missing}"))),
        None => Ok(()),
    }
}

/// The table lets every connection of role `device` in here; it may act on itself only.
fn own_or_pairing(cx: &Cx, device_id: &str) -> Result<(), Error> {
    if cx.caller.grant.role == Role::Device && !is_own(cx, device_id) {
        return Err(Error::invalid("missing scope: operator.pairing"));
    }
    Ok(())
}

fn is_own(cx: &Cx, device_id: &str) -> bool {
    cx.caller.device_id.as_deref() == Some(device_id)
}

fn unknown_request() -> Error {
    Error::invalid("unknown requestId")
}

fn unknown_token() -> Error {
    Error::invalid("unknown deviceId/role")
}

/// A device as others see it: its tokens as a list, without their texts.
fn shown(device: &PairedDevice) -> Value {
    let tokens: Vec<Value> = device
        .tokens
        .values()
        .map(|token| {
            let mut shown = serde_json::to_value(token).unwrap_or_default();
            if let Value::Object(fields) = &mut shown {
                fields.remove("token");
            }
            shown
        })
        .collect();
    let mut shown = serde_json::to_value(device).unwrap_or_default();
    if let Value::Object(fields) = &mut shown {
        fields.remove("tokens");
        if !tokens.is_empty() {
            fields.insert("tokens".into(), tokens.into());
        }
    }
    shown
}
