//! Who may call: who shows the shared secret as a bearer token (connection.md section 7).

use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use serde_json::json;

use super::{Answer, json_answer};
use crate::gateway::Gateway;
use crate::gateway::handshake::{Origin, party};
use crate::wire::handshake::{Client, Credentials};

/// Lets the caller pass, or gives the refusal. Wrong secrets count like those of a handshake. A Tailscale
/// login opens nothing here: it is a person's, and only a key can say which of their devices asks.
///
/// # Errors
/// 401, or 429 while the address is locked.
pub fn admit(gateway: &Gateway, headers: &HeaderMap, origin: &Origin) -> Result<(), Box<Answer>> {
    let shown = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(bearer);
    // The one secret of this gateway, whichever it is called.
    let shown = Credentials::new(shown.map(str::to_owned), shown.map(str::to_owned));
    let party = party(&origin.address);
    match gateway.auth.check(&caller(), &shown, &party, gateway.uptime_ms(), || None::<()>) {
        Ok(_) => Ok(()),
        Err(error) => {
            let status =
                if error.retry_after_ms.is_some() { StatusCode::TOO_MANY_REQUESTS } else { StatusCode::UNAUTHORIZED };
            let body = json!({"error": {"message": "Unauthorized", "type": "unauthorized"}});
            let mut answer = json_answer(status, &body);
            answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            if let Some(seconds) = error.retry_after_ms.map(|ms| ms.div_ceil(1000)) {
                answer.headers_mut().insert(RETRY_AFTER, seconds.into());
            }
            Err(Box::new(answer))
        }
    }
}

/// The token of `Authorization: Bearer <token>`.
pub(super) fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty())
}

/// What a caller is, for the guard's words.
fn caller() -> Client {
    Client {
        id: "http".into(),
        display_name: None,
        version: crate::VERSION.into(),
        platform: "http".into(),
        device_family: None,
        model_identifier: None,
        mode: "backend".into(),
        instance_id: None,
    }
}
