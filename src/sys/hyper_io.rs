//! Lets hyper read and write a stream of the futures world.
//!
//! Used by the outbound client and by the server. It keeps no buffer of its own, so an idle
//! connection pays nothing for it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::rt;
use smol::io::{AsyncRead, AsyncWrite};

/// Most bytes that one poll reads; hyper asks again when there are more.
const READ_BYTES: usize = 4096;

/// A stream as hyper wants it.
#[derive(Debug)]
pub struct HyperIo<T>(T);

impl<T> HyperIo<T> {
    /// Wraps `stream`.
    pub fn new(stream: T) -> Self {
        Self(stream)
    }

    /// The stream, for instance after an upgrade to WebSocket.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T: AsyncRead + Unpin> rt::Read for HyperIo<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, mut into: rt::ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        // Reading into hyper's own memory needs `unsafe`; a copy of a few kilobytes doesn't.
        let mut buffer = [0_u8; READ_BYTES];
        let room = into.remaining().min(READ_BYTES);
        let Some(space) = buffer.get_mut(..room) else {
            return Poll::Ready(Ok(()));
        };
        let count = ready!(Pin::new(&mut self.get_mut().0).poll_read(cx, space))?;
        into.put_slice(space.get(..count).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> rt::Write for HyperIo<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_close(cx)
    }

    fn is_write_vectored(&self) -> bool {
        // Keeps hyper from copying a large body behind its head; a stream that cannot do it writes
        // the first piece.
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write_vectored(cx, pieces)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::rt::Read as _;
    use smol::io::Cursor;

    #[test]
    fn a_read_never_overruns_the_room_that_hyper_gives() {
        let mut io = HyperIo::new(Cursor::new(vec![7_u8; 10_000]));
        let mut seen = 0;
        for room in [3, 5000, 100] {
            let mut memory = vec![0_u8; room];
            let mut into = rt::ReadBuf::new(&mut memory);
            let mut cx = Context::from_waker(std::task::Waker::noop());
            assert!(Pin::new(&mut io).poll_read(&mut cx, into.unfilled()).is_ready());
            assert_eq!(into.filled().len(), room.min(READ_BYTES));
            seen += into.filled().len() as u64;
        }
        assert_eq!(io.into_inner().position(), seen);
    }
}
