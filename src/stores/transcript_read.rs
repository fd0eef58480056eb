//! Reading transcripts, from the end in blocks: the newest messages, a prompt's history, previews.
//! Nothing is changed; a line that says nothing readable is passed over and counted.

use std::io::ErrorKind;

use serde_json::Value;
use serde_json::value::RawValue;

use super::StoreError;
use super::lines::{Backward, Forward, Found};
use super::tool_pairs::pair_tool_results;
use super::transcript_file::TranscriptFile;
use super::transcript_line::Item;
use super::transcripts::TranscriptStore;
use crate::limits::{PREVIEW_READ_BYTES, TRANSCRIPT_LINE_BYTES};
use crate::wire::message::{Content, Message, UserMessage};

/// Where a title is looked for (methods.md 7.2).
const TITLE_BYTES: usize = 8 * 1024;
const TITLE_LINES: usize = 10;
/// Longest title, characters.
const TITLE_CHARS: usize = 60;
/// Where the last text is looked for (methods.md 7.2).
const LAST_TEXT_BYTES: u64 = 16 * 1024;
const LAST_TEXT_LINES: usize = 20;
/// Tool names that a preview shows.
const PREVIEW_TOOLS: usize = 2;

/// Messages in their order, with what could not be read.
#[derive(Debug, Clone)]
pub struct Messages<M> {
    /// The messages, oldest first.
    pub items: Vec<M>,
    /// Lines that were passed over.
    pub skipped: usize,
}

/// One line of a preview (methods.md 7.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviewItem {
    /// `user`, `assistant`, `tool`, `system` or `other`.
    pub role: &'static str,
    /// The text, cut to the wanted length.
    pub text: String,
}

impl TranscriptStore {
    /// The last `limit` messages as they are stored, at most `max_bytes` of JSON but at least one
    /// (methods.md 6.2). Looks at no more than twice `max_bytes` and one line. A missing file has
    /// none.
    ///
    /// # Errors
    /// What the disk says.
    pub fn tail(
        &self,
        file: &TranscriptFile,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Messages<Box<RawValue>>, StoreError> {
        let mut items = Vec::new();
        let mut bytes = 0;
        let reach = 2 * max_bytes as u64 + TRANSCRIPT_LINE_BYTES as u64;
        let skipped = self.walk_back(file, reach, |item| {
            if let Item::Message(_, message) = item {
                bytes += message.get().len() + 1;
                if items.len() >= limit || (bytes > max_bytes && !items.is_empty()) {
                    return Walk::Stop;
                }
                items.push(message.to_owned());
            }
            Walk::On
        })?;
        items.reverse();
        Ok(Messages { items, skipped })
    }

    /// What a model is shown of the conversation: at most `max_bytes` of transcript, the oldest left
    /// out. A summary stands for what it replaced. Every tool call has a result (`interrupted` when
    /// none was written) and every result its call.
    ///
    /// # Errors
    /// What the disk says.
    pub fn history_for_prompt(&self, file: &TranscriptFile, max_bytes: usize) -> Result<Messages<Message>, StoreError> {
        let mut items = Vec::new();
        let mut unreadable = 0;
        let mut bytes = 0;
        let mut summary: Option<(String, Message)> = None;
        let reach = 2 * max_bytes as u64 + TRANSCRIPT_LINE_BYTES as u64;
        let skipped = self.walk_back(file, reach, |item| {
            let is_first_kept = |id: &Option<String>, summary: &Option<(String, Message)>| {
                summary.as_ref().is_some_and(|(first_kept, _)| id.as_deref() == Some(first_kept))
            };
            match item {
                Item::Message(id, raw) => {
                    bytes += raw.get().len();
                    if bytes > max_bytes {
                        return Walk::Stop;
                    }
                    match serde_json::from_str::<Message>(raw.get()) {
                        Ok(message) => items.push(message),
                        Err(_) => unreadable += 1,
                    }
                    if is_first_kept(&id, &summary) { Walk::Stop } else { Walk::On }
                }
                Item::Compaction(id, compaction) if summary.is_none() => {
                    bytes += compaction.summary.len();
                    let timestamp = compaction.timestamp_ms();
                    let text = format!("Summary of the conversation up to here:\n\n{}", compaction.summary);
                    let message = Message::User(UserMessage { content: Content::Text(text), timestamp });
                    let ends_here = id.as_deref() == Some(compaction.first_kept_entry_id.as_str());
                    summary = Some((compaction.first_kept_entry_id, message));
                    if ends_here { Walk::Stop } else { Walk::On }
                }
                Item::Other(id) | Item::Compaction(id, _) if is_first_kept(&id, &summary) => Walk::Stop,
                _ => Walk::On,
            }
        })?;
        items.extend(summary.map(|(_, message)| message));
        items.reverse();
        Ok(Messages { items: pair_tool_results(items), skipped: skipped + unreadable })
    }

    /// A title from the first user message in the first 8 KiB and 10 lines: one line, 60
    /// characters, cut at a space (methods.md 7.2).
    ///
    /// # Errors
    /// What the disk says.
    pub fn first_user_text(&self, file: &TranscriptFile) -> Result<Option<String>, StoreError> {
        let files = &*self.0.sys.files;
        for line in Forward::from(files, file.path(), 0, TITLE_BYTES).take(TITLE_LINES) {
            let line = match line {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                other => other?,
            };
            let Some(bytes) = line.whole().filter(|bytes| line.start + bytes.len() as u64 <= TITLE_BYTES as u64) else {
                continue;
            };
            if let Some(Message::User(message)) = message_of(bytes) {
                let text = Message::User(message).text();
                return Ok(Some(title(&text)).filter(|title| !title.is_empty()));
            }
        }
        Ok(None)
    }

    /// The last text of a person or the model in the last 16 KiB and 20 lines (methods.md 7.2).
    ///
    /// # Errors
    /// What the disk says.
    pub fn last_text(&self, file: &TranscriptFile) -> Result<Option<String>, StoreError> {
        let mut found = None;
        let mut lines = 0;
        self.walk_back(file, LAST_TEXT_BYTES, |item| {
            lines += 1;
            if let Item::Message(_, raw) = item {
                found = match serde_json::from_str::<Message>(raw.get()) {
                    Ok(message @ (Message::User(_) | Message::Assistant(_))) => Some(message.text().trim().to_string()),
                    _ => None,
                }
                .filter(|text| !text.is_empty());
            }
            if found.is_some() || lines >= LAST_TEXT_LINES { Walk::Stop } else { Walk::On }
        })?;
        Ok(found)
    }

    /// The last `limit` messages in short (methods.md 7.3), each cut to `max_chars` with `...`.
    /// Looks at no more than [`PREVIEW_READ_BYTES`] and one line.
    ///
    /// # Errors
    /// What the disk says.
    pub fn preview(
        &self,
        file: &TranscriptFile,
        limit: usize,
        max_chars: usize,
    ) -> Result<Vec<PreviewItem>, StoreError> {
        let mut items = Vec::new();
        self.walk_back(file, PREVIEW_READ_BYTES as u64, |item| {
            if items.len() >= limit {
                return Walk::Stop;
            }
            if let Item::Message(_, raw) = item {
                items.extend(serde_json::from_str(raw.get()).ok().and_then(|message| preview_of(&message, max_chars)));
            }
            Walk::On
        })?;
        items.reverse();
        Ok(items)
    }

    /// How many lines the transcript has, without its header; 0 without a file.
    ///
    /// # Errors
    /// What the disk says.
    pub fn line_count(&self, file: &TranscriptFile) -> Result<u64, StoreError> {
        let mut count = 0;
        for line in Forward::from(&*self.0.sys.files, file.path(), 0, TRANSCRIPT_LINE_BYTES) {
            let line = match line {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
                other => other?,
            };
            let is_header = line.start == 0 && matches!(line.whole().and_then(Item::parse), Some(Item::Header));
            if !is_header && !matches!(line.found, Found::Unended(_)) {
                count += 1;
            }
        }
        Ok(count)
    }

    /// Shows `look` the entries from the last one back, until it stops, the header, or more than
    /// `reach` bytes from the end; gives back how many lines said nothing. A missing file has none.
    fn walk_back(
        &self,
        file: &TranscriptFile,
        reach: u64,
        mut look: impl FnMut(Item<'_>) -> Walk,
    ) -> Result<usize, StoreError> {
        let files = &*self.0.sys.files;
        let (size, lines) = match Backward::from_end(files, file.path(), TRANSCRIPT_LINE_BYTES) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
            lines => (files.size(file.path())?, lines?),
        };
        let mut skipped = 0;
        for line in lines {
            let line = line?;
            match line.whole().map(Item::parse) {
                Some(Some(item)) => {
                    if look(item) == Walk::Stop {
                        break;
                    }
                }
                Some(None) if line.whole().is_some_and(<[u8]>::is_empty) => {}
                _ => skipped += 1,
            }
            if size.saturating_sub(line.start) > reach {
                break;
            }
        }
        Ok(skipped)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Walk {
    On,
    Stop,
}

fn message_of(line: &[u8]) -> Option<Message> {
    match Item::parse(line)? {
        Item::Message(_, raw) => serde_json::from_str(raw.get()).ok(),
        _ => None,
    }
}

/// One line of at most [`TITLE_CHARS`], cut at a space if there is one in its later half.
fn title(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= TITLE_CHARS {
        return line;
    }
    let cut: String = line.chars().take(TITLE_CHARS - 1).collect();
    let at_space = cut.rsplit_once(' ').map(|(before, _)| before);
    let kept = at_space.filter(|before| before.chars().count() >= TITLE_CHARS / 2).unwrap_or(&cut);
    format!("{kept}…")
}

fn preview_of(message: &Value, max_chars: usize) -> Option<PreviewItem> {
    let blocks = match message.get("content") {
        Some(Value::String(text)) => return Some(item(role_of(message, false), text.trim(), max_chars)),
        Some(Value::Array(blocks)) => blocks.as_slice(),
        _ => &[],
    };
    let of_kind =
        |kind: &'static str| blocks.iter().filter(move |block| block.get("type").and_then(Value::as_str) == Some(kind));
    let texts: Vec<_> = of_kind("text").filter_map(|block| block.get("text")?.as_str()).collect();
    let tools: Vec<_> = of_kind("toolCall").filter_map(|block| block.get("name")?.as_str()).collect();
    let mut text = texts.join("\n").trim().to_string();
    if text.is_empty() && !tools.is_empty() {
        text = format!("call {}", tools.iter().take(PREVIEW_TOOLS).copied().collect::<Vec<_>>().join(", "));
        if tools.len() > PREVIEW_TOOLS {
            text.push_str(&format!(" +{}", tools.len() - PREVIEW_TOOLS));
        }
    } else if text.is_empty() && of_kind("image").next().is_some() {
        text = "[image]".to_string();
    }
    (!text.is_empty()).then(|| item(role_of(message, !tools.is_empty()), &text, max_chars))
}

fn role_of(message: &Value, calls_tools: bool) -> &'static str {
    match message.get("role").and_then(Value::as_str) {
        _ if calls_tools => "tool",
        Some("toolResult" | "tool") => "tool",
        Some("user") => "user",
        Some("assistant") => "assistant",
        Some("system") => "system",
        _ => "other",
    }
}

fn item(role: &'static str, text: &str, max_chars: usize) -> PreviewItem {
    if text.chars().count() <= max_chars {
        return PreviewItem { role, text: text.to_string() };
    }
    let cut: String = text.chars().take(max_chars.saturating_sub(3)).collect();
    PreviewItem { role, text: format!("{cut}...") }
}
