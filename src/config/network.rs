//! Addresses, networks, origins and host names as the configuration writes them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use crate::sys::reach::Network;

/// The addresses that one party usually has: an IPv4 address, or the /64 network of an IPv6 one. What is
/// counted by address is counted by this.
#[must_use]
pub fn party(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))
        }
        address => address,
    }
}

/// Where the gateway listens (connection.md 1.1). `auto` is `Loopback`: it never opens up by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bind {
    /// 127.0.0.1, and ::1 where the board has it.
    Loopback,
    /// Every IPv4 address.
    Lan,
    /// One address.
    Address(IpAddr),
}

impl Bind {
    /// Whether only programs of this machine can reach it.
    #[must_use]
    pub fn is_loopback(self) -> bool {
        match self {
            Self::Loopback => true,
            Self::Lan => false,
            Self::Address(address) => address.to_canonical().is_loopback(),
        }
    }

    /// The addresses to listen on. The first one has to work; a failure of another is a warning.
    #[must_use]
    pub fn addresses(self) -> Vec<IpAddr> {
        match self {
            Self::Loopback => vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)],
            Self::Lan => vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED)],
            Self::Address(address) => vec![address],
        }
    }
}

/// A web origin in the form that browsers send: lower case, no path, no default port.
pub(super) fn origin(text: &str) -> Option<String> {
    let lower = text.trim().to_ascii_lowercase();
    let lower = lower.strip_suffix('/').unwrap_or(&lower);
    let (scheme, rest) = lower.split_once("://")?;
    let scheme_fits = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '+' | '-' | '.'));
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (rest, None),
    };
    let port = match port {
        None => None,
        Some(port) => Some(port.parse::<u16>().ok().filter(|port| *port > 0)?),
    };
    let default = match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    };
    let port = port.filter(|port| Some(*port) != default).map_or_else(String::new, |port| format!(":{port}"));
    (scheme_fits && is_host(host)).then(|| format!("{scheme}://{host}{port}"))
}

/// A host name in lower case, without port.
pub(super) fn host(text: &str) -> Option<String> {
    let lower = text.trim().to_ascii_lowercase();
    is_host(&lower).then_some(lower)
}

fn is_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[') {
        return inner.strip_suffix(']').is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    }
    (1..=253).contains(&host.len())
        && host.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.' | '_'))
}

/// A base URL without its trailing slash: http or https, a host, no user, query or fragment.
pub fn base_url(text: &str) -> Option<&str> {
    let text = text.trim().trim_end_matches('/');
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"))?;
    let authority = rest.split('/').next().unwrap_or_default();
    let fits = !text.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '?' | '#' | '\\'));
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let port_fits = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    (fits && port_fits && is_host(&host.to_ascii_lowercase())).then_some(text)
}

/// Whether a base URL without TLS stays on this machine or in its own network.
pub(super) fn is_near(base_url: &str) -> bool {
    let rest = base_url.split_once("://").map_or(base_url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or_default();
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => host,
        _ => authority,
    };
    match host.trim_matches(['[', ']']).parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V4(address)) => {
            // 100.64.0.0/10 is what Tailscale hands out.
            let [a, b, ..] = address.octets();
            address.is_loopback() || address.is_private() || address.is_link_local() || (a == 100 && b & 0xc0 == 64)
        }
        Ok(IpAddr::V6(address)) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
        Err(_) => {
            !host.contains('.') || host.ends_with(".local") || host.ends_with(".lan") || host.ends_with(".ts.net")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_and_hosts_have_one_form() {
        for (text, expected) in [
            ("HTTPS://Pi.Local:443", Some("https://pi.local")),
            ("http://[::1]:8080/", Some("http://[::1]:8080")),
            ("tauri://localhost", Some("tauri://localhost")),
            ("https://a/b", None),
            ("pi.local", None),
            ("*", None),
            ("null", None),
            ("https://a:0", None),
        ] {
            assert_eq!(origin(text).as_deref(), expected, "{text}");
        }
        assert_eq!(host("Pi.Local").as_deref(), Some("pi.local"));
        assert_eq!(host("pi:80"), None);
        assert_eq!(host("*"), None);
    }

    #[test]
    fn base_urls_hold_a_host_and_no_user_or_query() {
        assert_eq!(base_url("https://api.example/v1/"), Some("https://api.example/v1"));
        for wrong in
            ["api.example", "ftp://a", "https://", "https://u:p@a", "https://a?x=1", "http://a b", "http://a:x"]
        {
            assert_eq!(base_url(wrong), None, "{wrong}");
        }
        for near in ["http://127.0.0.1:1", "http://pi/v1", "http://box.local", "http://[::1]:3", "http://100.100.1.2"] {
            assert!(is_near(near), "{near}");
        }
        assert!(!is_near("http://api.example.org/v1"));
        assert!(!is_near("http://8.8.8.8"));
    }
}
