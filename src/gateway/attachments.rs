//! Pictures that come with a message (methods.md 6.1).

use data_encoding::{BASE64, BASE64_NOPAD};

use crate::error::Error;
use crate::limits::ATTACHMENT_BYTES;
use crate::wire::message::Block;

crate::wire! {
    /// A picture in base64 or as a `data:` URL. What isn't a picture is left out.
    pub open struct Attachment {
        /// A word for messages, e.g. `image`.
        r#type: Option<String>,
        mime_type: Option<String>,
        file_name: Option<String>,
        /// base64, or a `data:` URL.
        content: Option<serde_json::Value>,
    }
}

/// The pictures among the attachments, as blocks of a message.
///
/// # Errors
/// `INVALID_REQUEST` for content that isn't base64 or is larger than [`ATTACHMENT_BYTES`].
pub fn images(attachments: &[Attachment]) -> Result<Vec<Block>, Error> {
    let mut blocks = Vec::new();
    for (index, attachment) in attachments.iter().enumerate() {
        let name = attachment.file_name.clone().or_else(|| attachment.r#type.clone());
        let name = name.unwrap_or_else(|| format!("attachment-{}", index + 1));
        let refuse = |why: String| Error::invalid(format!("Error: attachment {name}: {why}"));
        let content = match &attachment.content {
            None => continue,
            Some(serde_json::Value::String(content)) if content.is_empty() => continue,
            Some(serde_json::Value::String(content)) => content.as_str(),
            Some(_) => return Err(refuse("content must be base64 string".into())),
        };
        let base64 = match content.strip_prefix("data:") {
            Some(url) => url.split_once(",").map_or("", |(_, base64)| base64),
            None => content,
        };
        let compact: String = base64.chars().filter(|letter| !letter.is_ascii_whitespace()).collect();
        let decoded = BASE64.decode(compact.as_bytes()).or_else(|_| BASE64_NOPAD.decode(compact.as_bytes()));
        let bytes = decoded.map_err(|_| refuse("invalid base64 content".into()))?;
        if bytes.is_empty() {
            return Err(refuse("invalid base64 content".into()));
        }
        if bytes.len() > ATTACHMENT_BYTES {
            return Err(refuse(format!("exceeds size limit ({} > {ATTACHMENT_BYTES} bytes)", bytes.len())));
        }
        match sniff(&bytes) {
            Some(mime_type) => {
                blocks.push(Block::Image { data: BASE64.encode(&bytes), mime_type: mime_type.to_owned() });
            }
            None => log::warn!("attachment {name} is no picture that a model can see: left out"),
        }
    }
    Ok(blocks)
}

/// The type that the first bytes tell; what the client says doesn't count.
fn sniff(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(attachment: serde_json::Value) -> Result<Vec<Block>, String> {
        images(&[serde_json::from_value(attachment).unwrap()]).map_err(|error| error.message)
    }

    #[test]
    fn pictures_are_known_by_their_bytes() {
        let png = BASE64.encode(b"\x89PNG\r\n\x1a\n0000");
        let expected = vec![Block::Image { data: png.clone(), mime_type: "image/png".into() }];
        assert_eq!(read(json!({"content": png, "mimeType": "text/plain"})), Ok(expected.clone()));
        assert_eq!(read(json!({"content": format!("data:image/jpeg;base64,{png}")})), Ok(expected));
        assert_eq!(read(json!({"content": BASE64.encode(b"just text")})), Ok(vec![]));
        assert_eq!(read(json!({"type": "image"})), Ok(vec![]));
        assert_eq!(read(json!({"type": "image", "content": ""})), Ok(vec![]));
    }

    #[test]
    fn bad_content_is_named() {
        assert_eq!(
            read(json!({"content": "!!", "fileName": "a.png"})),
            Err("Error: attachment a.png: invalid base64 content".into())
        );
        assert_eq!(
            read(json!({"content": 1})),
            Err("Error: attachment attachment-1: content must be base64 string".into())
        );
        let large = BASE64.encode(&vec![0; ATTACHMENT_BYTES + 1]);
        assert!(read(json!({"content": large})).unwrap_err().contains("exceeds size limit (5000001 > 5000000 bytes)"));
    }
}
