//! People whom nobody has let in yet: each gets a code, which the owner approves (methods.md 9.4,
//! `dmPolicy: "pairing"`). `channels/pairing.json`, bounded; requests expire. It decides nothing else.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::limits::{CHANNELS_FILE_BYTES, STRANGER_TTL_MS, STRANGERS_APPROVED, STRANGERS_PENDING};
use crate::stores::ledger::Ledger;
use crate::stores::{Durable, Saver, StoreError};
use crate::sys::Sys;

/// Letters of a code: none that looks like another.
const LETTERS: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
/// Letters in a code: 40 bits.
const CODE_LETTERS: usize = 8;

/// Somebody who wrote to an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stranger {
    /// The channel.
    pub channel: String,
    /// The account.
    pub account_id: String,
    /// The service's id of the person.
    pub sender_id: String,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What the owner is told.
    pub code: String,
    /// When the code was made, milliseconds since the Unix epoch.
    pub asked_at_ms: u64,
    /// When the owner let the person in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_at_ms: Option<u64>,
    /// What others wrote there.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// What a stranger's message leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// A new request with this code; the person is told.
    New(String),
    /// The person was told before.
    Waiting,
    /// Too many wait.
    Full,
}

/// The store.
#[derive(Debug)]
pub struct Strangers {
    sys: Sys,
    people: Ledger<Stranger>,
}

impl Strangers {
    /// Reads `dir/pairing.json`.
    ///
    /// # Errors
    /// What the disk says when something that is there can't be read.
    pub fn load(sys: &Sys, saver: &Saver, dir: &Path) -> Result<Self, StoreError> {
        let people = Ledger::load(sys, saver, dir.join("pairing.json"), CHANNELS_FILE_BYTES)?;
        Ok(Self { sys: sys.clone(), people })
    }

    /// Whether the owner let a person in.
    #[must_use]
    pub fn is_approved(&self, channel: &str, account_id: &str, sender_id: &str) -> bool {
        self.people.get(&id_of(channel, account_id, sender_id)).is_some_and(|person| person.approved_at_ms.is_some())
    }

    /// A stranger wrote. The code is told once [`saved`](Self::saved) resolves.
    pub fn ask(&self, channel: &str, account_id: &str, sender_id: &str, name: Option<&str>) -> Asked {
        self.forget_expired();
        let id = id_of(channel, account_id, sender_id);
        if self.people.get(&id).is_some() {
            return Asked::Waiting;
        }
        if self.pending().iter().filter(|person| person.channel == channel).count() >= STRANGERS_PENDING {
            return Asked::Full;
        }
        let code = self.fresh_code();
        let person = Stranger {
            channel: channel.to_owned(),
            account_id: account_id.to_owned(),
            sender_id: sender_id.to_owned(),
            name: name.map(|name| name.chars().take(100).collect()),
            code: code.clone(),
            asked_at_ms: self.sys.clock.now_ms(),
            approved_at_ms: None,
            extra: Map::new(),
        };
        self.people.put(&id, person);
        drop(self.people.save());
        Asked::New(code)
    }

    /// The code could not be saved, so nobody was told it: the person may ask again.
    pub fn withdraw(&self, code: &str) {
        self.people.retain(|person| person.approved_at_ms.is_some() || person.code != code);
    }

    /// Those who were let in, by channel, account and id.
    #[must_use]
    pub fn approved(&self) -> Vec<Stranger> {
        self.people.all().into_iter().filter(|person| person.approved_at_ms.is_some()).collect()
    }

    /// The owner sends somebody away who was let in. Durable with [`saved`](Self::saved).
    pub fn forget(&self, channel: &str, account_id: &str, sender_id: &str) -> Option<Stranger> {
        let id = id_of(channel, account_id, sender_id);
        self.people.get(&id).filter(|person| person.approved_at_ms.is_some())?;
        let person = self.people.remove(&id);
        drop(self.people.save());
        person
    }

    /// The request under a code, in any case of letters.
    #[must_use]
    pub fn by_code(&self, code: &str) -> Option<Stranger> {
        self.pending().into_iter().find(|person| person.code.eq_ignore_ascii_case(code.trim()))
    }

    /// Those who wait, by channel, account and id.
    #[must_use]
    pub fn pending(&self) -> Vec<Stranger> {
        let now_ms = self.sys.clock.now_ms();
        self.people
            .all()
            .into_iter()
            .filter(|person| person.approved_at_ms.is_none() && is_fresh(person, now_ms))
            .collect()
    }

    /// The owner lets somebody in by the code, in any case of letters. `None` when nobody waits under it, or
    /// as many were let in as may be. Durable with [`saved`](Self::saved).
    pub fn approve(&self, code: &str) -> Option<Stranger> {
        let mut person = self.by_code(code)?;
        if self.people.len() - self.pending().len() >= STRANGERS_APPROVED {
            return None;
        }
        person.approved_at_ms = Some(self.sys.clock.now_ms());
        self.people.put(&id_of(&person.channel, &person.account_id, &person.sender_id), person.clone());
        drop(self.people.save());
        Some(person)
    }

    /// The owner sends somebody away. Durable with [`saved`](Self::saved).
    pub fn reject(&self, code: &str) -> Option<Stranger> {
        let person = self.by_code(code)?;
        self.people.remove(&id_of(&person.channel, &person.account_id, &person.sender_id));
        drop(self.people.save());
        Some(person)
    }

    /// Resolves when every change so far is on the medium.
    pub fn saved(&self) -> Durable {
        self.people.saved()
    }

    fn forget_expired(&self) {
        let now_ms = self.sys.clock.now_ms();
        if self.people.retain(|person| person.approved_at_ms.is_some() || is_fresh(person, now_ms)) {
            drop(self.people.save());
        }
    }

    fn fresh_code(&self) -> String {
        let mut bytes = [0_u8; CODE_LETTERS];
        self.sys.chance.fill(&mut bytes);
        let letter = |byte: &u8| LETTERS.get(usize::from(byte % 32)).map(|letter| char::from(*letter));
        bytes.iter().filter_map(letter).collect()
    }
}

fn is_fresh(person: &Stranger, now_ms: u64) -> bool {
    now_ms.saturating_sub(person.asked_at_ms) <= STRANGER_TTL_MS
}

fn id_of(channel: &str, account_id: &str, sender_id: &str) -> String {
    format!("{channel}:{account_id}:{sender_id}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::stores::bench::Bench;

    fn load(bench: &Bench) -> Strangers {
        Strangers::load(&bench.sys, &bench.saver, Path::new("/s/channels")).unwrap()
    }

    #[test]
    fn a_code_lets_its_person_in_after_a_restart_too() {
        let bench = Bench::new(1);
        let strangers = load(&bench);
        let Asked::New(code) = strangers.ask("loopback", "default", "ann", Some("Ann")) else { panic!() };
        assert_eq!(strangers.ask("loopback", "default", "ann", None), Asked::Waiting);
        assert!(!strangers.is_approved("loopback", "default", "ann"));
        bench.run(strangers.saved()).unwrap();
        let strangers = load(&bench);
        assert_eq!(strangers.approve(&code.to_lowercase()).unwrap().sender_id, "ann");
        assert!(strangers.approve(&code).is_none());
        bench.run(strangers.saved()).unwrap();
        let strangers = load(&bench);
        assert!(strangers.is_approved("loopback", "default", "ann"));
        assert!(!strangers.is_approved("loopback", "other", "ann"));
    }

    #[test]
    fn requests_are_bounded_and_expire() {
        let bench = Bench::new(1);
        let strangers = load(&bench);
        for index in 0..STRANGERS_PENDING {
            assert!(matches!(strangers.ask("loopback", "default", &index.to_string(), None), Asked::New(_)));
        }
        assert_eq!(strangers.ask("loopback", "default", "late", None), Asked::Full);
        let code = strangers.pending()[0].code.clone();
        bench.world.run_for(Duration::from_millis(STRANGER_TTL_MS + 1));
        assert!(strangers.approve(&code).is_none());
        assert!(matches!(strangers.ask("loopback", "default", "late", None), Asked::New(_)));
        assert_eq!(strangers.pending().len(), 1);
        let code = strangers.pending()[0].code.clone();
        assert!(strangers.reject(&code).is_some() && strangers.pending().is_empty());
    }
}
