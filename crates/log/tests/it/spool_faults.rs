//! The spool on disks that are full or fail.

use std::sync::Arc;

use event::Ack;
use log::faulty::FaultyDisk;
use log::{Append, Log, LogError};

use crate::rig::{self, PARTITIONS, events};
use crate::spool_rig::{House, Link, PLAIN, THINGS, drained, send};

fn append(log: &dyn Log, from: u64, to: u64) -> Result<log::Placed, LogError> {
    let batches = vec![rig::batch(log, PLAIN, PARTITIONS, &events(from, to))];
    log.append(Append { batches, lane: 0, ack: Ack::Durable })?.wait_blocking().map(|mut placed| placed.remove(0))
}

#[test]
fn a_disk_that_is_full_refuses_and_what_was_taken_arrives() {
    let (house, disk) = (House::new(), FaultyDisk::default());
    let spooled = house.try_open_on(Arc::new(disk.clone())).unwrap();
    house.broker.set(Link::Away);
    append(&spooled, 0, 10).unwrap();
    disk.limit_room(Some(50));
    assert!(matches!(append(&spooled, 10, 20), Err(LogError::Full(_))));
    disk.limit_room(None);
    append(&spooled, 20, 30).unwrap();
    house.broker.set(Link::Up);
    drained(&spooled);
    let there = [events(0, 10), events(20, 30)].concat();
    assert_eq!(house.broker.texts(PLAIN), rig::expected(&there));
}

#[test]
fn a_request_that_may_have_arrived_is_not_called_refused_when_the_disk_is_full() {
    let (house, disk) = (House::new(), FaultyDisk::default());
    let spooled = house.try_open_on(Arc::new(disk.clone())).unwrap();
    house.broker.set(Link::Stalled);
    let pending = send(&spooled, rig::batch(&spooled, THINGS, PARTITIONS, &events(0, 10))).unwrap();
    disk.limit_room(Some(50));
    house.broker.lose(4);
    let answer = pending.wait_blocking();
    assert!(matches!(answer, Err(LogError::Away(_))), "{answer:?}");
}

#[test]
fn a_failed_disk_matters_only_while_the_broker_is_away() {
    let (house, disk) = (House::new(), FaultyDisk::default());
    let spooled = house.try_open_on(Arc::new(disk.clone())).unwrap();
    house.broker.set(Link::Away);
    append(&spooled, 0, 10).unwrap();
    disk.fail_sync_after(Some(0));
    assert!(matches!(append(&spooled, 10, 20), Err(LogError::Poisoned(_))));
    assert!(spooled.status().poisoned.is_some());
    disk.fail_sync_after(None);
    house.broker.set(Link::Up);
    drained(&spooled);
    assert_eq!(spooled.status().poisoned, None);
    assert_eq!(append(&spooled, 20, 30).unwrap().ranges.len(), 3, "the broker takes it");
    assert_eq!(house.broker.texts(PLAIN), rig::expected(&[events(0, 10), events(20, 30)].concat()));
}
