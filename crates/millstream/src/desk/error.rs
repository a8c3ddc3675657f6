//! What can go wrong with letters and replays, as answers.

use api::ApiError;
use axum::http::StatusCode;
use engine::letters::LetterError;
use engine::replay::ReplayError;
use event::LetterStatus;
use serde_json::json;
use store::StoreError;

/// The answer when something was not done to a letter.
pub(super) fn letter(error: LetterError) -> ApiError {
    let message = error.to_string();
    match error {
        LetterError::NotFound(_) => ApiError::not_found("letter_not_found", message),
        LetterError::Status { status, .. } => {
            let code = match status {
                LetterStatus::Open => "letter_open",
                LetterStatus::Replaying => "letter_replaying",
                LetterStatus::Resolved => "letter_resolved",
                LetterStatus::Discarded => "letter_discarded",
                LetterStatus::Quarantined => "letter_quarantined",
            };
            conflict(code, message).with_details(json!({ "status": status.as_str() }))
        }
        LetterError::Rejected(rejected) => {
            let details = json!({ "code": rejected.code, "pointer": rejected.pointer, "message": rejected.message });
            ApiError::unprocessable("event_refused", message).with_details(details)
        }
        LetterError::Sweeping => conflict("sweep_running", message),
        LetterError::NoDoor => ApiError::unavailable("no_collector", message, 30),
        LetterError::CatchingUp => ApiError::unavailable("catching_up", message, 1),
        LetterError::NotTaken(_) => ApiError::unavailable("log_unavailable", message, 1),
        LetterError::Store(StoreError::Unavailable(_)) => ApiError::unavailable("store_unavailable", message, 1),
        LetterError::Store(_) => ApiError::internal(&message),
    }
}

/// The answer when a replay was not done.
pub(super) fn replay(error: ReplayError) -> ApiError {
    let message = error.to_string();
    match error {
        ReplayError::NotFound(_) => ApiError::not_found("replay_not_found", message),
        ReplayError::UnknownStream { .. } => ApiError::not_found("unknown_stream", message),
        ReplayError::EmptyRange => ApiError::unprocessable("invalid_parameter", message),
        ReplayError::Running(id) => conflict("replay_running", message).with_details(json!({ "id": id })),
        ReplayError::NotSwappable(_) => conflict("not_swappable", message),
        ReplayError::NoProcessor => ApiError::unavailable("no_processor", message, 30),
        ReplayError::Thread(_) => ApiError::internal(&message),
    }
}

fn conflict(code: &'static str, message: String) -> ApiError {
    ApiError::new(StatusCode::CONFLICT, code, message)
}
