//! The configuration text as a tree whose every value knows its place in the file.
//!
//! It knows JSON5 as far as the parser does (comments, trailing commas, bare keys, single quotes)
//! and no key of ours.

use jsonc_parser::ast::Value as Ast;
use jsonc_parser::common::Ranged as _;
use jsonc_parser::tokens::Token;
use jsonc_parser::{CollectOptions, ParseOptions, Scanner, parse_to_ast};
use serde_json::Value;

use super::problem::Notes;
use crate::limits;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// Byte in the text.
    pub(super) at: usize,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    Null,
    Flag(bool),
    /// As written.
    Number(String),
    Text(String),
    /// A text in which `${NAME}` was replaced: it may hold a secret and is never shown.
    Filled(String),
    List(Vec<Node>),
    Object(Vec<Entry>),
}

/// One key of an object.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Byte of the key in the text.
    pub(super) at: usize,
    pub(super) name: String,
    pub(super) value: Node,
}

impl Node {
    /// An object that nobody wrote.
    pub(super) fn empty() -> Self {
        Self { at: 0, kind: Kind::Object(Vec::new()) }
    }

    /// The value of a key, made as an empty object if it isn't there. `None` for what isn't an object.
    pub(super) fn object_mut(&mut self, name: &str, at: usize) -> Option<&mut Self> {
        let Kind::Object(entries) = &mut self.kind else { return None };
        let index = entries.iter().position(|entry| entry.name == name).unwrap_or(entries.len());
        if index == entries.len() {
            entries.push(Entry { at, name: name.to_owned(), value: Self { at, ..Self::empty() } });
        }
        entries.get_mut(index).map(|entry| &mut entry.value)
    }

    /// The same as plain JSON.
    pub(super) fn to_json(&self) -> Value {
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Flag(flag) => Value::Bool(*flag),
            Kind::Number(text) => text.parse().map_or_else(|_| Value::String(text.clone()), Value::Number),
            Kind::Text(text) | Kind::Filled(text) => Value::String(text.clone()),
            Kind::List(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            Kind::Object(entries) => {
                Value::Object(entries.iter().map(|entry| (entry.name.clone(), entry.value.to_json())).collect())
            }
        }
    }

    /// What it is, for "found …"; never a text that came from the environment.
    pub(super) fn describe(&self) -> String {
        match &self.kind {
            Kind::Number(text) => text.clone(),
            Kind::Flag(flag) => flag.to_string(),
            Kind::Text(text) if text.chars().count() <= 60 => format!("{text:?}"),
            _ => self.describe_type().to_owned(),
        }
    }

    /// What type it has, for the messages about secrets.
    pub(super) fn describe_type(&self) -> &'static str {
        match &self.kind {
            Kind::Null => "null",
            Kind::Flag(_) => "true or false",
            Kind::Number(_) => "a number",
            Kind::Text(_) => "a text",
            Kind::Filled(_) => "a text filled in from the environment",
            Kind::List(_) => "a list",
            Kind::Object(_) => "an object",
        }
    }
}

/// A value together with its full key.
#[derive(Debug, Clone)]
pub(super) struct Field<'n> {
    pub(super) node: &'n Node,
    pub(super) key: String,
}

impl<'n> Field<'n> {
    pub(super) fn root(node: &'n Node) -> Self {
        Self { node, key: String::new() }
    }

    /// The value below, `auth.token` for two steps.
    pub(super) fn find(&self, path: &str) -> Option<Self> {
        path.split('.').try_fold(self.clone(), |field, name| {
            let Kind::Object(entries) = &field.node.kind else { return None };
            let entry = entries.iter().find(|entry| entry.name == name)?;
            Some(Self { node: &entry.value, key: join(&field.key, name) })
        })
    }

    pub(super) fn text(&self) -> Option<&'n str> {
        match &self.node.kind {
            Kind::Text(text) | Kind::Filled(text) => Some(text),
            _ => None,
        }
    }

    /// A text without the spaces around it, if anything is left.
    pub(super) fn filled_text(&self) -> Option<&'n str> {
        self.text().map(str::trim).filter(|text| !text.is_empty())
    }

    pub(super) fn whole(&self) -> Option<u64> {
        match &self.node.kind {
            Kind::Number(text) => text.parse().ok(),
            _ => None,
        }
    }

    pub(super) fn number(&self) -> Option<f64> {
        match &self.node.kind {
            Kind::Number(text) => text.parse().ok().filter(|number: &f64| number.is_finite()),
            _ => None,
        }
    }

    pub(super) fn flag(&self) -> Option<bool> {
        match self.node.kind {
            Kind::Flag(flag) => Some(flag),
            _ => None,
        }
    }

    pub(super) fn items(&self) -> Vec<Self> {
        match &self.node.kind {
            Kind::List(items) => items
                .iter()
                .enumerate()
                .map(|(index, node)| Self { node, key: join(&self.key, &index.to_string()) })
                .collect(),
            _ => Vec::new(),
        }
    }

    pub(super) fn entries(&self) -> Vec<(&'n str, Self)> {
        match &self.node.kind {
            Kind::Object(entries) => entries
                .iter()
                .map(|entry| (entry.name.as_str(), Self { node: &entry.value, key: join(&self.key, &entry.name) }))
                .collect(),
            _ => Vec::new(),
        }
    }
}

/// A key below a key.
pub(super) fn join(key: &str, name: &str) -> String {
    if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") }
}

/// Reads the text that begins at byte `base` of the notes. Syntax errors become one problem (there
/// is no sensible second one).
pub(super) fn read(text: &str, base: usize, notes: &mut Notes<'_>) -> Option<Node> {
    match read_any(text, base) {
        Ok(None) => Some(Node::empty()),
        Ok(Some(node)) if matches!(node.kind, Kind::Object(_)) => Some(node),
        Ok(Some(node)) => {
            notes.problem_at(node.at, "", format!("expected an object in braces, found {}", node.describe_type()));
            None
        }
        Err((at, message)) => {
            notes.problem_at(base + at, "", message);
            None
        }
    }
}

/// Reads a text whose outermost value may be anything; `None` when there is only blank.
///
/// # Errors
/// The first byte that is wrong, counted in the text itself, and why.
pub(super) fn read_any(text: &str, base: usize) -> Result<Option<Node>, (usize, String)> {
    parsed(text, |value| value.map(|value| convert(value, base)))
}

/// Parses the text and hands its outermost value on; places in it are bytes of the text.
///
/// # Errors
/// The first byte that is wrong, and why.
pub(super) fn parsed<T>(text: &str, use_it: impl FnOnce(Option<Ast<'_>>) -> T) -> Result<T, (usize, String)> {
    // A byte order mark is no whitespace to the parser; blanks of the same length keep the places.
    let blanked = text.strip_prefix('\u{feff}').map(|rest| format!("   {rest}"));
    let text = blanked.as_deref().unwrap_or(text);
    scan(text)?;
    match parse_to_ast(text, &CollectOptions::default(), &ParseOptions::default()) {
        Ok(parsed) => Ok(use_it(parsed.value)),
        Err(error) => Err((error.range().start, explain(text, &error))),
    }
}

/// Goes through the tokens first, because the parser calls itself for every level of nesting and
/// because it takes two values without a comma between them.
fn scan(text: &str) -> Result<(), (usize, String)> {
    let mut scanner = Scanner::new(text);
    let mut depth = 0_usize;
    let mut before: Option<(Token<'_>, usize)> = None;
    loop {
        let token = match scanner.scan() {
            Ok(Some(token)) => token,
            Ok(None) => return Ok(()),
            Err(error) => {
                let start = error.range().start;
                let hex = before.as_ref().is_some_and(|(token, end)| *end == start && is_hex(token, text.get(start..)));
                return Err((start, if hex { HEX.to_owned() } else { explain(text, &error) }));
            }
        };
        let at = scanner.token_start();
        match token {
            Token::OpenBrace | Token::OpenBracket => depth += 1,
            Token::CloseBrace | Token::CloseBracket => depth = depth.saturating_sub(1),
            Token::CommentLine(_) | Token::CommentBlock(_) => continue,
            _ => {}
        }
        if depth > limits::JSON_DEPTH {
            return Err((at, format!("nested deeper than {} levels", limits::JSON_DEPTH)));
        }
        if let Some((previous, end)) = before.filter(|(token, _)| ends_value(token)).filter(|_| starts_value(&token)) {
            let message = match (&previous, &token) {
                (number, _) if at == end && is_hex(number, text.get(at..)) => HEX,
                (Token::Number(_), Token::Number(_)) if at == end => "numbers are written without leading zeros",
                _ => "a comma (or a colon) is missing before this",
            };
            return Err((at, message.to_owned()));
        }
        before = Some((token, scanner.token_end()));
    }
}

/// The message about `0x10`.
const HEX: &str = "hexadecimal numbers are not accepted; write it as a decimal number";

/// Whether `rest` makes the number before it a hexadecimal one.
fn is_hex(before: &Token<'_>, rest: Option<&str>) -> bool {
    matches!(before, Token::Number("0" | "-0")) && rest.is_some_and(|rest| rest.starts_with(['x', 'X']))
}

fn ends_value(token: &Token<'_>) -> bool {
    matches!(
        token,
        Token::String(_)
            | Token::Number(_)
            | Token::Boolean(_)
            | Token::Null
            | Token::Word(_)
            | Token::CloseBrace
            | Token::CloseBracket
    )
}

fn starts_value(token: &Token<'_>) -> bool {
    matches!(
        token,
        Token::String(_)
            | Token::Number(_)
            | Token::Boolean(_)
            | Token::Null
            | Token::Word(_)
            | Token::OpenBrace
            | Token::OpenBracket
    )
}

/// The parser's message, with a hint for JSON5 that it doesn't know.
fn explain(text: &str, error: &jsonc_parser::errors::ParseError) -> String {
    use jsonc_parser::ParseStringErrorKind::{InvalidEscape, InvalidUnicodeEscapeSequence};
    use jsonc_parser::errors::ParseErrorKind::{String, UnexpectedToken, UnexpectedWord};
    let first = text.get(error.range().start..).and_then(|rest| rest.chars().next());
    match (error.kind(), first) {
        (UnexpectedToken, Some('+')) => "numbers are written without a plus sign".to_owned(),
        (UnexpectedToken, Some('.')) => "numbers begin with a digit: write 0.5, not .5".to_owned(),
        (UnexpectedToken, Some(first)) if first.is_alphabetic() || matches!(first, '_' | '$') => {
            "this word has to be in quotes (a bare key holds only letters, digits and `-`)".to_owned()
        }
        (UnexpectedWord, _) => "a text has to be in quotes".to_owned(),
        (String(InvalidEscape | InvalidUnicodeEscapeSequence(_)), _) => {
            format!("{}; write the character itself", error.kind())
        }
        (kind, _) => kind.to_string(),
    }
}

fn convert(value: Ast<'_>, base: usize) -> Node {
    let at = base + value.start();
    let kind = match value {
        Ast::NullKeyword(_) => Kind::Null,
        Ast::BooleanLit(literal) => Kind::Flag(literal.value),
        Ast::NumberLit(literal) => Kind::Number(literal.value.to_owned()),
        Ast::StringLit(literal) => Kind::Text(literal.value.into_owned()),
        Ast::Array(array) => Kind::List(array.elements.into_iter().map(|item| convert(item, base)).collect()),
        Ast::Object(object) => Kind::Object(
            object
                .properties
                .into_iter()
                .map(|property| Entry {
                    at: base + property.name.start(),
                    name: property.name.into_string(),
                    value: convert(property.value, base),
                })
                .collect(),
        ),
    };
    Node { at, kind }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(text: &str) -> Result<Value, String> {
        let mut notes = Notes::new("f", text);
        let node = read(text, 0, &mut notes);
        node.map(|node| node.to_json()).ok_or_else(|| notes.problems[0].to_string())
    }

    #[test]
    fn comments_trailing_commas_bare_keys_and_single_quotes_are_read() {
        let text = "\u{feff}{ // one\n a: 'x', /* two */ \"b-c\": [1, true, null,],\n}";
        assert_eq!(parse(text).unwrap(), json!({"a": "x", "b-c": [1, true, null]}));
        assert_eq!(parse("").unwrap(), json!({}));
        assert_eq!(parse("// nothing\n").unwrap(), json!({}));
    }

    #[test]
    fn every_syntax_error_names_its_line_and_column() {
        for (text, expected) in [
            ("{\n  a: 0x10\n}", "f:2:7: hexadecimal"),
            ("{\n  a: +5\n}", "f:2:6: numbers are written without a plus sign"),
            ("{ a: .5 }", "f:1:6: numbers begin with a digit"),
            ("{ a: 05 }", "f:1:7: numbers are written without leading zeros"),
            ("{ A_B: 1 }", "f:1:3: this word has to be in quotes"),
            ("{ a: yes }", "f:1:6: a text has to be in quotes"),
            ("{ a: 1 b: 2 }", "f:1:8: a comma"),
            ("{ a: 1", "f:1:1: Unterminated object"),
            ("{ a: 'x", "f:1:6: Unterminated string"),
            ("[]", "f:1:1: expected an object"),
            (r#"{ a: "\ud83e\udd9e" }"#, "f:1:7: Invalid unicode escape"),
        ] {
            let found = parse(text).unwrap_err();
            assert!(found.starts_with(expected), "{text:?}: {found}");
        }
    }

    #[test]
    fn deep_nesting_is_refused_before_it_can_use_up_the_stack() {
        let text = format!("{{a:{}", "[".repeat(200_000));
        assert!(parse(&text).unwrap_err().contains("nested deeper than 128 levels"));
    }

    #[test]
    fn no_beginning_of_a_valid_text_panics() {
        let text = "{a:'\\u00e9\\n',\"ö\":[-1.5e+3,{x:null}],/*c*/b:true}//e";
        for (end, _) in text.char_indices() {
            let _ = parse(&text[..end]);
        }
    }
}
