//! Where a conversation takes place: which agent and session a chat belongs to, and what the session
//! remembers of the way to it (methods.md 7.1 and 16.1).

use crate::channels::message::ChatKind;
use crate::channels::target::Target;
use crate::config::Config;
use crate::config::channels::{Binding, DEFAULT_ACCOUNT, EVERYBODY};
use crate::config::session::DmScope;
use crate::stores::session_entry::{DeliveryContext, Origin};
use crate::stores::{Entry, SessionKey, StoreError};

use super::Gateway;

/// A chat on a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// The channel.
    pub channel: &'static str,
    /// The account on our side.
    pub account_id: String,
    /// The chat, as it is sent to.
    pub target: Target,
    /// Discord's guild or Slack's team.
    pub space: Option<String>,
    /// A name for people: the person's or the group's.
    pub label: Option<String>,
}

impl Reach {
    /// The session was written to from there: answers go back there.
    pub fn came_in(&self, entry: &mut Entry) {
        self.known(entry);
        let context = DeliveryContext {
            channel: Some(self.channel.to_owned()),
            to: Some(self.target.to_text(self.channel)),
            account_id: Some(self.account_id.clone()),
            thread_id: self.target.thread.clone().map(Into::into),
            rest: entry.delivery_context.take().map(|context| context.rest).unwrap_or_default(),
        };
        entry.last_channel.clone_from(&context.channel);
        entry.last_to.clone_from(&context.to);
        entry.last_account_id.clone_from(&context.account_id);
        entry.last_thread_id.clone_from(&context.thread_id);
        entry.delivery_context = Some(context);
    }

    /// Something was sent there. A group's session answers there too; a direct one may be shared by several
    /// channels and goes on answering where it was last written to.
    pub fn went_out(&self, entry: &mut Entry) {
        if self.target.kind == ChatKind::Direct {
            self.known(entry);
        } else {
            self.came_in(entry);
        }
    }

    fn known(&self, entry: &mut Entry) {
        let Target { kind, .. } = &self.target;
        let from = self.target.from_text(self.channel);
        let label = self.label.clone().unwrap_or_else(|| from.clone());
        entry.chat_type = Some(kind.name().to_owned());
        entry.display_name = Some(match kind {
            ChatKind::Direct => label.clone(),
            ChatKind::Group | ChatKind::Room => {
                format!("{}:g-{}", self.channel, slug(self.label.as_deref().unwrap_or(&self.target.peer)))
            }
        });
        if *kind != ChatKind::Direct {
            entry.channel = Some(self.channel.to_owned());
            entry.group_id = Some(self.target.peer.clone());
            entry.subject = self.label.clone().or_else(|| entry.subject.take());
            entry.space = self.space.clone().or_else(|| entry.space.take());
        }
        entry.origin = Some(Origin {
            label: Some(label),
            provider: Some(self.channel.to_owned()),
            surface: Some(self.channel.to_owned()),
            chat_type: entry.chat_type.clone(),
            from: Some(from),
            to: Some(self.target.to_text(self.channel)),
            account_id: Some(self.account_id.clone()),
            thread_id: self.target.thread.clone().map(Into::into),
            rest: entry.origin.take().map(|origin| origin.rest).unwrap_or_default(),
        });
    }
}

impl Gateway {
    /// The agent and the session that a chat belongs to.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] when the chat's id is too long for a key.
    pub fn session_of(&self, reach: &Reach) -> Result<(String, SessionKey), StoreError> {
        let config = self.config.get();
        let agent = agent_of(&config, reach);
        let Target { kind, peer, thread, .. } = &reach.target;
        let key = match (kind, config.session.dm_scope) {
            (ChatKind::Direct, DmScope::Main) => return Ok((agent.clone(), self.main_key(&agent))),
            (ChatKind::Direct, scope) => {
                let link = format!("{}:{peer}", reach.channel).to_lowercase();
                let person = config.session.identity_links.get(&link).unwrap_or(peer);
                match scope {
                    DmScope::PerChannelPeer => format!("agent:{agent}:{}:dm:{person}", reach.channel),
                    DmScope::Main | DmScope::PerPeer => format!("agent:{agent}:dm:{person}"),
                }
            }
            (ChatKind::Group | ChatKind::Room, _) => {
                let word = if reach.channel == "telegram" { "topic" } else { "thread" };
                let thread = thread.as_ref().map_or_else(String::new, |thread| format!(":{word}:{thread}"));
                format!("agent:{agent}:{}:{}:{peer}{thread}", reach.channel, kind.key_part())
            }
        };
        Ok((agent, SessionKey::canonical(&key, &self.key_rules())?))
    }
}

/// The first binding that fits, in the order peer, guild, team, account, whole channel; else the default
/// agent (methods.md 7.1).
fn agent_of(config: &Config, reach: &Reach) -> String {
    let fits = |binding: &&Binding| {
        let account = binding.account_id.as_deref().unwrap_or(DEFAULT_ACCOUNT);
        binding.channel == reach.channel && (account == EVERYBODY || account == reach.account_id)
    };
    let candidates: Vec<_> = config.channels.bindings.iter().filter(fits).collect();
    let kind = reach.target.kind.key_part();
    let is_peer = |binding: &&&Binding| {
        let peer = binding.peer.as_ref();
        peer.is_some_and(|(of, id)| of == kind && id.eq_ignore_ascii_case(&reach.target.peer))
    };
    let is_space = |space: &Option<String>| space.is_some() && *space == reach.space;
    let is_general =
        |binding: &&&Binding| (&binding.peer, &binding.guild_id, &binding.team_id) == (&None, &None, &None);
    let found = candidates
        .iter()
        .find(is_peer)
        .or_else(|| candidates.iter().find(|binding| binding.peer.is_none() && is_space(&binding.guild_id)))
        .or_else(|| candidates.iter().find(|binding| binding.peer.is_none() && is_space(&binding.team_id)))
        .or_else(|| candidates.iter().filter(is_general).find(|b| b.account_id.as_deref() != Some(EVERYBODY)))
        .or_else(|| candidates.iter().find(is_general));
    let agent = found.and_then(|binding| config.agents.find(&binding.agent_id));
    agent.unwrap_or_else(|| config.agents.default_agent()).id.clone()
}

/// A name as part of another: small letters and digits, the rest as dashes.
fn slug(text: &str) -> String {
    let mapped: String =
        text.to_lowercase().chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).take(64).collect();
    mapped.trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn reach(channel: &'static str, to: &str, account: &str) -> Reach {
        let target = Target::parse(channel, to).unwrap();
        Reach { channel, account_id: account.into(), target, space: None, label: None }
    }

    #[test]
    fn the_most_particular_binding_decides_who_answers() {
        let text = "{agents:{list:[{id:'main'},{id:'peer'},{id:'acc'},{id:'all'}]}, bindings:[
            {agentId:'all',match:{channel:'telegram',accountId:'*'}},
            {agentId:'acc',match:{channel:'telegram',accountId:'work'}},
            {agentId:'peer',match:{channel:'telegram',accountId:'*',peer:{kind:'group',id:'-5'}}}]}";
        let (config, _) = Config::parse(text, "f", &BTreeMap::new()).unwrap();
        for (to, account, agent) in
            [("-5", "work", "peer"), ("-6", "work", "acc"), ("77", "work", "acc"), ("77", "default", "all")]
        {
            assert_eq!(agent_of(&config, &reach("telegram", to, account)), agent, "{to} {account}");
        }
        assert_eq!(agent_of(&config, &reach("slack", "U1", "default")), "main");
    }

    #[test]
    fn a_session_remembers_its_origin_as_the_reference_does() {
        let mut entry = Entry::default();
        reach("telegram", "77", "default").went_out(&mut entry);
        let origin = entry.origin.clone().unwrap();
        assert_eq!((origin.from.as_deref(), origin.to.as_deref()), (Some("telegram:77"), Some("telegram:77")));
        assert_eq!((entry.display_name.as_deref(), &entry.last_channel), (Some("telegram:77"), &None));
        let group = Reach { label: Some("Family".into()), ..reach("telegram", "-100123", "default") };
        group.came_in(&mut entry);
        assert_eq!(entry.display_name.as_deref(), Some("telegram:g-family"));
        assert_eq!(entry.last_to.as_deref(), Some("telegram:-100123"));
        assert_eq!(entry.origin.unwrap().from.as_deref(), Some("telegram:group:-100123"));
        let mut entry = Entry::default();
        reach("slack", "U123", "default").went_out(&mut entry);
        assert_eq!(entry.origin.unwrap().to.as_deref(), Some("channel:U123"));
        assert_eq!(
            (entry.display_name.as_deref(), entry.last_channel.as_deref()),
            (Some("slack:g-u123"), Some("slack"))
        );
    }
}
