//! `last-heartbeat`, `set-heartbeats`, `wake` (methods.md 2.3 to 2.5).

use serde_json::Value;

use super::system::{Done, Ignored};
use crate::error::Error;
use crate::gateway::heartbeat::Beaten;
use crate::now;
use crate::rpc::{Cx, Method};
use crate::wire::Access;
use crate::wire::shape::{Kind, text};

/// Rows.
pub const METHODS: &[Method] = &[
    Method {
        name: "last-heartbeat",
        aliases: &[],
        access: Access::Read,
        listed: true,
        doc: "Tells what came of the last heartbeat since the start; null when there was none.",
        handler: now!(last),
    },
    Method {
        name: "set-heartbeats",
        aliases: &[],
        access: Access::Admin,
        listed: true,
        doc: "Switches all heartbeats off or on until the next start.",
        handler: now!(set),
    },
    Method {
        name: "wake",
        aliases: &[],
        access: Access::Write,
        listed: true,
        doc: "Leaves a line for the main session's next prompt and, with `now`, asks for a heartbeat.",
        handler: now!(wake),
    },
];

fn last(cx: &Cx, _: Ignored) -> Result<Option<Beaten>, Error> {
    Ok(cx.gateway.heart.last())
}

crate::wire! {
    /// Whether agents look around by themselves.
    pub open struct SetParams {
        /// A boolean; required.
        enabled: Option<Value>,
    }

    /// As it is now.
    pub struct Set {
        ok: bool,
        enabled: bool,
    }
}

fn set(cx: &Cx, params: SetParams) -> Result<Set, Error> {
    let Some(Value::Bool(enabled)) = params.enabled else {
        return Err(Error::invalid(format!("invalid {} params: enabled (boolean) required", cx.method())));
    };
    cx.gateway.heart.enable(enabled);
    Ok(Set { ok: true, enabled })
}

crate::wire! {
    /// What to leave for the agent.
    pub struct WakeParams {
        mode: String = Kind::OneOf(&["now", "next-heartbeat"]),
        /// A blank one does nothing and answers `ok: false`.
        text: String = text(1),
    }
}

fn wake(cx: &Cx, params: WakeParams) -> Result<Done, Error> {
    let gateway = &cx.gateway;
    if params.text.trim().is_empty() {
        return Ok(Done { ok: false });
    }
    let agent_id = gateway.config.get().agents.default_agent().id.clone();
    gateway.system_events.push(&gateway.main_key(&agent_id), &params.text, gateway.sys.clock.now_ms());
    if params.mode == "now" {
        gateway.want_heartbeat(&agent_id, "wake");
    }
    Ok(Done { ok: true })
}
