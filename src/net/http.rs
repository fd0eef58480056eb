//! The HTTP head of a connection: checked, answered, or upgraded to WebSocket.
//!
//! One request a connection: whatever isn't an upgrade is answered and closed.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::{poll_fn, ready};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use async_tungstenite::tungstenite::handshake::derive_accept_key;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE, X_CONTENT_TYPE_OPTIONS,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use smol::io::AsyncWriteExt as _;

use super::origin::Rules;
use super::socket::Socket;
use crate::gateway::handshake::Origin;
use crate::limits::REQUEST_HEAD_BYTES;
use crate::sys::Clock;
use crate::sys::hyper_io::HyperIo;

/// Most header fields of a request.
const HEADERS_MAX: usize = 64;
/// The upgrade path on which the client speaks first (guide section 7).
pub const GUIDE_PATH: &str = "/v1/connect";

/// A connection that asked to become a WebSocket and was told yes.
#[derive(Debug)]
pub struct Upgraded {
    /// The socket.
    pub socket: Socket,
    /// Bytes that came right behind the head.
    pub early: Vec<u8>,
    /// Where it comes from.
    pub origin: Origin,
    /// Whether it came to [`GUIDE_PATH`].
    pub guide_path: bool,
}

type Answer = Response<Full<Bytes>>;

/// Reads the head within `limit` and answers it. `None` when the connection is done with.
pub async fn head(
    socket: Socket,
    remote: IpAddr,
    rules: Rc<Rules>,
    clock: &Rc<dyn Clock>,
    limit: Duration,
) -> Option<Upgraded> {
    let upgrade = Rc::new(RefCell::new(None));
    let slot = Rc::clone(&upgrade);
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = match answer(&request, &rules) {
            Ok(answer) => {
                let guide_path = request.uri().path() == GUIDE_PATH;
                *slot.borrow_mut() = Some((rules.origin_of(remote, request.headers()), guide_path));
                answer
            }
            Err(answer) => answer,
        };
        ready(Ok::<_, Infallible>(answer))
    });
    let mut connection = http1::Builder::new()
        .max_buf_size(REQUEST_HEAD_BYTES)
        .max_headers(HEADERS_MAX)
        .serve_connection(HyperIo::new(socket.clone()), service);
    let outcome = clock.timeout(limit, poll_fn(|cx| connection.poll_without_shutdown(cx))).await;
    let mut socket = connection.into_parts();
    if outcome.is_err() {
        let late = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        // Whoever sends no head may not read the answer either: one try, no waiting.
        let _ = clock.timeout(Duration::from_millis(100), socket.io.into_inner().write_all(late)).await;
        return None;
    }
    let (origin, guide_path) = upgrade.borrow_mut().take()?;
    let early = std::mem::take(&mut socket.read_buf).to_vec();
    matches!(outcome, Ok(Ok(()))).then(|| Upgraded { socket: socket.io.into_inner(), early, origin, guide_path })
}

/// `Ok` is the upgrade, `Err` any other answer.
#[allow(clippy::result_large_err, reason = "made once a connection and moved once")]
fn answer(request: &Request<Incoming>, rules: &Rules) -> Result<Answer, Answer> {
    let headers = request.headers();
    if let Err(foreign) = rules.admit(headers) {
        return Err(refusal(StatusCode::FORBIDDEN, foreign.text()));
    }
    let wants_upgrade = headers.contains_key(UPGRADE) || headers.contains_key(SEC_WEBSOCKET_KEY);
    if !wants_upgrade {
        return Err(plain(request));
    }
    if request.method() != Method::GET {
        return Err(refusal(StatusCode::METHOD_NOT_ALLOWED, "Invalid HTTP method"));
    }
    if !text(headers, &UPGRADE).eq_ignore_ascii_case("websocket") || !mentions_upgrade(headers) {
        return Err(refusal(StatusCode::BAD_REQUEST, "Invalid Upgrade header"));
    }
    let key = text(headers, &SEC_WEBSOCKET_KEY);
    // 16 bytes in base64 (RFC 6455 section 4.1).
    if !data_encoding::BASE64.decode(key.as_bytes()).is_ok_and(|bytes| bytes.len() == 16) {
        return Err(refusal(StatusCode::BAD_REQUEST, "Missing or invalid Sec-WebSocket-Key header"));
    }
    if !matches!(text(headers, &SEC_WEBSOCKET_VERSION), "13" | "8") {
        let mut answer = refusal(StatusCode::BAD_REQUEST, "Missing or invalid Sec-WebSocket-Version header");
        answer.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13, 8"));
        return Err(answer);
    }
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let fields = answer.headers_mut();
    fields.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    fields.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(&derive_accept_key(key.as_bytes())) {
        fields.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    let protocol = text(headers, &SEC_WEBSOCKET_PROTOCOL).split(',').next().unwrap_or_default().trim();
    if let Some(protocol) =
        Some(protocol).filter(|name| !name.is_empty()).and_then(|name| HeaderValue::from_str(name).ok())
    {
        fields.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    Ok(answer)
}

fn mentions_upgrade(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.any(|value| value.split(',').any(|token| token.trim().eq_ignore_ascii_case("upgrade")))
}

/// Requests that ask for no upgrade.
fn plain(request: &Request<Incoming>) -> Answer {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return refusal(StatusCode::METHOD_NOT_ALLOWED, "Invalid HTTP method");
    }
    match request.uri().path() {
        "/healthz" => page(StatusCode::OK, "application/json; charset=utf-8", "{\"status\":\"ok\"}"),
        "/" | GUIDE_PATH => page(
            StatusCode::UPGRADE_REQUIRED,
            "text/plain; charset=utf-8",
            "This is a Barnacle gateway. It speaks WebSocket: try `barnacle chat`, or connect a client here.\n",
        ),
        _ => page(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", "Not Found\n"),
    }
}

fn refusal(status: StatusCode, body: &'static str) -> Answer {
    page(status, "text/html", body)
}

fn page(status: StatusCode, content_type: &'static str, body: &'static str) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
