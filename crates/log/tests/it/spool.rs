//! The spool from outside: what goes to the disk while the broker is away, and how it gets from there to the broker.

use event::{Ack, NO_TIME, headers};
use log::{Append, Log, LogError};

use crate::rig::{self, Event, PARTITIONS, event, events};
use crate::spool_rig::{House, Link, PLAIN, THINGS, drained, send, until, waiting};

/// Appends events to a stream and waits for the answer.
fn append(log: &dyn Log, stream: event::StreamId, events: &[Event]) -> Result<log::Placed, LogError> {
    let batches = vec![rig::batch(log, stream, PARTITIONS, events)];
    log.append(Append { batches, lane: 0, ack: Ack::Durable })?.wait_blocking().map(|mut placed| placed.remove(0))
}

/// Events without an id.
fn nameless(from: u64, to: u64) -> Vec<Event> {
    events(from, to).into_iter().map(|(key, _, text)| (key, 0, text)).collect()
}

#[test]
fn while_the_broker_is_there_requests_go_to_it() {
    let house = House::new();
    let spooled = house.open();
    let placed = append(&spooled, THINGS, &events(0, 20)).unwrap();
    assert_eq!(placed.ranges.iter().map(|range| range.last + 1 - range.first).sum::<u64>(), 20);
    assert_eq!(house.broker.texts(THINGS), rig::expected(&events(0, 20)));
    let status = spooled.status();
    assert_eq!((status.spool.unwrap().records, status.away, status.poisoned), (0, None, None));
}

#[test]
fn what_comes_while_the_broker_is_away_is_taken_and_arrives_in_order_when_it_is_back() {
    let house = House::new();
    let spooled = house.open();
    append(&spooled, THINGS, &events(0, 20)).unwrap();
    house.broker.set(Link::Away);
    let placed = append(&spooled, THINGS, &events(20, 300)).unwrap();
    assert!(placed.ranges.is_empty() && placed.duplicates.is_empty(), "positions are not known yet");
    house.clock.advance(5_000);
    assert_eq!(append(&spooled, THINGS, &events(299, 400)).unwrap().duplicates, [0]);
    append(&spooled, PLAIN, &events(0, 50)).unwrap();
    assert_eq!(house.broker.texts(THINGS).len(), 20);
    let spool = spooled.status().spool.unwrap();
    assert_eq!((spool.records, spool.oldest), (430, Some(1_000_000_000)));
    assert!(spool.bytes > 0 && spool.bytes_max == 8 << 20 && !spool.draining);

    house.broker.set(Link::Up);
    drained(&spooled);
    let placed = append(&spooled, THINGS, &events(400, 420)).unwrap();
    assert!(!placed.ranges.is_empty(), "it went to the broker");
    assert_eq!(house.broker.texts(THINGS), rig::expected(&events(0, 420)));
    assert_eq!(house.broker.texts(PLAIN), rig::expected(&events(0, 50)));
    let told: Vec<_> = house.broker.taken_at.lock().iter().flatten().copied().collect();
    assert!(told.contains(&1_000_000_000) && told.contains(&1_000_005_000), "when they were taken: {told:?}");
}

#[test]
fn a_request_whose_end_is_not_known_arrives_once_and_before_what_came_later() {
    for (stream, arrive) in [(THINGS, 0), (THINGS, 7), (THINGS, 60), (PLAIN, 0), (PLAIN, 33), (PLAIN, 60)] {
        let house = House::new();
        let spooled = house.open();
        let all = if stream == THINGS { nameless(0, 100) } else { events(0, 100) };
        append(&spooled, stream, &all[..40]).unwrap();
        house.broker.set(Link::Stalled);
        let batches = |range: std::ops::Range<usize>| rig::batch(&spooled, stream, PARTITIONS, &all[range]);
        let first = send(&spooled, batches(40..60)).unwrap();
        let second = send(&spooled, batches(60..70)).unwrap();
        house.broker.lose(arrive);
        let third = send(&spooled, batches(70..100)).unwrap();
        for pending in [first, second, third] {
            assert!(pending.wait_blocking().unwrap()[0].ranges.is_empty(), "the spool took it");
        }
        house.broker.set(Link::Up);
        drained(&spooled);
        assert_eq!(house.broker.texts(stream), rig::expected(&all), "{stream:?} {arrive}");
        assert_eq!(house.broker.rows(stream).len(), 100, "no copies in the broker: {stream:?} {arrive}");
    }
}

#[test]
fn events_without_an_id_are_nobodys_duplicates_when_they_come_from_the_spool() {
    let house = House::new();
    let spooled = house.open();
    house.broker.set(Link::Away);
    append(&spooled, THINGS, &nameless(0, 500)).unwrap();
    house.broker.set(Link::Up);
    drained(&spooled);
    assert_eq!(house.broker.texts(THINGS), rig::expected(&nameless(0, 500)));
}

#[test]
fn half_a_window_that_arrived_before_the_broker_went_again_is_not_sent_twice() {
    let house = House::new();
    let spooled = house.open();
    house.broker.set(Link::Away);
    let mut all: Vec<Event> = (0..8).map(|i| event(1, i + 1, format!("event {i}"))).collect();
    all[7].2 = format!("{}MUCH", "x".repeat(6_000));
    append(&spooled, PLAIN, &all).unwrap();
    house.broker.refuse("MUCH");
    house.broker.take(1);
    house.broker.set(Link::Up);
    until("the first half arrived", || house.broker.rows(PLAIN).len() == 4);
    until("the other did not", || !spooled.status().spool.unwrap().draining);
    house.broker.refuse("nothing");
    house.broker.set(Link::Up);
    drained(&spooled);
    assert_eq!(house.broker.texts(PLAIN), rig::expected(&all));
    assert_eq!(house.broker.rows(PLAIN).len(), 8, "no copies in the broker");
}

#[test]
fn a_spool_that_is_not_empty_is_drained_after_a_restart() {
    for away_at_start in [false, true] {
        let house = House::new();
        let spooled = house.open();
        house.broker.set(Link::Away);
        append(&spooled, THINGS, &events(0, 100)).unwrap();
        drop(spooled);
        if !away_at_start {
            house.broker.set(Link::Up);
        }
        let spooled = house.open();
        let oldest = spooled.status().spool.unwrap().oldest;
        assert!(!away_at_start || oldest == Some(1_000_000_000), "{oldest:?}");
        append(&spooled, THINGS, &events(100, 120)).unwrap();
        house.broker.set(Link::Up);
        drained(&spooled);
        assert_eq!(house.broker.texts(THINGS), rig::expected(&events(0, 120)));
        drop(spooled);
        let spooled = house.open();
        assert_eq!(waiting(&spooled), 0, "nothing is drained twice");
        assert_eq!(house.broker.rows(THINGS).len(), 120);
    }
}

#[test]
fn a_process_killed_in_the_middle_of_the_drain_goes_on_where_it_was() {
    for arrive in [0, 3, 25, 10_000] {
        let mut house = House::bounded(200 << 10);
        let spooled = house.open();
        house.broker.set(Link::Away);
        append(&spooled, THINGS, &events(0, 200)).unwrap();
        append(&spooled, PLAIN, &events(0, 200)).unwrap();
        house.broker.set(Link::Stalled);
        house.broker.wait_held();
        house.kill(spooled, arrive);
        let spooled = house.open();
        append(&spooled, THINGS, &events(200, 210)).unwrap();
        drained(&spooled);
        for (stream, end) in [(THINGS, 210), (PLAIN, 200)] {
            assert_eq!(house.broker.texts(stream), rig::expected(&events(0, end)), "{arrive}");
            assert_eq!(house.broker.rows(stream).len() as u64, end, "no copies in the broker: {arrive}");
        }
    }
}

#[test]
fn what_comes_during_the_last_moment_waits_and_arrives_behind() {
    let house = House::new();
    let spooled = house.open();
    house.broker.set(Link::Away);
    append(&spooled, THINGS, &events(0, 10)).unwrap();
    house.broker.set(Link::Stalled);
    house.broker.wait_held();
    let held: Vec<_> = (1..=5)
        .map(|i| send(&spooled, rig::batch(&spooled, THINGS, PARTITIONS, &events(10 * i, 10 * i + 10))).unwrap())
        .collect();
    assert_eq!(house.broker.held(), 1, "the drain's window alone is on its way");
    house.broker.set(Link::Up);
    held.into_iter().for_each(|pending| drop(pending.wait_blocking().unwrap()));
    drained(&spooled);
    assert_eq!(house.broker.texts(THINGS), rig::expected(&events(0, 60)));
}

#[test]
fn a_full_spool_refuses_and_names_its_setting() {
    let house = House::bounded(4 << 20);
    let spooled = house.open();
    house.broker.set(Link::Away);
    let mut taken = 0;
    let refused = loop {
        match append(&spooled, PLAIN, &nameless(taken, taken + 500)) {
            Ok(_) => taken += 500,
            Err(error) => break error,
        }
    };
    assert!(
        matches!(&refused, LogError::Full(why) if why.contains("spool.max_size") && why.contains("4194304")),
        "{refused}"
    );
    let spool = spooled.status().spool.unwrap();
    let on_disk: u64 = walk(&house.dir.path().join("spool"));
    assert!(taken >= 50_000 && spool.bytes <= 4 << 20 && on_disk <= 4 << 20, "{taken} {spool:?} {on_disk}");
    house.broker.set(Link::Up);
    drained(&spooled);
    assert_eq!(house.broker.texts(PLAIN), rig::expected(&nameless(0, taken)));
    assert!(spooled.status().spool.unwrap().bytes <= 128 << 10, "its room is free again");
    append(&spooled, PLAIN, &nameless(0, 50)).unwrap();
}

fn walk(dir: &std::path::Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let each = |entry: std::io::Result<std::fs::DirEntry>| {
        let entry = entry.unwrap();
        let meta = entry.metadata().unwrap();
        if meta.is_dir() { walk(&entry.path()) } else { meta.blocks() * 512 }
    };
    std::fs::read_dir(dir).unwrap().map(each).sum()
}

#[test]
fn what_has_waited_for_too_long_becomes_a_dead_letter_and_nothing_new_is_taken() {
    let house = House::new();
    let spooled = house.open();
    house.broker.set(Link::Away);
    append(&spooled, THINGS, &events(0, 5)).unwrap();
    house.clock.advance(3_000_000);
    append(&spooled, THINGS, &events(5, 10)).unwrap();
    house.clock.advance(1_000_000);
    let refused = append(&spooled, THINGS, &events(10, 11)).unwrap_err();
    assert!(
        matches!(&refused, LogError::Full(why) if why.contains("spool.max_age") && why.contains("4000 s")),
        "{refused}"
    );
    assert_eq!(waiting(&spooled), 10, "nothing is deleted");

    house.broker.set(Link::Up);
    drained(&spooled);
    assert_eq!(house.broker.texts(THINGS), rig::expected(&events(5, 10)));
    let letters = crate::spool_rig::catalog(PARTITIONS, true).refused();
    let mut cursor = house.broker.read(letters, &[(0, 0)]).unwrap();
    let blocks = cursor.next(1 << 20).unwrap();
    let mut found = Vec::new();
    for record in blocks.iter().flat_map(event::Block::records) {
        let header = |name| String::from_utf8(headers::get(record.headers, name).unwrap().to_vec()).unwrap();
        assert_eq!((header("stream"), header("code")), ("things".to_owned(), "spool_expired".to_owned()));
        assert_eq!(header(headers::LETTER).len(), 36);
        found.push(String::from_utf8(record.data.to_vec()).unwrap());
    }
    found.sort();
    assert_eq!(found, events(0, 5).iter().map(|e| e.2.clone()).collect::<Vec<_>>());
    append(&spooled, THINGS, &events(10, 11)).unwrap();
}

#[test]
fn an_event_that_the_broker_refuses_becomes_a_dead_letter_and_holds_up_nobody() {
    let house = House::new();
    let spooled = house.open();
    house.broker.set(Link::Away);
    let mut all = events(0, 30);
    all[11].2 = format!("{}MUCH", "x".repeat(6_000));
    append(&spooled, THINGS, &all).unwrap();
    house.broker.refuse("MUCH");
    house.broker.set(Link::Up);
    drained(&spooled);
    all.remove(11);
    assert_eq!(house.broker.texts(THINGS), rig::expected(&all));
    let letters = house.broker.rows(crate::spool_rig::catalog(PARTITIONS, true).refused());
    assert_eq!(
        letters.iter().map(|row| row.2.len()).collect::<Vec<_>>(),
        [4_096],
        "cut, since whole it was refused too"
    );
}

#[test]
fn a_broker_that_refuses_everything_gets_nothing_thrown_away() {
    let house = House::new();
    let spooled = house.open();
    house.broker.set(Link::Away);
    append(&spooled, THINGS, &events(0, 3)).unwrap();
    house.broker.refuse("event");
    house.broker.set(Link::Up);
    until("it was tried", || spooled.status().spool.unwrap().draining);
    until("it was given up", || !spooled.status().spool.unwrap().draining);
    assert_eq!(waiting(&spooled), 3);
    house.broker.refuse("nothing");
    drained(&spooled);
    assert_eq!(house.broker.texts(THINGS), rig::expected(&events(0, 3)));
}

#[test]
fn several_batches_of_a_request_are_taken_together() {
    let house = House::new();
    let spooled = house.open();
    house.broker.set(Link::Away);
    let refused = crate::spool_rig::catalog(PARTITIONS, true).refused();
    let batches = vec![
        rig::batch(&spooled, THINGS, PARTITIONS, &events(0, 10)),
        rig::batch(&spooled, refused, 1, &nameless(0, 2)),
    ];
    let placed = spooled.append(Append { batches, lane: 3, ack: Ack::Memory }).unwrap().wait_blocking().unwrap();
    assert_eq!(placed.len(), 2);
    house.broker.set(Link::Up);
    drained(&spooled);
    assert_eq!((house.broker.rows(THINGS).len(), house.broker.rows(refused).len()), (10, 2));
}

#[test]
fn nobody_is_told_that_what_is_in_the_spool_was_stored() {
    let house = House::new();
    let spooled = house.open();
    append(&spooled, THINGS, &events(0, 3)).unwrap();
    let position = event::Position { stream: THINGS, partition: 0, offset: 1 };
    spooled.commit("engine", &[position]).unwrap();
    let stored = |positions: &[event::Position]| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(spooled.committed("engine", positions))
    };
    assert_eq!(stored(&[position]), Ok(()));
    assert!(stored(&[]).is_err());
    house.broker.set(Link::Away);
    append(&spooled, THINGS, &events(3, 6)).unwrap();
    assert!(stored(&[position]).is_err());
}

#[test]
fn records_keep_their_parts_on_the_way_through_the_spool() {
    let house = House::new();
    let spooled = house.open();
    house.broker.set(Link::Away);
    let mut batch = rig::batch(&spooled, THINGS, PARTITIONS, &[event(1, 7, "{}"), event(1, 0, "[]")]);
    let mut head = Vec::new();
    headers::put(&mut head, headers::TENANT, b"acme");
    let head = batch.put_side(&head);
    let kind = batch.put_side(b"made");
    (batch.drafts[0].headers, batch.drafts[0].kind, batch.drafts[0].time) = (head, kind, 55);
    assert_eq!(batch.drafts[1].time, NO_TIME);
    send(&spooled, batch).unwrap().wait_blocking().unwrap();
    house.clock.advance(9);
    house.broker.set(Link::Up);
    drained(&spooled);
    let partition = event::partition_of(&[1], PARTITIONS);
    let blocks = house.broker.read(THINGS, &[(partition, 0)]).unwrap().next(1 << 20).unwrap();
    let records: Vec<_> = blocks.iter().flat_map(event::Block::records).collect();
    let first = records[0];
    assert_eq!((first.data, first.key, first.kind, first.id), (&b"{}"[..], &[1][..], &b"made"[..], &b"7"[..]));
    assert_eq!((first.tenant(), first.time), (&b"acme"[..], 55));
    assert_eq!((records[1].data, records[1].id), (&b"[]"[..], &b"0"[..]));
}

#[test]
fn another_number_of_partitions_is_taken_once_the_spool_is_empty() {
    let mut house = House::new();
    let spooled = house.open();
    house.broker.set(Link::Away);
    append(&spooled, THINGS, &events(0, 10)).unwrap();
    drop(spooled);
    house.partitions = PARTITIONS - 1;
    let Err(error) = house.try_open() else { panic!("its events would be lost") };
    assert!(error.to_string().contains("wait in the spool"), "{error}");
    house.partitions = PARTITIONS;
    house.broker.set(Link::Up);
    drained(&house.open());
    house.partitions = PARTITIONS - 1;
    let spooled = house.open();
    house.broker.set(Link::Away);
    let last = rig::batch(&spooled, THINGS, PARTITIONS - 1, &[event(0, 99, "last")]);
    send(&spooled, last).unwrap().wait_blocking().unwrap();
    house.broker.set(Link::Up);
    drained(&spooled);
    assert_eq!(house.broker.rows(THINGS).len(), 11);
}
