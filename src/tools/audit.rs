//! What agents did: a line for each call, before it runs and after. `audit/tools.jsonl`, rotated by size.
//!
//! A line names the tool, who asked, the decision and by whom, and what the call was about; arguments and results are
//! in the transcript, not here. Secrets of the configuration are hidden.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::config::tools::Decision;
use crate::limits::{AUDIT_BYTES, AUDIT_FILES};
use crate::runs::tools::Scene;
use crate::stores::lines::Backward;
use crate::stores::{Durability, Durable, Saver, StoreError};
use crate::sys::{Files, Sys};

/// Longest line, bytes.
const LINE_BYTES: usize = 16 * 1024;

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
        let path = path_in(state_dir);
        if let Some(dir) = path.parent() {
            sys.files.create_dir(dir)?;
        }
        Ok(Self { sys: sys.clone(), saver: saver.clone(), path })
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
        let numbered = |number: u64| numbered(&self.path, number);
        self.saver.remove(&numbered(AUDIT_FILES - 1))?;
        for number in (1..AUDIT_FILES - 1).rev() {
            if files.size(&numbered(number)).is_ok() {
                self.saver.rename(&numbered(number), &numbered(number + 1))?;
            }
        }
        self.saver.rename(&self.path, &numbered(1))
    }
}

/// The newest lines of the log below `state_dir` that `is_wanted` takes, at most `limit`, the newest first. What can't
/// be read is passed over.
///
/// # Errors
/// What the disk says of a file that is there.
pub fn newest(
    files: &dyn Files,
    state_dir: &Path,
    limit: usize,
    is_wanted: impl Fn(&Value) -> bool,
) -> Result<Vec<Value>, StoreError> {
    let path = path_in(state_dir);
    let mut found = Vec::new();
    for number in 0..AUDIT_FILES {
        let path = if number == 0 { path.clone() } else { numbered(&path, number) };
        let lines = match Backward::from_end(files, &path, LINE_BYTES) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            lines => lines?,
        };
        for line in lines {
            if found.len() >= limit {
                return Ok(found);
            }
            let line = line?;
            let entry = line.whole().and_then(|bytes| serde_json::from_slice::<Value>(bytes).ok());
            found.extend(entry.filter(&is_wanted));
        }
    }
    Ok(found)
}

fn path_in(state_dir: &Path) -> PathBuf {
    state_dir.join("audit").join("tools.jsonl")
}

fn numbered(path: &Path, number: u64) -> PathBuf {
    PathBuf::from(format!("{}.{number}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::asker::Asker;
    use crate::stores::SessionKey;
    use crate::stores::bench::Bench;

    #[test]
    fn the_log_is_bounded_and_its_newest_lines_come_first() {
        let bench = Bench::new(1);
        let audit = Audit::new(&bench.sys, &bench.saver, Path::new("/s")).unwrap();
        let (session, run_id) = (SessionKey::main_of("main"), "r".to_owned());
        let scene = Scene { session, agent_id: "main".into(), run_id, asker: Asker::Schedule };
        let long = "x".repeat(400);
        for index in 0..12_000 {
            let tool = if index % 2 == 0 { "read" } else { "write" };
            let summary = format!("{index} {long}");
            let entry =
                Entry { scene: &scene, tool, summary: &summary, decision: Decision::Allow, outcome: "done", by: None };
            drop(audit.note(&entry, Durability::Lazy).unwrap());
        }
        bench.run(bench.saver.flush_all()).unwrap();
        let entries = bench.sys.files.list(Path::new("/s/audit")).unwrap();
        assert_eq!(entries.len() as u64, AUDIT_FILES);
        assert!(entries.iter().all(|entry| entry.size_bytes <= AUDIT_BYTES));
        let read = newest(&*bench.sys.files, Path::new("/s"), 3, |line| line["tool"] == "read").unwrap();
        let told: Vec<_> =
            read.iter().map(|line| line["summary"].as_str().unwrap().split(' ').next().unwrap()).collect();
        assert_eq!(told, ["11998", "11996", "11994"]);
        assert!(newest(&*bench.sys.files, Path::new("/s"), 100_000, |_| true).unwrap().len() > 4000);
    }
}
