//! The way of a request: text frame → row → access → params → handler → reply in the caller's outbox.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use serde_json::Value;

use super::{Cx, Run, Table, access, read_params};
use crate::error::Error;
use crate::events::Peer;
use crate::gateway::Gateway;
use crate::wire::frame::{self, Incoming, Request};

/// Takes a text frame that came after the handshake. It answers every request exactly once (twice
/// where the method says so), unless the connection is gone by then.
pub fn frame(table: &Table, gateway: &Rc<Gateway>, caller: &Rc<Peer>, text: &str) {
    match frame::read(text, gateway.limits.max_payload) {
        Incoming::Request(request) => call(table, gateway, caller, request),
        Incoming::NotJson => log::debug!("connection {}: a frame that is not JSON was ignored", caller.conn_id),
        Incoming::Invalid { id, error } => reply(gateway, caller, &id, &Err(error)),
    }
}

/// A node's message was too large and has been dropped; `edges` are its beginning and its end. The
/// invoke that it would have answered fails, and the node is told.
pub fn too_large(gateway: &Gateway, caller: &Peer, bytes: u64, edges: &[&[u8]]) {
    let limit = gateway.limits.node_max_payload;
    log::warn!("connection {}: a message of {bytes} bytes was dropped (nodeMaxPayload is {limit})", caller.conn_id);
    let is_in =
        |text: &str| edges.iter().any(|edge| edge.windows(text.len().max(1)).any(|part| part == text.as_bytes()));
    let found = is_in("node.invoke.result") && gateway.nodes.invokes.too_large(caller.id, bytes, limit, is_in);
    let id = edges.first().and_then(|head| frame::id_in(head)).unwrap_or_else(|| frame::NO_ID.to_owned());
    let what = if found { "; the invoke that it answers has failed" } else { "" };
    let message = format!("a message of {bytes} bytes is larger than policy.maxPayload with {limit}{what}");
    reply(gateway, caller, &id.into(), &Err(Error::invalid(message)));
}

fn call(table: &Table, gateway: &Rc<Gateway>, caller: &Rc<Peer>, request: Request) {
    let cx = Cx {
        gateway: Rc::clone(gateway),
        caller: Rc::clone(caller),
        request_id: request.id.as_str().into(),
        method: request.method.as_str().into(),
    };
    let started = (|| {
        let method = table.find(&request.method);
        access::check(caller, method)?;
        let method = method.ok_or_else(|| Error::invalid(format!("unknown method: {}", request.method)))?;
        let size = request.params.as_ref().map_or(0, |params| params.get().len());
        let tree = || {
            if size as u64 > gateway.limits.max_payload {
                let message = format!("invalid {} params: {size} bytes, more than maxPayload", request.method);
                return Err(Error::invalid(message));
            }
            let mut params = read_params(&request.method, request.params.as_deref())?;
            caller.dialect.params(method.name, &mut params);
            Ok(params)
        };
        match method.handler.run {
            Run::Now(run) => run(&cx, tree()?).map(Some),
            Run::Raw(run) => run(&cx, request.params.as_deref()).map(Some),
            Run::Later(run) => {
                let params = tree()?;
                start(&cx, size, || run(cx.clone(), params))
            }
        }
    })();
    match started {
        Ok(Some(payload)) => cx.reply(&Ok(payload)),
        Ok(None) => {}
        Err(error) => cx.reply(&Err(error)),
    }
}

/// Polls a waiting call once; if it isn't done, it goes on in the background, within the bounds on
/// calls in flight. `size` is that of its params, which it may hold all the while.
fn start(
    cx: &Cx,
    size: usize,
    run: impl FnOnce() -> crate::sys::LocalFuture<'static, Result<Vec<u8>, Error>>,
) -> Result<Option<Vec<u8>>, Error> {
    let gateway = &cx.gateway;
    let busy = || Error::unavailable("too many calls are waiting for their answers").retry_after(1000);
    if cx.caller.calls_in_flight() as u64 >= gateway.limits.calls_per_connection {
        return Err(busy());
    }
    let slot = gateway.calls.hold(1).ok_or_else(busy)?;
    let held = gateway.incoming.hold(size).ok_or_else(busy)?;
    let mut future = run();
    if let Poll::Ready(outcome) = Pin::new(&mut future).poll(&mut Context::from_waker(Waker::noop())) {
        return outcome.map(Some);
    }
    let call = cx.caller.next_call();
    let waiting = cx.clone();
    let task = gateway.sys.tasks.spawn(async move {
        let outcome = future.await;
        drop((slot, held));
        waiting.reply(&outcome);
        waiting.caller.end_call(call);
    });
    cx.caller.keep_call(call, task);
    Ok(None)
}

/// Queues a reply. One that can never fit into the connection's outbox becomes an error that says so.
pub(super) fn reply(gateway: &Gateway, caller: &Peer, id: &Value, outcome: &Result<Vec<u8>, Error>) {
    let mut frame = caller.dialect.reply(id, outcome.as_deref());
    if frame.len() as u64 > gateway.limits.max_buffered_bytes / 2 {
        let message = format!("the answer has {} bytes, too many to buffer; ask for less with limit", frame.len());
        frame = caller.dialect.reply(id, Err(&Error::invalid(message)));
    }
    gateway.hub.send(caller, frame);
}
