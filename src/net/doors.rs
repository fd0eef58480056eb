//! How many may be connected: in all, from one address, and before the handshake is done.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;

use crate::config::network;
use crate::limits::Limits;

/// The counters at the door. Cloning shares them.
#[derive(Debug, Clone)]
pub struct Doors(Rc<State>);

#[derive(Debug)]
struct State {
    counts: RefCell<Counts>,
    max: Limits,
}

#[derive(Debug, Default)]
struct Counts {
    open: u64,
    pending: u64,
    by_address: BTreeMap<IpAddr, (u64, u64)>,
}

/// A place of one connection, given back when dropped.
#[derive(Debug)]
pub struct Place {
    doors: Doors,
    address: IpAddr,
    pending: bool,
}

impl Doors {
    /// Doors with the bounds of `limits`.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self(Rc::new(State { counts: RefCell::default(), max: limits.clone() }))
    }

    /// A place for a connection from `address`, or the name of the bound that is reached. Many may
    /// stand behind a `shared` address: this machine's own, or a trusted proxy's.
    ///
    /// # Errors
    /// The bound's key under `gateway.limits`.
    pub fn enter(&self, address: IpAddr, shared: bool) -> Result<Place, &'static str> {
        let address = network::party(address);
        let max = &self.0.max;
        let mut counts = self.0.counts.borrow_mut();
        let (open, pending) = counts.by_address.get(&address).copied().unwrap_or_default();
        let full = [
            (counts.open >= max.connections, "connections"),
            (counts.pending >= max.pending_connections, "pendingConnections"),
            (open >= max.connections_per_address && !shared, "connectionsPerAddress"),
            (pending >= max.pending_per_address, "pendingPerAddress"),
        ];
        if let Some((_, bound)) = full.into_iter().find(|(is_full, _)| *is_full) {
            return Err(bound);
        }
        counts.open += 1;
        counts.pending += 1;
        counts.by_address.insert(address, (open + 1, pending + 1));
        Ok(Place { doors: self.clone(), address, pending: true })
    }

    /// Open connections.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.0.counts.borrow().open
    }
}

impl Place {
    /// The handshake is done: the connection no longer counts as pending.
    pub fn admitted(&mut self) {
        if std::mem::take(&mut self.pending) {
            let mut counts = self.doors.0.counts.borrow_mut();
            counts.pending -= 1;
            if let Some((_, pending)) = counts.by_address.get_mut(&self.address) {
                *pending -= 1;
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.admitted();
        let mut counts = self.doors.0.counts.borrow_mut();
        counts.open -= 1;
        if let Some((open, _)) = counts.by_address.get_mut(&self.address) {
            *open -= 1;
            if *open == 0 {
                counts.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doors(set: &[(&str, u64)]) -> Doors {
        let mut limits = Limits::default();
        for (key, value) in set {
            limits.set(key, *value).unwrap();
        }
        Doors::new(&limits)
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_bound_is_reached_by_its_own_kind_of_crowd() {
        let crowd = |set: &[(&str, u64)], addresses: &[&str]| {
            let doors = doors(set);
            let mut places = Vec::new();
            loop {
                let at = address(addresses[places.len() % addresses.len()]);
                match doors.enter(at, at.is_loopback()) {
                    Ok(mut place) => {
                        if set.iter().all(|(key, _)| !key.starts_with("pending")) {
                            place.admitted();
                        }
                        places.push(place);
                    }
                    Err(bound) => return (bound, places.len()),
                }
            }
        };
        assert_eq!(crowd(&[("connections", 5)], &["10.0.0.1", "10.0.0.2"]), ("connections", 5));
        assert_eq!(crowd(&[("connectionsPerAddress", 3)], &["10.0.0.1"]), ("connectionsPerAddress", 3));
        assert_eq!(
            crowd(&[("connectionsPerAddress", 3)], &["::ffff:10.0.0.1", "10.0.0.1"]),
            ("connectionsPerAddress", 3)
        );
        assert_eq!(crowd(&[("pendingConnections", 4)], &["10.0.0.1", "127.0.0.1"]), ("pendingConnections", 4));
        assert_eq!(crowd(&[("pendingPerAddress", 2)], &["127.0.0.1"]), ("pendingPerAddress", 2));
    }

    #[test]
    fn a_place_comes_back_when_its_connection_ends() {
        let doors = doors(&[("connections", 4)]);
        let places: Vec<_> = (0..4).map(|_| doors.enter(address("127.0.0.1"), true).unwrap()).collect();
        assert!(doors.enter(address("127.0.0.1"), true).is_err());
        drop(places);
        assert_eq!(doors.open(), 0);
        assert!(doors.0.counts.borrow().by_address.is_empty());
    }
}
