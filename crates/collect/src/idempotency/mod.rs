//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-07): a request that is sent again under its key gets the
//! answer of the first, byte for byte, and is not taken again.
//!
//! Answers with verdicts are kept, in memory and in the internal stream `_answers`; errors are not, so that the key may be
//! tried again. The events go into the log before the answer does: a process that dies in between keeps no answer, and the
//! repeated request finds its events as duplicates instead, by their ids or by those that the key gives them.

mod keep;
mod key;
mod table;

use std::sync::Arc;

use api::ApiError;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use event::limits::ANSWER_BYTES_MAX;
use event::{Ack, Catalog, Millis};
use log::{Append, IdHasher, Log};
use parking_lot::Mutex;

pub(crate) use key::Key;

use crate::Intake;
use crate::reply::Answer;
use crate::sift::Format;
use table::{Found, Table};

/// Where it says that an answer was given before.
const REPLAYED: &str = "idempotency-replayed";

/// The kept answers of a process. The lock is held for a look-up, never over a wait.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    table: Mutex<Table>,
}

impl Answers {
    /// What the log has of them. A log whose answers cannot be read starts without: nobody has to come for that.
    pub(crate) fn load(log: &dyn Log, catalog: &Catalog, lane: impl Fn(&[u8]) -> u32, now: Millis) -> Self {
        let table = keep::load(log, catalog, lane, now).unwrap_or_else(|error| {
            tracing::warn!(%error, "answers kept for idempotency keys cannot be read; requests repeated now are taken anew");
            Table::default()
        });
        Self { table: Mutex::new(table) }
    }
}

/// A request that may have a key.
#[derive(Debug)]
pub(crate) struct Keyed<'a> {
    pub(crate) key: Option<Key>,
    pub(crate) tenant: &'a str,
    pub(crate) path: &'a str,
    pub(crate) ack: Ack,
    pub(crate) format: Format<'a>,
    /// Plain.
    pub(crate) body: Bytes,
}

/// Answers a request: as it was answered before under its key, or by taking it. `take` queues the body's events, with ids
/// of this kind where they have none, and gives how to wait for their answer. With a key that goes on when the client
/// hangs up, so that its next try gets the answer.
///
/// # Errors
/// Those of `take`; 409 while the same request is in flight; 422 when the key was used with another one.
pub(crate) async fn once<F>(
    intake: &Arc<Intake>,
    request: Keyed<'_>,
    take: impl FnOnce(Bytes, Option<IdHasher>) -> Result<F, ApiError>,
) -> Result<Response, ApiError>
where
    F: Future<Output = Result<Answer, ApiError>> + Send + 'static,
{
    let Keyed { key: Some(Key(key)), tenant, path, ack, format, body } = request else {
        return Ok(take(request.body, None)?.await?.response());
    };
    let hasher = intake.log().id_hasher();
    let scope = key::scope(hasher, tenant.as_bytes(), path.as_bytes(), key.as_bytes());
    let fingerprint = key::fingerprint(hasher, ack, format, &body);
    let found = intake.answers().table.lock().claim(scope, fingerprint, intake.clock().now());
    match found {
        Found::New => {}
        Found::InUse => return Err(in_use()),
        Found::Reused => return Err(reused()),
        Found::Answered(answer) => {
            let mut response = answer.response();
            response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
            return Ok(response);
        }
    }
    let (tenant, path) = (tenant.to_owned(), path.to_owned());
    let claim = Claim { intake: intake.clone(), tenant, path, key, scope, fingerprint };
    let answer = take(body, Some(key::ids(hasher, scope, fingerprint)))?;
    let task = tokio::spawn(async move {
        let answer = answer.await?;
        claim.keep(&answer).await;
        Ok(answer)
    });
    let answer: Result<Answer, ApiError> = task.await.unwrap_or_else(|error| Err(ApiError::internal(&error)));
    answer.map(Answer::response)
}

fn in_use() -> ApiError {
    let message = "a request with this Idempotency-Key is being worked on; try again in a moment";
    ApiError::new(StatusCode::CONFLICT, "idempotency_key_in_use", message).retry_after(1)
}

fn reused() -> ApiError {
    let message = "this Idempotency-Key was used with another request (body, content type or ack); use a new one";
    ApiError::unprocessable("idempotency_key_reused", message)
}

/// A key in use. Dropped without an answer, it may be used again.
struct Claim {
    intake: Arc<Intake>,
    tenant: String,
    path: String,
    key: String,
    scope: u128,
    fingerprint: u128,
}

impl Claim {
    /// Keeps the answer, when it can be in the log as well. Events that are in the log are answered in any case: where the
    /// answer cannot follow them there, it is kept in memory alone.
    async fn keep(self, answer: &Answer) {
        if answer.body.len() > ANSWER_BYTES_MAX {
            return;
        }
        let (intake, at) = (&self.intake, self.intake.clock().now());
        let about =
            keep::About { tenant: &self.tenant, path: &self.path, key: &self.key, fingerprint: self.fingerprint, at };
        let batches = vec![keep::record(intake.catalog(), about, answer)];
        let lane = intake.lane(&self.tenant);
        let appended = match intake.log().append(Append { batches, lane, ack: Ack::Durable }) {
            Ok(pending) => pending.wait().await.map(drop),
            Err(error) => Err(error),
        };
        if appended.is_err() {
            metrics::counter!("millstream_answers_not_durable_total").increment(1);
        }
        intake.answers().table.lock().keep(lane, (self.scope, self.fingerprint), at, answer.clone());
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.intake.answers().table.lock().free(self.scope);
    }
}
