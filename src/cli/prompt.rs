//! A conversation with somebody who types: the prompt, what was said before, and its end.

use std::time::Duration;

use smol::future::FutureExt as _;

use super::chat::{Talk, next_of};
use super::client_error::ClientError;
use super::exit::{Exit, Failure};
use super::input::Lines;
use super::turn::messages_of;
use crate::wire::message::Message;

const PROMPT: &str = "you> ";
/// Messages that are shown at the start.
const SHOWN: u64 = 6;
/// Characters of each; more is cut.
const SHOWN_CHARS: usize = 600;
/// How long the history is waited for.
const HISTORY_WAIT: Duration = Duration::from_secs(10);

/// Talks until the input ends or Ctrl-C is pressed at the prompt. A failed answer doesn't end it.
///
/// # Errors
/// What makes it useless to go on.
pub async fn converse(talk: &mut Talk<'_>, lines: &mut Lines) -> Result<(), Failure> {
    greet(talk).await?;
    loop {
        talk.console.print(PROMPT)?;
        let Some(line) = typed(talk, lines).await? else {
            return talk.console.print("\n");
        };
        match line.trim() {
            "" => {}
            "/quit" | "/exit" => return Ok(()),
            line => match talk.say(line).await {
                Ok(()) => talk.console.print("\n")?,
                Err(failure) if failure.exit == Exit::Ok || failure.exit == Exit::Unauthorized => return Err(failure),
                Err(failure) => talk.console.failure(&failure),
            },
        }
    }
}

/// Who is there, and the last messages.
async fn greet(talk: &mut Talk<'_>) -> Result<(), Failure> {
    let params = serde_json::json!({"sessionKey": talk.session, "limit": SHOWN});
    let client = talk.connect().await?;
    let server = client.hello().server.clone();
    let answer = client.ask("chat.history", &params, HISTORY_WAIT).await;
    let who = format!("Barnacle {} on {}, session {}.", server.version, server.host, talk.session);
    talk.console.dim_line(&format!("{who} /help lists commands, Ctrl-C stops an answer, Ctrl-D ends."))?;
    match answer {
        Ok(Ok(payload)) => {
            for line in messages_of(&payload).iter().filter_map(shown) {
                talk.console.dim_line(&line)?;
            }
        }
        Ok(Err(refusal)) => talk.console.note(&format!("no history: {}", refusal.line())),
        Err(error) => return Err(talk.explain(&error)),
    }
    Ok(())
}

/// A message as it is shown at the start; `None` for those without text and for tools.
fn shown(message: &Message) -> Option<String> {
    let prompt = match message {
        Message::User(_) => PROMPT,
        Message::Assistant(_) => "",
        Message::ToolResult(_) => return None,
    };
    let text = message.text();
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    let cut: String = text.chars().take(SHOWN_CHARS).collect();
    let more = if cut.len() < text.len() { " …" } else { "" };
    Some(format!("{prompt}{cut}{more}"))
}

/// The next line; `None` when the input ends or at Ctrl-C. Meanwhile the connection is read, so that
/// it doesn't fill up; when it breaks, the next message makes a new one.
async fn typed(talk: &mut Talk<'_>, lines: &mut Lines) -> Result<Option<String>, Failure> {
    let (client, interrupts) = (&mut talk.client, &mut talk.interrupts);
    let reading = async {
        loop {
            match client {
                Some(open) => {
                    let ended: Result<_, ClientError> = next_of(open).await;
                    if ended.is_err() {
                        *client = None;
                    }
                }
                None => std::future::pending::<()>().await,
            }
        }
    };
    let interrupted = async {
        interrupts.next().await;
        Ok(None)
    };
    let line = lines.next().or(interrupted).or(reading).await;
    line.map_err(|error| Failure::new(Exit::Failed, format!("cannot read what is typed: {error}")))
}

#[cfg(test)]
#[path = "prompt_tests.rs"]
mod tests;
