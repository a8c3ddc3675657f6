//! SIGTERM: readiness first, then the intake, then the commits; a second signal stops at once.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::http;
use crate::product::{Product, folder, run_json, until};

const EVENT: &[u8] = br#"{"event_id":"last"}"#;

/// A product with a request that it is reading: its head is there, its body still to come.
fn with_open_request() -> (tempfile::TempDir, Product, TcpStream) {
    let dir = folder();
    let product = Product::start(dir.path(), &[]);
    let open = open_request(&product);
    (dir, product, open)
}

/// Begins a request and waits until the server asks for its body: then it is in flight, and not only on its way.
fn open_request(product: &Product) -> TcpStream {
    let url = product.url("/v1/streams/events/events?ack=stored");
    let headers = [("content-type", "application/json"), ("expect", "100-continue")];
    let mut open = http::begin(&url, "POST", &headers, EVENT.len()).unwrap();
    let mut go_on = [0; 25];
    open.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    open.write_all(&EVENT[..5]).unwrap();
    open
}

#[test]
fn a_drain_answers_what_is_in_flight_and_says_it_is_not_ready() {
    let (dir, product, mut open) = with_open_request();
    product.terminate();
    until("readiness turns 503", || {
        http::exchange(&format!("{}/readyz", product.admin), "GET", &[], b"").is_ok_and(|a| a.status == 503)
    });
    until("the door is closed", || http::exchange(&product.url("/health"), "GET", &[], b"").is_err());
    open.write_all(&EVENT[5..]).unwrap();
    let answer = http::finish(open).unwrap().expect(200).json();
    assert_eq!((&answer["accepted_count"], &answer["ack"]), (&1.into(), &"stored".into()));
    let status = product.wait();
    assert!(status.success(), "{status}");
    let (code, verified) = run_json(dir.path(), &["verify", "--data-dir", "data"]);
    assert_eq!((code, &verified["events"], &verified["pending"]), (0, &1.into(), &0.into()), "{verified}");
}

#[test]
fn a_second_signal_stops_at_once() {
    let (_dir, product, _open) = with_open_request();
    product.terminate();
    until("it drains", || product.said().contains("draining"));
    product.terminate();
    assert_eq!(product.wait().code(), Some(1));
}

#[test]
fn a_drain_ends_at_its_limit() {
    let dir = folder();
    let product = Product::start(dir.path(), &["--drain-timeout", "100ms"]);
    let _open = open_request(&product);
    product.terminate();
    assert_eq!(product.wait().code(), Some(1));
}
