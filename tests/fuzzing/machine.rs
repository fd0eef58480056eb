//! The gateway on a simulated machine, for targets that need one.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use barnacle::app::{self, Start};
use barnacle::config::Config;
use barnacle::config::first_start::{Credential, CredentialSource, Places};
use barnacle::config::gateway::AuthMode;
use barnacle::config::launch::Launch;
use barnacle::events::Peer;
use barnacle::events::outbox::Outbox;
use barnacle::gateway::handshake::Origin;
use barnacle::gateway::pairing::Entrance;
use barnacle::journal::{Journal, Settings, Style};
use barnacle::net::listen::Front;
use barnacle::runs::tools::NoTools;
use barnacle::secret::Secret;
use barnacle::sys::http::HttpError;
use barnacle::sys::sim::http::Script;
use barnacle::sys::sim::{ScriptedHttp, SimFiles, World};
use barnacle::sys::{Chance, Sys};
use barnacle::wire::Dialect;
use log::LevelFilter;

/// Virtual time in which everything that bytes set off must be over.
pub(super) const SPAN: Duration = Duration::from_secs(120);
pub(super) const NOW_MS: u64 = 1_795_372_186_000;
pub(super) const TOKEN: &str = "fuzz-token-0123456789";

/// A simulated machine without network.
pub(super) struct Machine {
    pub(super) world: World,
    pub(super) sys: Sys,
}

impl Machine {
    pub(super) fn new() -> Self {
        let world = World::at(NOW_MS);
        let files = SimFiles::new();
        files.run_on(world.clock.clone(), Duration::from_millis(1));
        let refused = |_: &barnacle::sys::http::Request| Script::error(HttpError::Connect("no network".into()));
        let sys = Sys {
            zone: jiff::tz::TimeZone::UTC,
            clock: Rc::new(world.clock.clone()),
            chance: Rc::new(Chance::seeded(1)),
            files: Rc::new(files),
            http: Rc::new(ScriptedHttp::new(&world.clock, refused)),
            processes: Rc::new(barnacle::sys::sim::ScriptedProcesses::none(&world.clock)),
            tasks: world.tasks(),
        };
        Self { world, sys }
    }

    pub(super) fn put(&self, path: &str, bytes: &[u8]) {
        let path = Path::new(path);
        self.sys.files.create_dir(path.parent().expect("a file in a directory")).expect("a simulated directory");
        self.sys.files.remove(path).expect("a simulated file");
        self.sys.files.append(path, bytes).expect("a simulated file");
    }

    /// The real gateway behind its door.
    pub(super) fn front(&self) -> Front {
        self.front_with("")
    }

    /// The same with this configuration.
    pub(super) fn front_with(&self, config: &str) -> Front {
        let places = Places { config_file: "/etc/barnacle.json".into(), state_dir: PathBuf::from("/state") };
        self.sys.files.create_dir(&places.state_dir).expect("a simulated directory");
        let (config, _) = Config::parse(config, "barnacle.json", &BTreeMap::new()).expect("a valid text");
        let journal = Settings {
            console_level: LevelFilter::Off,
            file_level: LevelFilter::Off,
            filters: None,
            file: places.log_file(&BTreeMap::new()),
            max_bytes: 1024 * 1024,
            files: 1,
            days: 1,
            style: Style::of(&BTreeMap::new()),
        };
        let start = Start {
            sys: self.sys.clone(),
            launch: Rc::new(Launch::new(places.clone(), BTreeMap::new())),
            included: Vec::new(),
            kept: Default::default(),
            places,
            host: "pi".to_owned(),
            config,
            credential: Credential {
                mode: AuthMode::Token,
                secret: Secret::new(TOKEN),
                source: CredentialSource::Config,
                weakness: None,
            },
            journal: Arc::new(Journal::new(&journal, Box::new(io::sink()), || NOW_MS)),
            tools: Some(Rc::new(NoTools)),
        };
        app::assemble(start).expect("an empty state loads")
    }
}

/// An admitted connection that may do everything and whose answers nobody reads.
pub(super) fn operator(front: &Front, dialect: &'static dyn Dialect) -> Rc<Peer> {
    let connect = format!(
        "{{\"minProtocol\":3,\"maxProtocol\":3,\"auth\":{{\"token\":\"{TOKEN}\"}},\
         \"client\":{{\"id\":\"cli\",\"version\":\"1\",\"platform\":\"p\",\"mode\":\"cli\"}}}}"
    );
    let text = match dialect.name() {
        "native" => format!("{{\"type\":\"req\",\"id\":\"c\",\"method\":\"connect\",\"params\":{connect}}}"),
        _ => connect,
    };
    let origin = origin(true);
    let gateway = &front.gateway;
    let outbox = Outbox::new(10_485_760, Rc::clone(&gateway.outgoing));
    match smol::future::block_on(gateway.receive(&text, None, &origin)) {
        Entrance::Open { known, cleared } => {
            assert_eq!(known.dialect.name(), dialect.name());
            gateway.admit(known.dialect, known.connect, None, cleared, &origin, Rc::new(outbox))
        }
        Entrance::Refused { reason, .. } => panic!("refused: {reason}"),
    }
}

/// Where a connection comes from: this machine or elsewhere.
pub(super) fn origin(is_local: bool) -> Origin {
    Origin {
        address: if is_local { "127.0.0.1" } else { "192.0.2.7" }.into(),
        is_local,
        untrusted_proxy: false,
        is_browser: false,
        tailscale: None,
    }
}
