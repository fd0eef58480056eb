//! Reading the lines of a file in blocks, forwards and backwards, in bounded memory.
//!
//! A line longer than the reader's bound is passed over without being held. A last line without a
//! newline is told apart: it may be half of something.

use std::io;
use std::path::Path;

use crate::sys::Files;

/// Bytes read at once.
const BLOCK_BYTES: usize = 64 * 1024;

/// A line without its newline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Where it begins in the file, bytes.
    pub start: u64,
    /// Its content.
    pub found: Found,
}

/// What a line holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A line that ended with a newline.
    Whole(Vec<u8>),
    /// The end of the file without a newline.
    Unended(Vec<u8>),
    /// More bytes than the bound.
    TooLong,
}

impl Line {
    /// The content of a line that ended properly.
    #[must_use]
    pub fn whole(&self) -> Option<&[u8]> {
        match &self.found {
            Found::Whole(bytes) => Some(bytes),
            Found::Unended(_) | Found::TooLong => None,
        }
    }
}

/// Lines from an offset to the end.
#[derive(Debug)]
pub struct Forward<'a> {
    files: &'a dyn Files,
    path: &'a Path,
    line_bytes_max: usize,
    /// Read and not handed out: `buffer` from `at` on.
    buffer: Vec<u8>,
    at: usize,
    /// Where in the file `at` is.
    offset: u64,
}

impl<'a> Forward<'a> {
    /// From `offset`, which must be the start of a line.
    #[must_use]
    pub fn from(files: &'a dyn Files, path: &'a Path, offset: u64, line_bytes_max: usize) -> Self {
        Self { files, path, line_bytes_max, buffer: Vec::new(), at: 0, offset }
    }

    /// Where the next line begins, bytes.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    fn next_line(&mut self) -> io::Result<Option<Line>> {
        let start = self.offset;
        let mut too_long = false;
        let mut scanned = 0;
        loop {
            let unread = self.buffer.get(self.at..).unwrap_or_default();
            let newline = unread.get(scanned..).and_then(|rest| rest.iter().position(|byte| *byte == b'\n'));
            if let Some(newline) = newline {
                let length = scanned + newline;
                let found = if too_long || length > self.line_bytes_max {
                    Found::TooLong
                } else {
                    Found::Whole(unread.get(..length).unwrap_or_default().to_vec())
                };
                self.skip(length + 1);
                return Ok(Some(Line { start, found }));
            }
            scanned = unread.len();
            if scanned > self.line_bytes_max {
                too_long = true;
                self.skip(scanned);
                scanned = 0;
            }
            if self.read_more()? == 0 {
                let rest = self.buffer.split_off(self.at);
                self.skip(rest.len());
                let found = if too_long { Found::TooLong } else { Found::Unended(rest) };
                return Ok((self.offset > start).then_some(Line { start, found }));
            }
        }
    }

    fn skip(&mut self, count: usize) {
        self.at += count;
        self.offset += count as u64;
    }

    fn read_more(&mut self) -> io::Result<usize> {
        self.buffer.drain(..self.at.min(self.buffer.len()));
        self.at = 0;
        let held = self.buffer.len();
        self.buffer.resize(held + BLOCK_BYTES, 0);
        let fresh = self.buffer.get_mut(held..).unwrap_or_default();
        let read = self.files.read_at(self.path, self.offset + held as u64, fresh);
        self.buffer.truncate(held + *read.as_ref().unwrap_or(&0));
        read
    }
}

impl Iterator for Forward<'_> {
    type Item = io::Result<Line>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_line().transpose()
    }
}

/// Lines from the end to the beginning.
#[derive(Debug)]
pub struct Backward<'a> {
    files: &'a dyn Files,
    path: &'a Path,
    line_bytes_max: usize,
    /// Bytes before the block that are not read yet.
    unread: u64,
    /// What is left of the block that begins at `unread`.
    block: Vec<u8>,
    /// Later parts of the line that ends in `block`, last part first.
    parts: Vec<Vec<u8>>,
    parts_bytes: usize,
    too_long: bool,
    at_end: bool,
}

impl<'a> Backward<'a> {
    /// From the end of the file.
    ///
    /// # Errors
    /// `NotFound`; what the disk says.
    pub fn from_end(files: &'a dyn Files, path: &'a Path, line_bytes_max: usize) -> io::Result<Self> {
        Ok(Self {
            files,
            path,
            line_bytes_max,
            unread: files.size(path)?,
            block: Vec::new(),
            parts: Vec::new(),
            parts_bytes: 0,
            too_long: false,
            at_end: true,
        })
    }

    fn line_before(&mut self) -> io::Result<Option<Line>> {
        loop {
            if let Some(newline) = self.block.iter().rposition(|byte| *byte == b'\n') {
                let last_part = self.block.split_off(newline + 1);
                self.block.truncate(newline);
                let start = self.unread + newline as u64 + 1;
                let found = self.assemble(last_part);
                // After the newline at the very end comes nothing, which is no line.
                if !matches!(&found, Found::Unended(rest) if rest.is_empty()) {
                    return Ok(Some(Line { start, found }));
                }
                continue;
            }
            self.keep_part();
            if self.unread == 0 {
                let found = self.assemble(Vec::new());
                let is_nothing = matches!(&found, Found::Unended(rest) if rest.is_empty());
                let was_handed_out = std::mem::replace(&mut self.unread, u64::MAX) == u64::MAX;
                return Ok((!is_nothing && !was_handed_out).then_some(Line { start: 0, found }));
            }
            if self.unread == u64::MAX {
                return Ok(None);
            }
            self.read_block()?;
        }
    }

    /// The whole block belongs to a line that begins further left.
    fn keep_part(&mut self) {
        self.parts_bytes += self.block.len();
        self.parts.push(std::mem::take(&mut self.block));
        if self.parts_bytes > self.line_bytes_max {
            self.too_long = true;
            self.parts.clear();
        }
    }

    /// Joins the parts of a line, `first` being its leftmost.
    fn assemble(&mut self, first: Vec<u8>) -> Found {
        let too_long = std::mem::take(&mut self.too_long) || self.parts_bytes + first.len() > self.line_bytes_max;
        let parts = std::mem::take(&mut self.parts);
        self.parts_bytes = 0;
        let at_end = std::mem::take(&mut self.at_end);
        if too_long {
            return Found::TooLong;
        }
        let line = parts.iter().rev().fold(first, |mut line, part| {
            line.extend_from_slice(part);
            line
        });
        if at_end { Found::Unended(line) } else { Found::Whole(line) }
    }

    fn read_block(&mut self) -> io::Result<()> {
        let length = usize::try_from(self.unread).map_or(BLOCK_BYTES, |unread| unread.min(BLOCK_BYTES));
        let start = self.unread - length as u64;
        self.block.resize(length, 0);
        let read = self.files.read_at(self.path, start, &mut self.block)?;
        if read < length {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter"));
        }
        self.unread = start;
        Ok(())
    }
}

impl Iterator for Backward<'_> {
    type Item = io::Result<Line>;

    fn next(&mut self) -> Option<Self::Item> {
        self.line_before().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::Chance;
    use crate::sys::sim::SimFiles;

    const PATH: &str = "/s/f";

    fn file(content: &[u8]) -> SimFiles {
        let files = SimFiles::new();
        files.create_dir(Path::new("/s")).unwrap();
        files.append(Path::new(PATH), content).unwrap();
        files
    }

    fn forward(files: &SimFiles, max: usize) -> Vec<Line> {
        Forward::from(files, Path::new(PATH), 0, max).map(Result::unwrap).collect()
    }

    fn backward(files: &SimFiles, max: usize) -> Vec<Line> {
        let mut reader = Backward::from_end(files, Path::new(PATH), max).unwrap();
        let mut lines: Vec<_> = reader.by_ref().map(Result::unwrap).collect();
        assert!(reader.next().is_none());
        lines.reverse();
        lines
    }

    #[test]
    fn both_directions_give_the_same_lines_whatever_their_length() {
        let chance = Chance::seeded(3);
        for round in 0..10 {
            let mut content = Vec::new();
            for _ in 0..chance.below(12) {
                let length = [0, 1, 10, 70_000, 65_535, 65_536, 200_000][usize::try_from(chance.below(7)).unwrap()];
                content.extend(std::iter::repeat_n(b'a' + u8::try_from(chance.below(20)).unwrap(), length));
                if chance.below(8) > 0 {
                    content.push(b'\n');
                }
            }
            let files = file(&content);
            for max in [5, 70_000, 1_000_000] {
                assert_eq!(forward(&files, max), backward(&files, max), "round {round}, max {max}");
            }
            let bytes: usize = forward(&files, usize::MAX)
                .iter()
                .map(|line| match &line.found {
                    Found::Whole(bytes) => bytes.len() + 1,
                    Found::Unended(bytes) => bytes.len(),
                    Found::TooLong => unreachable!(),
                })
                .sum();
            assert_eq!(bytes, content.len());
        }
    }

    #[test]
    fn the_end_without_a_newline_is_told_apart() {
        let files = file(b"one\n\ntw");
        let lines = backward(&files, 100);
        assert_eq!(lines[0], Line { start: 0, found: Found::Whole(b"one".into()) });
        assert_eq!(lines[1], Line { start: 4, found: Found::Whole(b"".into()) });
        assert_eq!(lines[2], Line { start: 5, found: Found::Unended(b"tw".into()) });
        assert_eq!(forward(&file(b""), 9), []);
        assert_eq!(backward(&file(b""), 9), []);
        assert_eq!(backward(&file(b"\n"), 9).len(), 1);
    }

    #[test]
    fn a_line_over_the_bound_is_passed_over() {
        let long = vec![b'x'; 300_000];
        let files = file(&[b"a\n", &long[..], b"\nb\n"].concat());
        let lines = backward(&files, 1000);
        assert_eq!(lines[1], Line { start: 2, found: Found::TooLong });
        assert_eq!(lines[2].whole(), Some(&b"b"[..]));
    }
}
