//! The gateway as a process: its lock, listeners, signals, reloads and end.
#![allow(clippy::disallowed_methods, reason = "this is where the real clock and the real process are put in place")]

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

use crate::app::{self, Start};
use crate::config::Config;
use crate::config::file::{self, Loaded, Source};
use crate::config::first_start::{self, Credential, CredentialSource, Places};
use crate::config::gateway::AuthMode;
use crate::config::network::Bind;
use crate::gateway::Gateway;
use crate::journal::{Journal, Settings, Style};
use crate::limits::SHUTDOWN_MS;
use crate::net::listen::Front;
use crate::runs::tools::NoTools;
use crate::sys::chance::Chance;
use crate::sys::client::RealHttp;
use crate::sys::clock::RealClock;
use crate::sys::disk::Disk;
use crate::sys::instance::{Instance, Taken};
use crate::sys::{Sys, Tasks};

/// The environment variable that carries the token.
const TOKEN_VARIABLE: &str = "BARNACLE_TOKEN";
/// Log filters for people who look for something.
const LOG_VARIABLE: &str = "BARNACLE_LOG";
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

/// Runs the gateway until a signal ends it.
///
/// # Errors
/// [`Failed`].
pub fn serve(options: &Options, env: &BTreeMap<String, String>) -> Result<(), Failed> {
    let executor = Rc::new(LocalExecutor::new());
    smol::block_on(executor.run(run(Rc::clone(&executor), options, env)))
}

async fn run(
    executor: Rc<LocalExecutor<'static>>,
    options: &Options,
    env: &BTreeMap<String, String>,
) -> Result<(), Failed> {
    let other = |problem: String| Failed::Other(problem);
    let mut env = env.clone();
    if let Some(token) = &options.token {
        // The check of open addresses wants to see it.
        env.insert(TOKEN_VARIABLE.to_owned(), token.clone());
    }
    let places =
        Places::find(options.config.as_deref().map(Path::new), options.state_dir.as_deref().map(Path::new), &env)
            .map_err(|error| other(error.to_string()))?;

    let clock: Rc<dyn crate::sys::Clock> = Rc::new(RealClock::start());
    let tasks = Tasks::on(&executor);
    let sys = Sys {
        zone: TimeZone::system(),
        http: Rc::new(RealHttp::new(Rc::clone(&clock), tasks.clone())),
        clock,
        chance: Rc::new(Chance::real()),
        files: Rc::new(Disk::default()),
        tasks,
    };
    sys.files.create_dir(&places.state_dir).map_err(|error| {
        other(format!("state directory {}: {error}; choose another with --state-dir", places.state_dir.display()))
    })?;
    let _instance = Instance::take(&places.state_dir).map_err(|taken| other(already(&taken, &places.state_dir)))?;

    let loaded = load(&sys, &places, options, &env)?;
    let journal = Arc::new(Journal::new(&log_settings(&loaded.config, &places, &env), Box::new(io::stderr()), wall_ms));
    start_logging(&journal);
    for warning in &loaded.warnings {
        log::warn!("{warning}");
    }
    let credential =
        first_start::credential(options.token.as_deref(), &loaded.config, &env, &places, &*sys.files, &sys.chance)
            .await
            .map_err(|error| other(error.to_string()))?;
    if let Some(weakness) = &credential.weakness {
        log::warn!("the gateway's {} is weak: {weakness}", noun(&credential));
    }
    journal.protect(&loaded.config.secrets());
    journal.protect(slice::from_ref(&credential.secret));

    let port = options.port.unwrap_or(loaded.config.gateway.port);
    let listeners = listen(loaded.config.gateway.bind, port).await.map_err(other)?;
    let addresses: Vec<_> = listeners.iter().map(|(_, address)| *address).collect();
    keep_last_good(&sys, &places, &loaded).await;
    let front = app::assemble(Start {
        sys: sys.clone(),
        host: host_name(),
        credential: credential.clone(),
        config: loaded.config,
        places: places.clone(),
        journal: Arc::clone(&journal),
        tools: Rc::new(NoTools),
    })
    .map_err(|error| other(format!("state directory {}: {error}", places.state_dir.display())))?;

    let mut work = vec![
        sys.tasks.spawn(Rc::clone(&front.gateway).keep_time()),
        sys.tasks.spawn(Arc::clone(&journal).keep(sys.clone())),
    ];
    let accepting: Vec<_> =
        listeners.into_iter().map(|(listener, _)| sys.tasks.spawn(front.clone().listen(listener))).collect();
    greet(&addresses, &places, &credential);
    log::info!("Barnacle {} listens on {}", crate::VERSION, shown(&addresses));

    let mut reloader = Reloader { options, env: &env, places: &places, sys: &sys, journal: &journal };
    let signal = wait_for_end(&mut reloader, &front).await.map_err(|error| other(format!("signals: {error}")))?;
    log::info!("{signal}: stopping");
    drop(accepting);
    let end = shut_down(&front);
    if sys.clock.timeout(Duration::from_millis(SHUTDOWN_MS), end).await.is_err() {
        log::error!("not everything ended in time");
    }
    work.clear();
    log::info!("stopped");
    journal.write_out(&*sys.files, wall_ms());
    Ok(())
}

/// Says goodbye, then gives the last frames a moment to leave.
async fn shut_down(front: &Front) {
    front.gateway.shut_down("gateway stopping", None).await;
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

/// Reads the configuration and puts the command line's choices over it.
fn load(sys: &Sys, places: &Places, options: &Options, env: &BTreeMap<String, String>) -> Result<Loaded, Failed> {
    let mut loaded = file::load(&*sys.files, places, env)
        .map_err(|error| Failed::Config(error.to_string().lines().map(str::to_owned).collect()))?;
    if let Some(bind) = &options.bind {
        loaded.config.gateway.bind = match bind.trim() {
            "loopback" | "auto" => Bind::Loopback,
            "lan" => Bind::Lan,
            text => match text.trim_matches(['[', ']']).parse::<IpAddr>() {
                Ok(address) => Bind::Address(address),
                Err(_) => {
                    return Err(Failed::Other(format!(
                        "--bind: expected loopback, lan or an IP address, found {text:?}"
                    )));
                }
            },
        };
    }
    Ok(loaded)
}

async fn keep_last_good(sys: &Sys, places: &Places, loaded: &Loaded) {
    let (Source::File, Some(raw)) = (loaded.source, &loaded.raw) else { return };
    if let Err(error) = file::keep_last_good(&*sys.files, places, raw).await {
        log::warn!("the configuration could not be kept as the last good one: {error}");
    }
}

fn log_settings(config: &Config, places: &Places, env: &BTreeMap<String, String>) -> Settings {
    let logging = &config.logging;
    Settings {
        console_level: logging.console_level,
        file_level: logging.level,
        filters: env.get(LOG_VARIABLE).cloned(),
        file: logging.file.clone().unwrap_or_else(|| places.log_file()),
        max_bytes: logging.max_bytes,
        files: logging.files,
        days: logging.days,
        style: Style::of(env),
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

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

type Listener = (async_net::TcpListener, SocketAddr);

/// Opens the addresses. The first one has to work; loopback's second one, IPv6, is a bonus.
async fn listen(bind: Bind, port: u16) -> Result<Vec<Listener>, String> {
    let mut listeners: Vec<Listener> = Vec::new();
    for address in bind.addresses() {
        // Where the system chose the port, every address gets the same one.
        let port = listeners.first().map_or(port, |(_, first)| first.port());
        let socket = SocketAddr::new(address, port);
        let opened = match async_net::TcpListener::bind(socket).await {
            Ok(listener) => listener.local_addr().map(|local| (listener, local)),
            Err(error) => Err(error),
        };
        match opened {
            Ok(listener) => listeners.push(listener),
            Err(error) if listeners.is_empty() => {
                let hint = match error.kind() {
                    io::ErrorKind::AddrInUse => "; is another program on that port? choose another with --port",
                    io::ErrorKind::AddrNotAvailable => "; this machine doesn't have that address (gateway.bind)",
                    io::ErrorKind::PermissionDenied => "; ports below 1024 need privileges, choose another with --port",
                    _ => "",
                };
                return Err(format!("cannot listen on {socket}: {error}{hint}"));
            }
            Err(error) => log::warn!("not listening on {socket} too: {error}"),
        }
    }
    Ok(listeners)
}

fn shown(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(|address| format!("ws://{address}")).collect::<Vec<_>>().join(" and ")
}

fn noun(credential: &Credential) -> &'static str {
    match credential.mode {
        AuthMode::Token => "token",
        AuthMode::Password => "password",
    }
}

/// Tells the person at the terminal where the gateway is and how to connect.
fn greet(addresses: &[SocketAddr], places: &Places, credential: &Credential) {
    let noun = noun(credential);
    let secret = match &credential.source {
        CredentialSource::Made(path) => format!("{noun} made and written to {}", path.display()),
        CredentialSource::File(path) => format!("{noun} in {}", path.display()),
        CredentialSource::Flag => format!("{noun} from --token"),
        CredentialSource::Config => format!("{noun} from gateway.auth in {}", places.config_file.display()),
        CredentialSource::Environment(name) => format!("{noun} from {name}"),
    };
    let text = format!(
        "Barnacle {} listens on {}\n  secret  {secret}\n  state   {}\n  config  {}\nTalk to it from another terminal: barnacle chat \"hello\"\n",
        crate::VERSION,
        shown(addresses),
        places.state_dir.display(),
        places.config_file.display(),
    );
    // Nobody may be looking.
    let _ = io::stdout().write_all(text.as_bytes());
    let _ = io::stdout().flush();
}

/// What a reload needs.
struct Reloader<'a> {
    options: &'a Options,
    env: &'a BTreeMap<String, String>,
    places: &'a Places,
    sys: &'a Sys,
    journal: &'a Arc<Journal>,
}

/// Waits for SIGTERM or SIGINT; SIGHUP reads the configuration again.
async fn wait_for_end(reloader: &mut Reloader<'_>, front: &Front) -> io::Result<&'static str> {
    let mut signals = Signals::new([Signal::Term, Signal::Int, Signal::Hup])?;
    while let Some(signal) = signals.next().await {
        match signal? {
            Signal::Hup => reloader.reload(&front.gateway).await,
            Signal::Int => return Ok("SIGINT"),
            _ => return Ok("SIGTERM"),
        }
    }
    Ok("no more signals")
}

impl Reloader<'_> {
    /// Puts a changed configuration in force, or says what is wrong with it and keeps the old one.
    async fn reload(&mut self, gateway: &Gateway) {
        let loaded = match load(self.sys, self.places, self.options, self.env) {
            Ok(loaded) => loaded,
            Err(error) => {
                for problem in error.to_string().lines() {
                    log::error!("{problem}");
                }
                log::error!("the configuration was not reloaded; the old one stays in force");
                return;
            }
        };
        for warning in &loaded.warnings {
            log::warn!("{warning}");
        }
        let token = self.options.token.as_deref();
        let credential =
            first_start::credential(token, &loaded.config, self.env, self.places, &*self.sys.files, &self.sys.chance)
                .await;
        let credential = match credential {
            Ok(credential) => credential,
            Err(error) => {
                log::error!("the configuration was not reloaded: {error}");
                return;
            }
        };
        let changes = Config::changed(&gateway.config.get(), &loaded.config);
        self.journal.protect(&loaded.config.secrets());
        self.journal.protect(slice::from_ref(&credential.secret));
        self.journal.reconfigure(&log_settings(&loaded.config, self.places, self.env));
        log::set_max_level(self.journal.max_level());
        gateway.auth.require(app::required(&credential));
        keep_last_good(self.sys, self.places, &loaded).await;
        gateway.config.replace(loaded.config);
        if changes.areas.is_empty() {
            log::info!("configuration reloaded: nothing changed");
        } else {
            log::info!("configuration reloaded: {}", changes.areas.join(", "));
        }
        if changes.restart {
            log::warn!("some changes need a restart of the gateway");
        }
    }
}
