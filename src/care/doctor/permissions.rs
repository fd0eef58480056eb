//! Who may read and write what the gateway keeps.

use std::io;
use std::path::Path;

use super::finding::{Finding, Fix};
use super::ground::Ground;
use crate::limits::BACKUP_FILES;
use crate::sys::host;
use crate::sys::tree::{self, Kind};

/// Most files that are named one by one.
const NAMED: usize = 5;
/// Below the state directory, what agents and installers write as they like.
const FREE: [&str; 3] = ["workspace", "skills", "media"];

pub(super) fn look(ground: &Ground) -> Vec<Finding> {
    let dir = &ground.places.state_dir;
    let quoted = Ground::quoted(dir);
    let meta = match tree::meta(dir) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return vec![
                Finding::note(format!("{} isn't there yet; the first start makes it", dir.display()))
                    .mend("barnacle run")
                    .fix(Fix::MakeDir(dir.clone())),
            ];
        }
        Err(error) => {
            return vec![Finding::fail(format!("{}: {error}", dir.display())).mend("sudo barnacle doctor")];
        }
    };
    let mut findings = Vec::new();
    if meta.kind == Kind::Directory && meta.mode & 0o077 != 0 {
        findings.push(
            Finding::warn(format!("others may look into {} (mode {:o})", dir.display(), meta.mode))
                .mend(format!("chmod 700 {quoted}"))
                .fix(Fix::Mode(dir.clone(), 0o700)),
        );
    }
    let found = match tree::walk(dir, BACKUP_FILES, |path| !FREE.iter().any(|free| path.starts_with(free))) {
        Ok(found) => found,
        Err(error) => {
            findings.push(
                Finding::fail(format!("{} can't be read: {error}", dir.display()))
                    .mend(format!("sudo barnacle doctor --state-dir {quoted}")),
            );
            return findings;
        }
    };
    let is_open = |meta: &tree::Meta| meta.kind != Kind::Other && meta.mode & 0o077 != 0;
    let open: Vec<_> = found.iter().filter(|(_, meta)| is_open(meta)).collect();
    for (index, (path, meta)) in open.iter().enumerate() {
        let mode = if meta.kind == Kind::Directory { 0o700 } else { 0o600 };
        let what = if index < NAMED {
            format!("others may read {} (mode {:o})", path.display(), meta.mode)
        } else {
            format!("others may read {}", path.display())
        };
        let path = dir.join(path);
        let fix = Fix::Mode(path.clone(), mode);
        findings.push(Finding::warn(what).mend(format!("chmod {mode:o} {}", Ground::quoted(&path))).fix(fix));
    }
    let owner = meta.owner;
    let foreign = found.iter().filter(|(_, meta)| meta.owner.0 != owner.0).count();
    if foreign > 0 {
        findings.push(
            Finding::fail(format!("{foreign} files in {} belong to somebody else than the directory", dir.display()))
                .mend(format!("sudo chown -R --reference={quoted} {quoted}")),
        );
    }
    if owner.0 != tree::own_ids().0 && !host::is_root() {
        findings.push(
            Finding::note(format!("{} belongs to another user", dir.display()))
                .mend(format!("sudo barnacle doctor --state-dir {quoted}")),
        );
    }
    if findings.is_empty() {
        findings.push(Finding::ok(if has_token(dir) {
            "its owner's alone, the token too"
        } else {
            "its owner's alone"
        }));
    }
    findings
}

fn has_token(dir: &Path) -> bool {
    host::is_there(&dir.join(crate::config::first_start::TOKEN_FILE))
}
