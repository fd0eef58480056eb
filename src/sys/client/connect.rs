//! From a URL to an open stream: name look-up, TCP, TLS. Deadlines are the caller's, except that one
//! dead address may not use up the time of the next.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use async_net::TcpStream;
use smol::io::{AsyncRead, AsyncWrite};

use super::tls::Tls;
use crate::sys::Clock;
use crate::sys::http::HttpError;
use crate::sys::reach::Reach;
use crate::sys::url::Url;

/// Most addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;

/// A plain or an encrypted stream.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

/// Connects to the URL's host, or to `socket` in its place, until `deadline` on `clock`.
pub(super) async fn open(
    clock: &Rc<dyn Clock>,
    deadline: Duration,
    url: &Url,
    socket: Option<&Path>,
    reach: &Reach,
    tls: &Tls,
) -> Result<Box<dyn Stream>, HttpError> {
    if let Some(path) = socket {
        let stream = async_net::unix::UnixStream::connect(path).await;
        let stream = stream.map_err(|error| HttpError::Connect(format!("{}: {}", path.display(), reason(&error))))?;
        return Ok(Box::new(stream));
    }
    let socket = dial(clock, deadline, url, reach).await?;
    // Requests are written whole, so waiting for more to send only costs time.
    let _ = socket.set_nodelay(true);
    if !url.secure {
        return Ok(Box::new(socket));
    }
    Ok(Box::new(tls.wrap(socket, &url.host).await?))
}

async fn dial(clock: &Rc<dyn Clock>, deadline: Duration, url: &Url, reach: &Reach) -> Result<TcpStream, HttpError> {
    let mut addresses: Vec<SocketAddr> =
        async_net::resolve((url.host.as_str(), url.port)).await.map_err(|_| HttpError::NoSuchHost(url.host.clone()))?;
    let known = addresses.len();
    addresses.retain(|address| reach.allows(address.ip()));
    if addresses.is_empty() && known > 0 {
        return Err(HttpError::Forbidden(url.host.clone()));
    }
    addresses.truncate(ADDRESSES_MAX);
    let mut failure = HttpError::NoSuchHost(url.host.clone());
    for (index, address) in addresses.iter().enumerate() {
        let left = u32::try_from(addresses.len() - index).unwrap_or(1);
        let share = deadline.saturating_sub(clock.elapsed()) / left;
        failure = match clock.timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(socket)) => return Ok(socket),
            Ok(Err(error)) => HttpError::Connect(format!("{}: {}", url.host_port(), reason(&error))),
            Err(_) => HttpError::Timeout(HttpError::CONNECTING),
        };
    }
    Err(failure)
}

/// The usual refusals in words; the system's text for the rest.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::HostUnreachable => "host unreachable".to_owned(),
        io::ErrorKind::NetworkUnreachable => "network unreachable".to_owned(),
        io::ErrorKind::ConnectionReset => "connection reset".to_owned(),
        _ => error.to_string(),
    }
}
