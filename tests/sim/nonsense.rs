//! What a broken or hostile client says after its handshake.

use std::time::Duration;

use async_tungstenite::tungstenite::Message;
use serde_json::json;

use super::claims::Watch;
use super::client::Client;

/// Says something that no client should. `max_payload` is the largest message that is taken.
pub fn talk(dice: &mut fastrand::Rng, client: &Client, watch: &mut Watch, max_payload: usize, now: Duration) {
    match dice.u32(0..9) {
        0 => client.send_text("this is no JSON".to_owned()),
        1 => {
            watch.asked("invalid", "", None, now);
            client.send(&json!({"type": "req", "method": "health"}));
        }
        2 => {
            watch.asked("odd", "", None, now);
            client.send(&json!({"type": "req", "id": "odd", "method": "health", "extra": [[[[]]]]}));
        }
        3 => {
            watch.asked("deep", "", None, now);
            let deep = "[".repeat(300) + &"]".repeat(300);
            client.send_text(format!("{{\"type\":\"req\",\"id\":\"deep\",\"method\":\"health\",\"params\":{deep}}}"));
        }
        4 => client.send_message(vec![0_u8, 159, 146, 150].into()),
        // Just at the bound, and just over it.
        5 => {
            watch.asked("huge", "", None, now);
            let empty = json!({"type": "req", "id": "huge", "method": "nosuch", "params": {"x": ""}}).to_string();
            let over = dice.usize(0..2);
            let filled = "a".repeat(max_payload + over - empty.len());
            client.send_text(empty.replace("\"x\":\"\"", &format!("\"x\":\"{filled}\"")));
        }
        6 => {
            watch.garbled = true;
            client.send_raw(vec![0x81, 0xff, 0, 0]);
        }
        7 => {
            for _ in 0..50 {
                client.send_message(Message::Ping(vec![7; 100].into()));
            }
        }
        _ => {
            for _ in 0..dice.u32(2..6) {
                watch.asked("same", "health", None, now);
                client.request("same", "health", json!({}));
            }
        }
    }
}
