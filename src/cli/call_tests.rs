use serde_json::{Value, json};
use smol::future::zip;

use super::super::connection::Reach;
use super::super::console::testing::console;
use super::super::exit::Exit;
use super::super::fake::{Gateway, Peer};
use super::*;
use crate::sys::clock::RealClock;

/// Runs the call against a gateway that does this with the request; gives outcome and output.
fn made<F: Future<Output = ()>>(
    args: &Call,
    timeout: Option<Duration>,
    serve: impl FnOnce(Peer, Value) -> F,
) -> (Result<(), Failure>, String) {
    smol::block_on(async {
        let gateway = Gateway::bind().await;
        let target = Target { timeout, ..gateway.target() };
        let clock: Rc<dyn Clock> = Rc::new(RealClock::start());
        let (mut console, out, _) = console(false);
        let served = async {
            let mut peer = gateway.greet(1).await;
            let request = peer.read().await;
            serve(peer, request).await;
        };
        let (outcome, ()) = zip(call(args, &target, &clock, &mut console), served).await;
        (outcome, out.text())
    })
}

fn args(method: &str, params: Option<&str>) -> Call {
    Call { words: std::iter::once(method).chain(params).map(Into::into).collect(), ..Call::default() }
}

#[test]
fn the_answer_is_printed_as_it_came() {
    let (outcome, out) = made(&args("health", Some(r#"{"probe":true}"#)), None, |mut peer, request| async move {
        assert_eq!((&request["method"], &request["params"]), (&json!("health"), &json!({"probe": true})));
        peer.event("tick", &json!({"ts": 1})).await;
        peer.send(&json!({"type": "res", "id": "other", "ok": true, "payload": 1})).await;
        peer.reply(&request, &json!({"ok": true, "list": []})).await;
    });
    assert_eq!((outcome, out.as_str()), (Ok(()), "{\"list\":[],\"ok\":true}\n"));
}

#[test]
fn the_second_answer_is_printed_unless_the_first_is_asked_for() {
    for (first, printed) in [(false, "{\"status\":\"ok\"}\n"), (true, "{\"status\":\"accepted\"}\n")] {
        let args = Call { first, ..args("agent", None) };
        let (outcome, out) = made(&args, None, |mut peer, request| async move {
            assert_eq!(request["params"], json!({}));
            peer.reply(&request, &json!({"status": "accepted"})).await;
            if !first {
                peer.reply(&request, &json!({"status": "ok"})).await;
            }
        });
        assert_eq!((outcome, out.as_str()), (Ok(()), printed));
    }
}

#[test]
fn an_error_is_one_line_with_its_code() {
    let (outcome, out) = made(&args("chat.sned", None), None, |mut peer, request| async move {
        peer.refuse(&request, &json!({"code": "INVALID_REQUEST", "message": "unknown method: chat.sned"})).await;
    });
    let failure = outcome.unwrap_err();
    assert_eq!((failure.exit, out.as_str()), (Exit::Failed, ""));
    assert_eq!(failure.message.unwrap(), "INVALID_REQUEST: unknown method: chat.sned");
    assert_eq!(failure.hint.unwrap(), "this gateway has chat.send, chat.history");
}

#[test]
fn silence_and_a_close_before_the_answer_have_their_exit_codes() {
    let limit = Duration::from_millis(60);
    let (outcome, _) = made(&args("agent", None), Some(limit), |mut peer, request| async move {
        peer.reply(&request, &json!({"status": "accepted"})).await;
        peer.read().await;
    });
    assert_eq!(outcome.unwrap_err().exit, Exit::Timeout);
    let (outcome, _) = made(&args("agent", None), None, |peer, _| peer.close(1008, "slow consumer"));
    let failure = outcome.unwrap_err();
    assert_eq!(failure.exit, Exit::NoConnection);
    assert!(failure.message.unwrap().contains("slow consumer"));
}

#[test]
fn params_that_are_not_json_are_refused_before_connecting() {
    for bad in ["{limit:5}", "{'a':1}", "{\"a\":1,}", "", "{} {}"] {
        let failure = parse(bad).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage, "{bad}");
        assert!(failure.message.unwrap().contains("column"), "{bad}");
    }
}

#[test]
fn a_missing_method_and_a_word_too_many_are_said_before_connecting() {
    let (mut console, ..) = console(false);
    let target = Target::find(&Reach::default(), &Default::default()).unwrap();
    let clock = Rc::new(RealClock::start()) as Rc<dyn Clock>;
    for (words, said) in [(&[][..], "which method?"), (&["x", "{}", "more"][..], "\"more\" is one argument too many")] {
        let args = Call { words: words.iter().map(|&word| word.to_owned()).collect(), ..Call::default() };
        let failure = smol::block_on(call(&args, &target, &clock, &mut console)).unwrap_err();
        assert_eq!((failure.exit, failure.message.as_deref()), (Exit::Usage, Some(said)));
    }
}

#[test]
fn every_method_is_listed_without_asking_a_gateway() {
    let (mut console, out, _) = console(false);
    list(&mut console).unwrap();
    let out = out.text();
    let nodes = out.lines().find(|line| line.starts_with("node.pair.list")).unwrap();
    assert!(nodes.contains("= nodes.pair.list") && nodes.contains("operator.pairing"), "{nodes}");
}
