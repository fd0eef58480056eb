//! Background work on the one thread.
//!
//! A task is owned by what it serves: dropping the [`Task`] cancels it. Detached tasks are only for
//! work that ends by itself. A panic in any task ends the process (`serve` sets the hook), because
//! the executor would otherwise lose it silently.

use std::fmt;
use std::rc::{Rc, Weak};

use smol::LocalExecutor;
pub use smol::Task;

/// The executor's spawning side. Cloning shares it.
///
/// It doesn't keep the executor alive: tasks hold a `Tasks`, and an executor that its own tasks keep
/// would never end. Dropping the executor drops every task; nothing may be spawned after that.
#[derive(Clone)]
pub struct Tasks(Weak<LocalExecutor<'static>>);

impl Tasks {
    /// Spawns on `executor`, as long as the caller keeps it.
    #[must_use]
    pub fn on(executor: &Rc<LocalExecutor<'static>>) -> Self {
        Self(Rc::downgrade(executor))
    }

    /// Starts `future`; dropping the result cancels it.
    pub fn spawn<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> Task<T> {
        self.executor().spawn(future)
    }

    /// Starts work that ends by itself and that nobody waits for.
    pub fn detach(&self, future: impl Future<Output = ()> + 'static) {
        self.executor().spawn(future).detach();
    }

    #[allow(clippy::expect_used, reason = "only tasks spawn, and they are gone with their executor")]
    fn executor(&self) -> Rc<LocalExecutor<'static>> {
        self.0.upgrade().expect("the executor runs as long as somebody can spawn")
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tasks")
    }
}
