//! Models behind servers that don't know their thinking tags write `<think>…</think>` into the
//! answer. This tells thought from text, however the stream is cut.
//!
//! Tags count only at the start of the answer (and right after a thought): a model that explains
//! the tag in the middle of a sentence is not thinking.

/// The opening tag.
const OPEN: &str = "<think>";
/// The closing tag.
const CLOSE: &str = "</think>";
/// Most white space before an opening tag, bytes; after more there is none.
const LEAD_BYTES: usize = 64;

/// What a piece of an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Text,
    Thought,
}

/// Splits an answer's text.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    state: State,
    /// What can't be decided yet; shorter than the longest tag plus [`LEAD_BYTES`].
    held: String,
    /// Whether white space that comes next belongs to a tag.
    trim: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// An opening tag may come.
    #[default]
    Start,
    Thought,
    Text,
}

impl Splitter {
    /// Takes in `piece`, hands on what is decided.
    pub(super) fn feed(&mut self, piece: &str, mut out: impl FnMut(Part, &str)) {
        self.held.push_str(piece);
        while self.step(&mut out) {}
    }

    /// The answer is over: what was held back is what it looks like.
    pub(super) fn end(&mut self, mut out: impl FnMut(Part, &str)) {
        let held = std::mem::take(&mut self.held);
        let part = if self.state == State::Thought { Part::Thought } else { Part::Text };
        self.give(part, &held, &mut out);
    }

    /// Decides once; whether there is more to decide.
    fn step(&mut self, out: &mut impl FnMut(Part, &str)) -> bool {
        let held = std::mem::take(&mut self.held);
        match self.state {
            State::Text => {
                self.give(Part::Text, &held, out);
                false
            }
            State::Start => {
                let start = held.trim_start();
                if let Some(rest) = start.strip_prefix(OPEN) {
                    self.enter(State::Thought, rest)
                } else if OPEN.starts_with(start) && held.len() - start.len() <= LEAD_BYTES {
                    self.held = held;
                    false
                } else {
                    self.state = State::Text;
                    self.held = held;
                    true
                }
            }
            State::Thought => match held.split_once(CLOSE) {
                Some((thought, rest)) => {
                    self.give(Part::Thought, thought, out);
                    self.enter(State::Start, rest)
                }
                None => {
                    let (decided, open) = held.split_at(held.len() - tag_start(&held));
                    self.give(Part::Thought, decided, out);
                    open.clone_into(&mut self.held);
                    false
                }
            },
        }
    }

    fn enter(&mut self, state: State, rest: &str) -> bool {
        self.state = state;
        self.trim = true;
        rest.clone_into(&mut self.held);
        true
    }

    fn give(&mut self, part: Part, text: &str, out: &mut impl FnMut(Part, &str)) {
        let text = if self.trim { text.trim_start() } else { text };
        if !text.is_empty() {
            self.trim = false;
            out(part, text);
        }
    }
}

/// How many bytes at the end of `text` may be the start of a closing tag.
fn tag_start(text: &str) -> usize {
    (1..CLOSE.len()).rev().find(|length| CLOSE.get(..*length).is_some_and(|start| text.ends_with(start))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(pieces: &[&str]) -> (String, String) {
        let (mut splitter, mut text, mut thought) = (Splitter::default(), String::new(), String::new());
        let mut out =
            |part, piece: &str| if part == Part::Text { text.push_str(piece) } else { thought.push_str(piece) };
        for piece in pieces {
            splitter.feed(piece, &mut out);
        }
        splitter.end(&mut out);
        (text, thought)
    }

    #[test]
    fn thoughts_and_text_are_told_apart_at_every_cut() {
        for (answer, text, thought) in [
            ("<think>hm</think>The answer is 42.", "The answer is 42.", "hm"),
            ("\n <think>\nä < b </thin </think>\n\nText", "Text", "ä < b </thin "),
            ("<think></think>a <think>no</think>", "a <think>no</think>", ""),
            ("<think>a</think> <think>b</think>c", "c", "ab"),
            ("<think>never closed </thi", "", "never closed </thi"),
            ("  plain", "  plain", ""),
            ("<thin ice", "<thin ice", ""),
            ("<thi", "<thi", ""),
            ("", "", ""),
        ] {
            for at in (0..=answer.len()).filter(|at| answer.is_char_boundary(*at)) {
                let (head, tail) = answer.split_at(at);
                assert_eq!(split(&[head, tail]), (text.to_owned(), thought.to_owned()), "{answer:?} cut at {at}");
            }
            let single: Vec<String> = answer.chars().map(String::from).collect();
            let single: Vec<&str> = single.iter().map(String::as_str).collect();
            assert_eq!(split(&single), (text.to_owned(), thought.to_owned()), "{answer:?}");
        }
    }

    #[test]
    fn what_is_held_back_is_bounded() {
        let mut splitter = Splitter::default();
        for _ in 0..1000 {
            splitter.feed(" ", |_, _| {});
            assert!(splitter.held.len() <= LEAD_BYTES + OPEN.len());
        }
    }
}
