//! Calls: a method's row, the table of all rows, and what a handler is given.
//!
//! A method is declared once, in `methods/`: its name, aliases, access, sentence and function. The
//! params and result types are read off the function. hello-ok, authorisation, dispatch, validation,
//! the command line and `docs/methods.md` all come from the rows.

pub mod access;
pub mod describe;
pub mod dispatch;

use std::collections::BTreeMap;
use std::rc::Rc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::Error;
use crate::events::Peer;
use crate::gateway::Gateway;
use crate::runs::asker::Asker;
use crate::sys::LocalFuture;
use crate::wire::handshake::Role;
use crate::wire::shape::{Kind, Wire};
use crate::wire::{Access, Dialect};

/// One row of the table of methods.
#[derive(Debug)]
pub struct Method {
    /// Native name.
    pub name: &'static str,
    /// Other names under which it may be called.
    pub aliases: &'static [&'static str],
    /// Who may call it.
    pub access: Access,
    /// Whether hello-ok lists it; the reference hides a few that can be called.
    pub listed: bool,
    /// One sentence.
    pub doc: &'static str,
    /// The function behind it; made by [`now!`](crate::now) or [`later!`](crate::later).
    pub handler: Handler,
}

/// A method's function and the types that it takes and gives.
#[derive(Debug)]
pub struct Handler {
    /// How it runs.
    pub run: Run,
    /// What its params must look like.
    pub params: fn() -> Kind,
    /// What its result looks like.
    pub result: fn() -> Kind,
}

/// A result as JSON text, or the refusal.
pub type Reply = Result<Vec<u8>, Error>;

/// How a method runs.
#[derive(Clone, Copy, Debug)]
pub enum Run {
    /// To its end at once.
    Now(fn(&Cx, Value) -> Reply),
    /// To its end at once, on the params' text, which may be too large to become a tree: up to
    /// `nodeMaxPayload` instead of `maxPayload`.
    Raw(fn(&Cx, Option<&RawValue>) -> Reply),
    /// It may wait; it is polled once at once, so that a quick request behind it cannot overtake
    /// its first part.
    Later(fn(Cx, Value) -> LocalFuture<'static, Reply>),
}

/// What a handler is given beside its params.
#[derive(Debug, Clone)]
pub struct Cx {
    /// The gateway.
    pub gateway: Rc<Gateway>,
    /// Who calls.
    pub caller: Rc<Peer>,
    /// The request's id, for an early reply.
    request_id: Rc<str>,
    /// The method's name as the client wrote it.
    method: Rc<str>,
}

impl Cx {
    /// The method's name as the client wrote it, for error texts.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }

    /// On whose word what this call starts acts.
    #[must_use]
    pub fn asker(&self) -> Asker {
        let client = &self.caller.client;
        match self.caller.grant.role {
            Role::Node => Asker::Node(self.caller.device_id.clone().unwrap_or_else(|| client.id.clone())),
            Role::Operator | Role::Device => {
                Asker::Operator(client.display_name.clone().unwrap_or_else(|| client.id.clone()))
            }
        }
    }

    /// Sends the early reply of a method that answers twice; what the handler returns is the last one.
    pub fn ack(&self, payload: &impl Serialize) {
        let payload = encode(payload);
        self.reply(&Ok(payload));
    }

    fn reply(&self, outcome: &Result<Vec<u8>, Error>) {
        dispatch::reply(&self.gateway, &self.caller, &Value::from(&*self.request_id), outcome);
    }
}

/// All methods by name and alias.
#[derive(Debug)]
pub struct Table {
    rows: Vec<&'static Method>,
    by_name: BTreeMap<&'static str, &'static Method>,
}

impl Table {
    /// The table of these groups, in their order.
    #[must_use]
    pub fn new(groups: &[&'static [Method]]) -> Self {
        let rows: Vec<_> = groups.iter().flat_map(|group| group.iter()).collect();
        let names = rows.iter().flat_map(|row| std::iter::once(&row.name).chain(row.aliases).map(|name| (*name, *row)));
        Self { by_name: names.collect(), rows }
    }

    /// The method of that name or alias.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&'static Method> {
        self.by_name.get(name).copied()
    }

    /// Every row, in the order of the groups.
    #[must_use]
    pub fn rows(&self) -> &[&'static Method] {
        &self.rows
    }

    /// The names that hello-ok lists in a dialect.
    #[must_use]
    pub fn listed(&self, dialect: &dyn Dialect) -> Vec<&'static str> {
        let is_call = |row: &Method| row.name != "connect";
        let listed = self.rows.iter().filter(|row| row.listed || (dialect.lists_hidden_methods() && is_call(row)));
        listed.map(|row| dialect.method_name(row.name, row.aliases)).collect()
    }
}

/// Result types must be JSON; ours always are.
#[must_use]
pub fn encode(result: &(impl Serialize + ?Sized)) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    crate::wire::frame::put(&mut out, result);
    out
}

/// Params as the method's type, or every problem with them.
///
/// # Errors
/// `invalid <method> params: …` as in connection.md 1.4.
pub fn decode<P: Wire + DeserializeOwned>(method: &str, mut params: Value) -> Result<P, Error> {
    // Methods that ignore unknown keys ignore params that have no keys at all (connection.md 1.4).
    if matches!(P::KIND, Kind::Object(shape) if shape.open) && !params.is_object() {
        params = Value::Object(serde_json::Map::new());
    }
    let problems = P::KIND.check(&mut params);
    if problems.is_empty() {
        return serde_json::from_value(params)
            .map_err(|error| Error::invalid(format!("invalid {method} params: {error}")));
    }
    Err(Error::invalid(format!("invalid {method} params: {}", problems.join("; "))))
}

/// Params text as a value; absent and `null` are `{}`.
fn read_params(method: &str, params: Option<&RawValue>) -> Result<Value, Error> {
    match params.map(RawValue::get) {
        None | Some("null") => Ok(Value::Object(serde_json::Map::new())),
        Some(text) => serde_json::from_str(text).map_err(|error| {
            // Valid JSON that can't be read is nested too deeply (limits::JSON_DEPTH).
            Error::invalid(format!("invalid {method} params: {error}"))
        }),
    }
}

/// A handler that runs to its end.
#[macro_export]
macro_rules! now {
    ($function:path) => {
        $crate::rpc::Handler {
            run: $crate::rpc::Run::Now(|cx, params| {
                let params = $crate::rpc::decode(cx.method(), params)?;
                Ok($crate::rpc::encode(&$function(cx, params)?))
            }),
            params: || $crate::rpc::shapes::params_now(|cx, params| $function(cx, params)),
            result: || $crate::rpc::shapes::result_now(|cx, params| $function(cx, params)),
        }
    };
}

/// A handler that may wait. With `prepare => function` the params go through `prepare` before they are
/// checked, for methods that understand more than their shape says.
#[macro_export]
macro_rules! later {
    ($prepare:path => $function:path) => {
        $crate::rpc::Handler {
            run: $crate::rpc::Run::Later(|cx, mut params| {
                $prepare(&mut params);
                ::std::boxed::Box::pin(async move {
                    let params = $crate::rpc::decode(cx.method(), params)?;
                    Ok($crate::rpc::encode(&$function(cx, params).await?))
                })
            }),
            params: || $crate::rpc::shapes::params_later(|cx, params| $function(cx, params)),
            result: || $crate::rpc::shapes::result_later(|cx, params| $function(cx, params)),
        }
    };
    ($function:path) => {
        $crate::rpc::Handler {
            run: $crate::rpc::Run::Later(|cx, params| {
                ::std::boxed::Box::pin(async move {
                    let params = $crate::rpc::decode(cx.method(), params)?;
                    Ok($crate::rpc::encode(&$function(cx, params).await?))
                })
            }),
            params: || $crate::rpc::shapes::params_later(|cx, params| $function(cx, params)),
            result: || $crate::rpc::shapes::result_later(|cx, params| $function(cx, params)),
        }
    };
}

/// Reads the types of a handler's params and result off its signature.
pub mod shapes {
    use super::{Cx, Error, Kind, Wire};

    /// Params of a handler that runs to its end.
    pub fn params_now<P: Wire, R: Wire>(_: impl Fn(&Cx, P) -> Result<R, Error>) -> Kind {
        P::KIND
    }

    /// Result of a handler that runs to its end.
    pub fn result_now<P: Wire, R: Wire>(_: impl Fn(&Cx, P) -> Result<R, Error>) -> Kind {
        R::KIND
    }

    /// Params of a handler that may wait.
    pub fn params_later<P: Wire, R: Wire, F: Future<Output = Result<R, Error>>>(_: impl Fn(Cx, P) -> F) -> Kind {
        P::KIND
    }

    /// Result of a handler that may wait.
    pub fn result_later<P: Wire, R: Wire, F: Future<Output = Result<R, Error>>>(_: impl Fn(Cx, P) -> F) -> Kind {
        R::KIND
    }
}
