//! JSON as it travels and as it is stored, without behaviour.

pub mod message;
pub mod thinking;
