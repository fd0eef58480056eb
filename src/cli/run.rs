//! `barnacle run`: the arguments, handed to [`crate::serve`].

use std::process::ExitCode;

use super::Environment;
use super::args::Run;
use super::console::Console;
use super::exit::{Exit, Failure};
use crate::serve::{self, Failed, Options};

/// Runs the gateway until it is told to stop.
#[must_use]
pub fn run(args: Run, environment: &Environment) -> ExitCode {
    let Run { config, state_dir, port, bind, token } = args;
    let Err(failed) = serve::serve(&Options { config, state_dir, port, bind, token }, environment) else {
        return ExitCode::SUCCESS;
    };
    let (exit, problems) = match failed {
        Failed::Config(problems) => (Exit::BadConfig, problems),
        Failed::Other(problem) => (Exit::Failed, vec![problem]),
    };
    let mut console = Console::real(environment);
    for problem in problems {
        console.failure(&Failure::new(exit, problem));
    }
    exit.into()
}
