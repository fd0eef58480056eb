//! A simulated machine for the tests of the stores.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use super::Saver;
use crate::sys::http::{HttpError, Request, Response};
use crate::sys::sim::{SimFiles, World};
use crate::sys::{Chance, LocalFuture, Outbound, Sys};

/// 2026-11-22T18:29:46Z
pub(crate) const NOW_MS: u64 = 1_795_372_186_000;

#[derive(Debug)]
struct NoHttp;

impl Outbound for NoHttp {
    fn send(&self, _: Request) -> LocalFuture<'static, Result<Response, HttpError>> {
        Box::pin(std::future::ready(Err(HttpError::Connect("no network".into()))))
    }
}

/// A machine with forgetful files.
pub(crate) struct Bench {
    pub(crate) world: World,
    pub(crate) files: SimFiles,
    pub(crate) sys: Sys,
    pub(crate) saver: Saver,
}

impl Bench {
    /// A machine with empty files.
    pub(crate) fn new(seed: u64) -> Self {
        Self::on(SimFiles::new(), seed)
    }

    /// A machine that finds `files`; syncs take 10 ms.
    pub(crate) fn on(files: SimFiles, seed: u64) -> Self {
        let world = World::at(NOW_MS);
        files.run_on(world.clock.clone(), Duration::from_millis(10));
        let sys = Sys {
            zone: jiff::tz::TimeZone::UTC,
            clock: Rc::new(world.clock.clone()),
            chance: Rc::new(Chance::seeded(seed)),
            files: Rc::new(files.clone()),
            http: Rc::new(NoHttp),
            processes: Rc::new(crate::sys::sim::ScriptedProcesses::none(&world.clock)),
            tasks: world.tasks(),
        };
        let saver = Saver::new(&sys);
        Self { world, files, sys, saver }
    }

    /// Runs `future` to its end, at most an hour of virtual time.
    pub(crate) fn run<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> T {
        let slot = Rc::new(RefCell::new(None));
        let result = Rc::clone(&slot);
        self.world.tasks().detach(async move {
            let output = future.await;
            *result.borrow_mut() = Some(output);
        });
        assert!(self.world.run_until(Duration::from_secs(3600), || slot.borrow().is_some()), "it never ends");
        slot.take().unwrap()
    }
}
