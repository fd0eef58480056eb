//! From an endpoint to an open stream: name look-up, TCP, and TLS for `wss://`. Certificates are
//! always verified. The caller sets the deadline.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use async_net::TcpStream;
use futures_rustls::client::TlsStream;
use smol::io::{AsyncRead, AsyncWrite};

use super::endpoint::Endpoint;
use crate::sys::client::tls::Tls;
use crate::sys::http::HttpError;

/// Most addresses of one name that are tried.
const ADDRESSES_MAX: usize = 4;

/// A plain or an encrypted stream.
pub trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

/// Why there is no stream. The texts name the host, never a secret.
#[derive(Debug)]
pub enum DialError {
    /// The host name has no address.
    NoSuchHost(String),
    /// Nobody listens there.
    Refused(String),
    /// Another failure of the network.
    Network(String, io::Error),
    /// The certificate or the TLS handshake was refused.
    Tls(String, String),
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchHost(host) => write!(f, "no address for host {host}"),
            Self::Refused(to) => write!(f, "nothing listens on {to}"),
            Self::Network(to, error) => write!(f, "cannot connect to {to}: {error}"),
            Self::Tls(to, why) => write!(f, "no encrypted connection to {to}: {why}"),
        }
    }
}

impl std::error::Error for DialError {}

/// Opens a stream to the endpoint.
///
/// # Errors
/// [`DialError`]; with several addresses, that of the last one.
pub async fn open(endpoint: &Endpoint) -> Result<Box<dyn Stream>, DialError> {
    let socket = connect(endpoint).await?;
    // Frames are written whole, so waiting for more to send only costs time.
    let _ = socket.set_nodelay(true);
    if endpoint.secure { Ok(Box::new(encrypt(endpoint, socket).await?)) } else { Ok(Box::new(socket)) }
}

async fn connect(endpoint: &Endpoint) -> Result<TcpStream, DialError> {
    let no_such_host = || DialError::NoSuchHost(endpoint.host.clone());
    let found = async_net::resolve((endpoint.host.as_str(), endpoint.port)).await;
    let addresses: Vec<SocketAddr> = found.map_err(|_| no_such_host())?;
    let mut failure = no_such_host();
    for address in addresses.into_iter().take(ADDRESSES_MAX) {
        failure = match TcpStream::connect(address).await {
            Ok(socket) => return Ok(socket),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => DialError::Refused(endpoint.host_port()),
            Err(error) => DialError::Network(endpoint.host_port(), error),
        };
    }
    Err(failure)
}

async fn encrypt(endpoint: &Endpoint, socket: TcpStream) -> Result<TlsStream<TcpStream>, DialError> {
    Tls::default().wrap(socket, &endpoint.host).await.map_err(|error| {
        let why = match error {
            HttpError::Tls(why) => why,
            other => other.to_string(),
        };
        DialError::Tls(endpoint.host_port(), why)
    })
}
