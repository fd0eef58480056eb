//! Whether a skill can be used on this machine (methods.md 12.3).
//!
//! What connected nodes have is not counted: only this machine's system and programs are.

use crate::config::Config;
use crate::config::skills::SkillEntry;
use crate::sys::Sys;

use super::manifest::{Manifest, Requires};

/// What skills are judged by.
#[derive(Debug)]
pub struct Facts<'a> {
    sys: &'a Sys,
    config: &'a Config,
}

/// The judgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fit {
    /// Whether the configuration switches it off.
    pub is_disabled: bool,
    /// Whether it is used whatever is missing but the system.
    pub always: bool,
    /// What is missing.
    pub missing: Requires,
}

impl Fit {
    /// Whether it can be used.
    #[must_use]
    pub fn is_eligible(&self) -> bool {
        let Requires { bins, any_bins, env, config, os } = &self.missing;
        let lacks = [bins, any_bins, env, config].into_iter().any(|list| !list.is_empty());
        !self.is_disabled && os.is_empty() && (self.always || !lacks)
    }
}

impl<'a> Facts<'a> {
    /// The machine and its configuration as of now.
    #[must_use]
    pub fn new(sys: &'a Sys, config: &'a Config) -> Self {
        Self { sys, config }
    }

    /// Whether a skill can be used.
    #[must_use]
    pub fn judge(&self, manifest: &Manifest) -> Fit {
        let entry = self.config.skills.entries.get(&manifest.key);
        let is_disabled = entry.is_some_and(|entry| entry.is_disabled);
        let lacking = |names: &[String], has: &dyn Fn(&str) -> bool| -> Vec<String> {
            names.iter().filter(|name| !has(name)).cloned().collect()
        };
        let has_program = |name: &str| self.sys.processes.which(name).is_some();
        let Requires { bins, any_bins, env, config, os } = &manifest.requires;
        let has_any = any_bins.is_empty() || any_bins.iter().any(|name| has_program(name));
        Fit {
            is_disabled,
            always: manifest.always,
            missing: Requires {
                bins: lacking(bins, &has_program),
                any_bins: if has_any { Vec::new() } else { any_bins.clone() },
                env: lacking(env, &|name| self.has_variable(manifest, entry, name)),
                config: lacking(config, &|path| self.config.affirmed.contains(path)),
                os: if os.is_empty() || os.iter().any(|name| name == platform()) { Vec::new() } else { os.clone() },
            },
        }
    }

    fn has_variable(&self, manifest: &Manifest, entry: Option<&SkillEntry>, name: &str) -> bool {
        let is_primary = manifest.primary_env.as_deref() == Some(name);
        self.config.variables.contains(name)
            || entry.is_some_and(|entry| {
                entry.env.iter().any(|have| have == name) || (is_primary && entry.api_key.is_some())
            })
    }
}

/// This system, as SKILL.md names it.
#[must_use]
pub fn platform() -> &'static str {
    match std::env::consts::OS {
        "macos" => "darwin",
        "windows" => "win32",
        other => other,
    }
}
