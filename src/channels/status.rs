//! What clients are told of the channels: `channels.status`, and the parts of `health` and `status`
//! (methods.md 11.1, 2.1 and 2.2). One account is told of in one way everywhere.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::known::{CATALOGUE, Meta};
use super::registry::{Channels, Seat};
use crate::config::channels::{Account, DEFAULT_ACCOUNT};

/// The channel that is linked by a QR code.
const WHATSAPP: &str = "whatsapp";

crate::wire! {
    /// Every channel that clients know, and its accounts.
    pub struct ChannelsStatus {
        ts: u64,
        /// Ids in the order in which they are shown.
        channel_order: Vec<String>,
        channel_labels: BTreeMap<String, String>,
        channel_detail_labels: BTreeMap<String, String>,
        /// Symbols of Apple's set.
        channel_system_images: BTreeMap<String, String>,
        /// The same once more, as rows.
        channel_meta: Vec<Value>,
        /// The default account of each channel in short.
        channels: BTreeMap<String, Map<String, Value>>,
        channel_accounts: BTreeMap<String, Vec<Map<String, Value>>>,
        channel_default_account_id: BTreeMap<String, String>,
    }
}

impl Channels {
    /// How every channel that clients know is, whether or not the file names it.
    #[must_use]
    pub fn status(&self) -> ChannelsStatus {
        let mut status = ChannelsStatus {
            ts: self.0.sys.clock.now_ms(),
            channel_order: Vec::new(),
            channel_labels: BTreeMap::new(),
            channel_detail_labels: BTreeMap::new(),
            channel_system_images: BTreeMap::new(),
            channel_meta: Vec::new(),
            channels: BTreeMap::new(),
            channel_accounts: BTreeMap::new(),
            channel_default_account_id: BTreeMap::new(),
        };
        for meta in CATALOGUE {
            let id = || meta.id.to_owned();
            let seats = self.seats_of(meta);
            let Some(default) = default_of(&seats) else { continue };
            status.channel_order.push(id());
            status.channel_labels.insert(id(), meta.label.to_owned());
            status.channel_detail_labels.insert(id(), meta.detail_label.to_owned());
            status.channel_system_images.insert(id(), meta.system_image.to_owned());
            status.channel_meta.push(json!({
                "id": meta.id, "label": meta.label, "detailLabel": meta.detail_label, "systemImage": meta.system_image,
            }));
            status.channels.insert(id(), summary(default));
            status.channel_accounts.insert(id(), seats.iter().map(|seat| self.account(seat)).collect());
            status.channel_default_account_id.insert(id(), default.account_id.clone());
        }
        status
    }

    /// The `channels`, `channelOrder` and `channelLabels` of health: the channels that the file names.
    #[must_use]
    pub fn health(&self) -> (Value, Value, Value) {
        let (mut channels, mut order, mut labels) = (Map::new(), Vec::new(), Map::new());
        for (meta, seats) in self.configured() {
            let Some(default) = default_of(&seats) else { continue };
            let of = |seat: &Seat| {
                let mut fields = summary(seat);
                fields.insert("accountId".into(), seat.account_id.as_str().into());
                fields
            };
            let accounts: Map<_, _> = seats.iter().map(|seat| (seat.account_id.clone(), of(seat).into())).collect();
            let mut fields = of(default);
            fields.insert("accounts".into(), accounts.into());
            channels.insert(meta.id.to_owned(), fields.into());
            order.push(Value::from(meta.id));
            labels.insert(meta.id.to_owned(), meta.label.into());
        }
        (channels.into(), order.into(), labels.into())
    }

    /// Lines for people about the channels that the file names (methods.md 2.2).
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (meta, seats) in self.configured() {
            let state = |seat: &Seat| match () {
                () if !seat.is_enabled() => "disabled",
                () if seat.channel.is_none() => "not available",
                () if seat.health.is_running() => "running",
                () => "configured",
            };
            lines.extend(default_of(&seats).map(|seat| format!("{}: {}", meta.label, state(seat))));
            for seat in &seats {
                let sources = seat.config.iter().flat_map(|config| &config.sources);
                let sources = sources.map(|(field, source)| format!("{}:{source}", field.trim_end_matches("Source")));
                let notes: Vec<_> = std::iter::once(state(seat).to_owned()).chain(sources).collect();
                lines.push(format!("  - {} ({})", seat.account_id, notes.join(", ")));
            }
        }
        lines
    }

    /// Asks every account that works whether it does, all at once, for at most `limit`.
    pub async fn probe(&self, limit: Duration) {
        let sys = &self.0.sys;
        let deadline = sys.clock.elapsed() + limit;
        let working = self.seats().into_iter().filter(|seat| seat.problem().is_none());
        let probes: Vec<_> = working
            .filter_map(|seat| {
                let (clock, channel) = (Rc::clone(&sys.clock), seat.channel.clone()?);
                Some(sys.tasks.spawn(async move {
                    let answer = clock.before(deadline, channel.probe()).await;
                    let answer = answer.unwrap_or_else(|_| {
                        json!({"ok": false, "status": null, "error": "no answer in time", "elapsedMs": limit.as_millis()})
                    });
                    seat.health.probed(clock.now_ms(), answer);
                }))
            })
            .collect();
        for probe in probes {
            probe.await;
        }
    }

    fn seats_of(&self, meta: &'static Meta) -> Vec<Rc<Seat>> {
        let mut seats = self.seats();
        seats.retain(|seat| seat.meta.id == meta.id);
        // The test channel is nothing to offer to people who didn't ask for it.
        if seats.is_empty() && meta.id != super::known::LOOPBACK {
            seats.push(Rc::new(Seat::absent(meta, &self.0)));
        }
        seats
    }

    fn configured(&self) -> Vec<(&'static Meta, Vec<Rc<Seat>>)> {
        let all = CATALOGUE.iter().map(|meta| (meta, self.seats_of(meta)));
        all.filter(|(_, seats)| seats.iter().any(|seat| seat.is_configured())).collect()
    }

    fn account(&self, seat: &Seat) -> Map<String, Value> {
        let is_whatsapp = seat.meta.id == WHATSAPP;
        // Where there is no connection, nothing is told about one.
        let mut fields = if seat.channel.is_some() || is_whatsapp {
            seat.health.account_fields()
        } else {
            seat.health.basic_fields()
        };
        fields.insert("accountId".into(), seat.account_id.as_str().into());
        fields.insert("enabled".into(), seat.is_enabled().into());
        fields.insert("configured".into(), seat.is_configured().into());
        fields.insert("lastError".into(), last_error(seat).into());
        if let Some(config) = &seat.config {
            if let Some(name) = &config.name {
                fields.insert("name".into(), name.as_str().into());
            }
            fields.insert("dmPolicy".into(), config.dm_policy.name().into());
            fields.insert("allowFrom".into(), json!(config.allow_from));
        }
        if is_whatsapp {
            fields.insert("linked".into(), false.into());
            for never in ["lastDisconnect", "lastMessageAt", "lastEventAt"] {
                fields.insert(never.into(), Value::Null);
            }
        }
        if let Some(channel) = seat.channel.as_ref().filter(|_| seat.is_configured()) {
            let queue = self.0.queues.borrow().get(seat.meta.id).cloned();
            fields.insert("queued".into(), queue.map_or(0, |queue| queue.waiting_for(&seat.account_id)).into());
            fields.append(&mut channel.details());
        }
        fields.extend(sources(seat.config.as_ref()));
        fields
    }
}

fn default_of(seats: &[Rc<Seat>]) -> Option<&Rc<Seat>> {
    seats.iter().find(|seat| seat.account_id == DEFAULT_ACCOUNT).or_else(|| seats.first())
}

/// Why an account doesn't work, or what went wrong last.
fn last_error(seat: &Seat) -> Option<String> {
    if seat.is_configured() && !seat.is_enabled() {
        return Some("disabled".to_owned());
    }
    if seat.channel.is_none() {
        return seat.problem();
    }
    if seat.is_configured() { seat.health.last_error() } else { Some("not configured".to_owned()) }
}

fn sources(config: Option<&Account>) -> impl Iterator<Item = (String, Value)> {
    let sources = config.into_iter().flat_map(|config| &config.sources);
    sources.map(|(field, source)| ((*field).to_owned(), Value::from(*source)))
}

/// An account in short.
fn summary(seat: &Seat) -> Map<String, Value> {
    let mut fields = seat.health.summary_fields();
    fields.insert("configured".into(), seat.is_configured().into());
    fields.insert("lastError".into(), last_error(seat).into());
    fields.entry("lastProbeAt").or_insert(Value::Null);
    fields.extend(sources(seat.config.as_ref()));
    if seat.meta.id == WHATSAPP {
        fields.insert("linked".into(), false.into());
        fields.insert("connected".into(), false.into());
        fields.insert("self".into(), json!({"e164": null, "jid": null}));
        fields.insert("reconnectAttempts".into(), 0.into());
        for never in ["authAgeMs", "lastConnectedAt", "lastDisconnect", "lastMessageAt", "lastEventAt"] {
            fields.insert(never.into(), Value::Null);
        }
    }
    fields
}
