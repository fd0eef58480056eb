//! Why a store could not do what it was asked. The text may go to a client: it holds no path.

use std::fmt;
use std::io;

/// A store's refusal or failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreError {
    /// No space is left.
    Full,
    /// The medium takes no writes.
    ReadOnly,
    /// Nothing is stored there.
    Missing,
    /// What else the system said.
    Disk(io::ErrorKind),
    /// Something is larger than its bound: what, and the bound in bytes.
    TooLarge(&'static str, usize),
    /// The session id can't be a file name.
    BadSessionId,
    /// The session key is empty.
    EmptyKey,
    /// The index holds as many sessions as it may: the bound.
    TooManySessions(u64),
    /// As many nodes have names as may: the bound.
    TooManyNames(usize),
    /// The same transcript is being compacted.
    Busy,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the disk is full"),
            Self::ReadOnly => f.write_str("the disk is read-only"),
            Self::Missing => f.write_str("no such file"),
            Self::Disk(kind) => write!(f, "disk error: {kind}"),
            Self::TooLarge(what, bound) => write!(f, "{what} is larger than {bound} bytes"),
            Self::BadSessionId => f.write_str("sessionId must be 1 to 128 of A-Z a-z 0-9 . _ - without a leading dot"),
            Self::EmptyKey => f.write_str("session key is empty"),
            Self::TooManySessions(bound) => write!(f, "{bound} sessions are stored, the limit: delete some first"),
            Self::TooManyNames(bound) => write!(f, "{bound} nodes have names, the limit"),
            Self::Busy => f.write_str("the transcript is being compacted"),
        }
    }
}

impl std::error::Error for StoreError {}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        Self::from(&error)
    }
}

impl From<&io::Error> for StoreError {
    fn from(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly,
            io::ErrorKind::NotFound => Self::Missing,
            kind => Self::Disk(kind),
        }
    }
}
