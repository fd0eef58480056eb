use serde_json::json;
use smol::future::zip;

use super::super::console::testing::console;
use super::super::fake::Gateway;
use super::*;
use crate::sys::clock::RealClock;

fn asked(args: &Health, payload: &Value) -> (Result<(), Failure>, String) {
    smol::block_on(async {
        let gateway = Gateway::bind().await;
        let (target, clock) = (gateway.target(), Rc::new(RealClock::start()) as Rc<dyn Clock>);
        let (mut console, out, _) = console(false);
        let served = async {
            let mut peer = gateway.greet(61_000).await;
            let request = peer.expect("health").await;
            peer.reply(&request, payload).await;
        };
        let (outcome, ()) = zip(health(args, &target, &clock, &mut console), served).await;
        (outcome, out.text())
    })
}

#[test]
fn a_well_gateway_is_told_in_short_lines() {
    let payload = json!({
        "ok": true, "status": "ok", "sessions": {"count": 12}, "runs": {"running": 0, "queued": 0},
        "storage": {"ok": true, "trouble": null}, "channelOrder": ["telegram", "x"],
        "channelLabels": {"telegram": "Telegram"},
    });
    let (outcome, out) = asked(&Health::default(), &payload);
    let expected = "Barnacle 9.9.9 on pi, up 1 min 1 s
  health       ok
  sessions     12
  runs         0 running
  storage      ok
  channels     Telegram, x
";
    assert_eq!((outcome, out.as_str()), (Ok(()), expected));
}

#[test]
fn a_degraded_gateway_has_its_own_exit_code() {
    for payload in [json!({"ok": false}), json!({"status": "degraded", "storage": {"ok": false}})] {
        let (outcome, out) = asked(&Health::default(), &payload);
        assert_eq!(outcome, Err(Failure::quiet(Exit::Failed)));
        assert!(out.contains("health       degraded"), "{out}");
        let (outcome, out) = asked(&Health { json: true, ..Health::default() }, &payload);
        assert_eq!((outcome, out), (Err(Failure::quiet(Exit::Failed)), format!("{payload}\n")));
    }
}
