//! Where a client connects to, and with which secret.
//!
//! The secret of this machine's gateway (its configuration, its token file) is never shown to
//! another machine: with a URL that leads elsewhere, it has to be given on purpose.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Environment;
use super::configured::Configured;
use super::endpoint::Endpoint;
use crate::config::first_start::{Places, TOKEN_FILE, token_in};
use crate::secret::Secret;
use crate::sys::Files;
use crate::sys::disk::Disk;

/// Port of a gateway whose configuration names none (guide section 1).
const DEFAULT_PORT: u16 = 18789;

/// What the command line says about the gateway to ask.
#[derive(Debug, Clone, Default)]
pub struct Reach {
    /// `--url`
    pub url: Option<String>,
    /// `--token`
    pub token: Option<String>,
    /// `--password`
    pub password: Option<String>,
    /// `--config`
    pub config: Option<String>,
    /// `--state-dir`
    pub state_dir: Option<String>,
    /// `--timeout`
    pub timeout: Option<Duration>,
}

/// A gateway to ask, and what to show it.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where it is.
    pub endpoint: Endpoint,
    /// The shared token.
    pub token: Option<Secret>,
    /// The shared password.
    pub password: Option<Secret>,
    /// Where the secret came from.
    pub source: Source,
    /// Why the configuration file told nothing, if it exists.
    pub config_trouble: Option<String>,
    /// How long the owner wants to wait.
    pub timeout: Option<Duration>,
}

/// Where a secret came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// `--token` or `--password`.
    Flag,
    /// `BARNACLE_TOKEN` or `BARNACLE_PASSWORD`.
    Environment,
    /// The configuration file.
    Config,
    /// The token file.
    File(PathBuf),
    /// There is no token file, or it can't be read.
    NoFile(PathBuf, io::ErrorKind),
    /// No directory is known in which it could be.
    NoDirectory,
    /// The gateway is on another machine, so that this one's secret isn't shown to it.
    Elsewhere,
}

impl Source {
    /// What to do when the gateway doesn't accept the secret.
    #[must_use]
    pub fn advice(&self) -> String {
        match self {
            Self::Flag => "the gateway has another one than the command line says".to_owned(),
            Self::Environment => {
                "BARNACLE_TOKEN or BARNACLE_PASSWORD is not what this gateway was started with".to_owned()
            }
            Self::Config => {
                "the secret came from the configuration file; was the gateway started with another one?".to_owned()
            }
            Self::File(path) => {
                format!(
                    "the token came from {}; the gateway may use another one: --token or BARNACLE_TOKEN",
                    path.display()
                )
            }
            Self::NoFile(path, io::ErrorKind::PermissionDenied) => {
                format!("you may not read {}; run as its owner, or give --token or BARNACLE_TOKEN", path.display())
            }
            Self::NoFile(path, _) => format!(
                "no token found: give --token or BARNACLE_TOKEN, or --state-dir of the gateway (looked for {})",
                path.display()
            ),
            Self::NoDirectory => "no token found: give --token or BARNACLE_TOKEN".to_owned(),
            Self::Elsewhere => {
                "this machine's own token is not shown to another host: give --token or BARNACLE_TOKEN".to_owned()
            }
        }
    }
}

impl Target {
    /// Finds the gateway, by the first that is given: `--url`, `BARNACLE_URL`, this machine with the
    /// port of the configuration file, port 18789. Secrets: `--token` and `--password`,
    /// `BARNACLE_TOKEN` and `BARNACLE_PASSWORD`, the configuration file, the token file.
    ///
    /// # Errors
    /// What is wrong with the URL.
    pub fn find(reach: &Reach, environment: &Environment) -> Result<Self, String> {
        let url = reach.url.as_deref().or_else(|| variable(environment, "BARNACLE_URL"));
        let endpoint = url.map(Endpoint::parse).transpose()?;
        let is_here = endpoint.as_ref().is_none_or(Endpoint::is_loopback);
        let config_flag = reach.config.as_deref().map(Path::new);
        let config_file = Places::config_file(config_flag, environment).filter(|_| is_here);
        let (configured, config_trouble) = match config_file {
            Some(path) => match Configured::read(&Disk::default(), &path, environment) {
                Ok(configured) => (configured, None),
                Err(trouble) => (Configured::default(), Some(trouble)),
            },
            None => (Configured::default(), None),
        };
        let endpoint = endpoint.unwrap_or_else(|| Endpoint::local(configured.port.unwrap_or(DEFAULT_PORT)));
        let (token, password, source) = secrets(reach, environment, &configured, is_here, &Disk::default());
        Ok(Self { endpoint, token, password, source, config_trouble, timeout: reach.timeout })
    }
}

/// The first source that has a token or a password.
fn secrets(
    reach: &Reach,
    environment: &Environment,
    configured: &Configured,
    is_here: bool,
    files: &dyn Files,
) -> (Option<Secret>, Option<Secret>, Source) {
    let given = |text: Option<&str>| text.map(str::trim).filter(|text| !text.is_empty()).map(Secret::new);
    let found = [
        (given(reach.token.as_deref()), given(reach.password.as_deref()), Source::Flag),
        (
            given(variable(environment, "BARNACLE_TOKEN")),
            given(variable(environment, "BARNACLE_PASSWORD")),
            Source::Environment,
        ),
        (configured.token.clone(), configured.password.clone(), Source::Config),
    ];
    if let Some(found) = found.into_iter().find(|(token, password, _)| token.is_some() || password.is_some()) {
        return found;
    }
    if !is_here {
        return (None, None, Source::Elsewhere);
    }
    let state_flag = reach.state_dir.as_deref().map(Path::new);
    let Some(path) = Places::state_dir(state_flag, environment).map(|dir| dir.join(TOKEN_FILE)) else {
        return (None, None, Source::NoDirectory);
    };
    match token_in(files, &path) {
        Ok(token) => (Some(token), None, Source::File(path)),
        Err(error) => (None, None, Source::NoFile(path, error.kind())),
    }
}

fn variable<'a>(environment: &'a Environment, name: &str) -> Option<&'a str> {
    environment.get(name).map(String::as_str).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn find(reach: &Reach, pairs: &[(&str, &str)]) -> Target {
        Target::find(reach, &environment(pairs)).unwrap()
    }

    #[test]
    fn the_url_comes_from_the_first_source_that_is_given() {
        let both = [("BARNACLE_URL", "ws://env:1/")];
        let flag = Reach { url: Some("ws://flag:2/".into()), ..Reach::default() };
        assert_eq!(find(&flag, &both).endpoint.host_port(), "flag:2");
        assert_eq!(find(&Reach::default(), &both).endpoint.host_port(), "env:1");
        assert_eq!(find(&Reach::default(), &[("BARNACLE_URL", "")]).endpoint, Endpoint::local(18789));
        assert!(Target::find(&Reach { url: Some("pi".into()), ..Reach::default() }, &environment(&[])).is_err());
    }

    #[test]
    fn a_secret_comes_from_flag_then_environment_then_config_then_file() {
        let dir = std::env::temp_dir().join(format!("barnacle-cli-token-{}", std::process::id()));
        Disk::default().create_dir(&dir).unwrap();
        Disk::default().remove(&dir.join("token")).unwrap();
        let reach = Reach { state_dir: Some(dir.display().to_string()), ..Reach::default() };
        let flag = Reach { password: Some("pw".into()), ..reach.clone() };
        let variables = environment(&[("BARNACLE_TOKEN", "env")]);
        let config = Configured { token: Some(Secret::new("config")), ..Configured::default() };

        let (token, password, source) = secrets(&flag, &variables, &config, true, &Disk::default());
        assert!(token.is_none() && password.unwrap().matches("pw") && source == Source::Flag);
        let (token, _, source) = secrets(&reach, &variables, &config, true, &Disk::default());
        assert!(token.unwrap().matches("env") && source == Source::Environment);
        let (token, _, source) = secrets(&reach, &environment(&[]), &config, true, &Disk::default());
        assert!(token.unwrap().matches("config") && source == Source::Config);

        let from_file = |is_here| secrets(&reach, &environment(&[]), &Configured::default(), is_here, &Disk::default());
        let path = dir.join("token");
        assert_eq!(from_file(true).2, Source::NoFile(path.clone(), io::ErrorKind::NotFound));
        Disk::default().append(&path, b"\0\0\n").unwrap();
        assert_eq!(from_file(true).2, Source::NoFile(path.clone(), io::ErrorKind::NotFound));
        Disk::default().append(&path, b"secret\n").unwrap();
        let (token, _, source) = from_file(true);
        assert!(token.unwrap().matches("secret") && source == Source::File(path));
        assert_eq!(from_file(false).2, Source::Elsewhere);
        Disk::default().remove(&dir.join("token")).unwrap();
        std::fs::remove_dir(&dir).unwrap();
    }

    #[test]
    fn without_a_home_there_is_no_token_and_the_advice_says_how_to_give_one() {
        let target = find(&Reach::default(), &[]);
        assert_eq!(target.source, Source::NoDirectory);
        assert!(target.source.advice().contains("BARNACLE_TOKEN"));
    }
}
