//! `update.run` (methods.md 15): this gateway never replaces its own program.

use serde_json::Value;

use crate::error::Error;
use crate::now;
use crate::rpc::{Cx, Method};
use crate::wire::Access;
use crate::wire::shape::int;

/// Rows.
pub const METHODS: &[Method] = &[Method {
    name: "update.run",
    aliases: &[],
    access: Access::Admin,
    listed: true,
    doc: "Is not available: the machine's package manager updates this program.",
    handler: now!(run),
}];

crate::wire! {
    /// What the original takes.
    pub struct UpdateParams {
        session_key: Option<String>,
        note: Option<String>,
        restart_delay_ms: Option<u64> = int(0),
        timeout_ms: Option<u64> = int(1),
    }
}

fn run(_: &Cx, _: UpdateParams) -> Result<Value, Error> {
    Err(Error::unavailable(format!(
        "the gateway does not update itself; install the new version with the package manager \
         (or put the new program in place) and restart the service. This is {}.",
        crate::VERSION
    )))
}
