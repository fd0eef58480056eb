//! Channels in the real gateway, in virtual time: a message comes in, is answered and goes back; strangers
//! are asked for a code; what was taken is sent after a power cut.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};

use super::client::{Client, Who};
use super::home::{Furnishing, Home};
use super::provider::{says, stalls};

/// A home with the test channel, and the prompts that its model got.
struct House {
    home: Home,
    prompts: Rc<RefCell<Vec<String>>>,
}

impl House {
    fn new(channels: &'static str) -> Self {
        let prompts: Rc<RefCell<Vec<String>>> = Rc::default();
        let seen = Rc::clone(&prompts);
        let furnishing = Furnishing::new(3, move |request| {
            seen.borrow_mut().push(String::from_utf8_lossy(&request.body).into_owned());
            says(request, "Two eggs.")
        });
        Self { home: Home::new(Furnishing { channels, ..furnishing }), prompts }
    }

    fn call(&self, client: &Client, id: &str, method: &str, params: Value) -> Value {
        client.request(id, method, params);
        self.home.run_ms(500);
        client.reply(id)
    }

    fn send(&self, client: &Client, to: &str, key: &str) {
        let params = json!({"channel": "loopback", "to": to, "message": "ring", "idempotencyKey": key});
        assert_eq!(self.call(client, key, "send", params)["ok"], true);
        self.home.run_ms(2000);
    }

    /// Recipient and text of what was sent last, newest first.
    fn outbox(&self, client: &Client, id: &str) -> Vec<(String, String)> {
        let status = self.call(client, id, "channels.status", json!({}));
        let outbox = status["payload"]["channelAccounts"]["loopback"][0]["outbox"].as_array().unwrap().clone();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        outbox.iter().map(|sent| (text(&sent["to"]), text(&sent["text"]))).collect()
    }
}

const OPEN: &str = "{loopback:{dmPolicy:'open',allowFrom:['*'],groups:{'*':{requireMention:false}}}}";

#[test]
fn a_message_from_a_channel_is_answered_there_and_its_session_knows_the_way() {
    let house = House::new(OPEN);
    let client = house.home.admit(Who::native());
    house.send(&client, "echo/ann:how many?", "a");
    assert_eq!(house.outbox(&client, "o1")[0], ("ann".to_owned(), "Two eggs.".to_owned()));
    assert!(house.prompts.borrow()[0].contains("[Loopback ann id:ann "), "{}", house.prompts.borrow()[0]);
    assert!(client.events("chat").iter().any(|event| event["state"] == "final"));
    let history = house.call(&client, "h", "chat.history", json!({"sessionKey": "main"}));
    let said = history["payload"]["messages"].as_array().unwrap().iter().find(|message| message["role"] == "user");
    assert_eq!(said.unwrap()["content"][0]["text"], "how many?");
    let rows = house.call(&client, "l", "sessions.list", json!({}))["payload"]["sessions"].clone();
    assert_eq!(
        rows[0]["deliveryContext"],
        json!({"channel": "loopback", "to": "loopback:ann", "accountId": "default"})
    );
    assert_eq!(rows[0]["origin"]["from"], "loopback:ann");

    house.send(&client, "echo/ann/kitchen:and bread?", "b");
    assert_eq!(house.outbox(&client, "o2")[0].0, "group:kitchen");
    let rows = house.call(&client, "l2", "sessions.list", json!({}))["payload"]["sessions"].clone();
    assert_eq!(rows[0]["key"], "agent:main:loopback:group:kitchen");

    // A command is answered without a model, and a stop phrase too.
    let asked = house.prompts.borrow().len();
    house.send(&client, "echo/ann:/whoami", "c");
    assert!(house.outbox(&client, "o3")[0].1.contains("Id: ann"));
    house.send(&client, "echo/ann:stop", "d");
    assert_eq!(house.outbox(&client, "o4")[0].1, "Stopped.");
    assert_eq!(house.prompts.borrow().len(), asked);

    // The answer to a client goes to the last channel too when it says so.
    let params = json!({"sessionKey": "main", "message": "hi", "deliver": true, "idempotencyKey": "e"});
    house.call(&client, "e", "chat.send", params);
    house.home.run_ms(2000);
    assert_eq!(house.outbox(&client, "o5")[0], ("ann".to_owned(), "Two eggs.".to_owned()));
}

#[test]
fn a_stranger_gets_a_code_once_and_no_answer_before_the_owner_agrees() {
    let house = House::new("{loopback:{}}");
    let client = house.home.admit(Who::native());
    house.send(&client, "echo/eve:let me in", "a");
    let (to, text) = house.outbox(&client, "o1")[0].clone();
    assert_eq!(to, "eve");
    let code = text.rsplit(' ').next().unwrap().to_owned();
    house.send(&client, "echo/eve:hello?", "b");
    assert_eq!(house.outbox(&client, "o2")[0].1, "ring", "no second code");
    assert!(house.prompts.borrow().is_empty());
    assert_eq!(client.events("channels.pair.requested")[0]["code"], code.as_str());
    let lower = json!({"code": code.to_lowercase()});
    let approved = house.call(&client, "p", "channels.pair.approve", lower.clone());
    assert_eq!(approved["payload"]["person"]["senderId"], "eve");
    assert_eq!(house.call(&client, "p2", "channels.pair.approve", lower)["error"]["code"], "INVALID_REQUEST");
    assert_eq!(client.events("channels.pair.resolved")[0]["decision"], "approved");
    house.home.run_ms(2000);
    assert!(house.outbox(&client, "o3")[0].1.contains("let you in"));
    house.send(&client, "echo/eve:now?", "c");
    assert_eq!(house.outbox(&client, "o4")[0], ("eve".to_owned(), "Two eggs.".to_owned()));
}

#[test]
fn three_strangers_wait_on_a_channel_and_a_fourth_hears_nothing() {
    let house = House::new("{loopback:{}}");
    let client = house.home.admit(Who::native());
    for name in ["a", "b", "c", "d"] {
        house.send(&client, &format!("echo/{name}:let me in"), name);
    }
    let told: Vec<_> = house.outbox(&client, "o").into_iter().filter(|(_, text)| text.contains("code")).collect();
    assert_eq!(told.iter().map(|(to, _)| to.as_str()).collect::<Vec<_>>(), ["c", "b", "a"]);
    let people = house.call(&client, "l", "channels.pair.list", json!({}));
    assert_eq!(people["payload"]["pending"].as_array().map(Vec::len), Some(3));
    let first = people["payload"]["pending"][0]["code"].clone();
    house.call(&client, "r", "channels.pair.reject", json!({"code": first}));
    house.send(&client, "echo/d:and now?", "e");
    assert!(house.outbox(&client, "o2")[0].1.contains("code"));
}

#[test]
fn a_message_that_was_taken_is_answered_after_a_power_cut_once() {
    for cut_after_ms in [1500, 3000, 30_000] {
        let asked: Rc<RefCell<usize>> = Rc::default();
        let count = Rc::clone(&asked);
        let furnishing = Furnishing::new(3, move |request| {
            *count.borrow_mut() += 1;
            // The first question is never answered to its end.
            if *count.borrow() == 1 { stalls(request, "Two") } else { says(request, "Two eggs.") }
        });
        let mut house = House { home: Home::new(Furnishing { channels: OPEN, ..furnishing }), prompts: Rc::default() };
        let client = house.home.admit(Who::native());
        let params =
            json!({"channel": "loopback", "to": "echo/ann:how many?", "message": "ring", "idempotencyKey": "a"});
        house.call(&client, "a", "send", params);
        house.home.run_ms(cut_after_ms);
        house.home.power_cut();
        house.home.run_ms(5000);
        let client = house.home.admit(Who::native());
        assert_eq!(house.outbox(&client, "o"), [("ann".to_owned(), "Two eggs.".to_owned())], "{cut_after_ms}");
        assert_eq!(*asked.borrow(), 2);
        house.home.power_cut();
        house.home.run_ms(5000);
        let client = house.home.admit(Who::native());
        assert!(house.outbox(&client, "o").is_empty(), "nothing is owed any more");
        let history = house.call(&client, "h", "chat.history", json!({"sessionKey": "main"}));
        let messages = history["payload"]["messages"].as_array().unwrap().clone();
        assert_eq!(messages.iter().filter(|message| message["role"] == "user").count(), 1);
    }
}

#[test]
fn a_message_that_ends_the_gateway_again_and_again_is_given_up_with_a_word() {
    let furnishing = Furnishing::new(3, |request| stalls(request, "Two"));
    let mut house = House { home: Home::new(Furnishing { channels: OPEN, ..furnishing }), prompts: Rc::default() };
    let client = house.home.admit(Who::native());
    let params = json!({"channel": "loopback", "to": "echo/ann:how many?", "message": "ring", "idempotencyKey": "a"});
    house.call(&client, "a", "send", params);
    house.home.run_ms(2000);
    for _ in 0..3 {
        house.home.power_cut();
        house.home.run_ms(2000);
    }
    let client = house.home.admit(Who::native());
    house.home.run_ms(2000);
    let told = house.outbox(&client, "o");
    assert_eq!((told.len(), told[0].0.as_str()), (1, "ann"));
    assert!(told[0].1.contains("Please send it again"), "{told:?}");
}

#[test]
fn what_waits_is_sent_after_a_power_cut_and_a_repeat_of_its_request_joins_it() {
    let mut house = House::new(OPEN);
    let client = house.home.admit(Who::native());
    let params = json!({"channel": "loopback", "to": "fail:6", "message": "late", "idempotencyKey": "k"});
    client.request("k", "send", params.clone());
    house.home.run_ms(20_000);
    house.home.power_cut();
    let client = house.home.admit(Who::native());
    client.request("again", "send", params);
    house.home.run_for(Duration::from_secs(26));
    let error = client.reply("again")["error"].clone();
    assert_eq!(error["code"], "UNAVAILABLE");
    assert!(error["message"].as_str().unwrap().starts_with("Error: not sent yet (told to fail"), "{error}");
    house.home.run_for(Duration::from_secs(3600));
    let sent = house.outbox(&client, "o");
    assert_eq!(sent, [("fail:6".to_owned(), "late".to_owned())]);
    let history = house.call(&client, "h", "chat.history", json!({"sessionKey": "main"}));
    assert_eq!(history["payload"]["messages"].as_array().map(Vec::len), Some(1));
}

#[test]
fn two_requests_with_one_key_share_one_message_and_a_caller_who_leaves_takes_nothing_along() {
    let house = House::new(OPEN);
    let (one, two) = (house.home.admit(Who::native()), house.home.admit(Who::guide()));
    let params = json!({"channel": "loopback", "to": "fail:2", "message": "once", "idempotencyKey": "k"});
    one.request("a", "send", params.clone());
    house.home.run_ms(100);
    two.request("b", "send", params.clone());
    one.cut();
    house.home.run_ms(15_000);
    assert_eq!(two.reply("b")["payload"]["messageId"], "1001");
    assert_eq!(house.outbox(&two, "o").len(), 1);
    assert_eq!(house.call(&two, "c", "send", params)["payload"]["messageId"], "1001");
}

#[test]
fn an_agents_answer_that_cannot_be_delivered_fails_the_run_but_not_on_the_main_session() {
    let house = House::new(OPEN);
    let client = house.home.admit(Who::native());
    for (id, key, ok) in [("own", "notes", false), ("main", "main", true)] {
        let params = json!({"message": "hi", "sessionKey": key, "deliver": true, "channel": "loopback",
            "to": "refuse", "idempotencyKey": id});
        client.request(id, "agent", params);
        house.home.run_ms(3000);
        let replies = client.replies(id);
        assert_eq!(replies.last().unwrap()["ok"], ok, "{replies:?}");
    }
}
