//! The desk for repairs: dead letters and replays over HTTP. What is done is the engine's; here it is asked for, in the
//! manners of every other path.

mod ask;
mod error;
mod letters;
mod live;
mod openapi;
mod redeliver;
mod repairs;
mod replays;
mod shadows;
mod shown;
mod told;

use std::sync::Arc;
use std::time::Duration;

use api::ApiError;
use axum::Router;
use axum::routing::{delete, get, patch, post};
use engine::letters::Letters;
use engine::replay::Replays;
use event::Catalog;
use tokio::sync::Semaphore;
use tokio::time::timeout;

pub(crate) use openapi::openapi;
pub(crate) use repairs::{Repairs, RepairsParts};

/// Questions and orders that are worked on at once: each may hold a page of rows.
const WORKERS: usize = 4;
/// How long a caller waits for its turn.
const TURN: Duration = Duration::from_secs(10);

/// What the routes share.
struct Desk {
    catalog: Arc<Catalog>,
    letters: Arc<Letters>,
    replays: Arc<Replays>,
    workers: Arc<Semaphore>,
}

/// The routes, by what they ask of a key.
#[derive(Clone)]
pub(crate) struct Routes {
    /// Looking at dead letters.
    pub(crate) read: Router,
    /// Changing them.
    pub(crate) repair: Router,
    /// Looking at replays, whose results are of all tenants.
    pub(crate) operate: Router,
    /// Starting, swapping and cancelling them.
    pub(crate) command: Router,
}

impl Desk {
    fn new(catalog: Arc<Catalog>, letters: Arc<Letters>, replays: Arc<Replays>) -> Arc<Self> {
        Arc::new(Self { catalog, letters, replays, workers: Arc::new(Semaphore::new(WORKERS)) })
    }

    /// Its routes.
    fn routes(self: Arc<Self>) -> Routes {
        let read = Router::new()
            .route("/v1/dlq", get(letters::list))
            .route("/v1/dlq/{id}", get(letters::show))
            .with_state(self.clone());
        let repair = Router::new()
            .route("/v1/dlq/{id}", patch(letters::edit).delete(letters::discard))
            .route("/v1/dlq/{id}/edited", delete(letters::restore))
            .route("/v1/dlq/{id}/replay", post(letters::replay))
            .route("/v1/dlq/replay", post(letters::replay_all))
            .route("/v1/dlq/discard", post(letters::discard_all))
            .with_state(self.clone());
        let operate = Router::new()
            .route("/v1/replays", get(replays::list))
            .route("/v1/replays/{id}", get(replays::show))
            .with_state(self.clone());
        let command = Router::new()
            .route("/v1/replays", post(replays::start))
            .route("/v1/replays/{id}/swap", post(replays::swap))
            .route("/v1/replays/{id}", delete(replays::cancel))
            .route("/events/replay", post(replays::start_events))
            .with_state(self);
        Routes { read, repair, operate, command }
    }

    /// Does blocking work beside the async threads, a bounded number at once.
    async fn work<T: Send + 'static, E: Send + 'static>(
        self: &Arc<Self>,
        told: fn(E) -> ApiError,
        work: impl FnOnce(&Self) -> Result<T, E> + Send + 'static,
    ) -> Result<T, ApiError> {
        let busy = || ApiError::too_many("too many requests about dead letters and replays at once; try again soon", 1);
        let turn =
            timeout(TURN, self.workers.clone().acquire_owned()).await.map_err(|_| busy())?.map_err(|_| busy())?;
        let desk = self.clone();
        // The turn goes with the work: what nobody waits for any more still counts until it ends.
        let done = tokio::task::spawn_blocking(move || {
            let done = work(&desk);
            drop(turn);
            done
        });
        done.await.map_err(|error| ApiError::internal(&error))?.map_err(told)
    }
}
