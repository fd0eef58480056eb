//! People on channels whom the owner lets in or sends away, and who hears of it.

use std::rc::Rc;

use serde_json::{Value, json};

use super::Gateway;
use super::pairing::Decision;
use super::post::store_error;
use crate::channels::known;
use crate::channels::message::Body;
use crate::channels::registry::Draft;
use crate::channels::strangers::Stranger;
use crate::channels::target::Target;
use crate::error::Error;
use crate::events::{CHANNEL_PAIR_REQUESTED, CHANNEL_PAIR_RESOLVED};

/// What a person hears who was let in.
const WELCOME: &str = "My owner has let you in. What can I do for you?";

impl Gateway {
    /// Lets the person with that code in and tells them; durable when it returns.
    ///
    /// # Errors
    /// `INVALID_REQUEST` when nobody waits under the code or no more can be let in; `UNAVAILABLE` when the disk
    /// takes nothing.
    pub async fn let_in(self: &Rc<Self>, code: &str) -> Result<Stranger, Error> {
        let strangers = self.channels.strangers();
        if strangers.by_code(code).is_none() {
            return Err(Error::invalid(
                "nobody waits under this code; a code lasts an hour, `barnacle channels` lists them",
            ));
        }
        let person = strangers.approve(code).ok_or_else(|| Error::invalid("too many people have been let in"))?;
        strangers.saved().await.map_err(|error| store_error(&error))?;
        log::info!("channel {}: somebody was let in", person.channel);
        self.tell_person(&person, Decision::Approved);
        self.welcome(&person);
        Ok(person)
    }

    /// Operators hear of somebody who waits.
    pub(super) fn tell_stranger(&self, code: &str) {
        if let Some(person) = self.channels.strangers().by_code(code) {
            self.hub.emit_json(&CHANNEL_PAIR_REQUESTED, &json!(person));
        }
    }

    /// Operators hear what became of somebody.
    pub fn tell_person(&self, person: &Stranger, decision: Decision) {
        let mut payload = json!(person);
        if let Value::Object(fields) = &mut payload {
            fields.insert("decision".into(), decision.name().into());
            fields.insert("ts".into(), self.sys.clock.now_ms().into());
        }
        self.hub.emit_json(&CHANNEL_PAIR_RESOLVED, &payload);
    }

    fn welcome(&self, person: &Stranger) {
        let word = if matches!(person.channel.as_str(), "slack" | "discord") { "user:" } else { "" };
        let Some(target) = Target::parse(&person.channel, &format!("{word}{}", person.sender_id)) else { return };
        let Some(meta) = known::find(&person.channel) else { return };
        let Some(seat) = self.channels.seat(meta.id, &person.account_id) else { return };
        let key = Some(format!("welcome:{}:{}", person.sender_id, person.code));
        let draft = Draft { to: target.to, key, body: Body::text(WELCOME), mirror: None };
        if let Err(error) = self.channels.send(&seat, draft) {
            log::warn!("channel {}: somebody was let in but not told: {error}", person.channel);
        }
    }
}
