//! What makes a rule fire, as it is written: one section of eight, or none.

use event::limits;
use process::RuleKind;

use super::node::Value;
use super::section::{Item, Section};

/// The sections that make a kind.
pub(super) const NAMES: [&str; 7] = ["count", "streak", "novel", "hours", "deviation", "absence", "sequence"];

/// More than these no rule waits for: the numbers are counted in memory, key by key.
const LENGTH_MAX: u64 = 1_000_000;
const DAY_MINUTES: u16 = 24 * 60;

const Z: f64 = 3.0;
const SPAN: u64 = 100;
const DEVIATION_WARM_UP: u64 = 30;

/// Reads the kind of a rule; `None` when there is a problem with it. Without any it is a predicate.
pub(super) fn read(rule: &mut Section<'_>) -> Option<RuleKind> {
    let found: Vec<(&'static str, Item<'_>)> =
        NAMES.into_iter().filter_map(|name| Some((name, rule.get(name)?))).collect();
    match &found[..] {
        [] => Some(RuleKind::Predicate),
        [(name, item)] => kind(name, item.section()?),
        [.., (last, item)] => {
            let names: Vec<String> = found.iter().map(|(name, _)| format!("`{name}`")).collect();
            let message = format!("a rule has one kind, found {}", names.join(" and "));
            item.bad(message, Some(format!("make a rule of its own for `{last}`")));
            None
        }
    }
}

fn kind(name: &str, section: Section<'_>) -> Option<RuleKind> {
    match name {
        "count" => count(section),
        "streak" => streak(section),
        "novel" => novel(section),
        "hours" => hours(section),
        "deviation" => deviation(section),
        "absence" => absence(section),
        _ => sequence(section),
    }
}

fn count(mut section: Section<'_>) -> Option<RuleKind> {
    const EXAMPLE: &str = "count: { more_than: 10, within: 1m }";
    let most = limits::RULE_COUNT_MAX as u64;
    let (more_than, at_least) = (section.get("more_than"), section.get("at_least"));
    let within = section.must("within", EXAMPLE).and_then(|i| i.span());
    let sum = section.get("sum").map_or(Some(String::new()), |i| i.expression());
    let at_least = match (more_than, at_least) {
        (Some(item), None) => item.whole(0..=most - 1).map(|n| n + 1),
        (None, Some(item)) => item.whole(1..=most),
        (both, _) => {
            let found = if both.is_some() { "both" } else { "none" };
            let message = format!("expected either `more_than` or `at_least`, found {found}");
            section.bad(message, Some(format!("as `{EXAMPLE}`")));
            None
        }
    };
    section.close();
    Some(RuleKind::Count { at_least: at_least?, within_ms: within?, sum: sum? })
}

fn streak(mut section: Section<'_>) -> Option<RuleKind> {
    const EXAMPLE: &str = "streak: { length: 3, unless: status == \"ok\" }";
    let length = section.must("length", EXAMPLE).and_then(|i| i.whole(1..=LENGTH_MAX));
    let unless = section.must("unless", EXAMPLE).and_then(|i| i.expression());
    section.close();
    Some(RuleKind::Streak { length: length?, unless: unless? })
}

fn novel(mut section: Section<'_>) -> Option<RuleKind> {
    let value = section.must("value", "novel: { value: payload.location }").and_then(|i| i.expression());
    let warm_up = section.get("warm_up").map_or(Some(1), |i| i.whole(1..=LENGTH_MAX));
    section.close();
    Some(RuleKind::Novel { value: value?, warm_up: warm_up? })
}

fn hours(mut section: Section<'_>) -> Option<RuleKind> {
    const EXAMPLE: &str = "hours: { from: \"03:00\", to: \"04:00\" }";
    let (from, to) = (section.must("from", EXAMPLE), section.must("to", EXAMPLE));
    let (from, to) = (from.and_then(|i| minute(&i)), to.and_then(|i| minute(&i)));
    let zone = section.get("zone").map_or(Some(String::new()), |i| zone(&i));
    if from.is_some() && from.map(|m| m % DAY_MINUTES) == to.map(|m| m % DAY_MINUTES) {
        section.bad("`from` and `to` are the same time", Some("leave `hours` out for the whole day".to_owned()));
        section.close();
        return None;
    }
    section.close();
    // Midnight begins a day and ends one.
    let (from, to) = (from? % DAY_MINUTES, to?);
    Some(RuleKind::Hours { from_minute: from, to_minute: if to == 0 { DAY_MINUTES } else { to }, zone: zone? })
}

fn deviation(mut section: Section<'_>) -> Option<RuleKind> {
    let of = section.must("of", "deviation: { of: payload.amount, z: 3 }").and_then(|i| i.expression());
    let z = section.get("z").map_or(Some(Z), |i| i.number(0.01..=1_000.0));
    let span = section.get("span").map_or(Some(SPAN), |i| i.whole(2..=LENGTH_MAX));
    let warm_up = section.get("warm_up").map_or(Some(DEVIATION_WARM_UP), |i| i.whole(2..=LENGTH_MAX));
    section.close();
    Some(RuleKind::Deviation { of: of?, z: z?, span: span?, warm_up: warm_up? })
}

fn absence(mut section: Section<'_>) -> Option<RuleKind> {
    let after = section.must("after", "absence: { after: 10m }").and_then(|i| i.span());
    section.close();
    Some(RuleKind::Absence { after_ms: after? })
}

fn sequence(mut section: Section<'_>) -> Option<RuleKind> {
    const EXAMPLE: &str = "sequence: { then: type == \"purchase\", within: 1m }";
    let then = section.must("then", EXAMPLE).and_then(|i| i.expression());
    let within = section.must("within", EXAMPLE).and_then(|i| i.span());
    section.close();
    Some(RuleKind::Sequence { then: then?, within_ms: within? })
}

/// A time of day as `"03:30"`, or a whole hour: minutes after midnight, up to 24:00.
fn minute(item: &Item<'_>) -> Option<u16> {
    let found = match &item.node.value {
        Value::Int(hour) => u16::try_from(*hour).ok().map(|hour| (hour, 0)),
        Value::Text(text) => text.split_once(':').and_then(|(hour, minute)| {
            let part = |text: &str| text.parse::<u16>().ok().filter(|_| (1..=2).contains(&text.len()));
            Some((part(hour)?, part(minute)?))
        }),
        _ => None,
    };
    let minutes = found.filter(|(hour, minute)| *minute < 60 && (*hour < 24 || (*hour, *minute) == (24, 0)));
    if minutes.is_none() {
        let found = item.node.scalar().unwrap_or_else(|| item.node.kind().to_owned());
        let message = format!("expected a time of day such as \"03:00\", or an hour from 0 to 24, found {found}");
        item.bad(message, None);
    }
    minutes.map(|(hour, minute)| hour * 60 + minute)
}

/// A time zone by its name in the IANA database.
pub(super) fn zone(item: &Item<'_>) -> Option<String> {
    let name = item.text()?;
    match jiff::tz::TimeZone::get(&name) {
        Ok(_) => Some(name),
        Err(_) => {
            let known: Vec<String> = jiff::tz::db().available().map(|name| name.as_str().to_owned()).collect();
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            let near = super::section::nearest(&name, &known).map(|near| format!("did you mean `{near}`?"));
            let example = || "as `UTC` or `Europe/Berlin`".to_owned();
            item.bad(format!("there is no time zone `{name}`"), Some(near.unwrap_or_else(example)));
            None
        }
    }
}

/// Minutes after midnight as a time of day.
pub(super) fn time_of_day(minute: u16) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}
