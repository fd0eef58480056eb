//! The real gateway in a simulated world: virtual time, sockets in memory, files that forget, a
//! scripted model provider, and a seed that decides the rest.
//!
//! * `seeds` plays scenarios made from a seed and checks `claims` while and after they run.
//!   `cargo test --test sim` plays a few hundred; `BARNACLE_SIM_SEEDS=5000 cargo test --test sim every_claim`
//!   plays that many; `BARNACLE_SIM_SEED=17 cargo test --test sim every_claim` plays one, and both
//!   together as many from there. A failing seed is printed as the command that repeats it, which
//!   also shows the last frames.
//! * `bounds_*` reach every bound of `limits.rs` that a connection can reach.
//!
//! Nothing here waits on a real clock or opens a real socket.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::large_futures,
    clippy::disallowed_methods,
    unreachable_pub,
    missing_debug_implementations,
    reason = "tests may panic and print, and a test binary has no public interface"
)]

mod bounds_door;
mod bounds_frames;
mod bounds_runs;
mod bounds_slow;
mod card;
mod channels;
mod claims;
mod client;
mod clock;
mod device;
mod heartbeats;
mod home;
mod jobs;
mod ledger;
mod nodes;
mod nonsense;
mod provider;
mod scenario;
mod seeds;
mod serve_entrance;
mod tools;
