//! What the gateway says by itself in a conversation: written into the transcript, and shown to everybody.

use super::Gateway;
use super::post::store_error;
use crate::error::Error;
use crate::runs::stream::RunStream;
use crate::runs::turn::OURSELVES;
use crate::stores::{Durability, SessionKey};
use crate::wire::event::ChatState;
use crate::wire::message::{AssistantMessage, Block, Message, StopReason, Usage};

/// Model of such a message; clients of the field look for it.
const MODEL: &str = "gateway-injected";

impl Gateway {
    /// Says something in a session: durable, then told to everybody.
    ///
    /// # Errors
    /// As the stores'.
    pub async fn say_in(&self, key: &SessionKey, text: &str) -> Result<(), Error> {
        let id = self.write_ours(key, text).await?;
        let (sys, hub, shown_key) = (self.sys.clone(), self.hub.clone(), key.to_string());
        let mut stream = RunStream::new(sys, hub, format!("inject-{id}"), key, shown_key);
        stream.chat(ChatState::Final { text: Some(text.to_owned()), injected: true });
        Ok(())
    }

    /// Appends a message of the gateway's own to a session's transcript; durable when it resolves. The result is
    /// its id.
    ///
    /// # Errors
    /// As the stores'.
    pub async fn write_ours(&self, key: &SessionKey, text: &str) -> Result<String, Error> {
        let known = self.stores.sessions.get(key);
        let made = || self.stores.sessions.update(key, Durability::Forced, |_| ()).map_err(|error| store_error(&error));
        let entry = known.map_or_else(made, Ok)?;
        let file = self.transcript(key, &entry).map_err(|error| store_error(&error))?;
        let message = Message::Assistant(AssistantMessage {
            content: vec![Block::Text { text: text.to_owned() }],
            api: String::new(),
            provider: OURSELVES.to_owned(),
            model: MODEL.to_owned(),
            usage: Usage::default(),
            stop_reason: StopReason::Injected,
            error_message: None,
            timestamp: self.runs.context().timestamp(),
        });
        let id = self.stores.transcripts.append(&file, &message).map_err(|error| store_error(&error))?;
        self.stores.sessions.saved().await.map_err(|error| store_error(&error))?;
        self.stores.transcripts.synced(&file).await.map_err(|error| store_error(&error))?;
        Ok(id)
    }
}
