//! Tenants: what one does moves nothing of another, in counts, cooldowns and snapshots.

use event::Millis;
use process::{Program, RuleKind, State};
use proptest::prelude::*;

use crate::count::{program, records};
use crate::made::{Made, block, compile, high_frequency_login, made, rule, run};

const TENANTS: [&str; 3] = ["", "a", "b"];

fn login(tenant: &'static str, time: Millis) -> Made {
    Made { tenant, ..made("7", "login", time, r#"{"user_id":7,"type":"login"}"#) }
}

/// The state after it was written down and read back.
fn restarted(program: &Program, state: &State) -> State {
    let mut bytes = Vec::new();
    program.encode(state, &mut bytes);
    program.decode(&bytes).unwrap()
}

#[test]
fn equal_keys_of_two_tenants_share_no_count() {
    let program = compile(&[high_frequency_login()]);
    let mut state = State::default();
    let ten: Vec<_> = (0..10).flat_map(|i| TENANTS.map(|tenant| login(tenant, i))).collect();
    assert!(run(&program, &mut state, &ten).is_empty());
    assert_eq!(state.keys(), 3);
    let mut state = restarted(&program, &state);
    let found = run(&program, &mut state, &TENANTS.map(|tenant| login(tenant, 10)));
    assert_eq!(found.iter().map(|a| a.tenant.as_str()).collect::<Vec<_>>(), TENANTS);
    for anomaly in &found {
        assert_eq!((anomaly.id.as_str(), anomaly.key.as_str()), ("7_10_high_frequency_login", "7"));
        assert!(anomaly.metadata.contains("\"login_count\":11"), "{}", anomaly.metadata);
    }
}

#[test]
fn the_silence_of_one_tenant_is_not_that_of_another() {
    let program = compile(&[rule("once", "type == 'login'", RuleKind::Predicate, 100)]);
    let records = [login("a", 0), login("a", 50), login("b", 50), login("", 60), login("b", 149), login("a", 100)];
    let found = run(&program, &mut State::default(), &records);
    let found: Vec<_> = found.iter().map(|a| (a.tenant.as_str(), a.time)).collect();
    assert_eq!(found, [("a", 0), ("b", 50), ("", 60), ("a", 100)]);
}

#[test]
fn a_state_of_the_default_tenant_alone_is_written_as_before_there_were_tenants() {
    let program = compile(&[high_frequency_login()]);
    let mut state = State::default();
    run(&program, &mut state, &[login("", 1_000), login("", 1_500)]);
    let mut bytes = Vec::new();
    program.encode(&state, &mut bytes);
    // Nothing evicted, one key of one byte, newest 1 500, not silent, two times: 0 and 500 before it.
    assert_eq!(bytes[9..], [0, 1, 1, b'7', 0xb8, 0x17, 0, 2, 0, 0xe8, 0x07]);
}

proptest! {
    #[test]
    fn every_tenant_finds_what_it_finds_alone(
        records in records(),
        of in prop::collection::vec(prop::sample::select(&TENANTS[..]), 120),
        cut in any::<prop::sample::Index>(),
    ) {
        let program = program();
        let mixed: Vec<_> =
            records.into_iter().zip(&of).map(|(record, tenant)| Made { tenant, ..record }).collect();
        let at = cut.index(mixed.len() + 1);
        let (mut state, mut found) = (State::default(), Vec::new());
        program.run(&mut state, &block(0, &mixed[..at]), &mut found);
        let mut state = restarted(&program, &state);
        program.run(&mut state, &block(at as u64, &mixed[at..]), &mut found);
        for tenant in TENANTS {
            let own: Vec<_> = mixed.iter().filter(|record| record.tenant == tenant).cloned().collect();
            let alone: Vec<_> = run(&program, &mut State::default(), &own).into_iter().map(|a| a.id).collect();
            let among: Vec<_> = found.iter().filter(|a| a.tenant == tenant).map(|a| a.id.clone()).collect();
            prop_assert_eq!(among, alone, "tenant {:?}", tenant);
        }
    }
}
