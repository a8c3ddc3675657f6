//! HTTP/2 by prior knowledge: bytes come without requests there.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::house::{House, NEVER, PATIENT, SOON, soon};
use crate::server::bounds::Timeouts;

async fn connect(house: &House) -> (SendRequest<Body>, JoinHandle<hyper::Result<()>>) {
    let stream = TcpStream::connect(house.server.address()).await.unwrap();
    let (client, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    (client, tokio::spawn(connection))
}

async fn get(client: &mut SendRequest<Body>, path: &str) -> StatusCode {
    let request = Request::get(format!("http://h{path}")).body(Body::empty()).unwrap();
    let answer = client.send_request(request).await.unwrap();
    let status = answer.status();
    answer.into_body().collect().await.unwrap();
    status
}

#[tokio::test]
async fn a_connection_idles_while_its_bytes_go_on_and_is_told_to_go_in_the_end() {
    let house = House::new(9, Timeouts { first_byte: SOON, head: SOON, idle: SOON * 20, write: NEVER }, None).await;
    let (mut client, connection) = connect(&house).await;
    house.time_passes().await;
    house.time_passes().await;
    assert_eq!(get(&mut client, "/").await, 200);
    soon(connection).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_call_that_lasts_keeps_its_connection() {
    let house = House::new(9, Timeouts { first_byte: SOON, head: SOON, idle: SOON, write: NEVER }, None).await;
    let (mut client, _connection) = connect(&house).await;
    let held = tokio::spawn(async move { get(&mut client, "/held").await });
    soon(house.came.notified()).await;
    house.time_passes().await;
    house.time_passes().await;
    house.gate.add_permits(1);
    assert_eq!(held.await.unwrap(), 200);
}

#[tokio::test]
async fn headers_without_end_are_refused() {
    let house = House::new(9, PATIENT, None).await;
    let (mut client, _connection) = connect(&house).await;
    let long = "x".repeat(1 << 10);
    let mut request = Request::get("http://h/");
    for index in 0..100 {
        request = request.header(format!("x-{index}"), &long);
    }
    let answer = client.send_request(request.body(Body::empty()).unwrap()).await;
    assert!(answer.map_or(true, |answer| answer.status() == 431));
    assert!(house.connect().await.serves().await);
}
