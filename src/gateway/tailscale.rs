//! Asks the Tailscale daemon on this machine whose address it is (its local API).
//!
//! Headers alone prove nothing: any program on this machine can send them (connection.md 3.3). Whatever
//! goes wrong here means "no identity", never an error, and never a way in.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::handshake::TailscaleClaim;
use crate::limits::{TAILNET_LOGIN_TTL_MS, TAILNET_LOGINS, TAILSCALE_ANSWER_BYTES};
use crate::sys::Sys;
use crate::sys::http::{HttpError, Limits, Method, Request};
use crate::sys::reach::Reach;

/// Where the daemon listens on Linux.
const SOCKET: &str = "/var/run/tailscale/tailscaled.sock";
/// The name under which its API answers.
const HOST: &str = "http://local-tailscaled.sock";
/// How long the daemon may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Logins that the daemon has confirmed lately.
#[derive(Debug, Default)]
pub struct Tailscale {
    /// By address in the tailnet: the monotonic time, and the login.
    known: RefCell<BTreeMap<String, (Duration, String)>>,
}

impl Tailscale {
    /// The login behind the claim, if the daemon names the same one for that address.
    pub async fn confirm(&self, sys: &Sys, claim: &TailscaleClaim) -> Option<String> {
        let login = match self.remembered(sys, &claim.address) {
            Some(login) => login,
            None => {
                let login = match sys.clock.timeout(PATIENCE, who_is(sys, &claim.address)).await {
                    Ok(Ok(login)) => login?,
                    Ok(Err(error)) => {
                        log::warn!("a Tailscale login could not be confirmed: {error}");
                        return None;
                    }
                    Err(_) => {
                        log::warn!("a Tailscale login could not be confirmed: the daemon does not answer");
                        return None;
                    }
                };
                self.remember(sys, &claim.address, &login);
                login
            }
        };
        let is_same = login.eq_ignore_ascii_case(&claim.login);
        if !is_same {
            log::warn!("{}: its headers name another Tailscale login than the daemon", claim.address);
        }
        is_same.then_some(login)
    }

    fn remembered(&self, sys: &Sys, address: &str) -> Option<String> {
        let known = self.known.borrow();
        let (at, login) = known.get(address)?;
        let age = sys.clock.elapsed().saturating_sub(*at);
        (age < Duration::from_millis(TAILNET_LOGIN_TTL_MS)).then(|| login.clone())
    }

    fn remember(&self, sys: &Sys, address: &str, login: &str) {
        let mut known = self.known.borrow_mut();
        if known.len() >= TAILNET_LOGINS && !known.contains_key(address) {
            let oldest = known.iter().min_by_key(|(_, (at, _))| *at).map(|(address, _)| address.clone());
            oldest.and_then(|oldest| known.remove(&oldest));
        }
        known.insert(address.to_owned(), (sys.clock.elapsed(), login.to_owned()));
    }
}

/// The daemon's word; `None` for an address that it doesn't know or that belongs to no person.
async fn who_is(sys: &Sys, address: &str) -> Result<Option<String>, HttpError> {
    let address = if address.contains(':') { format!("[{address}]:0") } else { format!("{address}:0") };
    let mut response = sys
        .http
        .send(Request {
            method: Method::Get,
            url: format!("{HOST}/localapi/v0/whois?addr={address}"),
            socket: Some(SOCKET.into()),
            reach: Reach::Any,
            headers: Vec::new(),
            body: Vec::new(),
            limits: Limits {
                connect: PATIENCE,
                first_byte: PATIENCE,
                idle: PATIENCE,
                body_bytes: TAILSCALE_ANSWER_BYTES,
            },
        })
        .await?;
    if response.status != 200 {
        return Ok(None);
    }
    let mut text = Vec::new();
    while let Some(piece) = response.body.next().await? {
        text.extend(piece);
    }
    let answer: Value = serde_json::from_slice(&text).map_err(|error| HttpError::Protocol(error.to_string()))?;
    // A tagged machine is nobody's.
    if answer.pointer("/Node/Tags").and_then(Value::as_array).is_some_and(|tags| !tags.is_empty()) {
        return Ok(None);
    }
    Ok(answer.pointer("/UserProfile/LoginName").and_then(Value::as_str).map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::bench::Bench;
    use crate::sys::sim::ScriptedHttp;
    use crate::sys::sim::http::Script;
    use std::cell::Cell;
    use std::rc::Rc;

    fn claim(login: &str) -> TailscaleClaim {
        TailscaleClaim { address: "100.64.0.9".into(), login: login.into() }
    }

    #[test]
    fn only_the_login_that_the_daemon_names_is_confirmed_and_it_is_asked_once_a_minute() {
        let bench = Bench::new(1);
        let asked = Rc::new(Cell::new(0));
        let count = Rc::clone(&asked);
        let answer = r#"{"Node":{"Name":"phone"},"UserProfile":{"LoginName":"Owner@example.com"}}"#;
        let http = ScriptedHttp::new(&bench.world.clock, move |request| {
            assert_eq!(request.url, "http://local-tailscaled.sock/localapi/v0/whois?addr=100.64.0.9:0");
            assert!(request.socket.is_some());
            count.set(count.get() + 1);
            Script::answer(200, answer)
        });
        let sys = Sys { http: Rc::new(http), ..bench.sys.clone() };
        let tailscale = Rc::new(Tailscale::default());
        let confirm = |login: &'static str| {
            let (sys, tailscale) = (sys.clone(), Rc::clone(&tailscale));
            bench.run(async move { tailscale.confirm(&sys, &claim(login)).await })
        };
        assert_eq!(confirm("owner@example.com").as_deref(), Some("Owner@example.com"));
        assert_eq!(confirm("somebody@example.com"), None);
        assert_eq!(asked.get(), 1);
        bench.world.run_for(Duration::from_millis(TAILNET_LOGIN_TTL_MS));
        assert!(confirm("owner@example.com").is_some());
        assert_eq!(asked.get(), 2);
    }

    #[test]
    fn without_the_daemon_nobody_has_an_identity() {
        let bench = Bench::new(1);
        let sys = bench.sys.clone();
        assert_eq!(bench.run(async move { Tailscale::default().confirm(&sys, &claim("a@b.c")).await }), None);
    }
}
