//! The one writer: takes whatever requests wait, leaves out what was sent before, and hands the rest to the producer in the
//! order in which it came. The answers come from the reports (`producer`, `flight`).
//!
//! The requests of one group are stamped with one time, so that their records make long blocks for who reads them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use event::{Batch, Millis, StreamId};
use metrics::{Counter, Histogram};

use super::client;
use super::flight::{Sent, Told};
use super::producer::{Line, Outgoing, Part};
use super::shared::Shared;
use crate::queue::Request;
use crate::spool::Origins;
use crate::{LogError, Placed};

pub(super) struct Writer {
    shared: Arc<Shared>,
    /// Bytes of key and data that the producer takes.
    record_bytes_max: usize,
    origins: Origins,
    group_requests: Histogram,
    dedup_evicted: Counter,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let config = client::producer(&shared.settings);
        let asked = config.get("message.max.bytes").and_then(|bytes| bytes.parse().ok());
        let group_requests = metrics::histogram!("millstream_log_group_requests");
        let dedup_evicted = metrics::counter!("millstream_dedup_evicted_total");
        let record_bytes_max = asked.unwrap_or(client::MESSAGE_BYTES_MAX);
        let origins = Origins::new(shared.hasher);
        Self { shared, record_bytes_max, origins, group_requests, dedup_evicted }
    }

    /// Runs until the queue is closed and empty.
    pub(super) fn run(mut self) {
        let shared = self.shared.clone();
        let mut group = Vec::new();
        while shared.queue.wait().is_some() {
            shared.queue.take(0, shared.clock.elapsed(), &mut group);
            if group.is_empty() {
                continue;
            }
            self.group_requests.record(group.len() as f64);
            let now = shared.clock.now();
            for ids in &shared.ids {
                if let Some(table) = &mut *ids.lock() {
                    table.advance(now);
                    self.dedup_evicted.increment(table.take_evicted());
                }
            }
            match shared.link.line() {
                Ok(line) => group.drain(..).for_each(|request| self.send(&line, request, now)),
                Err(away) => group.drain(..).for_each(|request| refuse(request, &away)),
            }
            shared.queue.answered();
        }
        shared.sent.store(true, Ordering::Release);
    }

    /// Sends what is new of a request.
    fn send(&mut self, line: &Line, request: Request, now: Millis) {
        if request.since < line.made() {
            // It waited while the line before broke: what came before it was given up, and is to go first.
            return refuse(request, &LogError::Away("it was lost and is there again".to_owned()));
        }
        if let Some(error) = self.too_large(&request) {
            return refuse(request, &error);
        }
        let Request { append, weight, since, reply } = request;
        let mut told = Told {
            reply: Some(reply),
            placed: Vec::with_capacity(append.batches.len()),
            failure: None,
            ids: Vec::new(),
        };
        // Before any id is looked up: what fails later may be what is repeated here.
        let failures = line.flight().failures();
        let mut records = 0;
        for batch in &append.batches {
            let placed = self.place(batch, &mut told.ids);
            records += batch.drafts.len() - placed.duplicates.len();
            told.placed.push((batch.stream, placed));
        }
        let skipped: Vec<Vec<u32>> = told.placed.iter().map(|(_, placed)| placed.duplicates.clone()).collect();
        let sent = Arc::new(Sent::new(weight, since, records, told));
        if !line.flight().enter(&sent, failures) {
            let reason = self.shared.link.away().unwrap_or_else(|| "it was lost and is there again".to_owned());
            return self.shared.give_up(&sent, &reason);
        }
        for (at, batch) in append.batches.iter().enumerate() {
            let part = Arc::new(Part { sent: sent.clone(), batch: at });
            let shared = self.shared.clone();
            let (topic, dedup) = (shared.topic(batch.stream), shared.catalog.get(batch.stream).dedup.is_some());
            let mut skipped = skipped[at].iter().peekable();
            for (i, draft) in batch.drafts.iter().enumerate() {
                if skipped.next_if_eq(&&(i as u32)).is_none() {
                    line.send(Outgoing::of(&self.origins, topic, dedup, batch, draft, now), &part);
                }
            }
        }
        line.handed_over(&sent);
    }

    /// Which events of a batch were sent before.
    fn place(&self, batch: &Batch, ids: &mut Vec<(StreamId, u128)>) -> Placed {
        let mut placed = Placed::default();
        let mut table = self.shared.ids[usize::from(batch.stream.0)].lock();
        let Some(table) = &mut *table else { return placed };
        for (i, draft) in batch.drafts.iter().enumerate() {
            // The table is larger than any cache: ask for the entries of an id some turns before they are needed.
            if let Some(ahead) = batch.drafts.get(i + 8) {
                std::hint::black_box(table.touch(ahead.id_hash));
            }
            if draft.id_hash == 0 {
                continue;
            }
            if table.insert(draft.id_hash) {
                ids.push((batch.stream, draft.id_hash));
            } else {
                placed.duplicates.push(i as u32);
            }
        }
        placed
    }

    /// Told before any record of the request is sent: a request is taken as a whole or not.
    fn too_large(&self, request: &Request) -> Option<LogError> {
        let drafts = request.append.batches.iter().flat_map(|batch| &batch.drafts);
        let largest = drafts.map(|draft| draft.data.len() + draft.key.len()).max()?;
        let bound = self.record_bytes_max;
        (largest > bound)
            .then(|| LogError::Refused(format!("a record has {largest} bytes, more than message.max.bytes = {bound}")))
    }
}

impl Drop for Writer {
    /// A panic ends the thread: nobody may take the log for sound.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.shared.broken.set("its writer panicked".to_owned());
        }
        self.shared.sent.store(true, Ordering::Release);
        self.shared.queue.abandon();
    }
}

/// Nothing of the request was sent. A sender that went away does not want the answer.
fn refuse(request: Request, error: &LogError) {
    let _ = request.reply.send(Err(error.clone()));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use event::{Ack, Catalog, Dedup, Draft, Retention, Span, Stream};
    use tokio::sync::oneshot;

    use super::super::KafkaSettings;
    use super::*;
    use crate::Append;
    use crate::clock::ManualClock;

    type Answer = oneshot::Receiver<Result<Vec<Placed>, LogError>>;

    /// Of a log whose cluster is not there.
    fn shared() -> Arc<Shared> {
        let dedup = Some(Dedup { within_ms: 60_000, ids_max: 1_000 });
        let retention = Retention { age_ms: None, size_bytes: None };
        let name = "things".to_owned();
        let stream = Stream {
            name,
            partitions: 1,
            key: None,
            time: None,
            id: None,
            kind: None,
            require: vec![],
            dedup,
            retention,
        };
        let catalog = Arc::new(Catalog::new(vec![stream]).unwrap());
        Arc::new(Shared::new(catalog, KafkaSettings::at("127.0.0.1:1"), Arc::new(ManualClock::at(1_000))))
    }

    fn batch(id_hash: u128) -> Batch {
        let mut batch = Batch::new(StreamId(0), "{}".into());
        let (data, none) = (Span::shared(0, 2), Span::EMPTY);
        let time = event::NO_TIME;
        batch.drafts.push(Draft { partition: 0, time, id_hash, data, key: none, kind: none, id: none, headers: none });
        batch
    }

    fn request(id_hash: u128, since: Duration) -> (Request, Answer) {
        let append = Append { batches: vec![batch(id_hash)], lane: 0, ack: Ack::Durable };
        let (reply, answer) = oneshot::channel();
        (Request { append, weight: 2, since, reply }, answer)
    }

    fn is_away(answer: &mut Answer) -> bool {
        matches!(answer.try_recv(), Ok(Err(LogError::Away(_))))
    }

    #[test]
    fn what_waited_while_a_line_broke_is_not_sent_on_the_next() {
        let shared = shared();
        let mut writer = Writer::new(shared.clone());
        let line = Line::new(shared.clone()).unwrap();
        let now = shared.clock.now();
        let (first, second) = (shared.hasher.hash(b"a"), shared.hasher.hash(b"b"));
        let (old, mut told) = request(first, Duration::from_millis(999));
        writer.send(&line, old, now);
        assert!(is_away(&mut told));
        assert!(shared.ids[0].lock().as_mut().unwrap().insert(first), "its id is not known");
        let (new, mut told) = request(second, Duration::from_millis(1_000));
        writer.send(&line, new, now);
        assert!(told.try_recv().is_err(), "it is under way");
        line.break_off("test");
        assert!(is_away(&mut told));
        assert!(shared.ids[0].lock().as_mut().unwrap().insert(second), "nobody knows whether it is there");
    }

    #[test]
    fn a_line_that_was_given_up_takes_no_more_records_of_a_request() {
        let shared = shared();
        let writer = Writer::new(shared.clone());
        let line = Line::new(shared).unwrap();
        let batch = batch(1);
        let told = Told { reply: None, placed: vec![], failure: None, ids: vec![] };
        let sent = Arc::new(Sent::new(2, Duration::ZERO, 2, told));
        assert!(line.flight().enter(&sent, 0));
        let part = Arc::new(Part { sent: sent.clone(), batch: 0 });
        line.send(Outgoing::of(&writer.origins, "things", true, &batch, &batch.drafts[0], 1_000), &part);
        line.break_off("test");
        assert!(!sent.reported(), "the first record was taken and has no report yet: two are left");
        line.send(Outgoing::of(&writer.origins, "things", true, &batch, &batch.drafts[0], 1_000), &part);
        assert!(sent.reported(), "the second one was reported at once");
    }
}
