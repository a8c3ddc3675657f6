//! The keys that one rule remembers in one partition: a table in order of use, bounded.

use event::limits;
use hashbrown::HashTable;

use crate::track::Track;

/// How much one rule may hold in one partition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) keys_max: usize,
    pub(crate) times_max: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { keys_max: limits::RULE_KEYS_MAX, times_max: limits::RULE_TIMES_MAX }
    }
}

const NONE: u32 = u32::MAX;

/// Who is remembered: equal keys of two tenants are different.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner<'a> {
    /// Empty for the default tenant; at most 65 535 bytes, as a header's value.
    pub(crate) tenant: &'a [u8],
    pub(crate) key: &'a [u8],
}

#[derive(Debug)]
struct Slot {
    /// The tenant and the key in one piece: a key of the default tenant takes no more than itself.
    owner: Box<[u8]>,
    tenant_len: u16,
    hash: u64,
    older: u32,
    newer: u32,
    track: Track,
}

impl Slot {
    fn owner(&self) -> Owner<'_> {
        let (tenant, key) = self.owner.split_at(usize::from(self.tenant_len));
        Owner { tenant, key }
    }
}

/// Keys with their tracks, in order of use. Slots are linked by index: a key in use is found by one probe and moved to
/// the front by a few stores. (A map of boxed keys beside an ordered map would hold every key twice.)
#[derive(Debug)]
pub(crate) struct Keys {
    slots: Vec<Slot>,
    index: HashTable<u32>,
    oldest: u32,
    newest: u32,
    times: usize,
    pub(crate) evicted: u64,
}

impl Default for Keys {
    fn default() -> Self {
        Self { slots: Vec::new(), index: HashTable::new(), oldest: NONE, newest: NONE, times: 0, evicted: 0 }
    }
}

impl Keys {
    /// Works on the track of a key, which becomes the most recently used. A new key may push out the least recently
    /// used ones.
    pub(crate) fn update<T>(
        &mut self,
        bounds: Bounds,
        hash: u64,
        owner: Owner<'_>,
        work: impl FnOnce(&mut Track) -> T,
    ) -> T {
        let at = match self.index.find(hash, |&at| self.slots[at as usize].owner() == owner) {
            Some(&at) => at,
            None => self.add(bounds, hash, owner),
        };
        self.move_to_front(at);
        let track = &mut self.slots[at as usize].track;
        let before = track.times.len();
        let result = work(track);
        self.times = self.times + track.times.len() - before;
        while self.times > bounds.times_max && self.oldest != self.newest {
            self.evict();
        }
        result
    }

    fn add(&mut self, bounds: Bounds, hash: u64, owner: Owner<'_>) -> u32 {
        while self.slots.len() >= bounds.keys_max && self.oldest != NONE {
            self.evict();
        }
        let at = self.slots.len() as u32;
        self.slots.push(Slot {
            owner: [owner.tenant, owner.key].concat().into(),
            tenant_len: owner.tenant.len() as u16,
            hash,
            older: NONE,
            newer: NONE,
            track: Track::default(),
        });
        self.index.insert_unique(hash, at, |&at| self.slots[at as usize].hash);
        self.link_newest(at);
        at
    }

    /// Forgets the least recently used key. The last slot takes its place, so that slots stay dense.
    fn evict(&mut self) {
        let at = self.oldest;
        self.unlink(at);
        let last = self.slots.len() as u32 - 1;
        self.remove_from_index(at);
        if at != last {
            self.remove_from_index(last);
        }
        let gone = self.slots.swap_remove(at as usize);
        if at != last {
            self.index.insert_unique(self.slots[at as usize].hash, at, |&at| self.slots[at as usize].hash);
            let (older, newer) = (self.slots[at as usize].older, self.slots[at as usize].newer);
            self.set_newer_of(older, at);
            self.set_older_of(newer, at);
        }
        self.times -= gone.track.times.len();
        self.evicted += 1;
    }

    fn remove_from_index(&mut self, at: u32) {
        if let Ok(entry) = self.index.find_entry(self.slots[at as usize].hash, |&other| other == at) {
            entry.remove();
        }
    }

    fn move_to_front(&mut self, at: u32) {
        if self.newest != at {
            self.unlink(at);
            self.link_newest(at);
        }
    }

    fn unlink(&mut self, at: u32) {
        let (older, newer) = (self.slots[at as usize].older, self.slots[at as usize].newer);
        self.set_newer_of(older, newer);
        self.set_older_of(newer, older);
    }

    fn link_newest(&mut self, at: u32) {
        let before = self.newest;
        (self.slots[at as usize].older, self.slots[at as usize].newer) = (before, NONE);
        self.set_newer_of(before, at);
        self.newest = at;
    }

    /// What comes after `at` in the order of use; after nothing comes the oldest.
    fn set_newer_of(&mut self, at: u32, newer: u32) {
        match at {
            NONE => self.oldest = newer,
            at => self.slots[at as usize].newer = newer,
        }
    }

    fn set_older_of(&mut self, at: u32, older: u32) {
        match at {
            NONE => self.newest = older,
            at => self.slots[at as usize].older = older,
        }
    }

    /// Puts a key back as the most recently used one, as it was written down.
    pub(crate) fn restore(&mut self, hash: u64, owner: Owner<'_>, track: Track) {
        let unbounded = Bounds { keys_max: usize::MAX, times_max: usize::MAX };
        self.update(unbounded, hash, owner, |fresh| *fresh = track);
    }

    /// All keys, the least recently used first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Owner<'_>, &Track)> {
        let mut at = self.oldest;
        std::iter::from_fn(move || {
            let slot = self.slots.get(at as usize)?;
            at = slot.newer;
            Some((slot.owner(), &slot.track))
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Few hash values, so that probing has something to do.
    fn hash(key: u8) -> u64 {
        u64::from(key % 3)
    }

    fn of(key: &[u8]) -> Owner<'_> {
        Owner { tenant: b"", key }
    }

    #[test]
    fn tenant_and_key_are_told_apart_however_they_join() {
        let mut keys = Keys::default();
        let owners: [(&[u8], &[u8]); 4] = [(b"", b"ab"), (b"a", b"b"), (b"ab", b""), (b"b", b"a")];
        let owners = owners.map(|(tenant, key)| Owner { tenant, key });
        for turn in 1..=3 {
            for owner in owners {
                // One hash for all: only the comparison is left to tell them apart.
                let count = keys.update(Bounds::default(), 7, owner, |track| {
                    track.newest = track.newest.max(0) + 1;
                    track.newest
                });
                assert_eq!(count, turn, "{owner:?}");
            }
        }
        assert!(keys.iter().map(|(owner, _)| owner).eq(owners));
    }

    #[test]
    fn the_least_recently_used_key_goes_first() {
        let bounds = Bounds { keys_max: 3, times_max: usize::MAX };
        let mut keys = Keys::default();
        for key in [1, 2, 3, 1, 4, 3, 5] {
            keys.update(bounds, hash(key), of(&[key]), |_| ());
        }
        let order: Vec<_> = keys.iter().map(|(owner, _)| owner.key[0]).collect();
        assert_eq!((order, keys.evicted), (vec![4, 3, 5], 2));
    }

    #[test]
    fn times_are_bounded_over_all_keys() {
        let bounds = Bounds { keys_max: 100, times_max: 4 };
        let mut keys = Keys::default();
        for (time, key) in [1, 1, 2, 2, 3, 3, 3, 3, 3].into_iter().enumerate() {
            keys.update(bounds, hash(key), of(&[key]), |track| track.times.push_back(time as i64));
        }
        let left: Vec<_> = keys.iter().map(|(owner, track)| (owner.key[0], track.times.len())).collect();
        assert_eq!((left, keys.evicted), (vec![(3, 5)], 2), "the key in hand is never the one to go");
    }

    proptest::proptest! {
        #[test]
        fn the_order_of_use_equals_a_plain_list(
            touched in proptest::collection::vec(0_u8..20, 0..200),
            max in 1_usize..8,
        ) {
            let bounds = Bounds { keys_max: max, times_max: usize::MAX };
            let (mut keys, mut model) = (Keys::default(), Vec::new());
            for key in touched {
                keys.update(bounds, hash(key), of(&[key]), |track| track.newest = key.into());
                if let Some(at) = model.iter().position(|k| *k == key) {
                    model.remove(at);
                } else if model.len() == max {
                    model.remove(0);
                }
                model.push(key);
                let order: Vec<_> = keys.iter().map(|(owner, track)| (owner.key[0], track.newest as u8)).collect();
                proptest::prop_assert_eq!(order, model.iter().map(|k| (*k, *k)).collect::<Vec<_>>());
            }
        }
    }
}
