//! Outbound HTTP as the providers see it: one request, a streamed body with bounds.
//!
//! The real client speaks HTTP/1 over hyper and rustls; the simulation scripts it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::LocalFuture;
use super::reach::Reach;

/// A request with its whole body in memory.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET` or `POST`.
    pub method: Method,
    /// Absolute `http://` or `https://` URL.
    pub url: String,
    /// A Unix socket to connect to instead of the URL's host.
    pub socket: Option<PathBuf>,
    /// Which addresses the URL's host may have.
    pub reach: Reach,
    /// Names in lower case; values without CR or LF.
    pub headers: Vec<(String, String)>,
    /// Body bytes; empty for `GET`.
    pub body: Vec<u8>,
    /// Limits of the exchange.
    pub limits: Limits,
}

/// The two methods that providers need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `GET`
    Get,
    /// `POST`
    Post,
}

/// Bounds of one exchange.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Name look-up, connect and TLS together.
    pub connect: Duration,
    /// From the sent request to the response head. A large body may take longer to send: it gets
    /// further time at the slowest upload that the client accepts.
    pub first_byte: Duration,
    /// Between two pieces of the body.
    pub idle: Duration,
    /// Most body bytes that are handed on; more is [`HttpError::TooLarge`].
    pub body_bytes: u64,
}

/// A response whose body is still to be read.
#[derive(Debug)]
pub struct Response {
    /// HTTP status code.
    pub status: u16,
    /// Names in lower case, in the order received.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Box<dyn Body>,
}

impl Response {
    /// The first header of that (lower-case) name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }
}

/// A body in pieces. Dropping it closes the connection.
pub trait Body: fmt::Debug {
    /// The next piece; `None` at the proper end. An end before the announced length or the last
    /// chunk is [`HttpError::CutOff`].
    fn next(&mut self) -> LocalFuture<'_, Result<Option<Vec<u8>>, HttpError>>;
}

/// Why an exchange failed. The text is for the owner: it names the host, never a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpError {
    /// The URL can't be used.
    BadUrl(String),
    /// The header of that name has a value that HTTP can't carry, such as a line break.
    BadHeader(String),
    /// The host name has no address.
    NoSuchHost(String),
    /// The host's addresses are not among those that the request may go to.
    Forbidden(String),
    /// Nobody listens there, or no network.
    Connect(String),
    /// The certificate or the TLS handshake was refused.
    Tls(String),
    /// A deadline of [`Limits`] passed; which one.
    Timeout(&'static str),
    /// The peer ended the connection before the response was complete.
    CutOff,
    /// The body is larger than [`Limits::body_bytes`].
    TooLarge(u64),
    /// The peer doesn't speak HTTP/1.
    Protocol(String),
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadUrl(why) => write!(f, "bad URL: {why}"),
            Self::BadHeader(name) => write!(f, "header {name} holds a character that HTTP cannot carry"),
            Self::NoSuchHost(host) => write!(f, "no address for host {host}"),
            Self::Forbidden(host) => write!(f, "{host} is not on the internet, and nothing inside the home is asked"),
            Self::Connect(why) => write!(f, "cannot connect to {why}"),
            Self::Tls(why) => write!(f, "TLS refused: {why}"),
            Self::Timeout(what) => write!(f, "timed out: {what}"),
            Self::CutOff => f.write_str("connection ended before the answer was complete"),
            Self::TooLarge(limit) => write!(f, "answer larger than {limit} bytes"),
            Self::Protocol(why) => write!(f, "not a valid HTTP answer: {why}"),
        }
    }
}

impl std::error::Error for HttpError {}

impl HttpError {
    /// What [`Timeout`](Self::Timeout) says when [`Limits::connect`] passed.
    pub const CONNECTING: &'static str = "no connection";
    /// What [`Timeout`](Self::Timeout) says when [`Limits::first_byte`] passed.
    pub const FIRST_BYTE: &'static str = "no answer";
    /// What [`Timeout`](Self::Timeout) says when [`Limits::idle`] passed.
    pub const IDLE: &'static str = "the answer stalled";
}

/// A client for outbound requests.
pub trait Outbound: fmt::Debug {
    /// Sends the request and resolves with the response head.
    fn send(&self, request: Request) -> LocalFuture<'static, Result<Response, HttpError>>;
}
