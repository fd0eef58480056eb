//! Pictures and files that came in or were taken: `media/` in the state directory, named by chance, deleted when old.
//!
//! Others refer to one as `media:NAME`. A name is never a path.

use std::path::{Path, PathBuf};

use super::StoreError;
use crate::limits::{MEDIA_BYTES, MEDIA_FILES};
use crate::sys::{LocalFuture, Sys};

/// What a reference to one begins with.
pub const SCHEME: &str = "media:";

/// The store. Cloning shares it.
#[derive(Debug, Clone)]
pub struct MediaStore {
    sys: Sys,
    dir: PathBuf,
}

impl MediaStore {
    /// The store below `state_dir`; its directory is made.
    ///
    /// # Errors
    /// What the disk says.
    pub fn new(sys: &Sys, state_dir: &Path) -> Result<Self, StoreError> {
        let dir = state_dir.join("media");
        sys.files.create_dir(&dir)?;
        Ok(Self { sys: sys.clone(), dir })
    }

    /// Keeps bytes under a new name with that ending; durable when it resolves. The result is the reference.
    ///
    /// # Errors
    /// What the disk says.
    pub fn put(&self, bytes: &[u8], ending: &str) -> LocalFuture<'static, Result<String, StoreError>> {
        self.make_room(bytes.len() as u64);
        let (reference, path) = self.begin(ending);
        let written = self.sys.files.append(&path, bytes);
        let synced = self.sys.files.sync(path);
        Box::pin(async move {
            written?;
            synced.await?;
            Ok(reference)
        })
    }

    /// A new name with that ending, and where a file of that name is written piece by piece.
    #[must_use]
    pub fn begin(&self, ending: &str) -> (String, PathBuf) {
        let name = self.fresh_name(ending);
        let path = self.dir.join(&name);
        (format!("{SCHEME}{name}"), path)
    }

    /// Where the file of a reference is; `None` for what is no reference or has no file.
    #[must_use]
    pub fn path(&self, reference: &str) -> Option<PathBuf> {
        let name = reference.strip_prefix(SCHEME)?;
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '.';
        if name.is_empty() || name.starts_with('.') || !name.chars().all(is_plain) {
            return None;
        }
        let path = self.dir.join(name);
        self.sys.files.size(&path).is_ok().then_some(path)
    }

    /// Deletes what is older than `max_age_ms`.
    pub fn expire(&self, max_age_ms: u64) {
        let now_ms = self.sys.clock.now_ms();
        for (path, modified_ms, _) in self.files() {
            if now_ms.saturating_sub(modified_ms) > max_age_ms {
                self.delete(&path);
            }
        }
    }

    /// Deletes the oldest files until there is room for `bytes` more.
    pub fn make_room(&self, bytes: u64) {
        let mut files = self.files();
        files.sort_by_key(|(_, modified_ms, _)| std::cmp::Reverse(*modified_ms));
        let mut held: u64 = files.iter().map(|(_, _, size)| size).sum();
        while held + bytes > MEDIA_BYTES || files.len() >= MEDIA_FILES {
            let Some((path, _, size)) = files.pop() else { return };
            self.delete(&path);
            held -= size;
        }
    }

    fn files(&self) -> Vec<(PathBuf, u64, u64)> {
        let entries = self.sys.files.list(&self.dir).unwrap_or_default();
        let files = entries.into_iter().filter(|entry| !entry.is_dir);
        files.map(|entry| (self.dir.join(entry.name), entry.modified_ms, entry.size_bytes)).collect()
    }

    fn delete(&self, path: &Path) {
        if let Err(error) = self.sys.files.remove(path) {
            log::warn!("an old media file is still there: {error}");
        }
    }

    fn fresh_name(&self, ending: &str) -> String {
        let ending: String = ending.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
        format!("{}.{}", self.sys.chance.hex::<12>(), if ending.is_empty() { "bin" } else { &ending })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::stores::bench::Bench;

    #[test]
    fn a_reference_leads_to_its_file_and_nowhere_else() {
        let bench = Bench::new(1);
        let media = MediaStore::new(&bench.sys, Path::new("/s")).unwrap();
        let reference = bench.run(media.put(b"picture", "jpg")).unwrap();
        let path = media.path(&reference).unwrap();
        assert!(path.starts_with("/s/media") && reference.ends_with(".jpg"));
        assert_eq!(bench.sys.files.read(&path, 100).unwrap(), b"picture");
        for wrong in
            ["media:../token", "media:", "media:.x", "media:a/b", "/s/media/x", "https://a/b.jpg", "media:none.jpg"]
        {
            assert_eq!(media.path(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_old_and_the_many_leave() {
        let bench = Bench::new(1);
        let media = MediaStore::new(&bench.sys, Path::new("/s")).unwrap();
        let first = bench.run(media.put(b"x", "jpg")).unwrap();
        bench.world.run_for(Duration::from_secs(10));
        let second = bench.run(media.put(b"x", "jpg")).unwrap();
        media.expire(5000);
        assert!(media.path(&first).is_none() && media.path(&second).is_some());
        for _ in 0..MEDIA_FILES + 5 {
            bench.run(media.put(b"x", "jpg")).unwrap();
        }
        assert!(bench.sys.files.list(Path::new("/s/media")).unwrap().len() <= MEDIA_FILES);
    }
}
