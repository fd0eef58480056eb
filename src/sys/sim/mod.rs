//! The simulated outside world: virtual time, forgetful files, scripted HTTP.
//!
//! A test owns the executor and the clock: it polls tasks until none is ready, then moves the clock
//! to the next deadline. The same seed gives the same run.

pub mod clock;
pub mod files;
mod forget;
pub mod http;
mod medium;
pub mod processes;
pub mod world;

pub use clock::SimClock;
pub use files::SimFiles;
pub use http::ScriptedHttp;
pub use processes::ScriptedProcesses;
pub use world::World;
