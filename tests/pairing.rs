//! Devices against the real binary: proofs, approval, tokens and their ends (connection.md sections 2.5 and 3).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic, in its helpers too")]
#![allow(clippy::disallowed_methods, reason = "tests start processes and read their files")]

mod support;

use serde_json::{Value, json};
use support::device::{AWAY, Ask, Device};
use support::{Client, Dialect, Gateway, TOKEN, TempDir};

struct Home {
    gateway: Gateway,
    dir: TempDir,
}

impl Home {
    fn new() -> Self {
        let dir = TempDir::new("pairing");
        Self { gateway: Gateway::start(dir.path(), &json!({})), dir }
    }

    fn port(&self) -> u16 {
        self.gateway.port
    }

    fn owner(&self, scopes: &[&str]) -> Client {
        Client::connect_with(self.port(), Dialect::Native, &json!({"scopes": scopes}))
    }

    fn paired_file(&self) -> Value {
        let text = std::fs::read_to_string(self.dir.path().join("state/devices/paired.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// Pairs a device that is elsewhere, with an owner's approval; gives its token.
    fn pair(&self, owner: &mut Client, device: &Device, ask: &Ask) -> String {
        let (error, _) = device.connect(self.port(), AWAY, ask).unwrap_err();
        let request = error["details"]["requestId"].as_str().unwrap();
        assert_eq!(owner.call("device.pair.approve", &json!({"requestId": request}))["ok"], true);
        let client = device.connect(self.port(), AWAY, ask).unwrap();
        client.hello["auth"]["deviceToken"].as_str().unwrap().to_owned()
    }
}

const ADMIN: &[&str] = &["operator.admin"];

fn message(refused: Result<Client, (Value, Value)>) -> String {
    let (error, close) = refused.unwrap_err();
    assert_eq!(close[0], 1008, "{error}");
    error["message"].as_str().unwrap().to_owned()
}

#[test]
fn a_phone_waits_until_its_owner_approves_it_and_then_has_a_token_of_its_own() {
    let home = Home::new();
    let mut owner = home.owner(&["operator.admin", "operator.pairing"]);
    let phone = Device::new(1);
    let (error, close) = phone.connect(home.port(), AWAY, &Ask::phone()).unwrap_err();
    let request = error["details"]["requestId"].as_str().unwrap().to_owned();
    assert_eq!((&error["code"], &error["message"]), (&json!("NOT_PAIRED"), &json!("pairing required")));
    assert_eq!(error["details"]["reason"], "not-paired");
    assert_eq!(error["details"]["approve"], format!("barnacle devices approve {request}"));
    assert_eq!(close, json!([1008, "pairing required"]));
    let event = owner.find(|frame| frame["event"] == "device.pair.requested");
    assert_eq!((&event["payload"]["requestId"], &event["payload"]["role"]), (&json!(request), &json!("node")));
    // It asks again: the same request, no second event.
    let (again, _) = phone.connect(home.port(), AWAY, &Ask::phone()).unwrap_err();
    assert_eq!(again["details"]["requestId"], request.as_str());

    // The guide's name for the phones that wait.
    let listed = owner.call("nodes.pair.list", &json!({}));
    assert_eq!(listed["payload"]["pending"][0]["nodeId"], phone.id.as_str());
    let approved = owner.call("nodes.pair.approve", &json!({"requestId": request}));
    assert_eq!(approved["payload"]["node"]["nodeId"], phone.id.as_str());
    let resolved = owner.find(|frame| frame["event"] == "device.pair.resolved");
    assert_eq!(resolved["payload"]["decision"], "approved");

    let first = phone.connect(home.port(), AWAY, &Ask::phone()).unwrap();
    let token = first.hello["auth"]["deviceToken"].as_str().unwrap();
    assert_eq!(token.len(), 32);
    assert_eq!((&first.hello["auth"]["role"], &first.hello["auth"]["scopes"]), (&json!("node"), &json!([])));
    let second = phone.connect(home.port(), AWAY, &Ask::phone().token(token)).unwrap();
    assert_eq!(second.hello["auth"]["deviceToken"], token, "a token stays the same between connects");
    let file = home.paired_file();
    assert_eq!(file[&phone.id]["commands"], json!(["camera.snap", "location.get"]));
    let shown = owner.call("device.pair.list", &json!({})).to_string();
    assert!(!shown.contains(token), "a token's text is never listed");
}

#[test]
fn a_program_on_this_machine_pairs_by_itself_and_a_page_does_not() {
    let home = Home::new();
    let device = Device::new(2);
    let origin = format!("http://127.0.0.1:{}", home.port());
    let refused = device.connect(home.port(), &[("Origin", &origin)], &Ask::operator(&["operator.read"]));
    assert_eq!(message(refused), "pairing required");
    // Without a nonce too: it is on this machine.
    let ask = Ask { signs_nonce: false, ..Ask::operator(&["operator.read"]) };
    let client = device.connect(home.port(), &[], &ask).unwrap();
    assert_eq!(client.hello["auth"]["scopes"], json!(["operator.read"]));
    let page = device.connect(home.port(), &[("Origin", &origin)], &Ask::operator(&["operator.read"])).unwrap();
    assert_eq!(page.hello["auth"]["deviceToken"], client.hello["auth"]["deviceToken"]);
    let more = device.connect(home.port(), &[("Origin", &origin)], &Ask::operator(ADMIN));
    assert_eq!(more.unwrap_err().0["details"]["reason"], "scope-upgrade");
}

#[test]
fn a_proof_is_refused_for_what_is_wrong_with_it_in_the_documented_order() {
    let home = Home::new();
    let device = Device::new(3);
    let ask = Ask::operator(ADMIN);
    let try_with = |headers: &[(&str, &str)], ask: &Ask, change: &dyn Fn(&mut Value)| {
        let mut client = Client::open_from(home.port(), "/", headers);
        let challenge = client.read();
        let nonce = challenge["payload"]["nonce"].as_str().unwrap();
        let mut proof =
            device.proof(ask, ask.signs_nonce.then_some(nonce), challenge["payload"]["ts"].as_u64().unwrap());
        change(&mut proof);
        client.send(&json!({"type": "req", "id": "c", "method": "connect", "params": {
            "minProtocol": 3, "maxProtocol": 3, "auth": {"token": ask.token}, "device": proof, "scopes": ask.scopes,
            "client": {"id": "test", "version": "1", "platform": "linux", "mode": "test"},
        }}));
        message(client.greeted())
    };
    let nothing: &dyn Fn(&mut Value) = &|_| {};
    assert_eq!(try_with(&[], &ask, &|proof| proof["id"] = "00".repeat(32).into()), "device identity mismatch");
    let late = Ask { skew_ms: -600_001 - 60_000, ..ask.clone() };
    assert_eq!(try_with(&[], &late, nothing), "device signature expired");
    let bare = Ask { signs_nonce: false, ..ask.clone() };
    assert_eq!(try_with(AWAY, &bare, nothing), "device nonce required");
    assert_eq!(try_with(&[], &ask, &|proof| proof["nonce"] = "other".into()), "device nonce mismatch");
    let cut = |proof: &mut Value| proof["signature"] = "AAAA".into();
    assert_eq!(try_with(&[], &ask, &cut), "device signature invalid");
    // A bad signature is reported before bad credentials.
    assert_eq!(try_with(&[], &ask.clone().token("wrong"), &cut), "device signature invalid");
    // As recorded in 02c-device-but-no-token, whose own signature is too old by now.
    let missing = try_with(&[], &ask.clone().token(""), nothing);
    assert_eq!(missing, "unauthorized: gateway token missing (provide gateway auth token)");
    let wrong = try_with(&[], &ask.clone().token("wrong"), nothing);
    assert_eq!(wrong, "unauthorized: gateway token mismatch (provide gateway auth token)");
}

#[test]
fn a_captured_handshake_cannot_be_replayed() {
    let home = Home::new();
    let (device, ask) = (Device::new(4), Ask::operator(ADMIN));
    let mut first = Client::open(home.port(), "/");
    let challenge = first.read();
    let proof =
        device.proof(&ask, challenge["payload"]["nonce"].as_str(), challenge["payload"]["ts"].as_u64().unwrap());
    let hello = json!({"type": "req", "id": "c", "method": "connect", "params": {
        "minProtocol": 3, "maxProtocol": 3, "auth": {"token": TOKEN}, "device": proof, "scopes": ask.scopes,
        "client": {"id": "test", "version": "1", "platform": "linux", "mode": "test"},
    }});
    first.send(&hello);
    first.greeted().unwrap();
    let mut second = Client::open(home.port(), "/");
    second.read();
    second.send(&hello);
    assert_eq!(message(second.greeted()), "device nonce mismatch");
}

#[test]
fn a_device_token_gives_what_it_was_given_and_no_more() {
    let home = Home::new();
    let mut owner = home.owner(ADMIN);
    let device = Device::new(5);
    let token = home.pair(&mut owner, &device, &Ask::operator(&["operator.read"]));
    let more = Ask::operator(&["operator.read", "operator.write"]);
    let refused = message(device.connect(home.port(), AWAY, &more.clone().token(&token)));
    assert_eq!(refused, "unauthorized: gateway token mismatch (provide gateway auth token)");
    let (error, _) = device.connect(home.port(), AWAY, &more).unwrap_err();
    assert_eq!(error["details"]["reason"], "scope-upgrade");
    // Asking for nothing means what the token gives, not everything.
    let mut client = device.connect(home.port(), AWAY, &Ask::operator(&[]).token(&token)).unwrap();
    assert_eq!(client.call("chat.send", &json!({}))["error"]["message"], "missing scope: operator.write");
    // Another device can't use it, and a rejected request changes nothing.
    let other = message(Device::new(6).connect(home.port(), AWAY, &Ask::operator(&[]).token(&token)));
    assert!(other.starts_with("unauthorized: gateway token mismatch"), "{other}");
    let request = error["details"]["requestId"].as_str().unwrap();
    let rejected = owner.call("device.pair.reject", &json!({"requestId": request}));
    assert_eq!(rejected["payload"], json!({"requestId": request, "deviceId": device.id}));
    let again = owner.call("device.pair.reject", &json!({"requestId": request}));
    assert_eq!(again["error"]["message"], "unknown requestId");
    device.connect(home.port(), AWAY, &Ask::operator(&["operator.read"]).token(&token)).unwrap();
}

#[test]
fn a_revoked_token_ends_its_connections_and_the_device_has_to_ask_again() {
    let mut home = Home::new();
    let mut owner = home.owner(ADMIN);
    let phone = Device::new(7);
    let token = home.pair(&mut owner, &phone, &Ask::phone());
    let mut live = phone.connect(home.port(), AWAY, &Ask::phone().token(&token)).unwrap();
    let revoked = owner.call("device.token.revoke", &json!({"deviceId": phone.id, "role": "node"}));
    assert!(revoked["payload"]["revokedAtMs"].is_u64(), "{revoked}");
    let end = loop {
        let frame = live.read();
        if frame.get("close").is_some() {
            break frame;
        }
    };
    assert_eq!(end["close"], json!([1008, "device token revoked"]));
    let mismatch = message(phone.connect(home.port(), AWAY, &Ask::phone().token(&token)));
    assert!(mismatch.starts_with("unauthorized: gateway token mismatch"), "{mismatch}");
    // The shared secret doesn't undo the revocation, not even from this machine, nor does a restart.
    home.gateway.signal("KILL");
    home.gateway.ended();
    home.gateway = Gateway::start(home.dir.path(), &json!({}));
    let (error, _) = phone.connect(home.port(), &[], &Ask::phone()).unwrap_err();
    assert_eq!(error["details"]["reason"], "revoked");
    let mut owner = home.owner(ADMIN);
    let request = error["details"]["requestId"].as_str().unwrap();
    assert_eq!(owner.call("device.pair.approve", &json!({"requestId": request}))["ok"], true);
    let back = phone.connect(home.port(), AWAY, &Ask::phone()).unwrap();
    assert_ne!(back.hello["auth"]["deviceToken"], token.as_str());
}

#[test]
fn a_rotated_token_replaces_the_old_one_and_closes_what_it_opened() {
    let home = Home::new();
    let mut owner = home.owner(ADMIN);
    let phone = Device::new(8);
    let token = home.pair(&mut owner, &phone, &Ask::phone());
    let mut live = phone.connect(home.port(), AWAY, &Ask::phone().token(&token)).unwrap();
    let rotated = owner.call("device.token.rotate", &json!({"deviceId": phone.id, "role": "node"}))["payload"].clone();
    assert_eq!((&rotated["role"], &rotated["scopes"]), (&json!("node"), &json!([])));
    while live.read().get("close").is_none() {}
    assert!(phone.connect(home.port(), AWAY, &Ask::phone().token(&token)).is_err());
    let next = phone.connect(home.port(), AWAY, &Ask::phone().token(rotated["token"].as_str().unwrap())).unwrap();
    assert_eq!(next.hello["auth"]["deviceToken"], rotated["token"]);
    let unknown = owner.call("device.token.rotate", &json!({"deviceId": "x", "role": "node"}));
    assert_eq!(unknown["error"]["message"], "unknown deviceId/role");
}

#[test]
fn nobody_gives_away_more_than_they_have() {
    let home = Home::new();
    let mut owner = home.owner(ADMIN);
    let mut pairer = home.owner(&["operator.pairing"]);
    let device = Device::new(9);
    let (error, _) = device.connect(home.port(), AWAY, &Ask::operator(ADMIN)).unwrap_err();
    let request = json!({"requestId": error["details"]["requestId"]});
    let refused = pairer.call("device.pair.approve", &request);
    assert_eq!(refused["error"]["message"], "missing scope: operator.admin");
    assert_eq!(owner.call("device.pair.approve", &request)["ok"], true);
    let widened = json!({"deviceId": device.id, "role": "operator", "scopes": ["operator.write"]});
    assert_eq!(pairer.call("device.token.rotate", &widened)["error"]["message"], "missing scope: operator.write");
    assert_eq!(pairer.call("device.token.rotate", &json!({"deviceId": device.id, "role": "operator"}))["ok"], false);
    // A phone needs no scopes, so whoever may pair may let it in.
    let (error, _) = Device::new(10).connect(home.port(), AWAY, &Ask::phone()).unwrap_err();
    assert_eq!(pairer.call("device.pair.approve", &json!({"requestId": error["details"]["requestId"]}))["ok"], true);
}

#[test]
fn a_node_brings_only_what_was_approved_with_it() {
    let home = Home::new();
    let mut owner = home.owner(ADMIN);
    let phone = Device::new(11);
    home.pair(&mut owner, &phone, &Ask::phone());
    let more = Ask { commands: vec!["camera.snap", "location.get", "sms.send"], ..Ask::phone() };
    let _live = phone.connect(home.port(), AWAY, &more).unwrap();
    let event = owner
        .find(|frame| frame["event"] == "device.pair.requested" && frame["payload"]["reason"] == "command-upgrade");
    assert_eq!(home.paired_file()[&phone.id]["commands"], json!(["camera.snap", "location.get"]));
    let token = home.paired_file()[&phone.id]["tokens"]["node"]["token"].clone();
    let request = json!({"requestId": event["payload"]["requestId"]});
    assert_eq!(owner.call("device.pair.approve", &request)["ok"], true);
    assert_eq!(home.paired_file()[&phone.id]["commands"], json!(["camera.snap", "location.get", "sms.send"]));
    assert_eq!(home.paired_file()[&phone.id]["tokens"]["node"]["token"], token, "its token stays");
}

#[test]
fn a_guide_device_manages_itself_and_nothing_else() {
    let home = Home::new();
    let mut owner = home.owner(ADMIN);
    let (own, other) = (Device::new(12), Device::new(13));
    home.pair(&mut owner, &own, &Ask::phone());
    home.pair(&mut owner, &other, &Ask::phone());
    let ask = Ask { role: "device", client: ("my-phone", "device"), ..Ask::phone() };
    let mut client = own.connect_guide(home.port(), AWAY, &ask).unwrap();
    assert_eq!(client.hello["auth"]["role"], "device");
    let listed = client.call("device.pair.list", &json!({}))["payload"]["paired"].clone();
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["deviceId"]), (1, &json!(own.id)));
    let rotated = client.call("device.token.rotate", &json!({"deviceId": own.id, "role": "node"}));
    assert_eq!(rotated["ok"], true, "{rotated}");
    let foreign = client.call("device.token.revoke", &json!({"deviceId": other.id, "role": "node"}));
    assert_eq!(foreign["error"]["message"], "missing scope: operator.pairing");
    assert_eq!(client.call("health", &json!({}))["error"]["message"], "unauthorized role: device");
    // Natively there is no such role.
    assert_eq!(message(own.connect(home.port(), AWAY, &ask)), "invalid role");
}

#[test]
fn a_guide_handshake_from_elsewhere_needs_the_nonce_and_is_told_so() {
    let home = Home::new();
    let device = Device::new(14);
    let ask = Ask { signs_nonce: false, ..Ask::operator(&["operator.read"]) };
    let (error, _) = device.connect_guide(home.port(), AWAY, &ask).unwrap_err();
    assert_eq!((&error["message"], &error["retryable"]), (&json!("device nonce required"), &json!(false)));
    assert!(error["details"]["hint"].as_str().unwrap().contains("connect.challenge"));
    // Forged headers of a Tailscale proxy don't help.
    let forged = [
        ("X-Forwarded-For", "100.64.0.9"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "pi.example.ts.net"),
        ("Tailscale-User-Login", "owner@example.com"),
    ];
    let (error, _) = device.connect_guide(home.port(), &forged, &ask).unwrap_err();
    assert_eq!(error["message"], "device nonce required");
}

#[test]
fn nodes_of_the_older_transport_have_their_own_requests_and_tokens() {
    let home = Home::new();
    let mut owner = home.owner(&["operator.pairing"]);
    let asked = owner.call("node.pair.request", &json!({"nodeId": "old-1", "displayName": "Old", "commands": ["a"]}));
    let request = asked["payload"]["request"].clone();
    assert_eq!((&asked["payload"]["status"], &asked["payload"]["created"]), (&json!("pending"), &json!(true)));
    assert_eq!((&request["nodeId"], &request["isRepair"]), (&json!("old-1"), &json!(false)));
    let again = owner.call("node.pair.request", &json!({"nodeId": "old-1"}));
    assert_eq!((&again["payload"]["created"], &again["payload"]["request"]), (&json!(false), &request));
    assert_eq!(owner.find(|frame| frame["event"] == "node.pair.requested")["payload"], request);
    let id = json!({"requestId": request["requestId"]});
    let node = owner.call("node.pair.approve", &id)["payload"]["node"].clone();
    let token = node["token"].as_str().unwrap();
    assert_eq!(owner.call("node.pair.verify", &json!({"nodeId": "old-1", "token": token}))["payload"]["ok"], true);
    assert_eq!(
        owner.call("node.pair.verify", &json!({"nodeId": "old-1", "token": "x"}))["payload"],
        json!({"ok": false})
    );
    assert_eq!(owner.call("node.pair.approve", &id)["error"]["message"], "unknown requestId");
    assert!(!owner.call("node.pair.list", &json!({})).to_string().contains(token));
}

#[test]
fn a_revocation_is_not_undone_by_a_rotation() {
    let home = Home::new();
    let mut owner = home.owner(ADMIN);
    let device = Device::new(15);
    home.pair(&mut owner, &device, &Ask::operator(ADMIN));
    owner.call("device.token.revoke", &json!({"deviceId": device.id, "role": "operator"}));
    let ask = Ask { role: "device", client: ("my-phone", "device"), ..Ask::phone() };
    let mut client = device.connect_guide(home.port(), AWAY, &ask).unwrap();
    let rotate = json!({"deviceId": device.id, "role": "operator"});
    for caller in [&mut client, &mut owner] {
        assert_eq!(caller.call("device.token.rotate", &rotate)["error"]["message"], "unknown deviceId/role");
    }
    let (error, _) = device.connect(home.port(), AWAY, &Ask::operator(ADMIN)).unwrap_err();
    assert_eq!(error["details"]["reason"], "revoked");
}

#[test]
fn who_revokes_or_removes_itself_hears_so_and_is_cut_off() {
    for method in ["device.token.revoke", "device.pair.remove"] {
        let home = Home::new();
        let mut owner = home.owner(ADMIN);
        let device = Device::new(16);
        home.pair(&mut owner, &device, &Ask::operator(ADMIN));
        let mut own = device.connect(home.port(), AWAY, &Ask::operator(ADMIN)).unwrap();
        let mut params = json!({"deviceId": device.id});
        if method.ends_with("revoke") {
            params["role"] = "operator".into();
        }
        assert_eq!(own.call(method, &params)["ok"], true);
        while own.read().get("close").is_none() {}
    }
}

#[test]
fn a_removed_devices_request_goes_with_it() {
    let home = Home::new();
    let mut owner = home.owner(ADMIN);
    let device = Device::new(17);
    home.pair(&mut owner, &device, &Ask::operator(&["operator.read"]));
    let (error, _) = device.connect(home.port(), AWAY, &Ask::operator(ADMIN)).unwrap_err();
    assert_eq!(owner.call("device.pair.remove", &json!({"deviceId": device.id}))["ok"], true);
    let approved = owner.call("device.pair.approve", &json!({"requestId": error["details"]["requestId"]}));
    assert_eq!(approved["error"]["message"], "unknown requestId");
}

#[test]
fn a_device_that_says_too_much_of_itself_is_refused_and_the_file_stays_readable() {
    let home = Home::new();
    let names: Vec<&'static str> = (0..200).map(|n| &*String::leak(format!("{n}-{}", "x".repeat(200)))).collect();
    let ask = Ask { commands: names, ..Ask::phone() };
    let (error, _) = Device::new(18).connect(home.port(), &[], &ask).unwrap_err();
    assert!(error["message"].as_str().unwrap().contains("12288 bytes"), "{error}");
    Device::new(18).connect(home.port(), &[], &Ask::phone()).unwrap();
}

#[test]
fn a_trusted_proxys_word_counts_and_what_stands_left_of_it_does_not() {
    let dir = TempDir::new("proxied");
    let gateway = Gateway::start(dir.path(), &json!({"gateway": {"trustedProxies": ["127.0.0.1"]}}));
    for claim in ["127.0.0.1, 203.0.113.7", "junk, 203.0.113.7", "junk"] {
        let refused = Device::new(19).connect(gateway.port, &[("X-Forwarded-For", claim)], &Ask::operator(ADMIN));
        assert_eq!(message(refused), "pairing required", "{claim}");
    }
}

#[test]
fn a_success_in_between_does_not_reset_the_count_of_wrong_secrets() {
    let home = Home::new();
    let wrong = |seed| Device::new(seed).connect(home.port(), &[], &Ask::operator(ADMIN).token("wrong")).unwrap_err().0;
    for _ in 0..9 {
        wrong(20);
    }
    drop(home.owner(ADMIN));
    wrong(20);
    let locked = wrong(20);
    assert!(locked["message"].as_str().unwrap().contains("too many failed attempts"), "{locked}");
}
