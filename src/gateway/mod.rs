//! The gateway itself.
pub mod auth;
pub mod handshake;
pub mod presence;
