//! Targets that stand where clients come in: sockets, handshakes, frames, calls, hooks.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use barnacle::config::Config;
use barnacle::gateway::auth::{Auth, Required};
use barnacle::gateway::handshake::{self, Challenge, Scene};
use barnacle::methods::GROUPS;
use barnacle::net::listen::Front;
use barnacle::net::pipe;
use barnacle::net::socket::Socket;
use barnacle::rpc::{Table, dispatch};
use barnacle::secret::Secret;
use barnacle::stores::{DeviceStore, Saver};
use barnacle::wire::{DIALECTS, frame};
use serde_json::{Value, json};
use smol::io::AsyncWriteExt as _;

use super::machine::{Machine, NOW_MS, SPAN, TOKEN, operator, origin};

/// A socket from the first byte on: HTTP head, upgrade, WebSocket frames, whatever they say.
pub(super) fn socket(bytes: &[u8]) {
    let machine = Machine::new();
    let front = machine.front();
    pour(&machine, &front, bytes);
}

/// What a socket brings; afterwards nothing of it is left.
fn pour(machine: &Machine, front: &Front, bytes: &[u8]) {
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
pub(super) fn frames(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let machine = Machine::new();
    let front = machine.front();
    let peer = operator(&front, DIALECTS[0]);
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
pub(super) fn first_frame(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let machine = Machine::new();
    let saver = Saver::new(&machine.sys);
    let Ok(devices) = DeviceStore::load(&machine.sys, &saver, Path::new("/state")) else { return };
    let auth = Auth::new(Required::Token(Secret::new(TOKEN)), 10);
    let challenge = Challenge { nonce: "nonce".to_owned(), at_ms: NOW_MS };
    for is_local in [true, false] {
        let origin = origin(is_local);
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

/// A device's proof, a field a line: id, key, signature, time, nonce. The rest of its handshake is right.
pub(super) fn device(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut fields = text.split('\n');
    let mut field = || fields.next().unwrap_or_default();
    let proof = json!({
        "id": field(), "publicKey": field(), "signature": field(),
        "signedAt": field().parse().unwrap_or(NOW_MS), "nonce": field(),
    });
    let connect = json!({
        "minProtocol": 3, "maxProtocol": 3, "role": "node", "scopes": ["a"], "auth": {"token": TOKEN}, "device": proof,
        "client": {"id": "cli", "version": "1", "platform": "p", "mode": "cli"},
    });
    first_frame(json!({"type": "req", "id": "c", "method": "connect", "params": connect}).to_string().as_bytes());
    first_frame(connect.to_string().as_bytes());
}

/// Params that every method is given, as each dialect writes them.
pub(super) fn params(bytes: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return };
    for row in Table::new(GROUPS).rows() {
        for dialect in DIALECTS {
            let mut value = value.clone();
            dialect.params(row.name, &mut value);
            let _ = (row.handler.params)().check(&mut value);
        }
    }
}

/// A method's name on the first line, or any text for any method; its params behind it. It is called in each dialect.
pub(super) fn calls(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (name, params) = text.split_once('\n').unwrap_or((text, "{}"));
    let table = Table::new(GROUPS);
    let any = || table.rows()[name.bytes().map(usize::from).sum::<usize>() % table.rows().len()];
    let name = table.find(name).unwrap_or_else(any).name;
    for dialect in DIALECTS {
        let machine = Machine::new();
        let front = machine.front();
        let peer = operator(&front, dialect);
        let frame = format!("{{\"type\":\"req\",\"id\":\"1\",\"method\":\"{name}\",\"params\":{params}}}");
        dispatch::frame(&front.table, &front.gateway, &peer, &frame);
        machine.world.run_for(Duration::from_secs(5));
        front.gateway.dismiss(&peer);
        machine.world.run_for(SPAN);
        assert_eq!(front.gateway.calls.used(), 0, "a call of {name} is left over");
    }
}

/// A mapped hook: its template on the first line, what is posted to it behind it.
pub(super) fn hook(bytes: &[u8]) {
    let line = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (template, body) = bytes.split_at(line);
    let Ok(template) = std::str::from_utf8(template) else { return };
    let mapping = json!({"match": {"path": "fuzz"}, "action": "agent", "messageTemplate": template});
    let config = json!({"hooks": {"enabled": true, "token": TOKEN, "mappings": [mapping]}});
    let config = config.to_string();
    if Config::parse(&config, "barnacle.json", &BTreeMap::new()).is_err() {
        return;
    }
    let machine = Machine::new();
    let front = machine.front_with(&config);
    let head = format!(
        "POST /hooks/fuzz?q=a%20b HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    pour(&machine, &front, &[head.as_bytes(), body].concat());
}
