//! What a pipeline writes back to Kafka is there once for every client that reads what is committed, whoever dies when.
#![expect(clippy::disallowed_methods, reason = "tests wait for servers")]

use std::time::{Duration, Instant};

use event::Batch;
use log::kafka::KafkaLog;
use log::{Log, LogError};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use services::Kafka;

use crate::kafka_rig::{KafkaRig, PARTITIONS, THINGS, append, request, until};

const LONG: Duration = Duration::from_secs(60);

fn batch(log: &KafkaLog, texts: &[&str]) -> Batch {
    request(log, texts).batches.remove(0)
}

fn publish(log: &KafkaLog, texts: &[&str]) -> Result<Vec<u32>, LogError> {
    log.publish(batch(log, texts))?.wait_blocking().map(|mut placed| placed.remove(0).duplicates)
}

/// What a stock client reads that takes what is committed only, in the order of their text.
fn read_committed(rig: &KafkaRig) -> Vec<String> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &rig.settings.brokers)
        .set("group.id", "looks")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .create()
        .unwrap();
    let mut from = TopicPartitionList::new();
    for partition in 0..PARTITIONS as i32 {
        from.add_partition_offset(rig.topic(), partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&from).unwrap();
    let (mut found, mut ends, start) = (Vec::new(), 0, Instant::now());
    while ends < PARTITIONS {
        assert!(start.elapsed() < LONG, "{found:?}");
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => found.push(String::from_utf8(message.payload().unwrap().to_vec()).unwrap()),
            Some(Err(KafkaError::PartitionEOF(_))) => ends += 1,
            _ => {}
        }
    }
    found.sort();
    found
}

/// The same through our own reader.
fn own(log: &KafkaLog, count: usize) -> Vec<String> {
    let from: Vec<_> = (0..PARTITIONS).map(|partition| (partition, 0)).collect();
    let mut cursor = log.read(THINGS, &from).unwrap();
    let mut found = Vec::new();
    until("our reader has all", LONG, || {
        for block in cursor.next(1 << 20).unwrap() {
            found.extend(block.records().map(|record| String::from_utf8(record.data.to_vec()).unwrap()));
        }
        found.len() >= count
    });
    found.sort();
    found
}

#[test]
fn what_is_published_again_by_this_process_or_the_next_is_there_once() {
    let rig = KafkaRig::new();
    let first = rig.open();
    assert_eq!(publish(&first, &["a:1", "b:1"]).unwrap(), Vec::<u32>::new());
    assert_eq!(publish(&first, &["a:1", "b:1"]).unwrap(), [0, 1], "nobody wrote down that it was there");
    // A process that begins while the one before it has not ended.
    let second = rig.open();
    assert_eq!(publish(&second, &["a:1", "b:1", "c:1"]).unwrap(), [0, 1]);
    assert_eq!(publish(&second, &["c:1", "d:1"]).unwrap(), [0]);
    // The one before is shut out once; then it knows what the other has put there.
    let refused = publish(&first, &["c:1", "d:1", "e:1"]);
    assert!(matches!(refused, Err(LogError::Away(_))), "{refused:?}");
    assert_eq!(publish(&first, &["c:1", "d:1", "e:1"]).unwrap(), [0, 1]);
    let all = ["a:1", "b:1", "c:1", "d:1", "e:1"];
    assert_eq!(read_committed(&rig), all);
    assert_eq!(own(&second, all.len()), all);
}

#[test]
fn what_a_publisher_left_half_done_is_never_seen() {
    let rig = KafkaRig::new();
    let log = rig.open();
    append(&log, &["a:before"]).unwrap();
    let mut half = ClientConfig::new();
    half.set("bootstrap.servers", &rig.settings.brokers);
    half.set("transactional.id", format!("{}.publisher", rig.settings.group));
    let half: BaseProducer = half.create().unwrap();
    half.init_transactions(LONG).unwrap();
    half.begin_transaction().unwrap();
    half.send(BaseRecord::<str, str>::to(rig.topic()).partition(0).key("a").payload("a:half")).unwrap();
    half.flush(LONG).unwrap();
    // It neither commits nor ends; whoever publishes next ends it.
    publish(&log, &["a:1", "b:1", "c:1"]).unwrap();
    let all = ["a:1", "a:before", "b:1", "c:1"];
    assert_eq!(read_committed(&rig), all);
    assert_eq!(own(&log, all.len()), all);
    let shut_out = half.commit_transaction(LONG).unwrap_err();
    assert_eq!(shut_out.rdkafka_error_code(), Some(RDKafkaErrorCode::Fenced), "{shut_out}");
}

#[test]
fn while_kafka_is_away_publishing_fails_and_afterwards_all_is_there_once() {
    let mut kafka = Kafka::start().unwrap();
    let rig = KafkaRig::at(&kafka.brokers());
    let log = rig.open();
    publish(&log, &["a:1"]).unwrap();
    kafka.kill(0);
    assert!(matches!(publish(&log, &["b:1", "c:1"]), Err(LogError::Away(_))));
    kafka.restart(0);
    until("it is published", LONG, || publish(&log, &["b:1", "c:1"]).is_ok());
    assert_eq!(read_committed(&rig), ["a:1", "b:1", "c:1"]);
}

#[test]
fn what_cannot_be_told_apart_is_not_published() {
    let rig = KafkaRig::new();
    let log = rig.open();
    let mut nameless = batch(&log, &["a:1"]);
    nameless.drafts[0].id_hash = 0;
    assert!(matches!(log.publish(nameless), Err(LogError::Refused(_))));
    let many: Vec<String> = (0..201).map(|n| format!("a:{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(matches!(log.publish(batch(&log, &many)), Err(LogError::Refused(_))));
    assert_eq!(publish(&log, &many[..200]).unwrap(), Vec::<u32>::new());
    let again = rig.open();
    assert_eq!(publish(&again, &many[..200]).unwrap().len(), 200, "the mark holds all of them");
}
