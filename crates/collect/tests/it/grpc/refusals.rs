//! What ends a call, with its code and its details; and what was acknowledged before it stays acknowledged.

use axum::http::Request;
use collect::grpc::pb::{PublishBatchRequest, PublishRequest};
use event::limits::{BODIES_BYTES_MAX, GRPC_MESSAGE_BYTES_MAX};
use futures_util::{StreamExt, stream};
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::door::{Door, batch};

#[track_caller]
fn check(status: &Status, code: Code, reason: &str, words: &str) {
    let info = status.get_details_error_info().unwrap_or_else(|| panic!("no details: {status:?}"));
    assert_eq!((status.code(), info.reason.as_str()), (code, reason), "{status:?}");
    assert!(status.message().contains(words), "{:?} does not say {words:?}", status.message());
}

fn retry_s(status: &Status) -> Option<u64> {
    status.get_details_retry_info().and_then(|info| info.retry_delay).map(|delay| delay.as_secs())
}

#[tokio::test]
async fn a_batch_that_cannot_be_taken_ends_the_call_behind_those_before_it() {
    let door = Door::open().await;
    let good = || batch(1, "{}");
    let to = |stream: &str| PublishRequest { stream: stream.to_owned(), ..batch(2, "{}") };
    let bytes = |bytes: &[u8]| PublishRequest { events: bytes.to_vec().into(), ..batch(2, "") };
    let too_many = format!("[{}{{}}]", "{},".repeat(event::limits::REQUEST_EVENTS_MAX));
    let too_large = vec![b' '; GRPC_MESSAGE_BYTES_MAX];
    let cases = [
        (to("nothing"), Code::NotFound, "unknown_stream", "batch 2: there is no stream `nothing`; known streams: sig"),
        (to("_refused"), Code::NotFound, "unknown_stream", "`_refused`"),
        (batch(1, "{}"), Code::InvalidArgument, "invalid_parameter", "batch 1: `sequence`: expected more than 1"),
        (bytes(b""), Code::InvalidArgument, "empty_body", "batch 2"),
        (bytes(b"[]"), Code::InvalidArgument, "no_events", "batch 2"),
        (bytes(b"[{},"), Code::InvalidArgument, "invalid_json", "byte 4"),
        (bytes(b"{\"a\":\"\xff\"}"), Code::InvalidArgument, "invalid_json", "UTF-8"),
        (bytes(too_many.as_bytes()), Code::InvalidArgument, "too_many_events", "10000"),
        (bytes(&too_large), Code::InvalidArgument, "payload_too_large", "4194304"),
        (PublishRequest { ack: 9, ..batch(2, "{}") }, Code::InvalidArgument, "invalid_parameter", "`ack`"),
        (PublishRequest { format: -1, ..batch(2, "{}") }, Code::InvalidArgument, "invalid_parameter", "`format`"),
    ];
    let taken = cases.len();
    for (bad, code, reason, words) in cases {
        // What comes behind the bad one is not read.
        let (acked, status) = door.call([good(), bad, batch(3, "{}")]).await.ended().await;
        check(&status, code, reason, words);
        assert_eq!((acked, retry_s(&status)), (1, None), "{reason}");
    }
    assert_eq!((door.house.count("events"), door.house.count("_refused")), (taken, 0));
}

#[tokio::test]
async fn the_first_batch_must_name_its_stream_and_a_sequence() {
    let door = Door::open().await;
    let nameless = PublishRequest { stream: String::new(), ..batch(1, "{}") };
    let (_, status) = door.call([nameless]).await.ended().await;
    check(&status, Code::NotFound, "unknown_stream", "known streams");
    let (_, status) = door.call([batch(0, "{}")]).await.ended().await;
    check(&status, Code::InvalidArgument, "invalid_parameter", "expected more than 0, found 0");
}

#[tokio::test]
async fn a_single_batch_is_refused_with_the_same_words() {
    let door = Door::open().await;
    let send = async |stream: &str, events: Vec<u8>| {
        let request =
            PublishBatchRequest { stream: stream.to_owned(), events: events.into(), ..PublishBatchRequest::default() };
        door.client().publish_batch(request).await.unwrap_err()
    };
    check(&send("nothing", b"{}".to_vec()).await, Code::NotFound, "unknown_stream", "known streams");
    check(&send("events", b"x".to_vec()).await, Code::InvalidArgument, "invalid_json", "byte 0");
    let large = send("events", vec![b' '; GRPC_MESSAGE_BYTES_MAX]).await;
    check(&large, Code::InvalidArgument, "payload_too_large", "4194304");
}

#[tokio::test]
async fn a_log_that_does_not_write_is_unavailable_for_a_while() {
    let door = Door::open().await;
    let mut call = door.call([batch(1, "{}")]).await;
    call.acked(1).await;
    door.house.disk.limit_room(Some(0));
    call.send(batch(2, "{}"));
    let (acked, status) = call.ended().await;
    check(&status, Code::Unavailable, "disk_full", "batch 2: the disk is full");
    assert_eq!((acked, retry_s(&status)), (0, Some(10)), "nothing more was acknowledged");
    door.house.disk.limit_room(None);
    door.call([batch(2, "{}")]).await.acked(2).await;

    door.house.disk.fail_sync_after(Some(0));
    for _ in 0..2 {
        let (_, status) = door.call([batch(1, "{}")]).await.ended().await;
        check(&status, Code::Unavailable, "log_poisoned", "stopped writing");
        assert_eq!(retry_s(&status), Some(30));
    }
    let door = Door::open().await;
    door.house.log.close();
    let (_, status) = door.call([batch(1, "{}")]).await.ended().await;
    check(&status, Code::Unavailable, "shutting_down", "closed");
}

/// A message that never comes to its end: its length, and all of it but the last byte.
async fn unfinished(door: &Door) -> Status {
    let length = (GRPC_MESSAGE_BYTES_MAX - 1) as u32;
    let mut bytes = vec![0];
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.resize(5 + GRPC_MESSAGE_BYTES_MAX - 2, b' ');
    let body = stream::iter([Ok::<_, Status>(bytes)]).chain(stream::pending());
    let request = Request::post(format!("{}millstream.v1.Collector/PublishBatch", door.origin))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Body::new(axum::body::Body::from_stream(body)))
        .unwrap();
    let answer = door.http.request(request).await.unwrap();
    Status::from_header_map(answer.headers()).expect("a status")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unfinished_messages_share_a_budget_and_give_it_back() {
    let door = Door::open().await;
    let calls = BODIES_BYTES_MAX / GRPC_MESSAGE_BYTES_MAX + 2;
    let mut all: stream::FuturesUnordered<_> = (0..calls).map(|_| Box::pin(unfinished(&door))).collect();
    let status = all.next().await.unwrap();
    check(&status, Code::ResourceExhausted, "overloaded", "try again soon");
    assert_eq!(retry_s(&status), Some(1));
    drop(all);
    let again = async {
        while door
            .client()
            .publish_batch(PublishBatchRequest {
                stream: "events".to_owned(),
                events: "{}".into(),
                ..PublishBatchRequest::default()
            })
            .await
            .is_err()
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), again).await.expect("room again");
}
