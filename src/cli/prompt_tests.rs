use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use serde_json::json;
use smol::future::zip;

use super::super::args::Chat;
use super::super::console::testing::console;
use super::super::fake::{Gateway, Peer};
use super::super::input::Interrupts;
use super::*;
use crate::sys::Clock;
use crate::sys::clock::RealClock;

/// A conversation with this script; the script types into the stream that it gets.
fn conversed<F: Future<Output = ()>>(
    serve: impl FnOnce(Gateway, UnixStream, smol::channel::Sender<()>) -> F,
) -> (Result<(), Failure>, String, String) {
    smol::block_on(async {
        let gateway = Gateway::bind().await;
        let (typing, reading) = UnixStream::pair().unwrap();
        let mut lines = Lines::of(File::from(OwnedFd::from(reading))).unwrap();
        let (mut console, out, err) = console(false);
        let (interrupt, interrupts) = smol::channel::bounded(4);
        let args = Chat { session: "main".into(), ..Chat::default() };
        let clock: Rc<dyn Clock> = Rc::new(RealClock::start());
        let mut talk = Talk::new(&args, gateway.target(), clock, &mut console, Interrupts::of(interrupts));
        let conversing = async {
            let outcome = converse(&mut talk, &mut lines).await;
            talk.hang_up().await;
            outcome
        };
        let (outcome, ()) = zip(conversing, serve(gateway, typing, interrupt)).await;
        drop(talk);
        (outcome, out.text(), err.text())
    })
}

async fn greeted(gateway: &Gateway) -> Peer {
    let mut peer = gateway.greet(1).await;
    let history = peer.expect("chat.history").await;
    assert_eq!(history["params"], json!({"sessionKey": "main", "limit": 6}));
    let messages = json!([
        {"role": "user", "content": "before"},
        {"role": "toolResult", "toolCallId": "t", "content": [{"type": "text", "text": "hidden"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "x".repeat(700)}]},
    ]);
    peer.reply(&history, &json!({"messages": messages})).await;
    peer
}

async fn answer(peer: &mut Peer, message: &str, text: &str) {
    let request = peer.expect("chat.send").await;
    assert_eq!(request["params"]["message"], message);
    peer.reply(&request, &json!({"status": "started"})).await;
    peer.chat(&request, "final", text).await;
}

#[test]
fn a_conversation_shows_what_was_said_and_ends_with_the_input() {
    let (outcome, out, err) = conversed(|gateway, mut typing, _| async move {
        let mut peer = greeted(&gateway).await;
        typing.write_all(b"one\n\n/help").unwrap();
        drop(typing);
        answer(&mut peer, "one", "1").await;
        answer(&mut peer, "/help", "ask away").await;
    });
    let shown = format!("you> before\n{} …\n", "x".repeat(600));
    assert_eq!((outcome, err.as_str()), (Ok(()), ""));
    let (greeting, rest) = out.split_once('\n').unwrap();
    assert!(greeting.starts_with("Barnacle 9.9.9 on pi, session main."), "{greeting}");
    assert_eq!(rest, format!("{shown}you> 1\n\nyou> you> ask away\n\nyou> \n"));
}

#[test]
fn a_connection_that_breaks_at_the_prompt_is_made_anew_by_the_next_message() {
    let (outcome, out, err) = conversed(|gateway, mut typing, _| async move {
        greeted(&gateway).await.close(1012, "service restart").await;
        typing.write_all(b"still there?\n").unwrap();
        let mut peer = gateway.greet(1).await;
        answer(&mut peer, "still there?", "yes").await;
        typing.write_all(b"/quit\n").unwrap();
    });
    assert_eq!((outcome, err.as_str()), (Ok(()), ""));
    assert!(out.ends_with("you> yes\n\nyou> "), "{out}");
}

#[test]
fn a_failed_answer_goes_back_to_the_prompt_and_ctrl_c_there_ends() {
    let (outcome, out, err) = conversed(|gateway, mut typing, interrupt| async move {
        let mut peer = greeted(&gateway).await;
        typing.write_all(b"one\n").unwrap();
        let request = peer.expect("chat.send").await;
        peer.refuse(&request, &json!({"code": "UNAVAILABLE", "message": "too many runs"})).await;
        interrupt.send(()).await.unwrap();
        peer.read().await;
    });
    assert_eq!((outcome, err.as_str()), (Ok(()), "error: UNAVAILABLE: too many runs\n"));
    assert!(out.ends_with("you> you> \n"), "{out}");
}
