//! The words that wake a listening device, in `settings/voicewake.json` (connection.md 6.9).

use std::path::Path;
use std::rc::Rc;

use serde_json::Value;

use super::json_file::JsonFile;
use super::{Durable, Saver, StoreError};
use crate::limits::SETTINGS_FILE_BYTES;
use crate::sys::Sys;

/// What wakes a device when nobody has chosen.
const DEFAULT: [&str; 3] = ["clawd", "claude", "computer"];
/// Most words.
const WORDS: usize = 32;
/// Longest word, characters.
const WORD_CHARS: usize = 64;

/// The words. Cloning shares them.
#[derive(Debug, Clone)]
pub struct VoiceWake(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    sys: Sys,
    file: JsonFile,
}

impl VoiceWake {
    /// Reads the file in `state_dir/settings`.
    ///
    /// # Errors
    /// What the disk says.
    pub fn load(sys: &Sys, saver: &Saver, state_dir: &Path) -> Result<Self, StoreError> {
        let path = state_dir.join("settings").join("voicewake.json");
        let file = JsonFile::load(sys, saver, path, SETTINGS_FILE_BYTES)?;
        Ok(Self(Rc::new(Inner { sys: sys.clone(), file })))
    }

    /// The words as of now.
    #[must_use]
    pub fn triggers(&self) -> Vec<String> {
        self.0.file.look(|content| match content.get("triggers") {
            Some(Value::Array(words)) => clean(words),
            _ => clean(&[]),
        })
    }

    /// Chooses other words: what is no text or blank is left out, the rest is trimmed and cut to 32 of
    /// 64 characters; with none left, the default holds. Returns them as they are from now on.
    pub fn set(&self, words: &[Value]) -> (Vec<String>, Durable) {
        let words = clean(words);
        let now_ms = self.0.sys.clock.now_ms();
        let durable = self.0.file.change(|content| {
            content.insert("triggers".into(), words.clone().into());
            content.insert("updatedAtMs".into(), now_ms.into());
        });
        (words, durable)
    }
}

fn clean(words: &[Value]) -> Vec<String> {
    let words = words.iter().filter_map(Value::as_str).map(str::trim).filter(|word| !word.is_empty());
    let words: Vec<String> = words.take(WORDS).map(|word| word.chars().take(WORD_CHARS).collect()).collect();
    if words.is_empty() { DEFAULT.map(str::to_owned).into() } else { words }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::bench::Bench;

    #[test]
    fn words_are_cleaned_and_survive_a_restart() {
        let bench = Bench::new(1);
        let load = || VoiceWake::load(&bench.sys, &bench.saver, Path::new("/s")).unwrap();
        let wake = load();
        assert_eq!(wake.triggers(), DEFAULT);
        let mut words = vec![Value::from(5), " hey ".into(), "".into(), "x".repeat(100).into()];
        words.extend((0..40).map(|number| Value::from(number.to_string())));
        let (set, durable) = wake.set(&words);
        bench.run(durable).unwrap();
        assert_eq!((set.len(), set[0].as_str(), set[1].len()), (WORDS, "hey", WORD_CHARS));
        assert_eq!(load().triggers(), set);
        let (set, durable) = wake.set(&["  ".into()]);
        bench.run(durable).unwrap();
        assert_eq!(set, DEFAULT);
    }
}
