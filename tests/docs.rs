//! The documents that are made from tables are as fresh as the tables.
//!
//! After a change: `BARNACLE_WRITE_DOCS=1 cargo test --test docs` writes them anew.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test reads and writes the documents of the tree")]

use std::path::Path;

use argh_complete::Generator;
use barnacle::cli::{args, manual};
use barnacle::methods::GROUPS;
use barnacle::rpc::{Table, describe};

fn check(name: &str, fresh: &str) {
    check_file(&format!("docs/{name}"), fresh);
}

fn check_file(place: &str, fresh: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(place);
    if std::env::var_os("BARNACLE_WRITE_DOCS").is_some() {
        std::fs::write(&path, fresh).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == fresh, "{place} is stale; run: BARNACLE_WRITE_DOCS=1 cargo test --test docs");
}

#[test]
fn methods_are_as_the_table_says() {
    check("methods.md", &describe::methods(&Table::new(GROUPS)));
}

#[test]
fn events_are_as_the_table_says() {
    check("events.md", &describe::events());
}

#[test]
fn limits_are_as_the_table_says() {
    check("limits.md", &describe::limits());
}

#[test]
fn schema_is_as_the_table_says() {
    check("schema.json", &describe::schema(&Table::new(GROUPS)));
}

#[test]
fn the_manual_page_is_as_the_commands_are() {
    check("barnacle.1", &manual::page(&args::definition()));
}

#[test]
fn completions_are_as_the_commands_are() {
    let commands = args::definition();
    check_file("completions/barnacle.bash", &argh_complete::bash::Bash::generate("barnacle", &commands));
    check_file("completions/_barnacle", &argh_complete::zsh::Zsh::generate("barnacle", &commands));
    check_file("completions/barnacle.fish", &argh_complete::fish::Fish::generate("barnacle", &commands));
}
