//! Reading the log files without a gateway: the last lines, then what comes, across the change to a new file.

use std::io;
use std::path::{Path, PathBuf};

use super::rotate::numbered;
use crate::limits::{LOG_FILES_READ, LOG_TAIL_BYTES};
use crate::sys::Files;

/// A place in the log files.
#[derive(Debug)]
pub struct Reader {
    file: PathBuf,
    /// Which file was read, and how far.
    at: Option<(u64, u64)>,
}

impl Reader {
    /// A reader that stands before everything.
    #[must_use]
    pub fn new(file: PathBuf) -> Self {
        Self { file, at: None }
    }

    /// The last `count` lines, those in older files included, oldest first; goes on after them.
    ///
    /// # Errors
    /// What the system says; a log that isn't there is an empty one.
    pub fn last(&mut self, files: &dyn Files, count: usize) -> io::Result<Vec<String>> {
        let mut lines = self.more(files)?;
        for number in 1..=LOG_FILES_READ {
            if lines.len() >= count {
                break;
            }
            match read_from(files, &numbered(&self.file, number), 0) {
                Ok((older, _)) => lines.splice(0..0, older).for_each(drop),
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => return Err(error),
            }
        }
        lines.drain(..lines.len().saturating_sub(count));
        Ok(lines)
    }

    /// What has come since the last call: the rest of the file that was read then, under whatever name it has now,
    /// and the new one.
    ///
    /// # Errors
    /// What the system says; a log that isn't there is an empty one.
    pub fn more(&mut self, files: &dyn Files) -> io::Result<Vec<String>> {
        let stamp = match files.stamp(&self.file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut lines = Vec::new();
        let mut from = 0;
        if let Some((file, read)) = self.at {
            if file == stamp.file && read <= stamp.size_bytes {
                from = read;
            } else {
                for number in (1..=LOG_FILES_READ).rev() {
                    let old = numbered(&self.file, number);
                    let is_it = files.stamp(&old).is_ok_and(|stamp| stamp.file == file);
                    if is_it || !lines.is_empty() {
                        lines.extend(read_from(files, &old, if is_it { read } else { 0 })?.0);
                    }
                }
            }
        }
        let (newest, end) = read_from(files, &self.file, from)?;
        lines.extend(newest);
        self.at = Some((stamp.file, end));
        Ok(lines)
    }
}

/// The whole lines from a position on, at most [`LOG_TAIL_BYTES`] of them, the last ones; and where they end.
fn read_from(files: &dyn Files, path: &Path, from: u64) -> io::Result<(Vec<String>, u64)> {
    let size = files.size(path)?;
    let start = from.max(size.saturating_sub(LOG_TAIL_BYTES));
    let mut bytes = vec![0; usize::try_from(size.saturating_sub(start)).unwrap_or(0)];
    let count = files.read_at(path, start, &mut bytes)?;
    bytes.truncate(count);
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    bytes.truncate(whole);
    let text = String::from_utf8_lossy(&bytes);
    // A start in the middle of the file may be in the middle of a line.
    let lines = text.lines().skip(usize::from(start > from));
    Ok((lines.map(str::to_owned).collect(), start + whole as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::sim::SimFiles;

    #[test]
    fn lines_are_followed_into_the_next_file_and_none_is_lost_or_twice() {
        let files = SimFiles::new();
        let dir = Path::new("/l");
        files.create_dir(dir).unwrap();
        let file = dir.join("gateway.log");
        let mut reader = Reader::new(file.clone());
        assert!(reader.last(&files, 5).unwrap().is_empty());
        files.append(&file, b"1\n2\n3\nhal").unwrap();
        assert_eq!(reader.last(&files, 2).unwrap(), ["2", "3"]);
        files.append(&file, b"f\n4\n").unwrap();
        assert_eq!(reader.more(&files).unwrap(), ["half", "4"]);
        files.append(&file, b"5\n").unwrap();
        files.rename(&file, &numbered(&file, 1)).unwrap();
        files.append(&file, b"6\n").unwrap();
        files.rename(&numbered(&file, 1), &numbered(&file, 2)).unwrap();
        files.rename(&file, &numbered(&file, 1)).unwrap();
        files.append(&file, b"7\n").unwrap();
        assert_eq!(reader.more(&files).unwrap(), ["5", "6", "7"]);
        assert!(reader.more(&files).unwrap().is_empty());
        let all = Reader::new(file).last(&files, 100).unwrap();
        assert_eq!(all, ["1", "2", "3", "half", "4", "5", "6", "7"]);
    }
}
