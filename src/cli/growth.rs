//! An answer that grows: what to print when its whole text comes again and again (methods.md
//! section 5). Pure.

/// What to print next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fresh<'a> {
    /// The text doesn't go on from what was printed: begin a new line first.
    pub starts_over: bool,
    /// The new part; may be empty.
    pub text: &'a str,
}

/// The text printed so far.
#[derive(Debug, Default)]
pub struct Growth {
    shown: String,
}

impl Growth {
    /// Takes the whole text as of now and gives the part that hasn't been printed.
    pub fn show<'a>(&mut self, whole: &'a str) -> Fresh<'a> {
        let fresh = fresh(&self.shown, whole);
        // An empty text opens the next part; what follows it is compared with what stands there.
        if !whole.trim().is_empty() {
            whole.clone_into(&mut self.shown);
        }
        fresh
    }
}

/// A text that differs only in blanks at its ends says nothing new. After a tool call the text starts
/// over, and a final text may replace what the deltas said: then all of it is new.
fn fresh<'a>(shown: &str, whole: &'a str) -> Fresh<'a> {
    let (shown, whole) = (shown.trim_start(), whole.trim_start());
    if let Some(more) = whole.strip_prefix(shown) {
        return Fresh { starts_over: false, text: more };
    }
    if whole.trim_end() == shown.trim_end() || whole.is_empty() {
        return Fresh { starts_over: false, text: "" };
    }
    match whole.strip_prefix(shown.trim_end()) {
        Some(more) => Fresh { starts_over: false, text: more },
        None => Fresh { starts_over: true, text: whole },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands on the screen after these texts; `|` where a new line was begun.
    fn screen(texts: &[&str]) -> String {
        let mut growth = Growth::default();
        texts.iter().fold(String::new(), |mut screen, text| {
            let fresh = growth.show(text);
            if fresh.starts_over {
                screen.push('|');
            }
            screen.push_str(fresh.text);
            screen
        })
    }

    #[test]
    fn only_what_is_new_is_printed() {
        assert_eq!(screen(&["He", "Hello", "Hello", "Hello wörld", "Hello wörld"]), "Hello wörld");
        assert_eq!(screen(&["whole at once"]), "whole at once");
        assert_eq!(screen(&["", "  ", "\n\nHi"]), "Hi");
    }

    #[test]
    fn a_text_that_starts_over_begins_a_new_line() {
        assert_eq!(screen(&["Let me look.", "Found", "Found it"]), "Let me look.|Found it");
        assert_eq!(screen(&["Let me look.", "", "Found it"]), "Let me look.|Found it");
        assert_eq!(screen(&["I will look", "I", "I see"]), "I will look|I see");
        assert_eq!(screen(&["draft", "other final"]), "draft|other final");
    }

    #[test]
    fn blanks_at_the_ends_are_not_news() {
        assert_eq!(screen(&["Hello \n", "Hello"]), "Hello \n");
        assert_eq!(screen(&["\nHello", "Hello", "Hello!"]), "Hello!");
        assert_eq!(screen(&["Hello ", "Hello\nworld"]), "Hello \nworld");
    }
}
