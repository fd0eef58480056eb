//! What a backup holds, as its last member says: every file with its size and SHA-256.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

/// Its name in the archive.
pub const NAME: &str = "manifest.json";
/// What `format` says.
pub const FORMAT: &str = "barnacle-backup";
/// The version that this program writes; it reads no newer one.
pub const VERSION: u32 = 1;
/// Where the state is in the archive.
pub const STATE: &str = "state";
/// Where the configuration is in the archive.
pub const CONFIG: &str = "config";

/// The manifest.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// Which Barnacle wrote it.
    pub program: String,
    /// When, ISO 8601.
    pub made: String,
    /// On which machine.
    pub host: String,
    /// The configuration file's name below `config/`; others there are included by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_file: Option<String>,
    /// Every file by its path in the archive.
    pub files: BTreeMap<String, Member>,
}

/// A file in the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256, lower-case hex.
    pub sha256: String,
}

impl Manifest {
    /// Why the manifest is none of ours, if it isn't.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        if self.format != FORMAT {
            return Some(format!("its manifest says {:?}, expected {FORMAT:?}", self.format));
        }
        if self.version > VERSION {
            return Some(format!(
                "it was made by Barnacle {}, in form {}; this one reads form {VERSION}: take a newer Barnacle",
                self.program, self.version
            ));
        }
        self.files.keys().find(|name| !is_inside(name)).map(|name| format!("{name:?} leads out of the archive"))
    }
}

/// Whether a member's name stays below `state/` or `config/`.
#[must_use]
pub fn is_inside(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    let top = parts.next().and_then(|part| part.as_os_str().to_str());
    let below: Vec<_> = parts.collect();
    matches!(top, Some(STATE | CONFIG))
        && !below.is_empty()
        && below.iter().all(|part| matches!(part, Component::Normal(_)))
        && !name.contains('\0')
        && !name.ends_with('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_known() {
        for good in ["state/token", "state/a/b.jsonl", "config/barnacle.json"] {
            assert!(is_inside(good), "{good}");
        }
        for bad in [
            "",
            "state",
            "state/",
            "/state/x",
            "state/../x",
            "config/../../etc/passwd",
            "other/x",
            "../state/x",
            "state/a/../../x",
        ] {
            assert!(!is_inside(bad), "{bad}");
        }
    }
}
