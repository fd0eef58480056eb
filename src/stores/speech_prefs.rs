//! What clients chose about spoken answers, in `settings/tts.json`: `{"tts": {"auto", "provider"}}` (methods.md 15).

use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde_json::{Map, Value};

use super::json_file::JsonFile;
use super::{Durable, Saver, StoreError};
use crate::limits::SETTINGS_FILE_BYTES;
use crate::sys::Sys;

/// The choices. Cloning shares them.
#[derive(Debug, Clone)]
pub struct SpeechPrefs {
    file: Rc<JsonFile>,
    path: PathBuf,
}

/// The key under which they stand.
const KEY: &str = "tts";

impl SpeechPrefs {
    /// Reads the file in `state_dir/settings`.
    ///
    /// # Errors
    /// What the disk says.
    pub fn load(sys: &Sys, saver: &Saver, state_dir: &Path) -> Result<Self, StoreError> {
        let path = state_dir.join("settings").join("tts.json");
        let file = Rc::new(JsonFile::load(sys, saver, path.clone(), SETTINGS_FILE_BYTES)?);
        Ok(Self { file, path })
    }

    /// Where they are.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// When answers are spoken, if somebody chose.
    #[must_use]
    pub fn auto(&self) -> Option<String> {
        self.text("auto")
    }

    /// Who speaks, if somebody chose.
    #[must_use]
    pub fn provider(&self) -> Option<String> {
        self.text("provider")
    }

    /// Chooses when answers are spoken.
    pub fn set_auto(&self, auto: &str) -> Durable {
        self.set("auto", auto)
    }

    /// Chooses who speaks.
    pub fn set_provider(&self, provider: &str) -> Durable {
        self.set("provider", provider)
    }

    fn text(&self, key: &str) -> Option<String> {
        self.file.look(|content| content.get(KEY)?.get(key)?.as_str().map(str::to_owned))
    }

    fn set(&self, key: &str, text: &str) -> Durable {
        self.file.change(|content| {
            let choices = content.entry(KEY).or_insert_with(|| Value::Object(Map::new()));
            if !choices.is_object() {
                *choices = Value::Object(Map::new());
            }
            if let Some(choices) = choices.as_object_mut() {
                choices.insert(key.to_owned(), text.into());
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::bench::Bench;
    use crate::sys::Files as _;

    #[test]
    fn choices_survive_a_restart_and_foreign_keys_are_kept() {
        let bench = Bench::new(1);
        bench.files.create_dir(Path::new("/s/settings")).unwrap();
        bench.files.append(Path::new("/s/settings/tts.json"), br#"{"tts":{"maxLength":9},"x":1}"#).unwrap();
        let load = || SpeechPrefs::load(&bench.sys, &bench.saver, Path::new("/s")).unwrap();
        let prefs = load();
        assert_eq!((prefs.auto(), prefs.provider()), (None, None));
        bench.run(prefs.set_auto("always")).unwrap();
        bench.run(prefs.set_provider("openai")).unwrap();
        assert_eq!((load().auto().as_deref(), load().provider().as_deref()), (Some("always"), Some("openai")));
        let text = String::from_utf8(bench.files.read(Path::new("/s/settings/tts.json"), 1000).unwrap()).unwrap();
        assert!(text.contains("maxLength") && text.contains("\"x\""), "{text}");
    }
}
