//! `agents.list`, `agent.identity.get` and `models.list` (methods.md 3.4 and 12).

use crate::config::agents::{Agent, Identity};
use crate::error::Error;
use crate::now;
use crate::rpc::{Cx, Method};
use crate::wire::Access;
use crate::wire::shape::text;

/// Models and agents.
pub const METHODS: &[Method] = &[
    Method {
        name: "models.list",
        aliases: &[],
        access: Access::Read,
        listed: true,
        doc: "Lists the models that can be used: those of the configuration, and those of a server on this machine.",
        handler: now!(models),
    },
    Method {
        name: "agents.list",
        aliases: &[],
        access: Access::Read,
        listed: true,
        doc: "Lists the agents and which one answers by default.",
        handler: now!(list),
    },
];

/// How an agent shows itself.
pub const IDENTITY: &[Method] = &[Method {
    name: "agent.identity.get",
    aliases: &[],
    access: Access::Read,
    listed: true,
    doc: "Tells an agent's name and picture for a chat header.",
    handler: now!(identity),
}];

crate::wire! {
    /// No params.
    pub struct Nothing {}

    /// Models.
    pub struct Models {
        models: Vec<ModelRow>,
    }

    /// A model.
    pub struct ModelRow {
        id: String,
        name: String,
        provider: String,
        /// Tokens of prompt and answer together.
        context_window: u64,
        /// Whether it can think first.
        reasoning: bool,
        /// `text`, `image`.
        input: Vec<String>,
    }

    /// Agents.
    pub struct Agents {
        default_id: String,
        main_key: String,
        scope: String,
        agents: Vec<AgentRow>,
    }

    /// An agent.
    pub struct AgentRow {
        id: String,
        name: Option<String>,
        identity: Option<AgentIdentity>,
    }

    /// How an agent shows itself.
    pub struct AgentIdentity {
        name: Option<String>,
        theme: Option<String>,
        emoji: Option<String>,
        avatar: Option<String>,
        avatar_url: Option<String>,
    }

    /// Which agent.
    pub struct IdentityParams {
        agent_id: Option<String> = text(1),
        session_key: Option<String>,
    }

    /// An agent's name and picture.
    pub struct ShownIdentity {
        agent_id: String,
        name: String,
        avatar: String,
    }
}

fn models(cx: &Cx, _: Nothing) -> Result<Models, Error> {
    let configured = cx.gateway.config.get().models();
    let local = cx.gateway.runs.context().local.known();
    let local = local.iter().flat_map(|provider| provider.models.iter().map(|model| (provider.clone(), model.clone())));
    let mut rows: Vec<ModelRow> = Vec::new();
    for (provider, model) in configured.into_iter().chain(local) {
        if rows.iter().any(|row| row.provider == provider.id && row.id == model.id) {
            continue;
        }
        rows.push(ModelRow {
            id: model.id,
            name: model.name,
            provider: provider.id.clone(),
            context_window: model.context_window,
            reasoning: model.reasoning,
            input: if model.images { vec!["text".into(), "image".into()] } else { vec!["text".into()] },
        });
    }
    Ok(Models { models: rows })
}

fn list(cx: &Cx, _: Nothing) -> Result<Agents, Error> {
    let config = cx.gateway.config.get();
    let defaults = cx.gateway.session_defaults();
    let default_id = defaults.default_agent_id;
    let mut agents: Vec<&Agent> = config.agents.list.iter().collect();
    agents.sort_by_key(|agent| agent.id != default_id);
    let agents = agents.into_iter().map(|agent| AgentRow {
        id: agent.id.clone(),
        name: agent.name.clone(),
        identity: shown(&agent.identity),
    });
    Ok(Agents { default_id, main_key: defaults.main_key, scope: defaults.scope, agents: agents.collect() })
}

fn shown(identity: &Identity) -> Option<AgentIdentity> {
    let Identity { name, theme, emoji, avatar } = identity.clone();
    if name.is_none() && theme.is_none() && emoji.is_none() && avatar.is_none() {
        return None;
    }
    let is_url = |text: &String| ["http://", "https://", "data:"].iter().any(|scheme| text.starts_with(scheme));
    let avatar_url = avatar.clone().filter(is_url);
    Some(AgentIdentity { name, theme, emoji, avatar, avatar_url })
}

fn identity(cx: &Cx, params: IdentityParams) -> Result<ShownIdentity, Error> {
    let agent = agent_for(cx, params.agent_id.as_deref(), params.session_key.as_deref())?;
    let shown = cx.gateway.shown_identity(&agent);
    Ok(ShownIdentity { agent_id: agent.id, name: shown.name, avatar: shown.avatar })
}

/// The agent that params mean: the named one, which must be that of the session key, or the session's,
/// or the default one.
///
/// # Errors
/// The texts of methods.md 3.1 and 3.4.
pub fn agent_for(cx: &Cx, agent_id: Option<&str>, session_key: Option<&str>) -> Result<Agent, Error> {
    let config = cx.gateway.config.get();
    let named =
        match agent_id {
            Some(id) => {
                Some(config.agents.find(id).cloned().ok_or_else(|| {
                    Error::invalid(format!("invalid {} params: unknown agent id \"{id}\"", cx.method()))
                })?)
            }
            None => None,
        };
    let key = match session_key.map(str::trim).filter(|key| !key.is_empty()) {
        Some(key) => Some(cx.gateway.session_key(key)?),
        None => None,
    };
    let of_key = key.as_ref().and_then(|key| key.agent()).map(str::to_owned);
    match (named, of_key) {
        (Some(agent), Some(of_key)) if config.agents.find(&of_key).is_none_or(|other| other.id != agent.id) => {
            Err(Error::invalid(format!(
                "invalid {} params: agent \"{}\" does not match session key agent \"{of_key}\"",
                cx.method(),
                agent.id
            )))
        }
        (Some(agent), _) => Ok(agent),
        (None, Some(of_key)) => {
            let known = config.agents.find(&of_key).cloned();
            // A session of an agent that is no longer configured is answered by the default one.
            Ok(Agent { id: of_key, ..known.unwrap_or_else(|| config.agents.default_agent().clone()) })
        }
        (None, None) => Ok(config.agents.default_agent().clone()),
    }
}
