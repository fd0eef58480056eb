//! `tts.convert` by a service, against the real binary.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic, in its helpers too")]
#![allow(clippy::disallowed_methods, reason = "tests start processes and read their files")]

mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use serde_json::json;
use support::{Client, Dialect, FakeModel, Gateway, TempDir};

/// A service that says the same whatever it is asked; its port.
fn speaking_service() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            // The body is JSON and ends with its brace.
            while !request.ends_with(b"}") {
                let mut buffer = [0; 1024];
                let count = stream.read(&mut buffer).unwrap();
                request.extend_from_slice(&buffer[..count]);
            }
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nsound";
            stream.write_all(answer).unwrap();
        }
    });
    port
}

#[test]
fn a_service_speaks_when_the_program_fails_and_few_files_are_kept() {
    let (dir, model) = (TempDir::new("speech"), FakeModel::start());
    let mut config = model.config();
    let url = format!("http://127.0.0.1:{}/v1", speaking_service());
    config["messages"] = json!({"tts": {
        "provider": "program", "program": ["sh", "-c", "echo broken >&2; exit 3", "{out}"], "openai": {"baseUrl": url},
    }});
    let gateway = Gateway::start(dir.path(), &config);
    let mut client = Client::connect(gateway.port, Dialect::Native);
    let status = client.call("tts.status", &json!({}))["payload"].clone();
    assert_eq!((&status["provider"], &status["fallbackProvider"]), (&json!("program"), &json!("openai")));
    let mut newest = String::new();
    for _ in 0..25 {
        let spoken = client.call("tts.convert", &json!({"text": "hello", "channel": "telegram"}));
        let payload = &spoken["payload"];
        assert_eq!((&payload["provider"], &payload["outputFormat"]), (&json!("openai"), &json!("opus")), "{spoken}");
        assert_eq!(payload["voiceCompatible"], true);
        newest = payload["audioPath"].as_str().unwrap().to_owned();
    }
    assert_eq!(std::fs::read(&newest).unwrap(), b"sound");
    assert_eq!(std::fs::read_dir(dir.path().join("state/media/tts")).unwrap().count(), 20);
}

#[test]
fn a_failure_names_everybody_who_failed() {
    let (dir, model) = (TempDir::new("speechless"), FakeModel::start());
    let mut config = model.config();
    config["messages"] = json!({"tts": {
        "provider": "program", "program": ["no-such-program", "{text}", "{out}"],
        "openai": {"baseUrl": format!("http://127.0.0.1:{}", support::free_port()), "apiKey": "sk-hush-hush"},
    }});
    let gateway = Gateway::start(dir.path(), &config);
    let mut client = Client::connect(gateway.port, Dialect::Native);
    let failed = client.call("tts.convert", &json!({"text": "hello"}));
    let message = failed["error"]["message"].as_str().unwrap();
    assert!(message.contains("program: no-such-program is not installed") && message.contains("openai: "), "{message}");
    assert!(!message.contains("hush"), "{message}");
}
