//! `send` and `poll`: messages to people on channels (methods.md 11.3 and 11.4).

use std::rc::Rc;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::channels::chunk;
use crate::channels::known::{self, DEFAULT, Meta};
use crate::channels::message::{Body, GivenUp, Poll, Receipt};
use crate::channels::registry::{Draft, Seat};
use crate::error::Error;
use crate::gateway::dedupe::Answer;
use crate::gateway::delivery::target_of;
use crate::gateway::post::store_error;
use crate::gateway::reach::Reach;
use crate::later;
use crate::limits::{
    DELIVERY_PARTS, RUN_ID_CHARS, SEND_MEDIA, SEND_TEXT_BYTES, SEND_WAIT_MS, SESSION_KEY_BYTES, URL_BYTES,
};
use crate::rpc::{Cx, Method};
use crate::wire::Access;
use crate::wire::shape::{Kind, int, int_within, text, text_within};

/// Rows.
pub const METHODS: &[Method] = &[
    Method {
        name: "send",
        aliases: &[],
        access: Access::Write,
        listed: true,
        doc: "Sends a message to a person or group on a channel.",
        handler: later!(send),
    },
    Method {
        name: "poll",
        aliases: &[],
        access: Access::Write,
        listed: false,
        doc: "Puts a question with options to a person or group on a channel.",
        handler: later!(poll),
    },
];

/// Most options of a poll.
const OPTIONS: Kind = Kind::List { of: &text(1), min: 2, max: 12 };

crate::wire! {
    /// A message for somebody.
    pub struct SendParams {
        /// The recipient in the channel's form: a number, `@name`, `channel:ID`, `user:ID`.
        to: String = text(1),
        message: String = text(1),
        /// The same key gets the same answer, and nothing is sent twice.
        idempotency_key: String = text_within(1, RUN_ID_CHARS),
        /// Address of a picture or file.
        media_url: Option<String>,
        media_urls: Option<Vec<String>>,
        /// Accepted, without effect.
        gif_playback: Option<bool>,
        /// `whatsapp` by default.
        channel: Option<String>,
        /// The account to send from.
        account_id: Option<String>,
        /// The session that remembers the message; the recipient's own by default.
        session_key: Option<String> = text_within(0, SESSION_KEY_BYTES),
    }

    /// A question for somebody.
    pub struct PollParams {
        /// The recipient in the channel's form.
        to: String = text(1),
        question: String = text(1),
        options: Vec<String> = OPTIONS,
        /// The same key gets the same answer, and nothing is asked twice.
        idempotency_key: String = text_within(1, RUN_ID_CHARS),
        /// How many options one person may choose; 1 by default.
        max_selections: Option<u32> = int_within(1, 12),
        /// Hours after which it ends.
        duration_hours: Option<u32> = int(1),
        /// `whatsapp` by default.
        channel: Option<String>,
        /// The account to send from.
        account_id: Option<String>,
    }
}

async fn send(cx: Cx, params: SendParams) -> Result<Value, Error> {
    let channel = channel_of(params.channel.as_deref());
    let meta = known::find(channel).ok_or_else(|| Error::invalid(format!("unsupported channel: {channel}")))?;
    let target = target_of(meta, &params.to)?;
    let media_urls: Vec<_> = params.media_url.into_iter().chain(params.media_urls.unwrap_or_default()).collect();
    check_sizes(&params.message, &media_urls)?;
    if media_urls.len() > SEND_MEDIA {
        return Err(Error::invalid(format!("more than {SEND_MEDIA} media addresses")));
    }
    let named = params.session_key.filter(|key| !key.trim().is_empty());
    let named = named.map(|key| cx.gateway.session_key(&key)).transpose()?;
    let is_blank = params.message.trim().is_empty() && media_urls.is_empty();
    let (has_media, text) = (!media_urls.is_empty(), params.message.clone());
    let account_id = params.account_id;
    let prepare = || {
        if is_blank {
            return Err(Error::unavailable("Error: No delivery result"));
        }
        let seat = cx.gateway.channels.sender(meta, account_id.as_deref())?;
        let chars_max = seat.config.as_ref().map_or(usize::MAX, |account| account.chunk_chars);
        if !chunk::fits(&text, chars_max) {
            let most = chars_max.saturating_mul(DELIVERY_PARTS);
            return Err(Error::invalid(format!("message is too long for {}: about {most} characters fit", meta.label)));
        }
        if has_media && !seat.channel.as_ref().is_some_and(|channel| channel.capabilities().media) {
            return Err(Error::invalid(format!("Error: {} sends no media", meta.label)));
        }
        let session = match named {
            Some(key) => key,
            None => {
                let (space, label) = (None, None);
                let account_id = seat.account_id.clone();
                let reach = Reach { channel: meta.id, account_id, target: target.clone(), space, label };
                cx.gateway.session_of(&reach).map_err(|error| store_error(&error))?.1
            }
        };
        let body = Body::Message { text: params.message, media_urls };
        Ok((seat, target.to, body, Some(session.to_string())))
    };
    dispatch(&cx, Request { kind: "send", key: params.idempotency_key, meta }, prepare).await
}

async fn poll(cx: Cx, params: PollParams) -> Result<Value, Error> {
    let channel = channel_of(params.channel.as_deref());
    let meta = known::find(channel).filter(|meta| meta.has_polls);
    let meta = meta.ok_or_else(|| Error::invalid(format!("unsupported poll channel: {channel}")))?;
    let target = target_of(meta, &params.to)?;
    let trimmed = |text: &String| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let options: Vec<_> = params.options.iter().filter_map(trimmed).collect();
    let question = params.question.trim().to_owned();
    check_sizes(&question, &options)?;
    let max_selections = params.max_selections.unwrap_or(1);
    let prepare = || {
        // The reference's words and code.
        let problem = |text: &str| Err(Error::unavailable(format!("Error: {text}")));
        if question.is_empty() {
            return problem("Poll question is required");
        }
        if options.len() < 2 {
            return problem("Poll requires at least 2 options");
        }
        if max_selections as usize > options.len() {
            return problem("maxSelections cannot exceed option count");
        }
        let seat = cx.gateway.channels.sender(meta, params.account_id.as_deref())?;
        let most = seat.channel.as_ref().and_then(|channel| channel.capabilities().poll_options_max);
        let Some(most) = most else {
            return Err(Error::invalid(format!("unsupported poll channel: {}", meta.id)));
        };
        if options.len() > most {
            return problem(&format!("Poll supports at most {most} options"));
        }
        let body = Body::Poll(Poll { question, options, max_selections, duration_hours: params.duration_hours });
        Ok((seat, target.to, body, None))
    };
    dispatch(&cx, Request { kind: "poll", key: params.idempotency_key, meta }, prepare).await
}

/// What is asked, beside what is to be sent.
struct Request {
    kind: &'static str,
    key: String,
    meta: &'static Meta,
}

/// Where a message goes, what it is, and the session that remembers it.
type Prepared = (Rc<Seat>, String, Body, Option<String>);

/// Sends once for each key: a second request shares the answer of the first, while it runs and for a while
/// after it. What was never tried is not remembered.
async fn dispatch(
    cx: &Cx,
    request: Request,
    prepare: impl FnOnce() -> Result<Prepared, Error>,
) -> Result<Value, Error> {
    let Request { kind, key, meta } = request;
    let gateway = &cx.gateway;
    let wait = Duration::from_millis(SEND_WAIT_MS);
    let deadline = gateway.sys.clock.elapsed() + wait;
    let name = format!("{kind}:{key}");
    let claim = loop {
        if let Some(answer) = gateway.answers.get(kind, &key, gateway.uptime_ms()) {
            return answer.map(|payload| serde_json::from_slice(&payload).unwrap_or_default());
        }
        match gateway.answers.claim(&name) {
            Ok(claim) => break claim,
            Err(first) => {
                let waited = gateway.sys.clock.before(deadline, first.wait()).await;
                waited.map_err(|_| still_waiting(None))?;
            }
        }
    };
    let (seat, to, body, mirror) = prepare()?;
    let ticket = gateway.channels.send(&seat, Draft { to, key: Some(name), body, mirror })?;
    // The answer is remembered whether or not the caller waits for it.
    let (waiting, keeper, run_id) = (Rc::clone(&ticket), Rc::clone(gateway), key.clone());
    gateway.sys.tasks.detach(async move {
        if waiting.accepted.wait().await.is_ok() {
            let answer = answer_of(&run_id, meta, waiting.outcome.wait().await);
            let remembered: Answer = answer.map(|payload| payload.to_string().into_bytes().into());
            keeper.answers.put(kind, &run_id, remembered, keeper.uptime_ms());
        }
        drop(claim);
    });
    ticket.accepted.wait().await?;
    let outcome = gateway.sys.clock.before(deadline, ticket.outcome.wait()).await;
    answer_of(&key, meta, outcome.map_err(|_| still_waiting(ticket.trouble()))?)
}

fn answer_of(run_id: &str, meta: &Meta, outcome: Result<Receipt, GivenUp>) -> Result<Value, Error> {
    let GivenUp(reason) = match outcome {
        Ok(receipt) => {
            let mut answer = Map::new();
            answer.insert("runId".into(), run_id.into());
            answer.insert("messageId".into(), receipt.message_id.into());
            answer.insert("channel".into(), meta.id.into());
            answer.extend(receipt.fields);
            return Ok(answer.into());
        }
        Err(given_up) => given_up,
    };
    let message = format!("Error: {} send failed: {reason}", meta.label);
    Err(Error::unavailable(message))
}

/// The message is on disk, and is tried further.
fn still_waiting(trouble: Option<String>) -> Error {
    let trouble = trouble.map_or_else(String::new, |trouble| format!(" ({trouble})"));
    let message = format!("Error: not sent yet{trouble}; it is tried further, ask again with the same idempotencyKey");
    Error::unavailable(message).retry_after(SEND_WAIT_MS)
}

fn channel_of(named: Option<&str>) -> &str {
    named.map(str::trim).filter(|channel| !channel.is_empty()).unwrap_or(DEFAULT)
}

/// A text, and media addresses or options.
fn check_sizes(text: &str, items: &[String]) -> Result<(), Error> {
    if text.len() > SEND_TEXT_BYTES {
        return Err(Error::invalid(format!("the message has more than {SEND_TEXT_BYTES} bytes")));
    }
    if items.iter().any(|item| item.len() > URL_BYTES) {
        return Err(Error::invalid(format!("a media address or an option has more than {URL_BYTES} bytes")));
    }
    Ok(())
}
