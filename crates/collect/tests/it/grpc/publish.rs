//! What a sender is told of its batches: cumulatively, in order, and never more than is true.

use std::time::Duration;

use collect::gate::Reading;
use collect::grpc::pb::{AckLevel, Format, Position, PublishBatchRequest, PublishRequest};
use event::limits::GRPC_IN_FLIGHT_MAX;

use super::door::{Door, LIMIT, batch, until};
use crate::house::House;

/// The data of every record of a stream, in no order.
fn data(house: &House, stream: &str) -> Vec<String> {
    let mut all = house.records(stream, |_, record| String::from_utf8(record.data.to_vec()).unwrap());
    all.sort();
    all
}

#[tokio::test]
async fn batches_are_taken_and_acknowledged() {
    let door = Door::open().await;
    let lines = PublishRequest { format: Format::Ndjson.into(), ..batch(7, "{\"c\":3}\n{\"d\" : 4}\n") };
    let same_stream = PublishRequest { stream: String::new(), ..lines };
    let mut call = door.call([batch(3, r#"[{"a":1},{"b":2}]"#), same_stream]).await;
    let all = call.acked(7).await;
    assert_eq!((all.accepted, all.duplicates, all.rejected), (4, 0, 0));
    assert_eq!(all.ack(), AckLevel::Durable);
    let placed: u64 = all.positions.iter().map(|p| p.last_offset - p.first_offset + 1).sum();
    assert_eq!((placed, all.positions.iter().map(|p| p.sequence).min()), (4, Some(3)));
    call.finish().await.unwrap();
    assert_eq!(data(&door.house, "events"), [r#"{"a":1}"#, r#"{"b":2}"#, r#"{"c":3}"#, r#"{"d" : 4}"#]);
    assert_eq!(door.house.intake.stats().accepted(), 4);
}

#[tokio::test]
async fn a_call_without_batches_ends_well() {
    Door::open().await.call([]).await.finish().await.unwrap();
}

#[tokio::test]
async fn one_batch_can_be_sent_without_a_stream_of_them() {
    let door = Door::open().await;
    let request = PublishBatchRequest {
        stream: "events".to_owned(),
        events: r#"[{"event_id":"a","learner_id":"l"},7,{"event_id":"a","learner_id":"l"}]"#.into(),
        ..PublishBatchRequest::default()
    };
    let answer = door.client().publish_batch(request).await.unwrap().into_inner();
    assert_eq!((answer.accepted, answer.duplicates, answer.rejected, answer.ack()), (1, 1, 1, AckLevel::Durable));
    let partition = answer.positions[0].partition;
    assert_eq!(answer.positions, [Position { sequence: 0, partition, first_offset: 0, last_offset: 0 }]);
    assert_eq!((answer.rejections[0].index, answer.rejections[0].code.as_str()), (1, "not_an_object"));
}

#[tokio::test]
async fn a_batch_sent_again_is_known() {
    let door = Door::open().await;
    let events = r#"[{"event_id":"a"},{"event_id":"b"}]"#;
    let mut call = door.call([batch(1, events), batch(2, events)]).await;
    let all = call.acked(2).await;
    assert_eq!((all.accepted, all.duplicates), (2, 2));
    let mut later = door.call([batch(1, events)]).await;
    assert_eq!(later.acked(1).await.duplicates, 2);
    assert_eq!(door.house.count("events"), 2);
}

#[tokio::test]
async fn an_acknowledgement_never_overtakes_a_batch_before_it() {
    let door = Door::open().await;
    let stored = PublishRequest { ack: AckLevel::Stored.into(), ..batch(1, "{}") };
    let mut call = door.call([stored, batch(2, "{}"), batch(3, "{}")]).await;
    until("all are in the log and counted", || door.house.intake.stats().accepted() == 3).await;
    // The second and third are as safe as they asked; the first is not.
    let early = std::future::poll_fn(|context| {
        let mut next = std::pin::pin!(call.next());
        std::task::Poll::Ready(next.as_mut().poll(context).is_ready())
    });
    assert!(!early.await, "nothing is acknowledged yet");
    door.commit_all();
    let all = call.acked(3).await;
    assert_eq!((all.accepted, all.ack()), (3, AckLevel::Durable), "the lowest level of the three");
    call.finish().await.unwrap();
}

#[tokio::test]
async fn so_many_batches_are_in_flight_and_no_more() {
    let door = Door::open().await;
    let total = 3 * GRPC_IN_FLIGHT_MAX as u64;
    let stored = |sequence| PublishRequest { ack: AckLevel::Stored.into(), ..batch(sequence, "{}") };
    let mut call = door.call((1..=total).map(stored)).await;
    let stats = door.house.intake.stats();
    until("the first ones are in", || stats.accepted() == GRPC_IN_FLIGHT_MAX as u64).await;
    // Another call is served meanwhile, and shows that the first one had its chance to go on.
    door.call([batch(1, "{}")]).await.acked(1).await;
    assert_eq!(stats.accepted(), GRPC_IN_FLIGHT_MAX as u64 + 1);
    let committing = async {
        loop {
            door.commit_all();
            tokio::task::yield_now().await;
        }
    };
    let acknowledged = async {
        tokio::select! {
            all = call.acked(total) => all,
            () = committing => unreachable!(),
        }
    };
    let all = tokio::time::timeout(LIMIT, acknowledged).await.expect("all are acknowledged");
    assert_eq!((all.accepted, all.ack()), (total, AckLevel::Stored));
}

#[tokio::test]
async fn what_a_cancelled_call_sent_is_counted_and_the_next_is_served() {
    let door = Door::open().await;
    let stored = PublishRequest { ack: AckLevel::Stored.into(), ..batch(1, "[{},{},7]") };
    let call = door.call([stored]).await;
    until("it is in the log", || door.house.count("_refused") == 1).await;
    drop(call);
    let stats = door.house.intake.stats();
    until("it is counted", || (stats.accepted(), stats.rejected()) == (2, 1)).await;
    let mut next = door.call([batch(1, "{}")]).await;
    assert_eq!(next.acked(1).await.accepted, 1);
    assert_eq!(stats.requests(), 1, "nobody was told of the first");
}

#[tokio::test]
async fn refused_events_are_told_apart_by_batch_and_kept() {
    let door = Door::open().await;
    let bad_signal = r#"{"user_id":1,"type":"click","timestamp":"soon","payload":{}}"#;
    let signals = PublishRequest { stream: "signals".to_owned(), ..batch(5, bad_signal) };
    let broken = b"{\"a\":1}\n{broken\n{\"t\":\"\xff\"}\n".to_vec();
    let lines = PublishRequest { format: Format::Ndjson.into(), events: broken.into(), ..batch(6, "") };
    let large =
        PublishRequest { events: format!("[{{}},{{\"a\":\"{}\"}}]", "x".repeat(1 << 20)).into(), ..batch(7, "") };
    let mut call = door.call([signals, lines, large]).await;
    let all = call.acked(7).await;
    assert_eq!((all.accepted, all.rejected), (2, 4));
    let told: Vec<_> =
        all.rejections.iter().map(|r| (r.sequence, r.index, r.code.as_str(), r.pointer.as_str())).collect();
    let expected = [
        (5, 0, "wrong_type", "/timestamp"),
        (6, 1, "invalid_json", ""),
        (6, 2, "invalid_json", ""),
        (7, 1, "too_large", ""),
    ];
    assert_eq!(told, expected);
    assert!(all.rejections[2].message.contains("UTF-8"), "{}", all.rejections[2].message);
    let kept = door.house.records("_refused", |_, record| {
        let header = |name| String::from_utf8(event::headers::get(record.headers, name).unwrap().to_vec()).unwrap();
        (header("dlq-id"), header("request-id"), record.data.len())
    });
    for (rejection, (dlq_id, request_id, length)) in all.rejections.iter().zip(&kept) {
        assert_eq!((&rejection.dlq_id, *length > 0), (dlq_id, true));
        assert!(request_id.ends_with(&format!("/{}", rejection.sequence)), "{request_id}");
    }
    assert_eq!(kept.len(), 4);
    call.finish().await.unwrap();
}

#[tokio::test]
async fn pressure_holds_every_batch_back() {
    let door = Door::open().await;
    door.house.intake.pressure().update(Reading { queue: 1.0, ..Reading::default() });
    let began = tokio::time::Instant::now();
    let mut call = door.call([batch(1, "{}"), batch(2, "{}"), batch(3, "{}")]).await;
    call.acked(3).await;
    assert!(began.elapsed() >= Duration::from_millis(300), "three times the formula's 100 ms");
}
