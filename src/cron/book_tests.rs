//! The book on forgetful files: what was acknowledged is there after a power cut, damage is set aside, what is
//! not understood is kept.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use jiff::tz::TimeZone;

use super::*;
use crate::sys::http::{HttpError, Request, Response};
use crate::sys::sim::{SimFiles, World};
use crate::sys::{Chance, Files as _, LocalFuture, Outbound};

const PATH: &str = "/s/cron/jobs.json";

#[derive(Debug)]
struct NoHttp;

impl Outbound for NoHttp {
    fn send(&self, _: Request) -> LocalFuture<'static, Result<Response, HttpError>> {
        Box::pin(std::future::ready(Err(HttpError::Connect("no network".into()))))
    }
}

struct Bench {
    world: World,
    files: SimFiles,
    sys: Sys,
    saver: Saver,
}

impl Bench {
    fn on(files: SimFiles) -> Self {
        let world = World::at(1_795_372_186_000);
        files.run_on(world.clock.clone(), Duration::from_millis(10));
        let sys = Sys {
            zone: TimeZone::UTC,
            clock: Rc::new(world.clock.clone()),
            chance: Rc::new(Chance::seeded(1)),
            files: Rc::new(files.clone()),
            http: Rc::new(NoHttp),
            processes: Rc::new(crate::sys::sim::ScriptedProcesses::none(&world.clock)),
            tasks: world.tasks(),
        };
        let saver = Saver::new(&sys);
        Self { world, files, sys, saver }
    }

    fn book(&self) -> Book {
        Book::load(&self.sys, &self.saver, PATH.into()).unwrap()
    }

    fn save(&self, book: &Book, change: Change) -> Result<(), StoreError> {
        let slot = Rc::new(Cell::new(None));
        let (result, saved) = (Rc::clone(&slot), book.save(change));
        self.world.tasks().detach(async move { result.set(Some(saved.await)) });
        self.world.run_for(Duration::from_secs(5));
        slot.take().unwrap()
    }

    fn text(&self, path: &str) -> String {
        String::from_utf8(self.files.read(Path::new(path), 1_000_000).unwrap()).unwrap()
    }

    fn write(&self, path: &str, text: &str) {
        self.files.create_dir(Path::new("/s/cron")).unwrap();
        self.files.append(Path::new(path), text.as_bytes()).unwrap();
    }
}

fn job(id: &str, name: &str) -> Job {
    serde_json::from_value(json!({
        "id": id, "name": name, "enabled": true, "createdAtMs": 5, "updatedAtMs": 5,
        "schedule": {"kind": "every", "everyMs": 60_000}, "sessionTarget": "main", "wakeMode": "now",
        "payload": {"kind": "systemEvent", "text": "t"}, "state": {},
    }))
    .unwrap()
}

#[test]
fn the_file_has_the_fields_form_and_a_copy() {
    let bench = Bench::on(SimFiles::new());
    let book = bench.book();
    book.put(job("a", "First")).unwrap();
    bench.save(&book, Change::Jobs).unwrap();
    let text = bench.text(PATH);
    assert!(text.starts_with("{\n  \"jobs\": [\n    {\n      \"createdAtMs\": 5,") && text.ends_with("\n}"), "{text}");
    assert_eq!(text, bench.text("/s/cron/jobs.json.bak"));
    book.change("a", |job| job.state.last_error = Some("e".into()));
    bench.save(&book, Change::State).unwrap();
    assert_ne!(bench.text(PATH), bench.text("/s/cron/jobs.json.bak"));
    assert_eq!(bench.book().all(), book.all());
}

#[test]
fn what_is_not_understood_is_kept() {
    let bench = Bench::on(SimFiles::new());
    let mut known = serde_json::to_value(job("a", "First")).unwrap();
    known["color"] = json!("red");
    known["payload"]["voice"] = json!("low");
    let foreign = json!({"id": "b", "schedule": {"kind": "moon", "phase": "full"}});
    bench.write(PATH, &format!("// by hand\n{{version: 1, jobs: [{known}, {foreign},]}}"));
    let book = bench.book();
    assert_eq!(book.len(), 1);
    book.change("a", |job| job.name = "Renamed".into());
    bench.save(&book, Change::Jobs).unwrap();
    let written: Value = serde_json::from_str(&bench.text(PATH)).unwrap();
    known["name"] = json!("Renamed");
    assert_eq!(written["jobs"], json!([known, foreign]));
}

#[test]
fn a_damaged_file_is_set_aside_and_the_copy_is_used() {
    let bench = Bench::on(SimFiles::new());
    let book = bench.book();
    book.put(job("a", "First")).unwrap();
    bench.save(&book, Change::Jobs).unwrap();
    bench.files.truncate(Path::new(PATH), 30).unwrap();
    assert_eq!(bench.book().all().len(), 1);
    // The second start finds them too, whether or not the first one came to write them.
    assert_eq!(bench.book().all().len(), 1);
    bench.world.run_for(Duration::from_secs(5));
    assert!(bench.text(PATH).contains("First"));
    let names: Vec<_> = bench.files.list(Path::new("/s/cron")).unwrap().into_iter().map(|file| file.name).collect();
    assert!(names.iter().any(|name| name.starts_with("jobs.json.damaged-")), "{names:?}");
}

#[test]
fn the_book_is_bounded_in_jobs_and_bytes() {
    let bench = Bench::on(SimFiles::new());
    let book = bench.book();
    for number in 0..CRON_JOBS {
        book.put(job(&format!("j{number}"), "x")).unwrap();
    }
    assert_eq!(book.put(job("more", "x")), Err(Full::Jobs));
    let mut large = job("j0", "x");
    large.description = Some("d".repeat(CRON_BOOK_BYTES));
    assert_eq!(book.put(large), Err(Full::Bytes));
    assert_eq!(book.get("j0").unwrap().description, None);
}

#[test]
fn what_was_acknowledged_survives_a_power_cut_at_any_moment() {
    for seed in 0..200 {
        let bench = Bench::on(SimFiles::new());
        let chance = Chance::seeded(seed);
        let book = bench.book();
        bench.files.cut_after(chance.below(60));
        let acknowledged = Rc::new(RefCell::new(0_u64));
        let (told, files, own) = (Rc::clone(&acknowledged), bench.files.clone(), book.clone());
        bench.world.tasks().detach(async move {
            for number in 1..40_u64 {
                let mut job = job("a", "x");
                job.updated_at_ms = number;
                own.put(job).unwrap();
                let saved = own.save(if number % 3 == 0 { Change::Jobs } else { Change::State }).await;
                if saved.is_ok() && !files.has_cut() {
                    *told.borrow_mut() = number;
                }
            }
        });
        bench.world.run_for(Duration::from_secs(60));
        let after = Bench::on(bench.files.power_cut(&chance));
        let number = after.book().get("a").map_or(0, |job| job.updated_at_ms);
        assert!(number >= *acknowledged.borrow(), "seed {seed}: {number} after {}", acknowledged.borrow());
    }
}
