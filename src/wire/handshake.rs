//! The handshake's content, the same in every dialect (connection.md section 2, guide section 1).

use std::fmt;

use serde_json::Value;
use serde_json::value::RawValue;

use super::event::StateVersion;
use super::shape::{Kind, int, text_within};
use crate::secret::Secret;

/// The protocol version of both dialects.
pub const PROTOCOL: u32 = 3;

crate::wire! {
    /// Who the client says it is.
    pub struct Client {
        /// Program id.
        id: String = SHORT,
        /// Label for people.
        display_name: Option<String> = SHORT,
        /// Program version.
        version: String = SHORT,
        /// Free text such as `ios 26.1`; selects a node's command list.
        platform: String = SHORT,
        /// `iPhone`, `Mac` …
        device_family: Option<String> = SHORT,
        /// `iPhone16,1` …
        model_identifier: Option<String> = SHORT,
        /// `operator`, `node`, or one of the native modes.
        mode: String = SHORT,
        /// Stable id of this installation; the presence key when there is no device.
        instance_id: Option<String> = SHORT,
    }

    /// A device's proof of identity (connection.md 3.4).
    pub struct Device {
        /// SHA-256 of the public key, lower-case hex.
        id: String = SHORT,
        /// Ed25519, base64url.
        public_key: String = SHORT,
        /// Over the signed payload, base64url.
        signature: String = SHORT,
        /// Milliseconds since the Unix epoch.
        signed_at: u64 = int(0),
        /// The challenge's nonce.
        nonce: Option<String> = SHORT,
    }
}

/// Bounds on what a handshake may ask for beyond its shape.
pub const STRINGS: Kind = Kind::List { of: &SHORT, min: 0, max: 256 };

/// A text of a handshake: what is shown and repeated to others must not be endless.
pub const SHORT: Kind = text_within(1, 1024);

/// What a client shows to be let in. Never logged.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// The shared token, or a device token.
    pub token: Option<Secret>,
    /// The shared password.
    pub password: Option<Secret>,
}

impl Credentials {
    /// From the wire, where an empty text means none.
    #[must_use]
    pub fn new(token: Option<String>, password: Option<String>) -> Self {
        let secret = |text: Option<String>| text.filter(|text| !text.is_empty()).map(Secret::new);
        Self { token: secret(token), password: secret(password) }
    }

    /// Whether anything is shown at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.token.is_none() && self.password.is_none()
    }
}

/// What a connection may be (guide section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A person's client.
    Operator,
    /// A phone or another machine that offers commands.
    Node,
    /// A device that only manages its own pairing and tokens; for guide clients.
    Device,
}

impl Role {
    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Node => "node",
            Self::Device => "device",
        }
    }

    /// Reads a name from the wire.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Operator, Self::Node, Self::Device].into_iter().find(|role| role.name() == name)
    }
}

/// A handshake request, the same from every dialect.
#[derive(Debug, Clone)]
pub struct Connect {
    /// The id under which it is answered; `null` where the dialect has none.
    pub id: Value,
    /// Lowest version that the client speaks.
    pub min_protocol: u32,
    /// Highest version that the client speaks.
    pub max_protocol: u32,
    /// Who it says it is.
    pub client: Client,
    /// The role asked for; `Err` with the text when it is none.
    pub role: Result<Role, String>,
    /// The scopes asked for; empty means the dialect's default.
    pub scopes: Vec<String>,
    /// What a node brings.
    pub offer: Offer,
    /// Proof of identity.
    pub device: Option<Device>,
    /// Token or password.
    pub credentials: Credentials,
    /// Whether a client without device must at least show a token or password (row 9 of connection.md 2.5).
    pub device_expected: bool,
}

/// What a node says it can do (connection.md 2.2). Nothing of it is believed before it was approved.
#[derive(Debug, Clone, Default)]
pub struct Offer {
    /// Capability groups.
    pub caps: Vec<String>,
    /// Commands.
    pub commands: Vec<String>,
    /// The node's own permission state; only shown.
    pub permissions: Option<PermissionMap>,
    /// The node's `PATH`; only shown.
    pub path_env: Option<String>,
}

/// Names of permissions and whether the node has them.
pub type PermissionMap = std::collections::BTreeMap<String, bool>;

/// What is granted to an accepted connection.
#[derive(Debug, Clone)]
pub struct Grant {
    /// Its role.
    pub role: Role,
    /// Its scopes.
    pub scopes: Vec<String>,
    /// What opened the door.
    pub way: Way,
    /// The token that it may connect with the next time.
    pub token: Option<Issued>,
}

/// What opened the door to a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// The shared token or password.
    SharedSecret,
    /// A device's own token.
    DeviceToken,
    /// A login of the tailnet, which the Tailscale daemon confirmed.
    Tailscale(String),
}

/// A device's token, as hello-ok tells it (connection.md 2.4).
#[derive(Debug, Clone)]
pub struct Issued {
    /// Its text.
    pub token: Secret,
    /// Its scopes, which may be more than those of this connection.
    pub scopes: Vec<String>,
    /// When it was made, ms since the epoch.
    pub issued_at_ms: u64,
}

/// What an accepted client is told.
#[derive(Debug)]
pub struct Hello<'a> {
    /// Id of this connection.
    pub conn_id: &'a str,
    /// Host name of the machine.
    pub host: &'a str,
    /// Method names, in this dialect, in the order of the table.
    pub methods: &'a [&'static str],
    /// Event names, in this dialect.
    pub events: &'a [&'static str],
    /// Presence list, JSON.
    pub presence: &'a RawValue,
    /// Health snapshot, JSON.
    pub health: &'a RawValue,
    /// State versions as of now.
    pub state_version: StateVersion,
    /// Milliseconds since the process started.
    pub uptime_ms: u64,
    /// Absolute path of the configuration file.
    pub config_path: &'a str,
    /// Absolute path of the state directory.
    pub state_dir: &'a str,
    /// Defaults for session keys.
    pub session_defaults: SessionDefaults,
    /// What was granted.
    pub grant: &'a Grant,
    /// What is enforced.
    pub policy: Policy,
}

crate::wire! {
    /// Defaults for session keys.
    pub struct SessionDefaults {
        default_agent_id: String,
        main_key: String,
        main_session_key: String,
        scope: String,
    }

    /// The limits that a client should know; all are enforced.
    pub struct Policy {
        /// Largest single message, bytes.
        max_payload: u64,
        /// Most bytes held unsent for this connection.
        max_buffered_bytes: u64,
        /// Interval of the tick event.
        tick_interval_ms: u64,
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
