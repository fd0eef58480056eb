//! Agent runs: queued by session, streamed from a provider, recorded in the transcript.

pub mod lanes;
pub mod prompt;
pub mod stream;
