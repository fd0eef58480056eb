//! A bound on bytes that many holders share.

use std::cell::Cell;
use std::rc::Rc;

/// A counter with a ceiling. What is taken is given back by whoever took it.
#[derive(Debug)]
pub struct Budget {
    used: Cell<usize>,
    max: Cell<usize>,
}

impl Budget {
    /// A budget of `max` bytes.
    #[must_use]
    pub fn new(max: usize) -> Rc<Self> {
        Rc::new(Self { used: Cell::new(0), max: Cell::new(max) })
    }

    /// Bytes taken.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.get()
    }

    /// Changes the ceiling; what is over it stays until it is given back.
    pub fn resize(&self, max: usize) {
        self.max.set(max);
    }

    /// Takes `bytes` if they fit; tells whether they did.
    #[must_use]
    pub fn take(&self, bytes: usize) -> bool {
        let after = self.used.get().saturating_add(bytes);
        if after > self.max.get() {
            return false;
        }
        self.used.set(after);
        true
    }

    /// Gives `bytes` back.
    pub fn give(&self, bytes: usize) {
        debug_assert!(bytes <= self.used.get(), "gave back more than was taken");
        self.used.set(self.used.get().saturating_sub(bytes));
    }

    /// Takes `bytes` until the result is dropped.
    #[must_use]
    pub fn hold(self: &Rc<Self>, bytes: usize) -> Option<Held> {
        self.take(bytes).then(|| Held { budget: Rc::clone(self), bytes })
    }
}

/// Bytes held until dropped.
#[derive(Debug)]
pub struct Held {
    budget: Rc<Budget>,
    bytes: usize,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.give(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_not_taken_and_what_is_dropped_comes_back() {
        let budget = Budget::new(100);
        let held = budget.hold(60).unwrap();
        assert!(budget.hold(41).is_none());
        assert!(budget.take(40));
        assert_eq!(budget.used(), 100);
        drop(held);
        assert_eq!(budget.used(), 40);
    }
}
