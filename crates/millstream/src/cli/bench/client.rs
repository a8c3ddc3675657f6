//! A closed-loop HTTP/1.1 client: many connections on one thread, each sends its next request when its last is answered.
//! Written by hand because the client shares the cores with what it measures.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::Context;
use hdrhistogram::Histogram;
use log::{Clock, SystemClock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::events::{self, Template};

/// The beginning of a run that is not counted: connections, caches, files.
pub(super) const WARM_UP: Duration = Duration::from_millis(500);
/// The wait of a connection that was told to come back later, or that is held.
const HOLD: Duration = Duration::from_millis(5);

/// What every connection shares.
pub(super) struct Run {
    address: SocketAddr,
    templates: Vec<Template>,
    clock: SystemClock,
    stop: AtomicBool,
    counting: AtomicBool,
    /// While set, no connection sends.
    pub(super) hold: AtomicBool,
    next_id: AtomicU64,
    events: AtomicU64,
    refused: AtomicU64,
}

/// What came out.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) events_per_second: f64,
    pub(super) requests_per_second: f64,
    pub(super) refused: u64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
}

impl Run {
    /// A run against one address.
    pub(super) fn new(address: SocketAddr, templates: Vec<Template>) -> Arc<Self> {
        let (zero, off) = (|| AtomicU64::new(0), || AtomicBool::new(false));
        let clock = SystemClock::default();
        let next_id = AtomicU64::new(events::first_id(clock.now()));
        Arc::new(Self {
            address,
            templates,
            clock,
            stop: off(),
            counting: off(),
            hold: off(),
            next_id,
            events: zero(),
            refused: zero(),
        })
    }

    /// Sends for this long on a thread of its own, so that its runtime costs the measured one nothing.
    ///
    /// # Errors
    /// When there is no connection, or all of them broke.
    pub(super) fn go(self: &Arc<Self>, connections: usize, seconds: Duration) -> anyhow::Result<Outcome> {
        let run = self.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(run.all(connections, seconds))
        });
        thread.join().map_err(|_| anyhow::anyhow!("the client panicked"))?
    }

    async fn all(self: Arc<Self>, connections: usize, seconds: Duration) -> anyhow::Result<Outcome> {
        let mut tasks = tokio::task::JoinSet::new();
        for i in 0..connections {
            tasks.spawn(self.clone().one(i));
        }
        pause(WARM_UP).await;
        self.counting.store(true, Relaxed);
        let began = self.clock.elapsed();
        pause(seconds).await;
        self.counting.store(false, Relaxed);
        let took = self.clock.elapsed().saturating_sub(began).as_secs_f64();
        self.stop.store(true, Relaxed);
        let mut latency_us = micros()?;
        while let Some(done) = tasks.join_next().await {
            latency_us.add(done??)?;
        }
        let ms = |quantile| latency_us.value_at_quantile(quantile) as f64 / 1_000.0;
        Ok(Outcome {
            events_per_second: self.events.load(Relaxed) as f64 / took,
            requests_per_second: latency_us.len() as f64 / took,
            refused: self.refused.load(Relaxed),
            p50_ms: ms(0.50),
            p99_ms: ms(0.99),
        })
    }

    async fn one(self: Arc<Self>, number: usize) -> anyhow::Result<Histogram<u64>> {
        let mut stream = TcpStream::connect(self.address).await.context("cannot connect")?;
        stream.set_nodelay(true)?;
        let (mut latency_us, mut answer, mut bytes) = (micros()?, Vec::new(), Vec::new());
        let mut at = number * 37;
        while !self.stop.load(Relaxed) {
            if self.hold.load(Relaxed) {
                pause(HOLD).await;
                continue;
            }
            let template = &self.templates[at % self.templates.len()];
            at += 1;
            bytes.clear();
            bytes.extend_from_slice(&template.bytes);
            let events = template.ids.len() as u64;
            template.stamp(&mut bytes, self.next_id.fetch_add(events, Relaxed), self.clock.now());
            let began = self.clock.elapsed();
            stream.write_all(&bytes).await.context("the server hung up")?;
            let status = response(&mut stream, &mut answer).await.context("the server hung up")?;
            if !self.counting.load(Relaxed) {
                continue;
            }
            if matches!(status, 200 | 202) {
                self.events.fetch_add(events, Relaxed);
                let took = self.clock.elapsed().saturating_sub(began);
                latency_us.saturating_record(took.as_micros() as u64);
            } else {
                if self.refused.fetch_add(1, Relaxed) == 0 {
                    tracing::warn!(status, answer = %String::from_utf8_lossy(&answer), "the first refusal");
                }
                pause(HOLD).await;
            }
        }
        Ok(latency_us)
    }
}

/// Reads one response; gives its status and leaves it in `buffer`.
async fn response(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<u16> {
    buffer.clear();
    let mut whole = None;
    loop {
        if whole.is_none()
            && let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n")
        {
            let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
            let status: u16 = head.get(9..12).and_then(|code| code.parse().ok()).unwrap_or(0);
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.and_then(|value| value.trim().parse().ok()).unwrap_or(0);
            whole = Some((status, end + 4 + length));
        }
        if let Some((status, len)) = whole
            && buffer.len() >= len
        {
            return Ok(status);
        }
        if stream.read_buf(buffer).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Microseconds up to ten minutes. Bounded: one that grows by itself does not grow when it is told to saturate.
pub(super) fn micros() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 600_000_000, 3)?)
}

async fn pause(duration: Duration) {
    #[expect(clippy::disallowed_methods, reason = "a measurement lasts a given time")]
    tokio::time::sleep(duration).await;
}
