//! Who may come in: the shared token or password, and a limit on wrong ones.
//!
//! A device's own token and a Tailscale identity are further ways in; [`super::handshake`] knows them.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::error::Error;
use crate::limits::{AUTH_ADDRESSES, AUTH_LOCKOUT_MS, AUTH_WINDOW_MS};
use crate::secret::Secret;
use crate::wire::handshake::{Client, Credentials};

/// What a client must show.
#[derive(Debug, Clone)]
pub enum Required {
    /// The shared token.
    Token(Secret),
    /// The shared password.
    Password(Secret),
}

/// The guard at the door.
#[derive(Debug)]
pub struct Auth {
    required: RefCell<Required>,
    failures_max: u64,
    /// By address: failures in the current window.
    failures: RefCell<BTreeMap<String, Failures>>,
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    since_ms: u64,
    count: u64,
    locked_until_ms: u64,
}

impl Auth {
    /// A guard that lets in who shows `required`, and `failures_max` wrong tries a minute from one address.
    #[must_use]
    pub fn new(required: Required, failures_max: u64) -> Self {
        Self { required: RefCell::new(required), failures_max, failures: RefCell::new(BTreeMap::new()) }
    }

    /// From now on this is required; whether it is something else than before.
    pub fn require(&self, required: Required) -> bool {
        let old = self.required.replace(required);
        match (&old, &*self.required.borrow()) {
            (Required::Token(old), Required::Token(new)) | (Required::Password(old), Required::Password(new)) => {
                !old.matches(new.expose())
            }
            _ => true,
        }
    }

    /// Checks what a client from `address` shows. `now_ms` is monotonic.
    ///
    /// An address that failed too often is refused for five minutes even with the right secret, or
    /// else the refusal would not slow a guesser down. Loopback counts like any other address: behind
    /// a proxy on this machine everybody is loopback.
    ///
    /// `otherwise` is another way in that is tried when the shared secret doesn't fit: what it gives is
    /// given back. `None` means that the shared secret was right.
    ///
    /// # Errors
    /// The refusal with the text of connection.md 3.2.
    pub fn check<T>(
        &self,
        client: &Client,
        shown: &Credentials,
        address: &str,
        now_ms: u64,
        otherwise: impl FnOnce() -> Option<T>,
    ) -> Result<Option<T>, Error> {
        if let Some(wait_ms) = self.locked_for(address, now_ms) {
            return Err(Error::invalid("unauthorized: too many failed attempts, try again later").retry_after(wait_ms));
        }
        // A success clears nothing: many may stand behind one address, and one of them may guess.
        let Some(reason) = self.refusal(shown) else { return Ok(None) };
        if let Some(granted) = otherwise() {
            return Ok(Some(granted));
        }
        // Showing nothing is not a guess.
        if !shown.is_empty() {
            self.count_failure(address, now_ms);
        }
        let mut error = Error::invalid(format!("unauthorized: {} ({})", reason.text(), reason.hint(client)));
        if let Some(wait_ms) = self.locked_for(address, now_ms) {
            error = error.retry_after(wait_ms);
        }
        Err(error)
    }

    /// Counts what a caller from `address` shows for another secret than the shared one: `None` when it shows
    /// nothing, else whether it is right. A right one doesn't forgive earlier wrong ones, or whoever has one
    /// secret could guess the other without end.
    ///
    /// # Errors
    /// It isn't let in; the time until it may try again when it tried too often, milliseconds.
    pub fn judge(&self, address: &str, now_ms: u64, shown: Option<bool>) -> Result<(), Option<u64>> {
        if let Some(wait_ms) = self.locked_for(address, now_ms) {
            return Err(Some(wait_ms));
        }
        match shown {
            Some(true) => return Ok(()),
            Some(false) => self.count_failure(address, now_ms),
            None => {}
        }
        Err(self.locked_for(address, now_ms))
    }

    fn refusal(&self, shown: &Credentials) -> Option<Reason> {
        match (&*self.required.borrow(), &shown.token, &shown.password) {
            (Required::Token(_), None, _) => Some(Reason::TokenMissing),
            (Required::Token(token), Some(shown), _) => {
                (!token.matches(shown.expose())).then_some(Reason::TokenMismatch)
            }
            (Required::Password(_), _, None) => Some(Reason::PasswordMissing),
            (Required::Password(password), _, Some(shown)) => {
                (!password.matches(shown.expose())).then_some(Reason::PasswordMismatch)
            }
        }
    }

    fn locked_for(&self, address: &str, now_ms: u64) -> Option<u64> {
        let failures = self.failures.borrow();
        let locked_until = failures.get(address)?.locked_until_ms;
        (locked_until > now_ms).then(|| locked_until - now_ms)
    }

    fn count_failure(&self, address: &str, now_ms: u64) {
        let mut failures = self.failures.borrow_mut();
        if failures.len() >= AUTH_ADDRESSES && !failures.contains_key(address) {
            let oldest = failures.iter().min_by_key(|(_, entry)| entry.locked_until_ms.max(entry.since_ms));
            if let Some(oldest) = oldest.map(|(address, _)| address.clone()) {
                failures.remove(&oldest);
            }
        }
        let entry =
            failures.entry(address.to_owned()).or_insert(Failures { since_ms: now_ms, count: 0, locked_until_ms: 0 });
        if now_ms.saturating_sub(entry.since_ms) > AUTH_WINDOW_MS {
            *entry = Failures { since_ms: now_ms, count: 0, locked_until_ms: 0 };
        }
        entry.count += 1;
        if entry.count >= self.failures_max {
            log::warn!("{address}: {} wrong credentials, refused for {} s", entry.count, AUTH_LOCKOUT_MS / 1000);
            entry.locked_until_ms = now_ms + AUTH_LOCKOUT_MS;
        }
    }
}

/// Why credentials are refused (connection.md 3.2).
#[derive(Debug, Clone, Copy)]
enum Reason {
    TokenMissing,
    TokenMismatch,
    PasswordMissing,
    PasswordMismatch,
}

impl Reason {
    fn text(self) -> &'static str {
        match self {
            Self::TokenMissing => "gateway token missing",
            Self::TokenMismatch => "gateway token mismatch",
            Self::PasswordMissing => "gateway password missing",
            Self::PasswordMismatch => "gateway password mismatch",
        }
    }

    fn hint(self, client: &Client) -> &'static str {
        let token = matches!(self, Self::TokenMissing | Self::TokenMismatch);
        let web = client.id == "clawdbot-control-ui" || client.id == "webchat-ui" || client.mode == "webchat";
        match (client.mode.as_str(), web, token) {
            ("cli", _, true) => "set gateway.remote.token to match gateway.auth.token",
            ("cli", _, false) => "set gateway.remote.password to match gateway.auth.password",
            (_, true, true) => "open a tokenized dashboard URL or paste token in Control UI settings",
            (_, true, false) => "enter the password in Control UI settings",
            (_, false, true) => "provide gateway auth token",
            (_, false, false) => "provide gateway auth password",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(mode: &str) -> Client {
        Client {
            id: "x".into(),
            display_name: None,
            version: "1".into(),
            platform: "p".into(),
            device_family: None,
            model_identifier: None,
            mode: mode.into(),
            instance_id: None,
        }
    }

    fn token(text: &str) -> Credentials {
        Credentials::new(Some(text.into()), None)
    }

    fn check(auth: &Auth, mode: &str, shown: &Credentials, address: &str, now_ms: u64) -> Result<Option<()>, Error> {
        auth.check(&client(mode), shown, address, now_ms, || None)
    }

    fn guard() -> Auth {
        Auth::new(Required::Token(Secret::new("right")), 3)
    }

    #[test]
    fn texts_are_those_that_clients_know() {
        let auth = guard();
        let text = |mode, shown: &Credentials| check(&auth, mode, shown, "a", 0).unwrap_err().message;
        assert_eq!(text("ui", &token("")), "unauthorized: gateway token missing (provide gateway auth token)");
        assert_eq!(
            text("cli", &token("wrong")),
            "unauthorized: gateway token mismatch (set gateway.remote.token to match gateway.auth.token)"
        );
        assert!(check(&auth, "ui", &token("right"), "a", 0).is_ok());
    }

    #[test]
    fn too_many_wrong_tries_lock_the_address_and_no_other() {
        let auth = guard();
        for _ in 0..2 {
            assert_eq!(check(&auth, "ui", &token("wrong"), "a", 0).unwrap_err().retry_after_ms, None);
        }
        let third = check(&auth, "ui", &token("wrong"), "a", 1000).unwrap_err();
        assert_eq!(third.retry_after_ms, Some(AUTH_LOCKOUT_MS));
        let right = check(&auth, "ui", &token("right"), "a", 2000).unwrap_err();
        assert_eq!(right.retry_after_ms, Some(AUTH_LOCKOUT_MS - 1000));
        assert!(check(&auth, "ui", &token("right"), "b", 2000).is_ok());
        assert!(check(&auth, "ui", &token("right"), "a", 1000 + AUTH_LOCKOUT_MS).is_ok());
    }

    #[test]
    fn the_table_of_addresses_is_bounded() {
        let auth = guard();
        for index in 0..AUTH_ADDRESSES as u64 + 50 {
            let _ = check(&auth, "ui", &token("wrong"), &format!("10.0.0.{index}"), index);
        }
        assert_eq!(auth.failures.borrow().len(), AUTH_ADDRESSES);
    }
}
