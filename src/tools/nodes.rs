//! Phones and other nodes: who is there, and what they are asked to do. Pictures come back as pictures.

use std::rc::Rc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::asking::Matter;
use super::{Cx, Group, Problem, Risk, Tool, outside};
use crate::gateway::invoke::Question;
use crate::limits::TOOL_TEXT_BYTES;
use crate::nodes::registry::Node;
use crate::runs::tools::ToolOutput;
use crate::wire::message::Block;
use crate::wire::shape::{Kind, int_within, text_within};

/// Rows.
pub(super) const TOOLS: &[Tool] = &[
    Tool::new(
        "nodes",
        Group::Nodes,
        Risk::Look,
        "Lists the phones and machines that are connected and the commands that each can run.",
        tool!(list),
    ),
    Tool::new(
        "camera_snap",
        Group::Nodes,
        Risk::Private,
        "Takes a picture with the camera of a phone or machine and shows it to you.",
        tool!(camera),
    )
    .within(Duration::from_secs(60)),
    Tool::new("location_get", Group::Nodes, Risk::Private, "Tells where a phone is.", tool!(location))
        .within(Duration::from_secs(60)),
    Tool::new("notify", Group::Nodes, Risk::Change, "Shows a notification on a phone or machine.", tool!(notify)),
    Tool::new(
        "canvas_present",
        Group::Nodes,
        Risk::World,
        "Shows a web page on the screen of a phone or machine.",
        tool!(canvas),
    ),
    Tool::new("sms_send", Group::Nodes, Risk::World, "Sends a text message from a phone.", tool!(sms)).each_anew(),
    Tool::new(
        "node_invoke",
        Group::Nodes,
        Risk::World,
        "Asks a phone or machine to run any other of the commands that `nodes` lists for it. What to send and what \
         comes back depends on the command.",
        tool!(invoke),
    )
    .each_anew()
    .about(|cx, arguments| Matter {
        node_id: arguments
            .get("node")
            .and_then(Value::as_str)
            .and_then(|name| find(cx, name, None).ok())
            .map(|n| n.id.clone()),
        ..Matter::default()
    })
    .within(Duration::from_secs(120)),
];

/// A node's name or the beginning of its id.
const NODE: Kind = text_within(0, 256);

crate::wire! {
    /// Nothing.
    pub struct Nothing {}

    /// Which camera of which node.
    pub struct CameraParams {
        /// Name or id; may be left out when only one node has a camera.
        node: Option<String> = NODE,
        /// `front` or `back`; `back` when left out.
        facing: Option<String> = Kind::OneOf(&["front", "back"]),
    }

    /// Which node.
    pub struct LocationParams {
        /// Name or id; may be left out when only one node can tell.
        node: Option<String> = NODE,
    }

    /// A notification.
    pub struct NotifyParams {
        /// Name or id; may be left out when only one node can show it.
        node: Option<String> = NODE,
        title: Option<String> = text_within(0, 200),
        body: String = text_within(1, 2000),
    }

    /// A page.
    pub struct CanvasParams {
        /// Name or id; may be left out when only one node has a screen for it.
        node: Option<String> = NODE,
        url: String = text_within(1, 2000),
    }

    /// A text message.
    pub struct SmsParams {
        /// Name or id; may be left out when only one node can send it.
        node: Option<String> = NODE,
        /// The telephone number.
        to: String = text_within(1, 40),
        message: String = text_within(1, 1000),
    }

    /// Any command.
    pub struct InvokeParams {
        /// Name or id.
        node: String = text_within(1, 256),
        /// One that `nodes` lists.
        command: String = text_within(1, 128),
        /// What the command takes.
        params: Option<Map<String, Value>>,
        /// How long the node has, ms; 30,000 when left out.
        timeout_ms: Option<u64> = int_within(1000, 110_000),
    }
}

async fn list(cx: Cx, _: Nothing) -> Result<ToolOutput, Problem> {
    let nodes = cx.gateway.nodes.registry.list();
    if nodes.is_empty() {
        return Ok(ToolOutput::text("No phone or machine is connected."));
    }
    let told = nodes.iter().map(|node| {
        json!({
            "node": label(&cx, node), "id": node.id, "platform": node.peer.client.platform, "commands": node.commands,
        })
    });
    Ok(ToolOutput::text(Value::from_iter(told).to_string()))
}

async fn camera(cx: Cx, params: CameraParams) -> Result<ToolOutput, Problem> {
    let facing = params.facing.unwrap_or_else(|| "back".to_owned());
    let wanted = json!({"facing": facing, "maxWidth": 1280, "quality": 0.8, "format": "jpg"});
    ask(&cx, params.node.as_deref(), "camera.snap", Some(wanted), 45_000).await
}

async fn location(cx: Cx, params: LocationParams) -> Result<ToolOutput, Problem> {
    let wanted = json!({"desiredAccuracy": "balanced", "timeoutMs": 30_000});
    ask(&cx, params.node.as_deref(), "location.get", Some(wanted), 45_000).await
}

async fn notify(cx: Cx, params: NotifyParams) -> Result<ToolOutput, Problem> {
    let wanted = json!({"title": params.title.unwrap_or_else(|| "Barnacle".to_owned()), "body": params.body});
    ask(&cx, params.node.as_deref(), "system.notify", Some(wanted), 20_000).await
}

async fn canvas(cx: Cx, params: CanvasParams) -> Result<ToolOutput, Problem> {
    ask(&cx, params.node.as_deref(), "canvas.present", Some(json!({"url": params.url})), 20_000).await
}

async fn sms(cx: Cx, params: SmsParams) -> Result<ToolOutput, Problem> {
    let wanted = json!({"to": params.to, "message": params.message});
    ask(&cx, params.node.as_deref(), "sms.send", Some(wanted), 25_000).await
}

async fn invoke(cx: Cx, params: InvokeParams) -> Result<ToolOutput, Problem> {
    if params.command.starts_with("system.run") || params.command.starts_with("system.execApprovals") {
        return Err(Problem::from("Commands of the system are run with `exec` and its `node`, not like this."));
    }
    let wait_ms = params.timeout_ms.unwrap_or(30_000);
    ask(&cx, Some(&params.node), &params.command, params.params.map(Value::Object), wait_ms).await
}

/// Asks a node and makes its answer something that a model reads.
async fn ask(
    cx: &Cx,
    node: Option<&str>,
    command: &str,
    params: Option<Value>,
    timeout_ms: u64,
) -> Result<ToolOutput, Problem> {
    let node = find(cx, node.unwrap_or_default(), Some(command))?;
    let question = Question {
        node_id: node.id.clone(),
        command: command.to_owned(),
        params,
        timeout_ms: Some(timeout_ms),
        idempotency_key: Some(format!("{}-{}", cx.scene.run_id, cx.gateway.sys.chance.hex::<4>())),
    };
    let name = label(cx, &node);
    let failed = |error: crate::error::Error| {
        let reason = error.details.as_ref().and_then(|details| details.get("reason")).and_then(Value::as_str);
        let reason = reason.map_or_else(String::new, |reason| format!(" ({reason})"));
        Problem(format!("{name}: {}{reason}", error.message))
    };
    let answer = cx.gateway.ask_node(&question).map_err(failed)?.answer().await.map_err(failed)?;
    let result = answer.result().map(|result| serde_json::from_str::<Value>(result.get()).unwrap_or_default());
    Ok(shown(cx, &name, result.unwrap_or_default()))
}

/// A node's result: a picture as a picture, the rest as JSON from outside.
fn shown(cx: &Cx, name: &str, mut result: Value) -> ToolOutput {
    let mut content = Vec::new();
    if let Value::Object(fields) = &mut result {
        let mime_type = match fields.get("format").and_then(Value::as_str) {
            Some("jpg" | "jpeg") => Some("image/jpeg"),
            Some("png") => Some("image/png"),
            _ => None,
        };
        match (mime_type, fields.remove("base64")) {
            (Some(mime_type), Some(Value::String(data))) => {
                content.push(Block::Image { data, mime_type: mime_type.to_owned() });
            }
            (_, Some(Value::String(data))) => {
                fields.insert("bytes".into(), (data.len() / 4 * 3).into());
            }
            _ => {}
        }
    }
    let is_empty = result.is_null() || result.as_object().is_some_and(Map::is_empty);
    let text =
        if is_empty { format!("{name} has done it.") } else { outside(cx, name, &result.to_string(), TOOL_TEXT_BYTES) };
    content.insert(0, Block::Text { text });
    ToolOutput { content, details: None, is_error: false }
}

/// The connected node with that name or beginning of an id; without one, the only one that has the command.
pub(super) fn find(cx: &Cx, wanted: &str, command: Option<&str>) -> Result<Rc<Node>, Problem> {
    let nodes = cx.gateway.nodes.registry.list();
    let wanted = wanted.trim();
    let is_able = |node: &&Rc<Node>| command.is_none_or(|command| node.commands.iter().any(|own| own == command));
    let is_meant = |node: &&Rc<Node>| {
        wanted.is_empty() || label(cx, node).eq_ignore_ascii_case(wanted) || node.id.starts_with(wanted)
    };
    let found: Vec<_> = nodes.iter().filter(is_meant).filter(|node| !wanted.is_empty() || is_able(node)).collect();
    match found.as_slice() {
        [node] => Ok(Rc::clone(node)),
        [] if wanted.is_empty() => {
            Err(Problem(format!("No connected phone or machine can do {}.", command.unwrap_or("that"))))
        }
        [] => {
            let names: Vec<_> = nodes.iter().map(|node| label(cx, node)).collect();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            Err(Problem(format!("No connected node is called {wanted:?}. Connected: {names}.")))
        }
        several => {
            let names: Vec<_> = several.iter().map(|node| label(cx, node)).collect();
            Err(Problem(format!("Say which: {}.", names.join(", "))))
        }
    }
}

/// A node's name for people.
pub(super) fn label(cx: &Cx, node: &Node) -> String {
    let given = cx.gateway.given_name(&node.id).or_else(|| node.peer.client.display_name.clone());
    given.unwrap_or_else(|| node.id.chars().take(12).collect())
}
