//! Tenants: what one does moves nothing of another, in counts, cooldowns and snapshots.

use event::Millis;
use process::{RuleKind, State};
use proptest::prelude::*;

use crate::count::{program, records};
use crate::made::{Made, compile, high_frequency_login, made, restarted, rule, run, run_from};

const TENANTS: [&str; 3] = ["", "a", "b"];

fn login(tenant: &'static str, time: Millis) -> Made {
    Made { tenant, ..made("7", "login", time, r#"{"user_id":7,"type":"login"}"#) }
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
        let mut state = State::default();
        let mut found = run(&program, &mut state, &mixed[..at]);
        let mut state = restarted(&program, &state);
        found.extend(run_from(&program, &mut state, at as u64, &mixed[at..]));
        for tenant in TENANTS {
            let own: Vec<_> = mixed.iter().filter(|record| record.tenant == tenant).cloned().collect();
            let alone: Vec<_> = run(&program, &mut State::default(), &own).into_iter().map(|a| a.id).collect();
            let among: Vec<_> = found.iter().filter(|a| a.tenant == tenant).map(|a| a.id.clone()).collect();
            prop_assert_eq!(among, alone, "tenant {:?}", tenant);
        }
    }
}
