//! Rules of every kind, and what is said of those that are not sound.

use event::Severity;
use process::RuleKind;

use super::{check, comes_back, settings};

/// The one rule of a document besides the built-in ones.
fn kind(text: &str) -> RuleKind {
    settings(&format!("rules: [{{ name: r, stream: signals, {text} }}]")).rules.pop().unwrap().kind
}

#[test]
fn the_built_in_rules_are_those_of_the_signals() {
    let settings = settings("");
    let hours = |zone: &str| RuleKind::Hours { from_minute: 180, to_minute: 240, zone: zone.to_owned() };
    let count = |at_least, within_ms, sum: &str| RuleKind::Count { at_least, within_ms, sum: sum.to_owned() };
    let unless = "type == \"login\" && payload.success == true".to_owned();
    let (high, medium) = (Severity::High, Severity::Medium);
    let expected: [(&str, Severity, RuleKind, i64, &[&str]); 7] = [
        ("high_frequency_login", high, count(11, 60_000, ""), 60_000, &["login_count", "time_window"]),
        (
            "repeated_login_failures",
            medium,
            RuleKind::Streak { length: 3, unless },
            0,
            &["failure_count", "time_window"],
        ),
        (
            "unusual_location_login",
            medium,
            RuleKind::Novel { value: "payload.location".to_owned(), warm_up: 1 },
            0,
            &["new_location", "known_locations"],
        ),
        ("high_value_purchase", high, RuleKind::Predicate, 0, &["amount", "threshold"]),
        (
            "rapid_successive_purchases",
            medium,
            count(5, 3_600_000, "payload.amount"),
            3_600_000,
            &["purchase_count", "total_amount", "time_window"],
        ),
        (
            "high_api_failure_rate",
            high,
            count(6, 60_000, ""),
            60_000,
            &["failure_count", "time_window", "current_status_code"],
        ),
        ("unusual_time_activity", medium, hours("UTC"), 3_600_000, &["hour", "activity_type"]),
    ];
    assert_eq!(settings.rules.len(), expected.len());
    for (rule, (name, severity, kind, cooldown_ms, metadata)) in settings.rules.iter().zip(expected) {
        assert_eq!(
            (rule.name.as_str(), rule.severity, &rule.kind, rule.cooldown_ms),
            (name, severity, &kind, cooldown_ms)
        );
        assert!(rule.metadata.iter().map(|(name, _)| name).eq(metadata), "{name}");
    }
    let elsewhere = super::settings(
        "zone: Asia/Tokyo\nrules: [{ name: r, stream: signals, hours: { from: 1, to: 2, zone: UTC } }]",
    );
    assert_eq!(elsewhere.rules[6].kind, hours("Asia/Tokyo"), "the built-in rule follows the zone");
    assert_eq!(elsewhere.rules[7].kind, RuleKind::Hours { from_minute: 60, to_minute: 120, zone: "UTC".to_owned() });
}

#[test]
fn every_kind_is_read_with_its_defaults() {
    let text = |text: &str| text.to_owned();
    let table = [
        ("when: 'true'", RuleKind::Predicate),
        ("count: { at_least: 5, within: 1h }", RuleKind::Count { at_least: 5, within_ms: 3_600_000, sum: text("") }),
        (
            "count: { more_than: 5, within: 1h, sum: payload.amount }",
            RuleKind::Count { at_least: 6, within_ms: 3_600_000, sum: text("payload.amount") },
        ),
        ("when: a == 1, streak: { length: 2, unless: a == 2 }", RuleKind::Streak { length: 2, unless: text("a == 2") }),
        ("novel: { value: a }", RuleKind::Novel { value: text("a"), warm_up: 1 }),
        ("novel: { value: a, warm_up: 9 }", RuleKind::Novel { value: text("a"), warm_up: 9 }),
        (
            "hours: { from: '22:30', to: 6, zone: Europe/Berlin }",
            RuleKind::Hours { from_minute: 1_350, to_minute: 360, zone: text("Europe/Berlin") },
        ),
        ("hours: { from: 20, to: 0 }", RuleKind::Hours { from_minute: 1_200, to_minute: 1_440, zone: text("UTC") }),
        ("hours: { from: 24:00, to: 3:05 }", RuleKind::Hours { from_minute: 0, to_minute: 185, zone: text("UTC") }),
        ("deviation: { of: a }", RuleKind::Deviation { of: text("a"), z: 3.0, span: 100, warm_up: 30 }),
        (
            "deviation: { of: a, z: 2.5, span: 20, warm_up: 10 }",
            RuleKind::Deviation { of: text("a"), z: 2.5, span: 20, warm_up: 10 },
        ),
        ("absence: { after: 10m }", RuleKind::Absence { after_ms: 600_000 }),
        (
            "when: a == 1, sequence: { then: a == 2, within: 30s }",
            RuleKind::Sequence { then: text("a == 2"), within_ms: 30_000 },
        ),
    ];
    for (text, expected) in table {
        assert_eq!(kind(text), expected, "{text}");
        comes_back(&format!("rules: [{{ name: r, stream: signals, {text} }}]"));
    }
}

#[test]
fn a_rule_of_the_same_name_replaces_the_built_in_one() {
    let settings = settings(
        "rules: [{ name: high_value_purchase, stream: signals, when: payload.amount > 5, severity: low },\n  \
         { name: flood, stream: events, count: { more_than: 3, within: 5m } }]",
    );
    assert_eq!(settings.rules.len(), 8);
    assert_eq!((settings.rules[6].when.as_str(), settings.rules[6].severity), ("payload.amount > 5", Severity::Low));
    assert_eq!(settings.rules[7].cooldown_ms, 300_000, "a count is quiet for its own window");
}

#[test]
fn each_mistake_in_a_rule_is_named_with_its_path() {
    let table: &[(&str, &str, &str)] = &[
        ("streak: { length: 0, unless: a == 1 }", ".streak.length", "from 1 to"),
        ("streak: { length: 3 }", ".streak", "`unless` is missing as `streak: {"),
        ("streak: 3", ".streak", "expected a section of keys, found a number"),
        ("streak: { length: 3, unless: '  ' }", ".streak.unless", "an expression is missing"),
        ("novel: {}", ".novel", "`value` is missing"),
        ("novel: { value: a, warm_up: 0 }", ".novel.warm_up", "from 1 to"),
        ("novel: { value: a, warmup: 2 }", ".novel.warmup", "did you mean `warm_up`?"),
        ("hours: { from: 3 }", ".hours", "`to` is missing"),
        ("hours: { from: 3, to: '3:00' }", ".hours", "the same time"),
        ("hours: { from: 0, to: 24 }", ".hours", "the same time"),
        ("hours: { from: 25, to: 3 }", ".hours.from", "such as \"03:00\", or an hour from 0 to 24, found 25"),
        ("hours: { from: '3:60', to: 5 }", ".hours.from", "found 3:60"),
        ("hours: { from: noon, to: 13 }", ".hours.from", "found noon"),
        ("hours: { from: 1, to: 2, zone: Europe/Berln }", ".hours.zone", "did you mean `Europe/Berlin`?"),
        ("deviation: { z: 3 }", ".deviation", "`of` is missing"),
        ("deviation: { of: a, z: 0 }", ".deviation.z", "from 0.01 to"),
        ("deviation: { of: a, span: 1 }", ".deviation.span", "from 2 to"),
        ("deviation: { of: a, warm_up: 1 }", ".deviation.warm_up", "from 2 to"),
        ("absence: { after: 0s }", ".absence.after", "must be above 0"),
        ("absence: { after: 10 }", ".absence.after", "as `10s`"),
        ("sequence: { then: a == 1 }", ".sequence", "`within` is missing"),
        ("sequence: { then: a == 1, within: 0ms }", ".sequence.within", "above 0"),
        ("count: { more_than: 1 }", ".count", "`within` is missing"),
        ("count: { within: 1m }", ".count", "either `more_than` or `at_least`, found none"),
        ("count: { more_than: 1, at_least: 1, within: 1m }", ".count", "found both"),
        ("count: { at_least: 0, within: 1m }", ".count.at_least", "from 1 to 10000"),
        ("count: { more_than: 10000, within: 1m }", ".count.more_than", "from 0 to 9999"),
        (
            "count: { more_than: 1, within: 1m }, absence: { after: 1m }",
            ".absence",
            "a rule has one kind, found `count` and `absence` make a rule of its own",
        ),
        ("key: a", ".key", "not in this version"),
        ("severity: hi", ".severity", "did you mean `high`"),
        ("cooldown: soon", ".cooldown", "expected a duration"),
        ("sevrity: low", ".sevrity", "did you mean `severity`?"),
        ("metadata: { a: '1 +' }", ".metadata.a", "rule `r`: not CEL"),
    ];
    for (text, path, part) in table {
        let document = format!("rules: [{{ name: r, stream: signals, when: a == 1, {text} }}]");
        check(&document, &[(&format!("rules[0]{path}"), part)]);
    }
    for (text, path, part) in [
        ("rules: { name: r }", "rules", "expected a list"),
        ("rules: [{ stream: events, when: 'true' }]", "rules[0]", "`name` is missing"),
        ("rules: [{ name: r, when: 'true' }]", "rules[0]", "`stream` is missing"),
        ("rules: [{ name: A, stream: events, when: 'true' }]", "rules[0].name", "is not allowed"),
        ("rules: [{ name: r, stream: events }]", "rules[0]", "needs `when`, or one of count, streak"),
        ("rules: [{ name: r, stream: sevents, when: 'true' }]", "rules[0].stream", "did you mean `events`?"),
        ("rules: [{ name: r, stream: _refused, when: 'true' }]", "rules[0].stream", "known: signals, events"),
    ] {
        check(text, &[(path, part)]);
    }
}

#[test]
fn what_is_wrong_in_an_expression_is_found_in_the_file() {
    let place = |text: &str| {
        let bad = super::load_with(&super::Source::given("test", text), std::iter::empty()).expect_err(text);
        let problem = &bad.problems[0];
        assert!(!problem.message.contains("column"), "{bad}");
        (problem.path.clone(), problem.line.unwrap(), problem.column.unwrap())
    };
    let head = "rules:\n  - name: r\n    stream: events\n";
    for (text, path, line, column) in [
        ("    when: a == 1 && b.map(x, x)\n", "when", 4, 26),
        ("    when: \"a == 1 && b ? c : d\"\n", "when", 4, 24),
        ("    when: |\n      a == 1\n      && size() > 1\n", "when", 6, 14),
        ("    when: >-\n      a == 1\n      && f(a)\n", "when", 6, 11),
        ("    when: a == 1\n    metadata:\n      b: f(a)\n", "metadata.b", 6, 11),
        ("    when: a == 1\n    description: \"{a} and {f(a)}\"\n", "description", 5, 27),
    ] {
        let found = place(&format!("{head}{text}"));
        assert_eq!((found.0.as_str(), found.1), (format!("rules[0].{path}").as_str(), line), "{text}");
        assert!(found.2.abs_diff(column) <= 2, "{text}: {} and not {column}", found.2);
    }
}

#[test]
fn a_variable_can_set_the_zone_and_the_rules() {
    let variables =
        [("MILLSTREAM__ZONE", "Asia/Tokyo"), ("MILLSTREAM__RULES", "[{ name: r, stream: events, when: 'a > 1' }]")];
    let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    let settings = super::load_with(&super::Source::given("test", "zone: UTC"), variables).unwrap();
    assert_eq!((settings.zone.as_str(), settings.rules.len()), ("Asia/Tokyo", 8));
    let bad = ("MILLSTREAM__RULES".to_owned(), "[{ name: r, stream: events, when: 'a >' }]".to_owned());
    let bad = super::load_with(&super::Source::given("test", ""), std::iter::once(bad)).unwrap_err().to_string();
    assert!(bad.contains("MILLSTREAM__RULES: rules[0].when: column "), "{bad}");
}
