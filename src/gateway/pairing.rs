//! Whether a device may come in, and who is told when it may not (connection.md 2.5 row 17, 3.6).

use std::rc::Rc;

use serde_json::json;

use super::Gateway;
use super::handshake::{self, CONTROL_UI, Challenge, Known, Origin, Scene, Verdict};
use super::identity::Proven;
use super::post::store_error;
use crate::error::{Code, Error};
use crate::events::{DEVICE_PAIR_REQUESTED, DEVICE_PAIR_RESOLVED, Peer};
use crate::limits::DEVICE_TEXT_CHARS;
use crate::secret::Secret;
use crate::stores::devices::{Full, Need, PairedDevice, PairingRequest};
use crate::wire::handshake::{Grant, Issued, Offer, Role, Way};

/// How a request to pair ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The device may come in.
    Approved,
    /// It may not; it can ask again.
    Rejected,
}

impl Decision {
    /// The word on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Rejected => "rejected",
        }
    }
}

/// What a connection may do, once its device is paired.
#[derive(Debug)]
pub struct Cleared {
    /// Role, scopes and token.
    pub grant: Grant,
    /// Of what a node brings, what was approved.
    pub offer: Offer,
}

/// What becomes of a first frame.
#[derive(Debug)]
pub enum Entrance {
    /// Come in.
    Open {
        /// Who it is.
        known: Box<Known>,
        /// What it may do.
        cleared: Cleared,
    },
    /// Go away: the response that says why, where the reference sends one; close code and reason.
    Refused {
        /// The response.
        reply: Option<Vec<u8>>,
        /// Close code.
        code: u16,
        /// Close reason.
        reason: String,
    },
}

impl Gateway {
    /// Judges a first frame, all rows of connection.md 2.5.
    pub async fn receive(self: &Rc<Self>, text: &str, challenge: Option<&Challenge>, origin: &Origin) -> Entrance {
        let config = self.config.get();
        let claim = origin.tailscale.as_ref().filter(|_| config.gateway.allow_tailscale);
        let tailscale_login = match claim {
            Some(claim) => self.tailscale.confirm(&self.sys, claim).await,
            None => None,
        };
        let verdict = handshake::judge(
            text,
            &Scene {
                origin,
                challenge,
                auth: &self.auth,
                devices: &self.stores.devices,
                tailscale_login: tailscale_login.as_deref(),
                insecure_control_ui: config.gateway.insecure_control_ui,
                now_ms: self.uptime_ms(),
                wall_ms: self.sys.clock.now_ms(),
                is_clock_set: self.is_clock_set(),
            },
        );
        match verdict {
            Verdict::Refuse { reply, code, reason } => Entrance::Refused { reply, code, reason },
            Verdict::Known(known) => match self.clear(&known, origin).await {
                Ok(cleared) => Entrance::Open { known, cleared },
                Err(error) => {
                    let reply = Some(known.dialect.reply(&known.connect.id, Err(&error)));
                    Entrance::Refused { reply, code: 1008, reason: error.message }
                }
            },
        }
    }

    /// Row 17: lets a device in that is paired for what it asks, or one that may be paired without
    /// asking anybody; everybody else has to wait for an approval. What it says about the device is
    /// durable when this returns.
    ///
    /// # Errors
    /// `NOT_PAIRED` `pairing required`, with the request's id, the reason, and the command that approves
    /// it; `UNAVAILABLE` when too many wait or the disk takes nothing.
    pub async fn clear(self: &Rc<Self>, known: &Known, origin: &Origin) -> Result<Cleared, Error> {
        let grant = Grant { role: known.role, scopes: known.scopes.clone(), way: known.way.clone(), token: None };
        let offer = known.connect.offer.clone();
        let Some(proven) = &known.device else { return Ok(Cleared { grant, offer }) };
        let is_insecure_page = known.connect.client.id == CONTROL_UI
            && self.config.get().gateway.insecure_control_ui
            && known.way == Way::SharedSecret
            && known.role == Role::Operator;
        let devices = &self.stores.devices;
        let request = self.request_of(known, proven, origin);
        // Who holds the shared secret in a program on this machine can do everything anyway. A revocation
        // is an owner's word, which a restart of the same program must not undo.
        let need = match known.role {
            Role::Device => devices.get(&proven.device_id).is_none().then_some(Need::NotPaired),
            _ => devices.need(&proven.device_id, known.role.name(), &known.scopes),
        };
        let may_pair_itself = origin.is_own_program() && known.way == Way::SharedSecret;
        match need {
            Some(need) if is_insecure_page && need != Need::Revoked => return Ok(Cleared { grant, offer }),
            Some(need) if may_pair_itself && need != Need::Revoked => self.pair_silently(&request)?,
            Some(need) => return Err(self.pairing_required(request, need).await),
            None => {}
        }
        if known.role == Role::Device {
            devices.saved().await.map_err(|error| store_error(&error))?;
            return Ok(Cleared { grant, offer });
        }
        let by_token = known.way == Way::DeviceToken;
        let token = devices.connected(&proven.device_id, &request, self.fresh_token(), by_token);
        let offer = self.approved_offer(request, offer, may_pair_itself);
        devices.saved().await.map_err(|error| store_error(&error))?;
        // While that was written, the owner may have taken it back; the connection was in no list yet.
        if let Some(need) = devices.need(&proven.device_id, known.role.name(), &known.scopes) {
            return Err(self.pairing_required(self.request_of(known, proven, origin), need).await);
        }
        let token =
            token.map(|token| Issued { issued_at_ms: token.issued_at_ms(), token: token.token, scopes: token.scopes });
        Ok(Cleared { grant: Grant { token, ..grant }, offer })
    }

    fn request_of(&self, known: &Known, proven: &Proven, origin: &Origin) -> PairingRequest {
        let client = &known.connect.client;
        let is_node = known.role == Role::Node;
        let brought = |names: &[String]| if is_node { trimmed(names) } else { Vec::new() };
        PairingRequest {
            request_id: self.sys.chance.uuid(),
            device_id: proven.device_id.clone(),
            public_key: proven.public_key.clone(),
            display_name: client.display_name.as_deref().map(cut),
            platform: Some(cut(&client.platform)),
            client_id: Some(cut(&client.id)),
            client_mode: Some(cut(&client.mode)),
            role: known.role.name().to_owned(),
            roles: vec![known.role.name().to_owned()],
            scopes: known.scopes.clone(),
            remote_ip: (!origin.untrusted_proxy).then(|| origin.address.clone()),
            silent: false,
            is_repair: self.stores.devices.get(&proven.device_id).is_some(),
            reason: None,
            caps: brought(&known.connect.offer.caps),
            commands: brought(&known.connect.offer.commands),
            ts: self.sys.clock.now_ms(),
        }
    }

    fn pair_silently(&self, request: &PairingRequest) -> Result<(), Error> {
        self.stores.devices.approve(request, self.fresh_token(), request.ts).map_err(full)?;
        log::info!("device {}: paired, it is on this machine", short(&request.device_id));
        self.tell_pairing(request, Decision::Approved);
        Ok(())
    }

    /// The refusal of a device that has to wait; its request is durable then.
    async fn pairing_required(&self, request: PairingRequest, need: Need) -> Error {
        let request = PairingRequest { reason: Some(need.name().to_owned()), ..request };
        let request = match self.ask(request) {
            Ok(request) => request,
            Err(error) => return error,
        };
        if let Err(error) = self.stores.devices.saved().await {
            return store_error(&error);
        }
        Error::new(Code::NotPaired, "pairing required").with_details(json!({
            "requestId": request.request_id,
            "reason": request.reason,
            "approve": format!("barnacle devices approve {}", request.request_id),
        }))
    }

    fn ask(&self, request: PairingRequest) -> Result<PairingRequest, Error> {
        let (request, is_new) = self.stores.devices.ask(request).map_err(full)?;
        if is_new {
            let name = request.display_name.as_deref().or(request.client_id.as_deref()).unwrap_or_default();
            log::warn!(
                "device {} ({name:?}, role {}) waits for approval: barnacle devices approve {}",
                short(&request.device_id),
                request.role,
                request.request_id
            );
            self.hub.emit_json(&DEVICE_PAIR_REQUESTED, &request);
        }
        Ok(request)
    }

    /// Reduces what a node brings to what was approved with it. For new commands an approval is asked,
    /// unless the node may pair itself; it may come in without them.
    fn approved_offer(&self, request: PairingRequest, offer: Offer, may_pair_itself: bool) -> Offer {
        if request.role != Role::Node.name() {
            return offer;
        }
        let is_new = |device: &PairedDevice| {
            let lacks = |have: &Option<Vec<String>>, names: &[String]| {
                have.as_ref().is_some_and(|have| names.iter().any(|name| !have.contains(name)))
            };
            lacks(&device.commands, &request.commands) || lacks(&device.caps, &request.caps)
        };
        let devices = &self.stores.devices;
        let device_id = request.device_id.clone();
        if devices.get(&device_id).is_some_and(|device| is_new(&device)) {
            let request = PairingRequest { reason: Some(Need::CommandUpgrade.name().to_owned()), ..request };
            let asked = if may_pair_itself {
                devices.approve(&request, self.fresh_token(), request.ts).map(drop).map_err(full)
            } else {
                self.ask(request).map(drop)
            };
            if let Err(error) = asked {
                log::warn!("device {}: {error}", short(&device_id));
            }
        }
        let Some(device) = devices.get(&device_id) else { return Offer::default() };
        let approved = |names: Vec<String>, have: Option<Vec<String>>| {
            let have = have.unwrap_or_default();
            trimmed(&names).into_iter().filter(|name| have.contains(name)).collect()
        };
        Offer { caps: approved(offer.caps, device.caps), commands: approved(offer.commands, device.commands), ..offer }
    }

    /// Tells those who may pair how a request ended.
    pub fn tell_pairing(&self, request: &PairingRequest, decision: Decision) {
        self.hub.emit_json(
            &DEVICE_PAIR_RESOLVED,
            &json!({
                "requestId": request.request_id,
                "deviceId": request.device_id,
                "decision": decision.name(),
                "ts": self.sys.clock.now_ms(),
            }),
        );
    }

    /// A token that nobody can guess (connection.md 3.5).
    #[must_use]
    pub fn fresh_token(&self) -> Secret {
        Secret::new(self.sys.chance.hex::<16>())
    }

    /// Closes connections of a device that `is_affected` names. The caller's own is closed after its answer.
    pub fn close_device(&self, device_id: &str, caller: &Rc<Peer>, reason: &str, is_affected: impl Fn(&Peer) -> bool) {
        for peer in self.hub.peers() {
            if peer.device_id.as_deref() != Some(device_id) || !is_affected(&peer) {
                continue;
            }
            if peer.id != caller.id {
                peer.outbox.close(1008, reason);
                continue;
            }
            let reason = reason.to_owned();
            self.sys.tasks.detach(async move {
                smol::future::yield_now().await;
                peer.outbox.close(1008, &reason);
            });
        }
    }
}

/// A full store of pairings as clients see it.
#[must_use]
pub fn full(full: Full) -> Error {
    match full {
        Full::Pending(bound) => {
            Error::unavailable(format!("{bound} pairing requests are waiting already; approve or reject some"))
                .retry_after(crate::limits::PAIRING_TTL_MS)
        }
        Full::Record(bound) => Error::invalid(format!(
            "scopes, caps and commands of a device take more than the {bound} bytes that are kept of them"
        )),
        Full::Paired(bound) => Error::unavailable(format!("{bound} devices are paired already; remove some")),
    }
}

/// Enough of a device's id for a log line.
fn short(device_id: &str) -> &str {
    device_id.get(..12).unwrap_or(device_id)
}

/// A text that a stranger sent, as far as it is kept.
fn cut(text: &str) -> String {
    text.chars().take(DEVICE_TEXT_CHARS).collect()
}

fn trimmed(names: &[String]) -> Vec<String> {
    let mut out: Vec<String> =
        names.iter().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
    out.sort();
    out.dedup();
    out
}
