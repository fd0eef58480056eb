//! Files of the agent's workspace: read, write, edit, list. Nothing outside of it is touched, and no link leads out.

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use data_encoding::BASE64;

use super::{Cx, Group, Problem, Risk, Tool};
use crate::limits::{
    TOOL_IMAGE_BYTES, TOOL_TEXT_BYTES, WORKSPACE_ENTRIES, WORKSPACE_READ_LINES, WORKSPACE_WRITE_BYTES,
};
use crate::runs::tools::ToolOutput;
use crate::skills;
use crate::wire::message::Block;
use crate::wire::shape::{int_within, text, text_within};

/// Rows.
pub(super) const TOOLS: &[Tool] = &[
    Tool::new(
        "read",
        Group::Files,
        Risk::Look,
        "Reads a file of your workspace: text by lines, or a picture (png, jpg, gif, webp), which you can look at.",
        tool!(read),
    ),
    Tool::new(
        "write",
        Group::Files,
        Risk::Change,
        "Writes a text file in your workspace, in place of the one that is there; directories are made as needed.",
        tool!(write),
    )
    .told_as(|arguments| path_of(arguments)),
    Tool::new(
        "edit",
        Group::Files,
        Risk::Change,
        "Replaces one piece of a text file in your workspace. `oldText` must stand there exactly once.",
        tool!(edit),
    )
    .told_as(|arguments| path_of(arguments)),
    Tool::new("ls", Group::Files, Risk::Look, "Lists a directory of your workspace.", tool!(list)),
];

crate::wire! {
    /// Which part of which file.
    pub struct ReadParams {
        /// Below the workspace.
        path: String = text_within(1, 1024),
        /// First line, from 1.
        offset: Option<u64> = int_within(1, 10_000_000),
        /// How many lines; 2,000 at most.
        limit: Option<u64> = int_within(1, 2000),
    }

    /// A file and its content.
    pub struct WriteParams {
        /// Below the workspace.
        path: String = text_within(1, 1024),
        content: String,
    }

    /// A change of a file.
    pub struct EditParams {
        /// Below the workspace.
        path: String = text_within(1, 1024),
        /// What is replaced, exactly as it stands there.
        old_text: String = text(1),
        /// What comes in its place.
        new_text: String,
    }

    /// Which directory.
    pub struct ListParams {
        /// Below the workspace; the workspace itself when it is left out.
        path: Option<String> = text_within(0, 1024),
    }
}

async fn read(cx: Cx, params: ReadParams) -> Result<ToolOutput, Problem> {
    let path = Place::find(&cx, &params.path)?;
    if let Some(mime_type) = picture(&path.0) {
        let bytes = path.bytes(&cx, TOOL_IMAGE_BYTES / 4 * 3)?;
        let data = BASE64.encode(&bytes);
        let image = Block::Image { data, mime_type: mime_type.to_owned() };
        return Ok(ToolOutput { content: vec![image], details: None, is_error: false });
    }
    let bytes = path.bytes(&cx, READ_BYTES)?;
    if bytes.contains(&0) {
        return Err(Problem::from("It is no text file."));
    }
    let text = String::from_utf8_lossy(&bytes);
    let first = usize::try_from(params.offset.unwrap_or(1)).unwrap_or(usize::MAX) - 1;
    let most = params.limit.map_or(WORKSPACE_READ_LINES, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let count = text.lines().count();
    if first > 0 && first >= count {
        return Err(Problem(format!("The file has {count} lines.")));
    }
    let mut out = String::new();
    let mut shown = 0;
    for line in text.lines().skip(first).take(most) {
        if out.len() + line.len() + 1 > TOOL_TEXT_BYTES - 200 {
            break;
        }
        out.push_str(line);
        out.push('\n');
        shown += 1;
    }
    let next = first + shown;
    if next < count {
        let _ = write!(out, "[{} more lines; read on with offset {}]", count - next, next + 1);
    }
    Ok(ToolOutput::text(out))
}

async fn write(cx: Cx, params: WriteParams) -> Result<ToolOutput, Problem> {
    let path = Place::find(&cx, &params.path)?;
    path.replace(&cx, params.content.into_bytes()).await?;
    Ok(ToolOutput::text(format!("Written: {}", params.path)))
}

async fn edit(cx: Cx, params: EditParams) -> Result<ToolOutput, Problem> {
    let path = Place::find(&cx, &params.path)?;
    let bytes = path.bytes(&cx, WORKSPACE_WRITE_BYTES)?;
    let text = String::from_utf8(bytes).map_err(|_| Problem::from("It is no text file."))?;
    match text.matches(&params.old_text).count() {
        1 => {}
        0 => return Err(Problem::from("oldText does not stand in the file; read it and try again.")),
        count => return Err(Problem(format!("oldText stands there {count} times; give more of what is around it."))),
    }
    path.replace(&cx, text.replacen(&params.old_text, &params.new_text, 1).into_bytes()).await?;
    Ok(ToolOutput::text(format!("Changed: {}", params.path)))
}

async fn list(cx: Cx, params: ListParams) -> Result<ToolOutput, Problem> {
    let path = Place::find(&cx, params.path.as_deref().unwrap_or("."))?;
    let entries = cx.gateway.sys.files.list(&path.0).map_err(|error| told(error.kind()))?;
    let mut out = String::new();
    for entry in entries.iter().take(WORKSPACE_ENTRIES) {
        if entry.is_dir {
            let _ = writeln!(out, "{}/", entry.name);
        } else {
            let _ = writeln!(out, "{}  {} bytes", entry.name, entry.size_bytes);
        }
    }
    if entries.len() > WORKSPACE_ENTRIES {
        let _ = write!(out, "[{} more]", entries.len() - WORKSPACE_ENTRIES);
    }
    Ok(ToolOutput::text(if out.is_empty() { "It is empty.".to_owned() } else { out }))
}

/// Longest text file that is read at all, bytes.
const READ_BYTES: usize = 8 * 1024 * 1024;

/// A path within the workspace.
#[derive(Debug)]
pub(super) struct Place(pub(super) PathBuf);

impl Place {
    /// Makes sure that a path stays in the agent's workspace, links followed.
    pub(super) fn find(cx: &Cx, path: &str) -> Result<Self, Problem> {
        let files = &cx.gateway.sys.files;
        let config = cx.gateway.config.get();
        let workspace = skills::workspace_of(&config, &cx.gateway.places, &cx.scene.agent_id);
        files.create_dir(&workspace).map_err(|error| told(error.kind()))?;
        let root = files.real_path(&workspace).map_err(|error| told(error.kind()))?;
        let outside = || Problem::from("That path is outside of your workspace; only files below it can be used.");
        let asked = Path::new(path.trim());
        let below = match asked.strip_prefix(&workspace).or_else(|_| asked.strip_prefix(&root)) {
            Ok(below) => below,
            Err(_) if asked.is_absolute() => return Err(outside()),
            Err(_) => asked,
        };
        let is_plain = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
        if !below.components().all(is_plain) || path.contains('\0') {
            return Err(outside());
        }
        let full = root.join(below);
        // What is there already must be inside too, whatever links it is reached by.
        let mut known = full.as_path();
        loop {
            match files.real_path(known) {
                Ok(real) if real.starts_with(&root) => break,
                Ok(_) => return Err(outside()),
                Err(error) if error.kind() == ErrorKind::NotFound => match known.parent() {
                    Some(parent) => known = parent,
                    None => return Err(outside()),
                },
                Err(error) => return Err(told(error.kind())),
            }
        }
        Ok(Self(full))
    }

    pub(super) fn bytes(&self, cx: &Cx, most: usize) -> Result<Vec<u8>, Problem> {
        cx.gateway.sys.files.read(&self.0, most as u64).map_err(|error| match error.kind() {
            ErrorKind::FileTooLarge => Problem(format!("It is larger than {most} bytes.")),
            kind => told(kind),
        })
    }

    pub(super) async fn replace(&self, cx: &Cx, bytes: Vec<u8>) -> Result<(), Problem> {
        if bytes.len() > WORKSPACE_WRITE_BYTES {
            return Err(Problem(format!(
                "A file may have {WORKSPACE_WRITE_BYTES} bytes; this one has {}.",
                bytes.len()
            )));
        }
        let files = &cx.gateway.sys.files;
        if let Some(parent) = self.0.parent() {
            files.create_dir(parent).map_err(|error| told(error.kind()))?;
        }
        files.replace(self.0.clone(), bytes).await.map_err(|error| told(error.kind()))
    }
}

fn told(kind: ErrorKind) -> Problem {
    Problem(match kind {
        ErrorKind::NotFound => "There is no such file or directory.".to_owned(),
        ErrorKind::IsADirectory => "It is a directory.".to_owned(),
        ErrorKind::NotADirectory => "It is no directory.".to_owned(),
        kind => format!("The disk says: {kind}."),
    })
}

fn picture(path: &Path) -> Option<&'static str> {
    match path.extension()?.to_str()?.to_lowercase().as_str() {
        "png" => Some("image/png"),
        "jpg" | "jpeg" => Some("image/jpeg"),
        "gif" => Some("image/gif"),
        "webp" => Some("image/webp"),
        _ => None,
    }
}

fn path_of(arguments: &serde_json::Value) -> String {
    arguments.get("path").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
}
