//! A turn that nobody connected asks for: a heartbeat's or a scheduled job's.

use std::rc::Rc;
use std::time::Duration;

use super::Gateway;
use super::post::{Memory, Post};
use crate::error::Error;
use crate::runs::asker::Asker;
use crate::runs::run::{End, Origin, Outcome, Run, Stop};
use crate::stores::SessionKey;
use crate::wire::message::Block;
use crate::wire::thinking::ThinkingLevel;

/// What an agent is asked.
#[derive(Debug)]
pub struct Errand {
    /// Id of the run.
    pub run_id: String,
    /// The session.
    pub key: SessionKey,
    /// The agent.
    pub agent_id: String,
    /// On whose word it acts.
    pub asker: Asker,
    /// The message.
    pub text: String,
    /// Model of this turn alone.
    pub model: Option<String>,
    /// Thinking level of this turn alone.
    pub thinking: Option<ThinkingLevel>,
    /// Time limit; the configured one when `None`.
    pub timeout: Option<Duration>,
    /// What is added to the system prompt.
    pub extra_system_prompt: Option<String>,
}

/// An errand without an answer.
#[derive(Debug)]
pub struct Undone {
    /// Why.
    pub problem: String,
    /// Tokens that were used all the same.
    pub tokens: u64,
    /// Whether the gateway's own end is the reason.
    pub by_shutdown: bool,
}

/// An errand that goes.
#[derive(Debug)]
pub struct Begun {
    run: Rc<Run>,
    limit: Duration,
}

impl Begun {
    /// Waits for its end.
    ///
    /// # Errors
    /// [`Undone`]: the reason of a run that failed or was stopped.
    pub async fn end(self) -> Result<Rc<Outcome>, Undone> {
        let outcome = self.run.outcome.wait().await;
        let problem = match &outcome.end {
            End::Completed => return Ok(outcome),
            End::Failed(problem) => problem.clone(),
            End::Stopped(Stop::Timeout) => format!("the run hit its time limit of {} s", self.limit.as_secs()),
            End::Stopped(Stop::Shutdown) => "the gateway stopped during the run".to_owned(),
            End::Stopped(Stop::Rpc | Stop::Phrase) => "the run was stopped".to_owned(),
        };
        let by_shutdown = outcome.end == End::Stopped(Stop::Shutdown);
        Err(Undone { problem, tokens: outcome.usage.total_tokens, by_shutdown })
    }
}

impl Gateway {
    /// Runs an errand to its end. It waits its turn in the session's lane like any message.
    ///
    /// # Errors
    /// [`Undone`]: as [`Gateway::post`]'s, or the reason of a run that failed or was stopped.
    pub async fn run_errand(self: &Rc<Self>, errand: Errand) -> Result<Rc<Outcome>, Undone> {
        let unasked = |error: Error| Undone { problem: error.message, tokens: 0, by_shutdown: self.runs.is_closed() };
        self.begin_errand(errand).await.map_err(unasked)?.end().await
    }

    /// Begins an errand: its message is durable and waits its turn.
    ///
    /// # Errors
    /// As [`Gateway::post`]'s.
    pub async fn begin_errand(self: &Rc<Self>, errand: Errand) -> Result<Begun, Error> {
        let limit = errand.timeout;
        let limit = limit.unwrap_or_else(|| Duration::from_secs(self.config.get().agents.defaults.timeout_seconds));
        let claim =
            self.answers.claim(&errand.run_id).map_err(|_| Error::invalid("a run with this id goes already"))?;
        let posted = self.post(Post {
            run_id: errand.run_id,
            shown_key: errand.key.to_string(),
            key: errand.key,
            agent_id: errand.agent_id,
            content: vec![Block::Text { text: errand.text }],
            thinking: errand.thinking,
            model: errand.model,
            timeout: limit,
            extra_system_prompt: errand.extra_system_prompt,
            origin: Origin::Agent,
            asker: errand.asker,
            label: None,
            reach: None,
            renews: false,
            claim,
            memory: Memory { kind: "errand", accepted: None, ended: |_, _| Ok(Rc::from(*b"{}")) },
        });
        Ok(Begun { run: posted?.accepted.wait().await?, limit })
    }

    /// The main session of an agent; the one of all where `session.scope` is `global`.
    #[must_use]
    pub fn main_key(&self, agent_id: &str) -> SessionKey {
        if self.key_rules().global { SessionKey::global() } else { SessionKey::main_of(agent_id) }
    }
}
