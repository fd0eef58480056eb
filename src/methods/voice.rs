//! `voicewake.get`, `voicewake.set`, `talk.mode` (connection.md 6.9).

use serde_json::Value;

use super::system::Ignored;
use crate::error::Error;
use crate::events::{TALK_MODE, VOICEWAKE_CHANGED};
use crate::gateway::post::store_error;
use crate::rpc::{Cx, Method};
use crate::wire::Access;
use crate::{later, now};

/// Talking.
pub const TALK: &[Method] = &[Method {
    name: "talk.mode",
    aliases: &[],
    access: Access::Write,
    listed: true,
    doc: "Tells everyone that talk mode is on or off; nothing is stored.",
    handler: now!(talk),
}];

/// The words that wake.
pub const WAKE_WORDS: &[Method] = &[
    Method {
        name: "voicewake.get",
        aliases: &[],
        access: Access::Read,
        listed: true,
        doc: "Shows the words that wake a listening device.",
        handler: now!(words),
    },
    Method {
        name: "voicewake.set",
        aliases: &[],
        access: Access::Write,
        listed: true,
        doc: "Chooses the words that wake a listening device; everyone hears of it.",
        handler: later!(choose),
    },
];

crate::wire! {
    /// Whether talk mode is on.
    pub struct TalkParams {
        enabled: bool,
        /// Where in the conversation.
        phase: Option<String>,
    }

    /// What everyone was told.
    pub struct Talk {
        enabled: bool,
        phase: Value,
        /// Milliseconds since the Unix epoch.
        ts: u64,
    }
}

/// Beginnings of the platforms that can talk.
const TALKERS: [&str; 3] = ["ios", "ipados", "android"];

fn talk(cx: &Cx, params: TalkParams) -> Result<Talk, Error> {
    let can_talk = || {
        cx.gateway.nodes.registry.list().iter().any(|node| {
            let platform = node.peer.client.platform.trim().to_lowercase();
            TALKERS.iter().any(|talker| platform.starts_with(talker))
        })
    };
    if cx.caller.client.mode == "webchat" && !can_talk() {
        return Err(Error::unavailable("talk disabled: no connected iOS/Android nodes"));
    }
    let phase = params.phase.map_or(Value::Null, Value::from);
    let talk = Talk { enabled: params.enabled, phase, ts: cx.gateway.sys.clock.now_ms() };
    cx.gateway.hub.emit_json(&TALK_MODE, &talk);
    Ok(talk)
}

crate::wire! {
    /// The words.
    pub struct Words {
        triggers: Vec<String>,
    }

    /// Other words.
    pub open struct WordsParams {
        /// Texts; at most 32 of 64 characters. None means the default.
        triggers: Option<Value>,
    }
}

fn words(cx: &Cx, _: Ignored) -> Result<Words, Error> {
    Ok(Words { triggers: cx.gateway.stores.voice_wake.triggers() })
}

async fn choose(cx: Cx, params: WordsParams) -> Result<Words, Error> {
    let Some(Value::Array(words)) = params.triggers else {
        return Err(Error::invalid("voicewake.set requires triggers: string[]"));
    };
    let (triggers, durable) = cx.gateway.stores.voice_wake.set(&words);
    durable.await.map_err(|error| store_error(&error))?;
    let words = Words { triggers };
    cx.gateway.hub.emit_json(&VOICEWAKE_CHANGED, &words);
    Ok(words)
}
