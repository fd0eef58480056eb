//! The wizard's questions: what each one looks like, which answers fit, which comes next, and the
//! patch that comes of them all.

use serde_json::{Map, Value, json};

use super::wizard::{Choice, Step};
use crate::config::network;
use crate::config::offers::{self, Offer};
use crate::config::{Config, literal, weakness_of_password};

/// The value of the choice to leave something as it is.
const SKIP: &str = "skip";
/// The choice of a server with the interface of OpenAI, llama.cpp's for example.
const OWN_SERVER: &str = "local";
/// Where such a server usually is.
const OWN_SERVER_URL: &str = "http://127.0.0.1:8080/v1";
/// The choice to name a model by hand.
const BY_HAND: &str = "manual";
/// Longest answer, characters.
const ANSWER_CHARS: usize = 4096;
/// Fewest characters of a password that is taken.
const PASSWORD_CHARS: usize = 8;

/// What the wizard knows about the gateway before it asks.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Known providers.
    pub offers: Vec<Offer>,
    /// The model in force.
    pub model: String,
    /// Whether the configuration lists the allowed models.
    pub models_are_limited: bool,
    /// Whether `agents.defaults.model` is one text.
    pub model_is_text: bool,
    /// Providers of the file that list models.
    pub providers_with_models: Vec<String>,
    /// A token nobody has used yet.
    pub new_token: String,
    /// Whether `--token` of the command line decides who comes in.
    pub token_is_flag: bool,
    /// The port.
    pub port: u16,
    /// Workspace that whoever started the wizard asked for.
    pub workspace: Option<String>,
}

impl Facts {
    /// What `config` and the file (`parsed`, with includes) say.
    #[must_use]
    pub fn of(config: &Config, parsed: &Value) -> Self {
        let providers = parsed.pointer("/models/providers").and_then(Value::as_object);
        let with_models = providers.into_iter().flatten().filter(|(_, provider)| provider.get("models").is_some());
        Self {
            offers: offers::providers(),
            model: config.agents.defaults.model.primary.clone(),
            models_are_limited: config.agents.defaults.allowed.is_some(),
            model_is_text: parsed.pointer("/agents/defaults/model").is_some_and(Value::is_string),
            providers_with_models: with_models.map(|(id, _)| id.clone()).collect(),
            new_token: String::new(),
            token_is_flag: false,
            port: config.gateway.port,
            workspace: None,
        }
    }
}

/// What was answered.
#[derive(Debug, Default)]
pub(super) struct Answers {
    provider: Option<String>,
    base_url: Option<String>,
    key: Option<String>,
    model: Option<String>,
    auth: Auth,
    channel: Option<&'static Channel>,
    /// By the channel's keys.
    secrets: Vec<String>,
    workspace: Option<String>,
}

#[derive(Debug, Default)]
enum Auth {
    #[default]
    Keep,
    Token,
    Password(String),
}

/// A channel that can be set up by its keys alone.
#[derive(Debug)]
struct Channel {
    id: &'static str,
    label: &'static str,
    /// Key of the configuration, what to call it, how it begins or what it contains.
    keys: &'static [(&'static str, &'static str, &'static str)],
}

const CHANNELS: &[Channel] = &[
    Channel { id: "telegram", label: "Telegram", keys: &[("botToken", "bot token from @BotFather", ":")] },
    Channel { id: "discord", label: "Discord", keys: &[("token", "bot token of the developer portal", ".")] },
    Channel {
        id: "slack",
        label: "Slack",
        keys: &[("botToken", "bot token", "xoxb-"), ("appToken", "app-level token for socket mode", "xapp-")],
    },
];

/// Where the wizard is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Welcome,
    Provider,
    Address,
    Key,
    Model,
    ModelByHand,
    Auth,
    Password,
    TokenNote,
    Channel,
    /// The channel's secret of that number.
    ChannelSecret(usize),
    ChannelNote,
    Node,
    Confirm,
    /// Over: the patch is to be written.
    Write,
    /// Over: nothing is to be written.
    Discard,
}

impl Answers {
    pub(super) fn new(facts: &Facts) -> Self {
        Self { workspace: facts.workspace.clone(), ..Self::default() }
    }

    /// The merge patch of the configuration.
    pub(super) fn patch(&self, facts: &Facts) -> Map<String, Value> {
        let mut patch = Map::new();
        let mut defaults = Map::new();
        if let Some(workspace) = &self.workspace {
            defaults.insert("workspace".to_owned(), json!(workspace));
        }
        if let Some(provider) = &self.provider {
            let mut entry = Map::new();
            entry.extend(self.base_url.as_ref().map(|url| ("baseUrl".to_owned(), json!(url))));
            entry.extend(self.key.as_ref().map(|key| ("apiKey".to_owned(), json!(key))));
            let is_own = provider == OWN_SERVER;
            if is_own {
                entry.insert("api".to_owned(), json!("openai-completions"));
            }
            let model = self.model.as_ref().and_then(|model| model.strip_prefix(&format!("{provider}/")));
            let lists_models = facts.providers_with_models.contains(provider);
            let is_local = self.base_url.is_some();
            entry.extend(
                model.filter(|_| is_local && !lists_models).map(|id| ("models".to_owned(), json!([{"id": id}]))),
            );
            patch.insert("models".to_owned(), json!({"providers": {provider: entry}}));
        }
        if let Some(model) = &self.model {
            let choice = if facts.model_is_text { json!(model) } else { json!({"primary": model}) };
            defaults.insert("model".to_owned(), choice);
            if facts.models_are_limited {
                defaults.insert("models".to_owned(), json!({model: {}}));
            }
        }
        if !defaults.is_empty() {
            patch.insert("agents".to_owned(), json!({"defaults": defaults}));
        }
        match &self.auth {
            Auth::Keep => {}
            Auth::Token => {
                let auth = json!({"auth": {"mode": "token", "token": facts.new_token}});
                patch.insert("gateway".to_owned(), auth);
            }
            Auth::Password(password) => {
                patch.insert("gateway".to_owned(), json!({"auth": {"mode": "password", "password": password}}));
            }
        }
        if let Some(channel) = self.channel {
            let keys = channel.keys.iter().zip(&self.secrets);
            let mut entry: Map<String, Value> =
                keys.map(|((key, _, _), secret)| ((*key).to_owned(), json!(secret))).collect();
            entry.insert("enabled".to_owned(), json!(true));
            patch.insert("channels".to_owned(), json!({channel.id: entry}));
        }
        patch.values_mut().for_each(as_it_stands);
        patch
    }

    /// What will be written, without secrets.
    fn summary(&self) -> String {
        let mut lines = Vec::new();
        if let Some(workspace) = &self.workspace {
            lines.push(format!("workspace: {workspace}"));
        }
        if let Some(provider) = &self.provider {
            let key = if self.key.is_some() { " with its key" } else { "" };
            let url = self.base_url.as_ref().map(|url| format!(" at {url}")).unwrap_or_default();
            lines.push(format!("model provider: {provider}{url}{key}"));
        }
        lines.extend(self.model.as_ref().map(|model| format!("model: {model}")));
        match self.auth {
            Auth::Keep => {}
            Auth::Token => lines.push("clients show: the new token".to_owned()),
            Auth::Password(_) => lines.push("clients show: the new password".to_owned()),
        }
        lines.extend(self.channel.map(|channel| format!("channel: {}", channel.label)));
        if lines.is_empty() { "Nothing is changed.".to_owned() } else { lines.join("\n") }
    }

    fn offer<'f>(&self, facts: &'f Facts) -> Option<&'f Offer> {
        facts.offers.iter().find(|offer| Some(offer.id) == self.provider.as_deref())
    }
}

impl Stage {
    /// What is shown.
    pub(super) fn step(self, id: String, answers: &Answers, facts: &Facts) -> Step {
        let choice = |value: &str, label: &str, hint: Option<String>| Choice {
            value: value.to_owned(),
            label: label.to_owned(),
            hint,
        };
        match self {
            Self::Welcome => Step::new(
                id,
                "note",
                "Barnacle setup",
                "This asks for a model provider, who may come in, a channel and a first node. Nothing is written before the end. \
                 An agent acts on what it is told: give this gateway's token only to people and devices that you trust.",
            ),
            Self::Provider => {
                let mut options: Vec<_> = Vec::new();
                for offer in &facts.offers {
                    let hint = match offer.key_variable {
                        Some(_) => "hosted, needs a key".to_owned(),
                        None => format!("on your own machine, usually {}", offer.base_url),
                    };
                    options.push(choice(offer.id, offer.id, Some(hint)));
                }
                options.push(choice(OWN_SERVER, "another server on your own machine", Some(OWN_SERVER_URL.to_owned())));
                options.push(choice(SKIP, "leave it as it is", Some(facts.model.clone())));
                Step::new(id, "select", "Model provider", "Who answers?").choose(options)
            }
            Self::Address => {
                let usual = answers.offer(facts).map_or(OWN_SERVER_URL, |offer| offer.base_url);
                let mut step = Step::new(id, "text", "Model server", "The address of the server, with its port.");
                step.initial_value = Some(json!(usual));
                step.placeholder = Some(usual.to_owned());
                step
            }
            Self::Key => {
                let offer = answers.offer(facts);
                let name = offer.map_or("the provider", |offer| offer.id);
                let other = offer.and_then(|offer| offer.key_variable).unwrap_or("the environment");
                let message =
                    format!("The API key of {name}. Leave it empty to use the one that is there already ({other}).");
                Step { sensitive: Some(true), ..Step::new(id, "text", "API key", message) }
            }
            Self::Model => {
                let offer = answers.offer(facts);
                let provider = answers.provider.as_deref().unwrap_or_default();
                let known = offer.map(|offer| offer.models.as_slice()).unwrap_or_default();
                let mut options: Vec<_> =
                    known.iter().map(|(model, name)| choice(&format!("{provider}/{model}"), name, None)).collect();
                options.push(choice(BY_HAND, "another one", None));
                Step::new(id, "select", "Model", "Which model answers when none is asked for?").choose(options)
            }
            Self::ModelByHand => {
                let mut step = Step::new(id, "text", "Model", "The model's id, as the provider calls it.");
                step.placeholder = Some("qwen3:8b".to_owned());
                step
            }
            Self::Auth => {
                let mut message = "What do clients have to show?".to_owned();
                if facts.token_is_flag {
                    message.push_str(" The gateway was started with --token, which wins over the file.");
                }
                let options = vec![
                    choice(SKIP, "leave it as it is", None),
                    choice("token", "a new token", Some("the best choice".to_owned())),
                    choice("password", "a password", None),
                ];
                Step::new(id, "select", "Authentication", message).choose(options)
            }
            Self::Password => Step {
                sensitive: Some(true),
                ..Step::new(id, "text", "Password", format!("The password, at least {PASSWORD_CHARS} characters."))
            },
            Self::TokenNote => Step {
                sensitive: Some(true),
                ..Step::new(
                    id,
                    "note",
                    "New token",
                    format!(
                        "Write it down: {}\nIt holds from the moment when these answers are written.",
                        facts.new_token
                    ),
                )
            },
            Self::Channel => {
                let mut options: Vec<_> = vec![choice(SKIP, "none now", None)];
                options.extend(CHANNELS.iter().map(|channel| choice(channel.id, channel.label, None)));
                Step::new(id, "select", "Channel", "Over which messenger may people write?").choose(options)
            }
            Self::ChannelSecret(index) => {
                let (label, what) = answers
                    .channel
                    .and_then(|channel| Some((channel.label, channel.keys.get(index)?.1)))
                    .unwrap_or(("Channel", "token"));
                Step { sensitive: Some(true), ..Step::new(id, "text", label, format!("The {what}.")) }
            }
            Self::ChannelNote => Step::new(
                id,
                "note",
                "Channel",
                "The key will be in the configuration file. `channels.status` tells whether this version runs the channel; \
                 if it doesn't yet, the key waits there for one that does.",
            ),
            Self::Node => Step::new(
                id,
                "note",
                "First node",
                format!(
                    "A phone or another computer becomes a node when it connects with the role `node` to port {} of this machine \
                     and is approved. Waiting requests: `barnacle nodes list` and `barnacle devices list` (or `node.pair.list`, \
                     `device.pair.list`); approve with `barnacle nodes approve <request>` or `barnacle devices approve <request>`. \
                     Other machines reach the gateway only when gateway.bind lets them.",
                    facts.port
                ),
            ),
            Self::Confirm | Self::Write | Self::Discard => {
                let mut step = Step::new(id, "confirm", "Write the configuration?", answers.summary());
                step.initial_value = Some(json!(true));
                step
            }
        }
    }

    /// Takes an answer; the next stage, or what is wrong with it.
    pub(super) fn take(self, value: &Value, answers: &mut Answers, facts: &Facts) -> Result<Self, String> {
        match self {
            Self::Welcome => Ok(Self::Provider),
            Self::Provider => {
                let mut known: Vec<&str> = facts.offers.iter().map(|offer| offer.id).collect();
                known.extend([OWN_SERVER, SKIP]);
                let id = chosen(value, &known)?;
                if id == SKIP {
                    return Ok(Self::Auth);
                }
                let is_hosted = facts.offers.iter().any(|offer| offer.id == id && offer.key_variable.is_some());
                answers.provider = Some(id);
                Ok(if is_hosted { Self::Key } else { Self::Address })
            }
            Self::Address => {
                let text = text(value)?;
                let url = network::base_url(&text).ok_or("expected an address like http://127.0.0.1:8080/v1")?;
                answers.base_url = Some(url.to_owned());
                Ok(Self::ModelByHand)
            }
            Self::Key => {
                let key = text(value)?;
                if key.contains(|c: char| c.is_whitespace() || c.is_control()) {
                    return Err("a key has no spaces in it".to_owned());
                }
                answers.key = Some(key).filter(|key| !key.is_empty());
                let has_models = answers.offer(facts).is_some_and(|offer| !offer.models.is_empty());
                Ok(if has_models { Self::Model } else { Self::ModelByHand })
            }
            Self::Model => {
                let provider = answers.provider.clone().unwrap_or_default();
                let known = answers.offer(facts).map(|offer| offer.models.as_slice()).unwrap_or_default();
                let mut values: Vec<String> = known.iter().map(|(model, _)| format!("{provider}/{model}")).collect();
                values.push(BY_HAND.to_owned());
                let model = chosen(value, &values.iter().map(String::as_str).collect::<Vec<_>>())?;
                if model == BY_HAND {
                    return Ok(Self::ModelByHand);
                }
                answers.model = Some(model);
                Ok(Self::Auth)
            }
            Self::ModelByHand => {
                let provider = answers.provider.clone().unwrap_or_default();
                let text = text(value)?;
                let model = text.strip_prefix(&format!("{provider}/")).unwrap_or(&text);
                if model.is_empty() || model.contains(char::is_whitespace) {
                    return Err("expected the id of a model, without spaces".to_owned());
                }
                answers.model = Some(format!("{provider}/{model}"));
                Ok(Self::Auth)
            }
            Self::Auth => Ok(match chosen(value, &[SKIP, "token", "password"])?.as_str() {
                "token" => {
                    answers.auth = Auth::Token;
                    Self::TokenNote
                }
                "password" => Self::Password,
                _ => Self::Channel,
            }),
            Self::Password => {
                let password = text(value)?;
                if password.chars().count() < PASSWORD_CHARS {
                    return Err(format!("a password needs at least {PASSWORD_CHARS} characters"));
                }
                if let Some(weakness) = weakness_of_password(&password) {
                    return Err(format!("choose another password: {weakness}"));
                }
                answers.auth = Auth::Password(password);
                Ok(Self::Channel)
            }
            Self::TokenNote => Ok(Self::Channel),
            Self::Channel => {
                let mut known: Vec<&str> = CHANNELS.iter().map(|channel| channel.id).collect();
                known.push(SKIP);
                let id = chosen(value, &known)?;
                answers.channel = CHANNELS.iter().find(|channel| channel.id == id);
                Ok(if answers.channel.is_some() { Self::ChannelSecret(0) } else { Self::Node })
            }
            Self::ChannelSecret(index) => {
                let secret = text(value)?;
                let keys = answers.channel.map(|channel| channel.keys).unwrap_or_default();
                let Some((_, what, part)) = keys.get(index) else { return Ok(Self::ChannelNote) };
                if !secret.contains(part) || secret.contains(char::is_whitespace) {
                    return Err(format!("this is no {what}: it has {part:?} in it and no spaces"));
                }
                answers.secrets.push(secret);
                Ok(if index + 1 < keys.len() { Self::ChannelSecret(index + 1) } else { Self::ChannelNote })
            }
            Self::ChannelNote => Ok(Self::Node),
            Self::Node => Ok(Self::Confirm),
            Self::Confirm | Self::Write | Self::Discard => {
                let is_empty = answers.patch(facts).is_empty();
                match value {
                    Value::Bool(false) => Ok(Self::Discard),
                    Value::Bool(true) => Ok(if is_empty { Self::Discard } else { Self::Write }),
                    Value::String(text) if matches!(text.as_str(), "true" | "yes") => {
                        Ok(if is_empty { Self::Discard } else { Self::Write })
                    }
                    Value::String(text) if matches!(text.as_str(), "false" | "no") => Ok(Self::Discard),
                    _ => Err("expected true or false".to_owned()),
                }
            }
        }
    }
}

/// An answer is no place for variables: whoever types `${NAME}` means that.
fn as_it_stands(value: &mut Value) {
    match value {
        Value::String(text) => *text = literal(text),
        Value::Array(items) => items.iter_mut().for_each(as_it_stands),
        Value::Object(entries) => entries.values_mut().for_each(as_it_stands),
        _ => {}
    }
}

/// One of these values.
fn chosen(value: &Value, known: &[&str]) -> Result<String, String> {
    match value.as_str().filter(|text| known.contains(text)) {
        Some(text) => Ok(text.to_owned()),
        None => Err(format!("expected one of: {}", known.join(", "))),
    }
}

fn text(value: &Value) -> Result<String, String> {
    let text = value.as_str().ok_or("expected a text")?.trim();
    if text.chars().count() > ANSWER_CHARS || text.contains(char::is_control) {
        return Err(format!("expected one line of at most {ANSWER_CHARS} characters"));
    }
    Ok(text.to_owned())
}
