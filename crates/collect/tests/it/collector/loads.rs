//! The loads that the interface's own benchmarks send: all accepted, all stored once.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Collector, events};
use crate::house::gzip;

/// So many clients at once, each sending one batch of so many fresh events, plain or gzip.
async fn check(clients: usize, each: usize, zipped: bool) {
    let collector = Arc::new(Collector::new());
    let tasks: Vec<_> = (0..clients)
        .map(|client| {
            let collector = collector.clone();
            let body = events((client * each) as u128, each).into_bytes();
            tokio::spawn(async move {
                let headers: &[(&str, &str)] = if zipped { &[("content-encoding", "gzip")] } else { &[] };
                collector.collect(headers, if zipped { gzip(&body) } else { body }).await
            })
        })
        .collect();
    for task in tasks {
        let answer = task.await.unwrap();
        assert_eq!((answer.status, answer.count("accepted_count")), (200, each as u64), "{}", answer.body);
    }
    let stored = collector.house.records("events", |_, record| record.id.to_vec());
    assert_eq!(stored.len(), clients * each);
    assert_eq!(stored.iter().collect::<HashSet<_>>().len(), clients * each, "each once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_of_every_client_is_accepted_and_stored_once() {
    for (clients, each, zipped) in [(20, 100, false), (1, 1_000, false), (1, 1_000, true), (50, 20, false)] {
        check(clients, each, zipped).await;
    }
}
