//! Nothing for a while: by the partition's clock, and when it is told the time.

use event::Millis;
use process::{Output, Program, RuleKind, RuleSpec, State};

use crate::made::{Made, RECEIVED, block, block_of, compile, made, restarted, rule, run};

fn silent(cooldown_ms: Millis) -> RuleSpec {
    RuleSpec {
        description: "{user_id} silent for {after} since {since}, {payload.x}".to_owned(),
        ..rule("silent", "type == 'beat'", RuleKind::Absence { after_ms: 100 }, cooldown_ms)
    }
}

fn beat(key: &str, time: Millis) -> Made {
    made(key, "beat", time, r#"{"payload":{"x":1}}"#)
}

/// What was found: id, offset of the last record.
fn check(records: &[Made], expected: &[(&str, u64)]) {
    let found = run(&compile(&[silent(0)]), &mut State::default(), records);
    let found: Vec<_> = found.iter().map(|a| (a.id.as_str(), a.offset)).collect();
    assert_eq!(found, expected, "{records:?}");
}

#[test]
fn the_clock_of_others_tells_and_the_last_record_is_named() {
    check(&[beat("a", 0), beat("b", 99)], &[]);
    check(&[beat("a", 0), beat("b", 100)], &[("a_100_silent", 0)]);
    check(&[beat("a", 0), made("b", "click", 100, "{}")], &[("a_100_silent", 0)]);
    check(&[beat("a", 0), beat("a", 50), beat("b", 149), beat("b", 150)], &[("a_150_silent", 1)]);
    // Once, until there is one again; a long jump of the clock tells all.
    check(
        &[beat("a", 0), beat("b", 100), beat("b", 190), beat("a", 191), beat("c", 1_000)],
        &[("a_100_silent", 0), ("b_290_silent", 2), ("a_291_silent", 3)],
    );
    let found = run(&compile(&[silent(0)]), &mut State::default(), &[beat("a", 0), beat("b", 100)]);
    assert_eq!(found[0].description, "a silent for 100ms since 0, ?");
    assert_eq!((found[0].key.as_str(), found[0].time, found[0].event.len()), ("a", 100, 0));
    assert_eq!(found[0].received_at, RECEIVED);
}

#[test]
fn who_comes_exactly_in_time_was_not_absent() {
    check(&[beat("a", 0), beat("a", 100), beat("a", 200)], &[]);
    check(&[beat("a", 0), beat("a", 101)], &[("a_100_silent", 0)]);
}

#[test]
fn records_out_of_order_count_by_their_time() {
    check(&[beat("b", 90), beat("a", 0), beat("a", 60), beat("a", 30), beat("b", 159)], &[]);
    check(&[beat("b", 90), beat("a", 60), beat("a", 30), beat("b", 160)], &[("a_160_silent", 1)]);
    // Already so far behind when it comes: nobody was waiting for it.
    check(&[beat("b", 100), beat("a", 0), beat("b", 150)], &[]);
    check(&[beat("a", 0), beat("b", 100), beat("a", 0), beat("b", 150)], &[("a_100_silent", 0)]);
}

#[test]
fn keys_that_are_due_together_come_in_their_order_and_tenants_apart() {
    let of = |tenant, key: &str| Made { tenant, ..beat(key, 0) };
    let records = [of("t", "b"), of("", "c"), of("", "a"), of("t", "a"), beat("z", 500)];
    let found = run(&compile(&[silent(0)]), &mut State::default(), &records);
    let found: Vec<_> = found.iter().map(|a| (a.tenant.as_str(), a.key.as_str())).collect();
    assert_eq!(found, [("", "a"), ("", "c"), ("t", "a"), ("t", "b")]);
}

#[test]
fn a_time_in_the_future_counts_as_its_receipt() {
    let program = compile(&[silent(0)]);
    let (mut state, mut out) = (State::default(), Output::default());
    program.run(&mut state, &block_of(0, 50, &[beat("a", 10), beat("b", 9_999)]), &mut out);
    assert!(out.is_empty());
    assert_eq!((state.clock(), program.due(&state)), (Some(50), Some(110)));
    program.run(&mut state, &block_of(2, 150, &[made("c", "click", 8_000, "{}")]), &mut out);
    let found: Vec<_> = out.anomalies.iter().map(|a| a.id.as_str()).collect();
    assert_eq!(found, ["a_110_silent", "b_150_silent"]);
}

fn advance(program: &Program, state: &mut State, to: Millis) -> Vec<String> {
    let mut out = Output::default();
    program.advance(state, 2, 77, to, &mut out);
    out.anomalies.into_iter().map(|a| format!("{} {}", a.id, a.offset)).collect()
}

#[test]
fn an_idle_partition_is_told_the_time() {
    let program = compile(&[silent(0)]);
    let mut state = State::default();
    assert_eq!(program.due(&state), None);
    run(&program, &mut state, &[beat("a", 0), beat("b", 40)]);
    assert_eq!(program.due(&state), Some(100));
    assert!(advance(&program, &mut state, 99).is_empty());
    assert_eq!(advance(&program, &mut state, 100), ["a_100_silent 0"]);
    assert_eq!(state.clock(), Some(40), "what is late is a matter of its own clock");
    assert_eq!(program.due(&state), Some(140));
    let mut state = restarted(&program, &state);
    assert!(run(&program, &mut state, &[beat("c", 139)]).is_empty(), "a was told");
    assert_eq!(advance(&program, &mut state, 10_000), ["b_140_silent 1", "c_239_silent 0"]);
    assert_eq!((program.due(&state), state.keys()), (None, 0));
}

#[test]
fn silence_holds_back_the_next_one() {
    let found = |again: Millis| {
        let records = [beat("a", 0), beat("b", 100), beat("b", again - 1), beat("a", again), beat("b", again + 100)];
        let found = run(&compile(&[silent(500)]), &mut State::default(), &records);
        found.iter().filter(|a| a.key == "a").map(|a| a.time).collect::<Vec<_>>()
    };
    assert_eq!(found(499), [100]);
    assert_eq!(found(500), [100, 600]);
}

#[test]
fn forgotten_keys_leave_nothing_behind() {
    let program = compile(&[silent(0)]).with_keys_max(10);
    let (mut state, mut out) = (State::default(), Output::default());
    let records: Vec<_> = (0..5_000).map(|i| beat(&i.to_string(), i / 100)).collect();
    program.run(&mut state, &block(0, &records), &mut out);
    assert!(out.is_empty());
    assert_eq!((state.keys(), state.evicted()), (10, 4_990));
    let told = advance(&program, &mut state, 10_000);
    assert_eq!(told.len(), 10);
    assert!(told[0].starts_with("4990_149_silent"), "{told:?}");
}
