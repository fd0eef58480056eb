//! What a model is told before the conversation: who it is, what the owner wrote for it, what day it is.

use std::fmt::Write as _;
use std::path::Path;

use crate::limits::WORKSPACE_FILE_BYTES;
use crate::sys::Sys;

/// Files of the agent's workspace that go into the prompt, in this order (methods.md 17.1).
pub const WORKSPACE_FILES: [&str; 5] = ["AGENTS.md", "SOUL.md", "TOOLS.md", "IDENTITY.md", "USER.md"];

/// What the prompt is made of.
#[derive(Debug)]
pub struct Parts<'a> {
    /// The agent's name for people.
    pub agent_name: &'a str,
    /// The agent's workspace.
    pub workspace: &'a Path,
    /// Characters of one workspace file that are shown.
    pub file_chars: usize,
    /// The list of skills.
    pub skills: Option<&'a str>,
    /// What the caller adds.
    pub extra: Option<&'a str>,
}

/// The system prompt.
#[must_use]
pub fn system(sys: &Sys, parts: &Parts<'_>) -> String {
    let mut prompt = format!(
        "You are {}, a personal assistant. You run on your owner's own small computer at home, behind a gateway \
         called Barnacle, and you are reached from phones, laptops and chat apps. Answer in the language of the \
         question. Be helpful and brief. Say so when you don't know something; never invent results.\n",
        parts.agent_name
    );
    let today = jiff::Timestamp::from_millisecond(i64::try_from(sys.clock.now_ms()).unwrap_or(0)).unwrap_or_default();
    let today = today.to_zoned(sys.zone.clone());
    let _ = writeln!(prompt, "Today is {}.", today.strftime("%A, %Y-%m-%d (%Z)"));
    for name in WORKSPACE_FILES {
        if let Some(text) = workspace_file(sys, &parts.workspace.join(name), parts.file_chars) {
            let _ = write!(prompt, "\n# {name}\n\n{}\n", text.trim());
        }
    }
    if let Some(skills) = parts.skills {
        let _ = write!(prompt, "\n{skills}");
    }
    if let Some(extra) = parts.extra {
        let _ = write!(prompt, "\n{extra}\n");
    }
    prompt
}

/// A workspace file's beginning, at most `chars` characters; `None` when it is missing, empty, or can't be read (which is logged).
#[must_use]
pub fn workspace_file(sys: &Sys, path: &Path, chars: usize) -> Option<String> {
    let size = sys.files.size(path).ok()?;
    let mut bytes = vec![0; usize::try_from(size.min(WORKSPACE_FILE_BYTES)).unwrap_or(0)];
    let count = match sys.files.read_at(path, 0, &mut bytes) {
        Ok(count) => count,
        Err(error) => {
            log::warn!("workspace file {} can't be read: {error}", path.display());
            return None;
        }
    };
    bytes.truncate(count);
    let text = String::from_utf8_lossy(&bytes);
    if text.trim().is_empty() {
        return None;
    }
    match text.char_indices().nth(chars) {
        Some((end, _)) => Some(format!("{}\n[… cut]", text.get(..end).unwrap_or_default())),
        None => Some(text.into_owned()),
    }
}
