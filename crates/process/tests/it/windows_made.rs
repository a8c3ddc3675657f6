//! Definitions, events and a lane to send them through, for tests of windows.

use std::collections::BTreeMap;

use bytes::Bytes;
use event::measure::Measure;
use event::{
    Batch, Block, BlockBuilder, Draft, LateEvents, Millis, Span, Stream, StreamId, WindowDelta, WindowId, headers,
};
use process::{Output, Program, State, WindowKind, WindowSpec};

use crate::made::signals;

pub(crate) const MINUTE: Millis = 60_000;

/// A definition with these measures, tumbling by the minute, without grouping or lateness.
pub(crate) fn window(measures: &[(&str, &str)]) -> WindowSpec {
    WindowSpec {
        name: "w".to_owned(),
        stream: "signals".to_owned(),
        when: String::new(),
        kind: WindowKind::Tumbling(vec![MINUTE]),
        by: Vec::new(),
        lateness_ms: 0,
        correct: false,
        measures: measures.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect(),
        publish: String::new(),
    }
}

/// The same by these fields.
pub(crate) fn by(fields: &[&str], spec: WindowSpec) -> WindowSpec {
    WindowSpec { by: fields.iter().map(|field| (*field).to_owned()).collect(), ..spec }
}

/// One event to come.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) tenant: &'static str,
    pub(crate) key: String,
    pub(crate) kind: String,
    pub(crate) time: Millis,
    /// `None`: long after its time.
    pub(crate) received_at: Option<Millis>,
    pub(crate) data: String,
}

/// An event of user 7 with a value.
pub(crate) fn at(time: Millis, value: &str) -> Sent {
    of("7", time, value)
}

/// An event of a user with a value.
pub(crate) fn of(key: &str, time: Millis, value: &str) -> Sent {
    let data = format!(r#"{{"user_id":"{key}","type":"login","v":{value}}}"#);
    Sent { tenant: "", key: key.to_owned(), kind: "login".to_owned(), time, received_at: None, data }
}

pub(crate) fn block(partition: u32, base: u64, received_at: Millis, records: &[Sent]) -> Block {
    let text: String = records.iter().map(|record| record.data.as_str()).collect();
    let mut batch = Batch::new(StreamId(0), Bytes::from(text));
    let mut builder = BlockBuilder::default();
    let mut start = 0;
    for record in records {
        let data = Span::shared(start, record.data.len());
        start += record.data.len();
        let (key, kind) = (batch.put_side(record.key.as_bytes()), batch.put_side(record.kind.as_bytes()));
        let mut encoded = Vec::new();
        if !record.tenant.is_empty() {
            headers::put(&mut encoded, headers::TENANT, record.tenant.as_bytes());
        }
        let headers = batch.put_side(&encoded);
        let draft = Draft { partition, time: record.time, id_hash: 0, data, key, kind, id: Span::EMPTY, headers };
        builder.push(&batch, &draft);
    }
    let body = builder.body().to_vec();
    Block::parse(StreamId(0), partition, base, received_at, records.len(), body.into()).unwrap()
}

/// A partition of a program, fed step by step.
pub(crate) struct Lane<'p> {
    program: &'p Program,
    partition: u32,
    next: u64,
    pub(crate) state: State,
    pub(crate) out: Output,
}

pub(crate) fn program(specs: &[WindowSpec]) -> Program {
    Program::compile(&signals(), &[], specs).unwrap()
}

/// The same for a stream of one partition.
pub(crate) fn program_of_one(specs: &[WindowSpec]) -> Program {
    Program::compile(&Stream { partitions: 1, ..signals() }, &[], specs).unwrap()
}

impl<'p> Lane<'p> {
    pub(crate) fn new(program: &'p Program) -> Self {
        Self::of_partition(program, 2)
    }

    pub(crate) fn of_partition(program: &'p Program, partition: u32) -> Self {
        Self { program, partition, next: 0, state: State::default(), out: Output::default() }
    }

    /// Sends events, those of one receipt in one block; gives the pieces that came out.
    pub(crate) fn send(&mut self, events: &[Sent]) -> Vec<WindowDelta> {
        let before = self.out.windows.len();
        for same in events.chunk_by(|a, b| a.received_at == b.received_at) {
            let received_at = same[0].received_at.unwrap_or(Millis::MAX);
            let block = block(self.partition, self.next, received_at, same);
            self.program.run(&mut self.state, &block, &mut self.out);
            self.next += same.len() as u64;
        }
        self.out.windows[before..].to_vec()
    }

    pub(crate) fn advance(&mut self, to: Millis) -> Vec<WindowDelta> {
        let before = self.out.windows.len();
        self.program.advance(&mut self.state, self.partition, self.next, to, &mut self.out);
        self.out.windows[before..].to_vec()
    }

    /// Writes the state down and reads it back.
    pub(crate) fn restart(&mut self) {
        let mut bytes = Vec::new();
        self.program.encode(&self.state, &mut bytes);
        let restored = self.program.decode(&bytes).unwrap();
        assert_eq!(restored.missing, [0_usize; 0]);
        let mut again = Vec::new();
        self.program.encode(&restored.state, &mut again);
        assert_eq!(again, bytes, "what was read is what was written");
        self.state = restored.state;
    }
}

/// A window's row, as a store merges it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) end: Millis,
    pub(crate) events: u64,
    pub(crate) measures: Vec<Measure>,
}

/// The rows that pieces make.
pub(crate) fn rows<'a>(pieces: impl IntoIterator<Item = &'a WindowDelta>) -> BTreeMap<WindowId, Row> {
    let mut rows: BTreeMap<WindowId, Row> = BTreeMap::new();
    for piece in pieces {
        assert_eq!(piece.names.len(), piece.measures.len());
        match rows.get_mut(&piece.id) {
            Some(row) => {
                row.end = row.end.max(piece.end);
                row.events += piece.events;
                row.measures.iter_mut().zip(&piece.measures).for_each(|(mine, theirs)| mine.merge(theirs));
            }
            None => {
                let row = Row { end: piece.end, events: piece.events, measures: piece.measures.clone() };
                rows.insert(piece.id.clone(), row);
            }
        }
    }
    rows
}

/// What late events are told with, added up for each window.
type Late = (BTreeMap<WindowId, Row>, BTreeMap<WindowId, LateEvents>);

/// The output without late events, and these: they are added up over a block, so each split tells them in its own parts.
pub(crate) fn summed(mut out: Output) -> (Output, Late) {
    let mut sums: BTreeMap<WindowId, LateEvents> = BTreeMap::new();
    for late in out.late.drain(..) {
        let sum = sums.entry(late.id.clone()).or_insert_with(|| LateEvents { events: 0, ..late.clone() });
        let (offset, lateness_ms) = (late.offset.max(sum.offset), late.lateness_ms.max(sum.lateness_ms));
        *sum = LateEvents { events: sum.events + late.events, offset, lateness_ms, ..late };
    }
    let corrections = rows(out.windows.iter().filter(|piece| piece.correction));
    out.windows.retain(|piece| !piece.correction);
    (out, (corrections, sums))
}

/// A piece for people: `tenant size start..end key events [values]`.
pub(crate) fn told(piece: &WindowDelta) -> String {
    let mut values = String::new();
    for measure in &piece.measures {
        values.push(' ');
        measure.write_json(&mut values);
    }
    let WindowId { tenant, size_ms, start, key, .. } = &piece.id;
    let tenant = if tenant.is_empty() { String::new() } else { format!("{tenant} ") };
    let mark = if piece.correction { " late" } else { "" };
    format!("{tenant}{size_ms} {start}..{} {key} {}:{values}{mark}", piece.end, piece.events)
}

pub(crate) fn all_told(pieces: &[WindowDelta]) -> Vec<String> {
    pieces.iter().map(told).collect()
}
