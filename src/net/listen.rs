//! Accepts connections, within bounds, until the gateway stops.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use async_net::unix::UnixListener;
use smol::io::AsyncWriteExt as _;

use super::doors::Doors;
use super::origin::{Rules, Source};
use super::socket::Socket;
use super::{http, ws};
use crate::gateway::Gateway;
use crate::rpc::Table;

/// Pause after a failed accept (out of descriptors), which would otherwise spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What every accepted connection needs. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Front {
    /// The gateway.
    pub gateway: Rc<Gateway>,
    /// All methods.
    pub table: Rc<Table>,
    /// How many may come in.
    pub doors: Doors,
    /// From where.
    pub rules: Rc<Rules>,
}

impl Front {
    /// Accepts until dropped.
    pub async fn listen(self, listener: async_net::TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, remote)) => self.accepted(Socket::tcp(stream), remote),
                Err(error) => self.not_accepted(&error).await,
            }
        }
    }

    /// Accepts from Tailscale Serve, which alone can reach `listener`, until dropped.
    pub async fn listen_for_serve(self, listener: UnixListener) {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => self.came(Socket::Unix(stream.into()), Source::Serve),
                Err(error) => self.not_accepted(&error).await,
            }
        }
    }

    async fn not_accepted(&self, error: &io::Error) {
        if !is_peers_fault(error) {
            log::warn!("accepting a connection failed: {error}");
            self.gateway.sys.clock.sleep(ACCEPT_PAUSE).await;
        }
    }

    /// Serves one accepted connection in the background, or turns it away.
    pub fn accepted(&self, socket: Socket, remote: SocketAddr) {
        self.came(socket, Source::Address(remote.ip()));
    }

    /// The same for one that came through this door.
    pub fn came(&self, socket: Socket, source: Source) {
        let front = self.clone();
        let tasks = &self.gateway.sys.tasks;
        let address = source.address();
        match self.doors.enter(address, self.rules.is_shared(address)) {
            Ok(place) => tasks.detach(async move { front.serve(socket, source, place).await }),
            Err(bound) => {
                log::warn!("{address}: turned away, gateway.limits.{bound} is reached");
                tasks.detach(async move { turn_away(&front, socket).await });
            }
        }
    }

    async fn serve(self, socket: Socket, source: Source, place: super::doors::Place) {
        let clock = &self.gateway.sys.clock;
        let limit = Duration::from_millis(self.gateway.limits.handshake_ms);
        let deadline = clock.elapsed() + limit;
        let gateway = Rc::clone(&self.gateway);
        let head = http::head(socket.clone(), source, Rc::clone(&self.rules), gateway, place, limit);
        let upgraded = Box::pin(head).await;
        match upgraded {
            // A task of its own, so that nothing of the HTTP side stays in memory with the connection.
            Some(upgraded) => {
                let serving = ws::serve(Rc::clone(&self.gateway), Rc::clone(&self.table), upgraded, deadline);
                self.gateway.sys.tasks.detach(serving);
            }
            None => socket.end_writing(),
        }
    }
}

async fn turn_away(front: &Front, mut socket: Socket) {
    let answer =
        b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let write = async {
        // Whether it is heard or not, the connection ends.
        let _ = socket.write_all(answer).await;
        socket.end_writing();
    };
    let _ = front.gateway.sys.clock.timeout(ACCEPT_PAUSE, write).await;
}

/// Whether the connection died before it was accepted.
fn is_peers_fault(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
}
