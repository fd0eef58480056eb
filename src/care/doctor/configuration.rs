//! The configuration file.

use super::finding::{Finding, Fix};
use super::ground::Ground;
use crate::config::file::{LoadError, Source};
use crate::sys::tree;

/// Mistakes, and keys without effect.
pub(super) fn text(ground: &Ground) -> Vec<Finding> {
    let file = Ground::quoted(&ground.places.config_file);
    match &ground.loaded {
        Ok(loaded) => {
            let warnings = loaded.warnings.iter();
            let mut findings: Vec<_> = warnings.map(|warning| Finding::note(warning.to_string())).collect();
            if loaded.source == Source::LastGood {
                findings.push(
                    Finding::warn(format!("{file} is empty or missing; the last good copy is used"))
                        .mend(format!("cp {} {file}", Ground::quoted(&ground.places.last_good_file()))),
                );
            }
            if loaded.source == Source::Defaults {
                findings.push(Finding::ok("there is none: the defaults hold"));
            }
            if findings.is_empty() {
                findings.push(Finding::ok("no mistakes"));
            }
            findings
        }
        Err(LoadError::Invalid(problems)) => problems
            .iter()
            .map(|problem| {
                Finding::fail(problem.to_string()).mend(format!("${{EDITOR:-nano}} +{} {file}", problem.line))
            })
            .collect(),
        Err(error @ LoadError::Unreadable { .. }) => {
            vec![Finding::fail(error.to_string()).mend(format!("sudo barnacle doctor --config {file}"))]
        }
    }
}

/// Who may read it.
pub(super) fn secrets(ground: &Ground) -> Vec<Finding> {
    let path = &ground.places.config_file;
    let has_secrets = ground.config().is_some_and(|config| !config.secrets().is_empty());
    let Ok(meta) = tree::meta(path) else { return vec![Finding::ok("no file")] };
    if !has_secrets || meta.mode & 0o007 == 0 {
        return vec![Finding::ok("not for everybody's eyes")];
    }
    let mode = meta.mode & !0o007;
    vec![
        Finding::warn(format!("{} holds secrets, and everybody on this machine may read it", path.display()))
            .mend(format!("chmod o= {}", Ground::quoted(path)))
            .fix(Fix::Mode(path.clone(), mode)),
    ]
}
