//! HTTP beside the WebSocket, on the same port (connection.md section 7).
//!
//! A route is a row: path, how large its body may be, and its function. It is given a whole request
//! and gives back a whole answer, or one that streams. It touches no socket: `net/http.rs` reads and
//! writes.

mod chat_completions;
pub mod guard;
mod hook_template;
mod hooks;
pub mod metrics;
mod pages;
mod prompt;
mod responses;
mod run;
mod sse;
mod tools;

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Response, StatusCode};
use serde_json::{Value, json};
use smol::stream::Stream;

use crate::config::Config;
use crate::gateway::Gateway;
use crate::gateway::handshake::Origin;
use crate::limits::HTTP_JSON_VALUES;
use crate::sys::LocalFuture;

/// A request, read as a whole.
#[derive(Debug)]
pub struct Call {
    /// The gateway.
    pub gateway: Rc<Gateway>,
    /// The verb.
    pub method: Method,
    /// The path, without the query.
    pub path: String,
    /// The query, without its question mark.
    pub query: String,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body, within the route's bound.
    pub body: Vec<u8>,
    /// Where it comes from.
    pub origin: Origin,
}

impl Call {
    /// A header's text, if it is there and readable.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok().map(str::trim).filter(|text| !text.is_empty())
    }

    /// The body as a JSON object.
    ///
    /// # Errors
    /// What is wrong with it, as a 400 in the form of the reference.
    pub fn json(&self) -> Result<Value, Box<Answer>> {
        self.object().map_err(|what| Box::new(invalid(&format!("Invalid JSON: {what}"))))
    }

    /// The same with the bare reason.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn object(&self) -> Result<Value, String> {
        if values_in(&self.body) > HTTP_JSON_VALUES {
            return Err(format!("more than {HTTP_JSON_VALUES} values"));
        }
        match serde_json::from_slice::<Value>(&self.body) {
            Ok(value) if value.is_object() => Ok(value),
            Ok(_) => Err("an object is expected".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// About as many values as a JSON text has: each needs a comma or a bracket outside of texts. A tree of
/// many small ones would take far more memory than the text.
fn values_in(text: &[u8]) -> usize {
    let (mut values, mut in_text, mut escaped) = (0, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b',' | b'[' | b'{' if !in_text => values += 1,
            _ => {}
        }
    }
    values
}

/// An answer.
pub type Answer = Response<Content>;

/// A body that is there, or one that comes.
pub enum Content {
    /// All of it.
    Whole(Option<Bytes>),
    /// Pieces, until it ends.
    Stream(Pin<Box<dyn Stream<Item = Vec<u8>>>>),
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(bytes) => f.debug_tuple("Whole").field(&bytes.as_ref().map(Bytes::len)).finish(),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream(stream) => {
                stream.as_mut().poll_next(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece.into()))))
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// Where it is.
    pub path: At,
    /// What it is, for the documentation.
    pub doc: &'static str,
    /// The verb that it takes.
    pub verb: Verb,
    /// Whether the configuration has it on.
    pub is_on: fn(&Config) -> bool,
    /// Who may call it; asked for before the body is read.
    pub guard: Guard,
    /// Largest body, bytes.
    pub body_max: fn(&Config) -> usize,
    /// Its function.
    pub run: fn(Call) -> LocalFuture<'static, Answer>,
}

/// Where a route is.
#[derive(Clone, Copy, Debug)]
pub enum At {
    /// At exactly this path.
    Path(&'static str),
    /// At the path that the configuration names, and everywhere below it.
    Below(fn(&Config) -> &str),
}

impl At {
    fn fits(self, config: &Config, path: &str) -> bool {
        match self {
            Self::Path(own) => own == path,
            Self::Below(own) => {
                path.strip_prefix(own(config)).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
        }
    }
}

/// The verbs of routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// `GET`, and `HEAD` without the body.
    Get,
    /// `POST`.
    Post,
    /// Whatever comes; the route itself looks.
    Any,
}

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// Everybody; or the route looks by itself.
    Open,
    /// Who shows the shared secret as a bearer token.
    Secret,
    /// Who shows the hooks' own token, or signs the body; few bodies are read for those who are yet to prove it.
    Hook,
}

/// Whether a hook's head is reason enough to read its body.
#[must_use]
pub fn may_send_hook(gateway: &Gateway, headers: &HeaderMap) -> bool {
    hooks::may_send_body(gateway, headers)
}

/// Every route, in the order in which they are tried.
pub const ROUTES: &[&[Route]] =
    &[hooks::ROUTES, tools::ROUTES, chat_completions::ROUTES, responses::ROUTES, metrics::ROUTES, pages::ROUTES];

/// The route of a path, if it is on.
#[must_use]
pub fn find(config: &Config, path: &str) -> Option<&'static Route> {
    ROUTES.iter().flat_map(|group| group.iter()).find(|route| (route.is_on)(config) && route.path.fits(config, path))
}

/// A text answer.
#[must_use]
pub fn text(status: StatusCode, body: impl Into<Vec<u8>>) -> Answer {
    of(status, "text/plain; charset=utf-8", body.into())
}

/// A JSON answer.
#[must_use]
pub fn json_answer(status: StatusCode, body: &Value) -> Answer {
    of(status, "application/json; charset=utf-8", body.to_string().into_bytes())
}

/// 400 in the form of the reference.
#[must_use]
pub fn invalid(message: &str) -> Answer {
    json_answer(StatusCode::BAD_REQUEST, &json!({"error": {"message": message, "type": "invalid_request_error"}}))
}

/// Any answer of known bytes.
#[must_use]
pub fn of(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Answer {
    let mut answer = Response::new(Content::Whole(Some(body.into())));
    *answer.status_mut() = status;
    common(answer.headers_mut(), content_type);
    answer
}

/// The header fields that every answer has.
fn common(headers: &mut HeaderMap, content_type: &'static str) {
    let fields: [(HeaderName, &'static str); 4] = [
        (CONTENT_TYPE, content_type),
        (CONNECTION, "close"),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    for (name, value) in fields {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
