//! Records that came twice are left out: a pure function of the log.
//!
//! A record is dropped when one with the same identity lies in the same partition at most [`LOOKBACK`] offsets before it
//! and the last of those was appended within the stream's window of it. What was dropped counts as having occurred, so that
//! nothing but these offsets decides, and every reader, wherever it began, sees the same records. Where a stream
//! has no window, only records with an origin have an identity, and the offsets alone decide.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};

use event::Millis;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::spool::Identity;

/// How many offsets before a record are looked at. What a producer repeats after an outage lies closer; what a client
/// repeats later is the producing side's to know.
pub(super) const LOOKBACK: u64 = 65_536;

/// An identity where it occurred.
#[derive(Clone, Copy, Debug)]
struct Seen {
    identity: Identity,
    offset: u64,
    time: Millis,
}

/// The identities of the last [`LOOKBACK`] offsets of one partition: 3 MiB at the most.
#[derive(Debug, Default)]
pub(super) struct Lookback {
    /// In order of offset.
    seen: VecDeque<Seen>,
    /// The number of the oldest of them; numbers count up and wrap.
    oldest: u32,
    /// By identity the number of its last occurrence.
    last: HashTable<u32>,
}

impl Lookback {
    /// Takes note of a record; whether it is to be dropped. Records come in order of offset. `within` is the window in
    /// milliseconds; `None` when the identity holds whenever it comes.
    pub(super) fn drops(&mut self, offset: u64, time: Millis, identity: Identity, within: Option<Millis>) -> bool {
        self.forget_before(offset.saturating_sub(LOOKBACK));
        let Self { seen, oldest, last } = self;
        let number = oldest.wrapping_add(seen.len() as u32);
        let at = |number: u32| number.wrapping_sub(*oldest) as usize;
        let same = |number: &u32| seen[at(*number)].identity == identity;
        let drops = match last.entry(bits(identity), same, |number| bits(seen[at(*number)].identity)) {
            Entry::Occupied(mut entry) => {
                let before = seen[at(*entry.get())].time;
                *entry.get_mut() = number;
                within.is_none_or(|within| time.abs_diff(before) <= within.unsigned_abs())
            }
            Entry::Vacant(entry) => {
                entry.insert(number);
                false
            }
        };
        seen.push_back(Seen { identity, offset, time });
        drops
    }

    /// Forgets what lies before an offset.
    fn forget_before(&mut self, offset: u64) {
        while let Some(first) = self.seen.front()
            && first.offset < offset
        {
            // The number is only there when the identity did not occur again.
            if let Ok(entry) = self.last.find_entry(bits(first.identity), |number| *number == self.oldest) {
                entry.remove();
            }
            self.oldest = self.oldest.wrapping_add(1);
            self.seen.pop_front();
        }
    }
}

/// An identity is a hash already.
fn bits(identity: Identity) -> u64 {
    let mut bits = Bits(0);
    identity.hash(&mut bits);
    bits.0
}

struct Bits(u64);

impl Hasher for Bits {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 ^= u64::from_ne_bytes(word);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn identity(n: u32) -> Identity {
        Identity::of(true, b"", &n.to_le_bytes(), None).unwrap()
    }

    /// A record of the model: how far after the one before, when, and which.
    type Step = (u64, Millis, u32);

    /// The definition, word for word.
    fn naive(log: &[(u64, Millis, u32)], i: usize, within: Option<Millis>) -> bool {
        let (offset, time, id) = log[i];
        let near = |(o, _, other): &&(u64, Millis, u32)| *other == id && o + LOOKBACK >= offset;
        let last = log[..i].iter().filter(near).max_by_key(|(o, ..)| *o);
        last.is_some_and(|(_, before, _)| within.is_none_or(|within| (time - before).abs() <= within))
    }

    proptest! {
        #[test]
        fn what_is_dropped_is_what_the_definition_says_wherever_one_begins(
            steps in vec((prop_oneof![8 => 1..4u64, 1 => 20_000..70_000u64], 0..1_000i64, 0..12u32), 0..300),
            within in proptest::option::of(0..500i64),
            from in 0..300usize,
        ) {
            let mut log: Vec<(u64, Millis, u32)> = Vec::new();
            for (gap, time, id) in steps as Vec<Step> {
                log.push((log.last().map_or(0, |l| l.0 + gap), time, id));
            }
            let start = log.get(from).map_or(0, |l| l.0);
            let mut whole = Lookback::default();
            let mut part = Lookback::default();
            for (i, (offset, time, id)) in log.iter().enumerate() {
                let expected = naive(&log, i, within);
                prop_assert_eq!(whole.drops(*offset, *time, identity(*id), within), expected);
                // A reader that begins at `start` looks at the offsets before it first.
                if *offset + LOOKBACK >= start {
                    let dropped = part.drops(*offset, *time, identity(*id), within);
                    prop_assert!(*offset < start || dropped == expected, "from {} at {}", start, offset);
                }
            }
            prop_assert!(whole.last.len() <= whole.seen.len());
        }
    }

    #[test]
    fn memory_is_bounded_and_the_edge_is_exact() {
        let mut lookback = Lookback::default();
        let n = 3 * LOOKBACK;
        assert!((0..n).all(|o| !lookback.drops(o, 0, identity(o as u32), None)));
        assert!(lookback.seen.len() as u64 <= LOOKBACK + 1 && lookback.last.len() == lookback.seen.len());
        assert!(lookback.drops(n, 0, identity((n - LOOKBACK) as u32), None), "as far back as it goes");
        assert!(!lookback.drops(n + 1, 0, identity((n - LOOKBACK) as u32 - 1), None), "one further");
    }
}
