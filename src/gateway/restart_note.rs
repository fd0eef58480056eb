//! The note that a restart leaves for the next start (methods.md 8.4): `restart-sentinel.json` in the
//! state directory, read once and removed.

use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Gateway;
use super::delivery::DeliveryTarget;
use super::errand::Errand;
use crate::limits::RESTART_NOTE_BYTES;
use crate::runs::asker::Asker;
use crate::stores::{SessionKey, stamp};
use crate::sys::Sys;

/// The file.
const NAME: &str = "restart-sentinel.json";
/// What a person may do when the gateway doesn't come back.
const HINT: &str = "Run: barnacle status";

crate::wire! {
    /// Why the gateway restarts, for the start after it.
    pub struct RestartNote {
        /// `config-apply`.
        kind: String,
        /// `ok`.
        status: String,
        /// When it was written, ms.
        ts: u64,
        /// The session whose owner asked.
        session_key: Option<String>,
        /// What whoever asked has to say; null for nothing.
        message: Value,
        /// What to do when something is wrong afterwards.
        doctor_hint: String,
        /// What was done.
        stats: NoteStats,
    }

    /// What was done.
    pub struct NoteStats {
        /// `config.patch` or `config.apply`.
        mode: String,
        /// The configuration file.
        root: String,
    }
}

#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    payload: RestartNote,
}

impl RestartNote {
    /// A note about a new configuration.
    #[must_use]
    pub fn about_config(
        sys: &Sys,
        mode: &str,
        root: &Path,
        session_key: Option<String>,
        message: Option<String>,
    ) -> Self {
        Self {
            kind: "config-apply".to_owned(),
            status: "ok".to_owned(),
            ts: sys.clock.now_ms(),
            session_key,
            message: message.map_or(Value::Null, Value::String),
            doctor_hint: HINT.to_owned(),
            stats: NoteStats { mode: mode.to_owned(), root: root.display().to_string() },
        }
    }

    /// What the agent reads about it.
    #[must_use]
    pub fn text(&self) -> String {
        format!("GatewayRestart:\n{}", serde_json::to_string_pretty(self).unwrap_or_default())
    }

    /// Puts it where the next start finds it, durably.
    ///
    /// # Errors
    /// What the system says.
    pub async fn leave(&self, sys: &Sys, state_dir: &Path) -> io::Result<()> {
        let file = File { version: 1, payload: self.clone() };
        let bytes = serde_json::to_vec_pretty(&file).map_err(io::Error::other)?;
        sys.files.replace(path(state_dir), bytes).await
    }

    /// Takes the note that an earlier life left. One that can't be read is put aside.
    #[must_use]
    pub fn take(sys: &Sys, state_dir: &Path) -> Option<Self> {
        let path = path(state_dir);
        // The keys around the note's own texts need a little room too.
        let bytes = match sys.files.read(&path, 2 * RESTART_NOTE_BYTES as u64) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                log::warn!("the note about the restart can't be read: {error}");
                return None;
            }
        };
        let Ok(File { payload, .. }) = serde_json::from_slice::<File>(&bytes) else {
            let aside = stamp::free_name(&*sys.files, &path, ".damaged-", sys.clock.now_ms());
            match aside.and_then(|aside| sys.files.rename(&path, &aside)) {
                Ok(()) => log::warn!("the note about the restart is damaged; it was put aside"),
                Err(error) => log::warn!("the note about the restart is damaged and can't be put aside: {error}"),
            }
            return None;
        };
        if let Err(error) = sys.files.remove(&path) {
            log::warn!("the note about the restart can't be removed: {error}");
        }
        Some(payload)
    }

    /// Takes the note back: the restart will not be.
    pub fn withdraw(sys: &Sys, state_dir: &Path) {
        if let Err(error) = sys.files.remove(&path(state_dir)) {
            log::warn!("the note about a restart that will not be can't be removed: {error}");
        }
    }
}

/// Where the note is.
#[must_use]
pub fn path(state_dir: &Path) -> PathBuf {
    state_dir.join(NAME)
}

impl Gateway {
    /// Tells who asked for the restart, or the main session, that it is over (methods.md 8.4). A session
    /// whose owner asked gets a turn of its agent; the main one reads of it with its next message.
    pub fn tell_of_restart(self: &Rc<Self>, note: &RestartNote) {
        log::info!("restarted after {}: {}", note.stats.mode, note.message.as_str().unwrap_or("no further word"));
        let asked = note.session_key.as_deref().and_then(|key| self.session_key(key).ok());
        let Some(key) = asked else {
            let main = self.main_key(&self.config.get().agents.default_agent().id);
            self.system_events.push(&main, &note.text(), self.sys.clock.now_ms());
            return;
        };
        let errand = Errand {
            asker: Asker::Schedule,
            run_id: self.sys.chance.uuid(),
            agent_id: self.agent_of(&key),
            key: key.clone(),
            text: note.text(),
            model: None,
            thinking: None,
            timeout: None,
            extra_system_prompt: None,
        };
        let gateway = Rc::clone(self);
        self.sys.tasks.detach(async move {
            if let Err(problem) = gateway.tell_owner(&key, errand).await {
                log::warn!("{key}: nobody could be told of the restart: {problem}");
            }
        });
    }

    async fn tell_owner(self: &Rc<Self>, key: &SessionKey, errand: Errand) -> Result<(), String> {
        let outcome = self.run_errand(errand).await.map_err(|undone| undone.problem)?;
        let entry = self.stores.sessions.get(key).unwrap_or_default();
        let text = outcome.texts.join("\n\n");
        match DeliveryTarget::of(&entry, Some("last"), None) {
            Some(target) if !text.is_empty() => self.deliver(&target, &text).await.map_err(|error| error.message),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::Chance;
    use crate::sys::sim::{ScriptedHttp, SimFiles, World};
    use std::rc::Rc;

    fn sys(world: &World, files: &SimFiles) -> Sys {
        Sys {
            zone: jiff::tz::TimeZone::UTC,
            chance: Rc::new(Chance::seeded(1)),
            files: Rc::new(files.clone()),
            http: Rc::new(ScriptedHttp::new(&world.clock, |_| unreachable!("nothing is asked"))),
            clock: Rc::new(world.clock.clone()),
            processes: Rc::new(crate::sys::sim::ScriptedProcesses::none(&world.clock)),
            tasks: world.tasks(),
        }
    }

    #[test]
    fn a_note_is_read_once_and_a_damaged_one_is_put_aside() {
        let (world, files, dir) = (World::at(5), SimFiles::new(), Path::new("/state"));
        let sys = sys(&world, &files);
        sys.files.create_dir(dir).unwrap();
        assert!(RestartNote::take(&sys, dir).is_none());
        let note =
            RestartNote::about_config(&sys, "config.patch", Path::new("/c"), Some("main".into()), Some("why".into()));
        smol::block_on(note.leave(&sys, dir)).unwrap();
        let files_after = files.power_cut(&Chance::seeded(3));
        let sys = Sys { files: Rc::new(files_after), ..sys };
        let read = RestartNote::take(&sys, dir).unwrap();
        assert_eq!((read.ts, read.session_key.as_deref(), read.message.as_str()), (5, Some("main"), Some("why")));
        assert!(read.text().starts_with("GatewayRestart:\n{\n  \"kind\": \"config-apply\""));
        assert!(RestartNote::take(&sys, dir).is_none());
        smol::block_on(sys.files.replace(path(dir), b"{\"version\":1".to_vec())).unwrap();
        assert!(RestartNote::take(&sys, dir).is_none());
        let names: Vec<_> = sys.files.list(dir).unwrap().into_iter().map(|entry| entry.name).collect();
        assert_eq!(names.len(), 1);
        assert!(names[0].starts_with("restart-sentinel.json.damaged-"), "{names:?}");
    }
}
