//! A scenario made from a seed: people who come and go, ask and break things, while the provider, the
//! disk, the clock and the power fail.

use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};

use super::claims::Watch;
use super::client::{Client, Who};
use super::home::{Furnishing, Home};
use super::ledger::{KEPT, Key, Ledger};
use super::nonsense;
use super::provider::{Echo, Moody};

/// People beside the two healthy ones.
const OTHERS_MAX: usize = 6;
/// Sessions with which anything may be done.
const PLAYED: [&str; 3] = ["play-0", "play-1", "main"];
/// How long a remembered answer is used again; below its lifetime of five minutes.
const KEY_USE: Duration = Duration::from_secs(200);
/// Small bounds, so that they are reached; those that hang together stand together.
const TIGHT: [&[(&str, u64)]; 6] = [
    &[("connections", 9), ("connectionsPerAddress", 5), ("pendingConnections", 4), ("pendingPerAddress", 3)],
    &[("maxPayload", 16_384), ("totalIncomingBytes", 1_048_576)],
    &[("maxBufferedBytes", 262_144), ("totalBufferedBytes", 1_048_576), ("historyBytes", 65_536)],
    &[("writeStallMs", 5_000), ("handshakeMs", 2_000)],
    &[("callsPerConnection", 4), ("laneQueue", 2), ("runsQueued", 5)],
    &[("runOutputBytes", 4_096), ("promptBytes", 16_384)],
];

/// Somebody connected.
struct Person {
    client: Client,
    watch: Watch,
    healthy: bool,
    next_id: u32,
}

/// A scenario under way.
pub struct Scenario {
    dice: fastrand::Rng,
    home: Home,
    people: Vec<Person>,
    ledger: Ledger,
    next_name: u32,
    next_key: u32,
    /// The latest keys with the time of their first use.
    recent: Vec<(Duration, String)>,
    jumped: bool,
    /// Every frame that anybody received: life, person, time, text.
    transcript: Vec<String>,
}

impl Scenario {
    /// Plays the scenario of `seed` to its end; the result is every frame that anybody received.
    ///
    /// # Panics
    /// When a claim doesn't hold.
    pub fn play(seed: u64) -> Vec<String> {
        let mut dice = fastrand::Rng::with_seed(seed);
        let moody = Moody::new(dice.u64(..));
        let mut furnishing = Furnishing::new(dice.u64(..), move |request| moody.answer(request));
        furnishing.tools = Some(Rc::new(Echo));
        if dice.bool() {
            furnishing.limits = TIGHT.iter().filter(|_| dice.bool()).copied().flatten().copied().collect();
        }
        let mut scenario = Self {
            home: Home::new(furnishing),
            people: Vec::new(),
            ledger: Ledger::default(),
            next_name: 0,
            next_key: 0,
            recent: Vec::new(),
            jumped: false,
            transcript: Vec::new(),
            dice,
        };
        scenario.healthy_people_come();
        for _ in 0..scenario.dice.usize(10..60) {
            scenario.step();
            scenario.time_passes();
            scenario.look();
        }
        scenario.finish();
        std::mem::take(&mut scenario.transcript)
    }

    fn healthy_people_come(&mut self) {
        for who in [Who::native(), Who::guide()] {
            let client = self.home.admit(who);
            self.person(client, true);
        }
        self.look();
    }

    fn person(&mut self, client: Client, healthy: bool) {
        let name = format!("{}.{}", self.home.life, self.next_name);
        self.next_name += 1;
        let mut watch = Watch::new(name, client.dialect, healthy);
        watch.jumped = self.jumped;
        self.people.push(Person { client, watch, healthy, next_id: 0 });
    }

    fn step(&mut self) {
        match self.dice.u32(0..100) {
            0..8 => self.somebody_comes(),
            8..14 => self.somebody_goes(),
            14..22 => self.somebody_reads_badly(),
            22..32 => self.somebody_talks_nonsense(),
            32..36 => self.disk_changes(),
            36..38 => self.clock_jumps(),
            38..40 => self.power_cut(),
            40..44 => self.label(),
            44..52 => self.repeat(),
            52..76 => self.message(),
            _ => self.question(),
        }
    }

    /// Mostly moments, sometimes minutes.
    fn time_passes(&mut self) {
        let ms = match self.dice.u32(0..100) {
            0..30 => 0,
            30..65 => self.dice.u64(0..60),
            65..88 => self.dice.u64(0..3_000),
            88..98 => self.dice.u64(0..60_000),
            _ => self.dice.u64(0..900_000),
        };
        self.home.run_ms(ms);
    }

    fn look(&mut self) {
        for person in &mut self.people {
            for got in person.watch.look(&person.client, &mut self.ledger) {
                self.transcript.push(format!("{} {:?} {}", person.watch.name, got.at, got.text));
            }
        }
        self.check_healthy();
        self.people.retain(|person| person.client.closed().is_none());
    }

    /// Claim 12.
    fn check_healthy(&self) {
        let healthy = self.people.iter().filter(|person| person.healthy);
        for person in healthy {
            let name = &person.watch.name;
            assert_eq!(person.client.closed(), None, "{name} reads well and was closed");
            assert_eq!(person.watch.gaps, 0, "{name} reads well and missed events");
        }
    }

    fn somebody(&mut self) -> usize {
        self.dice.usize(0..self.people.len())
    }

    /// One of those who may be mistreated.
    fn somebody_else(&mut self) -> Option<usize> {
        let others = self.people.len().checked_sub(2).filter(|others| *others > 0)?;
        Some(2 + self.dice.usize(0..others))
    }

    fn somebody_comes(&mut self) {
        if self.people.len() >= OTHERS_MAX + 2 {
            return;
        }
        let mut who = if self.dice.bool() { Who::native() } else { Who::guide() };
        who.address = [10, 0, 0, self.dice.u8(1..4)].into();
        match self.dice.u32(0..12) {
            0 => who.role = "node",
            1 => who.scopes = &["operator.read"],
            2 => (who.token, who.address) = ("wrong", [10, 0, 0, 66].into()),
            3 => who.introduces_itself = false,
            4 | 5 => who.socket_bytes = self.dice.usize(64..4096),
            6 => who.path = "/nowhere",
            7 => who.headers = &[("Origin", "https://elsewhere.example")],
            _ => {}
        }
        let client = self.home.connect(who);
        if self.dice.u32(0..4) == 0 {
            client.socket.chop(self.dice.usize(1..40));
        }
        self.person(client, false);
    }

    fn somebody_goes(&mut self) {
        let Some(index) = self.somebody_else() else { return };
        let person = &self.people[index];
        if self.dice.bool() { person.client.close() } else { person.client.cut() }
    }

    fn somebody_reads_badly(&mut self) {
        let Some(index) = self.somebody_else() else { return };
        let person = &self.people[index];
        match self.dice.u32(0..3) {
            0 => person.client.socket.chop(self.dice.usize(1..100)),
            _ if person.client.is_paused() => person.client.resume(),
            _ => person.client.pause(),
        }
    }

    fn somebody_talks_nonsense(&mut self) {
        let Some(index) = self.somebody_else() else { return };
        let max = usize::try_from(self.home.limits().max_payload).unwrap_or(usize::MAX);
        let person = &mut self.people[index];
        nonsense::talk(&mut self.dice, &person.client, &mut person.watch, max, self.home.now());
    }

    fn disk_changes(&mut self) {
        let files = &self.home.files;
        match self.dice.u32(0..6) {
            0 => files.fill_up(),
            1 => files.break_syncs(true),
            2 => files.run_on(self.home.world.clock.clone(), Duration::from_millis(self.dice.u64(0..400))),
            _ => {
                files.free_up();
                files.break_syncs(false);
            }
        }
    }

    fn clock_jumps(&mut self) {
        self.home.world.clock.jump_wall(self.dice.i64(-3_600_000..86_400_000));
        self.jumped = true;
        self.people.iter_mut().for_each(|person| person.watch.jumped = true);
    }

    fn power_cut(&mut self) {
        self.look();
        self.home.power_cut();
        self.people.clear();
        self.recent.clear();
        self.ledger.power_cut();
        assert_eq!(self.home.ghosts(), 0, "something of the old gateway survives");
        self.healthy_people_come();
        self.ledger.check_against(&self.home);
        // What the start has mended is written by now.
        self.home.run_ms(60_000);
        assert_eq!(self.home.damage(), Vec::<String>::new(), "damaged after it was mended");
        self.look();
    }

    /// Only one person sets labels, so that the order is known.
    fn label(&mut self) {
        let session = KEPT[self.dice.usize(0..KEPT.len())];
        self.next_key += 1;
        let label = format!("label {}", self.next_key);
        self.ledger.label_asked(session, &label);
        self.ask(0, "sessions.patch", None, json!({"key": session, "label": label}));
    }

    /// A message to an agent, in one of the two ways.
    fn message(&mut self) {
        let person = self.somebody();
        let session = if self.dice.bool() { KEPT[self.dice.usize(0..2)] } else { PLAYED[self.dice.usize(0..3)] };
        let method = if self.dice.bool() { "chat.send" } else { "agent" };
        self.next_key += 1;
        let key = format!("key-{}-{}", self.home.life, self.next_key);
        let text = match self.dice.u32(0..12) {
            0 => "/help".to_owned(),
            1 if PLAYED.contains(&session) => "/new and then".to_owned(),
            2 => "stop".to_owned(),
            3 => format!("once {key} {}", "long ".repeat(self.dice.usize(1..1500))).trim().to_owned(),
            _ => format!("once {key} please"),
        };
        let record = Key::new(method, session, text);
        self.ledger.keys.insert(key.clone(), record);
        self.recent.push((self.home.now(), key.clone()));
        self.send_message(person, &key);
        // Sometimes twice in one breath, by two people.
        if self.dice.u32(0..10) == 0 {
            let other = self.somebody();
            self.send_message(other, &key);
        }
    }

    /// The same key again.
    fn repeat(&mut self) {
        let now = self.home.now();
        self.recent.retain(|(at, _)| now < *at + KEY_USE);
        if self.recent.is_empty() {
            return self.message();
        }
        let (_, key) = self.recent[self.dice.usize(0..self.recent.len())].clone();
        let person = self.somebody();
        self.send_message(person, &key);
    }

    fn send_message(&mut self, person: usize, key: &str) {
        let record = self.ledger.keys.get_mut(key).expect("a key that was made");
        record.uses += 1;
        let (method, message, session) = (record.method, record.message.clone(), record.session.clone());
        let params = json!({"message": message, "sessionKey": session, "idempotencyKey": key});
        self.ask(person, method, Some(key.to_owned()), params);
    }

    /// Anything else that can be asked.
    fn question(&mut self) {
        let person = self.somebody();
        let dice = &mut self.dice;
        let played = PLAYED[dice.usize(0..PLAYED.len())];
        let kept = KEPT[dice.usize(0..KEPT.len())];
        let run = if self.recent.is_empty() {
            "none".to_owned()
        } else {
            self.recent[dice.usize(0..self.recent.len())].1.clone()
        };
        let (method, params): (_, Value) = match dice.u32(0..16) {
            0 => ("health", json!({})),
            1 => ("health", json!({"probe": true})),
            2 => ("sessions.list", json!({"includeLastMessage": true, "includeDerivedTitles": true})),
            3 | 4 => ("chat.history", json!({"sessionKey": kept, "limit": dice.u32(1..1000)})),
            5 => ("chat.history", json!({"sessionKey": played, "limit": 0})),
            6 | 7 => ("agent.wait", json!({"runId": run, "timeoutMs": dice.u64(0..100_000)})),
            8 => ("chat.abort", json!({"sessionKey": played})),
            9 => ("chat.abort", json!({"sessionKey": kept, "runId": run})),
            10 => ("sessions.reset", json!({"key": played})),
            11 => ("sessions.delete", json!({"key": played, "deleteTranscript": dice.bool()})),
            12 => ("sessions.compact", json!({"key": played, "maxLines": dice.u32(1..20)})),
            13 => ("sessions.preview", json!({"keys": [kept, played], "limit": 5})),
            14 => ("sessions.patch", json!({"key": played, "thinkingLevel": "high", "sendPolicy": "allow"})),
            _ => ("status", json!({})),
        };
        self.ask(person, method, None, params);
    }

    fn ask(&mut self, index: usize, method: &'static str, key: Option<String>, params: Value) {
        let person = &mut self.people[index];
        person.next_id += 1;
        let id = format!("r{}", person.next_id);
        person.watch.asked(&id, method, key, self.home.now());
        person.client.request(&id, method, params);
    }

    /// Everything comes to rest, everybody goes, and the power is cut a last time.
    fn finish(&mut self) {
        self.home.files.free_up();
        self.home.files.break_syncs(false);
        self.people.iter().for_each(|person| person.client.resume());
        for _ in 0..240 {
            self.home.run_ms(60_000);
            if self.home.gateway().runs.counts() == (0, 0) {
                break;
            }
        }
        self.home.run_ms(110_000);
        self.look();
        let gateway = Rc::clone(self.home.gateway());
        assert_eq!(gateway.runs.counts(), (0, 0), "runs that never end");
        for person in &self.people {
            person.watch.finish(&self.ledger);
        }
        let healthy = self.people.iter().filter(|person| person.healthy);
        for person in healthy {
            for run in self.ledger.accepted() {
                assert!(person.watch.saw_end_of(run), "{}: the accepted run {run} has no end", person.watch.name);
            }
        }
        let gaps: u64 = self.people.iter().map(|person| person.watch.gaps).sum();
        assert!(gaps <= gateway.hub.counters().events_skipped, "{gaps} events are missing, not all were skipped");
        for person in &self.people {
            if person.watch.garbled { person.client.cut() } else { person.client.close() }
        }
        self.home.run_ms(60_000);
        for person in &self.people {
            assert!(person.client.closed().is_some(), "{} stays", person.watch.name);
        }
        let counters = (gateway.outgoing.used(), gateway.incoming.used(), gateway.calls.used());
        assert_eq!(counters, (0, 0, 0), "bytes out, bytes in, calls");
        assert_eq!((self.home.front.doors.open(), gateway.hub.peers().len()), (0, 0), "connections");
        drop(gateway);
        self.people.clear();
        self.power_cut();
    }
}

impl Drop for Scenario {
    /// Whoever repeats a failing seed wants to see the last frames.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let tail = self.transcript.len().saturating_sub(30);
            for line in &self.transcript[tail..] {
                println!("{}", line.chars().take(300).collect::<String>());
            }
        }
    }
}
