//! Agent turns: what happens between a message to the agent and its answer.

pub mod providers;
