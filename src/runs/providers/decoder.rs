//! A provider's response body, byte by byte, into an answer. Pure: no clock, no network, no await.

use serde_json::Value;

use super::collect::Collector;
use super::fault::{Complaint, Trouble};
use super::sse::{Event, Events, Lines, TooLong};
use super::{Delta, Finished, anthropic, ollama, openai};
use crate::config::models::{Api, Rates};
use crate::wire::message::{Cost, StopReason, Usage};

/// Reads one answer in one of the dialects.
#[derive(Debug)]
pub struct Decoder {
    framing: Framing,
    dialect: Dialect,
    collector: Collector,
    progress: Progress,
}

#[derive(Debug)]
enum Framing {
    Events(Events),
    Lines(Lines),
}

#[derive(Debug)]
enum Dialect {
    Openai(openai::Stream),
    Anthropic(anthropic::Stream),
    Ollama,
}

/// How far a stream has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Progress {
    /// More is to come.
    Open,
    /// The model has said why it stopped: the stream may end.
    Stopped,
    /// The end marker was seen.
    Over,
}

impl Decoder {
    /// A decoder for one answer of at most `output_bytes`. Tool calls without an id get one that
    /// starts with `id_prefix`, which the caller makes different for each answer.
    #[must_use]
    pub fn new(api: Api, output_bytes: usize, id_prefix: String) -> Self {
        let (framing, dialect) = match api {
            Api::OpenaiCompletions => (Framing::Events(Events::default()), Dialect::Openai(openai::Stream::default())),
            Api::AnthropicMessages => {
                (Framing::Events(Events::default()), Dialect::Anthropic(anthropic::Stream::default()))
            }
            Api::OllamaChat => (Framing::Lines(Lines::default()), Dialect::Ollama),
        };
        Self { framing, dialect, collector: Collector::new(output_bytes, id_prefix), progress: Progress::Open }
    }

    /// Takes in a piece of the body. What comes after the end marker or over the output bound is
    /// ignored.
    ///
    /// # Errors
    /// [`Trouble`] of the kinds `Complaint`, `Malformed`, `Withheld` and `LineTooLong`. Deltas that
    /// came before it are still to be taken.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        let mut events = Vec::new();
        let framed = match &mut self.framing {
            Framing::Events(framing) => framing.feed(bytes, &mut events),
            Framing::Lines(framing) => {
                let mut lines = Vec::new();
                let framed = framing.feed(bytes, &mut lines);
                events.extend(lines.into_iter().map(of_line));
                framed
            }
        };
        let outcome = self.take(events).and_then(|()| framed.map_err(|TooLong| Trouble::LineTooLong));
        if outcome.is_err() {
            self.collector.end();
        }
        outcome
    }

    /// The body has ended properly, or the caller has read enough.
    ///
    /// # Errors
    /// As [`feed`](Self::feed), and `CutOff` when the end marker is missing.
    pub fn end(&mut self) -> Result<(), Trouble> {
        let mut events = Vec::new();
        let mut stray = String::new();
        match &mut self.framing {
            Framing::Events(framing) => {
                framing.end(&mut events).map_err(|TooLong| Trouble::LineTooLong)?;
                framing.stray().clone_into(&mut stray);
            }
            Framing::Lines(framing) => events.extend(framing.end().map(of_line)),
        }
        self.take(events)?;
        self.collector.end();
        match self.progress {
            Progress::Open if self.collector.is_full() => Ok(()),
            Progress::Open if !stray.is_empty() => Err(not_a_stream(&stray)),
            Progress::Open => Err(Trouble::CutOff),
            Progress::Stopped | Progress::Over => Ok(()),
        }
    }

    /// Whether nothing more has to be read.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.progress == Progress::Over || self.collector.is_full()
    }

    /// Whether the answer is whole even if nothing more can be read.
    #[must_use]
    pub fn may_end(&self) -> bool {
        self.progress != Progress::Open || self.collector.is_full()
    }

    /// The next piece to show.
    pub fn next_delta(&mut self) -> Option<Delta> {
        self.collector.next_delta()
    }

    /// Whether a piece waits to be shown.
    #[must_use]
    pub fn has_deltas(&self) -> bool {
        self.collector.has_deltas()
    }

    /// The answer as far as it came. `otherwise` is the stop reason when the end marker is missing.
    #[must_use]
    pub fn finish(self, rates: Option<Rates>, otherwise: StopReason) -> Finished {
        let complete = self.may_end();
        let usage = priced(self.collector.usage, rates);
        let (content, stop_reason) = self.collector.finish(complete, otherwise);
        Finished { content, usage, stop_reason }
    }

    fn take(&mut self, events: Vec<Event>) -> Result<(), Trouble> {
        for event in events {
            if self.is_over() {
                break;
            }
            let progress = match &mut self.dialect {
                Dialect::Openai(stream) => stream.take(&event, &mut self.collector)?,
                Dialect::Anthropic(stream) => stream.take(&event, &mut self.collector)?,
                Dialect::Ollama => ollama::take(&event, &mut self.collector)?,
            };
            self.progress = self.progress.max(progress);
        }
        Ok(())
    }
}

/// Parses an event's data.
pub(super) fn json(event: &Event) -> Result<Value, Trouble> {
    serde_json::from_str(&event.data).map_err(|_| {
        let start: String = event.data.chars().take(80).collect();
        Trouble::Malformed(format!("not JSON: {start}"))
    })
}

/// A number of tokens, whatever shape the provider gives it.
pub(super) fn tokens(value: &Value, path: &[&str]) -> Option<u64> {
    path.iter().try_fold(value, |value, key| value.get(key))?.as_u64()
}

fn of_line(line: String) -> Event {
    Event { name: String::new(), data: line }
}

/// What a server that ignored `stream` sent instead.
fn not_a_stream(stray: &str) -> Trouble {
    match serde_json::from_str::<Value>(stray) {
        Ok(value) if value.get("error").is_some() => Trouble::Complaint(Complaint::of_value(&value)),
        _ => Trouble::Malformed(format!("not an event stream: {}", stray.chars().take(80).collect::<String>())),
    }
}

/// Adds the sum and, if the prices are known, the cost.
fn priced(usage: Usage, rates: Option<Rates>) -> Usage {
    let counts = [usage.input, usage.output, usage.cache_read, usage.cache_write];
    let total_tokens = counts.into_iter().fold(0_u64, u64::saturating_add);
    let cost = rates.map(|rates| {
        #[allow(clippy::cast_precision_loss, reason = "token counts are far below 2^52")]
        let dollars = |count: u64, per_million: f64| count as f64 * per_million / 1_000_000.0;
        let cost = Cost {
            input: dollars(usage.input, rates.input),
            output: dollars(usage.output, rates.output),
            cache_read: dollars(usage.cache_read, rates.cache_read),
            cache_write: dollars(usage.cache_write, rates.cache_write),
            total: 0.0,
        };
        Cost { total: cost.input + cost.output + cost.cache_read + cost.cache_write, ..cost }
    });
    Usage { total_tokens, cost, ..usage }
}

/// For the dialects' tests: every way to cut a stream must give the same answer.
#[cfg(test)]
pub(super) mod testing {
    use super::*;
    use crate::wire::message::Block;

    /// Text shown, thoughts shown, the answer, and how the stream ended.
    pub(crate) type Outcome = (String, String, Finished, Result<(), Trouble>);

    /// Decodes `pieces`, as the answer would.
    pub(crate) fn decode(api: Api, pieces: &[&[u8]]) -> Outcome {
        let mut decoder = Decoder::new(api, 100_000, "call_test_".to_owned());
        let mut end = pieces.iter().try_for_each(|piece| decoder.feed(piece));
        if end.is_ok() {
            end = decoder.end();
        }
        let (mut text, mut thoughts) = (String::new(), String::new());
        while let Some(delta) = decoder.next_delta() {
            match delta {
                Delta::Text(piece) => text.push_str(&piece),
                Delta::Thinking(piece) => thoughts.push_str(&piece),
            }
        }
        (text, thoughts, decoder.finish(None, StopReason::Error), end)
    }

    /// Decodes `stream` whole, cut in two at every byte, and byte by byte, and expects the same.
    pub(crate) fn at_every_cut(api: Api, stream: &str) -> Outcome {
        let bytes = stream.as_bytes();
        let whole = decode(api, &[bytes]);
        for at in 1..bytes.len() {
            assert_eq!(decode(api, &[&bytes[..at], &bytes[at..]]), whole, "cut at {at}");
        }
        assert_eq!(decode(api, &bytes.chunks(1).collect::<Vec<_>>()), whole);
        whole
    }

    pub(crate) fn text(text: &str) -> Block {
        Block::Text { text: text.to_owned() }
    }

    pub(crate) fn thought(thinking: &str, seal: Option<&str>) -> Block {
        Block::Thinking { thinking: thinking.to_owned(), thinking_signature: seal.map(str::to_owned) }
    }

    pub(crate) fn call(id: &str, name: &str, arguments: Value) -> Block {
        Block::ToolCall { id: id.to_owned(), name: name.to_owned(), arguments }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cost_is_the_rate_per_million_and_unknown_without_rates() {
        let usage = Usage { input: 1000, output: 34, cache_read: 200, ..Usage::default() };
        let rates = Rates { input: 1.0, output: 2.0, cache_read: 0.5, cache_write: 9.0 };
        let priced_usage = priced(usage, Some(rates));
        assert_eq!(priced_usage.total_tokens, 1234);
        let cost = priced_usage.cost.unwrap();
        assert!((cost.total - (0.001 + 0.000_068 + 0.000_1)).abs() < 1e-12);
        assert_eq!(priced(usage, None).cost, None);
    }

    #[test]
    fn noise_in_any_dialect_never_panics() {
        let mut seed = fastrand::Rng::with_seed(7);
        let words = [
            "data: ",
            "{",
            "}",
            "[",
            "\"choices\":",
            "\"delta\":",
            "null",
            "\n",
            "\r\n",
            "\"type\":\"content_block_delta\"",
            "\"error\":",
            "event: x",
            "\"message\":",
            "\"tool_calls\":",
            ":",
            ",",
            "1",
            "\u{0}",
            "\"index\":",
            "ü",
            "[DONE]",
        ];
        for _ in 0..3000 {
            let noise: String = (0..seed.usize(1..40)).map(|_| words[seed.usize(0..words.len())]).collect();
            for api in Api::ALL {
                let _ = testing::decode(api, &[noise.as_bytes()]);
            }
        }
    }
}
