//! A call that somebody has to allow first: whoever may is asked, at connected clients and in chats, and answers there.

use serde_json::Value;

use super::{Cx, Problem, Tool, policy};
use crate::channels::known;
use crate::channels::message::Body;
use crate::channels::registry::Draft;
use crate::channels::target::Target;
use crate::config::tools::ForwardTarget;
use crate::limits::TOOL_ASK_MS;
use crate::nodes::decisions::{Request, Text, Verdict};
use crate::wire::event::Audience;

/// What exactly is to be allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Matter {
    /// In a line, as people read it.
    pub summary: String,
    /// The exact arguments of a command.
    pub argv: Option<Vec<String>>,
    /// Where it runs.
    pub cwd: Option<String>,
    /// The program's file, for a lasting rule.
    pub resolved_path: Option<String>,
    /// The node that is to do it.
    pub node_id: Option<String>,
}

/// What somebody said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Yes or no, and for how long.
    pub verdict: Verdict,
    /// Who.
    pub by: String,
}

/// Asks and waits; `None` when nobody answered in time.
///
/// # Errors
/// When nobody is there to be asked, or too many questions wait.
pub(super) async fn ask(cx: &Cx, tool: &Tool, matter: Matter) -> Result<Option<Said>, Problem> {
    let gateway = &cx.gateway;
    let chats = chats(cx);
    let is_heard = gateway.hub.peers().iter().any(|peer| peer.hears(Audience::Approvals));
    if !is_heard && chats.is_empty() {
        return Err(Problem::from(
            "Nobody is there who could approve this: no client of the owner is connected, and approvals.exec.targets \
             names no chat. Tell the user.",
        ));
    }
    let host = if matter.node_id.is_some() { "node" } else { "gateway" };
    let request = Request {
        command: matter.summary.clone(),
        cwd: Text(matter.cwd),
        host: Text(Some(host.to_owned())),
        security: Text(None),
        ask: Text(Some(format!("tool:{}", tool.name))),
        agent_id: Text(Some(cx.scene.agent_id.clone())),
        resolved_path: Text(matter.resolved_path),
        session_key: Text(Some(cx.scene.session.to_string())),
        argv: matter.argv,
        node_id: matter.node_id,
    };
    let id = gateway.sys.chance.hex::<4>();
    let waiting = gateway.ask_approval(Some(id.clone()), request, TOOL_ASK_MS).map_err(|error| error.message)?;
    for chat in &chats {
        let text = format!(
            "The agent wants to use {}: {}\nAsked by {}.\n/approve {id} or /deny {id}, within {} minutes.",
            tool.name,
            matter.summary,
            cx.scene.asker.name(),
            TOOL_ASK_MS / 60_000
        );
        tell(cx, chat, text, &id);
    }
    let Some(verdict) = waiting.verdict.wait().await else { return Ok(None) };
    Ok(Some(Said { verdict, by: waiting.by.get().unwrap_or_default() }))
}

/// The chats that hear of the question: where it came up, if the owner is there; those of the configuration; else
/// the owner's own.
fn chats(cx: &Cx) -> Vec<ForwardTarget> {
    let config = cx.gateway.config.get();
    let forward = &config.tools.forward;
    if !forward.enabled {
        return Vec::new();
    }
    let mut chats = forward.targets.clone();
    let entry = cx.gateway.stores.sessions.get(&cx.scene.session);
    let context = entry.and_then(|entry| entry.delivery_context);
    let asked_there = matches!(&cx.scene.asker, crate::runs::asker::Asker::Person(_));
    if let Some(context) =
        context.filter(|_| forward.to_session && asked_there && policy::is_owner(&config.tools, &cx.scene.asker))
    {
        if let (Some(channel), Some(to)) = (context.channel, context.to) {
            chats.push(ForwardTarget { channel, to, account_id: context.account_id });
        }
    }
    if chats.is_empty() {
        let owners = config.tools.owners.iter().flat_map(|(channel, ids)| ids.iter().map(move |id| (channel, id)));
        let reachable = owners.filter(|(_, id)| !id.starts_with('@'));
        chats.extend(reachable.map(|(channel, id)| ForwardTarget {
            channel: channel.clone(),
            to: id.clone(),
            account_id: None,
        }));
    }
    chats
}

fn tell(cx: &Cx, chat: &ForwardTarget, text: String, id: &str) {
    let Some(meta) = known::find(&chat.channel) else { return };
    let Some(target) = Target::parse(meta.id, &chat.to) else {
        log::warn!("approvals: {} is no chat of {}", chat.to, meta.label);
        return;
    };
    let key = Some(format!("approval:{id}:{}", target.to));
    let draft = Draft { to: target.to, key, body: Body::text(text), mirror: None };
    let sent = cx.gateway.channels.sender(meta, chat.account_id.as_deref());
    if let Err(error) = sent.and_then(|seat| cx.gateway.channels.send(&seat, draft)) {
        log::warn!("approvals: a question could not be sent: {error}");
    }
}

/// What a call is about when its tool has nothing better to say: the arguments, as they are.
#[must_use]
pub fn plain(arguments: &Value) -> String {
    match arguments {
        Value::Object(fields) => {
            let pairs = fields.iter().map(|(name, value)| match value {
                Value::String(text) => format!("{name}={text}"),
                value => format!("{name}={value}"),
            });
            pairs.collect::<Vec<_>>().join(", ")
        }
        _ => arguments.to_string(),
    }
}
