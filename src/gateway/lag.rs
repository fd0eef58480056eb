//! How late the event loop's timers fire.
//!
//! It is measured only while somebody asks: an idle board isn't woken for it.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::rc::Rc;
use std::time::Duration;

use super::Gateway;

/// Upper bounds of the lag's classes, microseconds.
const CLASSES_US: [u64; 9] = [500, 1000, 2000, 5000, 10_000, 25_000, 50_000, 100_000, 1_000_000];
/// Pause between two samples.
const PAUSE: Duration = Duration::from_millis(250);
/// Sampling ends when nobody has asked for so long.
const INTEREST: Duration = Duration::from_secs(5 * 60);
/// How late timers fire: a histogram.
#[derive(Debug, Default)]
pub struct Lag {
    counts: RefCell<[u64; CLASSES_US.len() + 1]>,
    sum: Cell<Duration>,
    wanted_until: Cell<Duration>,
    is_running: Cell<bool>,
}

impl Lag {
    fn add(&self, late: Duration) {
        let us = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
        let class = CLASSES_US.iter().position(|bound| us <= *bound).unwrap_or(CLASSES_US.len());
        if let Some(count) = self.counts.borrow_mut().get_mut(class) {
            *count += 1;
        }
        self.sum.set(self.sum.get() + late);
    }

    /// Somebody is interested: samples are taken for the next five minutes.
    pub fn watch(&self, gateway: &Rc<Gateway>) {
        self.wanted_until.set(gateway.sys.clock.elapsed() + INTEREST);
        if self.is_running.replace(true) {
            return;
        }
        let watched = Rc::clone(gateway);
        gateway.sys.tasks.detach(async move {
            let clock = &watched.sys.clock;
            while clock.elapsed() < watched.lag.wanted_until.get() {
                let due = clock.elapsed() + PAUSE;
                clock.sleep_until(due).await;
                watched.lag.add(clock.elapsed().saturating_sub(due));
            }
            watched.lag.is_running.set(false);
        });
    }

    /// The histogram in Prometheus's text form.
    pub fn write(&self, out: &mut String) {
        out.push_str("# HELP barnacle_loop_lag_seconds How late timers of the event loop fire.\n");
        out.push_str("# TYPE barnacle_loop_lag_seconds histogram\n");
        let counts = self.counts.borrow();
        let mut total = 0;
        let bounds = CLASSES_US.iter().map(|us| Duration::from_micros(*us).as_secs_f64().to_string());
        for (count, bound) in counts.iter().zip(bounds.chain(["+Inf".to_owned()])) {
            total += count;
            let _ = writeln!(out, "barnacle_loop_lag_seconds_bucket{{le=\"{bound}\"}} {total}");
        }
        let _ = writeln!(out, "barnacle_loop_lag_seconds_sum {}", self.sum.get().as_secs_f64());
        let _ = writeln!(out, "barnacle_loop_lag_seconds_count {total}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_lag_add_up() {
        let lag = Lag::default();
        for us in [100, 900, 900, 3_000_000] {
            lag.add(Duration::from_micros(us));
        }
        let mut out = String::new();
        lag.write(&mut out);
        assert!(out.contains("bucket{le=\"0.0005\"} 1\n") && out.contains("bucket{le=\"0.001\"} 3\n"), "{out}");
        assert!(out.contains("bucket{le=\"+Inf\"} 4\n") && out.contains("_count 4\n"), "{out}");
    }
}
