//! Why a model gave no (whole) answer, in one line that tells the owner what to do.
//!
//! Providers' own texts are quoted shortened, on one line, and without any key or header value of ours.

use std::fmt;

use serde_json::Value;

use crate::config::models::{Api, Provider};
use crate::sys::http::HttpError;

/// Most bytes of a provider's own text in a message; more is cut.
const DETAIL_BYTES: usize = 300;
/// Shortest configured header value that is kept out of messages; shorter ones are no secrets.
const SECRET_BYTES: usize = 8;

/// A failed answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What kind of failure.
    pub kind: FaultKind,
    /// One line for the owner, which names the provider and what to do. Never holds a key.
    pub message: String,
    /// When the provider wants to be asked again, ms; `None` when it didn't say.
    pub retry_after_ms: Option<u64>,
}

/// The kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// No key is configured; nothing was sent.
    NoKey,
    /// The key was refused.
    WrongKey,
    /// The provider has no such model (or no such address).
    NotFound,
    /// Too many requests or tokens in a while.
    RateLimited,
    /// The account is out of credit.
    Quota,
    /// The provider has no room at the moment.
    Overloaded,
    /// The provider failed.
    Server,
    /// No address, no route, nobody listening.
    NoNetwork,
    /// The certificate or the handshake was refused.
    Tls,
    /// No connection, no first byte, or no further byte in time.
    Timeout,
    /// The prompt has more tokens than the model takes; a shorter one may work.
    TooLong,
    /// The request was refused for another reason, or the answer was.
    Refused,
    /// The answer ended before its end.
    CutOff,
    /// The answer makes no sense.
    Malformed,
    /// The answer, or one line of it, is over its bound.
    TooLarge,
}

impl FaultKind {
    /// Whether another model may do better. Not when the conversation is too long (it has to be
    /// shortened first) or an answer was over our own bound. A caller that has already shown text
    /// does not fall back, whatever the kind.
    #[must_use]
    pub fn worth_a_fallback(self) -> bool {
        !matches!(self, Self::TooLong | Self::TooLarge)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

/// What went wrong, before it is put in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// The provider said so, by its HTTP status or inside the stream.
    Complaint(Complaint),
    /// The exchange failed.
    Http(HttpError),
    /// The stream ended without its end marker.
    CutOff,
    /// The stream breaks its own format; how.
    Malformed(String),
    /// The provider withheld the answer; its word for it.
    Withheld(&'static str),
    /// A line or event is longer than `limits::STREAM_LINE_BYTES`.
    LineTooLong,
}

/// An error as a provider words it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Complaint {
    /// HTTP status; 0 when it came inside a stream and named none.
    pub status: u16,
    /// Its machine-readable type and code, if any.
    pub code: String,
    /// Its text.
    pub text: String,
}

impl Complaint {
    /// Reads an error response's body, whatever its shape.
    #[must_use]
    pub fn of_response(status: u16, body: &[u8]) -> Self {
        match serde_json::from_slice::<Value>(body) {
            Ok(value) => Self { status, ..Self::of_value(&value) },
            Err(_) => Self { status, code: String::new(), text: String::from_utf8_lossy(body).into_owned() },
        }
    }

    /// Reads an error object: `{error: {message, type, code}}`, `{error: text}`, `{message}`, `{detail}`,
    /// or any of them in a list. A numeric code counts as the status.
    #[must_use]
    pub fn of_value(value: &Value) -> Self {
        let value = value.get(0).unwrap_or(value);
        let inner = value.get("error").filter(|inner| !inner.is_null()).unwrap_or(value);
        if let Some(text) = inner.as_str() {
            return Self { text: text.to_owned(), ..Self::default() };
        }
        let word = |key: &str| inner.get(key).and_then(Value::as_str).unwrap_or_default();
        let number = ["code", "status"].into_iter().find_map(|key| inner.get(key).and_then(Value::as_u64));
        let text = ["message", "detail", "error"].into_iter().map(word).find(|text| !text.is_empty());
        Self {
            status: number
                .and_then(|number| u16::try_from(number).ok())
                .filter(|n| (400..600).contains(n))
                .unwrap_or(0),
            code: [word("type"), word("code"), word("status")].join(" ").trim().to_owned(),
            text: text.map_or_else(|| inner.to_string(), str::to_owned),
        }
    }

    /// The kind, by what it says first and by its status second: several providers answer 400 or
    /// 429 to very different things.
    #[must_use]
    pub fn kind(&self) -> FaultKind {
        let said = format!("{} {}", self.code, self.text).to_ascii_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
        match self.status {
            413 => FaultKind::TooLong,
            _ if says(&TOO_LONG) => FaultKind::TooLong,
            402 => FaultKind::Quota,
            _ if says(&QUOTA) => FaultKind::Quota,
            401 | 403 => FaultKind::WrongKey,
            404 => FaultKind::NotFound,
            408 => FaultKind::Timeout,
            429 => FaultKind::RateLimited,
            503 | 529 => FaultKind::Overloaded,
            _ if says(&["overloaded"]) => FaultKind::Overloaded,
            500.. => FaultKind::Server,
            _ if says(&["authentication_error", "invalid_api_key", "permission_error"]) => FaultKind::WrongKey,
            _ if says(&["model_not_found", "not_found_error"]) => FaultKind::NotFound,
            0 if says(&["rate_limit", "too many requests"]) => FaultKind::RateLimited,
            0 if says(&["invalid_request"]) => FaultKind::Refused,
            0 => FaultKind::Server,
            _ => FaultKind::Refused,
        }
    }
}

/// How providers say that the prompt is too long (INTEGRATIONS.md part 4 "Retry").
const TOO_LONG: [&str; 8] = [
    "exceed_context_size_error",
    "context_length_exceeded",
    "prompt is too long",
    "maximum context length",
    "exceeds the available context",
    "exceed context limit",
    "context window",
    "request_too_large",
];

/// How providers say that the account is empty.
const QUOTA: [&str; 5] =
    ["insufficient_quota", "exceeded your current quota", "credit balance", "insufficient credit", "billing_error"];

impl Fault {
    /// No key: says both ways of setting one.
    #[must_use]
    pub fn no_key(provider: &Provider) -> Self {
        let id = &provider.id;
        Self::new(FaultKind::NoKey, format!("{id}: no API key. Set {}.", key_places(id)))
    }

    /// Puts `trouble` in words.
    #[must_use]
    pub fn of(trouble: &Trouble, provider: &Provider, model: &str) -> Self {
        let id = &provider.id;
        match trouble {
            Trouble::Complaint(complaint) => Self::complained(complaint, provider, model),
            Trouble::Http(error) => Self::unreachable(error, provider),
            Trouble::CutOff => Self::new(
                FaultKind::CutOff,
                format!("{id}: the answer was cut off before its end. Check the connection and ask again."),
            ),
            Trouble::Malformed(how) => Self::new(
                FaultKind::Malformed,
                format!(
                    "{id}: the answer makes no sense ({}). Check api and baseUrl of models.providers.{id}.",
                    clean(how, provider)
                ),
            ),
            Trouble::Withheld(word) => Self::new(
                FaultKind::Refused,
                format!("{id}: the provider withheld the answer ({word}). Ask in other words or use another model."),
            ),
            Trouble::LineTooLong => {
                Self::new(FaultKind::TooLarge, format!("{id}: one line of the answer is over the bound. Ask again."))
            }
        }
    }

    fn complained(complaint: &Complaint, provider: &Provider, model: &str) -> Self {
        let (id, kind) = (&provider.id, complaint.kind());
        let said = match (complaint.status, clean(&complaint.text, provider)) {
            (0, text) => text,
            (status, text) if text.is_empty() => format!("HTTP {status}"),
            (status, text) => format!("HTTP {status}: {text}"),
        };
        let places = key_places(id);
        let message = match kind {
            FaultKind::WrongKey if provider.api_key.is_none() => {
                format!("{id} wants an API key ({said}). Set {places}.")
            }
            // A refused key is not quoted, not even in the provider's abbreviation.
            FaultKind::WrongKey if complaint.status == 401 => {
                format!("{id} refused the API key (HTTP 401). Check {places}.")
            }
            FaultKind::WrongKey => format!("{id} refused the API key ({said}). Check {places}."),
            FaultKind::NotFound if provider.api == Api::OllamaChat => {
                format!("{id} has no model {model} ({said}). Get it with: ollama pull {model}")
            }
            FaultKind::NotFound => {
                format!("{id} has no model {model} ({said}). Check the model's id and models.providers.{id}.baseUrl.")
            }
            FaultKind::RateLimited => format!("{id} allows no more requests for now ({said}). Ask again later."),
            FaultKind::Quota => format!("{id} wants to be paid first ({said}). Check the account's credit."),
            FaultKind::Overloaded => format!("{id} is overloaded ({said}). Ask again later."),
            FaultKind::TooLong => {
                format!("{id}: the conversation is too long for {model} ({said}). Compact or reset the session.")
            }
            FaultKind::Refused => format!("{id} refused the request ({said}). Check the settings of {model}."),
            _ => format!("{id} failed ({said}). Ask again later."),
        };
        Self::new(kind, message)
    }

    fn unreachable(error: &HttpError, provider: &Provider) -> Self {
        let id = &provider.id;
        let (kind, advice) = match error {
            HttpError::BadUrl(_) | HttpError::Forbidden(_) => {
                (FaultKind::Refused, format!("Check models.providers.{id}.baseUrl."))
            }
            HttpError::BadHeader(_) => {
                (FaultKind::Refused, format!("Check {} and models.providers.{id}.headers.", key_places(id)))
            }
            HttpError::NoSuchHost(_) => {
                (FaultKind::NoNetwork, format!("Check the network and models.providers.{id}.baseUrl."))
            }
            HttpError::Connect(_) => (FaultKind::NoNetwork, "Check the network and that the server runs.".to_owned()),
            HttpError::Tls(_) => (FaultKind::Tls, format!("Check the clock and models.providers.{id}.baseUrl.")),
            HttpError::Timeout(_) => (FaultKind::Timeout, "Check the network, or use a faster model.".to_owned()),
            HttpError::CutOff => (FaultKind::CutOff, "Check the connection and ask again.".to_owned()),
            HttpError::TooLarge(_) => (FaultKind::TooLarge, "Ask for less.".to_owned()),
            HttpError::Protocol(_) => (FaultKind::Malformed, format!("Check models.providers.{id}.baseUrl.")),
        };
        Self::new(kind, format!("{id}: {}. {advice}", clean(&error.to_string(), provider)))
    }

    fn new(kind: FaultKind, message: String) -> Self {
        Self { kind, message, retry_after_ms: None }
    }
}

/// The two places for a provider's key.
fn key_places(id: &str) -> String {
    let upper = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let variable: String = id.chars().map(upper).collect();
    format!("models.providers.{id}.apiKey in the configuration or the environment variable {variable}_API_KEY")
}

/// A provider's text on one line, shortened, without our key and configured header values.
fn clean(text: &str, provider: &Provider) -> String {
    let mut text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.retain(|c| !c.is_control());
    let key = provider.api_key.iter().map(|key| key.expose());
    let values = provider.headers.iter().map(|(_, value)| value.as_str()).filter(|value| value.len() >= SECRET_BYTES);
    for secret in key.chain(values).filter(|secret| !secret.is_empty()) {
        text = text.replace(secret, "…");
    }
    if text.len() > DETAIL_BYTES {
        let mut end = DETAIL_BYTES;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    text.trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn provider() -> Provider {
        Provider {
            id: "open-ai".to_owned(),
            api: Api::OpenaiCompletions,
            base_url: "https://x/v1".to_owned(),
            api_key: Some(Secret::new("sk-secret-1")),
            needs_key: true,
            headers: vec![("x-team".to_owned(), "team-secret-2".to_owned())],
            models: Vec::new(),
        }
    }

    #[test]
    fn every_known_refusal_gets_its_kind() {
        for (status, body, kind) in [
            (
                401,
                r#"{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}"#,
                FaultKind::WrongKey,
            ),
            (403, "nope", FaultKind::WrongKey),
            (404, r#"{"error":"model 'x' not found"}"#, FaultKind::NotFound),
            (400, r#"{"error":{"code":"model_not_found","message":"m"}}"#, FaultKind::NotFound),
            (429, r#"{"error":{"type":"rate_limit_error","message":"slow down"}}"#, FaultKind::RateLimited),
            (429, r#"{"error":{"code":"insufficient_quota","message":"m"}}"#, FaultKind::Quota),
            (400, r#"{"error":{"message":"Your credit balance is too low"}}"#, FaultKind::Quota),
            (402, "", FaultKind::Quota),
            (529, r#"{"error":{"type":"overloaded_error","message":"Overloaded"}}"#, FaultKind::Overloaded),
            (500, "<html>", FaultKind::Server),
            (408, "", FaultKind::Timeout),
            (400, r#"{"error":{"code":400,"type":"exceed_context_size_error","message":"m"}}"#, FaultKind::TooLong),
            (400, r#"{"error":{"message":"prompt is too long: 200001 tokens > 200000 maximum"}}"#, FaultKind::TooLong),
            (413, r#"{"error":{"type":"request_too_large"}}"#, FaultKind::TooLong),
            (400, r#"[{"error":{"code":400,"message":"bad schema","status":"INVALID_ARGUMENT"}}]"#, FaultKind::Refused),
            (302, "", FaultKind::Refused),
        ] {
            let complaint = Complaint::of_response(status, body.as_bytes());
            assert_eq!(complaint.kind(), kind, "{status} {body}");
            let fault = Fault::of(&Trouble::Complaint(complaint), &provider(), "m");
            assert!(fault.message.starts_with("open-ai") && !fault.message.contains('\n'), "{fault}");
        }
    }

    #[test]
    fn errors_inside_a_stream_are_told_apart_without_a_status() {
        for (body, kind) in [
            (r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#, FaultKind::Overloaded),
            (r#"{"error":{"message":"x","code":502}}"#, FaultKind::Server),
            (r#"{"error":{"message":"x","type":"rate_limit_exceeded"}}"#, FaultKind::RateLimited),
            (r#"{"error":"llama runner process has terminated"}"#, FaultKind::Server),
            (r#"{"error":{"type":"invalid_request_error","message":"x"}}"#, FaultKind::Refused),
        ] {
            assert_eq!(Complaint::of_value(&serde_json::from_str(body).unwrap()).kind(), kind, "{body}");
        }
    }

    #[test]
    fn messages_say_what_to_do_and_never_show_a_key() {
        let no_key = Fault::no_key(&provider());
        assert_eq!(
            no_key.message,
            "open-ai: no API key. Set models.providers.open-ai.apiKey in the configuration or the environment variable OPEN_AI_API_KEY."
        );
        for (status, text) in
            [(401, "bad key sk-secret-1"), (403, "bad\nkey sk-secret-1"), (400, "x team-secret-2 sk-secret-1")]
        {
            let complaint = Complaint { status, code: String::new(), text: text.to_owned() };
            let fault = Fault::of(&Trouble::Complaint(complaint), &provider(), "m");
            assert!(!fault.message.contains("secret"), "{fault}");
        }
        let long = Complaint { status: 400, code: String::new(), text: "ü".repeat(1000) };
        assert!(Fault::of(&Trouble::Complaint(long), &provider(), "m").message.len() < 500);
        let refused =
            Fault::of(&Trouble::Http(HttpError::Connect("127.0.0.1:1: connection refused".into())), &provider(), "m");
        assert_eq!(
            refused.message,
            "open-ai: cannot connect to 127.0.0.1:1: connection refused. Check the network and that the server runs."
        );
    }
}
