//! That the forgetful files behave like a disk until the power goes, and only then forget.

use std::collections::BTreeSet;

use super::*;
use crate::sys::disk::Disk;

fn block<T>(future: impl Future<Output = T>) -> T {
    smol::block_on(future)
}

/// A directory of this test process, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("barnacle-{name}-{}", std::process::id()));
        Disk::default().create_dir(&dir).unwrap();
        Self(dir)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn disk_and_simulation_answer_the_same_operations_alike() {
    let scratch = Scratch::new("alike");
    let sim = SimFiles::new();
    sim.create_dir(&scratch.0).unwrap();
    let chance = Chance::seeded(11);
    for step in 0..600 {
        let pick = |bound| chance.below(bound);
        let mut path = scratch.0.join(["a", "b", "c", "sub/d", "none/e"][usize::try_from(pick(5)).unwrap()]);
        let other = scratch.0.join(["a", "b", "sub/d", "none/e"][usize::try_from(pick(4)).unwrap()]);
        let bytes = vec![b'a' + u8::try_from(step % 26).unwrap(); usize::try_from(pick(40)).unwrap()];
        let size = pick(50);
        let what = pick(10);
        if what == 0 {
            path = scratch.0.join("sub");
        }
        let act = |files: &dyn Files| -> Result<String, ErrorKind> {
            let shown = match what {
                0 => files.create_dir(&path).map(|()| String::new()),
                1 | 2 => files.append(&path, &bytes).map(|()| String::new()),
                3 => files.truncate(&path, size).map(|()| String::new()),
                4 => files.rename(&path, &other).map(|()| String::new()),
                5 => files.remove(&path).map(|()| String::new()),
                6 => block(files.sync(path.clone())).map(|()| String::new()),
                7 => block(files.replace(path.clone(), bytes.clone())).map(|()| String::new()),
                8 => files.read(&path, size).map(|found| format!("{found:?}")),
                _ => {
                    let mut buffer = vec![0; bytes.len()];
                    files.read_at(&path, size / 2, &mut buffer).map(|count| format!("{count} {buffer:?}"))
                }
            };
            shown.map_err(|error| error.kind())
        };
        assert_eq!(act(&Disk::default()), act(&sim), "step {step}: {what} {path:?} {other:?}");
        for dir in [scratch.0.clone(), scratch.0.join("sub"), scratch.0.join("none")] {
            let names = |files: &dyn Files| {
                files
                    .list(&dir)
                    .map(|all| all.into_iter().map(|one| (one.name, one.is_dir, one.size_bytes)).collect::<Vec<_>>())
                    .map_err(|error| error.kind())
            };
            assert_eq!(names(&Disk::default()), names(&sim), "step {step}");
        }
    }
}

#[test]
fn synced_bytes_survive_and_the_rest_is_torn_anywhere_or_nuls() {
    let (dir, path) = (Path::new("/s"), Path::new("/s/f"));
    let mut seen = BTreeSet::new();
    for seed in 0..400 {
        let files = SimFiles::new();
        files.create_dir(dir).unwrap();
        files.append(path, b"kept").unwrap();
        block(files.sync(path.to_path_buf())).unwrap();
        files.append(path, b"wxyz").unwrap();
        let found = files.power_cut(&Chance::seeded(seed)).read(path, 100).unwrap();
        assert!(found.starts_with(b"kept") && found.len() <= 8, "seed {seed}: {found:?}");
        seen.insert(found);
    }
    assert!(seen.contains(&b"kept"[..]) && seen.contains(&b"keptwx"[..]) && seen.contains(&b"keptwxyz"[..]));
    assert!(seen.iter().any(|found| found.contains(&0)));
}

#[test]
fn unsynced_names_and_unfinished_replacements_go_either_way() {
    let mut seen = BTreeSet::new();
    for seed in 0..200 {
        let clock = SimClock::at(0);
        let files = SimFiles::slow(clock, Duration::from_secs(1));
        files.create_dir(Path::new("/s")).unwrap();
        files.append(Path::new("/s/a"), b"1").unwrap();
        let replacement = files.replace("/s/r".into(), b"new".to_vec());
        let after = files.power_cut(&Chance::seeded(seed));
        drop(replacement);
        let names: Vec<_> = after.list(Path::new("/s")).unwrap().into_iter().map(|entry| entry.name).collect();
        seen.insert(names);
    }
    let expected = [vec![], vec!["a"], vec!["r"], vec!["a", "r"], vec!["r.tmp"], vec!["a", "r.tmp"]];
    assert_eq!(seen, expected.into_iter().map(|names| names.into_iter().map(String::from).collect()).collect());
}

#[test]
fn the_moment_of_the_cut_can_lie_between_two_calls() {
    let files = SimFiles::new();
    files.create_dir(Path::new("/s")).unwrap();
    files.cut_after(2);
    files.append(Path::new("/s/a"), b"1").unwrap();
    block(files.sync("/s/a".into())).unwrap();
    assert!(!files.has_cut());
    files.append(Path::new("/s/a"), b"2").unwrap();
    assert!(files.has_cut());
    block(files.sync("/s/a".into())).unwrap();
    assert_eq!(files.power_cut(&Chance::seeded(1)).read(Path::new("/s/a"), 9).unwrap(), b"1");
}

#[test]
fn a_full_disk_writes_half_and_says_so() {
    let files = SimFiles::new();
    files.create_dir(Path::new("/s")).unwrap();
    files.fill_up();
    let error = files.append(Path::new("/s/a"), b"1234").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    assert_eq!(files.size(Path::new("/s/a")).unwrap(), 2);
    assert_eq!(block(files.replace("/s/a".into(), vec![1])).unwrap_err().kind(), ErrorKind::StorageFull);
    files.free_up();
    files.append(Path::new("/s/a"), b"34").unwrap();
    assert_eq!(files.stats().bytes_written, 4);
}
