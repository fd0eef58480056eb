//! Where a command's output goes. Never panics on a closed pipe, never lets a server's text steer
//! the terminal.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, IsTerminal as _, Write};

use super::Environment;
use super::exit::{Exit, Failure};

/// Standard output and standard error.
pub struct Console {
    out: Box<dyn Write>,
    err: Box<dyn Write>,
    out_is_terminal: bool,
    in_is_terminal: bool,
    styled: bool,
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console").field("out_is_terminal", &self.out_is_terminal).finish_non_exhaustive()
    }
}

impl Console {
    /// The process's own. Text is dimmed only on a terminal, and never with `NO_COLOR` or on a
    /// `dumb` terminal.
    #[must_use]
    pub fn real(environment: &Environment) -> Self {
        let out_is_terminal = io::stdout().is_terminal();
        let plain = environment.get("NO_COLOR").is_some_and(|value| !value.is_empty())
            || environment.get("TERM").is_some_and(|term| term == "dumb");
        Self {
            out: Box::new(io::stdout()),
            err: Box::new(io::stderr()),
            out_is_terminal,
            in_is_terminal: io::stdin().is_terminal(),
            styled: out_is_terminal && !plain,
        }
    }

    /// Whether standard output is a terminal.
    #[must_use]
    pub fn out_is_terminal(&self) -> bool {
        self.out_is_terminal
    }

    /// Whether somebody types into standard input.
    #[must_use]
    pub fn in_is_terminal(&self) -> bool {
        self.in_is_terminal
    }

    /// Writes to standard output, at once.
    ///
    /// # Errors
    /// A quiet end when the reader is gone, a failure when the text can't be written.
    pub fn print(&mut self, text: &str) -> Result<(), Failure> {
        let text = if self.out_is_terminal { printable(text) } else { Cow::Borrowed(text) };
        self.write(&text)
    }

    /// Writes a line of lesser importance, dimmed where that is possible.
    ///
    /// # Errors
    /// As [`Console::print`].
    pub fn dim_line(&mut self, text: &str) -> Result<(), Failure> {
        if !self.styled {
            return self.print(&format!("{text}\n"));
        }
        self.write(&format!("\x1b[2m{}\x1b[0m\n", printable(text)))
    }

    /// Writes a line to standard error. That it can't be written is nobody's concern.
    pub fn note(&mut self, text: &str) {
        let _ = writeln!(self.err, "{}", printable(text));
    }

    /// Tells of a failure on standard error: one line for it, one for the hint.
    pub fn failure(&mut self, failure: &Failure) {
        if let Some(message) = &failure.message {
            self.note(&format!("error: {}", one_line(message)));
        }
        if let Some(hint) = &failure.hint {
            self.note(&format!("hint: {}", one_line(hint)));
        }
    }

    fn write(&mut self, text: &str) -> Result<(), Failure> {
        match self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::quiet(Exit::Ok)),
            Err(error) => Err(Failure::new(Exit::Failed, format!("cannot write to standard output: {error}"))),
        }
    }
}

/// The text without control characters other than newline and tab, so that no model and no server
/// can move the cursor, retitle the window or answer in the owner's name.
fn printable(text: &str) -> Cow<'_, str> {
    let harmless = |c: char| !c.is_control() || c == '\n' || c == '\t';
    if text.chars().all(harmless) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().filter(|&c| harmless(c)).collect())
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
pub(super) mod testing {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    /// What was written, shared with the console that writes it.
    #[derive(Clone, Default)]
    pub(crate) struct Written(Rc<RefCell<Vec<u8>>>);

    impl Written {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.borrow().clone()).unwrap()
        }
    }

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A console in memory: itself, its output, its errors.
    pub(crate) fn console(out_is_terminal: bool) -> (Console, Written, Written) {
        let (out, err) = (Written::default(), Written::default());
        let console = Console {
            out: Box::new(out.clone()),
            err: Box::new(err.clone()),
            out_is_terminal,
            in_is_terminal: false,
            styled: false,
        };
        (console, out, err)
    }

    /// A console whose reader is gone.
    pub(crate) fn broken() -> Console {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (mut console, ..) = console(false);
        console.out = Box::new(Gone);
        console
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_text_cannot_steer_the_terminal() {
        let (mut terminal, out, err) = testing::console(true);
        terminal.print("a\x1b]0;title\x07\tb\u{9b}2J\n").unwrap();
        assert_eq!(out.text(), "a]0;title\tb2J\n");
        terminal.failure(&Failure::usage("one\x1b[2J\n two").hint("try"));
        assert_eq!(err.text(), "error: one[2J; two\nhint: try\n");
        let (mut pipe, out, _) = testing::console(false);
        pipe.print("\x1b[1m").unwrap();
        assert_eq!(out.text(), "\x1b[1m");
    }

    #[test]
    fn a_reader_that_went_away_is_a_quiet_end() {
        assert_eq!(testing::broken().print("x"), Err(Failure::quiet(Exit::Ok)));
    }
}
