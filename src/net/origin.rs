//! Where a request comes from, and whether its `Host` and `Origin` are ours (connection.md 1.1, 3.3;
//! the original checks neither, so any web page could reach a gateway on loopback).

use std::net::{IpAddr, Ipv4Addr};

use hyper::HeaderMap;
use hyper::header::{HOST, HeaderName, ORIGIN};

use crate::config::network::Network;
use crate::gateway::handshake::{Origin, TailscaleClaim};

/// Which door a connection came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A port, from this address.
    Address(IpAddr),
    /// The entrance that only Tailscale Serve can reach.
    Serve,
}

impl Source {
    /// The address that the connection counts for at the door. Serve runs on this machine.
    #[must_use]
    pub fn address(self) -> IpAddr {
        match self {
            Self::Address(address) => address,
            Self::Serve => Ipv4Addr::LOCALHOST.into(),
        }
    }
}

/// What the configuration says about addresses and names.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// Proxies whose forwarding headers are believed.
    pub trusted_proxies: Vec<Network>,
    /// Further web origins that may open a socket, such as `https://panel.example`.
    pub allowed_origins: Vec<String>,
    /// Further host names under which the gateway is reached.
    pub allowed_hosts: Vec<String>,
    /// The machine's host name.
    pub host_name: String,
    /// Whether Tailscale Serve has an entrance of its own: its headers mean nothing elsewhere then.
    pub has_private_entrance: bool,
}

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const TAILSCALE_LOGIN: HeaderName = HeaderName::from_static("tailscale-user-login");

/// A request that is refused for where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreign {
    /// No or several `Host` headers.
    NoHost,
    /// A name that isn't ours: DNS rebinding.
    Host,
    /// A web page that isn't ours.
    Origin,
}

impl Foreign {
    /// What to do about it.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::NoHost => "exactly one Host header is needed",
            Self::Host => "this host name is not allowed; add it to gateway.allowedHosts",
            Self::Origin => "this web origin is not allowed; add it to gateway.allowedOrigins",
        }
    }
}

impl Rules {
    /// Checks `Host` and, if there is one, `Origin`.
    ///
    /// # Errors
    /// Which of them is foreign.
    pub fn admit(&self, headers: &HeaderMap) -> Result<(), Foreign> {
        let mut hosts = headers.get_all(HOST).iter();
        let (Some(host), None) = (hosts.next().and_then(|host| host.to_str().ok()), hosts.next()) else {
            return Err(Foreign::NoHost);
        };
        let host = host.to_ascii_lowercase();
        if !self.is_our_host(host_name(&host)) {
            return Err(Foreign::Host);
        }
        for origin in headers.get_all(ORIGIN) {
            let origin = origin.to_str().unwrap_or_default().to_ascii_lowercase();
            if !self.is_our_origin(&origin, &host) {
                return Err(Foreign::Origin);
            }
        }
        Ok(())
    }

    /// A name that only this machine answers to, or an address: a rebinding attack needs a name of
    /// the attacker's.
    fn is_our_host(&self, name: &str) -> bool {
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        let own = self.host_name.to_ascii_lowercase();
        bare.parse::<IpAddr>().is_ok()
            || name == "localhost"
            || name.ends_with(".localhost")
            || name.ends_with(".ts.net")
            || (!own.is_empty() && (name == own || name.strip_suffix(".local") == Some(&own)))
            || self.allowed_hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(name))
    }

    fn is_our_origin(&self, origin: &str, host: &str) -> bool {
        let same = ["http://", "https://"].iter().any(|scheme| origin.strip_prefix(scheme) == Some(host));
        same || self.allowed_origins.iter().any(|allowed| allowed.trim_end_matches('/').eq_ignore_ascii_case(origin))
    }

    /// Whether many clients may stand behind an address: this machine's own, or a trusted proxy's.
    #[must_use]
    pub fn is_shared(&self, remote: IpAddr) -> bool {
        remote.to_canonical().is_loopback() || self.is_trusted(remote)
    }

    fn is_trusted(&self, remote: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(remote))
    }

    /// Works out the address that counts (connection.md 3.3).
    #[must_use]
    pub fn origin_of(&self, source: Source, headers: &HeaderMap) -> Origin {
        let Source::Address(remote) = source else { return from_serve(headers) };
        let remote = remote.to_canonical();
        let forwarded = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let forwarding = headers.contains_key(&FORWARDED_FOR) || headers.contains_key(&REAL_IP);
        let trusted = self.is_trusted(remote);
        // Each proxy adds at the right; what stands left of the first stranger is his own word.
        let named = || {
            let list = forwarded(&FORWARDED_FOR).into_iter().flat_map(|list| list.rsplit(','));
            let mut client = None;
            for entry in list {
                client = address(entry);
                if !client.is_some_and(|client| self.is_trusted(client)) {
                    return client;
                }
            }
            client.or_else(|| forwarded(&REAL_IP).and_then(address))
        };
        let told = if trusted && forwarding { named() } else { None };
        let client = told.unwrap_or(remote);
        // A trusted proxy that names nobody stands for somebody unknown.
        let is_unknown = trusted && forwarding && told.is_none();
        let untrusted_proxy = forwarding && !trusted;
        Origin {
            address: client.to_string(),
            is_local: client.is_loopback()
                && !untrusted_proxy
                && !is_unknown
                && (trusted || !headers.contains_key(&FORWARDED_HOST)),
            untrusted_proxy,
            is_browser: headers.contains_key(ORIGIN),
            tailscale: if self.has_private_entrance { None } else { tailscale_claim(remote, headers) },
        }
    }
}

/// What came through the private entrance was sent by Tailscale Serve, for somebody elsewhere: it is never local, and
/// the address is the one that Serve names. Who it is, the daemon still has to say.
fn from_serve(headers: &HeaderMap) -> Origin {
    let named = headers.get(&FORWARDED_FOR).and_then(|value| value.to_str().ok()).and_then(address);
    Origin {
        address: named.unwrap_or_else(|| Source::Serve.address()).to_string(),
        is_local: false,
        untrusted_proxy: named.is_none(),
        is_browser: headers.contains_key(ORIGIN),
        tailscale: tailscale_claim(Source::Serve.address(), headers),
    }
}

/// A host header without its port.
fn host_name(host: &str) -> &str {
    if host.starts_with('[') {
        return host.split_inclusive(']').next().unwrap_or(host);
    }
    host.split(':').next().unwrap_or(host)
}

/// What Tailscale Serve says: it runs on this machine and sets all of these headers (connection.md 3.3).
fn tailscale_claim(remote: IpAddr, headers: &HeaderMap) -> Option<TailscaleClaim> {
    let one = |name: &HeaderName| {
        let mut values = headers.get_all(name).iter();
        let value = values.next()?.to_str().ok()?.trim();
        (values.next().is_none() && !value.is_empty()).then_some(value)
    };
    if !remote.is_loopback() {
        return None;
    }
    one(&FORWARDED_HOST)?;
    one(&FORWARDED_PROTO)?;
    let address = one(&FORWARDED_FOR).and_then(address)?;
    Some(TailscaleClaim { address: address.to_string(), login: one(&TAILSCALE_LOGIN)?.to_owned() })
}

/// An address as proxies write it: with brackets, with a port.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let parsed = text.parse::<IpAddr>().ok();
    parsed
        .or_else(|| text.parse::<std::net::SocketAddr>().ok().map(|socket| socket.ip()))
        .or_else(|| text.trim_start_matches('[').trim_end_matches(']').parse().ok())
        .map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    fn rules() -> Rules {
        Rules {
            trusted_proxies: vec![Network::parse("10.0.0.0/8").unwrap()],
            allowed_origins: vec!["https://panel.example".into()],
            allowed_hosts: vec!["hub.example".into()],
            host_name: "pi".into(),
            has_private_entrance: false,
        }
    }

    #[test]
    fn only_names_of_this_machine_are_ours() {
        for host in [
            "localhost:18789",
            "127.0.0.1",
            "[::1]:18789",
            "192.168.1.5:18789",
            "pi",
            "PI.local:1",
            "pi.tail1.ts.net",
            "hub.example",
        ] {
            assert_eq!(rules().admit(&headers(&[("host", host)])), Ok(()), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "pi.evil.example", ""] {
            assert_eq!(rules().admit(&headers(&[("host", host)])), Err(Foreign::Host), "{host}");
        }
        assert_eq!(rules().admit(&headers(&[])), Err(Foreign::NoHost));
        assert_eq!(rules().admit(&headers(&[("host", "pi"), ("host", "evil.example")])), Err(Foreign::NoHost));
    }

    #[test]
    fn a_web_page_must_be_our_own_or_allowed() {
        let admit = |origin| rules().admit(&headers(&[("host", "127.0.0.1:18789"), ("origin", origin)]));
        assert_eq!(admit("http://127.0.0.1:18789"), Ok(()));
        assert_eq!(admit("https://panel.example"), Ok(()));
        for origin in
            ["http://127.0.0.1:3000", "https://evil.example", "null", "", "http://127.0.0.1:18789.evil.example"]
        {
            assert_eq!(admit(origin), Err(Foreign::Origin), "{origin}");
        }
    }

    #[test]
    fn forwarding_headers_count_only_from_trusted_proxies() {
        let of = |remote: &str, pairs: &[(&'static str, &str)]| {
            let origin = rules().origin_of(Source::Address(remote.parse().unwrap()), &headers(pairs));
            (origin.address, origin.is_local, origin.untrusted_proxy)
        };
        assert_eq!(of("127.0.0.1", &[]), ("127.0.0.1".into(), true, false));
        assert_eq!(of("::ffff:127.0.0.1", &[]), ("127.0.0.1".into(), true, false));
        assert_eq!(of("127.0.0.1", &[("x-forwarded-for", "203.0.113.7")]), ("127.0.0.1".into(), false, true));
        assert_eq!(
            of("10.1.2.3", &[("x-forwarded-for", "203.0.113.7, 10.0.0.9")]),
            ("203.0.113.7".into(), false, false)
        );
        assert_eq!(of("10.1.2.3", &[("x-forwarded-for", "[2001:db8::1]:4711")]), ("2001:db8::1".into(), false, false));
        assert_eq!(of("10.1.2.3", &[("x-real-ip", "127.0.0.5")]), ("127.0.0.5".into(), true, false));
        assert_eq!(of("10.1.2.3", &[("x-forwarded-for", "rubbish")]), ("10.1.2.3".into(), false, false));
    }

    #[test]
    fn with_a_private_entrance_tailscale_headers_count_there_and_nowhere_else() {
        let sent = headers(&[
            ("x-forwarded-for", "100.64.0.9"),
            ("x-forwarded-host", "pi.tail1.ts.net"),
            ("x-forwarded-proto", "https"),
            ("tailscale-user-login", "owner@example.com"),
        ]);
        let loopback = Source::Address("127.0.0.1".parse().unwrap());
        let claim = TailscaleClaim { address: "100.64.0.9".into(), login: "owner@example.com".into() };
        assert_eq!(rules().origin_of(loopback, &sent).tailscale, Some(claim.clone()));
        let private = Rules { has_private_entrance: true, ..rules() };
        assert_eq!(private.origin_of(loopback, &sent).tailscale, None);
        let served = private.origin_of(Source::Serve, &sent);
        assert_eq!((served.address.as_str(), served.tailscale), ("100.64.0.9", Some(claim)));
        for headers in [sent, headers(&[]), headers(&[("x-forwarded-for", "127.0.0.1")])] {
            assert!(!private.origin_of(Source::Serve, &headers).is_local, "{headers:?}");
        }
    }
}
