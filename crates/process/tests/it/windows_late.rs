//! Lateness, idle partitions, and events from the future.

use event::Millis;
use process::{WindowKind, WindowSpec};

use crate::windows_made::{Lane, MINUTE, Sent, all_told, at, by, of, program, rows, told, window};

const YEAR: Millis = 365 * 86_400_000;

fn spec(lateness_ms: Millis, correct: bool) -> WindowSpec {
    WindowSpec { lateness_ms, correct, ..window(&[("sum", "sum(v)")]) }
}

fn sizes(sizes: &[Millis], spec: WindowSpec) -> WindowSpec {
    WindowSpec { kind: WindowKind::Tumbling(sizes.to_vec()), ..spec }
}

#[test]
fn a_window_stays_open_for_the_lateness() {
    let program = program(&[spec(10_000, false)]);
    let mut lane = Lane::new(&program);
    lane.send(&[at(0, "1"), at(MINUTE + 9_999, "2")]);
    assert!(lane.send(&[at(59_999, "4")]).is_empty(), "the watermark is a millisecond before the end");
    assert_eq!(all_told(&lane.send(&[at(MINUTE + 10_000, "8")])), ["60000 0..60000 {} 2: 5"]);
    assert!(lane.out.late.is_empty());
    lane.send(&[at(59_999, "16"), at(MINUTE, "32")]);
    let [late] = &lane.out.late[..] else { panic!("{:?}", lane.out.late) };
    assert_eq!((late.id.start, late.end, late.events, late.offset), (0, MINUTE, 1, 4));
    assert_eq!((late.lateness_ms, late.corrected, late.partition), (1, false, 2), "a millisecond behind the watermark");
    assert_eq!(all_told(&lane.send(&[at(3 * MINUTE, "0")])), ["60000 60000..120000 {} 3: 42"]);
}

#[test]
fn a_late_event_corrects_the_windows_that_it_is_late_for_and_counts_in_the_others() {
    let program = program(&[sizes(&[MINUTE, 5 * MINUTE], spec(0, true))]);
    let mut lane = Lane::new(&program);
    lane.send(&[at(0, "1"), at(2 * MINUTE, "2")]);
    assert_eq!(all_told(&lane.send(&[at(1, "4")])), ["60000 0..60000 {} 1: 4 late"]);
    assert_eq!(lane.out.late.len(), 1);
    assert!(lane.out.late[0].corrected);
    let expected = ["60000 120000..180000 {} 1: 2", "300000 0..300000 {} 3: 7"];
    assert_eq!(all_told(&lane.send(&[at(5 * MINUTE, "8")])), expected);
    assert_eq!(
        all_told(&lane.send(&[at(3, "16")])),
        ["60000 0..60000 {} 1: 16 late", "300000 0..300000 {} 1: 16 late"]
    );
    let rows = rows(&lane.out.windows);
    let sums: Vec<_> = rows.iter().map(|(id, row)| (id.size_ms, id.start, row.events)).collect();
    assert_eq!(sums, [(MINUTE, 0, 3), (MINUTE, 2 * MINUTE, 1), (5 * MINUTE, 0, 4)]);
}

#[test]
fn late_events_of_hopping_windows_count_where_they_still_can() {
    let kind = WindowKind::Hopping { size_ms: 30, every_ms: 10 };
    let program = program(&[WindowSpec { kind, ..spec(0, true) }]);
    let mut lane = Lane::new(&program);
    lane.send(&[at(5, "1"), at(20, "2")]);
    assert_eq!(all_told(&lane.out.windows), ["30 -20..10 {} 1: 1", "30 -10..20 {} 1: 1"]);
    assert_eq!(all_told(&lane.send(&[at(7, "4")])), ["30 -20..10 {} 1: 4 late", "30 -10..20 {} 1: 4 late"]);
    assert_eq!(all_told(&lane.send(&[at(30, "8")])), ["30 0..30 {} 3: 7"]);
}

#[test]
fn a_backlog_of_late_events_is_one_correction_for_each_window_and_block() {
    let kind = WindowKind::Hopping { size_ms: 288, every_ms: 1 };
    let program = program(&[by(&["user_id"], WindowSpec { kind, ..spec(0, true) })]);
    let mut lane = Lane::new(&program);
    lane.send(&[at(1_000, "0")]);
    lane.out.clear();
    let backlog: Vec<_> = (0..2_000).map(|i| of(["a", "b"][i % 2], -((i / 2 % 5) as Millis), "1")).collect();
    lane.send(&backlog);
    let windows = 2 * (288 + 4);
    assert_eq!((lane.out.windows.len(), lane.out.late.len()), (windows, windows));
    assert_eq!(lane.out.late.iter().map(|late| late.events).sum::<u64>(), 2_000 * 288);
    for (late, piece) in lane.out.late.iter().zip(&lane.out.windows) {
        assert_eq!((&late.id, late.offset, late.events), (&piece.id, piece.offset, piece.events));
    }
    let (first, middle) = (&lane.out.windows[0], &lane.out.windows[10]);
    assert_eq!(told(first), "288 -287..1 {\"user_id\":\"a\"} 1000: 1000 late");
    assert_eq!((first.offset, middle.events), (1_999, 1_000));
    let late = &lane.out.late[0];
    assert_eq!((late.lateness_ms, late.corrected), (1_004, true), "the latest of them");
}

#[test]
fn one_event_from_the_future_moves_nothing() {
    let program = program(&[spec(0, false)]);
    let mut lane = Lane::new(&program);
    let honest = |time, value| Sent { received_at: Some(1_000), ..at(time, value) };
    assert!(lane.send(&[honest(900, "1"), honest(900 + YEAR, "64"), honest(950, "2")]).is_empty());
    assert_eq!(lane.state.clock(), Some(1_000));
    assert!(lane.out.late.is_empty());
    let later = Sent { received_at: Some(MINUTE), ..at(MINUTE, "4") };
    assert_eq!(all_told(&lane.send(&[later])), ["60000 0..60000 {} 2: 3"]);
    // Its own window comes with its own time.
    let pieces = lane.send(&[Sent { received_at: Some(2 * YEAR), ..at(2 * YEAR, "0") }]);
    assert_eq!((pieces.len(), pieces[1].id.start), (2, (900 + YEAR) / MINUTE * MINUTE));
}

#[test]
fn an_idle_partition_hands_over_and_an_event_in_time_is_one_more_piece() {
    let program = program(&[sizes(&[MINUTE, 5 * MINUTE], spec(1_000, false))]);
    let mut lane = Lane::new(&program);
    lane.send(&[at(0, "1")]);
    assert_eq!(program.due(&lane.state), Some(MINUTE + 1_000));
    assert!(lane.advance(MINUTE + 999).is_empty());
    let pieces = lane.advance(MINUTE + 1_000);
    assert_eq!(all_told(&pieces), ["60000 0..60000 {} 1: 1"]);
    assert_eq!(pieces[0].offset, 1, "the next offset");
    assert_eq!((program.due(&lane.state), lane.state.clock()), (Some(5 * MINUTE + 1_000), Some(0)));
    lane.restart();
    lane.send(&[at(5, "2")]);
    assert!(lane.out.late.is_empty(), "judged by the partition's own clock");
    assert_eq!(all_told(&lane.advance(10 * MINUTE)), ["60000 0..60000 {} 1: 2", "300000 0..300000 {} 2: 3"]);
    lane.send(&[at(7, "4")]);
    assert_eq!(program.due(&lane.state), Some(MINUTE + 1_000));
    let expected = ["60000 0..60000 {} 1: 4", "300000 0..300000 {} 1: 4"];
    assert_eq!(all_told(&lane.send(&[at(20 * MINUTE, "0")])), expected);
    assert!(lane.advance(20 * MINUTE).is_empty());
    let told: Vec<_> = rows(&lane.out.windows).values().map(|row| row.events).collect();
    assert_eq!(told, [3, 3]);
}

#[test]
fn idle_hopping_windows_never_count_an_event_twice() {
    let kind = WindowKind::Hopping { size_ms: 30, every_ms: 10 };
    let program = program(&[WindowSpec { kind, ..spec(0, false) }]);
    let mut lane = Lane::new(&program);
    lane.send(&[at(5, "1")]);
    assert_eq!(all_told(&lane.advance(20)), ["30 -20..10 {} 1: 1", "30 -10..20 {} 1: 1"]);
    lane.send(&[at(6, "2")]);
    lane.restart();
    assert_eq!(all_told(&lane.send(&[at(15, "4")])), ["30 -20..10 {} 1: 2"]);
    assert_eq!(all_told(&lane.send(&[at(100, "0")])), ["30 -10..20 {} 2: 6", "30 0..30 {} 3: 7", "30 10..40 {} 1: 4"]);
}

#[test]
fn an_idle_session_is_over() {
    let kind = WindowKind::Session { gap_ms: 10 };
    let program = program(&[WindowSpec { kind, by: vec!["user_id".to_owned()], ..spec(0, true) }]);
    let mut lane = Lane::new(&program);
    lane.send(&[at(0, "1"), at(5, "2")]);
    assert!(lane.advance(14).is_empty());
    assert_eq!(program.due(&lane.state), Some(15));
    assert_eq!(all_told(&lane.advance(15)), ["0 0..15 {\"user_id\":\"7\"} 2: 3"]);
    assert_eq!(program.due(&lane.state), None);
    lane.send(&[at(8, "4")]);
    assert_eq!(all_told(&lane.send(&[at(100, "0")])), ["0 8..18 {\"user_id\":\"7\"} 1: 4"]);
}
