//! `channels.pair.*`: people who wrote to an account and wait for the owner (methods.md 9.4, `dmPolicy: "pairing"`).
//!
//! A code names one request; it is the person's word to the owner and gives no access by itself.

use serde_json::{Value, json};

use crate::channels::strangers::Stranger;
use crate::error::Error;
use crate::gateway::pairing::Decision;
use crate::gateway::post::store_error;
use crate::later;
use crate::rpc::{Cx, Method};
use crate::wire::Access;
use crate::wire::shape::text;

/// Rows.
pub const METHODS: &[Method] = &[
    Method {
        name: "channels.pair.list",
        aliases: &[],
        access: Access::Pairing,
        listed: true,
        doc: "Lists people on channels who wait for approval, with their codes, and those who were let in.",
        handler: later!(list),
    },
    Method {
        name: "channels.pair.approve",
        aliases: &[],
        access: Access::Pairing,
        listed: true,
        doc: "Lets the person with a code write to the account, and tells them so.",
        handler: later!(approve),
    },
    Method {
        name: "channels.pair.reject",
        aliases: &[],
        access: Access::Pairing,
        listed: true,
        doc: "Takes a person's request away; they may ask again.",
        handler: later!(reject),
    },
    Method {
        name: "channels.pair.remove",
        aliases: &[],
        access: Access::Pairing,
        listed: true,
        doc: "Sends somebody away who was let in; they may ask again.",
        handler: later!(remove),
    },
];

crate::wire! {
    /// No params.
    pub struct NoParams {}

    /// Which request.
    pub struct CodeParams {
        /// In any case of letters.
        code: String = text(1),
    }

    /// Which person.
    pub struct PersonParams {
        channel: String = text(1),
        /// The channel's default account when it is left out.
        account_id: Option<String>,
        /// The service's id of the person.
        sender_id: String = text(1),
    }
}

async fn list(cx: Cx, _: NoParams) -> Result<Value, Error> {
    let strangers = cx.gateway.channels.strangers();
    Ok(json!({"pending": strangers.pending(), "approved": strangers.approved()}))
}

async fn approve(cx: Cx, params: CodeParams) -> Result<Value, Error> {
    let person = cx.gateway.let_in(&params.code).await?;
    Ok(json!({"person": person}))
}

async fn reject(cx: Cx, params: CodeParams) -> Result<Value, Error> {
    let strangers = cx.gateway.channels.strangers();
    let person = strangers.reject(&params.code).ok_or_else(|| Error::invalid("nobody waits under this code"))?;
    settle(cx, person, Decision::Rejected).await
}

async fn remove(cx: Cx, params: PersonParams) -> Result<Value, Error> {
    let strangers = cx.gateway.channels.strangers();
    let account_id = params.account_id.as_deref().filter(|id| !id.trim().is_empty());
    let account_id = account_id.unwrap_or(crate::config::channels::DEFAULT_ACCOUNT);
    let person = strangers.forget(&params.channel, account_id, &params.sender_id);
    let person = person.ok_or_else(|| Error::invalid("nobody of that channel, account and senderId was let in"))?;
    settle(cx, person, Decision::Rejected).await
}

/// Waits for the disk, then tells everybody.
async fn settle(cx: Cx, person: Stranger, decision: Decision) -> Result<Value, Error> {
    cx.gateway.channels.strangers().saved().await.map_err(|error| store_error(&error))?;
    cx.gateway.tell_person(&person, decision);
    Ok(json!({"person": person}))
}
