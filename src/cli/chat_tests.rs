use serde_json::json;
use smol::future::zip;

use super::super::console::testing::{Written, console};
use super::super::fake::{Gateway, Peer};
use super::*;
use crate::sys::clock::RealClock;

/// Says "hi" to a gateway with this script; `interrupt` presses Ctrl-C. Gives outcome, output, errors.
fn said<F: Future<Output = ()>>(
    timeout: Option<Duration>,
    serve: impl FnOnce(Gateway, smol::channel::Sender<()>) -> F,
) -> (Result<(), Failure>, String, String) {
    smol::block_on(async {
        let gateway = Gateway::bind().await;
        let target = Target { timeout, ..gateway.target() };
        let (mut console, out, err): (Console, Written, Written) = console(false);
        let (interrupt, interrupts) = smol::channel::bounded(4);
        let args = Chat { session: "main".into(), ..Chat::default() };
        let clock: Rc<dyn Clock> = Rc::new(RealClock::start());
        let mut talk = Talk::new(&args, target, clock, &mut console, Interrupts::of(interrupts));
        talk.pause = Duration::from_millis(1);
        let saying = async {
            let outcome = talk.say("hi").await;
            talk.hang_up().await;
            outcome
        };
        let (outcome, ()) = zip(saying, serve(gateway, interrupt)).await;
        drop(talk);
        (outcome, out.text(), err.text())
    })
}

async fn started(gateway: &Gateway, uptime_ms: u64) -> (Peer, serde_json::Value) {
    let mut peer = gateway.greet(uptime_ms).await;
    let request = peer.expect("chat.send").await;
    peer.reply(&request, &json!({"runId": request["params"]["idempotencyKey"], "status": "started"})).await;
    (peer, request)
}

#[test]
fn an_answer_streams_and_ends_with_a_newline() {
    let (outcome, out, err) = said(None, |gateway, _| async move {
        let (mut peer, request) = started(&gateway, 1).await;
        assert_eq!(request["params"]["message"], "hi");
        peer.chat(&request, "delta", "Let me look.").await;
        peer.chat(&request, "delta", "It").await;
        peer.chat(&request, "final", "It is noon").await;
    });
    assert_eq!((outcome, out.as_str(), err.as_str()), (Ok(()), "Let me look.\nIt is noon\n", ""));
}

#[test]
fn a_failed_answer_keeps_its_text_and_fails() {
    let (outcome, out, _) = said(None, |gateway, _| async move {
        let (mut peer, request) = started(&gateway, 1).await;
        peer.chat(&request, "delta", "It").await;
        let run_id = &request["params"]["idempotencyKey"];
        peer.event("chat", &json!({"runId": run_id, "state": "error", "errorMessage": "quota"})).await;
    });
    assert_eq!((outcome, out.as_str()), (Err(Failure::new(Exit::Failed, "quota")), "It\n"));
}

#[test]
fn a_connection_that_breaks_during_an_answer_is_taken_up_again() {
    let (outcome, out, err) = said(None, |gateway, _| async move {
        let (mut peer, request) = started(&gateway, 50_000).await;
        peer.chat(&request, "delta", "It ").await;
        peer.close(1008, "slow consumer").await;
        // This one is refused, as a gateway that isn't ready does.
        gateway.accept().await.close(1012, "service restart").await;
        let mut peer = gateway.greet(60_000).await;
        let again = peer.expect("chat.send").await;
        assert_eq!(again["params"], request["params"]);
        peer.reply(&again, &json!({"status": "in_flight"})).await;
        peer.chat(&request, "final", "It is noon").await;
    });
    assert_eq!((outcome, out.as_str()), (Ok(()), "It \nis noon\n"));
    assert_eq!(err.lines().count(), 1);
}

#[test]
fn after_a_restart_the_answer_comes_from_the_history_or_is_reported_lost() {
    for (stop_reason, printed) in [("stop", "It\n is noon\n"), ("toolUse", "It\n")] {
        let (outcome, out, _) = said(None, |gateway, _| async move {
            let (mut peer, request) = started(&gateway, 50_000).await;
            peer.chat(&request, "delta", "It").await;
            drop(peer);
            let mut peer = gateway.greet(0).await;
            let history = peer.expect("chat.history").await;
            let messages = json!([
                {"role": "user", "content": "hi"},
                {"role": "assistant", "content": [{"type": "text", "text": "It is noon"}], "stopReason": stop_reason},
            ]);
            // A gateway that has just started; our turn is some milliseconds old.
            peer.reply(&history, &json!({"messages": messages})).await;
        });
        assert_eq!((outcome.is_ok(), out.as_str()), (stop_reason == "stop", printed));
    }
}

#[test]
fn a_gateway_that_stays_away_ends_the_tries() {
    let (outcome, _, err) = said(None, |gateway, _| async move {
        drop(started(&gateway, 1).await);
        drop(gateway);
    });
    assert_eq!(outcome.unwrap_err().exit, Exit::NoConnection);
    assert_eq!(err.lines().count(), 1);
}

#[test]
fn ctrl_c_stops_the_answer_and_a_second_one_leaves() {
    let (outcome, out, err) = said(None, |gateway, interrupt| async move {
        let (mut peer, request) = started(&gateway, 1).await;
        peer.chat(&request, "delta", "It").await;
        interrupt.send(()).await.unwrap();
        let stop = peer.expect("chat.abort").await;
        assert_eq!(stop["params"], json!({"sessionKey": "main", "runId": request["params"]["idempotencyKey"]}));
        let run_id = &request["params"]["idempotencyKey"];
        peer.event("chat", &json!({"runId": run_id, "state": "aborted", "stopReason": "rpc"})).await;
    });
    assert_eq!((outcome, out.as_str(), err.as_str()), (Err(Failure::quiet(Exit::Failed)), "It\n", "stopped\n"));
    let (outcome, ..) = said(None, |gateway, interrupt| async move {
        let (mut peer, _) = started(&gateway, 1).await;
        interrupt.send(()).await.unwrap();
        peer.expect("chat.abort").await;
        interrupt.send(()).await.unwrap();
        peer.read().await;
    });
    assert_eq!(outcome.unwrap_err().exit, Exit::Failed);
}

#[test]
fn an_answer_that_takes_too_long_ends_with_the_timeout_code() {
    let (outcome, out, _) = said(Some(Duration::from_millis(80)), |gateway, _| async move {
        let (mut peer, request) = started(&gateway, 1).await;
        peer.chat(&request, "delta", "It").await;
        peer.read().await;
    });
    assert_eq!((outcome.unwrap_err().exit, out.as_str()), (Exit::Timeout, "It\n"));
}
