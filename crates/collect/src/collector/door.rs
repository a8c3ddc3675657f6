//! `POST /api/v1/collect`. It reads and answers; the sifter judges and the intake appends.

use std::sync::Arc;
use std::time::Duration;

use api::{ApiError, Caller, RequestId};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use event::Ack;
use log::IdHasher;

use super::shape::{self, Collected};
use super::{Desk, reply};
use crate::gate::queue_fill;
use crate::idempotency::{self, Key, Keyed};
use crate::intake::{HEAVY_BYTES, Queued, off_worker};
use crate::sift::Format;
use crate::{Intake, Verdicts, http};

/// Takes a batch.
pub(super) async fn collect(State(desk): State<Arc<Desk>>, request: Request) -> Result<Response, ApiError> {
    let (head, body) = request.into_parts();
    check_json(&head.headers)?;
    let key = Key::of(&head.headers)?;
    let caller = Caller::from_extensions(&head.extensions);
    let tenant = caller.writes_as();
    let lane = desk.intake.lane(tenant);
    desk.intake.pressure().hold_back(lane).await;
    let mut held = desk.intake.bodies().hold(lane);
    let body = http::plain_body(&head, body, &mut held).await?;
    let turn = held.take_turn();
    let keyed = Keyed { key, tenant, path: head.uri.path(), ack: Ack::Durable, format: Format::Json, body };
    idempotency::once(&desk.intake, keyed, |body, ids| {
        let queued = desk.queue(&body, tenant, request_id(&head), ids)?;
        drop(turn);
        Ok(async move { reply::answer(&queued.answer().await?) })
    })
    .await
}

/// What became of one batch.
pub(super) struct TakenBatch {
    pub(super) verdicts: Verdicts,
    pub(super) batch_id: uuid::Uuid,
    pub(super) has_metadata: bool,
    pub(super) took_ms: f64,
}

/// A batch with its place in the log.
pub(super) struct QueuedBatch {
    queued: Queued,
    intake: Arc<Intake>,
    began: Duration,
    batch_id: Option<uuid::Uuid>,
    has_metadata: bool,
}

impl QueuedBatch {
    /// Waits for the log's answer.
    pub(super) async fn answer(self) -> Result<TakenBatch, ApiError> {
        let Self { queued, intake, began, batch_id, has_metadata } = self;
        let verdicts = queued.answer().await?;
        let took_ms = intake.clock().elapsed().saturating_sub(began).as_secs_f64() * 1_000.0;
        Ok(TakenBatch { verdicts, batch_id: batch_id.unwrap_or_else(uuid::Uuid::new_v4), has_metadata, took_ms })
    }
}

impl Desk {
    /// Judges a body and queues what it holds. Every answer waits for the disk, whatever the priority: `critical` asks
    /// for the strongest acknowledgement, and nothing here gets a weaker one. Waiting for the store besides would put
    /// the engine's commit into the latency of the very events that are urgent.
    pub(super) fn queue(
        &self,
        body: &Bytes,
        tenant: &str,
        request_id: &str,
        ids: Option<IdHasher>,
    ) -> Result<QueuedBatch, ApiError> {
        let (intake, stream) = (&self.intake, self.stream);
        let began = intake.clock().elapsed();
        let envelope = intake.envelope(tenant, stream, Format::Json, request_id);
        let heavy = body.len() > HEAVY_BYTES;
        let collected = off_worker(heavy, || shape::sift(&self.sifter, body, envelope))?;
        let Collected { mut sifted, batch_id, has_metadata, only_low } = collected;
        if only_low && self.is_pressed() {
            return Err(ApiError::too_many("under pressure, events of low priority have to wait; try again soon", 1));
        }
        intake.give_ids(stream, &mut sifted, ids);
        let queued = intake.queue_sifted(tenant, stream, sifted, Ack::Durable, began)?;
        Ok(QueuedBatch { queued, intake: intake.clone(), began, batch_id, has_metadata })
    }

    /// Whether more than half of what one sender may have waiting for the log does. From there on a request of low events only is sent
    /// away, so that there is room for the others until the queue is full.
    fn is_pressed(&self) -> bool {
        queue_fill(&self.intake.log().status()) > 0.5
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
