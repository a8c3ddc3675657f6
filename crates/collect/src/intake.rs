//! The one intake behind all doors: bodies in, verdicts out, with everything taken in the log in between.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use event::{Ack, Catalog, Position, StreamId};
use log::{Append, Clock, IdHasher, Log, LogError, Placed, PlacedRange};
use metrics::{Counter, Histogram, counter, histogram};

use crate::answer::{Sent, Taken, Unanswered};
use crate::body::Budget;
use crate::gate::{Limits, Pressure};
use crate::idempotency::Answers;
use crate::refused::Rejected;
use crate::sift::{Envelope, Format, Sifted, Sifter};
use crate::{IntakeError, IntakeStats};

/// How long `ack=stored` waits for the store before it answers that the events are durable.
const STORED_WAIT: Duration = Duration::from_secs(10);
/// Bodies above this are judged outside of the async workers: about a millisecond of work.
pub(crate) const HEAVY_BYTES: usize = 1 << 20;

/// One request, its body already plain.
#[derive(Debug)]
pub(crate) struct Accept<'a> {
    /// Whose events they are; empty for the default tenant.
    pub(crate) tenant: &'a str,
    /// Where the events go; see [`Intake::find`].
    pub(crate) stream: StreamId,
    /// The body.
    pub(crate) body: Bytes,
    /// How it holds its events.
    pub(crate) format: Format<'a>,
    /// When to answer.
    pub(crate) ack: Ack,
    /// The request's id, for dead letters.
    pub(crate) request_id: &'a str,
    /// What makes ids for events that have none, where the stream suppresses duplicates; that of an idempotency key.
    pub(crate) ids: Option<IdHasher>,
}

/// What became of the events of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdicts {
    /// Events that went into their stream.
    pub(crate) accepted: u64,
    /// Events that were known already, and are as safe as the answer says.
    pub(crate) duplicates: u64,
    /// Events that were refused; they are dead letters now.
    pub(crate) rejected: u64,
    /// The level reached, which can be below the one asked for: [`Ack::Stored`] is not waited for without end.
    pub(crate) ack: Ack,
    /// Where the accepted events are.
    pub(crate) positions: Vec<PlacedRange>,
    /// The refused ones, at most [`event::limits::REJECTED_LISTED_MAX`] of them.
    pub(crate) listed: Vec<Rejected>,
}

/// One stream as the doors see it.
struct Target {
    sifter: Sifter,
    partitions: u32,
    /// The partition of the next request's events without a key.
    turn: AtomicU32,
    accepted: Counter,
    duplicate: Counter,
    rejected: Counter,
    shed: Counter,
}

/// Judges bodies and appends what they hold. One for all doors of a process.
pub struct Intake {
    catalog: Arc<Catalog>,
    log: Arc<dyn Log>,
    clock: Arc<dyn Clock>,
    consumer: String,
    /// What the log's own answer stands for.
    strongest: Ack,
    /// The clock's elapsed time when it was made.
    began: Duration,
    targets: Vec<Target>,
    stats: IntakeStats,
    ack_seconds: Histogram,
    bodies: Budget,
    answers: Answers,
    pressure: Pressure,
    limits: ArcSwap<Limits>,
}

impl Intake {
    /// An intake over a log whose answers mean that events are durable. `consumer` is whose positions say that something is
    /// stored. Install the metrics recorder before: the handles are made here.
    pub fn new(catalog: Arc<Catalog>, log: Arc<dyn Log>, clock: Arc<dyn Clock>, consumer: &str) -> Arc<Self> {
        Self::over(catalog, log, clock, consumer, Ack::Durable)
    }

    /// The same over a log whose answers mean no more than `strongest`.
    pub fn over(
        catalog: Arc<Catalog>,
        log: Arc<dyn Log>,
        clock: Arc<dyn Clock>,
        consumer: &str,
        strongest: Ack,
    ) -> Arc<Self> {
        let refused = catalog.refused();
        let target = |(id, stream): (StreamId, &event::Stream)| {
            let events = |result| counter!("millstream_ingest_events_total", "stream" => stream.name.clone(), "result" => result);
            Target {
                sifter: Sifter::new(id, stream, refused),
                partitions: stream.partitions,
                turn: AtomicU32::new(0),
                accepted: events("accepted"),
                duplicate: events("duplicate"),
                rejected: events("rejected"),
                shed: events("shed"),
            }
        };
        let targets = catalog.iter().map(target).collect();
        let ack_seconds = histogram!("millstream_ack_latency_seconds");
        let (consumer, stats) = (consumer.to_owned(), IntakeStats::default());
        let began = clock.elapsed();
        let lane = |tenant: &[u8]| lane(log.id_hasher(), tenant);
        let answers = Answers::load(&*log, &catalog, lane, clock.now());
        Arc::new(Self {
            catalog,
            log,
            clock,
            consumer,
            strongest,
            began,
            targets,
            stats,
            ack_seconds,
            bodies: Budget::default(),
            answers,
            pressure: Pressure::default(),
            limits: ArcSwap::default(),
        })
    }

    /// Counters.
    pub fn stats(&self) -> &IntakeStats {
        &self.stats
    }

    /// The controller that holds senders back.
    pub fn pressure(&self) -> &Pressure {
        &self.pressure
    }

    /// What tenants may send.
    pub fn limits(&self) -> Arc<Limits> {
        self.limits.load_full()
    }

    /// Puts other limits in force.
    pub fn set_limits(&self, limits: Limits) {
        self.limits.store(Arc::new(limits));
    }

    /// How long it has been there.
    pub(crate) fn uptime(&self) -> Duration {
        self.clock.elapsed().saturating_sub(self.began)
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    pub(crate) fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    pub(crate) fn log(&self) -> &dyn Log {
        &*self.log
    }

    /// The answers that are kept for idempotency keys.
    pub(crate) fn answers(&self) -> &Answers {
        &self.answers
    }

    /// What judges the events of a stream.
    pub(crate) fn sifter(&self, stream: StreamId) -> &Sifter {
        &self.targets[usize::from(stream.0)].sifter
    }

    /// The memory that the bodies of all doors share.
    pub(crate) fn bodies(&self) -> &Budget {
        &self.bodies
    }

    /// The stream of this name, if doors may write it: internal ones they may not.
    ///
    /// # Errors
    /// [`IntakeError::UnknownStream`].
    pub fn find(&self, name: &str) -> Result<StreamId, IntakeError> {
        let internal = |name: &str| name.starts_with('_');
        if let Some(id) = self.catalog.find(name).filter(|_| !internal(name)) {
            return Ok(id);
        }
        let known = self.catalog.iter().map(|(_, s)| s.name.clone()).filter(|n| !internal(n)).collect();
        Err(IntakeError::UnknownStream { name: name.chars().take(64).collect(), known })
    }

    /// Takes one request: judges its events, appends the good ones to their stream and the others to the internal
    /// stream, together. When it returns, the request has its place in the log, before whatever is queued next;
    /// [`Queued::answer`] waits until it is as safe as asked. Dropping that takes nothing back: the events are in the log
    /// then, and counted.
    ///
    /// # Errors
    /// When the body as a whole cannot be read, or the log does not take it; then nothing of it was taken.
    pub(crate) fn queue(self: &Arc<Self>, request: Accept<'_>) -> Result<Queued, IntakeError> {
        let began = self.clock.elapsed();
        let Accept { tenant, stream, body, format, ack, request_id, ids } = request;
        let envelope = self.envelope(tenant, stream, format, request_id);
        let mut sifted = off_worker(body.len() > HEAVY_BYTES, || self.sifter(stream).sift(&body, envelope))?;
        self.give_ids(stream, &mut sifted, ids);
        self.queue_sifted(tenant, stream, sifted, ack, began)
    }

    /// Gives ids to events that have none, where that is of any use.
    pub(crate) fn give_ids(&self, stream: StreamId, sifted: &mut Sifted, ids: Option<IdHasher>) {
        if let Some(ids) = ids.filter(|_| self.catalog.get(stream).dedup.is_some()) {
            sifted.give_ids(ids);
        }
    }

    /// Whose queue and memory a tenant's requests share: 0 for the default tenant, and for no other.
    pub(crate) fn lane(&self, tenant: &str) -> u32 {
        lane(self.log.id_hasher(), tenant.as_bytes())
    }

    /// What is the same for all events of a request to this stream.
    pub(crate) fn envelope<'a>(
        &self,
        tenant: &'a str,
        stream: StreamId,
        format: Format<'a>,
        request_id: &'a str,
    ) -> Envelope<'a> {
        let target = &self.targets[usize::from(stream.0)];
        let keyless_partition = target.turn.fetch_add(1, Relaxed) % target.partitions;
        Envelope { tenant, format, request_id, now: self.clock.now(), keyless_partition, hasher: self.log.id_hasher() }
    }

    /// The rest of [`Intake::queue`], for doors that judge by a form of their own. `began` is when they had read the body.
    pub(crate) fn queue_sifted(
        self: &Arc<Self>,
        tenant: &str,
        stream: StreamId,
        sifted: Sifted,
        ack: Ack,
        began: Duration,
    ) -> Result<Queued, IntakeError> {
        let Sifted { batch, refused, listed } = sifted;
        let sent = Sent { stream, good: batch.drafts.len() as u64, bad: refused.drafts.len() as u64 };
        let batches: Vec<_> = [batch, refused].into_iter().filter(|batch| !batch.drafts.is_empty()).collect();
        let lane = self.lane(tenant);
        self.pressure.sent(lane, sent.good + sent.bad);
        let pending = self.limits.load().take(tenant, sent.good + sent.bad).and_then(|()| {
            self.log.append(Append { batches, lane, ack }).map_err(|error| match error {
                LogError::Busy => IntakeError::Busy { retry_after_s: self.pressure.retry_after_s() },
                error => error.into(),
            })
        });
        let pending = pending.inspect_err(|error| {
            if matches!(error, IntakeError::Log(LogError::Full(_))) {
                self.stats.found_no_room();
            }
            self.targets[usize::from(stream.0)].shed.increment(sent.good + sent.bad);
        })?;
        self.stats.waiting(sent.good + sent.bad);
        let unanswered = Unanswered { intake: self.clone(), sent, pending: Some(pending) };
        Ok(Queued { unanswered, began, ack, listed })
    }

    /// A request no longer waits for the log, whatever the answer was.
    pub(crate) fn settled(&self, sent: Sent, answer: &Result<Vec<Placed>, LogError>) {
        self.stats.settled(sent.good + sent.bad, matches!(answer, Err(LogError::Full(_))));
    }

    /// Sorts and counts what the log answered.
    pub(crate) fn taken(&self, sent: Sent, placed: Vec<Placed>) -> Taken {
        let mut placed = placed.into_iter();
        let mine = if sent.good > 0 { placed.next().unwrap_or_default() } else { Placed::default() };
        let duplicates = mine.duplicates.len() as u64;
        let accepted = sent.good - duplicates;
        let target = &self.targets[usize::from(sent.stream.0)];
        target.accepted.increment(accepted);
        target.duplicate.increment(duplicates);
        target.rejected.increment(sent.bad);
        self.stats.count(accepted, duplicates, sent.bad);
        self.stats.window.add(self.uptime(), accepted);
        Taken { mine, refused: placed.next() }
    }

    /// How far the consumer must have come for the request to be stored. Where a duplicate's first copy lies is not
    /// known, only that it is before the end of its stream.
    fn stored_positions(&self, stream: StreamId, mine: &Placed, refused: Option<&Placed>) -> Vec<Position> {
        let after =
            |stream, range: &PlacedRange| Position { stream, partition: range.partition, offset: range.last + 1 };
        let refused = refused.into_iter().flat_map(|placed| &placed.ranges);
        let refused = refused.map(|range| after(self.catalog.refused(), range));
        if mine.duplicates.is_empty() {
            return mine.ranges.iter().map(|range| after(stream, range)).chain(refused).collect();
        }
        let ends = self.log.extents(stream).into_iter().enumerate();
        ends.map(|(i, extent)| Position { stream, partition: i as u32, offset: extent.next }).chain(refused).collect()
    }

    /// Waits for the store; `None` when that takes too long, or the log closes: what is certain is what the log said.
    async fn wait_stored(&self, positions: &[Position]) -> Option<Ack> {
        let committed = self.log.committed(&self.consumer, positions);
        match tokio::time::timeout(STORED_WAIT, committed).await {
            Ok(Ok(())) => Some(Ack::Stored),
            Ok(Err(_)) | Err(_) => None,
        }
    }
}

/// A request with its place in the log, still to be answered.
#[derive(Debug)]
pub(crate) struct Queued {
    unanswered: Unanswered,
    began: Duration,
    ack: Ack,
    listed: Vec<Rejected>,
}

impl Queued {
    /// Waits for the log, and for the store when asked.
    pub(crate) async fn answer(self) -> Result<Verdicts, IntakeError> {
        let Self { unanswered, began, ack, listed } = self;
        let (intake, sent) = (unanswered.intake.clone(), unanswered.sent);
        let Taken { mine, refused } = unanswered.wait().await?;
        let duplicates = mine.duplicates.len() as u64;

        let accepted = sent.good - duplicates;
        let mut reached = ack.min(intake.strongest);
        // Where a spool has it, nobody knows yet where it will be.
        let placed = accepted == 0 || !mine.ranges.is_empty();
        if ack == Ack::Stored && placed {
            let waits_for = intake.stored_positions(sent.stream, &mine, refused.as_ref());
            reached = intake.wait_stored(&waits_for).await.unwrap_or(reached);
        }
        let took = intake.clock.elapsed().saturating_sub(began);
        intake.stats.answered(took);
        intake.ack_seconds.record(took);
        Ok(Verdicts { accepted, duplicates, rejected: sent.bad, ack: reached, positions: mine.ranges, listed })
    }
}

impl std::fmt::Debug for Intake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Intake").field("consumer", &self.consumer).field("stats", &self.stats).finish_non_exhaustive()
    }
}

fn lane(hasher: IdHasher, tenant: &[u8]) -> u32 {
    if tenant.is_empty() { 0 } else { (hasher.hash(tenant) as u32).max(1) }
}

/// Runs work here; heavy work so that the other tasks of this worker go on elsewhere meanwhile.
pub(crate) fn off_worker<T>(heavy: bool, work: impl FnOnce() -> T) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor::MultiThread};
    if heavy && Handle::try_current().is_ok_and(|runtime| runtime.runtime_flavor() == MultiThread) {
        return tokio::task::block_in_place(work);
    }
    work()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tenant_has_a_lane_of_its_own_and_none_that_of_the_default_one() {
        let hasher = IdHasher::new(7);
        assert_eq!(lane(hasher, b""), 0);
        let lanes: std::collections::HashSet<u32> =
            (0..1_000).map(|n: u32| lane(hasher, format!("tenant-{n}").as_bytes())).collect();
        assert!(lanes.len() == 1_000 && !lanes.contains(&0));
    }
}
