//! What holds for the whole life of the process: where files are, the environment, and what the
//! command line has put over the configuration file.

use std::collections::BTreeMap;
use std::fmt;

use super::file::{self, LoadError, Loaded};
use super::first_start::{self, Credential, CredentialError, Places};
use super::network::Bind;
use super::{Config, Reading};
use crate::sys::Sys;

/// How the gateway was started. `Debug` shows neither the environment nor the token.
#[derive(Clone)]
pub struct Launch {
    /// Where files are.
    pub places: Places,
    /// The process's environment.
    pub env: BTreeMap<String, String>,
    /// Address instead of the configured one.
    pub bind: Option<Bind>,
    /// Port instead of the configured one; 0 lets the system choose.
    pub port: Option<u16>,
    /// Shared token instead of the configured one.
    pub token: Option<String>,
    /// Whether Tailscale Serve has an entrance of its own.
    pub has_private_entrance: bool,
}

impl fmt::Debug for Launch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Launch").field("places", &self.places).finish_non_exhaustive()
    }
}

impl Launch {
    /// A start without choices of the command line.
    #[must_use]
    pub fn new(places: Places, env: BTreeMap<String, String>) -> Self {
        Self { places, env, bind: None, port: None, token: None, has_private_entrance: false }
    }

    /// Reads the configuration and puts the command line's choices over it.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn load(&self, sys: &Sys) -> Result<Loaded, LoadError> {
        let mut loaded = file::load(&*sys.files, &self.places, &self.env)?;
        self.put_over(&mut loaded.config);
        Ok(loaded)
    }

    /// Reads a text as if it were the configuration file's.
    #[must_use]
    pub fn read(&self, sys: &Sys, text: &str) -> Reading {
        let path = &self.places.config_file;
        let mut reading = file::read_text(&*sys.files, path, path, text, &self.env);
        if let Ok(config) = &mut reading.outcome {
            self.put_over(config);
        }
        reading
    }

    /// The port that `config` means.
    #[must_use]
    pub fn port(&self, config: &Config) -> u16 {
        self.port.unwrap_or(config.gateway.port)
    }

    /// What clients have to show with `config`.
    ///
    /// # Errors
    /// [`CredentialError`].
    pub async fn credential(&self, sys: &Sys, config: &Config) -> Result<Credential, CredentialError> {
        let token = self.token.as_deref();
        first_start::credential(token, config, &self.env, &self.places, &*sys.files, &sys.chance).await
    }

    fn put_over(&self, config: &mut Config) {
        if let Some(bind) = self.bind {
            config.gateway.bind = bind;
        }
    }
}
