//! What one producer has under way: requests in the order in which they were sent, until all their records are reported.
//!
//! A request is answered once its own records are there, but for one that repeats events of others: what it repeats may be
//! under way itself, so it waits until everything that was sent before it has its answer. When any of that failed, nobody
//! knows whether what it repeats is there: it is to be sent again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use event::StreamId;
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use crate::{LogError, Placed, PlacedRange};

/// Bytes that are under way at the most: with the least rate that is worth the name, 3 MB a second, they are reported
/// within the three seconds after which a broker counts as away.
const UNDER_WAY_BYTES: usize = 8 << 20;

/// The answer's channel.
pub(super) type Reply = oneshot::Sender<Result<Vec<Placed>, LogError>>;

/// A request whose records are on their way.
#[derive(Debug)]
pub(super) struct Sent {
    weight: usize,
    /// By the clock's `elapsed`.
    pub(super) since: Duration,
    /// Whether it repeats what was sent before.
    repeats: bool,
    /// Records without a report, and one for the writer while it is still sending.
    left: AtomicUsize,
    /// Whether nothing is left; changes under the lock of the flight.
    done: AtomicBool,
    /// The reply and what it will say.
    told: Mutex<Told>,
}

/// What becomes of a request.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) reply: Option<Reply>,
    /// For each batch its stream and where its records lie.
    pub(super) placed: Vec<(StreamId, Placed)>,
    pub(super) failure: Option<LogError>,
    /// The ids that it made known.
    pub(super) ids: Vec<(StreamId, u128)>,
}

impl Sent {
    pub(super) fn new(weight: usize, since: Duration, records: usize, told: Told) -> Self {
        let repeats = told.placed.iter().any(|(_, placed)| !placed.duplicates.is_empty());
        let (left, done) = (AtomicUsize::new(records + 1), AtomicBool::new(false));
        Self { weight, since, repeats, left, done, told: Mutex::new(told) }
    }

    /// A record of a batch is there.
    pub(super) fn placed(&self, batch: usize, partition: u32, offset: u64) {
        if let Some((_, placed)) = self.told.lock().placed.get_mut(batch) {
            extend(&mut placed.ranges, partition, offset);
        }
    }

    /// A record is not there; the first reason stays.
    pub(super) fn failed(&self, error: LogError) {
        self.told.lock().failure.get_or_insert(error);
    }

    /// The ids that it made known, once, when a record of its own is not there.
    pub(super) fn lost(&self) -> Vec<(StreamId, u128)> {
        let mut told = self.told.lock();
        if told.failure.is_some() { std::mem::take(&mut told.ids) } else { Vec::new() }
    }

    /// Whether all records of it are there, and only its answer is not out.
    pub(super) fn is_there(&self) -> bool {
        self.done.load(Ordering::Acquire) && self.told.lock().failure.is_none()
    }

    /// One of what was left is reported; true when it was the last.
    pub(super) fn reported(&self) -> bool {
        self.left.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// What it is answered with, once; later there is no reply in it.
    pub(super) fn take(&self) -> Told {
        let mut told = self.told.lock();
        let placed = std::mem::take(&mut told.placed);
        Told { reply: told.reply.take(), placed, failure: told.failure.clone(), ids: Vec::new() }
    }
}

/// Adds an offset to the ranges of a batch: to that which it goes on, or as a new one, where another's record lies between.
fn extend(ranges: &mut Vec<PlacedRange>, partition: u32, offset: u64) {
    // Reports come partition by partition, so the range is mostly the last.
    match ranges.iter_mut().rev().find(|range| range.partition == partition) {
        Some(range) if range.last + 1 == offset => range.last = offset,
        _ => ranges.push(PlacedRange { partition, first: offset, last: offset }),
    }
}

/// The requests under way.
#[derive(Debug, Default)]
pub(super) struct Flight {
    under_way: Mutex<UnderWay>,
    room: Condvar,
}

#[derive(Debug, Default)]
struct UnderWay {
    requests: VecDeque<(Arc<Sent>, Before)>,
    weight: usize,
    /// Time in which reports were looked for. It stands still while this process does, so that one which was stopped
    /// does not take the broker for dead.
    patience: Duration,
    /// How many requests failed.
    failures: u64,
    /// Why the producer is of no more use.
    trouble: Option<String>,
    over: bool,
}

/// How things stood before a request was sent.
#[derive(Clone, Copy, Debug)]
struct Before {
    patience: Duration,
    failures: u64,
}

impl Flight {
    /// How many requests failed: for [`Flight::enter`], taken before the ids of a request are looked up.
    pub(super) fn failures(&self) -> u64 {
        self.under_way.lock().failures
    }

    /// Takes a request before its records are sent; waits for room. `failures` are those before its ids were looked up.
    /// False when nothing is sent any more.
    pub(super) fn enter(&self, sent: &Arc<Sent>, failures: u64) -> bool {
        let mut under_way = self.under_way.lock();
        self.room.wait_while(&mut under_way, |u| !u.over && u.weight > 0 && u.weight + sent.weight > UNDER_WAY_BYTES);
        if under_way.over {
            return false;
        }
        let before = Before { patience: under_way.patience, failures };
        under_way.weight += sent.weight;
        under_way.requests.push_back((sent.clone(), before));
        true
    }

    /// Waits a moment for room in the producer; false when nothing is sent any more.
    pub(super) fn breathe(&self, moment: Duration) -> bool {
        let mut under_way = self.under_way.lock();
        if !under_way.over {
            self.room.wait_for(&mut under_way, moment);
        }
        !under_way.over
    }

    /// All records of this request are reported: gives the requests that can be answered now.
    pub(super) fn settle(&self, sent: &Arc<Sent>) -> Vec<Arc<Sent>> {
        let mut under_way = self.under_way.lock();
        if under_way.over {
            return Vec::new();
        }
        sent.done.store(true, Ordering::Release);
        under_way.weight -= sent.weight;
        under_way.failures += u64::from(sent.told.lock().failure.is_some());
        let mut ready = Vec::with_capacity(1);
        if !sent.repeats {
            ready.push(sent.clone());
        }
        while let Some((front, before)) = under_way.requests.front()
            && front.done.load(Ordering::Relaxed)
        {
            if front.repeats {
                if before.failures != under_way.failures {
                    front.failed(LogError::Away("what it repeats may not be there".to_owned()));
                }
                ready.push(front.clone());
            }
            under_way.requests.pop_front();
        }
        drop(under_way);
        self.room.notify_all();
        ready
    }

    /// Nothing is sent or reported any more: gives every request that has no answer.
    pub(super) fn end(&self) -> Vec<Arc<Sent>> {
        let mut under_way = self.under_way.lock();
        under_way.over = true;
        under_way.weight = 0;
        let left = std::mem::take(&mut under_way.requests);
        drop(under_way);
        self.room.notify_all();
        left.into_iter().map(|(sent, _)| sent).collect()
    }

    /// Notes that the producer is of no more use; the first reason stays.
    pub(super) fn trouble(&self, reason: String) {
        self.under_way.lock().trouble.get_or_insert(reason);
    }

    /// Reports were looked for during this time.
    pub(super) fn looked(&self, time: Duration) {
        self.under_way.lock().patience += time;
    }

    /// Why the producer is of no more use: a report said so, or one has been missing for too long.
    pub(super) fn broken(&self, patience: Duration) -> Option<String> {
        let under_way = self.under_way.lock();
        let oldest = under_way.requests.front().map(|(_, before)| under_way.patience - before.patience);
        under_way.trouble.clone().or_else(|| {
            let waited = oldest.filter(|waited| *waited > patience)?;
            Some(format!("no acknowledgement within {} ms", waited.as_millis()))
        })
    }

    /// How many requests have no answer, their bytes, and since when the oldest has none.
    pub(super) fn load(&self) -> (usize, usize, Option<Duration>) {
        let under_way = self.under_way.lock();
        let oldest = under_way.requests.front().map(|(sent, _)| sent.since);
        (under_way.requests.len(), under_way.weight, oldest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(
        weight: usize,
        records: usize,
        duplicates: &[u32],
    ) -> (Arc<Sent>, oneshot::Receiver<Result<Vec<Placed>, LogError>>) {
        let (reply, answer) = oneshot::channel();
        let placed = vec![(StreamId(0), Placed { ranges: vec![], duplicates: duplicates.to_vec() })];
        let told = Told { reply: Some(reply), placed, failure: None, ids: vec![] };
        (Arc::new(Sent::new(weight, Duration::ZERO, records, told)), answer)
    }

    fn enter(flight: &Flight, duplicates: &[u32]) -> Arc<Sent> {
        let (sent, _) = sent(10, 1, duplicates);
        assert!(flight.enter(&sent, flight.failures()));
        sent
    }

    #[test]
    fn offsets_become_ranges_and_what_others_wrote_between_splits_them() {
        let mut ranges = Vec::new();
        for (partition, offset) in [(0, 5), (0, 6), (1, 9), (1, 11), (1, 12), (0, 7)] {
            extend(&mut ranges, partition, offset);
        }
        let range = |partition, first, last| PlacedRange { partition, first, last };
        assert_eq!(ranges, [range(0, 5, 7), range(1, 9, 9), range(1, 11, 12)]);
    }

    #[test]
    fn a_request_is_answered_when_its_last_record_is_reported_and_before_others_that_are_slower() {
        let flight = Flight::default();
        let (slow, quick) = (enter(&flight, &[]), enter(&flight, &[]));
        assert!(!quick.reported() && quick.reported(), "a record, and the writer's own hold");
        assert_eq!(flight.settle(&quick).len(), 1);
        assert_eq!(flight.load().0, 2, "the slow one is still the oldest");
        assert_eq!(flight.settle(&slow).len(), 1);
        assert_eq!(flight.load(), (0, 0, None));
    }

    #[test]
    fn a_repetition_waits_for_what_it_repeats_and_is_to_be_sent_again_when_that_fails() {
        let flight = Flight::default();
        let (first, again) = (enter(&flight, &[]), enter(&flight, &[0]));
        assert!(flight.settle(&again).is_empty());
        first.failed(LogError::Refused("too large".to_owned()));
        let ready = flight.settle(&first);
        assert!(Arc::ptr_eq(&ready[0], &first) && Arc::ptr_eq(&ready[1], &again));
        assert!(matches!(again.take().failure, Some(LogError::Away(_))), "nothing was refused of its own");
        let later = enter(&flight, &[0]);
        assert!(flight.settle(&later)[0].take().failure.is_none(), "what failed before it was sent is none of its");
    }

    #[test]
    fn what_failed_after_the_ids_were_looked_up_fails_a_repetition() {
        let flight = Flight::default();
        let first = enter(&flight, &[]);
        let before = flight.failures();
        first.failed(LogError::Refused("too large".to_owned()));
        flight.settle(&first);
        let (again, _) = sent(10, 1, &[0]);
        assert!(flight.enter(&again, before));
        flight.settle(&again);
        assert!(matches!(again.take().failure, Some(LogError::Away(_))));
    }

    #[test]
    fn ids_are_lost_only_with_a_record_of_the_request_s_own() {
        let flight = Flight::default();
        let (first, again) = (enter(&flight, &[]), enter(&flight, &[0]));
        for (request, id) in [(&first, 1), (&again, 2)] {
            request.told.lock().ids.push((StreamId(0), id));
        }
        first.failed(LogError::Refused("too large".to_owned()));
        for request in [&again, &first] {
            assert_eq!(request.lost().len(), usize::from(Arc::ptr_eq(request, &first)));
            flight.settle(request);
        }
        assert!(first.lost().is_empty(), "once");
        assert!(again.take().failure.is_some() && again.told.lock().ids.len() == 1, "its record is there");
    }

    #[test]
    fn it_breaks_after_the_patience_in_which_reports_were_looked_for() {
        let flight = Flight::default();
        let patience = Duration::from_secs(3);
        flight.looked(patience * 2);
        assert_eq!(flight.broken(patience), None, "nothing is under way");
        let waiting = enter(&flight, &[]);
        flight.looked(patience);
        assert_eq!(flight.broken(patience), None);
        flight.looked(Duration::from_millis(1));
        assert!(flight.broken(patience).is_some());
        assert!(Arc::ptr_eq(&flight.end()[0], &waiting));
        assert!(flight.settle(&waiting).is_empty(), "it has its answer");
        assert!(!flight.enter(&sent(1, 1, &[]).0, 0), "nothing is sent any more");
    }

    #[test]
    fn a_request_larger_than_the_room_is_sent_alone() {
        let flight = Arc::new(Flight::default());
        let small = enter(&flight, &[]);
        let (large, _) = sent(UNDER_WAY_BYTES * 2, 1, &[]);
        let entering = std::thread::spawn({
            let flight = flight.clone();
            move || flight.enter(&large, 0)
        });
        flight.settle(&small);
        assert!(entering.join().unwrap());
        assert_eq!(flight.load().1, UNDER_WAY_BYTES * 2);
    }
}
