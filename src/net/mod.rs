//! Sockets: from an accepted connection to text frames and back.
//!
//! `listen` accepts within the bounds of `doors`; `http` reads the head and answers or upgrades;
//! `ws` reads frames through `intake` and hands them on; `writer` drains the outbox. `pipe` is a
//! socket in memory, under which all of this runs in the simulation.

pub mod doors;
pub mod http;
pub mod intake;
pub mod listen;
pub mod origin;
pub mod pipe;
pub mod sieve;
pub mod socket;
pub mod writer;
pub mod ws;
