//! `cron`: scheduled jobs (methods.md 9.5).

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::agents::path;
use super::tree::Field;

/// The `cron` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    /// Whether jobs run by themselves.
    pub enabled: bool,
    /// The file of jobs; `None` for the one in the state directory.
    pub store: Option<PathBuf>,
    /// Jobs that run at the same time.
    pub max_concurrent_runs: u64,
    /// How long after the machine's start jobs wait for a time server.
    pub clock_wait_seconds: u64,
    /// What becomes of missed times of a job that doesn't say.
    pub missed: Missed,
}

/// What becomes of times that passed while the gateway didn't run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Missed {
    /// They are left out.
    Skip,
    /// One run makes up for all of them.
    #[default]
    Once,
    /// Each is made up for, up to a bound.
    All,
}

pub(super) fn read(root: &Field<'_>, env: &BTreeMap<String, String>) -> Cron {
    let at = |name: &str| root.find(&format!("cron.{name}"));
    Cron {
        enabled: at("enabled").and_then(|field| field.flag()).unwrap_or(true),
        store: at("store").and_then(|field| path(&field, env)),
        max_concurrent_runs: at("maxConcurrentRuns").and_then(|field| field.whole()).unwrap_or(1),
        clock_wait_seconds: at("clockWaitSeconds").and_then(|field| field.whole()).unwrap_or(120),
        missed: match at("missed").and_then(|field| field.text()) {
            Some("skip") => Missed::Skip,
            Some("all") => Missed::All,
            _ => Missed::Once,
        },
    }
}
