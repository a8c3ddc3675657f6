//! The collector's answer.

use api::ApiError;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::door::TakenBatch;
use crate::reply::Answer;

/// Refused events whose reason is told; the others are counted, and their dead letters have it.
const REASONS_MAX: usize = 100;

/// What became of a batch.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "batch_id": "5b0f3a9e-9d0c-4c5e-8a53-0a6f4c1d2e3f", "accepted_count": 1, "duplicate_count": 0, "rejected_count": 1,
    "processing_time_ms": 1.8, "kafka_partition": 3, "dlq_events": ["019c4a7e-55c0-7cc3-98d5-1f0e8c2b7a10"],
    "warnings": ["event 1: /priority: expected one of low, medium, high, critical, normal, found urgent"]
}))]
pub(super) struct CollectReply {
    /// As sent, or a new one.
    #[schema(format = "uuid")]
    batch_id: String,
    /// Events that went into the stream.
    accepted_count: u64,
    /// Events whose id was known already: they are in the stream, and were not appended again.
    duplicate_count: u64,
    /// Events that were refused.
    rejected_count: u64,
    /// From the body read to the answer.
    processing_time_ms: f64,
    /// The partition that took all accepted events; null when they went to several, or none was accepted.
    kafka_partition: Option<u32>,
    /// The ids of the dead letters that keep the refused events' bytes.
    dlq_events: Vec<String>,
    /// Why events were refused, the first hundred of them, and what else the sender should know.
    warnings: Vec<String>,
}

/// The finished answer: 200 when nothing was refused, 422 when everything was, 207 in between.
///
/// # Errors
/// 500 when it cannot be written as JSON, which a number of milliseconds that is none would do.
pub(super) fn answer(taken: &TakenBatch) -> Result<Answer, ApiError> {
    let verdicts = &taken.verdicts;
    let status = match (verdicts.rejected, verdicts.accepted + verdicts.duplicates) {
        (0, _) => StatusCode::OK,
        (_, 0) => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::MULTI_STATUS,
    };
    let reply = CollectReply {
        batch_id: taken.batch_id.to_string(),
        accepted_count: verdicts.accepted,
        duplicate_count: verdicts.duplicates,
        rejected_count: verdicts.rejected,
        processing_time_ms: taken.took_ms,
        kafka_partition: match verdicts.positions[..] {
            [range] => Some(range.partition),
            _ => None,
        },
        dlq_events: verdicts.listed.iter().map(|rejected| rejected.dlq_id.to_string()).collect(),
        warnings: warnings(taken),
    };
    let body = serde_json::to_vec(&reply).map_err(|error| ApiError::internal(&error))?;
    Ok(Answer { status, body: body.into() })
}

fn warnings(taken: &TakenBatch) -> Vec<String> {
    let verdicts = &taken.verdicts;
    let reason = |rejected: &crate::Rejected| format!("event {}: {}", rejected.index, rejected.message);
    let mut warnings: Vec<String> = verdicts.listed.iter().take(REASONS_MAX).map(reason).collect();
    let untold = verdicts.rejected.saturating_sub(warnings.len() as u64);
    if untold > 0 {
        warnings.push(format!("{untold} more were refused; their dead letters say why"));
    }
    if verdicts.duplicates > 0 {
        warnings.push(format!("{} were known already and not appended again", verdicts.duplicates));
    }
    if taken.has_metadata {
        warnings.push("the batch's metadata is not kept; put it into the metadata of the events".to_owned());
    }
    warnings
}
