use serde_json::json;
use smol::future::zip;

use super::super::console::testing::console;
use super::super::fake::Gateway;
use super::*;
use crate::sys::clock::RealClock;

fn asked(words: &[&str], answers: &[(&str, Value)]) -> (Result<(), Failure>, String, Vec<Value>) {
    let args = Nodes { words: words.iter().map(|&word| word.to_owned()).collect(), ..Nodes::default() };
    smol::block_on(async {
        let gateway = Gateway::bind().await;
        let (target, clock) = (gateway.target(), Rc::new(RealClock::start()) as Rc<dyn Clock>);
        let (mut console, out, _) = console(false);
        let served = async {
            let mut requests = Vec::new();
            for (method, answer) in answers {
                let mut peer = gateway.greet(61_000).await;
                let request = peer.expect(method).await;
                peer.reply(&request, answer).await;
                requests.push(request);
            }
            requests
        };
        let (outcome, requests) = zip(nodes(&args, &target, &clock, &mut console), served).await;
        (outcome, out.text(), requests)
    })
}

fn list() -> Value {
    json!({"ts": 1, "nodes": [
        {"nodeId": "6c8f8607dbe87077", "displayName": "Kitchen", "platform": "ios", "connected": true, "paired": true, "commands": ["camera.snap"]},
        {"nodeId": "6caa", "displayName": "Shed", "connected": false, "paired": true, "commands": []},
    ]})
}

#[test]
fn nodes_are_listed_with_their_state() {
    let (outcome, out, _) = asked(&[], &[("node.list", list())]);
    assert!(outcome.is_ok() && out.contains("Kitchen") && out.contains("connected") && out.contains("away"), "{out}");
}

#[test]
fn a_node_is_named_by_its_name_or_the_beginning_of_its_id() {
    let answers = [("node.list", list()), ("node.invoke", json!({"ok": true}))];
    let (outcome, out, requests) = asked(&["invoke", "Kitchen", "camera.snap", "{\"facing\":\"front\"}"], &answers);
    assert_eq!((outcome, out.as_str()), (Ok(()), "{\"ok\":true}\n"));
    assert_eq!(requests[1]["params"]["nodeId"], "6c8f8607dbe87077");
    assert_eq!(requests[1]["params"]["params"], json!({"facing": "front"}));
    let (outcome, ..) = asked(&["describe", "6c"], &[("node.list", list())]);
    assert_eq!(outcome.unwrap_err().exit, Exit::Usage);
    let (outcome, ..) = asked(&["describe", "Attic"], &[("node.list", list())]);
    assert_eq!(outcome.unwrap_err().exit, Exit::Failed);
}

#[test]
fn what_is_missing_or_too_much_is_said() {
    let rename = asked(&["rename", "Shed"], &[("node.list", list())]).0.unwrap_err();
    assert!(rename.message.unwrap().contains("name is missing"));
    assert_eq!(asked(&["dance"], &[]).0.unwrap_err().exit, Exit::Usage);
    let extra = asked(&["describe", "Shed", "now"], &[("node.list", list())]).0.unwrap_err();
    assert_eq!(extra.exit, Exit::Usage);
}
