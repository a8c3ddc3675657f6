//! `grpc.health.v1.Health`: whether this process can do its work, asked when somebody asks.
//!
//! Not tonic-health's own reporter: that wants to be told of every change, and readiness here is looked up.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, stream};
use tokio::sync::watch;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{self, HealthCheckRequest, HealthCheckResponse};

use super::SERVICE;
use super::meter::closed;

/// How often a watcher's news are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub(super) struct Health {
    pub(super) ready: Arc<dyn Fn() -> bool + Send + Sync>,
    pub(super) closing: watch::Receiver<bool>,
}

impl Health {
    /// `None` for a service that is not here. The empty name is the whole process.
    fn status(&self, service: &str) -> Option<ServingStatus> {
        if !matches!(service, "" | SERVICE) {
            return None;
        }
        let serving = !*self.closing.borrow() && (self.ready)();
        Some(if serving { ServingStatus::Serving } else { ServingStatus::NotServing })
    }
}

#[tonic::async_trait]
impl pb::health_server::Health for Health {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        let service = request.into_inner().service;
        let status = self.status(&service);
        let unknown = || Status::not_found(format!("there is no service `{service}`; known: {SERVICE}"));
        Ok(Response::new(told(status.ok_or_else(unknown)?)))
    }

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let watcher = Watcher {
            health: self.clone(),
            service: request.into_inner().service,
            tick: tokio::time::interval(LOOK_EVERY),
            last: None,
            last_look: false,
        };
        Ok(Response::new(Box::pin(stream::unfold(watcher, Watcher::next))))
    }
}

struct Watcher {
    health: Health,
    service: String,
    tick: tokio::time::Interval,
    last: Option<ServingStatus>,
    last_look: bool,
}

impl Watcher {
    /// The next change; the first at once. The end of the door is the last one.
    async fn next(mut self) -> Option<(Result<HealthCheckResponse, Status>, Self)> {
        while !self.last_look {
            tokio::select! {
                _ = self.tick.tick() => {}
                () = closed(self.health.closing.clone()) => self.last_look = true,
            }
            let status = self.health.status(&self.service).unwrap_or(ServingStatus::ServiceUnknown);
            if self.last.replace(status) != Some(status) {
                return Some((Ok(told(status)), self));
            }
        }
        None
    }
}

fn told(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status as i32 }
}
