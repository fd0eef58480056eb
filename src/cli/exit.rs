//! How a command ends: the exit codes, and what is said when it didn't succeed.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Ok,
    /// The gateway refused or the answer failed.
    Failed,
    /// The command line is wrong.
    Usage,
    /// No gateway could be reached.
    NoConnection,
    /// The gateway wants another token or password.
    Unauthorized,
    /// No answer in time.
    Timeout,
    /// The gateway's configuration is wrong (sysexits' EX_CONFIG, which the systemd unit knows).
    BadConfig,
}

impl Exit {
    /// Every code with what it means, in the order of the help texts.
    pub const ALL: [(Self, &'static str); 7] = [
        (Self::Ok, "done"),
        (Self::Failed, "the gateway refused, is degraded, or the answer failed"),
        (Self::Usage, "wrong usage"),
        (Self::NoConnection, "cannot connect: no gateway there, or it went away"),
        (Self::Unauthorized, "unauthorized: wrong or missing token or password"),
        (Self::Timeout, "no answer in time"),
        (Self::BadConfig, "the configuration is wrong (run)"),
    ];

    /// The process's exit code.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NoConnection => 3,
            Self::Unauthorized => 4,
            Self::Timeout => 5,
            Self::BadConfig => 78,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

/// Why a command ended without success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What is said after `error: `; `None` when there is nothing more to say.
    pub message: Option<String>,
    /// What to try next, one line.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure with a message.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: Some(message.into()), hint: None }
    }

    /// The command line is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Ends without a word: everything has been said, or the reader of our output is gone.
    #[must_use]
    pub fn quiet(exit: Exit) -> Self {
        Self { exit, message: None, hint: None }
    }

    /// With advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_listed_once_and_in_order() {
        let codes = Exit::ALL.map(|(exit, _)| exit.code());
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 78]);
    }
}
