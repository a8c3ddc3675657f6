//! `POST /api/v1/test/events?count=N`: made-up events that go the way of all others, onto the disk.

use std::fmt::Write;
use std::sync::Arc;

use api::{ApiError, Caller};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::door::request_id;
use super::{Desk, EVENTS_MAX};

const COUNT_MAX: usize = 10_000;

#[derive(Deserialize)]
pub(super) struct Asked {
    #[serde(default = "hundred")]
    count: usize,
}

fn hundred() -> usize {
    100
}

/// What became of the made-up events.
#[derive(Serialize, ToSchema)]
pub(super) struct TestReply {
    /// Events made.
    generated: u64,
    /// Of them, those that are in the stream.
    accepted: u64,
    rejected: u64,
    /// For all of them, in requests of a thousand.
    processing_time_ms: f64,
    /// Accepted events a second of that time.
    throughput_eps: f64,
}

/// Makes events and takes them.
pub(super) async fn test_events(
    State(desk): State<Arc<Desk>>,
    asked: Result<Query<Asked>, QueryRejection>,
    request: Request,
) -> Result<Json<TestReply>, ApiError> {
    let count = asked.ok().map(|Query(asked)| asked.count).filter(|count| (1..=COUNT_MAX).contains(count));
    let Some(count) = count else {
        let message = format!("query parameter `count`: expected a whole number from 1 to {COUNT_MAX}, once");
        return Err(ApiError::unprocessable("invalid_parameter", message));
    };
    let (head, _) = request.into_parts();
    let caller = Caller::from_extensions(&head.extensions);
    let tenant = caller.writes_as();
    desk.intake.pressure().hold_back(desk.intake.lane(tenant)).await;
    let began = desk.intake.clock().elapsed();
    let (mut accepted, mut rejected, mut made) = (0, 0, 0);
    while made < count {
        let next = (count - made).min(EVENTS_MAX);
        let body = batch(made, next, tenant, &api::time::to_rfc3339(desk.intake.clock().now()));
        let queued = desk.queue(&body.into(), tenant, request_id(&head), None)?;
        let verdicts = queued.answer().await?.verdicts;
        accepted += verdicts.accepted;
        rejected += verdicts.rejected;
        made += next;
    }
    let took = desk.intake.clock().elapsed().saturating_sub(began).as_secs_f64();
    let throughput_eps = if took > 0.0 { accepted as f64 / took } else { 0.0 };
    let generated = count as u64;
    Ok(Json(TestReply { generated, accepted, rejected, processing_time_ms: took * 1_000.0, throughput_eps }))
}

/// A JSON array of so many events, of a hundred learners.
fn batch(first: usize, count: usize, tenant: &str, now: &str) -> String {
    // Nothing in a tenant's name has to be escaped.
    let tenant = if tenant.is_empty() { "tenant_test" } else { tenant };
    let mut text = String::with_capacity(320 * count);
    for i in first..first + count {
        let separator = if text.is_empty() { '[' } else { ',' };
        let (id, learner) = (Uuid::new_v4(), i % 100);
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            r#"{separator}{{"event_id":"{id}","learner_id":"learner_test_{learner:03}","tenant_id":"{tenant}","event_type":"interaction","priority":"low","timestamp":"{now}","source_service":"millstream-test","event_data":{{"action":"click","number":{i}}},"metadata":{{"test":true}}}}"#
        );
    }
    text.push(']');
    text
}
