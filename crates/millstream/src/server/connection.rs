//! One connection from its begin to its end: TLS, HTTP/1.1 or HTTP/2, and the ways in which it is sent away.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use super::GOODBYE;
use super::counted::Counted;
use super::pulse::{Order, Pulse};
use super::swap::Swap;
use super::tls::Tls;
use super::watched::{Protocol, Watched};

/// Header bytes of one request: a token, a trace, some cookies.
const HEADER_BYTES_MAX: u32 = 64 << 10;
/// Requests of one HTTP/2 connection at the same time.
const HTTP2_STREAMS_MAX: u32 = 250;
/// Bytes that a client may send ahead on one HTTP/2 request: a megabyte every 20 ms is 50 MB/s.
const HTTP2_STREAM_WINDOW: u32 = 1 << 20;
/// The same for all requests of one connection; the memory that a connection which nobody reads can hold.
const HTTP2_CONNECTION_WINDOW: u32 = 4 << 20;
/// Bytes of one HTTP/2 frame: batches are tens of kilobytes, and a frame costs the same whatever its size.
const HTTP2_FRAME_BYTES: u32 = 64 << 10;
/// How often a silent HTTP/2 client is asked whether it is there, and how long it has to answer.
const HTTP2_PING_EVERY: Duration = Duration::from_secs(20);
const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests that a client may take back before they are looked at («rapid reset»); beyond that it is sent away.
const HTTP2_PENDING_RESETS_MAX: usize = 20;
/// Requests that we may have to reset for a client's faults; beyond that it is sent away.
const HTTP2_FAULTS_MAX: usize = 256;

/// The first byte of a TLS handshake (RFC 8446, 5.1).
const TLS_HANDSHAKE: u8 = 0x16;
/// What a client hears that speaks HTTP where TLS is spoken.
const SPEAK_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 45\r\n\
    connection: close\r\n\r\nthis port speaks TLS: use https:// instead.\r\n";
/// Bytes that are still read of a client that is being refused, so that it gets to read why.
const LINGER_BYTES_MAX: u64 = 256 << 10;

/// What all connections of one listener share.
pub(super) struct Shared {
    pub(super) router: Swap,
    pub(super) tls: Option<Arc<Tls>>,
    /// Requests that are not answered yet.
    pub(super) busy: Arc<AtomicUsize>,
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

impl Shared {
    pub(super) fn new(router: Swap, tls: Option<Arc<Tls>>) -> Self {
        // Its time-out for a head counts the time before the head too, and knows none before the first: see `Pulse`.
        let mut http1 = http1::Builder::new();
        http1.header_read_timeout(None).max_header_size(HEADER_BYTES_MAX as usize);
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .keep_alive_interval(HTTP2_PING_EVERY)
            .keep_alive_timeout(HTTP2_PING_TIMEOUT)
            .max_header_list_size(HEADER_BYTES_MAX)
            .initial_stream_window_size(HTTP2_STREAM_WINDOW)
            .initial_connection_window_size(HTTP2_CONNECTION_WINDOW)
            .max_frame_size(HTTP2_FRAME_BYTES)
            .max_concurrent_streams(HTTP2_STREAMS_MAX)
            .max_pending_accept_reset_streams(HTTP2_PENDING_RESETS_MAX)
            .max_local_error_reset_streams(HTTP2_FAULTS_MAX);
        Self { router, tls, busy: Arc::default(), http1, http2 }
    }
}

/// Serves a connection in a task of its own; its place is free when it ends.
pub(super) fn spawn(
    stream: TcpStream,
    pulse: Arc<Pulse>,
    place: OwnedSemaphorePermit,
    shared: &Arc<Shared>,
    stop: watch::Receiver<bool>,
) {
    let shared = shared.clone();
    // Two tasks, not one with a choice: most connections have no TLS, and need not have room for its state.
    match shared.tls.clone() {
        None => drop(tokio::spawn(async move {
            speak(Watched::new(stream, pulse.clone()), &pulse, &shared, stop).await;
            drop(place);
        })),
        Some(tls) => drop(tokio::spawn(async move {
            if let Some(stream) = encrypted(stream, &tls, &pulse, stop.clone()).await {
                speak(Watched::new(stream, pulse.clone()), &pulse, &shared, stop).await;
            }
            drop(place);
        })),
    }
}

/// The handshake. `None` when it fails, or takes too long.
async fn encrypted(
    stream: TcpStream,
    tls: &Tls,
    pulse: &Pulse,
    mut stop: watch::Receiver<bool>,
) -> Option<TlsStream<TcpStream>> {
    let handshake = async {
        let mut first = [0];
        if stream.peek(&mut first).await? == 1 && first[0] != TLS_HANDSHAKE {
            refuse(stream).await?;
            return Err(io::Error::other("the client does not speak TLS"));
        }
        tls.acceptor().accept(stream).await
    };
    tokio::select! {
        done = handshake => match done {
            Ok(stream) => {
                pulse.encrypted();
                Some(stream)
            }
            Err(error) => {
                tracing::debug!(%error, "a TLS handshake failed");
                None
            }
        },
        _ = pulse.told() => None,
        () = stopped(&mut stop) => None,
    }
}

/// Waits until the listener stops.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

/// Answers a client that speaks HTTP in the clear, and reads on for a moment: what is unread when a connection closes
/// makes the system throw the answer away.
async fn refuse(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(SPEAK_TLS).await?;
    stream.shutdown().await?;
    let mut rest = stream.take(LINGER_BYTES_MAX);
    let mut nowhere = tokio::io::sink();
    // Whether it says goodbye or not, it goes.
    drop(timeout(GOODBYE, tokio::io::copy(&mut rest, &mut nowhere)).await);
    Ok(())
}

/// HTTP of either kind.
async fn speak<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    mut stream: Watched<S>,
    pulse: &Arc<Pulse>,
    shared: &Arc<Shared>,
    mut stop: watch::Receiver<bool>,
) {
    let protocol = tokio::select! {
        protocol = stream.protocol() => protocol,
        _ = pulse.told() => return,
        () = stopped(&mut stop) => return,
    };
    let service = Counted::new(shared.router.clone(), pulse.clone(), shared.busy.clone());
    let ended = match protocol {
        Ok(Protocol::Http1) => drive(shared.http1.serve_connection(TokioIo::new(stream), service), pulse, stop).await,
        // On the heap: its state is larger, and rarer.
        Ok(Protocol::Http2) => {
            Box::pin(drive(shared.http2.serve_connection(TokioIo::new(stream), service), pulse, stop)).await
        }
        Err(error) => return tracing::debug!(%error, "a connection broke before its first request"),
    };
    if let Err(error) = ended {
        // A client that hangs up is its own affair.
        tracing::debug!(%error, "a connection ended badly");
    }
}

/// Runs a connection until it ends, is told to go, or the listener stops.
async fn drive<C: GracefulConnection>(
    connection: C,
    pulse: &Pulse,
    mut stop: watch::Receiver<bool>,
) -> Result<(), C::Error> {
    let mut connection = pin!(connection);
    let order = tokio::select! {
        ended = connection.as_mut() => return ended,
        order = pulse.told() => order,
        // The listener decides how long it waits for us.
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            return connection.await;
        }
    };
    if order == Order::Finish {
        connection.as_mut().graceful_shutdown();
        // A request that came at the last moment is still answered.
        while let Err(_late) = timeout(GOODBYE, connection.as_mut()).await {
            if !pulse.busy() || pulse.order() == Some(Order::Cut) {
                break;
            }
        }
    }
    Ok(())
}
