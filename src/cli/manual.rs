//! The manual page and the shells' completions, printed from the command definitions of [`super::args`].
//!
//! Only the documents test calls it, which keeps `docs/barnacle.1` and `completions/` fresh; the program has
//! `--help`. Nothing here says what a command does: every sentence is the definition's own.

use std::fmt::Write as _;

use argh::{CommandInfoWithArgs, FlagInfo, FlagInfoKind, Optionality, PositionalInfo};

use super::exit::Exit;
use super::help;

/// Where things are, for the page's section FILES: path, what it is.
const FILES: &[(&str, &str)] = &[
    ("/etc/barnacle/barnacle.json", "configuration of the system service; comments are allowed"),
    ("/var/lib/barnacle", "state of the system service"),
    ("~/.config/barnacle/barnacle.json", "configuration of a gateway that a person starts"),
    ("~/.local/state/barnacle", "its state, and the file `token` with the secret that clients need"),
];

/// What the page's section SIGNALS says.
const SIGNALS: &[(&str, &str)] = &[
    ("SIGTERM, SIGINT", "tell everyone, write everything, end within five seconds"),
    ("SIGHUP", "read the configuration again; a bad one is refused in the log, and the old one stays in force"),
    ("SIGUSR1", "restart inside the process, with the same sockets"),
];

/// The manual page, in roff with the `man` macros.
#[must_use]
pub fn page(program: &CommandInfoWithArgs) -> String {
    let mut page = Page::default();
    // A generated page has no date of its own: the day of the build would make every build another.
    let _ = writeln!(page.0, ".TH BARNACLE 1 \"\" \"barnacle {}\" \"User Commands\"", crate::VERSION);
    page.section("NAME");
    let sentence = program.description.trim_start_matches("Barnacle: ").trim_end_matches('.');
    page.line(&format!("barnacle \\- {}", escaped(sentence)));
    page.section("SYNOPSIS");
    page.synopsis("barnacle", program);
    for command in &program.commands {
        page.0.push_str(".br\n");
        page.synopsis(&format!("barnacle {}", command.name), &command.command);
    }
    page.section("DESCRIPTION");
    page.line(&escaped(program.description));
    for note in program.notes {
        page.paragraph(&note.replace("{command_name}", "barnacle"));
    }
    page.section("OPTIONS");
    page.options(program);
    page.section("COMMANDS");
    for command in &program.commands {
        page.command(command.name, &command.command);
    }
    page.section("ENVIRONMENT");
    page.table(help::variables());
    page.section("FILES");
    page.table(FILES.iter().copied());
    page.section("SIGNALS");
    page.line("Of a running gateway:");
    page.table(SIGNALS.iter().copied());
    page.section("EXIT STATUS");
    let codes = Exit::ALL.map(|(exit, meaning)| (exit.code().to_string(), meaning));
    page.table(codes.iter().map(|(code, meaning)| (code.as_str(), *meaning)));
    page.0
}

/// Text with roff's own commands in it.
#[derive(Debug, Default)]
struct Page(String);

impl Page {
    fn section(&mut self, title: &str) {
        let _ = writeln!(self.0, ".SH {title}");
    }

    /// A line that is ready, except that roff would read its first character as a command.
    fn line(&mut self, ready: &str) {
        let guard = if ready.starts_with(['.', '\'']) { "\\&" } else { "" };
        let _ = writeln!(self.0, "{guard}{ready}");
    }

    fn paragraph(&mut self, text: &str) {
        self.0.push_str(".PP\n");
        for line in text.lines() {
            self.line(&escaped(line));
        }
    }

    fn example(&mut self, text: &str) {
        self.0.push_str(".PP\n.RS 4\n.nf\n");
        for line in text.lines() {
            self.line(&escaped(line));
        }
        self.0.push_str(".fi\n.RE\n");
    }

    fn synopsis(&mut self, name: &str, command: &CommandInfoWithArgs) {
        let mut line = format!("\\fB{}\\fR", escaped(name));
        if !command.flags.is_empty() {
            line.push_str(" [\\fIOPTIONS\\fR]");
        }
        if !command.commands.is_empty() {
            line.push_str(" [\\fICOMMAND\\fR]");
        }
        for positional in shown(command.positionals) {
            let _ = write!(line, " {}", positional_form(positional));
        }
        self.line(&line);
    }

    fn options(&mut self, command: &CommandInfoWithArgs) {
        for positional in shown(command.positionals) {
            self.entry(&positional_form(positional), positional.description);
        }
        for flag in command.flags.iter().filter(|flag| !flag.hidden) {
            self.entry(&flag_form(flag), flag.description);
        }
    }

    fn command(&mut self, name: &str, command: &CommandInfoWithArgs) {
        let _ = writeln!(self.0, ".SS \"barnacle {name}\"");
        for line in command.description.lines() {
            self.line(&escaped(line));
        }
        self.options(command);
        for note in command.notes {
            self.paragraph(note);
        }
        for example in command.examples {
            self.example(&example.replace("{command_name}", &format!("barnacle {name}")));
        }
        for inner in &command.commands {
            self.command(&format!("{name} {}", inner.name), &inner.command);
        }
    }

    fn table<'a>(&mut self, rows: impl IntoIterator<Item = (&'a str, &'a str)>) {
        for (name, meaning) in rows {
            self.entry(&format!("\\fB{}\\fR", escaped(name)), meaning);
        }
    }

    /// A tagged paragraph; the tag is ready, the text is not.
    fn entry(&mut self, tag: &str, text: &str) {
        self.0.push_str(".TP\n");
        self.line(tag);
        self.line(&escaped(text));
    }
}

fn shown(positionals: &'static [PositionalInfo<'static>]) -> impl Iterator<Item = &'static PositionalInfo<'static>> {
    positionals.iter().filter(|positional| !positional.hidden)
}

fn positional_form(positional: &PositionalInfo<'_>) -> String {
    let name = format!("\\fI{}\\fR", escaped(positional.name));
    match positional.optionality {
        Optionality::Required => name,
        Optionality::Optional => format!("[{name}]"),
        Optionality::Repeating | Optionality::Greedy => format!("[{name}...]"),
    }
}

fn flag_form(flag: &FlagInfo<'_>) -> String {
    let mut form = String::new();
    if let Some(short) = flag.short {
        let _ = write!(form, "\\fB\\-{short}\\fR, ");
    }
    let _ = write!(form, "\\fB{}\\fR", escaped(flag.long));
    if let FlagInfoKind::Option { arg_name } = flag.kind {
        let _ = write!(form, " \\fI{}\\fR", escaped(arg_name));
    }
    form
}

/// Text in which roff finds nothing to obey: backslashes are printed, dashes stay dashes that can be copied.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-").replace('`', "\\(ga").replace('\'', "\\(aq").replace('"', "\\(dq")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roff_obeys_nothing_that_a_definition_says() {
        assert_eq!(escaped(r#"a\b --x 'y' "z""#), r"a\eb \-\-x \(aqy\(aq \(dqz\(dq");
        let mut page = Page::default();
        page.paragraph(".SH no\n'br no");
        assert_eq!(page.0, ".PP\n\\&.SH no\n\\(aqbr no\n");
    }
}
