//! A job in the field's form (methods.md 10.1).

use std::fmt;

use serde::{Deserialize, Serialize};

use super::schedule::{BadSchedule, Schedule, Timetable};
use crate::limits::{CRON_MESSAGE_CHARS, CRON_NAME_CHARS};
use crate::wire::shape::{Kind, Wire, int, int_within, text_within};

macro_rules! words {
    ($($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ })+) => { $(
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $name { $( $(#[$doc])* #[serde(rename = $word)] $variant, )+ }

        impl Wire for $name {
            const KIND: Kind = Kind::OneOf(&[$($word),+]);
        }

        impl $name {
            /// The word on the wire and on disk.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $( Self::$variant => $word, )+ }
            }
        }
    )+ };
}

words! {
    /// In which session a job runs.
    Target {
        /// The agent's main one.
        Main = "main",
        /// One of its own, with a fresh transcript every time.
        Isolated = "isolated",
    }
    /// When the agent looks at what a job left for the main session.
    WakeMode {
        /// At once.
        Now = "now",
        /// With the next heartbeat.
        NextHeartbeat = "next-heartbeat",
    }
    /// What becomes of times that passed while the gateway didn't run (or its clock was behind).
    Missed {
        /// They are left out.
        Skip = "skip",
        /// One run makes up for all of them.
        Once = "once",
        /// Each is made up for, up to a bound.
        All = "all",
    }
    /// How a run ended.
    Status {
        /// It did what it should.
        Ok = "ok",
        /// It failed.
        Error = "error",
        /// There was a reason not to do it.
        Skipped = "skipped",
    }
    /// How much of an isolated run the main session hears of.
    PostMode {
        /// The summary.
        Summary = "summary",
        /// The whole answer, cut at a bound.
        Full = "full",
    }
}

/// What a job does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Payload {
    /// A line for the main session.
    SystemEvent(SystemEvent),
    /// A message that the agent answers.
    AgentTurn(AgentTurn),
    /// A text that is told as it is, without a model. Ours.
    Reminder(Reminder),
}

impl Wire for Payload {
    const KIND: Kind = Kind::Tagged {
        tag: "kind",
        of: &[("systemEvent", SystemEvent::KIND), ("agentTurn", AgentTurn::KIND), ("reminder", Reminder::KIND)],
    };
}

crate::wire! {
    /// A line for the main session.
    #[derive(PartialEq)]
    pub struct SystemEvent {
        text: String = text_within(1, CRON_MESSAGE_CHARS),
    }

    /// A message that the agent answers.
    #[derive(PartialEq)]
    pub struct AgentTurn {
        message: String = text_within(1, CRON_MESSAGE_CHARS),
        /// Model of this job alone.
        model: Option<String> = text_within(0, CRON_NAME_CHARS),
        /// Thinking level of this job alone.
        thinking: Option<String> = text_within(0, CRON_NAME_CHARS),
        /// Time limit.
        timeout_seconds: Option<u64> = int_within(1, 86_400),
        /// Whether the answer goes to a channel; when left out, it does if there is a recipient.
        deliver: Option<bool>,
        /// Its id, or `last` for the session's last one.
        channel: Option<String> = text_within(0, CRON_NAME_CHARS),
        /// The recipient on it.
        to: Option<String> = text_within(0, CRON_NAME_CHARS),
        /// Whether a failed delivery is no failure of the job.
        best_effort_deliver: Option<bool>,
    }

    /// A text that is told as it is.
    #[derive(PartialEq)]
    pub struct Reminder {
        text: String = text_within(1, CRON_MESSAGE_CHARS),
        /// The conversation in which it is told; the agent's main one when left out.
        session_key: Option<String> = text_within(0, CRON_NAME_CHARS),
        /// The channel over which it is sent too.
        channel: Option<String> = text_within(0, CRON_NAME_CHARS),
        /// The recipient on it.
        to: Option<String> = text_within(0, CRON_NAME_CHARS),
        /// The account to send from.
        account_id: Option<String> = text_within(0, CRON_NAME_CHARS),
    }

    /// What the main session hears of an isolated run.
    #[derive(PartialEq)]
    pub struct Isolation {
        /// `Cron` when left out.
        post_to_main_prefix: Option<String> = text_within(0, CRON_NAME_CHARS),
        post_to_main_mode: Option<PostMode>,
        /// Characters of a full answer, 8,000 when left out.
        post_to_main_max_chars: Option<u64> = int(0),
    }

    /// What became of a job so far.
    #[derive(PartialEq, Default)]
    pub struct State {
        next_run_at_ms: Option<u64>,
        /// Since when it runs; found at a start, it means that the gateway ended during the run.
        running_at_ms: Option<u64>,
        last_run_at_ms: Option<u64>,
        last_status: Option<Status>,
        last_error: Option<String>,
        last_duration_ms: Option<u64>,
        /// Failed (or skipped) runs since the last one that went well.
        consecutive_errors: Option<u32>,
    }

    /// Somebody on a channel who asked for a job; it acts on that person's word.
    #[derive(PartialEq)]
    pub struct AskedBy {
        channel: String,
        account_id: String,
        sender_id: String,
        username: Option<String>,
        /// The chat in which it was asked for.
        chat: String,
    }

    /// A scheduled job.
    #[derive(PartialEq)]
    pub struct Job {
        id: String,
        /// The agent that does it; the default one when left out or unknown.
        agent_id: Option<String>,
        name: String,
        description: Option<String>,
        #[serde(default = "yes")]
        enabled: bool,
        /// Whether an `at` job is removed once it went well.
        delete_after_run: Option<bool>,
        #[serde(default)]
        created_at_ms: u64,
        /// Moves when the job runs, too.
        #[serde(default)]
        updated_at_ms: u64,
        schedule: Schedule,
        session_target: Target,
        wake_mode: WakeMode,
        payload: Payload,
        isolation: Option<Isolation>,
        /// What becomes of missed times; `cron.missed` when left out.
        missed: Option<Missed>,
        /// Who asked for it over a channel; the owner's own jobs have nobody.
        asked_by: Option<AskedBy>,
        #[serde(default)]
        state: State,
    }
}

fn yes() -> bool {
    true
}

/// Why a job can't be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadJob {
    /// A system event has no session of its own.
    IsolatedEvent,
    /// Its schedule can't be used.
    Schedule(BadSchedule),
}

impl fmt::Display for BadJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IsolatedEvent => f.write_str("Error: isolated cron jobs require payload.kind=\"agentTurn\""),
            Self::Schedule(bad) => bad.fmt(f),
        }
    }
}

impl std::error::Error for BadJob {}

impl Job {
    /// When it is due.
    ///
    /// # Errors
    /// [`BadSchedule`]; a job in the book may have one when the host's zone data changed.
    pub fn timetable(&self, home: &jiff::tz::TimeZone) -> Result<Timetable, BadSchedule> {
        Timetable::of(&self.schedule, self.created_at_ms, home)
    }

    /// Checks what the fields mean together, and sets the time of the next run from `now_ms` on.
    ///
    /// # Errors
    /// [`BadJob`].
    pub fn plan(&mut self, now_ms: u64, home: &jiff::tz::TimeZone) -> Result<(), BadJob> {
        if self.session_target == Target::Isolated && !matches!(self.payload, Payload::AgentTurn(_)) {
            return Err(BadJob::IsolatedEvent);
        }
        let timetable = self.timetable(home).map_err(BadJob::Schedule)?;
        let next = match &timetable {
            // A past time is due at once.
            Timetable::At(at) => Some(*at),
            timetable => timetable.next(now_ms),
        };
        if let (None, Schedule::Cron(expression)) = (next, &self.schedule) {
            return Err(BadJob::Schedule(BadSchedule::Never(expression.expr.clone())));
        }
        self.state.next_run_at_ms = next.filter(|_| self.enabled);
        self.state.consecutive_errors = None;
        Ok(())
    }

    /// Whether it is due once only.
    #[must_use]
    pub fn is_once(&self) -> bool {
        matches!(self.schedule, Schedule::At(_))
    }
}

/// Whether an id can be a file name: what the gateway makes always can.
#[must_use]
pub fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}
