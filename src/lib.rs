//! Barnacle: an always-on AI-agent gateway on one thread.
//!
//! The map, in the order in which modules may use each other (left never uses right):
//! `limits error secret → sys → wire → config stores journal → events → skills → runs → channels cron nodes → gateway → tools → rpc → methods → web → net → app → serve → care → cli`.
//! `docs/design.md` tells the way of a request through them.

pub mod app;
pub mod care;
pub mod channels;
pub mod cli;
pub mod config;
pub mod cron;
pub mod error;
pub mod events;
pub mod gateway;
pub mod journal;
pub mod limits;
pub mod methods;
pub mod net;
pub mod nodes;
pub mod rpc;
pub mod runs;
pub mod secret;
pub mod serve;
pub mod skills;
pub mod stores;
pub mod sys;
pub mod tools;
pub mod web;
pub mod wire;

/// This program's version, as clients see it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
