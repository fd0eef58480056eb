//! `barnacle backup` and `barnacle restore`: what is said about them; the work is in [`crate::care`].

use std::path::{Path, PathBuf};

use super::Environment;
use super::args::{Backup, Restore};
use super::console::Console;
use super::exit::{Exit, Failure};
use crate::care::backup::{self, Made, Sources};
use crate::care::manifest::Manifest;
use crate::care::{archive, restore};
use crate::config::file;
use crate::config::first_start::Places;
use crate::limits::CONFIG_BYTES;
use crate::sys::disk::Disk;
use crate::sys::{Clock, Files as _, host};

/// Where the package's service keeps things.
const SERVICE_STATE: &str = "/var/lib/barnacle";

/// Where a command finds configuration and state.
pub(super) fn places(
    config: Option<&str>,
    state_dir: Option<&str>,
    environment: &Environment,
) -> Result<Places, Failure> {
    Places::find(config.map(Path::new), state_dir.map(Path::new), environment)
        .map_err(|error| Failure::usage(error.to_string()))
}

/// Makes one.
///
/// # Errors
/// What went wrong, with the exit code.
pub fn backup(
    args: &Backup,
    environment: &Environment,
    clock: &dyn Clock,
    console: &mut Console,
) -> Result<(), Failure> {
    let places = places(args.config.as_deref(), args.state_dir.as_deref(), environment)?;
    if !host::is_there(&places.state_dir) {
        return Err(no_state(&places.state_dir));
    }
    let mut config = vec![places.config_file.clone()];
    config.extend(included(&places, environment));
    let sources = Sources { state_dir: places.state_dir.clone(), config };
    let made = Made { now_ms: clock.now_ms(), host: host::name() };
    let done =
        backup::make(&sources, Path::new(&args.file), &made).map_err(|problem| Failure::new(Exit::Failed, problem))?;
    for path in done.left_out {
        console.note(&format!("left out, because it is neither file nor directory: {}", path.display()));
    }
    for path in elsewhere(&places, environment) {
        console.note(&format!("not in it, because it is outside of the state directory: {}", path.display()));
    }
    console.print(&format!("{}: {}\n", args.file, told(&done.manifest)))?;
    console.print("tokens and keys are in it; only you may read it (mode 0600)\n")
}

/// Brings one back.
///
/// # Errors
/// What went wrong, with the exit code.
pub fn restore(
    args: &Restore,
    environment: &Environment,
    clock: &dyn Clock,
    console: &mut Console,
) -> Result<(), Failure> {
    let failed = |problem: String| Failure::new(Exit::Failed, problem);
    let places = places(args.config.as_deref(), args.state_dir.as_deref(), environment)?;
    let archive = Path::new(&args.file);
    if args.dry_run {
        let manifest = archive::check(archive).map_err(|fault| failed(format!("{}: {fault}", args.file)))?;
        console.print(&format!("{}: whole; {}\n", args.file, told(&manifest)))?;
        console.print(&format!("made {} on {} by Barnacle {}\n", manifest.made, manifest.host, manifest.program))?;
        return console.print(&format!(
            "it would go to {} and {}; nothing was changed\n",
            places.state_dir.display(),
            places.config_file.display()
        ));
    }
    let to = restore::Places { state_dir: places.state_dir.clone(), config_file: places.config_file };
    let done = restore::restore(archive, &to, clock.now_ms()).map_err(failed)?;
    console.print(&format!("restored to {}: {}\n", places.state_dir.display(), told(&done.manifest)))?;
    for path in done.kept {
        console.print(&format!("what was there before: {}\n", path.display()))?;
    }
    Ok(())
}

fn told(manifest: &Manifest) -> String {
    let bytes: u64 = manifest.files.values().map(|member| member.bytes).sum();
    let size =
        if bytes < 1_000_000 { format!("{} KB", bytes.div_ceil(1000)) } else { format!("{} MB", bytes / 1_000_000) };
    format!("{} files, {size}", manifest.files.len())
}

/// A state directory that isn't there is most often one of somebody else.
fn no_state(dir: &Path) -> Failure {
    let failure = Failure::new(Exit::Failed, format!("there is no state in {}", dir.display()));
    if host::is_there(Path::new(SERVICE_STATE)) {
        return failure.hint(format!(
            "the service's: --state-dir {SERVICE_STATE} --config /etc/barnacle/barnacle.json, with sudo"
        ));
    }
    failure.hint("say where it is with --state-dir")
}

/// What the configuration has put elsewhere: workspaces, jobs.
fn elsewhere(places: &Places, environment: &Environment) -> Vec<PathBuf> {
    let Ok(loaded) = file::load(&Disk::default(), places, environment) else { return Vec::new() };
    let agents = &loaded.config.agents;
    let own = agents.list.iter().filter_map(|agent| agent.workspace.clone());
    let mut found: Vec<_> =
        own.chain(agents.defaults.workspace.clone()).chain(loaded.config.cron.store.clone()).collect();
    found.retain(|path| !path.starts_with(&places.state_dir) && host::is_there(path));
    found.sort();
    found.dedup();
    found
}

/// The files that the configuration includes, also of one with mistakes.
fn included(places: &Places, environment: &Environment) -> Vec<PathBuf> {
    let path = &places.config_file;
    let Ok(bytes) = Disk::default().read(path, CONFIG_BYTES) else { return Vec::new() };
    let text = String::from_utf8_lossy(&bytes);
    file::read_text(&Disk::default(), path, path, &text, environment).included
}
