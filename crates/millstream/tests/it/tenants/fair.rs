//! One tenant floods, the other is served as if it were alone.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use log::{Clock, SystemClock};

use super::{House, post};
use crate::http;
use crate::product::{Product, until};

/// What the quiet tenant may wait, of a hundred requests the slowest but one.
const P99: Duration = Duration::from_millis(40);
/// Requests of the quiet tenant in one look, and the looks: a machine that runs other tests too may have a bad moment.
const REQUESTS: usize = 300;
const LOOKS: usize = 5;
/// Connections of the loud tenant, and events of each of its requests.
const CONNECTIONS: usize = 32;
const EVENTS: usize = 1_000;

/// Sends the same batch again and again on one connection, as fast as it is answered.
fn flood(authority: &str, key: &str, over: &AtomicBool) -> std::io::Result<()> {
    let event = format!(r#"{{"learner_id":"loud","event_data":"{}"}}"#, "x".repeat(300));
    let body = format!("[{}]", vec![event; EVENTS].join(","));
    let head = format!(
        "POST /v1/streams/events/events HTTP/1.1\r\nhost: {authority}\r\ncontent-type: application/json\r\n\
         x-api-key: {key}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let request = [head.as_bytes(), body.as_bytes()].concat();
    let mut stream = TcpStream::connect(authority)?;
    let mut answer = vec![0; 64 << 10];
    while !over.load(Relaxed) {
        stream.write_all(&request)?;
        let mut read = 0;
        // An answer is JSON without a brace in a text, so it ends with its last brace.
        while read == 0 || !answer[..read].ends_with(b"}") {
            match stream.read(&mut answer[read..])? {
                0 => return Ok(()),
                n => read += n,
            }
        }
    }
    Ok(())
}

/// Events that came in so far.
fn accepted(product: &Product) -> u64 {
    let text = String::from_utf8(http::get(&format!("{}/metrics", product.admin)).body).unwrap();
    let ours = |line: &&str| {
        line.starts_with("millstream_ingest_events_total") && line.contains("\"events\"") && line.contains("accepted")
    };
    text.lines().find(ours).and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_default()
}

fn p99(product: &Product, key: &str) -> Duration {
    let clock = SystemClock::default();
    let mut times: Vec<Duration> = (0..REQUESTS)
        .map(|_| {
            let began = clock.elapsed();
            post(product, "/v1/streams/events/events", key, r#"{"learner_id":"quiet"}"#).expect(202);
            clock.elapsed().saturating_sub(began)
        })
        .collect();
    times.sort_unstable();
    times[REQUESTS * 99 / 100]
}

#[test]
fn a_flood_of_one_tenant_does_not_starve_another() {
    let mut house = House::new("");
    let (loud, quiet) = (house.key(Some("loud"), "admin"), house.key(Some("quiet"), "admin"));
    let product = house.start();
    let over = Arc::new(AtomicBool::new(false));
    let floods: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (authority, key, over) = (product.clients.replace("http://", ""), loud.clone(), over.clone());
            std::thread::spawn(move || flood(&authority, &key, &over))
        })
        .collect();
    until("the flood runs", || accepted(&product) > 100_000);
    let (before, clock) = (accepted(&product), SystemClock::default());
    let looks: Vec<Duration> = (0..LOOKS).map(|_| p99(&product, &quiet)).collect();
    let (loud, took) = (accepted(&product) - before, clock.elapsed());
    over.store(true, Relaxed);
    floods.into_iter().for_each(|flood| flood.join().unwrap().unwrap());
    let best = looks.iter().min().copied().unwrap_or(Duration::MAX);
    let report = format!("p99 {looks:?} while {loud} events of the loud tenant came in within {took:?}");
    println!("{report}");
    assert!(loud > 100_000, "no flood: {report}");
    assert!(best <= P99, "{report}");
    product.stop();
}
