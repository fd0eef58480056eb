//! A connection before its hello-ok: a machine fed with its first frame.
//!
//! The order of checks is that of connection.md 2.5. The machine touches no socket: it is given what
//! is known about the connection and answers with a verdict, which `net/ws.rs` carries out.

use serde_json::Value;

use super::auth::Auth;
use crate::config::network;
use crate::error::{Code, Error};
use crate::wire::handshake::{Connect, Grant, Role};
use crate::wire::{DIALECTS, Dialect};

/// What the transport knows about a connection.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The address that counts: the socket's, or the one that a trusted proxy names.
    pub address: String,
    /// Whether the connection comes from this machine without a proxy in between.
    pub is_local: bool,
    /// Whether forwarding headers came from an address that isn't a trusted proxy.
    pub untrusted_proxy: bool,
}

/// What becomes of a first frame.
#[derive(Debug)]
pub enum Verdict {
    /// Come in.
    Admit {
        /// How the protocol looks on this connection.
        dialect: &'static dyn Dialect,
        /// What was asked.
        connect: Box<Connect>,
        /// What is granted.
        grant: Grant,
    },
    /// Go away: the frame to send first, the close code and reason.
    Refuse {
        /// The response that says why, where the reference sends one.
        reply: Option<Vec<u8>>,
        /// Close code.
        code: u16,
        /// Close reason.
        reason: String,
    },
}

/// Scopes of an operator who asks for none, natively (connection.md 2.2).
pub const DEFAULT_SCOPE: &str = "operator.admin";
/// All scopes, as a guide client is told it has them.
pub const ALL_SCOPES: [&str; 5] =
    ["operator.admin", "operator.approvals", "operator.pairing", "operator.read", "operator.write"];

/// Judges a first frame. `now_ms` is monotonic.
#[must_use]
pub fn judge(text: &str, origin: &Origin, auth: &Auth, now_ms: u64) -> Verdict {
    let close = |code, reason: &str| Verdict::Refuse { reply: None, code, reason: reason.to_owned() };
    let Ok(first) = serde_json::from_str::<Value>(text) else {
        return close(1000, "");
    };
    let Value::Object(first) = first else {
        return close(1008, "invalid request frame");
    };
    let opened = DIALECTS.iter().find_map(|dialect| Some((*dialect, dialect.open(&first)?)));
    let Some((dialect, opened)) = opened else {
        return close(1008, "invalid request frame");
    };
    let connect = match opened {
        Ok(connect) => connect,
        Err(refused) => {
            let reply = refused.reply.map(|(id, error)| dialect.reply(&id, Err(&error)));
            return Verdict::Refuse { reply, code: refused.code, reason: refused.reason };
        }
    };
    match check(dialect.protocol(), &connect, origin, auth, now_ms) {
        Ok(role) => {
            let grant = Grant { role, scopes: scopes(&connect, role) };
            Verdict::Admit { dialect, connect: Box::new(connect), grant }
        }
        Err((error, code)) => {
            Verdict::Refuse { reply: Some(dialect.reply(&connect.id, Err(&error))), code, reason: error.message }
        }
    }
}

/// Rows 5 to 16.
fn check(protocol: u32, connect: &Connect, origin: &Origin, auth: &Auth, now_ms: u64) -> Result<Role, (Error, u16)> {
    if connect.max_protocol < protocol || connect.min_protocol > protocol {
        let details = serde_json::json!({"expectedProtocol": protocol});
        return Err((Error::invalid("protocol mismatch").with_details(details), 1002));
    }
    let Ok(role) = connect.role else {
        return Err((Error::invalid("invalid role"), 1008));
    };
    if connect.device_expected && connect.device.is_none() && connect.credentials.is_empty() {
        return Err((Error::new(Code::NotPaired, "device identity required"), 1008));
    }
    auth.check(&connect.client, &connect.credentials, &party(&origin.address), now_ms)
        .map_err(|error| (error, 1008))?;
    Ok(role)
}

/// What failures are counted by.
fn party(address: &str) -> String {
    address.parse().map_or_else(|_| address.to_owned(), |address| network::party(address).to_string())
}

/// With the shared secret, a client gets what it asks for; asking for nothing means everything.
fn scopes(connect: &Connect, role: Role) -> Vec<String> {
    if role != Role::Operator {
        return Vec::new();
    }
    if !connect.scopes.is_empty() {
        return connect.scopes.clone();
    }
    if connect.device_expected {
        return vec![DEFAULT_SCOPE.to_owned()];
    }
    ALL_SCOPES.iter().map(|&scope| scope.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::auth::Required;
    use super::*;
    use crate::secret::Secret;
    use serde_json::json;

    fn verdict(first: &Value) -> Verdict {
        verdict_of_text(&first.to_string())
    }

    fn verdict_of_text(text: &str) -> Verdict {
        let auth = Auth::new(Required::Token(Secret::new("secret-token")), 10);
        let origin = Origin { address: "127.0.0.1".into(), is_local: true, untrusted_proxy: false };
        judge(text, &origin, &auth, 0)
    }

    fn refusal(verdict: Verdict) -> (Option<Value>, u16, String) {
        match verdict {
            Verdict::Refuse { reply, code, reason } => {
                (reply.map(|reply| serde_json::from_slice(&reply).unwrap()), code, reason)
            }
            Verdict::Admit { .. } => panic!("admitted"),
        }
    }

    fn native(changes: &Value) -> Value {
        let mut params = json!({
            "minProtocol": 3, "maxProtocol": 3, "auth": {"token": "secret-token"},
            "client": {"id": "cli", "version": "1", "platform": "linux", "mode": "cli"},
        });
        for (key, value) in changes.as_object().unwrap() {
            params[key] = value.clone();
        }
        json!({"type": "req", "id": "c1", "method": "connect", "params": params})
    }

    fn guide(changes: &Value) -> Value {
        let mut first = json!({
            "minProtocol": 1, "maxProtocol": 3, "client": {"id": "my-app", "mode": "operator"},
            "auth": {"token": "secret-token"},
        });
        for (key, value) in changes.as_object().unwrap() {
            first[key] = value.clone();
        }
        first
    }

    #[test]
    fn both_dialects_are_told_apart_by_the_first_frame() {
        for (first, name, scopes) in [(native(&json!({})), "native", 1), (guide(&json!({})), "guide", 5)] {
            let Verdict::Admit { dialect, grant, .. } = verdict(&first) else { panic!("refused: {first}") };
            assert_eq!((dialect.name(), grant.scopes.len()), (name, scopes));
        }
    }

    #[test]
    fn refusals_come_in_the_documented_order() {
        // Each row also breaks all later rules, which must not show.
        let broken = |changes: Value| {
            let mut all = json!({"role": "x", "minProtocol": 9, "maxProtocol": 9, "auth": {"token": "wrong"}});
            for (key, value) in changes.as_object().unwrap() {
                all[key] = value.clone();
            }
            refusal(verdict(&native(&all)))
        };
        let (reply, code, reason) = broken(json!({"zz": 1}));
        assert_eq!((code, reason.as_str()), (1008, "invalid connect params: at root: unexpected property 'zz'"));
        assert_eq!(reply.unwrap()["id"], "c1");
        let (reply, code, reason) = broken(json!({}));
        assert_eq!((code, reason.as_str()), (1002, "protocol mismatch"));
        assert_eq!(reply.unwrap()["error"]["details"], json!({"expectedProtocol": 3}));
        let (_, code, reason) = broken(json!({"minProtocol": 1, "maxProtocol": 4}));
        assert_eq!((code, reason.as_str()), (1008, "invalid role"));
        let (reply, ..) = broken(json!({"minProtocol": 1, "maxProtocol": 4, "role": "operator", "auth": {}}));
        assert_eq!(reply.unwrap()["error"]["code"], "NOT_PAIRED");
        let (reply, _, reason) = broken(json!({"minProtocol": 1, "maxProtocol": 4, "role": "node"}));
        assert!(reason.starts_with("unauthorized: gateway token mismatch"), "{reason}");
        assert_eq!(reply.unwrap()["error"]["retryable"], false);
    }

    #[test]
    fn frames_that_are_no_handshake_are_closed_without_an_answer() {
        assert_eq!(refusal(verdict_of_text("hello")), (None, 1000, String::new()));
        for text in ["[]", "{}", r#"{"type":"res","id":"1","ok":true}"#, r#"{"type":"req","id":"1"}"#] {
            assert_eq!(refusal(verdict_of_text(text)), (None, 1008, "invalid request frame".into()), "{text}");
        }
        let (reply, _, reason) = refusal(verdict(&json!({"type": "req", "id": "1", "method": "health"})));
        assert_eq!(reason, "invalid handshake: first request must be connect");
        assert_eq!(reply.unwrap()["ok"], false);
    }

    #[test]
    fn a_guide_client_without_credentials_hears_what_is_missing() {
        let (reply, code, _) = refusal(verdict(&guide(&json!({"auth": {}}))));
        assert_eq!(code, 1008);
        let error = &reply.unwrap()["error"];
        assert_eq!(error["message"], "unauthorized: gateway token missing (provide gateway auth token)");
    }
}
