//! `barnacle import`: moves in from the directory of the field's original, `~/.clawdbot` or `~/.openclaw`
//! (methods.md section 16, connection.md 3.7).
//!
//! Everything is read and planned first; a plan can be told without being done. The other directory is never written
//! to. What is there already stays: a file with the same content is done, another one is a conflict, unless the owner
//! wants both merged, where ours wins.

mod configuration;
mod records;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::first_start::Places;
use crate::limits::BACKUP_FILES;
use crate::sys::disk::{self, Disk};
use crate::sys::instance::Instance;
use crate::sys::tree::{self, Kind};
use crate::sys::{Files as _, host};

/// Names of its directory and its configuration file, the newer ones first.
const DIRS: [&str; 2] = [".openclaw", ".clawdbot"];
const CONFIGS: [&str; 2] = ["openclaw.json", "clawdbot.json"];
/// Directories that are copied file by file.
const TREES: [(&str, &str); 2] = [("cron/runs", "runs of jobs"), ("skills", "skills")];
/// What stays behind, and why.
const LEFT: &[(&str, &str)] = &[
    ("agents", ""),
    ("cron", ""),
    ("devices", ""),
    ("nodes", ""),
    ("settings", ""),
    ("skills", ""),
    ("exec-approvals.json", ""),
    (".env", ""),
    ("credentials", "logins of channels: link WhatsApp anew"),
    ("identity", "the key of its own command line; `barnacle` needs none"),
    ("logs", "its log"),
    ("media", "pictures that passed through; they are deleted after a while anyway"),
    ("memory", "an index that is made from the workspace"),
    ("browser", "a browser is not part of this gateway"),
    ("sandboxes", "containers are not part of this gateway"),
    ("completions", "`barnacle` has its own"),
    ("telegram", "positions in Telegram's updates: those that wait are delivered once more"),
    ("update-check.json", "when it last looked for updates"),
    ("restart-sentinel.json", "a restart that is over"),
    ("workspace", "stays where it is; the configuration names it"),
];

/// One thing and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// It is taken.
    Take(String),
    /// It is there already, the same.
    Same(String),
    /// It is taken, but not as it was; or the owner has to know something.
    Note(String),
    /// It can't be taken.
    Not(String),
    /// Something else is there already.
    Conflict(String),
}

/// A file that is to be written.
#[derive(Debug)]
enum Work {
    Write(PathBuf, Vec<u8>),
    Copy(PathBuf, PathBuf),
}

/// Everything that is to be done.
#[derive(Debug)]
pub struct Plan {
    /// Where from.
    pub source: PathBuf,
    /// What becomes of each thing.
    pub items: Vec<Item>,
    work: Vec<Work>,
    places: Places,
    merge: bool,
}

/// The directory to move in from: the one that is named, or the first usual one that is there.
///
/// # Errors
/// Why there is none.
pub fn find(named: Option<&Path>, env: &BTreeMap<String, String>) -> Result<PathBuf, String> {
    if let Some(dir) = named {
        return match tree::meta(&Disk::default().real_path(dir).unwrap_or_else(|_| dir.to_path_buf())) {
            Ok(meta) if meta.kind == Kind::Directory => Ok(dir.to_path_buf()),
            Ok(_) => Err(format!("{} is no directory", dir.display())),
            Err(error) => Err(format!("{}: {error}", dir.display())),
        };
    }
    let set = ["OPENCLAW_STATE_DIR", "CLAWDBOT_STATE_DIR"].iter().filter_map(|name| env.get(*name)).map(PathBuf::from);
    let home = env.get("HOME").map(PathBuf::from);
    let usual = home.iter().flat_map(|home| DIRS.iter().map(|dir| home.join(dir)));
    set.chain(usual)
        .find(|dir| host::is_there(dir))
        .ok_or_else(|| "there is neither ~/.openclaw nor ~/.clawdbot; name the directory".to_owned())
}

/// Looks at everything and plans. Nothing is written.
///
/// # Errors
/// When the directory can't be read at all.
pub fn plan(source: &Path, places: &Places, env: &BTreeMap<String, String>, merge: bool) -> Result<Plan, String> {
    let top = Disk::default().list(source).map_err(|error| format!("{}: {error}", source.display()))?;
    let mut plan =
        Plan { source: source.to_path_buf(), items: Vec::new(), work: Vec::new(), places: places.clone(), merge };
    if source.starts_with(&places.state_dir) || places.state_dir.starts_with(source) {
        return Err(format!("{} is this gateway's own directory", source.display()));
    }
    let config = CONFIGS.iter().map(|name| source.join(name)).find(|path| host::is_there(path));
    configuration::plan(&mut plan, config.as_deref(), env);
    records::plan(&mut plan);
    for (dir, what) in TREES {
        plan.tree(&source.join(dir), &places.state_dir.join(dir), what, |_| true);
    }
    for entry in top {
        let known = LEFT.iter().find(|(name, _)| *name == entry.name);
        let is_config = CONFIGS.iter().any(|name| entry.name.starts_with(name)) || entry.name.ends_with(".lock");
        match known {
            Some((_, "")) => {}
            Some((name, why)) => plan.items.push(Item::Not(format!("{name}: {why}"))),
            None if is_config => {}
            None => plan.items.push(Item::Not(format!("{}: not known", entry.name))),
        }
    }
    Ok(plan)
}

impl Plan {
    /// Whether something else is there already.
    #[must_use]
    pub fn has_conflicts(&self) -> bool {
        self.items.iter().any(|item| matches!(item, Item::Conflict(_)))
    }

    /// Whether nothing is left to do.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.work.is_empty()
    }

    /// Does it.
    ///
    /// # Errors
    /// What went wrong; what was written until then is whole, and the command can be given again.
    pub fn apply(&self) -> Result<(), String> {
        if self.has_conflicts() {
            return Err("something else is there already; --merge keeps it and adds what it doesn't have".to_owned());
        }
        let dir = &self.places.state_dir;
        tree::create_dir(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        let _lock = Instance::take(dir)
            .map_err(|_| format!("a gateway uses {}; stop it first: `systemctl stop barnacle`", dir.display()))?;
        for work in &self.work {
            let (to, done) = match work {
                Work::Write(to, bytes) => (to, make_dir(to).and_then(|()| disk::replace_now(to, bytes))),
                Work::Copy(from, to) => (to, make_dir(to).and_then(|()| copy(from, to))),
            };
            done.map_err(|error| format!("{}: {error}", to.display()))?;
        }
        Ok(())
    }

    /// Plans a file with this content.
    fn write(&mut self, to: PathBuf, bytes: Vec<u8>, what: &str) {
        match Disk::default().read(&to, bytes.len() as u64 + 1) {
            Ok(old) if old == bytes => self.items.push(Item::Same(what.to_owned())),
            Ok(_) => self.items.push(Item::Conflict(format!("{what}: {} is something else", to.display()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.items.push(Item::Take(what.to_owned()));
                self.work.push(Work::Write(to, bytes));
            }
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                self.items.push(Item::Conflict(format!("{what}: {} is something else", to.display())));
            }
            Err(error) => self.items.push(Item::Conflict(format!("{what}: {}: {error}", to.display()))),
        }
    }

    /// Plans the copies of all files below a directory.
    fn tree(&mut self, from: &Path, to: &Path, what: &str, wanted: impl Fn(&Path) -> bool) {
        if !host::is_there(from) {
            return;
        }
        let found = match tree::walk(from, BACKUP_FILES, |path| wanted(path)) {
            Ok(found) => found,
            Err(error) => return self.items.push(Item::Not(format!("{what}: {error}"))),
        };
        let (mut taken, mut same) = (0, 0);
        for (path, meta) in found {
            let (old, new) = (from.join(&path), to.join(&path));
            match meta.kind {
                Kind::Directory => {}
                Kind::Other => self.items.push(Item::Not(format!("{what}: {} is no file", old.display()))),
                Kind::File => match tree::meta(&new) {
                    Err(_) => {
                        taken += 1;
                        self.work.push(Work::Copy(old, new));
                    }
                    // A conversation that went on since is the same one.
                    Ok(there) if self.merge || goes_on(&old, meta.size_bytes, &new, there.size_bytes) => same += 1,
                    Ok(_) => self.items.push(Item::Conflict(format!("{what}: {} is something else", new.display()))),
                },
            }
        }
        if taken > 0 {
            self.items.push(Item::Take(format!("{what}: {taken} files")));
        }
        if same > 0 {
            self.items.push(Item::Same(format!("{what}: {same} files")));
        }
    }
}

/// Whether `new` begins as `old` is.
fn goes_on(old: &Path, old_bytes: u64, new: &Path, new_bytes: u64) -> bool {
    const BLOCK: usize = 64 * 1024;
    if new_bytes < old_bytes {
        return false;
    }
    let disk = Disk::default();
    let (mut one, mut other) = (vec![0; BLOCK], vec![0; BLOCK]);
    let mut at = 0;
    while at < old_bytes {
        let counts = (disk.read_at(old, at, &mut one), disk.read_at(new, at, &mut other));
        let (Ok(count), Ok(more)) = counts else { return false };
        if count == 0 || more < count || one.get(..count) != other.get(..count) {
            return false;
        }
        at += count as u64;
    }
    true
}

fn make_dir(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), tree::create_dir)
}

/// Copies a file, whole or not at all.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut name = to.file_name().unwrap_or_default().to_os_string();
    name.push(".tmp");
    let unfinished = to.with_file_name(name);
    host::remove(&unfinished)?;
    let mut target = tree::create(&unfinished)?;
    io::copy(&mut tree::open(from)?, &mut target)?;
    target.sync_all()?;
    tree::rename(&unfinished, to)
}

#[cfg(test)]
mod tests;
