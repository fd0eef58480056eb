//! `logging`: what is written where, and how much of it is kept (methods.md 9.5, INTEGRATIONS.md 6.6).

use std::collections::BTreeMap;
use std::path::PathBuf;

use log::LevelFilter;

use super::tree::Field;

/// The `logging` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logging {
    /// Least important lines in the log file.
    pub level: LevelFilter,
    /// Least important lines on the console.
    pub console_level: LevelFilter,
    /// The log file; `None` for the one in the state directory.
    pub file: Option<PathBuf>,
    /// Size at which the file is put aside, bytes.
    pub max_bytes: u64,
    /// Files kept, the current one included.
    pub files: u64,
    /// Age at which a file is deleted, days.
    pub days: u64,
}

pub(super) fn read(root: &Field<'_>, env: &BTreeMap<String, String>) -> Logging {
    let at = |path: &str| root.find(&format!("logging.{path}"));
    let level = |path: &str| at(path).and_then(|field| parse_level(field.text()?)).unwrap_or(LevelFilter::Info);
    let whole = |path: &str, default: u64| at(path).and_then(|field| field.whole()).unwrap_or(default);
    Logging {
        level: level("level"),
        console_level: level("consoleLevel"),
        file: at("file").and_then(|field| super::agents::path(&field, env)),
        max_bytes: whole("maxBytes", 262_144),
        files: whole("files", 4),
        days: whole("days", 14),
    }
}

fn parse_level(text: &str) -> Option<LevelFilter> {
    Some(match text {
        "silent" => LevelFilter::Off,
        "fatal" | "error" => LevelFilter::Error,
        "warn" => LevelFilter::Warn,
        "info" => LevelFilter::Info,
        "debug" => LevelFilter::Debug,
        "trace" => LevelFilter::Trace,
        _ => return None,
    })
}
