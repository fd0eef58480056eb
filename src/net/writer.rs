//! Drains an outbox into its socket.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::Duration;

use smol::io::AsyncWrite;

use super::socket::Socket;
use crate::events::outbox::{Outbox, Work};
use crate::sys::Clock;

/// How the writing ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Everything up to the close frame is out.
    Closed,
    /// The socket took nothing for `stall`.
    Stalled,
    /// The socket broke.
    Broken,
}

/// Writes until the connection ends. While frames wait, the socket must take at least a byte every
/// `stall`; if it doesn't, or breaks, the connection ends.
pub async fn drain(mut socket: Socket, outbox: Rc<Outbox>, clock: Rc<dyn Clock>, stall: Duration) -> Ended {
    let mut alarm = None;
    let ended = poll_fn(|cx| {
        loop {
            match ready!(outbox.poll_work(cx)) {
                Work::Done => return Poll::Ready(Ended::Closed),
                Work::Frames => {}
            }
            match outbox.write_with(|slices| Pin::new(&mut socket).poll_write_vectored(cx, slices)) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Ended::Broken),
                Poll::Ready(Ok(_)) => alarm = None,
                Poll::Pending => {
                    let alarm = alarm.get_or_insert_with(|| clock.sleep(stall));
                    ready!(alarm.as_mut().poll(cx));
                    return Poll::Ready(Ended::Stalled);
                }
            }
        }
    })
    .await;
    if ended != Ended::Closed {
        // The reading side waits for the peer, which may say nothing more: it has to hear of this.
        outbox.abandon();
    }
    ended
}
