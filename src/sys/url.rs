//! An absolute `http://` or `https://` URL, taken apart. Nothing is decoded or normalised.

use std::net::IpAddr;

use crate::limits::URL_BYTES;

/// The parts that a client needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// Whether it is `https`.
    pub secure: bool,
    /// Host name or address; an IPv6 address without its brackets.
    pub host: String,
    /// Port, the scheme's own when the URL names none.
    pub port: u16,
    /// Path and query, from the first slash; `/` when there is none.
    pub path: String,
}

impl Url {
    /// Takes a URL apart.
    ///
    /// # Errors
    /// One line that says what is wrong with it. User names, fragments, spaces and characters
    /// outside ASCII are refused.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > URL_BYTES {
            return Err(format!("longer than {URL_BYTES} bytes"));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) || text.contains('#') {
            return Err(format!("{:?} holds a character that a URL cannot have", shown(text)));
        }
        let (scheme, rest) = text.split_once("://").ok_or_else(|| format!("{} has no http://", shown(text)))?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(format!("{scheme}:// is neither http:// nor https://")),
        };
        let (authority, path) = match rest.find(['/', '?']) {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        if authority.contains('@') {
            return Err("a user name in a URL is not supported; use apiKey or headers".to_owned());
        }
        let (host, port) = host_and_port(authority)?;
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { secure, host, port: port.unwrap_or(if secure { 443 } else { 80 }), path })
    }

    /// The value of the `host` header: the port only when it isn't the scheme's own.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.port == if self.secure { 443 } else { 80 } { self.bracketed() } else { self.host_port() }
    }

    /// Host and port for people, always with the port.
    #[must_use]
    pub fn host_port(&self) -> String {
        format!("{}:{}", self.bracketed(), self.port)
    }

    /// Whether the host is this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost") || self.host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
    }

    fn bracketed(&self) -> String {
        if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() }
    }
}

fn host_and_port(authority: &str) -> Result<(String, Option<u16>), String> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or("an IPv6 address lacks its closing bracket")?;
            if host.parse::<std::net::Ipv6Addr>().is_err() {
                return Err(format!("{host} is not an IPv6 address"));
            }
            match after.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if after.is_empty() => (host, None),
                None => return Err(format!("unexpected {after} after the address")),
            }
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':');
    if host.is_empty() || !host.bytes().all(plain) {
        return Err(format!("{host:?} is not a host name"));
    }
    let port = match port {
        None => None,
        Some(text) => match text.parse::<u16>() {
            Ok(port) if port > 0 => Some(port),
            _ => return Err(format!("{text:?} is not a port")),
        },
    };
    Ok((host.to_owned(), port))
}

/// The start of a URL, for a message.
fn shown(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (bool, String, u16, String) {
        let url = Url::parse(text).unwrap();
        (url.secure, url.host, url.port, url.path)
    }

    #[test]
    fn urls_are_taken_apart() {
        assert_eq!(parts("https://api.x.com/v1/a?b=c"), (true, "api.x.com".into(), 443, "/v1/a?b=c".into()));
        assert_eq!(parts("HTTP://pi:8080"), (false, "pi".into(), 8080, "/".into()));
        assert_eq!(parts("http://[::1]:11434/api"), (false, "::1".into(), 11434, "/api".into()));
        assert_eq!(parts("http://x?y"), (false, "x".into(), 80, "/?y".into()));
    }

    #[test]
    fn what_is_not_a_url_is_refused_with_a_reason() {
        for bad in [
            "",
            "api.x.com",
            "ftp://x",
            "http://",
            "http://a b",
            "http://x:99999",
            "http://x:0",
            "http://[::1",
            "http://[x]",
            "http://[::1]x",
            "http://me:pw@x/",
            "http://x/#f",
            "http://ü.de",
            "http://x/\r\nhost: y",
            "http://a:b:1",
        ] {
            let why = Url::parse(bad).unwrap_err();
            assert!(!why.is_empty() && !why.contains("pw"), "{bad}: {why}");
        }
    }

    #[test]
    fn loopback_and_host_headers() {
        for (text, loopback, authority) in [
            ("http://127.0.0.1:80", true, "127.0.0.1"),
            ("http://127.9.9.9:81", true, "127.9.9.9:81"),
            ("http://[::1]:81", true, "[::1]:81"),
            ("http://LocalHost", true, "LocalHost"),
            ("https://x.com:443", false, "x.com"),
            ("http://192.168.1.5", false, "192.168.1.5"),
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!((url.is_loopback(), url.authority().as_str()), (loopback, authority), "{text}");
        }
    }
}
