//! The gateway itself: `barnacle run`.

use std::process::ExitCode;

use super::Environment;
use super::args::Run;
use super::console::Console;
use super::exit::{Exit, Failure};

/// Runs the gateway until it is told to stop.
#[must_use]
pub fn run(_args: Run, environment: Environment) -> ExitCode {
    let missing = Failure::new(Exit::Failed, "this build has only the client commands, not the gateway");
    Console::real(&environment).failure(&missing);
    missing.exit.into()
}
