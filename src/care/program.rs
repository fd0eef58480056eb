//! Whether a file is a Barnacle for this machine: by its first bytes and by what it says.

use std::path::Path;
use std::time::Duration;

use crate::sys::Files as _;
use crate::sys::disk::Disk;
use crate::sys::processes::{Processes, Program};

/// How long a program may take to say its version.
const SAY: Duration = Duration::from_secs(20);
/// What an archive such as a Debian package begins with.
const ARCHIVE: &[u8] = b"!<arch>\n";

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A program for this machine's processor.
    Program,
    /// A Debian package.
    Package,
}

/// Looks at the first bytes. `own` is a program that runs here.
///
/// # Errors
/// What is wrong with it.
pub fn kind(file: &Path, own: &Path) -> Result<Kind, String> {
    let head = head(file)?;
    if head.starts_with(ARCHIVE) {
        return Ok(Kind::Package);
    }
    let own = head_of(&self::head(own)?).ok_or("this program's own file can't be read")?;
    match head_of(&head) {
        None => Err(format!("{} is neither a program nor a Debian package", file.display())),
        Some(other) if other.processor != own.processor || other.word != own.word => Err(format!(
            "{} is made for {}, and this machine runs programs for {}",
            file.display(),
            other.name(),
            own.name()
        )),
        Some(_) => Ok(Kind::Program),
    }
}

/// The version that a program says it has.
///
/// # Errors
/// What it said or did instead.
pub fn version(file: &Path, processes: &dyn Processes) -> Result<String, String> {
    let program = Program {
        argv: vec![file.display().to_string(), "--version".to_owned()],
        dir: None,
        env: Vec::new(),
        limit: SAY,
        output_bytes: 4096,
        on_line: None,
        sandbox: None,
    };
    let done = smol::block_on(processes.run(program)).map_err(|error| format!("it can't be run: {error}"))?;
    let said = done.stdout.trim();
    match said.strip_prefix("barnacle ").filter(|_| done.is_success()) {
        Some(version) if !version.is_empty() && !version.contains(char::is_whitespace) => Ok(version.to_owned()),
        _ => {
            let first = said.lines().chain(done.stderr.lines()).next().unwrap_or_default();
            Err(format!("it doesn't say that it is barnacle; `--version` gives {first:?}"))
        }
    }
}

fn head(file: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = vec![0; 20];
    let count = Disk::default().read_at(file, 0, &mut bytes).map_err(|error| format!("{}: {error}", file.display()))?;
    bytes.truncate(count);
    Ok(bytes)
}

/// What the head of a program says (ELF).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    /// 1 for 32 bits, 2 for 64.
    word: u8,
    processor: u16,
}

impl Head {
    fn name(self) -> String {
        let bits = if self.word == 2 { 64 } else { 32 };
        match self.processor {
            3 => "x86, 32 bits".to_owned(),
            40 => "ARM, 32 bits (armhf)".to_owned(),
            62 => "x86-64 (amd64)".to_owned(),
            183 => "ARM, 64 bits (arm64)".to_owned(),
            243 => format!("RISC-V, {bits} bits"),
            other => format!("processor number {other}, {bits} bits"),
        }
    }
}

fn head_of(bytes: &[u8]) -> Option<Head> {
    let is_program = bytes.starts_with(b"\x7fELF") && bytes.len() >= 20;
    let word = *bytes.get(4)?;
    let number: [u8; 2] = bytes.get(18..20)?.try_into().ok()?;
    let processor = if bytes.get(5) == Some(&2) { u16::from_be_bytes(number) } else { u16::from_le_bytes(number) };
    is_program.then_some(Head { word, processor })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_told_apart() {
        let head = |word: u8, processor: u8| {
            let mut bytes = b"\x7fELF\x00\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00".to_vec();
            bytes[4] = word;
            bytes[18] = processor;
            head_of(&bytes).unwrap()
        };
        assert_eq!(head(2, 183).name(), "ARM, 64 bits (arm64)");
        assert_ne!(head(2, 183), head(2, 62));
        assert_eq!(head_of(b"#!/bin/sh\nexec barnacle\n"), None);
        assert_eq!(head_of(b"\x7fELF"), None);
    }
}
