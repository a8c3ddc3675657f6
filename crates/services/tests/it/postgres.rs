//! PostgreSQL: what it has committed survives a kill, and each database is a fresh one.

use std::path::PathBuf;
use std::process::Command;

use services::Postgres;

use crate::left::Traces;

/// What a statement gives, or what is wrong with it.
fn ask(url: &str, statement: &str) -> Result<String, String> {
    let programs = PathBuf::from(std::env::var_os("MILLSTREAM_TEST_POSTGRES").unwrap());
    let output = Command::new(programs.join("psql")).args([url, "-qAtc", statement]).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

#[test]
fn postgres_comes_back_at_the_same_address_with_what_it_committed() {
    let mut postgres = Postgres::start().unwrap();
    let url = postgres.database();
    ask(&url, "CREATE TABLE word (text text); INSERT INTO word VALUES ('one')").unwrap();
    postgres.kill();
    assert!(ask(&url, "SELECT 1").is_err());
    postgres.restart();
    assert_eq!(ask(&url, "SELECT text FROM word").unwrap(), "one");
    postgres.stop();
    assert!(ask(&url, "SELECT 1").is_err());
    postgres.restart();
    assert_eq!(ask(&url, "SELECT text FROM word").unwrap(), "one");
}

#[test]
fn postgres_databases_are_apart_and_commits_reach_the_disk() {
    let postgres = Postgres::start().unwrap();
    let (one, other) = (postgres.database(), postgres.database());
    ask(&one, "CREATE TABLE word (text text)").unwrap();
    assert!(ask(&other, "SELECT * FROM word").unwrap_err().contains("does not exist"));
    assert_eq!(ask(&one, "SELECT current_setting('fsync') || current_setting('synchronous_commit')").unwrap(), "onon");
    // As by the rules of a language and not by bytes, where capitals come first.
    assert_eq!(ask(&one, "SELECT 'a' < 'B'").unwrap(), "t");
}

#[test]
fn postgres_leaves_nothing_behind() {
    let postgres = Postgres::start().unwrap();
    let traces = Traces::of(postgres.pid().unwrap());
    assert!(traces.runs());
    drop(postgres);
    traces.are_gone();
}
