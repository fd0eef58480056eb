//! Knocks at a listener of this machine: does it answer a WebSocket handshake?

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use async_net::TcpStream;
use smol::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Most of an answer that is looked at, bytes.
const ANSWER_BYTES: u64 = 2048;

/// Connects to `listener` and asks for a WebSocket, as a client does. The caller sets the deadline.
///
/// # Errors
/// What the system says; `InvalidData` for any other answer.
pub async fn answers(listener: SocketAddr) -> io::Result<()> {
    let address = SocketAddr::new(reachable(listener.ip()), listener.port());
    let socket = TcpStream::connect(address).await?;
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    ask(socket, &request, "101").await
}

/// Asks the gateway there whether it takes messages (`/readyz`). The caller sets the deadline.
///
/// # Errors
/// What the system says; `InvalidData` for any answer but 200.
pub async fn is_ready(host: &str, port: u16) -> io::Result<()> {
    let socket = TcpStream::connect((host, port)).await?;
    ask(socket, "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "200").await
}

/// Sends a request and looks for that status.
async fn ask(mut socket: TcpStream, request: &str, status: &str) -> io::Result<()> {
    socket.write_all(request.as_bytes()).await?;
    let (mut answer, mut some) = (Vec::new(), [0; 256]);
    let mut rest = socket.take(ANSWER_BYTES);
    // The head of the answer; what comes after it is for clients.
    while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
        let count = rest.read(&mut some).await?;
        if count == 0 {
            break;
        }
        answer.extend(some.iter().take(count));
    }
    if answer.starts_with(format!("HTTP/1.1 {status} ").as_bytes()) {
        return Ok(());
    }
    let first = String::from_utf8_lossy(&answer);
    let first = first.lines().next().unwrap_or_default();
    Err(io::Error::new(io::ErrorKind::InvalidData, format!("it answers {first:?}")))
}

/// An address behind which a listener on `ip` is: all addresses of the machine include loopback.
fn reachable(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a listener's answer is taken for.
    fn answered(answer: &'static [u8]) -> io::Result<()> {
        smol::block_on(async {
            let listener = async_net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            let address = listener.local_addr().unwrap();
            let answering = async {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut asked = [0; 512];
                assert!(socket.read(&mut asked).await.unwrap() > 0);
                socket.write_all(answer).await.unwrap();
                drop(socket);
                std::future::pending().await
            };
            smol::future::or(answers(address), answering).await
        })
    }

    #[test]
    fn only_an_upgrade_is_an_answer() {
        answered(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x00").unwrap();
        let busy = answered(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").unwrap_err();
        assert_eq!(busy.to_string(), "it answers \"HTTP/1.1 503 Service Unavailable\"");
        assert_eq!(answered(b"").unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_listener_on_all_addresses_is_reached_on_loopback() {
        assert_eq!(reachable("0.0.0.0".parse().unwrap()), Ipv4Addr::LOCALHOST);
        assert_eq!(reachable("::".parse().unwrap()), Ipv6Addr::LOCALHOST);
        assert_eq!(reachable("10.1.2.3".parse().unwrap()).to_string(), "10.1.2.3");
    }
}
