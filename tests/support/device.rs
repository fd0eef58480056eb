//! A device with an Ed25519 key, which signs its handshakes (connection.md 3.4).

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use ring::digest::{SHA256, digest};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

use super::{Client, TOKEN};

/// A device.
#[derive(Debug)]
pub struct Device {
    key: Ed25519KeyPair,
    /// SHA-256 of its public key.
    pub id: String,
}

/// What a device asks for when it connects.
#[derive(Debug, Clone)]
pub struct Ask {
    pub role: &'static str,
    pub scopes: Vec<&'static str>,
    pub token: String,
    pub client: (&'static str, &'static str),
    pub platform: &'static str,
    pub caps: Vec<&'static str>,
    pub commands: Vec<&'static str>,
    pub display_name: Option<&'static str>,
    /// Added to the gateway's clock, ms.
    pub skew_ms: i64,
    /// Whether the challenge is signed.
    pub signs_nonce: bool,
}

impl Ask {
    /// An operator with the shared token.
    pub fn operator(scopes: &[&'static str]) -> Self {
        Self {
            role: "operator",
            scopes: scopes.to_vec(),
            token: TOKEN.to_owned(),
            client: ("test", "test"),
            platform: "linux",
            caps: Vec::new(),
            commands: Vec::new(),
            display_name: None,
            skew_ms: 0,
            signs_nonce: true,
        }
    }

    /// A phone with the shared token.
    pub fn phone() -> Self {
        Self {
            role: "node",
            client: ("clawdbot-ios", "node"),
            platform: "ios 26.1",
            caps: vec!["camera", "location"],
            commands: vec!["camera.snap", "location.get"],
            display_name: Some("Example iPhone"),
            ..Self::operator(&[])
        }
    }

    /// What these params of a handshake ask for.
    pub fn of(params: &Value) -> Self {
        let text = |value: &Value| -> &'static str { String::leak(value.as_str().unwrap_or_default().to_owned()) };
        let texts = |value: &Value| value.as_array().into_iter().flatten().map(text).collect();
        Self {
            client: (text(&params["client"]["id"]), text(&params["client"]["mode"])),
            role: if params["role"].is_string() { text(&params["role"]) } else { "operator" },
            scopes: texts(&params["scopes"]),
            signs_nonce: params["device"]["nonce"].is_string(),
            ..Self::phone().token(text(&params["auth"]["token"]))
        }
    }

    /// The same with another token.
    pub fn token(self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self }
    }
}

/// How a connection from elsewhere looks: through a proxy that nobody vouches for.
pub const AWAY: &[(&str, &str)] = &[("X-Forwarded-For", "203.0.113.7")];

impl Device {
    /// The device with that seed.
    pub fn new(seed: u8) -> Self {
        let key = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let id = HEXLOWER.encode(digest(&SHA256, key.public_key().as_ref()).as_ref());
        Self { key, id }
    }

    /// The `device` of a handshake that was challenged with `nonce` at `ts`.
    pub fn proof(&self, ask: &Ask, nonce: Option<&str>, ts: u64) -> Value {
        let signed_at = ts.saturating_add_signed(ask.skew_ms);
        let mut fields = vec![
            if nonce.is_some() { "v2" } else { "v1" }.to_owned(),
            self.id.clone(),
            ask.client.0.to_owned(),
            ask.client.1.to_owned(),
            ask.role.to_owned(),
            ask.scopes.join(","),
            signed_at.to_string(),
            ask.token.clone(),
        ];
        fields.extend(nonce.map(str::to_owned));
        let signature = self.key.sign(fields.join("|").as_bytes());
        let mut proof = json!({
            "id": self.id,
            "publicKey": BASE64URL_NOPAD.encode(self.key.public_key().as_ref()),
            "signature": BASE64URL_NOPAD.encode(signature.as_ref()),
            "signedAt": signed_at,
        });
        if let Some(nonce) = nonce {
            proof["nonce"] = nonce.into();
        }
        proof
    }

    /// Connects natively; the answer is hello-ok, or the error with the close behind it.
    pub fn connect(&self, port: u16, headers: &[(&str, &str)], ask: &Ask) -> Result<Client, (Value, Value)> {
        let mut client = Client::open_from(port, "/", headers);
        let challenge = client.read();
        let (nonce, ts) =
            (challenge["payload"]["nonce"].as_str().unwrap(), challenge["payload"]["ts"].as_u64().unwrap());
        let proof = self.proof(ask, ask.signs_nonce.then_some(nonce), ts);
        client.send(&json!({"type": "req", "id": "hello", "method": "connect", "params": handshake(ask, &proof)}));
        client.greeted()
    }

    /// Connects natively with these params, but for the proof.
    pub fn connect_with(
        &self,
        port: u16,
        headers: &[(&str, &str)],
        ask: &Ask,
        mut params: Value,
    ) -> Result<Client, (Value, Value)> {
        let mut client = Client::open_from(port, "/", headers);
        let challenge = client.read();
        let (nonce, ts) =
            (challenge["payload"]["nonce"].as_str().unwrap(), challenge["payload"]["ts"].as_u64().unwrap());
        params["device"] = self.proof(ask, ask.signs_nonce.then_some(nonce), ts);
        client.send(&json!({"type": "req", "id": "hello", "method": "connect", "params": params}));
        client.greeted()
    }

    /// Connects with the guide's bare handshake, at a path where a challenge comes first.
    pub fn connect_guide(&self, port: u16, headers: &[(&str, &str)], ask: &Ask) -> Result<Client, (Value, Value)> {
        let mut client = Client::open_from(port, "/", headers);
        let challenge = client.read();
        let (nonce, ts) =
            (challenge["payload"]["nonce"].as_str().unwrap(), challenge["payload"]["ts"].as_u64().unwrap());
        let proof = self.proof(ask, ask.signs_nonce.then_some(nonce), ts);
        client.send(&handshake(ask, &proof));
        client.greeted()
    }
}

fn handshake(ask: &Ask, proof: &Value) -> Value {
    let mut params = json!({
        "minProtocol": 3, "maxProtocol": 3, "role": ask.role, "scopes": ask.scopes, "caps": ask.caps,
        "commands": ask.commands, "auth": {"token": ask.token}, "device": proof,
        "client": {"id": ask.client.0, "version": "1.0.0", "platform": ask.platform, "mode": ask.client.1},
    });
    if let Some(name) = ask.display_name {
        params["client"]["displayName"] = name.into();
    }
    params
}
