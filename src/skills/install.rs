//! One installation of what a skill needs: a program by its arguments, or a file over https.
//!
//! It never runs a shell, nothing that the configuration doesn't allow, and no argument that could be an option or an
//! address. Whoever drops the future ends the installation.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use super::archive::{self, Unfit};
use super::manifest::Way;
use crate::config::skills::{Installer, NodeManager, Skills};
use crate::limits::{DOWNLOAD_BYTES, INSTALL_OUTPUT_BYTES};
use crate::sys::Sys;
use crate::sys::http::{self, HttpError, Method, Request};
use crate::sys::processes::{Ending, Finished, ProcessError, Program};
use crate::sys::url::Url;

/// What came of it (methods.md 12.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Whether it is installed.
    pub ok: bool,
    /// What happened.
    pub message: String,
    /// The installer's last output.
    pub stdout: String,
    /// Its last error output.
    pub stderr: String,
    /// Its code.
    pub code: Option<i32>,
}

impl Outcome {
    /// It came to nothing before anything ran.
    #[must_use]
    pub fn failed(message: impl Into<String>) -> Self {
        Self { ok: false, message: message.into(), stdout: String::new(), stderr: String::new(), code: None }
    }
}

/// The installation that goes, if any: one at a time.
#[derive(Debug, Default)]
pub struct Desk(Rc<Cell<bool>>);

impl Desk {
    /// Takes the one place; `None` while another installation goes.
    #[must_use]
    pub fn take(&self) -> Option<Taken> {
        (!self.0.replace(true)).then(|| Taken(Rc::clone(&self.0)))
    }
}

/// The place; free again when dropped.
#[derive(Debug)]
pub struct Taken(Rc<Cell<bool>>);

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// How often the log tells what the installer says.
const PROGRESS: Duration = Duration::from_secs(1);
/// Most redirections of a download.
const REDIRECTS: usize = 5;
/// Longest name of a package, characters.
const SPEC_CHARS: usize = 200;

/// Installs. `tools_dir` is the skill's directory for downloads.
pub async fn install(sys: &Sys, skills: &Skills, skill: &str, way: &Way, tools_dir: &Path, limit: Duration) -> Outcome {
    let installer = way.installer;
    if !skills.install_allow.contains(&installer) {
        let name = installer.name();
        return Outcome::failed(format!(
            "installing with {name} is not allowed; add \"{name}\" to skills.install.allow"
        ));
    }
    log::info!("skill {skill}: {} ({})", way.label, way.id);
    let outcome = if installer == Installer::Download {
        match sys.clock.timeout(limit, Box::pin(download(sys, way, tools_dir, limit))).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(problem)) => Outcome::failed(format!("Install failed: {problem}")),
            Err(_) => Outcome::failed(format!("Install failed: not done within {} s", limit.as_secs())),
        }
    } else {
        match argv(skills, way) {
            Ok(argv) => told(sys.processes.run(program(sys, skill, argv, limit)).await),
            Err(problem) => Outcome::failed(problem),
        }
    };
    log::info!("skill {skill}: {}", outcome.message);
    outcome
}

/// The arguments of an installer.
fn argv(skills: &Skills, way: &Way) -> Result<Vec<String>, String> {
    let what = &way.what;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "@/._+-=[],~^".contains(c);
    if what.is_empty() || what.starts_with(['-', '/', '.']) || what.len() > SPEC_CHARS || !what.chars().all(is_plain) {
        return Err(format!("Install failed: {:?} is not the name of a package", way.what));
    }
    if way.installer == Installer::Node && !is_node_package(what) {
        return Err(format!("Install failed: {what:?} is not the name of a package of the npm registry"));
    }
    let words: &[&str] = match (way.installer, skills.node_manager) {
        (Installer::Brew, _) => &["brew", "install"],
        (Installer::Go, _) => &["go", "install"],
        (Installer::Uv, _) => &["uv", "tool", "install", "--no-build"],
        (_, NodeManager::Npm) => &["npm", "install", "-g", "--ignore-scripts", "--no-audit", "--no-fund"],
        (_, NodeManager::Pnpm) => &["pnpm", "add", "-g", "--ignore-scripts"],
        (_, NodeManager::Yarn) => &["yarn", "global", "add", "--ignore-scripts"],
    };
    Ok(words.iter().copied().chain([what.as_str()]).map(str::to_owned).collect())
}

/// `name`, `name@version`, `@scope/name` or `@scope/name@version`: whatever else npm takes means a repository, a
/// file or a directory.
fn is_node_package(what: &str) -> bool {
    let (scoped, rest) = match what.strip_prefix('@') {
        Some(rest) => match rest.split_once('/') {
            Some((scope, name)) if !scope.is_empty() => (true, name),
            _ => return false,
        },
        None => (false, what),
    };
    let (name, version) = rest.split_once('@').map_or((rest, None), |(name, version)| (name, Some(version)));
    let is_word = |text: &str| {
        !text.is_empty()
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-^~+".contains(c))
            && !text.starts_with('.')
    };
    let is_file = [".tgz", ".tar", ".gz"].iter().any(|end| what.ends_with(end));
    is_word(name)
        && !name.starts_with('~')
        && version.is_none_or(is_word)
        && !is_file
        && (scoped || !what.contains('/'))
}

fn program(sys: &Sys, skill: &str, argv: Vec<String>, limit: Duration) -> Program {
    let (clock, skill, last) = (Rc::clone(&sys.clock), skill.to_owned(), RefCell::new(None::<Duration>));
    let on_line = move |line: &str| {
        let now = clock.elapsed();
        if last.borrow().is_none_or(|last| now >= last + PROGRESS) {
            *last.borrow_mut() = Some(now);
            log::info!("skill {skill}: {line}");
        }
    };
    let output_bytes = INSTALL_OUTPUT_BYTES;
    Program { argv, dir: None, env: Vec::new(), limit, output_bytes, on_line: Some(Rc::new(on_line)) }
}

fn told(finished: Result<Finished, ProcessError>) -> Outcome {
    let finished = match finished {
        Ok(finished) => finished,
        Err(ProcessError::NotFound(name)) => return Outcome::failed(format!("{name} not installed")),
        Err(error) => return Outcome::failed(format!("Install failed: {error}")),
    };
    let Finished { ending, stdout, stderr } = finished;
    let (message, code) = match ending {
        Ending::Exited(0) => ("Installed".to_owned(), Some(0)),
        Ending::Exited(code) => {
            let said = stderr.lines().chain(stdout.lines()).map(str::trim).find(|line| !line.is_empty());
            let said: String = said.map(|line| format!(": {line}")).unwrap_or_default().chars().take(300).collect();
            (format!("Install failed (exit {code}){said}"), Some(code))
        }
        Ending::Killed => ("Install failed (killed)".to_owned(), None),
        Ending::TimedOut => ("Install failed (timed out)".to_owned(), None),
    };
    Outcome { ok: ending == Ending::Exited(0), message, stdout, stderr, code }
}

/// Why a download came to nothing.
#[derive(Debug)]
enum Problem {
    Address(String),
    Place(String),
    Status(u16),
    Redirects,
    Http(HttpError),
    Disk(io::Error),
    Archive(String),
    Unfit(Unfit),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(url) => write!(f, "{url:?} is not an https address of a file"),
            Self::Place(dir) => write!(f, "targetDir {dir:?} leads out of the skill's directory"),
            Self::Status(status) => write!(f, "HTTP {status}"),
            Self::Redirects => write!(f, "more than {REDIRECTS} redirections"),
            Self::Http(error) => error.fmt(f),
            Self::Disk(error) => write!(f, "the file can't be written: {}", error.kind()),
            Self::Archive(name) => write!(f, "{name}: only tar archives are unpacked"),
            Self::Unfit(unfit) => unfit.fmt(f),
        }
    }
}

async fn download(sys: &Sys, way: &Way, tools_dir: &Path, limit: Duration) -> Result<Outcome, Problem> {
    let name = file_name(&way.what).ok_or_else(|| Problem::Address(way.what.clone()))?;
    let dir = match way.target_dir.as_deref() {
        None => tools_dir.to_owned(),
        Some(below) => tools_dir.join(below_only(below).ok_or_else(|| Problem::Place(below.to_owned()))?),
    };
    if way.unpack.is_some() && !is_tar(&name) {
        return Err(Problem::Archive(name));
    }
    sys.files.create_dir(&dir).map_err(Problem::Disk)?;
    let (path, part) = (dir.join(&name), dir.join(format!("{name}.part")));
    let got = Box::pin(fetch(sys, &way.what, &part, limit)).await;
    let kept = match got {
        Ok(bytes) => sys.files.sync(part.clone()).await.and_then(|()| sys.files.rename(&part, &path)).map(|()| bytes),
        Err(problem) => {
            // What is left of it is of no use; if it can't be removed either, the next try begins anew.
            let _ = sys.files.remove(&part);
            return Err(problem);
        }
    };
    let bytes = kept.map_err(Problem::Disk)?;
    sys.files.sync(path.clone()).await.map_err(Problem::Disk)?;
    let Some(strip) = way.unpack else {
        let message = format!("Downloaded {bytes} bytes to {}", path.display());
        return Ok(Outcome { ok: true, message, stdout: String::new(), stderr: String::new(), code: Some(0) });
    };
    archive::inspect(sys, &path, limit).await.map_err(Problem::Unfit)?;
    let (path, dir) = (path.display().to_string(), dir.display().to_string());
    let words = ["tar", "-xf", &path, "-C", &dir, "--no-same-owner", &format!("--strip-components={strip}")];
    let argv = words.map(str::to_owned).into();
    Ok(told(sys.processes.run(program(sys, &name, argv, limit)).await))
}

/// Writes what is at `from` into `part`; its size.
async fn fetch(sys: &Sys, from: &str, part: &Path, limit: Duration) -> Result<u64, Problem> {
    let mut url = from.to_owned();
    for _ in 0..=REDIRECTS {
        if !url.starts_with("https://") {
            return Err(Problem::Address(url));
        }
        let wait = limit.min(Duration::from_secs(30));
        let limits = http::Limits { connect: wait, first_byte: wait, idle: wait, body_bytes: DOWNLOAD_BYTES };
        let headers = vec![("user-agent".to_owned(), format!("barnacle/{}", crate::VERSION))];
        let request =
            Request { method: Method::Get, url: url.clone(), socket: None, headers, body: Vec::new(), limits };
        let mut response = sys.http.send(request).await.map_err(Problem::Http)?;
        match response.status {
            200 => {
                sys.files.remove(part).map_err(Problem::Disk)?;
                let mut bytes = 0;
                while let Some(piece) = response.body.next().await.map_err(Problem::Http)? {
                    bytes += piece.len() as u64;
                    sys.files.append(part, &piece).map_err(Problem::Disk)?;
                }
                return Ok(bytes);
            }
            301 | 302 | 303 | 307 | 308 => {
                let to = response.header("location").unwrap_or_default().to_owned();
                let host = Url::parse(&url).map_err(|_| Problem::Address(url.clone()))?.authority();
                url = if to.starts_with('/') { format!("https://{host}{to}") } else { to };
            }
            status => return Err(Problem::Status(status)),
        }
    }
    Err(Problem::Redirects)
}

/// The name of the file at an https address.
fn file_name(address: &str) -> Option<String> {
    let path = address.strip_prefix("https://")?.split(['?', '#']).next()?;
    let (_, name) = path.rsplit_once('/')?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-+".contains(c);
    let fits = !name.is_empty() && name.len() <= SPEC_CHARS && !name.starts_with('.') && name.chars().all(is_plain);
    fits.then(|| name.to_owned())
}

fn is_tar(name: &str) -> bool {
    [".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2"].iter().any(|end| name.ends_with(end))
}

/// A relative path that stays where it is.
fn below_only(path: &str) -> Option<PathBuf> {
    let path = PathBuf::from(path);
    path.components().all(|part| matches!(part, Component::Normal(_))).then_some(path)
}
