//! The ends of the help texts: environment variables and exit codes, from their tables.

use std::fmt::Write as _;

use super::exit::Exit;

/// Environment variables: name, meaning, whether clients read it, whether `run` does.
const VARIABLES: &[(&str, &str, bool, bool)] = &[
    ("BARNACLE_URL", "where the gateway is; --url wins", true, false),
    ("BARNACLE_TOKEN", "the shared token; --token wins", true, true),
    ("BARNACLE_PASSWORD", "the shared password; --password wins", true, true),
    ("BARNACLE_CONFIG", "the configuration file; --config wins", true, true),
    ("BARNACLE_STATE_DIR", "the state directory; --state-dir wins", true, true),
    ("NO_COLOR", "when set, nothing is dimmed", true, false),
];

/// Whose help text it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// Of the whole program.
    Program,
    /// Of `run`.
    Run,
    /// Of a command that asks a running gateway.
    Client,
}

/// Every environment variable that a person may set, and its meaning.
pub fn variables() -> impl Iterator<Item = (&'static str, &'static str)> {
    VARIABLES.iter().map(|(name, meaning, _, _)| (*name, *meaning))
}

/// What a help text ends with.
#[must_use]
pub fn tail(reader: Reader) -> String {
    let mut text = "\nEnvironment:\n".to_owned();
    for (name, meaning, client, run) in VARIABLES {
        if reader == Reader::Program || (reader == Reader::Client && *client) || (reader == Reader::Run && *run) {
            let _ = writeln!(text, "  {name:<20}{meaning}");
        }
    }
    text.push_str("\nExit codes:\n");
    for (exit, meaning) in Exit::ALL {
        let _ = writeln!(text, "  {:<4}{meaning}", exit.code());
    }
    text
}
