//! `config.*` (methods.md 8): reading the configuration without its secrets, and changing the file.

use std::time::Duration;

use serde_json::{Value, json};

use crate::config::proposal::{Change, Refusal};
use crate::config::{Problem, schema};
use crate::error::Error;
use crate::gateway::reconfigure::{Changed, NotChanged, Then, Wish};
use crate::gateway::restart_note::{self, RestartNote};
use crate::limits::{CONFIG_BYTES, RESTART_DELAY_MS, RESTART_NOTE_BYTES, SESSION_KEY_BYTES};
use crate::rpc::{Cx, Method};
use crate::stores::stamp;
use crate::wire::Access;
use crate::wire::shape::{int, text_within};
use crate::{later, now};

/// Rows.
pub const METHODS: &[Method] = &[
    Method {
        name: "config.get",
        aliases: &[],
        access: Access::Read,
        listed: true,
        doc: "Shows the configuration file and what it means, without secrets.",
        handler: now!(get),
    },
    Method {
        name: "config.set",
        aliases: &[],
        access: Access::Admin,
        listed: true,
        doc: "Replaces the text of the configuration file; what needs a restart gets one as gateway.reload.mode says.",
        handler: later!(set),
    },
    Method {
        name: "config.apply",
        aliases: &[],
        access: Access::Admin,
        listed: true,
        doc: "Replaces the text of the configuration file and restarts the gateway.",
        handler: later!(apply),
    },
    Method {
        name: "config.patch",
        aliases: &[],
        access: Access::Admin,
        listed: true,
        doc: "Changes some keys of the configuration file, keeps its comments, and restarts the gateway if that is needed.",
        handler: later!(patch),
    },
    Method {
        name: "config.schema",
        aliases: &[],
        access: Access::Read,
        listed: true,
        doc: "Describes every key of the configuration, for forms.",
        handler: now!(describe),
    },
];

/// Delay of a restart when the caller names none, ms (methods.md 8.3).
const DELAY_MS: u64 = 2000;
/// When a change that came while the gateway was ending may be tried again, ms.
const RESTART_MS: u64 = 1500;
/// Longest text of the file.
#[allow(clippy::cast_possible_truncation, reason = "the bound is a megabyte")]
const RAW_CHARS: usize = CONFIG_BYTES as usize;
/// A quarter of what fits into the note's file, as a character may need several bytes there.
const NOTE_CHARS: usize = RESTART_NOTE_BYTES / 4;

crate::wire! {
    /// No params.
    pub struct Nothing {}

    /// The configuration file.
    pub struct ConfigView {
        path: String,
        exists: bool,
        /// The text, its secrets replaced by `__REDACTED__`; null when there is no file or it is no JSON5.
        raw: Value,
        /// The text as JSON.
        parsed: Value,
        valid: bool,
        /// With includes and defaults; variables stand as they are written.
        config: Value,
        /// SHA-256 of the real text, for baseHash.
        hash: String,
        issues: Vec<Issue>,
        warnings: Vec<Issue>,
        legacy_issues: Vec<Issue>,
    }

    /// Something wrong, or worth knowing.
    pub struct Issue {
        /// The key, `a.b.0.c`; empty for the text as a whole.
        path: String,
        /// File, line, column, what was expected and found.
        message: String,
    }

    /// A new text.
    pub struct SetParams {
        /// JSON5; `__REDACTED__` keeps the secret that is there.
        raw: String = text_within(1, RAW_CHARS),
        /// `hash` of config.get; required when there is a file.
        base_hash: Option<String>,
    }

    /// It is written.
    pub struct SetResult {
        ok: bool,
        path: String,
        config: Value,
    }

    /// A new text or a patch, and the restart that may follow.
    pub struct ApplyParams {
        /// JSON5; for a patch an object whose `null`s remove keys.
        raw: String = text_within(1, RAW_CHARS),
        /// `hash` of config.get; required when there is a file.
        base_hash: Option<String>,
        /// The session that hears of the restart.
        session_key: Option<String> = text_within(0, SESSION_KEY_BYTES),
        /// What it hears.
        note: Option<String> = text_within(0, NOTE_CHARS),
        /// Time until the restart, at most a minute, 2000 by default.
        restart_delay_ms: Option<u64> = int(0),
    }

    /// It is written.
    pub struct ApplyResult {
        ok: bool,
        path: String,
        config: Value,
        /// Null when everything is in force already.
        restart: Value,
        /// The note for the next start; null without a restart.
        sentinel: Value,
    }

    /// Every key.
    pub struct SchemaResult {
        schema: Value,
        ui_hints: Value,
        version: String,
        generated_at: String,
    }

    /// The restart to come.
    pub struct Restart {
        ok: bool,
        pid: u32,
        signal: String,
        /// Time until the restart.
        delay_ms: u64,
        reason: String,
        mode: String,
    }

    /// The note for the next start.
    pub struct Sentinel {
        /// Where it is; null when it could not be written.
        path: Value,
        payload: Option<RestartNote>,
    }
}

fn get(cx: &Cx, _: Nothing) -> Result<ConfigView, Error> {
    let view = cx.gateway.view_config().map_err(|error| Error::unavailable(error.to_string()))?;
    Ok(ConfigView {
        path: path_of(cx),
        exists: view.exists,
        raw: view.raw.map_or(Value::Null, Value::String),
        parsed: view.parsed,
        valid: view.valid,
        config: view.config,
        hash: view.hash,
        issues: issues(&view.issues),
        warnings: issues(&view.warnings),
        legacy_issues: issues(&view.legacy),
    })
}

async fn set(cx: Cx, params: SetParams) -> Result<SetResult, Error> {
    let change = Change::Whole(&params.raw);
    let changed = cx.gateway.change_config(params.base_hash.as_deref(), change, Then::Nothing).await;
    let changed = changed.map_err(|refused| refusal(&refused))?;
    Ok(SetResult { ok: true, path: path_of(&cx), config: changed.config })
}

async fn apply(cx: Cx, params: ApplyParams) -> Result<ApplyResult, Error> {
    let then = Then::Restart(wish(&params));
    change(&cx, &params, Change::Whole(&params.raw), then, "config.apply").await
}

async fn patch(cx: Cx, params: ApplyParams) -> Result<ApplyResult, Error> {
    let then = Then::RestartIfNeeded(wish(&params));
    change(&cx, &params, Change::Patch(&params.raw), then, "config.patch").await
}

fn describe(cx: &Cx, _: Nothing) -> Result<SchemaResult, Error> {
    Ok(SchemaResult {
        schema: schema::schema(),
        ui_hints: schema::hints(),
        version: crate::VERSION.to_owned(),
        generated_at: stamp::iso(cx.gateway.sys.clock.now_ms()),
    })
}

fn wish(params: &ApplyParams) -> Wish {
    let delay_ms = params.restart_delay_ms.unwrap_or(DELAY_MS).min(RESTART_DELAY_MS);
    let filled =
        |text: &Option<String>| text.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    Wish {
        delay: Duration::from_millis(delay_ms),
        session_key: filled(&params.session_key),
        note: filled(&params.note),
    }
}

async fn change(
    cx: &Cx,
    params: &ApplyParams,
    change: Change<'_>,
    then: Then,
    reason: &str,
) -> Result<ApplyResult, Error> {
    let changed = cx.gateway.change_config(params.base_hash.as_deref(), change, then).await;
    let Changed { config, restart } = changed.map_err(|refused| refusal(&refused))?;
    let (restart, sentinel) = match restart {
        None => (Value::Null, Value::Null),
        Some((delay, note)) => {
            let restart = Restart {
                ok: true,
                pid: std::process::id(),
                signal: "SIGUSR1".to_owned(),
                delay_ms: u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
                reason: reason.to_owned(),
                mode: "emit".to_owned(),
            };
            let path = restart_note::path(&cx.gateway.places.state_dir).display().to_string();
            let sentinel = Sentinel { path: note.as_ref().map_or(Value::Null, |_| Value::String(path)), payload: note };
            (json!(restart), json!(sentinel))
        }
    };
    Ok(ApplyResult { ok: true, path: path_of(cx), config, restart, sentinel })
}

pub(super) fn refusal(refused: &NotChanged) -> Error {
    let message = refused.to_string();
    match refused {
        NotChanged::Busy => Error::unavailable(message).retry_after(500),
        NotChanged::Ending => Error::unavailable(message).retry_after(RESTART_MS),
        NotChanged::JobStore(_) => {
            let issue = Issue { path: "cron.store".to_owned(), message: message.clone() };
            Error::invalid(message).with_details(json!({"issues": [issue]}))
        }
        NotChanged::Unreadable(_) | NotChanged::Disk(_) => Error::unavailable(message),
        NotChanged::Refused(Refusal::Invalid(problems)) => {
            Error::invalid(message).with_details(json!({"issues": issues(problems)}))
        }
        NotChanged::Refused(_) => Error::invalid(message),
        NotChanged::Credential(_) => {
            let issue = Issue { path: "gateway.auth".to_owned(), message: message.clone() };
            Error::invalid(format!("invalid config: {message}")).with_details(json!({"issues": [issue]}))
        }
    }
}

fn issues(problems: &[Problem]) -> Vec<Issue> {
    let issue = |problem: &Problem| Issue { path: problem.key.clone(), message: problem.to_string() };
    problems.iter().map(issue).collect()
}

fn path_of(cx: &Cx) -> String {
    cx.gateway.places.config_file.display().to_string()
}
