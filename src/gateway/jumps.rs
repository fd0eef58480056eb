//! Jumps of the wall clock while the gateway runs, so that what was dated before one can be compared with now.
//!
//! A board without a clock battery dates its first messages by a wrong clock. When the clock is set, they must not look
//! hours old, or every conversation would begin anew. What an earlier life of the gateway dated is taken as it is.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::Duration;

use crate::limits::{CLOCK_JUMPS, CLOCK_MIN_MS};
use crate::sys::Clock;

/// Wall and monotonic time that differ by more than this since the last look: the clock was set.
pub const JUMP_MS: u64 = 60_000;

/// What is known about the wall clock.
#[derive(Debug)]
pub struct Jumps {
    /// Wall time minus monotonic time at the last look, ms.
    offset_ms: Cell<i64>,
    /// Wall time at which the clock began to run as it does.
    since_ms: Cell<u64>,
    known: RefCell<VecDeque<Jump>>,
}

/// The clock was set: what it showed between these times is off by so much.
#[derive(Debug, Clone, Copy)]
struct Jump {
    from_ms: u64,
    until_ms: u64,
    by_ms: i64,
}

impl Jumps {
    /// A clock that has not jumped yet.
    #[must_use]
    pub fn new(clock: &dyn Clock) -> Self {
        let now_ms = clock.now_ms();
        Self {
            offset_ms: Cell::new(offset(now_ms, clock.elapsed())),
            since_ms: Cell::new(now_ms),
            known: RefCell::default(),
        }
    }

    /// Notices a jump since the last look.
    pub fn look(&self, clock: &dyn Clock) {
        let (now_ms, elapsed) = (clock.now_ms(), clock.elapsed());
        let offset_ms = offset(now_ms, elapsed);
        let by_ms = offset_ms.saturating_sub(self.offset_ms.get());
        if by_ms.unsigned_abs() <= JUMP_MS {
            return;
        }
        let until_ms = now_ms.saturating_add_signed(by_ms.saturating_neg());
        let mut known = self.known.borrow_mut();
        if known.len() >= CLOCK_JUMPS {
            known.pop_front();
        }
        known.push_back(Jump { from_ms: self.since_ms.replace(now_ms), until_ms, by_ms });
        self.offset_ms.set(offset_ms);
    }

    /// How long ago something was that was dated `at_ms`, ms; `None` for what nobody can tell, because a clock that
    /// had never been set dated it.
    #[must_use]
    pub fn age_ms(&self, clock: &dyn Clock, at_ms: u64) -> Option<u64> {
        self.look(clock);
        let now_ms = clock.now_ms();
        let mut now_dated_ms = at_ms;
        if !(self.since_ms.get()..=now_ms).contains(&at_ms) {
            // A clock that was set back shows the same time twice: the later one is meant, and every jump since counts.
            let known = self.known.borrow();
            let dated = known.iter().rposition(|jump| (jump.from_ms..=jump.until_ms).contains(&at_ms));
            for jump in dated.into_iter().flat_map(|first| known.iter().skip(first)) {
                now_dated_ms = now_dated_ms.saturating_add_signed(jump.by_ms);
            }
        }
        (now_dated_ms >= CLOCK_MIN_MS && now_ms >= CLOCK_MIN_MS).then(|| now_ms.saturating_sub(now_dated_ms))
    }
}

fn offset(now_ms: u64, elapsed: Duration) -> i64 {
    let elapsed_ms = i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX);
    i64::try_from(now_ms).unwrap_or(i64::MAX).saturating_sub(elapsed_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::sim::World;

    const HOUR: u64 = 3_600_000;
    const START: u64 = 1_795_305_600_000;

    #[test]
    fn what_was_dated_before_a_jump_keeps_its_age_and_what_is_older_than_the_start_does_too() {
        let world = World::at(START);
        let clock = &world.clock;
        let jumps = Jumps::new(clock);
        let pass = |ms| world.run_for(Duration::from_millis(ms));
        pass(5 * 60_000);
        let first = clock.now_ms();
        pass(60_000);
        clock.jump_wall(6 * HOUR as i64);
        assert_eq!(jumps.age_ms(clock, first), Some(60_000));
        pass(60_000);
        let second = clock.now_ms();
        clock.jump_wall(-(3 * HOUR as i64));
        pass(60_000);
        assert_eq!(jumps.age_ms(clock, first), Some(180_000));
        assert_eq!(jumps.age_ms(clock, second), Some(60_000));
        assert_eq!(jumps.age_ms(clock, START - HOUR), Some(4 * HOUR + 8 * 60_000));
    }

    #[test]
    fn a_clock_that_was_never_set_dates_nothing() {
        let world = World::at(0);
        let clock = &world.clock;
        let jumps = Jumps::new(clock);
        world.run_for(Duration::from_secs(60));
        assert_eq!(jumps.age_ms(clock, 30_000), None);
        clock.jump_wall(START as i64);
        assert_eq!(jumps.age_ms(clock, 30_000), Some(30_000));
        // Of another life.
        assert_eq!(jumps.age_ms(clock, 90_000), None);
    }

    #[test]
    fn many_jumps_leave_the_oldest_behind() {
        let world = World::at(START);
        let jumps = Jumps::new(&world.clock);
        for _ in 0..2 * CLOCK_JUMPS {
            world.clock.jump_wall(HOUR as i64);
            jumps.look(&world.clock);
        }
        assert_eq!(jumps.known.borrow().len(), CLOCK_JUMPS);
    }
}
