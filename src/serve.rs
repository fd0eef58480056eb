//! The gateway as a process: its lock, listeners, signals, restarts and end.
#![allow(clippy::disallowed_methods, reason = "this is where the real clock and the real process are put in place")]

mod sockets;
mod telling;

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::rc::Rc;
use std::slice;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_signal::{Signal, Signals};
use jiff::tz::TimeZone;
use smol::LocalExecutor;
use smol::stream::StreamExt as _;

use sockets::{Listener, listen, move_to, shown};
use telling::Telling;

use crate::app::{self, Start};
use crate::config::credentials;
use crate::config::file::{Loaded, Source};
use crate::config::first_start::{Credential, CredentialSource, Places};
use crate::config::gateway::AuthMode;
use crate::config::launch::Launch;
use crate::config::network::Bind;
use crate::gateway::jobs;
use crate::gateway::kept::Kept;
use crate::gateway::reload::{Cause, keep_last_good, log_settings};
use crate::gateway::restart_note::RestartNote;
use crate::journal::Journal;
use crate::limits::SHUTDOWN_MS;
use crate::net::listen::Front;
use crate::sys::chance::Chance;
use crate::sys::client::RealHttp;
use crate::sys::clock::RealClock;
use crate::sys::disk::Disk;
use crate::sys::handed::Handed;
use crate::sys::host;
use crate::sys::instance::{Instance, Taken};
use crate::sys::processes::RealProcesses;
use crate::sys::supervisor::Supervisor;
use crate::sys::{Clock, Sys, Tasks};

/// The environment variable that carries the token.
const TOKEN_VARIABLE: &str = "BARNACLE_TOKEN";
/// When clients may expect the gateway back after a restart, ms (connection.md 1.6).
const RESTART_EXPECTED_MS: u64 = 1500;
/// Exit code of a panic, as a shell shows it for the language's own.
const PANIC_EXIT: i32 = 101;

/// What the command line asks for.
#[derive(Debug, Default)]
pub struct Options {
    /// Configuration file.
    pub config: Option<String>,
    /// State directory.
    pub state_dir: Option<String>,
    /// Port instead of the configured one; 0 lets the system choose.
    pub port: Option<u16>,
    /// Address instead of the configured one: `loopback`, `lan`, or an IP address.
    pub bind: Option<String>,
    /// Shared token instead of the configured one.
    pub token: Option<String>,
}

/// Why the gateway did not start, or ended early. One line each.
#[derive(Debug)]
pub enum Failed {
    /// The configuration is wrong; every problem.
    Config(Vec<String>),
    /// Anything else.
    Other(String),
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(problems) => f.write_str(&problems.join("\n")),
            Self::Other(problem) => f.write_str(problem),
        }
    }
}

impl std::error::Error for Failed {}

/// Runs the gateway until a signal ends it. A restart happens inside: a new gateway takes over while
/// the process, its lock, its log and its listening sockets stay.
///
/// # Errors
/// [`Failed`].
pub fn serve(options: &Options, env: &BTreeMap<String, String>) -> Result<(), Failed> {
    let clock: Rc<dyn Clock> = Rc::new(RealClock::start());
    let executor = Rc::new(LocalExecutor::new());
    let sys = real_sys(&clock, &executor, env);
    let mut life = smol::block_on(executor.run(prepare(options, env, &sys)))?;
    let mut signals = Signals::new([Signal::Term, Signal::Int, Signal::Hup, Signal::Usr1])
        .map_err(|error| Failed::Other(format!("signals: {error}")))?;
    let supervisor = Supervisor::find(env);
    // A new executor for each gateway, so that nothing of the old one is left but what was handed on.
    drop((sys, executor));
    loop {
        let executor = Rc::new(LocalExecutor::new());
        let sys = real_sys(&clock, &executor, env);
        match smol::block_on(executor.run(live(life, sys, supervisor, &mut signals)))? {
            Some(next) => life = next,
            None => return Ok(()),
        }
    }
}

fn real_sys(clock: &Rc<dyn Clock>, executor: &Rc<LocalExecutor<'static>>, env: &BTreeMap<String, String>) -> Sys {
    let tasks = Tasks::on(executor);
    Sys {
        zone: TimeZone::system(),
        http: Rc::new(RealHttp::new(Rc::clone(clock), tasks.clone())),
        clock: Rc::clone(clock),
        chance: Rc::new(Chance::real()),
        files: Rc::new(Disk::default()),
        processes: Rc::new(RealProcesses::new(Rc::clone(clock), env)),
        tasks,
    }
}

/// What one gateway begins with; what outlives it goes on to the next.
struct Life {
    launch: Rc<Launch>,
    journal: Arc<Journal>,
    instance: Instance,
    loaded: Loaded,
    credential: Credential,
    listeners: Vec<Listener>,
    /// The sockets that systemd gave; those of them with an address are among the listeners.
    handed: Handed,
    /// What the gateway before gave away.
    kept: Kept,
    /// Whether the owner at the terminal has been told where the gateway is.
    is_first: bool,
}

/// What the process does once, before the first gateway.
async fn prepare(options: &Options, env: &BTreeMap<String, String>, sys: &Sys) -> Result<Life, Failed> {
    let other = |problem: String| Failed::Other(problem);
    let handed = Handed::take(env).map_err(|unusable| Failed::Config(vec![unusable.to_string()]))?;
    // What systemd hands over comes before the environment.
    let mut env = env.clone();
    let secrets = credentials::read(&*sys.files, &env).map_err(|problem| Failed::Config(vec![problem]))?;
    let names: Vec<_> = secrets.keys().cloned().collect();
    env.extend(secrets);
    if let Some(token) = &options.token {
        // The check of open addresses wants to see it.
        env.insert(TOKEN_VARIABLE.to_owned(), token.clone());
    }
    let places =
        Places::find(options.config.as_deref().map(Path::new), options.state_dir.as_deref().map(Path::new), &env)
            .map_err(|error| other(error.to_string()))?;
    sys.files.create_dir(&places.state_dir).map_err(|error| {
        other(format!("state directory {}: {error}; choose another with --state-dir", places.state_dir.display()))
    })?;
    let instance = Instance::take(&places.state_dir).map_err(|taken| other(already(&taken, &places.state_dir)))?;

    let bind = options.bind.as_deref().map(read_bind).transpose()?;
    let launch = Launch {
        bind,
        port: options.port,
        token: options.token.clone(),
        has_private_entrance: handed.serve.is_some(),
        ..Launch::new(places, env)
    };
    let loaded =
        launch.load(sys).map_err(|error| Failed::Config(error.to_string().lines().map(str::to_owned).collect()))?;
    let settings = log_settings(&loaded.config, &launch.places, &launch.env);
    let journal = Arc::new(Journal::new(&settings, Box::new(io::stderr()), wall_ms));
    start_logging(&journal);
    for warning in &loaded.warnings {
        log::warn!("{warning}");
    }
    if !names.is_empty() {
        log::info!("credentials from systemd: {}", names.join(", "));
    }
    let credential = launch.credential(sys, &loaded.config).await.map_err(|error| other(error.to_string()))?;
    jobs::check_store(sys, &launch.places, &loaded.config).map_err(other)?;
    if let (Some((_, address)), Some(weakness)) =
        (handed.tcp.iter().find(|(_, address)| !address.ip().is_loopback()), &credential.weakness)
    {
        return Err(Failed::Config(vec![format!(
            "systemd hands over {address}, which others can reach, and the gateway's {} is too weak for that: \
             {weakness}; set another, or ListenStream=127.0.0.1:18789 with `systemctl edit barnacle.socket`",
            noun(&credential)
        )]));
    }
    let (bind, port) = (loaded.config.gateway.bind, launch.port(&loaded.config));
    let listeners = listen(bind, port, &[], &handed.tcp).await.map_err(|refused| match refused.is_handed {
        true => Failed::Config(vec![refused.problem]),
        false => other(refused.problem),
    })?;
    for (_, address) in handed.tcp.iter().filter(|(_, address)| address.port() != port) {
        log::warn!("systemd hands over {address}, which gateway.port ({port}) does not name; it is served too");
    }
    Ok(Life {
        launch: Rc::new(launch),
        journal,
        instance,
        loaded,
        credential,
        listeners,
        handed,
        kept: Kept::default(),
        is_first: true,
    })
}

/// One gateway from its start to its end. Gives what the next one begins with, if there is to be one.
async fn live(life: Life, sys: Sys, supervisor: Supervisor, signals: &mut Signals) -> Result<Option<Life>, Failed> {
    let Life { launch, journal, instance, loaded, credential, listeners, handed, kept, is_first } = life;
    let places = launch.places.clone();
    if let Some(weakness) = &credential.weakness {
        log::warn!("the gateway's {} is weak: {weakness}", noun(&credential));
    }
    journal.protect(&loaded.config.secrets());
    journal.protect(slice::from_ref(&credential.secret));
    journal.reconfigure(&log_settings(&loaded.config, &places, &launch.env));
    log::set_max_level(journal.max_level());
    if let (Source::File, Some(raw)) = (loaded.source, &loaded.raw) {
        keep_last_good(&sys, &places, raw).await;
    }
    let front = app::assemble(Start {
        sys: sys.clone(),
        host: host::name(),
        credential: credential.clone(),
        config: loaded.config,
        places: places.clone(),
        journal: Arc::clone(&journal),
        tools: None,
        launch: Rc::clone(&launch),
        included: loaded.included,
        kept,
    })
    .map_err(|error| Failed::Other(format!("state directory {}: {error}", places.state_dir.display())))?;

    let mut work = vec![
        sys.tasks.spawn(Rc::clone(&front.gateway).keep_time()),
        sys.tasks.spawn(Rc::clone(&front.gateway).watch_config()),
        sys.tasks.spawn(Arc::clone(&journal).keep(sys.clone())),
    ];
    let mut accepting: Vec<_> =
        listeners.iter().map(|(listener, _)| sys.tasks.spawn(front.clone().listen(listener.clone()))).collect();
    accepting.extend(handed.serve.iter().map(|serve| sys.tasks.spawn(front.clone().listen_for_serve(serve.clone()))));
    let addresses: Vec<_> = listeners.iter().map(|(_, address)| *address).collect();
    let telling = Telling::new(supervisor, &front.gateway, &addresses);
    work.extend(supervisor.is_there().then(|| sys.tasks.spawn(Rc::clone(&telling).keep())));
    if is_first && supervisor.is_there() {
        let config = places.config_file.display();
        log::info!("{}; state in {}; configuration {config}", whence(&places, &credential), places.state_dir.display());
    } else if is_first {
        greet(&addresses, &places, &credential);
    }
    log::info!("Barnacle {} listens on {}", crate::VERSION, shown(&addresses));

    let end = wait_for_end(signals, &front, &launch, &listeners, &handed.tcp, &telling)
        .await
        .map_err(|error| Failed::Other(format!("signals: {error}")))?;
    match &end {
        End::Stop => supervisor.stopping(),
        End::Restart(_) => telling.reloading("Restarting"),
    }
    // From here on new connections wait in the sockets' queues, for the next gateway if there is one.
    for task in accepting {
        task.cancel().await;
    }
    let next = match end {
        End::Stop => None,
        End::Restart(next) => Some(next_listeners(*next, listeners, &handed.tcp).await),
    };
    let (reason, restart_ms) = match &next {
        None => ("gateway stopping", None),
        Some(_) => ("gateway restarting", Some(RESTART_EXPECTED_MS)),
    };
    let ending = shut_down(&front, reason, restart_ms);
    if sys.clock.timeout(Duration::from_millis(SHUTDOWN_MS), ending).await.is_err() {
        log::error!("not everything ended in time");
    }
    work.clear();
    log::info!("stopped");
    journal.write_out(&*sys.files, wall_ms());
    match next {
        None => Ok(None),
        Some(Err(failed)) => Err(failed),
        Some(Ok((loaded, credential, listeners))) => {
            let kept = front.gateway.hand_over();
            Ok(Some(Life { launch, journal, instance, loaded, credential, listeners, handed, kept, is_first: false }))
        }
    }
}

/// The sockets of the next gateway, with what else it begins with. The old ones are given up here.
async fn next_listeners(
    next: Next,
    old: Vec<Listener>,
    handed: &[Listener],
) -> Result<(Loaded, Credential, Vec<Listener>), Failed> {
    let listeners = match next.elsewhere {
        None => next.listeners,
        Some((bind, port)) => move_to(bind, port, old, handed).await?,
    };
    Ok((next.loaded, next.credential, listeners))
}

/// How a gateway ends.
enum End {
    /// For good.
    Stop,
    /// For the next one, which can start.
    Restart(Box<Next>),
}

/// What was checked before the old gateway goes down.
struct Next {
    loaded: Loaded,
    credential: Credential,
    listeners: Vec<Listener>,
    /// Where to listen as soon as the old sockets are closed, when they are in the way.
    elsewhere: Option<(Bind, u16)>,
}

/// Waits for SIGTERM or SIGINT, or for a restart that can be. SIGHUP reads the configuration again,
/// SIGUSR1 asks for a restart.
async fn wait_for_end(
    signals: &mut Signals,
    front: &Front,
    launch: &Launch,
    listeners: &[Listener],
    handed: &[Listener],
    telling: &Telling,
) -> io::Result<End> {
    let gateway = &front.gateway;
    loop {
        let signal = async { Ok(signals.next().await) };
        let restart = async { Err(gateway.restarts.wanted().await) };
        match smol::future::or(signal, restart).await {
            Ok(Some(signal)) => match signal? {
                Signal::Hup => {
                    telling.reloading("Reading the configuration again");
                    gateway.reload_config(Cause::Signal).await;
                    telling.ready();
                }
                Signal::Usr1 => {
                    gateway.restarts.schedule(&gateway.sys, Duration::ZERO, "SIGUSR1");
                }
                signal => return Ok(stop(if signal == Signal::Int { "SIGINT" } else { "SIGTERM" })),
            },
            Ok(None) => return Ok(stop("no more signals")),
            Err(reason) => match next_life(front, launch, listeners, handed).await {
                Ok(next) => {
                    log::info!("{reason}: restarting");
                    return Ok(End::Restart(Box::new(next)));
                }
                Err(problems) => {
                    for problem in problems.lines() {
                        log::error!("{problem}");
                    }
                    log::error!("{reason}: the gateway doesn't restart, because it could not start again");
                    gateway.restarts.refused();
                    gateway.reload.release();
                    RestartNote::withdraw(&gateway.sys, &launch.places.state_dir);
                }
            },
        }
    }
}

fn stop(signal: &str) -> End {
    log::info!("{signal}: stopping");
    End::Stop
}

/// Everything that could keep the next gateway from starting, before the old one goes down. Sockets
/// that stay the same are kept.
async fn next_life(
    front: &Front,
    launch: &Launch,
    listeners: &[Listener],
    handed: &[Listener],
) -> Result<Next, String> {
    // What is read here is what the next gateway begins with.
    front.gateway.reload.hold().await;
    let (loaded, credential) = front.gateway.read_config().await.map_err(|refused| refused.to_string())?;
    let (bind, port) = (loaded.config.gateway.bind, launch.port(&loaded.config));
    match listen(bind, port, listeners, handed).await {
        Ok(listeners) => Ok(Next { loaded, credential, listeners, elsewhere: None }),
        // Our own socket may be what is in the way: loopback and all addresses don't go together.
        Err(refused)
            if refused.kind == io::ErrorKind::AddrInUse
                && !refused.is_handed
                && listeners.iter().any(|(_, local)| local.port() == port) =>
        {
            Ok(Next { loaded, credential, listeners: Vec::new(), elsewhere: Some((bind, port)) })
        }
        Err(refused) => Err(refused.problem),
    }
}

/// The address of the command line.
fn read_bind(text: &str) -> Result<Bind, Failed> {
    match text.trim() {
        "loopback" | "auto" => Ok(Bind::Loopback),
        "lan" => Ok(Bind::Lan),
        text => match text.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(address) => Ok(Bind::Address(address)),
            Err(_) => Err(Failed::Other(format!("--bind: expected loopback, lan or an IP address, found {text:?}"))),
        },
    }
}

/// Says goodbye, then gives the last frames a moment to leave.
async fn shut_down(front: &Front, reason: &str, restart_ms: Option<u64>) {
    front.gateway.shut_down(reason, restart_ms).await;
    for _ in 0..50 {
        if front.doors.open() == 0 {
            break;
        }
        front.gateway.sys.clock.sleep(Duration::from_millis(10)).await;
    }
}

fn already(taken: &Taken, state_dir: &Path) -> String {
    let state_dir = state_dir.display();
    match taken {
        Taken::By(Some(pid)) => {
            format!(
                "another gateway (pid {pid}) uses the state directory {state_dir}; stop it, or choose another with --state-dir"
            )
        }
        Taken::By(None) => {
            format!("another gateway uses the state directory {state_dir}; stop it, or choose another with --state-dir")
        }
        Taken::Error(error) => format!("state directory {state_dir}: {error}; choose another with --state-dir"),
    }
}

/// From here on everything is logged, a panic too, which ends the process: half a gateway is worse
/// than none, and whoever watches the process starts it again.
pub fn start_logging(journal: &Arc<Journal>) {
    log::set_max_level(journal.max_level());
    // A second logger in one process is a test's; its lines go to the first.
    let _ = log::set_boxed_logger(Box::new(Arc::clone(journal)));
    let journal = Arc::clone(journal);
    std::panic::set_hook(Box::new(move |panic| {
        log::error!("internal error, the gateway ends: {panic}");
        journal.write_out(&Disk::default(), wall_ms());
        std::process::exit(PANIC_EXIT);
    }));
}

fn wall_ms() -> u64 {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}

fn noun(credential: &Credential) -> &'static str {
    match credential.mode {
        AuthMode::Token => "token",
        AuthMode::Password => "password",
    }
}

/// Where the secret comes from.
fn whence(places: &Places, credential: &Credential) -> String {
    let noun = noun(credential);
    match &credential.source {
        CredentialSource::Made(path) => format!("{noun} made and written to {}", path.display()),
        CredentialSource::File(path) => format!("{noun} in {}", path.display()),
        CredentialSource::Flag => format!("{noun} from --token"),
        CredentialSource::Config => format!("{noun} from gateway.auth in {}", places.config_file.display()),
        CredentialSource::Environment(name) => format!("{noun} from {name}"),
    }
}

/// Tells the person at the terminal where the gateway is and how to connect.
fn greet(addresses: &[SocketAddr], places: &Places, credential: &Credential) {
    let text = format!(
        "Barnacle {} listens on {}\n  secret  {}\n  state   {}\n  config  {}\nTalk to it from another terminal: barnacle chat \"hello\"\n",
        crate::VERSION,
        shown(addresses),
        whence(places, credential),
        places.state_dir.display(),
        places.config_file.display(),
    );
    // Nobody may be looking.
    let _ = io::stdout().write_all(text.as_bytes());
    let _ = io::stdout().flush();
}
