//! Bounds on what waits for readers who are slow, and what others notice of them: nothing.

use std::time::Duration;

use serde_json::json;

use super::client::{Client, Ended, Who};
use super::home::{Furnishing, Home};
use super::provider::says_slowly;

/// A gateway whose model talks for six seconds; its events make about half a megabyte.
fn home(limits: &[(&'static str, u64)]) -> Home {
    let text = "all work and no play ".repeat(50);
    let talk = move |request: &_| says_slowly(request, &text, 30, Duration::from_millis(200));
    Home::new(Furnishing::new(4, talk).limits(limits))
}

fn slow(home: &Home) -> Client {
    let client = home.admit(Who { socket_bytes: 4096, ..Who::native() });
    client.pause();
    client
}

fn ask(client: &Client, key: &str) {
    client.request(key, "chat.send", json!({"sessionKey": "main", "message": "talk", "idempotencyKey": key}));
}

/// Every event of a connection has come.
fn misses_nothing(client: &Client) {
    let received = client.received();
    let numbers: Vec<_> = received.iter().filter_map(|got| got.json["seq"].as_u64()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    assert_eq!(client.closed(), None);
}

const TIGHT: [(&str, u64); 3] = [("maxBufferedBytes", 262_144), ("historyBytes", 65_536), ("tickIntervalMs", 1000)];

#[test]
fn max_buffered_bytes_skips_what_may_be_skipped_then_closes_and_nobody_else_notices() {
    let home = home(&TIGHT);
    let (slow, healthy) = (slow(&home), home.admit(Who::native()));
    ask(&healthy, "1");
    let mut skipped_first = false;
    for _ in 0..400 {
        home.run_ms(50);
        let counters = home.gateway().hub.counters();
        skipped_first |= counters.events_skipped > 0 && counters.slow_closed == 0;
    }
    assert!(skipped_first);
    assert_eq!(home.gateway().hub.counters().slow_closed, 1);
    slow.resume();
    home.run_ms(100);
    assert_eq!(slow.closed(), Some(Ended::Closed(1008, "slow consumer".to_owned())));
    assert_eq!(healthy.events("chat").last().unwrap()["state"], "final");
    misses_nothing(&healthy);
}

#[test]
fn total_buffered_bytes_closes_whoever_holds_most() {
    let home = home(&[("maxBufferedBytes", 1 << 20), ("totalBufferedBytes", 1 << 20), ("historyBytes", 262_144)]);
    let healthy = home.admit(Who::native());
    let largest = slow(&home);
    ask(&healthy, "1");
    home.run_ms(7_000);
    let smaller = slow(&home);
    ask(&healthy, "2");
    let closed = || home.gateway().hub.counters().slow_closed;
    home.world.run_until(Duration::from_secs(20), || closed() == 1);
    assert_eq!(closed(), 1);
    largest.resume();
    smaller.resume();
    home.run_ms(20_000);
    assert_eq!(largest.closed(), Some(Ended::Closed(1008, "slow consumer".to_owned())));
    assert_eq!((smaller.closed(), closed()), (None, 1));
    misses_nothing(&healthy);
}

#[test]
fn write_stall_ms_cuts_a_socket_that_takes_nothing() {
    let home = home(&[("writeStallMs", 5_000)]);
    let (slow, healthy) = (slow(&home), home.admit(Who::native()));
    ask(&healthy, "1");
    home.run_ms(5_000);
    assert_eq!(home.front.doors.open(), 2);
    home.run_ms(6_000);
    assert_eq!(home.front.doors.open(), 1);
    slow.resume();
    home.run_ms(1);
    assert_eq!(slow.closed(), Some(Ended::Lost));
    misses_nothing(&healthy);
}

#[test]
fn a_reader_that_is_merely_slow_gets_everything() {
    let home = home(&[("writeStallMs", 5_000)]);
    let (slow, healthy) = (slow(&home), home.admit(Who::native()));
    slow.socket.chop(700);
    ask(&healthy, "1");
    for round in 0..100 {
        if round % 2 == 0 {
            slow.resume()
        } else {
            slow.pause()
        }
        home.run_ms(200);
    }
    slow.resume();
    home.run_ms(1_000);
    misses_nothing(&slow);
    assert_eq!(slow.events("chat").last(), healthy.events("chat").last());
}
