//! A turn of an agent for an HTTP caller. When the caller leaves, the turn is stopped: nobody would
//! read its answer.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

use super::Call;
use super::prompt::Built;
use crate::config::agents::Agent;
use crate::error::Error;
use crate::gateway::Gateway;
use crate::gateway::post::{Memory, Post};
use crate::runs::asker::Asker;
use crate::runs::listener::Listener;
use crate::runs::run::{End, Origin, Outcome, Run, Stop};
use crate::stores::SessionKey;

/// Prefixes before an agent's id in a model name.
const MODEL_PREFIXES: [&str; 3] = ["barnacle:", "clawdbot:", "agent:"];
/// Longest `user` of a request that becomes part of a session key, characters.
const USER_CHARS: usize = 128;

/// Whom the caller talks to, and where it is remembered.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) agent: Agent,
    pub(super) key: SessionKey,
    /// Whether the session stays for the next request.
    pub(super) is_kept: bool,
}

/// Finds agent and session: from the headers `X-Clawdbot-Agent-Id` and `X-Clawdbot-Session-Key`, the
/// model `clawdbot:<agent>`, and `user` (connection.md section 7 row 5).
///
/// # Errors
/// What is unknown.
pub(super) fn place(call: &Call, kind: &str, model: &str, user: Option<&str>) -> Result<Place, String> {
    let config = call.gateway.config.get();
    let named = call.header("x-clawdbot-agent-id").or_else(|| {
        MODEL_PREFIXES.iter().find_map(|prefix| model.strip_prefix(prefix)).map(str::trim).filter(|id| !id.is_empty())
    });
    let agent = match named {
        Some(id) => config.agents.find(id).cloned().ok_or_else(|| format!("unknown agent {id:?}"))?,
        None => config.agents.default_agent().clone(),
    };
    let user = user.map(str::trim).filter(|user| !user.is_empty());
    let (text, is_kept) = match (call.header("x-clawdbot-session-key"), user) {
        (Some(key), _) => (key.to_owned(), true),
        (None, Some(user)) => {
            if user.chars().count() > USER_CHARS {
                return Err(format!("`user` may have {USER_CHARS} characters"));
            }
            (format!("agent:{}:{kind}-user:{user}", agent.id), true)
        }
        (None, None) => (format!("agent:{}:{kind}:{}", agent.id, call.gateway.sys.chance.uuid()), false),
    };
    let key = call.gateway.session_key(&text).map_err(|error| error.message)?;
    Ok(Place { agent, key, is_kept })
}

/// A turn that goes. Dropping it before its end stops it.
#[derive(Debug)]
pub(super) struct Turn {
    caller: Caller,
    run: Rc<Run>,
    listener: Rc<Listener>,
}

/// Somebody who waits for an answer. When it leaves, the run is stopped.
#[derive(Debug)]
struct Caller {
    gateway: Rc<Gateway>,
    state: Rc<State>,
}

#[derive(Debug, Default)]
struct State {
    has_left: Cell<bool>,
    run: RefCell<Option<Rc<Run>>>,
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.state.has_left.set(true);
        if let Some(run) = self.state.run.take().filter(|run| run.outcome.get().is_none()) {
            self.gateway.runs.tell(&[run], Stop::Rpc);
        }
    }
}

/// What a turn gives next.
#[derive(Debug)]
pub(super) enum Next {
    /// More text.
    Text(String),
    /// Its end.
    Over(Rc<Outcome>),
}

impl Turn {
    /// Asks the agent.
    ///
    /// # Errors
    /// As [`Gateway::post`]'s.
    pub(super) async fn start(call: &Call, place: Place, built: Built, kind: &str) -> Result<Self, Error> {
        let gateway = Rc::clone(&call.gateway);
        let run_id = format!("{kind}-{}", gateway.sys.chance.uuid());
        let claim = gateway.answers.claim(&run_id).map_err(|_| Error::unavailable("this id is in use"))?;
        let limit = Duration::from_secs(gateway.config.get().agents.defaults.timeout_seconds);
        let key = place.key.clone();
        let posted = gateway.post(Post {
            run_id,
            shown_key: place.key.to_string(),
            key: place.key,
            agent_id: place.agent.id,
            content: built.content,
            thinking: None,
            model: None,
            timeout: limit,
            extra_system_prompt: built.instructions,
            origin: Origin::Agent,
            asker: Asker::Operator("http".to_owned()),
            label: None,
            reach: None,
            renews: false,
            claim,
            memory: Memory { kind: "http", accepted: None, ended: |_, _| Ok(Rc::from(*b"{}")) },
        })?;
        let caller = Caller { gateway: Rc::clone(&gateway), state: Rc::default() };
        // Whether or not the caller stays: what it leaves behind is cleared away.
        let (state, waiting, is_kept) = (Rc::clone(&caller.state), Rc::clone(&posted), place.is_kept);
        gateway.sys.tasks.clone().detach(async move {
            if let Ok(run) = waiting.accepted.wait().await {
                if state.has_left.get() {
                    gateway.runs.tell(&[Rc::clone(&run)], Stop::Rpc);
                }
                run.outcome.wait().await;
            }
            if !is_kept {
                forget(&gateway, &key);
            }
        });
        let run = posted.accepted.wait().await?;
        *caller.state.run.borrow_mut() = Some(Rc::clone(&run));
        let listener = run.listen();
        Ok(Self { caller, run, listener })
    }

    /// Waits for more text, or the end.
    pub(super) async fn next(&mut self) -> Next {
        let heard = async {
            poll_fn(|cx| self.listener.poll_heard(cx)).await;
        };
        let over = async {
            self.run.outcome.wait().await;
        };
        smol::future::or(heard, over).await;
        let text = self.listener.take();
        if !text.is_empty() {
            return Next::Text(text);
        }
        Next::Over(self.run.outcome.wait().await)
    }

    /// Waits for the end.
    pub(super) async fn outcome(self) -> Rc<Outcome> {
        let outcome = self.run.outcome.wait().await;
        drop(self.caller);
        outcome
    }

    /// Whether text was lost because the caller read too slowly.
    pub(super) fn lost_text(&self) -> bool {
        self.listener.is_too_slow()
    }
}

/// A session for one question leaves nothing behind.
fn forget(gateway: &Gateway, key: &SessionKey) {
    let stores = &gateway.stores;
    let forgotten = match stores.sessions.remove(key) {
        Ok(Some(entry)) => gateway.transcript(key, &entry).and_then(|file| stores.transcripts.discard(&file)),
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = forgotten {
        log::warn!("the session of an HTTP request stays: {error}");
    }
}

/// Why there is no answer, in words; `None` when there is one.
pub(super) fn failure(outcome: &Outcome) -> Option<String> {
    match &outcome.end {
        End::Completed => None,
        End::Failed(problem) => Some(problem.clone()),
        End::Stopped(Stop::Timeout) => Some("the agent hit its time limit".to_owned()),
        End::Stopped(_) => Some("the answer was stopped".to_owned()),
    }
}
