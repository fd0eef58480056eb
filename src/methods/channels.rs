//! `channels.status` and `channels.logout` (methods.md 11.1 and 11.2).

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::channels::known;
use crate::channels::status::ChannelsStatus;
use crate::config::channels::DEFAULT_ACCOUNT;
use crate::config::proposal::Change;
use crate::error::Error;
use crate::gateway::reconfigure::{NotChanged, Then};
use crate::later;
use crate::limits::{PROBE_MAX_MS, PROBE_MS};
use crate::rpc::{Cx, Method};
use crate::wire::Access;
use crate::wire::shape::{int, text};

/// Rows.
pub const METHODS: &[Method] = &[
    Method {
        name: "channels.status",
        aliases: &[],
        access: Access::Read,
        listed: true,
        doc: "Shows every channel and account, whether it works, and why not.",
        handler: later!(status),
    },
    Method {
        name: "channels.logout",
        aliases: &[],
        access: Access::Admin,
        listed: true,
        doc: "Forgets an account's link to its service.",
        handler: later!(logout),
    },
];

/// A probe has at least so long, ms.
const PROBE_MIN_MS: u64 = 1000;

crate::wire! {
    /// Whether the services are asked.
    pub struct StatusParams {
        /// Whether each account that works is asked to show it.
        probe: Option<bool>,
        /// How long all probes together may take; 10,000 by default, from 1,000 to 60,000.
        timeout_ms: Option<u64> = int(0),
    }

    /// Which account.
    pub struct LogoutParams {
        channel: String = text(1),
        account_id: Option<String>,
    }

    /// What was forgotten.
    pub struct LoggedOut {
        channel: String,
        account_id: String,
        /// Whether there was something to forget.
        cleared: bool,
        /// Whether a credential of the environment remains; Telegram only.
        env_token: Option<bool>,
        logged_out: bool,
    }
}

async fn status(cx: Cx, params: StatusParams) -> Result<ChannelsStatus, Error> {
    let channels = &cx.gateway.channels;
    if params.probe == Some(true) {
        let limit_ms = params.timeout_ms.unwrap_or(PROBE_MS).clamp(PROBE_MIN_MS, PROBE_MAX_MS);
        channels.probe(Duration::from_millis(limit_ms)).await;
    }
    Ok(channels.status())
}

async fn logout(cx: Cx, params: LogoutParams) -> Result<LoggedOut, Error> {
    let meta = known::find(&params.channel).ok_or_else(|| Error::invalid("invalid channels.logout channel"))?;
    if !meta.can_log_out {
        return Err(Error::invalid(format!("channel {} does not support logout", meta.id)));
    }
    let account_id = params.account_id.filter(|id| !id.trim().is_empty());
    let account_id = account_id.unwrap_or_else(|| DEFAULT_ACCOUNT.to_owned());
    let seat = cx.gateway.channels.seat(meta.id, &account_id);
    let source = seat.as_ref().and_then(|seat| seat.config.as_ref()?.sources.get("tokenSource").copied());
    let channel = seat.and_then(|seat| seat.channel.clone());
    let key = match source {
        Some("config") => Some("botToken"),
        Some("tokenFile") => Some("tokenFile"),
        _ => None,
    };
    let has_forgotten = match key {
        Some(key) => forget(&cx, meta.id, &account_id, key).await?,
        None => false,
    };
    let had_link = channel.is_some_and(|channel| channel.log_out());
    let cleared = had_link || has_forgotten;
    if cleared {
        log::info!("channel {}, account {account_id}: logged out", meta.id);
    }
    Ok(LoggedOut {
        channel: meta.id.to_owned(),
        account_id,
        cleared,
        env_token: (meta.id == "telegram").then_some(source == Some("env")),
        logged_out: cleared,
    })
}

/// Takes an account's credential out of the configuration file; tells whether there was one of its own.
async fn forget(cx: &Cx, channel: &str, account_id: &str, key: &str) -> Result<bool, Error> {
    let view = cx.gateway.view_config().map_err(|error| Error::unavailable(error.to_string()))?;
    let stands_at = |path: &str| view.parsed.pointer(path).is_some();
    let mut section = Map::new();
    let escaped = account_id.replace('~', "~0").replace('/', "~1");
    let own = format!("/channels/{channel}/accounts/{escaped}/{key}");
    // The channel's own credential is the default account's, and may be that of others too.
    if stands_at(&format!("/channels/{channel}/{key}")) && account_id == DEFAULT_ACCOUNT {
        section.insert(key.to_owned(), Value::Null);
    }
    if stands_at(&own) {
        let account = json!({account_id: {key: null}});
        section.insert("accounts".to_owned(), account);
    }
    if section.is_empty() {
        return Ok(false);
    }
    let patch = json!({"channels": {channel: section}}).to_string();
    let changed = cx.gateway.change_config(Some(&view.hash), Change::Patch(&patch), Then::Nothing).await;
    changed.map(|_| true).map_err(|refused| match &*refused {
        NotChanged::Refused(_) => Error::invalid("config invalid; fix it before logging out"),
        other => Error::unavailable(other.to_string()),
    })
}
