//! Sockets that systemd opened and hands over (sd_listen_fds(3)), so that a restart refuses nobody: who connects
//! meanwhile waits in the socket's queue.
//!
//! They are taken once, at the start, before any other program is run: no child inherits them, and the variables
//! that name them are gone afterwards.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::process;

use async_net::TcpListener;
use async_net::unix::UnixListener;
use listenfd::ListenFd;

use crate::limits::HANDED_SOCKETS;

/// Name of the socket that only Tailscale Serve can reach.
const SERVE: &str = "serve";

/// What was handed over.
#[derive(Debug, Default)]
pub struct Handed {
    /// Where anybody may connect who reaches the address.
    pub tcp: Vec<(TcpListener, SocketAddr)>,
    /// The private entrance for Tailscale Serve.
    pub serve: Option<UnixListener>,
}

/// Why the sockets can't be used.
#[derive(Debug)]
pub enum Unusable {
    /// More than a gateway has use for.
    TooMany(usize),
    /// A socket that isn't what its name says, and what the system says about it.
    Socket(String, io::Error),
    /// A Unix socket without the name that says what it is for.
    Nameless(String),
    /// Two of a kind of which there is one.
    Twice,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany(count) => {
                write!(f, "systemd hands over {count} sockets; at most {HANDED_SOCKETS} can be used")
            }
            Self::Socket(name, error) => write!(
                f,
                "systemd hands over a socket named `{name}` that can't be used: {error}; \
                 expected ListenStream= with an address and a port, or a path for the name `{SERVE}`"
            ),
            Self::Nameless(name) => write!(
                f,
                "systemd hands over a Unix socket named `{name}`; the gateway has use for one named `{SERVE}`, for \
                 Tailscale Serve: set FileDescriptorName={SERVE}"
            ),
            Self::Twice => write!(f, "systemd hands over two sockets named `{SERVE}`; there can be one"),
        }
    }
}

impl std::error::Error for Unusable {}

impl Handed {
    /// Takes what was handed to this process; nothing when that was another one, or nobody.
    ///
    /// # Errors
    /// [`Unusable`].
    pub fn take(env: &BTreeMap<String, String>) -> Result<Self, Unusable> {
        let own = process::id().to_string();
        let count = env.get("LISTEN_FDS").and_then(|count| count.trim().parse::<usize>().ok()).unwrap_or(0);
        if count == 0 || env.get("LISTEN_PID").map(|pid| pid.trim()) != Some(own.as_str()) {
            return Ok(Self::default());
        }
        if count > HANDED_SOCKETS {
            return Err(Unusable::TooMany(count));
        }
        let mut names = env.get("LISTEN_FDNAMES").map(String::as_str).unwrap_or_default().split(':');
        let mut found = ListenFd::from_env();
        let mut handed = Self::default();
        for index in 0..count {
            handed.add(&mut found, index, names.next().unwrap_or("unknown"))?;
        }
        Ok(handed)
    }

    fn add(&mut self, found: &mut ListenFd, index: usize, name: &str) -> Result<(), Unusable> {
        let unusable = |error| Unusable::Socket(name.to_owned(), error);
        if name == SERVE {
            let Some(listener) = found.take_unix_listener(index).map_err(unusable)? else { return Ok(()) };
            let listener = UnixListener::try_from(listener).map_err(unusable)?;
            return if self.serve.replace(listener).is_some() { Err(Unusable::Twice) } else { Ok(()) };
        }
        match found.take_tcp_listener(index) {
            Ok(None) => Ok(()),
            Ok(Some(listener)) => {
                let listener = TcpListener::try_from(listener).map_err(unusable)?;
                let address = listener.local_addr().map_err(unusable)?;
                self.tcp.push((listener, address));
                Ok(())
            }
            Err(error) => match found.take_unix_listener(index) {
                Ok(Some(_)) => Err(Unusable::Nameless(name.to_owned())),
                Ok(None) | Err(_) => Err(unusable(error)),
            },
        }
    }
}
