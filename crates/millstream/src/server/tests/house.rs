//! A listener with a few routes, and a client that is as slow as it likes.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::get;
use futures_util::stream;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};

use crate::server::bounds::Timeouts;
use crate::server::tls::Tls;
use crate::server::{Bounds, Server};

/// Longer than any test lasts.
pub(super) const NEVER: Duration = Duration::from_secs(3_600);
/// What a time-out is where it is meant to end.
pub(super) const SOON: Duration = Duration::from_millis(200);

/// No time-out ends.
pub(super) const PATIENT: Timeouts = Timeouts { first_byte: NEVER, head: NEVER, idle: NEVER, write: NEVER };

/// A listener with `/` (answers `ok`), `/held` (answers when the gate lets it) and `/endless`.
pub(super) struct House {
    pub(super) server: Server,
    /// One permit lets one `/held` go.
    pub(super) gate: Arc<Semaphore>,
    /// Told when a `/held` is there.
    pub(super) came: Arc<Notify>,
    /// Told when the body of an `/endless` is let go.
    pub(super) cut: Arc<Notify>,
}

/// Fails when something does not come about that should come about soon.
pub(super) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), what).await.expect("it comes about soon")
}

struct Told(Arc<Notify>);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl House {
    pub(super) async fn new(connections: usize, timeouts: Timeouts, tls: Option<Arc<Tls>>) -> Self {
        let (gate, came, cut) = (Arc::new(Semaphore::new(0)), Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (held, arrived, told) = (gate.clone(), came.clone(), cut.clone());
        let router = Router::new()
            .route("/", get(async || "ok"))
            .route(
                "/held",
                get(async move || {
                    arrived.notify_one();
                    held.acquire().await.unwrap().forget();
                    "ok"
                }),
            )
            .route(
                "/endless",
                get(async move || {
                    let told = Told(told);
                    Body::from_stream(stream::repeat_with(move || {
                        let _held = &told;
                        Ok::<_, std::io::Error>(Bytes::from_static(&[0; 16 << 10]))
                    }))
                }),
            );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Server::start_with(listener, router, tls, Bounds { connections, timeouts }).unwrap();
        Self { server, gate, came, cut }
    }

    pub(super) async fn connect(&self) -> Client<TcpStream> {
        Client(TcpStream::connect(self.server.address()).await.unwrap())
    }

    /// A connection that has made a request, and is kept alive.
    pub(super) async fn kept_alive(&self) -> Client<TcpStream> {
        let mut client = self.connect().await;
        assert!(client.serves().await);
        client
    }

    /// Waits until the time-out for a first byte has ended for a connection made now.
    pub(super) async fn time_passes(&self) {
        self.connect().await.is_closed().await;
    }
}

/// A connection of a client.
pub(super) struct Client<S>(pub(super) S);

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(super) async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// Whether a request is answered.
    pub(super) async fn serves(&mut self) -> bool {
        let sent = self.0.write_all(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
        sent.is_ok() && self.answer().await.is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }

    /// An answer up to the `ok` that it ends with; none when the connection ends before.
    pub(super) async fn answer(&mut self) -> Option<String> {
        let mut text = String::new();
        let mut piece = [0; 1_024];
        while !text.ends_with("\r\n\r\nok") {
            match soon(self.0.read(&mut piece)).await {
                Ok(read) if read > 0 => text += std::str::from_utf8(&piece[..read]).unwrap(),
                _ => return None,
            }
        }
        Some(text)
    }

    /// Waits until the connection ends, and gives what came before.
    pub(super) async fn is_closed(&mut self) -> String {
        let mut rest = Vec::new();
        // An end by reset is an end.
        drop(soon(self.0.read_to_end(&mut rest)).await);
        String::from_utf8_lossy(&rest).into_owned()
    }
}
