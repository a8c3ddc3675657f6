//! `POST /api/v1/collect`. It reads and answers; the sifter judges and the intake appends.

use std::sync::Arc;

use api::{ApiError, RequestId};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use event::Ack;
use event::limits::{APPEND_QUEUE_BYTES, APPEND_QUEUE_LEN};

use super::shape::{self, Collected};
use super::{Desk, reply};
use crate::intake::{HEAVY_BYTES, off_worker};
use crate::sift::Format;
use crate::{Verdicts, http};

/// Takes a batch.
pub(super) async fn collect(State(desk): State<Arc<Desk>>, request: Request) -> Result<Response, ApiError> {
    let (head, body) = request.into_parts();
    check_json(&head.headers)?;
    let mut held = desk.intake.bodies().hold();
    let body = http::plain_body(&head, body, &mut held).await?;
    let taken = desk.take(body, request_id(&head)).await?;
    Ok(reply::response(&taken))
}

/// What became of one batch.
pub(super) struct TakenBatch {
    pub(super) verdicts: Verdicts,
    pub(super) batch_id: uuid::Uuid,
    pub(super) has_metadata: bool,
    pub(super) took_ms: f64,
}

impl Desk {
    /// Judges a body and appends what it holds. Every answer waits for the disk, whatever the priority: `critical` asks
    /// for the strongest acknowledgement, and nothing here gets a weaker one. Waiting for the store besides would put
    /// the engine's commit into the latency of the very events that are urgent.
    pub(super) async fn take(&self, body: Bytes, request_id: &str) -> Result<TakenBatch, ApiError> {
        let began = self.intake.clock().elapsed();
        let envelope = self.intake.envelope(self.stream, Format::Json, request_id);
        let heavy = body.len() > HEAVY_BYTES;
        let collected = off_worker(heavy, || shape::sift(&self.sifter, &body, envelope))?;
        let Collected { sifted, batch_id, has_metadata, only_low } = collected;
        if only_low && self.is_pressed() {
            return Err(ApiError::too_many("under pressure, events of low priority have to wait; try again soon", 1));
        }
        let verdicts = self.intake.queue_sifted(self.stream, sifted, Ack::Durable, began)?.answer().await?;
        let took_ms = self.intake.clock().elapsed().saturating_sub(began).as_secs_f64() * 1_000.0;
        Ok(TakenBatch { verdicts, batch_id: batch_id.unwrap_or_else(uuid::Uuid::new_v4), has_metadata, took_ms })
    }

    /// Whether more than half of what may wait for the log does. From there on a request of low events only is sent
    /// away, so that there is room for the others until the queue is full.
    fn is_pressed(&self) -> bool {
        let status = self.intake.log().status();
        status.queue_len > APPEND_QUEUE_LEN / 2 || status.queue_bytes > APPEND_QUEUE_BYTES / 2
    }
}

/// The request's id, for dead letters.
pub(super) fn request_id(head: &Parts) -> &str {
    head.extensions.get::<RequestId>().map_or("", |id| &id.0)
}

/// JSON, or a body whose type is not said. Anything else may come from a web page that a browser let send without
/// asking us first.
fn check_json(headers: &HeaderMap) -> Result<(), ApiError> {
    let given = headers.get(header::CONTENT_TYPE);
    if given.is_none_or(|value| event::headers::is_json(value.as_bytes())) {
        return Ok(());
    }
    let message = "content-type is not supported; send application/json";
    Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message))
}
