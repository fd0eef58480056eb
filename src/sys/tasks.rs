//! Background work on the one thread.
//!
//! A task is owned by what it serves: dropping the [`Task`] cancels it. Detached tasks are only for
//! work that ends by itself. A panic in any task ends the process (`main` sets the hook), because
//! the executor would otherwise lose it silently.

use std::fmt;
use std::rc::Rc;

use smol::LocalExecutor;
pub use smol::Task;

/// The executor's spawning side. Cloning shares it.
#[derive(Clone)]
pub struct Tasks(Rc<LocalExecutor<'static>>);

impl Tasks {
    /// Spawns on `executor`.
    #[must_use]
    pub fn on(executor: Rc<LocalExecutor<'static>>) -> Self {
        Self(executor)
    }

    /// Starts `future`; dropping the result cancels it.
    pub fn spawn<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> Task<T> {
        self.0.spawn(future)
    }

    /// Starts work that ends by itself and that nobody waits for.
    pub fn detach(&self, future: impl Future<Output = ()> + 'static) {
        self.0.spawn(future).detach();
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tasks")
    }
}
