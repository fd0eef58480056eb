//! Who a device is: an Ed25519 key that signed this connection (connection.md 3.4). Pure.

use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD};
use ring::digest::{SHA256, digest};
use ring::signature::{ED25519, UnparsedPublicKey};

use crate::wire::handshake::{Connect, Device, Role};

/// Length of an Ed25519 public key, bytes.
const KEY_BYTES: usize = 32;
/// The head of such a key in a PEM `PUBLIC KEY` text (RFC 8410 section 4).
const SPKI_HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// A device whose signature was right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// SHA-256 of the key, lower-case hex.
    pub device_id: String,
    /// The key, base64url without padding, whatever form was sent.
    pub public_key: String,
}

/// What is wrong with a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// The id isn't the hash of the key.
    Mismatch,
    /// The signature is not of this handshake, or of another key.
    Signature,
}

/// The 32 bytes of a key, if `device.id` is its hash.
///
/// # Errors
/// [`Flaw::Mismatch`], also for what is no key at all.
pub fn key_of(device: &Device) -> Result<Vec<u8>, Flaw> {
    let key = raw_key(&device.public_key).ok_or(Flaw::Mismatch)?;
    let id = data_encoding::HEXLOWER.encode(digest(&SHA256, &key).as_ref());
    if id == device.id { Ok(key) } else { Err(Flaw::Mismatch) }
}

/// Checks the signature over the handshake. With a nonce the payload is version 2, else version 1.
///
/// # Errors
/// [`Flaw::Signature`].
pub fn prove(device: &Device, key: &[u8], connect: &Connect, role: Role) -> Result<Proven, Flaw> {
    let signature = base64(&device.signature).ok_or(Flaw::Signature)?;
    let payload = payload(device, connect, role);
    UnparsedPublicKey::new(&ED25519, key).verify(payload.as_bytes(), &signature).map_err(|_| Flaw::Signature)?;
    Ok(Proven { device_id: device.id.clone(), public_key: BASE64URL_NOPAD.encode(key) })
}

/// The text that is signed: fields joined with `|`, no escaping (connection.md 3.4).
fn payload(device: &Device, connect: &Connect, role: Role) -> String {
    let token = connect.credentials.token.as_ref().map_or("", |token| token.expose());
    let scopes = connect.scopes.join(",");
    let signed_at = device.signed_at.to_string();
    let nonce = device.nonce.as_deref().map(str::trim).filter(|nonce| !nonce.is_empty());
    let client = &connect.client;
    let mut fields = vec![
        if nonce.is_some() { "v2" } else { "v1" },
        &device.id,
        &client.id,
        &client.mode,
        role.name(),
        &scopes,
        &signed_at,
        token,
    ];
    fields.extend(nonce);
    fields.join("|")
}

fn raw_key(text: &str) -> Option<Vec<u8>> {
    let key = if text.contains("BEGIN") {
        let body: String = text.lines().filter(|line| !line.starts_with("-----")).map(str::trim).collect();
        base64(&body)?.strip_prefix(SPKI_HEAD.as_slice())?.to_vec()
    } else {
        base64(text)?
    };
    (key.len() == KEY_BYTES).then_some(key)
}

/// Base64 of either alphabet, with or without padding.
fn base64(text: &str) -> Option<Vec<u8>> {
    let bare = text.trim().trim_end_matches('=').as_bytes();
    BASE64URL_NOPAD.decode(bare).or_else(|_| BASE64_NOPAD.decode(bare)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::handshake::{Client, Credentials, Offer};
    use serde_json::Value;

    /// Name, key seed, id and the handshake's fields, signature, of the reference's vectors
    /// (connection.md 3.4); all were accepted by a running original.
    const VECTORS: &str = include_str!("identity_vectors.json");

    fn vectors() -> Vec<(Connect, Device)> {
        let vectors: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
        vectors.iter().map(of_vector).collect()
    }

    fn of_vector(vector: &Value) -> (Connect, Device) {
        let text = |name: &str| vector[name].as_str().unwrap().to_owned();
        let payload = text("payload");
        let parts: Vec<&str> = payload.split('|').collect();
        let device = Device {
            id: text("deviceId"),
            public_key: text("publicKey"),
            signature: text("signature"),
            signed_at: parts[6].parse().unwrap(),
            nonce: parts.get(8).map(|nonce| (*nonce).to_owned()),
        };
        let connect = Connect {
            id: Value::Null,
            min_protocol: 3,
            max_protocol: 3,
            client: Client {
                id: parts[2].into(),
                display_name: None,
                version: "1".into(),
                platform: "p".into(),
                device_family: None,
                model_identifier: None,
                mode: parts[3].into(),
                instance_id: None,
            },
            role: Ok(Role::parse(parts[4]).unwrap()),
            scopes: parts[5].split(',').filter(|scope| !scope.is_empty()).map(str::to_owned).collect(),
            offer: Offer::default(),
            device: None,
            credentials: Credentials::new(Some(parts[7].into()), None),
            device_expected: true,
        };
        (connect, device)
    }

    fn check(connect: &Connect, device: &Device) -> Result<Proven, Flaw> {
        prove(device, &key_of(device)?, connect, connect.role.clone().unwrap())
    }

    #[test]
    fn the_references_vectors_are_accepted() {
        let vectors = vectors();
        assert_eq!(vectors.len(), 5);
        for (connect, device) in vectors {
            assert_eq!(check(&connect, &device).unwrap().device_id, device.id);
        }
    }

    #[test]
    fn every_signed_field_counts() {
        for (connect, device) in vectors() {
            let wrong = |change: &dyn Fn(&mut Connect, &mut Device)| {
                let (mut connect, mut device) = (connect.clone(), device.clone());
                change(&mut connect, &mut device);
                assert_eq!(check(&connect, &device), Err(Flaw::Signature));
            };
            wrong(&|connect, _| connect.client.id.push('x'));
            wrong(&|connect, _| connect.client.mode.push('x'));
            wrong(&|connect, _| {
                connect.role = Ok(if connect.role == Ok(Role::Node) { Role::Operator } else { Role::Node })
            });
            wrong(&|connect, _| connect.scopes.push("operator.admin".into()));
            wrong(&|connect, _| connect.credentials = Credentials::new(Some("other".into()), None));
            wrong(&|_, device| device.signed_at += 1);
            wrong(&|_, device| {
                device.nonce = if device.nonce.is_some() { None } else { Some("n".into()) };
            });
            wrong(&|_, device| device.signature = device.signature.replace(|c: char| c.is_ascii_lowercase(), "A"));
            wrong(&|_, device| device.signature.clear());
        }
    }

    #[test]
    fn a_key_may_come_as_base64_or_pem_and_its_id_is_its_hash() {
        let (connect, device) = vectors().remove(0);
        let key = raw_key(&device.public_key).unwrap();
        let der = [SPKI_HEAD.as_slice(), &key].concat();
        let pem =
            format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", data_encoding::BASE64.encode(&der));
        for form in [data_encoding::BASE64.encode(&key), BASE64_NOPAD.encode(&key), pem] {
            let device = Device { public_key: form, ..device.clone() };
            assert_eq!(check(&connect, &device).unwrap().public_key, BASE64URL_NOPAD.encode(&key));
        }
        for id in [device.id.to_uppercase(), String::from("x"), device.id[1..].to_owned()] {
            assert_eq!(key_of(&Device { id, ..device.clone() }), Err(Flaw::Mismatch));
        }
        for public_key in ["", "AAAA", "-----BEGIN", "\u{e9}"] {
            assert_eq!(key_of(&Device { public_key: public_key.into(), ..device.clone() }), Err(Flaw::Mismatch));
        }
    }
}
