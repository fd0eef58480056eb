//! That usage is counted once, by the host's days.

use super::*;
use crate::stores::bench::{Bench, NOW_MS};
use crate::sys::Files as _;
use crate::sys::sim::SimFiles;
use crate::wire::message::Cost;

const HOUR_MS: u64 = 60 * 60 * 1000;

fn load(bench: &Bench) -> UsageStore {
    UsageStore::load(&bench.sys, &bench.saver, Path::new("/s"), TimeZone::UTC).unwrap()
}

fn usage(tokens: u64, cost: Option<f64>) -> Usage {
    let cost = cost.map(|total| Cost { total, ..Cost::default() });
    Usage { input: tokens, total_tokens: tokens, cost, ..Usage::default() }
}

fn flush(bench: &Bench, store: &UsageStore) {
    let store = store.clone();
    bench.run(async move { store.flush().await }).unwrap();
}

fn journal_bytes(files: &SimFiles) -> u64 {
    files.size(Path::new("/s/usage/journal.jsonl")).unwrap()
}

#[test]
fn runs_are_summed_by_day_and_unknown_prices_are_counted() {
    let bench = Bench::new(1);
    let store = load(&bench);
    store.record(NOW_MS - 30 * HOUR_MS, "p", "m", &usage(5, Some(0.5))).unwrap();
    store.record(NOW_MS, "p", "m", &usage(10, Some(0.25))).unwrap();
    store.record(NOW_MS, "p", "m", &usage(1, None)).unwrap();
    let (daily, sum) = store.cost(30, NOW_MS);
    assert_eq!(daily.iter().map(|(date, _)| date.as_str()).collect::<Vec<_>>(), ["2026-11-21", "2026-11-22"]);
    assert_eq!((daily[1].1.total_tokens, daily[1].1.missing_cost_entries), (11, 1));
    assert_eq!((sum.input, sum.total_cost), (16, 0.75));
    assert_eq!(store.cost(1, NOW_MS).0.len(), 1);
    assert_eq!(store.cost(u64::MAX, NOW_MS).1, sum);
}

#[test]
fn days_are_those_of_the_hosts_zone() {
    let bench = Bench::new(1);
    let zone = TimeZone::fixed(jiff::tz::offset(9));
    let store = UsageStore::load(&bench.sys, &bench.saver, Path::new("/s"), zone).unwrap();
    store.record(NOW_MS, "p", "m", &usage(1, None)).unwrap();
    assert_eq!(store.cost(1, NOW_MS).0[0].0, "2026-11-23");
}

#[test]
fn nothing_is_counted_twice_or_lost_by_restarts_and_writes() {
    let bench = Bench::new(1);
    let store = load(&bench);
    for tokens in [1, 2, 4] {
        store.record(NOW_MS, "p", "m", &usage(tokens, None)).unwrap();
    }
    let (_, sum) = store.cost(1, NOW_MS);
    assert_eq!(load(&bench).cost(1, NOW_MS).1, sum);
    let journal = bench.files.read(Path::new("/s/usage/journal.jsonl"), 10_000).unwrap();
    flush(&bench, &store);
    assert_eq!(journal_bytes(&bench.files), 0);
    assert_eq!(load(&bench).cost(1, NOW_MS).1, sum);
    // The journal as a power cut may bring it back.
    bench.files.append(Path::new("/s/usage/journal.jsonl"), &journal).unwrap();
    assert_eq!(load(&bench).cost(1, NOW_MS).1, sum);
}

#[test]
fn the_totals_are_written_every_few_minutes_and_only_when_something_came() {
    let bench = Bench::new(1);
    let store = load(&bench);
    store.record(NOW_MS, "p", "m", &usage(1, None)).unwrap();
    store.record(NOW_MS, "p", "m", &usage(1, None)).unwrap();
    bench.world.run_for(Duration::from_secs(299));
    assert_eq!(bench.files.stats().replaces, 0);
    bench.world.run_for(Duration::from_secs(2));
    assert_eq!((bench.files.stats().replaces, journal_bytes(&bench.files)), (1, 0));
    bench.world.run_for(Duration::from_secs(3600));
    assert_eq!(bench.files.stats().replaces, 1);
    store.record(NOW_MS, "p", "m", &usage(1, None)).unwrap();
    bench.world.run_for(Duration::from_secs(3600));
    assert_eq!(bench.files.stats().replaces, 2);
}

#[test]
fn a_full_disk_keeps_the_journal_and_tries_again() {
    let bench = Bench::new(1);
    let store = load(&bench);
    store.record(NOW_MS, "p", "m", &usage(7, None)).unwrap();
    bench.files.fill_up();
    assert_eq!(store.record(NOW_MS, "p", "m", &usage(1, None)), Err(StoreError::Full));
    bench.world.run_for(Duration::from_secs(400));
    assert!(journal_bytes(&bench.files) > 0);
    bench.files.free_up();
    bench.world.run_for(Duration::from_secs(400));
    assert_eq!(journal_bytes(&bench.files), 0);
    assert_eq!(load(&bench).cost(1, NOW_MS).1.input, 7);
}

#[test]
fn unreadable_totals_are_put_aside_and_old_days_leave() {
    let bench = Bench::new(1);
    bench.files.create_dir(Path::new("/s/usage")).unwrap();
    bench.files.append(Path::new("/s/usage/daily.json"), b"{\"thr").unwrap();
    let store = load(&bench);
    assert!(bench.files.size(Path::new("/s/usage/daily.json.damaged-2026-11-22T18-29-46.000Z")).is_ok());
    for day in 0..USAGE_DAYS as u64 + 10 {
        store.record(NOW_MS + day * DAY_MS, "p", "m", &usage(1, None)).unwrap();
    }
    assert_eq!(store.0.state.borrow().days.len(), USAGE_DAYS);
}
