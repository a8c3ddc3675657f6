//! The gRPC door: `millstream.v1.Collector`, health and reflection, on the port of the other doors. It translates, the
//! intake decides.

mod health;
mod meter;
mod publish;
mod translate;

use std::sync::Arc;

use api::{ApiError, Caller, RequestId, is_grpc};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use event::limits::GRPC_MESSAGE_BYTES_MAX;
use tokio::sync::watch;
use tonic::{Code, Status, Streaming};
use tonic_health::pb::health_server::HealthServer;

use crate::{Accept, Intake};
use health::Health;
use meter::{Meter, metered};
use publish::Publishing;

/// The messages, the service and its client, as generated from `proto/millstream/v1/collector.proto`.
pub mod pb {
    #![allow(missing_docs, unused_qualifications, reason = "generated; the documentation is in the .proto")]
    #![allow(clippy::all, clippy::allow_attributes_without_reason, reason = "generated")]
    tonic::include_proto!("millstream.v1");
}

/// The service's description, for reflection.
const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
/// The services that health is asked for, besides the empty name.
const SERVICE: &str = pb::collector_server::SERVICE_NAME;

/// What the gRPC door needs.
#[derive(Clone)]
pub struct Grpc {
    /// Where the events go.
    pub intake: Arc<Intake>,
    /// Whether this process can do its work, for `grpc.health.v1.Health`.
    pub ready: Arc<dyn Fn() -> bool + Send + Sync>,
    /// Turns true once, when calls must come to their end: what is in flight is answered, then they get `UNAVAILABLE`.
    /// Without it a call without end would hold up the end of the process.
    pub closing: watch::Receiver<bool>,
}

impl std::fmt::Debug for Grpc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Grpc").field("intake", &self.intake).finish_non_exhaustive()
    }
}

/// The calls that bring events. [`api::with_manners`] must be around them: it answers for methods that are not here.
pub fn router(grpc: Grpc) -> Router {
    let collector = pb::collector_server::CollectorServer::new(Collector { intake: grpc.intake.clone() })
        .max_decoding_message_size(GRPC_MESSAGE_BYTES_MAX);
    Router::new().route_service(&path(SERVICE), collector).layer(from_fn_with_state(grpc, enter))
}

/// Health and reflection, which nobody needs a key for. [`api::with_manners`] must be around them too.
pub fn open_router(grpc: Grpc) -> Router {
    let health = HealthServer::new(Health { ready: grpc.ready.clone(), closing: grpc.closing.clone() });
    let router = Router::new().route_service(&path(tonic_health::pb::health_server::SERVICE_NAME), health);
    reflection(router).layer(from_fn_with_state(grpc, enter))
}

fn path(service: &str) -> String {
    format!("/{service}/{{method}}")
}

/// Both versions: the elder is what many clients still ask for.
fn reflection(router: Router) -> Router {
    use tonic_reflection::server::Builder;
    let builder = || {
        Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    #[expect(clippy::expect_used, reason = "the descriptors are made by the build; a test lists what they hold")]
    let (new, old) = (
        builder().build_v1().expect("descriptors of the build"),
        builder().build_v1alpha().expect("descriptors of the build"),
    );
    router
        .route_service(&path("grpc.reflection.v1.ServerReflection"), new)
        .route_service(&path("grpc.reflection.v1alpha.ServerReflection"), old)
}

/// Every call, before its service sees it.
async fn enter(State(grpc): State<Grpc>, mut request: Request, next: Next) -> Response {
    if !is_grpc(request.headers()) {
        let message = "this path speaks gRPC; send content-type application/grpc";
        return ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message).into_response();
    }
    let lane = grpc.intake.lane(Caller::from_extensions(request.extensions()).writes_as());
    if request.method() != Method::POST {
        let message = "gRPC calls are sent with POST";
        return ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message).into_response();
    }
    let meter = Arc::new(Meter::new(grpc.intake, lane));
    request.extensions_mut().insert(meter.clone());
    let response = next.run(request.map(|body| metered(body, meter, grpc.closing))).await;
    match response.extensions().get::<Status>() {
        Some(status) if status.code() == Code::OutOfRange => told(status.clone()).into_http(),
        _ => response,
    }
}

/// What the transport says of a message that is too large, in the words of this house.
fn told(status: Status) -> Status {
    if status.code() != Code::OutOfRange {
        return status;
    }
    let message = format!("a message has more than {GRPC_MESSAGE_BYTES_MAX} bytes; send its events in several");
    ApiError::too_large(message).into()
}

#[derive(Debug)]
struct Collector {
    intake: Arc<Intake>,
}

#[tonic::async_trait]
impl pb::collector_server::Collector for Collector {
    type PublishStream = Publishing;

    async fn publish(
        &self,
        request: tonic::Request<Streaming<pb::PublishRequest>>,
    ) -> Result<tonic::Response<Publishing>, Status> {
        Ok(tonic::Response::new(Publishing::new(self.intake.clone(), request)))
    }

    async fn publish_batch(
        &self,
        request: tonic::Request<pb::PublishBatchRequest>,
    ) -> Result<tonic::Response<pb::PublishBatchResponse>, Status> {
        let (_, extensions, batch) = request.into_parts();
        let request_id = extensions.get::<RequestId>().map_or("", |id| &id.0);
        let caller = Caller::from_extensions(&extensions);
        let verdicts = self.batch(batch, caller.writes_as(), request_id).await?;
        Ok(tonic::Response::new(translate::batch_response(verdicts)))
    }
}

impl Collector {
    async fn batch(
        &self,
        batch: pb::PublishBatchRequest,
        tenant: &str,
        request_id: &str,
    ) -> Result<crate::Verdicts, ApiError> {
        let stream = self.intake.find(&batch.stream)?;
        let (ack, format) = (translate::ack(batch.ack)?, translate::format(batch.format)?);
        let body = batch.events;
        let lane = self.intake.lane(tenant);
        self.intake.pressure().hold_back(lane).await;
        let mut held = self.intake.bodies().hold(lane);
        held.wait_turn(&body).await;
        let turn = held.take_turn();
        let queued = self.intake.queue(Accept { tenant, stream, body, format, ack, request_id, ids: None })?;
        drop(turn);
        Ok(queued.answer().await?)
    }
}
