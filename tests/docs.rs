//! The documents that are made from tables are as fresh as the tables.
//!
//! After a change: `BARNACLE_WRITE_DOCS=1 cargo test --test docs` writes them anew.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test reads and writes the documents of the tree"
)]

use std::fmt::Write as _;
use std::path::Path;

use argh_complete::Generator;
use barnacle::cli::{args, manual};
use barnacle::methods::GROUPS;
use barnacle::rpc::{Table, describe};

/// Puts a fresh text between two marks of a file, and checks that it stands there.
fn check_part(place: &str, mark: &str, fresh: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(place);
    let text = std::fs::read_to_string(path).unwrap();
    let (begin, end) = (format!("<!-- {mark} -->\n"), format!("<!-- end of {mark} -->"));
    let (before, rest) = text.split_once(&begin).unwrap();
    let (_, after) = rest.split_once(&end).unwrap();
    check_file(place, &format!("{before}{begin}{fresh}{end}{after}"));
}

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
fn tools_are_as_the_table_says() {
    check("tools.md", &barnacle::tools::manual::manual());
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

/// A line of the README for each target: what its preset says, and its line in the budget.
#[test]
fn targets_are_as_the_presets_and_the_budget_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("targets");
    let budget = std::fs::read_to_string(folder.join("sizes.tsv")).unwrap();
    let mut names: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .filter_map(|entry| Some(entry.unwrap().file_name().to_str()?.strip_suffix(".preset")?.to_owned()))
        .collect();
    names.sort();
    let mut table =
        "| board | target | package | binary | idle: resident | written to |\n| --- | --- | --- | --- | --- | --- |\n"
            .to_owned();
    for name in names {
        let preset = std::fs::read_to_string(folder.join(format!("{name}.preset"))).unwrap();
        let value =
            |key: &str| preset.lines().find_map(|line| Some(line.strip_prefix(key)?.trim_matches('"').to_owned()));
        let package = match (value("package="), value("architecture=")) {
            (Some(package), Some(architecture)) => format!("`{package}`, {architecture}"),
            _ => "-".to_owned(),
        };
        let line = budget.lines().find(|line| line.split('\t').next() == Some(name.as_str()));
        let figures: Vec<&str> =
            line.unwrap_or_else(|| panic!("targets/sizes.tsv has no line for {name}")).split('\t').collect();
        let [_, bytes, resident, written] = figures[..] else { panic!("{figures:?}") };
        let board = value("boards=").unwrap();
        let [binary, resident, written] = [(bytes, 1_000_000.0), (resident, 1000.0 / 1.024), (written, 1000.0 / 1.024)]
            .map(|(figure, unit)| megabytes(figure, unit));
        writeln!(table, "| {board} | `{name}` | {package} | {binary} | {resident} | {written} |").unwrap();
    }
    check_part("README.md", "targets", &table);
}

fn megabytes(figure: &str, unit: f64) -> String {
    figure.parse::<f64>().map_or_else(|_| "not measured".to_owned(), |figure| format!("{:.1} MB", figure / unit))
}
