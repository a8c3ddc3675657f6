//! Commits under way at the same time: the batches of a partition go through one lane, in their order, and no lane waits for
//! another. While one transaction waits for the disk, another writes rows.
//!
//! Some partitions have more to do than others. From time to time the busy ones are shared out anew, once nothing of them is
//! under way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use event::{Position, StreamId};

use crate::batch::Batch;
use crate::shared::Shared;

/// After so many records it is looked whether the lanes have about the same to do.
const LOOK_EVERY: u64 = 200_000;
/// They are shared out anew when the busiest lane then has at most so many hundredths of what it has now.
const WORTH: u64 = 85;

/// A stream's partition.
type Partition = (StreamId, u32);

/// A batch in a lane; the default is one that is settled.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ticket {
    lane: usize,
    number: u64,
}

/// The processor's end of all lanes.
pub(crate) struct Lanes {
    batches: Vec<SyncSender<Batch>>,
    shared: Arc<Shared>,
    /// Batches sent so far, by lane.
    sent: Vec<u64>,
    /// Where partitions go that were shared out; the others by their number.
    homes: BTreeMap<Partition, usize>,
    /// Records since the last look.
    records: BTreeMap<Partition, u64>,
}

impl Lanes {
    /// At least one.
    pub(crate) fn new(batches: Vec<SyncSender<Batch>>, shared: Arc<Shared>) -> Self {
        let sent = vec![0; batches.len()];
        Self { batches, shared, sent, homes: BTreeMap::new(), records: BTreeMap::new() }
    }

    fn home(&self, partition: Partition) -> usize {
        self.homes.get(&partition).copied().unwrap_or(partition.1 as usize % self.batches.len())
    }

    /// Hands a batch over, to each lane what is its own; `false` when one of them takes nothing any more.
    pub(crate) fn send(&mut self, batch: Batch) -> bool {
        if self.batches.len() > 1 && !self.weigh(&batch) {
            return false;
        }
        let parts = batch.divide(self.batches.len(), &|at: Position| self.home((at.stream, at.partition)));
        let parts = parts.into_iter().enumerate().filter(|(_, part)| !part.is_empty());
        for (lane, part) in parts {
            self.sent[lane] += 1;
            if self.batches[lane].send(part).is_err() {
                return false;
            }
        }
        true
    }

    /// Hands a batch over that is one transaction, whatever partitions are in it, and waits until it is done with; `false` when
    /// nothing is taken any more.
    pub(crate) fn send_whole(&mut self, batch: Batch) -> bool {
        self.sent[0] += 1;
        self.batches[0].send(batch).is_ok() && self.all_settled()
    }

    /// The batch that the next one of a partition will be, unless others are sent before.
    pub(crate) fn next(&self, stream: StreamId, partition: u32) -> Ticket {
        let lane = self.home((stream, partition));
        Ticket { lane, number: self.sent[lane] + 1 }
    }

    /// Waits until a batch is done with; `false` when no more are taken.
    pub(crate) fn settled(&self, Ticket { lane, number }: Ticket) -> bool {
        self.shared.settled(lane, number)
    }

    /// The same for all that was sent.
    pub(crate) fn all_settled(&self) -> bool {
        self.sent.iter().enumerate().all(|(lane, sent)| self.shared.settled(lane, *sent))
    }

    /// Adds up what partitions have to do, and shares them out when it is time and of use; `false` when a lane takes nothing
    /// any more.
    fn weigh(&mut self, batch: &Batch) -> bool {
        for run in &batch.runs {
            *self.records.entry((run.from.stream, run.from.partition)).or_default() += run.records();
        }
        if self.records.values().sum::<u64>() < LOOK_EVERY {
            return true;
        }
        let records = std::mem::take(&mut self.records);
        let homes = shared_out(&records, self.batches.len());
        let now = busiest(&records, |partition| self.home(partition));
        let then = busiest(&records, |partition| homes[&partition]);
        if then * 100 > now * WORTH {
            return true;
        }
        // A partition's batches keep their order: it changes lanes while none of them is under way.
        if !self.all_settled() {
            return false;
        }
        self.homes.extend(homes);
        true
    }
}

/// The largest first, each to the lane that has the least until then.
fn shared_out(records: &BTreeMap<Partition, u64>, lanes: usize) -> BTreeMap<Partition, usize> {
    let mut largest: Vec<_> = records.iter().collect();
    largest.sort_by_key(|(_, records)| std::cmp::Reverse(**records));
    let mut loads = vec![0; lanes];
    let mut home = |(partition, records): (&Partition, &u64)| {
        let least = (0..lanes).min_by_key(|lane| loads[*lane]).unwrap_or(0);
        loads[least] += records;
        (*partition, least)
    };
    largest.into_iter().map(&mut home).collect()
}

/// What the lane has to do that has the most.
fn busiest(records: &BTreeMap<Partition, u64>, home: impl Fn(Partition) -> usize) -> u64 {
    let mut loads = BTreeMap::<usize, u64>::new();
    records.iter().for_each(|(partition, records)| *loads.entry(home(*partition)).or_default() += records);
    loads.into_values().max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Mutex;
    use std::sync::mpsc::sync_channel;

    use super::*;
    use crate::shared::{Setback, Then};

    /// What each lane took: its number and the runs' partitions and offsets, in the order in which they were done.
    type Done = Arc<Mutex<Vec<(usize, u32, u64, u64)>>>;

    fn lanes(count: usize) -> (Lanes, Done, Vec<std::thread::JoinHandle<()>>) {
        let (shared, done) = (Arc::new(Shared::default()), Done::default());
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..count).map(|_| sync_channel::<Batch>(1)).unzip();
        let work = |(lane, receiver): (usize, std::sync::mpsc::Receiver<Batch>)| {
            let (shared, done) = (shared.clone(), done.clone());
            std::thread::spawn(move || {
                for batch in receiver {
                    let runs = batch.runs.iter().map(|run| (lane, run.from.partition, run.from.offset, run.to));
                    done.lock().unwrap().extend(runs);
                    shared.batch_done(lane);
                }
            })
        };
        let threads = receivers.into_iter().enumerate().map(work).collect();
        (Lanes::new(senders, shared), done, threads)
    }

    /// A batch with so many records of each partition, from where the last one ended.
    fn batch(ends: &mut HashMap<u32, u64>, records: &[(u32, u64)]) -> Batch {
        let mut batch = Batch::default();
        for (partition, records) in records {
            let end = ends.entry(*partition).or_default();
            let from = Position { stream: StreamId(0), partition: *partition, offset: *end };
            *end += records;
            batch.end_run(from, *end, 0, 0);
        }
        batch
    }

    #[test]
    fn a_partition_that_has_the_most_to_do_gets_a_lane_for_itself_and_keeps_its_order() {
        let (mut lanes, done, threads) = lanes(2);
        let mut ends = HashMap::new();
        let skewed = [(0, 100), (1, 600), (2, 100), (3, 150), (5, 200)];
        for _ in 0..400 {
            assert!(lanes.send(batch(&mut ends, &skewed)));
        }
        assert!(lanes.all_settled());
        drop(lanes);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let done = done.lock().unwrap();
        assert_eq!(done.len(), 400 * skewed.len());
        let mut at = HashMap::<u32, u64>::new();
        for (_, partition, from, to) in &*done {
            assert_eq!(at.insert(*partition, *to).unwrap_or(0), *from, "partition {partition} is out of order");
        }
        let last: HashMap<u32, usize> = done.iter().map(|(lane, partition, ..)| (*partition, *lane)).collect();
        let beside: Vec<_> = last.iter().filter(|(_, lane)| **lane == last[&1]).collect();
        assert_eq!(beside.len(), 1, "{last:?}");
    }

    #[test]
    fn what_is_even_stays_where_it_is() {
        let (mut lanes, done, threads) = lanes(2);
        let mut ends = HashMap::new();
        for _ in 0..400 {
            assert!(lanes.send(batch(&mut ends, &[(0, 300), (1, 300), (2, 300), (3, 310)])));
        }
        drop(lanes);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(done.lock().unwrap().iter().all(|(lane, partition, ..)| *lane == *partition as usize % 2));
    }

    #[test]
    fn a_ticket_is_settled_in_the_lane_in_which_its_batch_went() {
        let (mut lanes, done, threads) = lanes(3);
        let mut ends = HashMap::new();
        let ticket = lanes.next(StreamId(0), 1);
        assert!(lanes.send(batch(&mut ends, &[(0, 1), (1, 1), (2, 1)])));
        assert!(lanes.settled(ticket) && lanes.settled(Ticket::default()));
        assert!(done.lock().unwrap().contains(&(1, 1, 0, 1)));
        drop(lanes);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }

    #[test]
    fn what_was_made_before_a_setback_is_stale_in_whatever_lane_it_goes() {
        let shared = Shared::default();
        let at = Position { stream: StreamId(0), partition: 1, offset: 7 };
        assert!(!shared.is_stale(at, 0));
        shared.set_back(Setback { at, epoch: 1, then: Then::NoAdvance });
        assert!(shared.is_stale(Position { offset: 9, ..at }, 0) && !shared.is_stale(at, 1));
        assert!(!shared.is_stale(Position { partition: 2, ..at }, 0), "another partition");
    }
}
