//! Windows of every kind, what they measure, and late events.

use super::met;

/// Checks one definition over a stream with one partition: events of a group at a minute, with a value.
fn check(window: &str, sent: &[(&str, &str, &str)], expected: &[&str]) {
    let one = |(group, at, value): &(&str, &str, &str)| {
        format!("  - things: {{ g: {group}, at: '2026-11-20T{at}Z', v: {value} }}\n")
    };
    let sent: String = sent.iter().map(one).collect();
    let expected: String = expected.iter().map(|one| format!("    - {{ window: w, {one} }}\n")).collect();
    met(&format!(
        "streams: {{ things: {{ key: g, time: at, partitions: 1 }} }}\nwindows: [{{ name: w, stream: things, {window} }}]\n\
         events:\n{sent}expect:\n  windows:\n{expected}"
    ));
}

#[test]
fn every_measure_is_told() {
    let measures = "measures: { n: count(), big: count(v > 2), sum: sum(v), min: min(v), max: max(v), mean: mean(v), \
                    kinds: distinct(v), half: quantile(v, 0.5) }";
    check(
        &format!("sizes: [1m, 1h], by: [g], {measures}"),
        &[
            ("a", "10:00:01", "1"),
            ("a", "10:00:02", "2"),
            ("b", "10:00:03", "5"),
            ("a", "10:00:59.999", "2"),
            ("a", "10:01:00", "8"),
        ],
        &[
            "size: 1m, start: '2026-11-20T10:00:00Z', end: '2026-11-20T10:01:00Z', key: { g: a }, events: 3, late: 0, \
             values: { n: 3, big: 0, sum: 5, min: 1, max: 2, mean: 1.6666666666666667, kinds: 2, half: 1.98..2.02 }",
            "size: 1m, start: '2026-11-20T10:00:00Z', key: { g: b }, values: { n: 1, big: 1, mean: 5 }",
            "size: 1m, start: '2026-11-20T10:01:00Z', key: { g: a }, values: { n: 1 }",
            "size: 1h, start: '2026-11-20T10:00:00Z', key: { g: a }, values: { n: 4, sum: 13, kinds: 3 }",
            "size: 1h, start: '2026-11-20T10:00:00Z', key: { g: b }, values: { n: 1 }",
        ],
    );
}

#[test]
fn overlapping_windows_count_an_event_in_each() {
    check(
        "size: 10m, every: 5m, measures: { n: count() }",
        &[("a", "10:02:00", "1"), ("b", "10:07:00", "1")],
        &[
            "start: '2026-11-20T09:55:00Z', end: '2026-11-20T10:05:00Z', values: { n: 1 }",
            "start: '2026-11-20T10:00:00Z', values: { n: 2 }",
            "start: '2026-11-20T10:05:00Z', values: { n: 1 }",
        ],
    );
}

#[test]
fn a_session_lasts_as_long_as_no_gap_is_longer() {
    check(
        "session: { gap: 10m }, by: [g], measures: { n: count() }",
        &[("a", "10:00:00", "1"), ("a", "10:09:00", "1"), ("b", "10:09:30", "1"), ("a", "10:30:00", "1")],
        &[
            "size: session, start: '2026-11-20T10:00:00Z', key: { g: a }, values: { n: 2 }",
            "size: session, start: '2026-11-20T10:09:30Z', key: { g: b }, values: { n: 1 }",
            "size: session, start: '2026-11-20T10:30:00Z', key: { g: a }, values: { n: 1 }",
        ],
    );
}

#[test]
fn a_late_event_corrects_its_window_or_is_only_counted() {
    // The second one moves the watermark to 10:01:00, so the third one is in time and the fifth one is late.
    let sent = [
        ("a", "10:00:00", "1"),
        ("a", "10:01:09", "1"),
        ("a", "10:00:59", "1"),
        ("a", "10:01:10", "1"),
        ("a", "10:00:30", "1"),
    ];
    let of = |n: u32| format!("start: '2026-11-20T10:00:00Z', late: 1, values: {{ n: {n} }}");
    let next = "start: '2026-11-20T10:01:00Z', late: 0, values: { n: 2 }";
    check("sizes: [1m], lateness: 10s, measures: { n: count() }", &sent, &[&of(3), next]);
    check("sizes: [1m], lateness: 10s, late: count, measures: { n: count() }", &sent, &[&of(2), next]);
}

#[test]
fn only_what_meets_the_condition_is_measured() {
    check(
        "sizes: [1m], when: v >= 2, measures: { n: count() }",
        &[("a", "10:00:00", "1"), ("b", "10:00:01", "2")],
        &["values: { n: 1 }"],
    );
}
