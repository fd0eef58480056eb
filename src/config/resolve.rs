//! From a model reference to a provider and a model (methods.md 8.6 Guide, 9.2, 9.3).

use std::collections::BTreeSet;
use std::fmt;
use std::rc::Rc;

use super::Config;
use super::catalogue;
use super::models::{Model, Provider};

/// The provider of a bare id when the primary model names none.
const DEFAULT_PROVIDER: &str = "anthropic";

/// Why a reference leads to no model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResolveError {
    /// The reference is empty or has an empty part.
    Empty,
    /// No provider has that id.
    UnknownProvider(String),
    /// `agents.defaults.models` doesn't list it.
    NotAllowed(String),
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the model reference is empty; expected provider/id"),
            Self::UnknownProvider(id) => write!(f, "unknown model provider: {id}"),
            Self::NotAllowed(reference) => write!(f, "model not allowed: {reference}"),
        }
    }
}

impl std::error::Error for ResolveError {}

impl Config {
    /// The model that `reference` means: `provider/id`, an alias, or an id at the default provider
    /// (that of the primary model, else anthropic). An unknown id at a known provider is taken with
    /// generic figures (200,000 and 8,192 tokens, price unknown; methods.md 9.3).
    ///
    /// # Errors
    /// [`ResolveError`].
    pub fn resolve(&self, reference: &str) -> Result<(Rc<Provider>, Model), ResolveError> {
        let (provider, id) = self.locate(reference)?;
        let pair = (provider.id.clone(), id);
        if self.allowed().is_some_and(|allowed| !allowed.contains(&pair)) {
            return Err(ResolveError::NotAllowed(format!("{}/{}", pair.0, pair.1)));
        }
        let (_, id) = pair;
        let known = provider.models.iter().find(|model| model.id == id).cloned();
        let model = known.unwrap_or_else(|| catalogue::generic(&id));
        Ok((provider, model))
    }

    /// The models for models.list: those of the file and those of every provider that has a key, by
    /// provider, then name (methods.md 12.1).
    #[must_use]
    pub fn models(&self) -> Vec<(Rc<Provider>, Model)> {
        let usable = |provider: &Provider| !provider.needs_key || provider.api_key.is_some();
        let allowed = self.allowed();
        let mut out: Vec<(Rc<Provider>, Model)> = Vec::new();
        for provider in self.providers.values().filter(|provider| usable(provider)) {
            for model in &provider.models {
                let pair = (provider.id.clone(), model.id.clone());
                if allowed.as_ref().is_none_or(|allowed| allowed.contains(&pair)) {
                    out.push((Rc::clone(provider), model.clone()));
                }
            }
        }
        let choice = &self.agents.defaults.model;
        let named = [&choice.primary].into_iter().chain(&choice.fallbacks).map(|reference| self.locate(reference));
        let listed = self.agents.defaults.allowed.iter().flatten().map(|(reference, _)| self.locate_id(reference));
        for (provider, id) in named.chain(listed).flatten().filter(|(provider, _)| usable(provider)) {
            if !out.iter().any(|(other, known)| other.id == provider.id && known.id == id) {
                out.push((provider, catalogue::generic(&id)));
            }
        }
        out.sort_by(|(a, x), (b, y)| (&a.id, &x.name, &x.id).cmp(&(&b.id, &y.name, &y.id)));
        out
    }

    /// The provider and the model id that a reference names, without asking whether it is allowed.
    fn locate(&self, reference: &str) -> Result<(Rc<Provider>, String), ResolveError> {
        let reference = reference.trim();
        let aliased = self.agents.defaults.allowed.iter().flatten().find_map(|(target, alias)| {
            alias.as_ref().filter(|alias| alias.eq_ignore_ascii_case(reference)).map(|_| target.as_str())
        });
        self.locate_id(aliased.unwrap_or(reference))
    }

    /// The same for a reference that is no alias.
    fn locate_id(&self, reference: &str) -> Result<(Rc<Provider>, String), ResolveError> {
        let (provider, id) = match reference.split_once('/') {
            Some((provider, id)) => (provider, id),
            None => (self.default_provider(), reference),
        };
        if provider.is_empty() || id.is_empty() {
            return Err(ResolveError::Empty);
        }
        let lower = provider.to_lowercase();
        let found = self.providers.get(provider).or_else(|| self.providers.get(&lower));
        let found = found.ok_or_else(|| ResolveError::UnknownProvider(provider.to_owned()))?;
        Ok((Rc::clone(found), id.to_owned()))
    }

    fn default_provider(&self) -> &str {
        let primary = &self.agents.defaults.model.primary;
        primary.split_once('/').map_or(DEFAULT_PROVIDER, |(provider, _)| provider)
    }

    /// The allowed models as provider and id; `None` when all are. What the file itself names as
    /// primary or fallback is allowed.
    fn allowed(&self) -> Option<BTreeSet<(String, String)>> {
        let listed = self.agents.defaults.allowed.as_ref()?;
        let own = self.agents.list.iter().filter_map(|agent| agent.model.as_ref());
        let chosen = own.chain([&self.agents.defaults.model]);
        let chosen = chosen.flat_map(|choice| [&choice.primary].into_iter().chain(&choice.fallbacks));
        let models = chosen
            .map(|reference| self.locate(reference))
            .chain(listed.iter().map(|(reference, _)| self.locate_id(reference)));
        Some(models.flatten().map(|(provider, id)| (provider.id.clone(), id)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn config(text: &str, env: &[(&str, &str)]) -> Config {
        let env: BTreeMap<String, String> = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        match Config::parse(text, "c", &env) {
            Ok((config, _)) => config,
            Err(problems) => panic!("{problems:?}"),
        }
    }

    fn found(config: &Config, reference: &str) -> String {
        match config.resolve(reference) {
            Ok((provider, model)) => format!("{}/{}", provider.id, model.id),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn references_are_full_ids_aliases_or_ids_of_the_default_provider() {
        let plain = config("{}", &[]);
        assert_eq!(found(&plain, "claude-sonnet-4-20250514"), "anthropic/claude-sonnet-4-20250514");
        assert_eq!(found(&plain, "openrouter/meta/llama"), "openrouter/meta/llama");
        assert_eq!(found(&plain, "nowhere/x"), "unknown model provider: nowhere");
        assert_eq!(found(&plain, " "), "the model reference is empty; expected provider/id");
        let text = "{agents:{defaults:{model:'openai/gpt-5',models:{'openai/gpt-4o':{alias:'Fast'}}}}}";
        let limited = config(text, &[]);
        assert_eq!(found(&limited, "gpt-5"), "openai/gpt-5");
        assert_eq!(found(&limited, "fast"), "openai/gpt-4o");
        assert_eq!(found(&limited, "gpt-4.1"), "model not allowed: openai/gpt-4.1");
    }

    #[test]
    fn an_unknown_id_gets_generic_figures_and_no_price() {
        let (_, model) = config("{}", &[]).resolve("anthropic/new-one").unwrap();
        assert_eq!((model.context_window, model.max_tokens, model.rates), (200_000, 8192, None));
    }

    #[test]
    fn only_models_of_usable_providers_are_listed() {
        assert!(config("{}", &[]).models().is_empty());
        let with_key = config("{}", &[("ANTHROPIC_API_KEY", "k")]).models();
        assert!(with_key.iter().any(|(_, model)| model.name == "Claude Sonnet 4" && model.reasoning));
        assert!(with_key.iter().all(|(provider, _)| provider.id == "anthropic"));
        let text = "{models:{providers:{box:{baseUrl:'http://pi/v1/',models:[{id:'b'},{id:'a',name:'A'}]}}}}";
        let listed = config(text, &[]).models();
        assert_eq!(listed.iter().map(|(_, model)| model.name.as_str()).collect::<Vec<_>>(), ["A", "b"]);
    }

    #[test]
    fn a_known_provider_at_another_address_keeps_its_format_and_needs_no_key() {
        let text = "{models:{providers:{anthropic:{baseUrl:'http://127.0.0.1:9/v1',apiKey:'k'}}}}";
        let (provider, model) = config(text, &[]).resolve("claude-opus-4-5").unwrap();
        assert_eq!(provider.base_url, "http://127.0.0.1:9");
        assert_eq!(provider.api, super::super::models::Api::AnthropicMessages);
        assert!(!provider.needs_key && provider.api_key.as_ref().unwrap().matches("k"));
        assert!(model.rates.is_some());
    }
}
