//! Which file is a session's transcript. Texts from clients and from disk become a path only here.

use std::path::{Path, PathBuf};

use super::StoreError;

/// Longest session id, bytes.
const SESSION_ID_BYTES: usize = 128;
/// Names that belong to the session index's journals.
const RESERVED_PREFIX: &str = "sessions.journal";
/// How a transcript's name ends.
const SUFFIX: &str = ".jsonl";

/// A transcript's place: always a file directly in the sessions directory it was made for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TranscriptFile {
    path: PathBuf,
    session_id: String,
}

impl TranscriptFile {
    /// The transcript of `session_id` in `sessions_dir`: `<sessionId>.jsonl`, or the entry's
    /// `sessionFile` if that is a transcript directly in the directory (Telegram topics); any other
    /// `sessionFile` is ignored.
    ///
    /// # Errors
    /// [`StoreError::BadSessionId`] unless the id is 1 to 128 of `A-Z a-z 0-9 . _ -` without a
    /// leading dot, and no name of the index's own.
    pub fn new(sessions_dir: &Path, session_id: &str, session_file: Option<&str>) -> Result<Self, StoreError> {
        if !is_safe_id(session_id) {
            return Err(StoreError::BadSessionId);
        }
        let named = session_file.map(|file| sessions_dir.join(file)).filter(|path| {
            path.parent() == Some(sessions_dir)
                && path.file_name().and_then(|name| name.to_str()?.strip_suffix(SUFFIX)).is_some_and(is_safe_id)
        });
        let path = named.unwrap_or_else(|| sessions_dir.join(format!("{session_id}{SUFFIX}")));
        Ok(Self { path, session_id: session_id.to_string() })
    }

    /// Where it is. For the answers that show it (methods.md 7.5), and for the owner.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The session's id.
    #[must_use]
    pub fn session_id(&self) -> &str {
        &self.session_id
    }
}

/// Whether a session id can be a file name.
#[must_use]
pub fn is_safe_id(id: &str) -> bool {
    !id.is_empty()
        && id.len() <= SESSION_ID_BYTES
        && !id.starts_with('.')
        && !id.starts_with(RESERVED_PREFIX)
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIR: &str = "/s/agents/main/sessions";

    fn place(id: &str, file: Option<&str>) -> Result<String, StoreError> {
        TranscriptFile::new(Path::new(DIR), id, file).map(|file| file.path().display().to_string())
    }

    #[test]
    fn no_id_leads_out_of_the_directory_or_into_the_index() {
        for id in ["", ".", "..", "../x", "a/b", "/etc/passwd", "a\0b", ".hidden", "a b", "ü", "sessions.journal.3"] {
            assert_eq!(place(id, None), Err(StoreError::BadSessionId), "{id:?}");
        }
        assert_eq!(place(&"x".repeat(129), None), Err(StoreError::BadSessionId));
        assert_eq!(place("a.B_c-9", None).unwrap(), format!("{DIR}/a.B_c-9.jsonl"));
    }

    #[test]
    fn a_named_file_counts_only_directly_in_the_directory() {
        let default = format!("{DIR}/id.jsonl");
        let topic = format!("{DIR}/id-topic-7.jsonl");
        assert_eq!(place("id", Some(&topic)).unwrap(), topic);
        assert_eq!(place("id", Some("id-topic-7.jsonl")).unwrap(), topic);
        for bad in [
            "/etc/passwd",
            "/etc/x.jsonl",
            "../x.jsonl",
            "sub/x.jsonl",
            "x.txt",
            "",
            "sessions.json",
            "sessions.journal.jsonl",
            ".jsonl",
            "/s/agents/main/sessions/../sessions/x.jsonl",
        ] {
            assert_eq!(place("id", Some(bad)).unwrap(), default, "{bad:?}");
        }
    }
}
