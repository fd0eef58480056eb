//! Pages for probes: is the process there, can it work.

use hyper::StatusCode;
use serde_json::json;

use super::{Answer, At, Call, Guard, Route, Verb, json_answer};
use crate::sys::LocalFuture;

/// Rows.
pub(super) const ROUTES: &[Route] = &[
    Route {
        path: At::Path("/healthz"),
        doc: "200 while the process runs; says nothing else, needs no secret",
        verb: Verb::Get,
        is_on: |config| config.gateway.http.healthz,
        guard: Guard::Open,
        body_max: |_| 0,
        run: |_| answered(json_answer(StatusCode::OK, &json!({"status": "ok"}))),
    },
    Route {
        path: At::Path("/readyz"),
        doc: "200 when messages can be taken and stored, else 503 with what is in the way; needs no secret",
        verb: Verb::Get,
        is_on: |config| config.gateway.http.healthz,
        guard: Guard::Open,
        body_max: |_| 0,
        run: |call| answered(ready(&call)),
    },
];

fn answered(answer: Answer) -> LocalFuture<'static, Answer> {
    Box::pin(std::future::ready(answer))
}

fn ready(call: &Call) -> Answer {
    let storage = call.gateway.stores.saver.trouble().is_none();
    let takes_messages = !call.gateway.runs.is_closed();
    let status = if storage && takes_messages { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = if status == StatusCode::OK { "ready" } else { "not ready" };
    json_answer(status, &json!({"status": word, "storage": storage, "takesMessages": takes_messages}))
}
