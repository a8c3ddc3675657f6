//! What is refused of a definition at start, and how it is said.

use event::Stream;
use process::{Program, RuleError, WindowKind, WindowSpec};

use crate::made::signals;
use crate::windows_made::{by, window};

fn errors(stream: &Stream, specs: &[WindowSpec]) -> Vec<RuleError> {
    Program::compile(stream, &[], specs).map(|_| ()).unwrap_err()
}

/// The definition must be refused for this part alone, with these words.
fn check(spec: WindowSpec, field: &str, words: &str) {
    let found = errors(&signals(), &[spec]);
    let [error] = &found[..] else { panic!("{found:?}") };
    assert_eq!((error.rule.as_str(), error.field.as_str()), ("w", field));
    assert!(error.message.contains(words), "{error}");
}

fn counted() -> WindowSpec {
    window(&[("n", "count()")])
}

#[test]
fn a_measure_is_refused_at_its_column() {
    let measure = |text: &str, words: &str| check(window(&[("m", text)]), "measures.m", words);
    measure("v", "column 1: a measure is expected here; supported are count(), count(condition), sum(x)");
    measure("v.sum()", "a measure is expected here");
    measure("median(v)", "`median` is no measure");
    measure("sum()", "`sum` does not take 0 arguments");
    measure("count(a, b)", "`count` does not take 2 arguments");
    measure("sum(f(v))", "column 6: the function `f` is not supported");
    measure("count(v + 1)", "column 9: true or false is expected");
    measure("quantile(v)", "`quantile` does not take 1 arguments");
    measure("quantile(v, 95)", "column 13: a number from 0 to 1");
    measure("quantile(v, v)", "a number from 0 to 1");
    measure("sum(v", "not CEL");
}

#[test]
fn measures_have_names_and_there_are_some() {
    check(window(&[]), "measures", "1 to 32 are supported");
    check(window(&[("n", "count()"), ("n", "sum(v)")]), "measures", "the name `n` must be there, and unique");
    check(window(&[("", "count()")]), "measures", "must be there");
    check(window(&vec![("n", "count()"); 33]), "measures", "33 are named");
}

#[test]
fn lengths_must_make_sense() {
    let kind = |kind, field, words| check(WindowSpec { kind, ..counted() }, field, words);
    kind(WindowKind::Tumbling(vec![]), "sizes", "1 to 16");
    kind(WindowKind::Tumbling((1..=17).collect()), "sizes", "1 to 16");
    kind(WindowKind::Tumbling(vec![1, 0]), "sizes", "above 0");
    kind(WindowKind::Tumbling(vec![1, 2, 1]), "sizes", "twice");
    kind(WindowKind::Hopping { size_ms: 10, every_ms: 0 }, "every", "above 0");
    kind(WindowKind::Hopping { size_ms: 10, every_ms: 3 }, "size", "a multiple of `every`");
    kind(WindowKind::Hopping { size_ms: 0, every_ms: 3 }, "size", "a multiple of `every`");
    kind(WindowKind::Hopping { size_ms: 289, every_ms: 1 }, "every", "at most 288 times");
    check(WindowSpec { lateness_ms: -1, ..counted() }, "lateness", "negative");
}

#[test]
fn groups_are_made_of_fields() {
    check(by(&["a..b"], counted()), "by", "`a..b` is no field");
    check(by(&["a.b", "/a/b"], counted()), "by", "`/a/b` stands there twice");
    check(by(&["a", "b", "c", "d", "e", "f", "g", "h", "i"], counted()), "by", "9 fields; at most 8");
}

#[test]
fn sessions_must_be_within_one_partition() {
    let session = |fields: &[&str]| by(fields, WindowSpec { kind: WindowKind::Session { gap_ms: 1 }, ..counted() });
    check(session(&["type"]), "by", "name the stream's key `user_id` here");
    check(WindowSpec { kind: WindowKind::Session { gap_ms: 0 }, ..session(&["user_id"]) }, "gap", "above 0");
    let keyless = Stream { key: None, ..signals() };
    assert!(errors(&keyless, &[session(&["user_id"])])[0].message.contains("give the stream a key"));
    assert!(Program::compile(&Stream { partitions: 1, ..keyless }, &[], &[session(&[])]).is_ok());
    assert!(Program::compile(&signals(), &[], &[session(&["type", "user_id"])]).is_ok());
}

#[test]
fn all_problems_are_told_at_once_and_other_streams_are_passed_over() {
    let bad = WindowSpec { when: "1".to_owned(), lateness_ms: -1, ..window(&[("a", "f(v)"), ("b", "v")]) };
    let other = WindowSpec { stream: "other".to_owned(), ..window(&[]) };
    let found = errors(&signals(), &[counted(), bad, other]);
    let fields: Vec<_> = found.iter().map(|error| error.field.as_str()).collect();
    assert_eq!(fields, ["name", "lateness", "when", "measures.a", "measures.b"]);
}

#[test]
fn the_number_follows_what_results_depend_on() {
    let number = |spec: WindowSpec| Program::compile(&signals(), &[], &[spec]).unwrap().windows().next().unwrap().1;
    let base = WindowSpec { kind: WindowKind::Tumbling(vec![1, 2]), ..counted() };
    let same = WindowSpec { lateness_ms: 5, correct: true, publish: "results".to_owned(), ..base.clone() };
    let sorted = WindowSpec { kind: WindowKind::Tumbling(vec![2, 1]), ..base.clone() };
    assert_eq!([number(same), number(sorted)], [number(base.clone()); 2]);
    let others = [
        base.clone(),
        WindowSpec { when: "v > 1".to_owned(), ..base.clone() },
        WindowSpec { kind: WindowKind::Tumbling(vec![1]), ..base.clone() },
        WindowSpec { kind: WindowKind::Hopping { size_ms: 2, every_ms: 1 }, ..base.clone() },
        WindowSpec { measures: window(&[("m", "count()")]).measures, ..base.clone() },
        WindowSpec { measures: window(&[("n", "count(v > 1)")]).measures, ..base.clone() },
        by(&["type"], base),
    ];
    let numbers: std::collections::BTreeSet<_> = others.into_iter().map(number).collect();
    assert_eq!(numbers.len(), 7);
}
