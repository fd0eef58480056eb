//! Pictures that a tool brought: kept for a while, and sent to the chat from which they were asked for.

use data_encoding::BASE64;

use super::Cx;
use crate::channels::known;
use crate::channels::message::Body;
use crate::channels::registry::Draft;
use crate::runs::asker::Asker;
use crate::runs::tools::ToolOutput;
use crate::wire::message::Block;

/// Keeps the pictures of an output and sends them on; the output says what became of them.
pub(super) async fn show(cx: &Cx, mut output: ToolOutput) -> ToolOutput {
    let mut kept = Vec::new();
    for block in &output.content {
        let Block::Image { data, mime_type } = block else { continue };
        let Ok(bytes) = BASE64.decode(data.as_bytes()) else { continue };
        let ending = match mime_type.as_str() {
            "image/png" => "png",
            "image/gif" => "gif",
            "image/webp" => "webp",
            _ => "jpg",
        };
        match cx.gateway.stores.media.put(&bytes, ending).await {
            Ok(reference) => kept.push(reference),
            Err(error) => log::warn!("a picture is not kept: {error}"),
        }
    }
    if kept.is_empty() {
        return output;
    }
    let told = if send(cx, kept.clone()) { "sent to this chat" } else { "kept" };
    let text = format!("The picture is {told} as {}.", kept.join(", "));
    output.content.push(Block::Text { text });
    output
}

/// Sends pictures to the chat of the conversation, if that is on a channel which takes them.
fn send(cx: &Cx, media_urls: Vec<String>) -> bool {
    let Asker::Person(person) = &cx.scene.asker else { return false };
    let Some(meta) = known::find(person.channel) else { return false };
    let Ok(seat) = cx.gateway.channels.sender(meta, Some(&person.account_id)) else { return false };
    if !seat.channel.as_ref().is_some_and(|channel| channel.capabilities().media) {
        return false;
    }
    let body = Body::Message { text: String::new(), media_urls };
    match cx.gateway.channels.send(&seat, Draft { to: person.chat.clone(), key: None, body, mirror: None }) {
        Ok(_) => true,
        Err(error) => {
            log::warn!("channel {}: a picture is not sent: {error}", meta.id);
            false
        }
    }
}
