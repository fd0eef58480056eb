//! Puts a changed configuration in force: after a signal, after a change of the file, and after a
//! client's change. What can be is applied at once; for the rest a restart is asked for, as
//! `gateway.reload.mode` says (methods.md 8.6). It never restarts anything itself.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::rc::Rc;
use std::slice;
use std::time::Duration;

use super::{Gateway, jobs};
use crate::config::file::{self, LoadError, Loaded, Source};
use crate::config::first_start::{Credential, CredentialError, Places};
use crate::config::gateway::{AuthMode, ReloadMode};
use crate::config::launch::Launch;
use crate::config::{Changes, Config};
use crate::events::Peer;
use crate::journal::{Settings, Style};
use crate::limits::CONFIG_WATCH_MS;
use crate::sys::files::Stamp;
use crate::sys::{Bell, Sys};
use crate::wire::handshake::Way;

use super::auth::Required;

/// Log filters for people who look for something.
const LOG_VARIABLES: [&str; 2] = ["BARNACLE_LOG", "RUST_LOG"];
/// Looks at a file that goes on changing before it is read all the same.
const LOOKS_MAX: u32 = 20;

/// What is known about the configuration beside the one in force.
#[derive(Debug)]
pub struct Reload {
    /// How the process was started.
    pub launch: Rc<Launch>,
    /// What the gateway started with: what differs from it in more than hot areas needs a restart.
    started: Rc<Config>,
    /// The newest one that was read, in force or waiting for a restart.
    latest: RefCell<Rc<Config>>,
    /// The files that it includes.
    included: RefCell<Vec<PathBuf>>,
    /// Whether the file is being written.
    pub(super) is_writing: Cell<bool>,
    /// Rings when it is written, or can't be.
    pub(super) written: Bell,
    /// Whether what was read is what the next gateway begins with: nothing is changed any more.
    pub(super) is_held: Cell<bool>,
    /// Who came in with a shared secret that holds no more.
    outdated: RefCell<Vec<Rc<Peer>>>,
    /// Whether the last one that was read could not be used.
    refused: Cell<bool>,
}

/// Why a configuration is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The owner asked for it.
    Signal,
    /// The file was changed, by whoever.
    File,
    /// A client patched it, and a restart may come after this time.
    Patch(Duration),
    /// A client wants a restart with it after this time.
    Apply(Duration),
}

/// Why a configuration can't be put in force.
#[derive(Debug)]
pub enum Refused {
    /// It can't be read.
    Load(LoadError),
    /// There is no usable credential with it.
    Credential(CredentialError),
    /// Its `cron.store` can't be used, and why.
    JobStore(String),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(error) => error.fmt(f),
            Self::Credential(error) => error.fmt(f),
            Self::JobStore(problem) => f.write_str(problem),
        }
    }
}

impl Reload {
    /// With the configuration that the gateway starts with.
    #[must_use]
    pub fn new(launch: Rc<Launch>, started: Rc<Config>, included: Vec<PathBuf>) -> Self {
        Self {
            launch,
            latest: RefCell::new(Rc::clone(&started)),
            started,
            included: RefCell::new(included),
            is_writing: Cell::new(false),
            written: Bell::default(),
            is_held: Cell::new(false),
            outdated: RefCell::default(),
            refused: Cell::new(false),
        }
    }

    /// Whether the last one that was read could not be used, so that an older one is in force.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.refused.get()
    }

    /// From now on no client changes the configuration; resolves when the change that goes on is written. A
    /// change that is acknowledged after the next gateway's configuration was read would not be in force in it.
    pub async fn hold(&self) {
        self.is_held.set(true);
        loop {
            let written = self.written.next();
            if !self.is_writing.get() {
                return;
            }
            written.wait().await;
        }
    }

    /// The gateway goes on: the configuration may be changed again.
    pub fn release(&self) {
        self.is_held.set(false);
    }

    /// The stamps of all files that make the configuration.
    fn stamps(&self, sys: &Sys) -> Vec<Option<Stamp>> {
        let included = self.included.borrow();
        let files = std::iter::once(&self.launch.places.config_file).chain(&*included);
        files.map(|path| sys.files.stamp(path).ok()).collect()
    }
}

impl Gateway {
    /// Reads the configuration and puts it in force, or says what is wrong with it and keeps the old one.
    pub async fn reload_config(&self, cause: Cause) {
        let read = self.read_config().await;
        self.reload.refused.set(read.is_err());
        match read {
            Ok((loaded, credential)) => {
                for warning in &loaded.warnings {
                    log::warn!("{warning}");
                }
                if let Some(delay) = self.settle_config(loaded, &credential, cause).await {
                    self.restarts.schedule(&self.sys, delay, "the configuration changed");
                }
                self.shut_out_outdated();
            }
            Err(refused) => {
                for problem in refused.to_string().lines() {
                    log::error!("{problem}");
                }
                log::error!("the configuration was not reloaded; the old one stays in force");
                // A mistake in an included file is repaired there: it has to be looked at too.
                if let Ok(standing) = file::standing(&*self.sys.files, &self.reload.launch.places) {
                    let text = standing.text.unwrap_or_default();
                    let mut included = self.reload.included.borrow_mut();
                    for path in self.reload.launch.read(&self.sys, &text).included {
                        if !included.contains(&path) {
                            included.push(path);
                        }
                    }
                }
            }
        }
    }

    /// Reads the configuration as a start would.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn read_config(&self) -> Result<(Loaded, Credential), Refused> {
        let loaded = self.reload.launch.load(&self.sys).map_err(Refused::Load)?;
        let credential = self.reload.launch.credential(&self.sys, &loaded.config).await.map_err(Refused::Credential)?;
        jobs::check_store(&self.sys, &self.places, &loaded.config).map_err(Refused::JobStore)?;
        Ok((loaded, credential))
    }

    /// Does with a valid configuration what its cause and its `gateway.reload.mode` want, but for the
    /// restart: after this time there has to be one, if any.
    pub async fn settle_config(&self, loaded: Loaded, credential: &Credential, cause: Cause) -> Option<Duration> {
        let config = Rc::new(loaded.config);
        let latest = self.reload.latest.replace(Rc::clone(&config));
        *self.reload.included.borrow_mut() = loaded.included;
        let changes = Config::changed(&latest, &config);
        if changes.areas.is_empty() && cause == Cause::File {
            return None;
        }
        let mode = config.gateway.reload.mode;
        let is_hot = matches!(mode, ReloadMode::Hybrid | ReloadMode::Hot) || cause == Cause::Signal;
        if is_hot {
            self.put_in_force(&config, credential);
            tell(&changes);
        }
        if let (Source::File, Some(raw)) = (loaded.source, &loaded.raw) {
            keep_last_good(&self.sys, &self.reload.launch.places, raw).await;
        }
        // What was applied earlier but waits for a restart still does.
        let since_start = Config::changed(&self.reload.started, &config);
        let debounce = Duration::from_millis(config.gateway.reload.debounce_ms);
        match (cause, mode) {
            (Cause::Apply(delay), _) => Some(delay),
            (Cause::Patch(delay), ReloadMode::Hybrid | ReloadMode::Hot) => since_start.restart.then_some(delay),
            (Cause::Patch(delay), _) => (!since_start.areas.is_empty()).then_some(delay),
            (_, ReloadMode::Hybrid) => since_start.restart.then_some(debounce),
            (_, ReloadMode::Restart) => (!changes.areas.is_empty()).then_some(debounce),
            (_, ReloadMode::Hot | ReloadMode::Off) => {
                if since_start.restart || (!is_hot && !changes.areas.is_empty()) {
                    log::warn!("the configuration has changes that wait for a restart (gateway.reload.mode)");
                }
                None
            }
        }
    }

    fn put_in_force(&self, config: &Rc<Config>, credential: &Credential) {
        self.journal.protect(&config.secrets());
        self.journal.protect(slice::from_ref(&credential.secret));
        let launch = &self.reload.launch;
        self.journal.reconfigure(&log_settings(config, &launch.places, &launch.env));
        log::set_max_level(self.journal.max_level());
        if self.auth.require(required(credential)) {
            let came_with_it = |peer: &Rc<Peer>| peer.grant.way == Way::SharedSecret;
            self.reload.outdated.borrow_mut().extend(self.hub.peers().into_iter().filter(came_with_it));
        }
        self.config.replace(Rc::clone(config));
        if let Err(error) = self.channels.apply(&config.channels) {
            log::error!("the delivery queue of a channel can't be read, so nothing is sent on it: {error}");
        }
    }

    /// Closes the connections of those who came in with a secret that holds no more.
    pub(super) fn shut_out_outdated(&self) {
        for peer in self.reload.outdated.take() {
            peer.outbox.close(1008, "credentials changed");
        }
    }

    /// Looks at the configuration's files every two seconds, until dropped.
    pub async fn watch_config(self: Rc<Self>) {
        let mut seen = self.reload.stamps(&self.sys);
        loop {
            self.sys.clock.sleep(Duration::from_millis(CONFIG_WATCH_MS)).await;
            let mut now = self.reload.stamps(&self.sys);
            if now == seen {
                continue;
            }
            for _ in 0..LOOKS_MAX {
                let pause = self.config.get().gateway.reload.debounce_ms;
                self.sys.clock.sleep(Duration::from_millis(pause)).await;
                let before = std::mem::replace(&mut now, self.reload.stamps(&self.sys));
                if before == now {
                    break;
                }
            }
            // Our own write tells itself what came of it; anything else is seen the next time.
            if !self.reload.is_writing.get() {
                self.reload_config(Cause::File).await;
                seen =
                    if self.reload.stamps(&self.sys).len() == now.len() { now } else { self.reload.stamps(&self.sys) };
            }
        }
    }
}

/// What clients must show, by mode.
#[must_use]
pub fn required(credential: &Credential) -> Required {
    match credential.mode {
        AuthMode::Token => Required::Token(credential.secret.clone()),
        AuthMode::Password => Required::Password(credential.secret.clone()),
    }
}

/// How the log is kept.
#[must_use]
pub fn log_settings(config: &Config, places: &Places, env: &BTreeMap<String, String>) -> Settings {
    let logging = &config.logging;
    Settings {
        console_level: logging.console_level,
        file_level: logging.level,
        filters: LOG_VARIABLES.iter().find_map(|name| env.get(*name).filter(|text| !text.is_empty())).cloned(),
        file: logging.file.clone().unwrap_or_else(|| places.log_file(env)),
        max_bytes: logging.max_bytes,
        files: logging.files,
        days: logging.days,
        style: Style::of(env),
    }
}

/// Keeps the text as the last good one; a failure is only logged.
pub async fn keep_last_good(sys: &Sys, places: &Places, raw: &str) {
    if let Err(error) = file::keep_last_good(&*sys.files, places, raw).await {
        log::warn!("the configuration could not be kept as the last good one: {error}");
    }
}

fn tell(changes: &Changes) {
    if changes.areas.is_empty() {
        log::info!("configuration reloaded: nothing changed");
    } else {
        log::info!("configuration reloaded: {}", changes.areas.join(", "));
    }
}
