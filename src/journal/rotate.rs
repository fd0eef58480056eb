//! The log files: appended to, put aside when full, deleted when old (INTEGRATIONS.md 6.6).
//!
//! `gateway.log` is the current one; `gateway.log.1` is the one before, and so on.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use crate::sys::Files;

/// Where the log is and how much of it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rules {
    pub(super) file: PathBuf,
    pub(super) max_bytes: u64,
    pub(super) files: u64,
    pub(super) days: u64,
}

/// What a write did.
#[derive(Debug)]
pub(super) struct Outcome {
    /// Lines that are in a file now.
    pub(super) lines: u64,
    /// Why the others are not.
    pub(super) error: Option<io::Error>,
}

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Appends lines, each with its newline; changes the file in between when it is full.
pub(super) fn append(files: &dyn Files, rules: &Rules, lines: &str, now_ms: u64) -> Outcome {
    let mut outcome = Outcome { lines: 0, error: None };
    let mut size = match open(files, &rules.file) {
        Ok(size) => size,
        Err(error) => return Outcome { error: Some(error), ..outcome },
    };
    let mut rest = lines;
    while !rest.is_empty() && outcome.error.is_none() {
        let room = rules.max_bytes.saturating_sub(size);
        let piece = fitting(rest, room, size == 0);
        if piece.is_empty() {
            outcome.error = put_aside(files, rules).and_then(|()| expire(files, rules, now_ms)).err();
            size = 0;
            continue;
        }
        match files.append(&rules.file, piece.as_bytes()) {
            Ok(()) => {
                outcome.lines += piece.matches('\n').count() as u64;
                size += piece.len() as u64;
                rest = rest.get(piece.len()..).unwrap_or_default();
            }
            Err(error) => {
                // Half a line may be there; if it can't be cut off, the next `open` ends it.
                let _ = files.truncate(&rules.file, size);
                outcome.error = Some(error);
            }
        }
    }
    outcome
}

/// Deletes log files that are older than the rules allow or too many. A file from the future (the
/// board's clock was wrong) counts as new.
///
/// # Errors
/// What the system says about the first file that can't be deleted.
pub(super) fn expire(files: &dyn Files, rules: &Rules, now_ms: u64) -> io::Result<()> {
    let (Some(dir), Some(name)) = (rules.file.parent(), rules.file.file_name().and_then(|name| name.to_str())) else {
        return Ok(());
    };
    let entries = match files.list(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries.iter().filter(|entry| !entry.is_dir) {
        let number = match entry.name.strip_prefix(name) {
            Some("") => 0,
            Some(rest) => match rest.strip_prefix('.').and_then(|number| number.parse::<u64>().ok()) {
                Some(number) => number,
                None => continue,
            },
            None => continue,
        };
        if number >= rules.files || now_ms.saturating_sub(entry.modified_ms) > rules.days.saturating_mul(DAY_MS) {
            files.remove(&dir.join(&entry.name))?;
        }
    }
    Ok(())
}

/// The current size of the file, ready for whole lines: a torn last line is ended first.
fn open(files: &dyn Files, file: &Path) -> io::Result<u64> {
    let size = match files.size(file) {
        Ok(size) => size,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some(dir) = file.parent().filter(|dir| !dir.as_os_str().is_empty()) {
                files.create_dir(dir)?;
            }
            return Ok(0);
        }
        Err(error) => return Err(error),
    };
    if ends_torn(files, file, size)? {
        files.append(file, b"\n")?;
        return Ok(size + 1);
    }
    Ok(size)
}

/// Whether the last line of the file has no newline.
pub(super) fn ends_torn(files: &dyn Files, file: &Path, size: u64) -> io::Result<bool> {
    let mut last = [b'\n'];
    if size > 0 {
        files.read_at(file, size - 1, &mut last)?;
    }
    Ok(last != [b'\n'])
}

/// The lines that fit into `room` bytes; at least one when the file is empty.
fn fitting(lines: &str, room: u64, at_least_one: bool) -> &str {
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    if lines.len() <= room {
        return lines;
    }
    let bytes = lines.as_bytes();
    let last = bytes.get(..room).and_then(|fits| fits.iter().rposition(|byte| *byte == b'\n'));
    let end = match last {
        Some(newline) => newline + 1,
        None if at_least_one => lines.find('\n').map_or(lines.len(), |newline| newline + 1),
        None => 0,
    };
    lines.get(..end).unwrap_or_default()
}

/// Makes room for a new current file.
fn put_aside(files: &dyn Files, rules: &Rules) -> io::Result<()> {
    let last = rules.files.saturating_sub(1);
    if last == 0 {
        return files.remove(&rules.file);
    }
    files.remove(&numbered(&rules.file, last))?;
    for number in (1..last).rev() {
        move_on(files, &numbered(&rules.file, number), &numbered(&rules.file, number + 1))?;
    }
    move_on(files, &rules.file, &numbered(&rules.file, 1))
}

fn move_on(files: &dyn Files, from: &Path, to: &Path) -> io::Result<()> {
    match files.rename(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

pub(super) fn numbered(file: &Path, number: u64) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::disk::Disk;

    /// Rules for a directory that goes when the test ends.
    struct Bench(Rules);

    impl Drop for Bench {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(self.0.file.parent().unwrap());
        }
    }

    fn rules(test: &str) -> Bench {
        let dir = std::env::temp_dir().join(format!("barnacle-rotate-{}-{test}", std::process::id()));
        Disk::default().create_dir(&dir).unwrap();
        for entry in Disk::default().list(&dir).unwrap() {
            Disk::default().remove(&dir.join(entry.name)).unwrap();
        }
        Bench(Rules { file: dir.join("gateway.log"), max_bytes: 100, files: 3, days: 14 })
    }

    fn text(path: &Path) -> String {
        String::from_utf8(Disk::default().read(path, 10_000).unwrap()).unwrap()
    }

    #[test]
    fn a_full_file_is_put_aside_and_the_oldest_is_deleted() {
        let bench = rules("full");
        let rules = &bench.0;
        let now = Disk::default().list(Path::new("/")).unwrap()[0].modified_ms;
        let lines: String = (0..40).map(|number| format!("line {number:04}\n")).collect();
        let outcome = append(&Disk::default(), rules, &lines, now);
        assert!(outcome.error.is_none());
        assert_eq!(outcome.lines, 40);
        let kept = text(&numbered(&rules.file, 2)) + &text(&numbered(&rules.file, 1)) + &text(&rules.file);
        assert!(lines.ends_with(&kept) && kept.starts_with("line 0010\n"), "{kept}");
        assert!(Disk::default().size(&numbered(&rules.file, 3)).is_err());
    }

    #[test]
    fn a_torn_last_line_is_ended_and_a_long_line_gets_a_file_of_its_own() {
        let bench = rules("torn");
        let rules = &bench.0;
        Disk::default().append(&rules.file, b"half a li").unwrap();
        assert_eq!(append(&Disk::default(), rules, "whole\n", 0).lines, 1);
        assert_eq!(text(&rules.file), "half a li\nwhole\n");
        let long = "y".repeat(300) + "\n";
        assert_eq!(append(&Disk::default(), rules, &long, 0).lines, 1);
        assert_eq!(text(&rules.file), long);
    }

    #[test]
    fn old_files_and_files_beyond_the_number_are_deleted() {
        let bench = rules("old");
        let rules = &bench.0;
        for name in ["gateway.log", "gateway.log.1", "gateway.log.7", "gateway.log.x", "other.log"] {
            Disk::default().append(&rules.file.with_file_name(name), b"x\n").unwrap();
        }
        let names = || {
            Disk::default().list(rules.file.parent().unwrap()).unwrap().into_iter().map(|e| e.name).collect::<Vec<_>>()
        };
        let written = Disk::default().list(rules.file.parent().unwrap()).unwrap()[0].modified_ms;
        expire(&Disk::default(), rules, written + 13 * DAY_MS).unwrap();
        assert_eq!(names(), ["gateway.log", "gateway.log.1", "gateway.log.x", "other.log"]);
        expire(&Disk::default(), rules, 0).unwrap();
        assert_eq!(names().len(), 4);
        expire(&Disk::default(), rules, written + 15 * DAY_MS).unwrap();
        assert_eq!(names(), ["gateway.log.x", "other.log"]);
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_an_error_and_no_line_counts_as_written() {
        let rules = Rules { file: PathBuf::from("/proc/no/such/gateway.log"), max_bytes: 100, files: 3, days: 14 };
        let outcome = append(&Disk::default(), &rules, "x\n", 0);
        assert_eq!(outcome.lines, 0);
        assert!(outcome.error.is_some());
    }
}
