//! The gateway: everything that methods may touch, assembled once and shared as `Rc<Gateway>`.
//!
//! It knows no socket and no dialect. A connection comes in through [`Gateway::admit`] and goes out
//! through [`Gateway::dismiss`]; what happens in between are calls (`rpc`).

mod approvals;
pub mod attachments;
pub mod auth;
pub mod commands;
pub mod dedupe;
pub mod delivery;
pub mod envelope;
pub mod errand;
pub mod handshake;
pub mod health;
pub mod heartbeat;
mod heartbeat_text;
pub mod heartbeat_tokens;
pub mod hooks;
pub mod identity;
pub mod inbound;
pub mod invoke;
mod job_run;
pub mod jobs;
pub mod kept;
pub mod lag;
pub mod nodes;
mod own_words;
pub mod pairing;
mod people;
pub mod post;
pub mod presence;
pub mod reach;
pub mod reconfigure;
pub mod reload;
pub mod restart;
pub mod restart_note;
pub mod shown_identity;
pub mod speech;
pub mod system_events;
pub mod tailscale;
pub mod wizard;
pub mod wizard_stage;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::channels::Channels;
use crate::config::Current;
use crate::config::first_start::Places;
use crate::error::Error;
use crate::events::budget::Budget;
use crate::events::outbox::Outbox;
use crate::events::peer::Admission;
use crate::events::{EVENTS, HEALTH, Hub, PRESENCE, Peer, SHUTDOWN, TICK};
use crate::journal::Journal;
use crate::limits::{Limits, SHUTDOWN_GRACE_MS, UNPROVEN_BODIES};
use crate::nodes::Nodes;
use crate::runs::Runs;
use crate::skills::install::Desk;
use crate::stores::{KeyRules, SessionKey, Stores};
use crate::sys::Sys;
use crate::wire::handshake::{Client, Connect, Grant, Hello, Policy, Role, SessionDefaults};
use crate::wire::{DIALECTS, Dialect};
use auth::Auth;
use dedupe::Dedupe;
use handshake::Origin;
use health::Health;
use heartbeat::Heart;
use hooks::Signatures;
use invoke::Flights;
use jobs::Jobs;
use kept::Kept;
use pairing::Cleared;
use presence::{Entry, Presence};
use reload::Reload;
use restart::Restarts;
use system_events::SystemEvents;
use wizard::Wizards;

/// How long changes of the presence list are gathered before everyone hears of them.
const PRESENCE_PAUSE: Duration = Duration::from_millis(250);
/// How long reasons for a health refresh are gathered; a storm of connects makes one.
const HEALTH_PAUSE: Duration = Duration::from_secs(1);
/// Health is refreshed this often without a reason.
const HEALTH_INTERVAL: Duration = Duration::from_secs(60);
/// How long scheduled jobs have to note how they ended, once no run goes any more.
const JOBS_PAUSE: Duration = Duration::from_secs(1);
/// The short key of an agent's main session.
const MAIN_KEY: &str = "main";

/// The gateway.
#[derive(Debug)]
pub struct Gateway {
    /// The outside world.
    pub sys: Sys,
    /// The bounds, as they were at start.
    pub limits: Limits,
    /// Where files are.
    pub places: Places,
    /// The machine's name.
    pub host: String,
    /// The configuration in force.
    pub config: Current,
    /// Who is connected, and how events reach them.
    pub hub: Hub,
    /// The guard at the door.
    pub auth: Auth,
    /// Who in the tailnet is who.
    pub tailscale: tailscale::Tailscale,
    /// How late timers fire, while somebody asks.
    pub lag: lag::Lag,
    /// Who is or was here.
    pub presence: Presence,
    /// The health snapshot.
    pub health: Health,
    /// Unsent bytes of all connections.
    pub outgoing: Rc<Budget>,
    /// Incoming bytes of all connections, waiting calls included.
    pub incoming: Rc<Budget>,
    /// Waiting calls of all connections.
    pub calls: Rc<Budget>,
    /// HTTP bodies that are read for callers who prove themselves by them.
    pub unproven: Rc<Budget>,
    /// What is remembered on disk.
    pub stores: Stores,
    /// Agent runs.
    pub runs: Runs,
    /// Scheduled jobs.
    pub jobs: Jobs,
    /// Heartbeats.
    pub heart: Heart,
    /// Lines that wait for a session's next prompt.
    pub system_events: SystemEvents,
    /// Services where people write to the gateway.
    pub channels: Channels,
    /// Answers that can be given again.
    pub answers: Dedupe,
    /// Phones and other machines that offer commands.
    pub nodes: Nodes,
    /// Questions to nodes that several callers may wait for.
    pub flights: Flights,
    /// The log.
    pub journal: Arc<Journal>,
    /// What is known about the configuration beside the one in force.
    pub reload: Reload,
    /// The restart to come, if any.
    pub restarts: Restarts,
    /// The wizard, if one runs.
    pub wizards: Wizards,
    /// The installation for a skill, if one goes.
    pub installs: Desk,
    /// Signatures of hooks that were taken.
    pub signatures: Signatures,
    /// By dialect: the method and event names that hello-ok lists.
    offered: Vec<(Vec<&'static str>, Vec<&'static str>)>,
    next_connection: Cell<u64>,
    presence_due: Cell<bool>,
}

/// What a gateway is assembled from.
#[derive(Debug)]
pub struct Parts {
    /// The outside world.
    pub sys: Sys,
    /// Where files are.
    pub places: Places,
    /// The machine's name.
    pub host: String,
    /// The configuration in force.
    pub config: Current,
    /// Who is connected.
    pub hub: Hub,
    /// The guard at the door.
    pub auth: Auth,
    /// What is remembered on disk.
    pub stores: Stores,
    /// Agent runs.
    pub runs: Runs,
    /// Scheduled jobs.
    pub jobs: Jobs,
    /// Heartbeats.
    pub heart: Heart,
    /// Services where people write to the gateway.
    pub channels: Channels,
    /// The log.
    pub journal: Arc<Journal>,
    /// What is known about the configuration beside the one in force.
    pub reload: Reload,
    /// What the gateway before gave away.
    pub kept: Kept,
    /// By dialect: the method names that hello-ok lists.
    pub methods: Vec<Vec<&'static str>>,
}

impl Gateway {
    /// Assembles a gateway and takes its first health snapshot. Nothing runs before
    /// [`Gateway::keep_time`].
    #[must_use]
    pub fn new(parts: Parts) -> Rc<Self> {
        let limits = parts.config.get().gateway.limits.clone();
        let bytes = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        let events = DIALECTS.iter().map(|dialect| EVENTS.iter().map(|kind| dialect.event_name(kind)).collect());
        let own = own_entry(&parts.host, parts.sys.clock.now_ms());
        let gateway = Rc::new(Self {
            presence: Presence::new(own),
            tailscale: tailscale::Tailscale::default(),
            lag: lag::Lag::default(),
            health: Health::default(),
            outgoing: Rc::clone(parts.hub.total()),
            incoming: Budget::new(bytes(limits.total_incoming_bytes)),
            calls: Budget::new(bytes(limits.calls_in_flight)),
            unproven: Budget::new(UNPROVEN_BODIES),
            answers: Dedupe::new(bytes(limits.idempotency_keys)),
            nodes: Nodes::default(),
            flights: Flights::default(),
            offered: parts.methods.into_iter().zip(events).collect(),
            next_connection: Cell::new(1),
            presence_due: Cell::new(false),
            sys: parts.sys,
            limits,
            places: parts.places,
            host: parts.host,
            config: parts.config,
            hub: parts.hub,
            auth: parts.auth,
            stores: parts.stores,
            runs: parts.runs,
            jobs: parts.jobs,
            heart: parts.heart,
            system_events: parts.kept.system_events,
            channels: parts.channels,
            journal: parts.journal,
            reload: parts.reload,
            restarts: Restarts::default(),
            wizards: Wizards::default(),
            installs: Desk::default(),
            signatures: Signatures::default(),
        });
        gateway.resume(parts.kept.presence, parts.kept.versions);
        gateway.take_health();
        gateway
    }

    /// Milliseconds since the process started.
    #[must_use]
    pub fn uptime_ms(&self) -> u64 {
        u64::try_from(self.sys.clock.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether the wall clock can be right (`cron.clockWaitSeconds`).
    #[must_use]
    pub fn is_clock_set(&self) -> bool {
        self.sys.clock.is_set(Duration::from_secs(self.config.get().cron.clock_wait_seconds))
    }

    /// Who is or was here.
    #[must_use]
    pub fn present(&self) -> Vec<Entry> {
        self.presence.list(self.sys.clock.now_ms(), self.uptime_ms())
    }

    /// What the configuration says about short session keys.
    #[must_use]
    pub fn key_rules(&self) -> KeyRules {
        let config = self.config.get();
        KeyRules {
            default_agent: config.agents.default_agent().id.clone(),
            global: config.session.scope == crate::config::session::Scope::Global,
        }
    }

    /// A client's session key in canonical form.
    ///
    /// # Errors
    /// `INVALID_REQUEST` for an empty or endless one.
    pub fn session_key(&self, text: &str) -> Result<SessionKey, Error> {
        SessionKey::canonical(text, &self.key_rules()).map_err(|error| Error::invalid(error.to_string()))
    }

    /// Lets a connection in: from now on it gets events. The order is that of connection.md 2.6.
    #[must_use]
    pub fn admit(
        self: &Rc<Self>,
        dialect: &'static dyn Dialect,
        connect: Connect,
        device_id: Option<String>,
        cleared: Cleared,
        origin: &Origin,
        outbox: Rc<Outbox>,
    ) -> Rc<Peer> {
        let Cleared { grant, offer } = cleared;
        let id = self.next_connection.get();
        self.next_connection.set(id + 1);
        let conn_id = self.sys.chance.uuid();
        let address = (!origin.untrusted_proxy).then(|| origin.address.clone());
        let client = connect.client;
        let presence_key =
            (client.mode != "cli").then(|| presence_key(device_id.as_ref(), &client).unwrap_or(&conn_id).clone());
        if let Some(key) = &presence_key {
            let ip = address.clone().filter(|_| !origin.is_local);
            let entry = client_entry(&client, device_id.as_ref(), &grant, ip, self.sys.clock.now_ms());
            self.presence.connected(key, entry, self.uptime_ms());
            self.hub.bump_presence();
        }
        let peer = Rc::new(Peer::new(Admission {
            id,
            conn_id,
            dialect,
            grant,
            client,
            device_id,
            offer,
            address,
            presence_key,
            outbox,
        }));
        self.hub.send(&peer, self.hello(&peer, &connect.id));
        self.hub.join(Rc::clone(&peer));
        self.node_arrived(&peer);
        self.refresh_health();
        log::info!(
            "connection {}: {} {} ({}, {})",
            peer.conn_id,
            peer.client.id,
            peer.client.version,
            peer.grant.role,
            peer.dialect.name()
        );
        peer
    }

    fn hello(&self, peer: &Peer, connect_id: &serde_json::Value) -> Vec<u8> {
        let presence = serde_json::value::to_raw_value(&self.present()).unwrap_or_default();
        let health = self.health.read(self.uptime_ms());
        let (methods, events) = self.offered.get(peer.dialect.index()).map_or((&[][..], &[][..]), |(m, e)| (m, e));
        peer.dialect.hello(
            connect_id,
            &Hello {
                conn_id: &peer.conn_id,
                host: &self.host,
                methods,
                events,
                presence: &presence,
                health: &health,
                state_version: self.hub.version(),
                uptime_ms: self.uptime_ms(),
                config_path: &self.places.config_file.display().to_string(),
                state_dir: &self.places.state_dir.display().to_string(),
                session_defaults: self.session_defaults(),
                grant: &peer.grant,
                policy: Policy {
                    max_payload: match peer.grant.role {
                        Role::Node => self.limits.node_max_payload,
                        Role::Operator | Role::Device => self.limits.max_payload,
                    },
                    max_buffered_bytes: self.limits.max_buffered_bytes,
                    tick_interval_ms: self.limits.tick_interval_ms,
                },
            },
        )
    }

    /// Defaults for session keys.
    #[must_use]
    pub fn session_defaults(&self) -> SessionDefaults {
        let rules = self.key_rules();
        let main = SessionKey::canonical(MAIN_KEY, &rules).map_or_else(|_| String::new(), |key| key.to_string());
        SessionDefaults {
            default_agent_id: rules.default_agent,
            main_key: MAIN_KEY.to_owned(),
            main_session_key: main,
            scope: self.config.get().session.scope.name().to_owned(),
        }
    }

    /// A connection is gone. Its waiting calls are cancelled; runs that it started go on.
    pub fn dismiss(self: &Rc<Self>, peer: &Peer) {
        self.hub.leave(peer.id);
        peer.cancel_calls();
        self.node_left(peer);
        if let Some(key) = &peer.presence_key {
            self.presence.disconnected(key, self.sys.clock.now_ms(), self.uptime_ms());
            self.presence_changed();
        }
        log::info!("connection {}: gone", peer.conn_id);
    }

    /// The presence list has changed: everyone hears of it, a moment later and once for many changes.
    pub fn presence_changed(self: &Rc<Self>) {
        self.hub.bump_presence();
        if self.presence_due.replace(true) {
            return;
        }
        let gateway = Rc::clone(self);
        self.sys.tasks.detach(async move {
            gateway.sys.clock.sleep(PRESENCE_PAUSE).await;
            gateway.presence_due.set(false);
            let list = gateway.present();
            gateway.hub.emit_json(&PRESENCE, &json!({"presence": list}));
        });
    }

    /// Health may have changed: a new snapshot goes to everyone, a moment later and once for many.
    pub fn refresh_health(self: &Rc<Self>) {
        if !self.health.schedule() {
            return;
        }
        let gateway = Rc::clone(self);
        self.sys.tasks.detach(async move {
            gateway.sys.clock.sleep(HEALTH_PAUSE).await;
            gateway.health.refreshed();
            gateway.take_health();
            gateway.hub.bump_health();
            let snapshot = gateway.health.read(gateway.uptime_ms());
            gateway.hub.emit(&HEALTH, crate::wire::event::Payload::Json(snapshot));
        });
    }

    /// Everything that happens by itself: ticks, health, scheduled jobs, heartbeats, channels. Until dropped.
    pub async fn keep_time(self: Rc<Self>) {
        self.open_channels();
        let _jobs = self.sys.tasks.spawn(Rc::clone(&self).keep_jobs());
        let _heart = self.sys.tasks.spawn(Rc::clone(&self).keep_heart());
        let clock = &self.sys.clock;
        let tick = Duration::from_millis(self.limits.tick_interval_ms);
        let (mut next_tick, mut next_health) = (clock.elapsed() + tick, clock.elapsed() + HEALTH_INTERVAL);
        loop {
            clock.sleep_until(next_tick.min(next_health)).await;
            let now = clock.elapsed();
            if now >= next_tick {
                next_tick = now + tick;
                self.hub.emit_json(&TICK, &json!({"ts": clock.now_ms()}));
            }
            if now >= next_health {
                next_health = now + HEALTH_INTERVAL;
                self.refresh_health();
            }
        }
    }

    /// Stops in order: tells everyone, lets running turns end or stops them, closes every
    /// connection, and writes what is unwritten. `restart_ms` is when to come back.
    pub async fn shut_down(self: &Rc<Self>, reason: &str, restart_ms: Option<u64>) {
        self.hub.emit_json(&SHUTDOWN, &json!({"reason": reason, "restartExpectedMs": restart_ms}));
        self.runs.close(Duration::from_millis(SHUTDOWN_GRACE_MS)).await;
        if self.sys.clock.timeout(JOBS_PAUSE, self.jobs.ended()).await.is_err() {
            log::warn!("a scheduled job did not end in time");
        }
        self.channels.close();
        for peer in self.hub.peers() {
            peer.outbox.close(1012, "service restart");
        }
        self.flush().await;
    }

    /// Writes what is unwritten. Troubles are logged: at the end there is nobody else to tell.
    pub async fn flush(&self) {
        let index = self.stores.sessions.close().await;
        let usage = self.stores.usage.flush().await;
        let rest = self.stores.saver.flush_all().await;
        for error in [index.err(), usage.err(), rest.err()].into_iter().flatten() {
            log::error!("not everything could be written: {error}");
        }
    }
}

fn own_entry(host: &str, now_ms: u64) -> Entry {
    let version = crate::VERSION;
    Entry {
        host: Some(host.to_owned()),
        version: Some(version.to_owned()),
        platform: Some(std::env::consts::OS.to_owned()),
        device_family: Some("Linux".to_owned()),
        model_identifier: Some(std::env::consts::ARCH.to_owned()),
        mode: Some("gateway".to_owned()),
        reason: Some("self".to_owned()),
        text: Some(format!("Gateway: {host} · app {version} · mode gateway · reason self")),
        ..Entry::at(now_ms)
    }
}

/// What a client is remembered by: its device, else its installation (connection.md 6.8).
fn presence_key<'a>(device_id: Option<&'a String>, client: &'a Client) -> Option<&'a String> {
    device_id.or(client.instance_id.as_ref())
}

fn client_entry(client: &Client, device_id: Option<&String>, grant: &Grant, ip: Option<String>, now_ms: u64) -> Entry {
    let host = client.display_name.clone().unwrap_or_else(|| client.id.clone());
    Entry {
        text: Some(format!("Node: {host} · mode {}", client.mode)),
        host: Some(host),
        ip,
        version: Some(client.version.clone()),
        platform: Some(client.platform.clone()),
        device_family: client.device_family.clone(),
        model_identifier: client.model_identifier.clone(),
        mode: Some(client.mode.clone()),
        reason: Some("connect".to_owned()),
        roles: Some(vec![grant.role.name().to_owned()]),
        scopes: Some(grant.scopes.clone()).filter(|scopes| !scopes.is_empty()),
        device_id: device_id.cloned(),
        instance_id: presence_key(device_id, client).cloned(),
        ..Entry::at(now_ms)
    }
}
