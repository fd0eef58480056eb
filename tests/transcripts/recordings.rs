//! Every recording, and how it is played.

/// How a recording is played.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Play {
    /// One client's calls, one after the other, on a gateway that all such recordings share.
    Calls,
    /// The same; the configuration file is written by hand before each `config.get`, as it was recorded.
    WrittenByHand,
    /// The same on a gateway of its own.
    Alone(Scene),
    /// Only hello-ok is compared, with the order of its lists.
    Greeting,
    /// Frame by frame as they stand, on a gateway with short limits, whatever they are.
    Frames,
    /// The same on a gateway of its own, which gets this signal before it says goodbye.
    Goodbye(&'static str),
    /// Several connections, operators and nodes, on a gateway that all such recordings share.
    Parties,
    /// The same with a gateway of its own, for devices that come from elsewhere.
    FromElsewhere,
    /// A node; an operator beside the recording asks it what it was asked.
    Asked,
    /// What providers were asked: the bodies of the requests.
    Provider,
    /// Not at all: why, and which test shows the same.
    Not { why: &'static str, instead: &'static str },
}

/// What is special about a gateway that plays one recording alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scene {
    /// Heartbeats are on, and this stands in the workspace's HEARTBEAT.md.
    Heartbeats(&'static str),
    /// The same, and the model has nothing to say.
    AllWell,
    /// Heartbeats are on, and nobody serves the model that is configured.
    NoModel,
    /// Channels are configured.
    Channels,
}

use Play::{Alone, Asked, Calls, Frames, FromElsewhere, Goodbye, Greeting, Not, Parties, Provider, WrittenByHand};
use Scene::{AllWell, Channels, Heartbeats, NoModel};

/// All of them; those that share a gateway are played in this order.
pub(crate) const RECORDINGS: &[(&str, Play)] = &[
    ("01-token-handshake", Greeting),
    ("02-wrong-token", Frames),
    ("02b-no-auth-no-device", Frames),
    ("02c-device-but-no-token", Frames),
    ("03-protocol-mismatch", Frames),
    ("04a-not-json", Frames),
    ("04b-not-a-request", Frames),
    ("04c-not-connect", Frames),
    ("04d-bad-params", Frames),
    ("04e-seed-raw-handshake", Frames),
    ("05-oversize-frame", Frames),
    ("06-missing-scope", Parties),
    ("07-node-pairing", FromElsewhere),
    ("08-node-invoke", Parties),
    ("09-tick", Frames),
    ("10-shutdown", Goodbye("TERM")),
    ("10b-restart", Goodbye("USR1")),
    ("11-device-signatures", Parties),
    ("12-scope-upgrade", FromElsewhere),
    ("13-exec-approval", Parties),
    ("14-mac-node-early-invoke", Parties),
    ("15-node-events-and-subscription", Parties),
    ("16-malformed-after-handshake", Frames),
    ("17-pipelined-request-before-hello", Frames),
    ("18-handshake-timeout", Frames),
    ("20-real-cli-health", Parties),
    ("21-real-node-host", Asked),
    (
        "device-signature-vectors",
        Not { why: "vectors, no conversation", instead: "gateway::identity::tests, which reads a copy of them" },
    ),
    ("methods-basic", Calls),
    ("methods-agent-plain", Calls),
    ("methods-agent-401", Calls),
    ("methods-agent-429", Calls),
    ("methods-agent-500", Calls),
    ("methods-agent-anthropic-401", Calls),
    ("methods-agent-anthropic-plain", Calls),
    ("methods-agent-anthropic-reasoning-tool", Calls),
    ("methods-agent-dup-inflight", Calls),
    ("methods-agent-errors", Calls),
    ("methods-agent-lifecycle-error", Alone(NoModel)),
    ("methods-agent-noreply", Calls),
    ("methods-agent-responses", Calls),
    ("methods-agent-serial-same-session", Calls),
    ("methods-agent-thinktag", Calls),
    ("methods-agent-timeout", Calls),
    ("methods-agent-tool", Calls),
    ("methods-agent-tool-error", Calls),
    ("methods-agent-tool-verbose-full", Calls),
    ("methods-agent-tool-verbose-on", Calls),
    ("methods-agent-unknown-model", Calls),
    ("methods-agent-unreachable", Calls),
    ("methods-channels-logout", Alone(Channels)),
    ("methods-channels-status", Alone(Channels)),
    ("methods-chat-abort", Calls),
    ("methods-chat-abort-second-turn", Calls),
    ("methods-chat-attachments", Calls),
    ("methods-chat-errors", Calls),
    ("methods-chat-plain", Calls),
    ("methods-chat-provider-errors", Calls),
    ("methods-chat-queue", Calls),
    ("methods-chat-slash", Calls),
    ("methods-chat-slash2", Calls),
    ("methods-chat-stop-phrase", Calls),
    ("methods-chat-thinking-param", Calls),
    ("methods-cron", Alone(Heartbeats("# Heartbeat\n"))),
    ("methods-cron-failing-at", Alone(NoModel)),
    ("methods-heartbeat-sent", Alone(Heartbeats("- look around\n"))),
    ("methods-logs-skills-usage-wizard", Calls),
    ("methods-provider-requests", Provider),
    ("methods-send-poll", Alone(Channels)),
    ("methods-sessions", Calls),
    (
        "methods-telegram-inbound",
        Not { why: "this version has no Telegram", instead: "tests/sim/channels.rs, over the loopback channel" },
    ),
    ("methods-config", Calls),
    ("methods-config-include-env", Calls),
    ("methods-config-invalid-file", WrittenByHand),
    ("methods-config-patch-restart", Calls),
    ("methods-config-set-restart", Alone(AllWell)),
    // Restarts the gateway, so it is the last one but that which looks at it afterwards.
    ("methods-config-apply", Calls),
    ("methods-config-apply-after", Calls),
];
