use serde_json::Value;
use smol::future::zip;
use smol::io::AsyncWriteExt as _;

use super::super::exit::{Exit, Failure};
use super::super::fake::{Gateway, Peer};
use super::*;
use crate::sys::clock::RealClock;

fn clock() -> Rc<dyn Clock> {
    Rc::new(RealClock::start())
}

fn impatient() -> Patience {
    Patience { connect: Duration::from_millis(100), handshake: Duration::from_millis(100) }
}

/// What connecting fails with, when the gateway does this with the client's `connect`.
fn failure<F: Future<Output = ()>>(serve: impl FnOnce(Peer, Value) -> F) -> Failure {
    smol::block_on(async {
        let gateway = Gateway::bind().await;
        let target = gateway.target();
        let clock = clock();
        let served = async {
            let mut peer = gateway.accept().await;
            let connect = peer.read().await;
            serve(peer, connect).await;
        };
        let (client, ()) = zip(Client::connect(&clock, &target, impatient()), served).await;
        client.unwrap_err().explain(&target)
    })
}

#[test]
fn the_first_frame_is_a_connect_that_an_existing_gateway_accepts() {
    smol::block_on(async {
        let gateway = Gateway::bind().await;
        let (target, clock) = (gateway.target(), clock());
        let served = async {
            let mut peer = gateway.accept().await;
            let mut connect = peer.read().await;
            let opened = crate::wire::DIALECTS[0].open(connect.as_object().unwrap()).unwrap().unwrap();
            assert_eq!((opened.client.id.as_str(), opened.client.mode.as_str()), ("cli", "cli"));
            assert_eq!(opened.scopes, SCOPES);
            assert!(opened.credentials.token.unwrap().matches("right"));
            peer.reply(&connect.take(), &serde_json::json!({"type": "hello-ok"})).await;
        };
        let (client, ()) = zip(Client::connect(&clock, &target, impatient()), served).await;
        // A greeting that says nothing is still one; the smallest limit that a gateway has then holds.
        assert_eq!(client.unwrap().hello().policy.max_payload, 512 * 1024);
    });
}

#[test]
fn a_wrong_token_is_unauthorized_and_the_hint_says_where_it_came_from() {
    let refused = failure(|mut peer, connect| async move {
        let error = serde_json::json!({"code": "INVALID_REQUEST", "message": "unauthorized: gateway token mismatch", "retryAfterMs": 4100});
        peer.refuse(&connect, &error).await;
        peer.close(1008, "unauthorized").await;
    });
    assert_eq!(refused.exit, Exit::Unauthorized);
    assert_eq!(refused.message.unwrap(), "INVALID_REQUEST: unauthorized: gateway token mismatch (try again in 5 s)");
    assert!(refused.hint.unwrap().contains("command line"));
    let closed = failure(|peer, _| peer.close(1008, "unauthorized: gateway token missing"));
    assert_eq!(closed.exit, Exit::Unauthorized);
    let unpaired = failure(|mut peer, connect| async move {
        peer.refuse(&connect, &serde_json::json!({"code": "NOT_PAIRED", "message": "device identity required"})).await;
    });
    assert_eq!(unpaired.exit, Exit::Unauthorized);
}

#[test]
fn other_refusals_and_closes_are_told_apart() {
    let mismatch = failure(|mut peer, connect| async move {
        peer.refuse(&connect, &serde_json::json!({"code": "INVALID_REQUEST", "message": "protocol mismatch"})).await;
    });
    assert_eq!(
        (mismatch.exit, mismatch.message.as_deref()),
        (Exit::Failed, Some("INVALID_REQUEST: protocol mismatch"))
    );
    let restart = failure(|peer, _| peer.close(1012, "service restart"));
    assert_eq!(restart.exit, Exit::NoConnection);
    assert!(restart.message.unwrap().contains("restarting"));
    let cut = failure(|peer, _| async move { drop(peer) });
    assert_eq!(cut.exit, Exit::NoConnection);
}

#[test]
fn endless_silence_ends_in_time() {
    let before = Duration::from_millis(100);
    let silent = failure(|peer, _| async move {
        clock().sleep(before + Duration::from_millis(50)).await;
        drop(peer);
    });
    assert_eq!(silent.exit, Exit::Timeout);
    assert!(silent.message.unwrap().contains("the greeting"));
}

#[test]
fn nobody_there_and_somebody_else_there_are_told_apart() {
    smol::block_on(async {
        let gateway = Gateway::bind().await;
        let (target, clock) = (gateway.target(), clock());
        drop(gateway);
        let nobody = Client::connect(&clock, &target, impatient()).await.unwrap_err().explain(&target);
        assert_eq!(nobody.exit, Exit::NoConnection);
        assert!(nobody.hint.unwrap().contains("barnacle run"));

        let listener = async_net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Target {
            endpoint: super::super::endpoint::Endpoint::local(listener.local_addr().unwrap().port()),
            ..target
        };
        for (answer, part) in [
            (&b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"[..], "HTTP 404"),
            (b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n", "no more connections"),
            (b"220 mail ready\r\n", "not a gateway"),
        ] {
            let served = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.write_all(answer).await.unwrap();
                stream
            };
            let (client, _stream) = zip(Client::connect(&clock, &target, impatient()), served).await;
            let failure = client.unwrap_err().explain(&target);
            assert_eq!(failure.exit, Exit::NoConnection);
            let message = failure.message.unwrap();
            assert!(message.contains(part), "{message}");
        }
    });
}

#[test]
fn a_message_over_the_gateways_limit_is_not_sent() {
    smol::block_on(async {
        let gateway = Gateway::bind().await;
        let (target, clock) = (gateway.target(), clock());
        let (client, mut peer) = zip(Client::connect(&clock, &target, impatient()), gateway.greet(1)).await;
        let mut client = client.unwrap();
        let error = client.request("x", &"y".repeat(4096)).await.unwrap_err();
        assert!(matches!(error, ClientError::TooLarge(_, 4096)) && !error.is_passing());
        let ((), request) = zip(
            async {
                client.request("health", &()).await.unwrap();
            },
            peer.read(),
        )
        .await;
        assert_eq!(request["method"], "health");
    });
}

#[test]
fn unknown_frames_are_left_out_and_garbage_is_not() {
    smol::block_on(async {
        let gateway = Gateway::bind().await;
        let (target, clock) = (gateway.target(), clock());
        let (client, mut peer) = zip(Client::connect(&clock, &target, impatient()), gateway.greet(1)).await;
        let mut client = client.unwrap();
        peer.send(&serde_json::json!({"type": "novelty", "x": 1})).await;
        peer.send(&serde_json::json!({"type": "res", "id": 7, "ok": true})).await;
        peer.send(&serde_json::json!([1])).await;
        let Incoming::Reply(reply) = client.next().await.unwrap() else { panic!() };
        assert_eq!((reply.id.as_str(), reply.outcome.unwrap().get()), ("7", "null"));
        assert!(matches!(client.next().await.unwrap_err(), ClientError::NotAGateway(_)));
    });
}
