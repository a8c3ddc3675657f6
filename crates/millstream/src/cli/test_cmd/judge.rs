//! What was found against what was expected.

use serde_json::{Map, Value};

use super::expected::{Expected, List, Wanted};

/// How far two numbers may be apart and still be the same, as a part of them: what is computed is rarely round.
const ROUNDING: f64 = 1e-9;

/// What was found, as documents.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub(super) anomalies: Vec<Map<String, Value>>,
    pub(super) windows: Vec<Map<String, Value>>,
    pub(super) dead_letters: Vec<Map<String, Value>>,
}

impl Found {
    pub(super) fn of(&self, list: List) -> &[Map<String, Value>] {
        match list {
            List::Anomalies => &self.anomalies,
            List::Windows => &self.windows,
            List::DeadLetters => &self.dead_letters,
        }
    }
}

/// What is not as expected.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Judgement {
    /// Expected, and not found.
    pub(super) missing: Vec<(&'static str, Wanted)>,
    /// Found, and not expected.
    pub(super) unexpected: Vec<(&'static str, Map<String, Value>)>,
}

impl Judgement {
    pub(super) fn is_as_expected(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty()
    }
}

/// Compares list by list. Each expectation takes one finding and no two the same one.
pub(super) fn judge(expected: &Expected, found: &Found) -> Judgement {
    let mut judgement = Judgement::default();
    for list in List::ALL {
        let expectation = expected.of(list);
        let (Some(wanted), found) = (&expectation.wanted, found.of(list)) else { continue };
        let takers = pair(wanted, found);
        let met = |w: usize| takers.contains(&Some(w));
        let missing = wanted.iter().enumerate().filter(|(w, _)| !met(*w));
        judgement.missing.extend(missing.map(|(_, wanted)| (list.name(), wanted.clone())));
        if !expectation.partial {
            let rest = takers.iter().zip(found).filter(|(taker, _)| taker.is_none());
            judgement.unexpected.extend(rest.map(|(_, found)| (list.name(), found.clone())));
        }
    }
    judgement
}

/// For each finding the expectation that takes it: as many as can be, whatever their order (Kuhn's matching).
fn pair(wanted: &[Wanted], found: &[Map<String, Value>]) -> Vec<Option<usize>> {
    let mut takers = vec![None; found.len()];
    for w in 0..wanted.len() {
        let mut seen = vec![false; found.len()];
        place(w, wanted, found, &mut takers, &mut seen);
    }
    takers
}

/// Finds a finding for an expectation, if need be by giving another one something else.
fn place(
    w: usize,
    wanted: &[Wanted],
    found: &[Map<String, Value>],
    takers: &mut [Option<usize>],
    seen: &mut [bool],
) -> bool {
    let fitting: Vec<usize> = (0..found.len()).filter(|f| !seen[*f] && is_in(&wanted[w].fields, &found[*f])).collect();
    if let Some(free) = fitting.iter().find(|f| takers[**f].is_none()) {
        takers[*free] = Some(w);
        return true;
    }
    for f in fitting {
        if std::mem::replace(&mut seen[f], true) {
            continue;
        }
        if takers[f].is_none_or(|other| place(other, wanted, found, takers, seen)) {
            takers[f] = Some(w);
            return true;
        }
    }
    false
}

/// Whether everything that is wanted is there as it should be.
fn is_in(wanted: &Map<String, Value>, found: &Map<String, Value>) -> bool {
    wanted.iter().all(|(name, wanted)| found.get(name).is_some_and(|found| same(wanted, found)))
}

fn same(wanted: &Value, found: &Value) -> bool {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => is_in(wanted, found),
        (Value::Array(wanted), Value::Array(found)) => {
            wanted.len() == found.len() && wanted.iter().zip(found).all(|(wanted, found)| same(wanted, found))
        }
        (Value::Number(wanted), Value::Number(found)) => match (wanted.as_f64(), found.as_f64()) {
            (Some(wanted), Some(found)) => (wanted - found).abs() <= ROUNDING * wanted.abs().max(found.abs()),
            _ => wanted == found,
        },
        // What is estimated is expected within bounds: `240..260`.
        (Value::String(wanted), Value::Number(found)) => {
            let bounds = wanted
                .split_once("..")
                .and_then(|(low, high)| Some((low.trim().parse::<f64>().ok()?, high.trim().parse::<f64>().ok()?)));
            bounds.zip(found.as_f64()).is_some_and(|((low, high), found)| low <= found && found <= high)
        }
        _ => wanted == found,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        let Value::Object(map) = value else { panic!("{value}") };
        map
    }

    #[test]
    fn a_value_is_as_expected_when_all_that_is_said_of_it_holds() {
        for (wanted, found, expected) in [
            (json!(2), json!(2.0), true),
            (json!(0.3), json!(0.1 + 0.2), true),
            (json!(2), json!(2.1), false),
            (json!(0), json!(0), true),
            (json!("240..260"), json!(250), true),
            (json!("240..260"), json!(261), false),
            (json!("2"), json!(2), false),
            (json!("a..b"), json!("a..b"), true),
            (json!({ "a": 1 }), json!({ "a": 1, "b": 2 }), true),
            (json!({ "a": 1 }), json!({ "b": 2 }), false),
            (json!(["a"]), json!(["a"]), true),
            (json!(["a"]), json!(["a", "b"]), false),
            (json!(null), json!(null), true),
        ] {
            assert_eq!(same(&wanted, &found), expected, "{wanted} {found}");
        }
    }

    #[test]
    fn each_expectation_takes_a_finding_of_its_own_whatever_the_order() {
        let wanted = |value| Wanted { line: None, fields: map(value) };
        let wanted = [wanted(json!({ "rule": "a" })), wanted(json!({ "rule": "a", "key": "1" })), wanted(json!({}))];
        let found = [map(json!({ "rule": "a", "key": "1" })), map(json!({ "rule": "a", "key": "2" }))];
        let takers = pair(&wanted[..2], &found);
        assert_eq!(takers, [Some(1), Some(0)]);
        assert_eq!(pair(&wanted, &found).iter().flatten().count(), 2);
        assert_eq!(pair(&wanted[1..2], &found[1..]), [None]);
    }
}
