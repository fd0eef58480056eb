//! What `cron.add` and the patch of `cron.update` understand beyond their shapes (methods.md 10.2).
//!
//! It only rewrites params before they are checked and refuses nothing.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use serde_json::{Map, Value};

/// Rewrites the params of `cron.add`.
pub fn add(params: &mut Value) {
    unwrap(params);
    let Value::Object(job) = params else { return };
    fields(job);
    job.entry("wakeMode").or_insert_with(|| "next-heartbeat".into());
    if !job.contains_key("sessionTarget") {
        let target = match job.get("payload").and_then(|payload| payload.get("kind")).and_then(Value::as_str) {
            Some("systemEvent") => "main",
            Some("agentTurn") => "isolated",
            _ => return,
        };
        job.insert("sessionTarget".into(), target.into());
    }
}

/// Rewrites the params of `cron.update`.
pub fn update(params: &mut Value) {
    let Some(patch) = params.get_mut("patch") else { return };
    unwrap(patch);
    if let Value::Object(patch) = patch {
        fields(patch);
    }
}

/// Takes the job out of `{"job": …}` or `{"data": …}`.
fn unwrap(params: &mut Value) {
    let Value::Object(entries) = params else { return };
    for name in ["job", "data"] {
        if entries.get(name).is_some_and(Value::is_object) {
            let inner = entries.remove(name).unwrap_or_default();
            *params = inner;
            return;
        }
    }
}

fn fields(job: &mut Map<String, Value>) {
    if let Some(Value::Object(schedule)) = job.get_mut("schedule") {
        read_schedule(schedule);
    }
    if let Some(enabled) = job.get_mut("enabled") {
        match enabled.as_str().map(|text| text.trim().to_lowercase()).as_deref() {
            Some("true") => *enabled = true.into(),
            Some("false") => *enabled = false.into(),
            _ => {}
        }
    }
    if let Some(Value::Object(payload)) = job.get_mut("payload") {
        if let Some(provider) = payload.remove("provider") {
            payload.entry("channel").or_insert(match provider.as_str() {
                Some(name) => name.trim().to_lowercase().into(),
                None => provider,
            });
        }
    }
}

fn read_schedule(schedule: &mut Map<String, Value>) {
    if let Some(at) = schedule.remove("at") {
        schedule.entry("atMs").or_insert(at);
    }
    if let Some(at) = schedule.get_mut("atMs") {
        if let Some(ms) = at.as_str().and_then(time) {
            *at = ms.into();
        }
    }
    if !schedule.contains_key("kind") {
        let kinds = [("atMs", "at"), ("everyMs", "every"), ("expr", "cron")];
        if let Some((_, kind)) = kinds.into_iter().find(|(name, _)| schedule.contains_key(*name)) {
            schedule.insert("kind".into(), kind.into());
        }
    }
}

/// An ISO time (without a zone UTC, a date alone its midnight) or digits, as milliseconds since the epoch.
fn time(text: &str) -> Option<u64> {
    let text = text.trim();
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok();
    }
    let utc = |time: DateTime| time.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
    let time = text.parse::<Timestamp>().ok();
    let time = time.or_else(|| text.parse::<DateTime>().ok().and_then(utc));
    let time = time.or_else(|| text.parse::<Date>().ok().and_then(|date| utc(date.at(0, 0, 0, 0))))?;
    u64::try_from(time.as_millisecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_wrapped_job_is_unwrapped_and_what_can_be_guessed_is() {
        let mut params = json!({"job": {"name": "x", "enabled": "false", "schedule": {"everyMs": 5},
            "payload": {"kind": "agentTurn", "message": "m", "provider": " Telegram "}}});
        add(&mut params);
        assert_eq!(
            params,
            json!({"name": "x", "enabled": false, "schedule": {"kind": "every", "everyMs": 5}, "wakeMode": "next-heartbeat",
                "sessionTarget": "isolated", "payload": {"kind": "agentTurn", "message": "m", "channel": "telegram"}})
        );
        let mut params = json!({"data": {"schedule": {"expr": "* * * * *"}, "payload": {"text": "x"}}});
        add(&mut params);
        assert_eq!(params["schedule"]["kind"], "cron");
        assert!(params.get("sessionTarget").is_none());
    }

    #[test]
    fn times_are_read_as_iso_and_as_digits() {
        for (text, ms) in [
            ("2026-11-22T23:59:00", Some(1_795_391_940_000)),
            ("2026-11-22T23:59:00Z", Some(1_795_391_940_000)),
            ("2026-11-23T00:59:00+01:00", Some(1_795_391_940_000)),
            ("2026-11-22", Some(1_795_305_600_000)),
            (" 1795372590692 ", Some(1_795_372_590_692)),
            ("tomorrow", None),
            ("1960-01-01", None),
        ] {
            assert_eq!(time(text), ms, "{text}");
        }
    }
}
