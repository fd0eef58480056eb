//! The executor and the clock of a simulation, stepped by hand.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use smol::LocalExecutor;

use super::SimClock;
use crate::sys::{Clock as _, Tasks};

/// Most task polls between two moves of the clock; more means that something spins.
const STEPS_MAX: usize = 5_000_000;

/// A simulated machine.
pub struct World {
    executor: Rc<LocalExecutor<'static>>,
    /// Its clock.
    pub clock: SimClock,
}

impl World {
    /// A machine whose wall clock shows `wall_ms`.
    #[must_use]
    pub fn at(wall_ms: u64) -> Self {
        Self { executor: Rc::new(LocalExecutor::new()), clock: SimClock::at(wall_ms) }
    }

    /// Its task spawner.
    #[must_use]
    pub fn tasks(&self) -> Tasks {
        Tasks::on(&self.executor)
    }

    /// Polls tasks until none is ready; time stands still.
    ///
    /// # Panics
    /// When tasks keep waking each other without end.
    pub fn settle(&self) {
        for _ in 0..STEPS_MAX {
            if !self.executor.try_tick() {
                return;
            }
        }
        panic!("tasks are still busy after {STEPS_MAX} polls at {:?}", self.clock.elapsed());
    }

    /// Runs everything that happens within the next `span` of virtual time.
    pub fn run_for(&self, span: Duration) {
        let end = self.clock.elapsed() + span;
        loop {
            self.settle();
            match self.clock.next_deadline() {
                Some(at) if at <= end => self.clock.advance_to(at),
                _ => break,
            }
        }
        self.clock.advance_to(end);
        self.settle();
    }

    /// Runs until `done` says so or `limit` of virtual time has passed; tells whether it was done.
    pub fn run_until(&self, limit: Duration, mut done: impl FnMut() -> bool) -> bool {
        let end = self.clock.elapsed() + limit;
        loop {
            self.settle();
            if done() {
                return true;
            }
            match self.clock.next_deadline() {
                Some(at) if at <= end => self.clock.advance_to(at),
                _ => return false,
            }
        }
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("elapsed", &self.clock.elapsed()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::Clock;
    use std::cell::RefCell;

    #[test]
    fn sleepers_wake_in_the_order_of_their_deadlines() {
        let world = World::at(1_000);
        let seen = Rc::new(RefCell::new(Vec::new()));
        for ms in [30_u64, 10, 20] {
            let (clock, seen) = (world.clock.clone(), Rc::clone(&seen));
            world.tasks().detach(async move {
                (&clock as &dyn Clock).sleep(Duration::from_millis(ms)).await;
                seen.borrow_mut().push((ms, clock.now_ms()));
            });
        }
        world.run_for(Duration::from_millis(25));
        assert_eq!(*seen.borrow(), [(10, 1_010), (20, 1_020)]);
        world.run_for(Duration::from_millis(25));
        assert_eq!(seen.borrow().len(), 3);
    }

    #[test]
    fn a_timeout_drops_what_it_waited_for() {
        let world = World::at(0);
        let clock: Rc<dyn Clock> = Rc::new(world.clock.clone());
        let result = Rc::new(RefCell::new(None));
        let slot = Rc::clone(&result);
        world.tasks().detach(async move {
            *slot.borrow_mut() = Some(clock.timeout(Duration::from_secs(1), std::future::pending::<()>()).await);
        });
        world.run_for(Duration::from_secs(2));
        assert_eq!(*result.borrow(), Some(Err(crate::sys::TimedOut)));
        assert_eq!(world.clock.next_deadline(), None);
    }
}
