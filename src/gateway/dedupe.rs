//! Remembered answers of requests with an idempotency key (methods.md 1.3).
//!
//! Bounded by number, bytes and age. In memory only: a restart forgets them.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use crate::error::Error;
use crate::limits::{IDEMPOTENCY_BYTES, IDEMPOTENCY_TTL_MS};
use crate::sys::Latch;

/// An answer that can be given again.
pub type Answer = Result<Rc<[u8]>, Error>;

/// The remembered answers.
#[derive(Debug)]
pub struct Dedupe {
    max: usize,
    state: RefCell<State>,
    claims: Rc<Claims>,
}

/// Keys that are being worked on, with a latch that is set once it is decided whether they are taken.
type Claims = RefCell<BTreeMap<String, Rc<Latch<()>>>>;

/// A key is being worked on, from its first use until its last answer is remembered. It is a run's id
/// too, so it is the same for all kinds. Dropping it lets the key go.
#[derive(Debug)]
pub struct Claim {
    claims: Rc<Claims>,
    key: String,
}

impl Claim {
    /// It is decided what the first use comes to: its early answer is remembered, or there is none.
    pub fn decided(&self) {
        if let Some(latch) = self.claims.borrow().get(&self.key) {
            latch.set(());
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.decided();
        self.claims.borrow_mut().remove(&self.key);
    }
}

#[derive(Debug, Default)]
struct State {
    answers: BTreeMap<String, (u64, Answer)>,
    /// Keys in the order in which their answers were remembered, with that time.
    order: VecDeque<(u64, String)>,
    bytes: usize,
}

impl Dedupe {
    /// At most `max` answers.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { max, state: RefCell::default(), claims: Rc::default() }
    }

    /// Begins to work on a key, so that a second request with it neither runs beside the first nor
    /// after it: whoever holds the claim remembers the answer before letting it go.
    ///
    /// # Errors
    /// Somebody works on it already; the latch tells when that is decided. (The number of claims is
    /// bounded by that of waiting calls and queued runs.)
    pub fn claim(&self, key: &str) -> Result<Claim, Rc<Latch<()>>> {
        let mut claims = self.claims.borrow_mut();
        if let Some(latch) = claims.get(key) {
            return Err(Rc::clone(latch));
        }
        claims.insert(key.to_owned(), Rc::default());
        Ok(Claim { claims: Rc::clone(&self.claims), key: key.to_owned() })
    }

    /// The answer to `key` of that `kind`, if it was given within the last five minutes.
    #[must_use]
    pub fn get(&self, kind: &str, key: &str, now_ms: u64) -> Option<Answer> {
        let state = self.state.borrow();
        let (at, answer) = state.answers.get(&format!("{kind}:{key}"))?;
        (now_ms.saturating_sub(*at) < IDEMPOTENCY_TTL_MS).then(|| answer.clone())
    }

    /// Remembers an answer, replacing an earlier one to the same key. `now_ms` is monotonic.
    pub fn put(&self, kind: &str, key: &str, answer: Answer, now_ms: u64) {
        let key = format!("{kind}:{key}");
        let mut state = self.state.borrow_mut();
        state.bytes += cost(&key, &answer);
        if let Some((_, old)) = state.answers.insert(key.clone(), (now_ms, answer)) {
            state.bytes -= cost(&key, &old);
            state.order.retain(|(_, other)| *other != key);
        }
        state.order.push_back((now_ms, key));
        while let Some((at, _)) = state.order.front() {
            let expired = now_ms.saturating_sub(*at) >= IDEMPOTENCY_TTL_MS;
            if !expired && state.order.len() <= self.max && state.bytes <= IDEMPOTENCY_BYTES {
                break;
            }
            let Some((_, oldest)) = state.order.pop_front() else { break };
            if let Some((_, answer)) = state.answers.remove(&oldest) {
                state.bytes -= cost(&oldest, &answer);
            }
        }
    }

    /// Remembered answers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.state.borrow().answers.len()
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Bytes that an answer takes, roughly.
fn cost(key: &str, answer: &Answer) -> usize {
    let answer = match answer {
        Ok(payload) => payload.len(),
        Err(error) => error.message.len() + error.payload.as_ref().map_or(0, |payload| payload.to_string().len()),
    };
    2 * key.len() + answer + 128
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(bytes: usize) -> Answer {
        Ok(vec![b'1'; bytes].into())
    }

    #[test]
    fn answers_are_bounded_by_number_bytes_and_age() {
        let dedupe = Dedupe::new(3);
        for index in 0..5 {
            dedupe.put("agent", &index.to_string(), answer(1), index);
        }
        assert!(dedupe.get("agent", "1", 5).is_none());
        assert!(dedupe.get("agent", "2", 5).is_some());
        assert!(dedupe.get("chat", "2", 5).is_none());
        assert!(dedupe.get("agent", "2", 2 + IDEMPOTENCY_TTL_MS).is_none());

        let dedupe = Dedupe::new(1000);
        for index in 0..10 {
            dedupe.put("agent", &index.to_string(), answer(IDEMPOTENCY_BYTES / 4), 0);
        }
        assert_eq!(dedupe.len(), 3);
    }

    #[test]
    fn a_key_is_worked_on_once_at_a_time() {
        let dedupe = Dedupe::new(10);
        let claim = dedupe.claim("k").unwrap();
        let latch = dedupe.claim("k").unwrap_err();
        assert!(dedupe.claim("other").is_ok() && latch.get().is_none());
        claim.decided();
        assert!(latch.get().is_some() && dedupe.claim("k").is_err());
        drop(claim);
        assert!(dedupe.claim("k").is_ok() && dedupe.claims.borrow().is_empty());
    }

    #[test]
    fn a_newer_answer_replaces_the_older_one() {
        let dedupe = Dedupe::new(10);
        dedupe.put("agent", "k", answer(1000), 0);
        dedupe.put("agent", "k", answer(2), 1);
        assert_eq!(dedupe.get("agent", "k", 1).unwrap().unwrap().len(), 2);
        assert_eq!(dedupe.len(), 1);
        assert!(dedupe.state.borrow().bytes < 200);
        // The last answer of a long run counts from when it was given.
        dedupe.put("agent", "k", answer(3), IDEMPOTENCY_TTL_MS + 5);
        assert_eq!(dedupe.get("agent", "k", IDEMPOTENCY_TTL_MS + 6).unwrap().unwrap().len(), 3);
    }
}
