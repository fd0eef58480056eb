//! What a person or a program gives to a command: all of standard input, lines as they are typed,
//! and Ctrl-C. No thread waits for any of it.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::pin::Pin;

use async_signal::{Signal, Signals};
use smol::Async;
use smol::stream::{Stream, StreamExt as _};

use super::exit::{Exit, Failure};
use crate::limits::CLIENT_INPUT_BYTES;

/// All of standard input, as text.
///
/// # Errors
/// When it can't be read, isn't UTF-8 or is larger than [`CLIENT_INPUT_BYTES`].
pub fn all_of_stdin() -> Result<String, Failure> {
    all_of(io::stdin().lock())
}

fn all_of(input: impl io::Read) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    input
        .take(CLIENT_INPUT_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::new(Exit::Failed, format!("standard input cannot be read: {error}")))?;
    if bytes.len() as u64 > CLIENT_INPUT_BYTES {
        return Err(Failure::usage(format!("standard input is larger than {CLIENT_INPUT_BYTES} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| Failure::usage("standard input is not UTF-8 text"))
}

/// Lines as they are typed. The terminal itself does the editing.
#[derive(Debug)]
pub struct Lines {
    source: Async<File>,
    /// Bytes after the last line that was given out.
    pending: Vec<u8>,
    has_ended: bool,
}

impl Lines {
    /// Lines of standard input, which must be something that can be waited for: a terminal, a pipe.
    ///
    /// # Errors
    /// What the system says.
    pub fn of_stdin() -> io::Result<Self> {
        Self::of(File::from(io::stdin().as_fd().try_clone_to_owned()?))
    }

    /// Lines of a file descriptor. It stays in blocking mode, because that mode is shared with other
    /// programs on the terminal; it is read only when it has something to give.
    ///
    /// # Errors
    /// What the system says.
    pub fn of(file: File) -> io::Result<Self> {
        Ok(Self { source: Async::new_nonblocking(file)?, pending: Vec::new(), has_ended: false })
    }

    /// The next line without its end; `None` at the end of input. A line over [`CLIENT_INPUT_BYTES`]
    /// comes in pieces. Dropping the future loses nothing.
    ///
    /// # Errors
    /// What the system says.
    pub async fn next(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = self.pending.iter().position(|&byte| byte == b'\n') {
                let rest = self.pending.split_off(end + 1);
                return Ok(Some(text_of(std::mem::replace(&mut self.pending, rest))));
            }
            if self.has_ended || self.pending.len() as u64 >= CLIENT_INPUT_BYTES {
                let line = std::mem::take(&mut self.pending);
                return Ok((!line.is_empty()).then(|| text_of(line)));
            }
            self.source.readable().await?;
            let mut buffer = [0; 4096];
            let count = match self.source.get_ref().read(&mut buffer) {
                Ok(count) => count,
                Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {
                    continue;
                }
                Err(error) => return Err(error),
            };
            self.has_ended = count == 0;
            self.pending.extend(buffer.iter().take(count));
        }
    }
}

fn text_of(line: Vec<u8>) -> String {
    let mut text = String::from_utf8_lossy(&line).into_owned();
    text.truncate(text.trim_end_matches(['\n', '\r']).len());
    text
}

/// Ctrl-C, each time that it is pressed.
pub struct Interrupts(Pin<Box<dyn Stream<Item = ()>>>);

impl std::fmt::Debug for Interrupts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Interrupts")
    }
}

impl Interrupts {
    /// From now on SIGINT no longer ends the process.
    ///
    /// # Errors
    /// What the system says.
    pub fn of_process() -> io::Result<Self> {
        Ok(Self::of(Signals::new([Signal::Int])?.map(|_| ())))
    }

    /// Interrupts from elsewhere.
    pub fn of(stream: impl Stream<Item = ()> + 'static) -> Self {
        Self(Box::pin(stream))
    }

    /// Resolves at the next one. Dropping the future loses nothing.
    pub async fn next(&mut self) {
        if self.0.next().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn lines_come_one_by_one_and_the_last_may_lack_its_end() {
        let (mut typing, reading) = UnixStream::pair().unwrap();
        let mut lines = Lines::of(File::from(OwnedFd::from(reading))).unwrap();
        typing.write_all("one\r\n\ntwö\nthree".as_bytes()).unwrap();
        drop(typing);
        let got = smol::block_on(async {
            let mut got = Vec::new();
            while let Some(line) = lines.next().await.unwrap() {
                got.push(line);
            }
            got
        });
        assert_eq!(got, ["one", "", "twö", "three"]);
    }

    #[test]
    fn a_message_from_standard_input_is_bounded_text() {
        assert_eq!(all_of("hi\n".as_bytes()).unwrap(), "hi\n");
        assert!(all_of(&[0xff, 0xfe][..]).unwrap_err().message.unwrap().contains("UTF-8"));
        assert!(all_of(io::repeat(b'x')).unwrap_err().message.unwrap().contains("larger"));
    }
}
