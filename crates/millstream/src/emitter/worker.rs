//! One sender: takes a request that is due, sends it until it is answered, and counts the verdicts.

use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::{Method, StatusCode};
use log::Clock;
use serde::Deserialize;
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

use super::client::Client;
use super::pacer::Job;
use super::tally::Tally;

const PATH: &str = "/v1/streams/signals/events";
const CONTENT_TYPE: &str = "application/x-ndjson";
const RETRY_FIRST: Duration = Duration::from_millis(20);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// A worker and what it shares with the others.
pub(crate) struct Worker {
    pub(crate) client: Client,
    pub(crate) queue: Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<Job>>>,
    pub(crate) queued: Arc<AtomicUsize>,
    pub(crate) tally: Arc<Tally>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) acks: Option<Arc<Mutex<File>>>,
    pub(crate) given_up: watch::Receiver<bool>,
}

/// The part of an answer that an emitter counts.
#[derive(Debug, Deserialize)]
struct Verdicts {
    accepted_count: u64,
    duplicate_count: u64,
    rejected_count: u64,
    #[serde(default)]
    rejected: Vec<Rejected>,
}

#[derive(Debug, Deserialize)]
struct Rejected {
    index: usize,
}

impl Worker {
    /// Sends until the queue is closed and empty.
    pub(crate) async fn run(mut self) {
        loop {
            let job = self.queue.lock().await.recv().await;
            let Some(job) = job else { break };
            let events = job.ids.len();
            if !self.deliver(&job).await {
                self.tally.errors.fetch_add(events as u64, Relaxed);
            }
            self.queued.fetch_sub(events, Relaxed);
        }
    }

    /// Sends one request, again and again with the same ids, until there is an answer; `false` when there is none or
    /// it refuses the request as a whole.
    async fn deliver(&mut self, job: &Job) -> bool {
        let mut delay = RETRY_FIRST;
        let mut given_up = self.given_up.clone();
        loop {
            let answer = tokio::select! {
                biased;
                _ = given_up.wait_for(|up| *up) => return false,
                answer = self.client.send(Method::POST, PATH, CONTENT_TYPE, job.body.clone()) => answer,
            };
            match answer {
                Ok((status, body)) if is_temporary(status) => {
                    self.tally.complain(|| format!("{status}: {}", String::from_utf8_lossy(&body)));
                }
                Ok((status, body)) => return self.count(job, status, &body),
                Err(error) => self.tally.complain(|| format!("{error:#}")),
            }
            self.tally.retries.fetch_add(1, Relaxed);
            #[expect(clippy::disallowed_methods, reason = "a growing delay between two tries")]
            let pause = tokio::time::sleep(delay);
            pause.await;
            delay = (delay * 2).min(RETRY_MAX);
        }
    }

    fn count(&self, job: &Job, status: StatusCode, body: &[u8]) -> bool {
        let Ok(verdicts) = serde_json::from_slice::<Verdicts>(body) else {
            self.tally.complain(|| format!("{status}: {}", String::from_utf8_lossy(body)));
            return false;
        };
        self.acknowledge(&job.ids, &verdicts.rejected);
        self.tally.accepted.fetch_add(verdicts.accepted_count, Relaxed);
        self.tally.duplicates.fetch_add(verdicts.duplicate_count, Relaxed);
        self.tally.rejected.fetch_add(verdicts.rejected_count, Relaxed);
        self.tally.answered(job.ids.len() as u64, self.clock.elapsed().saturating_sub(job.due));
        true
    }

    /// Writes down what the collector has promised to keep, before anything else can happen to this process.
    fn acknowledge(&self, ids: &[Uuid], rejected: &[Rejected]) {
        let Some(file) = &self.acks else { return };
        let mut lines = String::with_capacity(ids.len() * 37);
        for (i, id) in ids.iter().enumerate() {
            if !rejected.iter().any(|r| r.index == i) {
                lines.push_str(&id.to_string());
                lines.push('\n');
            }
        }
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = file.write_all(lines.as_bytes()) {
            self.tally.complain(|| format!("the file of acknowledged ids: {error}"));
        }
    }
}

/// Whether the same request may succeed later: shedding, and everything that is the server's fault.
fn is_temporary(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::REQUEST_TIMEOUT || status.is_server_error()
}
