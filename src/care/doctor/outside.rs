//! The gateway itself and whom it talks to: clients, models, channels, the tailnet.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde_json::Value;

use super::finding::Finding;
use super::ground::{Ground, Online, PATIENCE};
use crate::config::file::Source;
use crate::config::models::Provider;
use crate::sys::host;
use crate::sys::url::Url;

/// Where the machine's service keeps its state, below the root.
const SERVICE_STATE: &str = "var/lib/barnacle";

pub(super) fn gateway(ground: &Ground) -> Vec<Finding> {
    match &ground.online {
        Online::Yes { health, .. } => {
            let trouble = health.pointer("/storage/trouble").and_then(Value::as_str);
            vec![match trouble {
                Some(trouble) => Finding::fail(format!("it runs, but can't keep anything: {trouble}"))
                    .mend(format!("df -h {}", Ground::quoted(&ground.places.state_dir))),
                None => Finding::ok("it runs and is well"),
            }]
        }
        Online::Trouble(why) if is_the_services(ground) => vec![
            Finding::fail(format!(
                "the machine's service seems to have its port, and you look at another state: {why}"
            ))
            .mend(format!("sudo barnacle doctor --state-dir /{SERVICE_STATE} --config /etc/barnacle/barnacle.json")),
        ],
        Online::Trouble(why) => vec![
            Finding::fail(format!("something has its port, but does not answer as a gateway with this token: {why}"))
                .mend(format!("sudo ss -ltnp 'sport = :{}'", port(ground))),
        ],
        Online::Nobody => {
            let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port(ground));
            vec![match smol::block_on(async_net::TcpListener::bind(address)) {
                Ok(_) => {
                    Finding::note(format!("it doesn't run; its port {} is free", address.port())).mend("barnacle run")
                }
                Err(error) => {
                    Finding::fail(format!("it doesn't run, and its port {} can't be had: {error}", address.port()))
                        .mend(format!("sudo ss -ltnp 'sport = :{}'", address.port()))
                }
            }]
        }
    }
}

/// Whether there is a state of the machine's service, and this isn't it.
fn is_the_services(ground: &Ground) -> bool {
    let dir = ground.root.join(SERVICE_STATE);
    host::is_there(&dir) && !ground.places.state_dir.starts_with(&dir)
}

fn port(ground: &Ground) -> u16 {
    ground.config().map_or(18789, |config| config.gateway.port)
}

pub(super) fn models(ground: &Ground) -> Vec<Finding> {
    let Ok(loaded) = &ground.loaded else { return vec![Finding::ok("the configuration comes first")] };
    let config = &loaded.config;
    if loaded.source == Source::Defaults && config.models().is_empty() {
        let file = Ground::quoted(&ground.places.config_file);
        return vec![
            Finding::note("no model has a key yet: nobody answers")
                .mend(format!("put a provider's key into {file} (docs/configuration.md: models.providers), or start with ANTHROPIC_API_KEY")),
        ];
    }
    let mut findings = Vec::new();
    let mut asked = BTreeSet::new();
    for agent in &config.agents.list {
        let choice = config.agents.models_of(agent);
        for (index, reference) in std::iter::once(&choice.primary).chain(&choice.fallbacks).enumerate() {
            if !asked.insert(reference.clone()) {
                continue;
            }
            let bad = |what: String| if index == 0 { Finding::fail(what) } else { Finding::warn(what) };
            match config.resolve(reference) {
                Err(error) => findings.push(bad(format!("{reference}: {error}")).mend("barnacle call models.list")),
                Ok((provider, _)) if provider.needs_key && provider.api_key.is_none() => {
                    findings.push(bad(format!("{reference}: no key for {}", provider.id)).mend(format!(
                        "set models.providers.{}.apiKey in {}",
                        provider.id,
                        Ground::quoted(&ground.places.config_file)
                    )))
                }
                Ok((provider, _)) => {
                    if let Err(why) = answers(ground, &provider) {
                        findings.push(
                            bad(format!("{reference}: {} doesn't answer: {why}", provider.base_url))
                                .mend(format!("curl -sSI {}", provider.base_url)),
                        );
                    }
                }
            }
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok(format!("{} with keys, and their servers answer", asked.len())));
    }
    findings
}

/// Whether a connection to the provider's server can be made. Nothing is sent.
fn answers(ground: &Ground, provider: &Provider) -> Result<(), String> {
    let url = Url::parse(&provider.base_url)?;
    let connect = async_net::TcpStream::connect((url.host.clone(), url.port));
    match smol::block_on(ground.clock.timeout(PATIENCE, connect)) {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no connection within {} s", PATIENCE.as_secs())),
    }
}

pub(super) fn channels(ground: &Ground) -> Vec<Finding> {
    let Online::Yes { channels, .. } = &ground.online else {
        return vec![Finding::ok("told while the gateway runs")];
    };
    let mut findings = Vec::new();
    let by_id = channels.get("channelAccounts").and_then(Value::as_object).into_iter().flatten();
    for (id, account) in by_id.flat_map(|(id, list)| list.as_array().into_iter().flatten().map(move |one| (id, one))) {
        let is = |field: &str| account.get(field).and_then(Value::as_bool) == Some(true);
        let name = account.get("accountId").and_then(Value::as_str).unwrap_or("default");
        if !is("configured") || (is("running") && account.get("lastError").is_none_or(Value::is_null)) {
            continue;
        }
        let why = account.get("lastError").and_then(Value::as_str).unwrap_or("it is off");
        findings
            .push(Finding::warn(format!("{id} ({name}): {why}")).mend("barnacle channels; barnacle logs --level warn"));
    }
    if findings.is_empty() {
        findings.push(Finding::ok("all that are configured run"));
    }
    findings
}

pub(super) fn pairing(ground: &Ground) -> Vec<Finding> {
    let Online::Yes { devices, people, .. } = &ground.online else {
        return vec![Finding::ok("told while the gateway runs")];
    };
    let rows = |of: &Value| of.get("pending").and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |row: &Value, field: &str| row.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let devices = rows(devices).into_iter().map(|row| {
        let name = [text(&row, "displayName"), text(&row, "clientId")].into_iter().find(|name| !name.is_empty());
        let name = name.unwrap_or_else(|| "a device".to_owned());
        Finding::note(format!("{name} waits to be let in as {}", text(&row, "role")))
            .mend(format!("barnacle devices approve {}", text(&row, "requestId")))
    });
    let people = rows(people).into_iter().map(|row| {
        Finding::note(format!("somebody on {} waits to be let in", text(&row, "channel")))
            .mend(format!("barnacle channels approve {}", text(&row, "code")))
    });
    let mut findings: Vec<_> = devices.chain(people).collect();
    if findings.is_empty() {
        findings.push(Finding::ok("nobody waits"));
    }
    findings
}

pub(super) fn tailscale(ground: &Ground) -> Vec<Finding> {
    let is_wanted = ground.config().is_some_and(|config| config.gateway.allow_tailscale);
    let Some(status) = ground.run(&["tailscale", "status", "--json"]) else {
        return vec![if is_wanted {
            Finding::warn("gateway.auth.allowTailscale is set, but there is no Tailscale here")
                .mend("see https://tailscale.com/download/linux")
        } else {
            Finding::ok("not used")
        }];
    };
    let value: Value = serde_json::from_str(&status.stdout).unwrap_or_default();
    let state = value.get("BackendState").and_then(Value::as_str).unwrap_or("unknown");
    if state != "Running" {
        let mend = match state {
            "NeedsLogin" | "Stopped" => "sudo tailscale up",
            _ => "sudo systemctl enable --now tailscaled",
        };
        let what = format!("the daemon isn't connected ({state})");
        return vec![if is_wanted { Finding::warn(what) } else { Finding::note(what) }.mend(mend)];
    }
    let serve = ground.run(&["tailscale", "serve", "status", "--json"]);
    let serve: Value = serve.and_then(|done| serde_json::from_str(&done.stdout).ok()).unwrap_or_default();
    let port = port(ground);
    let is_served = serve.to_string().contains(&format!(":{port}")) || serve.to_string().contains("serve.sock");
    vec![match (is_served, is_wanted) {
        (true, true) => Finding::ok("connected, and Serve leads here"),
        (true, false) => Finding::ok("connected; Serve leads here, and clients show the token"),
        (false, true) => Finding::warn("connected, but Serve doesn't lead to this gateway")
            .mend(format!("tailscale serve --bg http://127.0.0.1:{port}")),
        (false, false) => Finding::ok("connected; Serve isn't used"),
    }]
}
