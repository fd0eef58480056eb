//! Model providers and their models (methods.md 9.3).

use std::fmt;

use crate::secret::Secret;

/// The wire formats that the gateway speaks to a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// OpenAI chat completions and everything compatible with it.
    OpenaiCompletions,
    /// Anthropic messages.
    AnthropicMessages,
    /// Ollama's own chat.
    OllamaChat,
}

impl Api {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::OpenaiCompletions, Self::AnthropicMessages, Self::OllamaChat];

    /// The name in the configuration and in transcripts.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenaiCompletions => "openai-completions",
            Self::AnthropicMessages => "anthropic-messages",
            Self::OllamaChat => "ollama-chat",
        }
    }
}

/// A service that answers for models. `Debug` shows neither its key nor its headers.
#[derive(Clone)]
pub struct Provider {
    /// Its id, the part of a model reference before the slash.
    pub id: String,
    /// Its wire format.
    pub api: Api,
    /// `http://` or `https://`, without a trailing slash; with `/v1` for OpenAI, without for the others.
    pub base_url: String,
    /// The key; `None` for servers that need none.
    pub api_key: Option<Secret>,
    /// Whether a call without a key is refused before it is made (a hosted service).
    pub needs_key: bool,
    /// Further headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The models that it offers.
    pub models: Vec<Model>,
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider").field("id", &self.id).field("base_url", &self.base_url).finish_non_exhaustive()
    }
}

/// One model of a provider.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Its id as the provider knows it.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// Tokens of prompt and answer together.
    pub context_window: u64,
    /// Most tokens of an answer.
    pub max_tokens: u64,
    /// Whether it can think before it answers.
    pub reasoning: bool,
    /// Whether it takes images.
    pub images: bool,
    /// Prices in US dollars per million tokens; `None` when unknown (which is not the same as free).
    pub rates: Option<Rates>,
}

/// Prices in US dollars per million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Rates {
    /// Uncached prompt tokens.
    pub input: f64,
    /// Answer tokens.
    pub output: f64,
    /// Cached prompt tokens.
    pub cache_read: f64,
    /// Tokens written to the cache.
    pub cache_write: f64,
}
