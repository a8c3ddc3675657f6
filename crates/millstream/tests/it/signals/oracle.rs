//! The seven rules once more, as slow and as plain as can be: every signal of a user is judged by looking at all of the
//! user's signals before it. Written from the documents; shares nothing with the product.

use std::collections::{BTreeMap, BTreeSet};

use event::Millis;

use super::generate::{Act, HOUR, MINUTE, Signal};

/// User, rule, time of the signal that raised it. Two of the same are one anomaly.
pub(crate) type Found = BTreeSet<(u32, String, Millis)>;

/// What signals must raise, given in the order in which they were received.
pub(crate) fn judge(signals: &[Signal]) -> Found {
    let mut found = Found::new();
    for (user, signals) in by_user(signals) {
        let mut add = |rule: &str, times: Vec<Millis>| {
            found.extend(times.into_iter().map(|time| (user, rule.to_owned(), time)));
        };
        add("high_frequency_login", crowded(&signals, |act| matches!(act, Act::Login { .. }), 11, MINUTE));
        add("rapid_successive_purchases", crowded(&signals, |act| matches!(act, Act::Purchase { .. }), 5, HOUR));
        add("high_api_failure_rate", crowded(&signals, is_failed_call, 6, MINUTE));
        add("repeated_login_failures", failed_in_a_row(&signals));
        add("unusual_location_login", from_elsewhere(&signals));
        add("high_value_purchase", expensive(&signals));
        add("unusual_time_activity", at_three(&signals));
    }
    found
}

/// What the rule of logins raises when it takes so many of them.
pub(crate) fn frequent_logins(signals: &[Signal], enough: usize) -> Found {
    let mut found = Found::new();
    for (user, signals) in by_user(signals) {
        let times = crowded(&signals, |act| matches!(act, Act::Login { .. }), enough, MINUTE);
        found.extend(times.into_iter().map(|time| (user, "high_frequency_login".to_owned(), time)));
    }
    found
}

fn by_user(signals: &[Signal]) -> BTreeMap<u32, Vec<Signal>> {
    let mut users: BTreeMap<u32, Vec<Signal>> = BTreeMap::new();
    for signal in signals {
        users.entry(signal.user).or_default().push(*signal);
    }
    users
}

fn is_failed_call(act: Act) -> bool {
    matches!(act, Act::ApiCall { status, .. } if status >= 400)
}

/// At least `enough` such acts within a stretch of time that ends with the user's newest such act; one exactly as old as
/// the stretch is long still counts. One that is older when it comes neither counts nor fires. After it fired it is
/// silent as long as the stretch.
fn crowded(signals: &[Signal], is_such: impl Fn(Act) -> bool, enough: usize, within: Millis) -> Vec<Millis> {
    let mut taken: Vec<Millis> = Vec::new();
    let (mut fired_at, mut times): (Option<Millis>, Vec<Millis>) = (None, Vec::new());
    for signal in signals.iter().filter(|signal| is_such(signal.act)) {
        let newest_before = taken.iter().copied().max();
        if newest_before.is_some_and(|newest| signal.time < newest - within) {
            continue;
        }
        taken.push(signal.time);
        let now = taken.iter().copied().max().expect("one was pushed");
        let count = taken.iter().filter(|time| **time >= now - within).count();
        if count >= enough && fired_at.is_none_or(|at| now >= at + within) {
            fired_at = Some(now);
            times.push(signal.time);
        }
    }
    times
}

/// The third failed login since the last successful one, and not the fourth.
fn failed_in_a_row(signals: &[Signal]) -> Vec<Millis> {
    let failed = |i: usize| match signals[i].act {
        Act::Login { success, .. } => Some(!success),
        _ => None,
    };
    let row_ending = |i: usize| (0..=i).rev().filter_map(failed).take_while(|failed| *failed).count();
    (0..signals.len()).filter(|i| failed(*i) == Some(true) && row_ending(*i) == 3).map(|i| signals[i].time).collect()
}

/// A login from where the user never logged in from; the first one ever is not unusual.
fn from_elsewhere(signals: &[Signal]) -> Vec<Millis> {
    let place = |signal: &Signal| match signal.act {
        Act::Login { place, .. } => Some(place),
        _ => None,
    };
    let is_news = |i: usize| {
        let Some(here) = place(&signals[i]) else { return false };
        let known: Vec<_> = signals[..i].iter().filter_map(place).collect();
        !known.is_empty() && !known.contains(&here)
    };
    (0..signals.len()).filter(|i| is_news(*i)).map(|i| signals[i].time).collect()
}

/// Above 1000, and not 1000.
fn expensive(signals: &[Signal]) -> Vec<Millis> {
    let above = |signal: &&Signal| matches!(signal.act, Act::Purchase { cents } if cents > 100_000);
    signals.iter().filter(above).map(|signal| signal.time).collect()
}

/// From 3:00:00.000 to 3:59:59.999 in UTC, whatever it is; then silent for an hour of the user's own time.
fn at_three(signals: &[Signal]) -> Vec<Millis> {
    let at_three: Vec<_> = signals.iter().map(|signal| signal.time).filter(|time| time / HOUR % 24 == 3).collect();
    let (mut fired_at, mut times): (Option<Millis>, Vec<Millis>) = (None, Vec::new());
    for (i, time) in at_three.iter().enumerate() {
        let now = *at_three[..=i].iter().max().expect("one at least");
        if fired_at.is_none_or(|at| now >= at + HOUR) {
            fired_at = Some(now);
            times.push(*time);
        }
    }
    times
}
