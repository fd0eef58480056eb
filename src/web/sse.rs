//! Server-sent events, and answers that stream them.

use std::fmt::Display;

use hyper::{Response, StatusCode};
use serde_json::Value;
use smol::stream::Stream;

use super::{Answer, Content, common};

/// A data line.
pub(super) fn data(payload: impl Display) -> Vec<u8> {
    format!("data: {payload}\n\n").into_bytes()
}

/// An event with a name.
pub(super) fn event(name: &str, payload: &Value) -> Vec<u8> {
    format!("event: {name}\ndata: {payload}\n\n").into_bytes()
}

/// An answer whose body comes piece by piece.
pub(super) fn answer(pieces: impl Stream<Item = Vec<u8>> + 'static) -> Answer {
    let mut answer = Response::new(Content::Stream(Box::pin(pieces)));
    *answer.status_mut() = StatusCode::OK;
    common(answer.headers_mut(), "text/event-stream; charset=utf-8");
    answer
}
