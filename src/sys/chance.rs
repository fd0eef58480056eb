//! Randomness: secrets from the operating system, jitter from a small generator, and both from a
//! seed in the simulation.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::time::Duration;

/// A source of randomness.
#[derive(Debug)]
pub struct Chance {
    jitter: RefCell<fastrand::Rng>,
    /// Whether ids and secrets come from `jitter` too (simulation only).
    seeded: bool,
}

impl Chance {
    /// Secrets from the operating system.
    #[must_use]
    pub fn real() -> Self {
        Self { jitter: RefCell::new(fastrand::Rng::new()), seeded: false }
    }

    /// Everything from `seed`, for the simulation. Never use it for a gateway on a network.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self { jitter: RefCell::new(fastrand::Rng::with_seed(seed)), seeded: true }
    }

    /// Fills `bytes` with unpredictable values.
    pub fn fill(&self, bytes: &mut [u8]) {
        if self.seeded {
            self.jitter.borrow_mut().fill(bytes);
            return;
        }
        if let Err(error) = getrandom::fill(bytes) {
            // Without randomness every token would be guessable: there is nothing safe to go on with.
            panic!("the operating system gives no random bytes: {error}");
        }
    }

    /// `N` unpredictable bytes as lower-case hex, 2·`N` characters.
    #[must_use]
    pub fn hex<const N: usize>(&self) -> String {
        let mut bytes = [0_u8; N];
        self.fill(&mut bytes);
        data_encoding::HEXLOWER.encode(&bytes)
    }

    /// A version 4 UUID in its usual text form.
    #[must_use]
    pub fn uuid(&self) -> String {
        let mut bytes = [0_u8; 16];
        self.fill(&mut bytes);
        let number = u128::from_be_bytes(bytes) & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
        let hex = format!("{number:032x}");
        let mut text = String::with_capacity(36);
        for (index, digit) in hex.chars().enumerate() {
            if matches!(index, 8 | 12 | 16 | 20) {
                text.push('-');
            }
            let _ = text.write_char(digit);
        }
        text
    }

    /// `base` plus or minus up to `percent` per cent.
    #[must_use]
    pub fn jitter(&self, base: Duration, percent: u32) -> Duration {
        let spread = f64::from(percent) / 100.0;
        let factor = 1.0 - spread + 2.0 * spread * self.jitter.borrow_mut().f64();
        base.mul_f64(factor.max(0.0))
    }

    /// A number in `0..bound`; 0 when `bound` is 0. For schedules and tests, not for secrets.
    #[must_use]
    pub fn below(&self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.jitter.borrow_mut().u64(0..bound) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_are_version_4_and_differ() {
        let chance = Chance::seeded(1);
        let (a, b) = (chance.uuid(), chance.uuid());
        assert_ne!(a, b);
        assert_eq!(a.len(), 36);
        assert_eq!(a.as_bytes()[14], b'4');
        assert!(matches!(a.as_bytes()[19], b'8' | b'9' | b'a' | b'b'), "{a}");
    }

    #[test]
    fn jitter_stays_within_its_percentage() {
        let chance = Chance::seeded(7);
        for _ in 0..1000 {
            let pause = chance.jitter(Duration::from_secs(100), 25);
            assert!((75..=125).contains(&pause.as_secs()), "{pause:?}");
        }
    }
}
