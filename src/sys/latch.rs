//! A value that is set once and that any number of tasks may wait for.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// A value to come.
#[derive(Debug)]
pub struct Latch<T> {
    state: RefCell<State<T>>,
}

#[derive(Debug)]
struct State<T> {
    value: Option<T>,
    next_id: u64,
    waiting: BTreeMap<u64, Waker>,
}

impl<T: Clone> Latch<T> {
    /// A value that isn't known yet.
    #[must_use]
    pub fn new() -> Self {
        Self { state: RefCell::new(State { value: None, next_id: 0, waiting: BTreeMap::new() }) }
    }

    /// Sets the value and wakes everyone who waits. The first value stays.
    pub fn set(&self, value: T) {
        let waiting = {
            let mut state = self.state.borrow_mut();
            state.value.get_or_insert(value);
            std::mem::take(&mut state.waiting)
        };
        for waker in waiting.into_values() {
            waker.wake();
        }
    }

    /// The value, if it is known.
    #[must_use]
    pub fn get(&self) -> Option<T> {
        self.state.borrow().value.clone()
    }

    /// Waits for the value. Dropping the future leaves nothing behind.
    pub fn wait(&self) -> Wait<'_, T> {
        let mut state = self.state.borrow_mut();
        let id = state.next_id;
        state.next_id += 1;
        Wait { latch: self, id }
    }
}

/// Somebody who waits.
#[derive(Debug)]
pub struct Wait<'a, T> {
    latch: &'a Latch<T>,
    id: u64,
}

impl<T: Clone> Future for Wait<'_, T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let mut state = self.latch.state.borrow_mut();
        if let Some(value) = &state.value {
            return Poll::Ready(value.clone());
        }
        state.waiting.insert(self.id, cx.waker().clone());
        Poll::Pending
    }
}

impl<T> Drop for Wait<'_, T> {
    fn drop(&mut self) {
        self.latch.state.borrow_mut().waiting.remove(&self.id);
    }
}

impl<T: Clone> Default for Latch<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_stops_waiting_leaves_nothing_behind() {
        let latch = Latch::new();
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..1000 {
            let mut wait = latch.wait();
            assert_eq!(Pin::new(&mut wait).poll(&mut cx), Poll::Pending);
        }
        assert!(latch.state.borrow().waiting.is_empty());
        latch.set(1);
        latch.set(2);
        assert_eq!(Pin::new(&mut latch.wait()).poll(&mut cx), Poll::Ready(1));
    }
}
