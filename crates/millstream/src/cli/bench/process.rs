//! Rules and windows without doors and store: read from a log on disk, on one thread; and what a snapshot of a million
//! keys costs.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use collect::{Envelope, Format, Sifter};
use event::{Ack, Batch, Block, BlockBuilder, Catalog, Millis, StreamId, limits};
use fastrand::Rng;
use log::disk::DiskLog;
use log::{Append, Clock, Log, SystemClock};
use process::{Output, Program, State};
use serde_json::json;

use super::child::TempDir;
use super::{Figure, Setup, machine, say, signals};
use crate::backends;
use crate::config::{self, Source};

/// What the log is filled with: about 400 MB of disk.
const EVENTS: usize = 1_000_000;
const BATCH: usize = 1_000;
/// When its events happened: within an hour of a winter night in 2025, two and a half minutes of which are after three, as
/// one in 24 of a day's. The same in every run, as the rules look at the clock.
const START: Millis = 1_736_906_550_000;
const SPAN_MS: Millis = 3_600_000;
/// Batches under way at the same time while the log is filled.
const IN_FLIGHT: usize = 16;
const SNAPSHOT_KEYS: usize = 1_000_000;

pub(super) fn measure(setup: &Setup) -> anyhow::Result<Vec<Figure>> {
    let dir = TempDir::new(&setup.dir)?;
    let settings = config::load(&Source::built_in())?;
    let catalog = settings.catalog;
    let missing = || anyhow::anyhow!("the stream `signals` and its rules are built in");
    let stream = catalog.find("signals").ok_or_else(missing)?;
    let mut programs = settings.programs.into_iter();
    let (_, program) = programs.find(|(id, _)| *id == stream).ok_or_else(missing)?;
    let bench = Bench { stream, program, sifter: Sifter::new(stream, catalog.get(stream), catalog.refused()) };
    // First, while this process has nothing else in memory: what a key takes is told by what it grows.
    say("process_snapshot_1m_keys");
    let snapshot = bench.snapshot(setup.seconds)?;
    let log = backends::open_disk(&dir.0, catalog.clone(), Arc::new(SystemClock::default()))?;
    say("process_rules_windows");
    bench.fill(&log)?;
    let passes = bench.passes(&log, &catalog, setup.seconds);
    log.close();
    Ok(vec![passes?, snapshot])
}

struct Bench {
    stream: StreamId,
    program: Program,
    sifter: Sifter,
}

impl Bench {
    /// Lines of signals as the door would hand them over.
    fn batch(&self, body: &[u8], log: Option<&DiskLog>, now: Millis) -> anyhow::Result<Batch> {
        let hasher = match log {
            Some(log) => log.id_hasher(),
            None => log::IdHasher::new(0),
        };
        let (format, body) = (Format::Ndjson, Bytes::copy_from_slice(body));
        let envelope = Envelope { tenant: "", format, request_id: "", now, keyless_partition: 0, hasher };
        let sifted = self.sifter.sift(&body, envelope)?;
        anyhow::ensure!(sifted.batch.drafts.len() == BATCH, "a signal of the benchmark was refused");
        Ok(sifted.batch)
    }

    /// Writes the events, as a door would.
    fn fill(&self, log: &Arc<DiskLog>) -> anyhow::Result<()> {
        let mut rng = Rng::with_seed(7);
        let (mut waiting, mut body) = (VecDeque::new(), Vec::new());
        for first in (0..EVENTS).step_by(BATCH) {
            body.clear();
            for i in first..first + BATCH {
                signals::line(&mut rng, START + i as Millis * SPAN_MS / EVENTS as Millis, &mut body);
            }
            let batches = vec![self.batch(&body, Some(log), START + SPAN_MS)?];
            waiting.push_back(log.append(Append { batches, lane: 0, ack: Ack::Durable })?);
            if waiting.len() == IN_FLIGHT
                && let Some(first) = waiting.pop_front()
            {
                first.wait_blocking()?;
            }
        }
        waiting.into_iter().try_for_each(|pending| pending.wait_blocking().map(|_| ()))?;
        Ok(())
    }

    /// Reads the log from its beginning, again and again, each time with states that know nothing; the median counts.
    fn passes(&self, log: &DiskLog, catalog: &Catalog, limit: Duration) -> anyhow::Result<Figure> {
        let clock = SystemClock::default();
        let partitions = catalog.get(self.stream).partitions;
        let starts: Vec<_> = (0..partitions).map(|partition| (partition, 0)).collect();
        let (mut anomalies, mut pieces, mut keys, mut rss) = (0, 0, 0, None);
        let (mut out, mut spent) = (Output::default(), Vec::new());
        while spent.iter().sum::<Duration>() < limit {
            (anomalies, pieces) = (0, 0);
            let mut states: Vec<State> = (0..partitions).map(|_| State::default()).collect();
            let mut cursor = log.read(self.stream, &starts)?;
            let began = clock.elapsed();
            loop {
                let blocks = cursor.next(limits::PIPELINE_BATCH_BYTES)?;
                if blocks.is_empty() {
                    break;
                }
                for block in &blocks {
                    self.program.run(&mut states[block.partition as usize], block, &mut out);
                }
                anomalies += out.anomalies.len();
                pieces += out.windows.len();
                out.clear();
            }
            spent.push(clock.elapsed().saturating_sub(began));
            keys = states.iter().map(State::keys).sum();
            rss = machine::rss_mib();
        }
        let more = vec![
            ("keys", json!(keys)),
            ("rules", json!(self.program.rules().count())),
            ("anomalies", json!(anomalies)),
            ("window_pieces", json!(pieces)),
        ];
        let value = EVENTS as f64 * 1_000.0 / median_ms(&mut spent).max(1.0);
        Ok(Figure { name: "process_rules_windows", value, unit: "events/s", rss_mib: rss, more, ..Figure::default() })
    }

    /// Writes down and reads back a state of a million keys: users who failed to log in, whom three rules remember.
    fn snapshot(&self, limit: Duration) -> anyhow::Result<Figure> {
        let clock = SystemClock::default();
        let state = self.large_state()?;
        let rss_mib = machine::rss_mib();
        let (mut bytes, mut encode, mut decode) = (Vec::new(), Vec::new(), Vec::new());
        let began = clock.elapsed();
        while encode.len() < 3 || (clock.elapsed().saturating_sub(began) < limit && encode.len() < 21) {
            bytes.clear();
            let start = clock.elapsed();
            self.program.encode(&state, &mut bytes);
            let written = clock.elapsed();
            let back = self.program.decode(&bytes).map_err(|error| anyhow::anyhow!("{error}"))?;
            decode.push(clock.elapsed().saturating_sub(written));
            encode.push(written.saturating_sub(start));
            anyhow::ensure!(back.state.keys() == state.keys(), "a snapshot lost keys");
        }
        let (encode_ms, decode_ms) = (median_ms(&mut encode), median_ms(&mut decode));
        let more = vec![
            ("keys", json!(state.keys())),
            ("encode_ms", json!(encode_ms.round())),
            ("decode_ms", json!(decode_ms.round())),
            ("snapshot_mib", json!(bytes.len() >> 20)),
        ];
        let value = encode_ms + decode_ms;
        Ok(Figure { name: "process_snapshot_1m_keys", value, unit: "ms", rss_mib, more, ..Figure::default() })
    }

    fn large_state(&self) -> anyhow::Result<State> {
        let mut rng = Rng::with_seed(8);
        let (mut state, mut out, mut body) = (State::default(), Output::default(), Vec::new());
        let mut users = 0..u32::MAX;
        let mut offset = 0;
        while state.keys() < SNAPSHOT_KEYS {
            body.clear();
            for user in users.by_ref().take(BATCH) {
                signals::failure(&mut rng, user, START, &mut body);
            }
            let batch = self.batch(&body, None, START)?;
            let mut builder = BlockBuilder::default();
            batch.drafts.iter().for_each(|draft| builder.push(&batch, draft));
            let block = Block::parse(self.stream, 0, offset, START, BATCH, Bytes::copy_from_slice(builder.body()))?;
            offset = block.next_offset();
            self.program.run(&mut state, &block, &mut out);
            out.clear();
        }
        Ok(state)
    }
}

fn median_ms(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 2).map_or(0.0, |time| time.as_secs_f64() * 1_000.0)
}
