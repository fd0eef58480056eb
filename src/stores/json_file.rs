//! A small file that holds one JSON object, in memory and on disk.
//!
//! Keys that nobody here knows are kept. Content that can't be read is put aside, never overwritten.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::{Durable, Saver, StoreError, stamp};
use crate::sys::Sys;

/// The file.
#[derive(Debug)]
pub struct JsonFile {
    saver: Saver,
    path: PathBuf,
    content: RefCell<Map<String, Value>>,
}

impl JsonFile {
    /// Reads the file; one that isn't there is an empty object. One that can't be read, or has more
    /// than `bytes_max`, is put aside as `<name>.damaged-<time>`.
    ///
    /// # Errors
    /// What the disk says.
    pub fn load(sys: &Sys, saver: &Saver, path: PathBuf, bytes_max: u64) -> Result<Self, StoreError> {
        if let Some(dir) = path.parent() {
            sys.files.create_dir(dir)?;
        }
        let content = read(sys, saver, &path, bytes_max)?.map_or_else(Map::new, |(content, _)| content);
        Ok(Self { saver: saver.clone(), path, content: RefCell::new(content) })
    }

    /// Looks at the content.
    pub fn look<T>(&self, look: impl FnOnce(&Map<String, Value>) -> T) -> T {
        look(&self.content.borrow())
    }

    /// Changes the content; the future tells when it is on the medium.
    pub fn change(&self, change: impl FnOnce(&mut Map<String, Value>)) -> Durable {
        let mut content = self.content.borrow_mut();
        change(&mut content);
        self.saver.replace(&self.path, pretty(&content));
        self.saver.settled(&self.path)
    }
}

/// The object in a file, and the file's bytes.
pub(super) type Found = (Map<String, Value>, Vec<u8>);

/// The object in a file and its bytes; `None` when there is no file or its content was put aside.
///
/// # Errors
/// What the disk says.
pub(super) fn read(sys: &Sys, saver: &Saver, path: &Path, bytes_max: u64) -> Result<Option<Found>, StoreError> {
    match sys.files.read(path, bytes_max) {
        Ok(bytes) => {
            if let Ok(content) = serde_json::from_slice(&bytes) {
                return Ok(Some((content, bytes)));
            }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == ErrorKind::FileTooLarge => {}
        Err(error) => return Err(error.into()),
    }
    let aside = stamp::free_name(&*sys.files, path, ".damaged-", sys.clock.now_ms())?;
    saver.rename(path, &aside)?;
    log::warn!("{} is unreadable; kept as {}", path.display(), aside.display());
    Ok(None)
}

/// As people read it.
pub(super) fn pretty(content: &Map<String, Value>) -> Vec<u8> {
    // An object of JSON values always has a text.
    let mut bytes = serde_json::to_vec_pretty(content).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::bench::Bench;
    use crate::sys::Files as _;

    fn load(bench: &Bench) -> JsonFile {
        JsonFile::load(&bench.sys, &bench.saver, "/s/settings/x.json".into(), 1000).unwrap()
    }

    #[test]
    fn a_change_is_durable_and_unknown_keys_are_kept() {
        let bench = Bench::new(1);
        bench.files.create_dir(Path::new("/s/settings")).unwrap();
        bench.files.append(Path::new("/s/settings/x.json"), br#"{"mine":1,"theirs":[2]}"#).unwrap();
        let file = load(&bench);
        bench.run(file.change(|content| drop(content.insert("mine".into(), 5.into())))).unwrap();
        load(&bench)
            .look(|content| assert_eq!(Value::from(content.clone()), serde_json::json!({"mine":5,"theirs":[2]})));
    }

    #[test]
    fn damage_is_put_aside() {
        let bench = Bench::new(1);
        bench.files.create_dir(Path::new("/s/settings")).unwrap();
        bench.files.append(Path::new("/s/settings/x.json"), b"{\"mine\":1").unwrap();
        load(&bench).look(|content| assert!(content.is_empty()));
        let names: Vec<_> =
            bench.files.list(Path::new("/s/settings")).unwrap().into_iter().map(|entry| entry.name).collect();
        assert!(names.len() == 1 && names[0].starts_with("x.json.damaged-"), "{names:?}");
    }
}
