//! Reading from Kafka: duplicates left out alike from wherever one starts, records of stock producers, what a time leads to.

use std::sync::Arc;
use std::time::Duration;

use event::{Block, Catalog, FieldPath, Millis, NO_TIME, TimeField, TimeUnit, headers, limits};
use log::kafka::{Described, KafkaLog};
use log::spool::{Identity, Tail};
use log::{Clock, Log, SystemClock};
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::kafka_rig::{KAFKA, KafkaRig, THINGS, append, request, stream, until};

pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// What a test reads back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) partition: u32,
    pub(crate) offset: u64,
    pub(crate) text: String,
    pub(crate) key: String,
    pub(crate) kind: String,
    pub(crate) id: String,
    pub(crate) time: Millis,
    pub(crate) headers: Vec<u8>,
}

pub(crate) fn rows(blocks: &[Block]) -> Vec<Row> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let of = |block: &Block| -> Vec<Row> {
        let partition = block.partition;
        let row = |r: event::Record<'_>| Row {
            partition,
            offset: r.offset,
            text: text(r.data),
            key: text(r.key),
            kind: text(r.kind),
            id: text(r.id),
            time: r.time,
            headers: r.headers.to_vec(),
        };
        block.records().map(row).collect()
    };
    blocks.iter().flat_map(of).collect()
}

/// Everything from these offsets on, by partition, and where the reader stands in each at the end.
pub(crate) fn read(log: &dyn Log, from: &[(u32, u64)]) -> (Vec<Row>, Vec<u64>) {
    let mut cursor = log.read(THINGS, from).unwrap();
    let (mut found, mut at) = (Vec::new(), from.to_vec());
    loop {
        let blocks = cursor.next(5_000).unwrap();
        if blocks.is_empty() {
            found.sort_by_key(|r: &Row| (r.partition, r.offset));
            return (found, at.into_iter().map(|(_, offset)| offset).collect());
        }
        for block in &blocks {
            let place = at.iter_mut().find(|(p, _)| *p == block.partition).unwrap();
            assert!(block.first_offset() >= place.1, "in order");
            place.1 = block.next_offset();
            assert!(block.weight() <= limits::FRAME_BYTES_MAX);
        }
        found.extend(rows(&blocks));
    }
}

/// Waits until the log knows that a partition goes to this offset.
pub(crate) fn known(log: &dyn Log, partition: usize, next: u64) {
    until("the end is known", LIMIT, || log.extents(THINGS)[partition].next == next);
}

pub(crate) fn producer(brokers: &str) -> BaseProducer {
    ClientConfig::new().set("bootstrap.servers", brokers).set("linger.ms", "20").create().unwrap()
}

/// The headers of a record of ours.
fn ours(list: &[(&str, &[u8])]) -> OwnedHeaders {
    let put = |list: OwnedHeaders, (key, value): &(&str, &[u8])| list.insert(Header { key, value: Some(*value) });
    put(list.iter().fold(OwnedHeaders::new(), put), &("millstream", b"1"))
}

#[test]
fn every_start_yields_the_same_records_of_kafka() {
    let rig = KafkaRig::new();
    let log = rig.open();
    let producer = producer(&rig.settings.brokers);
    let (mut chance, now) = (fastrand::Rng::with_seed(5), SystemClock::default().now());
    let mut sent: Vec<(String, Millis)> = Vec::new();
    let count = 600;
    for offset in 0..count {
        let (id, time) = (format!("id-{}", chance.u32(..200)), now - chance.i64(0..3) * 3_000_000);
        // Some have an id, some only an origin; a tenant makes an id another.
        let tenant = chance.bool();
        let mut list = match id.ends_with('7') {
            true => ours(&[("millstream-origin", format!("{id:>16}").as_bytes())]),
            false => ours(&[("event-id", id.as_bytes())]),
        };
        if tenant {
            list = list.insert(Header { key: "tenant", value: Some("acme") });
        }
        let text = offset.to_string();
        let record = BaseRecord::<str, str>::to(rig.topic()).partition(1).payload(&text).timestamp(time).headers(list);
        producer.send(record).unwrap();
        sent.push((if tenant && !id.ends_with('7') { format!("acme/{id}") } else { id }, time));
    }
    producer.flush(LIMIT).unwrap();
    known(&log, 1, count);
    let kept = |(offset, (id, time)): (usize, &(String, Millis))| {
        let before = sent[..offset].iter().rposition(|(other, _)| other == id);
        let drops = before.is_some_and(|before| (time - sent[before].1).abs() <= 3_600_000);
        (!drops).then_some(offset as u64)
    };
    let kept: Vec<u64> = sent.iter().enumerate().filter_map(kept).collect();
    assert!(kept.len() > 200 && kept.len() < 500, "{}", kept.len());
    let (all, at) = read(&log, &[(0, 0), (1, 0), (2, 0)]);
    assert_eq!(all.iter().map(|r| r.offset).collect::<Vec<_>>(), kept);
    assert_eq!(at, [0, count, 0], "the reader is told how far it has come");
    assert!(all.iter().all(|r| r.text == r.offset.to_string()));
    for from in (0..count).step_by(37).chain([count - 1, count, count + 5]) {
        let (found, at) = read(&log, &[(1, from)]);
        assert!(found.iter().eq(all.iter().filter(|r| r.offset >= from)), "from {from}");
        assert_eq!(at, [count.max(from)], "from {from}");
    }
}

fn between<'a>(text: &'a str, name: &str) -> Option<(usize, &'a str)> {
    let at = text.find(&format!("{name}="))? + name.len() + 1;
    let len = text[at..].find(';')?;
    Some((at, &text[at..at + len]))
}

/// Finds `key=…;type=…;id=…;time=…;` in the data; what has none of it is refused.
fn describe(_: &event::Stream, data: &[u8]) -> Option<Described> {
    let text = std::str::from_utf8(data).ok()?;
    let range = |name: &str| between(text, name).map_or(0..0, |(at, value)| at..at + value.len());
    between(text, "id")?;
    let time = between(text, "time").and_then(|(_, value)| value.parse().ok());
    Some(Described { key: range("key"), kind: range("type"), id: range("id"), time })
}

#[test]
fn records_of_stock_kafka_producers_are_described() {
    let mut rig = KafkaRig::new();
    rig.settings.describe = Arc::new(describe);
    let log = rig.open();
    let producer = producer(&rig.settings.brokers);
    let large = "x".repeat(300);
    let bad_name = OwnedHeaders::new().insert(Header { key: "trace", value: Some(b"\xff\x00".as_slice()) });
    let many = (0..40).fold(OwnedHeaders::new(), |l, _| l.insert(Header { key: "much", value: Some(&[b'y'; 1_000]) }));
    let table: [(Option<&str>, Option<String>, OwnedHeaders); 8] = [
        (None, Some("key=k;type=t;id=1;time=77;".to_owned()), OwnedHeaders::new()),
        (Some("own"), Some("key=k;id=2;".to_owned()), bad_name),
        (Some("own"), Some("not what the stream asks for".to_owned()), OwnedHeaders::new()),
        (Some("gone"), None, OwnedHeaders::new()),
        (None, None, many),
        (Some(&large), Some(format!("key=k;id={large};")), OwnedHeaders::new()),
        (None, Some("again;id=1;".to_owned()), OwnedHeaders::new()),
        (
            None,
            Some("id=1;of another".to_owned()),
            OwnedHeaders::new().insert(Header { key: "tenant", value: Some("x") }),
        ),
    ];
    let now = SystemClock::default().now();
    for (key, value, list) in &table {
        let mut record = BaseRecord::<str, str>::to(rig.topic()).partition(0).timestamp(now).headers(list.clone());
        (record.key, record.payload) = (*key, value.as_deref());
        producer.send(record).unwrap();
    }
    producer.flush(LIMIT).unwrap();
    known(&log, 0, table.len() as u64);
    let (found, _) = read(&log, &[(0, 0)]);
    let parts = |r: &Row| (r.offset, r.key.clone(), r.kind.clone(), r.id.clone(), r.time);
    let row = |offset, key: &str, kind: &str, id: &str, time| (offset, key.into(), kind.into(), id.into(), time);
    let expected = [
        row(0, "k", "t", "1", 77),
        row(1, "own", "", "2", now),
        row(2, "own", "", "", now),
        row(3, "gone", "", "", now),
        row(4, "", "", "", now),
        row(5, "", "", "", now),
        row(7, "", "", "1", now),
    ];
    assert_eq!(found.iter().map(parts).collect::<Vec<_>>(), expected);
    assert!(found[..6].iter().zip(&table).all(|(r, (_, value, _))| r.text == value.clone().unwrap_or_default()));
    assert_eq!(headers::get(&found[1].headers, "trace"), Some(&b"\xff\0"[..]));
    assert!(found[4].headers.len() > 10_000 && found[4].headers.len() <= limits::HEADERS_BYTES_MAX);
}

#[test]
fn a_time_of_an_event_leads_to_its_offset_on_kafka() {
    let mut things = stream(1);
    let field = event::Field { path: FieldPath::parse("time").unwrap(), required: false };
    things.time = Some(TimeField { field, unit: TimeUnit::Millis, max_future_ms: 60_000 });
    let rig = KafkaRig::of(Arc::new(Catalog::new(vec![things]).unwrap()));
    let (log, producer) = (rig.open(), producer(&KAFKA.brokers()));
    let start = SystemClock::default().now() - 10_000_000;
    // Appended a second apart; their own times lie up to a minute ahead, or hours behind, or are not there.
    let ahead = [0, 60_000, -9_000_000, 30_000, 0, 1_000, 60_000, -1, 0, 500];
    let mut times = Vec::new();
    for (n, ahead) in ahead.into_iter().enumerate() {
        let appended_at = start + n as Millis * 1_000;
        let time = if ahead == -1 { NO_TIME } else { appended_at + ahead };
        let text = time.to_string();
        let list = if time == NO_TIME { ours(&[]) } else { ours(&[("event-time", text.as_bytes())]) };
        let record = BaseRecord::<str, str>::to(rig.topic()).partition(0).payload("x").timestamp(appended_at);
        producer.send(record.headers(list)).unwrap();
        times.push(if time == NO_TIME { appended_at } else { time });
    }
    producer.flush(LIMIT).unwrap();
    let asked = times.iter().flat_map(|time| [*time, time + 1]).chain([0, start - 60_000, start + 90_000]);
    for time in asked {
        let expected = times.iter().position(|t| *t >= time).unwrap_or(times.len());
        assert_eq!(log.offset_at(THINGS, 0, time).unwrap(), expected as u64, "at {}", time - start);
    }
}

#[test]
fn what_has_arrived_at_kafka_can_be_told() {
    let rig = KafkaRig::new();
    let log: KafkaLog = rig.open();
    append(&log, &["a:1", "a:2"]).unwrap();
    let mut origin = request(&log, &["a:3"]);
    origin.batches[0].drafts[0].id_hash = 99;
    log.append(origin).unwrap().wait_blocking().unwrap();
    let partition = event::partition_of(b"a", 3);
    let by_id = |id: &str| Identity::of(true, b"", id.as_bytes(), None).unwrap();
    let by_origin = |origin: u128| Identity::of(true, b"", b"", Some(origin)).unwrap();
    let wanted = [by_id("a:1"), by_id("a:2"), by_id("a:3"), by_id("a:4"), by_origin(99), by_origin(98)].into();
    assert_eq!(log.arrived(THINGS, partition, 0, &wanted).unwrap(), [by_id("a:1"), by_id("a:2"), by_origin(99)].into());
    assert_eq!(log.arrived(THINGS, partition, 1, &wanted).unwrap(), [by_id("a:2"), by_origin(99)].into());
    assert!(log.arrived(THINGS, partition, 3, &wanted).unwrap().is_empty());
    assert!(log.arrived(THINGS, (partition + 1) % 3, 0, &wanted).unwrap().is_empty());
}

#[test]
fn blocks_are_bounded_and_of_one_time_on_kafka() {
    let rig = KafkaRig::new();
    let (log, producer) = (rig.open(), producer(&KAFKA.brokers()));
    let (now, text) = (SystemClock::default().now(), "x".repeat(10_000));
    for n in 0..2_000 {
        let record = BaseRecord::<str, str>::to(rig.topic()).partition(0).payload(&text).timestamp(now + n / 1_000);
        producer.send(record).unwrap();
    }
    producer.flush(LIMIT).unwrap();
    known(&log, 0, 2_000);
    let mut cursor = log.read(THINGS, &[(0, 0)]).unwrap();
    let (mut next, mut times) = (0, Vec::new());
    loop {
        let blocks = cursor.next(1 << 30).unwrap();
        if blocks.is_empty() {
            break;
        }
        for block in blocks {
            assert!(block.first_offset() == next && block.weight() <= limits::FRAME_BYTES_MAX);
            next = block.next_offset();
            times.push((block.first_offset(), block.appended_at));
        }
    }
    assert_eq!(next, 2_000);
    assert!(times.iter().all(|(first, at)| *at == now + i64::from(*first >= 1_000)));
    let mut cursor = log.read(THINGS, &[(0, 0)]).unwrap();
    let bytes: Vec<usize> = (0..10).map(|_| cursor.next(25_000).unwrap().iter().map(Block::weight).sum()).collect();
    assert!(bytes.iter().all(|bytes| (1..=40_000).contains(bytes)), "{bytes:?}");
    assert_eq!(cursor.next(0).unwrap().len(), 1, "at least one");
}
