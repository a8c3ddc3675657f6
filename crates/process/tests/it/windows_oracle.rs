//! Properties of windows, against a slow oracle and against themselves.

use std::collections::{BTreeMap, BTreeSet};

use event::{LateEvents, Millis, WindowId};
use process::{Program, WindowKind, WindowSpec};
use proptest::prelude::*;

use crate::windows_made::{Lane, Sent, by, of, program, rows, summed, window};

const LATENESS: Millis = 15;

fn measured(kind: WindowKind, lateness_ms: Millis) -> WindowSpec {
    let measures = [
        ("n", "count()"),
        ("odd", "count(v % 2 == 1)"),
        ("sum", "sum(v)"),
        ("min", "min(v)"),
        ("max", "max(v)"),
        ("distinct", "distinct(v)"),
        ("mean", "mean(v)"),
        ("p90", "quantile(v, 0.9)"),
    ];
    let spec = WindowSpec { kind, lateness_ms, correct: true, ..window(&measures) };
    by(&["user_id", "type"], spec)
}

fn tumbling() -> WindowSpec {
    measured(WindowKind::Tumbling(vec![10, 20, 30, 120, 7]), LATENESS)
}

fn hopping() -> WindowSpec {
    WindowSpec { name: "h".to_owned(), ..measured(WindowKind::Hopping { size_ms: 40, every_ms: 10 }, LATENESS) }
}

fn session(lateness_ms: Millis) -> WindowSpec {
    WindowSpec { name: "s".to_owned(), ..measured(WindowKind::Session { gap_ms: 12 }, lateness_ms) }
}

/// What happens to a lane.
#[derive(Clone, Debug)]
enum Step {
    Event(Sent),
    /// Idle until so long after the newest event.
    Idle(Millis),
}

/// Some users, mostly forward in time, some out of order, some far too late, some from the future.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    let jump = prop_oneof![8 => 0_i64..6, 3 => -25_i64..0, 1 => -200_i64..-40, 1 => 30_i64..90];
    let value = prop_oneof![4 => (-20_i64..20).prop_map(|v| v.to_string()), 1 => Just("null".to_owned())];
    let event = (0_u8..3, jump, value, any::<bool>(), prop::bool::weighted(0.05), prop::bool::weighted(0.2));
    let step = prop_oneof![20 => event.prop_map(Ok), 1 => (0_i64..100).prop_map(Err)];
    prop::collection::vec(step, 0..100).prop_map(|steps| {
        let mut clock = -300;
        let one = |step: Result<(u8, Millis, String, bool, bool, bool), Millis>| match step {
            Err(idle) => Step::Idle(clock + idle),
            Ok((user, jump, value, click, future, tenant)) => {
                clock += jump.max(0);
                let ahead = if future { 500 } else { 0 };
                let sent = of(&user.to_string(), clock + jump.min(0) + ahead, &value);
                let kind = if click { "click" } else { "login" }.to_owned();
                Step::Event(Sent { kind, received_at: Some(clock), tenant: if tenant { "t" } else { "" }, ..sent })
            }
        };
        steps.into_iter().map(one).collect()
    })
}

fn feed(lane: &mut Lane<'_>, steps: &[Step]) {
    for step in steps {
        match step {
            Step::Event(event) => drop(lane.send(std::slice::from_ref(event))),
            Step::Idle(to) => drop(lane.advance(*to)),
        }
    }
}

fn events(steps: &[Step]) -> impl Iterator<Item = &Sent> {
    steps.iter().filter_map(|step| match step {
        Step::Event(event) => Some(event),
        Step::Idle(_) => None,
    })
}

fn spans(spec: &WindowSpec, time: Millis) -> Vec<(Millis, Millis)> {
    match &spec.kind {
        WindowKind::Tumbling(sizes) => sizes.iter().map(|size| (*size, time.div_euclid(*size) * size)).collect(),
        WindowKind::Hopping { size_ms, every_ms } => {
            let last = time.div_euclid(*every_ms) * every_ms;
            let starts = (0..size_ms / every_ms).map(|i| (*size_ms, last - i * every_ms));
            starts.filter(|(size, start)| time < start + size).collect()
        }
        WindowKind::Session { .. } => Vec::new(),
    }
}

fn id(spec: &WindowSpec, event: &Sent, (size_ms, start): (Millis, Millis)) -> WindowId {
    WindowId {
        tenant: event.tenant.to_owned(),
        stream: spec.stream.clone(),
        window: spec.name.clone(),
        size_ms,
        start,
        key: format!(r#"{{"user_id":"{}","type":"{}"}}"#, event.key, event.kind),
    }
}

/// The definition of every measure once more, over the plain values: all but the mean and the quantile.
fn expected(values: &[Option<i64>]) -> Vec<String> {
    let there: Vec<_> = values.iter().flatten().copied().collect();
    let option = |value: Option<i64>| value.map_or("null".to_owned(), |value| value.to_string());
    vec![
        values.len().to_string(),
        there.iter().filter(|value| *value % 2 == 1).count().to_string(),
        there.iter().sum::<i64>().to_string(),
        option(there.iter().min().copied()),
        option(there.iter().max().copied()),
        there.iter().collect::<BTreeSet<_>>().len().to_string(),
    ]
}

fn value(event: &Sent) -> Option<i64> {
    let (_, value) = event.data.rsplit_once(':')?;
    value.trim_end_matches('}').parse().ok()
}

/// All events of each window, however late.
fn recomputed(specs: &[&WindowSpec], steps: &[Step]) -> BTreeMap<WindowId, Vec<String>> {
    let mut values: BTreeMap<WindowId, Vec<Option<i64>>> = BTreeMap::new();
    for spec in specs {
        for event in events(steps) {
            for span in spans(spec, event.time) {
                values.entry(id(spec, event, span)).or_default().push(value(event));
            }
        }
    }
    values.into_iter().map(|(id, values)| (id, expected(&values))).collect()
}

fn told(lanes: &[Lane<'_>]) -> BTreeMap<WindowId, Vec<String>> {
    let rows = rows(lanes.iter().flat_map(|lane| &lane.out.windows));
    let measure = |measure: &event::measure::Measure| {
        let mut out = String::new();
        measure.write_json(&mut out);
        out
    };
    rows.into_iter().map(|(id, row)| (id, row.measures[..6].iter().map(measure).collect())).collect()
}

/// Who is late, by the definition: the window's end is at the watermark before the event, or earlier.
fn late(specs: &[&WindowSpec], steps: &[Step]) -> BTreeMap<WindowId, u64> {
    let mut late = BTreeMap::new();
    let mut clock = Millis::MIN;
    for event in events(steps) {
        for spec in specs {
            let past = |(size, start): &(Millis, Millis)| start + size <= clock.saturating_sub(LATENESS);
            for span in spans(spec, event.time).into_iter().filter(past) {
                *late.entry(id(spec, event, span)).or_default() += 1;
            }
        }
        clock = clock.max(event.time.min(event.received_at.unwrap_or(Millis::MAX)));
    }
    late
}

fn told_late(late: &[LateEvents]) -> BTreeMap<WindowId, u64> {
    let mut told = BTreeMap::new();
    late.iter().for_each(|late| *told.entry(late.id.clone()).or_default() += late.events);
    told
}

fn all() -> Program {
    program(&[tumbling(), hopping(), session(LATENESS)])
}

proptest! {
    #[test]
    fn pieces_add_up_to_a_recomputation_over_all_events(steps in steps()) {
        let (tumbling, hopping) = (tumbling(), hopping());
        let program = program(&[tumbling.clone(), hopping.clone()]);
        let mut lane = Lane::new(&program);
        feed(&mut lane, &steps);
        lane.advance(Millis::MAX);
        prop_assert_eq!(program.due(&lane.state), None);
        prop_assert_eq!(told_late(&lane.out.late), late(&[&tumbling, &hopping], &steps));
        prop_assert_eq!(told(&[lane]), recomputed(&[&tumbling, &hopping], &steps));
    }

    #[test]
    fn any_split_and_any_restart_give_the_same_pieces(
        steps in steps(),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..6),
    ) {
        let program = all();
        let (mut whole, mut parts) = (Lane::new(&program), Lane::new(&program));
        feed(&mut whole, &steps);
        let mut cuts: Vec<_> = cuts.iter().map(|(at, restart)| (at.index(steps.len() + 1), *restart)).collect();
        cuts.sort_unstable();
        let mut from = 0;
        for (to, restart) in cuts.into_iter().chain([(steps.len(), false)]) {
            // In as few blocks as can be: those of one receipt are one.
            for run in steps[from..to].chunk_by(|a, b| matches!((a, b), (Step::Event(_), Step::Event(_)))) {
                parts.send(&events(run).cloned().collect::<Vec<_>>());
                if let [Step::Idle(to)] = run {
                    parts.advance(*to);
                }
            }
            if restart {
                parts.restart();
            }
            from = to;
        }
        parts.restart();
        for lane in [&mut whole, &mut parts] {
            lane.advance(Millis::MAX);
        }
        prop_assert_eq!(summed(whole.out), summed(parts.out));
    }

    #[test]
    fn partitions_merge_in_any_order_to_the_same_bytes(
        steps in steps(),
        order in Just([0_usize, 1, 2]).prop_shuffle(),
    ) {
        let program = all();
        let mut lanes: Vec<_> = (0..3).map(|partition| Lane::of_partition(&program, partition)).collect();
        for (i, step) in steps.iter().enumerate() {
            feed(&mut lanes[i % 3], std::slice::from_ref(step));
        }
        lanes.iter_mut().for_each(|lane| drop(lane.advance(Millis::MAX)));
        let bytes = |order: [usize; 3]| -> Vec<u8> {
            let mut out = Vec::new();
            for (id, row) in rows(order.iter().flat_map(|at| &lanes[*at].out.windows)) {
                out.extend_from_slice(format!("{id:?} {} {}", row.end, row.events).as_bytes());
                row.measures.iter().for_each(|measure| measure.encode(&mut out));
            }
            out
        };
        prop_assert_eq!(bytes(order), bytes([0, 1, 2]));
    }

    #[test]
    fn sessions_are_runs_of_events_without_a_gap(steps in steps()) {
        // Nothing is late, and nothing handed over on the way.
        let spec = session(10_000);
        let program = program(std::slice::from_ref(&spec));
        let mut lane = Lane::new(&program);
        let events: Vec<_> = events(&steps).cloned().collect();
        lane.send(&events);
        lane.advance(Millis::MAX);
        let mut groups: BTreeMap<WindowId, Vec<(Millis, Option<i64>)>> = BTreeMap::new();
        for event in &events {
            groups.entry(id(&spec, event, (0, 0))).or_default().push((event.time, value(event)));
        }
        let mut expected_rows = BTreeMap::new();
        for (group, mut events) in groups {
            events.sort_unstable();
            for run in events.chunk_by(|a, b| b.0 - a.0 < 12) {
                let values: Vec<_> = run.iter().map(|(_, value)| *value).collect();
                expected_rows.insert(WindowId { start: run[0].0, ..group.clone() }, expected(&values));
            }
        }
        prop_assert!(lane.out.late.is_empty());
        prop_assert_eq!(told(&[lane]), expected_rows);
    }
}
