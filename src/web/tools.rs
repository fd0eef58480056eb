//! `/tools/invoke` (connection.md 7 row 2): one tool, called from outside. Off until it is switched on, and then only
//! tools that the owner names (`gateway.tools.allow`): the shared secret alone opens no tool.

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use super::{Answer, At, Call, Guard, Route, Verb, invalid, json_answer};
use crate::limits::TOOLS_INVOKE_BYTES;
use crate::runs::asker::Asker;
use crate::runs::tools::Scene;
use crate::wire::message::text_of;

/// Rows.
pub(super) const ROUTES: &[Route] = &[Route {
    path: At::Path("/tools/invoke"),
    doc: "runs a tool of `gateway.tools.allow`; off until `gateway.http.endpoints.tools.enabled`",
    verb: Verb::Post,
    is_on: |config| config.gateway.http.tools,
    guard: Guard::Secret,
    body_max: |_| TOOLS_INVOKE_BYTES,
    run: |call| Box::pin(async move { answer(call).await.unwrap_or_else(|refused| *refused) }),
}];

/// The session when the caller names none.
const MAIN: &str = "main";

async fn answer(call: Call) -> Result<Answer, Box<Answer>> {
    let body = call.json()?;
    let text = |key: &str| body.get(key).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty());
    let name = text("tool").ok_or_else(|| wrong("tools.invoke requires body.tool"))?;
    let mut arguments = match body.get("args") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(arguments)) => arguments.clone(),
        Some(_) => return Err(wrong("args must be an object")),
    };
    if let Some(action) = text("action") {
        arguments.entry("action").or_insert_with(|| action.into());
    }
    let gateway = &call.gateway;
    let key = gateway.session_key(text("sessionKey").unwrap_or(MAIN)).map_err(|error| wrong(&error.message))?;
    let tools = &gateway.runs.context().tools;
    let scene = Scene {
        agent_id: gateway.agent_of(&key),
        session: key,
        run_id: format!("http-{}", gateway.sys.chance.uuid()),
        asker: Asker::Operator("http".to_owned()),
    };
    let is_allowed = gateway.config.get().gateway.tools_allow.iter().any(|allowed| allowed == name);
    if !is_allowed || !tools.offered(&scene).iter().any(|tool| tool.name == name) {
        return Err(failed(StatusCode::NOT_FOUND, "not_found", &format!("Tool not available: {name}")));
    }
    log::info!("{}: /tools/invoke {name} for {}", call.origin.address, scene.session);
    let output = tools.call(&scene, name, &Value::Object(arguments)).await;
    if output.is_error {
        return Err(failed(StatusCode::BAD_REQUEST, "tool_error", &text_of(&output.content)));
    }
    let mut result = json!({"content": output.content});
    if let (Some(details), Some(result)) = (output.details, result.as_object_mut()) {
        result.insert("details".into(), details);
    }
    Ok(json_answer(StatusCode::OK, &json!({"ok": true, "result": result})))
}

fn wrong(message: &str) -> Box<Answer> {
    Box::new(invalid(message))
}

fn failed(status: StatusCode, kind: &str, message: &str) -> Box<Answer> {
    Box::new(json_answer(status, &json!({"ok": false, "error": {"type": kind, "message": message}})))
}
