//! Power cuts at random moments: what was acknowledged is there afterwards, whole and in order.
//!
//! Three actors use the stores at once. At a random operation the files are frozen; what an actor
//! was told until then must hold for the files that survive. A failure names its seed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::bench::{Bench, NOW_MS};
use super::transcript_compact::Compaction;
use super::transcripts::Reason;
use super::{
    Durability, Durable, KeyRules, Problem, SessionKey, SessionStore, TranscriptFile, TranscriptStore, UsageStore,
};
use crate::limits::Limits;
use crate::sys::sim::SimFiles;
use crate::sys::{Chance, Files as _};
use crate::wire::message::{Message, Usage};

const SEEDS: u64 = 300;
const DIR: &str = "/s/agents/main/sessions";

#[test]
fn what_was_acknowledged_survives_a_power_cut_at_any_moment() {
    for seed in 0..SEEDS {
        let (facts, after) = live_until_the_cut(seed);
        let check = Check { facts: &facts, seed };
        let bench = check.first_start(after);
        check.second_start(&bench.files);
    }
}

/// INTEGRATIONS 6.4: 200 turns cost at most 20 MB on the card, a synced append 17 KB, a replacement
/// 66 KB.
#[test]
fn two_hundred_turns_stay_within_the_write_budget() {
    let bench = Bench::new(1);
    let (stores, _) = Stores::load(&bench);
    let (file, main) = (transcript("t"), SessionKey::main_of("main"));
    for turn in 0..200 {
        stores.transcripts.append(&file, &numbered(2 * turn, 2000)).unwrap();
        stores.sessions.update(&main, Durability::Forced, |_| ()).unwrap();
        bench.run(Durable::all([stores.transcripts.synced(&file), stores.sessions.saved()])).unwrap();
        stores.transcripts.append(&file, &numbered(2 * turn + 1, 2000)).unwrap();
        stores.sessions.update(&main, Durability::Lazy, |entry| entry.total_tokens = Some(turn)).unwrap();
        stores.usage.record(NOW_MS, "p", "m", &Usage::default()).unwrap();
        bench.run(Durable::all([stores.transcripts.synced(&file), stores.usage.synced()])).unwrap();
        bench.world.run_for(Duration::from_secs(60));
    }
    bench.run(stores.sessions.close()).unwrap();
    let stats = bench.files.stats();
    let card_bytes = stats.bytes_written + stats.syncs * 17_000 + stats.replaces * 66_000;
    assert!(card_bytes <= 20_000_000, "{card_bytes} bytes: {stats:?}");
}

/// What the actors did and what they were told.
#[derive(Debug, Default)]
struct Facts {
    sessions: BTreeMap<String, Told>,
    transcripts: BTreeMap<String, Said>,
    usage_tried: u64,
    usage_acknowledged: u64,
}

/// The values of one session in their order, `None` for deleted.
#[derive(Debug, Default)]
struct Told {
    values: Vec<Option<u64>>,
    acknowledged: usize,
}

/// One transcript: its messages are numbered from 0.
#[derive(Debug, Default)]
struct Said {
    said: u64,
    acknowledged: u64,
    /// Messages below this may be gone, because a shortening was tried.
    floor_tried: u64,
    /// Messages below this must be gone, because it was acknowledged.
    floor_acknowledged: u64,
    archive_tried: bool,
    archive_acknowledged: bool,
}

/// The three stores.
#[derive(Clone)]
struct Stores {
    sessions: SessionStore,
    transcripts: TranscriptStore,
    usage: UsageStore,
}

impl Stores {
    fn load(bench: &Bench) -> (Self, Vec<Problem>) {
        let (sys, saver, dir) = (&bench.sys, &bench.saver, Path::new("/s"));
        let (sessions, problems) = SessionStore::load(sys, saver, dir, "main", &Limits::default()).unwrap();
        let transcripts = TranscriptStore::load(sys, saver, "/w", &sessions.sessions_dirs()).unwrap();
        let usage = UsageStore::load(sys, saver, dir, TimeZone::UTC).unwrap();
        (Self { sessions, transcripts, usage }, problems)
    }
}

fn live_until_the_cut(seed: u64) -> (Facts, SimFiles) {
    let bench = Bench::new(seed);
    let chance = Chance::seeded(seed ^ 0xc0ffee);
    let (stores, _) = Stores::load(&bench);
    bench.files.cut_after(chance.below(250));
    let facts = Rc::new(RefCell::new(Facts::default()));
    for number in 0..3 {
        let actor = Actor {
            number,
            stores: stores.clone(),
            files: bench.files.clone(),
            facts: Rc::clone(&facts),
            chance: Chance::seeded(seed * 3 + number),
            sys: bench.sys.clone(),
        };
        bench.world.tasks().detach(actor.live());
    }
    for _ in 0..4000 {
        bench.world.run_for(Duration::from_millis(5));
        if bench.files.has_cut() {
            break;
        }
    }
    let after = bench.files.power_cut(&chance);
    (facts.take(), after)
}

struct Actor {
    number: u64,
    stores: Stores,
    files: SimFiles,
    facts: Rc<RefCell<Facts>>,
    chance: Chance,
    sys: crate::sys::Sys,
}

impl Actor {
    async fn live(self) {
        let mut generation = 0;
        for _ in 0..80 {
            if self.files.has_cut() {
                return;
            }
            match self.chance.below(18) {
                0..=4 => self.change_session().await,
                5..=10 => self.say(&self.transcript(generation)).await,
                11 | 12 => self.shorten(&self.transcript(generation)).await,
                13 => {
                    self.archive(&self.transcript(generation)).await;
                    generation += 1;
                }
                14 | 15 => self.use_tokens().await,
                16 => {
                    let _ = self.stores.sessions.close().await;
                }
                _ => {
                    let _ = self.stores.usage.flush().await;
                }
            }
            let pause = self.chance.below(8);
            self.sys.clock.sleep(Duration::from_millis(pause)).await;
        }
    }

    fn transcript(&self, generation: u64) -> TranscriptFile {
        transcript(&format!("t{}-{generation}", self.number))
    }

    async fn change_session(&self) {
        let name = format!("agent:main:k{}-{}", self.number, self.chance.below(3));
        let store = &self.stores.sessions;
        let mut is_forced = true;
        let value = match self.chance.below(8) {
            0 => {
                store.remove(&key(&name)).unwrap();
                None
            }
            1 => store.reset(&key(&name)).unwrap().total_tokens,
            kind => {
                is_forced = kind < 6;
                let durability = if is_forced { Durability::Forced } else { Durability::Lazy };
                let value = self.chance.below(1_000_000) + 1;
                let filler = "x".repeat(usize::try_from(self.chance.below(60)).unwrap());
                store
                    .update(&key(&name), durability, |entry| {
                        entry.total_tokens = Some(value);
                        entry.label = Some(filler);
                    })
                    .unwrap()
                    .total_tokens
            }
        };
        let index = {
            let mut facts = self.facts.borrow_mut();
            let told =
                facts.sessions.entry(name.clone()).or_insert_with(|| Told { values: vec![None], acknowledged: 0 });
            told.values.push(value);
            told.values.len() - 1
        };
        self.dawdle().await;
        if is_forced && self.stores.sessions.saved().await.is_ok() && !self.files.has_cut() {
            self.facts.borrow_mut().sessions.get_mut(&name).unwrap().acknowledged = index;
        }
    }

    async fn say(&self, file: &TranscriptFile) {
        for _ in 0..=self.chance.below(3) {
            let number = self.with_said(file, |said| {
                said.said += 1;
                said.said - 1
            });
            self.stores.transcripts.append(file, &numbered(number, self.chance.below(80))).unwrap();
        }
        let said = self.with_said(file, |said| said.said);
        self.dawdle().await;
        if self.stores.transcripts.synced(file).await.is_ok() && !self.files.has_cut() {
            self.with_said(file, |all| all.acknowledged = said);
        }
    }

    async fn shorten(&self, file: &TranscriptFile) {
        let lines = self.chance.below(6) + 1;
        let floor = self.with_said(file, |said| {
            said.floor_tried = said.floor_tried.max(said.said.saturating_sub(lines));
            said.floor_tried
        });
        let talk_on = self.chance.below(2) == 0;
        let shortening = self.stores.transcripts.compact(file, lines);
        let result = if talk_on { smol::future::zip(shortening, self.say(file)).await.0 } else { shortening.await };
        assert!(result.is_ok(), "{result:?}");
        if matches!(result, Ok(Compaction::Done { .. })) && !self.files.has_cut() {
            self.with_said(file, |said| said.floor_acknowledged = floor);
        }
    }

    async fn archive(&self, file: &TranscriptFile) {
        self.with_said(file, |said| said.archive_tried = true);
        let archived = self.stores.transcripts.archive(file, Reason::Deleted).unwrap();
        if let Some((_, durable)) = archived {
            if durable.await.is_ok() && !self.files.has_cut() {
                self.with_said(file, |said| said.archive_acknowledged = true);
            }
        }
    }

    async fn use_tokens(&self) {
        self.facts.borrow_mut().usage_tried += 1;
        let usage = Usage { input: 1, ..Usage::default() };
        self.stores.usage.record(NOW_MS, "p", "m", &usage).unwrap();
        let recorded = self.stores.usage.cost(1, NOW_MS).1.input;
        self.dawdle().await;
        if self.stores.usage.synced().await.is_ok() && !self.files.has_cut() {
            let mut facts = self.facts.borrow_mut();
            facts.usage_acknowledged = facts.usage_acknowledged.max(recorded);
        }
    }

    /// Lets a sync of somebody else come between a change and the wait for it.
    async fn dawdle(&self) {
        if self.chance.below(3) == 0 {
            self.sys.clock.sleep(Duration::from_millis(self.chance.below(15))).await;
        }
    }

    fn with_said<T>(&self, file: &TranscriptFile, change: impl FnOnce(&mut Said) -> T) -> T {
        change(self.facts.borrow_mut().transcripts.entry(file.session_id().to_string()).or_default())
    }
}

struct Check<'a> {
    facts: &'a Facts,
    seed: u64,
}

impl Check<'_> {
    /// The first start after the cut, with a change at once and an append to every transcript.
    fn first_start(&self, files: SimFiles) -> Bench {
        let bench = Bench::on(files, self.seed);
        let (stores, _) = Stores::load(&bench);
        self.sessions(&stores, None);
        self.usage(&stores, 0);
        for (id, said) in &self.facts.transcripts {
            self.transcript(&bench.files, id, said);
        }
        stores.sessions.update(&key("later"), Durability::Forced, |entry| entry.total_tokens = Some(7)).unwrap();
        stores.usage.record(NOW_MS, "p", "m", &Usage { input: 1, ..Usage::default() }).unwrap();
        bench.run(stores.sessions.saved()).unwrap();
        bench.run(stores.usage.synced()).unwrap();
        let (early, _) = Stores::load(&Bench::on(bench.files.power_cut(&Chance::seeded(self.seed)), self.seed));
        self.sessions(&early, Some(7));
        self.usage(&early, 1);
        for id in self.facts.transcripts.keys() {
            stores.transcripts.append(&transcript(id), &numbered(1_000_000, 0)).unwrap();
        }
        bench.run(bench.saver.flush_all()).unwrap();
        bench.world.run_for(Duration::from_secs(1));
        bench
    }

    /// Another cut and another start: nothing new is damaged and nothing is lost.
    fn second_start(&self, files: &SimFiles) {
        let bench = Bench::on(files.power_cut(&Chance::seeded(self.seed)), self.seed);
        let count = |part: &str| names(&bench.files).iter().filter(|name| name.contains(part)).count();
        let torn = count(".torn-");
        let (stores, problems) = Stores::load(&bench);
        assert_eq!(problems, [], "seed {}", self.seed);
        assert_eq!(count(".compact-"), 0, "seed {}", self.seed);
        self.sessions(&stores, Some(7));
        self.usage(&stores, 1);
        for id in self.facts.transcripts.keys() {
            let path = transcript(id).path().to_path_buf();
            assert_eq!(numbers_in(&bench.files, &path).last(), Some(&1_000_000), "seed {}: {id}", self.seed);
            stores.transcripts.append(&transcript(id), &numbered(1_000_001, 0)).unwrap();
        }
        assert_eq!(count(".torn-"), torn, "seed {}", self.seed);
        bench.run(stores.sessions.close()).unwrap();
        let index = bench.files.read(&Path::new(DIR).join("sessions.json"), 1_000_000);
        let written = index.map_or_else(|_| json!({}), |bytes| serde_json::from_slice::<Value>(&bytes).unwrap());
        assert_eq!(written.as_object().unwrap().len(), stores.sessions.len(), "seed {}", self.seed);
        assert!(!names(&bench.files).iter().any(|name| name.contains("journal")), "seed {}", self.seed);
    }

    fn sessions(&self, stores: &Stores, later: Option<u64>) {
        let found = |key: &SessionKey| stores.sessions.get(key).map(|entry| entry.total_tokens.unwrap());
        for (name, told) in &self.facts.sessions {
            let (found, possible) = (found(&key(name)), &told.values[told.acknowledged..]);
            assert!(possible.contains(&found), "seed {}: {name} is {found:?}, not one of {possible:?}", self.seed);
        }
        assert_eq!(found(&key("later")), later, "seed {}", self.seed);
        let others = stores.sessions.newest().into_iter().filter(|row| *row.key() != key("later"));
        let mut others = others.map(|row| row.key().as_str().to_string());
        assert!(others.all(|name| self.facts.sessions.contains_key(&name)), "seed {}: from nowhere", self.seed);
    }

    fn usage(&self, stores: &Stores, later: u64) {
        let found = stores.usage.cost(1, NOW_MS).1.input;
        let (least, most) = (self.facts.usage_acknowledged + later, self.facts.usage_tried + later);
        assert!((least..=most).contains(&found), "seed {}: {found} tokens, not {least} to {most}", self.seed);
    }

    fn transcript(&self, files: &SimFiles, id: &str, said: &Said) {
        let path = transcript(id).path().to_path_buf();
        let archive = names(files).into_iter().find(|name| name.starts_with(&format!("{id}.jsonl.deleted.")));
        let is_there = files.size(&path).is_ok();
        if said.archive_acknowledged {
            assert!(!is_there && archive.is_some(), "seed {}: {id} was archived", self.seed);
        }
        let path = match archive {
            Some(name) if said.archive_tried && !is_there => PathBuf::from(DIR).join(name),
            _ => path,
        };
        let found = numbers_in(files, &path);
        let told = format!("seed {}: {id} has {found:?} of {said:?}", self.seed);
        assert!(found.is_sorted_by(|a, b| a < b), "{told}");
        assert!((said.floor_tried..said.acknowledged).all(|number| found.contains(&number)), "{told}");
        assert!(found.iter().all(|number| (said.floor_acknowledged..said.said).contains(number)), "{told}");
        let between = said.floor_acknowledged..said.floor_tried.min(said.acknowledged);
        let kept = between.clone().filter(|number| found.contains(number)).count() as u64;
        assert!(kept == 0 || kept == between.end - between.start, "half shortened; {told}");
    }
}

fn key(name: &str) -> SessionKey {
    SessionKey::canonical(name, &KeyRules { default_agent: "main".into(), global: false }).unwrap()
}

fn transcript(id: &str) -> TranscriptFile {
    TranscriptFile::new(Path::new(DIR), id, None).unwrap()
}

fn numbered(number: u64, filler: u64) -> Message {
    let filler = " ".repeat(usize::try_from(filler).unwrap());
    serde_json::from_value(json!({"role": "user", "content": format!("{number}{filler}")})).unwrap()
}

fn names(files: &SimFiles) -> Vec<String> {
    files.list(Path::new(DIR)).unwrap().into_iter().map(|entry| entry.name).collect()
}

/// The numbers of the readable messages in a file.
fn numbers_in(files: &SimFiles, path: &Path) -> Vec<u64> {
    let bytes = files.read(path, 10_000_000).unwrap_or_default();
    bytes
        .split_inclusive(|byte| *byte == b'\n')
        .filter(|line| line.ends_with(b"\n"))
        .filter_map(|line| {
            serde_json::from_slice::<Value>(line).ok()?["message"]["content"].as_str()?.trim().parse().ok()
        })
        .collect()
}
