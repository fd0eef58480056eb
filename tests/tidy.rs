//! House rules that no lint knows: the order of the layers, the length of files, words that have no place here.
//!
//! Reads `src/` as text; never compiles or changes anything. The order of the layers has one home, the map in
//! `src/lib.rs`. Code under `#[cfg(test)]` may use every layer.

#![allow(clippy::disallowed_methods, reason = "reads the source tree, which is no business of the product")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Longest file, lines (STYLE rule 4).
const FILE_LINES_MAX: usize = 600;

/// Files that are one list each, which may be longer (STYLE rule 4): every bound, every key, every command.
const CATALOGUES: [&str; 3] = ["limits.rs", "config/keys.rs", "cli/args.rs"];

/// Words that may not stand in code, and what to do instead.
const BANNED_WORDS: &[(&str, &str)] = &[
    ("println!", "the log has `log::info!`, the command line its own output function"),
    ("print!", "the log has `log::info!`, the command line its own output function"),
    ("HashMap", "BTreeMap: its order is the same in every run"),
    ("HashSet", "BTreeSet: its order is the same in every run"),
];

/// What may stand nowhere, comments and tests included, and what to do instead.
const BANNED_NOTES: &[(&str, &str)] = &[
    ("TODO", "do it or file an issue"),
    ("FIXME", "do it or file an issue"),
    ("#[ignore]", "an ignored test says why: #[ignore = \"reason\"]"),
];

#[test]
fn a_layer_uses_only_what_stands_left_of_it() {
    let tree = Tree::read();
    let ranks = ranks(&tree.text("lib.rs"));
    let mut faults = Vec::new();
    for name in tree.layers().filter(|name| !ranks.contains_key(*name)) {
        faults.push(format!("src/{name}: not in the map of src/lib.rs"));
    }
    for (path, lines) in tree.product_code() {
        let Some(own) = ranks.get(layer_of(&path)) else { continue };
        for (number, used) in crate_paths(&lines) {
            if ranks.get(used.as_str()).is_some_and(|rank| rank > own) {
                faults.push(format!(
                    "src/{}:{number}: `{}` uses `{used}`, which stands right of it in the map of src/lib.rs",
                    path.display(),
                    layer_of(&path),
                ));
            }
        }
    }
    report(&faults);
}

#[test]
fn no_file_is_longer_than_the_line() {
    let mut faults = Vec::new();
    let tree = Tree::read();
    for (path, text) in tree.files.iter().filter(|(path, _)| CATALOGUES.iter().all(|name| !path.ends_with(name))) {
        let count = text.lines().count();
        if count > FILE_LINES_MAX {
            faults.push(format!("src/{}: {count} lines; one idea a file, split it", path.display()));
        }
    }
    report(&faults);
}

#[test]
fn banned_words_do_not_occur() {
    let mut faults = Vec::new();
    for (path, lines) in Tree::read().product_code() {
        for (number, line) in lines {
            for (word, instead) in BANNED_WORDS {
                if has_word(&line, word) {
                    faults.push(format!("src/{}:{number}: `{word}`: {instead}", path.display()));
                }
            }
        }
    }
    report(&faults);
}

#[test]
fn nothing_is_left_for_later() {
    let mut faults = Vec::new();
    let own = Path::new(file!()).file_name();
    for (folder, tree) in [("src", Tree::read()), ("tests", Tree::below("tests"))] {
        for (path, text) in tree.files.iter().filter(|(path, _)| path.file_name() != own) {
            for (index, line) in text.lines().enumerate() {
                for (word, instead) in BANNED_NOTES.iter().filter(|(word, _)| has_word(line, word)) {
                    faults.push(format!("{folder}/{}:{}: `{word}`: {instead}", path.display(), index + 1));
                }
            }
        }
    }
    report(&faults);
}

#[test]
fn test_code_and_comments_are_left_out() {
    let text = "use crate::a::B;\n// crate::c\n#[cfg(test)]\nmod tests {\n    use crate::d;\n}\nuse crate::{e::F, g};\n\
                #[cfg(test)]\nuse crate::h;\nfn f() { crate::i::j(\"crate::k\") } // crate::l\n";
    let used: Vec<_> = crate_paths(&product_lines(text)).into_iter().collect();
    let wanted = [(1, "a"), (7, "e"), (7, "g"), (10, "i")];
    assert_eq!(used, wanted.map(|(line, name)| (line, name.to_owned())));
}

#[test]
fn the_map_gives_ranks() {
    let map = "//! The map\n//! `limits error → sys → net`.\n";
    let found = ranks(map);
    assert_eq!(found.get("limits"), found.get("error"));
    assert!(found.get("error") < found.get("sys") && found.get("sys") < found.get("net"));
}

/// The Rust files of a folder, by their path below it.
struct Tree {
    files: BTreeMap<PathBuf, String>,
}

impl Tree {
    /// The product's own: `src/`.
    fn read() -> Self {
        Self::below("src")
    }

    fn below(folder: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let mut files = BTreeMap::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let text = fs::read_to_string(&path).unwrap_or_default();
                    files.insert(path.strip_prefix(&root).unwrap_or(&path).to_owned(), text);
                }
            }
        }
        assert!(!files.is_empty(), "no source files found");
        Self { files }
    }

    fn text(&self, path: &str) -> String {
        self.files.get(Path::new(path)).cloned().unwrap_or_default()
    }

    /// The names of all top modules.
    fn layers(&self) -> impl Iterator<Item = &str> {
        let names: BTreeSet<_> = self.files.keys().map(|path| layer_of(path)).collect();
        names.into_iter().filter(|name| !matches!(*name, "lib" | "main"))
    }

    /// Every file that is part of the product, with its numbered lines of code.
    fn product_code(&self) -> impl Iterator<Item = (PathBuf, Vec<(usize, String)>)> + '_ {
        let tests: BTreeSet<_> = self.files.iter().flat_map(|(path, text)| test_files(path, text)).collect();
        self.files
            .iter()
            .filter(move |(path, _)| {
                !tests.iter().any(|test| path.starts_with(test.with_extension("")) || *path == test)
            })
            .map(|(path, text)| (path.clone(), product_lines(text)))
    }
}

/// The top module that a file belongs to.
fn layer_of(path: &Path) -> &str {
    let first = path.components().next().and_then(|part| part.as_os_str().to_str()).unwrap_or_default();
    first.strip_suffix(".rs").unwrap_or(first)
}

/// The place of every layer in the map of `lib.rs`; layers between the same two arrows share one.
fn ranks(lib: &str) -> BTreeMap<String, usize> {
    let map = lib.lines().find(|line| line.starts_with("//! `limits")).unwrap_or_default();
    let map = map.trim_start_matches("//! `").split('`').next().unwrap_or_default();
    map.split('→')
        .enumerate()
        .flat_map(|(rank, names)| names.split_whitespace().map(move |name| (name.to_owned(), rank)))
        .collect()
}

/// Files that are modules under `#[cfg(test)]`.
fn test_files(path: &Path, text: &str) -> Vec<PathBuf> {
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    let is_root = path.file_stem().is_some_and(|stem| stem == "mod" || stem == "lib" || stem == "main");
    let below = if is_root { folder.to_owned() } else { path.with_extension("") };
    let mut files = Vec::new();
    let mut lines = text.lines().map(str::trim);
    while lines.any(|line| line == "#[cfg(test)]") {
        let mut given = None;
        for line in lines.by_ref() {
            if let Some(name) = line.strip_prefix("#[path = \"").and_then(|rest| rest.strip_suffix("\"]")) {
                given = Some(folder.join(name));
            } else if !line.starts_with("#[") {
                let module = line.rsplit("mod ").next().and_then(|rest| rest.strip_suffix(';'));
                files.extend(module.map(|name| given.unwrap_or_else(|| below.join(name).with_extension("rs"))));
                break;
            }
        }
    }
    files
}

/// Numbered lines without comments, text literals and whatever stands under `#[cfg(test)]`. Relies on the
/// formatter: an item ends with `}` or `;` at the indentation of its first line.
fn product_lines(text: &str) -> Vec<(usize, String)> {
    let mut kept = Vec::new();
    let mut skipping = None;
    for (index, line) in text.lines().enumerate() {
        let indent = line.len() - line.trim_start().len();
        if line.trim() == "#[cfg(test)]" {
            skipping = Some(indent);
        } else if let Some(depth) = skipping {
            if indent == depth && (line.ends_with('}') || line.ends_with(';')) {
                skipping = None;
            }
        } else {
            kept.push((index + 1, code_of(line)));
        }
    }
    kept
}

/// A line without its comment and without what stands between quotes.
fn code_of(line: &str) -> String {
    let mut code = String::new();
    let mut quoted = false;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' if quoted => drop(characters.next()),
            '"' => quoted = !quoted,
            '/' if !quoted && characters.peek() == Some(&'/') => break,
            _ if quoted => {}
            _ => code.push(character),
        }
    }
    code
}

/// Every `crate::NAME`, with the line on which its path begins; groups in braces count one by one.
fn crate_paths(lines: &[(usize, String)]) -> BTreeSet<(usize, String)> {
    let mut found = BTreeSet::new();
    for (index, (number, line)) in lines.iter().enumerate() {
        for (at, _) in line.match_indices("crate::") {
            let rest = line.get(at + "crate::".len()..).unwrap_or_default();
            if let Some(group) = rest.strip_prefix('{') {
                let further = lines.iter().skip(index + 1).map(|(_, line)| line.as_str());
                let text: String = std::iter::once(group).chain(further).collect();
                found.extend(group_heads(&text).into_iter().map(|name| (*number, name)));
            } else {
                found.insert((*number, first_name(rest)));
            }
        }
    }
    found.retain(|(_, name)| !name.is_empty());
    found
}

/// The first names of a `{a::b, c}` group whose opening brace is already read.
fn group_heads(text: &str) -> Vec<String> {
    let mut outermost = String::new();
    let mut depth = 1_u32;
    for character in text.chars() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ if depth == 1 => outermost.push(character),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    outermost.split(',').map(|path| first_name(path.trim())).collect()
}

fn first_name(path: &str) -> String {
    path.chars().take_while(|character| character.is_ascii_alphanumeric() || *character == '_').collect()
}

/// Whether a word occurs that is no part of a longer one.
fn has_word(line: &str, word: &str) -> bool {
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).and_then(|before| before.chars().next_back());
        let after = line.get(at + word.len()..).and_then(|after| after.chars().next());
        !before.is_some_and(is_part) && (word.ends_with('!') || !after.is_some_and(is_part))
    })
}

fn report(faults: &[String]) {
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}
