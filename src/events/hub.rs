//! Who is connected, and how an event reaches them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use serde::Serialize;

use super::Peer;
use super::budget::Budget;
use super::outbox::{Pushed, Shared};
use crate::wire::DIALECTS;
use crate::wire::event::{Event, Kind, Payload, StateVersion};

/// The close code and reason of a connection that doesn't keep up (connection.md 1.3).
const SLOW: (u16, &str) = (1008, "slow consumer");

/// All admitted connections. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Hub(Rc<State>);

#[derive(Debug)]
struct State {
    /// Unsent bytes of all connections.
    total: Rc<Budget>,
    peers: RefCell<BTreeMap<u64, Rc<Peer>>>,
    version: Cell<StateVersion>,
    /// Connections closed for being slow, since start.
    cut: Cell<u64>,
    /// Droppable events that slow connections missed, since start.
    skipped: Cell<u64>,
}

/// Counters for `status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counters {
    /// Admitted connections.
    pub connections: usize,
    /// Connections closed for being slow, since start.
    pub slow_closed: u64,
    /// Droppable events that slow connections missed, since start.
    pub events_skipped: u64,
}

impl Hub {
    /// A hub without connections, whose unsent bytes count against `total`.
    #[must_use]
    pub fn new(total: Rc<Budget>) -> Self {
        Self(Rc::new(State {
            total,
            peers: RefCell::new(BTreeMap::new()),
            version: Cell::new(StateVersion { presence: 1, health: 1 }),
            cut: Cell::new(0),
            skipped: Cell::new(0),
        }))
    }

    /// From now on `peer` gets events.
    pub fn join(&self, peer: Rc<Peer>) {
        self.0.peers.borrow_mut().insert(peer.id, peer);
    }

    /// From now on it gets none.
    pub fn leave(&self, id: u64) -> Option<Rc<Peer>> {
        self.0.peers.borrow_mut().remove(&id)
    }

    /// Everyone, in the order in which they came.
    #[must_use]
    pub fn peers(&self) -> Vec<Rc<Peer>> {
        self.0.peers.borrow().values().cloned().collect()
    }

    /// Counters for `status`.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters {
            connections: self.0.peers.borrow().len(),
            slow_closed: self.0.cut.get(),
            events_skipped: self.0.skipped.get(),
        }
    }

    /// Unsent bytes of all connections.
    #[must_use]
    pub fn total(&self) -> &Rc<Budget> {
        &self.0.total
    }

    /// Goes on from the versions of the gateway before.
    pub fn resume(&self, version: StateVersion) {
        let next = StateVersion { presence: version.presence + 1, health: version.health + 1 };
        self.0.version.set(next);
    }

    /// The state versions as of now.
    #[must_use]
    pub fn version(&self) -> StateVersion {
        self.0.version.get()
    }

    /// The presence list has changed.
    pub fn bump_presence(&self) {
        let version = self.0.version.get();
        self.0.version.set(StateVersion { presence: version.presence + 1, ..version });
    }

    /// The health snapshot was refreshed.
    pub fn bump_health(&self) {
        let version = self.0.version.get();
        self.0.version.set(StateVersion { health: version.health + 1, ..version });
    }

    /// Sends JSON to everyone in the kind's audience.
    pub fn emit_json(&self, kind: &'static Kind, payload: &impl Serialize) {
        // Our own types always have a JSON form.
        if let Ok(json) = serde_json::value::to_raw_value(payload) {
            self.emit(kind, Payload::Json(json));
        }
    }

    /// Sends an event to everyone in its kind's audience.
    pub fn emit(&self, kind: &'static Kind, payload: Payload) {
        let event = Event { kind, payload, state_version: kind.versioned.then(|| self.version()) };
        let mut encoded: [Option<Encoded>; DIALECTS.len()] = Default::default();
        let peers = self.0.peers.borrow();
        for peer in peers.values().filter(|peer| peer.hears(kind.audience) || peer.follows(&event)) {
            let Some(slot) = encoded.get_mut(peer.dialect.index()) else { continue };
            let encode = || match peer.dialect.event(&event) {
                Some(body) => self.share(&peers, body),
                None => Encoded::Nothing,
            };
            match slot.get_or_insert_with(encode) {
                Encoded::Nothing => {}
                Encoded::Body(body) => self
                    .deliver(&peers, peer, kind.drop_if_slow, || peer.push_event(Rc::clone(body), kind.drop_if_slow)),
                Encoded::NoRoom => {
                    peer.skip_event();
                    self.0.skipped.set(self.0.skipped.get() + 1);
                }
            }
        }
    }

    /// Takes room for an event's bytes; whoever holds most has to go until there is some.
    fn share(&self, peers: &BTreeMap<u64, Rc<Peer>>, mut body: Vec<u8>) -> Encoded {
        loop {
            match Shared::new(body, &self.0.total) {
                Ok(shared) => return Encoded::Body(shared),
                Err(refused) => body = refused,
            }
            match largest(peers) {
                Some(largest) => self.cut(largest),
                None => {
                    log::error!("an event of {} bytes finds no room (totalBufferedBytes): skipped", body.len());
                    return Encoded::NoRoom;
                }
            }
        }
    }

    /// Sends a frame to one connection: a reply, or an event meant for it alone.
    pub fn send(&self, peer: &Peer, frame: Vec<u8>) {
        let frame = RefCell::new(Some(frame));
        let peers = self.0.peers.borrow();
        self.deliver(&peers, peer, false, || {
            let Some(bytes) = frame.take() else { return Pushed::Full };
            match peer.outbox.push(bytes) {
                Ok(()) => Pushed::Queued,
                Err((bytes, refused)) => {
                    frame.replace(Some(bytes));
                    refused
                }
            }
        });
    }

    /// Sends an event to one connection, without a number (connection.md 1.5).
    pub fn send_event(&self, peer: &Peer, event: &Event) {
        if let Some(mut frame) = peer.dialect.event(event) {
            frame.push(b'}');
            self.send(peer, frame);
        }
    }

    /// Pushes until the frame is in, or its reader has been cut for being too slow. When the room of
    /// all connections together is used up, whoever holds most of it has to go: a reader who keeps up
    /// misses nothing. Only if that is `peer` itself, what may be skipped is skipped.
    fn deliver(&self, peers: &BTreeMap<u64, Rc<Peer>>, peer: &Peer, drop_if_slow: bool, push: impl Fn() -> Pushed) {
        loop {
            match push() {
                Pushed::Queued => return,
                Pushed::Skipped => return self.0.skipped.set(self.0.skipped.get() + 1),
                Pushed::Full => return self.cut(peer),
                Pushed::NoRoom => match largest(peers) {
                    Some(largest) if largest.id != peer.id => self.cut(largest),
                    _ if drop_if_slow => {
                        peer.skip_event();
                        return self.0.skipped.set(self.0.skipped.get() + 1);
                    }
                    _ => return self.cut(peer),
                },
            }
        }
    }

    fn cut(&self, peer: &Peer) {
        if peer.outbox.closing().is_none() {
            self.0.cut.set(self.0.cut.get() + 1);
            log::warn!("connection {} ({}) reads too slowly: closed", peer.conn_id, peer.client.id);
            peer.outbox.cut(SLOW.0, SLOW.1);
        }
    }
}

/// An event in one dialect.
enum Encoded {
    /// The dialect doesn't carry it.
    Nothing,
    /// Its bytes, for all connections of the dialect.
    Body(Rc<Shared>),
    /// There was no room for its bytes: everyone misses it, and can see so by its number.
    NoRoom,
}

/// Whoever holds most of the room of all connections, and holds some.
fn largest(peers: &BTreeMap<u64, Rc<Peer>>) -> Option<&Rc<Peer>> {
    let open = peers.values().filter(|peer| peer.outbox.closing().is_none() && peer.outbox.unsent_bytes() > 0);
    open.max_by_key(|peer| (peer.outbox.charged_bytes(), peer.outbox.unsent_bytes()))
}
