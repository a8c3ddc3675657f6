//! TimescaleDB: the extension is there and does its work, and a connection is treated as PostgreSQL treats it.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use services::Timescale;

use crate::left::Traces;

fn psql(timescale: &Timescale) -> Command {
    let programs = PathBuf::from(std::env::var_os("MILLSTREAM_TEST_POSTGRES").unwrap());
    let mut command = Command::new(programs.join("psql"));
    command.args([&timescale.url(), "-qAt"]);
    command
}

/// What statements give, or what is wrong with them.
fn ask(timescale: &Timescale, statements: &[&str]) -> String {
    let output = psql(timescale).args(statements.iter().flat_map(|one| ["-c", *one])).output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim().to_owned()
}

#[test]
fn timescale_makes_a_hypertable_of_postgres_and_leaves_nothing_behind() {
    let timescale = Timescale::start().unwrap();
    let traces = Traces::of(timescale.pid().unwrap());
    let made = [
        "CREATE TABLE event (at bigint NOT NULL)",
        "SELECT (create_hypertable('event', by_range('at', 86400000))).created",
        "SELECT count(*) FROM timescaledb_information.hypertables",
    ];
    assert_eq!(ask(&timescale, &made), "t\n1");
    assert!(ask(&timescale, &made[..1]).contains("already exists"));
    drop(timescale);
    traces.are_gone();
}

#[test]
fn timescale_of_postgres_undoes_what_a_client_that_is_killed_had_begun() {
    let timescale = Timescale::start().unwrap();
    ask(&timescale, &["CREATE TABLE word (text text)"]);
    let mut client = psql(&timescale).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = client.stdin.take().unwrap();
    input.write_all(b"BEGIN; INSERT INTO word VALUES ('lost'); SELECT 'there';\n").unwrap();
    assert_eq!(BufReader::new(client.stdout.take().unwrap()).lines().next().unwrap().unwrap(), "there");
    client.kill().unwrap();
    client.wait().unwrap();
    assert_eq!(
        ask(&timescale, &["BEGIN", "INSERT INTO word VALUES ('kept')", "COMMIT", "SELECT text FROM word"]),
        "kept"
    );
}

#[test]
fn timescale_of_postgres_outlives_clients_that_break_off() {
    let timescale = Timescale::start().unwrap();
    let url = timescale.url();
    let (_, address) = url.split_once('@').unwrap();
    let mut startup = vec![0, 0, 0, 41, 0, 3, 0, 0];
    startup.extend_from_slice(b"user\0postgres\0database\0postgres\0\0");
    let sql = b"SELECT repeat('x', 4000000)\0";
    for _ in 0..5 {
        let mut client = TcpStream::connect(address.split_once('/').unwrap().0).unwrap();
        client.write_all(&startup).unwrap();
        assert_eq!(client.peek(&mut [0; 1]).unwrap(), 1);
        client.write_all(&[b"Q".as_slice(), &(sql.len() as u32 + 4).to_be_bytes(), sql].concat()).unwrap();
        // What is not read is what makes the end of it abrupt.
        drop(client);
    }
    assert_eq!(ask(&timescale, &["SELECT 'there'"]), "there");
}

#[test]
fn timescale_of_postgres_takes_a_copy_of_many_rows() {
    let timescale = Timescale::start().unwrap();
    ask(&timescale, &["CREATE TABLE word (number int, text text)"]);
    let rows: String = (0..20_000).map(|number| format!("{number}\t{}\n", "x".repeat(number % 97))).collect();
    assert!(copied(&timescale, &rows));
    // What is refused leaves nothing, and the server works on.
    assert!(!copied(&timescale, "20000\tgood\nbad\tnumber\n"));
    assert_eq!(ask(&timescale, &["SELECT count(*), sum(number) FROM word"]), "20000|199990000");
}

/// Whether the server took the rows.
fn copied(timescale: &Timescale, rows: &str) -> bool {
    let mut command = psql(timescale);
    command.args(["-c", "COPY word FROM STDIN"]).stdin(Stdio::piped()).stderr(Stdio::null());
    let mut client = command.spawn().unwrap();
    client.stdin.take().unwrap().write_all(rows.as_bytes()).unwrap();
    client.wait().unwrap().success()
}
