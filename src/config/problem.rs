//! What is wrong with a configuration, and where: one entry per mistake, collected so that the
//! owner sees all of them at once. It never holds the value of a secret.

use std::borrow::Cow;
use std::fmt;

use super::tree::Field;
use crate::limits;

/// One mistake, shown as `barnacle.json:12:5: gateway.port: expected …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, as the caller named it.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The key with dots and list positions (`agents.list.0.id`); empty for the text as a whole.
    pub key: String,
    /// What was expected and what was found.
    pub message: String,
}

/// Something that doesn't stop the gateway but that the owner should know. Same form as a problem.
pub type Warning = Problem;

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// Problems and warnings of one reading as they are found. Each list ends after
/// [`limits::CONFIG_PROBLEMS`] entries; what comes later is left out.
///
/// Included texts are laid behind the first one, so that a byte names its file too.
#[derive(Debug)]
pub(super) struct Notes<'t> {
    /// By the byte at which they begin.
    sources: Vec<(usize, Cow<'t, str>, Cow<'t, str>)>,
    /// What makes the text unusable.
    pub(super) problems: Vec<Problem>,
    /// What is only worth telling.
    pub(super) warnings: Vec<Warning>,
}

impl<'t> Notes<'t> {
    pub(super) fn new(file: &'t str, text: &'t str) -> Self {
        let sources = vec![(0, Cow::Borrowed(file), Cow::Borrowed(text))];
        Self { sources, problems: Vec::new(), warnings: Vec::new() }
    }

    /// Lays an included text behind the others; gives the byte at which it begins.
    pub(super) fn add_source(&mut self, file: String, text: String) -> usize {
        let base = self.sources.last().map_or(0, |(base, _, text)| base + text.len() + 1);
        self.sources.push((base, Cow::Owned(file), Cow::Owned(text)));
        base
    }

    /// Whether another problem would be left out.
    pub(super) fn is_full(&self) -> bool {
        self.problems.len() >= limits::CONFIG_PROBLEMS
    }

    /// A mistake at byte `at` of the text.
    pub(super) fn problem_at(&mut self, at: usize, key: &str, message: impl Into<String>) {
        if !self.is_full() {
            let problem = self.locate(at, key, message.into());
            self.problems.push(problem);
        }
    }

    /// A warning at byte `at` of the text.
    pub(super) fn warning_at(&mut self, at: usize, key: &str, message: impl Into<String>) {
        if self.warnings.len() < limits::CONFIG_PROBLEMS {
            let warning = self.locate(at, key, message.into());
            self.warnings.push(warning);
        }
    }

    /// A mistake in the value of `field`.
    pub(super) fn problem(&mut self, field: &Field<'_>, message: impl Into<String>) {
        self.problem_at(field.node.at, &field.key, message);
    }

    /// A warning about the value of `field`.
    pub(super) fn warning(&mut self, field: &Field<'_>, message: impl Into<String>) {
        self.warning_at(field.node.at, &field.key, message);
    }

    fn locate(&self, at: usize, key: &str, message: String) -> Problem {
        let source = self.sources.iter().rev().find(|(base, _, _)| *base <= at);
        let (base, file, text) = source.map_or((0, "", ""), |(base, file, text)| (*base, &**file, &**text));
        let before = text.get(..at.saturating_sub(base)).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Problem {
            file: file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).map_or(0, |line| line.chars().count()) + 1,
            key: key.to_owned(),
            message,
        }
    }
}
