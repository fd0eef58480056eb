//! Before there is a configuration: where its file and the state are, and which credential holds.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::Config;
use super::gateway::{AuthMode, PASSWORD_VARIABLE, TOKEN_VARIABLE};
use super::strength::{SecretKind, weakness};
use crate::secret::Secret;
use crate::sys::{Chance, Files};

/// Name of the token file in the state directory.
pub const TOKEN_FILE: &str = "token";
/// Name of the configuration file.
const CONFIG_FILE: &str = "barnacle.json";
/// Our directory below the XDG directories.
const DIRECTORY: &str = "barnacle";
/// Largest token file, bytes.
const TOKEN_FILE_BYTES: u64 = 4096;
/// Bytes of chance in a token that the gateway makes.
const TOKEN_BYTES: usize = 32;

/// Where files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// The configuration file.
    pub config_file: PathBuf,
    /// Directory of everything that the gateway writes.
    pub state_dir: PathBuf,
}

/// Neither a flag nor the environment says where something is, and there is no home directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoPlace {
    /// The configuration file.
    Config,
    /// The state directory.
    State,
}

impl fmt::Display for NoPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Config => "no configuration file: set BARNACLE_CONFIG or HOME",
            Self::State => "no state directory: set BARNACLE_STATE_DIR or HOME",
        })
    }
}

impl std::error::Error for NoPlace {}

impl Places {
    /// Finds both places, each by the first that is given: the command line, `BARNACLE_CONFIG` /
    /// `BARNACLE_STATE_DIR`, systemd's `CONFIGURATION_DIRECTORY` / `STATE_DIRECTORY` (the first of
    /// several), `XDG_CONFIG_HOME` / `XDG_STATE_HOME` (absolute paths only), `HOME`.
    ///
    /// # Errors
    /// [`NoPlace`] when nothing of that is given.
    pub fn find(
        config_flag: Option<&Path>,
        state_flag: Option<&Path>,
        env: &BTreeMap<String, String>,
    ) -> Result<Self, NoPlace> {
        let config_file = Self::config_file(config_flag, env).ok_or(NoPlace::Config)?;
        let state_dir = Self::state_dir(state_flag, env).ok_or(NoPlace::State)?;
        Ok(Self { config_file, state_dir })
    }

    /// Where the configuration file is, or would be.
    #[must_use]
    pub fn config_file(flag: Option<&Path>, env: &BTreeMap<String, String>) -> Option<PathBuf> {
        let given = flag.map(Path::to_path_buf).or_else(|| variable(env, "BARNACLE_CONFIG"));
        given.or_else(|| {
            let dir = systemd(env, "CONFIGURATION_DIRECTORY").or_else(|| xdg(env, "XDG_CONFIG_HOME", ".config"))?;
            Some(dir.join(CONFIG_FILE))
        })
    }

    /// Where the state is, or would be.
    #[must_use]
    pub fn state_dir(flag: Option<&Path>, env: &BTreeMap<String, String>) -> Option<PathBuf> {
        let given = flag.map(Path::to_path_buf).or_else(|| variable(env, "BARNACLE_STATE_DIR"));
        given.or_else(|| systemd(env, "STATE_DIRECTORY")).or_else(|| xdg(env, "XDG_STATE_HOME", ".local/state"))
    }

    /// The token that the gateway made at its first start.
    #[must_use]
    pub fn token_file(&self) -> PathBuf {
        self.state_dir.join(TOKEN_FILE)
    }

    /// The last configuration that the gateway ran with.
    #[must_use]
    pub fn last_good_file(&self) -> PathBuf {
        self.state_dir.join("config.last-good.json")
    }

    /// The log file, unless the configuration names another: in systemd's `LOGS_DIRECTORY`, else below the state.
    #[must_use]
    pub fn log_file(&self, env: &BTreeMap<String, String>) -> PathBuf {
        systemd(env, "LOGS_DIRECTORY").unwrap_or_else(|| self.state_dir.join("logs")).join("gateway.log")
    }

    /// The common workspace, unless the configuration names another.
    #[must_use]
    pub fn workspace(&self) -> PathBuf {
        self.state_dir.join("workspace")
    }
}

fn variable(env: &BTreeMap<String, String>, name: &str) -> Option<PathBuf> {
    env.get(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// systemd may give several directories; the first is ours.
fn systemd(env: &BTreeMap<String, String>, name: &str) -> Option<PathBuf> {
    env.get(name)?.split(':').next().filter(|dir| !dir.is_empty()).map(PathBuf::from)
}

fn xdg(env: &BTreeMap<String, String>, name: &str, below_home: &str) -> Option<PathBuf> {
    let base = variable(env, name).filter(|path| path.is_absolute());
    base.or_else(|| variable(env, "HOME").map(|home| home.join(below_home))).map(|base| base.join(DIRECTORY))
}

/// Where a credential came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialSource {
    /// `--token` on the command line.
    Flag,
    /// The configuration file.
    Config,
    /// This environment variable.
    Environment(&'static str),
    /// The token file, made at an earlier start.
    File(PathBuf),
    /// The token file, made just now: tell the owner where it is.
    Made(PathBuf),
}

/// What clients have to show.
#[derive(Debug, Clone)]
pub struct Credential {
    /// Whether it is a token or a password.
    pub mode: AuthMode,
    /// The credential.
    pub secret: Secret,
    /// Where it came from.
    pub source: CredentialSource,
    /// Why it is weak, if it is; tolerated on loopback only.
    pub weakness: Option<String>,
}

/// Why there is no credential. The gateway doesn't start then.
#[derive(Debug)]
pub enum CredentialError {
    /// Mode `password` without a password (connection.md 3.1).
    NoPassword,
    /// Too weak for a port that others can reach.
    Weak {
        /// Where it came from.
        source: CredentialSource,
        /// Why.
        why: String,
    },
    /// The token file can't be read or written.
    TokenFile(io::Error),
}

impl fmt::Display for CredentialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPassword => {
                write!(
                    f,
                    "gateway.auth.mode is `password`, but neither gateway.auth.password nor {PASSWORD_VARIABLE} is set"
                )
            }
            Self::Weak { source, why } => {
                let whose = match source {
                    CredentialSource::Flag => "the token of --token",
                    CredentialSource::Config => "the credential of gateway.auth",
                    CredentialSource::Environment(name) => name,
                    CredentialSource::File(_) | CredentialSource::Made(_) => "the token file's token",
                };
                write!(f, "{whose} is too weak for a port that others can reach: {why}")
            }
            Self::TokenFile(error) => write!(f, "the token file cannot be used: {error}"),
        }
    }
}

impl std::error::Error for CredentialError {}

/// The credential that holds (connection.md 3.1). A token on the command line decides the mode;
/// else `gateway.auth.mode`, else password if one is set, else token. A token is, in this order:
/// `token_flag`, the configuration's, `BARNACLE_TOKEN`, the token file; and when there is none, a
/// random one of 32 bytes in hex that is written there (mode 0600, durable) before it is returned.
///
/// # Errors
/// [`CredentialError`].
pub async fn credential(
    token_flag: Option<&str>,
    config: &Config,
    env: &BTreeMap<String, String>,
    places: &Places,
    files: &dyn Files,
    chance: &Chance,
) -> Result<Credential, CredentialError> {
    let auth = &config.gateway.auth;
    let variable =
        |name: &str| env.get(name).map(|value| value.trim()).filter(|value| !value.is_empty()).map(Secret::new);
    let flag = token_flag.filter(|token| !token.is_empty()).map(Secret::new);
    let password = auth
        .password
        .clone()
        .map(|secret| (secret, CredentialSource::Config))
        .or_else(|| Some((variable(PASSWORD_VARIABLE)?, CredentialSource::Environment(PASSWORD_VARIABLE))));
    let mode = match (&flag, auth.mode, &password) {
        (Some(_), _, _) | (None, Some(AuthMode::Token), _) | (None, None, None) => AuthMode::Token,
        (None, Some(AuthMode::Password), _) | (None, None, Some(_)) => AuthMode::Password,
    };
    let token = flag
        .map(|secret| (secret, CredentialSource::Flag))
        .or_else(|| Some((auth.token.clone()?, CredentialSource::Config)))
        .or_else(|| Some((variable(TOKEN_VARIABLE)?, CredentialSource::Environment(TOKEN_VARIABLE))));
    let (secret, source) = match (mode, token) {
        (AuthMode::Password, _) => password.ok_or(CredentialError::NoPassword)?,
        (AuthMode::Token, Some(token)) => token,
        (AuthMode::Token, None) => token_of_file(places, files, chance).await.map_err(CredentialError::TokenFile)?,
    };
    let kind = match mode {
        AuthMode::Token => SecretKind::Token,
        AuthMode::Password => SecretKind::Password,
    };
    match weakness(secret.expose(), kind) {
        Some(why) if !config.gateway.bind.is_loopback() => Err(CredentialError::Weak { source, why }),
        weakness => Ok(Credential { mode, secret, source, weakness }),
    }
}

/// The token in a token file.
///
/// # Errors
/// `NotFound` without a file, and for an empty one, which is what a power cut leaves: nobody knows
/// that token. What else the system says.
pub fn token_in(files: &dyn Files, path: &Path) -> io::Result<Secret> {
    let bytes = files.read(path, TOKEN_FILE_BYTES)?;
    let text = String::from_utf8(bytes).map_err(|_| io::ErrorKind::InvalidData)?;
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    if text.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(Secret::new(text)) }
}

async fn token_of_file(places: &Places, files: &dyn Files, chance: &Chance) -> io::Result<(Secret, CredentialSource)> {
    let path = places.token_file();
    match token_in(files, &path) {
        Ok(token) => return Ok((token, CredentialSource::File(path))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let token = chance.hex::<TOKEN_BYTES>();
    files.create_dir(&places.state_dir)?;
    files.replace(path.clone(), format!("{token}\n").into_bytes()).await?;
    Ok((Secret::new(token), CredentialSource::Made(path)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::disk::Disk;

    fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn places_come_from_the_first_source_that_is_given() {
        let all = [
            ("BARNACLE_CONFIG", "/c.json"),
            ("BARNACLE_STATE_DIR", "/s"),
            ("CONFIGURATION_DIRECTORY", "/etc/barnacle:/etc/other"),
            ("STATE_DIRECTORY", "/var/lib/barnacle:/var/lib/other"),
            ("XDG_CONFIG_HOME", "/xc"),
            ("XDG_STATE_HOME", "/xs"),
            ("HOME", "/home/pi"),
        ];
        let find = |from: usize| Places::find(None, None, &env(&all[from..])).unwrap();
        let both = |config: &str, state: &str| Places { config_file: config.into(), state_dir: state.into() };
        let flags = Places::find(Some(Path::new("f.json")), Some(Path::new("d")), &env(&all)).unwrap();
        assert_eq!(flags, both("f.json", "d"));
        assert_eq!(find(0), both("/c.json", "/s"));
        assert_eq!(find(2), both("/etc/barnacle/barnacle.json", "/var/lib/barnacle"));
        assert_eq!(find(4), both("/xc/barnacle/barnacle.json", "/xs/barnacle"));
        let home = both("/home/pi/.config/barnacle/barnacle.json", "/home/pi/.local/state/barnacle");
        assert_eq!(find(6), home);
        let relative = env(&[("HOME", "/home/pi"), ("XDG_CONFIG_HOME", "x"), ("STATE_DIRECTORY", "")]);
        assert_eq!(Places::find(None, None, &relative).unwrap(), home);
        assert_eq!(Places::find(None, None, &env(&[])), Err(NoPlace::Config));
        assert_eq!(home.log_file(&env(&all)), Path::new("/home/pi/.local/state/barnacle/logs/gateway.log"));
        let logs = env(&[("LOGS_DIRECTORY", "/var/log/barnacle:/var/log/other")]);
        assert_eq!(home.log_file(&logs), Path::new("/var/log/barnacle/gateway.log"));
    }

    fn ask(flag: Option<&str>, text: &str, variables: &[(&str, &str)], dir: &Path) -> Result<Credential, String> {
        let env = env(variables);
        let (config, _) = Config::parse(text, "c", &env).map_err(|problems| problems[0].to_string())?;
        let places = Places { config_file: dir.join("c"), state_dir: dir.to_path_buf() };
        smol::block_on(credential(flag, &config, &env, &places, &Disk::default(), &Chance::seeded(5)))
            .map_err(|e| e.to_string())
    }

    #[test]
    fn the_token_comes_from_flag_then_file_then_environment_then_a_made_one() {
        let dir = std::env::temp_dir().join(format!("barnacle-token-{}", std::process::id()));
        Disk::default().create_dir(&dir).unwrap();
        Disk::default().remove(&dir.join("token")).unwrap();
        let text = "{gateway:{auth:{token:'secret-token'}}}";
        let flag = ask(Some("from-flag"), "{gateway:{auth:{password:'p'}}}", &[], &dir).unwrap();
        assert_eq!((flag.mode, flag.source), (AuthMode::Token, CredentialSource::Flag));
        let config = ask(None, text, &[("BARNACLE_TOKEN", "other")], &dir).unwrap();
        assert!(config.secret.matches("secret-token") && config.weakness.is_some());
        let variable = ask(None, "{}", &[("BARNACLE_TOKEN", "other")], &dir).unwrap();
        assert_eq!(variable.source, CredentialSource::Environment("BARNACLE_TOKEN"));
        let made = ask(None, "{}", &[], &dir).unwrap();
        assert_eq!(made.source, CredentialSource::Made(dir.join("token")));
        assert_eq!((made.secret.expose().len(), made.weakness), (64, None));
        let again = ask(None, "{}", &[], &dir).unwrap();
        assert_eq!(again.source, CredentialSource::File(dir.join("token")));
        assert!(again.secret.matches(made.secret.expose()));
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_password_sets_the_mode_and_a_weak_secret_is_refused_on_an_open_port() {
        let dir = Path::new("/nonexistent/barnacle");
        let password = ask(None, "{gateway:{auth:{password:'herring-99'}}}", &[], dir).unwrap();
        assert_eq!(password.mode, AuthMode::Password);
        let none = ask(None, "{gateway:{auth:{mode:'password'}}}", &[], dir).unwrap_err();
        assert!(none.contains("BARNACLE_PASSWORD"), "{none}");
        let weak = ask(None, "{gateway:{bind:'lan'}}", &[("BARNACLE_TOKEN", "changeme")], dir).unwrap_err();
        assert!(weak.contains("BARNACLE_TOKEN is too weak"), "{weak}");
        assert!(!weak.contains("changeme"), "{weak}");
    }
}
