//! Kafka: one node keeps what it has acknowledged, three go on when one is gone.

use std::io::Write;
use std::process::{Command, Stdio};

use services::Kafka;

use crate::left::{Traces, until};

/// Runs a tool of Kafka's; gives what it prints.
fn tool(class: &str, arguments: &[&str]) -> String {
    let jars = std::env::var("MILLSTREAM_TEST_KAFKA").unwrap();
    let mut command = Command::new("java");
    command.args(["-Xmx128m", "-cp", &format!("{jars}/*"), class]).args(arguments);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn topic(kafka: &Kafka, replicas: &str) {
    let brokers = kafka.brokers();
    let what = ["--bootstrap-server", &brokers, "--create", "--topic", "words"];
    let how = ["--partitions", "1", "--replication-factor", replicas];
    tool("org.apache.kafka.tools.TopicCommand", &[&what[..], &how[..]].concat());
}

fn kcat(kafka: &Kafka, arguments: &[&str]) -> Command {
    let mut command = Command::new(services::kcat().unwrap());
    command.args(["-b", &kafka.brokers(), "-t", "words"]).args(arguments).stderr(Stdio::null());
    command
}

/// Writes a line and waits for all replicas in step to have it.
fn say(kafka: &Kafka, word: &str) -> bool {
    let mut child = kcat(kafka, &["-P", "-X", "acks=all", "-X", "message.timeout.ms=20000"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(word.as_bytes()).unwrap();
    child.wait().unwrap().success()
}

fn words(kafka: &Kafka) -> String {
    let output = kcat(kafka, &["-C", "-e", "-q", "-o", "beginning"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn kafka_comes_back_at_the_same_address_with_what_kcat_wrote() {
    let mut kafka = Kafka::start().unwrap();
    let brokers = kafka.brokers();
    topic(&kafka, "1");
    assert!(say(&kafka, "one"));
    kafka.kill(0);
    kafka.restart(0);
    assert!(say(&kafka, "two"));
    kafka.stop(0);
    kafka.restart(0);
    assert_eq!((words(&kafka), kafka.brokers()), ("one\ntwo\n".to_owned(), brokers));
    let traces = Traces::of(kafka.pids()[0]);
    drop(kafka);
    traces.are_gone();
}

#[test]
fn kafka_with_three_nodes_goes_on_for_kcat_without_one_of_them() {
    let mut kafka = Kafka::cluster(3).unwrap();
    topic(&kafka, "3");
    assert!(say(&kafka, "one"));
    kafka.kill(0);
    until("the others have taken over", || say(&kafka, "two"));
    kafka.restart(0);
    kafka.pause(1);
    until("the others have taken over", || say(&kafka, "three"));
    kafka.resume(1);
    let words = words(&kafka);
    assert!(["one", "two", "three"].iter().all(|word| words.contains(word)), "{words}");
    let traces: Vec<Traces> = kafka.pids().into_iter().map(Traces::of).collect();
    assert_eq!(traces.len(), 3);
    drop(kafka);
    traces.iter().for_each(Traces::are_gone);
}
