//! Names that an owner gave to nodes which have no device record to keep them, in `nodes/names.json`.

use std::path::Path;
use std::rc::Rc;

use serde_json::Value;

use super::json_file::JsonFile;
use super::{Durable, Saver, StoreError};
use crate::limits::{NODE_NAMES, SETTINGS_FILE_BYTES};
use crate::sys::Sys;

/// The names, by node id. Cloning shares them.
#[derive(Debug, Clone)]
pub struct NodeNames(Rc<JsonFile>);

impl NodeNames {
    /// Reads the file in `state_dir/nodes`.
    ///
    /// # Errors
    /// What the disk says.
    pub fn load(sys: &Sys, saver: &Saver, state_dir: &Path) -> Result<Self, StoreError> {
        let path = state_dir.join("nodes").join("names.json");
        Ok(Self(Rc::new(JsonFile::load(sys, saver, path, SETTINGS_FILE_BYTES)?)))
    }

    /// The name that the owner gave to a node.
    #[must_use]
    pub fn find(&self, node_id: &str) -> Option<String> {
        self.0.look(|names| names.get(node_id).and_then(Value::as_str).map(str::to_owned))
    }

    /// Names a node.
    ///
    /// # Errors
    /// [`StoreError::TooManyNames`] when so many have one that this would be one more.
    pub fn set(&self, node_id: &str, name: &str) -> Result<Durable, StoreError> {
        if self.0.look(|names| !names.contains_key(node_id) && names.len() >= NODE_NAMES) {
            return Err(StoreError::TooManyNames(NODE_NAMES));
        }
        Ok(self.0.change(|names| drop(names.insert(node_id.to_owned(), name.into()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::bench::Bench;

    #[test]
    fn names_survive_a_restart_and_are_bounded() {
        let bench = Bench::new(1);
        let load = || NodeNames::load(&bench.sys, &bench.saver, Path::new("/s")).unwrap();
        let names = load();
        for number in 0..NODE_NAMES {
            bench.run(names.set(&format!("n{number}"), "Kitchen").unwrap()).unwrap();
        }
        assert_eq!(names.set("other", "x").unwrap_err(), StoreError::TooManyNames(NODE_NAMES));
        bench.run(names.set("n0", "Hall").unwrap()).unwrap();
        assert_eq!(load().find("n0").as_deref(), Some("Hall"));
    }
}
