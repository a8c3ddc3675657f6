//! The first and next offsets of all partitions, kept fresh in the background.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use event::{Catalog, StreamId};
use parking_lot::{Mutex, RwLock};
use rdkafka::Offset;

use super::ask::Asker;
use super::shared::Shared;
use crate::{Extent, LogError};

/// How often the cluster is asked.
const EVERY: Duration = Duration::from_millis(200);
/// The first offsets move when a segment goes: every so many turns is soon enough.
const FIRST_EVERY: u64 = 5;
/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is known of all partitions.
pub(super) struct Extents {
    streams: RwLock<Vec<Ends>>,
    /// How often the cluster was asked so far, the question under way included.
    turn: AtomicU64,
    asker: OnceLock<Asker>,
    /// Why the cluster did not answer the last time.
    away: Mutex<Option<String>>,
}

struct Ends {
    known: bool,
    partitions: Vec<End>,
}

#[derive(Clone, Copy, Default)]
struct End {
    extent: Extent,
    /// The turn in which our own append was reported last.
    raised: u64,
}

impl Extents {
    pub(super) fn new(catalog: &Catalog) -> Self {
        let ends = |partitions| Ends { known: false, partitions: vec![End::default(); partitions as usize] };
        let streams = catalog.iter().map(|(_, stream)| ends(stream.partitions)).collect();
        Self { streams: RwLock::new(streams), turn: AtomicU64::new(0), asker: OnceLock::new(), away: Mutex::new(None) }
    }

    /// See `Log::extents`; what was known last while the cluster is away.
    pub(super) fn of(&self, stream: StreamId) -> Vec<Extent> {
        self.streams.read()[usize::from(stream.0)].partitions.iter().map(|end| end.extent).collect()
    }

    /// The same, when the cluster has ever told.
    pub(super) fn known(&self, stream: StreamId) -> Option<Vec<Extent>> {
        let streams = self.streams.read();
        let ends = &streams[usize::from(stream.0)];
        ends.known.then(|| ends.partitions.iter().map(|end| end.extent).collect())
    }

    /// Why the cluster does not answer; `None` while it does.
    pub(super) fn away(&self) -> Option<String> {
        self.away.lock().clone()
    }

    /// Everything before `next` was reported to be there.
    pub(super) fn raise(&self, stream: StreamId, partition: u32, next: u64) {
        let turn = self.turn.load(Ordering::SeqCst);
        let mut streams = self.streams.write();
        if let Some(end) = streams[usize::from(stream.0)].partitions.get_mut(partition as usize) {
            (end.extent.next, end.raised) = (end.extent.next.max(next), turn);
        }
    }

    /// Who asks the cluster.
    ///
    /// # Errors
    /// [`LogError::Refused`] when the settings are not the library's.
    pub(super) fn asker(&self, shared: &Shared) -> Result<&Asker, LogError> {
        match self.asker.get() {
            Some(asker) => Ok(asker),
            None => {
                let asker = Asker::new(&shared.settings)?;
                Ok(self.asker.get_or_init(|| asker))
            }
        }
    }

    /// Takes over what the cluster said of some streams; whether there is more to read. `turn` is that of the question: what
    /// we appended since then is there, whatever the answer says. An answer to a later question is right, even when it is
    /// less: records after an open transaction of somebody else cannot be read yet.
    fn learn(&self, turn: u64, first: Option<&[Told]>, next: &[Told]) -> bool {
        let (mut streams, mut more) = (self.streams.write(), false);
        for (stream, partition, offset) in first.into_iter().flatten() {
            streams[usize::from(stream.0)].partitions[*partition as usize].extent.first = *offset;
        }
        for (stream, partition, offset) in next {
            let end = &mut streams[usize::from(stream.0)].partitions[*partition as usize];
            more |= *offset > end.extent.next;
            end.extent.next = if end.raised < turn { *offset } else { end.extent.next.max(*offset) };
        }
        if first.is_some() {
            next.iter().for_each(|(stream, ..)| streams[usize::from(stream.0)].known = true);
        }
        more
    }

    /// Asks about these streams and takes the answer over.
    ///
    /// # Errors
    /// [`LogError::Away`] when the cluster does not answer, or only for some of the partitions.
    pub(super) fn refresh(&self, shared: &Shared, streams: &[StreamId], first: bool) -> Result<(), LogError> {
        let turn = self.turn.fetch_add(1, Ordering::SeqCst) + 1;
        let asker = self.asker(shared)?;
        let first = if first { Some(asker.offsets(shared, streams, Offset::Beginning, PATIENCE)?) } else { None };
        let next = asker.offsets(shared, streams, Offset::End, PATIENCE)?;
        if self.learn(turn, first.as_deref(), &next) {
            shared.publish();
        }
        Ok(())
    }

    /// One turn over all streams, together, or one by one when that fails: a topic that is not there yet does not hide the
    /// others.
    fn turn(&self, shared: &Shared, number: u64) {
        let all: Vec<StreamId> = shared.catalog.iter().map(|(id, _)| id).collect();
        let known = self.streams.read().iter().all(|ends| ends.known);
        let first = !known || number.is_multiple_of(FIRST_EVERY);
        let mut failed = self.refresh(shared, &all, first).err();
        if failed.is_some() {
            // Each time another one first: when that does not answer either, the cluster is away and no other is asked.
            let start = number as usize % all.len();
            for stream in all[start..].iter().chain(&all[..start]) {
                match self.refresh(shared, &[*stream], true) {
                    _ if shared.is_closed() => return,
                    Ok(()) => failed = None,
                    Err(_) if failed.is_some() => break,
                    Err(error) => {
                        tracing::debug!(%error, stream = shared.catalog.get(*stream).name, "its offsets are not known now");
                    }
                }
            }
        }
        *self.away.lock() = failed.map(|error| match error {
            LogError::Away(reason) => reason,
            other => other.to_string(),
        });
    }
}

/// Keeps the extents fresh until the log is closed.
pub(super) fn run(shared: &Shared) {
    let mut number = 0;
    while !shared.is_closed() {
        shared.extents.turn(shared, number);
        number += 1;
        if let Some(asker) = shared.extents.asker.get() {
            asker.serve();
        }
        shared.clock.sleep(EVERY);
    }
}

/// A partition and an offset.
pub(super) type Told = (StreamId, u32, u64);
