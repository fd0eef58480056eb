//! `barnacle update`: what is told about it, and whether the new gateway answers; the work is in [`crate::care::swap`].

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use super::Environment;
use super::args::Update;
use super::client::{Client, Patience};
use super::connection::Target;
use super::console::Console;
use super::exit::{Exit, Failure};
use crate::care::program::Kind;
use crate::care::swap::{Machine, Outcome, Service};
use crate::sys::processes::RealProcesses;
use crate::sys::{Clock, host, knock};

/// How long the new gateway may take until it answers, unless `--timeout` says so.
const ANSWERS_WITHIN: Duration = Duration::from_secs(60);
/// Pause between two tries.
const LOOK: Duration = Duration::from_millis(500);

/// Looks, swaps, and tells.
///
/// # Errors
/// What went wrong, with the exit code; an update that was taken back is a failure.
pub fn update(
    args: &Update,
    target: &Target,
    environment: &Environment,
    clock: &Rc<dyn Clock>,
    console: &mut Console,
) -> Result<(), Failure> {
    let failed = |problem: String| Failure::new(Exit::Failed, problem);
    let own =
        host::own_program().map_err(|error| failed(format!("where this program is can't be found out: {error}")))?;
    let session = ["XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"];
    let machine = Machine {
        own: own.clone(),
        processes: Rc::new(RealProcesses::new(Rc::clone(clock), environment)),
        session: session
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), environment.get(*name)?.clone())))
            .collect(),
    };
    let Some(file) = &args.file else {
        if !args.check {
            return Err(Failure::usage("update: which file? A program or a package; nothing is downloaded"));
        }
        let way = if machine.is_packaged() { "a package" } else { "a program" };
        return console.print(&format!("barnacle {} in {}; updated with {way}\n", crate::VERSION, own.display()));
    };
    let candidate = machine.look(Path::new(file)).map_err(|why| failed(format!("{why}; nothing was changed")))?;
    let kind = if candidate.kind == Kind::Package { "package" } else { "program" };
    console.print(&format!(
        "{file}: a {kind} for this machine, version {}; in place: {}\n",
        candidate.version,
        crate::VERSION
    ))?;
    if args.check {
        return Ok(());
    }
    let probe = || smol::block_on(answers(target, clock, &candidate.version));
    match machine.replace(&candidate, &probe).map_err(failed)? {
        Outcome::Runs => console.print(&format!("the service runs {}; the old program is {}.old\n", candidate.version, own.display())),
        Outcome::InPlace => console.print(&format!(
            "in place; the old program is {}.old\nno service of systemd runs the gateway: end the process and start it again \
             (SIGUSR1 restarts the program that runs already)\n",
            own.display()
        )),
        Outcome::Back(why) => {
            let again = if machine.service() == Service::None { "" } else { " and runs" };
            Err(failed(format!("version {} doesn't do: {why}", candidate.version))
                .hint(format!("the old program is back{again}; journalctl -u barnacle -n 50 tells more")))
        }
    }
}

/// Waits until the gateway takes connections, is ready, and has that version.
async fn answers(target: &Target, clock: &Rc<dyn Clock>, version: &str) -> Result<(), String> {
    let deadline = clock.elapsed() + target.timeout.unwrap_or(ANSWERS_WITHIN);
    loop {
        let why = match try_once(target, clock, version).await {
            Ok(()) => return Ok(()),
            Err(why) => why,
        };
        if clock.elapsed() >= deadline {
            return Err(why);
        }
        clock.sleep(LOOK).await;
    }
}

async fn try_once(target: &Target, clock: &Rc<dyn Clock>, version: &str) -> Result<(), String> {
    let client = Client::connect(clock, target, Patience::default()).await;
    let client = client.map_err(|error| error.explain(target).message.unwrap_or_default())?;
    let found = client.hello().server.version.clone();
    client.close().await;
    // A package's version may have a revision behind it.
    if version != found && !version.starts_with(&format!("{found}-")) {
        return Err(format!("version {found} answers"));
    }
    let ready = knock::is_ready(&target.endpoint.host, target.endpoint.port);
    match clock.timeout(Duration::from_secs(5), ready).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(format!("it is not ready: {error}")),
        Err(_) => Err("/readyz doesn't answer".to_owned()),
    }
}
