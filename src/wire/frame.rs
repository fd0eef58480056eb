//! Frames after the handshake: requests in, responses and events out (connection.md 1.4).

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::shape::{Kind, Wire as _, text};
use crate::error::{Code, Error};

/// A call as it came in.
#[derive(Debug)]
pub struct Request {
    /// The client's id for it; goes back unchanged.
    pub id: String,
    /// Method name as the client wrote it.
    pub method: String,
    /// Params, unparsed.
    pub params: Option<Box<RawValue>>,
}

/// What a text frame turned out to be.
#[derive(Debug)]
pub enum Incoming {
    /// A call.
    Request(Request),
    /// Not JSON: ignored, as the reference does.
    NotJson,
    /// JSON, but no request: answered under its own `id`, whatever that is.
    Invalid {
        /// The frame's `id`, or `"invalid"`.
        id: Value,
        /// What is wrong.
        error: Error,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRequest<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(default)]
    params: Option<Box<RawValue>>,
}

/// The id under which a frame without one is answered.
pub const NO_ID: &str = "invalid";

/// Reads a text frame that came after the handshake. One that is no request and has more than
/// `explained_max` bytes is refused without saying why.
#[must_use]
pub fn read(text: &str, explained_max: u64) -> Incoming {
    if let Ok(RawRequest { kind: "req", id, method, params }) = serde_json::from_str(text) {
        if !id.is_empty() && !method.is_empty() {
            return Incoming::Request(Request { id: id.into_owned(), method: method.into_owned(), params });
        }
    }
    if text.len() as u64 > explained_max {
        return Incoming::Invalid { id: NO_ID.into(), error: Error::invalid("invalid request frame") };
    }
    let Ok(value) = serde_json::from_str::<Value>(text) else {
        return Incoming::NotJson;
    };
    explain(value)
}

/// The slow way: a frame that the fast reader did not take, with the reason.
fn explain(mut value: Value) -> Incoming {
    let problems = RequestShape::KIND.check(&mut value);
    let id = value.get("id").cloned().unwrap_or_else(|| NO_ID.into());
    if problems.is_empty() {
        // An unusual but valid frame, e.g. duplicate keys or an escaped `type`.
        if let Ok(RequestShape { id, method, params, .. }) = serde_json::from_value(value) {
            let params = params.and_then(|params| serde_json::value::to_raw_value(&params).ok());
            return Incoming::Request(Request { id, method, params });
        }
    }
    let problems = if problems.is_empty() { "must be a request".to_owned() } else { problems.join("; ") };
    Incoming::Invalid { id, error: Error::invalid(format!("invalid request frame: {problems}")) }
}

/// The `id` of a frame of which only the beginning is there.
#[must_use]
pub fn id_in(head: &[u8]) -> Option<String> {
    let found = Cell::new(None);
    // It always ends with an error, where the frame was cut.
    let _ = serde_json::Deserializer::from_slice(head).deserialize_map(IdFinder(&found));
    found.into_inner()
}

struct IdFinder<'a>(&'a Cell<Option<String>>);

impl<'de> Visitor<'de> for IdFinder<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a frame")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        while let Some(key) = entries.next_key::<Cow<'_, str>>()? {
            if key == "id" {
                self.0.set(Some(entries.next_value()?));
                return Ok(());
            }
            entries.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

crate::wire! {
    /// A request frame.
    pub struct RequestShape {
        #[serde(rename = "type")]
        r#type: String = Kind::OneOf(&["req"]),
        id: String = text(1),
        method: String = text(1),
        params: Option<Value>,
    }
}

#[derive(Serialize)]
struct WireError<'a> {
    code: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'a Value>,
    retryable: bool,
    #[serde(rename = "retryAfterMs", skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

/// A response frame; `payload` is JSON text, `code` the error's name in the connection's dialect.
#[must_use]
pub fn reply(id: &Value, outcome: Result<&[u8], &Error>, code: impl Fn(Code) -> Code) -> Vec<u8> {
    let payload_size = outcome.map_or(0, <[u8]>::len);
    let mut frame = Vec::with_capacity(payload_size + 128);
    frame.extend_from_slice(b"{\"type\":\"res\",\"id\":");
    put(&mut frame, id);
    match outcome {
        Ok(payload) => {
            frame.extend_from_slice(b",\"ok\":true,\"payload\":");
            frame.extend_from_slice(payload);
        }
        Err(error) => {
            let code = code(error.code);
            frame.extend_from_slice(b",\"ok\":false,");
            if let Some(payload) = &error.payload {
                frame.extend_from_slice(b"\"payload\":");
                put(&mut frame, payload);
                frame.push(b',');
            }
            frame.extend_from_slice(b"\"error\":");
            put(
                &mut frame,
                &WireError {
                    code: code.name(),
                    message: &error.message,
                    details: error.details.as_ref(),
                    retryable: code.retryable(),
                    retry_after_ms: error.retry_after_ms,
                },
            );
        }
    }
    frame.push(b'}');
    frame
}

/// Appends a value as JSON.
pub fn put(frame: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    // Writing our own types into memory has no way to fail; a hole would still be valid JSON.
    let start = frame.len();
    if serde_json::to_writer(&mut *frame, value).is_err() {
        frame.truncate(start);
        frame.extend_from_slice(b"null");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invalid(text: &str) -> (Value, String) {
        match read(text, 1000) {
            Incoming::Invalid { id, error } => (id, error.message),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_request_is_read_with_its_params_untouched() {
        let Incoming::Request(request) = read(r#"{"type":"req","id":"a\"1","method":"x","params":{"n": 1.0}}"#, 1000)
        else {
            panic!("not a request");
        };
        assert_eq!((request.id.as_str(), request.method.as_str()), ("a\"1", "x"));
        assert_eq!(request.params.unwrap().get(), r#"{"n": 1.0}"#);
    }

    #[test]
    fn malformed_frames_are_answered_under_their_own_id() {
        assert!(matches!(read("nope", 1000), Incoming::NotJson));
        assert_eq!(
            invalid(r#"{"type":"req","id":7,"method":"x"}"#),
            (7.into(), "invalid request frame: at /id: must be string".into())
        );
        assert_eq!(invalid("[]").0, "invalid");
        assert_eq!(
            invalid(r#"{"type":"req","id":"","method":"x","zz":1}"#),
            ("".into(), "invalid request frame: at root: unexpected property 'zz'; at /id: must NOT have fewer than 1 characters".into())
        );
    }

    #[test]
    fn too_deep_nesting_is_not_json_to_us() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(matches!(read(&deep, 1_000_000), Incoming::NotJson));
    }

    #[test]
    fn a_cut_frame_still_tells_its_id() {
        let head = br#"{"type":"req","params":{"id":"inner","x":[1]},"id":"n-7","method":"node.inv"#;
        assert_eq!(id_in(head).as_deref(), Some("n-7"));
        assert_eq!(id_in(br#"{"id":5,"x":1}"#), None);
        assert_eq!(id_in(br#"{"params":{"id":"inn"#), None);
        assert_eq!(id_in(b"\xff\x00"), None);
    }

    #[test]
    fn a_large_frame_that_is_no_request_is_not_taken_apart() {
        let text = format!("[{}]", "0,".repeat(600) + "0");
        assert_eq!(invalid(&text), (NO_ID.into(), "invalid request frame".into()));
    }
}
