//! Commands that wait for somebody to allow or deny them, and what was allowed (connection.md 6.11).
//!
//! In memory only; the log and the allowlist are files of `stores/exec_approvals.rs`. A request
//! outlives the connection that made it, until its time is up. What is allowed may be used for a few
//! minutes, for exactly the command that was shown (`binding.rs`): once, or again on the same node.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use super::binding::{self, Command};
use crate::limits::{APPROVAL_USE_MS, APPROVALS_GRANTED, APPROVALS_PENDING};
use crate::sys::Latch;

/// What somebody decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// This once.
    AllowOnce,
    /// From now on.
    AllowAlways,
    /// No.
    Deny,
}

impl Verdict {
    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AllowOnce => "allow-once",
            Self::AllowAlways => "allow-always",
            Self::Deny => "deny",
        }
    }

    /// Reads a name from the wire.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::AllowOnce, Self::AllowAlways, Self::Deny].into_iter().find(|verdict| verdict.name() == name)
    }
}

crate::wire! {
    /// What is to be allowed, as it is shown to whoever decides. The first eight are `null` when absent.
    pub struct Request {
        command: String,
        cwd: Text,
        host: Text,
        security: Text,
        ask: Text,
        agent_id: Text,
        resolved_path: Text,
        session_key: Text,
        /// The exact arguments, when the caller gave them.
        argv: Option<Vec<String>>,
        /// The node that is to run it, when the caller named one.
        node_id: Option<String>,
    }
}

/// A text or null; never left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Text(pub Option<String>);

impl crate::wire::shape::Wire for Text {
    const KIND: crate::wire::shape::Kind = crate::wire::shape::Kind::OrNull(&crate::wire::shape::text(0));
}

/// A request that waits.
#[derive(Debug)]
pub struct Waiting {
    /// Its id.
    pub id: String,
    /// What is to be allowed.
    pub request: Request,
    /// Milliseconds since the Unix epoch.
    pub created_at_ms: u64,
    /// Milliseconds since the Unix epoch.
    pub expires_at_ms: u64,
    /// Who decided; set before the decision.
    pub by: Latch<String>,
    /// Set with the decision, or with nothing when nobody decided in time.
    pub verdict: Latch<Option<Verdict>>,
}

/// Why a request can't wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Another one waits under that id.
    SameId,
    /// Too many wait.
    Full,
}

/// The requests that wait, and what was allowed.
#[derive(Debug, Default)]
pub struct Decisions {
    waiting: RefCell<BTreeMap<String, Rc<Waiting>>>,
    granted: RefCell<VecDeque<Granted>>,
}

#[derive(Debug)]
struct Granted {
    request: Request,
    verdict: Verdict,
    /// The node that has used it.
    used_by: Option<String>,
    /// Monotonic.
    until_ms: u64,
}

impl Decisions {
    /// Lets a request wait; `now_ms` is wall time.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn ask(&self, id: String, request: Request, now_ms: u64, wait_ms: u64) -> Result<Rc<Waiting>, Refused> {
        let mut all = self.waiting.borrow_mut();
        if all.contains_key(&id) {
            return Err(Refused::SameId);
        }
        if all.len() >= APPROVALS_PENDING {
            return Err(Refused::Full);
        }
        let waiting = Rc::new(Waiting {
            id: id.clone(),
            request,
            created_at_ms: now_ms,
            expires_at_ms: now_ms.saturating_add(wait_ms),
            by: Latch::new(),
            verdict: Latch::new(),
        });
        all.insert(id, Rc::clone(&waiting));
        Ok(waiting)
    }

    /// Takes a request out, to decide about it.
    #[must_use]
    pub fn take(&self, id: &str) -> Option<Rc<Waiting>> {
        self.waiting.borrow_mut().remove(id)
    }

    /// The time of a request is up; nothing happens if it no longer waits.
    pub fn expire(&self, waiting: &Rc<Waiting>) {
        let is_there = self.waiting.borrow().get(&waiting.id).is_some_and(|other| Rc::ptr_eq(other, waiting));
        if is_there {
            self.waiting.borrow_mut().remove(&waiting.id);
            waiting.verdict.set(None);
        }
    }

    /// Somebody has decided about a request that was taken out. `now_ms` is monotonic.
    pub fn decide(&self, waiting: &Waiting, verdict: Verdict, now_ms: u64) {
        if verdict != Verdict::Deny {
            let mut granted = self.granted.borrow_mut();
            granted.retain(|grant| now_ms < grant.until_ms);
            if granted.len() >= APPROVALS_GRANTED {
                granted.pop_front();
            }
            granted.push_back(Granted {
                request: waiting.request.clone(),
                verdict,
                used_by: None,
                until_ms: now_ms.saturating_add(APPROVAL_USE_MS),
            });
        }
        waiting.verdict.set(Some(verdict));
    }

    /// Whether exactly this command on that node was allowed; uses the permission up if it holds once.
    /// `now_ms` is monotonic.
    #[must_use]
    pub fn redeem(&self, node_id: &str, command: &Command, now_ms: u64) -> Option<Verdict> {
        let mut granted = self.granted.borrow_mut();
        granted.retain(|grant| now_ms < grant.until_ms);
        let index = granted.iter().position(|grant| {
            grant.used_by.as_deref().is_none_or(|node| node == node_id)
                && binding::covers(&grant.request, node_id, command)
        })?;
        let verdict = granted.get(index)?.verdict;
        if verdict == Verdict::AllowOnce {
            granted.remove(index);
        } else if let Some(grant) = granted.get_mut(index) {
            grant.used_by = Some(node_id.to_owned());
        }
        Some(verdict)
    }

    /// Requests that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.borrow().len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
#[path = "decisions_tests.rs"]
mod tests;
