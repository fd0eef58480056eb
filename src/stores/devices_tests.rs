//! That pairings keep the field's format, their bounds, and themselves across power cuts.

use serde_json::json;

use super::*;
use crate::stores::bench::{Bench, NOW_MS};
use crate::sys::Chance;

const PAIRED: &str = "/s/devices/paired.json";

fn load(bench: &Bench) -> DeviceStore {
    DeviceStore::load(&bench.sys, &bench.saver, Path::new("/s")).unwrap()
}

fn request(device: &str, role: &str, scopes: &[&str], ts: u64) -> PairingRequest {
    PairingRequest {
        request_id: format!("request-{device}-{ts}"),
        device_id: device.to_owned(),
        public_key: "key".into(),
        display_name: Some("Phone".into()),
        platform: Some("ios 26.1".into()),
        client_id: None,
        client_mode: None,
        role: role.to_owned(),
        roles: vec![role.to_owned()],
        scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(),
        remote_ip: None,
        silent: false,
        is_repair: false,
        reason: None,
        caps: Vec::new(),
        commands: Vec::new(),
        ts,
    }
}

fn scopes(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn a_file_of_the_original_is_read_and_its_unknown_keys_are_kept() {
    let bench = Bench::new(1);
    bench.sys.files.create_dir(Path::new("/s/devices")).unwrap();
    let theirs = json!({"21fe": {
        "deviceId": "21fe", "publicKey": "11qY", "displayName": "Example Pi", "platform": "linux", "clientId": "node-host",
        "clientMode": "node", "role": "node", "roles": ["operator", "node"], "scopes": ["operator.admin"],
        "remoteIp": "127.0.0.1", "future": {"x": 1},
        "tokens": {"node": {"token": "391953c1", "role": "node", "scopes": [], "createdAtMs": 1, "note": "n"}},
        "createdAtMs": 1_795_373_387_248_u64, "approvedAtMs": 1_795_373_387_261_u64,
    }});
    bench.run(bench.sys.files.replace(PAIRED.into(), theirs.to_string().into_bytes())).unwrap();
    let store = load(&bench);
    assert_eq!(store.token_scopes("21fe", "node", "391953c1"), Some(Vec::new()));
    assert!(store.rename("21fe", "Kitchen"));
    bench.run(store.saved()).unwrap();
    let mut ours: Value = serde_json::from_slice(&bench.sys.files.read(Path::new(PAIRED), 10_000).unwrap()).unwrap();
    assert_eq!(ours["21fe"].as_object_mut().unwrap().remove("label"), Some(json!("Kitchen")));
    assert_eq!(ours, theirs);
}

#[test]
fn what_a_device_needs_follows_from_what_was_approved() {
    let bench = Bench::new(1);
    let store = load(&bench);
    let need = |role, names: &[&str]| store.need("d", role, &scopes(names));
    assert_eq!(need("operator", &[]), Some(Need::NotPaired));
    store.approve(&request("d", "operator", &["operator.read"], NOW_MS), Secret::new("t1"), NOW_MS).unwrap();
    assert_eq!(need("operator", &["operator.read"]), None);
    assert_eq!(need("operator", &["operator.write"]), Some(Need::ScopeUpgrade));
    assert_eq!(need("node", &[]), Some(Need::RoleUpgrade));
    store.approve(&request("d", "operator", &["operator.admin"], NOW_MS), Secret::new("t2"), NOW_MS).unwrap();
    assert_eq!(need("operator", &["operator.write"]), None, "admin has all scopes");
    assert!(store.revoke("d", "operator", NOW_MS));
    assert_eq!(need("operator", &[]), Some(Need::Revoked));
    assert_eq!(store.token_scopes("d", "operator", "t2"), None);
    assert!(!store.revoke("d", "node", NOW_MS) && !store.revoke("x", "node", NOW_MS));
}

#[test]
fn a_token_that_covers_a_connect_stays_and_its_use_is_not_written_each_time() {
    let bench = Bench::new(1);
    let store = load(&bench);
    let ask = |scope: &str, ts| request("d", "operator", &[scope], ts);
    store.approve(&ask("operator.admin", NOW_MS), Secret::new("t1"), NOW_MS).unwrap();
    bench.run(store.saved()).unwrap();
    let connect = |scope: &str, ts| {
        let token = store.connected("d", &ask(scope, ts), Secret::new("fresh"), true).unwrap();
        (token.token.expose().to_owned(), token.last_used_at_ms)
    };
    assert_eq!(connect("operator.read", NOW_MS + 5), ("t1".into(), Some(NOW_MS + 5)));
    assert_eq!(connect("operator.read", NOW_MS + 6), ("t1".into(), Some(NOW_MS + 5)));
    let later = NOW_MS + LAST_USED_STEP_MS + 5;
    assert_eq!(connect("operator.read", later), ("t1".into(), Some(later)));
    let quiet = PairingRequest { display_name: None, ..ask("operator.read", later) };
    store.connected("d", &quiet, Secret::new("fresh"), false).unwrap();
    assert_eq!(store.get("d").unwrap().display_name.as_deref(), Some("Phone"), "what isn't said isn't forgotten");
}

#[test]
fn requests_expire_and_are_bounded_and_so_are_devices() {
    let bench = Bench::new(1);
    let store = load(&bench);
    for index in 0..PAIRING_PENDING {
        assert!(store.ask(request(&index.to_string(), "node", &[], NOW_MS)).unwrap().1);
    }
    assert_eq!(store.ask(request("one-more", "node", &[], NOW_MS)).unwrap_err(), Full::Pending(PAIRING_PENDING));
    assert!(!store.ask(request("0", "node", &[], NOW_MS + 1)).unwrap().1);
    let later = NOW_MS + PAIRING_TTL_MS + 1;
    assert!(store.pending(later).is_empty() && store.request(&format!("request-0-{NOW_MS}"), later).is_none());
    assert!(store.ask(request("one-more", "node", &[], later)).unwrap().1);
    for index in 0..PAIRED_DEVICES {
        store.approve(&request(&index.to_string(), "node", &[], later), Secret::new("t"), later).unwrap();
    }
    let full = store.approve(&request("new", "node", &[], later), Secret::new("t"), later);
    assert_eq!(full.unwrap_err(), Full::Paired(PAIRED_DEVICES));
}

#[test]
fn an_approval_that_was_acknowledged_survives_a_power_cut() {
    for seed in 0..20 {
        let bench = Bench::new(seed);
        let store = load(&bench);
        let ask = request("d", "node", &[], NOW_MS);
        store.ask(ask.clone()).unwrap();
        store.approve(&ask, Secret::new("t"), NOW_MS).unwrap();
        bench.run(store.saved()).unwrap();
        // A second device is on its way when the power goes.
        store.approve(&request("e", "node", &[], NOW_MS), Secret::new("u"), NOW_MS).unwrap();
        let after = Bench::on(bench.files.power_cut(&Chance::seeded(seed)), seed);
        let store = load(&after);
        assert!(store.get("d").is_some() && store.pending(NOW_MS).is_empty(), "seed {seed}");
    }
}
