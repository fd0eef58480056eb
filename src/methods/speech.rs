//! `tts.*` and `web.login.*` (methods.md 15): who speaks, and a login that this gateway doesn't have.

use serde_json::Value;

use super::system::Ignored;
use crate::error::Error;
use crate::gateway::post::store_error;
use crate::gateway::speech::Voice;
use crate::rpc::{Cx, Method};
use crate::wire::Access;
use crate::wire::shape::int;
use crate::{later, now};

/// Rows.
pub const METHODS: &[Method] = &[
    Method {
        name: "tts.status",
        aliases: &[],
        access: Access::Read,
        listed: true,
        doc: "Tells whether answers are spoken and who speaks.",
        handler: now!(status),
    },
    Method {
        name: "tts.providers",
        aliases: &[],
        access: Access::Read,
        listed: true,
        doc: "Lists who could speak and which of them are set up.",
        handler: now!(providers),
    },
    Method {
        name: "tts.enable",
        aliases: &[],
        access: Access::Write,
        listed: true,
        doc: "Chooses that answers are spoken.",
        handler: later!(enable),
    },
    Method {
        name: "tts.disable",
        aliases: &[],
        access: Access::Write,
        listed: true,
        doc: "Chooses that answers are not spoken.",
        handler: later!(disable),
    },
    Method {
        name: "tts.convert",
        aliases: &[],
        access: Access::Write,
        listed: true,
        doc: "Speaks a text into a file, with a program of this machine or a service, whichever is set up.",
        handler: later!(convert),
    },
    Method {
        name: "tts.setProvider",
        aliases: &[],
        access: Access::Write,
        listed: true,
        doc: "Chooses who speaks.",
        handler: later!(choose),
    },
    Method {
        name: "web.login.start",
        aliases: &[],
        access: Access::Admin,
        listed: false,
        doc: "Is not available: this gateway has no channel that is linked by a code on a screen.",
        handler: now!(login_start),
    },
    Method {
        name: "web.login.wait",
        aliases: &[],
        access: Access::Admin,
        listed: false,
        doc: "Is not available: this gateway has no channel that is linked by a code on a screen.",
        handler: now!(login_wait),
    },
];

crate::wire! {
    /// Whether answers are spoken.
    pub struct Status {
        enabled: bool,
        /// `off`, `always`, `inbound` or `tagged`.
        auto: String,
        /// Who speaks.
        provider: String,
        /// Who speaks when that one can't; null for nobody.
        fallback_provider: Value,
        fallback_providers: Vec<String>,
        /// Where the choices are stored.
        prefs_path: String,
        has_open_a_i_key: bool,
        has_eleven_labs_key: bool,
        edge_enabled: bool,
    }

    /// Who could speak.
    pub struct Providers {
        providers: Vec<Provider>,
        active: String,
    }

    /// Somebody who could speak.
    pub struct Provider {
        id: String,
        name: String,
        /// Whether it can.
        configured: bool,
        models: Vec<String>,
        voices: Option<Vec<String>>,
    }

    /// As it is from now on.
    pub struct Enabled {
        enabled: bool,
    }

    /// Somebody who speaks.
    pub open struct ChooseParams {
        /// `openai`, `program`, `elevenlabs` or `edge`.
        provider: Option<Value>,
    }

    /// As it is from now on.
    pub struct Chosen {
        provider: String,
    }

    /// What to say.
    pub open struct ConvertParams {
        /// The text.
        text: Option<Value>,
        /// The channel that it is for; `telegram` gets a voice message.
        channel: Option<Value>,
    }

    /// The spoken text.
    pub struct Converted {
        audio_path: String,
        provider: String,
        output_format: String,
        /// Whether it can go as a voice message.
        voice_compatible: bool,
    }

    /// What the original takes.
    pub struct LoginStartParams {
        force: Option<bool>,
        timeout_ms: Option<u64> = int(0),
        verbose: Option<bool>,
        account_id: Option<String>,
    }

    /// What the original takes.
    pub struct LoginWaitParams {
        timeout_ms: Option<u64> = int(0),
        account_id: Option<String>,
    }
}

fn status(cx: &Cx, _: Ignored) -> Result<Status, Error> {
    let gateway = &cx.gateway;
    let speech = &gateway.config.get().speech;
    let auto = gateway.speaks();
    let others: Vec<String> = gateway.other_voices().into_iter().map(|voice| voice.name().to_owned()).collect();
    Ok(Status {
        enabled: auto != "off",
        auto,
        provider: gateway.voice().name().to_owned(),
        fallback_provider: others.first().map_or(Value::Null, |name| name.as_str().into()),
        fallback_providers: others,
        prefs_path: gateway.stores.speech.path().display().to_string(),
        has_open_a_i_key: speech.openai_key.is_some(),
        has_eleven_labs_key: speech.has_elevenlabs_key,
        edge_enabled: false,
    })
}

fn providers(cx: &Cx, _: Ignored) -> Result<Providers, Error> {
    let speech = cx.gateway.config.get().speech.clone();
    let row = |voice: Voice| {
        let (name, models, voices): (_, &[&str], Option<&[&str]>) = match voice {
            Voice::OpenAi => (
                "OpenAI",
                &["gpt-4o-mini-tts", "tts-1", "tts-1-hd"],
                Some(&["alloy", "ash", "coral", "echo", "fable", "onyx", "nova", "sage", "shimmer"]),
            ),
            Voice::ElevenLabs => ("ElevenLabs", &[], None),
            Voice::Edge => ("Edge TTS", &[], None),
            Voice::Program => ("Program", &[], None),
        };
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Provider {
            id: voice.name().to_owned(),
            name: name.to_owned(),
            configured: voice.is_set_up(&speech),
            models: owned(models),
            voices: voices.map(owned),
        }
    };
    let order = [Voice::OpenAi, Voice::ElevenLabs, Voice::Edge, Voice::Program];
    Ok(Providers { providers: order.map(row).into(), active: cx.gateway.voice().name().to_owned() })
}

async fn enable(cx: Cx, _: Ignored) -> Result<Enabled, Error> {
    cx.gateway.stores.speech.set_auto("always").await.map_err(|error| store_error(&error))?;
    Ok(Enabled { enabled: true })
}

async fn disable(cx: Cx, _: Ignored) -> Result<Enabled, Error> {
    cx.gateway.stores.speech.set_auto("off").await.map_err(|error| store_error(&error))?;
    Ok(Enabled { enabled: false })
}

async fn choose(cx: Cx, params: ChooseParams) -> Result<Chosen, Error> {
    let name = params.provider.as_ref().and_then(Value::as_str).unwrap_or_default().trim().to_lowercase();
    let Some(voice) = Voice::parse(&name) else {
        return Err(Error::invalid("Invalid provider. Use openai, elevenlabs, or edge."));
    };
    cx.gateway.stores.speech.set_provider(voice.name()).await.map_err(|error| store_error(&error))?;
    Ok(Chosen { provider: name })
}

async fn convert(cx: Cx, params: ConvertParams) -> Result<Converted, Error> {
    let text = params.text.as_ref().and_then(Value::as_str).unwrap_or_default().trim();
    if text.is_empty() {
        return Err(Error::invalid("tts.convert requires text"));
    }
    let spoken = cx.gateway.speak(text, params.channel.as_ref().and_then(Value::as_str)).await?;
    Ok(Converted {
        audio_path: spoken.path.display().to_string(),
        provider: spoken.voice.name().to_owned(),
        voice_compatible: matches!(spoken.format.as_str(), "opus" | "ogg"),
        output_format: spoken.format,
    })
}

/// The reference's words, and what would help.
const NO_LOGIN: &str = "web login provider is not available: it belongs to a WhatsApp channel that is linked by a QR \
                        code, and this gateway has none";

fn login_start(_: &Cx, _: LoginStartParams) -> Result<Value, Error> {
    Err(Error::unavailable(NO_LOGIN))
}

fn login_wait(_: &Cx, _: LoginWaitParams) -> Result<Value, Error> {
    Err(Error::unavailable(NO_LOGIN))
}
