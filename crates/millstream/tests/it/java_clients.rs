//! The product on Kafka beside Kafka's own programs, in Java: they read what it writes, it processes what they write, and
//! they see how far it is.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;
use services::{Kafka, kafka_program};

use crate::product::{Product, folder, free_port, until, write};
use crate::stack::there;

const TOPIC: &str = "signal-events";

fn program(class: &str, kafka: &Kafka, arguments: &[&str]) -> Command {
    let mut command = there(kafka_program(class));
    command.args(["--bootstrap-server", &kafka.brokers()]).args(arguments);
    command
}

fn said(mut command: Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("java runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn signal(id: &str, user: u32) -> String {
    format!(r#"{{"event_id":"{id}","user_id":{user},"type":"click","timestamp":1700000000000,"payload":{{}}}}"#)
}

#[test]
fn java_programs_of_kafka_read_and_write_our_topics_and_see_the_lag() {
    let kafka = there(Kafka::start());
    let dir = folder();
    let text = format!("log: {{ kafka: {{ brokers: \"{}\", replication: 1 }} }}\n", kafka.brokers());
    write(dir.path(), "millstream.yaml", text.as_bytes());
    let product = Product::start(dir.path(), &[]);
    product.post_stored("signals", &format!("{}\n{}\n", signal("ours-1", 71), signal("ours-2", 72)));

    // A stock consumer reads what we wrote, keys and headers too.
    let more = ["--topic", TOPIC, "--from-beginning", "--max-messages", "2", "--timeout-ms", "30000"];
    let mut consumer = program("org.apache.kafka.tools.consumer.ConsoleConsumer", &kafka, &more);
    consumer.args(["--formatter-property", "print.key=true", "--formatter-property", "print.headers=true"]);
    let read = said(consumer);
    for (id, user) in [("ours-1", 71), ("ours-2", 72)] {
        let line = read.lines().find(|line| line.contains(id)).unwrap_or_else(|| panic!("no {id} in {read}"));
        let parts: Vec<&str> = line.split('\t').collect();
        assert!(parts[0].contains("content-type:application/json") && parts[0].contains("event-version:1.0"), "{line}");
        assert_eq!((parts[1], parts[2]), (&*user.to_string(), &*signal(id, user)));
    }

    // What a stock producer writes is processed: it knows nothing of our headers.
    let more = ["--topic", TOPIC, "--reader-property", "parse.key=true", "--reader-property", "key.separator=|"];
    let mut producer = program("org.apache.kafka.tools.ConsoleProducer", &kafka, &more);
    let mut child = producer.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("java runs");
    let lines: String = (0..20).map(|n| format!("{n}|{}\n", signal(&format!("theirs-{n}"), n))).collect();
    child.stdin.take().expect("piped").write_all(lines.as_bytes()).expect("it reads");
    assert!(child.wait().expect("it ends").success());
    let stored = || product.ask("/v1/events?stream=signals&limit=1000")["events"].as_array().expect("events").clone();
    until("what Java wrote is stored", || stored().len() == 22);
    for n in 0..20 {
        let id = format!("theirs-{n}");
        let event = stored().into_iter().find(|event| event["event_id"] == id.as_str()).expect("it is there");
        assert_eq!((&event["key"], &event["type"]), (&Value::from(n.to_string()), &"click".into()), "{event}");
    }

    // The tool that everybody looks at lags with.
    let lags = || -> Vec<u64> {
        let more = ["--describe", "--group", "millstream"];
        let told = said(program("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", &kafka, &more));
        let mut lines = told.lines().filter(|line| !line.trim().is_empty());
        let names: Vec<&str> = lines.next().unwrap_or_default().split_whitespace().collect();
        let at = |name: &str| names.iter().position(|n| *n == name).unwrap_or_else(|| panic!("no {name} in {told}"));
        let (topic, lag) = (at("TOPIC"), at("LAG"));
        let rows = lines.map(|line| line.split_whitespace().collect::<Vec<_>>());
        rows.filter(|row| row[topic] == TOPIC).filter_map(|row| row[lag].parse().ok()).collect()
    };
    let mut seen = Vec::new();
    until("the group has no lag", || {
        seen = lags();
        !seen.is_empty() && seen.iter().all(|lag| *lag == 0)
    });
    product.stop();
}

/// One window of a second for each user.
const PUBLISHED: &str = "
streams:
  results: { partitions: 3, key: key, id: id, dedup: { within: 1h } }
windows:
  - { name: clicks, stream: signals, sizes: [1s], by: [user_id], lateness: 0s, measures: { clicks: count() }, publish: results }
";
const USERS: u32 = 20;

/// A click of each user in this second.
fn clicks(second: u32) -> String {
    let time = 1_700_000_000_000_u64 + u64::from(second) * 1_000;
    let click = |user: u32| {
        format!(r#"{{"event_id":"{second}-{user}","user_id":{user},"type":"click","timestamp":{time},"payload":{{}}}}"#)
    };
    (0..USERS).map(|user| click(user) + "\n").collect()
}

#[test]
fn what_is_written_back_is_there_once_for_java_though_the_product_is_killed() {
    let kafka = there(Kafka::start());
    let (dir, listen) = (folder(), format!("127.0.0.1:{}", free_port()));
    let text = format!("log: {{ kafka: {{ brokers: \"{}\", replication: 1 }} }}\n{PUBLISHED}", kafka.brokers());
    write(dir.path(), "millstream.yaml", text.as_bytes());
    let mut product = Product::start_at(dir.path(), &listen, &[]);
    let results = |product: &Product| {
        product.ask("/v1/events?stream=results&limit=1000")["events"].as_array().expect("events").len()
    };
    for round in 0..4 {
        (0..6).for_each(|second| drop(product.post_stored("signals", &clicks(round * 6 + second))));
        let before = results(&product);
        until("results are on their way", || results(&product) > before + 10);
        if round < 3 {
            product.kill();
            product = Product::start_at(dir.path(), &listen, &[]);
        }
    }
    // The last second of each partition is still open.
    let closed = || {
        product.ask("/v1/windows?stream=signals&window=clicks&limit=1000")["windows"].as_array().expect("windows").len()
    };
    until("all results are there", || closed() >= 23 * USERS as usize && results(&product) >= closed());

    let properties = ["--formatter-property", "print.headers=true", "--formatter-property", "print.value=false"];
    let more =
        ["--topic", "results", "--from-beginning", "--timeout-ms", "5000", "--isolation-level", "read_committed"];
    let mut consumer = program("org.apache.kafka.tools.consumer.ConsoleConsumer", &kafka, &more);
    // It ends when nothing came for five seconds.
    let output = consumer.args(properties).stdin(Stdio::null()).output().expect("java runs");
    let read = String::from_utf8(output.stdout).expect("text");
    let id = |line: &str| Some(line.split("event-id:").nth(1)?.split([',', '\t']).next()?.to_owned());
    let mut ids: Vec<String> = read.lines().filter_map(id).collect();
    let count = ids.len();
    assert!(count >= closed(), "{count} results of {} windows: {}", closed(), String::from_utf8_lossy(&output.stderr));
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count, "some are there twice");
    assert_eq!(results(&product), count);
    product.stop();
}
