//! What the original asked providers: the bodies of its requests. Headers are its libraries' affair.

use serde_json::{Value, json};

use super::deviations::Findings;
use super::support::{Client, Dialect, FakeModel, Gateway, TempDir};

/// Has the gateway ask the same for each recorded request that is a conversation's first.
pub(crate) fn play(file: &str, lines: &[Value], findings: &mut Findings) {
    let model = FakeModel::start();
    let temp = TempDir::new("asked");
    let gateway = Gateway::start(temp.path(), &super::config(&model));
    let mut client = Client::connect(gateway.port, Dialect::Native);
    for (index, line) in lines.iter().enumerate() {
        let (path, body) = (line["frame"]["path"].as_str().unwrap(), &line["frame"]["body"]);
        let provider = match path {
            "/v1/chat/completions" => "fakeoai/fake-gpt",
            "/v1/messages" => "fakeanth/fake-claude",
            _ => {
                findings.add(file, path, "is not asked");
                continue;
            }
        };
        let messages = body["messages"].as_array().unwrap();
        let said: Vec<_> = messages.iter().filter(|message| message["role"] == "user").collect();
        // A tool's result is the user's in one of the two.
        if messages.iter().any(|message| message["role"] == "assistant") {
            findings.add(file, path, "a tool's result is not told");
            continue;
        }
        let (session, run) = (format!("agent:main:asked-{index}"), format!("asked-{index}"));
        client.call("sessions.patch", &json!({"key": session, "model": provider}));
        let mut ask = json!({"message": said[0]["content"][0]["text"], "sessionKey": session, "idempotencyKey": run});
        if body.get("thinking").is_some() {
            ask["thinking"] = "low".into();
        }
        client.call("agent", &ask);
        let (our_path, mut ours) = model.asked.recv_timeout(super::PATIENCE).unwrap();
        assert_eq!(our_path, path);
        ours["tools"] = summary(&ours["tools"]);
        if ours["tools"]["one_entry_keys"] != body["tools"]["one_entry_keys"] {
            findings.add(file, path, &format!("a tool has {}", ours["tools"]["one_entry_keys"]));
        }
        findings.compare(file, path, body, &ours);
        client.call("agent.wait", &json!({"runId": run, "timeoutMs": 5000}));
        // Further tries ask the same.
        while model.asked.try_recv().is_ok() {}
    }
}

/// Tools as the recordings tell of them.
fn summary(tools: &Value) -> Value {
    let entries: Vec<_> = tools.as_array().unwrap().iter().map(|tool| tool.get("function").unwrap_or(tool)).collect();
    let names: Vec<_> = entries.iter().map(|entry| &entry["name"]).collect();
    let mut keys: Vec<_> = entries[0].as_object().unwrap().keys().collect();
    keys.sort();
    json!({"count": names.len(), "names": names, "json_bytes": tools.to_string().len(), "one_entry_keys": keys})
}
