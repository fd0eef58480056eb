//! The queue and its pump on a simulated machine: what was accepted arrives, once, whatever happens.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use super::super::loopback::{Far, Loopback};
use super::super::message::{Body, Inbound, Taken};
use super::super::registry::Draft;
use super::super::{Channel, Channels, Inlet, known};
use super::*;
use crate::config::Config;
use crate::limits::{DELIVERY_TRIES, QUEUE_FILE_BYTES};
use crate::stores::bench::Bench;
use crate::sys::sim::SimFiles;
use crate::sys::{Chance, Files as _, LocalFuture};

const DIR: &str = "/s/channels";

/// Notes what arrived.
#[derive(Debug, Default)]
struct Ear(RefCell<Vec<String>>);

impl Inlet for Ear {
    fn take(&self, message: Inbound) -> LocalFuture<'static, Taken> {
        self.0.borrow_mut().push(message.text);
        Box::pin(std::future::ready(Taken::Accepted))
    }

    fn delivered(&self, _: &'static str, _: &Item) -> LocalFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }

    fn changed(&self) {}
}

fn open(bench: &Bench, far: &Rc<Far>) -> (Channels, Rc<Ear>) {
    let text = "{channels:{loopback:{dmPolicy:'open',allowFrom:['*'],textChunkLimit:40}}}";
    let (config, _) = Config::parse(text, "f", &BTreeMap::new()).unwrap();
    let far = Rc::clone(far);
    let make = move |sys: &Sys, _: &str, account: &str, _: &crate::config::channels::Account| {
        Some(Rc::new(Loopback::new(sys, account, Rc::clone(&far))) as Rc<dyn Channel>)
    };
    let channels = Channels::load(&bench.sys, &bench.saver, Path::new("/s"), Rc::new(make), &config.channels).unwrap();
    let ear = Rc::new(Ear::default());
    channels.open(Rc::clone(&ear) as Rc<dyn Inlet>);
    (channels, ear)
}

fn send(channels: &Channels, to: &str, text: &str) -> Result<Rc<Ticket>, Error> {
    let seat = channels.sender(known::find(known::LOOPBACK).unwrap(), None).unwrap();
    let key = Some(format!("test:{text}"));
    channels.send(&seat, Draft { to: to.into(), key, body: Body::text(text), mirror: None })
}

fn texts(far: &Far) -> Vec<String> {
    far.messages().into_iter().map(|(_, text)| text).collect()
}

#[test]
fn what_was_accepted_arrives_once_whenever_the_power_is_cut() {
    for seed in 0..150 {
        let far: Rc<Far> = Rc::default();
        let mut files = SimFiles::new();
        let mut accepted: Vec<String> = Vec::new();
        for life in 0..4 {
            let bench = Bench::on(files.clone(), seed * 10 + life);
            let dice = Chance::seeded(seed * 77 + life);
            let (channels, _) = open(&bench, &far);
            let is_last = life == 3;
            if !is_last {
                files.cut_after(dice.below(40));
            }
            for index in 0..if is_last { 0 } else { 8 } {
                let text = format!("{seed}/{life}/{index}");
                let to =
                    if dice.below(3) == 0 { "fail:2" } else { ["a", "b"][usize::try_from(dice.below(2)).unwrap()] };
                let ticket = send(&channels, to, &text).unwrap();
                bench.world.run_for(Duration::from_millis(dice.below(2000)));
                if ticket.accepted.get() == Some(Ok(())) && !files.has_cut() {
                    accepted.push(text);
                }
            }
            bench.world.run_for(Duration::from_secs(if is_last { 3600 } else { 1 }));
            if is_last {
                assert_eq!(channels.waiting(), 0, "seed {seed}");
                let bytes = files.list(Path::new(DIR)).unwrap().iter().map(|entry| entry.size_bytes).sum::<u64>();
                assert!(bytes < 4096, "seed {seed}: {bytes} bytes are left");
            }
            channels.close();
            files = files.power_cut(&dice);
        }
        let arrived = texts(&far);
        for text in &accepted {
            assert_eq!(arrived.iter().filter(|other| *other == text).count(), 1, "seed {seed}: {text} in {arrived:?}");
        }
    }
}

#[test]
fn a_failing_message_is_tried_with_growing_pauses_and_others_pass_it() {
    let bench = Bench::new(1);
    let far: Rc<Far> = Rc::default();
    let (channels, _) = open(&bench, &far);
    let slow = send(&channels, "fail:4", "slow").unwrap();
    let behind = send(&channels, "fail:4", "behind").unwrap();
    let other = send(&channels, "x", "other").unwrap();
    bench.world.run_for(Duration::from_secs(5));
    assert!(other.outcome.get().unwrap().is_ok());
    assert_eq!((slow.outcome.get(), behind.outcome.get()), (None, None));
    assert!(slow.trouble().unwrap().contains("of 4"));
    bench.world.run_for(Duration::from_secs(60));
    assert_eq!(texts(&far), ["other", "slow", "behind"]);
    assert!(slow.outcome.get().unwrap().is_ok());
}

#[test]
fn a_message_that_never_arrives_is_given_up_and_that_is_told() {
    let bench = Bench::new(1);
    let far: Rc<Far> = Rc::default();
    let (channels, _) = open(&bench, &far);
    let ticket = send(&channels, "fail:999", "never").unwrap();
    bench.world.run_for(Duration::from_secs(5 * 3600));
    let reason = ticket.outcome.get().unwrap().unwrap_err().0;
    assert!(reason.contains(&format!("{DELIVERY_TRIES} times")), "{reason}");
    assert_eq!(channels.seat(known::LOOPBACK, "default").unwrap().health.last_error(), Some(reason));
    let refused = send(&channels, "refuse", "no").unwrap();
    bench.world.run_for(Duration::from_secs(1));
    assert!(refused.outcome.get().unwrap().is_err());
    assert_eq!(channels.waiting(), 0);
}

#[test]
fn a_long_text_goes_in_parts_and_goes_on_where_it_stopped() {
    let far: Rc<Far> = Rc::default();
    let bench = Bench::new(1);
    let (channels, _) = open(&bench, &far);
    let text = "word ".repeat(30);
    let ticket = send(&channels, "x", &text).unwrap();
    bench.world.run_for(Duration::from_secs(1));
    let parts = texts(&far);
    assert!(parts.len() > 3 && parts.iter().all(|part| part.chars().count() <= 40));
    let receipt = ticket.outcome.get().unwrap().unwrap();
    assert_eq!(receipt.message_id, (1000 + parts.len()).to_string());
    assert_eq!(send(&channels, "x", "word").unwrap().outcome.get(), None);
}

#[test]
fn the_queue_is_bounded_and_the_same_key_waits_once() {
    let bench = Bench::new(1);
    let (channels, _) = open(&bench, &Rc::default());
    let first = send(&channels, "fail:9", "same").unwrap();
    assert!(Rc::ptr_eq(&first, &send(&channels, "fail:9", "same").unwrap()));
    for index in 1..QUEUE_ITEMS {
        send(&channels, "fail:9", &index.to_string()).unwrap();
    }
    let error = send(&channels, "fail:9", "one more").unwrap_err();
    assert!(error.code.retryable(), "{error}");
}

#[test]
fn a_grown_file_is_followed_by_a_small_one() {
    let bench = Bench::new(1);
    let far: Rc<Far> = Rc::default();
    let (channels, _) = open(&bench, &far);
    let kept = send(&channels, "fail:999", "kept").unwrap();
    for index in 0..40 {
        send(&channels, "x", &format!("{index} {}", "y".repeat(20_000))).unwrap();
        bench.world.run_for(Duration::from_millis(500));
    }
    assert_eq!(kept.outcome.get(), None);
    let files = bench.files.list(Path::new(DIR)).unwrap();
    let queues: Vec<_> = files.iter().filter(|entry| entry.name.contains("queue")).collect();
    assert_eq!(queues.len(), 1, "{queues:?}");
    assert!(queues[0].size_bytes < QUEUE_FILE_BYTES + 100_000, "{queues:?}");
    channels.close();
    let bench = Bench::on(bench.files.clone(), 2);
    assert_eq!(open(&bench, &far).0.waiting(), 1);
}

#[test]
fn a_damaged_queue_is_put_aside_and_what_can_be_read_is_sent() {
    let bench = Bench::new(1);
    let far: Rc<Far> = Rc::default();
    let (channels, _) = open(&bench, &far);
    send(&channels, "fail:1", "good").unwrap();
    bench.world.run_for(Duration::from_millis(100));
    channels.close();
    let name =
        bench.files.list(Path::new(DIR)).unwrap().iter().find(|e| e.name.contains("queue")).unwrap().name.clone();
    bench.files.append(&Path::new(DIR).join(&name), b"{\"what\":1}\n{\"item\":{\"id\"").unwrap();
    let (channels, _) = open(&bench, &far);
    bench.world.run_for(Duration::from_secs(30));
    assert_eq!((texts(&far), channels.waiting()), (vec!["good".to_owned()], 0));
    let names: Vec<_> = bench.files.list(Path::new(DIR)).unwrap().into_iter().map(|entry| entry.name).collect();
    assert!(names.iter().any(|name| name.contains(".damaged-")), "{names:?}");
}

#[test]
fn an_echo_comes_in_and_a_vote_is_counted() {
    let bench = Bench::new(1);
    let far: Rc<Far> = Rc::default();
    let (channels, ear) = open(&bench, &far);
    send(&channels, "echo/ann:hello there", "x").unwrap();
    bench.world.run_for(Duration::from_secs(1));
    assert_eq!(*ear.0.borrow(), ["hello there"]);
    let seat = channels.seat(known::LOOPBACK, "default").unwrap();
    let poll = super::super::message::Poll {
        question: "Tea?".into(),
        options: vec!["yes".into(), "no".into()],
        max_selections: 1,
        duration_hours: None,
    };
    let draft = Draft { to: "x".into(), key: None, body: Body::Poll(poll), mirror: None };
    let ticket = channels.send(&seat, draft).unwrap();
    bench.world.run_for(Duration::from_secs(1));
    let id = ticket.outcome.get().unwrap().unwrap().fields["pollId"].as_str().unwrap().to_owned();
    send(&channels, &format!("vote:{id}"), "2,1").unwrap();
    bench.world.run_for(Duration::from_secs(1));
    let details = seat.channel.as_ref().unwrap().details();
    assert_eq!(details["polls"][0]["options"][1]["votes"], 1);
    assert_eq!(details["polls"][0]["options"][0]["votes"], 0);
}

#[test]
fn a_changed_account_begins_anew_and_a_removed_one_stops() {
    let bench = Bench::new(1);
    let (channels, _) = open(&bench, &Rc::default());
    bench.world.run_for(Duration::from_secs(1));
    let before = channels.seat(known::LOOPBACK, "default").unwrap();
    assert!(before.health.is_running());
    let config = |text: &str| Config::parse(text, "f", &BTreeMap::new()).unwrap().0.channels;
    channels.apply(&config("{channels:{loopback:{enabled:false},telegram:{botToken:'x'}}}")).unwrap();
    assert!(!before.health.is_running());
    let error = channels.sender(known::find("loopback").unwrap(), None).unwrap_err();
    assert_eq!(error.code.name(), "NOT_LINKED");
    assert!(error.message.contains("switched off"), "{error}");
    let accounts = channels.status().channel_accounts;
    assert_eq!(accounts["loopback"][0]["lastError"], "disabled");
    assert!(accounts["telegram"][0]["configured"] == true && accounts["signal"][0]["configured"] == false);
    channels.apply(&config("{}")).unwrap();
    assert!(channels.seat(known::LOOPBACK, "default").is_none());
}
