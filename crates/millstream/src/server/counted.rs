//! The router with its requests counted: for the drain until they are answered, for their connection until the answer is
//! out.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use axum::body::Body as AxumBody;
use axum::http::{Request, Response};
use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::Service;

use super::pulse::Pulse;
use super::swap::Swap;

/// The router for one connection.
#[derive(Clone)]
pub(super) struct Counted {
    router: Swap,
    pulse: Arc<Pulse>,
    busy: Arc<AtomicUsize>,
}

impl Counted {
    /// `busy` counts the requests of all connections that are not answered yet.
    pub(super) fn new(router: Swap, pulse: Arc<Pulse>, busy: Arc<AtomicUsize>) -> Self {
        Self { router, pulse, busy }
    }
}

impl Service<Request<Incoming>> for Counted {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Answer>, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (busy, flight) = (Busy::begin(self.busy.clone()), InFlight::begin(self.pulse.clone()));
        let answer = self.router.call(request.map(AxumBody::new));
        Box::pin(async move {
            let answer = answer.await?;
            drop(busy);
            Ok(answer.map(|body| Answer { body, _flight: flight }))
        })
    }
}

/// The body of an answer; its request is in flight until it is dropped.
pub(super) struct Answer {
    body: AxumBody,
    _flight: InFlight,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// One request of a connection; also when its client hangs up and it is dropped half-way.
struct InFlight(Arc<Pulse>);

impl InFlight {
    fn begin(pulse: Arc<Pulse>) -> Self {
        pulse.began();
        Self(pulse)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.ended();
    }
}

/// One request that is not answered yet.
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
