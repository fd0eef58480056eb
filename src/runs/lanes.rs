//! Which run may go next: one at a time per session, and a cap for all sessions together.
//!
//! A machine without time or tasks: runs come in, it tells which of them may start.

use std::collections::{BTreeMap, VecDeque};

/// The queues. `R` names a run.
#[derive(Debug)]
pub struct Lanes<R> {
    /// By session: the run that goes (first, if `going`), and those behind it.
    sessions: BTreeMap<String, Lane<R>>,
    /// Sessions whose first run waits for a free place, oldest first.
    ready: VecDeque<String>,
    going: usize,
    queued: usize,
    bounds: Bounds,
}

#[derive(Debug)]
struct Lane<R> {
    going: Option<R>,
    waiting: VecDeque<R>,
}

/// Bounds of the queues.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Runs that go at once, in all sessions.
    pub going_max: usize,
    /// Runs that wait in one session.
    pub lane_max: usize,
    /// Runs that wait in all sessions.
    pub queued_max: usize,
}

/// The queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

impl<R: Clone + PartialEq> Lanes<R> {
    /// Empty queues.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self { sessions: BTreeMap::new(), ready: VecDeque::new(), going: 0, queued: 0, bounds }
    }

    /// Whether a run on `session` could be taken now, when `here` further ones for it, and `all` for
    /// any session, have been promised a place.
    ///
    /// # Errors
    /// [`Full`] when a bound is reached.
    pub fn room(&self, session: &str, here: usize, all: usize) -> Result<(), Full> {
        let waiting = self.waiting_in(session) + here;
        let is_full = waiting >= self.bounds.lane_max || self.queued + all >= self.bounds.queued_max;
        if is_full { Err(Full) } else { Ok(()) }
    }

    /// Takes a run; [`begin`](Self::begin) tells when it may start.
    pub fn push(&mut self, session: &str, run: R) {
        let lane =
            self.sessions.entry(session.to_owned()).or_insert_with(|| Lane { going: None, waiting: VecDeque::new() });
        if lane.going.is_none() && lane.waiting.is_empty() {
            self.ready.push_back(session.to_owned());
        }
        lane.waiting.push_back(run);
        self.queued += 1;
    }

    /// A run that may start now, if there is one.
    pub fn begin(&mut self) -> Option<R> {
        if self.going >= self.bounds.going_max {
            return None;
        }
        let session = self.ready.pop_front()?;
        let lane = self.sessions.get_mut(&session)?;
        let run = lane.waiting.pop_front()?;
        lane.going = Some(run.clone());
        self.queued -= 1;
        self.going += 1;
        Some(run)
    }

    /// The run that went on `session` has ended.
    pub fn done(&mut self, session: &str) {
        let Some(lane) = self.sessions.get_mut(session) else { return };
        if lane.going.take().is_none() {
            return;
        }
        self.going -= 1;
        if lane.waiting.is_empty() {
            self.sessions.remove(session);
        } else {
            self.ready.push_back(session.to_owned());
        }
    }

    /// Takes a waiting run out; `false` when it isn't waiting.
    pub fn withdraw(&mut self, session: &str, run: &R) -> bool {
        let Some(lane) = self.sessions.get_mut(session) else { return false };
        let Some(index) = lane.waiting.iter().position(|waiting| waiting == run) else { return false };
        lane.waiting.remove(index);
        self.queued -= 1;
        if lane.waiting.is_empty() && lane.going.is_none() {
            self.sessions.remove(session);
            self.ready.retain(|ready| ready != session);
        }
        true
    }

    /// Runs that go now.
    #[must_use]
    pub fn going(&self) -> usize {
        self.going
    }

    /// Runs that wait.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// Runs that wait in one session.
    #[must_use]
    pub fn waiting_in(&self, session: &str) -> usize {
        self.sessions.get(session).map_or(0, |lane| lane.waiting.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lanes(going_max: usize) -> Lanes<u32> {
        Lanes::new(Bounds { going_max, lane_max: 3, queued_max: 5 })
    }

    #[test]
    fn one_run_at_a_time_per_session_in_the_order_of_arrival() {
        let mut lanes = lanes(10);
        lanes.push("a", 1);
        lanes.push("a", 2);
        lanes.push("b", 3);
        assert_eq!((lanes.begin(), lanes.begin(), lanes.begin()), (Some(1), Some(3), None));
        lanes.done("a");
        assert_eq!((lanes.begin(), lanes.begin()), (Some(2), None));
        lanes.done("a");
        lanes.done("b");
        assert_eq!((lanes.going(), lanes.queued(), lanes.sessions.len()), (0, 0, 0));
    }

    #[test]
    fn the_cap_for_all_sessions_holds_and_nobody_starves() {
        let mut lanes = lanes(1);
        lanes.push("a", 1);
        lanes.push("a", 2);
        lanes.push("b", 3);
        assert_eq!((lanes.begin(), lanes.begin()), (Some(1), None));
        lanes.done("a");
        assert_eq!(lanes.begin(), Some(3));
        lanes.done("b");
        assert_eq!(lanes.begin(), Some(2));
    }

    #[test]
    fn both_bounds_are_reached() {
        let mut lanes = lanes(0);
        for run in 0..3 {
            assert_eq!(lanes.room("a", 0, 0), Ok(()));
            lanes.push("a", run);
        }
        assert_eq!(lanes.room("a", 0, 0), Err(Full));
        assert_eq!(
            (lanes.room("b", 0, 1), lanes.room("b", 0, 2), lanes.room("b", 3, 0)),
            (Ok(()), Err(Full), Err(Full))
        );
        lanes.push("b", 3);
        lanes.push("b", 4);
        assert_eq!(lanes.room("c", 0, 0), Err(Full));
    }

    #[test]
    fn a_withdrawn_run_never_starts_and_leaves_no_trace() {
        let mut lanes = lanes(2);
        lanes.push("a", 1);
        assert!(lanes.withdraw("a", &1));
        assert!(!lanes.withdraw("a", &1));
        assert_eq!((lanes.begin(), lanes.queued(), lanes.sessions.len(), lanes.ready.len()), (None, 0, 0, 0));
    }
}
