//! Virtual time: it moves only when the test says so.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use crate::sys::{Clock, LocalFuture};

/// A clock that a test moves. Cloning shares it.
#[derive(Debug, Clone)]
pub struct SimClock(Rc<State>);

#[derive(Debug)]
struct State {
    elapsed: Cell<Duration>,
    /// Wall time when `elapsed` is zero; changed by [`SimClock::jump_wall`].
    wall_base_ms: Cell<u64>,
    /// Whether a time server has set the clock.
    synchronised: Cell<bool>,
    /// When the machine was switched on.
    booted: Cell<Duration>,
    next_id: Cell<u64>,
    /// Sleepers by deadline, ties in the order in which they went to sleep.
    sleepers: RefCell<BTreeMap<(Duration, u64), Waker>>,
}

impl SimClock {
    /// A clock at wall time `wall_ms`.
    #[must_use]
    pub fn at(wall_ms: u64) -> Self {
        Self(Rc::new(State {
            elapsed: Cell::new(Duration::ZERO),
            wall_base_ms: Cell::new(wall_ms),
            synchronised: Cell::new(true),
            booted: Cell::new(Duration::ZERO),
            next_id: Cell::new(0),
            sleepers: RefCell::new(BTreeMap::new()),
        }))
    }

    /// The next deadline that somebody waits for.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        self.0.sleepers.borrow().keys().next().map(|(at, _)| *at)
    }

    /// Moves to `at` (never back) and wakes everyone whose deadline has come.
    pub fn advance_to(&self, at: Duration) {
        self.0.elapsed.set(self.0.elapsed.get().max(at));
        let later = self.0.sleepers.borrow_mut().split_off(&(self.0.elapsed.get() + Duration::from_nanos(1), 0));
        let due = self.0.sleepers.replace(later);
        for waker in due.into_values() {
            waker.wake();
        }
    }

    /// The machine is switched on now, and no time server has been heard yet.
    pub fn switch_on(&self) {
        self.0.booted.set(self.0.elapsed.get());
        self.0.synchronised.set(false);
    }

    /// A time server has set the clock.
    pub fn synchronise(&self) {
        self.0.synchronised.set(true);
    }

    /// Moves the wall clock alone, as a time server does.
    pub fn jump_wall(&self, by_ms: i64) {
        self.0.wall_base_ms.set(self.0.wall_base_ms.get().saturating_add_signed(by_ms));
    }
}

impl Clock for SimClock {
    fn now_ms(&self) -> u64 {
        self.0.wall_base_ms.get() + u64::try_from(self.0.elapsed.get().as_millis()).unwrap_or(u64::MAX)
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed.get()
    }

    fn since_boot(&self) -> Duration {
        self.elapsed().saturating_sub(self.0.booted.get())
    }

    fn is_synchronised(&self) -> bool {
        self.0.synchronised.get()
    }

    fn sleep_until(&self, at: Duration) -> LocalFuture<'static, ()> {
        let sleeper = Sleeper { state: Rc::clone(&self.0), at, id: Cell::new(None) };
        Box::pin(async move {
            poll_fn(|cx| sleeper.poll(cx.waker())).await;
        })
    }
}

/// One sleep; leaves the list when dropped.
#[derive(Debug)]
struct Sleeper {
    state: Rc<State>,
    at: Duration,
    id: Cell<Option<u64>>,
}

impl Sleeper {
    fn poll(&self, waker: &Waker) -> Poll<()> {
        if self.state.elapsed.get() >= self.at {
            return Poll::Ready(());
        }
        let id = self.id.get().unwrap_or_else(|| {
            let id = self.state.next_id.get();
            self.state.next_id.set(id + 1);
            self.id.set(Some(id));
            id
        });
        self.state.sleepers.borrow_mut().insert((self.at, id), waker.clone());
        Poll::Pending
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        if let Some(id) = self.id.get() {
            self.state.sleepers.borrow_mut().remove(&(self.at, id));
        }
    }
}
