//! When the gateway restarts: at most one restart is waiting, at the earliest time that was asked
//! for. Whether it may go down at all is decided where the process is (`serve`).

use std::cell::{Cell, RefCell};
use std::time::Duration;

use smol::channel::{Receiver, Sender, bounded};

use crate::sys::Sys;
use crate::sys::tasks::Task;

/// Shortest delay: the answer to whoever asked leaves first.
const DELAY_MIN: Duration = Duration::from_millis(20);

/// The restart to come, if any.
#[derive(Debug)]
pub struct Restarts {
    /// When it is due, on the monotonic clock.
    due: Cell<Option<Duration>>,
    timer: RefCell<Option<Task<()>>>,
    /// Room for one: a restart that is due and has not begun.
    wanted: (Sender<String>, Receiver<String>),
}

impl Default for Restarts {
    fn default() -> Self {
        Self { due: Cell::new(None), timer: RefCell::default(), wanted: bounded(1) }
    }
}

impl Restarts {
    /// Asks for a restart after `delay`. An earlier one that is waiting stands. Gives the time until
    /// the restart that will be.
    pub fn schedule(&self, sys: &Sys, delay: Duration, reason: &str) -> Duration {
        let now = sys.clock.elapsed();
        let at = now + delay.max(DELAY_MIN);
        if let Some(due) = self.due.get().filter(|due| *due <= at) {
            log::info!("{reason}: the restart that is waiting will do");
            return due.saturating_sub(now);
        }
        self.due.set(Some(at));
        log::info!("restart in {} ms: {reason}", delay.as_millis());
        let (clock, wanted, reason) = (std::rc::Rc::clone(&sys.clock), self.wanted.0.clone(), reason.to_owned());
        let timer = sys.tasks.spawn(async move {
            clock.sleep_until(at).await;
            // Full means that one is wanted already.
            let _ = wanted.try_send(reason);
        });
        *self.timer.borrow_mut() = Some(timer);
        delay
    }

    /// Resolves with the reason when a restart is due.
    pub async fn wanted(&self) -> String {
        match self.wanted.1.recv().await {
            Ok(reason) => reason,
            // Both ends live here.
            Err(_) => std::future::pending().await,
        }
    }

    /// The restart that was due can't be; the next one may be asked for.
    pub fn refused(&self) {
        self.due.set(None);
    }

    /// Whether a restart is waiting or due.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.due.get().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::Chance;
    use crate::sys::sim::{ScriptedHttp, SimFiles, World};
    use std::rc::Rc;

    #[test]
    fn many_wishes_make_one_restart_at_the_earliest_time() {
        let world = World::at(0);
        let sys = Sys {
            zone: jiff::tz::TimeZone::UTC,
            chance: Rc::new(Chance::seeded(1)),
            files: Rc::new(SimFiles::new()),
            http: Rc::new(ScriptedHttp::new(&world.clock, |_| unreachable!("nothing is asked"))),
            clock: Rc::new(world.clock.clone()),
            processes: Rc::new(crate::sys::sim::ScriptedProcesses::none(&world.clock)),
            tasks: world.tasks(),
        };
        let restarts = Rc::new(Restarts::default());
        let seen = Rc::new(RefCell::new(Vec::new()));
        let (waiting, list, clock) = (Rc::clone(&restarts), Rc::clone(&seen), Rc::clone(&sys.clock));
        world.tasks().detach(async move {
            loop {
                let reason = waiting.wanted().await;
                list.borrow_mut().push((clock.elapsed().as_millis(), reason));
            }
        });
        let ms = Duration::from_millis;
        assert_eq!(restarts.schedule(&sys, ms(3000), "late"), ms(3000));
        assert_eq!(restarts.schedule(&sys, ms(500), "early"), ms(500));
        world.run_for(ms(100));
        assert_eq!(restarts.schedule(&sys, ms(60_000), "later"), ms(400));
        world.run_for(ms(10_000));
        assert_eq!(*seen.borrow(), [(500, "early".to_owned())]);
        assert!(restarts.is_waiting());
        restarts.refused();
        restarts.schedule(&sys, ms(0), "again");
        world.run_for(ms(50));
        assert_eq!(seen.borrow().len(), 2);
    }
}
