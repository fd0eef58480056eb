//! What the supervisor hears: that the gateway is ready once its socket has answered, signs of life from the event
//! loop itself, and a line that tells a person how it does.
//!
//! A loop that hangs gives no sign, and the process is started anew. The line is looked at with each sign of life and
//! sent when it changed, so an idle gateway says nothing new.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use super::sockets::shown;
use crate::gateway::Gateway;
use crate::limits::READY_TRIES;
use crate::sys::knock;
use crate::sys::supervisor::Supervisor;

/// Longest pause between two looks at what there is to tell.
const LOOK: Duration = Duration::from_secs(30);
/// How long the gateway's own socket may take to answer.
const KNOCK: Duration = Duration::from_secs(2);
/// Pause after the first try to reach it; it doubles.
const KNOCK_PAUSE: Duration = Duration::from_millis(50);
/// Longest pause between two tries.
const KNOCK_PAUSE_MAX: Duration = Duration::from_secs(2);

/// What one gateway tells.
#[derive(Debug)]
pub(super) struct Telling {
    supervisor: Supervisor,
    gateway: Rc<Gateway>,
    addresses: Vec<SocketAddr>,
    /// The last line that was sent.
    told: RefCell<String>,
    /// Whether the socket has answered.
    has_answered: Cell<bool>,
}

impl Telling {
    pub(super) fn new(supervisor: Supervisor, gateway: &Rc<Gateway>, addresses: &[SocketAddr]) -> Rc<Self> {
        Rc::new(Self {
            supervisor,
            gateway: Rc::clone(gateway),
            addresses: addresses.to_vec(),
            told: RefCell::default(),
            has_answered: Cell::new(false),
        })
    }

    /// Tells for as long as it is polled.
    pub(super) async fn keep(self: Rc<Self>) {
        let clock = &self.gateway.sys.clock;
        let pause = self.supervisor.beat().unwrap_or(LOOK).min(LOOK);
        // The watchdog runs while a restart inside the process goes on: it hears of the new gateway at once.
        self.supervisor.alive(None);
        self.wait_for_answer().await;
        self.has_answered.set(true);
        self.ready();
        loop {
            clock.sleep(pause).await;
            let line = self.line();
            let is_new = *self.told.borrow() != line;
            self.supervisor.alive(is_new.then_some(line.as_str()));
            if is_new {
                self.told.replace(line);
            }
        }
    }

    /// The gateway serves, also after a reload. Before its socket has answered, that is still to come.
    pub(super) fn ready(&self) {
        if self.has_answered.get() {
            let line = self.line();
            self.supervisor.ready(&line);
            self.told.replace(line);
        }
    }

    /// Something goes on that ends with [`Telling::ready`].
    pub(super) fn reloading(&self, what: &str) {
        // Before the first READY there is nothing to reload, and the start goes on.
        if self.has_answered.get() {
            self.supervisor.reloading(what);
        }
    }

    /// Resolves when the gateway's own socket has answered a handshake. When it never does, the supervisor's time
    /// for a start passes, which is what it is for.
    async fn wait_for_answer(&self) {
        let Some(address) = self.addresses.first() else { return };
        let clock = &self.gateway.sys.clock;
        let mut pause = KNOCK_PAUSE;
        for _ in 0..READY_TRIES {
            let why = match clock.timeout(KNOCK, knock::answers(*address)).await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => error.to_string(),
                Err(_) => "it doesn't answer".to_owned(),
            };
            log::warn!("the gateway does not reach its own socket {address}: {why}");
            clock.sleep(pause).await;
            self.supervisor.alive(None);
            pause = (pause * 2).min(KNOCK_PAUSE_MAX);
        }
        log::error!("the gateway's own socket {address} does not answer; is it closed by a firewall on loopback?");
        std::future::pending::<()>().await;
    }

    /// How the gateway does, for a person.
    fn line(&self) -> String {
        let gateway = &self.gateway;
        let connected = gateway.hub.peers().len();
        let (running, queued) = gateway.runs.counts();
        let mut line = format!("Listening on {}; {}", shown(&self.addresses), counted(connected, "client"));
        if running + queued > 0 {
            line.push_str(&format!(", {} going", counted(running, "answer")));
        }
        if queued > 0 {
            line.push_str(&format!(", {queued} waiting"));
        }
        if gateway.stores.saver.trouble().is_some() {
            line.push_str("; the disk refuses writes, `barnacle status` says why");
        }
        if gateway.reload.is_refused() {
            line.push_str("; the changed configuration is refused, the log says why, and the old one is in force");
        }
        line
    }
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
