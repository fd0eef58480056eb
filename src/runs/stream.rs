//! A run's events: numbered, thinned where the reference thins them, and sent through the hub.

use std::rc::Rc;
use std::time::Duration;

use super::listener::Listener;
use crate::events::{AGENT, CHAT, CHAT_DELTA, Hub};
use crate::limits::CHAT_DELTA_MS;
use crate::stores::SessionKey;
use crate::sys::Sys;
use crate::wire::event::{AgentProgress, ChatState, ChatUpdate, Lifecycle, Payload, Stream};

/// Every assistant event carries the whole text so far (methods.md section 4). For long answers they
/// are spaced out, one millisecond for this many bytes of text, so that their sum stays in
/// proportion to the time that the answer takes.
const BYTES_PER_MS: usize = 256;
/// What a model says when it has nothing to say (methods.md section 4): nobody sees or gets it.
const SILENCE: &str = "NO_REPLY";
/// An error text in a chat event is cut here (methods.md section 5).
const ERROR_CHARS: usize = 240;

/// The event side of one run.
#[derive(Debug)]
pub struct RunStream {
    sys: Sys,
    hub: Hub,
    run_id: String,
    session_key: String,
    key: Rc<str>,
    seq: u64,
    guide_seq: u64,
    /// The current assistant message.
    text: String,
    /// What of it has not been sent.
    unsent: String,
    /// What of it the listener has not heard.
    unheard: String,
    thought: String,
    unsent_thought: String,
    last_assistant: Option<Duration>,
    last_chat: Option<Duration>,
    listener: Option<Rc<Listener>>,
}

impl RunStream {
    /// Events of a run in the session `key`, which the caller wrote as `session_key`.
    #[must_use]
    pub fn new(sys: Sys, hub: Hub, run_id: String, key: &SessionKey, session_key: String) -> Self {
        Self {
            key: key.as_str().into(),
            sys,
            hub,
            run_id,
            session_key,
            seq: 0,
            guide_seq: 0,
            text: String::new(),
            unsent: String::new(),
            unheard: String::new(),
            thought: String::new(),
            unsent_thought: String::new(),
            last_assistant: None,
            last_chat: None,
            listener: None,
        }
    }

    /// With somebody who listens beside the events.
    #[must_use]
    pub fn heard_by(self, listener: Rc<Listener>) -> Self {
        Self { listener: Some(listener), ..self }
    }

    /// The text of the current assistant message.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The model said more. What may still become the word for silence is held back.
    pub fn say(&mut self, delta: &str) {
        self.flush_thought();
        self.text.push_str(delta);
        self.unsent.push_str(delta);
        self.unheard.push_str(delta);
        if SILENCE.starts_with(self.text.trim()) {
            return;
        }
        self.let_hear();
        let now = self.sys.clock.elapsed();
        let pause = Duration::from_millis((self.text.len() / BYTES_PER_MS) as u64);
        if self.last_assistant.is_none_or(|last| now >= last + pause) {
            self.flush_text(now);
        }
    }

    /// The model thought more.
    pub fn think(&mut self, delta: &str) {
        self.thought.push_str(delta);
        self.unsent_thought.push_str(delta);
        let now = self.sys.clock.elapsed();
        let pause = Duration::from_millis((self.thought.len() / BYTES_PER_MS) as u64);
        if self.last_assistant.is_none_or(|last| now >= last + pause) {
            self.last_assistant = Some(now);
            self.flush_thought();
        }
    }

    /// The next assistant message begins, after tool results.
    pub fn next_message(&mut self) {
        self.flush();
        self.text.clear();
        self.thought.clear();
    }

    /// A tool started or gave its result; native clients see it only where the session shows tools.
    pub fn tool(&mut self, data: Box<serde_json::value::RawValue>, is_shown: bool) {
        self.flush();
        self.agent(Stream::Tool { data, is_shown });
    }

    /// The run's start or end.
    pub fn lifecycle(&mut self, lifecycle: Lifecycle) {
        self.flush();
        self.agent(Stream::Lifecycle(lifecycle));
    }

    /// The state of the chat turn.
    pub fn chat(&mut self, state: ChatState) {
        let state = match state {
            ChatState::Error(text) => ChatState::Error(shorten(&text)),
            state => state,
        };
        let kind = if matches!(state, ChatState::Delta(_)) { &CHAT_DELTA } else { &CHAT };
        let update = ChatUpdate {
            run_id: self.run_id.clone(),
            session_key: self.session_key.clone(),
            key: Rc::clone(&self.key),
            seq: self.seq,
            ts: self.sys.clock.now_ms(),
            state,
        };
        self.hub.emit(kind, Payload::Chat(update));
    }

    /// Makes room for the number of an event that only the chat stream sees.
    pub fn skip_number(&mut self) {
        self.seq += 1;
    }

    /// Tells what has not been told yet.
    pub(super) fn flush(&mut self) {
        self.flush_thought();
        if self.unsent.is_empty() {
            return;
        }
        if is_silence(&self.text) {
            self.text.clear();
            self.unsent.clear();
            self.unheard.clear();
        }
        self.let_hear();
        self.flush_text(self.sys.clock.elapsed());
    }

    fn let_hear(&mut self) {
        if self.unheard.is_empty() {
            return;
        }
        if let Some(listener) = &self.listener {
            listener.hear(&self.unheard, self.text.len() == self.unheard.len());
        }
        self.unheard.clear();
    }

    fn flush_thought(&mut self) {
        if !self.unsent_thought.is_empty() {
            let delta = std::mem::take(&mut self.unsent_thought);
            self.agent(Stream::Thinking { text: self.thought.clone(), delta });
        }
    }

    fn flush_text(&mut self, now: Duration) {
        let delta = std::mem::take(&mut self.unsent);
        self.last_assistant = Some(now);
        self.agent(Stream::Assistant { text: self.text.clone(), delta });
        if self.last_chat.is_none_or(|last| now >= last + Duration::from_millis(CHAT_DELTA_MS)) {
            self.last_chat = Some(now);
            self.chat(ChatState::Delta(self.text.clone()));
        }
    }

    fn agent(&mut self, stream: Stream) {
        if stream.is_native() {
            self.seq += 1;
        }
        let progress = AgentProgress {
            run_id: self.run_id.clone(),
            session_key: Some(self.session_key.clone()),
            key: Rc::clone(&self.key),
            seq: self.seq,
            guide_seq: self.guide_seq,
            ts: self.sys.clock.now_ms(),
            stream,
        };
        self.guide_seq += 1;
        self.hub.emit(&AGENT, Payload::Agent(progress));
    }
}

/// Whether a model has said that it says nothing.
pub(super) fn is_silence(text: &str) -> bool {
    text.trim() == SILENCE
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(ERROR_CHARS) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
