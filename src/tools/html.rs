//! The text of an HTML page, for a model to read: without tags, scripts and styles, headings and links kept. It is no
//! parser: whatever comes in, text comes out, at most as long.

/// Elements whose content nobody reads.
const SILENT: [&str; 8] = ["script", "style", "noscript", "template", "svg", "head", "iframe", "canvas"];
/// Elements that begin a line.
const BLOCKS: [&str; 24] = [
    "p",
    "div",
    "br",
    "li",
    "ul",
    "ol",
    "tr",
    "table",
    "section",
    "article",
    "header",
    "footer",
    "main",
    "nav",
    "aside",
    "blockquote",
    "pre",
    "form",
    "figure",
    "dt",
    "dd",
    "hr",
    "option",
    "title",
];
/// Entities by name; the rest stay as they are.
const ENTITIES: [(&str, &str); 14] = [
    ("amp", "&"),
    ("lt", "<"),
    ("gt", ">"),
    ("quot", "\""),
    ("apos", "'"),
    ("nbsp", " "),
    ("mdash", "\u{2014}"),
    ("ndash", "\u{2013}"),
    ("hellip", "\u{2026}"),
    ("copy", "\u{a9}"),
    ("euro", "\u{20ac}"),
    ("bull", "\u{2022}"),
    ("lsquo", "\u{2018}"),
    ("rsquo", "\u{2019}"),
];

/// The text.
#[must_use]
pub(super) fn text(html: &str) -> String {
    let mut out = Lines::default();
    let mut rest = html;
    // Each is looked for once: a page must not make this take long.
    let last_end = html.rfind('>').map_or(usize::MAX, |at| html.len() - at);
    let mut has_title = false;
    while !rest.is_empty() {
        let Some(at) = rest.find('<') else {
            out.add(rest);
            break;
        };
        let (before, tag) = rest.split_at_checked(at).unwrap_or((rest, ""));
        out.add(before);
        if let Some(comment) = tag.strip_prefix("<!--") {
            rest = comment.split_once("-->").map_or("", |(_, after)| after);
            continue;
        }
        let is_tag = |tag: &&str| tag.starts_with(|c: char| c.is_ascii_alphabetic() || "/!?".contains(c));
        let inside = tag.get(1..).filter(|tag| tag.len() >= last_end).filter(is_tag);
        let Some((inner, after)) = inside.and_then(|tag| tag.split_once('>')) else {
            // A lone sign is a sign.
            out.add("<");
            rest = tag.get(1..).unwrap_or_default();
            continue;
        };
        rest = after;
        let is_end = inner.starts_with('/');
        let name: String = inner.trim_start_matches('/').chars().take_while(char::is_ascii_alphanumeric).collect();
        let name = name.to_ascii_lowercase();
        if !is_end && SILENT.contains(&name.as_str()) && !inner.ends_with('/') {
            // The title is the one thing of the head that is read.
            if name == "head" && !std::mem::replace(&mut has_title, true) {
                if let Some(title) = between(rest, "<title", "</title") {
                    out.add(title.split_once('>').map_or("", |(_, title)| title));
                }
            }
            rest = after_end(rest, &name);
            out.line();
            continue;
        }
        let level =
            name.strip_prefix('h').and_then(|digit| digit.parse::<usize>().ok()).filter(|n| (1..=6).contains(n));
        match (level, is_end) {
            (Some(level), false) => {
                out.line();
                out.add(&"#".repeat(level));
                out.add(" ");
            }
            (Some(_), true) => out.line(),
            _ if name == "li" && !is_end => {
                out.line();
                out.add("- ");
            }
            _ if matches!(name.as_str(), "td" | "th") => out.add(" "),
            _ if BLOCKS.contains(&name.as_str()) => out.line(),
            _ => {}
        }
    }
    out.done()
}

/// What stands between two texts, in any case of letters.
fn between<'t>(text: &'t str, start: &str, end: &str) -> Option<&'t str> {
    let begin = find(text, start)? + start.len();
    let rest = text.get(begin..)?;
    rest.get(..find(rest, end)?)
}

/// What stands behind an element's end.
fn after_end<'t>(text: &'t str, name: &str) -> &'t str {
    let Some(at) = find(text, &format!("</{name}")) else { return "" };
    text.get(at..).and_then(|rest| rest.split_once('>')).map_or("", |(_, after)| after)
}

/// Where an ASCII text begins, in any case of letters.
fn find(text: &str, wanted: &str) -> Option<usize> {
    text.as_bytes().windows(wanted.len()).position(|window| window.eq_ignore_ascii_case(wanted.as_bytes()))
}

/// Text without needless blanks and empty lines.
#[derive(Default)]
struct Lines {
    out: String,
    /// Whether a blank is due before the next word.
    blank: bool,
}

impl Lines {
    fn add(&mut self, piece: &str) {
        for c in entities(piece).chars() {
            if c.is_whitespace() {
                self.blank = true;
            } else {
                if self.blank && !self.out.is_empty() && !self.out.ends_with('\n') {
                    self.out.push(' ');
                }
                self.blank = false;
                self.out.push(c);
            }
        }
    }

    fn line(&mut self) {
        self.blank = false;
        if !self.out.is_empty() && !self.out.ends_with('\n') {
            self.out.push('\n');
        }
    }

    fn done(self) -> String {
        self.out.trim().to_owned()
    }
}

/// A piece with its entities as what they mean.
fn entities(piece: &str) -> String {
    let mut out = String::with_capacity(piece.len());
    let mut rest = piece;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let end = after.char_indices().take(12).find(|(_, c)| *c == ';').map(|(at, _)| at);
        let name = end.and_then(|end| after.get(..end));
        match name.and_then(meaning) {
            Some(text) => {
                out.push_str(&text);
                rest = end.and_then(|end| after.get(end + 1..)).unwrap_or_default();
            }
            None => {
                out.push('&');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

fn meaning(name: &str) -> Option<String> {
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => number.parse().ok()?,
        };
        return char::from_u32(code).filter(|c| !c.is_control()).map(String::from);
    }
    ENTITIES.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_page_is_what_a_person_reads() {
        let page = "<!DOCTYPE html><html><head><title>A &amp; B</title><style>x{}</style></head><body><!-- no -->
            <h1>Eggs</h1><p>Two   <b>eggs</b>,<br>boiled &#8211; 5&nbsp;min.</p><script>alert(1 < 2)</script>
            <ul><li>salt</li><li>bread</li></ul>1 < 2</body></html>";
        assert_eq!(text(page), "A & B\n# Eggs\nTwo eggs,\nboiled \u{2013} 5 min.\n- salt\n- bread\n1 < 2");
    }

    #[test]
    fn any_text_gives_a_text_and_never_takes_long() {
        let mut dice = fastrand::Rng::with_seed(5);
        let parts =
            ["<", ">", "</", "script", "<p>", "&", "&#", "x41;", "<!--", "-->", "é", " ", "head", "<title", "a", "\""];
        for _ in 0..3000 {
            let page: String = (0..dice.usize(0..40)).map(|_| parts[dice.usize(0..parts.len())]).collect();
            let _ = text(&page);
        }
        assert_eq!(text(&"<".repeat(1_000_000)).len(), 1_000_000);
        assert_eq!(text(&"<head></head>".repeat(100_000)), "");
    }
}
