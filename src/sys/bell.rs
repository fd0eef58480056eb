//! Wakes a loop that waits for something to do.

use std::cell::RefCell;
use std::rc::Rc;

use super::Latch;

/// A bell that can be rung again and again.
#[derive(Debug, Default)]
pub struct Bell(RefCell<Rc<Latch<()>>>);

impl Bell {
    /// The next ring: whoever takes it before looking at what there is to do misses none.
    #[must_use]
    pub fn next(&self) -> Rc<Latch<()>> {
        Rc::clone(&self.0.borrow())
    }

    /// Wakes everyone who waits for the next ring.
    pub fn ring(&self) {
        self.0.take().set(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_between_taking_and_waiting_is_heard() {
        let bell = Bell::default();
        let next = bell.next();
        assert_eq!(next.get(), None);
        bell.ring();
        assert_eq!(next.get(), Some(()));
        assert_eq!(bell.next().get(), None);
    }
}
