//! What a hook does once it is let in (connection.md 7 row 1): a line for the main session, or a turn of an agent
//! whose summary the main session hears. It reads no HTTP; `web/hooks.rs` does.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use super::Gateway;
use super::delivery::{DeliveryTarget, LAST};
use super::errand::{Begun, Errand};
use super::heartbeat_text::is_token;
use super::job_run::{answer_of, cut};
use crate::error::Error;
use crate::limits::HOOK_SIGNATURES;
use crate::runs::asker::Asker;
use crate::wire::thinking::ThinkingLevel;

/// A turn that a hook asks for.
#[derive(Debug, Clone, Default)]
pub struct HookTurn {
    /// What the agent is asked.
    pub message: String,
    /// Name of the hook for people.
    pub name: String,
    /// The session; a new one when `None`.
    pub session_key: Option<String>,
    /// Whether a heartbeat follows at once.
    pub now: bool,
    /// Whether the answer goes to a channel.
    pub deliver: bool,
    /// Which channel.
    pub channel: Option<String>,
    /// Which recipient.
    pub to: Option<String>,
    /// Model of this turn alone.
    pub model: Option<String>,
    /// Thinking level of this turn alone.
    pub thinking: Option<ThinkingLevel>,
    /// Time limit; the agent's when `None`.
    pub timeout: Option<Duration>,
    /// What is added to the system prompt.
    pub extra_system_prompt: Option<String>,
}

/// Signatures that were taken, so that a copied request isn't taken again. In memory only.
#[derive(Debug, Default)]
pub struct Signatures(RefCell<VecDeque<(u64, Vec<u8>)>>);

impl Signatures {
    /// Remembers a signature until `until_ms`; `false` when it is known already.
    pub fn take(&self, signature: &[u8], now_ms: u64, until_ms: u64) -> bool {
        let mut known = self.0.borrow_mut();
        known.retain(|(until, _)| *until >= now_ms);
        if known.iter().any(|(_, other)| other == signature) {
            return false;
        }
        if known.len() >= HOOK_SIGNATURES {
            known.pop_front();
        }
        known.push_back((until_ms, signature.to_owned()));
        true
    }
}

impl Gateway {
    /// Leaves a line for the main session of the default agent; with `now` a heartbeat follows.
    pub fn hook_wakes(&self, text: &str, now: bool, reason: &str) {
        let agent_id = self.config.get().agents.default_agent().id.clone();
        self.system_events.push(&self.main_key(&agent_id), text, self.sys.clock.now_ms());
        if now {
            self.want_heartbeat(&agent_id, reason);
        }
    }

    /// Begins a turn; its id. What comes of it the main session hears later.
    ///
    /// # Errors
    /// `INVALID_REQUEST` for a session key that is none; as [`Gateway::begin_errand`]'s.
    pub async fn hook_asks(self: &Rc<Self>, turn: HookTurn) -> Result<String, Error> {
        let run_id = self.sys.chance.uuid();
        let key = turn.session_key.clone().unwrap_or_else(|| format!("hook:{}", self.sys.chance.uuid()));
        let key = self.session_key(&key)?;
        let config = self.config.get();
        let agent = key.agent().and_then(|id| config.agents.find(id));
        let agent_id = agent.unwrap_or_else(|| config.agents.default_agent()).id.clone();
        let begun = self.begin_errand(Errand {
            run_id: run_id.clone(),
            key,
            agent_id: agent_id.clone(),
            asker: Asker::Hook,
            text: turn.message.clone(),
            model: turn.model.clone(),
            thinking: turn.thinking,
            timeout: turn.timeout,
            extra_system_prompt: turn.extra_system_prompt.clone(),
        });
        let begun = begun.await?;
        let (gateway, id) = (Rc::clone(self), run_id.clone());
        self.sys.tasks.detach(async move { gateway.hook_ends(begun, &turn, &agent_id, &id).await });
        Ok(run_id)
    }

    async fn hook_ends(self: &Rc<Self>, begun: Begun, turn: &HookTurn, agent_id: &str, run_id: &str) {
        let main = self.main_key(agent_id);
        let told = match begun.end().await {
            Err(undone) => format!("Hook {} (error): {}", turn.name, cut(&undone.problem)),
            Ok(outcome) => {
                let answer = answer_of(&outcome);
                let spoken = answer.as_deref().filter(|answer| turn.deliver && !is_token(answer));
                let trouble = match spoken {
                    Some(answer) => self.deliver_hook(turn, agent_id, answer).await.err(),
                    None => None,
                };
                let said = answer.map_or_else(|| "done, without an answer".to_owned(), |answer| cut(&answer));
                match trouble {
                    Some(error) => format!("Hook {} (not delivered: {}): {said}", turn.name, error.message),
                    None => format!("Hook {}: {said}", turn.name),
                }
            }
        };
        self.system_events.push(&main, &told, self.sys.clock.now_ms());
        if turn.now {
            self.want_heartbeat(agent_id, &format!("hook:{run_id}"));
        }
    }

    /// Sends an answer. Nobody to send it to is only trouble when the hook names somebody.
    async fn deliver_hook(self: &Rc<Self>, turn: &HookTurn, agent_id: &str, answer: &str) -> Result<(), Error> {
        let entry = self.stores.sessions.get(&self.main_key(agent_id)).unwrap_or_default();
        let names_one = turn.to.is_some() || turn.channel.as_deref().is_some_and(|channel| channel != LAST);
        match DeliveryTarget::of(&entry, turn.channel.as_deref(), turn.to.as_deref()) {
            Some(target) => self.deliver(&target, answer).await,
            None if names_one => Err(Error::invalid("the recipient is not known")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_taken_once_while_it_holds_and_few_are_kept() {
        let signatures = Signatures::default();
        assert!(signatures.take(b"a", 0, 10));
        assert!(!signatures.take(b"a", 10, 20));
        assert!(signatures.take(b"a", 11, 20));
        for number in 0..HOOK_SIGNATURES + 5 {
            assert!(signatures.take(&number.to_be_bytes(), 12, 20));
        }
        assert_eq!(signatures.0.borrow().len(), HOOK_SIGNATURES);
    }
}
