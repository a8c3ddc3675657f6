//! Between the words of the wire and those of the intake.

use api::ApiError;
use event::Ack;

use super::pb;
use crate::{Format, Rejected, Verdicts};

pub(super) fn ack(level: i32) -> Result<Ack, ApiError> {
    match pb::AckLevel::try_from(level) {
        Ok(pb::AckLevel::Memory) => Ok(Ack::Memory),
        Ok(pb::AckLevel::Unspecified | pb::AckLevel::Durable) => Ok(Ack::Durable),
        Ok(pb::AckLevel::Stored) => Ok(Ack::Stored),
        Err(_) => Err(ApiError::bad_request(
            "invalid_parameter",
            format!("`ack`: expected one of ACK_LEVEL_MEMORY, ACK_LEVEL_DURABLE, ACK_LEVEL_STORED, found {level}"),
        )),
    }
}

pub(super) fn format(format: i32) -> Result<Format<'static>, ApiError> {
    match pb::Format::try_from(format) {
        Ok(pb::Format::Unspecified | pb::Format::Json) => Ok(Format::Json),
        Ok(pb::Format::Ndjson) => Ok(Format::Ndjson),
        Err(_) => Err(ApiError::bad_request(
            "invalid_parameter",
            format!("`format`: expected one of FORMAT_JSON, FORMAT_NDJSON, found {format}"),
        )),
    }
}

pub(super) fn batch_response(verdicts: Verdicts) -> pb::PublishBatchResponse {
    let mut all = pb::PublishResponse::default();
    add(&mut all, 0, verdicts);
    let pb::PublishResponse { accepted, duplicates, rejected, ack, positions, rejections, .. } = all;
    pb::PublishBatchResponse { accepted, duplicates, rejected, ack, positions, rejections }
}

/// Adds the answer to one batch to a response, which acknowledges it and everything before.
pub(super) fn add(response: &mut pb::PublishResponse, sequence: u64, verdicts: Verdicts) {
    let level = ack_level(verdicts.ack) as i32;
    response.ack = if response.acked == 0 { level } else { response.ack.min(level) };
    response.acked = sequence;
    response.accepted += verdicts.accepted;
    response.duplicates += verdicts.duplicates;
    response.rejected += verdicts.rejected;
    response.positions.extend(verdicts.positions.iter().map(|range| pb::Position {
        sequence,
        partition: range.partition,
        first_offset: range.first,
        last_offset: range.last,
    }));
    response.rejections.extend(verdicts.listed.into_iter().map(|rejected| rejection(sequence, rejected)));
}

/// The numbers of the levels grow with their strength.
fn ack_level(ack: Ack) -> pb::AckLevel {
    match ack {
        Ack::Memory => pb::AckLevel::Memory,
        Ack::Durable => pb::AckLevel::Durable,
        Ack::Stored => pb::AckLevel::Stored,
    }
}

fn rejection(sequence: u64, rejected: Rejected) -> pb::Rejection {
    let Rejected { index, code, pointer, message, dlq_id, .. } = rejected;
    let dlq_id = dlq_id.hyphenated().to_string();
    pb::Rejection { sequence, index, code: code.as_str().to_owned(), pointer, message, dlq_id }
}
