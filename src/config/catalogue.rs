//! The providers and models that are known without configuration.
//!
//! Figures are those that the providers published, as of 2025-11-24; a price that wasn't certain is
//! left out, which means "unknown", never "free". Any other model of a known provider works too,
//! with the generic figures of methods.md 9.3.

use super::models::{Api, Model, Rates};

/// A provider that needs no configuration beyond its key.
#[derive(Debug)]
pub(super) struct KnownProvider {
    pub(super) id: &'static str,
    pub(super) api: Api,
    pub(super) base_url: &'static str,
    /// Environment variable of the key; `None` for servers on the owner's own machine.
    pub(super) key_variable: Option<&'static str>,
    pub(super) models: &'static [KnownModel],
}

/// A model of a known provider.
#[derive(Debug)]
pub(super) struct KnownModel {
    id: &'static str,
    name: &'static str,
    context_window: u64,
    max_tokens: u64,
    reasoning: bool,
    images: bool,
    /// Input, output, cache read, cache write; US dollars per million tokens.
    rates: Option<[f64; 4]>,
}

impl KnownModel {
    /// As the gateway uses it.
    pub(super) fn model(&self) -> Model {
        Model {
            id: self.id.to_owned(),
            name: self.name.to_owned(),
            context_window: self.context_window,
            max_tokens: self.max_tokens,
            reasoning: self.reasoning,
            images: self.images,
            rates: self.rates.map(|[input, output, cache_read, cache_write]| Rates {
                input,
                output,
                cache_read,
                cache_write,
            }),
        }
    }
}

/// Context window of a model that nothing is known about (methods.md 9.3).
pub(super) const GENERIC_WINDOW: u64 = 200_000;
/// Longest answer of a model that nothing is known about (methods.md 9.3).
pub(super) const GENERIC_ANSWER: u64 = 8192;

/// A model that nothing is known about.
pub(super) fn generic(id: &str) -> Model {
    Model {
        id: id.to_owned(),
        name: id.to_owned(),
        context_window: GENERIC_WINDOW,
        max_tokens: GENERIC_ANSWER,
        reasoning: false,
        images: false,
        rates: None,
    }
}

/// The known provider with that id.
pub(super) fn provider(id: &str) -> Option<&'static KnownProvider> {
    PROVIDERS.iter().find(|provider| provider.id == id)
}

const fn hosted(
    id: &'static str,
    base_url: &'static str,
    key_variable: &'static str,
    models: &'static [KnownModel],
) -> KnownProvider {
    KnownProvider { id, api: Api::OpenaiCompletions, base_url, key_variable: Some(key_variable), models }
}

const fn local(id: &'static str, api: Api, base_url: &'static str) -> KnownProvider {
    KnownProvider { id, api, base_url, key_variable: None, models: &[] }
}

/// Whether a model thinks, what it takes.
const THINKS: bool = true;
const SEES: bool = true;

const fn model(
    id: &'static str,
    name: &'static str,
    (context_window, max_tokens): (u64, u64),
    (reasoning, images): (bool, bool),
    rates: Option<[f64; 4]>,
) -> KnownModel {
    KnownModel { id, name, context_window, max_tokens, reasoning, images, rates }
}

/// All of them.
pub(super) const PROVIDERS: &[KnownProvider] = &[
    KnownProvider {
        id: "anthropic",
        api: Api::AnthropicMessages,
        base_url: "https://api.anthropic.com",
        key_variable: Some("ANTHROPIC_API_KEY"),
        models: ANTHROPIC,
    },
    hosted("openai", "https://api.openai.com/v1", "OPENAI_API_KEY", OPENAI),
    hosted("openrouter", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY", &[]),
    hosted("groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY", GROQ),
    hosted("mistral", "https://api.mistral.ai/v1", "MISTRAL_API_KEY", MISTRAL),
    hosted("deepseek", "https://api.deepseek.com/v1", "DEEPSEEK_API_KEY", DEEPSEEK),
    hosted("xai", "https://api.x.ai/v1", "XAI_API_KEY", &[]),
    hosted("together", "https://api.together.xyz/v1", "TOGETHER_API_KEY", &[]),
    local("ollama", Api::OllamaChat, "http://127.0.0.1:11434"),
    local("llamacpp", Api::OpenaiCompletions, "http://127.0.0.1:8080/v1"),
    local("lmstudio", Api::OpenaiCompletions, "http://127.0.0.1:1234/v1"),
    local("vllm", Api::OpenaiCompletions, "http://127.0.0.1:8000/v1"),
];

const OPUS_4_5: Option<[f64; 4]> = Some([5.0, 25.0, 0.5, 6.25]);
const OPUS_4_1: Option<[f64; 4]> = Some([15.0, 75.0, 1.5, 18.75]);
const SONNET: Option<[f64; 4]> = Some([3.0, 15.0, 0.3, 3.75]);
const HAIKU_4_5: Option<[f64; 4]> = Some([1.0, 5.0, 0.1, 1.25]);

const ANTHROPIC: &[KnownModel] = &[
    model("claude-opus-4-5", "Claude Opus 4.5", (200_000, 64_000), (THINKS, SEES), OPUS_4_5),
    model("claude-opus-4-1", "Claude Opus 4.1", (200_000, 32_000), (THINKS, SEES), OPUS_4_1),
    model("claude-sonnet-4-5", "Claude Sonnet 4.5", (200_000, 64_000), (THINKS, SEES), SONNET),
    model("claude-sonnet-4-20250514", "Claude Sonnet 4", (200_000, 64_000), (THINKS, SEES), SONNET),
    model("claude-haiku-4-5", "Claude Haiku 4.5", (200_000, 64_000), (THINKS, SEES), HAIKU_4_5),
];

const OPENAI: &[KnownModel] = &[
    model("gpt-5", "GPT-5", (400_000, 128_000), (THINKS, SEES), Some([1.25, 10.0, 0.125, 0.0])),
    model("gpt-5-mini", "GPT-5 mini", (400_000, 128_000), (THINKS, SEES), Some([0.25, 2.0, 0.025, 0.0])),
    model("gpt-4.1", "GPT-4.1", (1_047_576, 32_768), (!THINKS, SEES), Some([2.0, 8.0, 0.5, 0.0])),
    model("gpt-4.1-mini", "GPT-4.1 mini", (1_047_576, 32_768), (!THINKS, SEES), Some([0.4, 1.6, 0.1, 0.0])),
    model("gpt-4o", "GPT-4o", (128_000, 16_384), (!THINKS, SEES), Some([2.5, 10.0, 1.25, 0.0])),
    model("gpt-4o-mini", "GPT-4o mini", (128_000, 16_384), (!THINKS, SEES), Some([0.15, 0.6, 0.075, 0.0])),
];

const GROQ: &[KnownModel] =
    &[model("llama-3.3-70b-versatile", "Llama 3.3 70B", (131_072, 32_768), (!THINKS, !SEES), None)];

const MISTRAL: &[KnownModel] = &[
    model("mistral-large-latest", "Mistral Large", (128_000, 8192), (!THINKS, !SEES), None),
    model("mistral-small-latest", "Mistral Small", (128_000, 8192), (!THINKS, SEES), None),
];

const DEEPSEEK: &[KnownModel] = &[
    model("deepseek-chat", "DeepSeek Chat", (128_000, 8192), (!THINKS, !SEES), None),
    model("deepseek-reasoner", "DeepSeek Reasoner", (128_000, 64_000), (THINKS, !SEES), None),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ids_are_unique_and_answers_fit_their_window() {
        let mut providers = BTreeSet::new();
        for provider in PROVIDERS {
            assert!(providers.insert(provider.id), "{}", provider.id);
            assert_eq!(super::super::network::base_url(provider.base_url), Some(provider.base_url));
            let mut models = BTreeSet::new();
            for known in provider.models {
                assert!(models.insert(known.id), "{}", known.id);
                assert!(known.max_tokens <= known.context_window, "{}", known.id);
            }
        }
    }
}
