//! The configuration as its users meet it: documents in, settings or every problem out.

use event::{JsonKind, Severity, TimeUnit};
use process::RuleKind;

use super::*;

fn settings(text: &str) -> Settings {
    load_with(&Source::of(text), std::iter::empty()).unwrap_or_else(|bad| panic!("{bad}"))
}

/// Checks that a document has exactly these problems, each as `path: part of its message or suggestion`.
fn check(text: &str, expected: &[(&str, &str)]) {
    let bad = load_with(&Source::of(text), std::iter::empty()).expect_err(text);
    let shown = bad.to_string();
    assert_eq!(bad.problems.len(), expected.len(), "{shown}");
    for (path, part) in expected {
        let found = bad.problems.iter().any(|p| {
            let words = format!("{} {}", p.message, p.suggestion.as_deref().unwrap_or_default());
            p.path == *path && words.contains(part)
        });
        assert!(found, "{path}: {part}, in\n{shown}");
    }
}

#[test]
fn nothing_configured_gives_the_built_in_streams_and_rules() {
    let settings = settings("");
    let names: Vec<&str> = settings.catalog.iter().map(|(_, s)| s.name.as_str()).collect();
    assert_eq!(names, ["signals", "events", "segment", "_answers", "_refused"]);
    let signals = settings.catalog.get(settings.catalog.find("signals").unwrap());
    assert_eq!(signals.partitions, 6);
    assert!(signals.key.as_ref().unwrap().required);
    assert!(!signals.id.as_ref().unwrap().required);
    let time = signals.time.as_ref().unwrap();
    assert_eq!((time.unit, time.max_future_ms), (TimeUnit::Millis, 300_000));
    assert_eq!(signals.require.len(), 4);
    assert_eq!(signals.require[1].one_of.len(), 5);
    assert_eq!(signals.dedup.unwrap().within_ms, 3_600_000);
    assert_eq!(signals.retention.age_ms, Some(604_800_000));
    let events = settings.catalog.get(settings.catalog.find("events").unwrap());
    assert!(!events.key.as_ref().unwrap().required && !events.time.as_ref().unwrap().field.required);

    let [purchase, login] = &settings.rules[..] else { panic!("{:?}", settings.rules) };
    assert_eq!((purchase.name.as_str(), purchase.severity), ("high_value_purchase", Severity::High));
    assert_eq!(purchase.metadata[1], ("threshold".to_owned(), "1000".to_owned()));
    assert_eq!(login.kind, RuleKind::Count { more_than: 10, within_ms: 60_000 });
    assert_eq!((login.cooldown_ms, settings.programs.len()), (60_000, 1));
    assert_eq!(settings.listen.to_string(), "127.0.0.1:8000");
    assert_eq!(settings.roles.to_string(), "collect,process,query");
}

#[test]
fn a_key_of_a_built_in_stream_can_be_replaced_alone() {
    let settings = settings(
        "streams:\n  signals: { partitions: 12, retention: { age: none, size: 1GiB } }\n  \
         orders: { key: customer.id, require: { total: number } }\n",
    );
    let signals = settings.catalog.get(settings.catalog.find("signals").unwrap());
    assert_eq!((signals.partitions, signals.require.len()), (12, 4));
    assert_eq!((signals.retention.age_ms, signals.retention.size_bytes), (None, Some(1 << 30)));
    let orders = settings.catalog.get(settings.catalog.find("orders").unwrap());
    assert_eq!(orders.key.as_ref().unwrap().path.steps(), ["customer", "id"]);
    assert_eq!((orders.require[0].kind, orders.dedup), (JsonKind::Number, None));
}

#[test]
fn a_rule_of_the_same_name_replaces_the_built_in_one() {
    let settings = settings(
        "rules: [{ name: high_value_purchase, stream: signals, when: payload.amount > 5, severity: low },\n  \
         { name: flood, stream: events, count: { more_than: 3, within: 5m } }]",
    );
    assert_eq!(settings.rules.len(), 3);
    assert_eq!((settings.rules[1].when.as_str(), settings.rules[1].severity), ("payload.amount > 5", Severity::Low));
    assert_eq!(settings.rules[2].cooldown_ms, 300_000, "a count is quiet for its own window");
}

#[test]
fn every_problem_is_told_at_once() {
    check(
        "listn: 127.0.0.1:1\nroles: [colect]\nlog: { backend: kafka }\nstore: { backend: oracle }\n\
         windows: []\nstreams:\n  signals: { partitons: 3, retention: { age: 7 } }\n  Bad Name: {}\n\
         rules:\n  - { name: r, stream: signal, when: 'a > 1' }\n  - { name: r, stream: signals, when: 'a >' }\n",
        &[
            ("listn", "did you mean `listen`?"),
            ("roles", "did you mean `collect`"),
            ("log.backend", "`kafka` is not in this version use `disk`"),
            ("store.backend", "expected sqlite, found `oracle`"),
            ("windows", "not in this version"),
            ("streams.signals.partitons", "did you mean `partitions`?"),
            ("streams.signals.retention.age", "write a unit, as `7s`"),
            ("streams.Bad Name", "is not allowed"),
            ("rules[1]", "rule `r` is defined twice"),
            ("rules[0].stream", "did you mean `signals`?"),
            ("rules[1].when", "rule `r`"),
        ],
    );
}

#[test]
fn each_kind_of_mistake_is_named_with_its_path() {
    let table: &[(&str, &str, &str)] = &[
        ("[1]", "", "expected a section of keys, found a list"),
        ("a: [", "", "not YAML"),
        ("a: 1\na: 2", "", "not YAML"),
        ("listen: here", "listen", "such as 127.0.0.1:8000"),
        ("drain_timeout: 1 hour", "drain_timeout", "expected a duration"),
        ("collect: { strict_uuids: maybe }", "collect.strict_uuids", "expected true or false"),
        ("collect: { time_window: 24 }", "collect.time_window", "as `24s`"),
        ("collect: { strict_uuid: true }", "collect.strict_uuid", "did you mean `strict_uuids`?"),
        ("emit: { rate: fast }", "emit.rate", "expected a number from 0.1"),
        ("emit: { workers: 0 }", "emit.workers", "from 1 to 1024"),
        ("emit: { burst: maybe }", "emit.burst", "expected true or false"),
        ("streams: { s: { partitions: 0 } }", "streams.s.partitions", "from 1 to 1024, found 0"),
        ("streams: { s: { key: a..b } }", "streams.s.key", "is not a field path"),
        ("streams: { s: { time: { unit: ms } } }", "streams.s.time", "`field` is missing"),
        ("streams: { s: { time: { field: t, unit: minutes } } }", "streams.s.time.unit", "expected s, ms, us"),
        ("streams: { s: { require: { a: strng } } }", "streams.s.require.a", "did you mean `string`?"),
        ("streams: { s: { retention: { size: 5 } } }", "streams.s.retention.size", "as `5MB`"),
        ("streams: { s: { schema: x } }", "streams.s.schema", "not in this version"),
        ("rules: { name: r }", "rules", "expected a list"),
        ("rules: [{ stream: events, when: 'true' }]", "rules[0]", "`name` is missing"),
        ("rules: [{ name: A, stream: events, when: 'true' }]", "rules[0]", "is not allowed"),
        ("rules: [{ name: r, stream: events }]", "rules[0]", "needs `when`, `count` or both"),
        ("rules: [{ name: r, stream: events, count: { more_than: 1 } }]", "rules[0].count", "both needed"),
        ("rules: [{ name: r, stream: events, when: 'true', streak: 3 }]", "rules[0].streak", "not in this version"),
        (
            "rules: [{ name: r, stream: events, when: 'true', severity: hi }]",
            "rules[0].severity",
            "did you mean `high`",
        ),
    ];
    for (text, path, part) in table {
        check(text, &[(path, part)]);
    }
}

#[test]
fn a_problem_names_its_line_or_its_variable() {
    let bad = load_with(&Source::of("\n\nroles: x\n"), std::iter::empty()).unwrap_err();
    assert!(bad.to_string().contains("line 3: roles: "), "{bad}");
    let variable = ("MILLSTREAM__LOG__BACKEND".to_owned(), "redis".to_owned());
    let bad = load_with(&Source::of("log: { backend: disk }"), std::iter::once(variable)).unwrap_err();
    assert!(bad.to_string().contains("MILLSTREAM__LOG__BACKEND: log.backend: `redis` is not in"), "{bad}");
}

#[test]
fn what_is_shown_is_a_configuration_again() {
    let text = "streams: { orders: { key: 'a.b?', time: { field: t?, unit: s }, id: /x, dedup: off,\n\
                require: { a: [x, y] }, retention: { size: 10GiB } } }\n\
                rules: [{ name: r, stream: orders, count: { more_than: 1, within: 1d }, metadata: { n: count } }]";
    let strict = "collect: { strict_uuids: true, time_window: 1d }";
    for text in ["", text, strict] {
        let first = show(&settings(text));
        let yaml = serde_saphyr::to_string(&first).unwrap();
        assert_eq!(show(&settings(&yaml)), first, "{yaml}");
    }
}

#[test]
fn addresses_that_others_can_reach_need_a_word() {
    let open = settings("listen: 0.0.0.0:8000\nadmin: '[::]:8001'");
    assert_eq!(refuse_open_doors(&open, false, "x").unwrap_err().problems.len(), 2);
    refuse_open_doors(&open, true, "x").unwrap();
    refuse_open_doors(&settings("listen: localhost:9000"), false, "x").unwrap();
}

#[test]
fn what_init_writes_is_in_order() {
    let settings = settings(include_str!("../cli/init.yaml"));
    assert!(settings.catalog.find("orders").is_some());
    assert_eq!(settings.rules.len(), 4);
}
