//! Windows of every kind, and what is said of those that are not sound.

use process::WindowKind;

use super::{check, comes_back, settings};

#[test]
fn the_built_in_window_is_that_of_the_signals() {
    let settings = settings("");
    let [window] = &settings.windows[..] else { panic!("{:?}", settings.windows) };
    assert_eq!(
        (window.name.as_str(), window.stream.as_str(), window.when.as_str()),
        ("signals_by_type", "signals", "")
    );
    assert_eq!(window.kind, WindowKind::Tumbling(vec![60_000, 300_000, 3_600_000, 86_400_000]));
    assert_eq!((&window.by[..], window.lateness_ms, window.correct), (&["type".to_owned()][..], 10_000, true));
    let measures: Vec<(&str, &str)> =
        window.measures.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    assert_eq!(
        measures,
        [
            ("count", "count()"),
            ("amount", "sum(payload.amount)"),
            ("users", "distinct(user_id)"),
            ("p95", "quantile(payload.response_time_ms, 0.95)"),
        ]
    );
}

#[test]
fn every_kind_of_window_is_read() {
    for (text, kind) in [
        ("sizes: [1m, 1h]", WindowKind::Tumbling(vec![60_000, 3_600_000])),
        ("size: 10m, every: 1m", WindowKind::Hopping { size_ms: 600_000, every_ms: 60_000 }),
        ("session: { gap: 30m }, by: [user_id]", WindowKind::Session { gap_ms: 1_800_000 }),
    ] {
        let document = format!("windows: [{{ name: w, stream: signals, {text}, measures: {{ n: count() }} }}]");
        let window = settings(&document).windows.pop().unwrap();
        assert_eq!(window.correct, !matches!(kind, WindowKind::Session { .. }), "{text}");
        assert_eq!((window.kind, window.lateness_ms, window.publish.as_str()), (kind, 10_000, ""), "{text}");
        comes_back(&document);
    }
    let document = "windows: [{ name: w, stream: signals, sizes: [1m], when: 'user_id > 5', by: [type, payload.page], \
                    lateness: 1m, late: count, publish: events, measures: { b: max(payload.amount), a: count() } }]";
    let window = settings(document).windows.pop().unwrap();
    assert_eq!((window.when.as_str(), window.lateness_ms, window.correct), ("user_id > 5", 60_000, false));
    assert_eq!((window.publish.as_str(), window.by.len(), window.measures[0].0.as_str()), ("events", 2, "b"));
    comes_back(document);
}

#[test]
fn a_measure_with_a_comma_needs_no_quotes_in_braces() {
    let window = |measures: &str| {
        let text = format!("windows: [{{ name: w, stream: signals, sizes: [1m], measures: {measures} }}]");
        settings(&text).windows.pop().unwrap().measures
    };
    let p95 = ("p95".to_owned(), "quantile(payload.response_time_ms, 0.95)".to_owned());
    let count = ("n".to_owned(), "count()".to_owned());
    assert_eq!(window("{ n: count(), p95: quantile(payload.response_time_ms, 0.95) }"), [count.clone(), p95.clone()]);
    assert_eq!(window("{ p95: quantile(payload.response_time_ms, 0.95), n: count() }"), [p95, count]);
    check(
        "windows: [{ name: w, stream: signals, sizes: [1m], measures: { n: count(), x } }]",
        &[("windows[0].measures.x", "expected text, found nothing")],
    );
}

#[test]
fn a_window_of_the_same_name_replaces_the_built_in_one() {
    let settings =
        settings("windows: [{ name: signals_by_type, stream: signals, sizes: [1m], measures: { n: count() } }]");
    assert_eq!((settings.windows.len(), settings.windows[0].by.len()), (1, 0));
}

#[test]
fn each_mistake_in_a_window_is_named_with_its_path() {
    let table: &[(&str, &str, &str)] = &[
        ("measures: { n: count() }", "", "expected one of `sizes`, `size` with `every`, and `session`"),
        ("sizes: [1m], session: { gap: 1m }, measures: { n: count() }", "", "expected one of `sizes`"),
        ("sizes: [], measures: { n: count() }", ".sizes", "at least one length"),
        ("sizes: 1m, measures: { n: count() }", ".sizes", "expected a list, found text"),
        ("sizes: [1m, 1m], measures: { n: count() }", ".sizes[1]", "there twice"),
        ("sizes: [0s], measures: { n: count() }", ".sizes[0]", "must be above 0"),
        ("sizes: [60], measures: { n: count() }", ".sizes[0]", "as `60s`"),
        ("size: 5m, measures: { n: count() }", ".size", "write `sizes: [5m]`, or add `every`"),
        ("session: {}, measures: { n: count() }", ".session", "`gap` is missing"),
        ("session: { gap: 1m }, late: correct, measures: { n: count() }", ".late", "write `late: count`"),
        ("sizes: [1m], late: maybe, measures: { n: count() }", ".late", "expected correct or count"),
        ("sizes: [1m], lateness: 5, measures: { n: count() }", ".lateness", "as `5s`"),
        ("sizes: [1m]", "", "`measures` is missing"),
        ("sizes: [1m], measures: {}", ".measures", "0 are named"),
        ("sizes: [1m], measures: { n: '' }", ".measures.n", "an expression is missing"),
        ("sizes: [1m], mesures: {}, measures: { n: count() }", ".mesures", "did you mean `measures`?"),
        ("sizes: [1m], publish: sinals, measures: { n: count() }", ".publish", "did you mean `signals`?"),
        ("sizes: [1m], publish: _refused, measures: { n: count() }", ".publish", "known: signals"),
        ("sizes: [1m], publish: events, measures: { n: count() }", ".publish", "would come back to `events`"),
    ];
    for (text, path, part) in table {
        let document = format!("windows: [{{ name: w, stream: events, {text} }}]");
        check(&document, &[(&format!("windows[0]{path}"), part)]);
    }
    for (text, path, part) in [
        ("windows: {}", "windows", "expected a list"),
        ("windows: [{ stream: events, sizes: [1m], measures: { n: count() } }]", "windows[0]", "`name` is missing"),
        (
            "windows: [{ name: W, stream: events, sizes: [1m], measures: { n: count() } }]",
            "windows[0].name",
            "window name `W`",
        ),
        (
            "windows: [{ name: w, stream: event, sizes: [1m], measures: { n: count() } }]",
            "windows[0].stream",
            "did you mean `events`?",
        ),
    ] {
        check(text, &[(path, part)]);
    }
}

#[test]
fn what_only_the_compiler_knows_is_told_with_its_path() {
    let window = |text: &str| format!("windows: [{{ name: w, stream: signals, {text} }}]");
    for (text, path) in [
        ("sizes: [1m], measures: { n: median(payload.amount) }", "windows[0].measures.n"),
        ("sizes: [1m], measures: { n: 'quantile(payload.amount, 2)' }", "windows[0].measures.n"),
        ("sizes: [1m], when: 'user_id >', measures: { n: count() }", "windows[0].when"),
        ("sizes: [1m], by: [a..b], measures: { n: count() }", "windows[0].by"),
    ] {
        let bad = super::load_with(&super::Source::given("test", &window(text)), std::iter::empty()).expect_err(text);
        let problem = &bad.problems[0];
        assert!(problem.path.starts_with(path) && problem.message.starts_with("window `w`: "), "{text}: {bad}");
        assert_eq!((bad.problems.len(), problem.line), (1, Some(1)), "{text}: {bad}");
    }
}

#[test]
fn results_never_come_back_to_where_they_are_from() {
    let window = |name: &str, from: &str, to: &str| {
        format!("  - {{ name: {name}, stream: {from}, sizes: [1m], publish: {to}, measures: {{ n: count() }} }}\n")
    };
    let streams = "streams: { a: { id: id }, b: { id: id }, c: { id: id } }\nwindows:\n";
    settings(&format!("{streams}{}{}{}", window("x", "a", "b"), window("y", "b", "c"), window("z", "a", "c")));
    check(
        &format!("{streams}{}{}{}", window("x", "a", "b"), window("y", "b", "c"), window("z", "c", "a")),
        &[
            ("windows[0].publish", "come back to `a`"),
            ("windows[1].publish", "come back to `b`"),
            ("windows[2].publish", "come back to `c`"),
        ],
    );
}

#[test]
fn results_go_only_where_duplicates_are_suppressed() {
    let publish = |stream: &str| {
        format!(
            "streams: {{ totals: {stream} }}\n\
             windows: [{{ name: w, stream: signals, sizes: [1m], publish: totals, measures: {{ n: count() }} }}]"
        )
    };
    settings(&publish("{ id: id }"));
    settings(&publish("{ id: id, dedup: { within: 10m } }"));
    for without in ["{}", "{ id: id, dedup: off }"] {
        check(&publish(without), &[("windows[0].publish", "`totals` has no duplicate suppression")]);
        check(&publish(without), &[("windows[0].publish", "give `totals` an `id` and a `dedup`")]);
    }
}

#[test]
fn a_rule_and_a_window_may_have_the_same_name() {
    let both = |when: &str| {
        format!(
            "rules: [{{ name: x, stream: events, when: 'a > 1' }}]\n\
             windows: [{{ name: x, stream: events, when: '{when}', sizes: [1m], measures: {{ n: count() }} }}]"
        )
    };
    settings(&both("a > 1"));
    check(&both("a >"), &[("windows[0].when", "window `x`: not CEL")]);
    let twice = "windows: [{ name: x, stream: events, sizes: [1m], measures: { n: count() } },\n\
                 { name: x, stream: signals, sizes: [1m], measures: { n: count() } }]";
    check(twice, &[("windows[1]", "window `x` is defined twice")]);
}
