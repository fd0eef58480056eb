//! A simulated board with the gateway on it: what the program's own start does, on a virtual clock.
//!
//! [`Home::power_cut`] ends everything at once, as pulling the plug does, and starts the gateway again
//! on the files that survive.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::rc::{Rc, Weak};
use std::sync::{Arc, Once};
use std::time::Duration;

use barnacle::app::{self, Start};
use barnacle::config::Config;
use barnacle::config::first_start::{Credential, CredentialSource, Places};
use barnacle::config::gateway::AuthMode;
use barnacle::config::launch::Launch;
use barnacle::gateway::Gateway;
use barnacle::journal::{Journal, Settings, Style};
use barnacle::limits::{APPROVALS_PENDING, CLOSE_REASON_BYTES, INVOKES, Limits};
use barnacle::net::listen::Front;
use barnacle::net::origin::Source;
use barnacle::net::pipe::{self, End};
use barnacle::net::socket::Socket;
use barnacle::runs::tools::{NoTools, Tools};
use barnacle::secret::Secret;
use barnacle::stores::{Saver, SessionStore};
use barnacle::sys::sim::http::Script;
use barnacle::sys::sim::{ScriptedHttp, SimFiles, World};
use barnacle::sys::tasks::Task;
use barnacle::sys::{Chance, Clock, Sys, http};
use log::LevelFilter;

use super::client::{Client, Who};

/// 2026-03-01 12:00 UTC.
const START_MS: u64 = 1_772_366_400_000;
/// What clients must show.
pub const TOKEN: &str = "a-token-for-the-simulation-only";
/// Bytes that a socket's buffer takes each way unless a test says otherwise.
pub const SOCKET_BYTES: usize = 64 * 1024;
/// A close frame and its bookkeeping: the one thing that an outbox takes beyond its bound.
const CLOSE_BYTES: usize = CLOSE_REASON_BYTES + 14 + 64;

/// What answers the gateway's requests to model providers.
pub type Play = Rc<dyn Fn(&http::Request) -> Script>;

/// How a home is furnished.
pub struct Furnishing {
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// Bounds that differ from their defaults, by their configuration keys.
    pub limits: Vec<(&'static str, u64)>,
    /// Runs that go at once.
    pub runs_at_once: u64,
    /// The model provider.
    pub play: Play,
    /// What agents may do.
    pub tools: Option<Rc<dyn Tools>>,
    /// The configuration's `cron` and `agents.defaults.heartbeat`.
    pub own_accord: (&'static str, &'static str),
    /// The configuration's `channels`.
    pub channels: &'static str,
    /// The configuration's `tools`.
    pub policy: &'static str,
    /// Whether logins of the tailnet count, and whether Tailscale Serve has an entrance of its own.
    pub tailscale: (bool, bool),
}

impl Furnishing {
    /// Default bounds; no tools but those that `tools` gives.
    pub fn new(seed: u64, play: impl Fn(&http::Request) -> Script + 'static) -> Self {
        Self {
            seed,
            limits: Vec::new(),
            runs_at_once: 4,
            play: Rc::new(play),
            tools: Some(Rc::new(NoTools)),
            own_accord: ("{}", "{}"),
            channels: "{}",
            policy: "{}",
            tailscale: (false, false),
        }
    }

    /// With these bounds.
    pub fn limits(mut self, limits: &[(&'static str, u64)]) -> Self {
        self.limits = limits.to_vec();
        self
    }

    fn config(&self) -> Config {
        let limits: Vec<_> = self.limits.iter().map(|(key, value)| format!("{key}:{value}")).collect();
        let text = format!(
            "{{gateway:{{auth:{{allowTailscale:{}}},limits:{{{}}}}}, session:{{reset:{{mode:'never'}}}}, channels:{}, tools:{}, cron:{},
              agents:{{defaults:{{heartbeat:{},model:{{primary:'one/m',fallbacks:['two/c']}},verboseDefault:'on',timeoutSeconds:240,maxConcurrent:{}}}}},
              models:{{providers:{{
                one:{{baseUrl:'https://one.example/v1',apiKey:'sk-simulated-one',models:[{{id:'m'}}]}},
                two:{{api:'anthropic-messages',baseUrl:'https://two.example',apiKey:'sk-simulated-two',models:[{{id:'c'}}]}},
              }}}}}}",
            self.tailscale.0,
            limits.join(","),
            self.channels,
            self.policy,
            self.own_accord.0,
            self.own_accord.1,
            self.runs_at_once
        );
        match Config::parse(&text, "barnacle.json", &BTreeMap::new()) {
            Ok((config, _)) => config,
            Err(problems) => panic!("the simulation's configuration: {problems:?}"),
        }
    }
}

/// The board.
pub struct Home {
    /// Its executor and its clock.
    pub world: World,
    /// Its disk.
    pub files: SimFiles,
    /// The gateway behind its door.
    pub front: Front,
    /// How often the power has been cut.
    pub life: u32,
    furnishing: Furnishing,
    chance: Rc<Chance>,
    places: Places,
    /// The gateway's own timers.
    _time: Task<()>,
    /// Gateways of earlier lives, which must be gone.
    former: Vec<Weak<Gateway>>,
}

impl Home {
    /// A board whose gateway has just started for the first time.
    pub fn new(furnishing: Furnishing) -> Self {
        watch_panics();
        let chance = Rc::new(Chance::seeded(furnishing.seed));
        let places = Places { config_file: "/etc/barnacle.json".into(), state_dir: PathBuf::from("/state") };
        let world = World::at(START_MS);
        let files = SimFiles::new();
        let (front, time) = start(&world, &files, &furnishing, &chance, &places);
        Self { world, files, front, life: 0, furnishing, chance, places, _time: time, former: Vec::new() }
    }

    /// The gateway.
    pub fn gateway(&self) -> &Rc<Gateway> {
        &self.front.gateway
    }

    /// The bounds in force.
    pub fn limits(&self) -> &Limits {
        &self.front.gateway.limits
    }

    /// Lets virtual time pass.
    ///
    /// # Panics
    /// When a task of the gateway panicked, or a counter left its bounds.
    pub fn run_for(&self, span: Duration) {
        self.world.run_for(span);
        self.check();
    }

    /// Lets milliseconds of virtual time pass.
    pub fn run_ms(&self, ms: u64) {
        self.run_for(Duration::from_millis(ms));
    }

    /// Lets everything happen that can happen without time passing.
    pub fn settle(&self) {
        self.world.settle();
        self.check();
    }

    /// The world's monotonic time.
    pub fn now(&self) -> Duration {
        self.world.clock.elapsed()
    }

    /// A connection in memory from `address`; the result is the client's end.
    pub fn dial(&self, address: IpAddr, socket_bytes: usize) -> End {
        let (ours, theirs) = pipe::pair(socket_bytes);
        self.front.accepted(Socket::Pipe(theirs), SocketAddr::new(address, 50_000));
        ours
    }

    /// The same through the entrance of Tailscale Serve.
    pub fn dial_serve(&self, socket_bytes: usize) -> End {
        let (ours, theirs) = pipe::pair(socket_bytes);
        self.front.came(Socket::Pipe(theirs), Source::Serve);
        ours
    }

    /// A client that dials, upgrades, and sends its handshake. Time has to pass before it is in.
    pub fn connect(&self, who: Who) -> Client {
        Client::connect(self, who)
    }

    /// A client that is in.
    ///
    /// # Panics
    /// When it is turned away.
    pub fn admit(&self, who: Who) -> Client {
        let client = self.connect(who);
        self.settle();
        assert!(client.is_admitted(), "turned away: {:?} {:?}", client.closed(), client.received());
        client
    }

    /// Cuts the power now and starts again on what the disk kept. Clients of the life before are dead.
    ///
    /// # Panics
    /// When the state can't be loaded, or something of the old gateway survives.
    pub fn power_cut(&mut self) {
        let files = self.files.power_cut(&self.chance);
        let world = World::at(self.world.clock.now_ms() + 5_000);
        let (front, time) = start(&world, &files, &self.furnishing, &self.chance, &self.places);
        self.former.push(Rc::downgrade(self.gateway()));
        self.front = front;
        self._time = time;
        self.world = world;
        self.files = files;
        self.life += 1;
    }

    /// Gateways of earlier lives that something still holds.
    pub fn ghosts(&self) -> usize {
        self.former.iter().filter(|gateway| gateway.strong_count() > 0).count()
    }

    /// What a fresh look at the session indexes on disk finds wrong.
    ///
    /// # Panics
    /// When they can't be read at all.
    pub fn damage(&self) -> Vec<String> {
        let sys = &self.gateway().sys;
        let loaded = SessionStore::load(sys, &Saver::new(sys), &self.places.state_dir, "main", self.limits());
        loaded.expect("the state can be read").1.iter().map(ToString::to_string).collect()
    }

    /// No task has panicked, and no counter is out of its bounds.
    fn check(&self) {
        let panics = PANICS.with(|panics| panics.borrow_mut().split_off(0));
        assert!(panics.is_empty(), "a task panicked: {}", panics.join("; "));
        let (gateway, limits) = (self.gateway(), self.limits());
        let within = |name: &str, used: usize, max: u64, slack: usize| {
            assert!(used as u64 <= max + slack as u64, "{name}: {used} of {max}");
        };
        within("totalBufferedBytes", gateway.outgoing.used(), limits.total_buffered_bytes, 0);
        within("totalIncomingBytes", gateway.incoming.used(), limits.total_incoming_bytes, 0);
        within("callsInFlight", gateway.calls.used(), limits.calls_in_flight, 0);
        within("idempotencyKeys", gateway.answers.len(), limits.idempotency_keys, 0);
        within("runsQueued", gateway.runs.counts().1, limits.runs_queued, 0);
        within("invokes", gateway.nodes.invokes.len(), INVOKES as u64, 0);
        within("exec approvals", gateway.nodes.decisions.len(), APPROVALS_PENDING as u64, 0);
        let connections = usize::try_from(self.front.doors.open()).unwrap();
        within("connections", connections, limits.connections, 0);
        for peer in gateway.hub.peers() {
            within("maxBufferedBytes", peer.outbox.unsent_bytes(), limits.max_buffered_bytes, CLOSE_BYTES);
            within("callsPerConnection", peer.calls_in_flight(), limits.calls_per_connection, 0);
        }
    }
}

/// What `serve` does at the program's start, without locks, listeners and signals.
fn start(
    world: &World,
    files: &SimFiles,
    furnishing: &Furnishing,
    chance: &Rc<Chance>,
    places: &Places,
) -> (Front, Task<()>) {
    files.run_on(world.clock.clone(), Duration::from_millis(5));
    let play = Rc::clone(&furnishing.play);
    let sys = Sys {
        zone: jiff::tz::TimeZone::UTC,
        clock: Rc::new(world.clock.clone()),
        chance: Rc::clone(chance),
        files: Rc::new(files.clone()),
        http: Rc::new(ScriptedHttp::new(&world.clock, move |request| play(request))),
        processes: Rc::new(barnacle::sys::sim::ScriptedProcesses::none(&world.clock)),
        tasks: world.tasks(),
    };
    sys.files.create_dir(&places.state_dir).expect("a simulated directory");
    let front = app::assemble(Start {
        sys: sys.clone(),
        places: places.clone(),
        host: "pi".to_owned(),
        config: furnishing.config(),
        credential: Credential {
            mode: AuthMode::Token,
            secret: Secret::new(TOKEN),
            source: CredentialSource::Config,
            weakness: None,
        },
        journal: Arc::new(Journal::new(&silent(places), Box::new(io::sink()), || START_MS)),
        tools: furnishing.tools.clone(),
        launch: Rc::new(Launch {
            has_private_entrance: furnishing.tailscale.1,
            ..Launch::new(places.clone(), BTreeMap::new())
        }),
        included: Vec::new(),
        kept: Default::default(),
    });
    let front = front.expect("the state can be loaded");
    let time = sys.tasks.spawn(Rc::clone(&front.gateway).keep_time());
    (front, time)
}

fn silent(places: &Places) -> Settings {
    Settings {
        console_level: LevelFilter::Off,
        file_level: LevelFilter::Off,
        filters: None,
        file: places.log_file(&BTreeMap::new()),
        max_bytes: 1024 * 1024,
        files: 1,
        days: 1,
        style: Style::of(&BTreeMap::new()),
    }
}

thread_local! {
    /// Panics of tasks, which the executor would otherwise swallow.
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Notes every panic of this thread beside showing it.
fn watch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let show = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.with(|panics| panics.borrow_mut().push(panic.to_string()));
            show(panic);
        }));
    });
    PANICS.with(|panics| panics.borrow_mut().clear());
}
