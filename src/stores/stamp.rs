//! Times and names of files in the field's forms.

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::sys::Files;

/// How many names are tried before giving up.
const NAMES_MAX: u32 = 1000;

/// ISO 8601 in UTC with milliseconds, e.g. `2026-11-22T18:29:46.044Z`; the epoch for a time that no
/// calendar has.
#[must_use]
pub fn iso(now_ms: u64) -> String {
    let time = i64::try_from(now_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or_default();
    format!("{time:.3}")
}

/// Milliseconds since the Unix epoch of an ISO 8601 time.
#[must_use]
pub fn parse_iso(text: &str) -> Option<u64> {
    u64::try_from(text.parse::<Timestamp>().ok()?.as_millisecond()).ok()
}

/// `<path>.<kind><separator><time>`, the time with dashes for colons (methods.md 7.5); a number is
/// added when that name is taken, so that nothing is ever overwritten.
///
/// # Errors
/// What the disk says; `AlreadyExists` after a thousand taken names.
pub fn free_name(files: &dyn Files, path: &Path, suffix: &str, now_ms: u64) -> io::Result<PathBuf> {
    let mut base = path.as_os_str().to_os_string();
    base.push(suffix);
    base.push(iso(now_ms).replace(':', "-"));
    for number in 1..NAMES_MAX {
        let mut name = base.clone();
        if number > 1 {
            name.push(format!("-{number}"));
        }
        match files.size(Path::new(&name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(name.into()),
            other => other?,
        };
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::sim::SimFiles;

    #[test]
    fn times_have_milliseconds_and_come_back() {
        assert_eq!(iso(1_795_372_186_044), "2026-11-22T18:29:46.044Z");
        assert_eq!(iso(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(parse_iso("2026-11-22T18:29:46.044Z"), Some(1_795_372_186_044));
        assert_eq!(iso(u64::MAX), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn a_taken_name_is_never_given_again() {
        let files = SimFiles::new();
        files.create_dir(Path::new("/s")).unwrap();
        let free = || free_name(&files, Path::new("/s/a.jsonl"), ".bak.", 0).unwrap();
        let first = free();
        assert_eq!(first, Path::new("/s/a.jsonl.bak.1970-01-01T00-00-00.000Z"));
        files.append(&first, b"x").unwrap();
        assert_eq!(free(), Path::new("/s/a.jsonl.bak.1970-01-01T00-00-00.000Z-2"));
    }
}
