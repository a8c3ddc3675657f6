//! What is refused at start, and how it is said.

use event::Stream;
use process::{Program, RuleError, RuleKind, RuleSpec};

use crate::made::{high_frequency_login, rule, signals};

fn errors(stream: &Stream, rules: &[RuleSpec]) -> Vec<RuleError> {
    Program::compile(stream, rules, &[]).map(|_| ()).unwrap_err()
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
    let count = |at_least, within_ms| RuleKind::Count { at_least, within_ms, sum: String::new() };
    let rules = [
        rule("a", "", count(10_001, 1), 0),
        rule("b", "", count(1, 0), -1),
        rule("b", "", RuleKind::Predicate, 0),
        rule("c", "oops(", RuleKind::Predicate, 0),
        RuleSpec { description: "{f(1)}".to_owned(), ..rule("d", "", RuleKind::Predicate, 0) },
        RuleSpec { metadata: vec![("m".into(), "a[0]".into())], ..rule("e", "", RuleKind::Predicate, 0) },
    ];
    let found = errors(&signals(), &rules);
    let places: Vec<_> = found.iter().map(|e| (e.rule.as_str(), e.field.as_str())).collect();
    let expected = [
        ("a", "count.at_least"),
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
    let absence = rule("r", "", RuleKind::Absence { after_ms: 5 }, 0);
    assert_eq!(errors(&keyless, &[absence])[0].field, "absence");
    assert!(Program::compile(&Stream { partitions: 1, ..keyless }, &[high_frequency_login()], &[]).is_ok());
}

#[test]
fn every_kind_tells_which_of_its_fields_is_wrong() {
    let text = str::to_owned;
    let streak = |length, unless: &str| RuleKind::Streak { length, unless: text(unless) };
    let novel = |value: &str, warm_up| RuleKind::Novel { value: text(value), warm_up };
    let hours = |from_minute, to_minute, zone: &str| RuleKind::Hours { from_minute, to_minute, zone: text(zone) };
    let deviation = |of: &str, z, span, warm_up| RuleKind::Deviation { of: text(of), z, span, warm_up };
    let sequence = |then: &str, within_ms| RuleKind::Sequence { then: text(then), within_ms };
    let sum = |sum: &str| RuleKind::Count { at_least: 1, within_ms: 1, sum: text(sum) };
    let check = |kind: RuleKind, field: &str, words: &str| {
        let found = errors(&signals(), &[rule("r", "", kind.clone(), 0)]);
        let [error] = &found[..] else { panic!("{kind:?}: {found:?}") };
        assert_eq!(error.field, field, "{kind:?}");
        assert!(error.message.contains(words), "{error}");
    };
    check(sum("f(1)"), "count.sum", "column 2");
    check(streak(0, "ok"), "streak.length", "at least 1");
    check(streak(1, " "), "streak.unless", "must not be empty");
    check(streak(1, "true && 1"), "streak.unless", "column 9: true or false is expected");
    check(streak(1, "1"), "streak.unless", "never true or false");
    check(novel("", 1), "novel.value", "must not be empty");
    check(novel("a[0]", 1), "novel.value", "`a[b]`");
    check(novel("a", 0), "novel.warm_up", "at least 1");
    check(hours(1_440, 5, "UTC"), "hours.from", "before 24:00");
    check(hours(0, 1_441, "UTC"), "hours.to", "24:00 at the latest");
    check(hours(5, 5, "UTC"), "hours.to", "not be the same");
    check(hours(5, 6, "Europe/Berln"), "hours.zone", "did you mean `Europe/Berlin`?");
    check(deviation("", 1.0, 2, 2), "deviation.of", "must not be empty");
    check(deviation("a", 0.0, 2, 2), "deviation.z", "above 0");
    check(deviation("a", f64::NAN, 2, 2), "deviation.z", "above 0");
    check(deviation("a", 1.0, 1, 2), "deviation.span", "at least 2");
    check(deviation("a", 1.0, 2, 1), "deviation.warm_up", "at least 2");
    check(RuleKind::Absence { after_ms: 0 }, "absence.after", "above 0");
    check(sequence("", 1), "sequence.then", "must not be empty");
    check(sequence("x ==", 1), "sequence.then", "not CEL");
    check(sequence("ok", 0), "sequence.within", "above 0");
}

#[test]
fn rules_of_other_streams_are_passed_over() {
    let other = RuleSpec { stream: "other".to_owned(), when: "nonsense(".to_owned(), ..high_frequency_login() };
    let program = Program::compile(&signals(), &[other, high_frequency_login()], &[]).unwrap();
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
