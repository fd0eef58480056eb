//! A small file of records by id: one JSON object, indented, replaced as a whole (connection.md 3.7).
//!
//! The records are kept in memory; the file is read once. Records that can't be read are put aside in
//! a copy of the file and never overwritten. It knows nothing of what a record means.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Durability, Durable, Saver, StoreError, stamp};
use crate::sys::Sys;

/// The records of one file.
#[derive(Debug)]
pub struct Ledger<T> {
    saver: Saver,
    path: PathBuf,
    max_bytes: u64,
    records: RefCell<BTreeMap<String, T>>,
}

impl<T: Serialize + DeserializeOwned + Clone> Ledger<T> {
    /// Reads the file, if it is there. A file that can't be read as a whole is renamed to
    /// `<name>.damaged-<time>`; one with some unreadable records is copied there.
    ///
    /// # Errors
    /// What the disk says when something that is there can't be read.
    pub fn load(sys: &Sys, saver: &Saver, path: PathBuf, max_bytes: u64) -> Result<Self, StoreError> {
        let ledger = Self { saver: saver.clone(), path, max_bytes, records: RefCell::default() };
        let bytes = match sys.files.read(&ledger.path, max_bytes) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if let Some(dir) = ledger.path.parent() {
                    sys.files.create_dir(dir)?;
                }
                return Ok(ledger);
            }
            Err(error) if error.kind() == ErrorKind::FileTooLarge => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let Ok(read) = serde_json::from_slice::<BTreeMap<String, Value>>(&bytes) else {
            let aside = ledger.aside(sys)?;
            saver.rename(&ledger.path, &aside)?;
            log::warn!("{} is unreadable; kept as {}", name(&ledger.path), name(&aside));
            return Ok(ledger);
        };
        let count = read.len();
        let records = read.into_iter().filter_map(|(id, value)| Some((id, serde_json::from_value(value).ok()?)));
        *ledger.records.borrow_mut() = records.collect();
        let bad = count - ledger.len();
        if bad > 0 {
            ledger.keep_copy(sys, &bytes)?;
            log::warn!("{}: {bad} unreadable records; a copy of the file is kept", name(&ledger.path));
        }
        Ok(ledger)
    }

    /// Keeps the file as it is beside itself, unless an earlier start did.
    fn keep_copy(&self, sys: &Sys, bytes: &[u8]) -> Result<(), StoreError> {
        let (Some(dir), prefix) = (self.path.parent(), format!("{}.damaged-", name(&self.path))) else { return Ok(()) };
        let is_kept = |copy: &str| sys.files.read(&dir.join(copy), self.max_bytes).is_ok_and(|kept| kept == bytes);
        let entries = sys.files.list(dir)?;
        if entries.iter().any(|entry| entry.name.starts_with(&prefix) && is_kept(&entry.name)) {
            return Ok(());
        }
        let aside = self.aside(sys)?;
        self.saver.append(&aside, bytes, Durability::Forced)
    }

    fn aside(&self, sys: &Sys) -> Result<PathBuf, StoreError> {
        Ok(stamp::free_name(&*sys.files, &self.path, ".damaged-", sys.clock.now_ms())?)
    }

    /// Number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.borrow().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The record with that id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<T> {
        self.records.borrow().get(id).cloned()
    }

    /// All records, by id.
    #[must_use]
    pub fn all(&self) -> Vec<T> {
        self.records.borrow().values().cloned().collect()
    }

    /// Puts a record in place of the one with that id. On disk with the next [`save`](Self::save).
    pub fn put(&self, id: &str, record: T) {
        self.records.borrow_mut().insert(id.to_owned(), record);
    }

    /// Takes a record out.
    pub fn remove(&self, id: &str) -> Option<T> {
        self.records.borrow_mut().remove(id)
    }

    /// Keeps only what `keep` says; tells whether something left.
    pub fn retain(&self, keep: impl Fn(&T) -> bool) -> bool {
        let mut records = self.records.borrow_mut();
        let before = records.len();
        records.retain(|_, record| keep(record));
        records.len() != before
    }

    /// Writes the file; resolves when it is on the medium.
    pub fn save(&self) -> Durable {
        match serde_json::to_vec_pretty(&*self.records.borrow()) {
            Ok(bytes) if bytes.len() as u64 > self.max_bytes => {
                let bound = usize::try_from(self.max_bytes).unwrap_or(usize::MAX);
                Durable::failed(StoreError::TooLarge("the file of records", bound))
            }
            Ok(bytes) => {
                self.saver.replace(&self.path, bytes);
                self.saver.settled(&self.path)
            }
            Err(_) => Durable::failed(StoreError::Disk(ErrorKind::InvalidData)),
        }
    }

    /// Resolves when what was saved so far is on the medium.
    pub fn saved(&self) -> Durable {
        self.saver.settled(&self.path)
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::bench::Bench;
    use serde_json::json;

    const BYTES: u64 = 10_000;
    const PATH: &str = "/s/devices/paired.json";

    fn load(bench: &Bench) -> Ledger<BTreeMap<String, u32>> {
        Ledger::load(&bench.sys, &bench.saver, PathBuf::from(PATH), BYTES).unwrap()
    }

    fn put(bench: &Bench, text: &str) {
        bench.run(bench.sys.files.replace(PATH.into(), text.as_bytes().to_vec())).unwrap();
    }

    #[test]
    fn records_come_back_and_the_file_is_for_people() {
        let bench = Bench::new(1);
        let ledger = load(&bench);
        ledger.put("a", BTreeMap::from([("n".to_owned(), 1)]));
        bench.run(ledger.save()).unwrap();
        let text = bench.sys.files.read(Path::new(PATH), BYTES).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), "{\n  \"a\": {\n    \"n\": 1\n  }\n}");
        assert_eq!(load(&bench).get("a").unwrap()["n"], 1);
    }

    #[test]
    fn what_cannot_be_read_is_put_aside_and_the_rest_stays() {
        let bench = Bench::new(1);
        load(&bench);
        put(&bench, &json!({"good": {"n": 1}, "bad": {"n": "x"}}).to_string());
        assert_eq!(load(&bench).len(), 1);
        bench.run(bench.saver.flush_all()).unwrap();
        let names = || bench.sys.files.list(Path::new("/s/devices")).unwrap();
        assert_eq!(names().len(), 2);
        put(&bench, "{\"torn");
        assert!(load(&bench).is_empty());
        assert!(names().iter().all(|entry| entry.name != "paired.json"));
    }
}
