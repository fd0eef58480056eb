//! `gateway`: where to listen, who may come in, how much is held for them (methods.md 9.1).

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::network::{self, Bind, Network};
use super::problem::Notes;
use super::strength::{SecretKind, weakness};
use super::tree::Field;
use crate::limits::Limits;
use crate::secret::Secret;

/// Environment variable of the gateway token.
pub(super) const TOKEN_VARIABLE: &str = "BARNACLE_TOKEN";
/// Environment variable of the gateway password.
pub(super) const PASSWORD_VARIABLE: &str = "BARNACLE_PASSWORD";

/// The `gateway` section.
#[derive(Debug, Clone)]
pub struct Gateway {
    /// TCP port.
    pub port: u16,
    /// Where to listen.
    pub bind: Bind,
    /// What clients have to show, as far as the file says it; see [`super::first_start`].
    pub auth: AuthSettings,
    /// Peers whose forwarding headers are believed.
    pub trusted_proxies: Vec<Network>,
    /// Further web origins, in the form that browsers send.
    pub allowed_origins: Vec<String>,
    /// Further names in the Host header, lower case, without port.
    pub allowed_hosts: Vec<String>,
    /// Whether the control page may do without a device where the browser gives it no key.
    pub insecure_control_ui: bool,
    /// Whether a login of the tailnet opens the door, once the Tailscale daemon confirms it.
    pub allow_tailscale: bool,
    /// What is served beside the WebSocket.
    pub http: HttpEndpoints,
    /// Tools that `/tools/invoke` may run, by name.
    pub tools_allow: Vec<String>,
    /// What nodes may be asked to do, beside the table of `nodes/policy.rs`.
    pub nodes: NodeRules,
    /// The bounds.
    pub limits: Limits,
    /// What a change of the configuration file does.
    pub reload: Reload,
}

/// `gateway.reload` (methods.md 8.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reload {
    /// What is done.
    pub mode: ReloadMode,
    /// How long the file has to be unchanged before, ms.
    pub debounce_ms: u64,
}

/// What a change of the configuration file does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReloadMode {
    /// What can be is applied at once, the rest by a restart.
    Hybrid,
    /// What can be is applied at once, the rest waits.
    Hot,
    /// Every change restarts.
    Restart,
    /// Nothing.
    Off,
}

/// `gateway.http.endpoints`: what is served beside the WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of its own in the file")]
pub struct HttpEndpoints {
    /// `/v1/chat/completions`.
    pub chat_completions: bool,
    /// `/v1/responses`.
    pub responses: bool,
    /// `/tools/invoke`.
    pub tools: bool,
    /// `/metrics`.
    pub metrics: bool,
    /// `/healthz` and `/readyz`.
    pub healthz: bool,
}

/// `gateway.nodes`: exact command names (connection.md 6.2).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeRules {
    /// Allowed on every platform.
    pub allow_commands: Vec<String>,
    /// Allowed on none, whatever else says so.
    pub deny_commands: Vec<String>,
}

/// What clients have to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthMode {
    /// The shared token.
    Token,
    /// The shared password.
    Password,
}

/// `gateway.auth` of the file. A secret that is given but empty counts as not given.
#[derive(Debug, Clone, Default)]
pub struct AuthSettings {
    /// The mode, when the file names one.
    pub mode: Option<AuthMode>,
    /// The token in the file.
    pub token: Option<Secret>,
    /// The password in the file.
    pub password: Option<Secret>,
}

pub(super) fn read(root: &Field<'_>, env: &BTreeMap<String, String>, notes: &mut Notes<'_>) -> Gateway {
    let at = |path: &str| root.find(&format!("gateway.{path}"));
    let bind = read_bind(root, notes);
    let gateway = Gateway {
        port: at("port").and_then(|field| field.whole()).and_then(|port| u16::try_from(port).ok()).unwrap_or(18789),
        bind,
        auth: read_auth(root, bind, notes),
        trusted_proxies: read_list(
            at("trustedProxies"),
            Network::parse,
            "an IP address or a network like 10.0.0.0/8 (not /0, which is everybody)",
            notes,
        ),
        allowed_origins: read_list(
            at("allowedOrigins"),
            network::origin,
            "an origin like https://pi.local:8443, without a path",
            notes,
        ),
        allowed_hosts: read_list(at("allowedHosts"), network::host, "a host name without port", notes),
        insecure_control_ui: at("controlUi.allowInsecureAuth").and_then(|field| field.flag()).unwrap_or(false),
        allow_tailscale: at("auth.allowTailscale").and_then(|field| field.flag()).unwrap_or(false),
        http: read_http(root),
        tools_allow: read_list(at("tools.allow"), command_name, "the name of a tool", notes),
        nodes: NodeRules {
            allow_commands: read_list(at("nodes.allowCommands"), command_name, "the name of a command", notes),
            deny_commands: read_list(at("nodes.denyCommands"), command_name, "the name of a command", notes),
        },
        limits: read_limits(root, notes),
        reload: Reload {
            mode: match at("reload.mode").and_then(|field| field.text()) {
                Some("hot") => ReloadMode::Hot,
                Some("restart") => ReloadMode::Restart,
                Some("off") => ReloadMode::Off,
                _ => ReloadMode::Hybrid,
            },
            debounce_ms: at("reload.debounceMs").and_then(|field| field.whole()).unwrap_or(300),
        },
    };
    check_open_bind(root, &gateway, env, notes);
    gateway
}

fn read_http(root: &Field<'_>) -> HttpEndpoints {
    let is_on = |name: &str, default: bool| {
        let field = root.find(&format!("gateway.http.endpoints.{name}.enabled"));
        field.and_then(|field| field.flag()).unwrap_or(default)
    };
    HttpEndpoints {
        chat_completions: is_on("chatCompletions", false),
        responses: is_on("responses", false),
        tools: is_on("tools", false),
        metrics: is_on("metrics", true),
        healthz: is_on("healthz", true),
    }
}

fn read_bind(root: &Field<'_>, notes: &mut Notes<'_>) -> Bind {
    let Some(field) = root.find("gateway.bind") else { return Bind::Loopback };
    match field.text().map(str::trim) {
        // A value of another type has been reported.
        None => Bind::Loopback,
        Some("loopback" | "auto") => Bind::Loopback,
        Some("lan") => Bind::Lan,
        Some("custom") => {
            let host = root.find("gateway.customBindHost");
            match host.as_ref().and_then(Field::text).map(|text| text.trim().parse::<IpAddr>()) {
                Some(Ok(address)) => Bind::Address(address),
                _ => {
                    let message = "`custom` needs gateway.customBindHost with an IP address";
                    notes.problem(host.as_ref().unwrap_or(&field), message);
                    Bind::Loopback
                }
            }
        }
        Some("tailnet") => {
            notes.problem(
                &field,
                "`tailnet` is not in this version; give the board's Tailscale address itself (`tailscale ip -4` shows it)",
            );
            Bind::Loopback
        }
        Some(text) => match text.trim_matches(['[', ']']).parse() {
            Ok(address) => Bind::Address(address),
            Err(_) => {
                notes.problem(
                    &field,
                    format!(
                        "expected `loopback`, `lan`, `auto`, `custom` or an IP address, found {}",
                        field.node.describe()
                    ),
                );
                Bind::Loopback
            }
        },
    }
}

fn read_auth(root: &Field<'_>, bind: Bind, notes: &mut Notes<'_>) -> AuthSettings {
    let mode = match root.find("gateway.auth.mode").and_then(|field| field.text()) {
        Some("token") => Some(AuthMode::Token),
        Some("password") => Some(AuthMode::Password),
        _ => None,
    };
    let mut secret = |path: &str, kind: SecretKind| {
        let field = root.find(path)?;
        let text = field.text()?;
        if let Some(why) = weakness(text, kind) {
            if bind.is_loopback() {
                notes.warning(&field, format!("weak: {why}; tolerated because only this machine can reach the port"));
            } else {
                notes.problem(&field, format!("too weak for a port that others can reach: {why}"));
            }
        }
        (!text.trim().is_empty()).then(|| Secret::new(text))
    };
    AuthSettings {
        mode,
        token: secret("gateway.auth.token", SecretKind::Token),
        password: secret("gateway.auth.password", SecretKind::Password),
    }
}

/// Listening beyond this machine needs a credential that the owner chose (INTEGRATIONS.md section 7,
/// test 9; connection.md 3.1).
fn check_open_bind(root: &Field<'_>, gateway: &Gateway, env: &BTreeMap<String, String>, notes: &mut Notes<'_>) {
    if gateway.bind.is_loopback() {
        return;
    }
    let in_environment = |name: &str| env.get(name).is_some_and(|value| !value.trim().is_empty());
    let token = gateway.auth.token.is_some() || in_environment(TOKEN_VARIABLE);
    let password = gateway.auth.password.is_some() || in_environment(PASSWORD_VARIABLE);
    let enough = match gateway.auth.mode {
        Some(AuthMode::Token) => token,
        Some(AuthMode::Password) => password,
        None => token || password,
    };
    if !enough {
        let field = root.find("gateway.bind");
        notes.problem(
            field.as_ref().unwrap_or(root),
            format!(
                "listening beyond this machine needs gateway.auth.token or gateway.auth.password (or {TOKEN_VARIABLE}, {PASSWORD_VARIABLE})"
            ),
        );
    }
}

/// A list whose every entry has to be `expected`; the others are problems and left out.
fn read_list<T>(
    field: Option<Field<'_>>,
    parse: impl Fn(&str) -> Option<T>,
    expected: &str,
    notes: &mut Notes<'_>,
) -> Vec<T> {
    let mut out = Vec::new();
    for item in field.map(|field| field.items()).unwrap_or_default() {
        let Some(text) = item.text() else { continue };
        match parse(text.trim()) {
            Some(value) => out.push(value),
            None => notes.problem(&item, format!("expected {expected}, found {}", item.node.describe())),
        }
    }
    out
}

fn command_name(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn read_limits(root: &Field<'_>, notes: &mut Notes<'_>) -> Limits {
    let mut limits = Limits::default();
    let Some(section) = root.find("gateway.limits") else { return limits };
    for (name, field) in section.entries() {
        if let Some(value) = field.whole() {
            // Unknown keys and values out of range have been reported by the check.
            let _ = limits.set(name, value);
        }
    }
    if section.find("nodeMaxPayload").is_none() {
        // Who makes the whole smaller has not asked for a part that is larger.
        limits.node_max_payload = limits.node_max_payload.min(limits.total_incoming_bytes);
    }
    for (part, part_value, whole, whole_value) in [
        ("maxBufferedBytes", limits.max_buffered_bytes, "totalBufferedBytes", limits.total_buffered_bytes),
        ("maxPayload", limits.max_payload, "totalIncomingBytes", limits.total_incoming_bytes),
        ("nodeMaxPayload", limits.node_max_payload, "totalIncomingBytes", limits.total_incoming_bytes),
        ("historyBytes", limits.history_bytes, "maxBufferedBytes", limits.max_buffered_bytes),
        ("callsPerConnection", limits.calls_per_connection, "callsInFlight", limits.calls_in_flight),
        ("laneQueue", limits.lane_queue, "runsQueued", limits.runs_queued),
        ("pendingConnections", limits.pending_connections, "connections", limits.connections),
    ] {
        if part_value > whole_value {
            let field = section.find(part).or_else(|| section.find(whole));
            notes.problem(
                field.as_ref().unwrap_or(&section),
                format!("{part} is {part_value}, more than {whole} with {whole_value}"),
            );
        }
    }
    limits
}
