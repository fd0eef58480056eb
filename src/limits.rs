//! Every bound of the gateway, in one place.
//!
//! [`Limits`] are the bounds that an owner may change under `gateway.limits` in the configuration;
//! the constants below it are fixed. `docs/limits.md` is printed from [`Limits::ROWS`] and
//! [`FIXED`]; the configuration refuses a value outside a row's range.

/// One configurable bound, for the configuration, the documentation and the tests.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Key under `gateway.limits`.
    pub key: &'static str,
    /// Value when the configuration says nothing.
    pub default: u64,
    /// Smallest accepted value.
    pub min: u64,
    /// Largest accepted value.
    pub max: u64,
    /// What is bounded, with its unit.
    pub what: &'static str,
    /// What happens at the bound.
    pub when_full: &'static str,
}

macro_rules! limits {
    ($( $(#[doc = $doc:literal])+ $field:ident / $key:literal = $default:literal in $min:literal ..= $max:literal, full: $full:literal; )+) => {
        /// The bounds that an owner may change, as configured.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Limits {
            $( $(#[doc = $doc])+ pub $field: u64, )+
        }

        impl Limits {
            /// All configurable bounds, in the order of the documentation.
            pub const ROWS: &'static [Row] = &[
                $( Row { key: $key, default: $default, min: $min, max: $max, what: concat!($($doc),+), when_full: $full }, )+
            ];

            /// Sets the bound with that configuration key.
            ///
            /// # Errors
            /// The row whose range `value` leaves, or `None` when no bound has that key.
            pub fn set(&mut self, key: &str, value: u64) -> Result<(), Option<&'static Row>> {
                let row = Self::ROWS.iter().find(|row| row.key == key).ok_or(None)?;
                if value < row.min || value > row.max {
                    return Err(Some(row));
                }
                match key {
                    $( $key => self.$field = value, )+
                    _ => return Err(None),
                }
                Ok(())
            }
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $( $field: $default, )+ }
            }
        }
    };
}

limits! {
    /// Open connections in all.
    connections / "connections" = 2048 in 4..=20000, full: "HTTP 503, then close";
    /// Open connections from one address; loopback and trusted proxies are exempt.
    connections_per_address / "connectionsPerAddress" = 64 in 1..=20000, full: "HTTP 503, then close";
    /// Connections that have not finished the handshake, in all.
    pending_connections / "pendingConnections" = 256 in 2..=5000, full: "HTTP 503, then close";
    /// Connections that have not finished the handshake, from one address; loopback counts too.
    pending_per_address / "pendingPerAddress" = 128 in 1..=5000, full: "HTTP 503, then close";
    /// Time from the accepted socket to hello-ok, ms.
    handshake_ms / "handshakeMs" = 10000 in 1000..=60000, full: "HTTP 408 before the upgrade, close 1000 after it";
    /// Largest incoming message after the handshake, bytes; announced as policy.maxPayload.
    max_payload / "maxPayload" = 1048576 in 16384..=26214400, full: "close 1009";
    /// The same for nodes, which return pictures; announced in their hello-ok.
    node_max_payload / "nodeMaxPayload" = 8388608 in 16384..=26214400, full: "the message is dropped, the invoke that waits for it fails; close 1009 for one in fragments";
    /// Unsent bytes of one connection; announced as policy.maxBufferedBytes.
    max_buffered_bytes / "maxBufferedBytes" = 10485760 in 262144..=67108864, full: "droppable events are skipped, then close 1008 `slow consumer` (without a close frame within a frame over 16 KiB)";
    /// Unsent bytes of all connections together.
    total_buffered_bytes / "totalBufferedBytes" = 33554432 in 1048576..=1073741824, full: "the connection that holds most is closed with 1008 `slow consumer`";
    /// Bytes of incoming messages and waiting calls of all connections together.
    total_incoming_bytes / "totalIncomingBytes" = 16777216 in 1048576..=1073741824, full: "close 1013 `gateway is out of buffer space`, or UNAVAILABLE";
    /// Time that the socket may take no byte while some wait, ms.
    write_stall_ms / "writeStallMs" = 30000 in 1000..=600000, full: "the socket is cut";
    /// Interval of the tick event, ms; announced as policy.tickIntervalMs.
    tick_interval_ms / "tickIntervalMs" = 30000 in 1000..=300000, full: "-";
    /// Calls of one connection that wait for their answer.
    calls_per_connection / "callsPerConnection" = 64 in 1..=1024, full: "UNAVAILABLE, retryable";
    /// Calls of all connections that wait for their answer.
    calls_in_flight / "callsInFlight" = 512 in 4..=8192, full: "UNAVAILABLE, retryable";
    /// Remembered answers of finished requests with an idempotency key.
    idempotency_keys / "idempotencyKeys" = 1000 in 16..=10000, full: "the oldest is forgotten";
    /// Runs that wait in one session's lane.
    lane_queue / "laneQueue" = 20 in 1..=200, full: "UNAVAILABLE, retryable";
    /// Runs that wait in all lanes together.
    runs_queued / "runsQueued" = 100 in 1..=1000, full: "UNAVAILABLE, retryable";
    /// Text of one run's answer, bytes.
    run_output_bytes / "runOutputBytes" = 524288 in 4096..=4194304, full: "the answer ends there with stop reason `length`";
    /// Response body of a model provider, bytes.
    provider_response_bytes / "providerResponseBytes" = 33554432 in 65536..=268435456, full: "the run ends with an error";
    /// Conversation that is sent to a model, bytes of transcript.
    prompt_bytes / "promptBytes" = 2097152 in 16384..=16777216, full: "the oldest messages are left out";
    /// Sessions in the index.
    sessions / "sessions" = 20000 in 16..=200000, full: "INVALID_REQUEST that says to delete some";
    /// JSON of one chat.history answer, bytes; at most a third of maxBufferedBytes.
    history_bytes / "historyBytes" = 6291456 in 65536..=33554432, full: "the oldest messages are left out";
    /// Wrong credentials from one address within a minute.
    auth_failures / "authFailures" = 10 in 3..=1000, full: "refused with retryAfterMs for five minutes";
}

/// Request head of an upgrade, bytes. Over it: HTTP 431.
pub const REQUEST_HEAD_BYTES: usize = 8 * 1024;
/// Largest message before hello-ok, bytes. Over it: close 1009.
pub const HANDSHAKE_MESSAGE_BYTES: usize = 64 * 1024;
/// WebSocket library read buffer of a connection, bytes.
pub const READ_BUFFER_BYTES: usize = 1024;
/// Incoming bytes that a connection may hold without drawing on `total_incoming_bytes`.
pub const INCOMING_ALLOWANCE_BYTES: usize = 4 * 1024;
/// Depth of arrays and objects in an incoming message (the parser's own limit). Over it: the frame is refused.
pub const JSON_DEPTH: usize = 128;
/// A close reason, bytes of UTF-8 (RFC 6455 allows 123). Longer ones are cut.
pub const CLOSE_REASON_BYTES: usize = 120;
/// Presence entries. The oldest leaves.
pub const PRESENCE_ENTRIES: usize = 200;
/// Lifetime of a presence entry whose client is gone, ms.
pub const PRESENCE_TTL_MS: u64 = 5 * 60 * 1000;
/// Addresses with counted authentication failures. The oldest leaves.
pub const AUTH_ADDRESSES: usize = 1024;
/// Window in which failures are counted, ms.
pub const AUTH_WINDOW_MS: u64 = 60 * 1000;
/// How long an address that failed too often is refused, ms.
pub const AUTH_LOCKOUT_MS: u64 = 5 * 60 * 1000;
/// Difference between a device's clock and the gateway's that a signature may have, ms (connection.md 3.4).
pub const SIGNATURE_SKEW_MS: u64 = 10 * 60 * 1000;
/// Devices that are paired. Further ones are refused.
pub const PAIRED_DEVICES: usize = 500;
/// Devices, or legacy nodes, that wait for approval. Further ones are refused.
pub const PAIRING_PENDING: usize = 64;
/// How long a device waits for approval, ms (connection.md 3.6).
pub const PAIRING_TTL_MS: u64 = 5 * 60 * 1000;
/// One device, or one request to pair, in its file, bytes. What would be larger is refused.
pub const DEVICE_BYTES: usize = 12 * 1024;
/// What is kept of a name or another text that a device says of itself, characters.
pub const DEVICE_TEXT_CHARS: usize = 128;
/// Nodes of the older transport that are paired. Further ones are refused.
pub const PAIRED_NODES: usize = 100;
/// One such node, or its request, in its file, bytes. What would be larger is refused.
pub const NODE_RECORD_BYTES: usize = 32 * 1024;
/// One exec approval while it waits or holds, bytes. A larger one is refused.
pub const APPROVAL_BYTES: usize = 32 * 1024;
/// Parts into which one message to a channel is split. A longer one is refused by `send`; an answer is cut.
pub const DELIVERY_PARTS: usize = 64;
/// HTTP bodies that are read at once for callers whom only the body can prove. Further ones: HTTP 503.
pub const UNPROVEN_BODIES: usize = 8;
/// Values in the JSON body of an HTTP request. More are refused before they are read.
pub const HTTP_JSON_VALUES: usize = 20_000;
/// A file of devices or of requests, bytes. A larger one is set aside as unreadable.
pub const DEVICES_FILE_BYTES: u64 = 8 * 1024 * 1024;
/// Confirmed logins of the tailnet that are remembered. The oldest leaves.
pub const TAILNET_LOGINS: usize = 64;
/// How long a confirmed login is remembered, ms.
pub const TAILNET_LOGIN_TTL_MS: u64 = 60 * 1000;
/// Answer of the Tailscale daemon, bytes. A larger one counts as none.
pub const TAILSCALE_ANSWER_BYTES: u64 = 64 * 1024;
/// Messages that wait to be sent on one channel. Further ones are refused.
pub const QUEUE_ITEMS: usize = 200;
/// Their texts, bytes. Further ones are refused.
pub const QUEUE_BYTES: usize = 1024 * 1024;
/// Lines of a delivery queue's file beyond what it began with, bytes; then the next file begins.
pub const QUEUE_FILE_BYTES: u64 = 256 * 1024;
/// Text of one message to a channel, bytes. A longer one is refused.
pub const SEND_TEXT_BYTES: usize = 256 * 1024;
/// Media addresses of one message. More are refused.
pub const SEND_MEDIA: usize = 10;
/// Failed tries after which a message is given up.
pub const DELIVERY_TRIES: u32 = 24;
/// Pause after the first failed try, ms; each further one doubles it.
pub const DELIVERY_PAUSE_MS: u64 = 1000;
/// Longest pause between two tries, ms.
pub const DELIVERY_PAUSE_MAX_MS: u64 = 10 * 60 * 1000;
/// Time in which a service must have taken a message, ms. Then the try has failed.
pub const DELIVERY_TRY_MS: u64 = 30 * 1000;
/// How long `send` and `poll` wait for the first tries, ms. Then the message goes on waiting alone.
pub const SEND_WAIT_MS: u64 = 25 * 1000;
/// Longest pause before a lost channel is connected again, ms.
pub const CHANNEL_PAUSE_MAX_MS: u64 = 5 * 60 * 1000;
/// Ids of messages that came in, kept to notice repeats. The oldest leaves.
pub const INBOUND_IDS: usize = 1000;
/// Messages from channels that wait for their answer. Further ones wait at their service.
pub const INBOX_OWED: usize = 200;
/// One line of the file of messages that came in, bytes. A longer one counts as damage.
pub const INBOX_LINE_BYTES: usize = 16 * 1024;
/// That file beyond what it began with, bytes; then the next one begins.
pub const INBOX_FILE_BYTES: u64 = 128 * 1024;
/// Starts of the gateway that try to answer a message; then its sender is told.
pub const OWED_TRIES: u32 = 2;
/// Text that a tool gives back to the model, bytes. More is cut.
pub const TOOL_TEXT_BYTES: usize = 64 * 1024;
/// A picture that a tool gives back to the model, bytes of base64. A larger one is refused.
pub const TOOL_IMAGE_BYTES: usize = 6 * 1024 * 1024;
/// How long a tool's call waits for an approval, ms.
pub const TOOL_ASK_MS: u64 = 3 * 60 * 1000;
/// Tools that somebody has allowed for the rest of a session. The oldest permission leaves.
pub const TOOL_GRANTS: usize = 200;
/// What a call is about, for whoever decides, characters. A call with more to show can't be approved.
pub const TOOL_SHOWN_CHARS: usize = 3000;
/// The same in the audit log, characters. More is cut.
pub const TOOL_SUMMARY_CHARS: usize = 500;
/// A file of the log of tool calls, bytes; then the next one begins.
pub const AUDIT_BYTES: u64 = 1024 * 1024;
/// Files of that log. The oldest is deleted.
pub const AUDIT_FILES: u64 = 5;
/// A file that an agent writes, bytes. A larger one is refused.
pub const WORKSPACE_WRITE_BYTES: usize = 256 * 1024;
/// Lines of a file that an agent reads at once. The rest is told of.
pub const WORKSPACE_READ_LINES: usize = 2000;
/// Entries of a directory that an agent is shown. More are counted.
pub const WORKSPACE_ENTRIES: usize = 500;
/// Pictures and files that came in or were taken, bytes in all. The oldest are deleted.
pub const MEDIA_BYTES: u64 = 128 * 1024 * 1024;
/// How many of them. The oldest are deleted.
pub const MEDIA_FILES: usize = 500;
/// A file that a command in the sandbox may write, bytes. The kernel stops it there.
pub const SANDBOX_FILE_BYTES: u64 = 1024 * 1024 * 1024;
/// Files that such a command may have open.
pub const SANDBOX_FILES: u64 = 256;
/// A page that an agent fetches, bytes. The rest is left out.
pub const FETCH_BYTES: u64 = 2 * 1024 * 1024;
/// Output of a command that an agent is shown, bytes of each stream: the last ones.
pub const EXEC_OUTPUT_BYTES: usize = 24 * 1024;
/// Daily notes that an agent's search looks through, the newest ones.
pub const NOTES_FILES: usize = 200;
/// Text of a message that came in, characters. More is cut.
pub const INBOUND_CHARS: usize = 32 * 1024;
/// People who wait for the owner's approval on one channel. Further ones hear nothing.
pub const STRANGERS_PENDING: usize = 3;
/// People that the owner has approved. Further ones can't be.
pub const STRANGERS_APPROVED: usize = 1000;
/// How long a code waits for approval, ms.
pub const STRANGER_TTL_MS: u64 = 60 * 60 * 1000;
/// File of people on channels, bytes. A larger one is set aside as unreadable.
pub const CHANNELS_FILE_BYTES: u64 = 1024 * 1024;
/// Messages, polls and unheard echoes that the test channel keeps, each. The oldest leaves.
pub const LOOPBACK_ITEMS: usize = 64;
/// How long `channels.status` waits for a probe when the caller doesn't say, ms.
pub const PROBE_MS: u64 = 10 * 1000;
/// Longest that it waits, ms.
pub const PROBE_MAX_MS: u64 = 60 * 1000;
/// Lifetime of a remembered answer, ms.
pub const IDEMPOTENCY_TTL_MS: u64 = 5 * 60 * 1000;
/// Bytes of remembered answers. The oldest leaves.
pub const IDEMPOTENCY_BYTES: usize = 2 * 1024 * 1024;
/// Outcomes of finished runs that agent.wait can still tell. The oldest leaves.
pub const RUN_OUTCOMES: usize = 1000;
/// Lifetime of a run's outcome, ms.
pub const RUN_OUTCOME_TTL_MS: u64 = 10 * 60 * 1000;
/// Shortest pause between two chat deltas of a run, ms (methods.md section 5).
pub const CHAT_DELTA_MS: u64 = 150;
/// Time between SIGTERM and exit, ms.
pub const SHUTDOWN_MS: u64 = 5000;
/// Of it, time that running turns get to end, ms.
pub const SHUTDOWN_GRACE_MS: u64 = 2500;
/// One line of a transcript, bytes. A longer one is skipped when reading and refused when writing.
pub const TRANSCRIPT_LINE_BYTES: usize = 16 * 1024 * 1024;
/// One entry of the session index, bytes.
pub const SESSION_ENTRY_BYTES: usize = 64 * 1024;
/// A session key, bytes.
pub const SESSION_KEY_BYTES: usize = 512;
/// An idempotency key, which is a run's id too, characters.
pub const RUN_ID_CHARS: usize = 256;
/// The session index of an agent as a file, bytes. A larger one is set aside as unreadable.
pub const SESSIONS_FILE_BYTES: u64 = 256 * 1024 * 1024;
/// Journalled changes of an agent's session index after which the whole is written, bytes; for a
/// large index half of its own size.
pub const SESSION_JOURNAL_BYTES: u64 = 256 * 1024;
/// Transcripts whose last entry is remembered. The one unused for longest leaves and is read again.
pub const OPEN_TRANSCRIPTS: usize = 256;
/// Most bytes of a transcript that a preview looks at (methods.md 7.3).
pub const PREVIEW_READ_BYTES: usize = 1024 * 1024;
/// Days of recorded usage. The oldest leaves.
pub const USAGE_DAYS: usize = 400;
/// Pause between two writes of the usage totals, ms.
pub const USAGE_WRITE_MS: u64 = 5 * 60 * 1000;
/// Configuration file, bytes.
pub const CONFIG_BYTES: u64 = 1024 * 1024;
/// Problems, and warnings, that one reading of the configuration reports. Later ones are left out.
pub const CONFIG_PROBLEMS: usize = 100;
/// Entries of one list or object of the configuration. More is a problem.
pub const CONFIG_ENTRIES: usize = 1000;
/// Files that a configuration includes.
pub const CONFIG_INCLUDES: usize = 64;
/// Files that include each other, one below the other (methods.md 8.6).
pub const CONFIG_INCLUDE_DEPTH: usize = 10;
/// Former texts of the configuration file that are kept beside it (methods.md 8.6).
pub const CONFIG_GENERATIONS: usize = 5;
/// Pause between two looks at the configuration file, ms.
pub const CONFIG_WATCH_MS: u64 = 2000;
/// Longest delay of a restart that a client asks for, ms (methods.md 8.3).
pub const RESTART_DELAY_MS: u64 = 60_000;
/// Note about a restart, bytes. A longer one is refused.
pub const RESTART_NOTE_BYTES: usize = 16 * 1024;
/// Time without an answer after which another wizard may begin, ms.
pub const WIZARD_IDLE_MS: u64 = 30 * 60 * 1000;
/// A workspace file in the system prompt, characters; more is cut (agents.defaults.bootstrapMaxChars).
pub const WORKSPACE_FILE_BYTES: u64 = 256 * 1024;
/// Decoded attachment, bytes (methods.md 6.1).
pub const ATTACHMENT_BYTES: usize = 5_000_000;
/// One line of a provider's stream, bytes.
pub const STREAM_LINE_BYTES: usize = 1024 * 1024;
/// Head of a provider's response, bytes.
pub const RESPONSE_HEAD_BYTES: usize = 32 * 1024;
/// Error response of a provider that is read for its message, bytes.
pub const PROVIDER_ERROR_BYTES: usize = 16 * 1024;
/// An outbound URL, bytes.
pub const URL_BYTES: usize = 4096;
/// Models that are taken over from a model server found on this machine.
pub const LOCAL_MODELS: usize = 64;
/// What a run has said and its one listener (an HTTP client that streams) has not read yet, bytes. Over it: the
/// listener is told that it was too slow.
pub const LISTENER_BYTES: usize = 1024 * 1024;
/// Body of a request to /v1/chat/completions, bytes.
pub const CHAT_COMPLETIONS_BYTES: usize = 1024 * 1024;
/// Body of a request to /v1/responses, bytes.
pub const RESPONSES_BYTES: usize = 8 * 1024 * 1024;
/// Time beyond an agent's own limit after which an HTTP exchange is cut, ms.
pub const HTTP_GRACE_MS: u64 = 60 * 1000;
/// Tool calls in one answer of a model.
pub const TOOL_CALLS: usize = 32;
/// Rounds of model call and tool calls in one run.
pub const TOOL_ROUNDS: usize = 25;
/// Older log files that `barnacle logs` reads without a gateway. Still older ones are left out.
pub const LOG_FILES_READ: u64 = 20;
/// Files in a backup. More are refused.
pub const BACKUP_FILES: usize = 100_000;
/// The list of a backup's files, bytes. A larger one is refused.
pub const BACKUP_MANIFEST_BYTES: u64 = 32 * 1024 * 1024;
/// Times that changed files are copied again for a backup. Then it is given up.
pub const BACKUP_TRIES: usize = 20;
/// Message of one log line, bytes. A longer one is cut.
pub const LOG_LINE_BYTES: usize = 4 * 1024;
/// A message while it is formatted, bytes. What comes later is never formatted.
pub const LOG_FORMAT_BYTES: usize = 64 * 1024;
/// Log lines in memory, written or not, bytes. The oldest leave; unwritten ones are counted as lost.
pub const LOG_MEMORY_BYTES: usize = 64 * 1024;
/// Unwritten log lines that are worth a write, bytes.
pub const LOG_BUFFER_BYTES: usize = 32 * 1024;
/// Longest time that a log line waits for its write, ms; also the pause after a failed write.
pub const LOG_FLUSH_MS: u64 = 60 * 1000;
/// Longest time that repeats of a line are folded before their number is told, ms.
pub const LOG_REPEAT_MS: u64 = 30 * 1000;
/// Secrets that the log hides by their text. Further ones are hidden only by their form.
pub const LOG_SECRETS: usize = 256;
/// Lines in one answer of logs.tail (methods.md 14.3). More are answered by the next call.
pub const LOG_TAIL_LINES: usize = 5000;
/// Bytes read for one answer of logs.tail (methods.md 14.3).
pub const LOG_TAIL_BYTES: u64 = 1_000_000;
/// Start and end of a message over nodeMaxPayload that are kept to find what waits for it, bytes each.
pub const SKIPPED_EDGE_BYTES: usize = 2 * 1024;
/// Invokes of one node that wait for its answer.
pub const INVOKES_PER_NODE: usize = 32;
/// Invokes of all nodes that wait for an answer.
pub const INVOKES: usize = 256;
/// Longest time that an invoke waits, ms. A longer one is cut to it.
pub const INVOKE_MS_MAX: u64 = 60 * 60 * 1000;
/// Largest answer of a node that is remembered for its idempotency key, bytes.
pub const INVOKE_REMEMBERED_BYTES: usize = 256 * 1024;
/// Sessions that one node may be subscribed to. The oldest leaves.
pub const NODE_SUBSCRIPTIONS: usize = 64;
/// Nodes that are remembered as known after they left. The oldest leaves.
pub const NODES_SEEN: usize = 256;
/// Names that an owner gave to nodes.
pub const NODE_NAMES: usize = 256;
/// Text of a voice transcript or an agent request of a node, characters (connection.md 6.4).
pub const NODE_TEXT_CHARS: usize = 20_000;
/// Exec approvals that wait for a decision.
pub const APPROVALS_PENDING: usize = 64;
/// Longest time that an exec approval waits for its decision, ms. A longer one is cut to it.
pub const APPROVAL_MS_MAX: u64 = 60 * 60 * 1000;
/// Time in which a granted exec approval may be used, ms.
pub const APPROVAL_USE_MS: u64 = 5 * 60 * 1000;
/// Granted exec approvals that may still be used. The oldest leaves.
pub const APPROVALS_GRANTED: usize = 256;
/// A command, path or key of an exec approval, characters.
pub const APPROVAL_TEXT_CHARS: usize = 16 * 1024;
/// The file of exec approvals, bytes. A larger one is set aside; a write that would make one is refused.
pub const APPROVALS_FILE_BYTES: usize = 512 * 1024;
/// The log of exec decisions, bytes; then it becomes `.old.jsonl` and a new one begins.
pub const APPROVALS_LOG_BYTES: u64 = 1024 * 1024;
/// A settings file, bytes. A larger one is set aside.
pub const SETTINGS_FILE_BYTES: u64 = 256 * 1024;
/// Scheduled jobs. Further ones are refused.
pub const CRON_JOBS: usize = 500;
/// All scheduled jobs as a file, bytes. What would make it larger is refused.
pub const CRON_BOOK_BYTES: usize = 1024 * 1024;
/// The file of scheduled jobs when it is read, bytes. A larger one is set aside.
pub const CRON_FILE_BYTES: u64 = 4 * 1024 * 1024;
/// A job's name, recipient and the like, characters.
pub const CRON_NAME_CHARS: usize = 200;
/// A job's description, characters.
pub const CRON_DESCRIPTION_CHARS: usize = 2000;
/// A job's message or text, characters.
pub const CRON_MESSAGE_CHARS: usize = 16 * 1024;
/// A cron expression or the name of a zone, characters.
pub const CRON_EXPRESSION_CHARS: usize = 256;
/// The latest time of a schedule, ms since the Unix epoch (year 9987); also its longest interval.
pub const CRON_MAX_MS: u64 = 253_000_000_000_000;
/// Runs that make up for missed ones with `missed: all`. Older ones are left out.
pub const CRON_CATCH_UP: usize = 24;
/// A run that is later than this was missed, ms.
pub const CRON_LATE_MS: u64 = 5 * 60 * 1000;
/// Shortest time between two runs of a job, ms.
pub const CRON_GAP_MS: u64 = 1000;
/// Failures after which a job that is due once is switched off.
pub const CRON_TRIES: u32 = 5;
/// A clock that shows an earlier time has not been set (2026-01-01 UTC): no job is due, no age is judged.
pub const CLOCK_MIN_MS: u64 = 1_767_225_600_000;
/// Jumps of the wall clock that are remembered. The oldest is forgotten.
pub const CLOCK_JUMPS: usize = 16;
/// Pause between two looks at a clock that no time server has set yet, ms.
pub const CLOCK_LOOK_MS: u64 = 5 * 1000;
/// Longest pause between two looks at the clocks, ms.
pub const CRON_LOOK_MS: u64 = 60 * 1000;
/// Longest wait of a job for a busy session before its heartbeat, ms (methods.md 10.5).
pub const CRON_BUSY_MS: u64 = 2 * 60 * 1000;
/// A job's run log, bytes. A longer one is cut to its last lines (methods.md 10.7).
pub const CRON_LOG_BYTES: u64 = 2_000_000;
/// Lines that are left of it.
pub const CRON_LOG_LINES: usize = 2000;
/// One line of it, bytes. A longer one is skipped.
pub const CRON_LOG_LINE_BYTES: usize = 32 * 1024;
/// Run logs, those of removed jobs included. The oldest of removed jobs leave.
pub const CRON_LOG_FILES: usize = 1000;
/// The summary of a run, characters (methods.md 10.5).
pub const CRON_SUMMARY_CHARS: usize = 2000;
/// System events that wait in one session. The oldest leaves (methods.md 2.8).
pub const SYSTEM_EVENTS: usize = 20;
/// Sessions with waiting system events. The one that waits longest is forgotten.
pub const SYSTEM_EVENT_SESSIONS: usize = 200;
/// A system event, characters. A longer one is cut.
pub const SYSTEM_EVENT_CHARS: usize = 9000;
/// Signatures of hooks that are remembered so that each is taken once. The oldest leaves.
pub const HOOK_SIGNATURES: usize = 1024;
/// A hook's message after its values are filled in, characters. A longer one is cut.
pub const HOOK_TEXT_CHARS: usize = 32 * 1024;
/// Body of a request to /tools/invoke, bytes.
pub const TOOLS_INVOKE_BYTES: usize = 2 * 1024 * 1024;
/// A picture of an agent in its workspace, bytes. A larger one is passed over.
pub const AVATAR_BYTES: u64 = 2 * 1024 * 1024;
/// A text that is spoken, characters. A longer one is refused.
pub const SPEECH_TEXT_CHARS: usize = 4096;
/// A spoken text as a file, bytes. A larger one is removed.
pub const SPEECH_FILE_BYTES: u64 = 16 * 1024 * 1024;
/// Spoken texts that are kept. The oldest is removed.
pub const SPEECH_FILES: usize = 20;
/// How long a spoken text is kept, ms; older ones are removed with the next one.
pub const SPEECH_AGE_MS: u64 = 24 * 60 * 60 * 1000;
/// Longest time for speaking a text, ms.
pub const SPEECH_MS: u64 = 60 * 1000;
/// Skills of one agent. Further ones are left out.
pub const SKILLS: usize = 300;
/// Directories that are looked through for skills, for each directory of the configuration. Further ones are not.
pub const SKILL_DIRS: usize = 1000;
/// Directories below each other in which skills are looked for.
pub const SKILL_DEPTH: usize = 6;
/// Beginning of a SKILL.md that is read for its front matter, bytes.
pub const SKILL_HEAD_BYTES: usize = 16 * 1024;
/// Entries of one list in a SKILL.md. Further ones are left out.
pub const SKILL_ITEMS: usize = 64;
/// A skill's description in the system prompt, characters. A longer one is cut.
pub const SKILL_DESCRIPTION_CHARS: usize = 300;
/// The list of skills in the system prompt, bytes. The last ones are left out.
pub const SKILLS_PROMPT_BYTES: usize = 16 * 1024;
/// Output of an installer that is kept, bytes each for its two outputs. The beginning is dropped.
pub const INSTALL_OUTPUT_BYTES: usize = 32 * 1024;
/// Longest installation, ms (methods.md 12.3). A longer one is cut to it.
pub const INSTALL_MS_MAX: u64 = 900_000;
/// A file that a skill downloads, bytes.
pub const DOWNLOAD_BYTES: u64 = 512 * 1024 * 1024;
/// What a downloaded archive may hold, bytes. A larger one is not unpacked.
pub const UNPACKED_BYTES: u64 = 512 * 1024 * 1024;
/// Files and directories in it. One with more is not unpacked.
pub const UNPACKED_ENTRIES: u64 = 20_000;
/// Programs that the gateway runs at once. Further ones are refused.
pub const PROCESSES: usize = 8;
/// A line of a program's output as the log tells it, bytes. A longer one is cut.
pub const PROCESS_LINE_BYTES: usize = 512;
/// Threads that wait for the disk at once. Host names are looked up by another one for each run that goes.
pub const POOL_THREADS: usize = 2;

/// Sockets that systemd may hand over. With more, the gateway doesn't start.
pub const HANDED_SOCKETS: usize = 8;
/// Credentials that systemd may hand over. With more, the gateway doesn't start.
pub const CREDENTIALS: usize = 64;
/// A credential that systemd hands over, bytes. With a larger one, the gateway doesn't start.
pub const CREDENTIAL_BYTES: u64 = 16 * 1024;
/// Tries to reach the gateway's own socket after a start, before systemd is told that it is ready.
pub const READY_TRIES: u32 = 20;

/// Largest message that a command of the command line takes from a gateway, bytes. Over it: an error.
pub const CLIENT_MESSAGE_BYTES: usize = 32 * 1024 * 1024;
/// Time in which a command must have a connection, ms.
pub const CLIENT_CONNECT_MS: u64 = 5000;
/// Time in which a gateway must have greeted a command, ms.
pub const CLIENT_HANDSHAKE_MS: u64 = 10_000;
/// Standard input as a message or as params, bytes. More is refused.
pub const CLIENT_INPUT_BYTES: u64 = 1024 * 1024;
/// Tries to reconnect after a connection broke during an answer.
pub const CLIENT_RECONNECTS: u32 = 6;

/// The fixed bounds that the documentation lists: what, value, what happens at the bound.
pub const FIXED: &[(&str, u64, &str)] = &[
    ("request head, bytes", REQUEST_HEAD_BYTES as u64, "HTTP 431"),
    ("message before hello-ok, bytes", HANDSHAKE_MESSAGE_BYTES as u64, "close 1009"),
    ("WebSocket read buffer, bytes", READ_BUFFER_BYTES as u64, "the peer waits"),
    (
        "incoming bytes of a connection outside the shared budget",
        INCOMING_ALLOWANCE_BYTES as u64,
        "the shared budget is drawn on",
    ),
    ("nesting of an incoming message", JSON_DEPTH as u64, "INVALID_REQUEST"),
    ("presence entries", PRESENCE_ENTRIES as u64, "the oldest leaves"),
    ("addresses with counted authentication failures", AUTH_ADDRESSES as u64, "the oldest leaves"),
    ("refusal after too many failures, ms", AUTH_LOCKOUT_MS, "ends by itself"),
    ("paired devices", PAIRED_DEVICES as u64, "UNAVAILABLE"),
    ("devices that wait for approval", PAIRING_PENDING as u64, "UNAVAILABLE"),
    ("record of a device, bytes", DEVICE_BYTES as u64, "INVALID_REQUEST"),
    ("exec approval, bytes", APPROVAL_BYTES as u64, "INVALID_REQUEST"),
    ("parts of one message to a channel", DELIVERY_PARTS as u64, "INVALID_REQUEST; an answer is cut"),
    ("HTTP bodies read at once before their caller is proven", UNPROVEN_BODIES as u64, "HTTP 503"),
    ("values in the JSON body of an HTTP request", HTTP_JSON_VALUES as u64, "HTTP 400"),
    ("wait for approval, ms", PAIRING_TTL_MS, "the request is forgotten"),
    ("messages that wait on one channel", QUEUE_ITEMS as u64, "UNAVAILABLE, retryable"),
    ("texts that wait on one channel, bytes", QUEUE_BYTES as u64, "UNAVAILABLE, retryable"),
    ("text of a message to a channel, bytes", SEND_TEXT_BYTES as u64, "INVALID_REQUEST"),
    ("media addresses of a message", SEND_MEDIA as u64, "INVALID_REQUEST"),
    ("tries to send a message", DELIVERY_TRIES as u64, "it is given up, which `channels.status` tells"),
    ("a service's time to take a message, ms", DELIVERY_TRY_MS, "the try has failed"),
    ("wait of `send` and `poll`, ms", SEND_WAIT_MS, "UNAVAILABLE; the message goes on waiting"),
    ("messages from channels that wait for their answer", INBOX_OWED as u64, "further ones wait at their service"),
    ("text of a message from a channel, characters", INBOUND_CHARS as u64, "cut"),
    ("people who wait for approval on one channel", STRANGERS_PENDING as u64, "they hear nothing"),
    ("people approved on channels", STRANGERS_APPROVED as u64, "no more can be approved"),
    ("wait of a person for approval, ms", STRANGER_TTL_MS, "the code is forgotten"),
    ("lifetime of a remembered answer, ms", IDEMPOTENCY_TTL_MS, "it is forgotten"),
    ("bytes of remembered answers", IDEMPOTENCY_BYTES as u64, "the oldest is forgotten"),
    ("outcomes that agent.wait can tell", RUN_OUTCOMES as u64, "the oldest leaves"),
    ("line of a transcript, bytes", TRANSCRIPT_LINE_BYTES as u64, "skipped and counted"),
    ("entry of the session index, bytes", SESSION_ENTRY_BYTES as u64, "INVALID_REQUEST"),
    ("session key, bytes", SESSION_KEY_BYTES as u64, "INVALID_REQUEST"),
    ("idempotency key, characters", RUN_ID_CHARS as u64, "INVALID_REQUEST"),
    ("session index file, bytes", SESSIONS_FILE_BYTES, "set aside, rebuilt from what can be read"),
    ("journal of the session index, bytes", SESSION_JOURNAL_BYTES, "the whole index is written"),
    ("transcripts kept open", OPEN_TRANSCRIPTS as u64, "the one unused for longest leaves"),
    ("transcript read for a preview, bytes", PREVIEW_READ_BYTES as u64, "older messages are left out"),
    ("days of recorded usage", USAGE_DAYS as u64, "the oldest leaves"),
    ("configuration file, bytes", CONFIG_BYTES, "refused"),
    ("entries of one list or object of the configuration", CONFIG_ENTRIES as u64, "refused"),
    ("files that a configuration includes", CONFIG_INCLUDES as u64, "refused"),
    ("files that include each other", CONFIG_INCLUDE_DEPTH as u64, "refused"),
    ("former texts of the configuration file", CONFIG_GENERATIONS as u64, "the oldest is removed"),
    ("delay of a restart that a client asks for, ms", RESTART_DELAY_MS, "shortened"),
    ("note about a restart, bytes", RESTART_NOTE_BYTES as u64, "INVALID_REQUEST"),
    ("time without an answer to a wizard, ms", WIZARD_IDLE_MS, "another one may begin"),
    ("workspace file in the prompt, bytes", WORKSPACE_FILE_BYTES, "cut"),
    ("decoded attachment, bytes", ATTACHMENT_BYTES as u64, "INVALID_REQUEST"),
    ("line of a provider's stream, bytes", STREAM_LINE_BYTES as u64, "the run ends with an error"),
    ("head of a provider's response, bytes", RESPONSE_HEAD_BYTES as u64, "the run ends with an error"),
    ("error response of a provider, bytes", PROVIDER_ERROR_BYTES as u64, "the rest is not read"),
    ("outbound URL, bytes", URL_BYTES as u64, "refused"),
    ("models of a model server found on this machine", LOCAL_MODELS as u64, "the rest is left out"),
    ("tool calls in one answer", TOOL_CALLS as u64, "the run ends with an error"),
    ("rounds of model and tools in one run", TOOL_ROUNDS as u64, "the run ends with an error"),
    ("unread text of a streamed HTTP answer, bytes", LISTENER_BYTES as u64, "the answer ends with an error"),
    ("body of /v1/chat/completions, bytes", CHAT_COMPLETIONS_BYTES as u64, "HTTP 413"),
    ("body of /v1/responses, bytes", RESPONSES_BYTES as u64, "HTTP 413"),
    ("message of a log line, bytes", LOG_LINE_BYTES as u64, "cut"),
    ("log lines in memory, bytes", LOG_MEMORY_BYTES as u64, "the oldest leave"),
    ("invokes that wait for one node", INVOKES_PER_NODE as u64, "UNAVAILABLE, retryable"),
    ("invokes that wait for all nodes", INVOKES as u64, "UNAVAILABLE, retryable"),
    ("waiting time of an invoke, ms", INVOKE_MS_MAX, "cut to it"),
    (
        "answer of a node that is remembered, bytes",
        INVOKE_REMEMBERED_BYTES as u64,
        "a repeat hears that it was too large",
    ),
    ("sessions that a node is subscribed to", NODE_SUBSCRIPTIONS as u64, "the oldest leaves"),
    ("names given to nodes", NODE_NAMES as u64, "INVALID_REQUEST"),
    ("text of a node's event, characters", NODE_TEXT_CHARS as u64, "the event is ignored"),
    ("exec approvals that wait for a decision", APPROVALS_PENDING as u64, "UNAVAILABLE, retryable"),
    ("waiting time of an exec approval, ms", APPROVAL_MS_MAX, "cut to it"),
    ("time in which a granted exec approval may be used, ms", APPROVAL_USE_MS, "it is no longer vouched for"),
    ("granted exec approvals that may be used", APPROVALS_GRANTED as u64, "the oldest is no longer vouched for"),
    ("text of an exec approval, characters", APPROVAL_TEXT_CHARS as u64, "INVALID_REQUEST"),
    ("file of exec approvals, bytes", APPROVALS_FILE_BYTES as u64, "INVALID_REQUEST; when reading, set aside"),
    ("log of exec decisions, bytes", APPROVALS_LOG_BYTES, "it becomes the old one"),
    ("settings file, bytes", SETTINGS_FILE_BYTES, "set aside"),
    ("scheduled jobs", CRON_JOBS as u64, "INVALID_REQUEST"),
    ("all scheduled jobs, bytes", CRON_BOOK_BYTES as u64, "INVALID_REQUEST"),
    ("message of a scheduled job, characters", CRON_MESSAGE_CHARS as u64, "INVALID_REQUEST"),
    ("runs that make up for missed ones", CRON_CATCH_UP as u64, "older ones are left out"),
    ("time between two runs of a job, ms", CRON_GAP_MS, "the next run waits"),
    ("failures of a job that is due once", CRON_TRIES as u64, "it is switched off"),
    ("run log of a job, bytes", CRON_LOG_BYTES, "cut to its last 2,000 lines, and to half of it"),
    ("run logs", CRON_LOG_FILES as u64, "the oldest of removed jobs leave"),
    ("system events that wait in one session", SYSTEM_EVENTS as u64, "the oldest leaves"),
    ("sessions with waiting system events", SYSTEM_EVENT_SESSIONS as u64, "the oldest is forgotten"),
    ("signatures of hooks that are remembered", HOOK_SIGNATURES as u64, "the oldest is forgotten"),
    ("message of a hook, characters", HOOK_TEXT_CHARS as u64, "cut"),
    ("body of /tools/invoke, bytes", TOOLS_INVOKE_BYTES as u64, "HTTP 413"),
    ("picture of an agent, bytes", AVATAR_BYTES, "passed over"),
    ("text that is spoken, characters", SPEECH_TEXT_CHARS as u64, "INVALID_REQUEST"),
    ("spoken text as a file, bytes", SPEECH_FILE_BYTES, "removed; UNAVAILABLE"),
    ("spoken texts that are kept", SPEECH_FILES as u64, "the oldest is removed"),
    ("time for which a spoken text is kept, ms", SPEECH_AGE_MS, "removed with the next one"),
    ("time for speaking a text, ms", SPEECH_MS, "given up"),
    ("skills of one agent", SKILLS as u64, "further ones are left out"),
    ("directories looked through for skills", SKILL_DIRS as u64, "further ones are not"),
    ("front matter of a SKILL.md, bytes", SKILL_HEAD_BYTES as u64, "the skill is left out"),
    ("list of skills in the prompt, bytes", SKILLS_PROMPT_BYTES as u64, "the last ones are left out"),
    ("kept output of an installer, bytes", INSTALL_OUTPUT_BYTES as u64, "the beginning is dropped"),
    ("longest installation, ms", INSTALL_MS_MAX, "it is killed"),
    ("file that a skill downloads, bytes", DOWNLOAD_BYTES, "the installation fails"),
    ("programs that run at once", PROCESSES as u64, "UNAVAILABLE"),
    ("line of a program's output in the log, bytes", PROCESS_LINE_BYTES as u64, "cut"),
    ("older log files that `barnacle logs` reads", LOG_FILES_READ, "older ones are left out"),
    ("files in a backup", BACKUP_FILES as u64, "the command fails"),
    ("list of the files in a backup, bytes", BACKUP_MANIFEST_BYTES, "the command fails"),
    ("tries to copy files that change meanwhile", BACKUP_TRIES as u64, "the command fails"),
    ("threads that wait for the disk", POOL_THREADS as u64, "the next one waits"),
    ("jumps of the clock that are remembered", CLOCK_JUMPS as u64, "the oldest is forgotten"),
    ("sockets that systemd hands over", HANDED_SOCKETS as u64, "exit 78"),
    ("credentials that systemd hands over", CREDENTIALS as u64, "exit 78"),
    ("credential that systemd hands over, bytes", CREDENTIAL_BYTES, "exit 78"),
    ("tries to reach the own socket after a start", READY_TRIES as u64, "systemd is not told that it is ready"),
    ("message that a command takes from a gateway, bytes", CLIENT_MESSAGE_BYTES as u64, "the command fails"),
    ("standard input of a command, bytes", CLIENT_INPUT_BYTES, "the command fails"),
    ("tries of `chat` to reconnect", CLIENT_RECONNECTS as u64, "the command fails"),
];

// What would contradict itself doesn't compile.
const _: () = assert!(READ_BUFFER_BYTES <= INCOMING_ALLOWANCE_BYTES);
const _: () = assert!(CLOSE_REASON_BYTES <= 123);
const _: () = assert!((PAIRED_DEVICES * DEVICE_BYTES) as u64 <= DEVICES_FILE_BYTES);
const _: () = assert!((PAIRED_NODES * NODE_RECORD_BYTES) as u64 <= DEVICES_FILE_BYTES);
const _: () = assert!(LOG_BUFFER_BYTES + LOG_LINE_BYTES <= LOG_MEMORY_BYTES && LOG_LINE_BYTES <= LOG_FORMAT_BYTES);
const _: () = assert!(SHUTDOWN_GRACE_MS < SHUTDOWN_MS);
const _: () = assert!(SEND_TEXT_BYTES <= QUEUE_BYTES && DELIVERY_PAUSE_MS <= DELIVERY_PAUSE_MAX_MS);
const _: () = assert!(STREAM_LINE_BYTES as u64 <= 33_554_432);

#[cfg(test)]
mod tests;
