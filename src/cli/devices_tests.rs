use serde_json::json;
use smol::future::zip;

use super::super::console::testing::console;
use super::super::fake::Gateway;
use super::*;
use crate::sys::clock::RealClock;

/// Runs the command against a gateway that answers these methods, each on a connection of its own.
fn asked(args: &Devices, answers: &[(&str, Value)]) -> (Result<(), Failure>, String) {
    smol::block_on(async {
        let gateway = Gateway::bind().await;
        let (target, clock) = (gateway.target(), Rc::new(RealClock::start()) as Rc<dyn Clock>);
        let (mut console, out, _) = console(false);
        let served = async {
            for (method, answer) in answers {
                let mut peer = gateway.greet(61_000).await;
                let request = peer.expect(method).await;
                peer.reply(&request, answer).await;
            }
        };
        let (outcome, ()) = zip(devices(args, &target, &clock, &mut console), served).await;
        (outcome, out.text())
    })
}

fn known() -> Value {
    json!({
        "pending": [{"requestId": "0e204080-bc76", "deviceId": "6c8f8607dbe87077", "displayName": "Example\u{1b}[2J", "role": "node",
                     "scopes": [], "reason": "not-paired", "remoteIp": "192.0.2.7", "ts": 0}],
        "paired": [{"deviceId": "21fe31dfa154a261", "displayName": "Pi", "platform": "linux", "roles": ["operator", "node"],
                    "scopes": ["operator.admin"], "approvedAtMs": 0,
                    "tokens": [{"role": "node", "scopes": []}, {"role": "operator", "scopes": [], "revokedAtMs": 1}]}],
    })
}

fn args(words: &[&str]) -> Devices {
    Devices { words: words.iter().map(|&word| word.to_owned()).collect(), ..Devices::default() }
}

#[test]
fn what_waits_is_shown_with_the_command_that_approves_it() {
    let (outcome, out) = asked(&args(&[]), &[("device.pair.list", known())]);
    assert_eq!(outcome, Ok(()));
    assert!(out.contains("0e204080-bc76") && out.contains("barnacle devices approve ID"), "{out}");
    assert!(out.contains("operator (revoked)") && !out.contains('\u{1b}'), "{out}");
}

#[test]
fn the_only_request_needs_no_name_and_a_part_of_an_id_is_enough() {
    for words in [&["approve"][..], &["approve", "0e2"], &["approve", "6c8f"]] {
        let answer = json!({"requestId": "0e204080-bc76", "device": {"deviceId": "6c8f8607dbe87077"}});
        let answers = [("device.pair.list", known()), ("device.pair.approve", answer)];
        let (outcome, out) = asked(&args(words), &answers);
        assert_eq!((outcome, out.as_str()), (Ok(()), "approved: device 6c8f8607dbe8 may connect now\n"));
    }
    let (outcome, _) = asked(&args(&["approve", "x"]), &[("device.pair.list", known())]);
    assert_eq!(outcome.unwrap_err().exit, Exit::Failed);
}

#[test]
fn a_token_of_a_device_with_two_roles_must_be_named() {
    let (outcome, _) = asked(&args(&["revoke", "Pi"]), &[("device.pair.list", known())]);
    assert_eq!(outcome.unwrap_err().message.as_deref(), Some("it has the roles node, operator: say --role"));
    let named = Devices { role: Some("node".into()), ..args(&["revoke", "21fe"]) };
    let answers = [("device.pair.list", known()), ("device.token.revoke", json!({"deviceId": "21fe31dfa154a261"}))];
    let (outcome, out) = asked(&named, &answers);
    assert!(outcome.is_ok() && out.starts_with("revoked: device 21fe31dfa154"), "{out}");
    assert_eq!(asked(&args(&["kill"]), &[]).0.unwrap_err().exit, Exit::Usage);
}
