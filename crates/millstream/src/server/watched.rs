//! A connection's bytes, watched: each read and each write that has to wait shows in its [`Pulse`].

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::pulse::Pulse;

/// What every HTTP/2 connection begins with (RFC 9113, 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// A stream with its pulse.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    pulse: Arc<Pulse>,
    /// What was read to tell the protocol, and is read again by who speaks it.
    begin: [u8; PREFACE.len()],
    filled: u8,
    taken: u8,
}

impl<S: AsyncRead + Unpin> Watched<S> {
    pub(super) fn new(stream: S, pulse: Arc<Pulse>) -> Self {
        Self { stream, pulse, begin: [0; PREFACE.len()], filled: 0, taken: 0 }
    }

    /// The protocol, by the first bytes: ALPN would not tell for a connection without TLS. An end counts as HTTP/1.
    pub(super) async fn protocol(&mut self) -> io::Result<Protocol> {
        loop {
            let filled = usize::from(self.filled);
            if self.begin[..filled] != PREFACE[..filled] {
                return Ok(Protocol::Http1);
            }
            if filled == PREFACE.len() {
                self.pulse.multiplexed();
                return Ok(Protocol::Http2);
            }
            match self.stream.read(&mut self.begin[filled..]).await? {
                0 => return Ok(Protocol::Http1),
                read => self.filled += read as u8,
            }
            self.pulse.received();
        }
    }
}

impl<S> Watched<S> {
    /// Notes whether the client takes what is written.
    fn note<T>(&self, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match written {
            Poll::Pending => self.pulse.stalls(),
            Poll::Ready(_) => self.pulse.flows(),
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let rest = &self.begin[usize::from(self.taken)..usize::from(self.filled)];
        if !rest.is_empty() {
            let taken = rest.len().min(out.remaining());
            out.put_slice(&rest[..taken]);
            self.taken += taken as u8;
            return Poll::Ready(Ok(()));
        }
        let before = out.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, out);
        if out.filled().len() > before {
            self.pulse.received();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.note(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.note(shut)
    }
}
