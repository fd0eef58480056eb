//! What every connection may rely on, checked frame by frame.
//!
//! The claims of the simulation, in the words in which `docs/design.md` may quote them:
//!
//! 1. Every request gets one final reply, or its connection ends ([`Watch::reply`], [`Watch::finish`]).
//! 2. Nobody is answered who did not ask ([`Watch::reply`]).
//! 3. Event numbers of a connection only grow; a gap means that an event was skipped for a slow reader
//!    ([`Watch::number`], [`Watch::gaps`]).
//! 4. A run's events are numbered without holes, natively from 1, in the guide's dialect from 0
//!    ([`Watch::progress`]).
//! 5. A run has exactly one end, and nothing comes after it ([`Watch::progress`], [`Watch::chat`],
//!    [`Watch::finish`]).
//! 6. Chat deltas are cumulative and at least 150 ms apart ([`Watch::chat`]).
//! 7. The same idempotency key gets the same answer ([`Ledger::keyed_reply`]).
//! 8. What was acknowledged is there after a power cut, in order ([`Ledger::check_against`]).
//! 9. After a power cut the state loads, and what the gateway then writes is undamaged
//!    ([`Home::damage`](super::home::Home::damage)).
//! 10. No counter ever leaves its bound ([`Home::run_for`](super::home::Home::run_for)), and all are
//!     back to zero once everybody has gone (`Scenario::finish`).
//! 11. Every accepted run ends, and everybody healthy hears of it (`Scenario::finish`).
//! 12. A client that reads is not disturbed by others that do not: it is answered at once, misses no
//!     event and is never closed ([`Watch::reply`], `Scenario::check_healthy`).
//! 13. The same seed gives the same frames at the same times (`seeds`).

use std::collections::BTreeMap;
use std::time::Duration;

use barnacle::limits::CHAT_DELTA_MS;
use serde_json::Value;

use super::client::{Client, Dialect, Got, is_hello};
use super::ledger::Ledger;

/// How long a healthy client waits at most for what needs no waiting.
const PROMPT: Duration = Duration::from_millis(10);

/// A request that was sent.
#[derive(Debug)]
pub struct Asked {
    /// Its method.
    pub method: &'static str,
    /// Its idempotency key.
    pub key: Option<String>,
    /// When.
    pub at: Duration,
    /// How many requests were sent with that id.
    pub times: usize,
    replies: usize,
    /// Of them, early ones (`accepted`).
    early: usize,
}

/// A run as one connection sees it.
#[derive(Debug, Default)]
struct Seen {
    number: Option<u64>,
    started: bool,
    ended: bool,
    chat_ended: bool,
    delta: Option<(u64, String)>,
}

/// One connection under observation.
pub struct Watch {
    /// Its name in messages.
    pub name: String,
    dialect: Dialect,
    /// Whether it reads at once, always: then nothing may be missing.
    healthy: bool,
    asked: BTreeMap<String, Asked>,
    number: u64,
    /// Event numbers that never came.
    pub gaps: u64,
    runs: BTreeMap<String, Seen>,
    frames: usize,
    /// Whether the wall clock has jumped, so that timestamps say nothing.
    pub jumped: bool,
    /// Whether it has sent half a frame, so that nobody can tell what its later ones say.
    pub garbled: bool,
}

impl Watch {
    /// Observes from the beginning.
    pub fn new(name: String, dialect: Dialect, healthy: bool) -> Self {
        let (asked, runs) = (BTreeMap::new(), BTreeMap::new());
        Self { name, dialect, healthy, asked, number: 0, gaps: 0, runs, frames: 0, jumped: false, garbled: false }
    }

    /// Notes a request.
    pub fn asked(&mut self, id: &str, method: &'static str, key: Option<String>, at: Duration) {
        let fresh = Asked { method, key, at, times: 0, replies: 0, early: 0 };
        self.asked.entry(id.to_owned()).or_insert(fresh).times += 1;
    }

    /// Looks at what has come since the last time; the result are the new frames.
    pub fn look(&mut self, client: &Client, ledger: &mut Ledger) -> Vec<Got> {
        let new: Vec<Got> = client.received()[self.frames..].to_vec();
        self.frames += new.len();
        for got in &new {
            let frame = &*got.json;
            if is_hello(frame) || frame["event"] == "connect.challenge" || frame["id"] == "connect" {
                continue;
            }
            if frame["type"] == "res" {
                self.reply(got, ledger);
                continue;
            }
            self.number(frame);
            match frame["event"].as_str() {
                Some("agent" | "agent.event") => self.progress(&frame["payload"]),
                Some("chat" | "chat.event") => self.chat(&frame["payload"], ledger),
                _ => {}
            }
        }
        new
    }

    /// Claims 1 and 2.
    fn reply(&mut self, got: &Got, ledger: &mut Ledger) {
        let frame = &*got.json;
        let name = &self.name;
        let id = frame["id"].as_str().unwrap_or_default();
        let Some(asked) = self.asked.get_mut(id) else { panic!("{name}: nobody asked for {frame}") };
        asked.replies += 1;
        let is_early = asked.method == "agent" && frame["payload"]["status"] == "accepted";
        assert!(frame["ok"].is_boolean(), "{name}: {frame}");
        if is_early {
            assert_eq!(asked.replies, 1, "{name}: accepted after the end: {frame}");
            asked.early += 1;
        }
        assert!(asked.replies - asked.early <= asked.times, "{name}: {id} was answered too often, last with {frame}");
        if self.healthy && matches!(asked.method, "health" | "sessions.list" | "chat.history") {
            assert!(got.at <= asked.at + PROMPT, "{name}: {id} was answered {:?} later", got.at - asked.at);
        }
        if let Some(key) = asked.key.clone() {
            ledger.keyed_reply(name, self.dialect, &key, frame);
        }
        if let (Some(label), Some(key)) =
            (frame["payload"]["entry"]["label"].as_str(), frame["payload"]["key"].as_str())
        {
            ledger.label_confirmed(key.rsplit(':').next().unwrap_or_default(), label);
        }
    }

    /// Claim 3.
    fn number(&mut self, frame: &Value) {
        let Some(number) = frame["seq"].as_u64() else {
            // What is for this connection alone has none (connection.md 1.5).
            let is_direct = frame["event"] == "voicewake.changed";
            assert!(is_direct, "{}: an event without number: {frame}", self.name);
            return;
        };
        assert!(number > self.number, "{}: number {number} after {}", self.name, self.number);
        self.gaps += number - self.number - 1;
        self.number = number;
    }

    /// Claims 4 and 5.
    fn progress(&mut self, payload: &Value) {
        let name = &self.name;
        let seen = self.runs.entry(payload["runId"].as_str().expect("a run").to_owned()).or_default();
        let number = payload["seq"].as_u64().expect("a number");
        let phase = (payload["stream"] == "lifecycle").then(|| payload["data"]["phase"].as_str().unwrap_or_default());
        if phase == Some("start") {
            assert!(!seen.started, "{name}: a second start: {payload}");
            seen.started = true;
            let first = if self.dialect == Dialect::Native { 1 } else { 0 };
            assert_eq!(number, first, "{name}: {payload}");
        } else if let Some(before) = seen.number {
            assert_eq!(number, before + 1, "{name}: a hole in a run: {payload}");
        }
        assert!(!seen.ended && !seen.chat_ended, "{name}: after the end of its run: {payload}");
        seen.number = Some(number);
        match phase {
            Some("end" | "error") => seen.ended = true,
            Some(_) => {}
            // Another message begins after a tool's result.
            None if payload["stream"] == "tool" => seen.delta = seen.delta.take().map(|(ts, _)| (ts, String::new())),
            None => {}
        }
    }

    /// Claims 5 and 6.
    fn chat(&mut self, payload: &Value, ledger: &mut Ledger) {
        let name = &self.name;
        let seen = self.runs.entry(payload["runId"].as_str().expect("a run").to_owned()).or_default();
        assert!(!seen.chat_ended, "{name}: after the end of its turn: {payload}");
        let message = &payload["message"];
        let text = message["content"].as_str().or_else(|| message["content"][0]["text"].as_str());
        if payload["state"] == "delta" {
            assert!(!seen.ended, "{name}: a delta after the end: {payload}");
            let (text, ts) = (text.expect("text"), message["timestamp"].as_u64().expect("a time"));
            if let Some((before_ts, before)) = &seen.delta {
                assert!(text.starts_with(before.as_str()), "{name}: not cumulative: {before:?}, then {payload}");
                assert!(
                    self.jumped || ts >= before_ts + CHAT_DELTA_MS,
                    "{name}: too soon after {before_ts}: {payload}"
                );
            }
            seen.delta = Some((ts, text.to_owned()));
            return;
        }
        assert!(matches!(payload["state"].as_str(), Some("final" | "aborted" | "error")), "{name}: {payload}");
        assert!(seen.ended || !seen.started, "{name}: the turn ends before its run: {payload}");
        seen.chat_ended = true;
        if let (Some(text), "final") = (text, payload["state"].as_str().unwrap_or_default()) {
            ledger.answered(payload["sessionKey"].as_str().unwrap_or_default(), text);
        }
    }

    /// Claims 1 and 5, once everything has come to rest and the connection still stands.
    pub fn finish(&self, ledger: &Ledger) {
        let name = &self.name;
        for (id, asked) in self.asked.iter().filter(|_| !self.garbled) {
            // Whoever repeats a key while its run goes is told `accepted` and no more (methods.md 1.3).
            let is_repeat = asked.early == 1 && asked.key.as_ref().is_some_and(|key| ledger.keys[key].uses > 1);
            let last = asked.replies - asked.early;
            assert!(last == asked.times || is_repeat, "{name}: {id} is not answered: {asked:?}");
        }
        for (run, seen) in &self.runs {
            let whole = !seen.started || (seen.ended && seen.chat_ended);
            assert!(whole, "{name}: run {run} began and never ended: {seen:?}");
        }
    }

    /// Runs whose end this connection has seen.
    pub fn saw_end_of(&self, run: &str) -> bool {
        self.runs.get(run).is_some_and(|seen| seen.chat_ended)
    }
}
