//! Bounds before the handshake: how many come in, how long they may take, how much they may say.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use barnacle::limits::AUTH_LOCKOUT_MS;
use barnacle::net::pipe::End;
use barnacle::net::socket::Socket;
use serde_json::json;
use smol::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::client::{Client, Ended, Who};
use super::home::{Furnishing, Home, SOCKET_BYTES};
use super::provider::says;

fn home(limits: &[(&'static str, u64)]) -> Home {
    Home::new(Furnishing::new(1, |request| says(request, "Hello.")).limits(limits))
}

/// Sends bytes and reads until the gateway ends the connection or `wait` has passed.
fn say(home: &Home, end: &End, bytes: &[u8], wait: Duration) -> String {
    let heard = Rc::new(RefCell::new(Vec::new()));
    let (mut reader, mut writer) = (Socket::Pipe(end.clone()), Socket::Pipe(end.clone()));
    let (slot, bytes) = (Rc::clone(&heard), bytes.to_vec());
    let read = home.world.tasks().spawn(async move {
        let mut buffer = [0; 1024];
        while let Ok(count @ 1..) = reader.read(&mut buffer).await {
            slot.borrow_mut().extend_from_slice(&buffer[..count]);
        }
    });
    let write = home.world.tasks().spawn(async move {
        let _ = writer.write_all(&bytes).await;
    });
    home.run_for(wait);
    drop((read, write));
    let heard = heard.take();
    String::from_utf8_lossy(&heard).into_owned()
}

fn dial(home: &Home) -> End {
    home.dial([127, 0, 0, 1].into(), SOCKET_BYTES)
}

fn get(head: &str) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\n{head}\r\n").into_bytes()
}

fn refused(home: &Home, who: Who, status: u16) -> Client {
    let client = home.connect(who);
    home.run_ms(1);
    assert_eq!(client.closed(), Some(Ended::Refused(status)));
    client
}

#[test]
fn a_client_of_either_dialect_gets_an_answer() {
    let home = home(&[]);
    for who in [Who::native(), Who::guide()] {
        let client = home.admit(who);
        let key = format!("{:?}", client.dialect);
        client.request("1", "chat.send", json!({"sessionKey": "main", "message": "hi", "idempotencyKey": key}));
        home.run_ms(5_000);
        assert_eq!(client.reply("1")["payload"]["status"], "started");
        assert_eq!(client.events("chat").last().unwrap()["state"], "final", "{:?}", client.received());
        client.close();
        home.run_ms(5_000);
        assert!(client.closed().is_some());
    }
    assert_eq!(home.front.doors.open(), 0);
}

#[test]
fn connections_one_too_many_gets_503_and_a_place_that_is_left_is_free() {
    let home =
        home(&[("connections", 4), ("pendingConnections", 4), ("connectionsPerAddress", 4), ("pendingPerAddress", 4)]);
    let mut clients: Vec<_> = (0..4).map(|_| home.admit(Who::native())).collect();
    refused(&home, Who::native(), 503);
    drop(clients.pop());
    home.run_ms(10_000);
    home.admit(Who::native());
}

#[test]
fn connections_per_address_count_for_others_and_not_for_this_machine() {
    let home = home(&[("connectionsPerAddress", 2)]);
    let here: Vec<_> = (0..3).map(|_| home.admit(Who::native())).collect();
    let there: Vec<_> = (0..2).map(|_| home.admit(Who::native().from([10, 0, 0, 1]))).collect();
    refused(&home, Who::native().from([10, 0, 0, 1]), 503);
    home.admit(Who::native().from([10, 0, 0, 2]));
    assert_eq!((here.len(), there.len()), (3, 2));
}

#[test]
fn pending_connections_one_too_many_gets_503_even_on_this_machine() {
    for limits in
        [[("pendingConnections", 2), ("pendingPerAddress", 2)], [("pendingConnections", 9), ("pendingPerAddress", 2)]]
    {
        let home = home(&limits);
        let silent = Who { introduces_itself: false, ..Who::native() };
        let waiting: Vec<_> = (0..2).map(|_| home.connect(silent.clone())).collect();
        home.run_ms(1);
        refused(&home, Who::native(), 503);
        home.run_ms(20_000);
        home.admit(Who::native());
        assert!(waiting.iter().all(|client| client.closed() == Some(Ended::Closed(1000, String::new()))));
    }
}

#[test]
fn handshake_ms_ends_a_slow_head_with_408_and_a_silent_socket_with_1000() {
    let home = home(&[("handshakeMs", 3000)]);
    let answer = say(&home, &dial(&home), b"GET / HTTP/1.1\r\nHost: local", Duration::from_millis(3_200));
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer:?}");
    let silent = home.connect(Who { introduces_itself: false, ..Who::native() });
    home.run_ms(2_900);
    assert_eq!(silent.closed(), None);
    home.run_ms(200);
    assert_eq!(silent.closed(), Some(Ended::Closed(1000, String::new())));
    home.run_ms(60_000);
    assert_eq!(home.front.doors.open(), 0);
}

#[test]
fn a_request_head_over_its_bound_gets_431() {
    let home = home(&[]);
    let bomb = get(&format!("Host: localhost\r\nX-Long: {}\r\n", "a".repeat(9 * 1024)));
    let many = get(&format!("Host: localhost\r\n{}", "X: y\r\n".repeat(100)));
    for head in [bomb, many] {
        let answer = say(&home, &dial(&home), &head, Duration::from_secs(1));
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer:?}");
    }
    home.run_ms(60_000);
    assert_eq!(home.front.doors.open(), 0);
}

#[test]
fn a_foreign_host_or_origin_gets_403() {
    let home = home(&[]);
    refused(&home, Who { headers: &[("Origin", "https://evil.example")], ..Who::native() }, 403);
    let answer = say(&home, &dial(&home), &get("Host: evil.example\r\n"), Duration::from_secs(1));
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer:?}");
    home.admit(Who { headers: &[("Origin", "http://localhost")], ..Who::native() });
}

#[test]
fn a_handshake_message_over_its_bound_is_closed_with_1009() {
    let home = home(&[]);
    let client = home.connect(Who { introduces_itself: false, socket_bytes: 1 << 20, ..Who::native() });
    client.send_text(format!("{{\"x\":\"{}\"}}", "a".repeat(64 * 1024)));
    home.run_ms(1);
    assert_eq!(client.closed(), Some(Ended::Closed(1009, String::new())));
}

#[test]
fn auth_failures_lock_the_address_out_on_loopback_too_and_tell_when_to_come_back() {
    let home = home(&[("authFailures", 3)]);
    let wrong = Who { token: "wrong", ..Who::native() };
    for attempt in 1..=3 {
        let client = home.connect(wrong.clone());
        home.run_ms(1);
        let waits = client.reply("connect")["error"]["retryAfterMs"].as_u64();
        assert_eq!(waits, (attempt == 3).then_some(AUTH_LOCKOUT_MS));
    }
    let right = home.connect(Who::native());
    home.run_ms(1);
    assert!(right.reply("connect")["error"]["retryAfterMs"].as_u64().is_some());
    assert!(matches!(right.closed(), Some(Ended::Closed(1008, _))), "{:?}", right.closed());
    home.admit(Who::native().from([10, 0, 0, 9]));
    home.run_ms(AUTH_LOCKOUT_MS);
    home.admit(Who::native());
}
