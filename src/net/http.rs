//! The HTTP head of a connection: checked, answered, or upgraded to WebSocket.
//!
//! One request a connection: whatever isn't an upgrade is answered and closed.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

use async_tungstenite::tungstenite::handshake::derive_accept_key;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use smol::io::AsyncWriteExt as _;

use super::doors::Place;
use super::origin::{Rules, Source};
use super::socket::Socket;
use crate::gateway::Gateway;
use crate::gateway::handshake::Origin;
use crate::limits::{HTTP_GRACE_MS, REQUEST_HEAD_BYTES};
use crate::sys::hyper_io::HyperIo;
use crate::web::{self, Answer, Call, Content, Guard, Route, Verb, guard};

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
    /// Its place at the door.
    pub place: Place,
}

/// What is shared by one connection's request and whoever drives it.
struct Exchange {
    gateway: Rc<Gateway>,
    rules: Rc<Rules>,
    source: Source,
    /// Set by the request that is upgraded.
    upgrade: RefCell<Option<(Origin, bool)>>,
    /// When the connection is cut, monotonic.
    deadline: Cell<Duration>,
    place: RefCell<Place>,
}

/// Reads the head within `limit` and answers it. `None` when the connection is done with.
pub async fn head(
    socket: Socket,
    source: Source,
    rules: Rc<Rules>,
    gateway: Rc<Gateway>,
    place: Place,
    limit: Duration,
) -> Option<Upgraded> {
    let clock = Rc::clone(&gateway.sys.clock);
    let exchange = Rc::new(Exchange {
        rules,
        source,
        upgrade: RefCell::new(None),
        deadline: Cell::new(clock.elapsed() + limit),
        place: RefCell::new(place),
        gateway,
    });
    let shared = Rc::clone(&exchange);
    let service = service_fn(move |request: Request<Incoming>| {
        let exchange = Rc::clone(&shared);
        Box::pin(async move { Ok::<_, Infallible>(exchange.answer(request).await) })
    });
    let mut connection = http1::Builder::new()
        .max_buf_size(REQUEST_HEAD_BYTES)
        .max_headers(HEADERS_MAX)
        .serve_connection(HyperIo::new(socket), service);
    let outcome = loop {
        let deadline = exchange.deadline.get();
        match clock.before(deadline, poll_fn(|cx| connection.poll_without_shutdown(cx))).await {
            Ok(outcome) => break Some(outcome),
            // A request with work to do has put it off.
            Err(_) if exchange.deadline.get() > deadline => {}
            Err(_) => break None,
        }
    };
    let parts = connection.into_parts();
    let (mut socket, early) = (parts.io.into_inner(), parts.read_buf.to_vec());
    drop(parts.service);
    let Some(outcome) = outcome else {
        let late = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        // Whoever sends no head may not read the answer either: one try, no waiting.
        let _ = clock.timeout(Duration::from_millis(100), socket.write_all(late)).await;
        return None;
    };
    outcome.ok()?;
    let exchange = Rc::into_inner(exchange)?;
    let (origin, guide_path) = exchange.upgrade.into_inner()?;
    Some(Upgraded { socket, early, origin, guide_path, place: exchange.place.into_inner() })
}

impl Exchange {
    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let headers = request.headers();
        if let Err(foreign) = self.rules.admit(headers) {
            return refusal(StatusCode::FORBIDDEN, foreign.text());
        }
        let origin = self.rules.origin_of(self.source, headers);
        if headers.contains_key(UPGRADE) || headers.contains_key(SEC_WEBSOCKET_KEY) {
            return match upgrade(&request) {
                Ok(answer) => {
                    *self.upgrade.borrow_mut() = Some((origin, request.uri().path() == GUIDE_PATH));
                    answer
                }
                Err(refused) => refused,
            };
        }
        let route = web::find(&self.gateway.config.get(), request.uri().path());
        match route {
            Some(route) => self.call(route, request, origin).await,
            None => plain(&request),
        }
    }

    /// Reads the body within the route's bound, and the whole process's, and lets the route answer.
    async fn call(&self, route: &Route, request: Request<Incoming>, origin: Origin) -> Answer {
        let verb_fits = match route.verb {
            Verb::Get => matches!(*request.method(), Method::GET | Method::HEAD),
            Verb::Post => request.method() == Method::POST,
            Verb::Any => true,
        };
        if !verb_fits {
            return web::text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
        }
        let gateway = &self.gateway;
        if route.guard == Guard::Secret {
            if let Err(refusal) = guard::admit(gateway, request.headers(), &origin) {
                return *refusal;
            }
            self.place.borrow_mut().admitted();
        }
        let is_unproven = route.guard == Guard::Hook;
        if is_unproven && !web::may_send_hook(gateway, request.headers()) {
            let (head, _) = request.into_parts();
            return (route.run)(self.asked(head, Vec::new(), origin)).await;
        }
        let busy = || web::text(StatusCode::SERVICE_UNAVAILABLE, "too busy, try again in a moment\n");
        let body_max = (route.body_max)(&gateway.config.get());
        let announced = request.body().size_hint().exact().map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        if announced.is_some_and(|bytes| bytes > body_max) {
            return too_large(body_max);
        }
        let Some(_slot) = gateway.calls.hold(1) else { return busy() };
        let unproven = if is_unproven { gateway.unproven.hold(1) } else { None };
        if is_unproven && unproven.is_none() {
            return busy();
        }
        let Some(_room) = gateway.incoming.hold(announced.unwrap_or(body_max)) else { return busy() };
        let (head, body) = request.into_parts();
        self.put_off(Duration::from_millis(gateway.limits.handshake_ms));
        let body = match Limited::new(body, body_max).collect().await {
            Ok(body) => body.to_bytes().to_vec(),
            Err(error) if error.is::<LengthLimitError>() => return too_large(body_max),
            Err(_) => return web::text(StatusCode::BAD_REQUEST, "the body ended early\n"),
        };
        let agent_limit = Duration::from_secs(gateway.config.get().agents.defaults.timeout_seconds);
        self.put_off(agent_limit + Duration::from_millis(HTTP_GRACE_MS));
        drop(unproven);
        (route.run)(self.asked(head, body, origin)).await
    }

    fn asked(&self, head: Parts, body: Vec<u8>, origin: Origin) -> Call {
        Call {
            gateway: Rc::clone(&self.gateway),
            method: head.method,
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            headers: head.headers,
            body,
            origin,
        }
    }

    fn put_off(&self, by: Duration) {
        self.deadline.set(self.gateway.sys.clock.elapsed().saturating_add(by));
    }
}

/// `Ok` is the upgrade, `Err` any other answer.
#[allow(clippy::result_large_err, reason = "made once a connection and moved once")]
fn upgrade(request: &Request<Incoming>) -> Result<Answer, Answer> {
    let headers = request.headers();
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
    let mut answer = Response::new(Content::Whole(None));
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

/// Requests that ask for no upgrade and no route.
fn plain(request: &Request<Incoming>) -> Answer {
    match (request.uri().path(), request.method()) {
        ("/" | GUIDE_PATH, &Method::GET | &Method::HEAD) => web::text(
            StatusCode::UPGRADE_REQUIRED,
            "This is a Barnacle gateway. It speaks WebSocket: try `barnacle chat`, or connect a client here.\n",
        ),
        ("/" | GUIDE_PATH, _) => refusal(StatusCode::METHOD_NOT_ALLOWED, "Invalid HTTP method"),
        _ => web::text(StatusCode::NOT_FOUND, "Not Found\n"),
    }
}

fn too_large(body_max: usize) -> Answer {
    web::text(StatusCode::PAYLOAD_TOO_LARGE, format!("the body may have {body_max} bytes at most\n"))
}

/// The refusals of an upgrade, as the reference words them (connection.md 1.1).
fn refusal(status: StatusCode, body: &'static str) -> Answer {
    web::of(status, "text/html", body.into())
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
