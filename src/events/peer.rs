//! A connection that finished its handshake, as the rest of the gateway sees it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::following::Following;
use super::outbox::{Outbox, Pushed, Shared, Tail};
use crate::sys::tasks::Task;
use crate::wire::Dialect;
use crate::wire::event::{Audience, Event};
use crate::wire::handshake::{Client, Grant, Offer, Role};

/// One admitted connection.
#[derive(Debug)]
pub struct Peer {
    /// Number of this connection in this process.
    pub id: u64,
    /// Its id on the wire, a UUID.
    pub conn_id: String,
    /// How the protocol looks here.
    pub dialect: &'static dyn Dialect,
    /// Role and scopes.
    pub grant: Grant,
    /// Who it says it is.
    pub client: Client,
    /// The device that it proved to be, by its id.
    pub device_id: Option<String>,
    /// What a node brings; empty for others.
    pub offer: Offer,
    /// Its address; `None` when it came over a proxy that nobody vouches for.
    pub address: Option<String>,
    /// Key of its presence entry; `None` for clients that have none.
    pub presence_key: Option<String>,
    /// What it has still to be sent.
    pub outbox: Rc<Outbox>,
    /// The sessions that it wants to hear of, as a node.
    following: RefCell<Following>,
    /// Number of the last event it was meant to get, sent or skipped.
    seq: Cell<u64>,
    /// Calls that wait for their answer; dropping them with the connection cancels them.
    calls: RefCell<Vec<(u64, Task<()>)>>,
    next_call: Cell<u64>,
}

/// What is known of a connection when it is admitted; the fields are those of [`Peer`].
#[derive(Debug)]
#[allow(missing_docs, reason = "each is told at the field of the same name in Peer")]
pub struct Admission {
    pub id: u64,
    pub conn_id: String,
    pub dialect: &'static dyn Dialect,
    pub grant: Grant,
    pub client: Client,
    pub device_id: Option<String>,
    pub offer: Offer,
    pub address: Option<String>,
    pub presence_key: Option<String>,
    pub outbox: Rc<Outbox>,
}

impl Peer {
    /// A connection that was just admitted.
    #[must_use]
    pub fn new(admission: Admission) -> Self {
        let Admission { id, conn_id, dialect, grant, client, device_id, offer, address, presence_key, outbox } =
            admission;
        Self {
            id,
            conn_id,
            dialect,
            grant,
            client,
            device_id,
            offer,
            address,
            presence_key,
            outbox,
            following: RefCell::default(),
            seq: Cell::new(0),
            calls: RefCell::new(Vec::new()),
            next_call: Cell::new(0),
        }
    }

    /// Whether it has that scope; `operator.admin` has all.
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        self.grant.scopes.iter().any(|have| have == scope || have == "operator.admin")
    }

    /// Whether an event with that audience is for it.
    #[must_use]
    pub fn hears(&self, audience: Audience) -> bool {
        match audience {
            Audience::Everyone => true,
            Audience::Operators => {
                self.grant.role == Role::Operator
                    && (self.has_scope("operator.read") || self.has_scope("operator.write"))
            }
            Audience::Pairing => self.grant.role == Role::Operator && self.has_scope("operator.pairing"),
            Audience::Approvals => self.grant.role == Role::Operator && self.has_scope("operator.approvals"),
            Audience::Direct => false,
        }
    }

    /// Whether it is a node that is subscribed to what the event is about (connection.md 6.5).
    #[must_use]
    pub fn follows(&self, event: &Event) -> bool {
        self.grant.role == Role::Node && self.following.borrow().covers(event)
    }

    /// Changes what it is subscribed to.
    pub fn change_following(&self, change: impl FnOnce(&mut Following)) {
        change(&mut self.following.borrow_mut());
    }

    /// Queues an event with this connection's next number. A skipped one uses up its number, so that
    /// the client sees the gap.
    #[must_use]
    pub fn push_event(&self, body: Rc<Shared>, drop_if_slow: bool) -> Pushed {
        let seq = self.seq.get() + 1;
        let mut tail = Tail::new();
        // The capacity is that of the largest number.
        let _ = std::fmt::Write::write_fmt(&mut TailText(&mut tail), format_args!(",\"seq\":{seq}}}"));
        let pushed = self.outbox.push_shared(body, tail, drop_if_slow);
        if pushed != Pushed::NoRoom {
            self.seq.set(seq);
        }
        pushed
    }

    /// Uses up a number for an event that this connection misses.
    pub fn skip_event(&self) {
        self.seq.set(self.seq.get() + 1);
    }

    /// Calls that wait for their answer.
    #[must_use]
    pub fn calls_in_flight(&self) -> usize {
        self.calls.borrow().len()
    }

    /// Takes a number for a call that will wait.
    #[must_use]
    pub fn next_call(&self) -> u64 {
        let call = self.next_call.get();
        self.next_call.set(call + 1);
        call
    }

    /// Keeps a waiting call.
    pub fn keep_call(&self, call: u64, task: Task<()>) {
        self.calls.borrow_mut().push((call, task));
    }

    /// Forgets a call that has been answered.
    pub fn end_call(&self, call: u64) {
        let task = {
            let mut calls = self.calls.borrow_mut();
            calls.iter().position(|(have, _)| *have == call).map(|index| calls.swap_remove(index).1)
        };
        if let Some(task) = task {
            task.detach();
        }
        let mut calls = self.calls.borrow_mut();
        if calls.is_empty() {
            calls.shrink_to_fit();
        }
    }

    /// Cancels what still waits.
    pub fn cancel_calls(&self) {
        let calls = self.calls.take();
        drop(calls);
    }
}

/// Writes text into a [`Tail`].
struct TailText<'a>(&'a mut Tail);

impl std::fmt::Write for TailText<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.extend_from_slice(text.as_bytes()).map_err(|()| std::fmt::Error)
    }
}
