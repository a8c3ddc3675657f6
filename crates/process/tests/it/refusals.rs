//! What is refused at start, and how it is said.

use event::Stream;
use process::{Program, RuleError, RuleKind, RuleSpec};

use crate::made::{high_frequency_login, rule, signals};

fn errors(stream: &Stream, rules: &[RuleSpec]) -> Vec<RuleError> {
    Program::compile(stream, rules).map(|_| ()).unwrap_err()
}

/// The condition must be refused at this place, for a reason with these words.
fn check(when: &str, place: &str, words: &str) {
    let found = errors(&signals(), &[rule("r", when, RuleKind::Predicate, 0)]);
    let [error] = &found[..] else { panic!("{when}: {found:?}") };
    assert_eq!((error.rule.as_str(), error.field.as_str()), ("r", "when"));
    assert!(error.message.starts_with(&format!("{place}: ")), "{when}: {error}");
    assert!(error.message.contains(words), "{when}: {error}");
}

#[test]
fn what_is_not_supported_is_refused_at_its_column() {
    check("type == 'a' && name.matches('x')", "column 28", "`matches`");
    check("é == 'a' ", "column 1", "not CEL");
    check("name == 'é' && f(1)", "column 17", "supported are literals");
    check("type == 'a' ? true : false", "column 13", "`? :`");
    check("tags[0] == 1", "column 5", "`a[b]`");
    check("tags.exists(t, t == 1)", "column 12", "exists");
    check("1 in tags", "column 6", "`in` takes a list in brackets");
    check("{'a': 1} == 1", "column 1", "maps");
    check("b'x' == 1", "column 1", "bytes");
    check("a.b.c.d.e.f.g.h.i == 1", "column 16", "at most 8");
    check("size(a, b) == 1", "column 5", "`size`");
    check("type = 'login'", "column 6", "not CEL");
    check("type ==", "column 8", "not CEL");
    check("true &&\n  f(2)", "line 2, column 4", "`f`");
    check("1 && true", "column 1", "true or false is expected");
    check("!(payload.a + 1)", "column 13", "true or false is expected");
}

#[test]
fn a_condition_that_is_never_true_is_refused() {
    for when in ["1", "'x'", "payload.a + 1", "size(name)", "type"] {
        let found = errors(&signals(), &[rule("r", when, RuleKind::Predicate, 0)]);
        assert!(found[0].message.contains("never true or false"), "{when}: {found:?}");
    }
}

#[test]
fn numbers_out_of_range_and_names_used_twice_are_refused_all_at_once() {
    let count = |more_than, within_ms| RuleKind::Count { more_than, within_ms };
    let rules = [
        rule("a", "", count(10_000, 1), 0),
        rule("b", "", count(1, 0), -1),
        rule("b", "", RuleKind::Predicate, 0),
        rule("c", "oops(", RuleKind::Predicate, 0),
        RuleSpec { description: "{f(1)}".to_owned(), ..rule("d", "", RuleKind::Predicate, 0) },
        RuleSpec { metadata: vec![("m".into(), "a[0]".into())], ..rule("e", "", RuleKind::Predicate, 0) },
    ];
    let found = errors(&signals(), &rules);
    let places: Vec<_> = found.iter().map(|e| (e.rule.as_str(), e.field.as_str())).collect();
    let expected = [
        ("a", "count.more_than"),
        ("b", "cooldown"),
        ("b", "count.within"),
        ("b", "name"),
        ("c", "when"),
        ("d", "description"),
        ("e", "metadata.m"),
    ];
    assert_eq!(places, expected);
    assert!(found[3].to_string().starts_with("rule `b`, name: "), "{}", found[3]);
}

#[test]
fn counting_needs_a_key_or_one_partition() {
    let keyless = Stream { key: None, ..signals() };
    assert_eq!(errors(&keyless, &[high_frequency_login()])[0].field, "count");
    assert!(Program::compile(&Stream { partitions: 1, ..keyless }, &[high_frequency_login()]).is_ok());
}

#[test]
fn rules_of_other_streams_are_passed_over() {
    let other = RuleSpec { stream: "other".to_owned(), when: "nonsense(".to_owned(), ..high_frequency_login() };
    let program = Program::compile(&signals(), &[other, high_frequency_login()]).unwrap();
    assert_eq!(program.rules().collect::<Vec<_>>(), [("high_frequency_login", true)]);
}

#[test]
fn braces_of_a_description_must_have_partners() {
    for (text, place) in [("a {b", "column 3"), ("a } b", "column 3"), ("é{{{", "column 4"), ("{'}'", "column 1")] {
        let spec = RuleSpec { description: text.to_owned(), ..rule("r", "", RuleKind::Predicate, 0) };
        let found = errors(&signals(), &[spec]);
        assert!(found[0].message.starts_with(place), "{text}: {}", found[0]);
    }
}
