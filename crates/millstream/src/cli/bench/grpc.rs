//! The gRPC door, durable: batches of 100 over a few calls, each with several batches in flight. The client is the one
//! that the `.proto` makes, on one thread.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use collect::grpc::pb::PublishRequest;
use collect::grpc::pb::collector_client::CollectorClient;
use futures_util::stream;
use hdrhistogram::Histogram;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use log::{Clock, SystemClock};
use serde_json::json;
use tokio::sync::mpsc;

use super::child::Serving;
use super::client::{WARM_UP, micros};
use super::collect::PATH;
use super::events::Template;
use super::{Figure, Setup, events, say};

/// Calls, each with a connection of its own; the batches in flight are as many as connections are asked for.
const CALLS: usize = 4;
const BATCH: usize = 100;

/// What every call shares.
struct Run {
    address: SocketAddr,
    templates: Vec<Template>,
    clock: SystemClock,
    next_id: AtomicU64,
    in_flight: usize,
    from: Duration,
    to: Duration,
}

pub(super) fn measure(setup: &Setup) -> anyhow::Result<Figure> {
    say("collect_grpc");
    let serving = Serving::start(&setup.dir, "collect", "")?;
    let clock = SystemClock::default();
    let templates = events::requests(&serving.address.to_string(), PATH, BATCH, 600);
    let from = clock.elapsed() + WARM_UP;
    let in_flight = setup.connections.div_ceil(CALLS);
    let next_id = AtomicU64::new(events::first_id(clock.now()));
    let (address, to) = (serving.address, from + setup.seconds);
    let run = Run { address, templates, clock, next_id, in_flight, from, to };
    // A thread of its own, so that its runtime costs the measured one nothing.
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(all(std::sync::Arc::new(run)))
    });
    let latency_us = thread.join().map_err(|_| anyhow::anyhow!("the client panicked"))??;
    let ms = |quantile| Some(latency_us.value_at_quantile(quantile) as f64 / 1_000.0);
    Ok(Figure {
        name: "collect_grpc",
        value: (latency_us.len() * BATCH as u64) as f64 / setup.seconds.as_secs_f64(),
        unit: "events/s",
        p50_ms: ms(0.50),
        p99_ms: ms(0.99),
        rss_mib: serving.peak_rss_mib(),
        more: vec![("calls", json!(CALLS)), ("in_flight", json!(CALLS * in_flight))],
    })
}

/// The latency of every batch that was acknowledged while it was counted.
async fn all(run: std::sync::Arc<Run>) -> anyhow::Result<Histogram<u64>> {
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..CALLS {
        calls.spawn(one(run.clone(), number));
    }
    let mut latency_us = micros()?;
    while let Some(done) = calls.join_next().await {
        latency_us.add(done??)?;
    }
    Ok(latency_us)
}

async fn one(run: std::sync::Arc<Run>, number: usize) -> anyhow::Result<Histogram<u64>> {
    let http = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let mut client = CollectorClient::with_origin(http, format!("http://{}", run.address).parse()?);
    let (send, receive) = mpsc::unbounded_channel();
    let (mut waiting, mut sequence, mut at) = (VecDeque::new(), 0_u64, number * 37);
    let mut next = |waiting: &mut VecDeque<(u64, Duration)>| {
        let template = &run.templates[at % run.templates.len()];
        at += 1;
        sequence += 1;
        let mut bytes = template.bytes.clone();
        template.stamp(&mut bytes, run.next_id.fetch_add(BATCH as u64, Relaxed), run.clock.now());
        let events = Bytes::from(bytes).slice(template.body_at..);
        waiting.push_back((sequence, run.clock.elapsed()));
        send.send(PublishRequest { sequence, stream: "events".to_owned(), events, ..PublishRequest::default() })
    };
    (0..run.in_flight).try_for_each(|_| next(&mut waiting))?;

    let take = async |mut receive: mpsc::UnboundedReceiver<_>| receive.recv().await.map(|batch| (batch, receive));
    let mut answers = client.publish(stream::unfold(receive, take)).await?.into_inner();
    let mut latency_us = micros()?;
    while let Some(answer) = answers.message().await? {
        anyhow::ensure!(answer.rejected == 0 && answer.duplicates == 0, "not all were accepted: {answer:?}");
        let now = run.clock.elapsed();
        while let Some((_, began)) = waiting.front().copied().filter(|(sequence, _)| *sequence <= answer.acked) {
            waiting.pop_front();
            if (run.from..run.to).contains(&now) {
                latency_us.saturating_record(now.saturating_sub(began).as_micros() as u64);
            }
            next(&mut waiting)?;
        }
        if now >= run.to {
            return Ok(latency_us);
        }
    }
    Err(anyhow::anyhow!("the server ended the call")).context("collect_grpc")
}
