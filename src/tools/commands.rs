//! Slash commands that people write: the same tools, without a model (so they work without the internet too).
//!
//! A command is a person's own word. The owner's needs nobody's approval; anybody else's is decided like a call.

use serde_json::{Value, json};

use super::{Cx, Problem, policy};
use crate::channels::known;
use crate::channels::target::Target;
use crate::nodes::decisions::Verdict;
use crate::runs::asker::Asker;
use crate::runs::tools::ToolOutput;
use crate::sys::LocalFuture;

/// How a command is written, and what it does.
pub(super) const USAGE: &[(&str, &str)] = &[
    ("/nodes", "the phones and machines that are connected"),
    ("/photo [NODE]", "a picture from a camera"),
    ("/where [NODE]", "where a phone is"),
    ("/notify NODE TEXT", "a notification on a phone or machine"),
    ("/remind WHEN TEXT", "a reminder: /remind 10m tea, /remind tomorrow 7:00 bins; quotes around WHEN help"),
    ("/jobs", "reminders and scheduled jobs"),
    ("/say CHANNEL:WHO TEXT", "a message to somebody: /say telegram:77 hello"),
    ("/approve ID [always]", "allows what the agent asks for"),
    ("/deny ID", "doesn't"),
];

/// What a command comes to.
pub(super) enum Line {
    /// A call of a tool.
    Call(&'static str, Value),
    /// Something that is no tool.
    Own(LocalFuture<'static, Result<ToolOutput, Problem>>),
    /// It is written wrongly; how it should be.
    Wrong(String),
}

/// Reads a line; `None` when it is no command of these.
pub(super) fn read(cx: &Cx, text: &str) -> Option<Line> {
    let text = text.trim();
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let rest = rest.trim();
    let usage = |word: &str| {
        let line = USAGE.iter().find(|(usage, _)| usage.split(' ').next() == Some(word));
        Line::Wrong(format!("It is written like this: {}", line.map_or(word, |(usage, _)| usage)))
    };
    let node = Some(rest).filter(|rest| !rest.is_empty());
    Some(match word.to_lowercase().as_str() {
        "/nodes" => Line::Call("nodes", json!({})),
        "/photo" => Line::Call("camera_snap", with_node(node)),
        "/where" => Line::Call("location_get", with_node(node)),
        "/jobs" => Line::Call("jobs", json!({})),
        "/notify" => match rest.split_once(char::is_whitespace) {
            Some((node, text)) => Line::Call("notify", json!({"node": node, "body": text.trim()})),
            None => usage("/notify"),
        },
        "/remind" => {
            let (cx, rest) = (cx.clone(), rest.to_owned());
            if rest.is_empty() {
                return Some(usage("/remind"));
            }
            match split_when(&cx, &rest) {
                Some((when, text)) => Line::Call("remind", json!({"when": when, "text": text})),
                None => Line::Wrong(format!(
                    "I don't understand when. {}",
                    super::when::read(&rest, 0, &cx.gateway.sys.zone)
                        .err()
                        .map(|Problem(text)| text)
                        .unwrap_or_default()
                )),
            }
        }
        "/say" => match rest
            .split_once(char::is_whitespace)
            .and_then(|(to, text)| Some((to.split_once(':')?, text.trim())))
        {
            Some(((channel, to), text)) => Line::Call("message", json!({"channel": channel, "to": to, "text": text})),
            None => usage("/say"),
        },
        "/approve" | "/deny" => {
            let mut words = rest.split_whitespace();
            let (Some(id), always) = (words.next(), words.next()) else { return Some(usage(word)) };
            let verdict = match (word.to_lowercase().as_str(), always) {
                ("/deny", None) => Verdict::Deny,
                ("/approve", None) => Verdict::AllowOnce,
                ("/approve", Some("always")) => Verdict::AllowAlways,
                _ => return Some(usage(word)),
            };
            let (cx, id) = (cx.clone(), id.to_owned());
            Line::Own(Box::pin(async move { decide(&cx, &id, verdict).await }))
        }
        _ => return None,
    })
}

fn with_node(node: Option<&str>) -> Value {
    node.map_or_else(|| json!({}), |node| json!({"node": node}))
}

/// The longest beginning that is a time, or what stands in quotes, and the text behind it.
fn split_when(cx: &Cx, text: &str) -> Option<(String, String)> {
    let (clock, zone) = (&cx.gateway.sys.clock, &cx.gateway.sys.zone);
    let is_time = |text: &str| super::when::read(text, clock.now_ms(), zone).is_ok();
    if let Some((when, rest)) = text.strip_prefix('"').and_then(|text| text.split_once('"')) {
        let rest = rest.trim();
        return (is_time(when) && !rest.is_empty()).then(|| (when.to_owned(), rest.to_owned()));
    }
    let ends: Vec<usize> = text.match_indices(char::is_whitespace).map(|(at, _)| at).take(8).collect();
    let found = ends.into_iter().rev().find(|&end| text.get(..end).is_some_and(is_time))?;
    let (when, rest) = text.split_at_checked(found)?;
    Some((when.to_owned(), rest.trim().to_owned())).filter(|(_, rest)| !rest.is_empty())
}

/// Decides about what waits for an approval, if whoever writes may.
async fn decide(cx: &Cx, id: &str, verdict: Verdict) -> Result<ToolOutput, Problem> {
    if !may_decide(cx) {
        return Err(Problem::from("You can't decide that; the owner can."));
    }
    let by = cx.scene.asker.name();
    cx.gateway.decide_approval(id, verdict, by).await.map_err(|error| error.message)?;
    Ok(ToolOutput::text(if verdict == Verdict::Deny { "Denied." } else { "Allowed." }))
}

/// Operators with the scope, the owner on a channel, and whoever writes in a chat that the owner named for it.
fn may_decide(cx: &Cx) -> bool {
    let config = cx.gateway.config.get();
    match &cx.scene.asker {
        Asker::Operator(operator) => operator.may_approve,
        Asker::Person(person) => {
            if policy::is_owner(&config.tools, &cx.scene.asker) {
                return true;
            }
            let parse = |to: &str| known::find(person.channel).and_then(|meta| Target::parse(meta.id, to));
            let mut targets = config.tools.forward.targets.iter().filter(|target| target.channel == person.channel);
            targets.any(|target| parse(&target.to).is_some_and(|target| target.to == person.chat))
        }
        Asker::Node(_) | Asker::Schedule | Asker::Heartbeat | Asker::Hook => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_written_with_a_slash_and_told() {
        for (usage, doc) in USAGE {
            assert!(usage.starts_with('/') && !doc.is_empty() && !doc.ends_with('.'), "{usage}");
        }
    }
}
