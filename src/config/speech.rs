//! `messages.tts`: texts that are spoken (methods.md 15).

use std::collections::BTreeMap;

use super::problem::Notes;
use super::tree::Field;
use crate::secret::Secret;

/// The `messages.tts` section.
#[derive(Debug, Clone, Default)]
pub struct Speech {
    /// When answers are spoken, unless a client has chosen; the reference's word.
    pub auto: Option<String>,
    /// Who speaks, unless a client has chosen.
    pub provider: Option<String>,
    /// A program of this machine and its arguments, with `{text}` or `{textFile}` and `{out}` in them.
    pub program: Option<Vec<String>>,
    /// What the program writes: the end of the file's name.
    pub program_format: Option<String>,
    /// Key of a service with OpenAI's interface.
    pub openai_key: Option<Secret>,
    /// Its address, up to and without `/audio/speech`.
    pub openai_url: Option<String>,
    /// Its model.
    pub openai_model: Option<String>,
    /// Its voice.
    pub openai_voice: Option<String>,
    /// Whether there is a key for ElevenLabs, which this version doesn't speak to.
    pub has_elevenlabs_key: bool,
}

pub(super) fn read(root: &Field<'_>, env: &BTreeMap<String, String>, notes: &mut Notes<'_>) -> Speech {
    let at = |name: &str| root.find(&format!("messages.tts.{name}"));
    let text = |name: &str| at(name).and_then(|field| field.filled_text().map(str::to_owned));
    let variable = |name: &str| env.get(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let key = root.find("messages.tts.openai.apiKey").and_then(|field| field.filled_text().map(str::to_owned));
    let program = at("program").map(|list| (list.items(), list));
    let program = program.and_then(|(items, list)| {
        let argv: Vec<String> = items.iter().filter_map(|item| item.text().map(str::to_owned)).collect();
        if argv.is_empty() {
            return None;
        }
        if !argv.iter().any(|part| part.contains("{out}")) || argv.first().is_some_and(|name| name.contains('{')) {
            notes.problem(&list, "expected a program and its arguments, one of them with {out}");
            return None;
        }
        Some(argv)
    });
    let url = text("openai.baseUrl").map(|url| url.trim_end_matches('/').to_owned());
    if let (Some(url), Some(field)) = (&url, at("openai.baseUrl")) {
        if !url.starts_with("https://") && !url.starts_with("http://") {
            notes.problem(&field, "expected an address that begins with http:// or https://");
        }
    }
    Speech {
        auto: text("auto"),
        provider: text("provider"),
        program,
        program_format: text("programFormat"),
        openai_key: key.or_else(|| variable("OPENAI_API_KEY")).map(Secret::new),
        openai_url: url,
        openai_model: text("openai.model"),
        openai_voice: text("openai.voice"),
        has_elevenlabs_key: text("elevenlabs.apiKey").is_some() || variable("ELEVENLABS_API_KEY").is_some(),
    }
}
