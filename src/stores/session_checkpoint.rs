//! Writing `sessions.json` whole, while changes go on.
//!
//! Changes after the start go to a journal with a higher number, so the journals up to the start are
//! unneeded once the new file is in place. Replaying one of them once more does no harm: each line
//! holds a whole entry, and the newer journal is replayed after it.

use std::ops::Bound;
use std::path::PathBuf;
use std::rc::Rc;

use serde_json::Value;

use super::durable::{Ticket, resolve};
use super::session_load::{INDEX_NEW_FILE, journal_name};
use super::sessions::{Index, SessionStore};
use super::{Durability, Durable, SessionKey, StoreError};

/// Bytes after which other tasks get a turn.
const PIECE_BYTES: usize = 64 * 1024;

impl SessionStore {
    /// Writes the indexes that `wanted` picks; resolves when they are on the medium.
    pub(super) fn checkpoint_where(&self, wanted: impl Fn(&Index) -> bool) -> Durable {
        let mut indexes = self.0.indexes.borrow_mut();
        Durable::all(indexes.iter_mut().filter(|(_, index)| wanted(index)).map(|(agent, index)| {
            let ticket = Ticket::new(self.fresh());
            index.tickets.push(Rc::clone(&ticket));
            if !index.is_checkpointing {
                index.is_checkpointing = true;
                let (store, agent) = (self.clone(), agent.clone());
                self.0.sys.tasks.detach(async move { store.checkpoint_while_wanted(agent).await });
            }
            Durable::on(ticket)
        }))
    }

    fn fresh(&self) -> u64 {
        let number = self.0.counter.get() + 1;
        self.0.counter.set(number);
        number
    }

    async fn checkpoint_while_wanted(&self, agent: String) {
        loop {
            let started = self.fresh();
            let result = self.checkpoint(&agent).await;
            if let Err(error) = result {
                log::warn!("the session index of agent {agent} could not be written: {error}");
            }
            let mut indexes = self.0.indexes.borrow_mut();
            let Some(index) = indexes.get_mut(&agent) else { return };
            resolve(&mut index.tickets, started, result);
            if index.tickets.is_empty() {
                index.is_checkpointing = false;
                return;
            }
        }
    }

    async fn checkpoint(&self, agent: &str) -> Result<(), StoreError> {
        let saver = &self.0.saver;
        let Some(plan) = self.begin(agent) else { return Ok(()) };
        if let Some(aside) = &plan.aside {
            saver.force(aside).await?;
        }
        saver.remove(&plan.new_file)?;
        let index_bytes = match self.write_rows(agent, &plan).await {
            Ok(written) => written,
            Err(error) => {
                saver.remove(&plan.new_file)?;
                return Err(error);
            }
        };
        saver.synced(&plan.new_file).await?;
        saver.rename(&plan.new_file, &plan.index_file)?;
        saver.synced(&plan.index_file).await?;
        for (_, journal) in &plan.journals {
            // In order and one by one: a newer one must not be gone while an older one is there.
            saver.remove(journal)?;
            saver.force(&plan.index_file).await?;
        }
        self.end(agent, &plan, index_bytes);
        Ok(())
    }

    /// Turns to a new journal; what the old ones hold is in memory.
    fn begin(&self, agent: &str) -> Option<Plan> {
        let mut indexes = self.0.indexes.borrow_mut();
        let index = indexes.get_mut(agent)?;
        if index.journal_bytes > 0 {
            index.old_journals.push(index.journal);
            index.journal += 1;
            index.journal_bytes = 0;
        }
        Some(Plan {
            new_file: index.dir.join(INDEX_NEW_FILE),
            index_file: index.index_path(),
            journals: index
                .old_journals
                .iter()
                .map(|number| (*number, index.dir.join(journal_name(*number))))
                .collect(),
            aside: index.aside.clone(),
        })
    }

    fn end(&self, agent: &str, plan: &Plan, index_bytes: u64) {
        let mut indexes = self.0.indexes.borrow_mut();
        let Some(index) = indexes.get_mut(agent) else { return };
        index.old_journals.retain(|number| !plan.journals.iter().any(|(done, _)| done == number));
        index.index_bytes = index_bytes;
        index.is_mended = false;
        index.aside = None;
    }

    /// Writes the rows in pieces; gives back the size. A row that changes meanwhile may be written
    /// either way: its change is in the new journal.
    async fn write_rows(&self, agent: &str, plan: &Plan) -> Result<u64, StoreError> {
        let mut written = 0;
        let mut position = Position::Start;
        while let Some((piece, next)) = self.piece_after(agent, position) {
            self.0.saver.append(&plan.new_file, piece.as_bytes(), Durability::Forced)?;
            written += piece.len() as u64;
            position = next;
            smol::future::yield_now().await;
        }
        Ok(written)
    }

    fn piece_after(&self, agent: &str, position: Position) -> Option<(String, Position)> {
        let indexes = self.0.indexes.borrow();
        let rows = &indexes.get(agent)?.rows;
        let mut piece = String::new();
        let mut last = match position {
            Position::Start => None,
            Position::After(key) => Some(key),
            Position::End => return None,
        };
        let from = last.clone().map_or(Bound::Unbounded, Bound::Excluded);
        for (key, row) in rows.range((from, Bound::Unbounded)) {
            piece.push_str(if last.is_none() { "{\n  " } else { ",\n  " });
            piece.push_str(&Value::from(key.as_str()).to_string());
            piece.push_str(": ");
            piece.push_str(&indented(row.text()));
            last = Some(key.clone());
            if piece.len() >= PIECE_BYTES {
                return Some((piece, last.map_or(Position::End, Position::After)));
            }
        }
        piece.push_str(if last.is_none() { "{}\n" } else { "\n}\n" });
        Some((piece, Position::End))
    }
}

struct Plan {
    new_file: PathBuf,
    index_file: PathBuf,
    journals: Vec<(u64, PathBuf)>,
    aside: Option<PathBuf>,
}

/// How far the index is written.
enum Position {
    Start,
    After(SessionKey),
    End,
}

/// The JSON with two spaces a level, one level in.
fn indented(text: &str) -> String {
    // A text within JSON holds no newline of its own.
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    format!("{value:#}").replace('\n', "\n  ")
}
