//! What heartbeats used, by day and agent: for the daily ceiling (`heartbeat.maxTokensPerDay`).
//!
//! Kept on disk, so that a restart doesn't give a second ration. A damaged file counts as used up to nothing:
//! it is set aside and the day begins anew.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::stores::{Saver, StoreError, stamp};
use crate::sys::Sys;

/// Largest file, bytes.
const FILE_BYTES: u64 = 64 * 1024;
/// Days that are kept; the clock may jump between two.
const DAYS: usize = 7;

type Days = BTreeMap<String, BTreeMap<String, u64>>;

/// Tokens by day (`YYYY-MM-DD` of the host's zone) and agent.
#[derive(Debug)]
pub struct Tokens {
    saver: Saver,
    path: PathBuf,
    days: RefCell<Days>,
}

impl Tokens {
    /// Reads `heartbeat.json` in the state directory.
    ///
    /// # Errors
    /// What the disk says when a file that is there can't be read.
    pub fn load(sys: &Sys, saver: &Saver, state_dir: &Path) -> Result<Self, StoreError> {
        let path = state_dir.join("heartbeat.json");
        let days = match sys.files.read(&path, FILE_BYTES) {
            Ok(bytes) => serde_json::from_slice::<Days>(&bytes).ok(),
            Err(error) if error.kind() == ErrorKind::NotFound => Some(Days::new()),
            Err(error) if error.kind() == ErrorKind::FileTooLarge => None,
            Err(error) => return Err(error.into()),
        };
        let days = match days {
            Some(days) => days,
            None => {
                let aside = stamp::free_name(&*sys.files, &path, ".damaged-", sys.clock.now_ms())?;
                saver.rename(&path, &aside)?;
                log::warn!("the heartbeats' token counts are unreadable; kept as {}", aside.display());
                Days::new()
            }
        };
        Ok(Self { saver: saver.clone(), path, days: RefCell::new(days) })
    }

    /// What an agent's heartbeats used on a day.
    #[must_use]
    pub fn used(&self, day: &str, agent: &str) -> u64 {
        self.days.borrow().get(day).and_then(|agents| agents.get(agent)).copied().unwrap_or(0)
    }

    /// Counts what one used. Written in the background: a power cut may forget it.
    pub fn add(&self, day: &str, agent: &str, tokens: u64) {
        if tokens == 0 {
            return;
        }
        let mut days = self.days.borrow_mut();
        let used = days.entry(day.to_owned()).or_default().entry(agent.to_owned()).or_default();
        *used = used.saturating_add(tokens);
        while days.len() > DAYS {
            // The oldest, or a day that the clock showed by mistake; never the current one.
            let leaving = days.keys().find(|other| *other != day).cloned().unwrap_or_default();
            days.remove(&leaving);
        }
        // A map of texts and numbers always has a JSON form.
        self.saver.replace(&self.path, serde_json::to_vec_pretty(&*days).unwrap_or_default());
    }
}
