//! A webhook receiver on a free port: it keeps what comes, and answers as it is told.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode, Uri};
use hyper::body::Frame;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// One request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }
}

/// A status and the headers with it.
pub(crate) type Reply = (u16, Vec<(&'static str, String)>);

struct Shared {
    got: Mutex<Vec<Got>>,
    replies: Mutex<VecDeque<Reply>>,
    gate: Semaphore,
    endless: AtomicBool,
}

/// The receiver. It answers 200 unless it is told something else.
pub(crate) struct Receiver {
    pub(crate) url: String,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

impl Receiver {
    pub(crate) async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let gate = Semaphore::new(Semaphore::MAX_PERMITS);
        let shared = Arc::new(Shared {
            got: Mutex::default(),
            replies: Mutex::default(),
            gate,
            endless: AtomicBool::new(false),
        });
        let app = Router::new().fallback(take).with_state(shared.clone());
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, shared, task }
    }

    /// What it answers next, one after the other.
    pub(crate) fn answers(&self, replies: impl IntoIterator<Item = u16>) {
        let replies = replies.into_iter().map(|status| (status, Vec::new()));
        self.shared.replies.lock().unwrap().extend(replies);
    }

    /// What it answers after those.
    pub(crate) fn answers_with(&self, reply: Reply) {
        self.shared.replies.lock().unwrap().push_back(reply);
    }

    /// From now on it keeps requests and does not answer.
    pub(crate) fn hold(&self) {
        self.shared.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    /// It answers again, those that it held too.
    pub(crate) fn release(&self) {
        self.shared.gate.add_permits(1_000);
    }

    /// From now on its answers begin, and never end.
    pub(crate) fn never_ends(&self) {
        self.shared.endless.store(true, Ordering::SeqCst);
    }

    pub(crate) fn got(&self) -> Vec<Got> {
        self.shared.got.lock().unwrap().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.shared.got.lock().unwrap().len()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A body of which nothing ever comes.
struct Endless;

impl HttpBody for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

async fn take(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response<Body> {
    shared.got.lock().unwrap().push(Got { path: uri.path().to_owned(), headers, body });
    drop(shared.gate.acquire().await);
    let (status, headers) = shared.replies.lock().unwrap().pop_front().unwrap_or((200, Vec::new()));
    let endless = shared.endless.load(Ordering::SeqCst);
    let body = if endless { Body::new(Endless) } else { Body::from(format!("answered {status}")) };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in headers {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}
