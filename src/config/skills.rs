//! `skills`: what agents can read up on, and what may be installed for it (methods.md 9.5 and 12.3).

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::agents::path;
use super::problem::Notes;
use super::tree::Field;
use crate::secret::Secret;

/// The `skills` section.
#[derive(Debug, Clone, Default)]
pub struct Skills {
    /// Directories besides the state directory's and the workspace's own, of lower precedence.
    pub extra_dirs: Vec<PathBuf>,
    /// Who installs packages of kind `node`.
    pub node_manager: NodeManager,
    /// What may be installed with.
    pub install_allow: Vec<Installer>,
    /// Choices by skill key.
    pub entries: BTreeMap<String, SkillEntry>,
}

/// `skills.entries.<key>`.
#[derive(Debug, Clone, Default)]
pub struct SkillEntry {
    /// Whether it is switched off.
    pub is_disabled: bool,
    /// What its main variable stands for.
    pub api_key: Option<Secret>,
    /// Names of the variables that are set for it.
    pub env: Vec<String>,
}

/// Ways to install what a skill needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Installer {
    /// Homebrew.
    Brew,
    /// A package manager of Node.js.
    Node,
    /// `go install`.
    Go,
    /// `uv tool install`.
    Uv,
    /// A file over https.
    Download,
}

impl Installer {
    /// All of them, in the order in which one is preferred.
    pub const ALL: [Self; 5] = [Self::Brew, Self::Uv, Self::Node, Self::Go, Self::Download];

    /// The name in SKILL.md and in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Brew => "brew",
            Self::Node => "node",
            Self::Go => "go",
            Self::Uv => "uv",
            Self::Download => "download",
        }
    }

    /// The way of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|installer| installer.name() == name)
    }
}

/// Package managers of Node.js.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NodeManager {
    /// npm.
    #[default]
    Npm,
    /// pnpm.
    Pnpm,
    /// Yarn.
    Yarn,
}

/// What may be installed with when the file doesn't say: the ways that put a program in place without running code of
/// the package on the way (scripts of node packages are off, uv takes built packages only). A formula of Homebrew is
/// a program that runs.
pub(super) const INSTALL_ALLOW: [Installer; 4] = [Installer::Node, Installer::Go, Installer::Uv, Installer::Download];

pub(super) fn read(root: &Field<'_>, env: &BTreeMap<String, String>, notes: &mut Notes<'_>) -> Skills {
    let at = |name: &str| root.find(&format!("skills.{name}"));
    let items = |name: &str| at(name).map(|list| list.items()).unwrap_or_default();
    let install_allow = match at("install.allow") {
        None => INSTALL_ALLOW.into(),
        Some(list) => {
            let mut allowed = Vec::new();
            for item in list.items() {
                match item.filled_text().and_then(Installer::parse) {
                    Some(installer) => allowed.push(installer),
                    None => notes.problem(&item, "expected one of `brew`, `node`, `go`, `uv`, `download`"),
                }
            }
            allowed
        }
    };
    Skills {
        extra_dirs: items("load.extraDirs").iter().filter_map(|field| path(field, env)).collect(),
        node_manager: match at("install.nodeManager").and_then(|field| field.text()) {
            Some("pnpm") => NodeManager::Pnpm,
            Some("yarn") => NodeManager::Yarn,
            _ => NodeManager::Npm,
        },
        install_allow,
        entries: at("entries").map(|field| field.entries()).unwrap_or_default().into_iter().map(entry).collect(),
    }
}

fn entry((name, field): (&str, Field<'_>)) -> (String, SkillEntry) {
    let env = field.find("env").map(|field| field.entries()).unwrap_or_default();
    let is_filled = |field: &Field<'_>| field.filled_text().is_some();
    let entry = SkillEntry {
        is_disabled: field.find("enabled").and_then(|field| field.flag()) == Some(false),
        api_key: field.find("apiKey").and_then(|field| field.filled_text().map(Secret::new)),
        env: env.into_iter().filter(|(_, field)| is_filled(field)).map(|(name, _)| name.to_owned()).collect(),
    };
    (name.to_owned(), entry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn read(text: &str) -> Result<Skills, Vec<String>> {
        let env = BTreeMap::from([("HOME".to_owned(), "/home/pi".to_owned())]);
        let read = Config::parse(text, "barnacle.json", &env).map(|(config, _)| config.skills);
        read.map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn entries_directories_and_installers_are_read() {
        let skills = read(
            "{skills:{load:{extraDirs:['~/more']},install:{nodeManager:'pnpm',allow:['brew','uv']},entries:{\
             weather:{enabled:false},gh:{apiKey:'k',env:{A:'1',B:''},config:{x:1}}}}}",
        )
        .unwrap();
        assert_eq!(skills.extra_dirs, [PathBuf::from("/home/pi/more")]);
        assert_eq!(
            (skills.node_manager, skills.install_allow),
            (NodeManager::Pnpm, vec![Installer::Brew, Installer::Uv])
        );
        assert!(skills.entries["weather"].is_disabled && !skills.entries["gh"].is_disabled);
        assert_eq!(skills.entries["gh"].env, ["A"]);
        assert!(skills.entries["gh"].api_key.as_ref().unwrap().matches("k"));
        assert_eq!(read("{}").unwrap().install_allow, INSTALL_ALLOW);
        assert!(read("{skills:{install:{allow:['apt']}}}").unwrap_err()[0].contains("skills.install.allow.0"));
    }
}
