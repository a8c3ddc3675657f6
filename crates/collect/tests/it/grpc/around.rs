//! What is around the door: health, reflection, methods that are not there, and its closing.

use std::sync::atomic::Ordering::Relaxed;

use axum::http::{HeaderMap, HeaderValue, Request, header};
use collect::grpc::pb::{AckLevel, PublishRequest};
use futures_util::stream;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};
use tonic_reflection::pb::v1alpha as old;
use tonic_types::StatusExt;

use super::door::{Door, batch, until};

fn of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

#[tokio::test]
async fn health_is_what_readiness_is() {
    let door = Door::open().await;
    let mut health = HealthClient::with_origin(door.http.clone(), door.origin.clone());
    for (ready, expected) in [(true, ServingStatus::Serving), (false, ServingStatus::NotServing)] {
        door.ready.store(ready, Relaxed);
        for service in ["", "millstream.v1.Collector"] {
            assert_eq!(health.check(of(service)).await.unwrap().into_inner().status(), expected, "{service:?}");
        }
    }
    assert_eq!(health.check(of("other")).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_watcher_hears_of_every_change_and_of_the_end() {
    let door = Door::open().await;
    let mut health = HealthClient::with_origin(door.http.clone(), door.origin.clone());
    let mut other = health.watch(of("other")).await.unwrap().into_inner();
    let mut news = health.watch(of("")).await.unwrap().into_inner();
    assert_eq!(other.message().await.unwrap().unwrap().status(), ServingStatus::ServiceUnknown);
    for (ready, expected) in
        [(true, ServingStatus::Serving), (false, ServingStatus::NotServing), (true, ServingStatus::Serving)]
    {
        door.ready.store(ready, Relaxed);
        assert_eq!(news.message().await.unwrap().unwrap().status(), expected);
    }
    door.closing.send_replace(true);
    assert_eq!(news.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    assert_eq!(news.message().await.unwrap(), None);
    assert_eq!(other.message().await.unwrap(), None);
}

#[tokio::test]
async fn reflection_lists_the_services_and_describes_them() {
    let door = Door::open().await;
    let mut reflection = ServerReflectionClient::with_origin(door.http.clone(), door.origin.clone());
    let asked = [
        MessageRequest::ListServices(String::new()),
        MessageRequest::FileContainingSymbol("millstream.v1.Collector".to_owned()),
    ];
    let asked = asked
        .map(|message_request| ServerReflectionRequest { host: String::new(), message_request: Some(message_request) });
    let mut answers = reflection.server_reflection_info(stream::iter(asked)).await.unwrap().into_inner();
    let mut next = async || -> ServerReflectionResponse { answers.message().await.unwrap().unwrap() };
    let Some(MessageResponse::ListServicesResponse(list)) = next().await.message_response else { panic!("a list") };
    let names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    for name in ["millstream.v1.Collector", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"] {
        assert!(names.iter().any(|known| known == name), "{name} is not in {names:?}");
    }
    let Some(MessageResponse::FileDescriptorResponse(files)) = next().await.message_response else { panic!("files") };
    assert!(files.file_descriptor_proto[0].windows(14).any(|window| window == b"PublishRequest"));

    let mut elder =
        old::server_reflection_client::ServerReflectionClient::with_origin(door.http.clone(), door.origin.clone());
    let list = old::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(old::server_reflection_request::MessageRequest::ListServices(String::new())),
    };
    let mut answers = elder.server_reflection_info(stream::iter([list])).await.unwrap().into_inner();
    assert!(answers.message().await.unwrap().is_some());
}

/// Posts an empty body; gives the answer's status and headers.
async fn post(door: &Door, path: &str, content_type: &str) -> (u16, HeaderMap) {
    let request = Request::post(format!("{}{path}", door.origin)).header(header::CONTENT_TYPE, content_type);
    let (head, _) = door.http.request(request.body(Body::empty()).unwrap()).await.unwrap().into_parts();
    (head.status.as_u16(), head.headers)
}

#[tokio::test]
async fn a_method_that_is_not_there_is_unimplemented_for_grpc_and_not_found_for_http() {
    let door = Door::open().await;
    for path in ["millstream.v1.Collector/Other", "millstream.v1.Other/Publish", "nothing", "health"] {
        let (status, headers) = post(&door, path, "application/grpc+proto").await;
        assert_eq!((status, &headers["content-type"]), (200, &HeaderValue::from_static("application/grpc")), "{path}");
        assert_eq!(Status::from_header_map(&headers).unwrap().code(), Code::Unimplemented, "{path}");
        assert!(headers.contains_key("x-request-id"), "{path}");
    }
    assert_eq!(post(&door, "nothing", "application/json").await.0, 404);
}

#[tokio::test]
async fn a_grpc_path_does_not_take_other_content() {
    let door = Door::open().await;
    for content_type in ["application/json", "application/grpc-web", ""] {
        let (status, headers) = post(&door, "millstream.v1.Collector/PublishBatch", content_type).await;
        assert_eq!((status, headers.contains_key("grpc-status")), (415, false), "{content_type}");
    }
}

#[tokio::test]
async fn a_call_keeps_the_request_id_that_it_brings() {
    let door = Door::open().await;
    let mut request = tonic::Request::new(stream::iter([batch(1, "[7]")]));
    request.metadata_mut().insert("x-request-id", "from-the-sender".parse().unwrap());
    let answer = door.client().publish(request).await.unwrap();
    assert_eq!(answer.metadata().get("x-request-id").unwrap(), "from-the-sender");
    assert_eq!(answer.into_inner().message().await.unwrap().unwrap().rejected, 1);
    let kept =
        door.house.records("_refused", |_, record| event::headers::get(record.headers, "request-id").unwrap().to_vec());
    assert_eq!(kept, [b"from-the-sender/1".to_vec()]);
}

#[tokio::test]
async fn a_closing_door_answers_what_is_in_flight_and_ends_every_call() {
    let door = Door::open().await;
    let mut idle = door.call([batch(1, "{}")]).await;
    idle.acked(1).await;
    let stored = PublishRequest { ack: AckLevel::Stored.into(), ..batch(1, "{}") };
    let waiting = door.call([stored]).await;
    until("it is in the log and counted", || door.house.intake.stats().accepted() == 2).await;
    let mut reflection = ServerReflectionClient::with_origin(door.http.clone(), door.origin.clone());
    let mut answers = reflection.server_reflection_info(stream::pending()).await.unwrap().into_inner();

    door.closing.send_replace(true);
    let (_, status) = idle.ended().await;
    assert_eq!(
        (status.code(), status.get_details_error_info().unwrap().reason.as_str()),
        (Code::Unavailable, "shutting_down")
    );
    assert!(status.get_details_retry_info().is_some());
    assert_eq!(answers.message().await.ok().flatten(), None);
    door.commit_all();
    let (acked, status) = waiting.ended().await;
    assert_eq!((acked, status.code()), (1, Code::Unavailable));
}
