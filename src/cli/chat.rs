//! `barnacle chat`: one message or a conversation.
//!
//! [`super::turn`] knows what a frame means; this file moves frames, keeps the deadlines, and
//! connects again when the connection breaks during an answer.

use std::rc::Rc;
use std::time::Duration;

use smol::future::FutureExt as _;

use super::args::Chat;
use super::client::{Client, Incoming, Patience};
use super::client_error::{Awaited, ClientError};
use super::connection::Target;
use super::console::Console;
use super::exit::{Exit, Failure};
use super::input::{self, Interrupts, Lines};
use super::turn::{Action, Ask, Outcome, Turn};
use crate::limits::CLIENT_RECONNECTS;
use crate::sys::{Chance, Clock};

/// How long an answer may take, unless `--timeout` says so.
const ANSWER: Duration = Duration::from_secs(900);
/// Pause before the first try to reconnect; it doubles up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(500);
/// Longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(8);
/// Ticks that a living gateway may miss (guide section 2).
const TICKS_MISSED: u32 = 3;

/// Says the message that the arguments give, or talks with whoever types.
///
/// # Errors
/// What went wrong, with the exit code.
pub async fn chat(args: &Chat, target: Target, clock: Rc<dyn Clock>, console: &mut Console) -> Result<(), Failure> {
    let cannot = |error: std::io::Error| Failure::new(Exit::Failed, format!("cannot read what is typed: {error}"));
    let is_conversation = args.message.is_empty() && console.in_is_terminal();
    let message = match args.message.join(" ") {
        _ if is_conversation => String::new(),
        words if args.message.is_empty() && words.is_empty() => input::all_of_stdin()?,
        words => words,
    };
    if message.trim().is_empty() && !is_conversation {
        return Err(Failure::usage("there is no message").hint("barnacle chat \"hello\""));
    }
    let interrupts = Interrupts::of_process().map_err(cannot)?;
    let mut talk = Talk::new(args, target, clock, console, interrupts);
    let outcome = if is_conversation {
        super::prompt::converse(&mut talk, &mut Lines::of_stdin().map_err(cannot)?).await
    } else {
        talk.say(message.trim_end()).await
    };
    talk.hang_up().await;
    outcome
}

/// A conversation with one session, over as many connections as it takes.
#[derive(Debug)]
pub struct Talk<'a> {
    pub(super) console: &'a mut Console,
    pub(super) interrupts: Interrupts,
    pub(super) client: Option<Client>,
    pub(super) session: String,
    thinking: Option<&'static str>,
    target: Target,
    clock: Rc<dyn Clock>,
    pub(super) patience: Patience,
    /// Pause before the first try to reconnect.
    pub(super) pause: Duration,
    chance: Chance,
    /// Whether a part of an answer stands on the current line.
    is_line_open: bool,
}

/// Why an exchange over one connection ended early.
#[derive(Debug)]
enum Broken {
    /// The connection is over.
    Connection(ClientError),
    /// There is no use in going on.
    Given(Failure),
}

impl From<ClientError> for Broken {
    fn from(error: ClientError) -> Self {
        Self::Connection(error)
    }
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        Self::Given(failure)
    }
}

impl<'a> Talk<'a> {
    /// A conversation that isn't connected yet.
    pub fn new(
        args: &Chat,
        target: Target,
        clock: Rc<dyn Clock>,
        console: &'a mut Console,
        interrupts: Interrupts,
    ) -> Self {
        Self {
            console,
            interrupts,
            client: None,
            session: args.session.clone(),
            thinking: args.thinking,
            target,
            clock,
            patience: Patience::default(),
            pause: PAUSE,
            chance: Chance::real(),
            is_line_open: false,
        }
    }

    /// Says a message and prints the answer as it grows.
    ///
    /// # Errors
    /// What went wrong, with the exit code.
    pub async fn say(&mut self, message: &str) -> Result<(), Failure> {
        let mut turn = Turn::new(&self.session, message, self.thinking, self.chance.uuid());
        let outcome = self.follow(&mut turn).await;
        if std::mem::take(&mut self.is_line_open) {
            self.console.print("\n")?;
        }
        match outcome? {
            Outcome::Answered => Ok(()),
            Outcome::Stopped(why) => {
                self.console.note(&why);
                Err(Failure::quiet(Exit::Failed))
            }
            Outcome::Failed(why) => Err(Failure::new(Exit::Failed, why)),
            Outcome::Refused(refusal) => Err(refusal.explain_call(&[])),
        }
    }

    /// Connects, unless it is connected. Gives up at once.
    ///
    /// # Errors
    /// Why not, with the exit code.
    pub async fn connect(&mut self) -> Result<&mut Client, Failure> {
        let client = match self.client.take() {
            Some(client) => client,
            None => {
                let connecting = Client::connect(&self.clock, &self.target, self.patience);
                let connected = unless_interrupted(&mut self.interrupts, connecting).await?;
                connected.map_err(|error| error.explain(&self.target))?
            }
        };
        Ok(self.client.insert(client))
    }

    /// What to tell about a broken connection.
    pub(super) fn explain(&self, error: &ClientError) -> Failure {
        error.explain(&self.target)
    }

    /// Says good-bye.
    pub async fn hang_up(&mut self) {
        if let Some(client) = self.client.take() {
            client.close().await;
        }
    }

    async fn follow(&mut self, turn: &mut Turn) -> Result<Outcome, Failure> {
        let started = self.clock.elapsed();
        let limit = self.target.timeout.unwrap_or(ANSWER);
        let deadline = started.saturating_add(limit);
        self.connect().await?;
        let mut ask = Ask::Send;
        let mut losses = 0;
        loop {
            let error = match self.exchange(turn, ask, deadline).await {
                Ok(outcome) => return Ok(outcome),
                Err(Broken::Given(failure)) => return Err(failure),
                Err(Broken::Connection(error)) => error,
            };
            // A message that is too large leaves the connection as it was.
            if !matches!(error, ClientError::TooLarge(..)) {
                self.client = None;
            }
            losses += 1;
            if !error.is_passing() || losses > CLIENT_RECONNECTS {
                return Err(error.explain(&self.target));
            }
            self.close_line()?;
            self.console.note("the connection broke; connecting again");
            let uptime_ms = self.reconnect(deadline).await?;
            let age = self.clock.elapsed().saturating_sub(started);
            ask = turn.resume(uptime_ms.is_some_and(|uptime_ms| u128::from(uptime_ms) < age.as_millis()));
        }
    }

    /// Moves frames until the turn is over.
    async fn exchange(&mut self, turn: &mut Turn, ask: Ask, deadline: Duration) -> Result<Outcome, Broken> {
        let mut asks = vec![ask];
        loop {
            let Some(client) = &mut self.client else {
                return Err(Broken::Connection(ClientError::Lost("there is none".to_owned())));
            };
            for ask in asks.drain(..) {
                let (method, params) = turn.request(ask);
                let id = client.request(method, &params).await?;
                turn.asked(ask, id);
            }
            let silence = silence_of(client);
            let until = deadline.min(self.clock.elapsed().saturating_add(silence));
            let next = unless_interrupted(&mut self.interrupts, client.next());
            let incoming = match self.clock.before(until, next).await {
                Ok(Ok(incoming)) => incoming?,
                Ok(Err(_)) if turn.is_stopping() => return Ok(Outcome::Stopped("left before it stopped".to_owned())),
                Ok(Err(_)) => {
                    asks.push(Ask::Stop);
                    continue;
                }
                Err(_) if until == deadline => return Err(Broken::Given(too_late(&self.target))),
                Err(_) => return Err(Broken::Connection(ClientError::Timeout(Awaited::Answer, silence))),
            };
            for action in turn.on(incoming) {
                match action {
                    Action::Print { starts_over, text } => self.print(starts_over, &text)?,
                    Action::Note(text) => self.console.note(text),
                    Action::Ask(ask) => asks.push(ask),
                    Action::Over(outcome) => return Ok(outcome),
                }
            }
        }
    }

    /// Tries again and again, with growing pauses; gives the gateway's uptime in ms.
    async fn reconnect(&mut self, deadline: Duration) -> Result<Option<u64>, Failure> {
        let mut pause = self.pause;
        let mut tries = 0;
        loop {
            tries += 1;
            let wake = self.clock.elapsed().saturating_add(self.chance.jitter(pause, 20)).min(deadline);
            unless_interrupted(&mut self.interrupts, self.clock.sleep_until(wake)).await?;
            if self.clock.elapsed() >= deadline {
                return Err(too_late(&self.target));
            }
            let connecting = Client::connect(&self.clock, &self.target, self.patience);
            match unless_interrupted(&mut self.interrupts, connecting).await? {
                Ok(client) => return Ok(self.client.insert(client).hello().snapshot.uptime_ms),
                Err(error) if !error.is_passing() || tries >= CLIENT_RECONNECTS => {
                    return Err(error.explain(&self.target));
                }
                Err(_) => pause = (pause * 2).min(PAUSE_MAX),
            }
        }
    }

    fn print(&mut self, starts_over: bool, text: &str) -> Result<(), Failure> {
        if starts_over {
            self.close_line()?;
        }
        self.is_line_open = !text.ends_with('\n');
        self.console.print(text)
    }

    fn close_line(&mut self) -> Result<(), Failure> {
        if std::mem::take(&mut self.is_line_open) { self.console.print("\n") } else { Ok(()) }
    }
}

/// The longest silence of a living gateway.
pub(super) fn silence_of(client: &Client) -> Duration {
    Duration::from_millis(client.hello().policy.tick_interval_ms.clamp(1000, 600_000)) * TICKS_MISSED
}

/// Waits for the next frame of a gateway that is alive.
pub(super) async fn next_of(client: &mut Client) -> Result<Incoming, ClientError> {
    let silence = silence_of(client);
    let clock = client.clock();
    clock.timeout(silence, client.next()).await.map_err(|_| ClientError::Timeout(Awaited::Answer, silence))?
}

/// The future's output, or a quiet failure when Ctrl-C comes first.
async fn unless_interrupted<T>(interrupts: &mut Interrupts, future: impl Future<Output = T>) -> Result<T, Failure> {
    async { Ok(future.await) }
        .or(async {
            interrupts.next().await;
            Err(Failure::quiet(Exit::Failed))
        })
        .await
}

fn too_late(target: &Target) -> Failure {
    let limit = target.timeout.unwrap_or(ANSWER).as_secs_f64();
    Failure::new(Exit::Timeout, format!("the answer isn't complete after {limit} s"))
        .hint("the gateway goes on with it; `barnacle chat` shows it later, --timeout waits longer")
}

#[cfg(test)]
#[path = "chat_tests.rs"]
mod tests;
