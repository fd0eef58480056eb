//! Answers in virtual time: retries, deadlines, faults and what is left after them.

use std::cell::RefCell;

use super::testing::{model, prompt, provider, user};
use super::*;
use crate::config::models::Rates;
use crate::sys::Chance;
use crate::sys::disk::Disk;
use crate::sys::sim::http::{Ending, Script};
use crate::sys::sim::{ScriptedHttp, World};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// What an answer came to.
struct Played {
    deltas: Vec<Delta>,
    fault: Option<Fault>,
    finished: Finished,
    /// When each request was sent, ms.
    sent_ms: Vec<u128>,
    requests: Vec<Request>,
    over_ms: u128,
}

fn chunk(text: &str) -> String {
    format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n")
}

fn whole(text: &str) -> String {
    format!("{}data: {{\"choices\":[{{\"delta\":{{}},\"finish_reason\":\"stop\"}}]}}\n\ndata: [DONE]\n\n", chunk(text))
}

fn play(scripts: impl IntoIterator<Item = Script>) -> Played {
    play_with(provider(Api::OpenaiCompletions), 1_000_000, scripts)
}

fn play_with(provider: Provider, output_bytes: usize, scripts: impl IntoIterator<Item = Script>) -> Played {
    let world = World::at(784_111_777_000);
    let http = ScriptedHttp::queue(&world.clock, scripts);
    let sys = Sys {
        zone: jiff::tz::TimeZone::UTC,
        clock: Rc::new(world.clock.clone()),
        chance: Rc::new(Chance::seeded(5)),
        files: Rc::new(Disk::default()),
        http: Rc::new(http.clone()),
        processes: Rc::new(crate::sys::sim::ScriptedProcesses::none(&world.clock)),
        tasks: world.tasks(),
    };
    let slot = Rc::new(RefCell::new(None));
    let (result, clock) = (Rc::clone(&slot), Rc::clone(&sys.clock));
    let model = Model { rates: Some(Rates { input: 1.0, ..Rates::default() }), ..model() };
    let bounds = Bounds { output_bytes, response_bytes: 10_000 };
    let mut answer = Answer::start(sys, Rc::new(provider), model, prompt(vec![user("hi")]), bounds);
    world.tasks().detach(async move {
        let mut deltas = Vec::new();
        let fault = loop {
            match answer.next().await {
                Ok(Some(delta)) => deltas.push(delta),
                Ok(None) => break None,
                Err(fault) => break Some(fault),
            }
        };
        *result.borrow_mut() = Some((deltas, fault, answer.finish(), clock.elapsed().as_millis()));
    });
    world.run_for(Duration::from_secs(3600));
    let (deltas, fault, finished, over_ms) = slot.borrow_mut().take().unwrap();
    let sent = http.requests();
    let sent_ms = sent.iter().map(|(at, _)| at.as_millis()).collect();
    Played {
        deltas,
        fault,
        finished,
        sent_ms,
        requests: sent.into_iter().map(|(_, request)| request).collect(),
        over_ms,
    }
}

fn kind(played: &Played) -> Option<FaultKind> {
    played.fault.as_ref().map(|fault| fault.kind)
}

#[test]
fn an_answer_streams_and_ends_with_its_cost() {
    let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1000000,\"completion_tokens\":1}}\n\n";
    let end = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    let played = play([Script::answer(200, chunk("Hel"))
        .then(MS(50), chunk("lo"))
        .then(MS(50), format!("{end}{usage}data: [DONE]\n\n"))
        .ending(Ending::Stall)]);
    assert_eq!(played.deltas, [Delta::Text("Hel".into()), Delta::Text("lo".into())]);
    assert_eq!(played.fault, None);
    assert_eq!(played.over_ms, 100);
    assert_eq!(played.finished.content, [Block::Text { text: "Hello".into() }]);
    assert_eq!(played.finished.stop_reason, StopReason::Stop);
    assert!((played.finished.usage.cost.unwrap().total - 1.0).abs() < 1e-9);
}

#[test]
fn a_failing_provider_is_asked_three_times_with_growing_pauses() {
    let failure = || Script::answer(500, r#"{"error":{"message":"boom"}}"#);
    let played = play([failure(), failure(), failure(), Script::answer(200, whole("late"))]);
    assert_eq!(kind(&played), Some(FaultKind::Server));
    assert_eq!(played.sent_ms.len(), 3);
    assert!((375..=500).contains(&played.sent_ms[1]), "{:?}", played.sent_ms);
    assert!((750..=1000).contains(&(played.sent_ms[2] - played.sent_ms[1])), "{:?}", played.sent_ms);
    assert_eq!((played.finished.content.len(), played.finished.stop_reason), (0, StopReason::Error));
    assert_eq!(played.fault.unwrap().message, "own failed (HTTP 500: boom). Ask again later.");
}

#[test]
fn the_provider_decides_how_long_to_wait_and_whether() {
    let limited = |name: &str, value: &str| Script::answer(429, "{}").header(name, value);
    let played = play([limited("retry-after", "7"), Script::answer(200, whole("ok"))]);
    assert_eq!((played.fault.as_ref(), played.sent_ms.as_slice()), (None, &[0, 7000][..]));
    let played = play([limited("retry-after", "3600")]);
    assert_eq!(played.sent_ms, [0]);
    assert_eq!(played.fault.as_ref().unwrap().retry_after_ms, Some(3_600_000));
    assert_eq!(kind(&played), Some(FaultKind::RateLimited));
    assert_eq!(play([limited("x-should-retry", "false")]).sent_ms, [0]);
}

#[test]
fn what_cannot_get_better_is_asked_once() {
    for (status, body, expected) in [
        (401, "", FaultKind::WrongKey),
        (402, "", FaultKind::Quota),
        (404, "", FaultKind::NotFound),
        (400, r#"{"error":{"code":"context_length_exceeded","message":"x"}}"#, FaultKind::TooLong),
        (429, r#"{"error":{"code":"insufficient_quota","message":"x"}}"#, FaultKind::Quota),
        (302, "", FaultKind::Refused),
    ] {
        let played = play([Script::answer(status, body)]);
        assert_eq!((kind(&played), played.sent_ms.len()), (Some(expected), 1), "{status} {body}");
    }
    let played = play([Script::error(HttpError::Tls("x".into()))]);
    assert_eq!((kind(&played), played.sent_ms.len()), (Some(FaultKind::Tls), 1));
    let played = play([Script::answer(200, "<html>")]);
    assert_eq!((kind(&played), played.sent_ms.len()), (Some(FaultKind::Malformed), 1));
}

#[test]
fn a_lost_connection_is_tried_again_before_the_first_piece_and_never_after() {
    let refused = || Script::error(HttpError::Connect("x: connection refused".into()));
    let played = play([refused(), Script::answer(200, "").ending(Ending::CutOff), Script::answer(200, whole("ok"))]);
    assert_eq!((kind(&played), played.sent_ms.len()), (None, 3));

    let cut = Script::answer(200, chunk("half")).ending(Ending::CutOff);
    let played = play([cut, Script::answer(200, whole("again"))]);
    assert_eq!((kind(&played), played.sent_ms.len()), (Some(FaultKind::CutOff), 1));
    assert_eq!(played.deltas, [Delta::Text("half".into())]);
    assert_eq!(played.finished.content, [Block::Text { text: "half".into() }]);
    assert_eq!(played.finished.stop_reason, StopReason::Error);

    let overloaded = "data: {\"error\":{\"type\":\"overloaded_error\",\"message\":\"x\"}}\n\n";
    let played = play([Script::answer(200, overloaded), Script::answer(200, whole("ok"))]);
    assert_eq!((kind(&played), played.sent_ms.len()), (None, 2));
    let played = play([Script::answer(200, chunk("half") + overloaded)]);
    assert_eq!((kind(&played), played.deltas.len()), (Some(FaultKind::Overloaded), 1));
}

#[test]
fn a_tag_that_was_waited_for_is_shown_when_the_line_is_cut() {
    let played = play([Script::answer(200, chunk("<thi")).ending(Ending::CutOff)]);
    assert_eq!((kind(&played), played.deltas), (Some(FaultKind::CutOff), vec![Delta::Text("<thi".into())]));
}

#[test]
fn silence_has_a_deadline_that_is_longer_on_this_machine() {
    let silent = || Script::answer(200, "").head_after(Duration::from_secs(1000));
    let played = play([silent()]);
    assert_eq!((kind(&played), played.over_ms), (Some(FaultKind::Timeout), 60_000));
    let here = Provider { base_url: "http://127.0.0.1:11434/v1".into(), ..provider(Api::OpenaiCompletions) };
    assert_eq!(play_with(here, 1000, [silent()]).over_ms, 300_000);
    let stalled = Script::answer(200, chunk("half")).ending(Ending::Stall);
    let played = play([stalled]);
    assert_eq!((kind(&played), played.over_ms, played.deltas.len()), (Some(FaultKind::Timeout), 60_000, 1));
}

#[test]
fn a_server_that_stopped_but_holds_the_line_has_answered() {
    let stopped = format!("{}data: {{\"choices\":[{{\"delta\":{{}},\"finish_reason\":\"stop\"}}]}}\n\n", chunk("done"));
    for ending in [Ending::Stall, Ending::CutOff, Ending::Complete] {
        let played = play([Script::answer(200, stopped.clone()).ending(ending)]);
        assert_eq!((kind(&played), played.finished.stop_reason), (None, StopReason::Stop));
    }
}

#[test]
fn bounds_end_an_answer() {
    let played = play_with(
        provider(Api::OpenaiCompletions),
        100,
        [Script::answer(200, whole(&"x".repeat(500))).ending(Ending::Stall)],
    );
    assert_eq!((kind(&played), played.finished.stop_reason, played.over_ms), (None, StopReason::Length, 0));
    let played = play([Script::answer(200, whole(&"x".repeat(20_000)))]);
    assert_eq!(kind(&played), Some(FaultKind::TooLarge));
}

#[test]
fn without_a_key_nothing_is_sent_and_the_owner_is_told() {
    let keyless = Provider { api_key: None, ..provider(Api::AnthropicMessages) };
    let played = play_with(keyless.clone(), 1000, []);
    assert_eq!((kind(&played), played.requests.len()), (Some(FaultKind::NoKey), 0));
    assert!(played.fault.unwrap().message.contains("OWN_API_KEY"));
    let free = Provider { needs_key: false, ..keyless };
    assert_eq!(play_with(free, 1000, [Script::answer(401, "")]).requests.len(), 1);
}

#[test]
fn headers_carry_the_key_as_each_dialect_wants_it() {
    let header = |api: Api, name: &str| {
        let extra = Provider { headers: vec![("x-own".into(), "1".into())], ..provider(api) };
        let played = play_with(extra, 1000, [Script::answer(400, "")]);
        let request = &played.requests[0];
        assert!(request.headers.contains(&("x-own".to_owned(), "1".to_owned())));
        (request.url.clone(), request.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.clone()))
    };
    let bearer = Some("Bearer sk-very-secret".to_owned());
    let base = "https://api.example.com";
    assert_eq!(header(Api::OpenaiCompletions, "authorization"), (format!("{base}/chat/completions"), bearer.clone()));
    assert_eq!(header(Api::OllamaChat, "authorization"), (format!("{base}/api/chat"), bearer));
    let key = Some("sk-very-secret".to_owned());
    assert_eq!(header(Api::AnthropicMessages, "x-api-key"), (format!("{base}/v1/messages"), key));
    assert_eq!(header(Api::AnthropicMessages, "anthropic-version").1.as_deref(), Some("2023-06-01"));
    assert_eq!(header(Api::AnthropicMessages, "anthropic-beta").1, None);
}

#[test]
fn an_answer_that_is_given_up_is_aborted() {
    let world = World::at(0);
    let http = ScriptedHttp::queue(&world.clock, [Script::answer(200, chunk("half")).ending(Ending::Stall)]);
    let sys = Sys {
        zone: jiff::tz::TimeZone::UTC,
        clock: Rc::new(world.clock.clone()),
        chance: Rc::new(Chance::seeded(5)),
        files: Rc::new(Disk::default()),
        http: Rc::new(http),
        processes: Rc::new(crate::sys::sim::ScriptedProcesses::none(&world.clock)),
        tasks: world.tasks(),
    };
    let slot = Rc::new(RefCell::new(None));
    let result = Rc::clone(&slot);
    let bounds = Bounds { output_bytes: 1000, response_bytes: 1000 };
    let own = Rc::new(provider(Api::OpenaiCompletions));
    let mut answer = Answer::start(sys.clone(), own, model(), prompt(vec![user("hi")]), bounds);
    world.tasks().detach(async move {
        while sys.clock.timeout(Duration::from_secs(2), answer.next()).await.is_ok() {}
        *result.borrow_mut() = Some(answer.finish());
    });
    world.run_for(Duration::from_secs(10));
    let finished = slot.borrow_mut().take().unwrap();
    assert_eq!(finished.stop_reason, StopReason::Aborted);
    assert_eq!(finished.content, [Block::Text { text: "half".into() }]);
    assert_eq!(finished.usage.cost, None);
}
