//! Plays scenarios by their seeds.

use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::scenario::Scenario;

/// Scenarios in a normal test run.
const SEEDS: u64 = 200;

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is {text:?}, which is no number")))
}

#[test]
fn every_claim_holds_in_every_scenario() {
    let first = number("BARNACLE_SIM_SEED");
    let usual = if first.is_some() { 1 } else { SEEDS };
    let count = number("BARNACLE_SIM_SEEDS").unwrap_or(usual);
    let seeds = first.unwrap_or(0)..first.unwrap_or(0) + count;
    let mut frames = 0;
    let mut failed = Vec::new();
    for seed in seeds {
        match catch_unwind(AssertUnwindSafe(|| Scenario::play(seed))) {
            Ok(transcript) => frames += transcript.len(),
            Err(_) => failed.push(seed),
        }
        if failed.len() == 5 {
            break;
        }
    }
    println!("{frames} frames");
    let commands: Vec<_> = failed
        .iter()
        .map(|seed| format!("BARNACLE_SIM_SEED={seed} cargo test --test sim every_claim -- --nocapture"))
        .collect();
    assert!(commands.is_empty(), "repeat with\n{}", commands.join("\n"));
}

#[test]
fn the_same_seed_gives_the_same_frames_at_the_same_times() {
    for seed in number("BARNACLE_SIM_SEED").map_or(1_000..1_006, |seed| seed..seed + 1) {
        let (first, second) = (Scenario::play(seed), Scenario::play(seed));
        for (index, (one, other)) in first.iter().zip(&second).enumerate() {
            assert_eq!(one, other, "seed {seed}, frame {index}");
        }
        assert_eq!(first.len(), second.len(), "seed {seed}");
    }
}
