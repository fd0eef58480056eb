//! What the saver promises, on forgetful files.

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::stores::bench::Bench;
use crate::sys::Files as _;

const FILE: &str = "/s/f";

fn bench() -> Bench {
    let bench = Bench::new(1);
    bench.files.create_dir(Path::new("/s")).unwrap();
    bench
}

fn content(bench: &Bench) -> String {
    String::from_utf8(bench.files.read(Path::new(FILE), 1000).unwrap()).unwrap()
}

#[test]
fn waiters_of_one_file_share_one_sync_and_later_ones_the_next() {
    let bench = bench();
    let (saver, file) = (&bench.saver, Path::new(FILE));
    let mut waiters = Vec::new();
    for line in ["a\n", "b\n", "c\n"] {
        saver.append(file, line.as_bytes(), Durability::Forced).unwrap();
        waiters.push(saver.synced(file));
    }
    bench.world.run_for(Duration::from_millis(5));
    saver.append(file, b"late\n", Durability::Forced).unwrap();
    let late = saver.synced(file);
    bench.run(Durable::all(waiters)).unwrap();
    assert_eq!(bench.files.stats().syncs, 1);
    bench.run(late).unwrap();
    assert_eq!(bench.files.stats().syncs, 2);
    bench.run(saver.synced(file)).unwrap();
    assert_eq!(bench.files.stats().syncs, 2);
}

#[test]
fn lazy_appends_cost_no_sync_until_the_end() {
    let bench = bench();
    bench.saver.append(Path::new(FILE), b"a\n", Durability::Lazy).unwrap();
    bench.run(bench.saver.synced(Path::new(FILE))).unwrap();
    assert_eq!(bench.files.stats().syncs, 0);
    bench.run(bench.saver.flush_all()).unwrap();
    assert_eq!(bench.files.stats().syncs, 1);
    bench.run(bench.saver.flush_all()).unwrap();
    assert_eq!(bench.files.stats().syncs, 1);
}

#[test]
fn a_failed_sync_reaches_every_waiter_and_health_and_ends_with_the_next_success() {
    let bench = bench();
    let (saver, file) = (&bench.saver, Path::new(FILE));
    saver.append(file, b"a\n", Durability::Forced).unwrap();
    bench.files.break_syncs(true);
    let (first, second) = (saver.synced(file), saver.synced(file));
    assert!(bench.run(first).is_err());
    assert!(bench.run(second).is_err());
    assert!(saver.trouble().unwrap().starts_with("syncing failed"));
    bench.files.break_syncs(false);
    bench.run(saver.synced(file)).unwrap();
    assert_eq!(saver.trouble(), None);
}

#[test]
fn newer_content_takes_the_place_of_content_that_still_waits() {
    let bench = bench();
    let (saver, file) = (&bench.saver, Path::new(FILE));
    saver.replace(file, b"1".into());
    bench.world.run_for(Duration::from_millis(5));
    saver.replace(file, b"2".into());
    let older = saver.settled(file);
    saver.replace(file, b"3".into());
    bench.run(older).unwrap();
    assert_eq!(content(&bench), "3");
    assert_eq!(bench.files.stats().replaces, 2);
}

#[test]
fn a_failed_replacement_is_told_also_to_those_who_ask_later() {
    let bench = bench();
    let (saver, file) = (&bench.saver, Path::new(FILE));
    bench.files.fill_up();
    saver.replace(file, b"1".into());
    assert_eq!(bench.run(saver.settled(file)), Err(StoreError::Full));
    assert_eq!(bench.run(saver.settled(file)), Err(StoreError::Full));
    assert_eq!(saver.trouble().unwrap(), "replacing a file failed: the disk is full");
    bench.files.free_up();
    saver.replace(file, b"1".into());
    bench.run(saver.flush_all()).unwrap();
    assert_eq!(saver.trouble(), None);
}

#[test]
fn a_failed_append_leaves_nothing_of_itself() {
    let bench = bench();
    let (saver, file) = (&bench.saver, Path::new(FILE));
    bench.files.fill_up();
    assert_eq!(saver.append(file, b"first\n", Durability::Forced), Err(StoreError::Full));
    assert!(bench.files.size(file).is_err(), "no empty file stays");
    bench.files.free_up();
    saver.append(file, b"kept\n", Durability::Forced).unwrap();
    bench.files.fill_up();
    assert_eq!(saver.append(file, b"second\n", Durability::Forced), Err(StoreError::Full));
    assert_eq!(content(&bench), "kept\n");
    assert_eq!(saver.trouble().unwrap(), "writing failed: the disk is full");
}

#[test]
fn what_cannot_be_cut_off_becomes_a_line_of_its_own() {
    let bench = bench();
    let (saver, file) = (&bench.saver, Path::new(FILE));
    saver.append(file, b"kept\n", Durability::Forced).unwrap();
    bench.files.fill_up();
    bench.files.break_truncates(true);
    assert!(saver.append(file, b"second\n", Durability::Forced).is_err());
    bench.files.free_up();
    saver.append(file, b"third\n", Durability::Forced).unwrap();
    assert_eq!(content(&bench), "kept\nsec\nthird\n");
}

#[test]
fn what_could_be_cut_off_only_later_is_cut_off_later() {
    let bench = bench();
    let (saver, file) = (&bench.saver, Path::new(FILE));
    saver.append(file, b"kept\n", Durability::Forced).unwrap();
    bench.files.fill_up();
    bench.files.break_truncates(true);
    assert!(saver.append(file, b"second\n", Durability::Forced).is_err());
    bench.files.free_up();
    bench.files.break_truncates(false);
    saver.append(file, b"third\n", Durability::Forced).unwrap();
    assert_eq!(content(&bench), "kept\nthird\n");
}

#[test]
fn waiters_follow_a_renamed_file() {
    let bench = bench();
    let (saver, file) = (&bench.saver, Path::new(FILE));
    saver.append(file, b"a\n", Durability::Forced).unwrap();
    let waiting = saver.synced(file);
    bench.world.run_for(Duration::from_millis(5));
    saver.rename(file, Path::new("/s/g")).unwrap();
    bench.run(waiting).unwrap();
    let after = bench.files.power_cut(&crate::sys::Chance::seeded(1));
    assert_eq!(after.read(Path::new("/s/g"), 10).unwrap(), b"a\n");
    assert!(after.size(file).is_err());
}

#[test]
fn waiters_of_a_removed_file_are_released() {
    let bench = bench();
    let (saver, file) = (&bench.saver, Path::new(FILE));
    saver.append(file, b"a\n", Durability::Forced).unwrap();
    let waiting = saver.synced(file);
    saver.remove(file).unwrap();
    bench.run(waiting).unwrap();
    bench.run(saver.flush_all()).unwrap();
    assert_eq!(saver.trouble(), None);
}
