//! What is in the state directory.

use std::path::{Path, PathBuf};

use serde::de::IgnoredAny;

use super::finding::{Finding, Fix};
use super::ground::Ground;
use crate::limits::{BACKUP_FILES, SESSIONS_FILE_BYTES};
use crate::sys::disk::Disk;
use crate::sys::tree::{self, Kind};
use crate::sys::{Files as _, host};

/// Most files that are named one by one.
const NAMED: usize = 5;
/// Files that are one JSON text each, by the end of their path.
const TEXTS: [&str; 11] = [
    "sessions/sessions.json",
    "devices/paired.json",
    "devices/pending.json",
    "nodes/paired.json",
    "nodes/pending.json",
    "nodes/names.json",
    "cron/jobs.json",
    "channels/pairing.json",
    "settings/voicewake.json",
    "settings/tts.json",
    "usage/daily.json",
];

pub(super) fn files(ground: &Ground) -> Vec<Finding> {
    let dir = &ground.places.state_dir;
    let mut findings = Vec::new();
    let mut aside = Vec::new();
    for (path, meta) in found(ground) {
        let name = path.to_string_lossy().into_owned();
        if [".damaged", ".torn-", ".corrupt"].iter().any(|mark| name.contains(mark)) {
            aside.push(path);
        } else if meta.kind == Kind::File && TEXTS.iter().any(|text| path.ends_with(text)) {
            findings.extend(unloadable(dir, &path));
        }
    }
    for path in aside.iter().take(NAMED) {
        let whole = Ground::quoted(&dir.join(path));
        findings.push(
            Finding::note(format!("put aside, because it could not be read whole: {}", path.display()))
                .mend(format!("look into it, then: rm {whole}")),
        );
    }
    if aside.len() > NAMED {
        findings.push(Finding::note(format!("and {} more that were put aside", aside.len() - NAMED)));
    }
    if findings.is_empty() {
        findings.push(Finding::ok("everything loads, nothing was put aside"));
    }
    findings
}

fn unloadable(dir: &Path, path: &Path) -> Option<Finding> {
    let whole = dir.join(path);
    let why = match Disk::default().read(&whole, SESSIONS_FILE_BYTES) {
        Ok(bytes) if bytes.is_empty() => "it is empty".to_owned(),
        Ok(bytes) => serde_json::from_slice::<IgnoredAny>(&bytes).err()?.to_string(),
        Err(error) => error.to_string(),
    };
    Some(
        Finding::fail(format!("{} does not load: {why}; the next start puts it aside", path.display()))
            .mend("bring a backup back (barnacle restore FILE), or go on without it"),
    )
}

pub(super) fn leftovers(ground: &Ground) -> Vec<Finding> {
    // A running gateway is writing such files right now.
    if ground.is_running() {
        return vec![Finding::ok("told while no gateway runs")];
    }
    let is_half = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_known = [".json.tmp", ".jsonl.tmp", ".log.tmp"].iter().any(|end| name.ends_with(end));
        is_known || name == "token.tmp" || name == "sessions.json.new" || name.starts_with(".barnacle-trial-")
    };
    let half: Vec<PathBuf> = found(ground).into_iter().map(|(path, _)| path).filter(|path| is_half(path)).collect();
    if half.is_empty() {
        return vec![Finding::ok("none")];
    }
    half.into_iter()
        .map(|path| {
            let whole = ground.places.state_dir.join(&path);
            Finding::note(format!("a power cut left half of a file: {}", path.display()))
                .mend(format!("rm {}", Ground::quoted(&whole)))
                .fix(Fix::Remove(whole))
        })
        .collect()
}

/// All files but those that agents and installers write as they like.
fn found(ground: &Ground) -> Vec<(PathBuf, tree::Meta)> {
    let is_ours = |path: &Path| !path.starts_with("workspace") && !path.starts_with("skills");
    tree::walk(&ground.places.state_dir, BACKUP_FILES, is_ours).unwrap_or_default()
}

pub(super) fn log(ground: &Ground) -> Vec<Finding> {
    let Some(config) = ground.config() else { return vec![Finding::ok("the configuration comes first")] };
    let logging = &config.logging;
    let file = logging.file.clone().unwrap_or_else(|| ground.places.log_file(&ground.env));
    let Some(dir) = file.parent().filter(|dir| host::is_there(dir)) else {
        return vec![Finding::ok("none yet")];
    };
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let bytes: u64 = Disk::default()
        .list(dir)
        .unwrap_or_default()
        .iter()
        .filter(|entry| entry.name.starts_with(&name))
        .map(|entry| entry.size_bytes)
        .sum();
    let allowed = logging.max_bytes.saturating_mul(logging.files.max(1));
    if bytes > allowed.saturating_mul(2) {
        return vec![
            Finding::warn(format!("{} KB of log files, {} KB are allowed", bytes / 1000, allowed / 1000))
                .mend(format!("ls -l {}", Ground::quoted(dir))),
        ];
    }
    vec![Finding::ok(format!("{} of {} KB", bytes / 1000, allowed / 1000))]
}
