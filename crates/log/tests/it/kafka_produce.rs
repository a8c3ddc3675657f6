//! Appending to Kafka: what a stock client sees of it, what the answers say, what is refused.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use event::{Catalog, NO_TIME, Span, headers};
use log::kafka::{KafkaSettings, probe};
use log::{Clock, Log, LogError, PlacedRange, SystemClock};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::kafka_rig::{KAFKA, KafkaRig, PARTITIONS, Seen, THINGS, append, request, stream, until};

fn admin() -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", KAFKA.brokers()).create().unwrap()
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn header<'a>(seen: &'a Seen, name: &str) -> Option<&'a [u8]> {
    seen.headers.iter().find(|(n, _)| n == name).map(|(_, value)| &value[..])
}

#[test]
fn a_record_is_what_a_stock_consumer_sees() {
    let (rig, clock) = (KafkaRig::new(), SystemClock::default());
    let log = rig.open();
    let mut append = request(&log, &["k:é", "k:2"]);
    let batch = &mut append.batches[0];
    let mut own = Vec::new();
    headers::put(&mut own, "tenant", b"acme");
    headers::put(&mut own, "content-type", b"text/plain");
    batch.drafts[0].headers = batch.put_side(&own);
    batch.drafts[0].kind = batch.put_side(b"click");
    batch.drafts[0].time = 1_234;
    let unscoped = batch.drafts[1].id_hash;
    batch.drafts[0].id_hash = log.id_hasher().scoped(b"acme").hash("k:é".as_bytes());
    let before = clock.now();
    let placed = log.append(append).unwrap().wait_blocking().unwrap().remove(0);
    let seen = rig.seen();
    assert_eq!(seen.len(), 2);
    let partition = event::partition_of(b"k", PARTITIONS);
    assert_eq!(placed.ranges, [PlacedRange { partition, first: 0, last: 1 }]);
    assert!(seen.iter().all(|s| s.partition == partition as i32 && s.key.as_deref() == Some(b"k")));
    assert!((before..=clock.now()).contains(&seen[0].timestamp) && seen[0].timestamp == seen[1].timestamp);
    assert_eq!(seen[0].value, "k:é".as_bytes());
    let named = |seen: &Seen| -> Vec<(String, String)> {
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        seen.headers.iter().map(|(name, value)| (name.clone(), text(value))).collect()
    };
    let expected = |list: &[(&str, &str)]| -> Vec<(String, String)> {
        list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let first = [
        ("event-id", "k:é"),
        ("event-type", "click"),
        ("event-time", "1234"),
        ("event-version", "1.0"),
        ("millstream", "1"),
        ("tenant", "acme"),
        ("content-type", "text/plain"),
    ];
    assert_eq!(named(&seen[0]), expected(&first));
    let second =
        [("event-id", "k:2"), ("content-type", "application/json"), ("event-version", "1.0"), ("millstream", "1")];
    assert_eq!(named(&seen[1]), expected(&second));
    assert_ne!(unscoped, 0);
}

#[test]
fn kcat_reads_what_was_appended() {
    let rig = KafkaRig::new();
    let log = rig.open();
    append(&log, &["user-1:{\"a\":1}"]).unwrap();
    let format = "%k|%s|%h|%p\\n";
    let args = ["-C", "-b", &rig.settings.brokers, "-t", rig.topic(), "-e", "-q", "-f", format];
    let output = Command::new(services::kcat().unwrap()).args(args).output().unwrap();
    let partition = event::partition_of(b"user-1", PARTITIONS);
    let headers = "event-id=user-1:{\"a\":1},content-type=application/json,event-version=1.0,millstream=1";
    let expected = format!("user-1|user-1:{{\"a\":1}}|{headers}|{partition}\n");
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
}

#[test]
fn a_key_lies_where_a_stock_producer_would_put_it() {
    let rig = KafkaRig::new();
    let log = rig.open();
    let stock: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &rig.settings.brokers)
        .set("partitioner", "murmur2_random")
        .create()
        .unwrap();
    let keys: Vec<String> = (0..200).map(|i| format!("key-{i}-é")).collect();
    for key in &keys {
        stock.send(BaseRecord::to(rig.topic()).key(key).payload("stock")).unwrap();
    }
    stock.flush(Duration::from_secs(30)).unwrap();
    let texts: Vec<String> = keys.iter().map(|key| format!("{key}:ours")).collect();
    append(&log, &texts.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    let seen = rig.seen();
    for key in &keys {
        let of = |s: &&Seen| s.key.as_deref() == Some(key.as_bytes());
        let partitions: Vec<i32> = seen.iter().filter(of).map(|s| s.partition).collect();
        assert!(partitions.len() == 2 && partitions[0] == partitions[1], "{key}: {partitions:?}");
    }
}

#[test]
fn what_was_sent_before_is_not_sent_again_even_by_the_next_process() {
    let rig = KafkaRig::new();
    let log = rig.open();
    assert_eq!(append(&log, &["a:1", "b:2", "a:1"]).unwrap().duplicates, [2]);
    let again = append(&log, &["b:2", "c:3"]).unwrap();
    assert_eq!((again.duplicates, again.ranges.len()), (vec![0], 1));
    drop(log);
    let log = rig.open();
    assert_eq!(append(&log, &["a:1", "b:2", "c:3", "d:4"]).unwrap().duplicates, [0, 1, 2]);
    assert_eq!(rig.seen().len(), 4);
}

#[test]
fn only_what_no_id_tells_has_an_origin_and_each_its_own() {
    let rig = KafkaRig::new();
    let log = rig.open();
    let mut append = request(&log, &["a:1", "b:2", "c:3", "d:4"]);
    let drafts = &mut append.batches[0].drafts;
    (drafts[1].id_hash, drafts[1].id) = (0, Span::EMPTY);
    drafts[2].id_hash = 0;
    drafts[3].id_hash = 77;
    log.append(append).unwrap().wait_blocking().unwrap();
    let seen = rig.seen();
    let origin = |text: &str| {
        let record = seen.iter().find(|s| s.value == text.as_bytes()).unwrap();
        header(record, "millstream-origin").map(|bytes| u128::from_be_bytes(bytes.try_into().unwrap()))
    };
    assert_eq!(origin("a:1"), None);
    assert_eq!(origin("d:4"), Some(77), "it is known by this, not by its id");
    assert!(origin("b:2").is_some() && origin("c:3").is_some() && origin("b:2") != origin("c:3"));
}

#[test]
fn answers_say_where_each_record_lies_though_others_write_between() {
    let rig = KafkaRig::new();
    let logs = [rig.open(), rig.open()];
    let write = |log: &dyn Log, who: usize| -> Vec<PlacedRange> {
        let ask = |n: usize| {
            let texts: Vec<String> = (0..40).map(|i| format!("k{}:{who}-{n}-{i}", i % 7)).collect();
            log.append(request(log, &texts.iter().map(String::as_str).collect::<Vec<_>>())).unwrap()
        };
        let waiting: Vec<_> = (0..100).map(ask).collect();
        waiting.into_iter().flat_map(|pending| pending.wait_blocking().unwrap().remove(0).ranges).collect()
    };
    let ranges: Vec<Vec<PlacedRange>> = std::thread::scope(|scope| {
        let started = [0, 1].map(|who| {
            scope.spawn({
                let log = &logs[who];
                move || write(log, who)
            })
        });
        started.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let seen = rig.seen();
    assert_eq!(seen.len(), 2 * 100 * 40);
    for record in seen {
        let (partition, offset) = (record.partition as u32, record.offset as u64);
        let holds = |r: &&PlacedRange| r.partition == partition && (r.first..=r.last).contains(&offset);
        let told = [0, 1].map(|who| ranges[who].iter().filter(holds).count());
        let whose = String::from_utf8_lossy(&record.value).contains(":0-");
        assert_eq!(told, if whose { [1, 0] } else { [0, 1] }, "{record:?}");
    }
}

#[test]
fn records_of_one_key_keep_their_order() {
    let rig = KafkaRig::new();
    let log = rig.open();
    let waiting: Vec<_> =
        (0..500).map(|n| log.append(request(&log, &[&format!("a:{n}"), &format!("b:{n}")])).unwrap()).collect();
    waiting.into_iter().for_each(|pending| drop(pending.wait_blocking().unwrap()));
    let seen = rig.seen();
    for key in [b"a", b"b"] {
        let of_key = seen.iter().filter(|s| s.key.as_deref() == Some(key));
        let numbers: Vec<usize> = of_key.map(|s| String::from_utf8_lossy(&s.value[2..]).parse().unwrap()).collect();
        assert!(numbers.iter().copied().eq(0..500), "{numbers:?}");
    }
}

#[test]
fn closing_sends_what_waits_and_then_takes_nothing() {
    let rig = KafkaRig::new();
    let log = rig.open();
    let waiting: Vec<_> = (0..200).map(|n| log.append(request(&log, &[&format!("a:{n}")])).unwrap()).collect();
    log.close();
    assert!(waiting.into_iter().all(|pending| pending.wait_blocking().is_ok()));
    assert!(matches!(log.append(request(&log, &["a:x"])), Err(LogError::Closed)));
    assert_eq!(rig.seen().len(), 200);
}

#[test]
fn a_record_that_is_too_large_is_refused_and_others_are_not() {
    let mut rig = KafkaRig::new();
    let topic =
        NewTopic::new(rig.topic(), PARTITIONS as i32, TopicReplication::Fixed(1)).set("max.message.bytes", "20000");
    wait(admin().create_topics([&topic], &AdminOptions::new())).unwrap().remove(0).unwrap();
    rig.settings.compression = log::kafka::Compression::None;
    let log = rig.open();
    let large = format!("a:{}", "x".repeat(50_000));
    let refused = append(&log, &[&large]).unwrap_err();
    assert!(matches!(refused, LogError::Refused(_)), "{refused}");
    assert!(append(&log, &["a:small"]).is_ok());
    until("nothing is away", Duration::from_secs(20), || log.status().away.is_none());
    // What the producer itself does not take is refused before anything is sent of its request.
    let huge = format!("a:{}", "x".repeat(3 << 20));
    assert!(matches!(append(&log, &["a:with", &huge]), Err(LogError::Refused(_))));
    assert_eq!(rig.seen().len(), 1);
    assert!(append(&log, &["a:with"]).unwrap().duplicates.is_empty());
}

#[test]
fn the_largest_event_is_taken() {
    let rig = KafkaRig::new();
    let log = rig.open();
    let mut chance = fastrand::Rng::with_seed(7);
    let noise: String = (0..event::limits::EVENT_BYTES_MAX - 2).map(|_| chance.alphanumeric()).collect();
    append(&log, &[&format!("a:{noise}")]).unwrap();
    assert_eq!(rig.seen()[0].value.len(), event::limits::EVENT_BYTES_MAX);
}

#[test]
fn a_topic_with_other_partitions_is_told() {
    let mut rig = KafkaRig::new();
    drop(rig.open());
    rig.catalog = Arc::new(Catalog::new(vec![stream(PARTITIONS + 1)]).unwrap());
    let told = LogError::Partitions { stream: "things".to_owned(), on_disk: PARTITIONS, configured: PARTITIONS + 1 };
    assert_eq!(rig.try_open().err(), Some(told));
}

#[test]
fn a_topic_with_more_partitions_than_its_stream_serves_those_of_the_stream() {
    let mut rig = KafkaRig::new();
    drop(rig.open());
    rig.catalog = Arc::new(Catalog::new(vec![stream(1)]).unwrap());
    let log = rig.open();
    let mut asked = request(&log, &["a:1"]);
    asked.batches[0].drafts[0].partition = 0;
    let placed = log.append(asked).unwrap().wait_blocking().unwrap();
    assert_eq!(placed[0].ranges[0].partition, 0);
    assert_eq!(log.extents(THINGS).len(), 1);
}

#[test]
fn topics_are_made_as_their_streams_say() {
    let rig = KafkaRig::new();
    let _log = rig.open();
    let topics = [rig.topic(), &rig.settings.topics[Catalog::REFUSED]];
    let asked: Vec<ResourceSpecifier<'_>> = topics.iter().map(|t| ResourceSpecifier::Topic(t)).collect();
    let described = wait(admin().describe_configs(&asked, &AdminOptions::new())).unwrap();
    let value = |at: usize, name: &str| {
        let resource = described[at].as_ref().unwrap();
        resource.get(name).and_then(|entry| entry.value.clone()).unwrap_or_default()
    };
    let table = [
        (0, "retention.ms", "604800000"),
        (0, "retention.bytes", "1073741824"),
        (0, "segment.ms", "86400000"),
        (0, "cleanup.policy", "delete"),
        (0, "compression.type", "producer"),
        (0, "message.timestamp.type", "CreateTime"),
        (0, "max.message.bytes", "2097152"),
        (1, "segment.ms", "604800000"),
    ];
    for (at, name, expected) in table {
        assert_eq!(value(at, name), expected, "{name} of {}", topics[at]);
    }
}

#[test]
fn a_record_keeps_the_time_at_which_it_was_taken() {
    let rig = KafkaRig::new();
    let log = rig.open();
    let mut append = request(&log, &["a:1"]);
    append.batches[0].taken_at = Some(SystemClock::default().now() - 3_600_000);
    let taken_at = append.batches[0].taken_at;
    log.append(append).unwrap().wait_blocking().unwrap();
    assert_eq!(Some(rig.seen()[0].timestamp), taken_at);
    assert!(taken_at != Some(NO_TIME));
}

#[test]
fn an_unknown_property_is_told_and_a_cluster_says_who_it_is() {
    let mut rig = KafkaRig::new();
    let said = probe(&rig.settings).unwrap();
    assert!(said.starts_with("1 broker (127.0.0.1:"), "{said}");
    rig.settings.properties = vec![("no.such.property".to_owned(), "1".to_owned())];
    assert!(matches!(rig.try_open(), Err(LogError::Refused(reason)) if reason.contains("no.such.property")));
    assert!(matches!(probe(&rig.settings), Err(LogError::Refused(_))));
    assert!(matches!(probe(&KafkaSettings::at("127.0.0.1:1")), Err(LogError::Away(_))));
}
