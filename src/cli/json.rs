//! JSON for people and for pipes, without touching order or numbers. It doesn't validate: what comes
//! in has been parsed before.

/// How JSON is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Two blanks a level.
    Indented,
    /// One line.
    OneLine,
}

/// The same JSON in another layout.
#[must_use]
pub fn laid_out(json: &str, layout: Layout) -> String {
    let mut out = String::with_capacity(json.len());
    let mut depth = 0_usize;
    let mut in_text = false;
    let mut escaped = false;
    // These three can't stand unescaped within a text.
    let mut characters = json.chars().filter(|c| !matches!(c, '\n' | '\r' | '\t')).peekable();
    while let Some(c) = characters.next() {
        if in_text {
            out.push(c);
            in_text = escaped || c != '"';
            escaped = c == '\\' && !escaped;
            continue;
        }
        if c == ' ' {
            continue;
        }
        if matches!(c, '}' | ']') {
            depth = depth.saturating_sub(1);
            if !out.ends_with(['{', '[']) {
                break_line(&mut out, depth, layout);
            }
        }
        out.push(c);
        match c {
            '"' => in_text = true,
            '{' | '[' => {
                depth += 1;
                while characters.next_if_eq(&' ').is_some() {}
                if !matches!(characters.peek(), Some('}' | ']')) {
                    break_line(&mut out, depth, layout);
                }
            }
            ',' => break_line(&mut out, depth, layout),
            ':' if layout == Layout::Indented => out.push(' '),
            _ => {}
        }
    }
    out
}

fn break_line(out: &mut String, depth: usize, layout: Layout) {
    if layout == Layout::Indented {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_numbers_and_texts_survive_both_layouts() {
        let json = "{\"z\": 1.50, \"a\":[ ],\n \"t\":\"x: {,\\\"}\\\\\",\"o\":{ },\"n\":[1e3, {\"k\":null}]}";
        let one = r#"{"z":1.50,"a":[],"t":"x: {,\"}\\","o":{},"n":[1e3,{"k":null}]}"#;
        assert_eq!(laid_out(json, Layout::OneLine), one);
        let indented = laid_out(json, Layout::Indented);
        assert_eq!(
            indented,
            "{\n  \"z\": 1.50,\n  \"a\": [],\n  \"t\": \"x: {,\\\"}\\\\\",\n  \"o\": {},\n  \"n\": [\n    1e3,\n    {\n      \"k\": null\n    }\n  ]\n}"
        );
        assert_eq!(laid_out(&indented, Layout::OneLine), one);
        assert_eq!(laid_out("null", Layout::Indented), "null");
    }
}
