//! The configuration in force, shared by everyone who reads it; a reload puts another one in place.

use std::cell::RefCell;
use std::rc::Rc;

use super::Config;

/// The configuration in force. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Current(Rc<RefCell<Rc<Config>>>);

impl Current {
    /// Starts with `config`.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self(Rc::new(RefCell::new(Rc::new(config))))
    }

    /// The one in force now. Keep it no longer than a step: it may be replaced.
    #[must_use]
    pub fn get(&self) -> Rc<Config> {
        Rc::clone(&self.0.borrow())
    }

    /// From now on `config` is in force.
    pub fn replace(&self, config: impl Into<Rc<Config>>) {
        *self.0.borrow_mut() = config.into();
    }
}
