//! Bounds at the door.

use super::client::{Ended, Who};
use super::home::{Furnishing, Home};
use super::provider::says;

fn home(limits: &[(&'static str, u64)]) -> Home {
    Home::new(Furnishing::new(1, |request| says(request, "Hello.")).limits(limits))
}

#[test]
fn a_client_of_either_dialect_gets_an_answer() {
    use serde_json::json;
    let home = home(&[]);
    for who in [Who::native(), Who::guide()] {
        let client = home.admit(who);
        client.request(
            "1",
            "chat.send",
            json!({"sessionKey": "main", "message": "hi", "idempotencyKey": format!("{:?}", client.dialect)}),
        );
        home.run_ms(5_000);
        assert_eq!(client.reply("1")["payload"]["status"], "started");
        assert_eq!(client.events("chat").last().unwrap()["state"], "final", "{:?}", client.received());
        client.close();
        home.run_ms(5_000);
        assert_eq!(client.closed(), Some(Ended::Lost));
    }
}
