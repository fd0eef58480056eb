//! Puts a gateway together: stores, runs, the gateway itself, and the front that takes connections.
//!
//! The program and the simulation both begin here, so that a test runs what a board runs.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use crate::channels::{self, Channels};
use crate::config::first_start::{Credential, Places};
use crate::config::launch::Launch;
use crate::config::{Config, Current};
use crate::cron::{Book, RunLog};
use crate::events::Hub;
use crate::events::budget::Budget;
use crate::gateway::auth::Auth;
use crate::gateway::heartbeat::Heart;
use crate::gateway::heartbeat_tokens::Tokens;
use crate::gateway::jobs::{self, Jobs};
use crate::gateway::kept::Kept;
use crate::gateway::reload::{Reload, required};
use crate::gateway::restart_note::RestartNote;
use crate::gateway::{Gateway, Parts};
use crate::journal::Journal;
use crate::methods::GROUPS;
use crate::net::doors::Doors;
use crate::net::listen::Front;
use crate::net::origin::Rules;
use crate::rpc::Table;
use crate::runs::choice::LocalServer;
use crate::runs::tools::Tools;
use crate::runs::{Context, Runs};
use crate::stores::{
    DeviceStore, ExecApprovals, MediaStore, NodeNames, NodePairStore, Saver, SessionStore, SpeechPrefs, StoreError,
    Stores, TranscriptStore, UsageStore, VoiceWake,
};
use crate::sys::Sys;
use crate::tools::Toolbox;
use crate::tools::audit::Audit;
use crate::wire::DIALECTS;

/// What a gateway starts with.
#[derive(Debug)]
pub struct Start {
    /// The outside world.
    pub sys: Sys,
    /// Where files are.
    pub places: Places,
    /// The machine's name.
    pub host: String,
    /// The configuration.
    pub config: Config,
    /// What clients must show.
    pub credential: Credential,
    /// The log.
    pub journal: Arc<Journal>,
    /// What agents may do; the gateway's own tools when `None`.
    pub tools: Option<Rc<dyn Tools>>,
    /// How the process was started.
    pub launch: Rc<Launch>,
    /// The files that the configuration includes.
    pub included: Vec<PathBuf>,
    /// What the gateway before gave away.
    pub kept: Kept,
}

/// Reads the state directory and assembles the gateway. Nothing listens and no timer runs yet.
///
/// # Errors
/// What the disk says when the state can't be read; damage that can be mended is mended and logged.
pub fn assemble(start: Start) -> Result<Front, StoreError> {
    let Start { sys, places, host, config, credential, journal, tools, launch, included, kept } = start;
    let limits = config.gateway.limits.clone();
    let default_agent = config.agents.default_agent().id.clone();
    let saver = Saver::new(&sys);
    let (sessions, problems) = SessionStore::load(&sys, &saver, &places.state_dir, &default_agent, &limits)?;
    for problem in problems {
        log::warn!("{problem}");
    }
    let workspace = config.agents.defaults.workspace.clone().unwrap_or_else(|| places.workspace());
    let workspace = workspace.display().to_string();
    let transcripts = TranscriptStore::load(&sys, &saver, &workspace, &sessions.sessions_dirs())?;
    let usage = UsageStore::load(&sys, &saver, &places.state_dir, sys.zone.clone())?;
    let devices = Rc::new(DeviceStore::load(&sys, &saver, &places.state_dir)?);
    let node_pairs = Rc::new(NodePairStore::load(&sys, &saver, &places.state_dir)?);
    let heart = Heart::new(Tokens::load(&sys, &saver, &places.state_dir)?, kept.last_beat.clone());
    let book = Book::load(&sys, &saver, jobs::store_of(&places, &config))?;
    let jobs = Jobs::new(book.clone(), RunLog::beside(&sys, &saver, book.path())?);
    let make = Rc::new(channels::make);
    let channels = Channels::load(&sys, &saver, &places.state_dir, make, &config.channels)?;
    let exec_approvals = ExecApprovals::new(&sys, &saver, &places.state_dir);
    let voice_wake = VoiceWake::load(&sys, &saver, &places.state_dir)?;
    let speech = SpeechPrefs::load(&sys, &saver, &places.state_dir)?;
    let node_names = NodeNames::load(&sys, &saver, &places.state_dir)?;
    let media = MediaStore::new(&sys, &places.state_dir)?;
    let stores = Stores {
        saver,
        sessions,
        transcripts,
        usage,
        devices,
        node_pairs,
        exec_approvals,
        voice_wake,
        speech,
        node_names,
        media,
    };

    let rules = Rc::new(Rules {
        trusted_proxies: config.gateway.trusted_proxies.clone(),
        allowed_origins: config.gateway.allowed_origins.clone(),
        allowed_hosts: config.gateway.allowed_hosts.clone(),
        host_name: host.clone(),
        has_private_entrance: launch.has_private_entrance,
    });
    let config = Current::new(config);
    let restart_note = RestartNote::take(&sys, &places.state_dir);
    let total = usize::try_from(limits.total_buffered_bytes).unwrap_or(usize::MAX);
    let hub = Hub::new(Budget::new(total));
    let toolbox = Toolbox::default();
    let audit = Audit::new(&sys, &stores.saver, &places.state_dir)?;
    let runs = Runs::new(Rc::new(Context {
        sys: sys.clone(),
        config: config.clone(),
        places: places.clone(),
        limits: limits.clone(),
        hub: hub.clone(),
        stores: stores.clone(),
        tools: tools.unwrap_or_else(|| Rc::new(toolbox.clone())),
        local: LocalServer::default(),
        last_timestamp: Default::default(),
    }));
    let table = Rc::new(Table::new(GROUPS));
    let gateway = Gateway::new(Parts {
        auth: Auth::new(required(&credential), limits.auth_failures),
        reload: Reload::new(launch, config.get(), included),
        methods: DIALECTS.iter().map(|dialect| table.listed(*dialect)).collect(),
        sys,
        places,
        host,
        config,
        hub,
        stores,
        runs,
        jobs,
        heart,
        channels,
        journal,
        kept,
    });
    toolbox.open(&gateway, audit);
    if let Some(note) = restart_note {
        gateway.tell_of_restart(&note);
    }
    Ok(Front { gateway, table, doors: Doors::new(&limits), rules })
}
