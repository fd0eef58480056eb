//! `wizard.*` (methods.md 13). The guide's requests have no session id and put the answer elsewhere;
//! both forms are taken from everybody.

use serde_json::{Map, Value};

use crate::config::file;
use crate::config::proposal::Change;
use crate::error::Error;
use crate::gateway::reconfigure::Then;
use crate::gateway::wizard::{Next, NoWizard, Step};
use crate::gateway::wizard_stage::Facts;
use crate::rpc::{Cx, Method};
use crate::wire::Access;
use crate::wire::shape::{Kind, text_within};
use crate::{later, now};

/// Rows.
pub const METHODS: &[Method] = &[
    Method {
        name: "wizard.start",
        aliases: &[],
        access: Access::Admin,
        listed: true,
        doc: "Begins to set the gateway up step by step; one wizard at a time.",
        handler: now!(start),
    },
    Method {
        name: "wizard.next",
        aliases: &[],
        access: Access::Admin,
        listed: true,
        doc: "Answers the wizard's step and shows the next one; the last one writes the configuration.",
        handler: later!(next),
    },
    Method {
        name: "wizard.cancel",
        aliases: &[],
        access: Access::Admin,
        listed: true,
        doc: "Ends the wizard without writing anything.",
        handler: now!(cancel),
    },
    Method {
        name: "wizard.status",
        aliases: &[],
        access: Access::Admin,
        listed: true,
        doc: "Tells whether the wizard runs.",
        handler: now!(status),
    },
];

crate::wire! {
    /// How to begin.
    pub struct StartParams {
        /// Only `local`: this program is always the gateway itself.
        mode: Option<String> = Kind::OneOf(&["local", "remote"]),
        /// The workspace to set.
        workspace: Option<String> = text_within(0, 4096),
    }

    /// The first step.
    pub struct StartResult {
        session_id: String,
        done: bool,
        step: Option<Step>,
        status: String,
        error: Option<String>,
    }

    /// An answer, in the native form or the guide's.
    pub struct NextParams {
        /// The wizard; without it, the one that runs.
        session_id: Option<String> = text_within(1, 256),
        answer: Option<Answer>,
        /// The guide's form: the step,
        step_id: Option<String> = text_within(1, 256),
        /// and the answer to it: `selectedOption`, `value`, `text`, `confirmed` or `selectedOptions` of it, or itself.
        response: Option<Value>,
    }

    /// The native form of an answer.
    pub struct Answer {
        step_id: String = text_within(1, 256),
        value: Option<Value>,
    }

    /// What comes next.
    pub struct NextResult {
        done: bool,
        step: Option<Step>,
        status: String,
        error: Option<String>,
    }

    /// Which wizard.
    pub struct WhichParams {
        /// Without it, the one that runs.
        session_id: Option<String> = text_within(1, 256),
    }

    /// How it stands.
    pub struct StatusResult {
        status: String,
        error: Option<String>,
    }
}

/// A wizard goes on, is over, was ended, or failed.
const RUNNING: &str = "running";
const DONE: &str = "done";
const CANCELLED: &str = "cancelled";
const ERROR: &str = "error";

fn start(cx: &Cx, params: StartParams) -> Result<StartResult, Error> {
    if params.mode.as_deref() == Some("remote") {
        return Err(Error::invalid("mode remote: this program is always the gateway itself; use mode local"));
    }
    let gateway = &cx.gateway;
    let view = gateway.view_config().map_err(|error| Error::unavailable(error.to_string()))?;
    if !view.valid {
        return Err(Error::invalid("invalid config; fix before running the wizard"));
    }
    let facts = Facts {
        new_token: gateway.sys.chance.hex::<32>(),
        token_is_flag: gateway.reload.launch.token.is_some(),
        port: gateway.reload.launch.port(&gateway.config.get()),
        workspace: params.workspace.filter(|path| !path.trim().is_empty()),
        ..Facts::of(&gateway.config.get(), &view.parsed)
    };
    let started = gateway.wizards.start(gateway.sys.chance.uuid(), facts, gateway.uptime_ms());
    let (session_id, step) = started.map_err(refusal)?;
    Ok(StartResult { session_id, done: false, step: Some(step), status: RUNNING.to_owned(), error: None })
}

async fn next(cx: Cx, params: NextParams) -> Result<NextResult, Error> {
    let answer = match (params.answer, params.step_id) {
        (Some(answer), _) => Some((answer.step_id, answer.value.unwrap_or_default())),
        (None, Some(step)) => Some((step, params.response.map(value_of).unwrap_or_default())),
        (None, None) => None,
    };
    let answer = answer.as_ref().map(|(step, value)| (step.as_str(), value.clone()));
    let gateway = &cx.gateway;
    let next = gateway.wizards.next(params.session_id.as_deref(), answer, gateway.uptime_ms()).map_err(refusal)?;
    let ended =
        |status: &str, error: Option<String>| NextResult { done: true, step: None, status: status.to_owned(), error };
    Ok(match next {
        Next::Step(step) => NextResult { done: false, step: Some(*step), status: RUNNING.to_owned(), error: None },
        Next::Done => ended(DONE, None),
        Next::Write(patch) => {
            let mut over = Over { cx: &cx, asks_again: false };
            let Err(problem) = write(&cx, patch).await else { return Ok(ended(DONE, None)) };
            match gateway.wizards.refused(problem.clone()) {
                Some(step) => {
                    over.asks_again = true;
                    NextResult { done: false, step: Some(step), status: RUNNING.to_owned(), error: None }
                }
                None => ended(ERROR, Some(problem)),
            }
        }
    })
}

/// Writes the wizard's patch onto the text that is there now.
async fn write(cx: &Cx, patch: Map<String, Value>) -> Result<(), String> {
    let gateway = &cx.gateway;
    let hash = file::standing(&*gateway.sys.files, &gateway.places).map_err(|error| error.to_string())?.hash;
    let raw = Value::Object(patch).to_string();
    let changed = gateway.change_config(Some(&hash), Change::Patch(&raw), Then::Nothing).await;
    changed.map(|_| ()).map_err(|refused| refused.to_string())
}

/// Ends the wizard when it is dropped, also because the caller left.
struct Over<'c> {
    cx: &'c Cx,
    /// It was refused and goes on.
    asks_again: bool,
}

impl Drop for Over<'_> {
    fn drop(&mut self) {
        if !self.asks_again {
            self.cx.gateway.wizards.written();
        }
    }
}

fn cancel(cx: &Cx, params: WhichParams) -> Result<StatusResult, Error> {
    cx.gateway.wizards.cancel(params.session_id.as_deref()).map_err(refusal)?;
    Ok(StatusResult { status: CANCELLED.to_owned(), error: Some(CANCELLED.to_owned()) })
}

fn status(cx: &Cx, params: WhichParams) -> Result<StatusResult, Error> {
    cx.gateway.wizards.status(params.session_id.as_deref()).map_err(refusal)?;
    Ok(StatusResult { status: RUNNING.to_owned(), error: None })
}

fn refusal(why: NoWizard) -> Error {
    match why {
        NoWizard::Running => Error::unavailable(why.to_string()),
        NoWizard::NotFound | NoWizard::OtherStep | NoWizard::Writing => Error::invalid(why.to_string()),
    }
}

/// The answer in the guide's `response` (methods.md 13).
fn value_of(response: Value) -> Value {
    let Value::Object(mut fields) = response else { return response };
    for name in ["selectedOption", "value", "text", "confirmed", "selectedOptions"] {
        if let Some(value) = fields.remove(name) {
            return value;
        }
    }
    Value::Object(fields)
}
