//! Times in ascending order, each perhaps with something that belongs to it. Few of them lie in place: most keys do
//! little.

use std::collections::VecDeque;

use event::Millis;

/// Entries that lie in place.
const FEW: usize = 3;

/// Something that happened at a time.
pub(crate) trait Timed: Copy + Default {
    fn time(&self) -> Millis;
}

impl Timed for Millis {
    fn time(&self) -> Millis {
        *self
    }
}

/// With a number.
impl Timed for (Millis, f64) {
    fn time(&self) -> Millis {
        self.0
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Times<E> {
    Few {
        len: u8,
        entries: [E; FEW],
    },
    #[expect(
        clippy::box_collection,
        reason = "in place it would be as large as the few, and a length has to be told too"
    )]
    Many(Box<VecDeque<E>>),
}

const _: () =
    assert!(size_of::<Times<Millis>>() == 32, "a key that logs in now and then takes no memory beside its slot");

impl<E: Timed> Default for Times<E> {
    fn default() -> Self {
        Self::Few { len: 0, entries: [E::default(); FEW] }
    }
}

impl<E: Timed> Times<E> {
    #[inline]
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Few { len, .. } => usize::from(*len),
            Self::Many(all) => all.len(),
        }
    }

    /// The newest time; `Millis::MIN` when there is none.
    #[inline]
    pub(crate) fn newest(&self) -> Millis {
        let newest = match self {
            Self::Few { len: 0, .. } => None,
            Self::Few { len, entries } => Some(&entries[usize::from(*len) - 1]),
            Self::Many(all) => all.back(),
        };
        newest.map_or(Millis::MIN, E::time)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &E> + Clone {
        let (few, many) = match self {
            Self::Few { len, entries } => (&entries[..usize::from(*len)], None),
            Self::Many(all) => (&[][..], Some(all)),
        };
        few.iter().chain(many.into_iter().flat_map(|all| all.iter()))
    }

    /// Puts one in its place, behind those of the same time. At most so many are kept; the oldest go.
    #[inline]
    pub(crate) fn insert(&mut self, entry: E, len_max: usize) {
        match self {
            Self::Few { len, entries } if usize::from(*len) < FEW => {
                let count = usize::from(*len);
                let at = entries[..count].iter().rposition(|known| known.time() <= entry.time()).map_or(0, |at| at + 1);
                entries.copy_within(at..count, at + 1);
                entries[at] = entry;
                *len += 1;
            }
            Self::Few { entries, .. } => {
                let mut all = VecDeque::with_capacity(2 * FEW);
                all.extend(entries.iter().copied());
                *self = Self::Many(Box::new(all));
                self.insert(entry, len_max);
            }
            Self::Many(all) => {
                if all.back().is_none_or(|newest| newest.time() <= entry.time()) {
                    all.push_back(entry);
                } else {
                    let at = all.partition_point(|known| known.time() <= entry.time());
                    all.insert(at, entry);
                }
                if all.len() > len_max {
                    all.pop_front();
                }
            }
        }
    }

    /// Forgets those before a time.
    #[inline]
    pub(crate) fn forget_before(&mut self, start: Millis) {
        match self {
            Self::Few { len, entries } => {
                let count = usize::from(*len);
                let old = entries[..count].iter().take_while(|entry| entry.time() < start).count();
                entries.copy_within(old..count, 0);
                *len = (count - old) as u8;
            }
            Self::Many(all) => {
                while all.front().is_some_and(|oldest| oldest.time() < start) {
                    all.pop_front();
                }
                if all.len() <= 1 {
                    *self = all.iter().copied().collect(); // the burst is over
                } else if all.capacity() > 64 && all.len() < all.capacity() / 8 {
                    all.shrink_to(all.len() * 2);
                }
            }
        }
    }

    /// How much memory it holds beside itself, about, in units of 8 bytes. Follows from what is held, not from how it came
    /// to be: else other keys would be forgotten after a restart than without one.
    #[inline]
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Many(all) if all.len() > FEW => all.len() * size_of::<E>() / 8,
            _ => 0,
        }
    }
}

impl<E: Timed> FromIterator<E> for Times<E> {
    /// In the order of the iterator, which is that of time.
    fn from_iter<I: IntoIterator<Item = E>>(all: I) -> Self {
        let mut times = Self::default();
        all.into_iter().for_each(|entry| times.insert(entry, usize::MAX));
        times
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn times_equal_a_plain_sorted_list(steps in prop::collection::vec((0_i64..50, -30_i64..50), 0..60), max in 4_usize..20) {
            let (mut times, mut model) = (Times::default(), Vec::new());
            for (i, (time, start)) in steps.into_iter().enumerate() {
                let entry = (time, i as f64);
                times.insert(entry, max);
                let at = model.iter().filter(|(t, _)| *t <= time).count();
                model.insert(at, entry);
                if model.len() > max {
                    model.remove(0);
                }
                times.forget_before(start);
                model.retain(|(t, _)| *t >= start);
                prop_assert_eq!(times.iter().copied().collect::<Vec<_>>(), &*model);
                prop_assert_eq!((times.len(), times.newest()), (model.len(), model.last().map_or(Millis::MIN, |e| e.0)));
                let copy: Times<_> = times.iter().copied().collect();
                prop_assert!(copy.iter().eq(times.iter()));
                prop_assert_eq!(copy.weight(), times.weight());
            }
        }
    }
}
