//! A client's change of the configuration file: one at a time, checked, durable, then put in force.

use std::fmt;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;

use super::reload::Cause;
use super::restart_note::RestartNote;
use super::{Gateway, jobs};
use crate::config::file::{self, LoadError, Loaded, Source};
use crate::config::first_start::CredentialError;
use crate::config::generations;
use crate::config::proposal::{self, Change, Proposal, Refusal};
use crate::config::view::{self, View};
use crate::sys::Latch;

/// How long the answer to a change has to get into its caller's queue.
const ANSWER_PAUSE: Duration = Duration::from_millis(20);

/// What a client wants beside the change.
#[derive(Debug, Clone)]
pub enum Then {
    /// What a change of the file by somebody else would do.
    Nothing,
    /// A restart if the change needs one.
    RestartIfNeeded(Wish),
    /// A restart in any case.
    Restart(Wish),
}

/// A restart that a client asks for.
#[derive(Debug, Clone)]
pub struct Wish {
    /// In how long.
    pub delay: Duration,
    /// The session whose owner asks.
    pub session_key: Option<String>,
    /// What to tell after the restart.
    pub note: Option<String>,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Changed {
    /// The new configuration as clients may see it.
    pub config: Value,
    /// The time until the restart, and the note that was left for it.
    pub restart: Option<(Duration, Option<RestartNote>)>,
}

/// Why nothing was changed.
#[derive(Debug)]
pub enum NotChanged {
    /// Another change is being written.
    Busy,
    /// The gateway is about to stop or to restart.
    Ending,
    /// The file can't be read.
    Unreadable(LoadError),
    /// The proposal is not taken.
    Refused(Refusal),
    /// Clients could not come in any more.
    Credential(CredentialError),
    /// `cron.store` can't be used, and why.
    JobStore(String),
    /// The file, or the note for the restart, can't be written.
    Disk(io::ErrorKind),
}

impl fmt::Display for NotChanged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("another change of the configuration is being written"),
            Self::Ending => f.write_str("the gateway is ending; change the configuration when it is back"),
            Self::JobStore(problem) => write!(f, "invalid config: {problem}"),
            Self::Unreadable(error) => error.fmt(f),
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Credential(error) => error.fmt(f),
            Self::Disk(kind) => write!(f, "the configuration file can't be written: {kind}"),
        }
    }
}

impl fmt::Display for Refusal {
    /// The texts are those of methods.md 8.2 and 8.3.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHash => f.write_str("config base hash required; re-run config.get and retry"),
            Self::Changed => f.write_str("config changed since last load; re-run config.get and retry"),
            Self::Syntax(problem) => write!(f, "SyntaxError: {problem}"),
            Self::NotObject => f.write_str("config.patch raw must be an object"),
            Self::Broken => f.write_str("invalid config; fix before patching"),
            Self::Stray(key) => write!(
                f,
                "{key}: {} stands for a secret that is kept, and there is none here; send the value itself",
                crate::config::redact::MARKER
            ),
            Self::Included => f.write_str(
                "the patch changes what an included file has (its lists are joined, its keys can't be removed from here); change it there",
            ),
            Self::Invalid(problems) => {
                f.write_str("invalid config")?;
                if let Some(first) = problems.first() {
                    write!(f, ": {first}")?;
                }
                if problems.len() > 1 {
                    write!(f, " (and {} more)", problems.len() - 1)?;
                }
                Ok(())
            }
        }
    }
}

impl Gateway {
    /// The configuration file as clients may see it.
    ///
    /// # Errors
    /// The file is there and can't be read.
    pub fn view_config(&self) -> Result<View, LoadError> {
        let launch = &self.reload.launch;
        let standing = file::standing(&*self.sys.files, &launch.places)?;
        let reading = launch.read(&self.sys, standing.text.as_deref().unwrap_or_default());
        Ok(view::of(standing, reading))
    }

    /// Changes the configuration file and puts the change in force. Once begun it goes on even when
    /// the caller leaves.
    ///
    /// # Errors
    /// [`NotChanged`]; the file is as it was.
    pub async fn change_config(
        self: &Rc<Self>,
        base_hash: Option<&str>,
        change: Change<'_>,
        then: Then,
    ) -> Result<Changed, Rc<NotChanged>> {
        let launch = &self.reload.launch;
        if self.reload.is_held.get() {
            return Err(Rc::new(NotChanged::Ending));
        }
        if self.reload.is_writing.get() {
            return Err(Rc::new(NotChanged::Busy));
        }
        let current = file::standing(&*self.sys.files, &launch.places).map_err(NotChanged::Unreadable)?;
        let read = |text: &str| launch.read(&self.sys, text);
        let proposal = proposal::propose(&current, base_hash, change, &read).map_err(NotChanged::Refused)?;
        let outcome = Rc::new(Latch::new());
        self.reload.is_writing.set(true);
        let (gateway, told) = (Rc::clone(self), Rc::clone(&outcome));
        self.sys.tasks.detach(async move {
            let result = gateway.write_config(proposal, then).await.map_err(Rc::new);
            gateway.reload.is_writing.set(false);
            gateway.reload.written.ring();
            told.set(result);
            // Whoever changed the credentials hears the answer before the door closes.
            gateway.sys.clock.sleep(ANSWER_PAUSE).await;
            gateway.shut_out_outdated();
        });
        outcome.wait().await
    }

    async fn write_config(&self, proposal: Proposal, then: Then) -> Result<Changed, NotChanged> {
        let Proposal { text, reading } = proposal;
        let shown = view::config_of(&reading);
        let config = reading.outcome.map_err(|problems| NotChanged::Refused(Refusal::Invalid(problems)))?;
        let launch = &self.reload.launch;
        let credential = launch.credential(&self.sys, &config).await.map_err(NotChanged::Credential)?;
        jobs::check_store(&self.sys, &self.places, &config).map_err(NotChanged::JobStore)?;
        let disk = |error: io::Error| NotChanged::Disk(error.kind());
        let path = &launch.places.config_file;
        generations::replace(&*self.sys.files, path, &text).await.map_err(disk)?;
        log::info!("the configuration file was changed by a client");
        for warning in &reading.warnings {
            log::warn!("{warning}");
        }
        let loaded = Loaded {
            config,
            warnings: reading.warnings,
            source: Source::File,
            raw: Some(text),
            included: reading.included,
        };
        let (cause, wish, mode) = match then {
            Then::Nothing => (Cause::File, None, ""),
            Then::RestartIfNeeded(wish) => (Cause::Patch(wish.delay), Some(wish), "config.patch"),
            Then::Restart(wish) => (Cause::Apply(wish.delay), Some(wish), "config.apply"),
        };
        let Some(delay) = self.settle_config(loaded, &credential, cause).await else {
            return Ok(Changed { config: shown, restart: None });
        };
        let mut note = None;
        if let Some(wish) = wish {
            let left = RestartNote::about_config(&self.sys, mode, path, wish.session_key, wish.note);
            match left.leave(&self.sys, &self.places.state_dir).await {
                Ok(()) => note = Some(left),
                // The configuration is written and the restart will be: only the note is missing.
                Err(error) => log::warn!("the note about the restart can't be written: {error}"),
            }
        }
        let mode = if mode.is_empty() { "the configuration changed" } else { mode };
        let delay = self.restarts.schedule(&self.sys, delay, mode);
        Ok(Changed { config: shown, restart: Some((delay, note)) })
    }
}
