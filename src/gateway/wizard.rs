//! The wizard that sets a gateway up (methods.md 13): a machine that asks step by step and ends with
//! one patch of the configuration. It writes nothing itself, and an answer that doesn't fit is asked
//! for again.

use std::cell::RefCell;

use serde_json::{Map, Value, json};

use super::wizard_stage::{Answers, Facts, Stage};
use crate::limits::WIZARD_IDLE_MS;

/// The one wizard of the gateway.
#[derive(Debug, Default)]
pub struct Wizards(RefCell<Option<Wizard>>);

/// A wizard that runs.
#[derive(Debug)]
struct Wizard {
    id: String,
    facts: Facts,
    stage: Stage,
    /// Number of the present step.
    number: u32,
    answers: Answers,
    /// What was wrong with the last answer.
    wrong: Option<String>,
    touched_ms: u64,
    /// Whether its patch is being written.
    is_writing: bool,
}

crate::wire! {
    /// What the wizard asks.
    pub struct Step {
        id: String,
        /// `note`, `select`, `text` or `confirm`.
        r#type: String,
        title: Option<String>,
        message: Option<String>,
        options: Option<Vec<Choice>>,
        initial_value: Option<Value>,
        placeholder: Option<String>,
        /// Whether the answer is a secret.
        sensitive: Option<bool>,
        /// Who asks the person: the client.
        executor: String,
    }

    /// One of the answers to choose from.
    pub struct Choice {
        value: String,
        label: String,
        hint: Option<String>,
    }
}

/// Why a wizard can't go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoWizard {
    /// One runs already.
    Running,
    /// There is none, or none with that id.
    NotFound,
    /// The answer is for another step.
    OtherStep,
    /// What it found out is being written.
    Writing,
}

impl std::fmt::Display for NoWizard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Running => "wizard already running",
            Self::NotFound => "wizard not found",
            Self::OtherStep => "Error: wizard: no pending step",
            Self::Writing => "wizard not running: its answers are being written",
        })
    }
}

impl std::error::Error for NoWizard {}

/// What comes after an answer.
#[derive(Debug)]
pub enum Next {
    /// A step to show.
    Step(Box<Step>),
    /// The patch to write; then the wizard is over.
    Write(Map<String, Value>),
    /// Over, and nothing is to be written.
    Done,
}

impl Wizards {
    /// Begins. A wizard that nobody has answered for half an hour makes room.
    ///
    /// # Errors
    /// [`NoWizard::Running`].
    pub fn start(&self, id: String, facts: Facts, now_ms: u64) -> Result<(String, Step), NoWizard> {
        let mut slot = self.0.borrow_mut();
        if slot.as_ref().is_some_and(|old| old.is_writing || now_ms.saturating_sub(old.touched_ms) < WIZARD_IDLE_MS) {
            return Err(NoWizard::Running);
        }
        let wizard = slot.insert(Wizard {
            id: id.clone(),
            answers: Answers::new(&facts),
            facts,
            stage: Stage::Welcome,
            number: 1,
            wrong: None,
            touched_ms: now_ms,
            is_writing: false,
        });
        Ok((id, wizard.step()))
    }

    /// Takes an answer to the step with that id; without one, shows the step again.
    ///
    /// # Errors
    /// [`NoWizard`].
    pub fn next(&self, id: Option<&str>, answer: Option<(&str, Value)>, now_ms: u64) -> Result<Next, NoWizard> {
        let mut slot = self.0.borrow_mut();
        let wizard = named(&mut slot, id)?;
        if wizard.is_writing {
            return Err(NoWizard::Writing);
        }
        wizard.touched_ms = now_ms;
        let Some((step, value)) = answer else { return Ok(Next::Step(Box::new(wizard.step()))) };
        if step != wizard.step_id() {
            return Err(NoWizard::OtherStep);
        }
        match wizard.stage.take(&value, &mut wizard.answers, &wizard.facts) {
            Err(wrong) => wizard.wrong = Some(wrong),
            Ok(stage) => {
                wizard.wrong = None;
                wizard.number += 1;
                wizard.stage = stage;
            }
        }
        match wizard.stage {
            Stage::Discard => {
                *slot = None;
                Ok(Next::Done)
            }
            Stage::Write => {
                wizard.is_writing = true;
                Ok(Next::Write(wizard.answers.patch(&wizard.facts)))
            }
            _ => Ok(Next::Step(Box::new(wizard.step()))),
        }
    }

    /// Whether a wizard of that id (or any) runs.
    ///
    /// # Errors
    /// [`NoWizard::NotFound`].
    pub fn status(&self, id: Option<&str>) -> Result<(), NoWizard> {
        named(&mut self.0.borrow_mut(), id).map(|_| ())
    }

    /// Ends it without writing anything.
    ///
    /// # Errors
    /// [`NoWizard`]; what is being written can't be stopped.
    pub fn cancel(&self, id: Option<&str>) -> Result<(), NoWizard> {
        let mut slot = self.0.borrow_mut();
        if named(&mut slot, id)?.is_writing {
            return Err(NoWizard::Writing);
        }
        *slot = None;
        Ok(())
    }

    /// Its patch was refused: it asks again whether to write, and says why it could not. `None` when it is gone.
    pub fn refused(&self, problem: String) -> Option<Step> {
        let mut slot = self.0.borrow_mut();
        let wizard = slot.as_mut().filter(|wizard| wizard.is_writing)?;
        wizard.is_writing = false;
        wizard.stage = Stage::Confirm;
        wizard.wrong = Some(problem);
        Some(wizard.step())
    }

    /// Its patch is written, or nobody waits for that any more.
    pub fn written(&self) {
        *self.0.borrow_mut() = None;
    }
}

fn named<'w>(slot: &'w mut Option<Wizard>, id: Option<&str>) -> Result<&'w mut Wizard, NoWizard> {
    slot.as_mut().filter(|wizard| id.is_none_or(|id| wizard.id == id)).ok_or(NoWizard::NotFound)
}

impl Wizard {
    fn step_id(&self) -> String {
        format!("step-{}", self.number)
    }

    fn step(&self) -> Step {
        let mut step = self.stage.step(self.step_id(), &self.answers, &self.facts);
        if let Some(wrong) = &self.wrong {
            let message = step.message.take().unwrap_or_default();
            step.message = Some(format!("{wrong}\n\n{message}"));
        }
        step
    }
}

impl Step {
    /// A step without anything to choose.
    pub(super) fn new(id: String, kind: &str, title: &str, message: impl Into<String>) -> Self {
        Self {
            id,
            r#type: kind.to_owned(),
            title: Some(title.to_owned()),
            message: Some(message.into()),
            options: None,
            initial_value: None,
            placeholder: None,
            sensitive: None,
            executor: "client".to_owned(),
        }
    }

    /// With these answers to choose from, the first one chosen already.
    pub(super) fn choose(mut self, options: Vec<Choice>) -> Self {
        self.initial_value = options.first().map(|first| json!(first.value));
        self.options = Some(options);
        self
    }
}

#[cfg(test)]
#[path = "wizard_tests.rs"]
mod tests;
