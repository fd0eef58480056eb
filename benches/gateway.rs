//! What the gateway takes, beside a bare WebSocket echo on the same stack in the same run.
//!
//! `cargo bench` prints a table: size, start, memory idle and with connections, CPU for a `health`
//! call, for an event to many readers, and for a handshake. Times depend on the machine, so read the
//! ratios. `cargo bench -- --connections 5000` changes the crowd.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a measuring program, not the gateway"
)]

mod echo;
mod process;

use std::net::TcpStream;
use std::time::{Duration, Instant};

use async_tungstenite::tungstenite::client::{IntoClientRequest as _, client as handshake};
use async_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use async_tungstenite::tungstenite::{Message, WebSocket};
use process::{Server, Usage};
use serde_json::{Value, json};

const TOKEN: &str = "bench-token-0123456789";
const CALLS: u32 = 20_000;
const EVENTS: u32 = 200;
const HANDSHAKES: u32 = 500;
const NOTES: u32 = 200;
const STARTS: u32 = 20;

type Client = WebSocket<TcpStream>;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(port) = arguments.iter().position(|argument| argument == "--echo").and_then(|at| arguments.get(at + 1))
    {
        return echo::serve(port.parse().unwrap());
    }
    let named = arguments.iter().position(|argument| argument == "--connections");
    let crowd: usize = named.and_then(|at| arguments.get(at + 1)).map_or(1000, |text| text.parse().unwrap());

    let gateway = measure("barnacle", Server::gateway(TOKEN), crowd);
    let echo = measure("bare echo", Server::echo(), crowd);
    println!("\n{:<44} {:>12} {:>12} {:>7}", "", "barnacle", "bare echo", "ratio");
    for ((name, unit, ours), (_, _, theirs)) in gateway.iter().zip(&echo) {
        let shown = |value: &Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"));
        let ratio = ours.zip(*theirs).map_or_else(String::new, |(ours, theirs)| format!("{:.2}", ours / theirs));
        println!("{:<44} {:>12} {:>12} {ratio:>7}", format!("{name}, {unit}"), shown(ours), shown(theirs));
    }
}

type Row = (&'static str, &'static str, Option<f64>);

fn measure(name: &str, start: impl Fn() -> Server, crowd: usize) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    eprintln!("{name}: starting {STARTS} times");
    let mut starts: Vec<f64> = (0..STARTS)
        .map(|_| {
            let began = Instant::now();
            let server = start();
            let _client = admitted(&server);
            began.elapsed().as_secs_f64() * 1000.0
        })
        .collect();
    starts.sort_by(f64::total_cmp);
    rows.push(("exec to hello-ok, median", "ms", starts.get(starts.len() / 2).copied()));

    let server = start();
    rows.push(("binary", "MB", server.binary_bytes().map(|bytes| bytes / 1e6)));
    std::thread::sleep(Duration::from_millis(1500));
    let idle = server.memory();
    rows.push(("idle, resident", "MB", Some(idle.resident / 1e6)));
    rows.push(("idle, private", "MB", Some(idle.private / 1e6)));

    eprintln!("{name}: {CALLS} calls");
    let mut caller = admitted(&server);
    let request = json!({"type": "req", "id": "1", "method": "health", "params": {}}).to_string();
    let per_call = |usage: Usage, calls: u32| Some(usage.cpu.as_secs_f64() * 1e6 / f64::from(calls));
    for _ in 0..1000 {
        call(&mut caller, &request);
    }
    let (usage, elapsed) = server.during(|| (0..CALLS).for_each(|_| call(&mut caller, &request)));
    rows.push(("health call, one at a time", "µs CPU", per_call(usage, CALLS)));
    rows.push(("health call, one at a time", "µs wall", Some(elapsed.as_secs_f64() * 1e6 / f64::from(CALLS))));

    eprintln!("{name}: {HANDSHAKES} handshakes");
    let (usage, _) = server.during(|| (0..HANDSHAKES).for_each(|_| drop(admitted(&server))));
    rows.push(("handshake and close", "µs CPU", per_call(usage, HANDSHAKES)));

    eprintln!("{name}: {crowd} connections");
    std::thread::sleep(Duration::from_millis(2500));
    let before = server.memory();
    let mut readers: Vec<Client> = (0..crowd).map(|_| admitted(&server)).collect();
    std::thread::sleep(Duration::from_millis(2500));
    let with_crowd = server.memory();
    rows.push(("all connections idle, resident", "MB", Some(with_crowd.resident / 1e6)));
    let each = (with_crowd.private - before.private) / crowd as f64;
    rows.push(("connection, private", "KB", Some(each / 1e3)));

    if server.is_gateway() {
        eprintln!("{name}: {EVENTS} events to {crowd} readers");
        readers.iter_mut().for_each(drain);
        let (usage, _) = server.during(|| (0..EVENTS).for_each(|event| say(&mut caller, event)));
        let each = usage.cpu.as_secs_f64() * 1e6 / f64::from(EVENTS) / crowd as f64;
        rows.push(("event to one of many readers", "µs CPU", Some(each)));
    } else {
        rows.push(("event to one of many readers", "µs CPU", None));
    }
    drop(readers);
    rows.push(("note added to a conversation", "KB written", written_for(&server, &mut caller)));
    rows.push((
        "an idle second",
        "KB written",
        written_while(&server, || std::thread::sleep(Duration::from_secs(10))).map(|kb| kb / 10.0),
    ));
    std::thread::sleep(Duration::from_millis(3000));
    rows.push(("after they left, resident", "MB", Some(server.memory().resident / 1e6)));
    rows
}

/// A connection that has finished its handshake.
fn admitted(server: &Server) -> Client {
    let stream = server.connect();
    stream.set_nodelay(true).unwrap();
    let request = format!("ws://127.0.0.1:{}/v1/connect", server.port).into_client_request().unwrap();
    let (mut client, _) = handshake(request, stream).unwrap();
    let hello = json!({
        "minProtocol": 3, "maxProtocol": 3, "auth": {"token": TOKEN},
        "client": {"id": "bench", "mode": "cli", "version": "1", "platform": "linux"},
    });
    client.send(Message::text(hello.to_string())).unwrap();
    let answer = client.read().unwrap();
    if server.is_gateway() {
        let answer: Value = serde_json::from_str(answer.to_text().unwrap()).unwrap();
        assert_eq!(answer["type"], "hello-ok", "{answer}");
    }
    client
}

/// One request and its answer; events in between are passed over.
fn call(client: &mut Client, request: &str) {
    client.send(Message::text(request)).unwrap();
    while client.read().unwrap().to_text().unwrap().starts_with("{\"type\":\"event\"") {}
}

/// One message that everybody hears of.
fn say(client: &mut Client, number: u32) {
    let params = json!({"sessionKey": "bench", "message": "/whoami", "idempotencyKey": format!("bench-{number}")});
    call(client, &json!({"type": "req", "id": "1", "method": "chat.send", "params": params}).to_string());
}

/// What a message that is kept costs on the disk, each with its sync, KB.
fn written_for(server: &Server, client: &mut Client) -> Option<f64> {
    if !server.is_gateway() {
        return None;
    }
    let note = |number: u32| {
        let params = json!({"sessionKey": "bench", "message": format!("note {number}: {}", "x".repeat(500))});
        json!({"type": "req", "id": "1", "method": "chat.inject", "params": params}).to_string()
    };
    call(client, &note(0));
    let written = written_while(server, || (0..NOTES).for_each(|number| call(client, &note(number))))?;
    Some(written / f64::from(NOTES))
}

/// KB that the gateway sends to the disk meanwhile.
fn written_while(server: &Server, work: impl FnOnce()) -> Option<f64> {
    let before = server.written_bytes().filter(|_| server.is_gateway())?;
    work();
    Some((server.written_bytes()? - before) / 1e3)
}

/// Reads what has come without waiting for more.
fn drain(client: &mut Client) {
    client.get_ref().set_nonblocking(true).unwrap();
    while client.read().is_ok() {}
    client.get_ref().set_nonblocking(false).unwrap();
}

/// The configuration of the echo, the same as the gateway's.
pub(crate) fn websocket_config() -> (Role, WebSocketConfig) {
    let config = WebSocketConfig::default()
        .read_buffer_size(barnacle::limits::READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_message_size(Some(1 << 20))
        .max_frame_size(Some(1 << 20));
    (Role::Server, config)
}
