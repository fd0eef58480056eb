//! Nodes of the field's older transport: pairing requests and tokens of `node.pair.*` (connection.md 6.6).
//!
//! `nodes/paired.json` and `nodes/pending.json` in the field's format. This store doesn't guard
//! connections; [`super::devices`] does.

use std::path::Path;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use super::devices::Full;
use super::ledger::Ledger;
use super::{Durable, Saver, StoreError};
use crate::limits::{DEVICES_FILE_BYTES, NODE_RECORD_BYTES, PAIRED_NODES, PAIRING_PENDING, PAIRING_TTL_MS};
use crate::secret::Secret;
use crate::sys::Sys;

/// What a node says about itself; the fields are those of `node.pair.request`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "each is named as on the wire")]
pub struct NodeFacts {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub core_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ui_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_family: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_identifier: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caps: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commands: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_ip: Option<String>,
}

/// A node that waits for approval.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "each is named as on the wire")]
pub struct NodeRequest {
    pub request_id: String,
    pub node_id: String,
    #[serde(flatten)]
    pub facts: NodeFacts,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silent: Option<bool>,
    #[serde(default)]
    pub is_repair: bool,
    pub ts: u64,
}

/// A node that was approved.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "each is named as on the wire")]
pub struct PairedNode {
    pub node_id: String,
    #[serde(serialize_with = "expose")]
    pub token: Secret,
    #[serde(flatten)]
    pub facts: NodeFacts,
    pub created_at_ms: u64,
    pub approved_at_ms: u64,
    /// `lastConnectedAtMs`, `bins`, and what others wrote there.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

fn expose<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose())
}

/// Nodes and requests.
#[derive(Debug)]
pub struct NodePairStore {
    paired: Ledger<PairedNode>,
    pending: Ledger<NodeRequest>,
}

impl NodePairStore {
    /// Reads `nodes/` of the state directory.
    ///
    /// # Errors
    /// What the disk says when something that is there can't be read.
    pub fn load(sys: &Sys, saver: &Saver, state_dir: &Path) -> Result<Self, StoreError> {
        let dir = state_dir.join("nodes");
        Ok(Self {
            paired: Ledger::load(sys, saver, dir.join("paired.json"), DEVICES_FILE_BYTES)?,
            pending: Ledger::load(sys, saver, dir.join("pending.json"), DEVICES_FILE_BYTES)?,
        })
    }

    /// Resolves when every change so far is on the medium.
    pub fn saved(&self) -> Durable {
        Durable::all([self.paired.saved(), self.pending.saved()])
    }

    /// All nodes, the last approved first.
    #[must_use]
    pub fn paired(&self) -> Vec<PairedNode> {
        let mut nodes = self.paired.all();
        nodes.sort_by_key(|node| std::cmp::Reverse(node.approved_at_ms));
        nodes
    }

    /// Requests that have not expired, the newest first.
    #[must_use]
    pub fn pending(&self, now_ms: u64) -> Vec<NodeRequest> {
        let mut requests = self.pending.all();
        requests.retain(|request| is_fresh(request, now_ms));
        requests.sort_by_key(|request| std::cmp::Reverse(request.ts));
        requests
    }

    /// Writes a request down; one of the same node that waits already is given back unchanged, with `false`.
    ///
    /// # Errors
    /// [`Full::Pending`], or [`Full::Record`] for one that says too much.
    pub fn ask(&self, request: NodeRequest) -> Result<(NodeRequest, bool), Full> {
        let now_ms = request.ts;
        self.pending.retain(|request| is_fresh(request, now_ms));
        if let Some(known) = self.pending(now_ms).into_iter().find(|known| known.node_id == request.node_id) {
            return Ok((known, false));
        }
        if serde_json::to_vec_pretty(&request).map_or(true, |text| text.len() > NODE_RECORD_BYTES) {
            return Err(Full::Record(NODE_RECORD_BYTES));
        }
        if self.pending.len() >= PAIRING_PENDING {
            return Err(Full::Pending(PAIRING_PENDING));
        }
        let is_repair = self.paired.get(&request.node_id).is_some();
        let request = NodeRequest { is_repair, ..request };
        self.pending.put(&request.request_id, request.clone());
        drop(self.pending.save());
        Ok((request, true))
    }

    /// Approves a request: the node has `token` from now on. `None` for an unknown or expired one.
    ///
    /// # Errors
    /// [`Full::Paired`].
    pub fn approve(&self, request_id: &str, token: Secret, now_ms: u64) -> Result<Option<PairedNode>, Full> {
        let Some(request) = self.pending.get(request_id).filter(|request| is_fresh(request, now_ms)) else {
            return Ok(None);
        };
        let known = self.paired.get(&request.node_id);
        if known.is_none() && self.paired.len() >= PAIRED_NODES {
            return Err(Full::Paired(PAIRED_NODES));
        }
        let node = PairedNode {
            node_id: request.node_id.clone(),
            token,
            facts: request.facts,
            created_at_ms: known.as_ref().map_or(now_ms, |known| known.created_at_ms),
            approved_at_ms: now_ms,
            extra: known.map(|known| known.extra).unwrap_or_default(),
        };
        self.pending.remove(request_id);
        drop(self.pending.save());
        self.paired.put(&node.node_id, node.clone());
        drop(self.paired.save());
        Ok(Some(node))
    }

    /// Takes a request out without approving it.
    pub fn reject(&self, request_id: &str, now_ms: u64) -> Option<NodeRequest> {
        let request = self.pending.get(request_id).filter(|request| is_fresh(request, now_ms))?;
        self.pending.remove(request_id);
        drop(self.pending.save());
        Some(request)
    }

    /// The node, if `token` is its own.
    #[must_use]
    pub fn verify(&self, node_id: &str, token: &str) -> Option<PairedNode> {
        self.paired.get(node_id).filter(|node| node.token.matches(token))
    }

    /// What its owner calls it from now on.
    pub fn rename(&self, node_id: &str, name: &str) -> bool {
        let Some(mut node) = self.paired.get(node_id) else { return false };
        node.facts.display_name = Some(name.to_owned());
        self.paired.put(node_id, node);
        drop(self.paired.save());
        true
    }
}

fn is_fresh(request: &NodeRequest, now_ms: u64) -> bool {
    now_ms.saturating_sub(request.ts) <= PAIRING_TTL_MS
}
