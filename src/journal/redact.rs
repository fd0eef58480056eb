//! Hides secrets in a log line: those it was told, and whatever has the form of one
//! (INTEGRATIONS.md section 7, test 24).
//!
//! It may hide too much, which costs a word of a log line; it must not hide too little.

use crate::limits;
use crate::secret::Secret;

/// What stands in a line instead of a secret.
const MARK: &str = "[secret]";
/// Shorter secrets are not searched for: they would be found in ordinary words.
const SECRET_BYTES_MIN: usize = 6;
/// Fewest characters of a provider key after `sk-`.
const KEY_CHARACTERS: usize = 12;
/// Fewest characters after `Bearer `.
const BEARER_CHARACTERS: usize = 8;
/// Fewest characters of a bot token after its number and colon.
const BOT_TOKEN_CHARACTERS: usize = 30;
/// Fewest characters of a value after `token: `, which is also how people write sentences.
const SPOKEN_VALUE_CHARACTERS: usize = 8;

/// Names whose value is a secret, in lower case.
const NAMES: &[&str] =
    &["token", "password", "passwd", "secret", "apikey", "api_key", "api-key", "authorization", "access_key"];

/// The secrets that are known by their text, longest first.
#[derive(Default)]
pub(super) struct Known(Vec<Secret>);

impl Known {
    /// Adds secrets. Short ones and those beyond [`limits::LOG_SECRETS`] are left out.
    pub(super) fn add(&mut self, secrets: &[Secret]) {
        for secret in secrets {
            let known = self.0.iter().any(|other| other.expose() == secret.expose());
            if secret.expose().len() >= SECRET_BYTES_MIN && !known && self.0.len() < limits::LOG_SECRETS {
                self.0.push(secret.clone());
            }
        }
        self.0.sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
    }

    /// The line without secrets.
    pub(super) fn hide(&self, line: &str) -> String {
        let mut line = line.to_owned();
        for secret in &self.0 {
            if line.contains(secret.expose()) {
                line = line.replace(secret.expose(), MARK);
            }
        }
        hide_forms(&line)
    }
}

/// The line without anything that has the form of a secret.
fn hide_forms(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    let mut before = ' ';
    while let Some(first) = rest.chars().next() {
        // A secret from here on: so much stays, so much is hidden.
        let found = if before.is_ascii_alphanumeric() {
            named_value(rest)
        } else {
            secret_form(rest).or_else(|| named_value(rest))
        };
        let (keep, hide) = found.unwrap_or_else(|| (first.len_utf8(), 0));
        out.push_str(rest.get(..keep).unwrap_or_default());
        if hide > 0 {
            out.push_str(MARK);
        }
        before = if hide > 0 { ' ' } else { first };
        rest = rest.get(keep + hide..).unwrap_or_default();
    }
    out
}

/// Provider keys, bearer tokens and bot tokens at the start of `rest`: bytes to keep, bytes to hide.
fn secret_form(rest: &str) -> Option<(usize, usize)> {
    if let Some(key) = rest.strip_prefix("sk-") {
        let length = run(key, is_key_character);
        return (length >= KEY_CHARACTERS).then_some((3, length));
    }
    if starts_with_word(rest, "bearer ") {
        let length = run(rest.get(7..)?, |c| !c.is_whitespace() && !matches!(c, '"' | '\'' | ','));
        return (length >= BEARER_CHARACTERS).then_some((7, length));
    }
    let digits = run(rest, |c| c.is_ascii_digit());
    if digits > 0 {
        let length = run(rest.get(digits..)?.strip_prefix(':')?, is_key_character);
        return (length >= BOT_TOKEN_CHARACTERS).then_some((0, digits + 1 + length));
    }
    None
}

/// `token=…`, `"apiKey": "…"`, `password: …` at the start of `rest`: bytes to keep, bytes to hide.
fn named_value(rest: &str) -> Option<(usize, usize)> {
    let name = NAMES.iter().find(|name| starts_with_word(rest, name))?;
    let after = rest.get(name.len()..)?;
    let after = after.strip_prefix('\\').unwrap_or(after);
    let quoted_name = after.strip_prefix(['"', '\'']);
    let after = quoted_name.unwrap_or(after).trim_start_matches(' ');
    let (sign, value) = (after.chars().next()?, after.get(1..)?);
    if !matches!(sign, '=' | ':') {
        return None;
    }
    let spaced = value.starts_with(' ');
    let value = value.trim_start_matches(' ');
    let value = value.strip_prefix('\\').unwrap_or(value);
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
    let value = quote.and_then(|quote| value.strip_prefix(quote)).unwrap_or(value);
    let scheme = ["bearer ", "basic "].iter().find(|scheme| starts_with_word(value, scheme)).map_or(0, |s| s.len());
    let length = scheme
        + run(value.get(scheme..)?, |c| match quote {
            Some(quote) => c != quote && c != '\\',
            None => !c.is_whitespace() && !matches!(c, ',' | ';' | '&' | ')' | '}' | ']' | '"' | '\''),
        });
    // "gateway.auth.token: the variable …" is a sentence, "token: a8f3…" is not.
    let sentence = sign == ':' && spaced && quote.is_none() && quoted_name.is_none() && scheme == 0;
    let hidden = value.get(..length)?;
    if hidden.is_empty()
        || (sentence && (length < SPOKEN_VALUE_CHARACTERS || !hidden.contains(|c: char| c.is_ascii_digit())))
    {
        return None;
    }
    Some((rest.len() - value.len(), length))
}

fn starts_with_word(text: &str, lower: &str) -> bool {
    text.get(..lower.len()).is_some_and(|start| start.eq_ignore_ascii_case(lower))
}

fn is_key_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
}

/// Bytes at the start of `text` whose characters fit.
fn run(text: &str, fits: impl Fn(char) -> bool) -> usize {
    text.find(|c| !fits(c)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_by_their_form() {
        for (line, expected) in [
            ("key sk-ant-api03-abcdefghijklmnop end", "key sk-[secret] end"),
            ("task-abcdefghijklmnop stays", "task-abcdefghijklmnop stays"),
            ("Authorization: Bearer abcdefgh.ijk", "Authorization: [secret]"),
            ("sent bearer AbCdEfGhIj, done", "sent bearer [secret], done"),
            ("the bearer is me", "the bearer is me"),
            ("bot 123456:AAbbCCddEEffGGhhIIjjKKllMMnnOOpp says", "bot [secret] says"),
            ("at 12:30 nothing", "at 12:30 nothing"),
            ("/ws?token=abc&x=1", "/ws?token=[secret]&x=1"),
            ("{\"apiKey\": \"a b\", \"x\": 1}", "{\"apiKey\": \"[secret]\", \"x\": 1}"),
            ("{\\\"password\\\":\\\"pw\\\"}", "{\\\"password\\\":\\\"[secret]\\\"}"),
            ("gatewayToken=x1 PASSWORD='p w' ok", "gatewayToken=[secret] PASSWORD='[secret]' ok"),
            ("token: 3f9c0b7a51de", "token: [secret]"),
            ("gateway.auth.token: the environment variable", "gateway.auth.token: the environment variable"),
            ("1200 tokens: fine", "1200 tokens: fine"),
            ("unauthorized: gateway token mismatch (x)", "unauthorized: gateway token mismatch (x)"),
            ("", ""),
        ] {
            assert_eq!(hide_forms(line), expected, "{line}");
        }
    }

    #[test]
    fn registered_secrets_are_hidden_wherever_they_stand() {
        let mut known = Known::default();
        known.add(&[Secret::new("herring"), Secret::new("herring-and-cod"), Secret::new("abc")]);
        assert_eq!(known.hide("xherring-and-cody herring abc"), "x[secret]y [secret] abc");
    }

    #[test]
    fn no_line_panics_and_plain_text_stays() {
        let plain = "größe 5 → 6; token or password? „authorization“ 🦀:=";
        assert_eq!(hide_forms(plain), plain);
        let line = "token=\"ü\\\" sk-é apikey:'🦀 Bearer ü 12:ü secret=";
        for (start, _) in line.char_indices() {
            for (end, _) in line.char_indices().filter(|(end, _)| *end >= start) {
                let _ = hide_forms(&line[start..end]);
            }
        }
    }
}
