//! What outside bytes meet, each as a function of bytes that must neither panic nor hang.
//!
//! `fuzz/` runs them under libFuzzer; `tests/fuzz.rs` plays the kept seeds and mutations of them.

mod doors;
mod machine;
mod state;
mod texts;

use doors::{calls, device, first_frame, frames, hook, params, socket};
use state::{devices, jobs, log_tail, sessions, stores, transcript, usage};
use texts::{config, cron, edit, include, provider, skill, sse, url};

/// What meets the bytes.
pub(crate) type Target = fn(&[u8]);

/// Every target: its name, and what it does with bytes.
pub(crate) const TARGETS: &[(&str, Target)] = &[
    ("socket", socket),
    ("frames", frames),
    ("handshake", first_frame),
    ("device", device),
    ("params", params),
    ("calls", calls),
    ("hook", hook),
    ("config", config),
    ("include", include),
    ("edit", edit),
    ("sessions", sessions),
    ("transcript", transcript),
    ("devices", devices),
    ("usage", usage),
    ("stores", stores),
    ("log_tail", log_tail),
    ("provider", provider),
    ("sse", sse),
    ("skill", skill),
    ("url", url),
    ("cron", cron),
    ("jobs", jobs),
];

/// Plays one input against the target of that name.
///
/// # Panics
/// When the input breaks something, or there is no such target.
#[allow(dead_code, reason = "for the fuzzer alone")]
pub(crate) fn run(name: &str, bytes: &[u8]) {
    match TARGETS.iter().find(|(known, _)| *known == name) {
        Some((_, target)) => target(bytes),
        None => panic!("no target {name}"),
    }
}
