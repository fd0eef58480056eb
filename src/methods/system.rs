//! `health`, `status`, presence, and `connect`, which comes too late here (methods.md section 2).

use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::Error;
use crate::events::hub::Counters;
use crate::gateway::heartbeat::HeartbeatSummary;
use crate::gateway::presence::Entry;
use crate::now;
use crate::rpc::{Cx, Method};
use crate::runs::choice;
use crate::wire::Access;

/// Rows.
pub const METHODS: &[Method] = &[
    Method {
        name: "health",
        aliases: &[],
        access: Access::Read,
        listed: true,
        doc: "Tells whether the gateway is well: status, uptime, agents and their sessions, storage.",
        handler: now!(health),
    },
    Method {
        name: "status",
        aliases: &[],
        access: Access::Read,
        listed: true,
        doc: "Tells what the gateway does: connections, runs, sessions, models, and how much it holds in memory.",
        handler: now!(status),
    },
    Method {
        name: "system-presence",
        aliases: &[],
        access: Access::Read,
        listed: true,
        doc: "Lists who is or was connected, newest first, the gateway included.",
        handler: now!(presence),
    },
    Method {
        name: "system-event",
        aliases: &[],
        access: Access::Admin,
        listed: true,
        doc: "Reports about a client: its presence entry is updated and everyone hears of it.",
        handler: now!(event),
    },
    Method {
        name: "connect",
        aliases: &[],
        access: Access::Admin,
        listed: false,
        doc: "Is the handshake, so it is refused once the handshake is over.",
        handler: now!(connect),
    },
];

crate::wire! {
    /// Params are ignored but for `probe`.
    pub open struct HealthParams {
        /// Take a new snapshot instead of the last one.
        probe: Option<Value>,
    }

    /// Params are ignored.
    pub open struct Ignored {}
}

fn health(cx: &Cx, params: HealthParams) -> Result<Box<RawValue>, Error> {
    if params.probe == Some(Value::Bool(true)) {
        cx.gateway.take_health();
        cx.gateway.refresh_health();
    }
    Ok(cx.gateway.health.read(cx.gateway.uptime_ms()))
}

crate::wire! {
    /// What the gateway does.
    pub struct Status {
        version: String,
        uptime_ms: u64,
        host: String,
        connections: usize,
        slow_closed: u64,
        events_skipped: u64,
        /// Bytes not yet sent, of all connections.
        unsent_bytes: usize,
        /// Bytes of unfinished messages and waiting calls.
        incoming_bytes: usize,
        calls_in_flight: usize,
        runs: RunCounts,
        /// What is wrong with the disk, if anything.
        storage_trouble: Option<String>,
        log_trouble: Option<String>,
        heartbeat: HeartbeatStatus,
        channel_summary: Vec<String>,
        queued_system_events: Vec<String>,
        sessions: SessionStatus,
    }

    /// Runs.
    pub struct RunCounts {
        running: usize,
        queued: usize,
    }

    /// Heartbeats.
    pub struct HeartbeatStatus {
        default_agent_id: String,
        agents: Vec<AgentHeartbeat>,
    }

    /// One agent's heartbeat.
    pub struct AgentHeartbeat {
        agent_id: String,
        enabled: bool,
        /// The interval as configured.
        every: String,
        /// The same in milliseconds; null when it is off.
        every_ms: Value,
    }

    /// Sessions.
    pub struct SessionStatus {
        paths: Vec<String>,
        count: usize,
        defaults: SessionModel,
        recent: Vec<Recent>,
        by_agent: Vec<AgentSessions>,
    }

    /// The model of a session that chose none.
    pub struct SessionModel {
        model: Option<String>,
        context_tokens: Option<u64>,
    }

    /// One agent's sessions.
    pub struct AgentSessions {
        agent_id: String,
        path: String,
        count: usize,
        recent: Vec<Recent>,
    }

    /// A session in short.
    pub struct Recent {
        agent_id: String,
        key: String,
        kind: String,
        session_id: Option<String>,
        updated_at: u64,
        age: u64,
        thinking_level: Option<String>,
        verbose_level: Option<String>,
        reasoning_level: Option<String>,
        elevated_level: Option<String>,
        system_sent: Option<bool>,
        aborted_last_run: Option<bool>,
        input_tokens: Option<u64>,
        output_tokens: Option<u64>,
        total_tokens: u64,
        remaining_tokens: Option<u64>,
        percent_used: Option<u64>,
        model: Option<String>,
        context_tokens: Option<u64>,
        flags: Vec<String>,
    }
}

/// Sessions that `status` names.
const RECENT: usize = 10;

fn status(cx: &Cx, _: Ignored) -> Result<Status, Error> {
    let gateway = &cx.gateway;
    let config = gateway.config.get();
    let Counters { connections, slow_closed, events_skipped } = gateway.hub.counters();
    let (running, queued) = gateway.runs.counts();
    let default_agent = config.agents.default_agent();
    let model = choice::shown(&config, default_agent, &gateway.runs.context().local).map(|(_, model)| model);
    let newest = gateway.stores.sessions.newest();
    let recent = |agent: Option<&str>| -> Vec<Recent> {
        let wanted = newest.iter().filter(|row| match agent {
            Some(agent) => row.key().agent() == Some(agent),
            None => !matches!(row.key().as_str(), "global" | "unknown"),
        });
        wanted.take(RECENT).map(|row| recent_row(cx, row, model.as_ref())).collect()
    };
    let by_agent = config.agents.list.iter().map(|agent| AgentSessions {
        agent_id: agent.id.clone(),
        path: gateway.index_path(&agent.id),
        count: newest.iter().filter(|row| row.key().agent() == Some(&agent.id)).count(),
        recent: recent(Some(&agent.id)),
    });
    let heartbeats = config.agents.list.iter().map(|agent| {
        let HeartbeatSummary { enabled, every, every_ms, .. } = gateway.heartbeat_summary(agent);
        AgentHeartbeat { agent_id: agent.id.clone(), enabled, every, every_ms }
    });
    Ok(Status {
        version: crate::VERSION.to_owned(),
        uptime_ms: gateway.uptime_ms(),
        host: gateway.host.clone(),
        connections,
        slow_closed,
        events_skipped,
        unsent_bytes: gateway.outgoing.used(),
        incoming_bytes: gateway.incoming.used(),
        calls_in_flight: gateway.calls.used(),
        runs: RunCounts { running, queued },
        storage_trouble: gateway.stores.saver.trouble(),
        log_trouble: gateway.journal.trouble().map(|trouble| trouble.message),
        heartbeat: HeartbeatStatus { default_agent_id: default_agent.id.clone(), agents: heartbeats.collect() },
        channel_summary: gateway.channels.lines(),
        queued_system_events: gateway.system_events.texts(&gateway.main_key(&default_agent.id)),
        sessions: SessionStatus {
            paths: config.agents.list.iter().map(|agent| gateway.index_path(&agent.id)).collect(),
            count: newest.len(),
            defaults: SessionModel {
                model: model.as_ref().map(|model| model.id.clone()),
                context_tokens: model.as_ref().map(|model| model.context_window),
            },
            recent: recent(None),
            by_agent: by_agent.collect(),
        },
    })
}

fn recent_row(cx: &Cx, row: &crate::stores::Row, default: Option<&crate::config::models::Model>) -> Recent {
    let entry = row.entry();
    let context_tokens = entry.context_tokens.or_else(|| default.map(|model| model.context_window));
    let total_tokens = entry.total_tokens.unwrap_or(0);
    let mut flags = Vec::new();
    let levels = [
        ("think", &entry.thinking_level),
        ("verbose", &entry.verbose_level),
        ("reasoning", &entry.reasoning_level),
        ("elevated", &entry.elevated_level),
    ];
    for (name, level) in levels {
        flags.extend(level.as_ref().filter(|level| *level != "off").map(|level| format!("{name}:{level}")));
    }
    flags.extend(entry.system_sent.filter(|sent| *sent).map(|_| "system".to_owned()));
    flags.extend(entry.aborted_last_run.filter(|aborted| *aborted).map(|_| "aborted".to_owned()));
    flags.extend(entry.session_id.as_ref().map(|id| format!("id:{id}")));
    Recent {
        agent_id: cx.gateway.agent_of(row.key()),
        key: row.key().to_string(),
        kind: row.key().kind().name().to_owned(),
        updated_at: row.updated_at(),
        age: cx.gateway.sys.clock.now_ms().saturating_sub(row.updated_at()),
        remaining_tokens: context_tokens.map(|window| window.saturating_sub(total_tokens)),
        percent_used: context_tokens.and_then(|window| percent(total_tokens, window)),
        total_tokens,
        context_tokens,
        session_id: entry.session_id,
        thinking_level: entry.thinking_level,
        verbose_level: entry.verbose_level,
        reasoning_level: entry.reasoning_level,
        elevated_level: entry.elevated_level,
        system_sent: entry.system_sent,
        aborted_last_run: entry.aborted_last_run,
        input_tokens: entry.input_tokens,
        output_tokens: entry.output_tokens,
        model: entry.model.or_else(|| default.map(|model| model.id.clone())),
        flags,
    }
}

/// Of a window, to the nearest percent; more than 999 is shown as 999.
fn percent(used: u64, window: u64) -> Option<u64> {
    used.saturating_mul(100).saturating_add(window / 2).checked_div(window).map(|percent| percent.min(999))
}

fn presence(cx: &Cx, _: Ignored) -> Result<Vec<Entry>, Error> {
    Ok(cx.gateway.present())
}

crate::wire! {
    /// The report was taken.
    pub struct Done {
        ok: bool,
    }
}

/// Most roles, scopes or tags of a report.
const REPORT_ITEMS: usize = 32;
/// Longest text of a report, characters.
const REPORT_CHARS: usize = 1000;

/// Wrongly typed fields are ignored, so the params are read by hand (connection.md 6.8).
fn event(cx: &Cx, params: Value) -> Result<Done, Error> {
    let text = |name: &str| {
        let text = params.get(name).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty())?;
        Some(text.chars().take(REPORT_CHARS).collect::<String>())
    };
    let list = |name: &str| -> Option<Vec<String>> {
        let items = params.get(name)?.as_array()?.iter().take(REPORT_ITEMS);
        items.map(|item| Some(item.as_str()?.chars().take(REPORT_CHARS).collect())).collect()
    };
    let report = text("text").ok_or_else(|| Error::invalid("text required"))?;
    let parsed = Beacon::parse(&report);
    let entry = Entry {
        host: text("host").or_else(|| parsed.host.clone()),
        ip: text("ip").or(parsed.ip),
        version: text("version").or(parsed.version),
        platform: text("platform"),
        device_family: text("deviceFamily"),
        model_identifier: text("modelIdentifier"),
        mode: text("mode").or(parsed.mode),
        last_input_seconds: params.get("lastInputSeconds").and_then(Value::as_u64).or(parsed.last_input_seconds),
        reason: text("reason").or(parsed.reason),
        tags: list("tags"),
        device_id: text("deviceId"),
        roles: list("roles"),
        scopes: list("scopes"),
        instance_id: text("instanceId"),
        text: Some(report.clone()),
        ts: cx.gateway.sys.clock.now_ms(),
    };
    let key = entry.device_id.clone().or_else(|| entry.instance_id.clone()).or(parsed.host);
    let key = key.unwrap_or_else(|| report.chars().take(64).collect());
    let gateway = &cx.gateway;
    let line =
        if report.starts_with("Node:") { changes(gateway.presence.entry(&key).as_ref(), &entry) } else { Some(report) };
    if let Some(line) = line {
        let main = gateway.main_key(&gateway.config.get().agents.default_agent().id);
        gateway.system_events.push(&main, &line, entry.ts);
    }
    gateway.presence.report(&key, entry, gateway.uptime_ms());
    gateway.presence_changed();
    Ok(Done { ok: true })
}

/// What is new about a client, as a line for the main session; `None` when nothing is that matters: a reason
/// that only says that it still lives doesn't (methods.md 2.7).
fn changes(old: Option<&Entry>, new: &Entry) -> Option<String> {
    let news = |field: fn(&Entry) -> &Option<String>| {
        field(new).clone().filter(|now| old.and_then(|old| field(old).as_ref()) != Some(now))
    };
    let (host, ip) = (news(|entry| &entry.host), news(|entry| &entry.ip));
    let reason = news(|entry| &entry.reason)
        .filter(|reason| reason != "heartbeat" && !reason.to_lowercase().starts_with("periodic"));
    let parts = [("app ", news(|entry| &entry.version)), ("mode ", news(|entry| &entry.mode)), ("reason ", reason)];
    let parts: Vec<_> = parts.into_iter().filter_map(|(name, now)| now.map(|now| format!("{name}{now}"))).collect();
    if host.is_none() && ip.is_none() && parts.is_empty() {
        return None;
    }
    let mut line = format!("Node: {}", new.host.as_deref().unwrap_or("unknown"));
    if let Some(ip) = ip {
        line = format!("{line} ({ip})");
    }
    Some(std::iter::once(line).chain(parts).collect::<Vec<_>>().join(" · "))
}

/// The fields of `Node: <host> (<ip>) · app <version> · last input <n>s ago · mode <mode> · reason <reason>`.
#[derive(Debug, Default, PartialEq)]
struct Beacon {
    host: Option<String>,
    ip: Option<String>,
    version: Option<String>,
    mode: Option<String>,
    reason: Option<String>,
    last_input_seconds: Option<u64>,
}

impl Beacon {
    fn parse(text: &str) -> Self {
        let mut beacon = Self::default();
        let Some(rest) = text.strip_prefix("Node: ") else { return beacon };
        for (index, part) in rest.split(" · ").enumerate() {
            let after = |prefix: &str| part.strip_prefix(prefix).map(str::to_owned);
            if index == 0 {
                let (host, ip) = part.split_once(" (").map_or((part, None), |(host, ip)| (host, ip.strip_suffix(')')));
                beacon.host = Some(host.to_owned());
                beacon.ip = ip.map(str::to_owned);
            }
            beacon.version = beacon.version.or_else(|| after("app "));
            beacon.mode = beacon.mode.or_else(|| after("mode "));
            beacon.reason = beacon.reason.or_else(|| after("reason "));
            let seconds = after("last input ").and_then(|text| text.strip_suffix("s ago")?.parse().ok());
            beacon.last_input_seconds = beacon.last_input_seconds.or(seconds);
        }
        beacon
    }
}

fn connect(_: &Cx, _: Value) -> Result<Value, Error> {
    Err(Error::invalid("connect is only valid as the first request"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beacon_text_is_read_into_its_fields() {
        let text = "Node: kitchen-pi (10.0.0.9) · app 1.2.3 · last input 5s ago · mode node · reason connect";
        assert_eq!(
            Beacon::parse(text),
            Beacon {
                host: Some("kitchen-pi".into()),
                ip: Some("10.0.0.9".into()),
                version: Some("1.2.3".into()),
                mode: Some("node".into()),
                reason: Some("connect".into()),
                last_input_seconds: Some(5),
            }
        );
        assert_eq!(Beacon::parse("Something happened"), Beacon::default());
    }

    #[test]
    fn only_what_changed_about_a_node_is_news() {
        let entry = |ip: &str, reason: &str| Entry {
            host: Some("pi".into()),
            ip: Some(ip.into()),
            mode: Some("node".into()),
            reason: Some(reason.into()),
            ..Entry::at(0)
        };
        let first = entry("10.0.0.9", "connect");
        assert_eq!(changes(None, &first).unwrap(), "Node: pi (10.0.0.9) · mode node · reason connect");
        assert_eq!(changes(Some(&first), &first), None);
        assert_eq!(changes(Some(&first), &entry("10.0.0.9", "periodic")), None);
        assert_eq!(changes(Some(&first), &entry("10.0.0.10", "heartbeat")).unwrap(), "Node: pi (10.0.0.10)");
    }
}
