//! Times of day, in zones, over midnight and through the changes of spring and autumn.

use event::Millis;
use process::{RuleKind, RuleSpec, State};

use crate::made::{compile, made, rule, run, said};

const HOUR: Millis = 3_600_000;
/// 2026-03-29T00:00:00Z, the day on which Berlin's clocks skip from 2 to 3 (at 1 in UTC).
const SPRING: Millis = 1_774_742_400_000;
/// 2026-10-25T00:00:00Z, on which they go from 3 back to 2 (at 1 in UTC).
const AUTUMN: Millis = 1_792_886_400_000;

fn hours(from_minute: u16, to_minute: u16, zone: &str, cooldown_ms: Millis) -> RuleSpec {
    RuleSpec {
        description: "{hour}:{minute}".to_owned(),
        ..rule("hours", "", RuleKind::Hours { from_minute, to_minute, zone: zone.to_owned() }, cooldown_ms)
    }
}

/// The times of these that fire.
fn check(spec: &RuleSpec, times: &[Millis], expected: &[Millis]) {
    let records: Vec<_> = times.iter().map(|time| made("7", "t", *time, "{}")).collect();
    let found = run(&compile(std::slice::from_ref(spec)), &mut State::default(), &records);
    assert_eq!(found.iter().map(|a| a.time).collect::<Vec<_>>(), expected, "{spec:?}");
}

#[test]
fn from_is_inclusive_and_to_is_not() {
    let edges = [3 * HOUR - 1, 3 * HOUR, 4 * HOUR - 1, 4 * HOUR, 27 * HOUR, -21 * HOUR, -21 * HOUR - 1];
    check(&hours(180, 240, "UTC", 0), &edges, &[3 * HOUR, 4 * HOUR - 1, 27 * HOUR, -21 * HOUR]);
    let said = said(hours(180, 240, "UTC", 0), &[made("7", "t", 4 * HOUR - 1, "{}")]);
    assert_eq!(said, [format!("{}: 3:59; {{}}", 4 * HOUR - 1)]);
}

#[test]
fn a_stretch_may_go_past_midnight_or_up_to_it() {
    let edges = [22 * HOUR - 1, 22 * HOUR, 24 * HOUR - 1, 24 * HOUR, 26 * HOUR - 1, 26 * HOUR];
    check(&hours(22 * 60, 2 * 60, "UTC", 0), &edges, &edges[1..5]);
    check(&hours(22 * 60, 1_440, "UTC", 0), &edges, &edges[1..3]);
    check(&hours(0, 1_440, "UTC", 0), &edges, &edges);
}

#[test]
fn zones_are_followed_through_spring_and_autumn() {
    // 3 to 4 in Berlin: from 2 UTC in winter, 1 UTC in summer. In spring the clock goes from 2 to 3 at 1 UTC.
    let three = hours(180, 240, "Europe/Berlin", 0);
    let spring = [SPRING + HOUR - 1, SPRING + HOUR, SPRING + 2 * HOUR - 1, SPRING + 2 * HOUR];
    check(&three, &spring, &spring[1..3]);
    let winter = [SPRING - 23 * HOUR, SPRING - 22 * HOUR, SPRING - 21 * HOUR];
    check(&three, &winter, &winter[1..2]);
    // 2 to 3 does not exist in spring, and comes twice in autumn.
    let two = hours(120, 180, "Europe/Berlin", 0);
    check(&two, &[SPRING + HOUR - 1, SPRING + HOUR, SPRING + 2 * HOUR], &[]);
    let autumn: Vec<_> = (-1..4).map(|half| AUTUMN + half * HOUR / 2).collect();
    check(&two, &autumn, &[AUTUMN, AUTUMN + HOUR / 2, AUTUMN + HOUR, AUTUMN + 3 * HOUR / 2]);
    check(&hours(0, 60, "Asia/Kathmandu", 0), &[AUTUMN - 5 * HOUR - 2_700_000], &[AUTUMN - 5 * HOUR - 2_700_000]);
    // Forward and backward in time, over several changes.
    let mixed = [AUTUMN, SPRING, AUTUMN + HOUR, SPRING + HOUR, AUTUMN];
    check(&two, &mixed, &[AUTUMN, AUTUMN + HOUR, AUTUMN]);
}

#[test]
fn an_hour_of_silence_makes_a_night_one_anomaly() {
    let times: Vec<_> = (0..120).map(|i| 3 * HOUR + i * 60_000).collect();
    check(&hours(180, 240, "UTC", HOUR), &times, &[3 * HOUR]);
    let two_nights = [3 * HOUR + 5, 4 * HOUR - 1, 27 * HOUR, 27 * HOUR + 1];
    check(&hours(180, 240, "UTC", HOUR), &two_nights, &[3 * HOUR + 5, 27 * HOUR]);
}
