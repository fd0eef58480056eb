//! What a power cut leaves of a [`super::SimFiles`].
//!
//! Harsher than a journalling file system: changes of names survive in any combination, not only
//! as a prefix. What passes here doesn't lean on the order in which a file system writes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::medium::{Change, Inode, State, apply};
use crate::sys::Chance;

/// Suffix of the temporary file of a replacement, as in `sys/disk.rs`.
const TEMPORARY_SUFFIX: &str = ".tmp";

/// The state that is found after the power came back.
pub(super) fn survivors(mut state: State, chance: &Chance) -> State {
    let mut names = surviving_names(&state, chance);
    for (path, bytes) in std::mem::take(&mut state.unfinished).into_values() {
        leave_replacement(&mut state, &mut names, path, bytes, chance);
    }
    // A name may have survived twice for one file; each name gets its own copy.
    let mut found = State { directories: std::mem::take(&mut state.directories), ..State::default() };
    for (number, (path, inode)) in (1..).zip(names) {
        let inode = state.inodes.get(&inode).cloned().unwrap_or_default();
        let content = surviving_content(&inode, chance);
        found.durable_names.insert(path.clone(), number);
        found.names.insert(path, number);
        found.inodes.insert(number, Inode { durable: content.clone(), content, modified_ms: inode.modified_ms });
    }
    found.next = found.inodes.len() as u64;
    found
}

/// Synced names, with each unsynced change lost or kept: all up to a point, or any selection.
fn surviving_names(state: &State, chance: &Chance) -> BTreeMap<PathBuf, u64> {
    let mut names = state.durable_names.clone();
    let in_order = chance.below(2) == 0;
    let kept_until = chance.below(state.pending.len() as u64 + 1);
    for (index, (_, change)) in (0..).zip(&state.pending) {
        let kept = if in_order { index < kept_until } else { chance.below(2) == 0 };
        let possible = match change {
            Change::Rename(from, _, inode) => names.get(from) == Some(inode),
            Change::Link(..) | Change::Unlink(_) => true,
        };
        if kept && possible {
            apply(&mut names, change);
        }
    }
    names
}

fn leave_replacement(
    state: &mut State,
    names: &mut BTreeMap<PathBuf, u64>,
    path: PathBuf,
    bytes: Vec<u8>,
    chance: &Chance,
) {
    let inode = Inode { content: bytes, ..Inode::default() };
    match chance.below(3) {
        0 => {}
        1 => {
            let number = state.add(Inode { durable: inode.content.clone(), ..inode });
            names.insert(path, number);
        }
        _ => {
            let mut temporary = path.into_os_string();
            temporary.push(TEMPORARY_SUFFIX);
            let number = state.add(inode);
            names.insert(temporary.into(), number);
        }
    }
}

/// Synced content, with what was written since lost, kept, torn or partly NULs.
fn surviving_content(inode: &Inode, chance: &Chance) -> Vec<u8> {
    let Inode { content, durable, .. } = inode;
    if content == durable || chance.below(3) == 0 {
        return durable.clone();
    }
    let common = content.iter().zip(durable).take_while(|(a, b)| a == b).count();
    let unsynced = content.len() - common;
    let reached = common + index(chance, unsynced + 1);
    let mut found: Vec<u8> = content.iter().copied().take(reached).collect();
    if chance.below(3) == 0 {
        let from = common + index(chance, unsynced + 1);
        let until = from + index(chance, unsynced + 1);
        for (at, byte) in found.iter_mut().enumerate() {
            if (from..until).contains(&at) {
                *byte = 0;
            }
        }
    }
    found
}

fn index(chance: &Chance, bound: usize) -> usize {
    usize::try_from(chance.below(bound as u64)).unwrap_or(0)
}
