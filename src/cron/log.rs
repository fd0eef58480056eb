//! What came of a job's runs: a file of JSON lines for each job (methods.md 10.7).
//!
//! A file that has grown too long is cut to its last lines. The log of a removed job stays until there are
//! too many of them; then the oldest go.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::job::{Status, is_id};
use crate::limits::{CRON_LOG_BYTES, CRON_LOG_FILES, CRON_LOG_LINE_BYTES, CRON_LOG_LINES};
use crate::stores::lines::Backward;
use crate::stores::{Durability, Saver, StoreError};
use crate::sys::Sys;

crate::wire! {
    /// One run that ended.
    pub struct Entry {
        /// When it was written, milliseconds since the Unix epoch.
        ts: u64,
        job_id: String,
        /// `finished`.
        action: String,
        status: Status,
        error: Option<String>,
        summary: Option<String>,
        run_at_ms: u64,
        duration_ms: u64,
        next_run_at_ms: Option<u64>,
    }
}

/// The logs of all jobs.
#[derive(Debug, Clone)]
pub struct RunLog {
    sys: Sys,
    saver: Saver,
    dir: PathBuf,
}

impl RunLog {
    /// The logs beside the book at `book`, in `runs`.
    ///
    /// # Errors
    /// What the disk says when the directory can't be made.
    pub fn beside(sys: &Sys, saver: &Saver, book: &Path) -> Result<Self, StoreError> {
        Self::check(sys, book)?;
        Ok(Self { sys: sys.clone(), saver: saver.clone(), dir: dir_beside(book) })
    }

    /// Whether they can be beside the book at `book`; makes their directory.
    ///
    /// # Errors
    /// What the disk says when it can't be made.
    pub fn check(sys: &Sys, book: &Path) -> Result<(), StoreError> {
        Ok(sys.files.create_dir(&dir_beside(book))?)
    }

    /// Adds a run and cuts a file that has grown too long; durable when it resolves.
    ///
    /// # Errors
    /// What the disk says.
    pub async fn add(&self, entry: &Entry) -> Result<(), StoreError> {
        let Some(path) = self.path(&entry.job_id) else { return Ok(()) };
        let mut line = serde_json::to_vec(entry).map_err(|_| StoreError::Disk(ErrorKind::InvalidData))?;
        line.push(b'\n');
        if self.is_torn(&path)? {
            line.insert(0, b'\n');
        }
        self.saver.append(&path, &line, Durability::Forced)?;
        self.saver.synced(&path).await?;
        if self.sys.files.size(&path)? > CRON_LOG_BYTES {
            let lines = self.tail(&path, CRON_LOG_LINES)?;
            // Half of the room at most, or long lines would have the file cut at every run.
            let mut room = usize::try_from(CRON_LOG_BYTES / 2).unwrap_or(usize::MAX);
            let fits = |line: &&Vec<u8>| {
                let left = room.checked_sub(line.len() + 1);
                room = left.unwrap_or_default();
                left.is_some()
            };
            let kept = lines.iter().rev().take_while(fits).count();
            let mut bytes = Vec::new();
            for line in lines.iter().skip(lines.len() - kept) {
                bytes.extend_from_slice(line);
                bytes.push(b'\n');
            }
            self.saver.replace(&path, bytes);
            self.saver.settled(&path).await?;
        }
        Ok(())
    }

    /// The last `limit` runs of a job, oldest first; none for an unknown one. Lines that can't be read are
    /// left out.
    ///
    /// # Errors
    /// What the disk says.
    pub fn last(&self, job_id: &str, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let Some(path) = self.path(job_id) else { return Ok(Vec::new()) };
        let lines = match self.tail(&path, limit) {
            Err(StoreError::Missing) => return Ok(Vec::new()),
            other => other?,
        };
        Ok(lines.iter().filter_map(|line| serde_json::from_slice(line).ok()).collect())
    }

    /// Removes the oldest logs of jobs that are not in `alive`, while there are too many files.
    ///
    /// # Errors
    /// What the disk says.
    pub fn prune(&self, alive: &BTreeSet<String>) -> Result<(), StoreError> {
        let mut files = self.sys.files.list(&self.dir)?;
        files.retain(|file| !file.is_dir && file.name.ends_with(".jsonl"));
        files.sort_by_key(|file| file.modified_ms);
        let mut surplus = files.len().saturating_sub(CRON_LOG_FILES);
        for file in files {
            let is_alive = file.name.strip_suffix(".jsonl").is_some_and(|id| alive.contains(id));
            if surplus > 0 && !is_alive {
                self.saver.remove(&self.dir.join(&file.name))?;
                surplus -= 1;
            }
        }
        Ok(())
    }

    fn path(&self, job_id: &str) -> Option<PathBuf> {
        is_id(job_id).then(|| self.dir.join(format!("{job_id}.jsonl")))
    }

    /// Whether the last line was not written whole: the next one must not continue it.
    fn is_torn(&self, path: &Path) -> Result<bool, StoreError> {
        let size = match self.sys.files.size(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            other => other?,
        };
        let mut end = [b'\n'];
        self.sys.files.read_at(path, size.saturating_sub(1), &mut end)?;
        Ok(end != [b'\n'])
    }

    /// The last whole lines, oldest first.
    fn tail(&self, path: &Path, limit: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut lines = Vec::new();
        for line in Backward::from_end(&*self.sys.files, path, CRON_LOG_LINE_BYTES)? {
            if lines.len() >= limit {
                break;
            }
            if let Some(whole) = line?.whole() {
                lines.push(whole.to_vec());
            }
        }
        lines.reverse();
        Ok(lines)
    }
}

fn dir_beside(book: &Path) -> PathBuf {
    book.parent().unwrap_or_else(|| Path::new("")).join("runs")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::sim::{ScriptedHttp, SimFiles, World};
    use crate::sys::{Chance, Files as _};
    use std::rc::Rc;
    use std::time::Duration;

    #[test]
    fn a_log_of_long_lines_is_cut_to_half_so_that_the_next_run_does_not_cut_it_again() {
        let world = World::at(0);
        let files = SimFiles::new();
        files.run_on(world.clock.clone(), Duration::from_millis(1));
        let sys = Sys {
            zone: jiff::tz::TimeZone::UTC,
            chance: Rc::new(Chance::seeded(1)),
            files: Rc::new(files.clone()),
            http: Rc::new(ScriptedHttp::new(&world.clock, |_| unreachable!("nothing is asked"))),
            clock: Rc::new(world.clock.clone()),
            processes: Rc::new(crate::sys::sim::ScriptedProcesses::none(&world.clock)),
            tasks: world.tasks(),
        };
        let log = RunLog::beside(&sys, &Saver::new(&sys), Path::new("/s/cron/jobs.json")).unwrap();
        let entry = Entry {
            ts: 1,
            job_id: "a".to_owned(),
            action: "finished".to_owned(),
            status: Status::Ok,
            error: None,
            summary: Some("s".repeat(20_000)),
            run_at_ms: 1,
            duration_ms: 1,
            next_run_at_ms: None,
        };
        let size = {
            let path = Path::new("/s/cron/runs/a.jsonl");
            move || files.size(path).unwrap()
        };
        let mut largest = 0;
        loop {
            let (log, entry) = (log.clone(), entry.clone());
            world.tasks().detach(async move { log.add(&entry).await.unwrap() });
            world.run_for(Duration::from_secs(1));
            if size() < largest {
                break;
            }
            largest = size();
            assert!(largest <= CRON_LOG_BYTES, "never cut");
        }
        assert!(size() <= CRON_LOG_BYTES / 2 && size() > CRON_LOG_BYTES / 2 - 30_000, "{}", size());
        assert!(log.last("a", 5000).unwrap().len() > 40);
    }
}
