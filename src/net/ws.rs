//! One WebSocket connection: handshake, then frames in and frames out until it ends.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::error::{CapacityError, Error as WsError};
use async_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use async_tungstenite::tungstenite::{Bytes, Message, Utf8Bytes};
use smol::stream::Stream as _;

use super::http::Upgraded;
use super::intake::{Intake, Meter, Refusal};
use super::sieve::{Excess, Skipped};
use super::writer;
use crate::events::outbox::Outbox;
use crate::events::{CHALLENGE, Peer};
use crate::gateway::Gateway;
use crate::gateway::handshake::{self, Challenge};
use crate::gateway::pairing::Entrance;
use crate::limits::{HANDSHAKE_MESSAGE_BYTES, READ_BUFFER_BYTES};
use crate::rpc::{Table, dispatch};
use crate::wire::Dialect as _;
use crate::wire::event::{Event, Payload};
use crate::wire::handshake::Role as ClientRole;
use crate::wire::native::Native;

/// Frame headers and masks that the meter sees beside a message's payload: room for a thousand
/// fragments of an honest client.
const FRAMING_BYTES: usize = 16 * 1024;
/// How long the peer has to answer our close, and we to send it.
const CLOSE_WAIT: Duration = Duration::from_secs(2);

type Reader = WebSocketStream<Intake>;

/// Serves an upgraded connection to its end. `deadline` is the monotonic time at which the handshake
/// must be done.
pub async fn serve(gateway: Rc<Gateway>, table: Rc<Table>, upgraded: Upgraded, deadline: Duration) {
    let Upgraded { socket, early, origin, guide_path, mut place } = upgraded;
    let limits = &gateway.limits;
    let outbox = Rc::new(Outbox::new(to_usize(limits.max_buffered_bytes), Rc::clone(&gateway.outgoing)));
    let meter = Meter::new(Rc::clone(&gateway.incoming), HANDSHAKE_MESSAGE_BYTES + FRAMING_BYTES, limits.max_payload);
    let writer = gateway.sys.tasks.spawn(writer::drain(
        socket.clone(),
        Rc::clone(&outbox),
        Rc::clone(&gateway.sys.clock),
        Duration::from_millis(limits.write_stall_ms),
    ));
    // The sieve in the intake knows whose message may be how large.
    let largest = to_usize(limits.max_payload.max(limits.node_max_payload));
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(64 * 1024)
        .max_message_size(Some(largest))
        .max_frame_size(Some(largest));
    let intake = Intake::new(socket.clone(), early, Rc::clone(&outbox), Rc::clone(&meter));
    let mut reader = WebSocketStream::from_raw_socket(intake, Role::Server, Some(config)).await;

    let challenge = (!guide_path).then(|| challenge(&gateway, &outbox));
    let peer = async {
        // Nothing is skipped before the handshake is over.
        let Some(Incoming::Text(text)) = next_text(&mut reader, &meter, &outbox).await else { return None };
        enter(&gateway, &text, challenge.as_ref(), &origin, &outbox).await
    };
    // On the heap: what a handshake takes must not stay in memory for as long as the connection.
    let peer = gateway.sys.clock.before(deadline, Box::pin(peer)).await;
    if peer.is_err() {
        // The reference closes as if nothing were wrong (connection.md 1.2).
        outbox.close(1000, "");
    }
    if let Ok(Some(peer)) = peer {
        place.admitted();
        let (max_payload, excess) = match peer.grant.role {
            ClientRole::Node => (limits.node_max_payload, Excess::Skip),
            ClientRole::Operator | ClientRole::Device => (limits.max_payload, Excess::Refuse),
        };
        meter.allow(to_usize(max_payload) + FRAMING_BYTES, max_payload, excess);
        while let Some(incoming) = next_text(&mut reader, &meter, &outbox).await {
            match incoming {
                Incoming::Text(text) => dispatch::frame(&table, &gateway, &peer, &text),
                Incoming::TooLarge(skipped) => {
                    dispatch::too_large(&gateway, &peer, skipped.bytes, &[&skipped.head, &skipped.tail]);
                }
            }
        }
        gateway.dismiss(&peer);
    }
    outbox_done(&gateway, &outbox, &mut reader, writer).await;
    socket.shutdown();
}

/// Sends what is left, waits for the peer's close if we closed first, then lets go.
async fn outbox_done(gateway: &Gateway, outbox: &Rc<Outbox>, reader: &mut Reader, writer: smol::Task<writer::Ended>) {
    if outbox.closing().is_none() {
        outbox.abandon();
    }
    let clock = &gateway.sys.clock;
    let stall = Duration::from_millis(gateway.limits.write_stall_ms);
    // Bounded by the writer's own stall limit for every byte, and by this for all of them.
    if let Ok(writer::Ended::Closed) = clock.timeout(stall.max(CLOSE_WAIT), writer).await {
        if outbox.closing().is_some_and(|close| close.code != 0) {
            let rest = async {
                while poll_fn(|cx| Pin::new(&mut *reader).poll_next(cx)).await.is_some_and(|got| got.is_ok()) {}
            };
            let _ = clock.timeout(CLOSE_WAIT, rest).await;
        }
    }
}

/// Sends the challenge and gives it back.
fn challenge(gateway: &Gateway, outbox: &Outbox) -> Challenge {
    let challenge = Challenge { nonce: gateway.sys.chance.uuid(), at_ms: gateway.sys.clock.now_ms() };
    let payload = serde_json::json!({"nonce": challenge.nonce, "ts": challenge.at_ms});
    let Ok(payload) = serde_json::value::to_raw_value(&payload) else { return challenge };
    let event = Event { kind: &CHALLENGE, payload: Payload::Json(payload), state_version: None };
    if let Some(mut frame) = Native.event(&event) {
        frame.push(b'}');
        // An outbox that has no room yet will end the connection with the next frame.
        let _ = outbox.push(frame);
    }
    challenge
}

/// Judges the first frame and carries the verdict out.
async fn enter(
    gateway: &Rc<Gateway>,
    text: &Text,
    challenge: Option<&Challenge>,
    origin: &handshake::Origin,
    outbox: &Rc<Outbox>,
) -> Option<Rc<Peer>> {
    let entrance = match text.as_str() {
        Some(text) if text.len() <= HANDSHAKE_MESSAGE_BYTES => gateway.receive(text, challenge, origin).await,
        Some(_) => Entrance::Refused { reply: None, code: 1009, reason: String::new() },
        None => Entrance::Refused { reply: None, code: 1000, reason: String::new() },
    };
    match entrance {
        Entrance::Refused { reply, code, reason } => {
            if let Some(reply) = reply {
                // The close says it too, shorter.
                let _ = outbox.push(reply);
            }
            log::info!("{}: handshake refused: {reason}", origin.address);
            outbox.close(code, &reason);
            None
        }
        Entrance::Open { known, cleared } => {
            let device_id = known.device.map(|proven| proven.device_id);
            Some(gateway.admit(known.dialect, known.connect, device_id, cleared, origin, Rc::clone(outbox)))
        }
    }
}

/// A message's content; text and binary are treated alike (connection.md 1.1).
#[derive(Debug)]
enum Text {
    Checked(Utf8Bytes),
    Raw(Bytes),
}

impl Text {
    fn as_str(&self) -> Option<&str> {
        match self {
            Self::Checked(text) => Some(text),
            Self::Raw(bytes) => std::str::from_utf8(bytes).ok(),
        }
    }
}

impl std::ops::Deref for Text {
    type Target = str;

    /// Binary that isn't UTF-8 reads as a text that isn't JSON.
    fn deref(&self) -> &str {
        self.as_str().unwrap_or("\u{fffd}")
    }
}

/// What comes in.
#[derive(Debug)]
enum Incoming {
    /// A message.
    Text(Text),
    /// A node's message that was too large and is gone.
    TooLarge(Skipped),
}

/// The next message; `None` once the connection is to end, for whatever reason.
async fn next_text(reader: &mut Reader, meter: &Meter, outbox: &Outbox) -> Option<Incoming> {
    loop {
        let next = poll_fn(|cx| {
            if outbox.poll_closing(cx).is_ready() {
                return Poll::Ready(None);
            }
            match Pin::new(&mut *reader).poll_next(cx) {
                Poll::Pending => meter.take_skipped().map_or(Poll::Pending, |skipped| Poll::Ready(Some(Err(skipped)))),
                ready => ready.map(|next| next.map(Ok)),
            }
        })
        .await;
        let next = match next? {
            Ok(next) => next,
            Err(skipped) => return Some(Incoming::TooLarge(skipped)),
        };
        match next {
            Ok(Message::Text(text)) => {
                meter.whole();
                return Some(Incoming::Text(Text::Checked(text)));
            }
            Ok(Message::Binary(bytes)) => {
                meter.whole();
                return Some(Incoming::Text(Text::Raw(bytes)));
            }
            Ok(Message::Ping(payload) | Message::Pong(payload)) => meter.control(payload.len()),
            Ok(Message::Close(_) | Message::Frame(_)) => {
                // The library writes its answer to the peer's close when it is polled once more.
                let _ = poll_fn(|cx| Poll::Ready(Pin::new(&mut *reader).poll_next(cx))).await;
                outbox.finish();
                return None;
            }
            Err(error) => {
                end_for(&error, meter, outbox);
                return None;
            }
        }
    }
}

/// Tells the peer why reading failed, if it can still hear it (connection.md 1.3). What it has not been
/// sent by now it will not hear: its room is for the others.
fn end_for(error: &WsError, meter: &Meter, outbox: &Outbox) {
    match (meter.refusal(), error) {
        (Some(Refusal::NoRoom), _) => outbox.cut(1013, "gateway is out of buffer space"),
        (Some(Refusal::TooLarge), _)
        | (None, WsError::Capacity(CapacityError::MessageTooLong { .. }) | WsError::WriteBufferFull(_)) => {
            outbox.cut(1009, "");
        }
        (None, WsError::Utf8(_)) => outbox.cut(1007, ""),
        (None, WsError::Protocol(_)) => outbox.cut(1002, ""),
        (None, _) => outbox.abandon(),
    }
}

fn to_usize(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
