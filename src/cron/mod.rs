//! Scheduled jobs as data: what a job is, when it is due, and how jobs are kept on disk.
//!
//! Nothing here runs a job or knows a clock: times go in, times come out. `gateway/jobs.rs` runs them.

pub mod book;
pub mod job;
pub mod lenient;
pub mod log;
pub mod schedule;
pub mod settle;

pub use book::Book;
pub use job::Job;
pub use log::RunLog;
