//! Duplicate suppression: which ids were appended within the window, in bounded memory.
//!
//! A table of buckets of eight 8-byte entries, one cache line each. An entry is 56 bits of the id's 128-bit hash and an
//! 8-bit epoch (a 64th of the window). Each id may lie in one of two buckets and goes to the emptier one, so that
//! buckets stay even: with half as many slots again as ids, both are practically never full. When they are, the oldest
//! entry goes, and is counted: the window shrinks rather than the memory growing.
//!
//! A false «duplicate» would lose an event, so its chance must be negligible: 16 entries compared by 56 bits that
//! decided nothing else, 2 × 10⁻¹⁶ an event, one in 150 years at a million events a second.
//!
//! Rejected: a hash map a generation (a miss costs a cache line in each), a Bloom filter (forgets nothing early, but
//! cannot say how old, and its false positives are a thousand times likelier at this size).

use event::{Dedup, Millis};

const WAYS: usize = 8;
/// Steps into which the window is cut; an id is remembered for `within` and up to one step more.
const STEPS: i64 = 64;

/// The ids of one stream.
#[derive(Debug)]
pub(crate) struct DedupTable {
    /// Empty until the first id: an idle stream costs no memory.
    entries: Vec<u64>,
    buckets: u64,
    step_ms: Millis,
    /// The epoch of «now», in steps since 1970.
    now: i64,
    evicted: u64,
}

impl DedupTable {
    pub(crate) fn new(dedup: Dedup) -> Self {
        let buckets = (dedup.ids_max + dedup.ids_max / 2).div_ceil(WAYS).clamp(1, u32::MAX as usize);
        let step_ms = (dedup.within_ms / STEPS).max(1);
        Self { entries: Vec::new(), buckets: buckets as u64, step_ms, now: 0, evicted: 0 }
    }

    /// How many ids had to go before their time since it was last asked.
    pub(crate) fn take_evicted(&mut self) -> u64 {
        std::mem::take(&mut self.evicted)
    }

    /// Moves «now» forward and forgets what is past the window.
    pub(crate) fn advance(&mut self, now: Millis) {
        let now = now.div_euclid(self.step_ms);
        if now < self.now - STEPS {
            return self.restart(now);
        }
        if now <= self.now {
            return;
        }
        // Epochs are kept modulo 256: sweeping at every step keeps old ones from looking young again.
        let passed = now - self.now;
        self.now = now;
        if passed > STEPS {
            self.entries = Vec::new();
            return;
        }
        for i in 0..self.entries.len() {
            if self.entries[i] != 0 && self.age(self.entries[i]) > STEPS {
                self.entries[i] = 0;
            }
        }
    }

    /// The clock had run ahead by more than the window and is back. What is known counts from now on: it would be known
    /// until the clock is there again, and an id that may come again by then would be refused.
    #[cold]
    fn restart(&mut self, now: i64) {
        self.now = now;
        for entry in self.entries.iter_mut().filter(|entry| **entry != 0) {
            *entry = *entry >> 8 << 8 | u64::from(now as u8);
        }
    }

    fn age(&self, entry: u64) -> i64 {
        i64::from((self.now as u8).wrapping_sub(entry as u8))
    }

    /// Brings the two buckets of an id into the cache; call it some ids ahead of [`DedupTable::insert`].
    #[inline]
    pub(crate) fn touch(&self, hash: u128) -> u64 {
        let (a, b) = self.buckets(hash);
        self.entries.get(a).copied().unwrap_or(0) ^ self.entries.get(b).copied().unwrap_or(0)
    }

    /// Remembers an id as of «now»; false when it is known already.
    pub(crate) fn insert(&mut self, hash: u128) -> bool {
        self.insert_at(hash, self.now)
    }

    /// Remembers an id that was appended at a past time; false when it is known already. For recovery.
    pub(crate) fn restore(&mut self, hash: u128, appended_at: Millis) -> bool {
        let epoch = appended_at.div_euclid(self.step_ms).min(self.now);
        self.now - epoch <= STEPS && self.insert_at(hash, epoch)
    }

    fn insert_at(&mut self, hash: u128, epoch: i64) -> bool {
        if self.entries.is_empty() {
            self.entries = vec![0; self.buckets as usize * WAYS];
        }
        let (a, b) = self.buckets(hash);
        let print = Self::print(hash);
        let known = |bucket: usize| self.entries[bucket..bucket + WAYS].iter().any(|e| e >> 8 == print);
        if known(a) || known(b) {
            return false;
        }
        let free = |bucket: usize| self.entries[bucket..bucket + WAYS].iter().filter(|e| **e == 0).count();
        let bucket = if free(b) > free(a) { b } else { a };
        let slot = match (bucket..bucket + WAYS).find(|i| self.entries[*i] == 0) {
            Some(slot) => slot,
            None => {
                self.evicted += 1;
                let all = (a..a + WAYS).chain(b..b + WAYS);
                all.max_by_key(|i| self.age(self.entries[*i])).unwrap_or(a)
            }
        };
        self.entries[slot] = print << 8 | u64::from(epoch as u8);
        true
    }

    /// Forgets an id whose append failed.
    pub(crate) fn remove(&mut self, hash: u128) {
        if self.entries.is_empty() {
            return;
        }
        let (a, b) = self.buckets(hash);
        let print = Self::print(hash);
        if let Some(slot) = (a..a + WAYS).chain(b..b + WAYS).find(|i| self.entries[*i] >> 8 == print) {
            self.entries[slot] = 0;
        }
    }

    /// The first entries of the two buckets; bits 0–31 and 32–63 of the hash decide.
    fn buckets(&self, hash: u128) -> (usize, usize) {
        let bucket = |bits: u32| ((u64::from(bits) * self.buckets) >> 32) as usize * WAYS;
        (bucket(hash as u32), bucket((hash >> 32) as u32))
    }

    /// 56 bits that decide no bucket; never 0, so that an entry is never mistaken for an empty one.
    fn print(hash: u128) -> u64 {
        ((hash >> 72) as u64).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::IdHasher;

    fn table(ids: usize) -> DedupTable {
        DedupTable::new(Dedup { within_ms: 6_400, ids_max: ids })
    }

    fn hash(n: u64) -> u128 {
        IdHasher::new(1).hash(&n.to_le_bytes())
    }

    #[test]
    fn an_id_is_known_within_the_window_and_forgotten_after_it() {
        let mut table = table(1000);
        table.advance(1_000_000);
        assert!(table.insert(hash(1)));
        assert!(!table.insert(hash(1)));
        table.advance(1_006_400);
        assert!(!table.insert(hash(1)), "the window has not passed");
        table.advance(1_006_600);
        assert!(table.insert(hash(1)), "the window has passed");
    }

    #[test]
    fn an_id_is_not_known_for_ever_because_the_clock_ran_ahead_once() {
        let mut table = table(1000);
        table.advance(1_000_000_000);
        assert!(table.insert(hash(1)));
        table.advance(1_000_000);
        assert!(!table.insert(hash(1)), "it came within the window, whatever the clock said");
        table.advance(1_000_000 + 6_600);
        assert!(table.insert(hash(1)), "the window has passed");
    }

    #[test]
    fn a_removed_id_is_unknown_again() {
        let mut table = table(1000);
        assert!(table.insert(hash(1)) && table.insert(hash(2)));
        table.remove(hash(1));
        assert!(table.insert(hash(1)) && !table.insert(hash(2)));
    }

    #[test]
    fn no_id_is_forgotten_up_to_the_number_asked_for() {
        let n = 1 << 18;
        let mut table = table(n as usize);
        assert!((0..n).all(|i| table.insert(hash(i))), "no false duplicate");
        assert_eq!(table.take_evicted(), 0);
        assert!((0..n).all(|i| !table.insert(hash(i))), "every one is known");
    }

    #[test]
    fn a_full_table_drops_the_oldest_first() {
        let mut table = table(1 << 10);
        let n = 1 << 11;
        (0..n).for_each(|i| assert!(table.insert(hash(i))));
        table.advance(100);
        table.advance(1_000);
        (n..n + n / 4).for_each(|i| assert!(table.insert(hash(i))));
        let kept = (n..n + n / 4).filter(|i| !table.insert(hash(*i))).count() as u64;
        assert!(kept > n / 4 * 99 / 100, "the young stay: {kept} of {}", n / 4);
        assert!(table.take_evicted() > 0);
    }

    #[test]
    fn restored_ids_keep_their_age() {
        let mut table = table(1000);
        table.advance(1_000_000);
        assert!(table.restore(hash(1), 996_000) && !table.restore(hash(2), 900_000));
        table.advance(1_002_000);
        assert!(!table.insert(hash(1)));
        table.advance(1_002_800);
        assert!(table.insert(hash(1)));
    }
}
