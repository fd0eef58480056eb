//! What stands in HEARTBEAT.md, and what an agent's answer to a heartbeat comes to. Pure.

/// The answer of an agent that has nothing to say.
const TOKEN: &str = "HEARTBEAT_OK";

/// What an agent's answer comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// There is none.
    Nothing,
    /// That there is nothing to say.
    Token,
    /// This.
    Something(String),
}

/// An answer with the token in it and at most `max` other characters says nothing.
pub(super) fn said(texts: &[String], max: usize) -> Said {
    let text = texts.iter().rev().map(|text| text.trim()).find(|text| !text.is_empty());
    let Some(text) = text else { return Said::Nothing };
    // The token may be wrapped in markup: bold, code, a tag.
    let bare = text.trim_matches(|c: char| !c.is_alphanumeric() && c != '_');
    let rest =
        bare.strip_prefix(TOKEN).or_else(|| bare.strip_suffix(TOKEN)).or_else(|| text.contains(TOKEN).then_some(text));
    match rest {
        Some(rest) if rest.replace(TOKEN, "").trim().chars().count() <= max => Said::Token,
        Some(rest) if rest.len() < text.len() => Said::Something(rest.trim().to_owned()),
        _ => Said::Something(text.to_owned()),
    }
}

/// Whether an answer is only the token, which goes to nobody.
#[must_use]
pub(super) fn is_token(text: &str) -> bool {
    said(&[text.to_owned()], 0) == Said::Token
}

/// Whether a list of tasks has more than headings, blank lines and empty list items.
pub(super) fn has_tasks(text: &str) -> bool {
    text.lines().map(str::trim).any(|line| {
        let item = line.trim_start_matches(['-', '*', '+']).trim();
        let is_heading = line.starts_with('#') && line.trim_start_matches('#').starts_with([' ', '\t']);
        let is_bare = line.trim_matches('#').is_empty();
        !(is_heading || is_bare || item.is_empty() || matches!(item, "[ ]" | "[x]" | "[X]" | "[]"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, max: usize) -> Said {
        said(&[text.to_owned()], max)
    }

    #[test]
    fn the_token_alone_wrapped_or_with_few_words_says_nothing() {
        for text in
            ["HEARTBEAT_OK", "**HEARTBEAT_OK**", "`HEARTBEAT_OK`.", "<b>HEARTBEAT_OK</b>", "HEARTBEAT_OK all fine"]
        {
            assert_eq!(of(text, 20), Said::Token, "{text}");
        }
        assert_eq!(of("  ", 300), Said::Nothing);
        assert_eq!(of("The oven is on!", 300), Said::Something("The oven is on!".into()));
        let long = format!("{} HEARTBEAT_OK", "word ".repeat(100));
        assert_eq!(of(&long, 300), Said::Something("word ".repeat(100).trim().into()));
        assert!(is_token(" HEARTBEAT_OK ") && !is_token("HEARTBEAT_OK but the oven is on"));
    }

    #[test]
    fn headings_blank_lines_and_empty_items_are_no_tasks() {
        assert!(!has_tasks("# HEARTBEAT.md\n\n## Tasks\n-\n* \n- [ ]\n#\n"));
        assert!(has_tasks("# Tasks\n- water the plants\n"));
        assert!(has_tasks("#no heading"));
    }
}
