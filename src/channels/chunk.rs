//! Splits a text into messages of a service's length: between paragraphs where it can, else between
//! lines, else between words, and within a word only when the word alone is too long. A code fence that
//! is split is closed and opened again. It never loses a character but blanks at the seams.

use crate::config::channels::ChunkMode;
use crate::limits::DELIVERY_PARTS;

/// Begins and ends a code block.
const FENCE: &str = "```";
/// A shorter limit leaves fences alone: there is no room for their marks.
const FENCE_CHARS_MIN: usize = 32;
/// What stands at the end of a text that was cut.
const CUT: &str = "\n[…]";
/// Longest name of a language behind a fence.
const LANGUAGE_BYTES: usize = 16;

/// The parts of `text`, each of at most `chars_max` characters; none when there is nothing but blanks. A text
/// that doesn't [fit](fits) is cut, with a mark at its end.
#[must_use]
pub fn split(text: &str, chars_max: usize, mode: ChunkMode) -> Vec<String> {
    let chars_max = chars_max.max(1);
    let cut = text.char_indices().nth(chars_most(chars_max)).map(|(at, _)| at);
    let shortened = cut.map(|at| format!("{}{CUT}", text.get(..at).unwrap_or_default()));
    let text = shortened.as_deref().unwrap_or(text);
    let blocks = match mode {
        ChunkMode::Newline => Some(paragraphs(text)).filter(|blocks| blocks.len() <= DELIVERY_PARTS),
        ChunkMode::Length => None,
    };
    let blocks = blocks.unwrap_or_else(|| vec![text.to_owned()]);
    let parts = blocks.iter().flat_map(|block| split_block(block, chars_max));
    parts.filter(|part| !part.trim().is_empty()).collect()
}

/// Whether a text goes whole into the parts that one message may have.
#[must_use]
pub fn fits(text: &str, chars_max: usize) -> bool {
    text.char_indices().nth(chars_most(chars_max.max(1))).is_none()
}

/// Characters of a message in full parts, with a tenth left for fences and seams.
fn chars_most(chars_max: usize) -> usize {
    let all = chars_max.saturating_mul(DELIVERY_PARTS);
    all - all / 10
}

/// Paragraphs; blank lines within a code block separate nothing.
fn paragraphs(text: &str) -> Vec<String> {
    let mut out = vec![String::new()];
    let mut in_fence = false;
    for line in text.split_inclusive('\n') {
        in_fence ^= is_fence(line);
        match out.last_mut() {
            Some(current) if in_fence || !line.trim().is_empty() => current.push_str(line),
            Some(current) if !current.is_empty() => out.push(String::new()),
            _ => {}
        }
    }
    out.into_iter().map(|paragraph| paragraph.trim_end().to_owned()).collect()
}

fn split_block(text: &str, chars_max: usize) -> Vec<String> {
    let mut parts = Vec::new();
    let mut rest = text.to_owned();
    while rest.char_indices().nth(chars_max).is_some() {
        // The mark that closes a fence has to fit too.
        let room =
            if rest.contains(FENCE) && chars_max >= FENCE_CHARS_MIN { chars_max - FENCE.len() - 1 } else { chars_max };
        let at = seam(&rest, room);
        let (head, tail) = rest.split_at(at);
        let open = open_fence(head).filter(|_| chars_max >= FENCE_CHARS_MIN);
        let mut head = head.trim_end().to_owned();
        let tail = if open.is_some() { tail.trim_start_matches('\n') } else { tail.trim_start() };
        let next = match &open {
            // A tail that ends the fence at once needs no other one.
            Some(_) if tail.lines().next().is_some_and(|line| line.trim() == FENCE) => after_line(tail).to_owned(),
            Some(mark) => format!("{mark}\n{tail}"),
            None => tail.to_owned(),
        };
        if open.is_some() {
            head.push('\n');
            head.push_str(FENCE);
        }
        // A fence mark alone would come back for ever.
        let is_progress = next.len() < rest.len();
        parts.push(head);
        rest = if is_progress { next } else { tail.to_owned() };
    }
    parts.push(rest.trim_end().to_owned());
    parts
}

/// The byte at which the first `chars_max` characters are best cut.
fn seam(text: &str, chars_max: usize) -> usize {
    let end = text.char_indices().nth(chars_max).map_or(text.len(), |(at, _)| at);
    let window = text.get(..end).unwrap_or(text);
    // The character behind the window may be the blank at which it ends well.
    let next_is = |what: fn(char) -> bool| text.get(end..).and_then(|rest| rest.chars().next()).is_some_and(what);
    // A seam in the first quarter would make many small messages.
    let least = window.len() / 4;
    let late = |at: Option<usize>| at.filter(|at| *at > least);
    if let Some(at) = late(window.rfind("\n\n")) {
        return at;
    }
    if next_is(|c| c == '\n') {
        return end;
    }
    if let Some(at) = late(window.rfind('\n')) {
        return at;
    }
    if next_is(char::is_whitespace) {
        return end;
    }
    late(window.rfind(char::is_whitespace)).unwrap_or(end)
}

/// The mark that opens a code block again which is still open at the end of `text`.
fn open_fence(text: &str) -> Option<String> {
    text.lines().filter(|line| is_fence(line)).fold(None, |open: Option<String>, line| match open {
        None => {
            let language = line.trim().trim_start_matches('`');
            let is_language =
                language.len() <= LANGUAGE_BYTES && language.bytes().all(|byte| byte.is_ascii_alphanumeric());
            Some(format!("{FENCE}{}", if is_language { language } else { "" }))
        }
        Some(_) => None,
    })
}

fn is_fence(line: &str) -> bool {
    line.trim_start().starts_with(FENCE)
}

fn after_line(text: &str) -> &str {
    text.split_once('\n').map_or("", |(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::Chance;

    fn parts(text: &str, max: usize) -> Vec<String> {
        split(text, max, ChunkMode::Length)
    }

    #[test]
    fn seams_are_paragraphs_then_lines_then_words_then_characters() {
        assert_eq!(parts("one two\n\nthree four", 12), ["one two", "three four"]);
        assert_eq!(parts("one two\nthree four", 12), ["one two", "three four"]);
        assert_eq!(parts("one two three four", 9), ["one two", "three", "four"]);
        assert_eq!(parts("äöüäöüäöü", 4), ["äöüä", "öüäö", "ü"]);
        assert_eq!(parts(&"x".repeat(9000), 4000).iter().map(String::len).collect::<Vec<_>>(), [4000, 4000, 1000]);
        assert_eq!(parts("short", 4000), ["short"]);
        assert!(parts(" \n ", 10).is_empty());
    }

    #[test]
    fn a_split_code_block_is_closed_and_opened_again() {
        let text = format!("Look:\n```rust\n{}```\nDone.", "let a = 1;\n".repeat(12));
        let parts = parts(&text, 80);
        assert!(parts.len() > 1);
        for part in &parts {
            assert!(part.chars().count() <= 80, "{part:?}");
            assert_eq!(part.matches(FENCE).count() % 2, 0, "{part:?}");
        }
        assert!(parts[1].starts_with("```rust\n"));
        assert_eq!(parts.concat().matches("let a = 1;").count(), 12);
    }

    #[test]
    fn each_paragraph_is_a_message_when_the_owner_says_so() {
        let text = "a\nb\n\nc\n\n```\nx\n\ny\n```";
        assert_eq!(split(text, 100, ChunkMode::Newline), ["a\nb", "c", "```\nx\n\ny\n```"]);
    }

    #[test]
    fn nothing_but_blanks_and_fence_marks_is_ever_added_or_lost() {
        let chance = Chance::seeded(11);
        let words = ["ä", "wöd", "```", "```rs\n", "\n", "\n\n", " ", "lönge-wood", "🦀"];
        for _ in 0..2000 {
            let text: String =
                (0..chance.below(60)).map(|_| words[usize::try_from(chance.below(9)).unwrap()]).collect();
            let max = usize::try_from(16 + chance.below(50)).unwrap();
            let parts = parts(&text, max);
            // Fence marks and the language behind them are said again; no word here has its letters.
            let bare = |text: &str| -> String {
                text.chars().filter(|c| !c.is_whitespace() && !matches!(c, '`' | 'r' | 's')).collect()
            };
            assert_eq!(bare(&parts.join("\n")), bare(&text), "{text:?} at {max}");
            assert!(parts.iter().all(|part| part.chars().count() <= max), "{text:?} at {max}: {parts:?}");
        }
    }
}
