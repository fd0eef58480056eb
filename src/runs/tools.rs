//! What an agent may do besides talking: a seam. The loop that calls tools, its limits and its
//! events are in `turn.rs`; the tools themselves are whoever implements [`Tools`].

use std::fmt;

use serde_json::Value;

use super::asker::Asker;
use super::providers::ToolSpec;
use crate::stores::SessionKey;
use crate::sys::LocalFuture;
use crate::wire::message::Block;

/// Where and for whom tools are used.
#[derive(Debug, Clone)]
pub struct Scene {
    /// The session.
    pub session: SessionKey,
    /// The agent.
    pub agent_id: String,
    /// The run.
    pub run_id: String,
    /// On whose word.
    pub asker: Asker,
}

/// A set of tools.
pub trait Tools: fmt::Debug {
    /// What is offered to the model.
    fn offered(&self, scene: &Scene) -> Vec<ToolSpec>;

    /// Runs a tool. A failure is a result too: the model reads it and goes on.
    fn call(&self, scene: &Scene, name: &str, arguments: &Value) -> LocalFuture<'static, ToolOutput>;
}

/// What a tool gave back.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolOutput {
    /// Text and images.
    pub content: Vec<Block>,
    /// Machine-readable addition.
    pub details: Option<Value>,
    /// Whether it failed.
    pub is_error: bool,
}

impl ToolOutput {
    /// A text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self { content: vec![Block::Text { text: text.into() }], details: None, is_error: false }
    }

    /// A failure that the model can read.
    #[must_use]
    pub fn failed(text: impl Into<String>) -> Self {
        Self { content: vec![Block::Text { text: text.into() }], details: None, is_error: true }
    }
}

/// No tools: a model that asks for one anyway is told so.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoTools;

impl Tools for NoTools {
    fn offered(&self, _scene: &Scene) -> Vec<ToolSpec> {
        Vec::new()
    }

    fn call(&self, _scene: &Scene, name: &str, _arguments: &Value) -> LocalFuture<'static, ToolOutput> {
        let output = ToolOutput::failed(format!("There is no tool named {name}."));
        Box::pin(async move { output })
    }
}
