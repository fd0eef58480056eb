//! Scheduled jobs in the real gateway, in virtual time: when they run, what clients hear, and what clocks, power
//! cuts and failures do to them.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use barnacle::cron::job::{Job, Status};
use barnacle::sys::Clock as _;
use barnacle::sys::http::HttpError;
use barnacle::sys::sim::http::Script;
use serde_json::{Value, json};

use super::client::{Client, Who};
use super::home::{Furnishing, Home};
use super::provider::{says, says_slowly};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

fn answering() -> Furnishing {
    Furnishing::new(5, |request| says(request, "Done."))
}

fn failing() -> Furnishing {
    Furnishing::new(5, |_| Script::error(HttpError::Connect("one.example".to_owned())))
}

fn pass(home: &Home, ms: u64) {
    home.run_for(Duration::from_millis(ms));
}

fn call(home: &Home, client: &Client, id: &str, method: &str, params: Value) -> Value {
    client.request(id, method, params);
    home.run_ms(50);
    let reply = client.reply(id);
    assert_eq!(reply["ok"], true, "{reply}");
    reply["payload"].clone()
}

/// Adds a job and gives back its id.
fn add(home: &Home, client: &Client, name: &str, job: Value) -> String {
    let mut params = json!({"name": name, "payload": {"kind": "agentTurn", "message": "do it"}});
    for (key, value) in job.as_object().unwrap() {
        params[key] = value.clone();
    }
    call(home, client, name, "cron.add", params)["id"].as_str().unwrap().to_owned()
}

fn now(home: &Home) -> u64 {
    home.world.clock.now_ms()
}

fn job(home: &Home, id: &str) -> Job {
    home.gateway().jobs.book.get(id).unwrap()
}

/// Actions of a job's events, in order.
fn actions(client: &Client, id: &str) -> Vec<String> {
    let events = client.events("cron").into_iter().filter(|event| event["jobId"] == id);
    events.map(|event| event["action"].as_str().unwrap().to_owned()).collect()
}

/// When a job's runs began.
fn starts(client: &Client, id: &str) -> Vec<u64> {
    let events = client.events("cron").into_iter().filter(|event| event["jobId"] == id && event["action"] == "started");
    events.map(|event| event["runAtMs"].as_u64().unwrap()).collect()
}

fn runs(home: &Home, id: &str) -> usize {
    home.gateway().jobs.log.last(id, 5000).unwrap().len()
}

#[test]
fn a_job_that_is_due_once_runs_at_its_time_and_is_removed_after_it_went_well() {
    let home = Home::new(answering());
    let client = home.admit(Who::guide());
    let at = now(&home) + 10 * MINUTE;
    let schedule = json!({"kind": "at", "atMs": at});
    let gone = add(&home, &client, "gone", json!({"schedule": schedule, "deleteAfterRun": true}));
    let kept = add(&home, &client, "kept", json!({"schedule": schedule}));
    pass(&home, 9 * MINUTE);
    assert_eq!(actions(&client, &gone), ["added"]);
    pass(&home, 2 * MINUTE);
    assert_eq!(actions(&client, &gone), ["added", "started", "finished", "removed"]);
    // One of the two waits for the other.
    assert!(starts(&client, &gone)[0] - at < 1000);
    assert!(home.gateway().jobs.book.get(&gone).is_none());
    assert_eq!(runs(&home, &gone), 1);
    let kept = job(&home, &kept);
    assert_eq!((kept.enabled, kept.state.last_status, kept.state.next_run_at_ms), (false, Some(Status::Ok), None));
    let finished = client.events("cron").into_iter().find(|event| event["action"] == "finished").unwrap();
    assert_eq!((&finished["status"], &finished["summary"]), (&json!("ok"), &json!("Done.")));
    assert!(finished.get("nextRunAtMs").is_none());
}

#[test]
fn an_interval_keeps_its_anchor_however_long_the_runs_take() {
    let home = Home::new(Furnishing::new(5, |request| says_slowly(request, "word ", 7, Duration::from_millis(1_234))));
    let client = home.admit(Who::native());
    let anchor = now(&home) + 5 * MINUTE + 7;
    let schedule = json!({"kind": "every", "everyMs": MINUTE, "anchorMs": anchor});
    let id = add(&home, &client, "every", json!({"schedule": schedule}));
    pass(&home, 30 * MINUTE);
    let starts = starts(&client, &id);
    assert_eq!(starts, (0..starts.len() as u64).map(|number| anchor + number * MINUTE).collect::<Vec<_>>());
    assert!(starts.len() >= 25, "{}", starts.len());
}

#[test]
fn a_failing_job_pauses_longer_and_longer_and_never_spins() {
    let home = Home::new(failing());
    let client = home.admit(Who::native());
    let once = add(&home, &client, "once", json!({"schedule": {"kind": "at", "atMs": now(&home) - 1000}}));
    let minutely = add(&home, &client, "minutely", json!({"schedule": {"kind": "every", "everyMs": MINUTE}}));
    pass(&home, DAY);
    assert_eq!(runs(&home, &once), 5);
    let once = job(&home, &once);
    assert_eq!(
        (once.enabled, once.state.last_status, once.state.consecutive_errors),
        (false, Some(Status::Error), Some(5))
    );
    let count = runs(&home, &minutely);
    assert!((20..=30).contains(&count), "{count} runs in a day");
    assert!(job(&home, &minutely).state.next_run_at_ms.is_some());
}

#[test]
fn a_clock_that_jumps_a_year_runs_each_job_once_and_back_nothing_twice() {
    let home = Home::new(answering());
    let client = home.admit(Who::native());
    let hourly = add(&home, &client, "hourly", json!({"schedule": {"kind": "cron", "expr": "0 * * * *"}}));
    let minutely = add(&home, &client, "minutely", json!({"schedule": {"kind": "every", "everyMs": MINUTE}}));
    home.world.clock.jump_wall(365 * DAY as i64);
    pass(&home, 2 * MINUTE);
    assert_eq!(runs(&home, &hourly), 1);
    assert!(runs(&home, &minutely) <= 3, "{}", runs(&home, &minutely));
    let before = runs(&home, &hourly);
    let last = job(&home, &hourly).state.last_run_at_ms.unwrap();
    home.world.clock.jump_wall(-2 * HOUR as i64);
    pass(&home, HOUR);
    assert_eq!(runs(&home, &hourly), before, "{last}");
    pass(&home, 2 * HOUR);
    assert_eq!(runs(&home, &hourly), before + 1);
    home.world.clock.jump_wall(-365 * DAY as i64);
    let before = runs(&home, &hourly);
    pass(&home, 3 * HOUR);
    assert_eq!(runs(&home, &hourly), before + 3);
}

#[test]
fn a_board_that_boots_in_the_past_runs_nothing_until_its_clock_is_set() {
    let mut home = Home::new(answering());
    let client = home.admit(Who::native());
    let id = add(&home, &client, "hourly", json!({"schedule": {"kind": "cron", "expr": "0 * * * *"}}));
    let real = now(&home);
    home.power_cut();
    home.world.clock.jump_wall(-(now(&home) as i64));
    pass(&home, 5 * HOUR);
    assert_eq!(runs(&home, &id), 0);
    home.world.clock.jump_wall(real as i64);
    pass(&home, 2 * MINUTE);
    assert_eq!(runs(&home, &id), 1);
}

/// Runs of an hourly job after a stop of a hundred and a half hours, within ten minutes.
fn runs_after_a_stop(cron: &'static str, own: Option<&str>) -> usize {
    let mut home = Home::new(Furnishing { own_accord: (cron, "{}"), ..answering() });
    let client = home.admit(Who::native());
    let mut wanted = json!({"schedule": {"kind": "every", "everyMs": HOUR}});
    if let Some(own) = own {
        wanted["missed"] = json!(own);
    }
    let id = add(&home, &client, "hourly", wanted);
    home.power_cut();
    home.world.clock.jump_wall((100 * HOUR + HOUR / 2) as i64);
    pass(&home, 10 * MINUTE);
    let next = job(&home, &id).state.next_run_at_ms.unwrap();
    assert!(next > now(&home) && next < now(&home) + HOUR);
    runs(&home, &id)
}

#[test]
fn missed_runs_follow_the_policy_and_catching_up_is_bounded() {
    assert_eq!(runs_after_a_stop("{}", None), 1);
    assert_eq!(runs_after_a_stop("{missed:'skip'}", None), 0);
    assert_eq!(runs_after_a_stop("{missed:'all'}", None), 24);
    assert_eq!(runs_after_a_stop("{missed:'all'}", Some("once")), 1);
}

#[test]
fn a_missed_one_shot_runs_late_or_is_given_up_as_its_policy_says() {
    let mut home = Home::new(answering());
    let client = home.admit(Who::native());
    let at = json!({"kind": "at", "atMs": now(&home) + HOUR});
    let late = add(&home, &client, "late", json!({"schedule": at}));
    let skipped = add(&home, &client, "skipped", json!({"schedule": at, "missed": "skip"}));
    home.power_cut();
    home.world.clock.jump_wall(DAY as i64);
    pass(&home, MINUTE);
    assert_eq!(job(&home, &late).state.last_status, Some(Status::Ok));
    let skipped = job(&home, &skipped);
    assert_eq!((skipped.enabled, skipped.state.last_status), (false, Some(Status::Skipped)));
    assert!(skipped.state.last_error.unwrap().starts_with("missed"));
}

#[test]
fn a_power_cut_during_a_run_counts_as_a_failure_so_that_it_cannot_begin_without_end() {
    let mut home = Home::new(Furnishing::new(5, |request| says_slowly(request, "word ", 20, Duration::from_secs(1))));
    let client = home.admit(Who::native());
    let id = add(&home, &client, "once", json!({"schedule": {"kind": "at", "atMs": now(&home)}}));
    for cuts in 1..=5_u32 {
        while job(&home, &id).state.running_at_ms.is_none() {
            pass(&home, 10_000);
        }
        home.power_cut();
        home.run_ms(100);
        let state = job(&home, &id).state;
        assert_eq!((state.running_at_ms, state.consecutive_errors), (None, Some(cuts)));
    }
    assert!(!job(&home, &id).enabled);
}

#[test]
fn a_run_that_the_power_cut_ended_is_reported_and_tried_again_later() {
    let mut home = Home::new(Furnishing::new(5, |request| says_slowly(request, "word ", 100, Duration::from_secs(1))));
    let client = home.admit(Who::native());
    let id = add(&home, &client, "once", json!({"schedule": {"kind": "at", "atMs": now(&home)}}));
    pass(&home, 20_000);
    assert!(job(&home, &id).state.running_at_ms.is_some());
    home.power_cut();
    home.run_ms(200);
    let state = job(&home, &id).state;
    assert_eq!((state.running_at_ms, state.last_status), (None, Some(Status::Error)));
    assert!(state.last_error.unwrap().starts_with("interrupted"));
    pass(&home, 10 * MINUTE);
    assert_eq!(job(&home, &id).state.last_status, Some(Status::Ok));
    assert_eq!(runs(&home, &id), 2);
}

#[test]
fn running_a_job_answers_at_once_and_holds_nobody_up_unless_asked_to_wait() {
    let home = Home::new(Furnishing::new(5, |request| says_slowly(request, "word ", 10, Duration::from_secs(1))));
    for who in [Who::native(), Who::guide()] {
        let client = home.admit(who);
        let id = add(
            &home,
            &client,
            "job",
            json!({"schedule": {"kind": "cron", "expr": "0 8 * * *", "tz": "Asia/Shanghai"}}),
        );
        let not_due = call(&home, &client, "due", "cron.run", json!({"id": id}));
        assert_eq!(not_due, json!({"ok": true, "ran": false, "reason": "not-due"}));
        let ran = call(&home, &client, "force", "cron.run", json!({"id": id, "mode": "force"}));
        assert_eq!((&ran["ok"], &ran["ran"]), (&json!(true), &json!(true)));
        let again = call(&home, &client, "again", "cron.run", json!({"jobId": id, "mode": "force"}));
        assert_eq!((&again["ran"], &again["reason"]), (&json!(false), &json!("already-running")));
        assert_eq!(call(&home, &client, "list", "cron.list", json!({}))["jobs"][0]["id"], id);
        client.request("wait", "agent.wait", json!({"runId": ran["runId"], "timeoutMs": 60_000}));
        pass(&home, 20_000);
        assert_eq!(client.reply("wait")["payload"]["status"], "ok");
        client.request("waited", "cron.run", json!({"id": id, "mode": "force", "wait": true}));
        home.run_ms(5_000);
        assert!(client.replies("waited").is_empty());
        pass(&home, 20_000);
        let waited = client.reply("waited")["payload"].clone();
        assert_eq!((&waited["ran"], &waited["status"]), (&json!(true), &json!("ok")));
        call(&home, &client, "remove", "cron.remove", json!({"id": id}));
        client.close();
        home.run_ms(100);
    }
}

#[test]
fn jobs_run_one_after_another_unless_more_are_allowed() {
    for (cron, most) in [("{}", 1), ("{maxConcurrentRuns:2}", 2)] {
        let going = Rc::new(Cell::new(0_i32));
        let counted = Rc::clone(&going);
        let furnishing = Furnishing::new(5, move |request| {
            counted.set(counted.get() + 1);
            says_slowly(request, "word ", 10, Duration::from_secs(1))
        });
        let home = Home::new(Furnishing { own_accord: (cron, "{}"), ..furnishing });
        let client = home.admit(Who::native());
        for name in ["a", "b", "c"] {
            add(&home, &client, name, json!({"schedule": {"kind": "at", "atMs": now(&home) + MINUTE}}));
        }
        pass(&home, MINUTE + 2_000);
        assert_eq!(going.get(), most);
        pass(&home, 2 * MINUTE);
        assert_eq!(going.get(), 3);
    }
}

#[test]
fn an_isolated_run_begins_anew_every_time_and_the_main_session_hears_of_it() {
    let home = Home::new(answering());
    let client = home.admit(Who::native());
    let isolation = json!({"postToMainPrefix": "Rep", "postToMainMode": "full", "postToMainMaxChars": 3});
    let id = add(
        &home,
        &client,
        "iso",
        json!({"schedule": {"kind": "every", "everyMs": MINUTE}, "isolation": isolation, "enabled": false}),
    );
    let mut sessions = Vec::new();
    for number in 0..2 {
        let ran =
            call(&home, &client, &format!("r{number}"), "cron.run", json!({"id": id, "mode": "force", "wait": true}));
        let list = call(&home, &client, &format!("l{number}"), "sessions.list", json!({}));
        let key = format!("agent:main:cron:{id}");
        let row = list["sessions"].as_array().unwrap().iter().find(|row| row["key"] == key.as_str()).unwrap().clone();
        assert_eq!(row["sessionId"], ran["runId"]);
        sessions.push(row["sessionId"].clone());
    }
    assert_ne!(sessions[0], sessions[1]);
    let status = call(&home, &client, "status", "status", json!({}));
    assert_eq!(status["queuedSystemEvents"], json!(["Rep: Don…"]));
    client.request("chat", "chat.send", json!({"sessionKey": "main", "message": "hello", "idempotencyKey": "k"}));
    home.run_ms(500);
    let history = call(&home, &client, "history", "chat.history", json!({"sessionKey": "main"}));
    let said = history["messages"][0]["content"][0]["text"].as_str().unwrap().to_owned();
    assert!(said.starts_with("System: [2026-03-01 12:00:") && said.ends_with(" UTC] Rep: Don…\n\nhello"), "{said}");
    let status = call(&home, &client, "status2", "status", json!({}));
    assert_eq!(status["queuedSystemEvents"], json!([]));
}

#[test]
fn a_turn_on_the_main_session_is_taken_and_an_unknown_channel_is_the_jobs_failure() {
    let home = Home::new(answering());
    for who in [Who::native(), Who::guide()] {
        let client = home.admit(who);
        let turn = json!({"kind": "agentTurn", "message": "report", "channel": "last"});
        let wanted = json!({"schedule": {"kind": "at", "atMs": now(&home)}, "sessionTarget": "main", "payload": turn});
        let main = add(&home, &client, "main", wanted);
        let turn = json!({"kind": "agentTurn", "message": "report", "channel": "telegram", "to": "77"});
        let sent =
            add(&home, &client, "sent", json!({"schedule": {"kind": "at", "atMs": now(&home)}, "payload": turn}));
        let turn = json!({"kind": "agentTurn", "message": "report", "deliver": true});
        let lost =
            add(&home, &client, "lost", json!({"schedule": {"kind": "at", "atMs": now(&home)}, "payload": turn}));
        pass(&home, 10_000);
        assert_eq!(job(&home, &main).state.last_status, Some(Status::Ok));
        assert!(job(&home, &sent).state.last_error.unwrap().starts_with("Error: Telegram is not available"));
        assert_eq!(job(&home, &lost).state.last_error.unwrap(), "Cron delivery requires a recipient (--to).");
        for id in [main, sent, lost] {
            call(&home, &client, &id, "cron.remove", json!({"id": id}));
        }
        client.close();
        home.run_ms(100);
    }
}

#[test]
fn nothing_runs_by_itself_while_jobs_are_switched_off() {
    let home = Home::new(Furnishing { own_accord: ("{enabled:false}", "{}"), ..answering() });
    let client = home.admit(Who::native());
    let id = add(&home, &client, "job", json!({"schedule": {"kind": "every", "everyMs": MINUTE}}));
    pass(&home, HOUR);
    assert_eq!(runs(&home, &id), 0);
    let status = call(&home, &client, "status", "cron.status", json!({}));
    assert_eq!(
        status,
        json!({"enabled": false, "storePath": "/state/cron/jobs.json", "jobs": 1, "nextWakeAtMs": null})
    );
}

#[test]
fn a_restart_in_order_is_no_failure_of_a_job_and_it_runs_after_it() {
    let mut home = Home::new(Furnishing::new(5, |request| says_slowly(request, "word ", 20, Duration::from_secs(1))));
    let client = home.admit(Who::native());
    let once = add(&home, &client, "once", json!({"schedule": {"kind": "at", "atMs": now(&home)}}));
    let waits = add(&home, &client, "waits", json!({"schedule": {"kind": "at", "atMs": now(&home) + 1000}}));
    pass(&home, 5_000);
    let due = job(&home, &once).state.next_run_at_ms;
    assert!(job(&home, &once).state.running_at_ms.is_some());
    let gateway = Rc::clone(home.gateway());
    home.world.tasks().detach(async move { gateway.shut_down("gateway restarting", Some(1500)).await });
    pass(&home, 4_000);
    home.power_cut();
    let state = job(&home, &once).state;
    assert_eq!((state.next_run_at_ms, state.running_at_ms, state.consecutive_errors), (due, None, None));
    pass(&home, 2 * MINUTE);
    for id in [once, waits] {
        assert_eq!(job(&home, &id).state.last_status, Some(Status::Ok));
    }
}

#[test]
fn a_job_that_is_removed_does_not_wait_for_its_turn_any_more() {
    let home = Home::new(Furnishing::new(5, |request| says_slowly(request, "word ", 60, Duration::from_secs(1))));
    let client = home.admit(Who::native());
    let schedule = json!({"schedule": {"kind": "every", "everyMs": DAY}});
    let first = add(&home, &client, "first", schedule.clone());
    let second = add(&home, &client, "second", schedule);
    call(&home, &client, "run", "cron.run", json!({"id": first, "mode": "force"}));
    client.request("wait", "cron.run", json!({"id": second, "mode": "force", "wait": true}));
    home.run_ms(100);
    call(&home, &client, "remove", "cron.remove", json!({"id": second}));
    let waited = client.reply("wait");
    assert_eq!(waited["payload"]["status"], "skipped", "{waited}");
    assert!(home.gateway().jobs.active(&second).is_none());
    assert!(home.gateway().jobs.active(&first).is_some());
}

#[test]
fn the_configuration_is_not_changed_once_the_end_has_begun() {
    let home = Home::new(answering());
    let client = home.admit(Who::native());
    let gateway = Rc::clone(home.gateway());
    home.world.tasks().detach(async move { gateway.reload.hold().await });
    home.settle();
    client.request("set", "config.set", json!({"raw": "{ui:{assistant:{name:'x'}}}"}));
    home.run_ms(50);
    let error = client.reply("set")["error"].clone();
    assert_eq!((&error["code"], &error["retryable"]), (&json!("UNAVAILABLE"), &json!(true)), "{error}");
    home.gateway().reload.release();
    call(&home, &client, "again", "config.set", json!({"raw": "{ui:{assistant:{name:'x'}}}"}));
}
