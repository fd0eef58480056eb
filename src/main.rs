//! The `barnacle` program: reads the arguments and the environment once and hands them on.

use std::process::ExitCode;

fn main() -> ExitCode {
    // What isn't UTF-8 in the environment can't be a setting of ours.
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    barnacle::cli::main(std::env::args_os().skip(1).collect(), environment)
}
