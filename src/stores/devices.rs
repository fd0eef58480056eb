//! Devices that may connect, and those that wait for it (connection.md 3.5 to 3.7).
//!
//! `devices/paired.json` and `devices/pending.json` in the field's format. Token texts are made by the
//! caller; nothing here decides who may approve what.

use std::path::Path;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use super::ledger::Ledger;
use super::{Durable, Saver, StoreError};
use crate::limits::{DEVICE_BYTES, DEVICES_FILE_BYTES, PAIRED_DEVICES, PAIRING_PENDING, PAIRING_TTL_MS};
use crate::secret::Secret;
use crate::sys::Sys;

/// `lastUsedAtMs` is written when it has moved by this much: an SD card doesn't need each connect.
const LAST_USED_STEP_MS: u64 = 60 * 60 * 1000;

/// A device that was let in (connection.md 3.7).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PairedDevice {
    /// SHA-256 of the public key, lower-case hex.
    pub device_id: String,
    /// Ed25519, base64url without padding.
    pub public_key: String,
    /// What it calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// What its owner calls it; ours beside the field's format.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Free text such as `ios 26.1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Program id of the last connect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Mode of the last connect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_mode: Option<String>,
    /// The last role used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// All approved roles.
    #[serde(default)]
    pub roles: Vec<String>,
    /// All approved scopes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Address of the last connect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_ip: Option<String>,
    /// Capability groups approved for a node; ours. `None` until its first connect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caps: Option<Vec<String>>,
    /// Commands approved for a node; ours. `None` until its first connect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commands: Option<Vec<String>>,
    /// By role.
    #[serde(default)]
    pub tokens: std::collections::BTreeMap<String, DeviceToken>,
    /// When it was first approved, milliseconds since the epoch.
    pub created_at_ms: u64,
    /// When it was last approved.
    pub approved_at_ms: u64,
    /// What others wrote there.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl PairedDevice {
    /// What people know it by.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.label.as_deref().or(self.display_name.as_deref())
    }

    /// Whether it was approved for that role.
    #[must_use]
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|have| have == role)
    }

    fn is_revoked(&self, role: &str) -> bool {
        self.tokens.get(role).is_some_and(|token| token.revoked_at_ms.is_some())
    }
}

/// A device's token for one role.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceToken {
    /// 32 lower-case hex digits.
    #[serde(serialize_with = "expose")]
    pub token: Secret,
    /// The role that it gives.
    pub role: String,
    /// The scopes that it gives, sorted.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// When the role got its first token.
    pub created_at_ms: u64,
    /// When this one replaced another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotated_at_ms: Option<u64>,
    /// When it was revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_at_ms: Option<u64>,
    /// When it was last used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_used_at_ms: Option<u64>,
    /// What others wrote there.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl DeviceToken {
    /// When this text was made (connection.md 3.5).
    #[must_use]
    pub fn issued_at_ms(&self) -> u64 {
        self.rotated_at_ms.unwrap_or(self.created_at_ms)
    }
}

/// The one place where a token's text leaves for the disk.
fn expose<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose())
}

/// A device that waits for approval, as it stands in `pending.json` and in `device.pair.requested`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of PairedDevice")]
pub struct PairingRequest {
    pub request_id: String,
    pub device_id: String,
    pub public_key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_mode: Option<String>,
    pub role: String,
    #[serde(default)]
    pub roles: Vec<String>,
    #[serde(default)]
    pub scopes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_ip: Option<String>,
    #[serde(default)]
    pub silent: bool,
    #[serde(default)]
    pub is_repair: bool,
    /// Why it waits, for people; ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub caps: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<String>,
    /// Milliseconds since the epoch.
    pub ts: u64,
}

/// Why a device has to wait (connection.md 3.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// It was never approved.
    NotPaired,
    /// Its token for the role was revoked.
    Revoked,
    /// It was not approved for the role.
    RoleUpgrade,
    /// It was not approved for a scope.
    ScopeUpgrade,
    /// It offers commands that were not approved; it may connect without them.
    CommandUpgrade,
}

impl Need {
    /// The word for clients and files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NotPaired => "not-paired",
            Self::Revoked => "revoked",
            Self::RoleUpgrade => "role-upgrade",
            Self::ScopeUpgrade => "scope-upgrade",
            Self::CommandUpgrade => "command-upgrade",
        }
    }
}

/// Why a store of pairings takes no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// So many requests wait.
    Pending(usize),
    /// So many devices are paired.
    Paired(usize),
    /// A record would have more bytes than these.
    Record(usize),
}

/// Devices and requests.
#[derive(Debug)]
pub struct DeviceStore {
    paired: Ledger<PairedDevice>,
    pending: Ledger<PairingRequest>,
}

impl DeviceStore {
    /// Reads `devices/` of the state directory.
    ///
    /// # Errors
    /// What the disk says when something that is there can't be read.
    pub fn load(sys: &Sys, saver: &Saver, state_dir: &Path) -> Result<Self, StoreError> {
        let dir = state_dir.join("devices");
        Ok(Self {
            paired: Ledger::load(sys, saver, dir.join("paired.json"), DEVICES_FILE_BYTES)?,
            pending: Ledger::load(sys, saver, dir.join("pending.json"), DEVICES_FILE_BYTES)?,
        })
    }

    /// Resolves when every change so far is on the medium.
    pub fn saved(&self) -> Durable {
        Durable::all([self.paired.saved(), self.pending.saved()])
    }

    /// The device with that id.
    #[must_use]
    pub fn get(&self, device_id: &str) -> Option<PairedDevice> {
        self.paired.get(device_id)
    }

    /// All devices, the last approved first.
    #[must_use]
    pub fn paired(&self) -> Vec<PairedDevice> {
        let mut devices = self.paired.all();
        devices.sort_by_key(|device| std::cmp::Reverse(device.approved_at_ms));
        devices
    }

    /// Requests that have not expired, the newest first.
    #[must_use]
    pub fn pending(&self, now_ms: u64) -> Vec<PairingRequest> {
        let mut requests = self.pending.all();
        requests.retain(|request| is_fresh(request, now_ms));
        requests.sort_by_key(|request| std::cmp::Reverse(request.ts));
        requests
    }

    /// The request with that id, unless it has expired.
    #[must_use]
    pub fn request(&self, request_id: &str, now_ms: u64) -> Option<PairingRequest> {
        self.pending.get(request_id).filter(|request| is_fresh(request, now_ms))
    }

    /// What a connect with that role and these scopes has to wait for; `None` when it may come in.
    #[must_use]
    pub fn need(&self, device_id: &str, role: &str, scopes: &[String]) -> Option<Need> {
        let Some(device) = self.paired.get(device_id) else { return Some(Need::NotPaired) };
        if device.is_revoked(role) {
            return Some(Need::Revoked);
        }
        if !device.has_role(role) {
            return Some(Need::RoleUpgrade);
        }
        (!covers(&device.scopes, scopes)).then_some(Need::ScopeUpgrade)
    }

    /// Writes a request down; one of the same device that waits already is given back unchanged, with
    /// `false`.
    ///
    /// # Errors
    /// [`Full::Pending`], or [`Full::Record`] for one that says too much.
    pub fn ask(&self, request: PairingRequest) -> Result<(PairingRequest, bool), Full> {
        let now_ms = request.ts;
        self.pending.retain(|request| is_fresh(request, now_ms));
        if let Some(known) = self.waiting(&request.device_id, now_ms) {
            return Ok((known, false));
        }
        if size_of(&request) > DEVICE_BYTES {
            return Err(Full::Record(DEVICE_BYTES));
        }
        if self.pending.len() >= PAIRING_PENDING {
            return Err(Full::Pending(PAIRING_PENDING));
        }
        self.pending.put(&request.request_id, request.clone());
        drop(self.pending.save());
        Ok((request, true))
    }

    /// The request with which a device waits.
    #[must_use]
    pub fn waiting(&self, device_id: &str, now_ms: u64) -> Option<PairingRequest> {
        self.pending(now_ms).into_iter().find(|request| request.device_id == device_id)
    }

    /// Takes a request out without approving it.
    pub fn reject(&self, request_id: &str, now_ms: u64) -> Option<PairingRequest> {
        let request = self.request(request_id, now_ms)?;
        self.pending.remove(request_id);
        drop(self.pending.save());
        Some(request)
    }

    /// Lets a device in: its roles, scopes and commands grow by what the request asks, and it gets
    /// `token` for the role. Where only commands were asked for, its token stays.
    ///
    /// # Errors
    /// [`Full::Paired`] or [`Full::Record`]; nothing has changed then.
    pub fn approve(&self, request: &PairingRequest, token: Secret, now_ms: u64) -> Result<PairedDevice, Full> {
        let known = self.paired.get(&request.device_id);
        if known.is_none() && self.paired.len() >= PAIRED_DEVICES {
            return Err(Full::Paired(PAIRED_DEVICES));
        }
        let mut device = known.unwrap_or_else(|| PairedDevice {
            device_id: request.device_id.clone(),
            public_key: request.public_key.clone(),
            display_name: None,
            label: None,
            platform: None,
            client_id: None,
            client_mode: None,
            role: None,
            roles: Vec::new(),
            scopes: Vec::new(),
            remote_ip: None,
            caps: None,
            commands: None,
            tokens: Default::default(),
            created_at_ms: now_ms,
            approved_at_ms: now_ms,
            extra: Map::new(),
        });
        device.approved_at_ms = now_ms;
        device.public_key.clone_from(&request.public_key);
        device.role = Some(request.role.clone());
        over(&mut device.display_name, request.display_name.as_ref());
        over(&mut device.platform, request.platform.as_ref());
        over(&mut device.client_id, request.client_id.as_ref());
        over(&mut device.client_mode, request.client_mode.as_ref());
        over(&mut device.remote_ip, request.remote_ip.as_ref());
        add(&mut device.roles, std::slice::from_ref(&request.role));
        add(&mut device.scopes, &request.scopes);
        if request.role == "node" {
            add(device.caps.get_or_insert_default(), &request.caps);
            add(device.commands.get_or_insert_default(), &request.commands);
        }
        if request.reason.as_deref() != Some(Need::CommandUpgrade.name()) {
            put_token(&mut device, &request.role, token, &request.scopes, now_ms);
        }
        if size_of(&device) > DEVICE_BYTES {
            return Err(Full::Record(DEVICE_BYTES));
        }
        self.pending.retain(|other| other.device_id != request.device_id);
        drop(self.pending.save());
        self.put(&device);
        Ok(device)
    }

    /// The scopes of the device's token for that role, if `shown` is its text and it is in force.
    #[must_use]
    pub fn token_scopes(&self, device_id: &str, role: &str, shown: &str) -> Option<Vec<String>> {
        let device = self.paired.get(device_id)?;
        let token = device.tokens.get(role)?;
        (token.revoked_at_ms.is_none() && token.token.matches(shown)).then(|| token.scopes.clone())
    }

    /// Notes a connect: what the device says of itself, and its token for the role, which is made anew
    /// from `fresh` when there is none that covers `scopes`.
    pub fn connected(
        &self,
        device_id: &str,
        seen: &PairingRequest,
        fresh: Secret,
        by_token: bool,
    ) -> Option<DeviceToken> {
        let mut device = self.paired.get(device_id)?;
        let before = serde_json::to_value(&device).ok();
        over(&mut device.display_name, seen.display_name.as_ref());
        over(&mut device.platform, seen.platform.as_ref());
        over(&mut device.client_id, seen.client_id.as_ref());
        over(&mut device.client_mode, seen.client_mode.as_ref());
        over(&mut device.remote_ip, seen.remote_ip.as_ref());
        device.role = Some(seen.role.clone());
        if seen.role == "node" {
            device.caps.get_or_insert_with(|| seen.caps.clone());
            device.commands.get_or_insert_with(|| seen.commands.clone());
        }
        let known = device.tokens.get(&seen.role).filter(|token| token.revoked_at_ms.is_none());
        if !known.is_some_and(|token| covers(&token.scopes, &seen.scopes)) {
            put_token(&mut device, &seen.role, fresh, &seen.scopes, seen.ts);
        }
        let token = device.tokens.get_mut(&seen.role)?;
        if by_token && seen.ts.saturating_sub(token.last_used_at_ms.unwrap_or(0)) >= LAST_USED_STEP_MS {
            token.last_used_at_ms = Some(seen.ts);
        }
        let token = token.clone();
        if serde_json::to_value(&device).ok() != before {
            self.put(&device);
        }
        Some(token)
    }

    /// Gives the device another token for the role, with `scopes` or those it had. A revoked role gets none:
    /// the device has to be approved again.
    pub fn rotate(
        &self,
        device_id: &str,
        role: &str,
        token: Secret,
        scopes: Option<&[String]>,
        now_ms: u64,
    ) -> Option<DeviceToken> {
        let is_fit = |device: &PairedDevice| device.has_role(role) && !device.is_revoked(role);
        let mut device = self.paired.get(device_id).filter(is_fit)?;
        let scopes = match (scopes, device.tokens.get(role)) {
            (Some(scopes), _) => scopes.to_vec(),
            (None, Some(old)) => old.scopes.clone(),
            (None, None) => device.scopes.clone(),
        };
        put_token(&mut device, role, token, &scopes, now_ms);
        self.put(&device);
        device.tokens.remove(role)
    }

    /// Ends the device's token for the role; the device has to be approved again.
    pub fn revoke(&self, device_id: &str, role: &str, now_ms: u64) -> bool {
        let Some(mut device) = self.paired.get(device_id) else { return false };
        let Some(token) = device.tokens.get_mut(role) else { return false };
        token.revoked_at_ms.get_or_insert(now_ms);
        self.put(&device);
        true
    }

    /// Puts a device back as it was, after a change that could not be written.
    pub fn put_back(&self, device: &PairedDevice) {
        self.put(device);
    }

    /// Forgets a device altogether, and what it asked for.
    pub fn remove(&self, device_id: &str) -> Option<PairedDevice> {
        let device = self.paired.remove(device_id)?;
        if self.pending.retain(|request| request.device_id != device_id) {
            drop(self.pending.save());
        }
        drop(self.paired.save());
        Some(device)
    }

    /// What its owner calls it from now on.
    pub fn rename(&self, device_id: &str, name: &str) -> bool {
        let Some(mut device) = self.paired.get(device_id) else { return false };
        device.label = Some(name.to_owned());
        self.put(&device);
        true
    }

    fn put(&self, device: &PairedDevice) {
        self.paired.put(&device.device_id, device.clone());
        drop(self.paired.save());
    }
}

/// Whether `have` allows all of `wanted`; `operator.admin` allows everything (section 4).
#[must_use]
pub fn covers(have: &[String], wanted: &[String]) -> bool {
    have.iter().any(|scope| scope == "operator.admin") || wanted.iter().all(|scope| have.contains(scope))
}

fn put_token(device: &mut PairedDevice, role: &str, token: Secret, scopes: &[String], now_ms: u64) {
    let old = device.tokens.remove(role);
    let token = DeviceToken {
        token,
        role: role.to_owned(),
        scopes: normal(scopes),
        created_at_ms: old.as_ref().map_or(now_ms, |old| old.created_at_ms),
        rotated_at_ms: old.as_ref().map(|_| now_ms),
        revoked_at_ms: None,
        last_used_at_ms: old.as_ref().and_then(|old| old.last_used_at_ms),
        extra: old.map(|old| old.extra).unwrap_or_default(),
    };
    device.tokens.insert(role.to_owned(), token);
}

/// The normal form of scopes: trimmed, without blanks and repeats, sorted (connection.md 3.5).
fn normal(scopes: &[String]) -> Vec<String> {
    let mut out: Vec<String> = scopes.iter().map(|scope| scope.trim().to_owned()).collect();
    out.retain(|scope| !scope.is_empty());
    out.sort();
    out.dedup();
    out
}

/// Bytes of a record in its file.
fn size_of(record: &impl Serialize) -> usize {
    serde_json::to_vec_pretty(record).map_or(usize::MAX, |text| text.len())
}

fn is_fresh(request: &PairingRequest, now_ms: u64) -> bool {
    // A clock that was set back must not keep it alive.
    now_ms.abs_diff(request.ts) <= PAIRING_TTL_MS
}

fn over(old: &mut Option<String>, new: Option<&String>) {
    if let Some(new) = new {
        *old = Some(new.clone());
    }
}

fn add(have: &mut Vec<String>, more: &[String]) {
    for item in more {
        if !have.contains(item) {
            have.push(item.clone());
        }
    }
}

#[cfg(test)]
#[path = "devices_tests.rs"]
mod tests;
