//! The configuration on disk: the file itself and the last good copy of it (INTEGRATIONS.md 6.4).
//!
//! A power cut can leave an empty file. An empty or missing one is replaced by the last good copy,
//! with a warning; an invalid one is an error, never a reason to go back.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};

use super::first_start::Places;
use super::{Config, Problem, Reading, Warning};
use crate::limits;
use crate::sys::Files;

/// Where a configuration came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The configuration file.
    File,
    /// The last good copy, because the file is empty or missing.
    LastGood,
    /// Nothing was there: the defaults.
    Defaults,
}

/// A configuration as read at start or on a reload.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What the owner should know; the use of the last good copy comes first.
    pub warnings: Vec<Warning>,
    /// Where it came from.
    pub source: Source,
    /// The text that was read; `None` with [`Source::Defaults`].
    pub raw: Option<String>,
    /// The files that it includes.
    pub included: Vec<PathBuf>,
}

/// Why there is no configuration. The gateway doesn't start then; on a reload the old one stays.
#[derive(Debug)]
pub enum LoadError {
    /// The file can't be read.
    Unreadable {
        /// Its name.
        file: String,
        /// What the system says.
        error: io::Error,
    },
    /// What is wrong in it.
    Invalid(Vec<Problem>),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { file, error } => write!(f, "{file}: cannot be read: {error}"),
            Self::Invalid(problems) => {
                for (index, problem) in problems.iter().enumerate() {
                    let newline = if index == 0 { "" } else { "\n" };
                    write!(f, "{newline}{problem}")?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for LoadError {}

/// Reads the configuration of `places`.
///
/// # Errors
/// [`LoadError`] when the file (or the last good copy in its place) is unreadable or invalid.
pub fn load(files: &dyn Files, places: &Places, env: &BTreeMap<String, String>) -> Result<Loaded, LoadError> {
    let loaded = |path: &Path, source: Source, raw: Option<String>| {
        let reading = read_text(files, &places.config_file, path, raw.as_deref().unwrap_or_default(), env);
        let config = reading.outcome.map_err(LoadError::Invalid)?;
        Ok(Loaded { config, warnings: reading.warnings, source, raw, included: reading.included })
    };
    if let Some(text) = read(files, &places.config_file)? {
        return loaded(&places.config_file, Source::File, Some(text));
    }
    let copy = places.last_good_file();
    let Some(text) = read(files, &copy)? else { return loaded(&places.config_file, Source::Defaults, None) };
    let mut loaded = loaded(&copy, Source::LastGood, Some(text))?;
    loaded.warnings.insert(
        0,
        Warning {
            file: name(&places.config_file),
            line: 1,
            column: 1,
            key: String::new(),
            message: format!("the file is empty or missing; its last good copy {} is used", name(&copy)),
        },
    );
    Ok(loaded)
}

/// Reads a text as the content of `path`, with the files that it includes from the directory of
/// `config_file`; their paths in the result are whole.
pub fn read_text(
    files: &dyn Files,
    config_file: &Path,
    path: &Path,
    text: &str,
    env: &BTreeMap<String, String>,
) -> Reading {
    let dir = config_file.parent().map(Path::to_path_buf).unwrap_or_default();
    let mut reading = Config::read(text, &name(path), env, &|include| included(files, &dir, include));
    for include in &mut reading.included {
        *include = dir.join(&*include);
    }
    reading
}

/// The text of an included file. Symbolic links must not lead out of the directory either.
fn included(files: &dyn Files, dir: &Path, include: &Path) -> Result<String, String> {
    let shown = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        _ => format!("cannot be read: {error}"),
    };
    let here = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let path = files.real_path(&here.join(include)).map_err(shown)?;
    if !path.starts_with(files.real_path(here).map_err(shown)?) {
        return Err("it leads out of the configuration directory".to_owned());
    }
    let bytes = files.read(&path, limits::CONFIG_BYTES).map_err(shown)?;
    String::from_utf8(bytes).map_err(|_| "this is not UTF-8 text".to_owned())
}

/// The text that a client sees and changes.
#[derive(Debug, Default)]
pub struct Standing {
    /// The file's; the last good copy's when the file is empty or missing, as at a start. `None` when there is
    /// neither, or when it is no text.
    pub text: Option<String>,
    /// SHA-256 of its bytes, in hex; of nothing when there is neither.
    pub hash: String,
    /// Why it is no text.
    pub garbled: Vec<Problem>,
}

impl Standing {
    /// A text, or that there is none.
    #[must_use]
    pub fn of(text: Option<&str>) -> Self {
        let hash = hash_of(text.unwrap_or_default().as_bytes());
        Self { text: text.map(str::to_owned), hash, garbled: Vec::new() }
    }

    /// Whether there is anything that could be overwritten.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.text.is_some() || !self.garbled.is_empty()
    }
}

/// What stands where [`load`] would read.
///
/// # Errors
/// [`LoadError::Unreadable`].
pub fn standing(files: &dyn Files, places: &Places) -> Result<Standing, LoadError> {
    for path in [&places.config_file, &places.last_good_file()] {
        match bytes_of(files, path)?.map(|bytes| (hash_of(&bytes), text_in(path, bytes))) {
            None => {}
            Some((hash, Ok(text))) => return Ok(Standing { text: Some(text), hash, garbled: Vec::new() }),
            Some((hash, Err(garbled))) => return Ok(Standing { text: None, hash, garbled }),
        }
    }
    Ok(Standing::of(None))
}

fn hash_of(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(digest(&SHA256, bytes).as_ref())
}

/// Keeps `raw` as the last good copy; writes only when it differs from the one on disk. Call it when
/// the gateway runs with a configuration of [`Source::File`].
///
/// # Errors
/// What the system says; the older copy is in place then.
pub async fn keep_last_good(files: &dyn Files, places: &Places, raw: &str) -> io::Result<()> {
    let copy = places.last_good_file();
    if files.read(&copy, limits::CONFIG_BYTES).is_ok_and(|bytes| bytes == raw.as_bytes()) {
        return Ok(());
    }
    files.create_dir(&places.state_dir)?;
    files.replace(copy, raw.as_bytes().to_vec()).await
}

fn read(files: &dyn Files, path: &Path) -> Result<Option<String>, LoadError> {
    bytes_of(files, path)?.map(|bytes| text_in(path, bytes).map_err(LoadError::Invalid)).transpose()
}

/// The content of a file; `None` when it is missing or holds nothing (blanks, or the zero bytes that a
/// power cut leaves).
fn bytes_of(files: &dyn Files, path: &Path) -> Result<Option<Vec<u8>>, LoadError> {
    match files.read(path, limits::CONFIG_BYTES) {
        Ok(bytes) => Ok(Some(bytes).filter(|bytes| !bytes.iter().all(|byte| byte.is_ascii_whitespace() || *byte == 0))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(LoadError::Unreadable { file: name(path), error }),
    }
}

fn text_in(path: &Path, bytes: Vec<u8>) -> Result<String, Vec<Problem>> {
    String::from_utf8(bytes).map_err(|error| {
        let good = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let text = String::from_utf8_lossy(good);
        let mut notes = super::Notes::new("", &text);
        notes.problem_at(text.len(), "", "this is not UTF-8 text");
        notes.problems.into_iter().map(|problem| Problem { file: name(path), ..problem }).collect()
    })
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::disk::Disk;

    fn places(test: &str) -> Places {
        let dir = std::env::temp_dir().join(format!("barnacle-config-{}-{test}", std::process::id()));
        Disk::default().create_dir(&dir).unwrap();
        for file in ["barnacle.json", "config.last-good.json"] {
            Disk::default().remove(&dir.join(file)).unwrap();
        }
        Places { config_file: dir.join("barnacle.json"), state_dir: dir }
    }

    fn put(path: &Path, text: &[u8]) {
        smol::block_on(Disk::default().replace(path.to_path_buf(), text.to_vec())).unwrap();
    }

    #[test]
    fn an_empty_file_falls_back_to_the_last_good_copy_and_says_so() {
        let places = places("empty");
        let env = BTreeMap::new();
        assert_eq!(load(&Disk::default(), &places, &env).unwrap().source, Source::Defaults);
        put(&places.config_file, b"{gateway:{port:4000}}");
        let loaded = load(&Disk::default(), &places, &env).unwrap();
        assert_eq!((loaded.source, loaded.config.gateway.port), (Source::File, 4000));
        smol::block_on(keep_last_good(&Disk::default(), &places, &loaded.raw.unwrap())).unwrap();
        for nothing in [b"".as_slice(), b" \n", b"\0\0\0\0"] {
            put(&places.config_file, nothing);
            let loaded = load(&Disk::default(), &places, &env).unwrap();
            assert_eq!((loaded.source, loaded.config.gateway.port), (Source::LastGood, 4000));
            assert!(loaded.warnings[0].to_string().contains("last good copy"));
        }
        std::fs::remove_dir_all(places.state_dir).unwrap();
    }

    #[test]
    fn an_invalid_file_is_an_error_even_with_a_last_good_copy() {
        let places = places("invalid");
        let env = BTreeMap::new();
        smol::block_on(keep_last_good(&Disk::default(), &places, "{}")).unwrap();
        put(&places.config_file, b"{gateway:{port:'x'}}");
        let error = load(&Disk::default(), &places, &env).unwrap_err().to_string();
        assert!(error.starts_with("barnacle.json:1:16: gateway.port: "), "{error}");
        put(&places.config_file, b"{\n  a: '\xff'}");
        assert_eq!(
            load(&Disk::default(), &places, &env).unwrap_err().to_string(),
            "barnacle.json:2:7: this is not UTF-8 text"
        );
        std::fs::remove_dir_all(places.state_dir).unwrap();
    }

    #[test]
    fn an_included_link_that_leads_out_of_the_directory_is_refused() {
        let places = places("link");
        let outside = std::env::temp_dir().join(format!("barnacle-outside-{}.json5", std::process::id()));
        put(&outside, b"{gateway:{port:4000}}");
        std::os::unix::fs::symlink(&outside, places.state_dir.join("link.json5")).unwrap();
        put(&places.state_dir.join("good.json5"), b"{gateway:{port:4001}}");
        for (name, expected) in
            [("link.json5", "it leads out of the configuration directory"), ("no.json5", "there is no such file")]
        {
            put(&places.config_file, format!("{{'$include':'{name}'}}").as_bytes());
            let error = load(&Disk::default(), &places, &BTreeMap::new()).unwrap_err().to_string();
            assert_eq!(error, format!("barnacle.json:1:13: $include: {name}: {expected}"));
        }
        put(&places.config_file, b"{'$include':'good.json5'}");
        let loaded = load(&Disk::default(), &places, &BTreeMap::new()).unwrap();
        assert_eq!((loaded.config.gateway.port, loaded.included), (4001, vec![places.state_dir.join("good.json5")]));
        std::fs::remove_dir_all(places.state_dir).unwrap();
        Disk::default().remove(&outside).unwrap();
    }
}
