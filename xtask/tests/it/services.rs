//! `cargo xtask services` as a developer meets it.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Command, Stdio};

/// Where a line `export NAME=[scheme://[user@]]host:port[/…]` points.
fn address(line: &str) -> String {
    let value = line.split_once('=').unwrap().1;
    let place = value.rsplit_once("//").map_or(value, |(_, rest)| rest);
    let place = place.rsplit_once('@').map_or(place, |(_, rest)| rest);
    place.split('/').next().unwrap().to_owned()
}

#[test]
fn the_verb_services_starts_kafka_postgres_timescale_and_redis_until_it_is_interrupted() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .arg("services")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let said: Vec<String> = lines.by_ref().take_while(|line| !line.starts_with("Ctrl-C")).collect();
    let exports: Vec<&String> = said.iter().filter(|line| line.starts_with("export ")).collect();
    assert_eq!(exports.len(), 3, "{said:?}");
    let addresses: Vec<String> = exports.into_iter().map(|line| address(line)).collect();
    assert!(addresses.iter().all(|address| TcpStream::connect(address).is_ok()), "{addresses:?}");
    let interrupted = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupted.success() && !child.wait().unwrap().success());
    // The guards of the servers do the rest; a port closes when its server has ended.
    let mut open = addresses.clone();
    for _ in 0..1_000 {
        open.retain(|address| TcpStream::connect(address).is_ok());
        if open.is_empty() {
            return;
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "other processes are waited for; the condition is polled with an end"
        )]
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("still answering: {open:?} of {addresses:?}");
}
