//! More connections than places.

use super::house::{House, PATIENT, SOON, soon};
use crate::server::bounds::Timeouts;

#[tokio::test]
async fn when_all_places_are_taken_the_longest_idle_connection_makes_room() {
    let house = House::new(3, Timeouts { first_byte: SOON, ..PATIENT }, None).await;
    let mut first = house.kept_alive().await;
    let mut active = house.kept_alive().await;
    house.time_passes().await;
    assert!(active.serves().await);
    let mut third = house.kept_alive().await;
    let mut fourth = house.kept_alive().await;
    assert_eq!(first.is_closed().await, "", "it ends without a word");
    for client in [&mut active, &mut third, &mut fourth] {
        assert!(client.serves().await);
    }
}

#[tokio::test]
async fn a_flood_of_silent_connections_does_not_lock_others_out() {
    let house = House::new(8, PATIENT, None).await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(house.connect().await);
    }
    assert!(house.connect().await.serves().await);
}

#[tokio::test]
async fn who_is_being_served_makes_no_room() {
    let house = House::new(1, PATIENT, None).await;
    let mut served = house.connect().await;
    served.send("GET /held HTTP/1.1\r\nhost: h\r\n\r\n").await;
    soon(house.came.notified()).await;
    let mut waiting = house.connect().await;
    waiting.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
    house.gate.add_permits(1);
    assert!(served.answer().await.is_some());
    assert!(waiting.answer().await.is_some(), "it waited until the first one idled");
    assert_eq!(served.is_closed().await, "");
}

#[tokio::test]
async fn a_listener_at_its_bound_can_be_closed() {
    let house = House::new(1, PATIENT, None).await;
    let mut served = house.connect().await;
    served.send("GET /held HTTP/1.1\r\nhost: h\r\n\r\n").await;
    soon(house.came.notified()).await;
    let mut waiting = house.connect().await;
    waiting.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
    house.gate.add_permits(1);
    soon(house.server.close()).await;
    assert!(served.answer().await.is_some(), "what was in flight is answered");
}
