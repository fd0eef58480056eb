//! Asking whoever may decide whether something may be done, and the decision (connection.md 6.11).
//!
//! A request outlives whoever made it. A decision is on record before anybody hears of it.

use std::rc::Rc;
use std::time::Duration;

use serde_json::json;

use super::Gateway;
use super::post::store_error;
use crate::error::Error;
use crate::events::{EXEC_APPROVAL_REQUESTED, EXEC_APPROVAL_RESOLVED};
use crate::limits::APPROVAL_BYTES;
use crate::nodes::binding;
use crate::nodes::decisions::{Refused, Request, Verdict, Waiting};
use crate::stores::exec_approvals::Always;
use crate::stores::{Durable, StoreError};
use crate::sys::Latch;

impl Gateway {
    /// Lets a request wait for a decision, and tells those who may decide. Without an `id` one is made.
    ///
    /// # Errors
    /// `INVALID_REQUEST` for a request that is too large or an id that waits already; `UNAVAILABLE` when too many
    /// wait.
    pub fn ask_approval(
        self: &Rc<Self>,
        id: Option<String>,
        request: Request,
        wait_ms: u64,
    ) -> Result<Rc<Waiting>, Error> {
        if serde_json::to_vec(&request).map_or(true, |text| text.len() > APPROVAL_BYTES) {
            return Err(Error::invalid(format!("an approval request may have {APPROVAL_BYTES} bytes")));
        }
        let id = id.unwrap_or_else(|| self.sys.chance.uuid());
        let waiting = self.nodes.decisions.ask(id, request, self.sys.clock.now_ms(), wait_ms);
        let waiting = waiting.map_err(|refused| match refused {
            Refused::SameId => Error::invalid("approval id already pending"),
            Refused::Full => Error::unavailable("too many exec approvals wait for a decision").retry_after(5000),
        })?;
        self.expire_later(&waiting, wait_ms);
        self.hub.emit_json(
            &EXEC_APPROVAL_REQUESTED,
            &json!({
                "id": waiting.id, "request": waiting.request,
                "createdAtMs": waiting.created_at_ms, "expiresAtMs": waiting.expires_at_ms,
            }),
        );
        Ok(waiting)
    }

    /// Decides about a request that waits; `by` names whoever did. It goes on when the caller leaves.
    ///
    /// # Errors
    /// `INVALID_REQUEST` when nothing waits under the id; `UNAVAILABLE` when it can't be recorded, and then nothing
    /// was decided.
    pub async fn decide_approval(self: &Rc<Self>, id: &str, verdict: Verdict, by: String) -> Result<(), Error> {
        let waiting = self.nodes.decisions.take(id).ok_or_else(|| Error::invalid("unknown approval id"))?;
        let recorded: Rc<Latch<Result<(), Error>>> = Rc::default();
        let (done, gateway) = (Rc::clone(&recorded), Rc::clone(self));
        self.sys.tasks.detach(async move { done.set(decide(&gateway, &waiting, verdict, by, &done).await) });
        recorded.wait().await
    }

    /// The request's time goes on whether or not its caller stays.
    fn expire_later(self: &Rc<Self>, waiting: &Rc<Waiting>, wait_ms: u64) {
        let (gateway, waiting) = (Rc::clone(self), Rc::clone(waiting));
        self.sys.tasks.detach(async move {
            let wait = Duration::from_millis(wait_ms);
            // Over at once when it is decided.
            let _ = gateway.sys.clock.timeout(wait, waiting.verdict.wait()).await;
            gateway.nodes.decisions.expire(&waiting);
        });
    }
}

/// Records a decision, then tells everybody, whoever decided, and whoever waits, in that order.
async fn decide(
    gateway: &Gateway,
    waiting: &Waiting,
    verdict: Verdict,
    by: String,
    done: &Latch<Result<(), Error>>,
) -> Result<(), Error> {
    let now_ms = gateway.sys.clock.now_ms();
    let recorded = match record(gateway, waiting, verdict, &by, now_ms) {
        Ok(durable) => durable.await,
        Err(error) => Err(error),
    };
    if let Err(error) = recorded {
        // What isn't on record was not decided.
        waiting.verdict.set(None);
        return Err(store_error(&error));
    }
    gateway.hub.emit_json(
        &EXEC_APPROVAL_RESOLVED,
        &json!({"id": waiting.id, "decision": verdict.name(), "resolvedBy": by, "ts": now_ms}),
    );
    done.set(Ok(()));
    waiting.by.set(by);
    gateway.nodes.decisions.decide(waiting, verdict, gateway.uptime_ms());
    Ok(())
}

/// Writes a decision down, and a lasting one into the rules of this machine. A node keeps its own.
fn record(
    gateway: &Gateway,
    waiting: &Waiting,
    verdict: Verdict,
    by: &str,
    now_ms: u64,
) -> Result<Durable, StoreError> {
    let (store, request) = (&gateway.stores.exec_approvals, &waiting.request);
    let log = || {
        store.log(&json!({
            "ts": now_ms, "id": waiting.id, "decision": verdict.name(), "resolvedBy": by,
            "request": request, "bindingHash": binding::hash(request),
        }))
    };
    let is_here = request.host.0.as_deref() != Some("node") && request.node_id.is_none();
    if verdict != Verdict::AllowAlways || !is_here {
        return log();
    }
    let default_agent = gateway.config.get().agents.default_agent().id.clone();
    // A rule names a program. A word of the text may be anything, and a shell runs anything.
    let program = request.resolved_path.0.as_deref().filter(|path| !binding::is_interpreter(path));
    let Some(pattern) = program else { return log() };
    let agent_id = request.agent_id.0.as_deref().unwrap_or(&default_agent);
    let allowed = store.allow(&Always { agent_id, pattern, command: &request.command })?;
    Ok(Durable::all([allowed, log()?]))
}
