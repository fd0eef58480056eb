//! Messages and polls to people on channels.

use serde_json::Value;

use super::{Cx, Group, Problem, Risk, Tool};
use crate::channels::known;
use crate::channels::message::{Body, Poll};
use crate::channels::registry::Draft;
use crate::gateway::delivery::DeliveryTarget;
use crate::limits::SEND_TEXT_BYTES;
use crate::runs::tools::ToolOutput;
use crate::wire::shape::{Kind, int_within, text_within};

/// Rows.
pub(super) const TOOLS: &[Tool] = &[
    Tool::new(
        "message",
        Group::Messages,
        Risk::World,
        "Sends a message to somebody on a channel. Your answer in this conversation needs no tool: it goes back by itself.",
        tool!(send),
    )
    .told_as(|arguments| {
        let text = |name: &str| arguments.get(name).and_then(Value::as_str).unwrap_or_default();
        format!("to {}:{}: {}", text("channel"), text("to"), text("text"))
    })
    .each_anew(),
    Tool::new(
        "poll",
        Group::Messages,
        Risk::World,
        "Asks people on a channel a question with options that they choose from.",
        tool!(poll),
    )
    .each_anew(),
];

/// An option of a poll.
const OPTION: Kind = text_within(1, 100);

crate::wire! {
    /// A message.
    pub struct SendParams {
        /// Such as `telegram` or `slack`.
        channel: String = text_within(1, 64),
        /// The recipient as the channel has it.
        to: String = text_within(1, 256),
        text: String = text_within(1, SEND_TEXT_BYTES),
    }

    /// A question.
    pub struct PollParams {
        /// Such as `telegram` or `discord`.
        channel: String = text_within(1, 64),
        /// The recipient as the channel has it.
        to: String = text_within(1, 256),
        question: String = text_within(1, 300),
        options: Vec<String> = Kind::List { of: &OPTION, min: 2, max: 12 },
        /// How many options one person may choose; 1 when left out.
        max_selections: Option<u32> = int_within(1, 12),
        /// Hours after which it ends.
        duration_hours: Option<u32> = int_within(1, 720),
    }
}

async fn send(cx: Cx, params: SendParams) -> Result<ToolOutput, Problem> {
    let target = target(&params.channel, &params.to);
    cx.gateway.deliver(&target, &params.text).await.map_err(|error| error.message)?;
    Ok(ToolOutput::text("Sent."))
}

/// Sends a text by a command of somebody's own.
pub(super) async fn say(cx: &Cx, channel: &str, to: &str, text: &str) -> Result<(), Problem> {
    cx.gateway.deliver(&target(channel, to), text).await.map_err(|error| Problem(error.message))
}

async fn poll(cx: Cx, params: PollParams) -> Result<ToolOutput, Problem> {
    let recipient = cx.gateway.recipient(&target(&params.channel, &params.to)).map_err(|error| error.message)?;
    let label = known::find(&params.channel).map_or(params.channel.as_str(), |meta| meta.label);
    let capabilities = recipient.seat.channel.as_ref().map(|channel| channel.capabilities());
    let most = capabilities.and_then(|capabilities| capabilities.poll_options_max);
    match most {
        None => return Err(Problem(format!("{label} has no polls; ask in words."))),
        Some(most) if params.options.len() > most => {
            return Err(Problem(format!("{label} takes {most} options at most.")));
        }
        Some(_) => {}
    }
    let body = Body::Poll(Poll {
        question: params.question,
        options: params.options,
        max_selections: params.max_selections.unwrap_or(1),
        duration_hours: params.duration_hours,
    });
    let draft = Draft { to: recipient.target.to, key: None, body, mirror: None };
    let ticket = cx.gateway.channels.send(&recipient.seat, draft).map_err(|error| error.message)?;
    ticket.accepted.wait().await.map_err(|error| error.message)?;
    Ok(ToolOutput::text("The poll is on its way; votes come in as messages."))
}

fn target(channel: &str, to: &str) -> DeliveryTarget {
    DeliveryTarget { channel: channel.trim().to_lowercase(), to: to.to_owned(), account_id: None }
}
