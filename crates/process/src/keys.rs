//! The keys that one rule remembers in one partition: a table in order of use, bounded.

use event::limits;
use hashbrown::HashTable;

use crate::owner::{Owner, OwnerBytes};
use crate::wire::{self, Reader};

/// What a rule remembers of one key.
pub(crate) trait Track: Default {
    /// How much memory it holds beside itself, in units of 8 bytes.
    fn weight(&self) -> usize {
        0
    }

    /// Writes it down; equal tracks give equal bytes.
    fn encode(&self, out: &mut Vec<u8>);

    /// Reads what `encode` wrote.
    fn decode(reader: &mut Reader<'_>) -> Option<Self>;
}

/// How much one rule may hold in one partition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) keys_max: usize,
    /// Over all keys, in units of 8 bytes.
    pub(crate) weight_max: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { keys_max: limits::RULE_KEYS_MAX, weight_max: limits::RULE_TIMES_MAX }
    }
}

const NONE: u32 = u32::MAX;

#[derive(Debug)]
struct Slot<T> {
    owner: OwnerBytes,
    hash: u64,
    track: T,
}

/// The neighbours of a key in the order of use.
#[derive(Clone, Copy, Debug)]
struct Links {
    older: u32,
    newer: u32,
}

/// Keys with their tracks, in order of use. Slots are linked by index: a key in use is found by one probe and moved to
/// the front by a few stores. (A map of boxed keys beside an ordered map would hold every key twice.) The links lie apart
/// from the slots: to move a key touches its neighbours, and of those only the links should come into the cache. A key's
/// slot stays its own as long as the key is known.
#[derive(Debug)]
pub(crate) struct Keys<T> {
    slots: Vec<Slot<T>>,
    links: Vec<Links>,
    free: Vec<u32>,
    index: HashTable<u32>,
    oldest: u32,
    newest: u32,
    weight: usize,
    pub(crate) evicted: u64,
}

impl<T> Default for Keys<T> {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            links: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            oldest: NONE,
            newest: NONE,
            weight: 0,
            evicted: 0,
        }
    }
}

impl<T: Track> Keys<T> {
    /// Works on the track of a key, which becomes the most recently used. A new key may push out the least recently
    /// used ones.
    #[inline]
    pub(crate) fn update<R>(
        &mut self,
        bounds: Bounds,
        hash: u64,
        owner: Owner<'_>,
        work: impl FnOnce(&mut T) -> R,
    ) -> R {
        let at = match self.find(hash, owner) {
            Some(at) => at,
            None => self.add(bounds, hash, owner),
        };
        self.work(bounds, at, work)
    }

    /// As [`Keys::update`] of a known key, by its slot.
    #[inline]
    pub(crate) fn work<R>(&mut self, bounds: Bounds, at: u32, work: impl FnOnce(&mut T) -> R) -> R {
        self.move_to_front(at);
        let track = &mut self.slots[at as usize].track;
        let before = track.weight();
        let result = work(track);
        self.weight = self.weight + track.weight() - before;
        while self.weight > bounds.weight_max && self.oldest != self.newest {
            self.evict();
        }
        result
    }

    /// The slot of a known key.
    #[inline]
    pub(crate) fn find(&self, hash: u64, owner: Owner<'_>) -> Option<u32> {
        let is = |&at: &u32| {
            let slot = &self.slots[at as usize];
            slot.hash == hash && slot.owner.get() == owner
        };
        self.index.find(hash, is).copied()
    }

    /// The track in a slot; a fresh one when no key is there.
    pub(crate) fn track(&self, at: u32) -> &T {
        &self.slots[at as usize].track
    }

    /// The same without becoming more recently used; its weight must stay.
    pub(crate) fn track_mut(&mut self, at: u32) -> &mut T {
        &mut self.slots[at as usize].track
    }

    pub(crate) fn owner(&self, at: u32) -> Owner<'_> {
        self.slots[at as usize].owner.get()
    }

    fn add(&mut self, bounds: Bounds, hash: u64, owner: Owner<'_>) -> u32 {
        while self.len() >= bounds.keys_max && self.oldest != NONE {
            self.evict();
        }
        self.insert(hash, owner)
    }

    fn insert(&mut self, hash: u64, owner: Owner<'_>) -> u32 {
        let owner = OwnerBytes::new(owner);
        let slot = Slot { owner, hash, track: T::default() };
        let at = match self.free.pop() {
            Some(at) => {
                self.slots[at as usize] = slot;
                at
            }
            None => {
                self.slots.push(slot);
                self.links.push(Links { older: NONE, newer: NONE });
                self.slots.len() as u32 - 1
            }
        };
        self.index.insert_unique(hash, at, |&at| self.slots[at as usize].hash);
        self.link_newest(at);
        at
    }

    /// Forgets the least recently used key.
    fn evict(&mut self) {
        self.remove(self.oldest);
        self.evicted += 1;
    }

    /// Forgets a known key.
    pub(crate) fn remove(&mut self, at: u32) {
        self.unlink(at);
        let slot = &mut self.slots[at as usize];
        if let Ok(entry) = self.index.find_entry(slot.hash, |&other| other == at) {
            entry.remove();
        }
        self.weight -= slot.track.weight();
        (slot.owner, slot.track) = (OwnerBytes::default(), T::default());
        self.free.push(at);
    }

    fn move_to_front(&mut self, at: u32) {
        if self.newest != at {
            self.unlink(at);
            self.link_newest(at);
        }
    }

    fn unlink(&mut self, at: u32) {
        let Links { older, newer } = self.links[at as usize];
        self.set_newer_of(older, newer);
        self.set_older_of(newer, older);
    }

    fn link_newest(&mut self, at: u32) {
        let before = self.newest;
        self.links[at as usize] = Links { older: before, newer: NONE };
        self.set_newer_of(before, at);
        self.newest = at;
    }

    /// What comes after `at` in the order of use; after nothing comes the oldest.
    fn set_newer_of(&mut self, at: u32, newer: u32) {
        match at {
            NONE => self.oldest = newer,
            at => self.links[at as usize].newer = newer,
        }
    }

    fn set_older_of(&mut self, at: u32, older: u32) {
        match at {
            NONE => self.newest = older,
            at => self.links[at as usize].older = older,
        }
    }

    /// All keys with their slots, the least recently used first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, Owner<'_>, &T)> {
        let mut next = self.oldest;
        std::iter::from_fn(move || {
            let (at, slot) = (next, self.slots.get(next as usize)?);
            next = self.links[at as usize].newer;
            Some((at, slot.owner.get(), &slot.track))
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// Writes all down: keys evicted so far, number of keys, and the keys, least recently used first. A key: its length,
    /// plus 65 536 times that of its tenant's name; the bytes of that name (none for the default tenant) and its own; its
    /// track.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        wire::put(out, self.evicted);
        wire::put(out, self.len() as u64);
        for (_, Owner { tenant, key }, track) in self.iter() {
            wire::put(out, key.len() as u64 | (tenant.len() as u64) << 16);
            out.extend_from_slice(tenant);
            out.extend_from_slice(key);
            track.encode(out);
        }
    }

    /// Reads what [`Keys::encode`] wrote.
    pub(crate) fn decode(reader: &mut Reader<'_>, hash: impl Fn(Owner<'_>) -> u64) -> Option<Self> {
        let mut keys = Self { evicted: reader.number()?, ..Self::default() };
        let count = usize::try_from(reader.number()?).ok()?;
        // Every key takes a byte at least: a count that is made up asks for no more than the bytes at hand could be.
        let room = count.min(reader.0.len());
        keys.slots.reserve_exact(room);
        keys.links.reserve_exact(room);
        keys.index.reserve(room, |_| 0);
        for _ in 0..count {
            let lengths = reader.number()?;
            let tenant = reader.take(u64::from(u16::try_from(lengths >> 16).ok()?))?;
            let owner = Owner { tenant, key: reader.take(lengths & 0xffff)? };
            let track = T::decode(reader)?;
            let at = keys.insert(hash(owner), owner);
            keys.weight += track.weight();
            keys.slots[at as usize].track = track;
        }
        Some(keys)
    }
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
