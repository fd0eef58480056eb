//! How an account is, as `channels.status` tells it. Only what happened is written here.

use std::cell::{Cell, RefCell};

use serde_json::{Map, Value, json};

/// How an account is. Times are milliseconds since the Unix epoch.
#[derive(Debug, Default)]
pub struct Health {
    is_running: Cell<bool>,
    is_connected: Cell<bool>,
    reconnect_attempts: Cell<u32>,
    last_start_at: Cell<Option<u64>>,
    last_stop_at: Cell<Option<u64>>,
    last_connected_at: Cell<Option<u64>>,
    last_inbound_at: Cell<Option<u64>>,
    last_outbound_at: Cell<Option<u64>>,
    last_error: RefCell<Option<String>>,
    probed: RefCell<Option<(u64, Value)>>,
}

impl Health {
    /// It begins to work.
    pub fn started(&self, now_ms: u64) {
        self.is_running.set(true);
        self.last_start_at.set(Some(now_ms));
    }

    /// It works no more, and why.
    pub fn stopped(&self, now_ms: u64, reason: Option<String>) {
        self.is_running.set(false);
        self.is_connected.set(false);
        self.last_stop_at.set(Some(now_ms));
        if let Some(reason) = reason {
            self.failed(reason);
        }
    }

    /// The connection to the service stands; earlier errors are over.
    pub fn connected(&self, now_ms: u64) {
        self.is_connected.set(true);
        self.reconnect_attempts.set(0);
        self.last_connected_at.set(Some(now_ms));
        *self.last_error.borrow_mut() = None;
    }

    /// It is tried to connect again.
    pub fn reconnecting(&self) {
        self.reconnect_attempts.set(self.reconnect_attempts.get().saturating_add(1));
    }

    /// Something came in.
    pub fn heard(&self, now_ms: u64) {
        self.last_inbound_at.set(Some(now_ms));
    }

    /// Something was sent.
    pub fn sent(&self, now_ms: u64) {
        self.last_outbound_at.set(Some(now_ms));
    }

    /// Something went wrong.
    pub fn failed(&self, reason: String) {
        *self.last_error.borrow_mut() = Some(reason);
    }

    /// What a probe said.
    pub fn probed(&self, now_ms: u64, answer: Value) {
        *self.probed.borrow_mut() = Some((now_ms, answer));
    }

    /// Whether it works.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.is_running.get()
    }

    /// What went wrong last.
    #[must_use]
    pub fn last_error(&self) -> Option<String> {
        self.last_error.borrow().clone()
    }

    /// The fields of an account (methods.md 11.1). Times are `null` when it never happened.
    #[must_use]
    pub fn account_fields(&self) -> Map<String, Value> {
        let mut fields = self.basic_fields();
        fields.insert("connected".into(), self.is_connected.get().into());
        fields.insert("reconnectAttempts".into(), self.reconnect_attempts.get().into());
        fields.insert("lastConnectedAt".into(), json!(self.last_connected_at.get()));
        fields
    }

    /// The same without what only a connection has.
    #[must_use]
    pub fn basic_fields(&self) -> Map<String, Value> {
        let mut fields = self.summary_fields();
        fields.insert("lastInboundAt".into(), json!(self.last_inbound_at.get()));
        fields.insert("lastOutboundAt".into(), json!(self.last_outbound_at.get()));
        fields
    }

    /// The fields of a channel's summary.
    #[must_use]
    pub fn summary_fields(&self) -> Map<String, Value> {
        let mut fields = Map::new();
        fields.insert("running".into(), self.is_running.get().into());
        fields.insert("lastStartAt".into(), json!(self.last_start_at.get()));
        fields.insert("lastStopAt".into(), json!(self.last_stop_at.get()));
        fields.insert("lastError".into(), json!(*self.last_error.borrow()));
        if let Some((at, answer)) = &*self.probed.borrow() {
            fields.insert("probe".into(), answer.clone());
            fields.insert("lastProbeAt".into(), (*at).into());
        }
        fields
    }
}
