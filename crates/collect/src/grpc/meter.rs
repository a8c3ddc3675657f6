//! What a call has sent and nobody has read as a message yet counts against the memory for bodies; and a call that must
//! end is ended here.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::Poll;

use api::ApiError;
use axum::body::Body;
use futures_util::{FutureExt, StreamExt, stream};
use log::LogError;
use tokio::sync::watch;
use tonic::Status;

use crate::{Intake, IntakeError};

/// The bytes of one call that are on their way to a message; given back when dropped.
#[derive(Debug)]
pub(super) struct Meter {
    intake: Arc<Intake>,
    lane: u32,
    bytes: AtomicUsize,
}

impl Meter {
    pub(super) fn new(intake: Arc<Intake>, lane: u32) -> Self {
        Self { intake, lane, bytes: AtomicUsize::new(0) }
    }

    fn came(&self, bytes: usize) -> Result<(), ApiError> {
        self.bytes.fetch_add(bytes, Relaxed);
        self.intake.bodies().take(self.lane, bytes)
    }

    /// A message is whole; the log's queue has its own bound. What came behind it in the same frame, some kilobytes, is
    /// let go with it.
    pub(super) fn read(&self) {
        self.intake.bodies().give(self.lane, self.bytes.swap(0, Relaxed));
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.read();
    }
}

/// The body of a call, metered. It breaks off when the memory is used up, and when the door closes.
pub(super) fn metered(body: Body, meter: Arc<Meter>, closing: watch::Receiver<bool>) -> Body {
    let mut data = body.into_data_stream();
    let mut closed = Box::pin(closed(closing).fuse());
    Body::from_stream(stream::poll_fn(move |context| {
        // Before the data: a client that never pauses must not hold the door open.
        if closed.poll_unpin(context).is_ready() {
            return Poll::Ready(Some(Err(Status::from(ApiError::from(IntakeError::Log(LogError::Closed))))));
        }
        data.poll_next_unpin(context).map(|piece| match piece? {
            Ok(bytes) => Some(meter.came(bytes.len()).map(|()| bytes).map_err(Status::from)),
            Err(error) => Some(Err(Status::from_error(Box::new(error)))),
        })
    }))
}

/// Waits until the door closes.
pub(super) async fn closed(mut closing: watch::Receiver<bool>) {
    if closing.wait_for(|closing| *closing).await.is_err() {
        // Nobody is there to close it.
        std::future::pending::<()>().await;
    }
}
