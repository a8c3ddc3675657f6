//! Connections that do nothing, or next to nothing.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, interval};

use super::house::{House, NEVER, PATIENT, SOON, soon};
use crate::server::bounds::Timeouts;

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed_at_its_time() {
    let house = House::new(9, Timeouts { first_byte: SOON, ..PATIENT }, None).await;
    let mut silent = house.connect().await;
    let began = Instant::now();
    assert_eq!(silent.is_closed().await, "");
    assert!(began.elapsed() >= SOON - SOON / 10, "{:?}", began.elapsed());
}

/// Drips a text over and over, until the connection ends.
async fn dripped_until_closed(house: &House, begin: &str, drip: &str) -> Duration {
    let mut client = house.connect().await;
    client.send(begin).await;
    let began = Instant::now();
    let (mut read, mut write) = tokio::io::split(client.0);
    let mut every = interval(SOON / 20);
    let dripping = async {
        while write.write_all(drip.as_bytes()).await.is_ok() {
            every.tick().await;
        }
    };
    let mut nowhere = tokio::io::sink();
    tokio::select! {
        () = dripping => {}
        _ = tokio::io::copy(&mut read, &mut nowhere) => {}
    }
    began.elapsed()
}

#[tokio::test]
async fn a_head_that_drips_is_cut_off_however_it_drips() {
    let house = House::new(99, Timeouts { head: SOON, ..PATIENT }, None).await;
    for (begin, drip) in [
        ("GET / HTTP/1.1\r\n", "x: y\r\n"),
        ("GET /", "x"),
        ("G", "E"),
        ("PRI * HTTP/2", ""),
        // A second head, after a good request.
        ("GET / HTTP/1.1\r\nhost: h\r\n\r\n", "\r\n"),
    ] {
        let lasted = soon(dripped_until_closed(&house, begin, drip)).await;
        assert!(lasted >= SOON / 2 && lasted < SOON * 50, "{begin:?}: {lasted:?}");
    }
    assert!(house.connect().await.serves().await);
}

#[tokio::test]
async fn a_connection_may_idle_for_longer_than_a_head_may_take_and_not_for_ever() {
    let house = House::new(9, Timeouts { first_byte: SOON, head: SOON, idle: SOON * 20, write: NEVER }, None).await;
    let mut idle = house.kept_alive().await;
    house.time_passes().await;
    house.time_passes().await;
    assert!(idle.serves().await, "it was idle for as long as a head may take");
    assert_eq!(idle.is_closed().await, "");
}

#[tokio::test]
async fn a_request_may_take_its_time() {
    let house = House::new(9, Timeouts { first_byte: SOON, head: SOON, idle: SOON, write: SOON }, None).await;
    let mut client = house.connect().await;
    client.send("GET /held HTTP/1.1\r\nhost: h\r\n\r\n").await;
    soon(house.came.notified()).await;
    house.time_passes().await;
    house.time_passes().await;
    house.gate.add_permits(1);
    assert!(client.answer().await.is_some());
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_is_cut_off() {
    let house = House::new(9, Timeouts { write: SOON, ..PATIENT }, None).await;
    let mut client = house.connect().await;
    client.send("GET /endless HTTP/1.1\r\nhost: h\r\n\r\n").await;
    soon(house.cut.notified()).await;
    assert!(house.connect().await.serves().await);
}
