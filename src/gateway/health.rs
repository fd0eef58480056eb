//! The health snapshot (methods.md 2.1): made at most once a second, kept as JSON, given to everyone.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use serde_json::json;
use serde_json::value::RawValue;

use super::Gateway;
use crate::stores::Row;

/// Sessions that a snapshot names.
const RECENT: usize = 5;

/// The last snapshot.
#[derive(Debug, Default)]
pub struct Health {
    /// JSON object without its closing brace, so that the uptime can be added when it is read.
    body: RefCell<Rc<str>>,
    is_due: Cell<bool>,
}

impl Health {
    /// The snapshot with the uptime as of now.
    #[must_use]
    pub fn read(&self, uptime_ms: u64) -> Box<RawValue> {
        let body = Rc::clone(&self.body.borrow());
        let text = if body.is_empty() { "{}".to_owned() } else { format!("{body},\"uptimeMs\":{uptime_ms}}}") };
        RawValue::from_string(text).unwrap_or_default()
    }

    /// Whether a refresh should be scheduled; from now on it is, until [`Health::refreshed`].
    #[must_use]
    pub fn schedule(&self) -> bool {
        !self.is_due.replace(true)
    }

    fn put(&self, snapshot: &serde_json::Value) {
        let mut text = snapshot.to_string();
        text.pop();
        *self.body.borrow_mut() = text.into();
    }

    /// The scheduled refresh is done.
    pub fn refreshed(&self) {
        self.is_due.set(false);
    }
}

impl Gateway {
    /// Takes a new snapshot.
    pub fn take_health(&self) {
        let started = self.sys.clock.elapsed();
        let now_ms = self.sys.clock.now_ms();
        let config = self.config.get();
        let default_id = config.agents.default_agent().id.clone();
        let newest = self.stores.sessions.newest();
        let agents: Vec<_> = config
            .agents
            .list
            .iter()
            .map(|agent| {
                let mut entry = json!({
                    "agentId": agent.id,
                    "isDefault": agent.id == default_id,
                    "heartbeat": self.heartbeat_summary(agent),
                    "sessions": self.session_summary(&agent.id, &newest, now_ms),
                });
                if let (Some(name), Some(entry)) = (&agent.name, entry.as_object_mut()) {
                    entry.insert("name".into(), name.as_str().into());
                }
                entry
            })
            .collect();
        let summary = self.heartbeat_summary(config.agents.default_agent());
        let heartbeat_seconds = summary.every_ms.as_u64().unwrap_or(0) / 1000;
        let trouble = self.stores.saver.trouble();
        let (running, queued) = self.runs.counts();
        let (channels, channel_order, channel_labels) = self.channels.health();
        let snapshot = json!({
            "ok": trouble.is_none(),
            "status": if trouble.is_none() { "ok" } else { "degraded" },
            "ts": now_ms,
            "durationMs": u64::try_from((self.sys.clock.elapsed() - started).as_millis()).unwrap_or(0),
            "channels": channels,
            "channelOrder": channel_order,
            "channelLabels": channel_labels,
            "heartbeatSeconds": heartbeat_seconds,
            "defaultAgentId": default_id,
            "agents": agents,
            "sessions": self.session_summary(&default_id, &newest, now_ms),
            "storage": {"ok": trouble.is_none(), "trouble": trouble},
            "runs": {"running": running, "queued": queued},
        });
        self.health.put(&snapshot);
    }

    fn session_summary(&self, agent: &str, newest: &[Rc<Row>], now_ms: u64) -> serde_json::Value {
        let own = || newest.iter().filter(|row| row.key().agent() == Some(agent));
        let recent: Vec<_> = own().take(RECENT).map(|row| {
            json!({"key": row.key().as_str(), "updatedAt": row.updated_at(), "age": now_ms.saturating_sub(row.updated_at())})
        }).collect();
        json!({"path": self.index_path(agent), "count": own().count(), "recent": recent})
    }

    /// The session index's file, as answers show it.
    #[must_use]
    pub fn index_path(&self, agent: &str) -> String {
        self.stores.sessions.sessions_dir(agent).join("sessions.json").display().to_string()
    }
}
