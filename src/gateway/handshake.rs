//! A connection before its hello-ok: a machine fed with its first frame.
//!
//! The order of checks is that of connection.md 2.5. The machine touches no socket: it is given what
//! is known about the connection and answers with a verdict, which `net/ws.rs` carries out.

use serde_json::Value;

use super::auth::Auth;
use super::identity::{self, Flaw, Proven};
use crate::config::network;
use crate::error::{Code, Error};
use crate::limits::SIGNATURE_SKEW_MS;
use crate::stores::DeviceStore;
use crate::wire::handshake::{Connect, Device, Role, Way};
use crate::wire::{DIALECTS, Dialect};

/// What the transport knows about a connection.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The address that counts: the socket's, or the one that a trusted proxy names.
    pub address: String,
    /// Whether the connection comes from this machine without a proxy in between.
    pub is_local: bool,
    /// Whether forwarding headers came from an address that isn't a trusted proxy.
    pub untrusted_proxy: bool,
    /// Whether a web page asks (there is an `Origin` header).
    pub is_browser: bool,
    /// What a Tailscale proxy on this machine says about the client, still to be verified.
    pub tailscale: Option<TailscaleClaim>,
}

impl Origin {
    /// Whether it is a program on this machine: only then may a signature do without the nonce, and a
    /// device be let in without anybody's approval.
    #[must_use]
    pub fn is_own_program(&self) -> bool {
        self.is_local && !self.is_browser
    }
}

/// Headers of Tailscale Serve (connection.md 3.3). Anybody on this machine can forge them, so they
/// count only when the Tailscale daemon says the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TailscaleClaim {
    /// The address in the tailnet.
    pub address: String,
    /// The login that the header names.
    pub login: String,
}

/// What a connection was sent to sign.
#[derive(Debug, Clone)]
pub struct Challenge {
    /// Never the same twice.
    pub nonce: String,
    /// The gateway's wall time as the challenge says it, ms since the epoch.
    pub at_ms: u64,
}

/// What a first frame is judged by.
#[derive(Debug)]
pub struct Scene<'a> {
    /// Where the connection comes from.
    pub origin: &'a Origin,
    /// The challenge that it was sent.
    pub challenge: Option<&'a Challenge>,
    /// The guard with the shared secret.
    pub auth: &'a Auth,
    /// Devices and their tokens.
    pub devices: &'a DeviceStore,
    /// The Tailscale login that the daemon has confirmed.
    pub tailscale_login: Option<&'a str>,
    /// Whether a control page without secure context may do without a device.
    pub insecure_control_ui: bool,
    /// Monotonic time, ms.
    pub now_ms: u64,
    /// Wall time, ms since the epoch.
    pub wall_ms: u64,
    /// Whether the wall clock can be right.
    pub is_clock_set: bool,
}

/// What becomes of a first frame.
#[derive(Debug)]
pub enum Verdict {
    /// Who asks is known; what is left is whether the device is paired (row 17).
    Known(Box<Known>),
    /// Go away: the frame to send first, the close code and reason.
    Refuse {
        /// The response that says why, where the reference sends one.
        reply: Option<Vec<u8>>,
        /// Close code.
        code: u16,
        /// Close reason.
        reason: String,
    },
}

/// A client whose handshake and credentials were right.
#[derive(Debug)]
pub struct Known {
    /// How the protocol looks on this connection.
    pub dialect: &'static dyn Dialect,
    /// What was asked.
    pub connect: Connect,
    /// The role that it may have.
    pub role: Role,
    /// The scopes that it may have.
    pub scopes: Vec<String>,
    /// The device that it proved to be.
    pub device: Option<Proven>,
    /// What opened the door.
    pub way: Way,
}

/// Scopes of an operator who asks for none, natively (connection.md 2.2).
pub const DEFAULT_SCOPE: &str = "operator.admin";
/// All scopes, as a guide client is told it has them.
pub const ALL_SCOPES: [&str; 5] =
    ["operator.admin", "operator.approvals", "operator.pairing", "operator.read", "operator.write"];

/// Judges a first frame: rows 1 to 16.
#[must_use]
pub fn judge(text: &str, scene: &Scene<'_>) -> Verdict {
    let close = |code, reason: &str| Verdict::Refuse { reply: None, code, reason: reason.to_owned() };
    let Ok(first) = serde_json::from_str::<Value>(text) else {
        return close(1000, "");
    };
    let Value::Object(first) = first else {
        return close(1008, "invalid request frame");
    };
    let opened = DIALECTS.iter().find_map(|dialect| Some((*dialect, dialect.open(&first)?)));
    let Some((dialect, opened)) = opened else {
        return close(1008, "invalid request frame");
    };
    let connect = match opened {
        Ok(connect) => connect,
        Err(refused) => {
            let reply = refused.reply.map(|(id, error)| dialect.reply(&id, Err(&error)));
            return Verdict::Refuse { reply, code: refused.code, reason: refused.reason };
        }
    };
    match check(dialect.protocol(), &connect, scene) {
        Ok((role, device, way, token_scopes)) => {
            let scopes = token_scopes.unwrap_or_else(|| scopes(&connect, role));
            Verdict::Known(Box::new(Known { dialect, connect, role, scopes, device, way }))
        }
        Err((error, code)) => {
            Verdict::Refuse { reply: Some(dialect.reply(&connect.id, Err(&error))), code, reason: error.message }
        }
    }
}

/// What the rows find out: role, device, what opened the door, and the scopes where a token settles them.
type Found = (Role, Option<Proven>, Way, Option<Vec<String>>);

/// Rows 5 to 16. Row 7 can't occur: this gateway has no mode without authentication.
fn check(protocol: u32, connect: &Connect, scene: &Scene<'_>) -> Result<Found, (Error, u16)> {
    if connect.max_protocol < protocol || connect.min_protocol > protocol {
        let details = serde_json::json!({"expectedProtocol": protocol});
        return Err((Error::invalid("protocol mismatch").with_details(details), 1002));
    }
    let refused = |error| (error, 1008);
    let role = connect.role.clone().map_err(|_| refused(Error::invalid("invalid role")))?;
    let device = match &connect.device {
        Some(device) => Some(proof(device, connect, role, scene).map_err(refused)?),
        None => {
            device_less(connect, role, scene).map_err(refused)?;
            None
        }
    };
    let (way, scopes) = credentials(connect, role, device.as_ref(), scene).map_err(refused)?;
    Ok((role, device, way, scopes))
}

/// Rows 8 and 9: who may do without a device. Whether the credentials are right is row 16's business.
fn device_less(connect: &Connect, role: Role, scene: &Scene<'_>) -> Result<(), Error> {
    let shows_secret = !connect.credentials.is_empty();
    if connect.client.id == CONTROL_UI && !(scene.insecure_control_ui && shows_secret) {
        return Err(Error::invalid("control ui requires HTTPS or localhost (secure context)"));
    }
    if (connect.device_expected && !shows_secret) || role == Role::Device {
        return Err(Error::new(Code::NotPaired, "device identity required"));
    }
    Ok(())
}

/// Rows 10 to 15.
fn proof(device: &Device, connect: &Connect, role: Role, scene: &Scene<'_>) -> Result<Proven, Error> {
    let of_flaw = |flaw| match flaw {
        Flaw::Mismatch => Error::invalid("device identity mismatch"),
        Flaw::Signature => Error::invalid("device signature invalid"),
    };
    let key = identity::key_of(device).map_err(of_flaw)?;
    if !is_timely(device, scene) {
        let hint = "the clocks of this device and the gateway differ; set the one that is wrong";
        let details = serde_json::json!({"gatewayTimeMs": scene.wall_ms, "maxSkewMs": SIGNATURE_SKEW_MS, "hint": hint});
        return Err(Error::invalid("device signature expired").with_details(details));
    }
    match device.nonce.as_deref().map(str::trim).filter(|nonce| !nonce.is_empty()) {
        None if !scene.origin.is_own_program() && scene.tailscale_login.is_none() => {
            let details = serde_json::json!({"hint": NONCE_HINT});
            return Err(Error::invalid("device nonce required").with_details(details));
        }
        Some(nonce) if scene.challenge.is_none_or(|challenge| challenge.nonce != nonce) => {
            return Err(Error::invalid("device nonce mismatch"));
        }
        _ => {}
    }
    identity::prove(device, &key, connect, role).map_err(of_flaw)
}

/// Whether a signature is of now. It may be dated by the challenge, whatever the clock has done since. A signed nonce
/// of this connection proves it without any date, which has to do while nobody has set the gateway's clock.
fn is_timely(device: &Device, scene: &Scene<'_>) -> bool {
    let is_near = |time_ms: u64| time_ms.abs_diff(device.signed_at) <= SIGNATURE_SKEW_MS;
    let is_answer = |challenge: &Challenge| device.nonce.as_deref().map(str::trim) == Some(challenge.nonce.as_str());
    is_near(scene.wall_ms)
        || scene
            .challenge
            .is_some_and(|challenge| is_answer(challenge) && (is_near(challenge.at_ms) || !scene.is_clock_set))
}

/// Row 16: Tailscale identity, a device's token, or the shared secret (connection.md 3.2).
fn credentials(
    connect: &Connect,
    role: Role,
    device: Option<&Proven>,
    scene: &Scene<'_>,
) -> Result<(Way, Option<Vec<String>>), Error> {
    // An identity of the tailnet is a person's; which of their devices this is, only a key can say.
    if let (Some(login), Some(_)) = (scene.tailscale_login, device) {
        return Ok((Way::Tailscale(login.to_owned()), None));
    }
    let by_token = || {
        let (device, token) = (device?, connect.credentials.token.as_ref()?);
        let granted = scene.devices.token_scopes(&device.device_id, role.name(), token.expose())?;
        match connect.scopes.is_empty() {
            // Asking for nothing means what the token gives, not the default of the shared secret.
            true => Some(granted),
            false => crate::stores::devices::covers(&granted, &connect.scopes).then(|| connect.scopes.clone()),
        }
    };
    let granted = scene.auth.check(
        &connect.client,
        &connect.credentials,
        &party(&scene.origin.address),
        scene.now_ms,
        by_token,
    )?;
    Ok(match granted {
        Some(scopes) => (Way::DeviceToken, Some(if role == Role::Node { Vec::new() } else { scopes })),
        None => (Way::SharedSecret, None),
    })
}

/// Program id of the control page, which must prove a device (row 8).
pub const CONTROL_UI: &str = "clawdbot-control-ui";
/// What a client that signed no nonce should do.
const NONCE_HINT: &str = "sign the nonce of the connect.challenge event; the gateway sends it on path /";

/// What failures are counted by.
#[must_use]
pub fn party(address: &str) -> String {
    address.parse().map_or_else(|_| address.to_owned(), |address| network::party(address).to_string())
}

/// With the shared secret, a client gets what it asks for; asking for nothing means everything.
fn scopes(connect: &Connect, role: Role) -> Vec<String> {
    if role != Role::Operator {
        return Vec::new();
    }
    if !connect.scopes.is_empty() {
        return connect.scopes.clone();
    }
    if connect.device_expected {
        return vec![DEFAULT_SCOPE.to_owned()];
    }
    ALL_SCOPES.iter().map(|&scope| scope.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::auth::Required;
    use super::*;
    use crate::secret::Secret;
    use serde_json::json;

    fn verdict(first: &Value) -> Verdict {
        verdict_of_text(&first.to_string())
    }

    fn verdict_of_text(text: &str) -> Verdict {
        let auth = Auth::new(Required::Token(Secret::new("secret-token")), 10);
        let bench = crate::stores::bench::Bench::new(1);
        let devices = DeviceStore::load(&bench.sys, &bench.saver, std::path::Path::new("/s")).unwrap();
        let origin = Origin {
            address: "127.0.0.1".into(),
            is_local: true,
            untrusted_proxy: false,
            is_browser: false,
            tailscale: None,
        };
        judge(
            text,
            &Scene {
                origin: &origin,
                challenge: None,
                auth: &auth,
                devices: &devices,
                tailscale_login: None,
                insecure_control_ui: false,
                now_ms: 0,
                wall_ms: 0,
                is_clock_set: true,
            },
        )
    }

    fn refusal(verdict: Verdict) -> (Option<Value>, u16, String) {
        match verdict {
            Verdict::Refuse { reply, code, reason } => {
                (reply.map(|reply| serde_json::from_slice(&reply).unwrap()), code, reason)
            }
            Verdict::Known(_) => panic!("let in"),
        }
    }

    fn native(changes: &Value) -> Value {
        let mut params = json!({
            "minProtocol": 3, "maxProtocol": 3, "auth": {"token": "secret-token"},
            "client": {"id": "cli", "version": "1", "platform": "linux", "mode": "cli"},
        });
        for (key, value) in changes.as_object().unwrap() {
            params[key] = value.clone();
        }
        json!({"type": "req", "id": "c1", "method": "connect", "params": params})
    }

    fn guide(changes: &Value) -> Value {
        let mut first = json!({
            "minProtocol": 1, "maxProtocol": 3, "client": {"id": "my-app", "mode": "operator"},
            "auth": {"token": "secret-token"},
        });
        for (key, value) in changes.as_object().unwrap() {
            first[key] = value.clone();
        }
        first
    }

    #[test]
    fn both_dialects_are_told_apart_by_the_first_frame() {
        for (first, name, scopes) in [(native(&json!({})), "native", 1), (guide(&json!({})), "guide", 5)] {
            let Verdict::Known(known) = verdict(&first) else { panic!("refused: {first}") };
            assert_eq!((known.dialect.name(), known.scopes.len()), (name, scopes));
        }
    }

    #[test]
    fn refusals_come_in_the_documented_order() {
        // Each row also breaks all later rules, which must not show.
        let broken = |changes: Value| {
            let mut all = json!({"role": "x", "minProtocol": 9, "maxProtocol": 9, "auth": {"token": "wrong"}});
            for (key, value) in changes.as_object().unwrap() {
                all[key] = value.clone();
            }
            refusal(verdict(&native(&all)))
        };
        let (reply, code, reason) = broken(json!({"zz": 1}));
        assert_eq!((code, reason.as_str()), (1008, "invalid connect params: at root: unexpected property 'zz'"));
        assert_eq!(reply.unwrap()["id"], "c1");
        let (reply, code, reason) = broken(json!({}));
        assert_eq!((code, reason.as_str()), (1002, "protocol mismatch"));
        assert_eq!(reply.unwrap()["error"]["details"], json!({"expectedProtocol": 3}));
        let (_, code, reason) = broken(json!({"minProtocol": 1, "maxProtocol": 4}));
        assert_eq!((code, reason.as_str()), (1008, "invalid role"));
        let (reply, ..) = broken(json!({"minProtocol": 1, "maxProtocol": 4, "role": "operator", "auth": {}}));
        assert_eq!(reply.unwrap()["error"]["code"], "NOT_PAIRED");
        let (reply, _, reason) = broken(json!({"minProtocol": 1, "maxProtocol": 4, "role": "node"}));
        assert!(reason.starts_with("unauthorized: gateway token mismatch"), "{reason}");
        assert_eq!(reply.unwrap()["error"]["retryable"], false);
    }

    #[test]
    fn frames_that_are_no_handshake_are_closed_without_an_answer() {
        assert_eq!(refusal(verdict_of_text("hello")), (None, 1000, String::new()));
        for text in ["[]", "{}", r#"{"type":"res","id":"1","ok":true}"#, r#"{"type":"req","id":"1"}"#] {
            assert_eq!(refusal(verdict_of_text(text)), (None, 1008, "invalid request frame".into()), "{text}");
        }
        let (reply, _, reason) = refusal(verdict(&json!({"type": "req", "id": "1", "method": "health"})));
        assert_eq!(reason, "invalid handshake: first request must be connect");
        assert_eq!(reply.unwrap()["ok"], false);
    }

    #[test]
    fn a_guide_client_without_credentials_hears_what_is_missing() {
        let (reply, code, _) = refusal(verdict(&guide(&json!({"auth": {}}))));
        assert_eq!(code, 1008);
        let error = &reply.unwrap()["error"];
        assert_eq!(error["message"], "unauthorized: gateway token missing (provide gateway auth token)");
    }
}
