//! A listener and its connections: HTTP/1.1 and HTTP/2 (prior knowledge) on one port, bounded, drained on request.
//!
//! Not `axum::serve`: that has no time-out for a request's head and no bound on connections.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;

/// Connections of one listener; more wait in the kernel's backlog.
const CONNECTIONS_MAX: usize = 8_192;
/// How long a connection may take to send a request's head, and may stand idle: a slow head holds a place.
const HEADER_TIMEOUT: Duration = Duration::from_secs(60);
/// Header bytes of one HTTP/2 request.
const HEADER_BYTES_MAX: u32 = 16 << 10;
/// Requests of one HTTP/2 connection at the same time.
const HTTP2_STREAMS_MAX: u32 = 250;
/// Bytes that a client may send ahead on one HTTP/2 request: a megabyte every 20 ms is 50 MB/s.
const HTTP2_STREAM_WINDOW: u32 = 1 << 20;
/// The same for all requests of one connection; the memory that a connection which nobody reads can hold.
const HTTP2_CONNECTION_WINDOW: u32 = 4 << 20;
/// Bytes of one HTTP/2 frame: batches are tens of kilobytes, and a frame costs the same whatever its size.
const HTTP2_FRAME_BYTES: u32 = 64 << 10;
/// The wait after an accept that failed, mostly for want of file descriptors, which only time frees.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// How long a connection without a request may hold up a drain: until its last bytes are out, not until a client that
/// went silent says goodbye.
const GOODBYE: Duration = Duration::from_secs(1);
/// How often a drain looks whether requests are left.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A listener at work.
pub(crate) struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Server {
    /// Serves a router on a bound listener.
    ///
    /// # Errors
    /// When the listener does not know its own address.
    pub(crate) fn start(listener: TcpListener, router: Router) -> std::io::Result<Self> {
        let address = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(accept(listener, router, stopped));
        Ok(Self { address, stop, task })
    }

    /// The address it listens on, with the port that the system chose when none was asked for.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting, and waits until every request in flight is answered.
    pub(crate) async fn close(self) {
        self.stop.send_replace(true);
        drop(self.task.await);
    }
}

async fn accept(listener: TcpListener, router: Router, mut stop: watch::Receiver<bool>) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(HEADER_BYTES_MAX)
        .initial_stream_window_size(HTTP2_STREAM_WINDOW)
        .initial_connection_window_size(HTTP2_CONNECTION_WINDOW)
        .max_frame_size(HTTP2_FRAME_BYTES)
        .max_concurrent_streams(HTTP2_STREAMS_MAX);
    let (builder, graceful, busy) = (Arc::new(builder), GracefulShutdown::new(), Arc::new(AtomicUsize::new(0)));
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        tokio::select! {
            biased;
            _ = stop.changed() => break,
            next = next(&listener, &places) => match next {
                Ok((stream, place)) => {
                    let service = TowerToHyperService::new(router.clone());
                    connection(stream, place, Counted { service, busy: busy.clone() }, &builder, &graceful);
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    #[expect(clippy::disallowed_methods, reason = "only time frees file descriptors")]
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            },
        }
    }
    drop(listener);
    tokio::select! {
        () = graceful.shutdown() => {}
        () = idle(&busy) => {}
    }
}

/// Waits until no request is in flight, and a moment more for the last answers to go out.
async fn idle(busy: &AtomicUsize) {
    let mut look = tokio::time::interval(LOOK_EVERY);
    while busy.load(Ordering::Relaxed) > 0 {
        look.tick().await;
    }
    #[expect(clippy::disallowed_methods, reason = "what a silent client may cost a drain")]
    tokio::time::sleep(GOODBYE).await;
}

async fn next(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, Option<OwnedSemaphorePermit>)> {
    // The semaphore is never closed, so the permit is always there.
    let place = places.clone().acquire_owned().await.ok();
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, place))
}

fn connection(
    stream: TcpStream,
    place: Option<OwnedSemaphorePermit>,
    service: Counted,
    builder: &Arc<auto::Builder<TokioExecutor>>,
    graceful: &GracefulShutdown,
) {
    let (builder, watcher) = (builder.clone(), graceful.watcher());
    tokio::spawn(async move {
        let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
        if let Err(error) = watcher.watch(connection).await {
            // A client that hangs up is its own affair.
            tracing::debug!(error, "a connection ended badly");
        }
        drop(place);
    });
}

/// The router, with the requests counted that it has not answered yet.
#[derive(Clone)]
struct Counted {
    service: TowerToHyperService<Router>,
    busy: Arc<AtomicUsize>,
}

impl Service<Request<Incoming>> for Counted {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (busy, answer) = (Busy::begin(self.busy.clone()), self.service.call(request));
        Box::pin(async move {
            let answer = answer.await;
            drop(busy);
            answer
        })
    }
}

/// One request in flight; also when its client hangs up and it is dropped half-way.
struct Busy(Arc<AtomicUsize>);

impl Busy {
    fn begin(busy: Arc<AtomicUsize>) -> Self {
        busy.fetch_add(1, Ordering::Relaxed);
        Self(busy)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
