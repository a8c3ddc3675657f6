//! Where questions are taken: blocking reads run beside the async threads, a bounded number of them, for a bounded
//! time.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use serde::Serialize;
use tokio::sync::{AcquireError, Semaphore};
use tokio::time::timeout;

use crate::Query;
use crate::error::QueryError;
use crate::live::Feed;
use crate::scope::Scope;
use crate::shares::Shares;

/// Reads that run at once: each may hold a page of rows, and the disk has only so many hands.
const QUERIES_MAX: usize = 8;
/// Of these, how many one tenant may have: with fewer, its own page would wait for itself.
const TENANT_QUERIES_MAX: usize = QUERIES_MAX / 2;
/// How long a caller waits for a turn, and then for the read.
const QUERY_TIME_MAX: Duration = Duration::from_secs(10);
/// Health checks that run at once. They have their own turns, so that slow queries do not make the house look ill.
const PROBES_MAX: usize = 2;
/// How long a health check waits.
const PROBE_TIME_MAX: Duration = Duration::from_secs(2);

/// The state behind every route.
pub(crate) struct Desk {
    pub(crate) query: Arc<Query>,
    pub(crate) feed: Feed,
    queries: Arc<Semaphore>,
    tenants: Shares,
    probes: Arc<Semaphore>,
}

impl Desk {
    pub(crate) fn new(query: Arc<Query>) -> Arc<Self> {
        let (queries, probes) = (Semaphore::new(QUERIES_MAX), Semaphore::new(PROBES_MAX));
        let (feed, tenants) = (Feed::default(), Shares::new(TENANT_QUERIES_MAX));
        Arc::new(Self { query, feed, queries: Arc::new(queries), tenants, probes: Arc::new(probes) })
    }

    /// Runs a read of the store or the log, and gives its answer as a JSON body. The answer is written by the reading
    /// thread too: a page of a thousand rows is work.
    pub(crate) async fn answer<T: Serialize>(
        &self,
        read: impl FnOnce(&Query) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<Response, QueryError> {
        let body = self.read(&Scope::all(), move |query| to_json(&read(query)?)).await?;
        Ok(json_response(body))
    }

    /// Runs a read of the store or the log, in the caller's turn.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        scope: &Scope,
        read: impl FnOnce(&Query) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, QueryError> {
        // First a turn of its own: so a tenant waits behind itself, and not in everybody's line.
        let own = scope.as_deref().map(|tenant| self.tenants.of(tenant));
        run((own.as_ref(), &self.queries), QUERY_TIME_MAX, &self.query, read).await
    }

    /// Runs a health check.
    pub(crate) async fn probe<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Query) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, QueryError> {
        run((None, &self.probes), PROBE_TIME_MAX, &self.query, read).await
    }
}

async fn run<C: Send + Sync + 'static, T: Send + 'static>(
    (own, turns): (Option<&Arc<Semaphore>>, &Arc<Semaphore>),
    limit: Duration,
    context: &Arc<C>,
    read: impl FnOnce(&C) -> Result<T, QueryError> + Send + 'static,
) -> Result<T, QueryError> {
    let turn = async {
        let own = match own {
            Some(own) => Some(Arc::clone(own).acquire_owned().await?),
            None => None,
        };
        Ok::<_, AcquireError>((own, Arc::clone(turns).acquire_owned().await?))
    };
    let Ok(Ok(turn)) = timeout(limit, turn).await else {
        return Err(QueryError::Busy);
    };
    let context = Arc::clone(context);
    // The turn goes with the work: a read that nobody waits for any more still counts until it ends.
    let work = tokio::task::spawn_blocking(move || {
        let answer = read(&context);
        drop(turn);
        answer
    });
    match timeout(limit, work).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(failed)) => Err(QueryError::Internal(format!("a query failed: {failed}"))),
        Err(_) => Err(QueryError::Timeout(limit.as_secs())),
    }
}

/// A value as JSON bytes.
pub(crate) fn to_json<T: Serialize>(value: &T) -> Result<Vec<u8>, QueryError> {
    serde_json::to_vec(value).map_err(|error| QueryError::Internal(format!("an answer cannot be written: {error}")))
}

/// A 200 with a JSON body.
pub(crate) fn json_response(body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const SHORT: Duration = Duration::from_millis(5);
    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_slow_read_is_given_up_but_keeps_its_turn_until_it_ends() {
        let (turns, nothing) = (Arc::new(Semaphore::new(1)), Arc::new(()));
        let (go_on, waits) = mpsc::channel::<()>();
        let slow = move |_: &()| Ok(waits.recv().is_ok());
        assert!(matches!(run((None, &turns), SHORT, &nothing, slow).await, Err(QueryError::Timeout(_))));
        assert!(matches!(run((None, &turns), SHORT, &nothing, |_| Ok(1)).await, Err(QueryError::Busy)));
        go_on.send(()).unwrap();
        assert!(matches!(run((None, &turns), LONG, &nothing, |_| Ok(2)).await, Ok(2)));
    }

    #[tokio::test]
    async fn a_read_that_panics_is_an_internal_error_and_frees_its_turn() {
        let (turns, nothing) = (Arc::new(Semaphore::new(1)), Arc::new(()));
        let bad = |_: &()| -> Result<u8, QueryError> { panic!("on purpose") };
        assert!(matches!(run((None, &turns), LONG, &nothing, bad).await, Err(QueryError::Internal(_))));
        assert!(matches!(run((None, &turns), LONG, &nothing, |_| Ok(3)).await, Ok(3)));
    }

    #[tokio::test]
    async fn a_tenant_waits_behind_itself_and_not_in_front_of_others() {
        let (turns, shares, nothing) = (Arc::new(Semaphore::new(2)), Shares::new(1), Arc::new(()));
        let (loud, quiet) = (shares.of("loud"), shares.of("quiet"));
        let (go_on, waits) = mpsc::channel::<()>();
        let slow = move |_: &()| Ok(waits.recv().is_ok());
        assert!(matches!(run((Some(&loud), &turns), SHORT, &nothing, slow).await, Err(QueryError::Timeout(_))));
        assert!(matches!(run((Some(&loud), &turns), SHORT, &nothing, |_| Ok(1)).await, Err(QueryError::Busy)));
        assert!(matches!(run((Some(&quiet), &turns), LONG, &nothing, |_| Ok(2)).await, Ok(2)));
        go_on.send(()).unwrap();
        assert!(matches!(run((Some(&loud), &turns), LONG, &nothing, |_| Ok(3)).await, Ok(3)));
        assert!(Arc::ptr_eq(&loud, &shares.of("loud")), "while it is used it is the same");
    }
}
