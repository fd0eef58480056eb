//! What a check finds.

use std::path::PathBuf;

use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Worth knowing.
    Note,
    /// Will hurt one day.
    Warn,
    /// Hurts now.
    Fail,
}

/// One line about one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What was found.
    pub what: String,
    /// The command that mends it, or where to go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
    /// What may be done about it without asking.
    #[serde(skip)]
    pub fix: Option<Fix>,
}

/// A change that can hurt nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fix {
    /// Gives a file other permission bits.
    Mode(PathBuf, u32),
    /// Makes a directory.
    MakeDir(PathBuf),
    /// Removes a file that is half of something.
    Remove(PathBuf),
}

impl Finding {
    /// As it should be.
    pub fn ok(what: impl Into<String>) -> Self {
        Self { level: Level::Ok, what: what.into(), mend: None, fix: None }
    }

    /// Worth knowing.
    pub fn note(what: impl Into<String>) -> Self {
        Self { level: Level::Note, ..Self::ok(what) }
    }

    /// Will hurt one day.
    pub fn warn(what: impl Into<String>) -> Self {
        Self { level: Level::Warn, ..Self::ok(what) }
    }

    /// Hurts now.
    pub fn fail(what: impl Into<String>) -> Self {
        Self { level: Level::Fail, ..Self::ok(what) }
    }

    /// With the command that mends it.
    #[must_use]
    pub fn mend(mut self, command: impl Into<String>) -> Self {
        self.mend = Some(command.into());
        self
    }

    /// With what may be done without asking.
    #[must_use]
    pub fn fix(mut self, fix: Fix) -> Self {
        self.fix = Some(fix);
        self
    }
}
