//! Who is or was here (connection.md 6.8). In memory only.
//!
//! Unlike the original, a connected client stays on the list however long it is silent.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::limits::{PRESENCE_ENTRIES, PRESENCE_TTL_MS};

crate::wire! {
    /// One presence entry.
    pub struct Entry {
        host: Option<String>,
        /// Address; only of clients that are not on this machine.
        ip: Option<String>,
        version: Option<String>,
        platform: Option<String>,
        device_family: Option<String>,
        model_identifier: Option<String>,
        mode: Option<String>,
        last_input_seconds: Option<u64>,
        /// `self`, `connect`, `disconnect`, or what the client reported.
        reason: Option<String>,
        tags: Option<Vec<String>>,
        device_id: Option<String>,
        roles: Option<Vec<String>>,
        scopes: Option<Vec<String>>,
        instance_id: Option<String>,
        /// One line for people.
        text: Option<String>,
        /// Milliseconds since the Unix epoch.
        ts: u64,
    }
}

impl Entry {
    /// An entry that says nothing yet.
    #[must_use]
    pub fn at(ts: u64) -> Self {
        Self {
            host: None,
            ip: None,
            version: None,
            platform: None,
            device_family: None,
            model_identifier: None,
            mode: None,
            last_input_seconds: None,
            reason: None,
            tags: None,
            device_id: None,
            roles: None,
            scopes: None,
            instance_id: None,
            text: None,
            ts,
        }
    }

    /// Takes over what `newer` says; roles and scopes are unions over time, the text stays.
    fn merge(&mut self, newer: Self) {
        fn over<T>(old: &mut Option<T>, new: Option<T>) {
            if new.is_some() {
                *old = new;
            }
        }
        over(&mut self.host, newer.host);
        over(&mut self.ip, newer.ip);
        over(&mut self.version, newer.version);
        over(&mut self.platform, newer.platform);
        over(&mut self.device_family, newer.device_family);
        over(&mut self.model_identifier, newer.model_identifier);
        over(&mut self.mode, newer.mode);
        over(&mut self.last_input_seconds, newer.last_input_seconds);
        over(&mut self.reason, newer.reason);
        over(&mut self.tags, newer.tags);
        over(&mut self.device_id, newer.device_id);
        over(&mut self.instance_id, newer.instance_id);
        union(&mut self.roles, newer.roles);
        union(&mut self.scopes, newer.scopes);
        if self.text.is_none() {
            self.text = newer.text;
        }
        self.ts = newer.ts;
    }
}

/// A union of scope names can't grow without end: clients may invent names.
const UNION_MAX: usize = 32;

fn union(old: &mut Option<Vec<String>>, new: Option<Vec<String>>) {
    let Some(new) = new else { return };
    let old = old.get_or_insert_default();
    for item in new {
        if old.len() < UNION_MAX && !old.contains(&item) {
            old.push(item);
        }
    }
}

/// The presence list.
#[derive(Debug)]
pub struct Presence {
    /// The gateway's own entry.
    own: Entry,
    entries: RefCell<BTreeMap<String, Slot>>,
}

#[derive(Debug)]
struct Slot {
    entry: Entry,
    /// Open connections with this key.
    connections: usize,
    /// When it was last heard of, monotonic: the wall clock may jump.
    heard_ms: u64,
}

impl Presence {
    /// A list with only the gateway on it.
    #[must_use]
    pub fn new(own: Entry) -> Self {
        Self { own, entries: RefCell::new(BTreeMap::new()) }
    }

    /// A tracked client has connected. `uptime_ms` is monotonic, here and below.
    pub fn connected(&self, key: &str, entry: Entry, uptime_ms: u64) {
        self.update(key, entry, 1, uptime_ms);
    }

    /// One of its connections is gone; the entry says so once the last one is.
    pub fn disconnected(&self, key: &str, now_ms: u64, uptime_ms: u64) {
        let mut entries = self.entries.borrow_mut();
        if let Some(slot) = entries.get_mut(&key.to_lowercase()) {
            slot.connections = slot.connections.saturating_sub(1);
            slot.entry.ts = now_ms;
            slot.heard_ms = uptime_ms;
            if slot.connections == 0 {
                slot.entry.reason = Some("disconnect".into());
            }
        }
    }

    /// A client reports about itself or something else.
    pub fn report(&self, key: &str, entry: Entry, uptime_ms: u64) {
        self.update(key, entry, 0, uptime_ms);
    }

    /// What is known under that key.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<Entry> {
        self.entries.borrow().get(&key.to_lowercase()).map(|slot| slot.entry.clone())
    }

    /// All entries but the gateway's own, by their keys.
    #[must_use]
    pub fn known(&self) -> Vec<(String, Entry)> {
        self.entries.borrow().iter().map(|(key, slot)| (key.clone(), slot.entry.clone())).collect()
    }

    fn update(&self, key: &str, entry: Entry, connections: usize, uptime_ms: u64) {
        let key = key.to_lowercase();
        let mut entries = self.entries.borrow_mut();
        if let Some(slot) = entries.get_mut(&key) {
            slot.entry.merge(entry);
            slot.connections += connections;
            slot.heard_ms = uptime_ms;
            return;
        }
        if entries.len() >= PRESENCE_ENTRIES {
            let oldest = entries.iter().min_by_key(|(_, slot)| (slot.connections > 0, slot.heard_ms));
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                entries.remove(&oldest);
            }
        }
        entries.insert(key, Slot { entry, connections, heard_ms: uptime_ms });
    }

    /// Everyone, newest first, the gateway included.
    #[must_use]
    pub fn list(&self, now_ms: u64, uptime_ms: u64) -> Vec<Entry> {
        let mut entries = self.entries.borrow_mut();
        entries.retain(|_, slot| slot.connections > 0 || uptime_ms.saturating_sub(slot.heard_ms) <= PRESENCE_TTL_MS);
        // Of equals, the gateway comes first.
        let mut list = vec![Entry { ts: now_ms, ..self.own.clone() }];
        list.extend(entries.values().map(|slot| slot.entry.clone()));
        list.sort_by_key(|entry| Reverse(entry.ts));
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(ts: u64, reason: &str) -> Entry {
        Entry { reason: Some(reason.into()), ..Entry::at(ts) }
    }

    #[test]
    fn a_connected_client_stays_and_a_gone_one_leaves_after_five_minutes() {
        let presence = Presence::new(entry(0, "self"));
        presence.connected("Key", entry(1, "connect"), 1);
        presence.connected("key", entry(2, "connect"), 2);
        presence.disconnected("KEY", 3, 3);
        assert_eq!(presence.list(9, 10 * PRESENCE_TTL_MS).len(), 2);
        presence.disconnected("key", 4, 4);
        assert_eq!(presence.list(5, 5)[1].reason.as_deref(), Some("disconnect"));
        // Whatever the wall clock shows.
        assert_eq!(presence.list(100 * PRESENCE_TTL_MS, 4 + PRESENCE_TTL_MS).len(), 2);
        assert_eq!(presence.list(5, 5 + PRESENCE_TTL_MS).len(), 1);
    }

    #[test]
    fn the_list_is_bounded_and_the_oldest_leaves() {
        let presence = Presence::new(entry(0, "self"));
        for index in 0..PRESENCE_ENTRIES as u64 + 10 {
            presence.report(&format!("k{index}"), entry(index, "r"), index);
        }
        let list = presence.list(300, 300);
        assert_eq!(list.len(), PRESENCE_ENTRIES + 1);
        assert_eq!(list.last().unwrap().ts, 10);
    }
}
