//! Asking a model: one prompt in, one streamed answer out, whatever the provider speaks.
//!
//! A dialect (`openai`, `anthropic`, `ollama`) builds the request and reads the stream; this file
//! sends, waits, retries and hands on what came. It never runs a tool, writes a transcript or
//! chooses another model.

pub mod decoder;
pub mod fault;
pub mod local;
pub mod sse;

mod anthropic;
mod collect;
mod history;
mod ollama;
mod openai;
mod retry;
mod think;

use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;

use crate::config::models::{Api, Model, Provider};
use crate::limits::PROVIDER_ERROR_BYTES;
use crate::sys::Sys;
use crate::sys::http::{Body, HttpError, Limits, Method, Request, Response};
use crate::sys::reach::Reach;
use crate::sys::url::Url;
use crate::wire::message::{Block, Message, StopReason, Usage};
use crate::wire::thinking::ThinkingLevel;
use decoder::Decoder;
use fault::{Complaint, Trouble};
pub use fault::{Fault, FaultKind};
use retry::{Decision, Wish};

/// Connecting to a provider, name look-up and TLS included.
const CONNECT: Duration = Duration::from_secs(10);
/// First byte, and pause between bytes, of a hosted provider.
const HOSTED: Duration = Duration::from_secs(60);
/// The same for a server on this machine, which may have to load the model first.
const LOCAL: Duration = Duration::from_secs(300);
/// Longest time that is spent on reading an error response.
const COMPLAINT_TIME: Duration = Duration::from_secs(10);

/// What a model is asked.
#[derive(Debug, Clone)]
pub struct Prompt {
    /// The system prompt; empty for none.
    pub system: String,
    /// The conversation, oldest first.
    pub messages: Vec<Message>,
    /// The tools that it may call.
    pub tools: Vec<ToolSpec>,
    /// How much it may think.
    pub thinking: ThinkingLevel,
    /// The session, for providers that cache by it.
    pub session_id: String,
}

/// A tool as a model sees it.
#[derive(Debug, Clone)]
pub struct ToolSpec {
    /// Its name.
    pub name: String,
    /// What it does, for the model.
    pub description: String,
    /// JSON schema of its arguments, an object.
    pub parameters: Value,
}

/// Bounds of one answer.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Text, thoughts and tool arguments, bytes. At the bound the answer ends with
    /// [`StopReason::Length`].
    pub output_bytes: usize,
    /// The response body, bytes. Over it: [`FaultKind::TooLarge`].
    pub response_bytes: u64,
}

/// A piece of an answer as it arrives. Tool calls are collected, not streamed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delta {
    /// More of the text.
    Text(String),
    /// More of what the model thinks.
    Thinking(String),
}

/// All that was received of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// Text, thoughts, and tool calls. Calls are there if and only if `stop_reason` is
    /// [`StopReason::ToolUse`].
    pub content: Vec<Block>,
    /// Tokens; zeros when the provider told none. With their cost when the model's prices are known.
    pub usage: Usage,
    /// Why it ended: [`StopReason::Error`] after a fault, [`StopReason::Aborted`] when the caller
    /// stopped before the end.
    pub stop_reason: StopReason,
}

/// One answer in progress. Dropping it ends the exchange.
#[derive(Debug)]
pub struct Answer {
    sys: Sys,
    provider: Rc<Provider>,
    model: Model,
    /// Kept for further tries; gone once something was shown.
    prompt: Option<Prompt>,
    bounds: Bounds,
    tries: u32,
    stage: Stage,
    decoder: Decoder,
}

#[derive(Debug)]
enum Stage {
    /// A request will be sent when the monotonic clock shows this.
    Due(Duration),
    Reading(Box<dyn Body>),
    Over,
    Failed(Fault),
}

impl Answer {
    /// Prepares a request; nothing is sent before the first [`next`](Self::next).
    #[must_use]
    pub fn start(sys: Sys, provider: Rc<Provider>, model: Model, prompt: Prompt, bounds: Bounds) -> Self {
        let decoder = fresh_decoder(&sys, &provider, bounds);
        let prompt = Some(prompt);
        Self { sys, provider, model, prompt, bounds, tries: 0, stage: Stage::Due(Duration::ZERO), decoder }
    }

    /// The next piece; `None` at the end. Failures are tried again (INTEGRATIONS.md part 4) until
    /// the first piece has been given. May be dropped and called again.
    ///
    /// # Errors
    /// [`Fault`]; again at each further call. What has been received stays for
    /// [`finish`](Self::finish).
    pub async fn next(&mut self) -> Result<Option<Delta>, Fault> {
        loop {
            if let Some(delta) = self.decoder.next_delta() {
                self.prompt = None;
                return Ok(Some(delta));
            }
            match &mut self.stage {
                Stage::Over => return Ok(None),
                Stage::Failed(fault) => return Err(fault.clone()),
                Stage::Due(at) => {
                    let at = *at;
                    self.sys.clock.sleep_until(at).await;
                    self.ask().await;
                }
                Stage::Reading(body) => {
                    let piece = body.next().await;
                    self.take(piece);
                }
            }
        }
    }

    /// Whatever has been received: after the end, after a fault, or at any time as an abort.
    #[must_use]
    pub fn finish(self) -> Finished {
        let otherwise = if matches!(self.stage, Stage::Failed(_)) { StopReason::Error } else { StopReason::Aborted };
        self.decoder.finish(self.model.rates, otherwise)
    }

    /// Sends the request once and sets the stage by what comes back.
    async fn ask(&mut self) {
        let Some(prompt) = &self.prompt else {
            self.stage = Stage::Over;
            return;
        };
        if lacks_key(&self.provider) {
            self.stage = Stage::Failed(Fault::no_key(&self.provider));
            return;
        }
        let request = request(&self.provider, &self.model, prompt, self.bounds);
        self.tries += 1;
        match self.sys.http.send(request).await {
            Ok(response) if response.status == 200 => self.stage = Stage::Reading(response.body),
            Ok(response) => {
                let wish = Wish::of(&response.headers, self.sys.clock.now_ms());
                let complaint = self.complaint(response).await;
                self.fail(&Trouble::Complaint(complaint), wish);
            }
            Err(error) => self.fail(&Trouble::Http(error), Wish::default()),
        }
    }

    /// Feeds one piece of the body to the decoder.
    fn take(&mut self, piece: Result<Option<Vec<u8>>, HttpError>) {
        let outcome = match piece {
            Ok(Some(bytes)) => match self.decoder.feed(&bytes) {
                Ok(()) if self.decoder.is_over() => self.decoder.end().map(|()| true),
                other => other.map(|()| false),
            },
            Ok(None) => self.decoder.end().map(|()| true),
            // Some servers say that they have stopped and then hold or cut the line.
            Err(_) if self.decoder.may_end() => self.decoder.end().map(|()| true),
            Err(error) => {
                // Text that waited for a possible tag is still to be shown; that it's cut is known.
                let _ = self.decoder.end();
                Err(Trouble::Http(error))
            }
        };
        match outcome {
            Ok(true) => self.stage = Stage::Over,
            Ok(false) => {}
            Err(trouble) => self.fail(&trouble, Wish::default()),
        }
    }

    /// Tries again later, or gives up.
    fn fail(&mut self, trouble: &Trouble, wish: Wish) {
        let untouched = self.prompt.is_some() && !self.decoder.has_deltas();
        let decision = retry::decide(self.tries, trouble, wish, &self.sys.chance);
        let mut fault = Fault::of(trouble, &self.provider, &self.model.id);
        match decision {
            Decision::Again(pause) if untouched => {
                log::info!("{fault} Trying again in {} ms.", pause.as_millis());
                self.decoder = fresh_decoder(&self.sys, &self.provider, self.bounds);
                self.stage = Stage::Due(self.sys.clock.elapsed().saturating_add(pause));
            }
            Decision::Again(_) => self.stage = Stage::Failed(fault),
            Decision::GiveUp(after) => {
                fault.retry_after_ms = after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
                self.stage = Stage::Failed(fault);
            }
        }
    }

    /// Reads an error response, as far as it comes in time.
    async fn complaint(&self, mut response: Response) -> Complaint {
        let mut text = Vec::new();
        let read = async {
            while let Ok(Some(piece)) = response.body.next().await {
                let room = PROVIDER_ERROR_BYTES.saturating_sub(text.len());
                text.extend(piece.into_iter().take(room));
                if text.len() == PROVIDER_ERROR_BYTES {
                    break;
                }
            }
        };
        // However it ended: the status alone says enough.
        let _ = self.sys.clock.timeout(COMPLAINT_TIME, read).await;
        Complaint::of_response(response.status, &text)
    }
}

/// A decoder for one try. Its call ids differ from those of every other answer.
fn fresh_decoder(sys: &Sys, provider: &Provider, bounds: Bounds) -> Decoder {
    Decoder::new(provider.api, bounds.output_bytes, format!("call_{}_", sys.chance.hex::<6>()))
}

/// Whether a key is needed and there is none, not even in a configured header.
fn lacks_key(provider: &Provider) -> bool {
    let has_key = provider.api_key.as_ref().is_some_and(|key| !key.expose().trim().is_empty());
    let has_header = provider.headers.iter().any(|(name, _)| matches!(name.as_str(), "authorization" | "x-api-key"));
    provider.needs_key && !has_key && !has_header
}

fn request(provider: &Provider, model: &Model, prompt: &Prompt, bounds: Bounds) -> Request {
    let (path, body) = match provider.api {
        Api::OpenaiCompletions => (openai::PATH, openai::body(provider, model, prompt)),
        Api::AnthropicMessages => (anthropic::PATH, anthropic::body(provider, model, prompt)),
        Api::OllamaChat => (ollama::PATH, ollama::body(provider, model, prompt)),
    };
    let mut headers = vec![
        ("content-type".to_owned(), "application/json".to_owned()),
        ("accept".to_owned(), "application/json".to_owned()),
    ];
    let key = provider.api_key.as_ref().map(|key| key.expose().trim()).filter(|key| !key.is_empty());
    match provider.api {
        Api::AnthropicMessages => {
            headers.push(("anthropic-version".to_owned(), anthropic::VERSION.to_owned()));
            if anthropic::thinks(model, prompt.thinking) {
                headers.push(("anthropic-beta".to_owned(), anthropic::BETA.to_owned()));
            }
            headers.extend(key.map(|key| ("x-api-key".to_owned(), key.to_owned())));
        }
        Api::OpenaiCompletions | Api::OllamaChat => {
            headers.extend(key.map(|key| ("authorization".to_owned(), format!("Bearer {key}"))));
        }
    }
    // The owner's own headers come last and so replace ours.
    headers.extend(provider.headers.iter().cloned());
    let is_local = Url::parse(&provider.base_url).is_ok_and(|url| url.is_loopback());
    let patience = if is_local { LOCAL } else { HOSTED };
    let limits = Limits { connect: CONNECT, first_byte: patience, idle: patience, body_bytes: bounds.response_bytes };
    Request {
        method: Method::Post,
        url: format!("{}{path}", provider.base_url),
        socket: None,
        reach: Reach::Any,
        headers,
        body,
        limits,
    }
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
