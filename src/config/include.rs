//! `$include` (methods.md 8.6): further files of the configuration directory, merged into the object
//! that names them. It never reads anything itself: the caller gives the texts in.

use std::path::{Component, Path, PathBuf};

use super::problem::Notes;
use super::tree::{self, Entry, Kind, Node, join};
use crate::limits;

/// The key.
const INCLUDE: &str = "$include";

/// Gives the text of a file by its path below the configuration directory, or says in one line why
/// it can't be had.
pub type Reader<'r> = &'r dyn Fn(&Path) -> Result<String, String>;

/// Merges every included file into `root`, and gives their paths below the configuration directory,
/// in the order in which they were read. Mistakes are noted, and the include is left out.
pub(super) fn resolve(root: &mut Node, reader: Reader<'_>, notes: &mut Notes<'_>) -> Vec<PathBuf> {
    let mut includes = Includes { reader, notes, read: Vec::new(), bytes: 0 };
    includes.below(root, "", &mut Vec::new());
    includes.read
}

/// A reader for texts that stand alone.
///
/// # Errors
/// Always.
pub fn none(_: &Path) -> Result<String, String> {
    Err("there are no other files here".to_owned())
}

struct Includes<'r, 'n, 't> {
    reader: Reader<'r>,
    notes: &'n mut Notes<'t>,
    read: Vec<PathBuf>,
    bytes: u64,
}

impl Includes<'_, '_, '_> {
    /// `chain` is the way of files that leads here.
    fn below(&mut self, node: &mut Node, key: &str, chain: &mut Vec<PathBuf>) {
        match &mut node.kind {
            Kind::List(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.below(item, &join(key, &index.to_string()), chain);
                }
            }
            Kind::Object(entries) => {
                for entry in entries.iter_mut().filter(|entry| entry.name != INCLUDE) {
                    self.below(&mut entry.value, &join(key, &entry.name), chain);
                }
                let Some(index) = entries.iter().position(|entry| entry.name == INCLUDE) else { return };
                let include = entries.remove(index);
                let mut merged = None;
                for (at, name) in self.names(&include, key) {
                    if let Some(content) = self.file(at, &name, key, chain) {
                        merged = Some(match merged {
                            None => content,
                            Some(before) => merge(before, content),
                        });
                    }
                }
                self.finish(node, merged, include.at, key);
            }
            _ => {}
        }
    }

    /// The names under `$include`, each with its place.
    fn names(&mut self, include: &Entry, key: &str) -> Vec<(usize, String)> {
        let items = match &include.value.kind {
            Kind::List(items) => items.iter().collect(),
            _ => vec![&include.value],
        };
        let mut names = Vec::new();
        for item in items {
            match &item.kind {
                Kind::Text(name) if !name.trim().is_empty() => names.push((item.at, name.clone())),
                _ => self.notes.problem_at(
                    item.at,
                    &join(key, INCLUDE),
                    format!("expected the name of a file, found {}", item.describe_type()),
                ),
            }
        }
        names
    }

    /// The content of one file with its own includes.
    fn file(&mut self, at: usize, name: &str, key: &str, chain: &mut Vec<PathBuf>) -> Option<Node> {
        let key = join(key, INCLUDE);
        match self.text(name, chain) {
            Ok((path, text)) => {
                let base = self.notes.add_source(path.display().to_string(), text.clone());
                let mut node = match tree::read_any(&text, base) {
                    Ok(node) => node.unwrap_or_else(Node::empty),
                    Err((wrong, message)) => {
                        self.notes.problem_at(base + wrong, "", message);
                        return None;
                    }
                };
                chain.push(path);
                self.below(&mut node, "", chain);
                chain.pop();
                Some(node)
            }
            Err(why) => {
                self.notes.problem_at(at, &key, why);
                None
            }
        }
    }

    fn text(&mut self, name: &str, chain: &[PathBuf]) -> Result<(PathBuf, String), String> {
        let folder = chain.last().and_then(|file| file.parent()).unwrap_or_else(|| Path::new(""));
        let path = inside(folder, name)
            .ok_or_else(|| format!("{name}: only files below the configuration directory can be included"))?;
        if let Some(start) = chain.iter().position(|file| *file == path) {
            let circle: Vec<_> =
                chain.iter().skip(start).chain([&path]).map(|file| file.display().to_string()).collect();
            return Err(format!("circular include: {}", circle.join(" -> ")));
        }
        if chain.len() >= limits::CONFIG_INCLUDE_DEPTH {
            return Err(format!("{name}: includes are nested deeper than {} files", limits::CONFIG_INCLUDE_DEPTH));
        }
        if self.read.len() >= limits::CONFIG_INCLUDES {
            return Err(format!("{name}: more than {} files are included", limits::CONFIG_INCLUDES));
        }
        let text = (self.reader)(&path).map_err(|why| format!("{name}: {why}"))?;
        self.bytes = self.bytes.saturating_add(text.len() as u64);
        if self.bytes > limits::CONFIG_BYTES {
            return Err(format!("{name}: the included files have more than {} bytes in all", limits::CONFIG_BYTES));
        }
        self.read.push(path.clone());
        Ok((path, text))
    }

    /// Puts what was included under the keys that stand beside `$include`, which win.
    fn finish(&mut self, node: &mut Node, merged: Option<Node>, at: usize, key: &str) {
        let Some(merged) = merged else { return };
        let own = std::mem::replace(node, Node::empty());
        let has_own = matches!(&own.kind, Kind::Object(entries) if !entries.is_empty());
        if matches!(merged.kind, Kind::Object(_)) {
            *node = merge(merged, own);
        } else if has_own {
            self.notes.problem_at(
                at,
                &join(key, INCLUDE),
                "keys beside `$include` need an included file with an object",
            );
            *node = own;
        } else {
            *node = merged;
        }
    }
}

/// `over` wins; objects are merged, lists joined.
fn merge(under: Node, over: Node) -> Node {
    let at = over.at;
    let kind = match (under.kind, over.kind) {
        (Kind::Object(mut entries), Kind::Object(more)) => {
            // A key given twice is found later, so only the first of its name is merged with.
            let known = entries.len();
            for entry in more {
                match entries.iter().take(known).position(|other| other.name == entry.name) {
                    Some(index) => {
                        let Entry { name, value, .. } = entries.remove(index);
                        entries.insert(index, Entry { at: entry.at, name, value: merge(value, entry.value) });
                    }
                    None => entries.push(entry),
                }
            }
            Kind::Object(entries)
        }
        (Kind::List(mut items), Kind::List(more)) => {
            items.extend(more);
            Kind::List(items)
        }
        (_, kind) => kind,
    };
    Node { at, kind }
}

/// The path of `name` as seen from `folder`, both below the configuration directory; `None` when it
/// leads out of it.
fn inside(folder: &Path, name: &str) -> Option<PathBuf> {
    let mut path = folder.to_path_buf();
    for part in Path::new(name.trim()).components() {
        match part {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            Component::ParentDir if path.pop() => {}
            _ => return None,
        }
    }
    path.file_name().is_some().then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use serde_json::{Value, json};
    use std::collections::BTreeMap;

    fn read(main: &str, files: &[(&str, &str)]) -> (Value, Vec<String>, Vec<String>) {
        let files: BTreeMap<&str, &str> = files.iter().copied().collect();
        let reader = |path: &Path| {
            let found = path.to_str().and_then(|name| files.get(name));
            found.map(|text| (*text).to_owned()).ok_or_else(|| "no such file".to_owned())
        };
        let reading = Config::read(main, "main.json", &BTreeMap::new(), &reader);
        let problems = reading.outcome.err().unwrap_or_default();
        let included = reading.included.iter().map(|path| path.display().to_string()).collect();
        (reading.merged, problems.iter().map(ToString::to_string).collect(), included)
    }

    #[test]
    fn later_files_win_lists_are_joined_and_keys_beside_the_include_win() {
        let (merged, problems, included) = read(
            "{'$include':['a.json5','sub/b.json5'],ui:{assistant:{name:'own'}},zz:[3]}",
            &[
                ("a.json5", "{ui:{assistant:{name:'a',avatar:'A'}},zz:[1],tools:{x:1,y:1}}"),
                ("sub/b.json5", "{'$include':'../c.json5',zz:[2],tools:{x:2}}"),
                ("c.json5", "{tools:{'$include':'./t.json5'}}"),
                ("t.json5", "{z:9}"),
            ],
        );
        assert_eq!(problems, [""; 0]);
        assert_eq!(
            merged,
            json!({"ui": {"assistant": {"name": "own", "avatar": "A"}}, "zz": [1, 2, 3], "tools": {"x": 2, "y": 1, "z": 9}})
        );
        assert_eq!(included, ["a.json5", "sub/b.json5", "c.json5", "t.json5"]);
    }

    #[test]
    fn no_include_leaves_the_configuration_directory() {
        for name in ["../x", "/etc/passwd", "a/../../x", "..", ".", "a/.."] {
            let (_, problems, included) = read(&format!("{{'$include':'{name}'}}"), &[]);
            assert!(problems[0].contains("only files below the configuration directory"), "{name}: {problems:?}");
            assert!(included.is_empty());
        }
    }

    #[test]
    fn circles_depth_number_and_missing_files_are_problems_with_their_place() {
        let (_, problems, _) = read("{'$include':'a'}", &[("a", "{'$include':'b'}"), ("b", "{\n'$include':'a'}")]);
        assert_eq!(problems, ["b:2:12: $include: circular include: a -> b -> a"]);
        let names: Vec<String> = (0..12).map(|number| format!("f{number}")).collect();
        let texts: Vec<String> = (1..=12).map(|number| format!("{{'$include':'f{number}'}}")).collect();
        let chain: Vec<_> = names.iter().map(String::as_str).zip(texts.iter().map(String::as_str)).collect();
        let (_, problems, included) = read("{'$include':'f0'}", &chain);
        assert!(problems[0].contains("nested deeper than 10"), "{problems:?}");
        assert_eq!(included.len(), 10);
        let many = format!("{{'$include':[{}]}}", "'a',".repeat(100));
        assert!(read(&many, &[("a", "{}")]).1[0].contains("more than 64 files"));
        assert_eq!(
            read("{ui:{'$include':'gone.json'}}", &[]).1,
            ["main.json:1:17: ui.$include: gone.json: no such file"]
        );
        assert!(read("{ui:{'$include':'n',x:1}}", &[("n", "5")]).1[0].contains("keys beside `$include`"));
        assert!(read("{ui:{'$include':5}}", &[]).1[0].contains("expected the name of a file, found a number"));
    }

    #[test]
    fn mistakes_inside_an_included_file_name_that_file() {
        let (_, problems, _) = read("{gateway:{'$include':'g'}}", &[("g", "{\n  port: 'x',\n}")]);
        assert!(problems[0].starts_with("g:2:9: gateway.port: expected a whole number"), "{problems:?}");
        let (_, problems, _) = read("{gateway:{'$include':'g'}}", &[("g", "{ port: ")]);
        assert!(problems[0].starts_with("g:1:"), "{problems:?}");
    }
}
