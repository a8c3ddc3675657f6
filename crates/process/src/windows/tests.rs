//! Windows from the inside: bounds and sections.

use std::collections::BTreeMap;

use bytes::Bytes;
use event::measure::Measure;
use event::{
    Batch, Block, BlockBuilder, Draft, Field, FieldPath, Millis, Retention, Span, Stream, StreamId, WindowDelta,
};
use proptest::prelude::*;

use super::Bounds;
use crate::{Output, Program, State, WindowKind, WindowSpec};

fn program(kind: WindowKind, bounds: Bounds) -> Program {
    let field = |path: &str| FieldPath::parse(path).map(|path| Field { path, required: false });
    let stream = Stream {
        name: "s".to_owned(),
        partitions: 4,
        key: field("u"),
        time: None,
        id: None,
        kind: None,
        require: Vec::new(),
        dedup: None,
        retention: Retention { age_ms: None, size_bytes: None },
    };
    let spec = WindowSpec {
        name: "w".to_owned(),
        stream: "s".to_owned(),
        when: String::new(),
        kind,
        by: vec!["u".to_owned()],
        lateness_ms: 10,
        correct: true,
        measures: ["count()", "sum(v)", "distinct(v)", "quantile(v, 0.5)"].map(|m| (m.to_owned(), m.to_owned())).into(),
        publish: String::new(),
    };
    let mut program = Program::compile(&stream, &[], &[spec]).unwrap();
    program.windows.bounds = bounds;
    program
}

fn kinds() -> [WindowKind; 3] {
    [
        WindowKind::Tumbling(vec![10, 20, 60]),
        WindowKind::Hopping { size_ms: 30, every_ms: 10 },
        WindowKind::Session { gap_ms: 7 },
    ]
}

fn few(groups_max: usize) -> Bounds {
    Bounds { groups_max, bytes_max: usize::MAX, ..Bounds::default() }
}

/// Events of a user, a time and a value, from offset `base` on.
fn block(base: u64, events: &[(u8, Millis, u32)]) -> Block {
    let texts: Vec<_> = events.iter().map(|(user, _, value)| format!(r#"{{"u":"{user}","v":{value}}}"#)).collect();
    let mut batch = Batch::new(StreamId(0), Bytes::from(texts.concat()));
    let mut builder = BlockBuilder::default();
    let mut start = 0;
    for ((user, time, _), text) in events.iter().zip(&texts) {
        let key = batch.put_side(user.to_string().as_bytes());
        let data = Span::shared(start, text.len());
        start += text.len();
        let (kind, id, headers) = (Span::EMPTY, Span::EMPTY, Span::EMPTY);
        builder.push(&batch, &Draft { partition: 1, time: *time, id_hash: 0, data, key, kind, id, headers });
    }
    let body = builder.body().to_vec();
    Block::parse(StreamId(0), 1, base, Millis::MAX, events.len(), body.into()).unwrap()
}

fn run(program: &Program, state: &mut State, base: u64, events: &[(u8, Millis, u32)]) -> Vec<WindowDelta> {
    let mut out = Output::default();
    program.run(state, &block(base, events), &mut out);
    out.windows
}

/// What pieces make of each window, as bytes.
fn merged(pieces: &[WindowDelta]) -> BTreeMap<String, Vec<u8>> {
    let mut rows: BTreeMap<String, Vec<Measure>> = BTreeMap::new();
    for piece in pieces {
        match rows.get_mut(&format!("{:?}", piece.id)) {
            Some(row) => row.iter_mut().zip(&piece.measures).for_each(|(mine, theirs)| mine.merge(theirs)),
            None => drop(rows.insert(format!("{:?}", piece.id), piece.measures.clone())),
        }
    }
    let bytes = |measures: Vec<Measure>| {
        let mut out = Vec::new();
        measures.iter().for_each(|measure| measure.encode(&mut out));
        out
    };
    rows.into_iter().map(|(id, measures)| (id, bytes(measures))).collect()
}

#[test]
fn the_least_recently_used_group_hands_over_and_goes() {
    let program = program(WindowKind::Tumbling(vec![10, 60]), few(2));
    let mut state = State::default();
    let pieces = run(&program, &mut state, 0, &[(1, 0, 5), (2, 0, 1), (1, 11, 6), (3, 1, 1)]);
    let told: Vec<_> = pieces.iter().map(|piece| (&*piece.id.key, piece.end, piece.events, piece.offset)).collect();
    assert_eq!(told, [(r#"{"u":"2"}"#, 10, 1, 3), (r#"{"u":"2"}"#, 60, 1, 3)]);
    assert_eq!((state.windows.spilled(), state.windows.groups()), (1, 2));
    assert!(pieces.iter().all(|piece| !piece.correction));
    let pieces = run(&program, &mut state, 4, &[(1, 100, 0)]);
    let told: Vec<_> = pieces.iter().map(|piece| (&*piece.id.key, piece.end, piece.events)).collect();
    let (one, three) = (r#"{"u":"1"}"#, r#"{"u":"3"}"#);
    assert_eq!(told, [(one, 10, 1), (three, 10, 1), (one, 20, 1), (one, 60, 2), (three, 60, 1)]);
}

#[test]
fn bytes_are_bounded_and_nothing_is_left_when_all_is_closed() {
    for kind in kinds() {
        let program = program(kind, Bounds { groups_max: 1_000, bytes_max: 4_000, ..Bounds::default() });
        let mut state = State::default();
        for i in 0..200_u32 {
            run(&program, &mut state, i.into(), &[((i % 50) as u8, (i / 4).into(), i)]);
            assert!(state.windows.0[0].table.weight() <= 4_000);
        }
        assert!(state.windows.spilled() > 0);
        program.advance(&mut state, 1, 200, Millis::MAX, &mut Output::default());
        assert_eq!((state.windows.groups(), state.windows.0[0].table.weight()), (0, 0));
    }
}

#[test]
fn a_section_of_something_else_is_refused_whole() {
    for kind in kinds() {
        let program = program(kind, Bounds::default());
        let mut state = State::default();
        run(&program, &mut state, 0, &[(1, 0, 5), (2, 33, 1), (1, 35, 7)]);
        let mut bytes = Vec::new();
        program.windows.encode_section(0, &state.windows, &mut bytes);
        let mut back = State::default();
        assert_eq!(program.windows.decode_section(0, &bytes, &mut back.windows), Some(()));
        assert_eq!(back.windows.groups(), 2);
        for cut in 0..bytes.len() {
            assert_eq!(program.windows.decode_section(0, &bytes[..cut], &mut back.windows), None, "cut at {cut}");
            assert_eq!(back.windows.groups(), 0, "it knows nothing then");
        }
    }
}

fn events() -> impl Strategy<Value = Vec<(u8, Millis, u32)>> {
    prop::collection::vec((0_u8..12, -20_i64..15, 0_u32..50), 0..80).prop_map(|steps| {
        let mut clock = 0;
        let one = |(user, step, value): (u8, Millis, u32)| {
            clock += step.max(0);
            (user, clock + step.min(0), value)
        };
        steps.into_iter().map(one).collect()
    })
}

proptest! {
    #[test]
    fn making_room_loses_nothing_whatever_the_split_and_restart(
        events in events(),
        kind in prop::sample::select(kinds()[..2].to_vec()),
        groups_max in 1_usize..6,
        bytes_max in prop::sample::select(vec![1_500_usize, 3_000, usize::MAX]),
        late_max in prop::sample::select(vec![1_usize, 3, 50_000]),
        at in any::<prop::sample::Index>(),
    ) {
        let roomy = program(kind.clone(), Bounds::default());
        let narrow = program(kind, Bounds { groups_max, bytes_max, late_max });
        let end = [(200, 10_000, 0)];
        let finish = |program: &Program, state: &mut State| run(program, state, events.len() as u64, &end);

        let mut state = State::default();
        let mut all = run(&roomy, &mut state, 0, &events);
        all.extend(finish(&roomy, &mut state));

        let mut state = State::default();
        let mut whole = run(&narrow, &mut state, 0, &events);
        let spilled = state.windows.spilled();
        whole.extend(finish(&narrow, &mut state));
        prop_assert_eq!(merged(&whole), merged(&all));

        let (before, after) = events.split_at(at.index(events.len() + 1));
        let mut state = State::default();
        let mut parts = run(&narrow, &mut state, 0, before);
        let mut bytes = Vec::new();
        narrow.windows.encode_section(0, &state.windows, &mut bytes);
        let mut state = State::default();
        prop_assert_eq!(narrow.windows.decode_section(0, &bytes, &mut state.windows), Some(()));
        parts.extend(run(&narrow, &mut state, before.len() as u64, after));
        prop_assert_eq!(state.windows.spilled(), spilled);
        parts.extend(finish(&narrow, &mut state));
        prop_assert_eq!(merged(&parts), merged(&whole));
        // Corrections are added up over a block, so each split has its own.
        for pieces in [&mut parts, &mut whole] {
            pieces.retain(|piece| !piece.correction);
        }
        prop_assert_eq!(parts, whole);
    }

    #[test]
    fn any_bytes_are_read_without_harm(
        bytes in prop::collection::vec(prop_oneof![0_u8..4, any::<u8>()], 0..80),
        kind in prop::sample::select(kinds().to_vec()),
    ) {
        let program = program(kind, Bounds::default());
        let mut state = State::default();
        if program.windows.decode_section(0, &bytes, &mut state.windows).is_some() {
            program.advance(&mut state, 1, 0, Millis::MAX, &mut Output::default());
            prop_assert_eq!(state.windows.groups(), 0);
        }
    }
}
