//! `audit.list`: what agents did.

use serde_json::Value;

use crate::error::Error;
use crate::gateway::post::store_error;
use crate::now;
use crate::rpc::{Cx, Method};
use crate::tools::audit;
use crate::wire::Access;
use crate::wire::shape::{int_within, text_within};

/// Rows.
pub const METHODS: &[Method] = &[Method {
    name: "audit.list",
    aliases: &[],
    access: Access::Admin,
    listed: true,
    doc: "Lists what agents did with their tools, the newest first: who asked, what was decided, what came of it.",
    handler: now!(list),
}];

crate::wire! {
    /// Which lines.
    pub struct ListParams {
        /// Most lines, 100 by default.
        limit: Option<u64> = int_within(1, 1000),
        /// Of this tool only.
        tool: Option<String> = text_within(0, 64),
        /// Of this session only.
        session_key: Option<String> = text_within(0, 512),
    }

    /// The lines.
    pub struct ListResult {
        /// Each with `ts`, `tool`, `outcome`, `decision`, `summary`, `way`, `asker` and more.
        entries: Vec<Value>,
    }
}

fn list(cx: &Cx, params: ListParams) -> Result<ListResult, Error> {
    let limit = usize::try_from(params.limit.unwrap_or(100)).unwrap_or(usize::MAX);
    let filled = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
    let (tool, session) = (filled(params.tool), filled(params.session_key));
    let session = session.map(|key| cx.gateway.session_key(&key)).transpose()?;
    let is = |line: &Value, key: &str, wanted: &str| line.get(key).and_then(Value::as_str) == Some(wanted);
    let is_wanted = |line: &Value| {
        tool.as_ref().is_none_or(|tool| is(line, "tool", tool))
            && session.as_ref().is_none_or(|session| is(line, "sessionKey", session.as_str()))
    };
    let read = audit::newest(&*cx.gateway.sys.files, &cx.gateway.places.state_dir, limit, is_wanted);
    Ok(ListResult { entries: read.map_err(|error| store_error(&error))? })
}
