//! The real outbound client: HTTP/1.1 over hyper, one connection per request (INTEGRATIONS.md part 2).
//!
//! It follows no redirects, keeps no cookies, asks for no compression and never retries: whoever
//! asks decides about those. Every wait has a deadline from [`Limits`].

mod connect;
pub mod tls;

#[cfg(test)]
mod tests;

use std::error::Error as _;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use futures_rustls::rustls;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{HeaderName, HeaderValue};

use super::http::{Body, HttpError, Limits, Method, Outbound, Request, Response};
use super::hyper_io::HyperIo;
use super::url::Url;
use super::{Clock, LocalFuture, Tasks};
use crate::limits;

/// The slowest upload that is waited for, bytes per second. A body gets its length divided by this
/// on top of [`Limits::first_byte`].
const UPLOAD_BYTES_PER_S: u64 = 32 * 1024;

/// The program's name for servers.
const USER_AGENT: &str = concat!("barnacle/", env!("CARGO_PKG_VERSION"));

/// The real client.
#[derive(Debug)]
pub struct RealHttp {
    clock: Rc<dyn Clock>,
    tasks: Tasks,
    tls: Rc<tls::Tls>,
}

impl RealHttp {
    /// A client whose deadlines are measured on `clock`. Certificates are loaded by the first
    /// `https` request and kept.
    #[must_use]
    pub fn new(clock: Rc<dyn Clock>, tasks: Tasks) -> Self {
        Self { clock, tasks, tls: Rc::new(tls::Tls::default()) }
    }
}

impl Outbound for RealHttp {
    fn send(&self, request: Request) -> LocalFuture<'static, Result<Response, HttpError>> {
        let (clock, tasks, tls) = (Rc::clone(&self.clock), self.tasks.clone(), Rc::clone(&self.tls));
        Box::pin(async move { exchange(clock, &tasks, &tls, request).await })
    }
}

async fn exchange(
    clock: Rc<dyn Clock>,
    tasks: &Tasks,
    tls: &tls::Tls,
    request: Request,
) -> Result<Response, HttpError> {
    let limits = request.limits;
    let url = Url::parse(&request.url).map_err(HttpError::BadUrl)?;
    let (socket, reach) = (request.socket.clone(), request.reach.clone());
    let upload = Duration::from_secs(request.body.len() as u64 / UPLOAD_BYTES_PER_S);
    let message = message(&url, request)?;

    let deadline = clock.elapsed().saturating_add(limits.connect);
    let stream = clock
        .before(deadline, connect::open(&clock, deadline, &url, socket.as_deref(), &reach, tls))
        .await
        .map_err(|_| HttpError::Timeout(HttpError::CONNECTING))??;
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(limits::RESPONSE_HEAD_BYTES)
        .handshake(HyperIo::new(stream))
        .await
        .map_err(|error| of_hyper(&error))?;
    // Its outcome also reaches the sender or the body; dropping the task closes the socket.
    let driver = tasks.spawn(async move {
        let _ = connection.await;
    });

    let answer = clock
        .timeout(limits.first_byte.saturating_add(upload), sender.send_request(message))
        .await
        .map_err(|_| HttpError::Timeout(HttpError::FIRST_BYTE))?
        .map_err(|error| of_hyper(&error))?;
    let (head, incoming) = answer.into_parts();
    if incoming.size_hint().lower() > limits.body_bytes {
        return Err(HttpError::TooLarge(limits.body_bytes));
    }
    let headers = head.headers.iter();
    Ok(Response {
        status: head.status.as_u16(),
        headers: headers
            .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect(),
        body: Box::new(Streamed { incoming, _driver: driver, clock, limits, received: 0, over: false }),
    })
}

/// The request as hyper sends it; its body's length becomes `content-length`.
fn message(url: &Url, request: Request) -> Result<hyper::Request<Full<Bytes>>, HttpError> {
    let method = match request.method {
        Method::Get => hyper::Method::GET,
        Method::Post => hyper::Method::POST,
    };
    let mut message = hyper::Request::new(Full::new(Bytes::from(request.body)));
    *message.method_mut() = method;
    *message.uri_mut() = url.path.parse().map_err(|_| HttpError::BadUrl(format!("bad path on {}", url.host_port())))?;
    let own = [("host", url.authority()), ("user-agent", USER_AGENT.to_owned()), ("connection", "close".to_owned())];
    for (name, value) in own.into_iter().map(|(name, value)| (name.to_owned(), value)).chain(request.headers) {
        let (Ok(key), Ok(mut value)) = (HeaderName::try_from(&name), HeaderValue::try_from(value)) else {
            return Err(HttpError::BadHeader(name));
        };
        value.set_sensitive(true);
        message.headers_mut().insert(key, value);
    }
    Ok(message)
}

/// A body that is being received.
struct Streamed {
    incoming: Incoming,
    /// Moves bytes between the socket and `incoming`.
    _driver: super::tasks::Task<()>,
    clock: Rc<dyn Clock>,
    limits: Limits,
    received: u64,
    over: bool,
}

impl Streamed {
    async fn piece(&mut self) -> Result<Option<Vec<u8>>, HttpError> {
        while !self.over {
            let frame = self
                .clock
                .timeout(self.limits.idle, self.incoming.frame())
                .await
                .map_err(|_| HttpError::Timeout(HttpError::IDLE))?;
            let Some(frame) = frame else {
                break;
            };
            let frame = frame.map_err(|error| of_hyper(&error))?;
            // What isn't data is a trailer, which nobody here needs.
            if let Ok(bytes) = frame.into_data() {
                self.received = self.received.saturating_add(bytes.len() as u64);
                if self.received > self.limits.body_bytes {
                    return Err(HttpError::TooLarge(self.limits.body_bytes));
                }
                if !bytes.is_empty() {
                    return Ok(Some(bytes.into()));
                }
            }
        }
        Ok(None)
    }
}

impl Body for Streamed {
    fn next(&mut self) -> LocalFuture<'_, Result<Option<Vec<u8>>, HttpError>> {
        Box::pin(async move {
            let piece = self.piece().await;
            self.over = !matches!(piece, Ok(Some(_)));
            piece
        })
    }
}

impl fmt::Debug for Streamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streamed").field("received", &self.received).field("over", &self.over).finish_non_exhaustive()
    }
}

/// Sorts hyper's errors: a broken HTTP message is the peer's fault, all else is a lost connection.
fn of_hyper(error: &hyper::Error) -> HttpError {
    if error.is_parse_too_large() {
        return HttpError::Protocol(format!("its head has more than {} bytes", limits::RESPONSE_HEAD_BYTES));
    }
    if error.is_parse() {
        return HttpError::Protocol(error.to_string());
    }
    match error.source().and_then(|source| source.downcast_ref::<std::io::Error>()) {
        Some(io) if io.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => HttpError::Tls(io.to_string()),
        Some(io) if matches!(io.kind(), std::io::ErrorKind::InvalidData | std::io::ErrorKind::InvalidInput) => {
            HttpError::Protocol(io.to_string())
        }
        _ => HttpError::CutOff,
    }
}
