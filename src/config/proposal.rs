//! A new text of the configuration from what a client sends (methods.md 8.2 to 8.4): checked against
//! the text that the client has seen, secrets put back, comments kept, validated. It writes nothing.

use serde_json::Value;

use super::file::Standing;
use super::redact::{self, Stray};
use super::{Problem, Reading, edit, form, old_layout, tree};

/// What a client sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change<'t> {
    /// The whole text of the file.
    Whole(&'t str),
    /// A JSON merge patch, as JSON5 text.
    Patch(&'t str),
}

/// A text that may be written, and what it means.
#[derive(Debug)]
pub struct Proposal {
    /// The text.
    pub text: String,
    /// Its reading; the outcome is a configuration.
    pub reading: Reading,
}

/// Why a text is not taken.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The client doesn't say which text it has seen.
    NoHash,
    /// The file has another text than the client has seen.
    Changed,
    /// What was sent is no JSON5: line, column and why.
    Syntax(String),
    /// A patch has to be an object.
    NotObject,
    /// The present configuration is invalid, and a patch needs a valid one.
    Broken,
    /// A marker for a secret stands where none was: the key.
    Stray(String),
    /// The patch asks for something that an included file has.
    Included,
    /// What is wrong with the new configuration.
    Invalid(Vec<Problem>),
}

/// Makes the new text from the `current` one; `read` reads a text as if it were the file's.
///
/// # Errors
/// [`Refusal`], the first in its order.
pub fn propose(
    current: &Standing,
    base_hash: Option<&str>,
    change: Change<'_>,
    read: &dyn Fn(&str) -> Reading,
) -> Result<Proposal, Refusal> {
    // Nothing can be overwritten where there is nothing.
    if current.is_there() {
        let base = base_hash.map(str::trim).filter(|hash| !hash.is_empty()).ok_or(Refusal::NoHash)?;
        if !base.eq_ignore_ascii_case(&current.hash) {
            return Err(Refusal::Changed);
        }
    }
    let text = current.text.as_deref().unwrap_or_default();
    let old = read(text);
    let text = match change {
        Change::Whole(raw) => {
            let node = tree::read_any(raw, 0).map_err(|wrong| syntax(raw, wrong))?;
            match node.and_then(|node| form::changes(&node.to_json(), &old)) {
                Some(changes) => patched(text, changes, &old, read)?,
                None => redact::restore_text(raw, text, &[&old.parsed, &old.merged])?,
            }
        }
        Change::Patch(_) if !current.garbled.is_empty() => return Err(Refusal::Broken),
        Change::Patch(raw) => {
            let node = tree::read_any(raw, 0).map_err(|wrong| syntax(raw, wrong))?;
            let patch = node.map_or_else(|| Value::Object(serde_json::Map::new()), |node| node.to_json());
            patched(text, patch, &old, read)?
        }
    };
    let mut reading = read(&text);
    match &mut reading.outcome {
        Err(problems) => Err(Refusal::Invalid(std::mem::take(problems))),
        Ok(_) => Ok(Proposal { text, reading }),
    }
}

fn patched(current: &str, mut patch: Value, old: &Reading, read: &dyn Fn(&str) -> Reading) -> Result<String, Refusal> {
    if !patch.is_object() {
        return Err(Refusal::NotObject);
    }
    if old.outcome.is_err() {
        return Err(Refusal::Broken);
    }
    if old.parsed.get("agent").is_none() {
        old_layout::migrate_value(&mut patch);
    }
    redact::restore_value(&mut patch, &[&old.parsed, &old.merged])?;
    let Value::Object(entries) = &patch else { return Err(Refusal::NotObject) };
    let text = edit::patch(current, entries).map_err(|wrong| syntax(current, wrong))?;
    let mut expected = old.merged.clone();
    edit::merge(&mut expected, &patch);
    // Lists of an included file are joined with the file's own, and its keys can't be removed from here.
    if !old.included.is_empty() && read(&text).merged != expected {
        return Err(Refusal::Included);
    }
    Ok(text)
}

impl From<Stray> for Refusal {
    fn from(Stray(key): Stray) -> Self {
        Self::Stray(key)
    }
}

fn syntax(text: &str, (at, message): (usize, String)) -> Refusal {
    let mut notes = super::Notes::new("raw", text);
    notes.problem_at(at, "", message);
    Refusal::Syntax(notes.problems.first().map(ToString::to_string).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, include};
    use std::collections::BTreeMap;

    const INCLUDED: &str =
        "{ models: { providers: { groq: { apiKey: 'included-key' } } }, session: { resetTriggers: ['/a'] } }";

    fn read(text: &str) -> Reading {
        let env = BTreeMap::from([("KEY".to_owned(), "resolved-key".to_owned())]);
        let reader: include::Reader<'_> = &|_| Ok(INCLUDED.to_owned());
        Config::read(text, "barnacle.json", &env, reader)
    }

    fn ask(current: &str, change: Change<'_>) -> Result<String, Refusal> {
        let current = Standing::of(Some(current));
        propose(&current, Some(&current.hash), change, &read).map(|proposal| proposal.text)
    }

    #[test]
    fn a_client_must_have_seen_the_present_text() {
        let (change, there) = (Change::Whole("{}"), Standing::of(Some("{}")));
        assert_eq!(propose(&there, None, change, &read).unwrap_err(), Refusal::NoHash);
        assert_eq!(propose(&there, Some(" "), change, &read).unwrap_err(), Refusal::NoHash);
        assert_eq!(propose(&there, Some("bad"), change, &read).unwrap_err(), Refusal::Changed);
        assert_eq!(propose(&Standing::of(None), None, change, &read).unwrap().text, "{}");
        assert_eq!(Standing::of(None).hash, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }

    #[test]
    fn a_patch_never_writes_out_what_a_variable_holds() {
        let current = "{ // mine\n  models: { providers: { groq: { apiKey: '${KEY}' } } },\n  ui: { assistant: { name: '$${X}' } },\n}\n";
        let text =
            ask(current, Change::Patch("{models:{providers:{groq:{apiKey:'__REDACTED__',baseUrl:'https://g/v1'}}}}"))
                .unwrap();
        assert!(text.contains("apiKey: '${KEY}'") && text.contains("// mine") && text.contains("'$${X}'"), "{text}");
        assert!(text.contains("baseUrl: \"https://g/v1\"") && !text.contains("resolved-key"), "{text}");
    }

    #[test]
    fn wrong_proposals_are_refused_with_the_reason() {
        assert_eq!(
            ask("{}", Change::Whole("{ not json")),
            Err(Refusal::Syntax("raw:1:7: a comma (or a colon) is missing before this".into()))
        );
        assert_eq!(ask("{}", Change::Patch("[1]")), Err(Refusal::NotObject));
        assert_eq!(ask("{gateway:{port:'x'}}", Change::Patch("{}")), Err(Refusal::Broken));
        let Err(Refusal::Invalid(problems)) = ask("{}", Change::Whole("[]")) else { panic!() };
        assert_eq!(problems[0].to_string(), "barnacle.json:1:1: expected an object in braces, found a list");
        let Err(Refusal::Invalid(problems)) = ask("{}", Change::Patch("{gateway:{auth:{mode:'nope'}}}")) else {
            panic!()
        };
        assert_eq!(problems[0].key, "gateway.auth.mode");
        assert_eq!(
            ask("{}", Change::Whole("{gateway:{auth:{token:'__REDACTED__'}}}")),
            Err(Refusal::Stray("gateway.auth.token".into()))
        );
    }

    #[test]
    fn an_invalid_file_can_be_replaced_as_a_whole() {
        assert_eq!(ask("{ broken", Change::Whole("{}")).unwrap(), "{}");
        let kept = ask(
            "{gateway:{port:'x',auth:{token:'old-secret'}}}",
            Change::Whole("{gateway:{auth:{token:'__REDACTED__'}}}"),
        );
        assert_eq!(kept.unwrap(), "{gateway:{auth:{token:\"old-secret\"}}}");
    }

    #[test]
    fn what_an_included_file_has_is_changed_there() {
        let current = "{ '$include': 'x.json5', session: { resetTriggers: ['/b'] } }";
        assert_eq!(ask(current, Change::Patch("{session:{resetTriggers:['/c']}}")), Err(Refusal::Included));
        assert_eq!(ask(current, Change::Patch("{models:null}")), Err(Refusal::Included));
        let text = ask(current, Change::Patch("{models:{providers:{groq:{baseUrl:'https://g/v1'}}}}")).unwrap();
        assert!(text.contains("$include") && !text.contains("included-key"), "{text}");
    }

    #[test]
    fn the_old_layout_is_taken_whole_and_as_a_patch() {
        let raw = "{\"agent\":{\"model\":\"claude-sonnet-4-20250514\"}}";
        assert_eq!(ask("{}", Change::Whole(raw)).unwrap(), raw);
        let text = ask("{ agents: { defaults: { model: 'openai/gpt-5' } } }", Change::Patch(raw)).unwrap();
        assert_eq!(text, "{ agents: { defaults: { model: \"claude-sonnet-4-20250514\" } } }");
    }
}
