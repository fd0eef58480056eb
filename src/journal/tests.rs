//! The journal as a whole, on real files and with a disk that refuses.

use std::cell::Cell;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::sys::disk::Disk;
use crate::sys::files::{Entry, Stamp};
use crate::sys::http::{HttpError, Request, Response};
use crate::sys::sim::World;
use crate::sys::{Chance, LocalFuture, Outbound};

/// A console whose text a test can read.
#[derive(Clone, Default)]
struct Console(Arc<Lock<Vec<u8>>>);

impl Write for Console {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Bench {
    journal: Arc<Journal>,
    console: Console,
    now: Arc<AtomicU64>,
    file: PathBuf,
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.file.parent().unwrap());
    }
}

impl Bench {
    fn new(test: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("barnacle-journal-{}-{test}", std::process::id()));
        Disk::default().create_dir(&dir).unwrap();
        let file = dir.join("gateway.log");
        Disk::default().remove(&file).unwrap();
        let (console, now) = (Console::default(), Arc::new(AtomicU64::new(1_737_972_000_000)));
        let settings = Settings {
            console_level: LevelFilter::Warn,
            file_level: LevelFilter::Info,
            filters: None,
            file: file.clone(),
            max_bytes: 262_144,
            files: 4,
            days: 14_000,
            style: Style::Systemd,
        };
        let clock = Arc::clone(&now);
        let journal = Journal::new(&settings, Box::new(console.clone()), move || clock.load(Ordering::Relaxed));
        Self { journal: Arc::new(journal), console, now, file }
    }

    fn log(&self, level: Level, text: &str) {
        self.log_as("barnacle::net", level, text);
    }

    fn log_as(&self, target: &str, level: Level, text: &str) {
        self.journal.log(&Record::builder().level(level).target(target).args(format_args!("{text}")).build());
    }

    fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    fn pass(&self, ms: u64) -> u64 {
        self.now.fetch_add(ms, Ordering::Relaxed) + ms
    }

    fn shown(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.console.0.lock().unwrap())).unwrap()
    }

    fn on_disk(&self) -> Vec<String> {
        let text = Disk::default().read(&self.file, 1_000_000).unwrap_or_default();
        String::from_utf8(text).unwrap().lines().map(guide_line).collect()
    }
}

#[test]
fn lines_go_where_their_level_says_and_foreign_crates_are_kept_short() {
    let bench = Bench::new("levels");
    bench.log(Level::Debug, "a");
    bench.log(Level::Info, "b");
    bench.log(Level::Warn, "c");
    bench.log_as("hyper::proto", Level::Info, "d");
    bench.log_as("hyper::proto", Level::Warn, "e");
    bench.journal.write_out(&Disk::default(), bench.now());
    assert_eq!(bench.shown(), "<4>net: c\n<4>hyper/proto: e\n");
    let expected = ["INFO: b", "WARN: c", "WARN: e"].map(|line| format!("[2025-01-27 10:00:00] {line}"));
    assert_eq!(bench.on_disk(), expected);
    assert_eq!(bench.journal.max_level(), LevelFilter::Info);
}

#[test]
fn a_write_is_due_after_a_minute_or_at_a_warning() {
    let bench = Bench::new("due");
    bench.log(Level::Info, "b");
    assert!(!bench.journal.is_due(bench.now()));
    assert!(bench.journal.is_due(bench.pass(60_000)));
    bench.journal.write_out(&Disk::default(), bench.now());
    assert!(!bench.journal.is_due(bench.pass(600_000)));
    bench.log(Level::Warn, "c");
    assert!(bench.journal.is_due(bench.now()));
}

#[test]
fn repeats_are_folded_and_told() {
    let bench = Bench::new("repeats");
    for _ in 0..58 {
        bench.log(Level::Warn, "again");
    }
    bench.log(Level::Warn, "other");
    assert_eq!(bench.shown(), "<4>net: again\n<4>net: last line repeated 57 times\n<4>net: other\n");
    bench.log(Level::Warn, "other");
    bench.pass(30_000);
    bench.log(Level::Warn, "other");
    bench.log(Level::Warn, "other");
    bench.pass(30_000);
    bench.log(Level::Warn, "other");
    assert_eq!(bench.shown(), "<4>net: last line repeated 2 times\n".repeat(2));
    assert_eq!(bench.journal.recent(2).len(), 2);
}

#[test]
fn no_secret_reaches_console_memory_or_disk() {
    let bench = Bench::new("secrets");
    bench.journal.protect(&[Secret::new("herring-and-cod")]);
    bench.log(Level::Error, "with herring-and-cod and sk-abcdefghijklmnop");
    bench.journal.write_out(&Disk::default(), bench.now());
    let everything = bench.shown() + &bench.journal.recent(9).join("") + &bench.on_disk().join("");
    assert!(!everything.contains("herring") && !everything.contains("abcdefgh"), "{everything}");
    assert_eq!(everything.matches("with [secret] and sk-[secret]").count(), 3);
}

#[test]
fn a_long_message_is_cut_and_a_hidden_newline_makes_no_line() {
    let bench = Bench::new("long");
    bench.log(Level::Warn, &"ü".repeat(100_000));
    bench.log(Level::Warn, "x\n<3>forged: y");
    let shown = bench.shown();
    assert_eq!(shown.lines().count(), 2);
    assert!(shown.lines().all(|line| line.len() <= limits::LOG_LINE_BYTES + 16), "{}", shown.len());
    assert!(shown.contains("… (cut)") && shown.contains("x\\n<3>forged"));
}

#[test]
fn the_tail_holds_lines_that_wait_for_the_disk_and_goes_on_after_the_write() {
    let bench = Bench::new("tail");
    bench.log(Level::Info, "one");
    bench.journal.write_out(&Disk::default(), bench.now());
    bench.log(Level::Info, "two");
    let ask = Ask::default();
    let first = bench.journal.tail(&Disk::default(), ask);
    assert_eq!(first.lines.len(), 2);
    assert_eq!((first.cursor, first.reset, first.truncated), (first.size, false, false));
    bench.journal.write_out(&Disk::default(), bench.now());
    bench.log(Level::Info, "three");
    let next = bench.journal.tail(&Disk::default(), Ask { cursor: Some(first.cursor), ..ask });
    assert_eq!(
        next.lines.iter().map(|line| guide_line(line)).collect::<Vec<_>>(),
        ["[2025-01-27 10:00:00] INFO: three"]
    );
    assert!(Disk::default().size(&bench.file).unwrap() < next.size);
}

/// A disk that is full, or gone, while `refuses`.
#[derive(Debug, Default)]
struct Refusing {
    refuses: Cell<bool>,
}

impl Refusing {
    fn check(&self) -> io::Result<()> {
        if self.refuses.get() { Err(io::Error::from(io::ErrorKind::StorageFull)) } else { Ok(()) }
    }
}

impl Files for Refusing {
    fn read(&self, path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
        self.check().and_then(|()| Disk::default().read(path, max_bytes))
    }
    fn read_at(&self, path: &Path, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.check().and_then(|()| Disk::default().read_at(path, offset, buffer))
    }
    fn size(&self, path: &Path) -> io::Result<u64> {
        self.check().and_then(|()| Disk::default().size(path))
    }
    fn stamp(&self, path: &Path) -> io::Result<Stamp> {
        Disk::default().stamp(path)
    }
    fn real_path(&self, path: &Path) -> io::Result<PathBuf> {
        Disk::default().real_path(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        Disk::default().list(dir)
    }
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.check().and_then(|()| Disk::default().create_dir(dir))
    }
    fn append(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.check().and_then(|()| Disk::default().append(path, bytes))
    }
    fn truncate(&self, path: &Path, size_bytes: u64) -> io::Result<()> {
        Disk::default().truncate(path, size_bytes)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.check().and_then(|()| Disk::default().rename(from, to))
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        Disk::default().remove(path)
    }
    fn sync(&self, _: PathBuf) -> LocalFuture<'static, io::Result<()>> {
        Box::pin(std::future::ready(self.check()))
    }
    fn replace(&self, path: PathBuf, bytes: Vec<u8>) -> LocalFuture<'static, io::Result<()>> {
        Disk::default().replace(path, bytes)
    }
}

#[test]
fn a_disk_that_refuses_is_reported_and_nothing_is_lost_that_memory_can_hold() {
    let bench = Bench::new("refusing");
    let disk = Rc::new(Refusing::default());
    disk.refuses.set(true);
    bench.log(Level::Error, "one");
    bench.journal.write_out(&*disk, bench.now());
    assert!(bench.journal.trouble().is_some());
    assert!(bench.shown().contains("<4>journal: the log file cannot be written"));
    assert!(!bench.journal.is_due(bench.pass(1_000)), "no write a second after a failed one");
    let tail = bench.journal.tail(&*disk, Ask::default());
    assert_eq!((tail.lines.len(), tail.reset), (1, true));
    disk.refuses.set(false);
    assert!(bench.journal.is_due(bench.pass(60_000)));
    bench.journal.write_out(&*disk, bench.now());
    assert_eq!(bench.journal.trouble(), None);
    assert_eq!(bench.on_disk(), ["[2025-01-27 10:00:00] ERROR: one"]);
    assert!(bench.shown().ends_with("the log file can be written again\n"));
}

#[test]
fn lines_that_left_memory_unwritten_are_counted_in_the_file() {
    let bench = Bench::new("lost");
    let disk = Refusing::default();
    disk.refuses.set(true);
    for number in 0..200 {
        bench.log(Level::Info, &format!("{number} {}", "x".repeat(1_000)));
    }
    bench.journal.write_out(&disk, bench.now());
    let lost = bench.journal.trouble().unwrap().lines_lost;
    assert!(lost > 100, "{lost}");
    disk.refuses.set(false);
    bench.journal.write_out(&disk, bench.now());
    let lines = bench.on_disk();
    assert!(lines[0].ends_with(&format!("{lost} lines are missing here: they could not be written")), "{}", lines[0]);
    assert_eq!(lines.len() as u64, 200 - lost + 1);
    assert_eq!(bench.journal.trouble(), None);
}

/// A network that nobody uses here.
#[derive(Debug)]
struct NoHttp;

impl Outbound for NoHttp {
    fn send(&self, _: Request) -> LocalFuture<'static, Result<Response, HttpError>> {
        Box::pin(std::future::ready(Err(HttpError::CutOff)))
    }
}

#[test]
fn the_task_writes_an_error_within_a_second_and_the_rest_within_a_minute() {
    fn fits<L: Log + 'static>(_: &L) {}
    let bench = Bench::new("keep");
    fits(&bench.journal);
    let world = World::at(bench.now());
    let sys = Sys {
        zone: jiff::tz::TimeZone::UTC,
        clock: Rc::new(world.clock.clone()),
        chance: Rc::new(Chance::seeded(1)),
        files: Rc::new(Refusing::default()),
        http: Rc::new(NoHttp),
        processes: Rc::new(crate::sys::sim::ScriptedProcesses::none(&world.clock)),
        tasks: world.tasks(),
    };
    let _task = world.tasks().spawn(Arc::clone(&bench.journal).keep(sys));
    bench.log(Level::Info, "slow");
    world.run_for(Duration::from_secs(59));
    assert!(bench.on_disk().is_empty());
    world.run_for(Duration::from_secs(2));
    assert_eq!(bench.on_disk().len(), 1);
    bench.log(Level::Error, "quick");
    world.run_for(Duration::from_secs(1));
    assert_eq!(bench.on_disk().len(), 2);
}
