//! Other conversations: which there are, what was said, a message to one, and a piece of work in one of its own.

use std::fmt::Write as _;
use std::time::Duration;

use super::{Cx, Group, Problem, Risk, Tool, outside};
use crate::gateway::errand::Errand;
use crate::limits::TOOL_TEXT_BYTES;
use crate::runs::tools::ToolOutput;
use crate::stores::SessionKey;
use crate::wire::shape::{int_within, text_within};

/// Rows.
pub(super) const TOOLS: &[Tool] = &[
    Tool::new(
        "sessions_list",
        Group::Sessions,
        Risk::Private,
        "Lists the newest conversations with their keys.",
        tool!(list),
    ),
    Tool::new(
        "sessions_history",
        Group::Sessions,
        Risk::Private,
        "Shows the last messages of another conversation.",
        tool!(history),
    ),
    Tool::new(
        "sessions_send",
        Group::Sessions,
        Risk::World,
        "Puts a message into another conversation, whose agent answers there, and tells you the answer.",
        tool!(send),
    )
    .within(TURN)
    .each_anew(),
    Tool::new(
        "sessions_spawn",
        Group::Sessions,
        Risk::Look,
        "Gives a piece of work to a helper with a fresh conversation and the same rights, and tells you its answer. \
         The helper sees only the task.",
        tool!(spawn),
    )
    .within(TURN),
];

/// Longest wait for another turn.
const TURN: Duration = Duration::from_secs(300);
/// The part of a helper's session key that tells what it is.
const HELPER: &str = "subagent";
/// Conversations that are listed.
const LISTED: usize = 30;
/// Characters of a message that are shown.
const SHOWN_CHARS: usize = 2000;

crate::wire! {
    /// Nothing.
    pub struct Nothing {}

    /// Which conversation.
    pub struct HistoryParams {
        /// Its key.
        session_key: String = text_within(1, 512),
        /// How many messages; 20 when left out.
        limit: Option<u64> = int_within(1, 100),
    }

    /// A message.
    pub struct SendParams {
        /// The key of the conversation.
        session_key: String = text_within(1, 512),
        message: String = text_within(1, 32_768),
    }

    /// A piece of work.
    pub struct SpawnParams {
        /// All that the helper has to know.
        task: String = text_within(1, 32_768),
    }
}

async fn list(cx: Cx, _: Nothing) -> Result<ToolOutput, Problem> {
    let mut out = String::new();
    for row in cx.gateway.stores.sessions.newest().iter().take(LISTED) {
        let entry = row.entry();
        let name = entry.label.or(entry.display_name).unwrap_or_default();
        let _ = writeln!(out, "{} {name}", row.key());
    }
    Ok(ToolOutput::text(if out.is_empty() { "There are none.".to_owned() } else { out }))
}

async fn history(cx: Cx, params: HistoryParams) -> Result<ToolOutput, Problem> {
    let key = known(&cx, &params.session_key)?;
    let entry = cx.gateway.stores.sessions.get(&key).unwrap_or_default();
    let file = cx.gateway.transcript(&key, &entry).map_err(|error| error.to_string())?;
    let limit = usize::try_from(params.limit.unwrap_or(20)).unwrap_or(usize::MAX);
    let items = cx.gateway.stores.transcripts.preview(&file, limit, SHOWN_CHARS).map_err(|error| error.to_string())?;
    let mut out = String::new();
    for item in items {
        let _ = writeln!(out, "{}: {}", item.role, item.text);
    }
    Ok(ToolOutput::text(outside(&cx, key.as_str(), &out, TOOL_TEXT_BYTES)))
}

async fn send(cx: Cx, params: SendParams) -> Result<ToolOutput, Problem> {
    let key = known(&cx, &params.session_key)?;
    if key == cx.scene.session {
        return Err(Problem::from("That is this conversation: just answer."));
    }
    let answer = turn(&cx, key.clone(), params.message).await?;
    Ok(ToolOutput::text(outside(&cx, key.as_str(), &answer, TOOL_TEXT_BYTES)))
}

async fn spawn(cx: Cx, params: SpawnParams) -> Result<ToolOutput, Problem> {
    if cx.scene.session.as_str().contains(&format!(":{HELPER}:")) {
        return Err(Problem::from("A helper has no helpers: do it yourself."));
    }
    let name = format!("agent:{}:{HELPER}:{}", cx.scene.agent_id, cx.gateway.sys.chance.hex::<6>());
    let key = cx.gateway.session_key(&name).map_err(|error| error.message)?;
    let answer = turn(&cx, key, params.task).await?;
    Ok(ToolOutput::text(answer))
}

/// A turn in another conversation, on the word of whoever asked here. It must not wait for a place that this very
/// turn holds.
async fn turn(cx: &Cx, key: SessionKey, text: String) -> Result<String, Problem> {
    let gateway = &cx.gateway;
    let most = usize::try_from(gateway.config.get().agents.defaults.max_concurrent).unwrap_or(usize::MAX);
    if gateway.runs.counts().0 >= most {
        return Err(Problem::from(
            "All places are taken: too much goes on at once. Try again later or do it yourself.",
        ));
    }
    if !gateway.runs.active_in(&key).is_empty() {
        return Err(Problem::from("That conversation is busy now."));
    }
    let errand = Errand {
        run_id: gateway.sys.chance.uuid(),
        agent_id: gateway.agent_of(&key),
        key,
        asker: cx.scene.asker.clone(),
        text,
        model: None,
        thinking: None,
        timeout: Some(TURN),
        extra_system_prompt: None,
    };
    let outcome = gateway.run_errand(errand).await.map_err(|undone| undone.problem)?;
    let answer = outcome.texts.iter().rev().find(|text| !text.trim().is_empty()).cloned();
    Ok(answer.unwrap_or_else(|| "It said nothing.".to_owned()))
}

/// A session that is there.
fn known(cx: &Cx, text: &str) -> Result<SessionKey, Problem> {
    let key = cx.gateway.session_key(text).map_err(|error| error.message)?;
    if cx.gateway.stores.sessions.row(&key).is_none() {
        return Err(Problem(format!("There is no conversation {text:?}; `sessions_list` shows them.")));
    }
    Ok(key)
}
