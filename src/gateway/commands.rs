//! Slash commands: answered by the gateway itself, without a model (methods.md 6.1).

use std::fmt::Write as _;
use std::rc::Rc;

use super::Gateway;
use super::post::store_error;
use crate::error::Error;
use crate::events::Peer;
use crate::runs::asker::Asker;
use crate::runs::choice;
use crate::runs::run::Stop;
use crate::runs::tools::Scene;
use crate::stores::{Durability, Entry, SessionKey};
use crate::wire::message::text_of;
use crate::wire::thinking::ThinkingLevel;

/// What a message turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect {
    /// It is for the model.
    NotACommand,
    /// It was a command; this is the answer.
    Reply(String),
    /// It was a command with a message behind it for the model.
    Ask(String),
}

/// A command: its names, how it is used, what it does.
#[derive(Debug)]
struct Command {
    names: &'static [&'static str],
    usage: &'static str,
    doc: &'static str,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Help,
    Status,
    New,
    Model,
    Think,
    Stop,
    Usage,
    WhoAmI,
}

const COMMANDS: &[Command] = &[
    Command { names: &["/help", "/commands"], usage: "/help", doc: "this list", kind: Kind::Help },
    Command { names: &["/status"], usage: "/status", doc: "the gateway, the model, this session", kind: Kind::Status },
    Command {
        names: &["/new", "/reset"],
        usage: "/new [message]",
        doc: "begin this session anew, perhaps with a first message",
        kind: Kind::New,
    },
    Command {
        names: &["/model", "/models"],
        usage: "/model [provider/id | list | default]",
        doc: "show, choose or list models",
        kind: Kind::Model,
    },
    Command {
        names: &["/think", "/thinking", "/t"],
        usage: "/think [off|minimal|low|medium|high]",
        doc: "show or choose how much the model thinks first",
        kind: Kind::Think,
    },
    Command { names: &["/stop"], usage: "/stop", doc: "stop the answer that is being given", kind: Kind::Stop },
    Command {
        names: &["/usage"],
        usage: "/usage",
        doc: "tokens and cost of this session and the last days",
        kind: Kind::Usage,
    },
    Command { names: &["/whoami", "/id"], usage: "/whoami", doc: "who the gateway thinks you are", kind: Kind::WhoAmI },
];

/// Whole messages that stop a session's runs, in any case of letters (methods.md 6.1).
const STOP_PHRASES: [&str; 7] = ["/stop", "stop", "esc", "abort", "wait", "exit", "interrupt"];

/// Whether a message stops the session's runs.
#[must_use]
pub fn is_stop(message: &str) -> bool {
    STOP_PHRASES.contains(&message.trim().to_lowercase().as_str())
}

/// Splits a message into a command and what stands behind it. Unknown words with a slash are text.
fn parse<'a>(message: &'a str, resets: &[String]) -> Option<(Kind, &'a str)> {
    let message = message.trim();
    let (word, rest) = message.split_once(char::is_whitespace).unwrap_or((message, ""));
    let word = word.to_lowercase();
    if resets.contains(&word) {
        return Some((Kind::New, rest.trim()));
    }
    let command = COMMANDS.iter().find(|command| command.names.contains(&word.as_str()))?;
    Some((command.kind, rest.trim()))
}

/// Carries a command out; `who_am_i` describes its sender. What the gateway itself doesn't know, its tools may.
///
/// # Errors
/// When what it changes can't be saved.
pub async fn run(
    gateway: &Rc<Gateway>,
    asker: &Asker,
    who_am_i: &dyn Fn() -> String,
    key: &SessionKey,
    message: &str,
) -> Result<Effect, Error> {
    let Some((kind, rest)) = parse(message, &gateway.config.get().session.reset_triggers) else {
        let tools = &gateway.runs.context().tools;
        let scene = Scene {
            session: key.clone(),
            agent_id: gateway.agent_of(key),
            run_id: format!("command-{}", gateway.sys.chance.hex::<8>()),
            asker: asker.clone(),
        };
        return match tools.command(&scene, message) {
            Some(answer) => Ok(Effect::Reply(text_of(&answer.await.content))),
            None => Ok(Effect::NotACommand),
        };
    };
    let reply = match kind {
        Kind::Help => help(gateway.runs.context().tools.commands()),
        Kind::Status => status(gateway, key),
        Kind::WhoAmI => who_am_i(),
        Kind::Usage => usage(gateway, key),
        Kind::Think => think(gateway, key, rest).await?,
        Kind::Model => model(gateway, key, rest).await?,
        Kind::Stop => {
            gateway.stop_session(key, Stop::Phrase).await;
            "Stopped.".to_owned()
        }
        Kind::New => {
            gateway.renew(key).await?;
            if !rest.is_empty() {
                return Ok(Effect::Ask(rest.to_owned()));
            }
            "A new session has begun.".to_owned()
        }
    };
    Ok(Effect::Reply(reply))
}

fn help(of_tools: &[(&str, &str)]) -> String {
    let mut text = String::from("Commands:");
    let own = COMMANDS.iter().map(|command| (command.usage, command.doc));
    for (usage, doc) in own.chain(of_tools.iter().copied()) {
        let _ = write!(text, "\n{usage} – {doc}");
    }
    text
}

/// What a connected client is told about itself.
#[must_use]
pub fn who_am_i(caller: &Peer) -> String {
    format!(
        "Identity\nClient: {} {} ({})\nName: {}\nRole: {}\nScopes: {}",
        caller.client.id,
        caller.client.version,
        caller.client.platform,
        caller.client.display_name.as_deref().unwrap_or("-"),
        caller.grant.role,
        if caller.grant.scopes.is_empty() { "none".to_owned() } else { caller.grant.scopes.join(", ") },
    )
}

fn status(gateway: &Gateway, key: &SessionKey) -> String {
    let entry = gateway.stores.sessions.get(key).unwrap_or_default();
    let (running, queued) = gateway.runs.counts();
    let (model, window) = match shown_model(gateway, key, &entry) {
        Some((name, window)) => (name, window),
        None => ("none configured".to_owned(), 0),
    };
    let used = entry.total_tokens.unwrap_or(0);
    let percent = (used * 100).checked_div(window).unwrap_or(0);
    let level = entry.thinking_level.as_deref().unwrap_or("default");
    let mut text = format!("Barnacle {} on {}, up {}", crate::VERSION, gateway.host, span(gateway.uptime_ms()));
    let _ = write!(text, "\nModel: {model}\nThinking: {level}");
    let _ = write!(text, "\nSession: {key}\nContext: {used} of {window} tokens ({percent}%)");
    let _ = write!(text, "\nRuns: {running} going, {queued} waiting");
    if let Some(trouble) = gateway.stores.saver.trouble() {
        let _ = write!(text, "\nStorage: {trouble}");
    }
    text
}

/// The model that would answer in this session, and its window.
fn shown_model(gateway: &Gateway, key: &SessionKey, entry: &Entry) -> Option<(String, u64)> {
    let config = gateway.config.get();
    let agent = config.agents.find(&gateway.agent_of(key)).unwrap_or_else(|| config.agents.default_agent());
    let own = entry.model_override.as_ref().and_then(|model| {
        let reference =
            entry.provider_override.as_ref().map_or_else(|| model.clone(), |provider| format!("{provider}/{model}"));
        config.resolve(&reference).ok()
    });
    let (provider, model) = own.or_else(|| choice::shown(&config, agent, &gateway.runs.context().local))?;
    Some((format!("{}/{}", provider.id, model.id), model.context_window))
}

fn usage(gateway: &Gateway, key: &SessionKey) -> String {
    let entry = gateway.stores.sessions.get(key).unwrap_or_default();
    let now_ms = gateway.sys.clock.now_ms();
    let line = |name: &str, days| {
        let (_, sum) = gateway.stores.usage.cost(days, now_ms);
        let unknown = if sum.missing_cost_entries > 0 { " (some prices unknown)" } else { "" };
        format!("{name}: {} tokens, ${:.4}{unknown}", sum.total_tokens, sum.total_cost)
    };
    format!(
        "Last run: {} in, {} out\n{}\n{}",
        entry.input_tokens.unwrap_or(0),
        entry.output_tokens.unwrap_or(0),
        line("Today", 1),
        line("Last 30 days", 30)
    )
}

async fn think(gateway: &Gateway, key: &SessionKey, level: &str) -> Result<String, Error> {
    const OPTIONS: &str = "off, minimal, low, medium, high";
    if level.is_empty() {
        let entry = gateway.stores.sessions.get(key).unwrap_or_default();
        let level = entry.thinking_level.as_deref().unwrap_or("off");
        return Ok(format!("Current thinking level: {level}.\nOptions: {OPTIONS}."));
    }
    let Some(parsed) = ThinkingLevel::parse(level) else {
        return Ok(format!("Unrecognized thinking level \"{level}\". Valid levels: {OPTIONS}."));
    };
    let stored = (parsed != ThinkingLevel::Off).then(|| parsed.name().to_owned());
    change(gateway, key, |entry| entry.thinking_level = stored).await?;
    Ok(format!("Thinking level set to {}.", parsed.name()))
}

async fn model(gateway: &Gateway, key: &SessionKey, reference: &str) -> Result<String, Error> {
    let entry = gateway.stores.sessions.get(key).unwrap_or_default();
    let config = gateway.config.get();
    match reference {
        "" | "status" => {
            let current =
                shown_model(gateway, key, &entry).map_or_else(|| "none configured".to_owned(), |(name, _)| name);
            Ok(format!("Current: {current}\n\nSwitch: /model <provider/model>\nBrowse: /model list"))
        }
        "list" => {
            let mut text = String::from("Models:");
            for (provider, model) in config.models() {
                let _ = write!(text, "\n{}/{}", provider.id, model.id);
            }
            if let Some(local) = gateway.runs.context().local.known() {
                for model in &local.models {
                    let _ = write!(text, "\n{}/{} (on this machine)", local.id, model.id);
                }
            }
            Ok(if text.contains('\n') { text } else { "No model is configured.".to_owned() })
        }
        "default" => {
            change(gateway, key, |entry| (entry.provider_override, entry.model_override) = (None, None)).await?;
            Ok("Model set to the default.".to_owned())
        }
        reference => match config.resolve(reference) {
            Ok((provider, model)) => {
                let name = format!("{}/{}", provider.id, model.id);
                change(gateway, key, |entry| {
                    (entry.provider_override, entry.model_override) = (Some(provider.id.clone()), Some(model.id));
                })
                .await?;
                Ok(format!("Model set to {name}."))
            }
            Err(_) => Ok(format!("Model \"{reference}\" is not allowed. Use /model list to see the models.")),
        },
    }
}

async fn change(gateway: &Gateway, key: &SessionKey, change: impl FnOnce(&mut Entry)) -> Result<(), Error> {
    let updated = gateway.stores.sessions.update(key, Durability::Forced, change);
    updated.map_err(|error| store_error(&error))?;
    gateway.stores.sessions.saved().await.map_err(|error| store_error(&error))
}

/// A time span in its two largest units.
fn span(ms: u64) -> String {
    let minutes = ms / 60_000;
    match (minutes / 1440, minutes / 60 % 24, minutes % 60) {
        (0, 0, 0) => format!("{} s", ms / 1000),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_known_by_all_their_names_and_text_is_left_alone() {
        let resets = ["/fresh".to_owned()];
        assert_eq!(parse("/HELP", &resets), Some((Kind::Help, "")));
        assert_eq!(parse(" /t  high ", &resets), Some((Kind::Think, "high")));
        assert_eq!(parse("/fresh hello there", &resets), Some((Kind::New, "hello there")));
        assert_eq!(parse("/nosuch thing", &resets), None);
        assert_eq!(parse("a /help in the middle", &resets), None);
    }

    #[test]
    fn no_name_means_two_commands() {
        let mut names: Vec<_> = COMMANDS.iter().flat_map(|command| command.names).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn spans_show_their_two_largest_units() {
        assert_eq!(span(59_000), "59 s");
        assert_eq!(span(3_661_000), "1 h 1 min");
        assert_eq!(span(90_000_000), "1 d 1 h");
    }
}
