//! Nodes: phones and other machines that offer commands (connection.md section 6).
//!
//! Who is there, what they may be asked, which questions wait for an answer, and which commands
//! somebody has approved. It knows no method and no file; `gateway/invoke.rs` puts it together.

pub mod binding;
pub mod decisions;
pub mod invokes;
pub mod policy;
pub mod registry;
#[cfg(test)]
mod testing;

use decisions::Decisions;
use invokes::Invokes;
use registry::Registry;

/// Everything that the gateway knows of its nodes while it runs.
#[derive(Debug, Default)]
pub struct Nodes {
    /// Who is connected.
    pub registry: Registry,
    /// What waits for an answer.
    pub invokes: Invokes,
    /// What waits for a person, and what persons have allowed.
    pub decisions: Decisions,
}
