//! The configuration as its users meet it: documents in, settings or every problem out.

mod alerts;
mod backends;
mod rules;
mod windows;

use event::{JsonKind, TimeUnit};

use super::*;

fn settings(text: &str) -> Settings {
    load_with(&Source::given("test", text), std::iter::empty()).unwrap_or_else(|bad| panic!("{bad}"))
}

/// Checks that a document has exactly these problems, each as `path: part of its message or suggestion`.
fn check(text: &str, expected: &[(&str, &str)]) {
    let bad = load_with(&Source::given("test", text), std::iter::empty()).expect_err(text);
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

    assert_eq!((settings.rules.len(), settings.windows.len(), settings.programs.len()), (7, 1, 1));
    assert_eq!((settings.zone.as_str(), settings.alerts.len()), ("UTC", 0));
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
fn every_problem_is_told_at_once() {
    check(
        "listn: 127.0.0.1:1\nroles: [colect]\nlog: { backend: kafka }\nstore: { backend: oracle }\n\
         window: []\nstreams:\n  signals: { partitons: 3, retention: { age: 7 } }\n  Bad Name: {}\n\
         rules:\n  - { name: r, stream: signal, when: 'a > 1' }\n  - { name: r, stream: signals, when: 'a >' }\n",
        &[
            ("listn", "did you mean `listen`?"),
            ("roles", "did you mean `collect`"),
            ("log.kafka", "`brokers` is missing as `brokers: kafka-1:9092"),
            ("store.backend", "expected sqlite or postgres, found `oracle`"),
            ("window", "did you mean `windows`?"),
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
        ("zone: Mars", "zone", "as `UTC` or `Europe/Berlin`"),
        ("zone: Europe/Berln", "zone", "did you mean `Europe/Berlin`?"),
    ];
    for (text, path, part) in table {
        check(text, &[(path, part)]);
    }
}

#[test]
fn a_flag_has_the_spellings_of_environments_and_other_words_stay_words() {
    for (text, expected) in [("true", true), ("yes", true), ("1", true), ("False", false), ("off", false), ("0", false)]
    {
        assert_eq!(settings(&format!("emit: {{ burst: {text} }}")).emit.burst, expected, "{text}");
    }
    let settings = settings("streams: { s: { require: { country: [no, off, y] }, dedup: off } }");
    let stream = settings.catalog.get(settings.catalog.find("s").unwrap());
    assert_eq!((&stream.require[0].one_of[..], stream.dedup), (&["no", "off", "y"].map(str::to_owned)[..], None));
}

#[test]
fn a_problem_names_its_line_or_its_variable() {
    let bad = load_with(&Source::given("test", "\n\nroles: x\n"), std::iter::empty()).unwrap_err();
    assert!(bad.to_string().contains("line 3, column 8: roles: "), "{bad}");
    let variable = ("MILLSTREAM__LOG__BACKEND".to_owned(), "redis".to_owned());
    let bad = load_with(&Source::given("test", "log: { backend: disk }"), std::iter::once(variable)).unwrap_err();
    assert!(bad.to_string().contains("MILLSTREAM__LOG__BACKEND: log.redis: `url` is missing"), "{bad}");
}

/// Checks that what is shown of a document is a configuration, and the same one.
fn comes_back(text: &str) {
    let first = show(&settings(text));
    let yaml = serde_saphyr::to_string(&first).unwrap();
    assert_eq!(show(&settings(&yaml)), first, "{yaml}");
}

#[test]
fn what_is_shown_is_a_configuration_again() {
    comes_back("");
    comes_back(
        "streams: { orders: { key: 'a.b?', time: { field: t?, unit: s }, id: /x, dedup: off,\n\
         require: { a: [x, y] }, retention: { size: 10GiB } } }\n\
         rules: [{ name: r, stream: orders, count: { more_than: 1, within: 1d }, metadata: { n: count } }]",
    );
    comes_back("collect: { strict_uuids: true, time_window: 1d }");
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
    let settings = settings(include_str!("../../cli/init.yaml"));
    assert!(settings.catalog.find("orders").is_some());
    let names: Vec<&str> = settings.rules.iter().skip(7).map(|rule| rule.name.as_str()).collect();
    assert_eq!(names, ["large_order", "many_returns"]);
    assert_eq!(settings.windows[1].name, "orders_by_status");
}

#[test]
fn all_that_init_comments_out_is_in_order_too() {
    let text = include_str!("../../cli/init.yaml");
    let shown = |line: &str| {
        let bare = line.strip_prefix("  # ").or_else(|| line.strip_prefix("  #"));
        bare.map_or_else(|| line.to_owned(), |bare| format!("  {bare}"))
    };
    let rules: Vec<String> = text.lines().skip_while(|line| *line != "rules:").map(shown).collect();
    let settings = settings(&format!("streams: {{ orders: {{ key: customer.id }} }}\n{}", rules.join("\n")));
    assert_eq!((settings.rules.len() - 7, settings.windows.len() - 1), (8, 3), "one of every kind");
}
