//! What agents did: a line for each call, before it runs and after. `audit/tools.jsonl`, rotated by size.
//!
//! A line names the tool, who asked, the decision and by whom, and what the call was about; arguments and results are
//! in the transcript, not here. Secrets of the configuration are hidden.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::config::tools::Decision;
use crate::limits::{AUDIT_BYTES, AUDIT_FILES};
use crate::runs::tools::Scene;
use crate::stores::{Durability, Durable, Saver, StoreError};
use crate::sys::Sys;

/// The log.
#[derive(Debug)]
pub struct Audit {
    sys: Sys,
    saver: Saver,
    path: PathBuf,
}

/// One call.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    /// Where and for whom.
    pub scene: &'a Scene,
    /// The tool.
    pub tool: &'a str,
    /// What the call was about.
    pub summary: &'a str,
    /// The policy's word.
    pub decision: Decision,
    /// What became of it: `runs`, `done`, `failed`, `refused`, `denied`, `expired`.
    pub outcome: &'a str,
    /// Who approved or denied it, if somebody was asked.
    pub by: Option<&'a str>,
}

impl Audit {
    /// The log below `state_dir`. Reads nothing.
    ///
    /// # Errors
    /// What the disk says when its directory can't be made.
    pub fn new(sys: &Sys, saver: &Saver, state_dir: &Path) -> Result<Self, StoreError> {
        let dir = state_dir.join("audit");
        sys.files.create_dir(&dir)?;
        Ok(Self { sys: sys.clone(), saver: saver.clone(), path: dir.join("tools.jsonl") })
    }

    /// Adds a line. The future tells when it is on the medium.
    ///
    /// # Errors
    /// What the disk says; the call must not run then.
    pub fn note(&self, entry: &Entry<'_>, durability: Durability) -> Result<Durable, StoreError> {
        let scene = entry.scene;
        let mut line = json!({
            "ts": self.sys.clock.now_ms(),
            "tool": entry.tool,
            "outcome": entry.outcome,
            "decision": entry.decision.name(),
            "summary": entry.summary,
            "agentId": scene.agent_id,
            "sessionKey": scene.session.as_str(),
            "runId": scene.run_id,
            "way": scene.asker.way(),
            "asker": scene.asker.name(),
        });
        if let (Value::Object(line), Some(by)) = (&mut line, entry.by) {
            line.insert("by".into(), by.into());
        }
        let mut bytes = line.to_string().into_bytes();
        bytes.push(b'\n');
        self.make_room(bytes.len() as u64)?;
        self.saver.append(&self.path, &bytes, durability)?;
        Ok(self.saver.synced(&self.path))
    }

    /// A full file becomes `.1`, that one `.2`, and the oldest goes.
    fn make_room(&self, more: u64) -> Result<(), StoreError> {
        let files = &self.sys.files;
        if files.size(&self.path).unwrap_or(0) + more <= AUDIT_BYTES {
            return Ok(());
        }
        let numbered = |number: u64| PathBuf::from(format!("{}.{number}", self.path.display()));
        self.saver.remove(&numbered(AUDIT_FILES - 1))?;
        for number in (1..AUDIT_FILES - 1).rev() {
            if files.size(&numbered(number)).is_ok() {
                self.saver.rename(&numbered(number), &numbered(number + 1))?;
            }
        }
        self.saver.rename(&self.path, &numbered(1))
    }
}
