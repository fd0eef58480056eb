//! A connected socket that a reader and a writer share: TCP, a Unix socket, or a pipe in memory.

use std::io::{self, IoSlice};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use smol::Async;
use smol::io::{AsyncRead, AsyncWrite};

use super::pipe;

/// One end of a connection. Cloning shares it; one clone reads, one writes.
#[derive(Debug, Clone)]
pub enum Socket {
    /// TCP.
    Tcp(Arc<Async<TcpStream>>),
    /// A Unix socket.
    Unix(Arc<Async<UnixStream>>),
    /// In memory.
    Pipe(pipe::End),
}

impl Socket {
    /// From an accepted stream. Small frames are sent at once.
    #[must_use]
    pub fn tcp(stream: async_net::TcpStream) -> Self {
        // Without the option, frames are only later, not wrong.
        let _ = stream.set_nodelay(true);
        Self::Tcp(stream.into())
    }

    /// Ends both directions: a waiting read sees the end.
    pub fn shutdown(&self) {
        match self {
            // It may be gone already.
            Self::Tcp(stream) => drop(stream.get_ref().shutdown(Shutdown::Both)),
            Self::Unix(stream) => drop(stream.get_ref().shutdown(Shutdown::Both)),
            Self::Pipe(end) => end.close(),
        }
    }

    /// Tells the peer that nothing more comes; reading goes on.
    pub fn end_writing(&self) {
        match self {
            Self::Tcp(stream) => drop(stream.get_ref().shutdown(Shutdown::Write)),
            Self::Unix(stream) => drop(stream.get_ref().shutdown(Shutdown::Write)),
            Self::Pipe(end) => end.end_writing(),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(&mut &**stream).poll_read(cx, buffer),
            Self::Unix(stream) => Pin::new(&mut &**stream).poll_read(cx, buffer),
            Self::Pipe(end) => end.poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(&mut &**stream).poll_write(cx, bytes),
            Self::Unix(stream) => Pin::new(&mut &**stream).poll_write(cx, bytes),
            Self::Pipe(end) => end.poll_write(cx, &[IoSlice::new(bytes)]),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(&mut &**stream).poll_write_vectored(cx, slices),
            Self::Unix(stream) => Pin::new(&mut &**stream).poll_write_vectored(cx, slices),
            Self::Pipe(end) => end.poll_write(cx, slices),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.end_writing();
        Poll::Ready(Ok(()))
    }
}
