//! What clocks do that are wrong, are set late, or jump: to jobs, to who comes in, and to who is in.

use std::net::Ipv4Addr;
use std::time::Duration;

use barnacle::sys::Clock as _;
use serde_json::{Value, json};

use super::client::{Client, Who};
use super::device;
use super::home::{Furnishing, Home, TOKEN};
use super::provider::says;

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const YEAR: i64 = 365 * 24 * HOUR as i64;

fn home() -> Home {
    Home::new(Furnishing::new(5, |request| says(request, "Done.")))
}

fn pass(home: &Home, ms: u64) {
    home.run_for(Duration::from_millis(ms));
}

fn call(home: &Home, client: &Client, id: &str, method: &str, params: Value) -> Value {
    client.request(id, method, params);
    home.run_ms(50);
    client.reply(id)
}

/// A job that is due every minute.
fn minutely(home: &Home, client: &Client) -> String {
    let job = json!({
        "name": "minutely", "schedule": {"kind": "every", "everyMs": MINUTE},
        "payload": {"kind": "agentTurn", "message": "do it"},
    });
    call(home, client, "add", "cron.add", job)["payload"]["id"].as_str().unwrap().to_owned()
}

fn runs(home: &Home, id: &str) -> usize {
    home.gateway().jobs.log.last(id, 5000).unwrap().len()
}

/// A board without a clock battery that is switched on again six hours later: its clock shows the time at which it
/// was switched off.
fn switched_on(home: &mut Home) {
    home.power_cut();
    home.world.clock.switch_on();
}

#[test]
fn jobs_wait_for_a_time_server_and_run_once_for_all_the_time_that_was_lost() {
    let mut home = home();
    let client = home.admit(Who::native());
    let id = minutely(&home, &client);
    switched_on(&mut home);
    pass(&home, 100_000);
    assert_eq!(runs(&home, &id), 0);
    home.world.clock.synchronise();
    home.world.clock.jump_wall(6 * HOUR as i64);
    pass(&home, 10_000);
    assert_eq!(runs(&home, &id), 1);
    pass(&home, 5 * MINUTE);
    assert!((5..=6).contains(&runs(&home, &id)), "{}", runs(&home, &id));
}

#[test]
fn without_a_time_server_jobs_wait_for_the_configured_time_only() {
    for (cron, ms) in [("{}", 120_000), ("{clockWaitSeconds:600}", 600_000)] {
        let mut home =
            Home::new(Furnishing { own_accord: (cron, "{}"), ..Furnishing::new(5, |request| says(request, "Done.")) });
        let client = home.admit(Who::native());
        let id = minutely(&home, &client);
        switched_on(&mut home);
        pass(&home, ms - 1000);
        assert_eq!(runs(&home, &id), 0, "{cron}");
        pass(&home, 20_000);
        assert_eq!(runs(&home, &id), 1, "{cron}");
    }
}

#[test]
fn a_jump_of_a_year_either_way_ends_no_connection_and_repeats_no_request() {
    let home = home();
    let (native, guide) = (home.admit(Who::native()), home.admit(Who::guide()));
    let id = minutely(&home, &native);
    let send = |name: &str| {
        let params = json!({"sessionKey": "main", "message": "hello", "idempotencyKey": "k1"});
        call(&home, &native, name, "chat.send", params)["payload"]["runId"].clone()
    };
    let first = send("first");
    let mut ran = 0;
    for (round, jump) in [YEAR, -YEAR, -YEAR, YEAR].into_iter().enumerate() {
        home.world.clock.jump_wall(jump);
        pass(&home, 2 * MINUTE);
        let now = runs(&home, &id);
        assert!(now - ran <= 3, "round {round}: {} runs in two minutes", now - ran);
        ran = now;
        for client in [&native, &guide] {
            assert!(client.closed().is_none(), "round {round}: {:?}", client.closed());
        }
        if round < 2 {
            assert_eq!(send(&format!("again {round}")), first);
        }
    }
    let history = call(&home, &native, "history", "chat.history", json!({"sessionKey": "main"}));
    let asked = history["payload"]["messages"].as_array().unwrap().iter().filter(|message| message["role"] == "user");
    assert_eq!(asked.count(), 1);
}

#[test]
fn a_jump_neither_ends_a_lockout_nor_forgets_who_was_here() {
    let home = home();
    let here = home.admit(Who::guide());
    let gone = home.admit(Who::guide());
    gone.close();
    home.run_ms(500);
    let present = |id: &str| call(&home, &here, id, "system-presence", json!({}))["payload"].as_array().unwrap().len();
    let before = present("before");
    let stranger = || Who { token: "a-wrong-token-0001", ..Who::native().from([192, 0, 2, 7]) };
    let locked = || {
        let client = home.connect(stranger());
        home.run_ms(50);
        client.reply("connect")["error"]["message"].as_str().unwrap().contains("too many failed attempts")
    };
    for _ in 0..20 {
        if locked() {
            break;
        }
    }
    assert!(locked());
    for jump in [YEAR, -2 * YEAR] {
        home.world.clock.jump_wall(jump);
        assert!(locked(), "{jump}");
        assert_eq!(present(&format!("after {jump}")), before);
    }
}

/// Shakes hands with a device that dates its signature `signed_at`; the answer's error. The clock jumps before it.
fn shake(home: &Home, signed_at: impl Fn(u64) -> u64, jump: i64) -> Value {
    let who = Who { address: Ipv4Addr::new(192, 0, 2, 9).into(), ..Who::native() };
    let (client, challenge) = device::challenged(home, who);
    let signed_at = signed_at(challenge.at_ms);
    home.world.clock.jump_wall(jump);
    client.send(&device::handshake(&challenge, signed_at, Some(TOKEN)));
    home.run_ms(50);
    client.reply("connect")["error"].clone()
}

#[test]
fn a_signature_of_now_is_taken_whatever_the_boards_clock_shows() {
    let mut home = home();
    let real = home.world.clock.now_ms();
    home.power_cut();
    home.world.clock.jump_wall(-(home.world.clock.now_ms() as i64));
    // 1970, and the device knows what time it is: the signed nonce proves that the signature is of now.
    assert_eq!(shake(&home, |_| real, 0)["message"], "pairing required");
    // The clock is set between the challenge and the answer: dated by either of them, it is of now.
    assert_eq!(shake(&home, |challenged| challenged, real as i64)["message"], "pairing required");
    assert_eq!(shake(&home, |challenged| challenged + YEAR as u64, YEAR)["message"], "pairing required");
    // From here on the gateway knows the time, and the device's clock is the one that is wrong.
    let refused = shake(&home, |challenged| challenged - HOUR, 0);
    assert_eq!(refused["message"], "device signature expired");
    assert!(refused["details"]["hint"].as_str().unwrap().contains("clocks"), "{refused}");
}
