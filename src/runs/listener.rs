//! Somebody who reads a run's text as it comes, beside the events: an HTTP client that streams.
//!
//! What is not read yet is bounded; a listener that is too slow is told so and gets no more.

use std::cell::{Cell, RefCell};
use std::task::{Context, Poll, Waker};

use crate::limits::LISTENER_BYTES;

/// The text between a run and its listener.
#[derive(Debug, Default)]
pub struct Listener {
    is_there: Cell<bool>,
    is_too_slow: Cell<bool>,
    has_heard: Cell<bool>,
    unread: RefCell<String>,
    waker: RefCell<Option<Waker>>,
}

impl Listener {
    /// Somebody listens.
    pub(super) fn begin(&self) {
        self.is_there.set(true);
    }

    /// The run said more; `is_new_message` separates it from what it said before a tool's result.
    pub(super) fn hear(&self, delta: &str, is_new_message: bool) {
        if !self.is_there.get() || self.is_too_slow.get() {
            return;
        }
        let mut unread = self.unread.borrow_mut();
        if is_new_message && self.has_heard.get() {
            unread.push_str("\n\n");
        }
        self.has_heard.set(true);
        if unread.len() + delta.len() > LISTENER_BYTES {
            self.is_too_slow.set(true);
        } else {
            unread.push_str(delta);
        }
        drop(unread);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Whether some text was lost because the listener didn't read.
    #[must_use]
    pub fn is_too_slow(&self) -> bool {
        self.is_too_slow.get()
    }

    /// What was said since the last time; empty when nothing was.
    #[must_use]
    pub fn take(&self) -> String {
        self.unread.take()
    }

    /// Waits until something was said.
    pub fn poll_heard(&self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.unread.borrow().is_empty() || self.is_too_slow.get() {
            return Poll::Ready(());
        }
        *self.waker.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_separated_and_a_slow_listener_is_bounded() {
        let listener = Listener::default();
        listener.hear("nobody listens", true);
        listener.begin();
        listener.hear("a", true);
        listener.hear("b", false);
        listener.hear("c", true);
        assert_eq!(listener.take(), "ab\n\nc");
        let mut cx = Context::from_waker(Waker::noop());
        assert!(listener.poll_heard(&mut cx).is_pending());
        for _ in 0..3 {
            listener.hear(&"x".repeat(LISTENER_BYTES / 2), false);
        }
        assert!(listener.is_too_slow() && listener.poll_heard(&mut cx).is_ready());
        assert!(listener.take().len() <= LISTENER_BYTES);
    }
}
