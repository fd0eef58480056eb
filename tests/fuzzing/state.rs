//! Targets that read files of the state directory, as they may lie on disk.

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use barnacle::channels::strangers::Strangers;
use barnacle::limits::Limits;
use barnacle::rpc::dispatch;
use barnacle::stores::{
    DeviceStore, ExecApprovals, KeyRules, NodeNames, NodePairStore, Saver, SessionKey, SessionStore, SpeechPrefs,
    TranscriptFile, TranscriptStore, UsageStore, VoiceWake,
};
use barnacle::wire::DIALECTS;

use super::machine::{Machine, NOW_MS, operator};

/// A session index as it may lie on disk.
pub(super) fn sessions(bytes: &[u8]) {
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
pub(super) fn transcript(bytes: &[u8]) {
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
pub(super) fn devices(bytes: &[u8]) {
    let machine = Machine::new();
    for name in ["paired", "pending"] {
        machine.put(&format!("/state/devices/{name}.json"), bytes);
        let saver = Saver::new(&machine.sys);
        let store = DeviceStore::load(&machine.sys, &saver, Path::new("/state"));
        let store = store.expect("whatever stands in a file, the store loads");
        let _ = (store.paired(), store.pending(NOW_MS), store.need("d", "node", &[]));
    }
}

pub(super) fn usage(bytes: &[u8]) {
    let machine = Machine::new();
    for name in ["daily.json", "journal.jsonl"] {
        machine.put(&format!("/state/usage/{name}"), bytes);
        let saver = Saver::new(&machine.sys);
        let store = UsageStore::load(&machine.sys, &saver, Path::new("/state"), jiff::tz::TimeZone::UTC);
        let _ = store.expect("whatever stands in a file, the store loads").cost(30, NOW_MS);
    }
}

/// The small files, each with the same bytes, and the gateway that finds them.
pub(super) fn stores(bytes: &[u8]) {
    const FILES: [&str; 9] = [
        "nodes/paired.json",
        "nodes/pending.json",
        "nodes/names.json",
        "settings/tts.json",
        "settings/voicewake.json",
        "channels/pairing.json",
        "exec-approvals.json",
        "heartbeat.json",
        "restart-sentinel.json",
    ];
    let machine = Machine::new();
    for file in FILES {
        machine.put(&format!("/state/{file}"), bytes);
    }
    let (sys, state) = (&machine.sys, Path::new("/state"));
    let saver = Saver::new(sys);
    let nodes = NodePairStore::load(sys, &saver, state).expect("whatever stands in a file, the store loads");
    let _ = (nodes.paired(), nodes.pending(NOW_MS));
    assert!(NodeNames::load(sys, &saver, state).is_ok());
    assert!(SpeechPrefs::load(sys, &saver, state).is_ok());
    assert!(VoiceWake::load(sys, &saver, state).is_ok());
    let people = Strangers::load(sys, &saver, &state.join("channels")).expect("whatever stands in a file");
    let _ = people.pending();
    // What can't be read is refused, never overwritten.
    let _ = ExecApprovals::new(sys, &saver, state).snapshot();
    let front = machine.front();
    machine.world.run_for(Duration::from_secs(5));
    drop(front);
}

/// A log file as it may lie on disk, read from a cursor that its first bytes tell.
pub(super) fn log_tail(bytes: &[u8]) {
    let machine = Machine::new();
    machine.put("/state/logs/gateway.log", bytes);
    let front = machine.front();
    let peer = operator(&front, DIALECTS[0]);
    let cursor = bytes.first().copied().unwrap_or(0);
    for params in [format!("{{\"cursor\":{cursor}}}"), "{\"limit\":3,\"maxBytes\":100}".to_owned()] {
        let frame = format!("{{\"type\":\"req\",\"id\":\"1\",\"method\":\"logs.tail\",\"params\":{params}}}");
        dispatch::frame(&front.table, &front.gateway, &peer, &frame);
        machine.world.run_for(Duration::from_secs(1));
    }
}

/// A file of jobs as it may lie on disk, and the gateway that finds it.
pub(super) fn jobs(bytes: &[u8]) {
    let machine = Machine::new();
    machine.put("/state/cron/jobs.json", bytes);
    let front = machine.front();
    machine.sys.tasks.detach(Rc::clone(&front.gateway).keep_jobs());
    machine.world.run_for(Duration::from_secs(5));
}
