//! Plays kept seeds, and mutations of them, against everything that reads outside bytes.
//!
//! `BARNACLE_FUZZ_ROUNDS` says how many mutations of each target's seeds are tried (300 by default). A failure
//! prints the input; put it into `fuzz/corpus/<target>/` and it stays a test. `fuzz/` looks for inputs by itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test may panic")]
#![allow(clippy::disallowed_methods, reason = "tests read files and the environment")]

mod fuzzing;

use std::path::Path;

use fastrand::Rng;

const SEED: u64 = 20_261_123;
/// Pieces that decoders care about.
const PIECES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "\"",
    "\\u0000",
    "\\ud800",
    ":",
    ",",
    "null",
    "-1",
    "1e999",
    "18446744073709551616",
    "\0",
    "\n",
    "\r\n",
    "data: ",
    "${",
    "$include",
    "//",
    "/*",
    "../",
    "agent:",
    "\u{feff}",
    "é",
    "{\"type\":\"req\",\"id\":\"1\",\"method\":\"",
];

#[test]
fn no_input_panics_or_hangs() {
    let rounds = std::env::var("BARNACLE_FUZZ_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(300);
    for (name, target) in fuzzing::TARGETS {
        let seeds = seeds(name);
        assert!(!seeds.is_empty(), "fuzz/corpus/{name} has no seeds");
        let play = |input: &[u8]| {
            let outcome = std::panic::catch_unwind(|| target(input));
            assert!(outcome.is_ok(), "{name} fails on {:?}", String::from_utf8_lossy(input));
        };
        for seed in &seeds {
            play(seed);
        }
        let mut rng = Rng::with_seed(SEED);
        for _ in 0..rounds {
            let mut input = seeds[rng.usize(..seeds.len())].clone();
            for _ in 0..rng.usize(1..8) {
                mutate(&mut input, &seeds, &mut rng);
            }
            play(&input);
        }
    }
}

fn seeds(name: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

fn mutate(input: &mut Vec<u8>, seeds: &[Vec<u8>], rng: &mut Rng) {
    let at = rng.usize(..=input.len());
    match rng.u32(..6) {
        0 if !input.is_empty() => {
            let len = input.len();
            input[at % len] ^= 1 << rng.u32(..8)
        }
        1 => input.truncate(at),
        2 => {
            let end = rng.usize(at..=input.len());
            input.drain(at..end);
        }
        3 => {
            let end = rng.usize(at..=input.len());
            let copy = input[at..end].to_vec();
            input.splice(at..at, copy);
        }
        4 => {
            let other = &seeds[rng.usize(..seeds.len())];
            let from = rng.usize(..=other.len());
            input.splice(at..at, other[from..].iter().copied().take(200));
        }
        _ => {
            let piece = PIECES[rng.usize(..PIECES.len())];
            input.splice(at..at, piece.bytes());
        }
    }
    input.truncate(64 * 1024);
}
