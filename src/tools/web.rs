//! Pages of the internet: fetched over HTTP, within a size and a time, never from inside the home unless the owner says
//! so. The text goes to the model as what it is: written by strangers.

use std::time::Duration;

use serde_json::Value;

use super::{Cx, Group, Problem, Risk, Standing, Tool, html, outside};
use crate::config::network::Network;
use crate::limits::{FETCH_BYTES, TOOL_TEXT_BYTES};
use crate::runs::tools::ToolOutput;
use crate::sys::http::{HttpError, Limits, Method, Request};
use crate::sys::reach::Reach;
use crate::sys::url::Url;
use crate::wire::shape::{int_within, text_within};

/// Rows.
pub(super) const TOOLS: &[Tool] = &[Tool::new(
    "web_fetch",
    Group::Web,
    Risk::World,
    "Fetches a page of the internet and shows its text.",
    tool!(fetch),
)
.within(Duration::from_secs(30))
.told_as(|arguments| arguments.get("url").and_then(Value::as_str).unwrap_or_default().to_owned())
.listed_by(standing)
.each_anew()];

/// Most redirections.
const REDIRECTS: usize = 3;
/// Characters that are shown when nobody says.
const CHARS: u64 = 20_000;

crate::wire! {
    /// Which page.
    pub struct FetchParams {
        /// Begins with http:// or https://.
        url: String = text_within(1, 2000),
        /// Most characters of text; 20,000 when left out.
        max_chars: Option<u64> = int_within(100, 50_000),
    }
}

async fn fetch(cx: Cx, params: FetchParams) -> Result<ToolOutput, Problem> {
    let mut url = params.url.trim().to_owned();
    let first_host = host_of(&url)?;
    let networks = cx.gateway.config.get().tools.fetch.private.iter().filter_map(|text| Network::parse(text)).collect();
    let reach = Reach::Public(networks);
    for _ in 0..=REDIRECTS {
        let request = Request {
            method: Method::Get,
            url: url.clone(),
            socket: None,
            reach: reach.clone(),
            headers: vec![("accept".to_owned(), "text/html, text/*, application/json, */*;q=0.1".to_owned())],
            body: Vec::new(),
            limits: Limits {
                connect: Duration::from_secs(8),
                first_byte: Duration::from_secs(12),
                idle: Duration::from_secs(8),
                body_bytes: FETCH_BYTES,
            },
        };
        let mut response = cx.gateway.sys.http.send(request).await.map_err(|error| error.to_string())?;
        match response.status {
            200..=299 => {
                let kind = response.header("content-type").unwrap_or("text/html").to_lowercase();
                let is_html = kind.contains("html");
                if !(is_html || kind.starts_with("text/") || kind.contains("json") || kind.contains("xml")) {
                    return Err(Problem(format!("It is {kind}, which is no text.")));
                }
                let mut bytes = Vec::new();
                loop {
                    match response.body.next().await {
                        Ok(Some(piece)) => bytes.extend(piece),
                        Ok(None) => break,
                        // A long page's beginning is worth something.
                        Err(HttpError::TooLarge(_)) => break,
                        Err(error) => return Err(Problem(error.to_string())),
                    }
                }
                let text = String::from_utf8_lossy(&bytes);
                let text = if is_html { html::text(&text) } else { text.into_owned() };
                let most = usize::try_from(params.max_chars.unwrap_or(CHARS)).unwrap_or(usize::MAX);
                let shown: String = text.chars().take(most).collect();
                return Ok(ToolOutput::text(outside(&cx, &url, &shown, TOOL_TEXT_BYTES)));
            }
            301 | 302 | 303 | 307 | 308 => {
                let to = response.header("location").unwrap_or_default().to_owned();
                url = joined(&url, &to).ok_or("It leads nowhere.")?;
                // What somebody allowed is that host: another one is a new question.
                let host = host_of(&url)?;
                if host != first_host && !same_site(&host, &first_host) {
                    return Err(Problem(format!("It leads to {url}. Fetch that if you want it.")));
                }
            }
            status => return Err(Problem(format!("The server says {status}."))),
        }
    }
    Err(Problem(format!("It leads on more than {REDIRECTS} times.")))
}

fn host_of(url: &str) -> Result<String, Problem> {
    Url::parse(url).map(|url| url.host.to_lowercase()).map_err(Problem)
}

/// `example.org` and `www.example.org`.
fn same_site(one: &str, other: &str) -> bool {
    let bare = |host: &str| host.strip_prefix("www.").unwrap_or(host).to_owned();
    bare(one) == bare(other)
}

/// Where a redirection leads: an absolute address, or a path on the same host.
fn joined(base: &str, to: &str) -> Option<String> {
    let to = to.split('#').next().unwrap_or_default();
    if to.contains("://") {
        return Some(to.to_owned());
    }
    let url = Url::parse(base).ok()?;
    let scheme = if url.secure { "https" } else { "http" };
    if let Some(host) = to.strip_prefix("//") {
        return Some(format!("{scheme}://{host}"));
    }
    let path = if to.starts_with('/') {
        to.to_owned()
    } else {
        let path = url.path.split('?').next().unwrap_or("/");
        let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
        format!("{dir}/{to}")
    };
    Some(format!("{scheme}://{}{path}", url.authority()))
}

/// Whether the page's host is one that the owner named.
fn standing(cx: &Cx, arguments: &Value) -> Standing {
    let host = arguments.get("url").and_then(Value::as_str).and_then(|url| host_of(url.trim()).ok());
    let config = cx.gateway.config.get();
    let is_listed = host.is_some_and(|host| {
        config.tools.fetch.hosts.iter().any(|entry| match entry.strip_prefix('.') {
            Some(domain) => host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.')),
            None => host == *entry,
        })
    });
    if is_listed { Standing::Listed } else { Standing::Unknown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirection_is_read_as_browsers_do() {
        for (to, expected) in [
            ("/b?x=1#top", "https://a.example/b?x=1"),
            ("c", "https://a.example/dir/c"),
            ("//b.example/c", "https://b.example/c"),
            ("http://b.example/", "http://b.example/"),
        ] {
            assert_eq!(joined("https://a.example/dir/page?q", to).as_deref(), Some(expected), "{to}");
        }
        assert!(same_site("www.example.org", "example.org") && !same_site("example.org.evil", "example.org"));
    }
}
