//! The rules and windows in force, as questions name them; exchanged whole when the configuration is loaded again.

use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use event::{Batch, Block, BlockBuilder, Catalog, Draft, Millis, Span, StreamId, WindowId};
use process::{Output, Program, RuleSpec, State, WindowSpec};
use store::query::EventRow;

/// What is in force.
pub(crate) struct InForce {
    catalog: Arc<Catalog>,
    now: ArcSwap<Definitions>,
}

#[derive(Default)]
struct Definitions {
    rules: Vec<String>,
    windows: Vec<String>,
    /// The windows of each stream that has any, without its rules.
    programs: Vec<(StreamId, Program)>,
}

impl InForce {
    /// These.
    pub(crate) fn new(catalog: Arc<Catalog>, rules: &[RuleSpec], windows: &[WindowSpec]) -> Self {
        let in_force = Self { catalog, now: ArcSwap::default() };
        in_force.put(rules, windows);
        in_force
    }

    /// These from now on. They are sound: those of [`crate::config::Settings`] are.
    pub(crate) fn put(&self, rules: &[RuleSpec], windows: &[WindowSpec]) {
        let mut names: Vec<String> = windows.iter().map(|window| window.name.clone()).collect();
        names.sort_unstable();
        names.dedup();
        let of = |(id, stream): (StreamId, &event::Stream)| {
            let here = windows.iter().any(|window| window.stream == stream.name);
            here.then(|| Some((id, Program::compile(stream, &[], windows).ok()?))).flatten()
        };
        self.now.store(Arc::new(Definitions {
            rules: rules.iter().map(|rule| rule.name.clone()).collect(),
            windows: names,
            programs: self.catalog.iter().filter_map(of).collect(),
        }));
    }

    /// The names of the rules.
    pub(crate) fn rules(&self) -> Vec<String> {
        self.now.load().rules.clone()
    }

    /// The names of the windows.
    pub(crate) fn windows(&self) -> Vec<String> {
        self.now.load().windows.clone()
    }

    /// The windows that an event falls into: those that it would be in if it were the only one.
    pub(crate) fn windows_of(&self, row: &EventRow) -> Vec<WindowId> {
        let now = self.now.load();
        let stream = self.catalog.find(&row.stream);
        let program = now.programs.iter().find(|(id, _)| Some(*id) == stream);
        let Some(((id, program), block)) = program.and_then(|program| Some((program, alone(program.0, row)?))) else {
            return Vec::new();
        };
        debug_assert_eq!(*id, block.stream);
        let (mut state, mut out) = (State::default(), Output::default());
        program.run(&mut state, &block, &mut out);
        program.advance(&mut state, block.partition, block.next_offset(), Millis::MAX, &mut out);
        out.windows.into_iter().map(|piece| piece.id).collect()
    }
}

/// A block with one record.
fn alone(stream: StreamId, row: &EventRow) -> Option<Block> {
    let mut batch = Batch::new(stream, Bytes::copy_from_slice(&row.data));
    let mut side = |bytes: &[u8]| if bytes.is_empty() { Span::EMPTY } else { batch.put_side(bytes) };
    let (key, kind) = (side(row.key.as_bytes()), side(row.kind.as_bytes()));
    let (id, headers) = (side(row.id.as_bytes()), side(&row.headers));
    let data = Span::shared(0, row.data.len());
    let draft = Draft { partition: row.partition, time: row.time, id_hash: 0, data, key, kind, id, headers };
    let mut builder = BlockBuilder::default();
    builder.push(&batch, &draft);
    let body = Bytes::copy_from_slice(builder.body());
    Block::parse(stream, row.partition, row.offset, row.received_at, 1, body).ok()
}

#[cfg(test)]
mod tests {
    use event::{Retention, Stream};
    use process::WindowKind;

    use super::*;

    fn in_force(windows: &[WindowSpec]) -> InForce {
        let stream = Stream {
            name: "signals".to_owned(),
            partitions: 2,
            key: None,
            time: None,
            id: None,
            kind: None,
            require: Vec::new(),
            dedup: None,
            retention: Retention { age_ms: None, size_bytes: None },
        };
        InForce::new(Arc::new(Catalog::new(vec![stream]).unwrap()), &[], windows)
    }

    fn window(name: &str, when: &str, kind: WindowKind) -> WindowSpec {
        WindowSpec {
            name: name.to_owned(),
            stream: "signals".to_owned(),
            when: when.to_owned(),
            kind,
            by: vec!["type".to_owned()],
            lateness_ms: 10_000,
            correct: true,
            measures: vec![("count".to_owned(), "count()".to_owned())],
            publish: String::new(),
        }
    }

    fn row(stream: &str, time: Millis) -> EventRow {
        EventRow {
            stream: stream.to_owned(),
            partition: 1,
            offset: 5,
            time,
            received_at: time + 1_000_000_000,
            stored_at: 0,
            key: String::new(),
            kind: String::new(),
            id: String::new(),
            data: br#"{"type":"login","n":1}"#.to_vec(),
            headers: Vec::new(),
        }
    }

    #[test]
    fn an_event_falls_into_a_window_of_each_length_and_definition_that_takes_it() {
        let it = in_force(&[
            window("by_type", "", WindowKind::Tumbling(vec![60_000, 300_000])),
            window("hops", "n == 1", WindowKind::Hopping { size_ms: 60_000, every_ms: 30_000 }),
            window("none", "n == 2", WindowKind::Tumbling(vec![60_000])),
        ]);
        assert_eq!(it.windows(), ["by_type", "hops", "none"]);
        let mut found: Vec<(String, Millis, Millis, String)> = it
            .windows_of(&row("signals", 310_000))
            .into_iter()
            .map(|id| (id.window, id.size_ms, id.start, id.key))
            .collect();
        found.sort();
        let of = |window: &str, size_ms, start| (window.to_owned(), size_ms, start, r#"{"type":"login"}"#.to_owned());
        let hops = [of("hops", 60_000, 270_000), of("hops", 60_000, 300_000)];
        let expected = [&[of("by_type", 60_000, 300_000), of("by_type", 300_000, 300_000)], &hops[..]].concat();
        assert_eq!(found, expected);
        assert_eq!(it.windows_of(&row("other", 310_000)), []);
    }

    #[test]
    fn what_is_put_is_what_is_asked() {
        let it = in_force(&[]);
        assert_eq!((it.windows_of(&row("signals", 0)), it.windows()), (Vec::new(), Vec::new()));
        it.put(&[], &[window("later", "", WindowKind::Tumbling(vec![1_000]))]);
        assert_eq!((it.windows_of(&row("signals", 0)).len(), it.windows()), (1, vec!["later".to_owned()]));
    }
}
