//! Reading sessions: `sessions.list`, `.preview`, `.resolve` (methods.md 7.2 and 7.3).

use std::rc::Rc;

use crate::error::Error;
use crate::now;
use crate::rpc::{Cx, Method};
use crate::runs::choice;
use crate::stores::session_entry::{DeliveryContext, Origin};
use crate::stores::{Entry, Row, SessionKey};
use crate::wire::Access;
use crate::wire::shape::{Kind, int, int_within, text, text_within};

/// Rows.
pub const METHODS: &[Method] = &[
    Method {
        name: "sessions.list",
        aliases: &[],
        access: Access::Read,
        listed: true,
        doc: "Lists sessions, newest activity first.",
        handler: now!(list),
    },
    Method {
        name: "sessions.preview",
        aliases: &[],
        access: Access::Read,
        listed: true,
        doc: "Shows the last messages of some sessions in short.",
        handler: now!(preview),
    },
    Method {
        name: "sessions.resolve",
        aliases: &[],
        access: Access::Admin,
        listed: false,
        doc: "Finds a session's canonical key from a key, a transcript id or a label.",
        handler: now!(resolve),
    },
];

/// JSON of one list, bytes; rows beyond are left out, the oldest first.
const LIST_BYTES: usize = 4 * 1024 * 1024;
/// Rows that get a title and a last message, each of which reads a file.
const ENRICHED_ROWS: usize = 200;
/// Characters of a last message.
const PREVIEW_CHARS: usize = 1000;
/// What a row takes at most beside its own texts.
const ROW_BYTES: usize = 512;

crate::wire! {
    /// Which sessions to list.
    pub struct ListParams {
        /// Most rows.
        limit: Option<u32> = int(1),
        /// Only sessions with activity in the last so many minutes.
        active_minutes: Option<u32> = int(1),
        /// Whether the key `global` is shown.
        include_global: Option<bool>,
        /// Whether the key `unknown` is shown.
        include_unknown: Option<bool>,
        /// Whether to make a title from the first message.
        include_derived_titles: Option<bool>,
        /// Whether to show the last message.
        include_last_message: Option<bool>,
        label: Option<String> = text_within(1, 64),
        spawned_by: Option<String> = text(1),
        agent_id: Option<String> = text(1),
        /// Part of a name, label, subject, id or key, in any case of letters.
        search: Option<String>,
    }

    /// Sessions.
    pub struct List {
        ts: u64,
        path: String,
        /// Rows in this answer.
        count: usize,
        defaults: Defaults,
        sessions: Vec<SessionRow>,
    }

    /// The model of a session that chose none.
    pub struct Defaults {
        model_provider: Option<String>,
        model: Option<String>,
        context_tokens: Option<u64>,
    }

    /// One session.
    pub struct SessionRow {
        key: String,
        /// `direct`, `group`, `global` or `unknown`.
        kind: String,
        label: Option<String>,
        display_name: Option<String>,
        channel: Option<String>,
        subject: Option<String>,
        group_channel: Option<String>,
        space: Option<String>,
        chat_type: Option<String>,
        origin: Option<serde_json::Value>,
        updated_at: u64,
        session_id: Option<String>,
        system_sent: Option<bool>,
        aborted_last_run: Option<bool>,
        thinking_level: Option<String>,
        verbose_level: Option<String>,
        reasoning_level: Option<String>,
        elevated_level: Option<String>,
        send_policy: Option<String>,
        input_tokens: Option<u64>,
        output_tokens: Option<u64>,
        total_tokens: u64,
        response_usage: Option<String>,
        model_provider: Option<String>,
        model: Option<String>,
        context_tokens: Option<u64>,
        delivery_context: Option<serde_json::Value>,
        last_channel: Option<String>,
        last_to: Option<String>,
        last_account_id: Option<String>,
        derived_title: Option<String>,
        last_message_preview: Option<String>,
    }
}

fn list(cx: &Cx, params: ListParams) -> Result<List, Error> {
    let gateway = &cx.gateway;
    let now_ms = gateway.sys.clock.now_ms();
    let config = gateway.config.get();
    let default = choice::shown(&config, config.agents.default_agent(), &gateway.runs.context().local);
    let oldest = params.active_minutes.map_or(0, |minutes| now_ms.saturating_sub(u64::from(minutes) * 60_000));
    let agent = params
        .agent_id
        .as_deref()
        .map(|id| config.agents.find(id).map_or_else(|| id.to_lowercase(), |agent| agent.id.clone()));
    let search = params.search.as_deref().map(str::to_lowercase).filter(|text| !text.is_empty());
    let limit = params.limit.map_or(usize::MAX, |limit| limit as usize);
    let mut sessions = Vec::new();
    let mut bytes = 0;
    for row in gateway.stores.sessions.newest() {
        if sessions.len() >= limit || row.updated_at() < oldest || bytes > LIST_BYTES {
            break;
        }
        let hidden = match row.key().as_str() {
            "global" => params.include_global != Some(true),
            "unknown" => params.include_unknown != Some(true),
            _ => false,
        };
        if hidden || agent.as_deref().is_some_and(|agent| row.key().agent() != Some(agent)) {
            continue;
        }
        let entry = row.entry();
        let wanted = params.label.as_ref().is_none_or(|label| entry.label.as_ref() == Some(label))
            && params.spawned_by.as_ref().is_none_or(|by| entry.spawned_by.as_ref() == Some(by))
            && search.as_ref().is_none_or(|text| matches(&row, &entry, text));
        if wanted {
            bytes += row.text().len() + ROW_BYTES;
            let enriched = sessions.len() < ENRICHED_ROWS;
            let row = session_row(cx, &row, entry, &params, enriched);
            bytes += row.last_message_preview.as_ref().map_or(0, String::len);
            sessions.push(row);
        }
    }
    let path = match config.agents.list.as_slice() {
        [only] => gateway.index_path(&only.id),
        _ => "(multiple)".to_owned(),
    };
    let defaults = Defaults {
        model_provider: default.as_ref().map(|(provider, _)| provider.id.clone()),
        model: default.as_ref().map(|(_, model)| model.id.clone()),
        context_tokens: default.as_ref().map(|(_, model)| model.context_window),
    };
    Ok(List { ts: now_ms, path, count: sessions.len(), defaults, sessions })
}

fn matches(row: &Row, entry: &Entry, text: &str) -> bool {
    let fields = [&entry.display_name, &entry.label, &entry.subject, &entry.session_id];
    row.key().as_str().contains(text) || fields.into_iter().flatten().any(|field| field.to_lowercase().contains(text))
}

fn session_row(cx: &Cx, row: &Rc<Row>, entry: Entry, params: &ListParams, enriched: bool) -> SessionRow {
    let file = cx.gateway.transcript(row.key(), &entry).ok();
    let transcripts = &cx.gateway.stores.transcripts;
    let derived_title = params.include_derived_titles.filter(|wanted| *wanted && enriched).and_then(|_| {
        let named = entry.display_name.clone().or_else(|| entry.subject.clone());
        named.or_else(|| transcripts.first_user_text(file.as_ref()?).ok()?).or_else(|| {
            let id: String = entry.session_id.as_ref()?.chars().take(8).collect();
            let day = crate::stores::stamp::iso(row.updated_at());
            Some(format!("{id} ({})", day.get(..10).unwrap_or_default()))
        })
    });
    let last_message_preview = params
        .include_last_message
        .filter(|wanted| *wanted && enriched)
        .and_then(|_| transcripts.last_text(file.as_ref()?).ok()?)
        .map(|text| text.chars().take(PREVIEW_CHARS).collect());
    SessionRow {
        key: row.key().to_string(),
        kind: row.key().kind().name().to_owned(),
        updated_at: row.updated_at(),
        total_tokens: entry.total_tokens.unwrap_or(0),
        origin: entry.origin.as_ref().map(|origin: &Origin| serde_json::json!(origin)),
        delivery_context: entry.delivery_context.as_ref().map(|context: &DeliveryContext| serde_json::json!(context)),
        derived_title,
        last_message_preview,
        label: entry.label,
        display_name: entry.display_name,
        channel: entry.channel,
        subject: entry.subject,
        group_channel: entry.group_channel,
        space: entry.space,
        chat_type: entry.chat_type,
        session_id: entry.session_id,
        system_sent: entry.system_sent,
        aborted_last_run: entry.aborted_last_run,
        thinking_level: entry.thinking_level,
        verbose_level: entry.verbose_level,
        reasoning_level: entry.reasoning_level,
        elevated_level: entry.elevated_level,
        send_policy: entry.send_policy,
        input_tokens: entry.input_tokens,
        output_tokens: entry.output_tokens,
        response_usage: entry.response_usage,
        model_provider: entry.provider_override.or(entry.model_provider),
        model: entry.model_override.or(entry.model),
        context_tokens: entry.context_tokens,
        last_channel: entry.last_channel,
        last_to: entry.last_to,
        last_account_id: entry.last_account_id,
    }
}

/// Sessions of one preview; further keys are left out.
const PREVIEW_KEYS: usize = 64;

crate::wire! {
    /// Which sessions, and how much of them.
    pub struct PreviewParams {
        /// The first 64 are shown.
        keys: Vec<String> = Kind::List { of: &text(1), min: 1, max: usize::MAX },
        /// Messages of each, 12 by default, at most 50.
        limit: Option<u32> = int(1),
        /// Characters of each, 240 by default, at most 2000.
        max_chars: Option<u32> = int_within(20, u32::MAX as i64),
    }

    /// Previews.
    pub struct Previews {
        ts: u64,
        previews: Vec<Preview>,
    }

    /// One session's last messages.
    pub struct Preview {
        /// As the caller wrote it.
        key: String,
        /// `ok`, `empty`, `missing` or `error`.
        status: String,
        items: Vec<PreviewItem>,
    }

    /// One message.
    pub struct PreviewItem {
        /// `user`, `assistant`, `tool`, `system` or `other`.
        role: String,
        text: String,
    }
}

fn preview(cx: &Cx, params: PreviewParams) -> Result<Previews, Error> {
    let limit = params.limit.unwrap_or(12).min(50) as usize;
    let max_chars = params.max_chars.unwrap_or(240).min(2000) as usize;
    let one = |shown: &String| {
        let preview = |status: &str, items| Preview { key: shown.clone(), status: status.to_owned(), items };
        let entry = cx.gateway.session_key(shown).ok().and_then(|key| {
            let entry = cx.gateway.stores.sessions.get(&key)?;
            Some((key, entry))
        });
        let Some((key, entry)) = entry else { return preview("missing", Vec::new()) };
        let read = cx.gateway.transcript(&key, &entry);
        let items = read.and_then(|file| cx.gateway.stores.transcripts.preview(&file, limit, max_chars));
        match items {
            Ok(items) if items.is_empty() => preview("empty", Vec::new()),
            Ok(items) => {
                let items = items.into_iter().map(|item| PreviewItem { role: item.role.to_owned(), text: item.text });
                preview("ok", items.collect())
            }
            Err(error) => {
                log::warn!("preview of {key}: {error}");
                preview("error", Vec::new())
            }
        }
    };
    let previews = params.keys.iter().take(PREVIEW_KEYS).map(one).collect();
    Ok(Previews { ts: cx.gateway.sys.clock.now_ms(), previews })
}

crate::wire! {
    /// What is known of the session: exactly one of key, sessionId and label.
    pub struct ResolveParams {
        key: Option<String> = text(1),
        session_id: Option<String> = text(1),
        label: Option<String> = text_within(1, 64),
        agent_id: Option<String> = text(1),
        spawned_by: Option<String> = text(1),
        include_global: Option<bool>,
        include_unknown: Option<bool>,
    }

    /// The session's key.
    pub struct Resolved {
        ok: bool,
        key: String,
    }
}

fn resolve(cx: &Cx, params: ResolveParams) -> Result<Resolved, Error> {
    let sessions = &cx.gateway.stores.sessions;
    let given = [&params.key, &params.session_id, &params.label].into_iter().flatten().count();
    if given == 0 {
        return Err(Error::invalid("Either key, sessionId, or label is required"));
    }
    if given > 1 {
        return Err(Error::invalid("Provide either key, sessionId, or label (not multiple)"));
    }
    let found = |key: &SessionKey| Resolved { ok: true, key: key.to_string() };
    if let Some(shown) = &params.key {
        let key = cx.gateway.session_key(shown)?;
        let known = sessions.row(&key).is_some();
        return if known { Ok(found(&key)) } else { Err(Error::invalid(format!("No session found: {shown}"))) };
    }
    let (kind, wanted, mut keys) = match (&params.session_id, &params.label) {
        (Some(id), _) => ("sessionId", id, sessions.by_session_id(id)),
        (None, label) => {
            let label = label.as_ref().ok_or_else(|| Error::invalid("Either key, sessionId, or label is required"))?;
            ("label", label, sessions.by_label(label))
        }
    };
    keys.retain(|key| params.agent_id.as_ref().is_none_or(|agent| key.agent() == Some(agent.to_lowercase().as_str())));
    let parent = |key: &SessionKey| sessions.get(key).and_then(|entry| entry.spawned_by);
    keys.retain(|key| params.spawned_by.as_ref().is_none_or(|by| parent(key).as_ref() == Some(by)));
    match keys.as_slice() {
        [] if kind == "label" => Err(Error::invalid(format!("No session found with label: {wanted}"))),
        [] => Err(Error::invalid(format!("No session found: {wanted}"))),
        [key] => Ok(found(key)),
        many => {
            let many: Vec<_> = many.iter().map(SessionKey::as_str).collect();
            let kind = if kind == "label" { "with label" } else { "for sessionId" };
            Err(Error::invalid(format!("Multiple sessions found {kind}: {wanted} ({})", many.join(", "))))
        }
    }
}
