//! Where windows begin and end, and what measures tell.

use process::{WindowKind, WindowSpec};

use crate::windows_made::{Lane, MINUTE, Sent, all_told, at, by, of, program, program_of_one, window};

fn count() -> WindowSpec {
    window(&[("n", "count()")])
}

#[test]
fn an_event_at_the_end_belongs_to_the_next_window_and_closes_the_one_before() {
    let program = program(&[count()]);
    let mut lane = Lane::new(&program);
    assert!(lane.send(&[at(MINUTE, "1"), at(2 * MINUTE - 1, "1")]).is_empty());
    assert_eq!(all_told(&lane.send(&[at(2 * MINUTE, "1")])), ["60000 60000..120000 {} 2: 2"]);
    let pieces = lane.send(&[at(5 * MINUTE, "1")]);
    assert_eq!(all_told(&pieces), ["60000 120000..180000 {} 1: 1"]);
    assert_eq!(
        (pieces[0].partition, pieces[0].offset, pieces[0].correction),
        (2, 3, false),
        "the record that closed it"
    );
    assert_eq!((&*pieces[0].names, pieces[0].definition), (&["n".to_owned()][..], program.windows().next().unwrap().1));
}

#[test]
fn windows_are_aligned_to_the_epoch_on_both_sides_of_it() {
    let kind = WindowKind::Tumbling(vec![MINUTE, 300_000, 3_600_000, 86_400_000]);
    let program = program(&[WindowSpec { kind, ..count() }]);
    let mut lane = Lane::new(&program);
    lane.send(&[at(-1, "1"), at(0, "1"), at(86_400_000, "1")]);
    let expected = [
        "60000 -60000..0 {} 1: 1",
        "300000 -300000..0 {} 1: 1",
        "3600000 -3600000..0 {} 1: 1",
        "86400000 -86400000..0 {} 1: 1",
        "60000 0..60000 {} 1: 1",
        "300000 0..300000 {} 1: 1",
        "3600000 0..3600000 {} 1: 1",
        "86400000 0..86400000 {} 1: 1",
    ];
    assert_eq!(all_told(&lane.out.windows), expected);
}

#[test]
fn lengths_need_not_divide_each_other() {
    let kind = WindowKind::Tumbling(vec![7, 2, 4, 6]);
    let program = program(&[WindowSpec { kind, ..count() }]);
    let mut lane = Lane::new(&program);
    let events: Vec<_> = (0..30).chain([1_000]).map(|time| at(time, "1")).collect();
    lane.send(&events);
    for (size, windows) in [(2, 15), (4, 8), (6, 5), (7, 5)] {
        let of_size: Vec<_> = lane.out.windows.iter().filter(|piece| piece.id.size_ms == size).collect();
        assert_eq!((of_size.len(), of_size.iter().map(|piece| piece.events).sum::<u64>()), (windows, 30), "{size}");
        assert!(of_size.iter().all(|piece| piece.end <= 30 - 30 % size || piece.events < size as u64));
    }
}

#[test]
fn output_is_in_the_order_of_end_size_start_tenant_and_key() {
    let kind = WindowKind::Tumbling(vec![MINUTE, 2 * MINUTE]);
    let program = program(&[by(&["user_id"], WindowSpec { kind, ..count() })]);
    let mut lane = Lane::new(&program);
    let tenant = |tenant, event: Sent| Sent { tenant, ..event };
    lane.send(&[of("b", 0, "1"), tenant("t", of("a", 1, "1")), of("a", MINUTE, "1"), of("c", MINUTE, "1")]);
    lane.send(&[at(10 * MINUTE, "1")]);
    let expected = [
        "60000 0..60000 {\"user_id\":\"b\"} 1: 1",
        "t 60000 0..60000 {\"user_id\":\"a\"} 1: 1",
        "60000 60000..120000 {\"user_id\":\"a\"} 1: 1",
        "60000 60000..120000 {\"user_id\":\"c\"} 1: 1",
        "120000 0..120000 {\"user_id\":\"a\"} 1: 1",
        "120000 0..120000 {\"user_id\":\"b\"} 1: 1",
        "120000 0..120000 {\"user_id\":\"c\"} 1: 1",
        "t 120000 0..120000 {\"user_id\":\"a\"} 1: 1",
    ];
    assert_eq!(all_told(&lane.out.windows), expected);
}

/// Vectors of domains.md section 7 («Aggregation»), and zero is a value.
#[test]
fn measures_are_over_the_values_that_are_there() {
    let measures = [
        ("n", "count()"),
        ("answered", "count(v != null)"),
        ("sum", "sum(v)"),
        ("min", "min(v)"),
        ("max", "max(v)"),
        ("mean", "mean(v)"),
        ("distinct", "distinct(v)"),
    ];
    let program = program(&[window(&measures)]);
    let check = |values: &[&str], expected: &str| {
        let mut lane = Lane::new(&program);
        lane.send(&values.iter().map(|value| at(0, value)).collect::<Vec<_>>());
        let pieces = lane.send(&[at(MINUTE, "1")]);
        let told = all_told(&pieces)[0].clone();
        assert_eq!(told.split(": ").last(), Some(expected), "{values:?}");
    };
    check(&["true", "false", "true", "null"], "4 3 2 0 1 0.6666666666666666 2");
    check(&["0", "0.0", "null"], "3 2 0 0 0 0 1");
    check(&["null", "null"], "2 0 0 null null null 0");
    check(&["\"a\"", "\"b\"", "\"a\""], "3 3 0 null null null 2");
    check(&["-2.5", "1e3", "-2.50"], "3 3 995 -2.5 1000 331.6666666666667 2");
    let mut lane = Lane::new(&program);
    lane.send(&["2000", "3000", "1000", "null"].map(|value| at(0, value)));
    let pieces = lane.send(&[at(MINUTE, "1")]);
    assert!(all_told(&pieces)[0].contains(": 4 3 6000 1000 3000 2000 3"), "{pieces:?}");
}

#[test]
fn quantiles_are_within_one_per_cent() {
    let measures = [("p50", "quantile(v, 0.5)"), ("p95", "quantile(v, 0.95)"), ("p0", "quantile(v, 0)")];
    let program = program(&[window(&measures)]);
    let mut lane = Lane::new(&program);
    lane.send(&(0..=100).map(|i| at(0, &(i * 10 - 5).to_string())).collect::<Vec<_>>());
    let pieces = lane.send(&[at(MINUTE, "null")]);
    let told = all_told(&pieces)[0].clone();
    let values: Vec<f64> = told.rsplit(' ').take(3).map(|value| value.parse().unwrap()).collect();
    for (value, expected) in values.into_iter().zip([-5.0, 945.0, 495.0_f64]) {
        assert!((value - expected).abs() <= 0.01 * expected.abs(), "{told}");
    }
    assert_eq!(all_told(&lane.advance(2 * MINUTE)), ["60000 60000..120000 {} 1: null null null"]);
}

#[test]
fn groups_are_counted_apart() {
    let program = program(&[by(&["user_id", "v"], count())]);
    let mut lane = Lane::new(&program);
    lane.send(&[of("u1", 0, "\"a\""), of("u1", 0, "\"b\""), of("u2", 0, "\"a\""), of("u1", 0, "\"a\"")]);
    let expected = [
        "60000 0..60000 {\"user_id\":\"u1\",\"v\":\"a\"} 2: 2",
        "60000 0..60000 {\"user_id\":\"u1\",\"v\":\"b\"} 1: 1",
        "60000 0..60000 {\"user_id\":\"u2\",\"v\":\"a\"} 1: 1",
    ];
    assert_eq!(all_told(&lane.send(&[at(MINUTE, "1")])), expected);
}

#[test]
fn a_missing_field_is_a_group_and_numbers_are_told_by_value() {
    let program = program(&[by(&["type", "payload.country"], count())]);
    let mut lane = Lane::new(&program);
    let with = |json: &str| Sent { data: json.to_owned(), ..at(0, "0") };
    lane.send(&[with("{}"), with(r#"{"payload":{"country":null}}"#), with(r#"{"payload":{"country":7}}"#)]);
    lane.send(&[with(r#"{"payload":{"country":7.0}}"#), Sent { kind: String::new(), ..with("[]") }]);
    let expected = [
        "60000 0..60000 {\"type\":\"login\",\"payload.country\":7} 2: 2",
        "60000 0..60000 {\"type\":\"login\",\"payload.country\":null} 2: 2",
        "60000 0..60000 {\"type\":null,\"payload.country\":null} 1: 1",
    ];
    assert_eq!(all_told(&lane.send(&[at(MINUTE, "1")])), expected);
}

#[test]
fn conditions_choose_what_counts_and_every_record_moves_the_clock() {
    let spec = WindowSpec {
        when: "type == 'login' && v > 1".to_owned(),
        ..window(&[("n", "count()"), ("b", "count(v > 5)")])
    };
    let program = program(&[spec]);
    let mut lane = Lane::new(&program);
    lane.send(&[at(0, "1"), at(0, "2"), at(0, "9"), Sent { kind: "click".to_owned(), ..at(0, "9") }]);
    let click = Sent { kind: "click".to_owned(), ..at(MINUTE, "9") };
    assert_eq!(all_told(&lane.send(&[click])), ["60000 0..60000 {} 2: 2 1"]);
}

#[test]
fn hopping_windows_overlap() {
    let kind = WindowKind::Hopping { size_ms: 30, every_ms: 10 };
    let program = program(&[WindowSpec { kind, ..window(&[("sum", "sum(v)")]) }]);
    let mut lane = Lane::new(&program);
    lane.send(&[at(5, "1"), at(10, "2"), at(19, "4"), at(25, "8")]);
    lane.send(&[at(1_000, "0")]);
    let expected = ["-20..10 {} 1: 1", "-10..20 {} 3: 7", "0..30 {} 4: 15", "10..40 {} 3: 14", "20..50 {} 1: 8"];
    assert_eq!(all_told(&lane.out.windows), expected.map(|piece| format!("30 {piece}")));
}

#[test]
fn sessions_end_a_gap_after_their_last_event() {
    let kind = WindowKind::Session { gap_ms: 10 };
    let program = program(&[by(&["user_id"], WindowSpec { kind, lateness_ms: 20, ..window(&[("sum", "sum(v)")]) })]);
    let mut lane = Lane::new(&program);
    // Of a: two sessions that a later event makes one; exactly the gap later is the next session.
    lane.send(&[of("a", 0, "1"), of("b", 3, "100"), of("a", 15, "2"), of("a", 9, "4"), of("a", 25, "8")]);
    assert!(lane.out.windows.is_empty());
    lane.send(&[of("c", 200, "0")]);
    let expected =
        ["0 3..13 {\"user_id\":\"b\"} 1: 100", "0 0..25 {\"user_id\":\"a\"} 3: 7", "0 25..35 {\"user_id\":\"a\"} 1: 8"];
    assert_eq!(all_told(&lane.out.windows), expected);
    // Late by 200 - 20 - 50; then one that is late alone, but belongs to an open session.
    lane.send(&[of("a", 50, "1"), of("c", 195, "1"), of("c", 186, "1"), of("c", 300, "1")]);
    assert_eq!(all_told(&lane.out.windows[3..]), ["0 186..210 {\"user_id\":\"c\"} 3: 2"]);
    let [late] = &lane.out.late[..] else { panic!("{:?}", lane.out.late) };
    assert_eq!((late.id.start, late.end, late.lateness_ms, late.corrected), (50, 60, 130, false));
}

#[test]
fn sessions_of_one_partition_need_no_key() {
    let kind = WindowKind::Session { gap_ms: 10 };
    let program = program_of_one(&[WindowSpec { kind, ..count() }]);
    let mut lane = Lane::new(&program);
    lane.send(&[of("a", 0, "1"), of("b", 9, "1"), of("a", 18, "1")]);
    assert_eq!(all_told(&lane.send(&[of("a", 30, "1")])), ["0 0..28 {} 3: 3"]);
}

#[test]
fn tenants_have_windows_of_their_own() {
    let program = program(&[count()]);
    let mut lane = Lane::new(&program);
    let tenant = |tenant, time| Sent { tenant, ..at(time, "1") };
    lane.send(&[tenant("a", 0), tenant("b", 1), tenant("a", 2), tenant("", 3)]);
    lane.restart();
    let expected = ["60000 0..60000 {} 1: 1", "a 60000 0..60000 {} 2: 2", "b 60000 0..60000 {} 1: 1"];
    assert_eq!(all_told(&lane.send(&[tenant("b", MINUTE)])), expected);
}
