//! Lanes: who waits for whom, who is refused, and that nothing is lost between them.

use std::sync::Arc;

use event::limits::{APPEND_QUEUE_BYTES, APPEND_QUEUE_LEN, BODY_BYTES_MAX, GROUP_BYTES_SHARED};
use event::{Ack, Batch};
use log::disk::DiskLog;
use log::gated::{GatedDisk, Step, Way};
use log::{Append, Log, LogError, Pending};

use crate::rig::{PARTITIONS, Rig, STREAM, batch, event};

impl Drop for Held {
    /// A test that failed must not wait for its own gate.
    fn drop(&mut self) {
        self.disk.open_gate();
    }
}

/// A log whose writer waits for the disk with one request at hand.
struct Held {
    rig: Rig,
    disk: GatedDisk,
    log: DiskLog,
    pending: Vec<Pending>,
}

impl Held {
    fn new() -> Self {
        let disk = GatedDisk::default();
        let rig = Rig::on(Arc::new(disk.clone()));
        let log = rig.open();
        let mut held = Self { rig, disk, log, pending: Vec::new() };
        // The segment is made, and synced, with the first group.
        held.send(9, 0, 1).unwrap();
        held.answered();
        held.disk.shut("", Step::Sync, Way::Wait);
        held.send(9, 1, 1).unwrap();
        held.disk.wait_held();
        held
    }

    /// Sends a request of one event, all into one partition, that says where it comes from.
    fn send(&mut self, lane: u32, number: usize, bytes: usize) -> Result<(), LogError> {
        self.send_batch(lane, text(&self.log, lane, number, bytes))
    }

    fn send_batch(&mut self, lane: u32, batch: Batch) -> Result<(), LogError> {
        self.pending.push(self.log.append(Append { batches: vec![batch], lane, ack: Ack::Durable })?);
        Ok(())
    }

    /// Sends until the lane is full; gives how many requests it took.
    fn fill(&mut self, lane: u32, bytes: usize) -> usize {
        (0..).take_while(|number| self.send(lane, *number, bytes).is_ok()).count()
    }

    fn answered(&mut self) {
        self.pending.drain(..).for_each(|pending| assert!(pending.wait_blocking().is_ok()));
    }

    /// Lets the writer go on; gives what it wrote after the group that it had at hand, group by group: of each event
    /// the lane, the number and the bytes.
    fn groups(&mut self) -> Vec<Vec<(u32, usize, usize)>> {
        self.disk.open_gate();
        self.answered();
        let all: Vec<_> = (0..PARTITIONS).map(|p| (p, 0)).collect();
        let mut cursor = self.log.read(STREAM, &all).unwrap();
        let blocks = std::iter::from_fn(|| Some(cursor.next(usize::MAX).unwrap()).filter(|b| !b.is_empty()));
        let blocks: Vec<_> = blocks.flatten().collect();
        let of = |record: event::Record<'_>| {
            let text = std::str::from_utf8(record.data).unwrap();
            let mut words = text.split(' ').map(|word| word.parse().unwrap_or_default());
            (words.next().unwrap() as u32, words.next().unwrap(), text.len())
        };
        blocks[2..].iter().map(|block| block.records().map(of).collect()).collect()
    }
}

fn text(log: &DiskLog, lane: u32, number: usize, bytes: usize) -> Batch {
    let said = format!("{lane} {number} ");
    batch(log, STREAM, PARTITIONS, &[event(1, 0, said.clone() + &"x".repeat(bytes.saturating_sub(said.len())))])
}

/// The numbers that a lane's events have, in the order of the log.
fn numbers(groups: &[Vec<(u32, usize, usize)>], lane: u32) -> Vec<usize> {
    groups.iter().flatten().filter(|(l, ..)| *l == lane).map(|(_, number, _)| *number).collect()
}

#[test]
fn a_quiet_lane_is_in_the_next_group_however_full_the_other_is() {
    for bytes in [10, 1_000, 100_000, 1_000_000] {
        let mut held = Held::new();
        let flood = held.fill(1, bytes);
        assert!(matches!(held.send(1, 0, bytes), Err(LogError::Busy)), "the lane is full");
        held.send(2, 0, 100).unwrap();
        let groups = held.groups();
        assert_eq!(numbers(&groups[..1], 2), [0], "{bytes} bytes");
        assert_eq!(numbers(&groups, 1), (0..flood).collect::<Vec<_>>(), "{bytes} bytes: all of it, in order");
        for group in &groups {
            let weight: usize = group.iter().map(|(.., bytes)| bytes).sum();
            assert!(weight <= GROUP_BYTES_SHARED || group.len() == 1, "{} events, {weight} bytes", group.len());
        }
    }
}

#[test]
fn one_lane_alone_gets_half_of_the_queue_and_leaves_the_rest() {
    let mut held = Held::new();
    let taken = held.fill(1, 1_000_000) * 1_000_000;
    assert!(taken.abs_diff(APPEND_QUEUE_BYTES / 2) < 2_000_000, "{taken} bytes");
    let second = held.fill(2, 1_000_000) * 1_000_000;
    assert!(second.abs_diff(APPEND_QUEUE_BYTES / 4) < 2_000_000, "{second} bytes");
    held.groups();

    let mut held = Held::new();
    assert_eq!(held.fill(1, 1), APPEND_QUEUE_LEN / 2);
    assert_eq!(held.fill(2, 1), APPEND_QUEUE_LEN / 4);
    assert_eq!(held.log.status().queue_len, APPEND_QUEUE_LEN / 4 * 3);
    held.groups();
}

#[test]
fn the_largest_request_fits_an_empty_lane_beside_full_ones() {
    let mut held = Held::new();
    for lane in 1..=4 {
        held.fill(lane, 1_000_000);
    }
    let parts: Vec<_> = (0..16).map(|i| event(1, 0, format!("5 {i} {}", "x".repeat(1_000_000)))).collect();
    let large = batch(&held.log, STREAM, PARTITIONS, &parts);
    assert!(large.weight() > 15 << 20 && large.weight() <= BODY_BYTES_MAX);
    held.send_batch(5, large).unwrap();
    assert_eq!(numbers(&held.groups(), 5), (0..16).collect::<Vec<_>>());
}

#[test]
fn the_queue_as_a_whole_has_a_bound_too() {
    let mut held = Held::new();
    let taken = (1..2_000).take_while(|lane| held.send(*lane, 0, 1_000_000).is_ok()).count();
    assert!((60..=70).contains(&taken), "{taken} lanes");
    assert!(held.log.status().queue_bytes <= APPEND_QUEUE_BYTES + (2 << 20));
    held.groups();
    assert_eq!((held.log.status().queue_len, held.log.status().queue_bytes), (0, 0));
    held.send(1, 0, 10).unwrap();
    held.answered();
}

#[test]
fn lanes_get_the_same_bytes_whatever_the_size_of_their_requests() {
    for (small, large) in [(2_000, 50_000), (10_000, 700_000), (3_000, 3_000)] {
        let mut held = Held::new();
        // As many bytes of each, in turn, so that both lanes hold as much.
        let mut counts = [0, 0];
        while counts[0] < 12_000_000 / small {
            let lane = usize::from(counts[0] * small > counts[1] * large);
            held.send(lane as u32, counts[lane], [small, large][lane]).unwrap();
            counts[lane] += 1;
        }
        let groups = held.groups();
        let mut sent = [0usize; 2];
        for group in &groups {
            group.iter().for_each(|(lane, _, bytes)| sent[*lane as usize] += bytes);
            let (a, b) = (sent[0], sent[1]);
            let slack = GROUP_BYTES_SHARED + large;
            assert!(a.abs_diff(b) <= slack, "{small} and {large}: {a} and {b} bytes");
        }
        assert_eq!(numbers(&groups, 0).len(), counts[0]);
    }
}

#[test]
fn a_huge_request_waits_for_its_share_and_not_longer() {
    let mut held = Held::new();
    let parts: Vec<_> = (0..9).map(|i| event(1, 0, format!("1 {i} {}", "x".repeat(1_000_000)))).collect();
    let huge = batch(&held.log, STREAM, PARTITIONS, &parts);
    held.send_batch(1, huge).unwrap();
    let others = held.fill(2, 100_000);
    assert!(others > 200);
    let groups = held.groups();
    let before = groups.iter().flatten().take_while(|(lane, ..)| *lane == 2).count();
    assert!((70..=110).contains(&before), "9 MB of the other's came before its own 9: {before} of 100 kB");
}

#[test]
fn the_age_of_the_queue_is_that_of_its_oldest_request() {
    let mut held = Held::new();
    let age = |held: &Held| held.log.status().queue_age_ms;
    assert_eq!(age(&held), 0);
    held.rig.clock.advance(250);
    assert_eq!(age(&held), 250, "the one that the writer has at hand");
    held.send(1, 0, 10).unwrap();
    held.rig.clock.advance(50);
    assert_eq!(age(&held), 300);
    held.groups();
    held.rig.clock.advance(1_000);
    held.disk.shut("", Step::Sync, Way::Wait);
    held.send(1, 1, 10).unwrap();
    held.disk.wait_held();
    assert_eq!(age(&held), 0, "those before it have their answers");
    held.groups();
    held.log.close();
    assert_eq!(age(&held), 0);
    assert!(matches!(held.send(1, 2, 10), Err(LogError::Closed)));
}

#[test]
fn what_waits_when_the_log_is_closed_is_still_written_lane_by_lane() {
    let mut held = Held::new();
    for number in 0..300 {
        held.send(number as u32 % 7, number / 7, 5_000).unwrap();
    }
    std::thread::scope(|scope| {
        scope.spawn(|| held.log.close());
        held.disk.open_gate();
    });
    let groups = held.groups();
    for lane in 0..7 {
        let count = (300 - lane as usize).div_ceil(7);
        assert_eq!(numbers(&groups, lane), (0..count).collect::<Vec<_>>());
    }
}

#[test]
fn many_senders_in_many_lanes_all_get_their_answer() {
    let rig = Rig::new();
    let log = rig.open();
    std::thread::scope(|scope| {
        for lane in 0..8 {
            let log = &log;
            scope.spawn(move || {
                for number in 0..60 {
                    let batches = vec![text(log, lane, number, 10 + (number * 977) % 40_000)];
                    let ack = if number % 5 == 0 { Ack::Memory } else { Ack::Durable };
                    let placed = log.append(Append { batches, lane, ack }).unwrap().wait_blocking().unwrap();
                    assert_eq!(placed[0].ranges.len(), 1);
                }
            });
        }
    });
    assert_eq!(crate::rig::read_all(&log).len(), 480);
}
