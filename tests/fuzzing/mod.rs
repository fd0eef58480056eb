//! What outside bytes meet, each as a function of bytes that must neither panic nor hang.
//!
//! `fuzz/` runs them under libFuzzer; `tests/fuzz.rs` plays the kept seeds and mutations of them.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use barnacle::app::{self, Start};
use barnacle::config::Config;
use barnacle::config::first_start::{Credential, CredentialSource, Places};
use barnacle::config::gateway::AuthMode;
use barnacle::config::launch::Launch;
use barnacle::config::models::Api;
use barnacle::cron::schedule::Timetable;
use barnacle::cron::schedule::{Expression, Schedule};
use barnacle::gateway::auth::{Auth, Required};
use barnacle::gateway::handshake::{self, Challenge, Origin, Scene};
use barnacle::journal::{Journal, Settings, Style};
use barnacle::limits::Limits;
use barnacle::methods::GROUPS;
use barnacle::net::listen::Front;
use barnacle::net::pipe;
use barnacle::net::socket::Socket;
use barnacle::rpc::{Table, dispatch};
use barnacle::runs::providers::decoder::Decoder;
use barnacle::runs::tools::NoTools;
use barnacle::secret::Secret;
use barnacle::stores::{
    DeviceStore, KeyRules, Saver, SessionKey, SessionStore, TranscriptFile, TranscriptStore, UsageStore,
};
use barnacle::sys::http::HttpError;
use barnacle::sys::sim::http::Script;
use barnacle::sys::sim::{ScriptedHttp, SimFiles, World};
use barnacle::sys::url::Url;
use barnacle::sys::{Chance, Sys};
use barnacle::wire::frame;
use log::LevelFilter;
use smol::io::AsyncWriteExt as _;

/// What meets the bytes.
pub(crate) type Target = fn(&[u8]);

/// Every target: its name, and what it does with bytes.
pub(crate) const TARGETS: &[(&str, Target)] = &[
    ("socket", socket),
    ("frames", frames),
    ("handshake", first_frame),
    ("params", params),
    ("config", config),
    ("sessions", sessions),
    ("transcript", transcript),
    ("devices", devices),
    ("usage", usage),
    ("log_tail", log_tail),
    ("provider", provider),
    ("url", url),
    ("cron", cron),
    ("jobs", jobs),
];

/// Plays one input against the target of that name.
///
/// # Panics
/// When the input breaks something, or there is no such target.
#[allow(dead_code, reason = "for the fuzzer alone")]
pub(crate) fn run(name: &str, bytes: &[u8]) {
    match TARGETS.iter().find(|(known, _)| *known == name) {
        Some((_, target)) => target(bytes),
        None => panic!("no target {name}"),
    }
}

/// Virtual time in which everything that bytes set off must be over.
const SPAN: Duration = Duration::from_secs(120);
const NOW_MS: u64 = 1_795_372_186_000;
const TOKEN: &str = "fuzz-token-0123456789";

/// A socket from the first byte on: HTTP head, upgrade, WebSocket frames, whatever they say.
fn socket(bytes: &[u8]) {
    let machine = Machine::new();
    let front = machine.front();
    let (ours, theirs) = pipe::pair(64 * 1024);
    front.accepted(Socket::Pipe(theirs), SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 50_000));
    let bytes = bytes.to_vec();
    machine.sys.tasks.detach(async move {
        let mut socket = Socket::Pipe(ours);
        // The gateway may hang up at any byte.
        let _ = socket.write_all(&bytes).await;
        socket.shutdown();
    });
    machine.world.run_for(SPAN);
    assert_eq!((front.doors.open(), front.gateway.incoming.used(), front.gateway.outgoing.used()), (0, 0, 0));
}

/// Text frames of an operator who may do everything, one a line.
fn frames(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let machine = Machine::new();
    let front = machine.front();
    let (ours, theirs) = pipe::pair(1024 * 1024);
    drop(theirs);
    drop(ours);
    let peer = operator(&front);
    for line in text.lines().take(64) {
        let _ = frame::read(line, 1024);
        dispatch::frame(&front.table, &front.gateway, &peer, line);
        machine.world.run_for(Duration::from_millis(10));
    }
    front.gateway.dismiss(&peer);
    machine.world.run_for(SPAN);
    assert_eq!(front.gateway.calls.used(), 0, "a call is left over");
}

/// The first frame of a connection from elsewhere, and of one from here.
fn first_frame(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let machine = Machine::new();
    let saver = Saver::new(&machine.sys);
    let Ok(devices) = DeviceStore::load(&machine.sys, &saver, Path::new("/state")) else { return };
    let auth = Auth::new(Required::Token(Secret::new(TOKEN)), 10);
    let challenge = Challenge { nonce: "nonce".to_owned(), at_ms: NOW_MS };
    for is_local in [true, false] {
        let origin = Origin {
            address: "192.0.2.7".into(),
            is_local,
            untrusted_proxy: false,
            is_browser: false,
            tailscale: None,
        };
        let scene = Scene {
            origin: &origin,
            challenge: Some(&challenge),
            auth: &auth,
            devices: &devices,
            tailscale_login: None,
            insecure_control_ui: false,
            now_ms: 0,
            wall_ms: NOW_MS,
            is_clock_set: true,
        };
        let _ = handshake::judge(text, &scene);
    }
}

/// The first byte chooses a method, the rest are its params.
fn params(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let Ok(mut value) = serde_json::from_slice::<serde_json::Value>(rest) else { return };
    let table = Table::new(GROUPS);
    let rows = table.rows();
    if let Some(row) = rows.get(usize::from(*first) % rows.len()) {
        let _ = (row.handler.params)().check(&mut value);
    }
}

fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let env = BTreeMap::from([("SET".to_owned(), "value".to_owned())]);
    let _ = Config::parse(text, "barnacle.json", &env);
}

/// A session index as it may lie on disk.
fn sessions(bytes: &[u8]) {
    let machine = Machine::new();
    for name in ["sessions.json", "sessions.journal.jsonl"] {
        machine.put(&format!("/state/agents/main/sessions/{name}"), bytes);
        let saver = Saver::new(&machine.sys);
        let loaded = SessionStore::load(&machine.sys, &saver, Path::new("/state"), "main", &Limits::default());
        let (store, _) = loaded.expect("whatever stands in a file, the store loads");
        let _ = store.newest();
    }
}

/// A transcript as it may lie on disk: read, previewed, and written on.
fn transcript(bytes: &[u8]) {
    let machine = Machine::new();
    let dir = Path::new("/state/agents/main/sessions");
    machine.put("/state/agents/main/sessions/s.jsonl", bytes);
    let saver = Saver::new(&machine.sys);
    let Ok(store) = TranscriptStore::load(&machine.sys, &saver, "/w", &[dir.to_path_buf()]) else { return };
    let Ok(file) = TranscriptFile::new(dir, "s", None) else { return };
    let _ = store.history_for_prompt(&file, 100_000);
    let key = SessionKey::canonical("main", &KeyRules { default_agent: "main".into(), global: false });
    assert!(key.is_ok());
}

/// Files of devices as they may lie on disk.
fn devices(bytes: &[u8]) {
    let machine = Machine::new();
    for name in ["paired", "pending"] {
        machine.put(&format!("/state/devices/{name}.json"), bytes);
        let saver = Saver::new(&machine.sys);
        let store = DeviceStore::load(&machine.sys, &saver, Path::new("/state"));
        let store = store.expect("whatever stands in a file, the store loads");
        let _ = (store.paired(), store.pending(NOW_MS), store.need("d", "node", &[]));
    }
}

fn usage(bytes: &[u8]) {
    let machine = Machine::new();
    for name in ["daily.json", "journal.jsonl"] {
        machine.put(&format!("/state/usage/{name}"), bytes);
        let saver = Saver::new(&machine.sys);
        let store = UsageStore::load(&machine.sys, &saver, Path::new("/state"), jiff::tz::TimeZone::UTC);
        let _ = store.expect("whatever stands in a file, the store loads").cost(30, NOW_MS);
    }
}

/// A log file as it may lie on disk, read from a cursor that its first bytes tell.
fn log_tail(bytes: &[u8]) {
    let machine = Machine::new();
    machine.put("/state/logs/gateway.log", bytes);
    let front = machine.front();
    let peer = operator(&front);
    let cursor = bytes.first().copied().unwrap_or(0);
    for params in [format!("{{\"cursor\":{cursor}}}"), "{\"limit\":3,\"maxBytes\":100}".to_owned()] {
        let frame = format!("{{\"type\":\"req\",\"id\":\"1\",\"method\":\"logs.tail\",\"params\":{params}}}");
        dispatch::frame(&front.table, &front.gateway, &peer, &frame);
        machine.world.run_for(Duration::from_secs(1));
    }
}

/// A provider's stream in each of its forms, in pieces whose size the first byte tells.
fn provider(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    for api in [Api::OpenaiCompletions, Api::AnthropicMessages, Api::OllamaChat] {
        let mut decoder = Decoder::new(api, 10_000, "p".into());
        for piece in rest.chunks(usize::from(*first).max(1)) {
            if decoder.feed(piece).is_err() {
                break;
            }
        }
    }
}

fn url(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = Url::parse(text);
    }
}

/// A cron expression on the first line, a zone on the second: each time is later than the one before.
fn cron(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (expr, tz) = text.split_once('\n').map_or((text, None), |(expr, tz)| (expr, Some(tz.to_owned())));
    let schedule = Schedule::Cron(Expression { expr: expr.to_owned(), tz });
    let Ok(timetable) = Timetable::of(&schedule, NOW_MS, &jiff::tz::TimeZone::UTC) else { return };
    let mut at = NOW_MS;
    for _ in 0..5 {
        let Some(next) = timetable.next(at) else { break };
        assert!(next > at, "{text}: {next} after {at}");
        at = next;
    }
    let _ = timetable.last(NOW_MS);
}

/// A file of jobs as it may lie on disk, and the gateway that finds it.
fn jobs(bytes: &[u8]) {
    let machine = Machine::new();
    machine.put("/state/cron/jobs.json", bytes);
    let front = machine.front();
    machine.sys.tasks.detach(Rc::clone(&front.gateway).keep_jobs());
    machine.world.run_for(Duration::from_secs(5));
}

/// A simulated machine without network.
struct Machine {
    world: World,
    sys: Sys,
}

impl Machine {
    fn new() -> Self {
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

    fn put(&self, path: &str, bytes: &[u8]) {
        let path = Path::new(path);
        self.sys.files.create_dir(path.parent().expect("a file in a directory")).expect("a simulated directory");
        self.sys.files.remove(path).expect("a simulated file");
        self.sys.files.append(path, bytes).expect("a simulated file");
    }

    /// The real gateway behind its door.
    fn front(&self) -> Front {
        let places = Places { config_file: "/etc/barnacle.json".into(), state_dir: PathBuf::from("/state") };
        self.sys.files.create_dir(&places.state_dir).expect("a simulated directory");
        let (config, _) = Config::parse("", "barnacle.json", &BTreeMap::new()).expect("defaults are valid");
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
fn operator(front: &Front) -> Rc<barnacle::events::Peer> {
    let text = format!(
        "{{\"type\":\"req\",\"id\":\"c\",\"method\":\"connect\",\"params\":{{\"minProtocol\":3,\"maxProtocol\":3,\
         \"auth\":{{\"token\":\"{TOKEN}\"}},\"client\":{{\"id\":\"cli\",\"version\":\"1\",\"platform\":\"p\",\"mode\":\"cli\"}}}}}}"
    );
    let origin = Origin {
        address: "127.0.0.1".into(),
        is_local: true,
        untrusted_proxy: false,
        is_browser: false,
        tailscale: None,
    };
    let gateway = &front.gateway;
    let outbox = barnacle::events::outbox::Outbox::new(10_485_760, Rc::clone(&gateway.outgoing));
    let entered = smol::future::block_on(gateway.receive(&text, None, &origin));
    match entered {
        barnacle::gateway::pairing::Entrance::Open { known, cleared } => {
            gateway.admit(known.dialect, known.connect, None, cleared, &origin, Rc::new(outbox))
        }
        barnacle::gateway::pairing::Entrance::Refused { reason, .. } => panic!("refused: {reason}"),
    }
}
