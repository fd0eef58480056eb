//! Whether a downloaded archive may be unpacked: files and directories only, within a size. What it looks at is
//! tar's own listing; nothing is written.

use std::cell::RefCell;
use std::fmt;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use crate::limits::{UNPACKED_BYTES, UNPACKED_ENTRIES};
use crate::sys::Sys;
use crate::sys::processes::{ProcessError, Program};

/// The end of the listing that is kept, bytes: only errors are of interest.
const OUTPUT_BYTES: usize = 4096;

/// Why an archive is not unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unfit {
    /// It holds a link, a device or the like, which could lead out of the directory.
    Entry,
    /// It would become too large.
    TooLarge,
    /// It can't be read; what tar says.
    Unreadable(String),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entry => f.write_str("the archive holds links or devices; only files and directories are unpacked"),
            Self::TooLarge => write!(
                f,
                "the archive would become larger than {} MB or {UNPACKED_ENTRIES} files",
                UNPACKED_BYTES / 1024 / 1024
            ),
            Self::Unreadable(why) => write!(f, "the archive can't be read: {why}"),
        }
    }
}

/// What the listing adds up to.
#[derive(Debug, Default)]
struct Sum {
    bytes: u64,
    entries: u64,
    fault: Option<Unfit>,
}

impl Sum {
    /// One line, such as `-rw-r--r-- root/root 120 2026-11-22 10:00 name`.
    fn add(&mut self, line: &str) {
        let mut words = line.split_whitespace();
        let kind = words.next().and_then(|mode| mode.chars().next());
        let size = words.nth(1).and_then(|size| size.parse::<u64>().ok());
        match (kind, size) {
            (Some('-' | 'd'), Some(size)) => {
                self.bytes = self.bytes.saturating_add(size);
                self.entries += 1;
                if self.bytes > UNPACKED_BYTES || self.entries > UNPACKED_ENTRIES {
                    self.fault.get_or_insert(Unfit::TooLarge);
                }
            }
            _ => drop(self.fault.get_or_insert(Unfit::Entry)),
        }
    }
}

/// Reads the listing.
///
/// # Errors
/// [`Unfit`].
pub(super) async fn inspect(sys: &Sys, path: &Path, limit: Duration) -> Result<(), Unfit> {
    let sum: Rc<RefCell<Sum>> = Rc::default();
    let seen = Rc::clone(&sum);
    let finished = sys
        .processes
        .run(Program {
            argv: ["tar", "-tvf", &path.display().to_string()].map(str::to_owned).into(),
            dir: None,
            env: Vec::new(),
            limit,
            output_bytes: OUTPUT_BYTES,
            on_line: Some(Rc::new(move |line| seen.borrow_mut().add(line))),
        })
        .await;
    let finished = finished.map_err(|error: ProcessError| Unfit::Unreadable(error.to_string()))?;
    if !finished.is_success() {
        let said: String = finished.stderr.lines().next().unwrap_or("no reason given").chars().take(200).collect();
        return Err(Unfit::Unreadable(said));
    }
    let fault = sum.borrow_mut().fault.take();
    fault.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(lines: &[&str]) -> Option<Unfit> {
        let mut sum = Sum::default();
        lines.iter().for_each(|line| sum.add(line));
        sum.fault
    }

    #[test]
    fn files_and_directories_are_fine_and_links_are_not() {
        let plain =
            ["drwxr-xr-x root/root         0 2026-11-22 10:00 a/", "-rwxr-xr-x 1000/1000 52 2026-11-22 10:00 a/b c"];
        assert_eq!(sum(&plain), None);
        for line in [
            "lrwxrwxrwx root/root 0 2026-11-22 10:00 a -> /etc",
            "hrw-r--r-- root/root 0 2026-11-22 10:00 b link to a",
            "crw-r--r-- root/root 1,3 2026-11-22 10:00 null",
            "something else",
            "",
        ] {
            assert_eq!(sum(&[plain[0], line]), Some(Unfit::Entry), "{line}");
        }
    }

    #[test]
    fn what_would_fill_the_disk_is_refused() {
        let half = format!("-rw-r--r-- a/b {} 2026-11-22 10:00 zeros", UNPACKED_BYTES / 2 + 1);
        assert_eq!(sum(&[&half]), None);
        assert_eq!(sum(&[&half, &half]), Some(Unfit::TooLarge));
        let many = vec!["-rw-r--r-- a/b 0 2026-11-22 10:00 x"; usize::try_from(UNPACKED_ENTRIES).unwrap() + 1];
        assert_eq!(sum(&many), Some(Unfit::TooLarge));
    }
}
