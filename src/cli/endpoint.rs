//! A WebSocket URL, taken apart. Never resolves a name.

use std::net::IpAddr;

use hyper::Uri;

/// Where a gateway is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Whether the connection is encrypted (`wss://`).
    pub secure: bool,
    /// Host name or address; an IPv6 address without its brackets.
    pub host: String,
    /// Port; 80 or 443 when the URL names none.
    pub port: u16,
    /// The whole URL, `ws://` or `wss://`.
    pub url: String,
}

impl Endpoint {
    /// Takes a URL apart. `http://` and `https://` are read as `ws://` and `wss://`, because that is
    /// what a browser's address bar gives.
    ///
    /// # Errors
    /// One line that says what is wrong with it. User names are refused, and never shown.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.trim().split_once("://").ok_or("a URL starts with ws:// or wss://")?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "ws" | "http" => false,
            "wss" | "https" => true,
            other => return Err(format!("{other}:// is neither ws:// nor wss://")),
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        if authority.contains('@') {
            return Err("a user name in a URL is not supported; use --token or --password".to_owned());
        }
        let url = format!("{}://{rest}", if secure { "wss" } else { "ws" });
        let uri: Uri = url.parse().map_err(|error| format!("{url:?} is not a URL: {error}"))?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| format!("{url:?} has no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let has_port = authority.rsplit_once(':').is_some_and(|(_, after)| !after.contains(']'));
        let port = match uri.port_u16() {
            Some(0) => return Err("0 is not a port".to_owned()),
            Some(port) => port,
            None if has_port => return Err(format!("{authority:?} has no valid port")),
            None if secure => 443,
            None => 80,
        };
        Ok(Self { secure, host, port, url })
    }

    /// The gateway of this machine.
    #[must_use]
    pub fn local(port: u16) -> Self {
        Self { secure: false, host: "127.0.0.1".to_owned(), port, url: format!("ws://127.0.0.1:{port}/") }
    }

    /// Host and port, for people.
    #[must_use]
    pub fn host_port(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Whether the host is this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost") || self.host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        for (text, secure, host_port, loopback) in [
            ("ws://127.0.0.1:18789/", false, "127.0.0.1:18789", true),
            ("ws://pi.local", false, "pi.local:80", false),
            ("wss://pi.example.ts.net/v1/connect?x=1", true, "pi.example.ts.net:443", false),
            ("HTTPS://pi:8443", true, "pi:8443", false),
            ("http://localhost:1", false, "localhost:1", true),
            ("ws://[::1]:18789", false, "[::1]:18789", true),
            ("ws://[fe80::1]/", false, "[fe80::1]:80", false),
        ] {
            let endpoint = Endpoint::parse(text).unwrap();
            assert_eq!(
                (endpoint.secure, endpoint.host_port().as_str(), endpoint.is_loopback()),
                (secure, host_port, loopback),
                "{text}"
            );
        }
        assert_eq!(Endpoint::parse("http://x:1/").unwrap().url, "ws://x:1/");
        assert_eq!(Endpoint::parse("ws://127.0.0.1:5/").unwrap(), Endpoint::local(5));
    }

    #[test]
    fn what_is_not_a_url_is_refused_with_a_reason_that_shows_no_secret() {
        for bad in
            ["", "pi:18789", "ftp://x", "ws://", "ws://x:0", "ws://x:99999", "ws://x:y", "ws://me:pw@x/", "ws://a b"]
        {
            let why = Endpoint::parse(bad).unwrap_err();
            assert!(!why.is_empty() && !why.contains("pw"), "{bad}: {why}");
        }
    }
}
