//! Reading from Kafka at the edges: transactions, what retention took, a cluster that goes away, what others append, and
//! positions that other processes and lag tools see.

use std::time::{Duration, Instant};

use event::{Position, partition_of};
use log::{Cursor, Log, LogError};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use services::Kafka;

use crate::kafka_read::{LIMIT, known, read, rows};
use crate::kafka_rig::{KAFKA, KafkaRig, PARTITIONS, THINGS, append, until};

fn send(producer: &BaseProducer, rig: &KafkaRig, text: &str) {
    producer.send(BaseRecord::<str, str>::to(rig.topic()).partition(0).payload(text)).unwrap();
    producer.flush(LIMIT).unwrap();
}

fn texts(log: &dyn Log, from: u64) -> (Vec<String>, u64) {
    let (rows, at) = read(log, &[(0, from)]);
    (rows.into_iter().map(|r| r.text).collect(), at[0])
}

#[test]
fn only_what_a_kafka_transaction_committed_is_read() {
    let rig = KafkaRig::new();
    let log = rig.open();
    let id = format!("{}-writer", rig.settings.group);
    let mut config = ClientConfig::new();
    let config = config.set("bootstrap.servers", KAFKA.brokers()).set("transactional.id", id).set("linger.ms", "0");
    let producer: BaseProducer = config.create().unwrap();
    producer.init_transactions(LIMIT).unwrap();
    let transaction = |text: &str| {
        producer.begin_transaction().unwrap();
        send(&producer, &rig, text);
    };
    transaction("one");
    producer.commit_transaction(LIMIT).unwrap();
    transaction("never");
    producer.abort_transaction(LIMIT).unwrap();
    known(&log, 0, 4);
    // Record, marker, record, marker: the reader is told that it has passed them all.
    assert_eq!(texts(&log, 0), (vec!["one".to_owned()], 4));
    assert_eq!(texts(&log, 2), (vec![], 4));
    transaction("three");
    let mut cursor = log.read(THINGS, &[(0, 4)]).unwrap();
    let seen = log.extents(THINGS)[0].next;
    assert!(cursor.next(1_000).unwrap().is_empty(), "the transaction is open");
    producer.commit_transaction(LIMIT).unwrap();
    known(&log, 0, 6);
    assert_eq!(seen, 4);
    let blocks = cursor.next(1_000).unwrap();
    assert_eq!(rows(&blocks)[0].text, "three");
    let last = cursor.next(1_000).unwrap();
    let told = blocks.iter().chain(&last).map(event::Block::next_offset).max();
    assert_eq!(told, Some(6));
    assert!(cursor.next(1_000).unwrap().is_empty());
}

#[test]
fn an_offset_before_the_oldest_of_kafka_is_moved_up() {
    let rig = KafkaRig::new();
    let log = rig.open();
    let producer = crate::kafka_read::producer(&KAFKA.brokers());
    (0..100).for_each(|n| {
        drop(producer.send(BaseRecord::<str, str>::to(rig.topic()).partition(0).payload(&n.to_string())));
    });
    producer.flush(LIMIT).unwrap();
    known(&log, 0, 100);
    let mut early = log.read(THINGS, &[(0, 0)]).unwrap();
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", KAFKA.brokers()).create().unwrap();
    let trim = |to: i64| {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(rig.topic(), 0, Offset::Offset(to)).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(admin.delete_records(&list, &AdminOptions::new())).unwrap();
        until("the first offset moves", LIMIT, || log.extents(THINGS)[0].first == to as u64);
    };
    trim(60);
    let (found, at) = texts(&log, 0);
    assert!(found.iter().eq(&(60..100).map(|n| n.to_string()).collect::<Vec<_>>()) && at == 100, "{found:?}");
    assert_eq!(texts(&log, 80).0.len(), 20);
    let blocks = early.next(1 << 20).unwrap();
    let first = rows(&blocks)[0].offset;
    assert!(first == 0 || first == 60, "what it had read ahead, or what is left: {first}");
    trim(100);
    assert_eq!(texts(&log, 0), (vec![], 100), "all is gone, and the reader is told");
    assert_eq!(texts(&log, 200), (vec![], 200), "after the end there is nothing yet");
}

#[test]
fn what_another_process_appends_to_kafka_wakes_whoever_waits() {
    let rig = KafkaRig::new();
    let (log, other) = (rig.open(), rig.open());
    let partition = partition_of(b"a", PARTITIONS);
    let mut cursor = log.read(THINGS, &[(partition, 0)]).unwrap();
    let mut seen = log.wait(0, Duration::ZERO);
    for n in 0..20 {
        while !cursor.next(1_000).unwrap().is_empty() {}
        append(&other, &[&format!("a:{n}")]).unwrap();
        let start = Instant::now();
        loop {
            let blocks = cursor.next(1_000).unwrap();
            if !blocks.is_empty() {
                assert_eq!(rows(&blocks)[0].text, format!("a:{n}"));
                break;
            }
            seen = log.wait(seen, Duration::from_secs(5));
            assert!(start.elapsed() < Duration::from_secs(5), "nobody woke the reader");
        }
    }
    until("the end is known", LIMIT, || log.extents(THINGS)[partition as usize].next == 20);
    assert_eq!(other.extents(THINGS)[partition as usize].next, 20, "of its own appends a log knows at once");
}

/// Reads on until so many texts have come, whatever the cluster does meanwhile.
fn read_on(cursor: &mut dyn Cursor, count: usize, found: &mut Vec<String>) {
    until("all records", Duration::from_secs(60), || {
        match cursor.next(1_000) {
            Ok(blocks) => found.extend(rows(&blocks).into_iter().map(|r| r.text)),
            Err(LogError::Away(_)) => {}
            Err(other) => panic!("{other}"),
        }
        found.len() >= count
    });
}

#[test]
fn a_reader_of_kafka_outlives_an_outage() {
    let mut kafka = Kafka::start().unwrap();
    let mut rig = KafkaRig::at(&kafka.brokers());
    rig.settings.delivery_timeout = Duration::from_secs(2);
    let away = KafkaRig { catalog: rig.catalog.clone(), settings: rig.settings.clone() };
    let log = rig.open();
    let partition = partition_of(b"a", PARTITIONS);
    append(&log, &["a:1", "a:2"]).unwrap();
    let mut cursor = log.read(THINGS, &[(partition, 0)]).unwrap();
    let mut found = Vec::new();
    read_on(&mut *cursor, 2, &mut found);
    kafka.kill(0);
    until("the outage is known", LIMIT, || log.status().away.is_some());
    assert!(cursor.next(1_000).unwrap().is_empty(), "what is known to be there was read");
    let extents = log.extents(THINGS);
    assert_eq!(extents[partition as usize].next, 2, "what was known last");
    let start = Instant::now();
    let mut behind = log.read(THINGS, &[(partition, 0)]).unwrap();
    assert!(matches!(behind.next(1_000), Err(LogError::Away(_))));
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    let start = Instant::now();
    assert!(matches!(log.offset_at(THINGS, partition, 1), Err(LogError::Away(_))));
    drop(log.read(THINGS, &[(partition, 0)]).unwrap());
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    let start = Instant::now();
    drop(away.open());
    assert!(
        start.elapsed() < Duration::from_secs(30),
        "a log is opened and closed without its cluster: {:?}",
        start.elapsed()
    );
    kafka.restart(0);
    until("it is back", LIMIT, || append(&log, &["a:3"]).is_ok());
    read_on(&mut *cursor, 3, &mut found);
    assert_eq!(found, ["a:1", "a:2", "a:3"]);
    let mut again = Vec::new();
    read_on(&mut *behind, 3, &mut again);
    assert_eq!(again, found);
}

#[test]
fn every_record_is_read_once_though_a_kafka_broker_of_three_dies() {
    let mut kafka = Kafka::cluster(3).unwrap();
    let mut rig = KafkaRig::at(&kafka.brokers());
    rig.settings.delivery_timeout = Duration::from_secs(2);
    let log = rig.open();
    let all: Vec<(u32, u64)> = (0..PARTITIONS).map(|p| (p, 0)).collect();
    let mut cursor = log.read(THINGS, &all).unwrap();
    let (mut found, mut sent) = (Vec::new(), Vec::new());
    for n in 0..60 {
        match n {
            15 => kafka.kill(0),
            30 => kafka.restart(0),
            45 => kafka.kill(1),
            _ => {}
        }
        let texts: Vec<String> = ["a", "b", "c", "d"].iter().map(|key| format!("{key}:{n:02}")).collect();
        let refs: Vec<&str> = texts.iter().map(String::as_str).collect();
        // What became of a request that failed is not known: it may be there, and is sent again.
        until("it is taken", Duration::from_secs(60), || append(&log, &refs).is_ok());
        sent.extend(texts);
        found.extend(cursor.next(1_000).map_or_else(|_| vec![], |blocks| rows(&blocks)).into_iter().map(|r| r.text));
    }
    read_on(&mut *cursor, sent.len(), &mut found);
    assert!(["a", "b", "c", "d"].iter().all(|key| {
        let of = |texts: &[String]| texts.iter().filter(|t| t.starts_with(key)).cloned().collect::<Vec<_>>();
        of(&found) == of(&sent)
    }));
    let (again, _) = read(&log, &all);
    assert_eq!(again.len(), sent.len());
}

#[test]
fn positions_are_seen_by_other_processes_and_by_kafka_lag_tools() {
    let rig = KafkaRig::new();
    let (log, other) = (rig.open(), rig.open());
    append(&log, &["a:1", "b:1", "c:1"]).unwrap();
    let ends: Vec<Position> = log
        .extents(THINGS)
        .iter()
        .enumerate()
        .map(|(partition, extent)| Position { stream: THINGS, partition: partition as u32, offset: extent.next })
        .collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().worker_threads(1).build().unwrap();
    let waits = runtime
        .block_on(async { tokio::time::timeout(Duration::from_millis(300), other.committed("engine", &ends)).await });
    assert!(waits.is_err(), "nobody has come so far");
    log.commit("engine", &ends).unwrap();
    log.commit("engine.state", &ends).unwrap();
    let start = Instant::now();
    runtime.block_on(async { tokio::time::timeout(LIMIT, other.committed("engine", &ends)).await }).unwrap().unwrap();
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    let lag = |group: &str| -> Vec<Offset> {
        let mut config = ClientConfig::new();
        let consumer: BaseConsumer =
            config.set("bootstrap.servers", KAFKA.brokers()).set("group.id", group).create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_range(rig.topic(), 0, PARTITIONS as i32 - 1);
        let list = consumer.committed_offsets(list, LIMIT).unwrap();
        list.elements().iter().map(rdkafka::topic_partition_list::TopicPartitionListElem::offset).collect()
    };
    let expected: Vec<Offset> = ends.iter().map(|p| Offset::Offset(p.offset as i64)).collect();
    assert_eq!(lag(&rig.settings.group), expected, "nothing lags");
    assert!(lag(&format!("{}.engine.state", rig.settings.group)).iter().all(|o| *o == Offset::Invalid));
    // What is told last before the end is told all the same.
    append(&log, &["a:2"]).unwrap();
    let partition = partition_of(b"a", PARTITIONS);
    let last = Position { stream: THINGS, partition, offset: log.extents(THINGS)[partition as usize].next };
    log.commit("engine", &[last]).unwrap();
    drop(log);
    assert_eq!(lag(&rig.settings.group)[partition as usize], Offset::Offset(last.offset as i64));
}
