//! One entry of the session index in the field's form (methods.md 16.1).
//!
//! Every field that we don't know survives in [`Entry::rest`]; a known field of a wrong type reads
//! as absent and is gone with the next change of the entry.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

macro_rules! entry {
    ($( $(#[doc = $doc:literal])+ $field:ident: $type:ty = $read:literal, )+) => {
        /// A session as it is stored. Absent fields are `None`.
        #[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase")]
        pub struct Entry {
            $(
                $(#[doc = $doc])+
                #[serde(default, deserialize_with = $read, skip_serializing_if = "Option::is_none")]
                pub $field: Option<$type>,
            )+
            /// Fields that this version doesn't know, unchanged.
            #[serde(flatten)]
            pub rest: Map<String, Value>,
        }
    };
}

entry! {
    /// Id of the current transcript.
    session_id: String = "lenient",
    /// Last change, milliseconds since the Unix epoch.
    updated_at: u64 = "whole",
    /// The transcript's file, when it is not `<sessionId>.jsonl`.
    session_file: String = "lenient",
    /// Whether the system prompt has been sent.
    system_sent: bool = "lenient",
    /// Whether the last run was aborted.
    aborted_last_run: bool = "lenient",
    /// `direct`, `group` or `channel`.
    chat_type: String = "lenient",
    /// How much the model may think.
    thinking_level: String = "lenient",
    /// How much of tool use is shown.
    verbose_level: String = "lenient",
    /// Whether thinking is shown.
    reasoning_level: String = "lenient",
    /// What tools may do without asking.
    elevated_level: String = "lenient",
    /// Whether token counts are added to answers.
    response_usage: String = "lenient",
    /// When answers are spoken.
    tts_auto: String = "lenient",
    /// Where commands run.
    exec_host: String = "lenient",
    /// Which commands may run.
    exec_security: String = "lenient",
    /// When a person is asked before a command runs.
    exec_ask: String = "lenient",
    /// The node on which commands run.
    exec_node: String = "lenient",
    /// Provider chosen for this session.
    provider_override: String = "lenient",
    /// Model chosen for this session.
    model_override: String = "lenient",
    /// Credentials chosen for this session.
    auth_profile_override: String = "lenient",
    /// `allow` or `deny`.
    send_policy: String = "lenient",
    /// `mention` or `always`.
    group_activation: String = "lenient",
    /// What happens to messages that arrive during a run.
    queue_mode: String = "lenient",
    /// How long the queue waits for more, ms.
    queue_debounce_ms: u64 = "whole",
    /// Messages that the queue holds.
    queue_cap: u64 = "whole",
    /// Which messages a full queue drops.
    queue_drop: String = "lenient",
    /// The owner's name for it, unique in the store.
    label: String = "lenient",
    /// The channel's name for it.
    display_name: String = "lenient",
    /// The channel it came from.
    channel: String = "lenient",
    /// The group's id on its channel.
    group_id: String = "lenient",
    /// The group's subject.
    subject: String = "lenient",
    /// The room's name.
    group_channel: String = "lenient",
    /// The team or guild.
    space: String = "lenient",
    /// Where it came from first.
    origin: Origin = "lenient",
    /// Where answers go.
    delivery_context: DeliveryContext = "lenient",
    /// The channel of the last message.
    last_channel: String = "lenient",
    /// The peer of the last message.
    last_to: String = "lenient",
    /// The account of the last message.
    last_account_id: String = "lenient",
    /// The thread of the last message; a text or a number.
    last_thread_id: Value = "lenient",
    /// The session that started this one.
    spawned_by: String = "lenient",
    /// Prompt tokens of the last run.
    input_tokens: u64 = "whole",
    /// Answer tokens of the last run.
    output_tokens: u64 = "whole",
    /// Size of the last prompt in tokens (input and both cache counts), not a sum over the session.
    total_tokens: u64 = "whole",
    /// Provider of the last run.
    model_provider: String = "lenient",
    /// Model of the last run.
    model: String = "lenient",
    /// Tokens that the model takes.
    context_tokens: u64 = "whole",
    /// How often the conversation was summarised.
    compaction_count: u64 = "whole",
    /// When notes were last taken before a summary, milliseconds since the Unix epoch.
    memory_flush_at: u64 = "whole",
    /// The last heartbeat's text.
    last_heartbeat_text: String = "lenient",
    /// When the last heartbeat was sent, milliseconds since the Unix epoch.
    last_heartbeat_sent_at: u64 = "whole",
}

/// Where a session came from first.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Origin {
    /// A name for people.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The channel.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The kind of client.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub surface: Option<String>,
    /// `direct`, `group` or `channel`.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub chat_type: Option<String>,
    /// Who wrote.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// To whom.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The account on the channel.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// The thread; a text or a number.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<Value>,
    /// Fields that this version doesn't know, unchanged.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// Where answers go.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeliveryContext {
    /// The channel.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// The peer on it.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The account on it.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// The thread; a text or a number.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<Value>,
    /// Fields that this version doesn't know, unchanged.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Entry {
    /// What is left of the session after `sessions.reset` (methods.md 7.5): a new transcript, the
    /// owner's settings and the way to the peer; no tokens, no model override, no command settings.
    #[must_use]
    pub fn reset(self, session_id: String) -> Self {
        Self {
            session_id: Some(session_id),
            system_sent: Some(false),
            aborted_last_run: Some(false),
            thinking_level: self.thinking_level,
            verbose_level: self.verbose_level,
            reasoning_level: self.reasoning_level,
            response_usage: self.response_usage,
            model: self.model,
            context_tokens: self.context_tokens,
            send_policy: self.send_policy,
            label: self.label,
            origin: self.origin,
            last_channel: self.last_channel,
            last_to: self.last_to,
            input_tokens: Some(0),
            output_tokens: Some(0),
            total_tokens: Some(0),
            ..Self::default()
        }
    }
}

/// The value if it has the expected type.
fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Option<T>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Null => None,
        value => serde_json::from_value(value).ok(),
    })
}

/// A whole number that isn't negative, however it is written.
fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Ok(whole_number(&Value::deserialize(deserializer)?))
}

/// A whole number that isn't negative, also one written as `1.0`.
#[must_use]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float becomes an integer here by design; the cast saturates"
)]
pub(super) fn whole_number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_f64().filter(|number| *number >= 0.0).map(|number| number as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_fields_are_typed_and_unknown_ones_survive() {
        let stored = r#"{"sessionId":"s","updatedAt":1795371772001,"label":"Work","origin":{"provider":"slack","x":1},"totalTokens":1200,"cliSessionIds":{"a":"b"}}"#;
        let entry: Entry = serde_json::from_str(stored).unwrap();
        assert_eq!((entry.total_tokens, entry.label.as_deref()), (Some(1200), Some("Work")));
        assert_eq!(entry.rest["cliSessionIds"]["a"], "b");
        let back: Value = serde_json::to_value(&entry).unwrap();
        assert_eq!(back, serde_json::from_str::<Value>(stored).unwrap());
    }

    #[test]
    fn a_field_of_a_wrong_type_costs_only_itself() {
        let entry: Entry =
            serde_json::from_str(r#"{"sessionId":7,"updatedAt":12.0,"label":"L","totalTokens":"many","origin":3}"#)
                .unwrap();
        assert_eq!((entry.session_id, entry.updated_at, entry.total_tokens), (None, Some(12), None));
        assert_eq!(entry.label.as_deref(), Some("L"));
    }

    #[test]
    fn a_reset_keeps_settings_and_drops_what_belongs_to_the_transcript() {
        let entry = Entry {
            session_file: Some("f".into()),
            thinking_level: Some("low".into()),
            model_override: Some("m".into()),
            exec_host: Some("node".into()),
            total_tokens: Some(5),
            label: Some("L".into()),
            ..Entry::default()
        }
        .reset("new".into());
        assert_eq!((entry.session_id.as_deref(), entry.label.as_deref()), (Some("new"), Some("L")));
        assert_eq!((entry.session_file, entry.model_override, entry.exec_host), (None, None, None));
        assert_eq!((entry.total_tokens, entry.thinking_level.as_deref()), (Some(0), Some("low")));
    }
}
