//! The sockets that the gateway listens on: those that systemd hands over, and the configured ones beside them.

use std::io;
use std::net::SocketAddr;

use super::Failed;
use crate::config::network::Bind;

/// A socket with its address. Cloning shares it.
pub(super) type Listener = (async_net::TcpListener, SocketAddr);

/// Why an address can't be listened on.
pub(super) struct NoSocket {
    pub(super) kind: io::ErrorKind,
    /// Whether a handed socket is in the way, which only the owner can change.
    pub(super) is_handed: bool,
    /// For people.
    pub(super) problem: String,
}

/// Opens the addresses, but for those that are `open` already. The first one has to work; loopback's second one,
/// IPv6, is a bonus. What was `handed` over is listened on in any case, and what it covers needs no socket of ours.
pub(super) async fn listen(
    bind: Bind,
    port: u16,
    open: &[Listener],
    handed: &[Listener],
) -> Result<Vec<Listener>, NoSocket> {
    let mut listeners = handed.to_vec();
    for address in bind.addresses() {
        // Where the system chose the port, every address gets the same one.
        let port = if port == 0 { listeners.first().map_or(0, |(_, first)| first.port()) } else { port };
        let socket = SocketAddr::new(address, port);
        if handed.iter().any(|(_, handed)| covers(*handed, socket)) {
            continue;
        }
        let same = |(_, local): &&Listener| local.ip() == address && (port == 0 || local.port() == port);
        if let Some((listener, local)) = open.iter().find(same) {
            listeners.push((listener.clone(), *local));
            continue;
        }
        let opened = match async_net::TcpListener::bind(socket).await {
            Ok(listener) => listener.local_addr().map(|local| (listener, local)),
            Err(error) => Err(error),
        };
        match opened {
            Ok(listener) => listeners.push(listener),
            Err(error) if listeners.len() == handed.len() => {
                let in_the_way = handed.iter().map(|(_, local)| *local).find(|local| local.port() == socket.port());
                let problem = problem(socket, &error, in_the_way);
                return Err(NoSocket { kind: error.kind(), is_handed: in_the_way.is_some(), problem });
            }
            Err(error) => log::warn!("not listening on {socket} too: {error}"),
        }
    }
    Ok(listeners)
}

/// Whether who connects to `wanted` reaches `handed`.
fn covers(handed: SocketAddr, wanted: SocketAddr) -> bool {
    let is_same_kind = handed.is_ipv4() == wanted.is_ipv4();
    handed.port() == wanted.port() && (handed.ip() == wanted.ip() || (is_same_kind && handed.ip().is_unspecified()))
}

fn problem(socket: SocketAddr, error: &io::Error, in_the_way: Option<SocketAddr>) -> String {
    if let Some(local) = in_the_way {
        return format!(
            "cannot listen on {socket}: systemd holds {local} for the gateway; put an empty ListenStream= and \
             ListenStream={socket} into `systemctl edit barnacle.socket`, or do without it: `systemctl disable --now barnacle.socket`"
        );
    }
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => "; is another program on that port? choose another with --port",
        io::ErrorKind::AddrNotAvailable => "; this machine doesn't have that address (gateway.bind)",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need privileges, choose another with --port",
        _ => "",
    };
    format!("cannot listen on {socket}: {error}{hint}")
}

/// Closes the old sockets and opens others; when that fails, the old addresses again.
pub(super) async fn move_to(
    bind: Bind,
    port: u16,
    old: Vec<Listener>,
    handed: &[Listener],
) -> Result<Vec<Listener>, Failed> {
    let is_handed = |address: &SocketAddr| handed.iter().any(|(_, local)| local == address);
    let before: Vec<_> = old.iter().map(|(_, address)| *address).collect();
    drop(old);
    let refused = match listen(bind, port, &[], handed).await {
        Ok(listeners) => return Ok(listeners),
        Err(refused) => refused,
    };
    log::error!("{}; the gateway goes on at {}", refused.problem, shown(&before));
    let mut listeners = handed.to_vec();
    for address in before.into_iter().filter(|address| !is_handed(address)) {
        match async_net::TcpListener::bind(address).await {
            Ok(listener) => listeners.push((listener, address)),
            Err(error) if listeners.is_empty() => {
                return Err(Failed::Other(format!("cannot listen on {address} again: {error}")));
            }
            Err(error) => log::warn!("not listening on {address} too: {error}"),
        }
    }
    Ok(listeners)
}

/// The addresses, for people.
pub(super) fn shown(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(|address| format!("ws://{address}")).collect::<Vec<_>>().join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_handed_socket_covers_its_own_address_and_one_for_all_addresses_covers_each() {
        let covers = |handed: &str, wanted: &str| covers(address(handed), address(wanted));
        assert!(covers("127.0.0.1:1", "127.0.0.1:1") && covers("0.0.0.0:1", "127.0.0.1:1"));
        assert!(covers("[::]:1", "[::1]:1") && !covers("0.0.0.0:1", "[::1]:1"));
        assert!(!covers("127.0.0.1:1", "0.0.0.0:1") && !covers("127.0.0.1:1", "127.0.0.1:2"));
    }

    #[test]
    fn handed_sockets_are_listened_on_and_one_in_the_way_is_named() {
        smol::block_on(async {
            let ours = async_net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            let local = ours.local_addr().unwrap();
            let handed = [(ours, local)];
            let listeners = listen(Bind::Address(local.ip()), local.port(), &[], &handed).await.ok().unwrap();
            assert_eq!(shown(&[listeners[0].1]), format!("ws://{local}"));
            assert_eq!(listeners.len(), 1);
            let refused = listen(Bind::Lan, local.port(), &[], &handed).await.err().unwrap();
            assert!(refused.problem.contains("systemctl edit barnacle.socket"), "{}", refused.problem);
            let other = listen(Bind::Loopback, 0, &[], &handed).await.ok().unwrap();
            assert_eq!(other[0].1, local);
        });
    }
}
