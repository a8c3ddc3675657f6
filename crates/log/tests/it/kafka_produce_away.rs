//! Kafka that stops, hangs or loses a node: who waits is told in time, and the log goes on by itself.
#![expect(clippy::disallowed_methods, reason = "tests measure how long an answer takes")]

use std::time::{Duration, Instant};

use log::kafka::KafkaLog;
use log::{Log, LogError, Pending};
use services::Kafka;

use crate::kafka_rig::{KafkaRig, THINGS, append, request, until};

const LONG: Duration = Duration::from_secs(60);

/// Sends one event each until the log says that the broker is away; gives those that were taken.
fn send_until_away(log: &KafkaLog, name: &str) -> Vec<(String, Pending)> {
    let mut waiting = Vec::new();
    until("the broker is away", LONG, || {
        let text = format!("a:{name}-{}", waiting.len());
        if let Ok(pending) = log.append(request(log, &[&text])) {
            waiting.push((text, pending));
        }
        log.status().away.is_some()
    });
    waiting
}

#[test]
fn a_broker_that_stops_is_away_within_the_delivery_timeout_and_is_found_again() {
    let mut kafka = Kafka::start().unwrap();
    let mut rig = KafkaRig::at(&kafka.brokers());
    rig.settings.delivery_timeout = Duration::from_secs(1);
    let log = rig.open();
    append(&log, &["a:before"]).unwrap();
    kafka.stop(0);
    let start = Instant::now();
    let waiting = send_until_away(&log, "during");
    let mut lost = Vec::new();
    for (text, pending) in waiting {
        match pending.wait_blocking() {
            Err(LogError::Away(_)) => lost.push(text),
            other => panic!("{text}: {other:?}"),
        }
    }
    let took = start.elapsed();
    assert!(took > Duration::from_millis(900) && took < Duration::from_secs(4), "all were told after {took:?}");
    let at_once = Instant::now();
    assert!(matches!(append(&log, &["a:away"]), Err(LogError::Away(_))));
    assert!(at_once.elapsed() < Duration::from_millis(500), "nobody waits for a broker that is known to be away");
    kafka.restart(0);
    until("the broker is found again", LONG, || log.status().away.is_none());
    // Their ids are not known: they may not have arrived.
    for texts in lost.chunks(1_000) {
        let placed = append(&log, &texts.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        assert_eq!(placed.duplicates, Vec::<u32>::new());
    }
    assert_eq!(append(&log, &["a:before"]).unwrap().duplicates, [0]);
    let seen = rig.seen();
    assert!(lost.iter().all(|text| seen.iter().any(|s| s.value == text.as_bytes())));
}

#[test]
fn an_answer_waits_for_the_broker_and_a_broker_that_hangs_is_away() {
    let kafka = Kafka::start().unwrap();
    let mut rig = KafkaRig::at(&kafka.brokers());
    rig.settings.delivery_timeout = Duration::from_secs(8);
    let log = rig.open();
    append(&log, &["a:before"]).unwrap();
    kafka.pause(0);
    let mut pending = log.append(request(&log, &["a:during"])).unwrap();
    until("it waits", LONG, || log.status().queue_age_ms > 500);
    assert!(pending.0.try_recv().is_err(), "no answer before the report");
    kafka.resume(0);
    pending.wait_blocking().unwrap();
    kafka.pause(0);
    let waiting = send_until_away(&log, "hanging");
    assert!(!waiting.is_empty());
    for (text, pending) in waiting {
        assert!(matches!(pending.wait_blocking(), Err(LogError::Away(_))), "{text}");
    }
    kafka.resume(0);
    until("the broker is found again", LONG, || log.status().away.is_none());
    append(&log, &["a:after"]).unwrap();
    assert!(rig.seen().iter().any(|s| s.value == b"a:after"));
}

#[test]
fn a_log_opens_without_its_cluster_and_makes_its_topics_when_that_comes() {
    let mut kafka = Kafka::start().unwrap();
    let rig = KafkaRig::at(&kafka.brokers());
    kafka.stop(0);
    let log = rig.open();
    assert!(log.status().away.is_some());
    assert!(matches!(append(&log, &["a:early"]), Err(LogError::Away(_))));
    kafka.restart(0);
    until("the broker is found", LONG, || log.status().away.is_none());
    append(&log, &["a:early"]).unwrap();
    assert_eq!(rig.seen().len(), 1);
}

#[test]
fn a_log_closes_at_once_while_its_cluster_is_away() {
    let rig = KafkaRig::at("127.0.0.1:1");
    let log = rig.open();
    let start = Instant::now();
    log.close();
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert!(matches!(log.append(request(&log, &["a:1"])), Err(LogError::Closed)));
}

#[test]
fn appends_go_on_when_one_of_three_nodes_is_killed() {
    let mut kafka = Kafka::cluster(3).unwrap();
    let mut rig = KafkaRig::at(&kafka.brokers());
    rig.settings.replication = Some(3);
    rig.settings.delivery_timeout = Duration::from_secs(2);
    let log = rig.open();
    let texts: Vec<String> = (0..30).map(|i| format!("k{i}:before")).collect();
    append(&log, &texts.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    kafka.kill(1);
    let mut taken = texts;
    // Until the cluster has missed the node, its partitions have no leader that answers.
    let start = Instant::now();
    for i in 0..30 {
        let text = format!("k{i}:after");
        until("it is taken", LONG, || append(&log, &[&text]).is_ok());
        taken.push(text);
    }
    assert!(start.elapsed() < Duration::from_secs(40), "{:?}", start.elapsed());
    let seen = rig.seen();
    assert!(
        taken.iter().all(|text| seen.iter().any(|s| s.value == text.as_bytes())),
        "every one that was acknowledged"
    );
}

#[test]
fn nothing_is_known_of_the_ends_of_a_broker_that_did_not_answer_yet() {
    let mut kafka = Kafka::start().unwrap();
    let rig = KafkaRig::at(&kafka.brokers());
    let first = rig.open();
    append(&first, &["a:1", "a:2"]).unwrap();
    until("the broker answers", LONG, || first.knows_extents(THINGS));
    kafka.kill(0);
    let log = rig.open();
    assert!(!log.knows_extents(THINGS));
    assert!(log.extents(THINGS).iter().all(|extent| extent.next == 0));
    kafka.restart(0);
    until("the broker answers", LONG, || log.knows_extents(THINGS));
    assert_eq!(log.extents(THINGS).iter().map(|extent| extent.next).sum::<u64>(), 2);
}
