//! Targets that read texts and streams without a gateway around them.

use std::collections::BTreeMap;
use std::path::Path;

use barnacle::config::file::Standing;
use barnacle::config::models::Api;
use barnacle::config::proposal::{Change, propose};
use barnacle::config::redact::MARKER;
use barnacle::config::{Config, Reading, include};
use barnacle::cron::schedule::{Expression, Schedule, Timetable};
use barnacle::runs::providers::decoder::Decoder;
use barnacle::runs::providers::sse::Events;
use barnacle::skills::manifest;
use barnacle::sys::url::Url;

use super::machine::NOW_MS;

pub(super) fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = read(text, &include::none);
}

/// A configuration and what it includes, one behind the other; every name leads to the second text.
pub(super) fn include(bytes: &[u8]) {
    let Some((own, included)) = halves(bytes) else { return };
    let _ = read(own, &|_: &Path| Ok(included.to_owned()));
}

/// A configuration, and behind it what a client wants to have instead, as a whole or as a patch. What is taken is
/// taken again as it stands.
pub(super) fn edit(bytes: &[u8]) {
    let Some((own, wish)) = halves(bytes) else { return };
    let reader = |text: &str| read(text, &include::none);
    let standing = Standing::of(Some(own));
    for change in [Change::Whole(wish), Change::Patch(wish)] {
        let Ok(proposal) = propose(&standing, Some(&standing.hash), change, &reader) else { continue };
        // A file that holds the marker for a secret itself can't be sent as it stands.
        if !proposal.text.contains(MARKER) {
            let next = Standing::of(Some(&proposal.text));
            let again = propose(&next, Some(&next.hash), Change::Whole(&proposal.text), &reader);
            assert_eq!(again.map(|again| again.text), Ok(proposal.text));
        }
    }
}

fn read(text: &str, reader: include::Reader<'_>) -> Reading {
    let env = BTreeMap::from([("SET".to_owned(), "value".to_owned())]);
    Config::read(text, "barnacle.json", &env, reader)
}

/// Two texts, parted by a line of three dashes.
fn halves(bytes: &[u8]) -> Option<(&str, &str)> {
    std::str::from_utf8(bytes).ok()?.split_once("\n---\n")
}

/// A SKILL.md.
pub(super) fn skill(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = manifest::parse(text, "dir");
    }
}

/// Server-sent events: however the stream is cut, they are the same.
pub(super) fn sse(bytes: &[u8]) {
    let of_pieces = |size: usize| {
        let (mut decoder, mut events) = (Events::default(), Vec::new());
        for piece in bytes.chunks(size) {
            if decoder.feed(piece, &mut events).is_err() {
                return (events, true);
            }
        }
        let too_long = decoder.end(&mut events).is_err();
        (events, too_long)
    };
    let whole = of_pieces(bytes.len().max(1));
    for size in [1, 2, 7] {
        assert_eq!(of_pieces(size), whole, "in pieces of {size}");
    }
}

/// A provider's stream in each of its forms, in pieces whose size the first byte tells.
pub(super) fn provider(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    for api in [Api::OpenaiCompletions, Api::AnthropicMessages, Api::OllamaChat] {
        let mut decoder = Decoder::new(api, 10_000, "p".into());
        for piece in rest.chunks(usize::from(*first).max(1)) {
            if decoder.feed(piece).is_err() {
                break;
            }
        }
    }
}

pub(super) fn url(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = Url::parse(text);
    }
}

/// A cron expression on the first line, a zone on the second: each time is later than the one before.
pub(super) fn cron(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (expr, tz) = text.split_once('\n').map_or((text, None), |(expr, tz)| (expr, Some(tz.to_owned())));
    let schedule = Schedule::Cron(Expression { expr: expr.to_owned(), tz });
    let Ok(timetable) = Timetable::of(&schedule, NOW_MS, &jiff::tz::TimeZone::UTC) else { return };
    let mut at = NOW_MS;
    for _ in 0..5 {
        let Some(next) = timetable.next(at) else { break };
        assert!(next > at, "{text}: {next} after {at}");
        at = next;
    }
    let _ = timetable.last(NOW_MS);
}
