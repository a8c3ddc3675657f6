//! Redis: what it has answered survives a kill, and it ends with whoever started it.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use services::Redis;

use crate::left::{Traces, until};

/// Says one line to a server and gives the line it answers.
fn ask(redis: &Redis, question: &str) -> String {
    let mut stream = TcpStream::connect(redis.url().trim_start_matches("redis://")).unwrap();
    stream.write_all(format!("{question}\r\n").as_bytes()).unwrap();
    BufReader::new(stream).lines().next().unwrap().unwrap()
}

#[test]
fn redis_comes_back_at_the_same_address_with_what_it_kept() {
    let mut redis = Redis::start().unwrap();
    let url = redis.url();
    assert_eq!(ask(&redis, "APPEND word one"), ":3");
    redis.kill();
    assert_eq!(redis.pid(), None);
    assert!(TcpStream::connect(url.trim_start_matches("redis://")).is_err());
    redis.restart();
    assert_eq!(ask(&redis, "APPEND word two"), ":6");
    redis.stop();
    redis.restart();
    assert_eq!((ask(&redis, "STRLEN word"), redis.url()), (":6".to_owned(), url));
}

#[test]
fn redis_leaves_nothing_behind() {
    let redis = Redis::start().unwrap();
    let traces = Traces::of(redis.pid().unwrap());
    assert!(traces.runs());
    drop(redis);
    traces.are_gone();
}

const CHILD: &str = "MILLSTREAM_SERVICES_CHILD";

/// Not a test of its own: the process that the next test kills. Without the variable it returns at once.
#[test]
fn redis_child_that_is_killed() {
    if std::env::var_os(CHILD).is_some() {
        let redis = Redis::start().unwrap();
        eprintln!("pid {}", redis.pid().unwrap());
        std::io::stdin().lines().next();
    }
}

#[test]
fn redis_ends_with_a_process_that_is_killed() {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["redis::redis_child_that_is_killed", "--exact", "--nocapture"])
        .env(CHILD, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let pid = lines.find_map(|line| line.strip_prefix("pid ")?.parse().ok()).unwrap();
    let traces = Traces::of(pid);
    child.kill().unwrap();
    child.wait().unwrap();
    until("the guard has ended the server and removed its folder", || !traces.runs() && !traces.folder.exists());
}
