//! The records that rules, windows and rows never see: they are dead letters. Kept in memory, and after a restart known
//! from the store's letters.
//!
//! A record is one of them when there is a letter with the id of its place, whatever became of that letter: a replay is a
//! new record. A replay that was poison too has no letter of its own: its headers tell how often the letter had failed
//! before it, and the letter tells that it failed once more.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use event::{Block, Catalog, DeadLetter, Position, Record, Stage, StreamId, headers};
use store::query::DeadLetterQuery;
use store::{Answers, StoreError};

use crate::poison::{Why, attempt, letter_id};

/// Letters that are read at once: each may hold as many bytes as an event may have, and as many again when it was edited.
const PAGE: usize = 10;

/// The list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Skips {
    places: HashMap<(StreamId, u32), BTreeMap<u64, Skip>>,
    /// How often letters failed that failed more than once, by tenant and id.
    failed: HashMap<(Vec<u8>, Vec<u8>), u32>,
}

/// What is known of one of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Skip {
    /// Why, when it was found by this process.
    pub(crate) why: Option<Why>,
    /// Of the letter's tenant and bytes, when it was read from the store.
    pub(crate) digest: Option<u64>,
}

/// A block, cut where it must be.
#[derive(Debug)]
pub(crate) enum Cut {
    /// Records as they are.
    Clean(Block),
    /// One record that is passed over.
    Skip(u64),
}

impl Skips {
    /// Reads the store's letters.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn load(store: &(impl Answers + ?Sized), catalog: &Catalog) -> Result<Self, StoreError> {
        let mut skips = Self::default();
        let all = || DeadLetterQuery { limit: PAGE, ..DeadLetterQuery::default() };
        // A letter of a place that failed at a door since then is among those that failed more than once.
        for mut query in [
            DeadLetterQuery { stage: Some(Stage::Process), ..all() },
            DeadLetterQuery { stage: Some(Stage::Store), ..all() },
            DeadLetterQuery { attempts_over: Some(1), ..all() },
        ] {
            loop {
                let page = store.dead_letters(&query)?;
                query.skip += page.rows.len() as u64;
                page.rows.iter().for_each(|letter| skips.learn(catalog, letter));
                if page.rows.len() < query.limit {
                    break;
                }
            }
        }
        Ok(skips)
    }

    fn learn(&mut self, catalog: &Catalog, letter: &DeadLetter) {
        if let Some(place) = place_of(catalog, letter) {
            let skip = Skip { why: None, digest: Some(digest(letter.tenant.as_bytes(), &letter.data)) };
            self.places.entry((place.stream, place.partition)).or_default().insert(place.offset, skip);
        }
        if letter.attempts > 1 {
            let name = (letter.tenant.clone().into_bytes(), letter.id.clone().into_bytes());
            self.failed.insert(name, letter.attempts);
        }
    }

    /// Adds a record.
    pub(crate) fn add(&mut self, place: Position, why: Option<Why>) {
        let partition = self.places.entry((place.stream, place.partition)).or_default();
        partition.insert(place.offset, Skip { why, digest: None });
    }

    /// Forgets the places of a partition before an offset that nothing is run from again.
    pub(crate) fn forget_before(&mut self, stream: StreamId, partition: u32, offset: u64) {
        if let Some(places) = self.places.get_mut(&(stream, partition)) {
            *places = places.split_off(&offset);
        }
    }

    /// What is known of a place.
    pub(crate) fn get(&self, place: Position) -> Option<&Skip> {
        self.places.get(&(place.stream, place.partition))?.get(&place.offset)
    }

    /// All places of a partition, in order.
    pub(crate) fn of(&self, stream: StreamId, partition: u32) -> impl Iterator<Item = (u64, &Skip)> {
        let places = self.places.get(&(stream, partition));
        places.into_iter().flatten().map(|(offset, skip)| (*offset, skip))
    }

    /// Whether a record is the replay of a letter that failed once more since then. Only of records before the committed
    /// position: nobody knows yet what becomes of later ones.
    pub(crate) fn failed_again(&self, record: &Record<'_>) -> bool {
        if self.failed.is_empty() || record.headers.is_empty() {
            return false;
        }
        let Some(id) = headers::get(record.headers, headers::LETTER) else { return false };
        let failed = self.failed.get(&(record.tenant().to_vec(), id.to_vec()));
        failed.zip(attempt(record)).is_some_and(|(failed, before)| before < *failed)
    }

    /// Cuts a block that is not committed yet.
    pub(crate) fn cut(&self, block: Block) -> Vec<Cut> {
        match self.places.get(&(block.stream, block.partition)) {
            Some(places) if places.range(block.first_offset()..block.next_offset()).next().is_some() => {
                let offsets = places.range(block.first_offset()..block.next_offset()).map(|(offset, _)| *offset);
                cut_at(&block, offsets)
            }
            _ => vec![Cut::Clean(block)],
        }
    }

    /// Cuts a block that is committed.
    pub(crate) fn cut_committed(&self, block: Block) -> Vec<Cut> {
        if self.failed.is_empty() {
            return self.cut(block);
        }
        let here = |offset| Position { stream: block.stream, partition: block.partition, offset };
        let skipped = |r: &Record<'_>| self.get(here(r.offset)).is_some() || self.failed_again(r);
        let offsets: Vec<_> = block.records().filter(skipped).map(|record| record.offset).collect();
        cut_at(&block, offsets.into_iter())
    }
}

fn cut_at(block: &Block, offsets: impl Iterator<Item = u64>) -> Vec<Cut> {
    let mut cuts = Vec::new();
    let mut next = block.first_offset();
    let clean = |from: u64, to: u64, cuts: &mut Vec<Cut>| {
        if from < to {
            cuts.push(Cut::Clean(block.clone().from_offset(from).until_offset(to)));
        }
    };
    for offset in offsets {
        clean(next, offset, &mut cuts);
        cuts.push(Cut::Skip(offset));
        next = offset + 1;
    }
    clean(next, block.next_offset(), &mut cuts);
    cuts
}

/// The record that a letter stands for, when it is one of those that are passed over; `None` for what a door refused.
pub(crate) fn place_of(catalog: &Catalog, letter: &DeadLetter) -> Option<Position> {
    let (partition, offset) = (letter.partition, letter.offset);
    let of = |stream: &str| (letter.id == letter_id(stream, partition, offset)).then(|| catalog.find(stream)).flatten();
    let stream = of(&letter.stream).or_else(|| of(Catalog::REFUSED))?;
    Some(Position { stream, partition, offset })
}

/// A number that tells letters apart by tenant and bytes.
pub(crate) fn digest(tenant: &[u8], bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (tenant, bytes).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use event::{Batch, BlockBuilder, Draft, Span};

    use super::*;

    const STREAM: StreamId = StreamId(3);

    /// Ten records from offset 20 on.
    fn block() -> Block {
        let batch = Batch::new(STREAM, Bytes::from_static(b"{}"));
        let (none, data) = (Span::EMPTY, Span::shared(0, 2));
        let draft = Draft { partition: 1, time: 0, id_hash: 0, data, key: none, kind: none, id: none, headers: none };
        let mut builder = BlockBuilder::default();
        (0..10).for_each(|_| builder.push(&batch, &draft));
        Block::parse(STREAM, 1, 20, 0, 10, Bytes::copy_from_slice(builder.body())).unwrap()
    }

    #[test]
    fn a_block_is_cut_around_its_places() {
        let check = |offsets: &[u64], expected: &[(u64, u64)]| {
            let mut skips = Skips::default();
            offsets
                .iter()
                .for_each(|offset| skips.add(Position { stream: STREAM, partition: 1, offset: *offset }, None));
            skips.add(Position { stream: STREAM, partition: 2, offset: 25 }, None);
            let cuts = skips.cut(block());
            let told = cuts.iter().map(|cut| match cut {
                Cut::Clean(piece) => (piece.first_offset(), piece.next_offset()),
                Cut::Skip(offset) => (*offset, *offset),
            });
            assert_eq!(told.collect::<Vec<_>>(), expected, "{offsets:?}");
        };
        check(&[], &[(20, 30)]);
        check(&[19, 30], &[(20, 30)]);
        check(&[20], &[(20, 20), (21, 30)]);
        check(&[24, 25, 29], &[(20, 24), (24, 24), (25, 25), (26, 29), (29, 29)]);
    }

    #[test]
    fn old_places_are_forgotten() {
        let mut skips = Skips::default();
        (20..30).for_each(|offset| skips.add(Position { stream: STREAM, partition: 1, offset }, None));
        skips.forget_before(STREAM, 1, 28);
        assert!(skips.of(STREAM, 1).map(|(offset, _)| offset).eq([28, 29]));
    }
}
