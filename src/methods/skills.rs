//! `skills.*` (methods.md 12.3): what agents can read up on, what it needs, and getting that.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::config::refusal;
use crate::config::proposal::Change;
use crate::config::skills::Installer;
use crate::error::Error;
use crate::gateway::reconfigure::Then;
use crate::limits::INSTALL_MS_MAX;
use crate::rpc::{Cx, Method};
use crate::skills::fit::{Facts, platform};
use crate::skills::install::{self, Outcome};
use crate::skills::manifest::{Requires, Way};
use crate::skills::{self, Skill};
use crate::wire::Access;
use crate::wire::shape::{int, text};
use crate::{later, now};

/// Rows.
pub const METHODS: &[Method] = &[
    Method {
        name: "skills.status",
        aliases: &[],
        access: Access::Read,
        listed: true,
        doc: "Lists the default agent's skills, what they need and what of it is missing.",
        handler: now!(status),
    },
    Method {
        name: "skills.bins",
        aliases: &[],
        access: Access::NodeOrRead,
        listed: true,
        doc: "Lists the programs that skills use, for nodes that look whether they have them.",
        handler: now!(bins),
    },
    Method {
        name: "skills.install",
        aliases: &[],
        access: Access::Admin,
        listed: true,
        doc: "Installs what a skill needs, one way of those that it declares and that skills.install.allow has.",
        handler: later!(install),
    },
    Method {
        name: "skills.update",
        aliases: &[],
        access: Access::Admin,
        listed: true,
        doc: "Switches a skill on or off and sets its key and variables in the configuration file.",
        handler: later!(update),
    },
];

/// Time limit of an installation when the caller names none, ms (methods.md 12.3).
const INSTALL_MS: u64 = 300_000;

crate::wire! {
    /// No params.
    pub struct Nothing {}

    /// The default agent's skills.
    pub struct Status {
        workspace_dir: String,
        managed_skills_dir: String,
        skills: Vec<Row>,
    }

    /// A skill.
    pub struct Row {
        name: String,
        description: String,
        /// `clawdbot-extra`, `clawdbot-managed` or `clawdbot-workspace`.
        source: String,
        file_path: String,
        base_dir: String,
        /// Its key under `skills.entries`.
        skill_key: String,
        primary_env: Option<String>,
        emoji: Option<String>,
        homepage: Option<String>,
        /// Whether it is used whatever is missing.
        always: bool,
        disabled: bool,
        blocked_by_allowlist: bool,
        eligible: bool,
        requirements: Needs,
        missing: Needs,
        config_checks: Vec<ConfigCheck>,
        /// The best way to get what is missing; all of them when they are downloads.
        install: Vec<WayRow>,
    }

    /// What a skill needs.
    pub struct Needs {
        bins: Vec<String>,
        /// One of these.
        any_bins: Vec<String>,
        env: Vec<String>,
        config: Vec<String>,
        os: Vec<String>,
    }

    /// A key of the configuration that a skill needs.
    pub struct ConfigCheck {
        path: String,
        /// What it is, without secrets.
        value: Option<Value>,
        satisfied: bool,
    }

    /// A way to install.
    pub struct WayRow {
        id: String,
        kind: String,
        label: String,
        bins: Vec<String>,
    }

    /// Programs.
    pub struct Bins {
        bins: Vec<String>,
    }

    /// Which skill, and which way.
    pub struct InstallParams {
        name: String = text(1),
        /// `id` of one of its ways.
        install_id: String = text(1),
        /// 300000 by default, at most 900000.
        timeout_ms: Option<u64> = int(1000),
    }

    /// What came of it.
    pub struct Installed {
        ok: bool,
        message: String,
        stdout: String,
        stderr: String,
        /// The installer's code; null when it has none.
        code: Value,
    }

    /// Changes of a skill's entry.
    pub struct UpdateParams {
        skill_key: String = text(1),
        enabled: Option<bool>,
        /// Stands for the skill's main variable; empty removes it.
        api_key: Option<String>,
        /// Variables; an empty value removes one.
        env: Option<BTreeMap<String, String>>,
    }

    /// The entry as it is now, without secrets.
    pub struct Updated {
        ok: bool,
        skill_key: String,
        config: Value,
    }
}

fn status(cx: &Cx, _: Nothing) -> Result<Status, Error> {
    let gateway = &cx.gateway;
    let config = gateway.config.get();
    let workspace = skills::workspace_of(&config, &gateway.places, &config.agents.default_agent().id);
    let facts = Facts::new(&gateway.sys, &config);
    let found = skills::list(&gateway.sys, &config, &gateway.places, &workspace);
    let shown = if found.iter().any(|skill| !skill.manifest.requires.config.is_empty()) {
        gateway.view_config().map_or(Value::Null, |view| view.config)
    } else {
        Value::Null
    };
    let row = |skill: Skill| {
        let fit = facts.judge(&skill.manifest);
        let eligible = fit.is_eligible();
        let file_path = skill.file().display().to_string();
        let manifest = skill.manifest;
        let check = |path: &String| ConfigCheck {
            value: path.split('.').try_fold(&shown, |value, name| value.get(name)).cloned(),
            satisfied: config.affirmed.contains(path),
            path: path.clone(),
        };
        Row {
            source: skill.source.name().to_owned(),
            file_path,
            base_dir: skill.dir.display().to_string(),
            primary_env: manifest.primary_env,
            emoji: manifest.emoji,
            homepage: manifest.homepage,
            always: manifest.always,
            disabled: fit.is_disabled,
            blocked_by_allowlist: false,
            eligible,
            config_checks: manifest.requires.config.iter().map(check).collect(),
            install: offered(cx, &manifest.install).into_iter().map(way_row).collect(),
            requirements: needs(manifest.requires),
            missing: needs(fit.missing),
            skill_key: manifest.key,
            name: manifest.name,
            description: manifest.description,
        }
    };
    let skills = found.into_iter().map(row).collect();
    let managed_skills_dir = skills::managed_dir(&gateway.places).display().to_string();
    Ok(Status { workspace_dir: workspace.display().to_string(), managed_skills_dir, skills })
}

/// The best way, or all when all are downloads. Ways that are allowed and whose installer is there go first.
fn offered<'w>(cx: &Cx, ways: &'w [Way]) -> Vec<&'w Way> {
    let config = cx.gateway.config.get();
    let fits = |way: &&Way| way.os.is_empty() || way.os.iter().any(|name| name == platform());
    let mut ways: Vec<&Way> = ways.iter().filter(fits).collect();
    if ways.iter().all(|way| way.installer == Installer::Download) {
        return ways;
    }
    let is_there = |installer| installer != Installer::Brew || cx.gateway.sys.processes.which("brew").is_some();
    ways.sort_by_key(|way| {
        let usable = config.skills.install_allow.contains(&way.installer) && is_there(way.installer);
        (!usable, Installer::ALL.iter().position(|installer| *installer == way.installer))
    });
    ways.truncate(1);
    ways
}

fn way_row(way: &Way) -> WayRow {
    let kind = way.installer.name().to_owned();
    WayRow { id: way.id.clone(), kind, label: way.label.clone(), bins: way.bins.clone() }
}

fn needs(requires: Requires) -> Needs {
    let Requires { bins, any_bins, env, config, os } = requires;
    Needs { bins, any_bins, env, config, os }
}

fn bins(cx: &Cx, _: Nothing) -> Result<Bins, Error> {
    let gateway = &cx.gateway;
    Ok(Bins { bins: skills::bins(&gateway.sys, &gateway.config.get(), &gateway.places) })
}

async fn install(cx: Cx, params: InstallParams) -> Result<Installed, Error> {
    let gateway = &cx.gateway;
    let config = gateway.config.get();
    let workspace = skills::workspace_of(&config, &gateway.places, &config.agents.default_agent().id);
    let found = skills::list(&gateway.sys, &config, &gateway.places, &workspace);
    let Some(skill) = found.into_iter().find(|skill| skill.manifest.name == params.name) else {
        return Err(failed(Outcome::failed(format!("Skill not found: {}", params.name))));
    };
    let Some(way) = skill.manifest.install.iter().find(|way| way.id == params.install_id) else {
        return Err(failed(Outcome::failed(format!("Installer not found: {}", params.install_id))));
    };
    let Some(_place) = gateway.installs.take() else {
        return Err(Error::unavailable("another installation is running").retry_after(5000));
    };
    let limit = Duration::from_millis(params.timeout_ms.unwrap_or(INSTALL_MS).min(INSTALL_MS_MAX));
    let tools_dir = gateway.places.state_dir.join("tools").join(plain_name(&skill.manifest.key));
    let outcome = install::install(&gateway.sys, &config.skills, &skill.manifest.name, way, &tools_dir, limit).await;
    if outcome.ok { Ok(installed(outcome)) } else { Err(failed(outcome)) }
}

/// A directory's name that leads nowhere else.
fn plain_name(key: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    key.chars().take(64).map(plain).collect()
}

fn installed(outcome: Outcome) -> Installed {
    let Outcome { ok, message, stdout, stderr, code } = outcome;
    Installed { ok, message, stdout, stderr, code: code.map_or(Value::Null, Value::from) }
}

/// A failure whose payload is the same object as that of a success.
fn failed(outcome: Outcome) -> Error {
    let message = outcome.message.clone();
    Error::unavailable(message).with_payload(json!(installed(outcome)))
}

async fn update(cx: Cx, params: UpdateParams) -> Result<Updated, Error> {
    let key = params.skill_key.trim().to_owned();
    if key.is_empty() {
        return Err(Error::invalid("invalid skills.update params: at /skillKey: must NOT be blank"));
    }
    let text_or_null = |text: &str| match text.trim() {
        "" => Value::Null,
        text => Value::from(text),
    };
    let mut entry = Map::new();
    if let Some(enabled) = params.enabled {
        entry.insert("enabled".into(), enabled.into());
    }
    if let Some(api_key) = &params.api_key {
        entry.insert("apiKey".into(), text_or_null(api_key));
    }
    if let Some(env) = &params.env {
        let variables = env.iter().map(|(name, value)| (name.trim().to_owned(), text_or_null(value)));
        let variables: Map<String, Value> = variables.filter(|(name, _)| !name.is_empty()).collect();
        entry.insert("env".into(), variables.into());
    }
    let view = cx.gateway.view_config().map_err(|error| Error::unavailable(error.to_string()))?;
    let patch = json!({"skills": {"entries": {&key: entry}}}).to_string();
    let changed = cx.gateway.change_config(Some(&view.hash), Change::Patch(&patch), Then::Nothing).await;
    let changed = changed.map_err(|refused| refusal(&refused))?;
    let entry = changed.config.pointer("/skills/entries").and_then(|entries| entries.get(&key)).cloned();
    Ok(Updated { ok: true, skill_key: key, config: entry.unwrap_or_else(|| json!({})) })
}
