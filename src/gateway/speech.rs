//! Texts that are spoken (methods.md 15): by a program of this machine, or a service with OpenAI's interface.
//!
//! What they write lies in `media/tts` of the state directory, within bounds of age and size. A gateway for which
//! neither is set up says so.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use super::Gateway;
use crate::config::speech::Speech;
use crate::error::Error;
use crate::limits::{
    PROVIDER_ERROR_BYTES, SPEECH_AGE_MS, SPEECH_FILE_BYTES, SPEECH_FILES, SPEECH_MS, SPEECH_TEXT_CHARS,
};
use crate::sys::http::{self, Method, Request};
use crate::sys::processes::{Ending, Program};
use crate::sys::reach::Reach;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    /// A service with OpenAI's interface.
    OpenAi,
    /// ElevenLabs; the field's original has it, this version doesn't.
    ElevenLabs,
    /// Microsoft Edge's voices; the field's original has them, this version doesn't.
    Edge,
    /// A program of this machine.
    Program,
}

impl Voice {
    /// All of them, those that this version has first.
    pub const ALL: [Self; 4] = [Self::OpenAi, Self::Program, Self::ElevenLabs, Self::Edge];

    /// The reference's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::ElevenLabs => "elevenlabs",
            Self::Edge => "edge",
            Self::Program => "program",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|voice| voice.name() == name)
    }

    /// Whether it can speak with that configuration.
    #[must_use]
    pub fn is_set_up(self, speech: &Speech) -> bool {
        match self {
            Self::OpenAi => speech.openai_key.is_some() || speech.openai_url.is_some(),
            Self::Program => speech.program.is_some(),
            Self::ElevenLabs | Self::Edge => false,
        }
    }
}

/// A spoken text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spoken {
    /// The file.
    pub path: PathBuf,
    /// Who spoke.
    pub voice: Voice,
    /// The end of the file's name.
    pub format: String,
}

/// Address of OpenAI.
const OPENAI: &str = "https://api.openai.com/v1";
/// Its model when the file names none.
const MODEL: &str = "gpt-4o-mini-tts";
/// Its voice when the file names none.
const VOICE: &str = "alloy";
/// What a gateway without a voice answers.
const NO_VOICE: &str = "no speech provider is set up: set messages.tts.program, e.g. [\"espeak-ng\", \"-w\", \
                        \"{out}\", \"{text}\"], or messages.tts.openai.apiKey (or OPENAI_API_KEY)";
/// Channels that play Opus as a voice message.
const VOICE_CHANNELS: [&str; 1] = ["telegram"];

impl Gateway {
    /// Who speaks: whom a client chose, else the file, else the first that is set up.
    #[must_use]
    pub fn voice(&self) -> Voice {
        let config = self.config.get();
        let named = self.stores.speech.provider().or_else(|| config.speech.provider.clone());
        let first = || Voice::ALL.into_iter().find(|voice| voice.is_set_up(&config.speech)).unwrap_or(Voice::OpenAi);
        named.as_deref().and_then(Voice::parse).unwrap_or_else(first)
    }

    /// Who speaks when that one can't.
    #[must_use]
    pub fn other_voices(&self) -> Vec<Voice> {
        let (config, chosen) = (self.config.get(), self.voice());
        Voice::ALL.into_iter().filter(|voice| *voice != chosen && voice.is_set_up(&config.speech)).collect()
    }

    /// When answers are spoken: the reference's word.
    #[must_use]
    pub fn speaks(&self) -> String {
        let chosen = self.stores.speech.auto().or_else(|| self.config.get().speech.auto.clone());
        chosen.unwrap_or_else(|| "off".to_owned())
    }

    /// Speaks a text into a file.
    ///
    /// # Errors
    /// `INVALID_REQUEST` for a text that is too long; `UNAVAILABLE` when nobody is set up, or why nobody could.
    pub async fn speak(&self, text: &str, channel: Option<&str>) -> Result<Spoken, Error> {
        if text.chars().count() > SPEECH_TEXT_CHARS {
            return Err(Error::invalid(format!("tts.convert takes at most {SPEECH_TEXT_CHARS} characters")));
        }
        let speech = self.config.get().speech.clone();
        let chosen = self.voice();
        let voices = [chosen].into_iter().chain(self.other_voices()).filter(|voice| voice.is_set_up(&speech));
        let dir = self.places.state_dir.join("media").join("tts");
        self.sys.files.create_dir(&dir).map_err(|error| disk(&error))?;
        self.sweep_speech(&dir);
        let mut problems = Vec::new();
        for voice in voices {
            let name = format!("tts-{}-{}", self.sys.clock.now_ms(), self.sys.chance.hex::<4>());
            let said = match voice {
                Voice::Program => self.speak_by_program(&speech, text, &dir, &name).await,
                _ => self.speak_by_openai(&speech, text, channel, &dir, &name).await,
            };
            match said {
                Ok((path, format)) => {
                    self.sys.files.sync(path.clone()).await.map_err(|error| disk(&error))?;
                    return Ok(Spoken { path, voice, format });
                }
                Err(problem) => {
                    log::warn!("speech by {}: {problem}", voice.name());
                    problems.push(format!("{}: {problem}", voice.name()));
                }
            }
        }
        if problems.is_empty() {
            return Err(Error::unavailable(NO_VOICE));
        }
        Err(Error::unavailable(format!("TTS conversion failed: {}", problems.join("; "))))
    }

    async fn speak_by_program(
        &self,
        speech: &Speech,
        text: &str,
        dir: &Path,
        name: &str,
    ) -> Result<(PathBuf, String), String> {
        let template = speech.program.clone().unwrap_or_default();
        let format = speech.program_format.clone().unwrap_or_else(|| "wav".to_owned());
        let (out, file) = (dir.join(format!("{name}.{format}")), dir.join(format!("{name}.txt")));
        let wants_file = template.iter().any(|part| part.contains("{textFile}"));
        if wants_file {
            self.sys.files.append(&file, text.as_bytes()).map_err(|error| error.kind().to_string())?;
        }
        // A text that begins with a dash is no option.
        let shown = if text.starts_with('-') { format!(" {text}") } else { text.to_owned() };
        let fill = |part: &String| {
            let part = part.replace("{out}", &out.display().to_string());
            part.replace("{textFile}", &file.display().to_string()).replace("{text}", &shown)
        };
        let program = Program {
            argv: template.iter().map(fill).collect(),
            dir: None,
            env: Vec::new(),
            limit: Duration::from_millis(SPEECH_MS),
            output_bytes: PROVIDER_ERROR_BYTES,
            on_line: None,
            sandbox: None,
        };
        let finished = self.sys.processes.run(program).await;
        if wants_file {
            self.forget_speech(&file);
        }
        let finished = finished.map_err(|error| error.to_string())?;
        let size = self.sys.files.size(&out).unwrap_or(0);
        let problem = match finished.ending {
            Ending::Exited(0) if size == 0 => "it wrote no file".to_owned(),
            Ending::Exited(0) if size > SPEECH_FILE_BYTES => format!("it wrote more than {SPEECH_FILE_BYTES} bytes"),
            Ending::Exited(0) => return Ok((out, format)),
            Ending::Exited(code) => {
                let said = finished.stderr.lines().next().unwrap_or_default().trim().to_owned();
                format!("exit {code} {said}").trim_end().to_owned()
            }
            Ending::Killed => "it was killed".to_owned(),
            Ending::TimedOut => format!("not done within {} s", SPEECH_MS / 1000),
        };
        self.forget_speech(&out);
        Err(problem)
    }

    async fn speak_by_openai(
        &self,
        speech: &Speech,
        text: &str,
        channel: Option<&str>,
        dir: &Path,
        name: &str,
    ) -> Result<(PathBuf, String), String> {
        let is_voice = channel.is_some_and(|channel| VOICE_CHANNELS.contains(&channel.trim().to_lowercase().as_str()));
        let format = if is_voice { "opus" } else { "mp3" };
        let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        if let Some(key) = &speech.openai_key {
            headers.push(("authorization".to_owned(), format!("Bearer {}", key.expose())));
        }
        let wait = Duration::from_millis(SPEECH_MS);
        let body = json!({
            "model": speech.openai_model.as_deref().unwrap_or(MODEL),
            "voice": speech.openai_voice.as_deref().unwrap_or(VOICE),
            "input": text,
            "response_format": format,
        });
        let request = Request {
            method: Method::Post,
            url: format!("{}/audio/speech", speech.openai_url.as_deref().unwrap_or(OPENAI)),
            socket: None,
            reach: Reach::Any,
            headers,
            body: body.to_string().into_bytes(),
            limits: http::Limits {
                connect: wait.min(Duration::from_secs(10)),
                first_byte: wait,
                idle: wait,
                body_bytes: SPEECH_FILE_BYTES,
            },
        };
        let out = dir.join(format!("{name}.{format}"));
        let fetched = self.sys.clock.timeout(wait, self.fetch_speech(request, &out)).await;
        let problem = match fetched {
            Ok(Ok(())) => return Ok((out, format.to_owned())),
            Ok(Err(problem)) => problem,
            Err(_) => format!("not done within {} s", SPEECH_MS / 1000),
        };
        self.forget_speech(&out);
        Err(problem)
    }

    async fn fetch_speech(&self, request: Request, out: &Path) -> Result<(), String> {
        let mut response = self.sys.http.send(request).await.map_err(|error| error.to_string())?;
        let mut problem = Vec::new();
        let mut bytes = 0;
        while let Some(piece) = response.body.next().await.map_err(|error| error.to_string())? {
            if response.status == 200 {
                bytes += piece.len();
                self.sys.files.append(out, &piece).map_err(|error| error.kind().to_string())?;
            } else {
                problem.extend_from_slice(&piece);
                if problem.len() > PROVIDER_ERROR_BYTES {
                    break;
                }
            }
        }
        match response.status {
            200 if bytes > 0 => Ok(()),
            200 => Err("an empty answer".to_owned()),
            status => {
                let told = serde_json::from_slice::<serde_json::Value>(&problem).unwrap_or_default();
                let told = told.pointer("/error/message").and_then(serde_json::Value::as_str).unwrap_or_default();
                let told: String = told.chars().take(300).collect();
                Err(format!("HTTP {status} {told}").trim_end().to_owned())
            }
        }
    }

    /// Removes what is old, and the oldest where there is too much.
    fn sweep_speech(&self, dir: &Path) {
        let now_ms = self.sys.clock.now_ms();
        let Ok(mut entries) = self.sys.files.list(dir) else { return };
        entries.retain(|entry| !entry.is_dir && entry.name.starts_with("tts-"));
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.modified_ms));
        for (index, entry) in entries.iter().enumerate() {
            // A clock that was set back makes files of the future; they are not old.
            if index + 1 >= SPEECH_FILES || entry.modified_ms.saturating_add(SPEECH_AGE_MS) < now_ms {
                self.forget_speech(&dir.join(&entry.name));
            }
        }
    }

    fn forget_speech(&self, path: &Path) {
        if let Err(error) = self.sys.files.remove(path) {
            log::warn!("{} can't be removed: {error}", path.display());
        }
    }
}

fn disk(error: &io::Error) -> Error {
    Error::unavailable(format!("the audio file can't be written: {}", error.kind()))
}
