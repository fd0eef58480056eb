//! Programs that a test writes, in virtual time.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use super::SimClock;
use crate::sys::processes::{Ending, Finished, ProcessError, Processes, Program};
use crate::sys::{Clock, LocalFuture};

/// Most programs that are kept for assertions; the oldest leaves.
const KEPT: usize = 64;

/// What a program does: how long it takes, and what comes of it.
type Play = dyn Fn(&Program) -> (Duration, Finished);

/// Scripted programs. Cloning shares them.
#[derive(Clone)]
pub struct ScriptedProcesses {
    clock: Rc<dyn Clock>,
    names: Rc<[&'static str]>,
    play: Rc<Play>,
    seen: Rc<RefCell<VecDeque<Program>>>,
}

impl ScriptedProcesses {
    /// A machine with the programs `names`, which do what `play` says.
    #[must_use]
    pub fn new(
        clock: &SimClock,
        names: &[&'static str],
        play: impl Fn(&Program) -> (Duration, Finished) + 'static,
    ) -> Self {
        Self { clock: Rc::new(clock.clone()), names: names.into(), play: Rc::new(play), seen: Rc::default() }
    }

    /// A machine without programs.
    #[must_use]
    pub fn none(clock: &SimClock) -> Self {
        let nothing = Finished { ending: Ending::Killed, stdout: String::new(), stderr: String::new() };
        Self::new(clock, &[], move |_| (Duration::ZERO, nothing.clone()))
    }

    /// What was run, oldest first.
    #[must_use]
    pub fn seen(&self) -> Vec<Program> {
        self.seen.borrow().iter().cloned().collect()
    }
}

impl fmt::Debug for ScriptedProcesses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedProcesses").field("names", &self.names).finish_non_exhaustive()
    }
}

impl Processes for ScriptedProcesses {
    fn which(&self, name: &str) -> Option<PathBuf> {
        self.names.contains(&name).then(|| PathBuf::from("/usr/bin").join(name))
    }

    fn run(&self, program: Program) -> LocalFuture<'static, Result<Finished, ProcessError>> {
        let name = program.argv.first().cloned().unwrap_or_default();
        if self.which(&name).is_none() {
            return Box::pin(std::future::ready(Err(ProcessError::NotFound(name))));
        }
        let ((after, finished), limit) = ((self.play)(&program), program.limit);
        let mut seen = self.seen.borrow_mut();
        if seen.len() == KEPT {
            seen.pop_front();
        }
        seen.push_back(program);
        drop(seen);
        let clock = Rc::clone(&self.clock);
        Box::pin(async move {
            clock.sleep(after.min(limit)).await;
            Ok(if after > limit { Finished { ending: Ending::TimedOut, ..finished } } else { finished })
        })
    }
}
