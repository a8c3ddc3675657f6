//! The level of an answer: what was asked for when it is reached, and never more than was reached.

use std::sync::Arc;

use event::Position;
use log::Log;

use crate::house::{ACCEPTED, House, OK};

/// Commits the ends of every partition for a consumer, as the engine does once it has stored all.
fn commit_all(house: &House, consumer: &str) {
    for (stream, _) in house.catalog.iter() {
        let ends = house.log.extents(stream).into_iter().enumerate();
        let ends: Vec<_> = ends.map(|(p, e)| Position { stream, partition: p as u32, offset: e.next }).collect();
        house.log.commit(consumer, &ends).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stored_is_answered_once_the_consumer_has_committed() {
    let house = Arc::new(House::new());
    let engine = {
        let house = house.clone();
        std::thread::spawn(move || {
            let (stream, refused) = (house.catalog.find("events").unwrap(), house.catalog.refused());
            let has_records = |stream| house.log.extents(stream).iter().any(|extent| extent.next > 0);
            let mut seen = 0;
            // One append brings both; bounded, so that a failure does not wait for ever.
            for _ in 0..10 {
                if has_records(stream) && has_records(refused) {
                    break;
                }
                seen = house.log.wait(seen, std::time::Duration::from_secs(1));
            }
            // Another consumer's commit is not ours.
            commit_all(&house, "other");
            commit_all(&house, "engine");
        })
    };
    let answer = house.post("events?ack=stored", "[{\"event_id\":\"a\"},{\"event_id\":\"b\"},7]").await;
    assert_eq!((answer.status, answer.body["ack"].as_str()), (207, Some("stored")), "{}", answer.body);
    engine.join().unwrap();
    let again = house.post("events?ack=stored", "{\"event_id\":\"a\"}").await;
    assert_eq!((again.status, again.count("duplicate_count")), (OK, 1), "{}", again.body);
    assert_eq!(again.body["ack"], "stored");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_follow_makes_the_answer_durable() {
    let house = House::new();
    let began = tokio::time::Instant::now();
    let answer = house.post("events?ack=stored", "{\"event_id\":\"a\"}").await;
    assert_eq!((answer.status, answer.body["ack"].as_str()), (ACCEPTED, Some("durable")), "{}", answer.body);
    assert_eq!(began.elapsed().as_secs(), 10);
    // Its retry is a duplicate, and still not stored: the answer must not say so.
    let retry = house.post("events?ack=stored", "{\"event_id\":\"a\"}").await;
    assert_eq!((retry.status, retry.count("duplicate_count")), (ACCEPTED, 1), "{}", retry.body);
    assert_eq!(retry.body["ack"], "durable");
}

#[tokio::test(start_paused = true)]
async fn refused_events_are_waited_for_too() {
    let house = House::new();
    let answer = house.post("events?ack=stored", "[7]").await;
    assert_eq!((answer.status, answer.body["ack"].as_str()), (422, Some("durable")), "{}", answer.body);
}

#[tokio::test]
async fn events_of_a_client_that_hung_up_are_counted() {
    let house = House::new();
    // One poll hands the events to the log; nearly always the log has not answered by its end.
    let mut sent = 0;
    loop {
        sent += 1;
        let mut request = std::pin::pin!(house.post("events", "[{},{},7]"));
        let once = std::future::poll_fn(|context| std::task::Poll::Ready(request.as_mut().poll(context).is_pending()));
        if once.await {
            break;
        }
    }
    // A later request is answered after the earlier one.
    house.post("events", "{}").await;
    let counted = async {
        while house.intake.stats().accepted() < 2 * sent + 1 {
            tokio::task::yield_now().await;
        }
    };
    let limit = std::time::Duration::from_secs(10);
    tokio::time::timeout(limit, counted).await.expect("the log's answer is counted though nobody waits for it");
    assert_eq!((house.intake.stats().rejected(), house.intake.stats().requests()), (sent, sent));
    assert_eq!((house.count("events") as u64, house.count("_refused") as u64), (2 * sent + 1, sent));
}

#[tokio::test]
async fn the_time_to_an_answer_is_measured() {
    let house = House::new();
    assert_eq!(house.intake.stats().ack_ms(), (0.0, 0.0));
    house.post("events", "{}").await;
    assert_eq!((house.intake.stats().requests(), house.intake.stats().ack_ms()), (1, (0.0, 0.0)), "the clock stood");
    house.clock.advance(5);
    house.post("events?ack=nonsense", "{}").await;
    assert_eq!(house.intake.stats().requests(), 1, "only answers with verdicts count");
}
