//! A device with a key, which signs its handshake (connection.md 3.4).

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use ring::digest::{SHA256, digest};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

use super::client::{Client, Who};
use super::home::Home;

/// What a connection was sent to sign.
pub struct Challenge {
    /// Its nonce.
    pub nonce: String,
    /// The gateway's time.
    pub at_ms: u64,
}

/// A client that has been challenged and has not answered yet.
pub fn challenged(home: &Home, who: Who) -> (Client, Challenge) {
    let client = home.connect(Who { introduces_itself: false, ..who });
    home.settle();
    let sent = client.events("connect.challenge")[0].clone();
    let nonce = sent["nonce"].as_str().unwrap().to_owned();
    (client, Challenge { nonce, at_ms: sent["ts"].as_u64().unwrap() })
}

/// Its answer: an operator who wants to read.
pub fn handshake(challenge: &Challenge, signed_at: u64, token: Option<&str>) -> Value {
    let key = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let id = HEXLOWER.encode(digest(&SHA256, key.public_key().as_ref()).as_ref());
    let (nonce, shown) = (&challenge.nonce, token.unwrap_or_default());
    let text = format!("v2|{id}|test|test|operator|operator.read|{signed_at}|{shown}|{nonce}");
    let encoded = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
    json!({"type": "req", "id": "connect", "method": "connect", "params": {
        "minProtocol": 3, "maxProtocol": 3, "role": "operator", "scopes": ["operator.read"],
        "auth": token.map_or_else(|| json!({}), |token| json!({"token": token})),
        "client": {"id": "test", "version": "1", "platform": "linux", "mode": "test"},
        "device": {
            "id": id, "publicKey": encoded(key.public_key().as_ref()), "signedAt": signed_at, "nonce": nonce,
            "signature": encoded(key.sign(text.as_bytes()).as_ref()),
        },
    }})
}
