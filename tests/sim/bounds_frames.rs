//! Bounds on what an admitted client may send.

use async_tungstenite::tungstenite::Message;
use serde_json::json;

use super::client::{Client, Ended, Who};
use super::home::{Furnishing, Home};
use super::provider::{says, stalls};

const MIB: u64 = 1 << 20;

fn home(limits: &[(&'static str, u64)]) -> Home {
    Home::new(Furnishing::new(2, |request| says(request, "Hello.")).limits(limits))
}

fn wide(who: Who) -> Who {
    Who { socket_bytes: 4 << 20, ..who }
}

/// A request that is `bytes` long as a whole.
fn request_of(bytes: usize) -> String {
    let empty = json!({"type": "req", "id": "1", "method": "nosuch", "params": {"x": ""}}).to_string();
    empty.replace("\"x\":\"\"", &format!("\"x\":\"{}\"", "a".repeat(bytes - empty.len())))
}

/// A frame header for `length` bytes of payload, masked with zeros.
fn header(first: u8, length: u64) -> Vec<u8> {
    let mut bytes = vec![first, 0xff];
    bytes.extend(length.to_be_bytes());
    bytes.extend([0; 4]);
    bytes
}

fn still_serves(home: &Home, client: &Client) {
    client.request("still", "health", json!({}));
    home.run_ms(10);
    assert_eq!(client.reply("still")["ok"], true);
}

#[test]
fn max_payload_exactly_is_answered_and_one_byte_more_is_closed_with_1009() {
    let home = home(&[("maxPayload", 16_384)]);
    let exact = home.admit(wide(Who::native()));
    exact.send_text(request_of(16_384));
    home.run_ms(10);
    assert_eq!(exact.reply("1")["error"]["message"], "unknown method: nosuch");
    let over = home.admit(wide(Who::native()));
    over.send_text(request_of(16_385));
    home.run_ms(10);
    assert_eq!(over.closed(), Some(Ended::Closed(1009, String::new())));
    still_serves(&home, &exact);
}

#[test]
fn endless_fragments_are_closed_with_1009() {
    let home = home(&[("maxPayload", 16_384)]);
    let client = home.admit(wide(Who::native()));
    client.send_raw(header(0x01, 10).into_iter().chain([b'a'; 10]).collect());
    for _ in 0..3_000 {
        client.send_raw(header(0x00, 1).into_iter().chain(*b"a").collect());
    }
    home.run_ms(10);
    assert_eq!(client.closed(), Some(Ended::Closed(1009, String::new())));
}

#[test]
fn total_incoming_bytes_turns_away_the_last_of_many_half_sent_messages_with_1013() {
    let home = home(&[("totalIncomingBytes", MIB), ("maxPayload", MIB / 2)]);
    let clients: Vec<_> = (0..4).map(|_| home.admit(wide(Who::native()))).collect();
    for client in &clients {
        client.send_raw(header(0x81, 400_000).into_iter().chain(vec![b'a'; 390_000]).collect());
    }
    home.run_ms(10);
    let ends: Vec<_> = clients.iter().map(Client::closed).collect();
    let cut = Some(Ended::Closed(1013, "gateway is out of buffer space".to_owned()));
    assert_eq!(ends.iter().filter(|end| **end == cut).count(), 2, "{ends:?}");
    assert_eq!(ends.iter().filter(|end| end.is_none()).count(), 2, "{ends:?}");
    drop(clients);
    home.run_ms(60_000);
    assert_eq!(home.gateway().incoming.used(), 0);
}

#[test]
fn deep_json_is_refused_or_ignored_and_the_connection_goes_on() {
    let home = home(&[]);
    let client = home.admit(wide(Who::native()));
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    client.send_text(format!("{{\"type\":\"req\",\"id\":\"deep\",\"method\":\"health\",\"params\":{deep}}}"));
    client.send_text(deep);
    home.run_ms(10);
    assert_eq!(client.reply("deep")["error"]["code"], "INVALID_REQUEST");
    still_serves(&home, &client);
}

#[test]
fn a_flood_of_pings_that_reads_no_pongs_gets_few_of_them() {
    let home = home(&[("maxBufferedBytes", 262_144), ("historyBytes", 65_536)]);
    let other = home.admit(Who::native());
    let client = home.admit(Who { socket_bytes: 2048, ..Who::native() });
    client.pause();
    for _ in 0..20_000 {
        client.send_message(Message::Ping(vec![0; 125].into()));
    }
    home.run_ms(10);
    let unsent = home.gateway().outgoing.used();
    assert!((1..=2048).contains(&unsent), "{unsent}");
    still_serves(&home, &other);
}

#[test]
fn calls_per_connection_one_too_many_is_unavailable_and_retryable() {
    let home = home(&[("callsPerConnection", 3)]);
    let client = home.admit(Who::native());
    for index in 0..4 {
        client.request(&index.to_string(), "agent.wait", json!({"runId": "none", "timeoutMs": 1000}));
    }
    home.run_ms(10);
    let refusal = client.reply("3");
    assert_eq!((&refusal["error"]["code"], &refusal["error"]["retryable"]), (&json!("UNAVAILABLE"), &json!(true)));
    assert!(client.replies("2").is_empty());
    home.run_ms(1_000);
    assert_eq!(client.reply("2")["payload"]["status"], "timeout");
    assert_eq!(home.gateway().calls.used(), 0);
}

#[test]
fn calls_in_flight_of_all_connections_are_bounded_too_and_freed_with_a_connection() {
    let home = home(&[("callsInFlight", 4), ("callsPerConnection", 4)]);
    let (greedy, other) = (home.admit(Who::native()), home.admit(Who::guide()));
    for index in 0..4 {
        greedy.request(&index.to_string(), "agent.wait", json!({"runId": "none", "timeoutMs": 100_000}));
    }
    other.request("1", "agent.wait", json!({"runId": "none", "timeoutMs": 0}));
    home.run_ms(10);
    assert_eq!(other.reply("1")["error"]["code"], "UNAVAILABLE");
    still_serves(&home, &other);
    drop(greedy);
    home.run_ms(5_000);
    assert_eq!((home.gateway().calls.used(), home.gateway().incoming.used()), (0, 0));
    other.request("2", "agent.wait", json!({"runId": "none", "timeoutMs": 0}));
    home.run_ms(10);
    assert_eq!(other.reply("2")["payload"]["status"], "timeout");
}

#[test]
fn whoever_waits_for_runs_that_do_not_exist_and_leaves_leaves_nothing_behind() {
    let home = home(&[]);
    for round in 0..3 {
        let client = home.admit(Who::native());
        for index in 0..50 {
            let run = format!("none-{round}-{index}");
            client.request(&run, "agent.wait", json!({"runId": run, "timeoutMs": 3_600_000}));
        }
        home.run_ms(10);
        drop(client);
        home.run_ms(5_000);
    }
    assert_eq!(home.gateway().runs.remembered(), 0);
}

#[test]
fn idempotency_keys_over_their_bound_forget_the_oldest() {
    let home = home(&[("idempotencyKeys", 16)]);
    let client = home.admit(Who::native());
    let send = |id: &str, key: &str| {
        client.request(id, "chat.send", json!({"sessionKey": "main", "message": "/help", "idempotencyKey": key}));
        home.run_ms(100);
        client.reply(id)["payload"]["status"].as_str().unwrap_or_default().to_owned()
    };
    for index in 0..17 {
        assert_eq!(send(&format!("a{index}"), &format!("k{index}")), "started");
    }
    assert_eq!((send("b16", "k16").as_str(), send("b0", "k0").as_str()), ("ok", "started"));
    assert_eq!(home.gateway().answers.len(), 16);
}

#[test]
fn a_key_in_use_starts_nothing_a_second_time_even_when_its_first_caller_is_gone() {
    let home = Home::new(Furnishing::new(3, |request| stalls(request, "Hm")));
    let slow = std::time::Duration::from_millis(500);
    home.files.run_on(home.world.clock.clone(), slow);
    for method in ["chat.send", "agent"] {
        let (gone, back) = (home.admit(Who::native()), home.admit(Who::native()));
        let params = json!({"sessionKey": method, "message": "once", "idempotencyKey": method});
        gone.request("1", method, params.clone());
        home.run_ms(100);
        drop(gone);
        back.request("2", method, params.clone());
        back.request("3", method, params.clone());
        home.run_ms(200_000);
        back.request("4", method, params);
        back.request("history", "chat.history", json!({"sessionKey": method}));
        home.run_ms(5_000);
        let history = back.reply("history");
        let messages = history["payload"]["messages"].as_array().unwrap();
        assert_eq!(messages.iter().filter(|message| message["role"] == "user").count(), 1, "{history}");
        assert_eq!(back.replies("3").len(), 1, "{:?}", back.replies("3"));
    }
    assert_eq!(home.gateway().runs.counts(), (0, 0));
}
