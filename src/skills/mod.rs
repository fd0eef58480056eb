//! Skills: directories with a SKILL.md that tells an agent how to do something (methods.md 12.3).
//!
//! They are read from the disk whenever somebody asks, within bounds, and nothing is kept. Nothing of a skill runs
//! here except a step of [`install`] that a client with admin scope asks for.

mod archive;
pub mod fit;
pub mod install;
pub mod manifest;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::config::first_start::Places;
use crate::limits::{SKILL_DEPTH, SKILL_DESCRIPTION_CHARS, SKILL_DIRS, SKILL_HEAD_BYTES, SKILLS, SKILLS_PROMPT_BYTES};
use crate::sys::Sys;
use fit::Facts;
use manifest::Manifest;

/// The file that makes a directory a skill.
const FILE: &str = "SKILL.md";

/// A skill.
#[derive(Debug, Clone)]
pub struct Skill {
    /// What its SKILL.md says.
    pub manifest: Manifest,
    /// Where it was found.
    pub source: Source,
    /// Its directory.
    pub dir: PathBuf,
}

/// Where skills come from, lowest precedence first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A directory of `skills.load.extraDirs`.
    Extra,
    /// `skills` in the state directory.
    Managed,
    /// `skills` in an agent's workspace.
    Workspace,
}

impl Source {
    /// The reference's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Extra => "clawdbot-extra",
            Self::Managed => "clawdbot-managed",
            Self::Workspace => "clawdbot-workspace",
        }
    }
}

impl Skill {
    /// Its SKILL.md.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.dir.join(FILE)
    }
}

/// Where skills are managed for all agents.
#[must_use]
pub fn managed_dir(places: &Places) -> PathBuf {
    places.state_dir.join("skills")
}

/// An agent's workspace.
#[must_use]
pub fn workspace_of(config: &Config, places: &Places, agent_id: &str) -> PathBuf {
    let agent = config.agents.find(agent_id).unwrap_or_else(|| config.agents.default_agent());
    let workspace = agent.workspace.clone().or_else(|| config.agents.defaults.workspace.clone());
    workspace.unwrap_or_else(|| places.workspace())
}

/// The skills of an agent with that workspace, by name. Of several with one name the one of the highest precedence.
#[must_use]
pub fn list(sys: &Sys, config: &Config, places: &Places, workspace: &Path) -> Vec<Skill> {
    let extra = config.skills.extra_dirs.iter().map(|dir| (Source::Extra, dir.clone()));
    let own = [(Source::Managed, managed_dir(places)), (Source::Workspace, workspace.join("skills"))];
    let mut found = BTreeMap::new();
    for (source, dir) in extra.chain(own) {
        let mut walk = Walk { sys, source, dirs_left: SKILL_DIRS, found: &mut found };
        walk.look(&dir, SKILL_DEPTH);
    }
    found.into_values().collect()
}

/// All programs that all skills of all agents name, sorted (methods.md 12.3, skills.bins).
#[must_use]
pub fn bins(sys: &Sys, config: &Config, places: &Places) -> Vec<String> {
    let workspaces: BTreeSet<_> =
        config.agents.list.iter().map(|agent| workspace_of(config, places, &agent.id)).collect();
    let mut bins = BTreeSet::new();
    for workspace in workspaces {
        for skill in list(sys, config, places, &workspace) {
            let Manifest { requires, install, .. } = skill.manifest;
            bins.extend(requires.bins);
            bins.extend(requires.any_bins);
            bins.extend(install.into_iter().flat_map(|way| way.bins));
        }
    }
    bins.into_iter().collect()
}

/// What the system prompt says about the skills that an agent can use; `None` when there are none.
#[must_use]
pub fn offer(sys: &Sys, config: &Config, places: &Places, workspace: &Path) -> Option<String> {
    let facts = Facts::new(sys, config);
    let mut text = String::new();
    for skill in list(sys, config, places, workspace) {
        if skill.manifest.is_hidden || !facts.judge(&skill.manifest).is_eligible() {
            continue;
        }
        let what: String = skill.manifest.description.chars().take(SKILL_DESCRIPTION_CHARS).collect();
        let what = what.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut line = String::new();
        let _ = writeln!(line, "- {}: {what} ({})", skill.manifest.name, skill.file().display());
        if text.len() + line.len() > SKILLS_PROMPT_BYTES {
            log::warn!("the list of skills is longer than {SKILLS_PROMPT_BYTES} bytes; the last ones are not offered");
            break;
        }
        text.push_str(&line);
    }
    let head = "# Skills\n\nEach line names instructions for a kind of task and the file that holds them. When a task \
                is of that kind, read the file first and follow it.\n\n";
    (!text.is_empty()).then(|| format!("{head}{text}"))
}

/// One walk through a directory.
struct Walk<'a> {
    sys: &'a Sys,
    source: Source,
    dirs_left: usize,
    found: &'a mut BTreeMap<String, Skill>,
}

impl Walk<'_> {
    fn look(&mut self, dir: &Path, depth: usize) {
        if self.dirs_left == 0 {
            log::warn!("skills: more than {SKILL_DIRS} directories; {} is not looked at", dir.display());
            return;
        }
        self.dirs_left -= 1;
        // A directory that can't be read has no skills.
        let Ok(entries) = self.sys.files.list(dir) else { return };
        if entries.iter().any(|entry| entry.name == FILE && !entry.is_dir) {
            self.take(dir);
            return;
        }
        for entry in entries {
            let is_passed_over = entry.name.starts_with('.') || entry.name == "node_modules";
            if entry.is_dir && !is_passed_over && depth > 0 && self.dirs_left > 0 {
                self.look(&dir.join(&entry.name), depth - 1);
            }
        }
    }

    fn take(&mut self, dir: &Path) {
        let mut bytes = vec![0; SKILL_HEAD_BYTES];
        let path = dir.join(FILE);
        let count = match self.sys.files.read_at(&path, 0, &mut bytes) {
            Ok(count) => count,
            Err(error) => {
                log::warn!("{} can't be read: {error}", path.display());
                return;
            }
        };
        bytes.truncate(count);
        let text = String::from_utf8_lossy(&bytes);
        let name = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let Some(manifest) = manifest::parse(&text, &name) else {
            log::warn!("{}: no front matter with a description; the skill is left out", path.display());
            return;
        };
        if self.found.len() >= SKILLS && !self.found.contains_key(&manifest.name) {
            log::warn!("more than {SKILLS} skills; {} is left out", path.display());
            return;
        }
        let skill = Skill { source: self.source, dir: dir.to_owned(), manifest };
        self.found.insert(skill.manifest.name.clone(), skill);
    }
}

#[cfg(test)]
mod tests;
