//! Laws of the table of keys.

use super::*;

#[test]
fn paths_are_unique_and_every_row_is_documented() {
    let mut paths: Vec<_> = keys().map(|row| row.path).chain(UNUSED.iter().copied()).collect();
    paths.sort_unstable();
    let all = paths.len();
    paths.dedup();
    assert_eq!(paths.len(), all);
    assert!(keys().all(|row| !row.doc.is_empty() && !row.default.is_empty()));
}

#[test]
fn the_manual_has_every_key() {
    let manual = include_str!("../../docs/configuration.md");
    assert!(manual.contains(&manual_table()), "put this into docs/configuration.md:\n{}", manual_table());
    for path in UNUSED {
        assert!(manual.contains(&format!("`{path}`")), "docs/configuration.md lacks `{path}`");
    }
}
