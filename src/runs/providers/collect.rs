//! Gathers one answer: text and thoughts to show at once, tool calls to hand over at the end, and
//! never more of either than the bounds allow.

use std::collections::{BTreeSet, VecDeque};

use serde_json::{Map, Value};

use super::Delta;
use super::fault::Trouble;
use super::think::{Part, Splitter};
use crate::limits;
use crate::wire::message::{Block, StopReason, Usage};

/// What a block counts beside its text, bytes, so that many tiny blocks are bounded too.
const BLOCK_BYTES: usize = 64;
/// Marks the seal of a thought that the provider shows to nobody; the sealed data follows.
pub(super) const REDACTED: &str = "redacted:";

/// An answer in the making.
#[derive(Debug)]
pub(super) struct Collector {
    blocks: Vec<Draft>,
    /// Bytes that the answer may still grow.
    room: usize,
    /// Whether something was left out because there was no room.
    full: bool,
    deltas: VecDeque<Delta>,
    splitter: Splitter,
    /// Start of the ids for calls that come without one.
    id_prefix: String,
    /// Tokens as the provider counts them.
    pub(super) usage: Usage,
    /// Why the model stopped, once it has said so.
    pub(super) stop: Option<StopReason>,
}

#[derive(Debug)]
enum Draft {
    Text(String),
    Thought { text: String, seal: Option<String> },
    Call { id: String, name: String, arguments: Arguments },
}

#[derive(Debug)]
enum Arguments {
    /// JSON that is still arriving.
    Pieces(String),
    Whole(Value),
}

/// A tool call that is being received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Call(usize);

impl Collector {
    /// For an answer of at most `output_bytes`. Calls without an id get one that starts with
    /// `id_prefix`.
    pub(super) fn new(output_bytes: usize, id_prefix: String) -> Self {
        Self {
            blocks: Vec::new(),
            room: output_bytes,
            full: false,
            deltas: VecDeque::new(),
            splitter: Splitter::default(),
            id_prefix,
            usage: Usage::default(),
            stop: None,
        }
    }

    /// Whether the answer is at its bound: nothing more will be taken.
    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    /// The next piece to show.
    pub(super) fn next_delta(&mut self) -> Option<Delta> {
        self.deltas.pop_front()
    }

    /// Whether something waits to be shown.
    pub(super) fn has_deltas(&self) -> bool {
        !self.deltas.is_empty()
    }

    /// More of the text.
    pub(super) fn text(&mut self, piece: &str) {
        self.open(piece, |last| matches!(last, Draft::Text(_)), || Draft::Text(String::new()));
        let piece = self.fit(piece);
        if let (Some(Draft::Text(text)), false) = (self.blocks.last_mut(), piece.is_empty()) {
            text.push_str(piece);
            self.deltas.push_back(Delta::Text(piece.to_owned()));
        }
    }

    /// More of a text that may hold thinking tags.
    pub(super) fn tagged(&mut self, piece: &str) {
        let mut splitter = std::mem::take(&mut self.splitter);
        splitter.feed(piece, |part, piece| self.part(part, piece));
        self.splitter = splitter;
    }

    /// The answer is over: what the tags left undecided is decided.
    pub(super) fn end(&mut self) {
        let mut splitter = std::mem::take(&mut self.splitter);
        splitter.end(|part, piece| self.part(part, piece));
    }

    fn part(&mut self, part: Part, piece: &str) {
        match part {
            Part::Text => self.text(piece),
            Part::Thought => self.thought(piece),
        }
    }

    /// More of a thought. A sealed one is closed: the next piece starts another.
    pub(super) fn thought(&mut self, piece: &str) {
        let is_open = |last: &Draft| matches!(last, Draft::Thought { seal: None, .. });
        self.open(piece, is_open, || Draft::Thought { text: String::new(), seal: None });
        let piece = self.fit(piece);
        if let (Some(Draft::Thought { text, .. }), false) = (self.blocks.last_mut(), piece.is_empty()) {
            text.push_str(piece);
            self.deltas.push_back(Delta::Thinking(piece.to_owned()));
        }
    }

    /// Seals the open thought, or makes an empty sealed one. A seal can't be cut: without room for
    /// it the answer is full.
    pub(super) fn seal(&mut self, with: &str) {
        if with.is_empty() || !self.pay(with.len()) {
            return;
        }
        match self.blocks.last_mut() {
            Some(Draft::Thought { seal: seal @ None, .. }) => *seal = Some(with.to_owned()),
            _ => self.push(Draft::Thought { text: String::new(), seal: Some(with.to_owned()) }),
        }
    }

    /// Names the field in which the open thought came, for dialects whose thoughts go back in the
    /// same field; no piece after it starts a new thought.
    pub(super) fn thought_in(&mut self, field: &'static str, piece: &str) {
        if let Some(Draft::Thought { seal, .. }) = self.blocks.last_mut() {
            if seal.as_deref() == Some(field) {
                *seal = None;
            }
        }
        self.thought(piece);
        if let Some(Draft::Thought { seal: seal @ None, .. }) = self.blocks.last_mut() {
            *seal = Some(field.to_owned());
        }
    }

    /// A tool call begins.
    pub(super) fn call(&mut self, id: &str, name: &str) -> Result<Call, Trouble> {
        let id = self.unused_id(id)?;
        if self.pay(id.len() + name.len()) {
            self.push(Draft::Call { id, name: name.to_owned(), arguments: Arguments::Pieces(String::new()) });
        }
        Ok(Call(self.blocks.len().saturating_sub(1)))
    }

    /// More of a call's name, for providers that send it late.
    pub(super) fn call_name(&mut self, call: Call, piece: &str) {
        if self.pay(piece.len()) {
            if let Some(Draft::Call { name, .. }) = self.blocks.get_mut(call.0) {
                name.push_str(piece);
            }
        }
    }

    /// More of a call's arguments, as JSON text.
    pub(super) fn call_arguments(&mut self, call: Call, piece: &str) {
        if self.pay(piece.len()) {
            if let Some(Draft::Call { arguments: Arguments::Pieces(text), .. }) = self.blocks.get_mut(call.0) {
                text.push_str(piece);
            }
        }
    }

    /// All of a call's arguments, replacing what was there.
    pub(super) fn call_arguments_whole(&mut self, call: Call, whole: &Value) {
        if self.pay(whole.to_string().len()) {
            if let Some(Draft::Call { arguments, .. }) = self.blocks.get_mut(call.0) {
                *arguments = Arguments::Whole(whole.clone());
            }
        }
    }

    /// The answer as far as it came, and why it ended. `complete` says whether its end marker was
    /// seen, `otherwise` the reason if not. Tool calls are handed over only with
    /// [`StopReason::ToolUse`]: half a call must not be run.
    pub(super) fn finish(self, complete: bool, otherwise: StopReason) -> (Vec<Block>, StopReason) {
        let has_calls = self.blocks.iter().any(|block| matches!(block, Draft::Call { .. }));
        let reason = match self.stop {
            _ if self.full => StopReason::Length,
            _ if !complete => otherwise,
            Some(StopReason::Length) => StopReason::Length,
            // Many servers say `stop` beside tool calls, some `tool_calls` without any.
            _ if has_calls => StopReason::ToolUse,
            _ => StopReason::Stop,
        };
        let drafts = self.blocks.into_iter();
        (drafts.filter_map(|draft| draft.finish(reason == StopReason::ToolUse)).collect(), reason)
    }

    /// Makes sure that the last block is one that `piece` can be added to.
    fn open(&mut self, piece: &str, fits: impl Fn(&Draft) -> bool, make: impl Fn() -> Draft) {
        if !piece.is_empty() && !self.blocks.last().is_some_and(fits) && self.pay(0) {
            self.push(make());
        }
    }

    fn push(&mut self, draft: Draft) {
        self.room = self.room.saturating_sub(BLOCK_BYTES);
        self.blocks.push(draft);
    }

    /// Takes room for `bytes`, or marks the answer full.
    fn pay(&mut self, bytes: usize) -> bool {
        self.full |= self.room == 0 || self.room < bytes;
        if !self.full {
            self.room -= bytes;
        }
        !self.full
    }

    /// As much of `piece` as there is room for, whole characters.
    fn fit<'a>(&mut self, piece: &'a str) -> &'a str {
        if self.full {
            return "";
        }
        let mut end = piece.len().min(self.room);
        while !piece.is_char_boundary(end) {
            end -= 1;
        }
        self.full = end < piece.len();
        self.room -= end;
        piece.get(..end).unwrap_or_default()
    }

    /// `wanted`, or an id of ours when it is missing or taken.
    fn unused_id(&self, wanted: &str) -> Result<String, Trouble> {
        let taken: BTreeSet<&str> = self
            .blocks
            .iter()
            .filter_map(|block| if let Draft::Call { id, .. } = block { Some(id.as_str()) } else { None })
            .collect();
        if taken.len() >= limits::TOOL_CALLS {
            return Err(Trouble::Malformed(format!("more than {} tool calls", limits::TOOL_CALLS)));
        }
        if !wanted.is_empty() && !taken.contains(wanted) {
            return Ok(wanted.to_owned());
        }
        Ok(format!("{}{}", self.id_prefix, taken.len()))
    }
}

impl Draft {
    fn finish(self, with_calls: bool) -> Option<Block> {
        match self {
            Self::Text(text) => (!text.is_empty()).then_some(Block::Text { text }),
            Self::Thought { text, seal: None } if text.is_empty() => None,
            Self::Thought { text, seal } => Some(Block::Thinking { thinking: text, thinking_signature: seal }),
            Self::Call { .. } if !with_calls => None,
            Self::Call { id, name, arguments } => Some(Block::ToolCall { id, name, arguments: arguments.finish() }),
        }
    }
}

impl Arguments {
    /// The arguments; none at all is an empty object. What is no JSON stays a text, so that the
    /// tool can tell the model what it wrote.
    fn finish(self) -> Value {
        match self {
            Self::Whole(value) => value,
            Self::Pieces(text) if text.trim().is_empty() => Value::Object(Map::new()),
            Self::Pieces(text) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn collector(room: usize) -> Collector {
        Collector::new(room, "call_x".to_owned())
    }

    #[test]
    fn text_over_the_bound_ends_the_answer_at_a_whole_character() {
        let mut answer = collector(BLOCK_BYTES + 5);
        answer.text("abc");
        answer.text("äöü");
        answer.text("more");
        assert!(answer.is_full());
        let shown: Vec<_> = std::iter::from_fn(|| answer.next_delta()).collect();
        assert_eq!(shown, [Delta::Text("abc".into()), Delta::Text("ä".into())]);
        let (blocks, stop) = answer.finish(true, StopReason::Error);
        assert_eq!((blocks, stop), (vec![Block::Text { text: "abcä".into() }], StopReason::Length));
    }

    #[test]
    fn tiny_blocks_are_bounded_too() {
        let mut answer = collector(1000);
        for _ in 0..1000 {
            answer.text("a");
            answer.thought("b");
        }
        assert!(answer.is_full() && answer.blocks.len() < 20);
    }

    #[test]
    fn missing_and_repeated_call_ids_are_replaced_and_too_many_calls_refused() {
        let mut answer = collector(100_000);
        for id in ["", "a", "a"] {
            answer.call(id, "t").unwrap();
        }
        let ids: Vec<String> = answer
            .blocks
            .iter()
            .filter_map(|draft| if let Draft::Call { id, .. } = draft { Some(id.clone()) } else { None })
            .collect();
        assert_eq!(ids, ["call_x0", "a", "call_x2"]);
        for _ in 3..limits::TOOL_CALLS {
            answer.call("", "t").unwrap();
        }
        assert!(matches!(answer.call("z", "t"), Err(Trouble::Malformed(_))));
    }

    #[test]
    fn calls_are_handed_over_only_when_the_answer_is_complete() {
        let make = || {
            let mut answer = collector(10_000);
            let (first, second) = (answer.call("1", "f").unwrap(), answer.call("2", "g").unwrap());
            answer.call_arguments(first, "{\"a\"");
            answer.call_arguments(second, "not json");
            answer.call_arguments(first, ":1}");
            answer
        };
        let call = |id: &str, name: &str, arguments| Block::ToolCall { id: id.into(), name: name.into(), arguments };
        let (blocks, stop) = make().finish(true, StopReason::Error);
        assert_eq!(
            (blocks, stop),
            (vec![call("1", "f", json!({"a": 1})), call("2", "g", json!("not json"))], StopReason::ToolUse)
        );
        assert_eq!(make().finish(false, StopReason::Error), (Vec::new(), StopReason::Error));
        let mut cut = make();
        cut.stop = Some(StopReason::Length);
        assert_eq!(cut.finish(true, StopReason::Error), (Vec::new(), StopReason::Length));
    }
}
