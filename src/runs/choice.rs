//! Which models are tried for a run, in order.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use super::providers::local;
use crate::config::agents::Agent;
use crate::config::models::{Model, Provider};
use crate::config::{Config, ResolveError};
use crate::stores::Entry;
use crate::sys::Sys;

/// How long a look for a local server is remembered.
const LOCAL_TTL: Duration = Duration::from_secs(30);

/// A model and who answers for it.
pub type Candidate = (Rc<Provider>, Model);

/// The models of one run.
#[derive(Debug, Default)]
pub struct Candidates {
    /// To be tried in this order.
    pub models: Vec<Candidate>,
    /// References that lead nowhere, with the reason.
    pub unusable: Vec<(String, ResolveError)>,
}

/// Remembers what a look for a local server found.
#[derive(Debug, Default)]
pub struct LocalServer {
    found: RefCell<Option<(Duration, Option<Rc<Provider>>)>>,
}

impl LocalServer {
    /// The local Ollama or llama.cpp server, if one answers.
    pub async fn find(&self, sys: &Sys) -> Option<Rc<Provider>> {
        let now = sys.clock.elapsed();
        if let Some((at, found)) = &*self.found.borrow() {
            if now < *at + LOCAL_TTL {
                return found.clone();
            }
        }
        let found = local::find(sys, local::USUAL).await.map(Rc::new);
        *self.found.borrow_mut() = Some((sys.clock.elapsed(), found.clone()));
        found
    }

    /// What the last look found.
    #[must_use]
    pub fn known(&self) -> Option<Rc<Provider>> {
        self.found.borrow().as_ref().and_then(|(_, found)| found.clone())
    }
}

/// The session's own model, the agent's, its fallbacks; where none is configured, a local server's.
pub async fn candidates(sys: &Sys, config: &Config, agent: &Agent, entry: &Entry, local: &LocalServer) -> Candidates {
    let chosen = config.agents.models_of(agent);
    let session = entry.model_override.as_ref().map(|model| match &entry.provider_override {
        Some(provider) => format!("{provider}/{model}"),
        None => model.clone(),
    });
    let has_session_model = session.is_some();
    let mut out = Candidates::default();
    for reference in session.into_iter().chain([chosen.primary.clone()]).chain(chosen.fallbacks.iter().cloned()) {
        match config.resolve(&reference) {
            Ok((provider, model)) => {
                let known = |(other, have): &Candidate| other.id == provider.id && have.id == model.id;
                if !out.models.iter().any(known) {
                    out.models.push((provider, model));
                }
            }
            Err(error) => out.unusable.push((reference, error)),
        }
    }
    if has_session_model || is_configured(config, agent) {
        return out;
    }
    // Nobody chose a model: what is listed in the file or has a key comes before what happens to run here.
    let listed = config.models().into_iter().next();
    out.models.clear();
    match listed {
        Some(candidate) => out.models.push(candidate),
        None => {
            if let Some(provider) = local.find(sys).await {
                out.models.extend(provider.models.first().map(|model| (Rc::clone(&provider), model.clone())));
            }
        }
    }
    out
}

/// Whether the owner chose a model, or the built-in choice can be used as it is.
#[must_use]
pub fn is_configured(config: &Config, agent: &Agent) -> bool {
    let usable = |reference: &str| {
        config.resolve(reference).is_ok_and(|(provider, _)| !provider.needs_key || provider.api_key.is_some())
    };
    agent.model.is_some() || config.agents.defaults.model_is_chosen || usable(&config.agents.defaults.model.primary)
}

/// The default model's name for lists and cards: provider, id and context window.
#[must_use]
pub fn shown(config: &Config, agent: &Agent, local: &LocalServer) -> Option<Candidate> {
    let primary = config.resolve(&config.agents.models_of(agent).primary).ok();
    if is_configured(config, agent) {
        return primary;
    }
    let listed = config.models().into_iter().next();
    listed.or_else(|| local.known().and_then(|provider| Some((Rc::clone(&provider), provider.models.first()?.clone()))))
}
