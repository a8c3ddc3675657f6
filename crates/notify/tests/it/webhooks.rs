//! Notifications to one target: how they look, when they are tried again, when they are given up.

use breaker::BreakerState;
use event::DeliveryStatus;
use notify::{Secret, Target};
use serde_json::Value;
use standardwebhooks::Webhook;

use crate::house::{House, SECRET, target, until};
use crate::receiver::Receiver;

const OTHER: &str = "a raw secret of the tests";

#[tokio::test]
async fn a_notification_arrives_once_with_a_signature_of_each_secret() {
    let (house, receiver) = (House::open(), Receiver::open().await);
    let secrets = vec![Secret::parse(OTHER).unwrap(), Secret::parse(SECRET).unwrap()];
    let target = Target::new("pager", &receiver.url, secrets).unwrap();
    house.raise(std::slice::from_ref(&target), 0..1);
    let courier = house.courier(vec![target]);
    until("it is delivered", || house.shelf.all(DeliveryStatus::Delivered)).await;
    courier.stop().await;

    let got = receiver.got();
    assert_eq!((got.len(), got[0].path.as_str()), (1, "/hook"));
    let id = "pager/signals/7_1764000000000_high_value_purchase";
    assert_eq!((got[0].header("webhook-id"), got[0].header("content-type")), (id, "application/json"));
    // Whoever has one of the secrets finds it sound; nobody else does.
    let verify = |secret: Webhook| secret.verify(&got[0].body, &got[0].headers).is_ok();
    assert!(verify(Webhook::new(SECRET).unwrap()));
    assert!(verify(Webhook::from_bytes(OTHER.as_bytes().to_vec()).unwrap()));
    assert!(!verify(Webhook::from_bytes(b"a secret of somebody else".to_vec()).unwrap()));
    let body: Value = serde_json::from_slice(&got[0].body).unwrap();
    assert_eq!((&body["type"], &body["data"]["key"]), (&"anomaly.detected".into(), &"7".into()));
}

#[tokio::test]
async fn what_fails_is_tried_again_later_with_the_same_id_and_a_new_timestamp() {
    let (house, receiver) = (House::open(), Receiver::open().await);
    receiver.answers([500, 200]);
    let target = target("pager", &receiver.url);
    house.raise(std::slice::from_ref(&target), 0..1);
    let courier = house.courier(vec![target]);
    until("it was tried", || house.shelf.entries()[0].outgoing.attempts == 1).await;
    let (entry, now) = (house.shelf.entries()[0].clone(), log::Clock::now(&house.clock));
    assert_eq!((entry.status, entry.error.as_str()), (DeliveryStatus::Pending, "it answered 500"));
    assert!((5_500..=6_500).contains(&(entry.next_at - now)), "5 s and some chance: {}", entry.next_at - now);
    house.clock.advance(entry.next_at - now);
    until("it is delivered", || house.shelf.all(DeliveryStatus::Delivered)).await;
    courier.stop().await;

    let got = receiver.got();
    assert_eq!((got.len(), got[0].header("webhook-id")), (2, got[1].header("webhook-id")));
    let stamp = |i: usize| got[i].header("webhook-timestamp").parse::<i64>().unwrap();
    assert!((5..=7).contains(&(stamp(1) - stamp(0))));
    assert_ne!(got[0].header("webhook-signature"), got[1].header("webhook-signature"));
    assert_eq!(got[0].body, got[1].body);
}

#[tokio::test]
async fn a_target_may_ask_for_more_time_up_to_the_longest_delay() {
    for (asked_s, expected) in [("60", 60_000..=60_000), ("1", 5_500..=6_500), ("86400", 3_600_000..=3_600_000)] {
        let (house, receiver) = (House::open(), Receiver::open().await);
        receiver.answers_with((429, vec![("retry-after", asked_s.to_owned())]));
        let target = target("pager", &receiver.url);
        house.raise(std::slice::from_ref(&target), 0..1);
        let courier = house.courier(vec![target]);
        until("it was tried", || house.shelf.entries()[0].outgoing.attempts == 1).await;
        let delay = house.shelf.entries()[0].next_at - log::Clock::now(&house.clock);
        assert!(expected.contains(&delay), "asked for {asked_s} s: {delay} ms");
        courier.stop().await;
    }
}

#[tokio::test]
async fn a_refusal_is_for_good() {
    for (status, error) in [
        (400, "it answered 400"),
        (410, "it answered 410: it is gone"),
        (413, "it answered 413"),
        (422, "it answered 422"),
    ] {
        let (house, receiver) = (House::open(), Receiver::open().await);
        receiver.answers([status]);
        let target = target("pager", &receiver.url);
        house.raise(std::slice::from_ref(&target), 0..2);
        let courier = house.courier(vec![target]);
        until("the second is delivered", || house.shelf.entries()[1].status == DeliveryStatus::Delivered).await;
        let first = house.shelf.entries()[0].clone();
        assert_eq!((first.status, first.error.as_str()), (DeliveryStatus::Failed, error));
        courier.stop().await;
        assert_eq!(receiver.count(), 2, "no second try");
    }
}

#[tokio::test]
async fn a_receiver_that_lets_nobody_in_is_tried_again_and_then_left_alone() {
    for status in [401, 403, 404, 405] {
        let (house, receiver) = (House::open(), Receiver::open().await);
        receiver.answers([status; 5]);
        let target = target("pager", &receiver.url);
        house.raise(std::slice::from_ref(&target), 0..6);
        let courier = house.courier(vec![target]);
        until("it is left alone", || courier.breakers()[0].1 == BreakerState::Open).await;
        until("what became of it is kept", || house.shelf.entries()[4].outgoing.attempts == 1).await;
        let first = house.shelf.entries()[0].clone();
        assert_eq!((first.status, first.error), (DeliveryStatus::Pending, format!("it answered {status}")));
        assert_eq!(receiver.count(), 5);
        house.clock.advance(30_000);
        until("somebody put it right: all is told", || house.shelf.all(DeliveryStatus::Delivered)).await;
        courier.stop().await;
    }
}

#[tokio::test]
async fn after_the_tenth_try_it_is_given_up() {
    let (house, receiver) = (House::open(), Receiver::open().await);
    receiver.answers([503; 12]);
    let target = target("pager", &receiver.url);
    house.raise(std::slice::from_ref(&target), 0..1);
    let courier = house.courier(vec![target]);
    for attempts in 1..=10 {
        until("one more try", || house.shelf.entries()[0].outgoing.attempts == attempts).await;
        // Longer than any delay, and than the breaker stays open.
        house.clock.advance(2 * 3_600_000);
    }
    let entry = house.shelf.entries()[0].clone();
    assert_eq!(entry.status, DeliveryStatus::Failed);
    assert_eq!(entry.error, "it answered 503; it was the last of 10 tries");
    courier.stop().await;
    assert_eq!(receiver.count(), 10);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (house, receiver, elsewhere) = (House::open(), Receiver::open().await, Receiver::open().await);
    receiver.answers_with((307, vec![("location", elsewhere.url.clone())]));
    let target = target("pager", &receiver.url);
    house.raise(std::slice::from_ref(&target), 0..1);
    let courier = house.courier(vec![target]);
    until("it was tried", || house.shelf.entries()[0].outgoing.attempts == 1).await;
    courier.stop().await;
    assert_eq!(house.shelf.entries()[0].error, "it answered 307");
    assert_eq!((receiver.count(), elsewhere.count()), (1, 0));
}

#[tokio::test]
async fn what_is_for_a_target_that_is_gone_from_the_configuration_is_given_up() {
    let (house, receiver) = (House::open(), Receiver::open().await);
    let (kept, gone) = (target("kept", &receiver.url), target("gone", &receiver.url));
    house.raise(&[gone, kept.clone()], 0..1);
    let courier = house.courier(vec![kept]);
    until("both are done", || !house.shelf.statuses().contains(&DeliveryStatus::Pending)).await;
    courier.stop().await;
    assert_eq!(house.shelf.statuses(), [DeliveryStatus::Failed, DeliveryStatus::Delivered]);
    assert_eq!(house.shelf.entries()[0].error, "its target is not configured any more");
}
