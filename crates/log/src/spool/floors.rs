//! Offsets of the broker before which nothing of what is on its way lies.
//!
//! A record that is sent now lies behind all that is acknowledged now. So a snapshot of what was acknowledged is a floor for
//! every request that was sent after it was taken. There are two: one that holds for everything on its way, and a younger
//! one that takes its place once the requests before it have their answers. While nothing is on its way, what is
//! acknowledged is the floor.

use event::StreamId;

use crate::Placed;

/// By stream and partition the offset behind the last one acknowledged; `None` before the first.
pub(super) type Offsets = Vec<Vec<Option<u64>>>;

/// After how many requests the younger snapshot is taken at the earliest.
const REQUESTS_MIN: u64 = 256;

/// The floors of requests, which have numbers in the order in which they are sent.
#[derive(Debug)]
pub(super) struct Floors {
    acked: Offsets,
    floor: Offsets,
    young: Offsets,
    /// The first request that the younger snapshot holds for.
    young_from: u64,
}

impl Floors {
    /// Floors while nothing is on its way; `from` is the number of the next request.
    pub(super) fn new(acked: Offsets, from: u64) -> Self {
        Self { floor: acked.clone(), young: acked.clone(), acked, young_from: from }
    }

    /// What the broker has said.
    pub(super) fn acked(&mut self, streams: impl Iterator<Item = StreamId>, placed: &[Placed]) {
        for (stream, placed) in streams.zip(placed) {
            for range in &placed.ranges {
                if let Some(slot) = self.acked[usize::from(stream.0)].get_mut(range.partition as usize) {
                    *slot = (*slot).max(Some(range.last + 1));
                }
            }
        }
    }

    /// Moves up where that may be: `oldest` is the number of the oldest request on its way, `next` that of the next one.
    pub(super) fn settle(&mut self, oldest: u64, next: u64) {
        if oldest == next && next > self.young_from {
            self.floor.clone_from(&self.acked);
            self.young.clone_from(&self.acked);
            self.young_from = next;
        } else if oldest >= self.young_from && next - self.young_from >= REQUESTS_MIN {
            self.floor = std::mem::replace(&mut self.young, self.acked.clone());
            self.young_from = next;
        }
    }

    /// The floor of everything on its way.
    pub(super) fn floor(&self) -> &Offsets {
        &self.floor
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PlacedRange;

    #[test]
    fn with_nothing_on_its_way_the_floor_is_what_is_acknowledged() {
        let mut floors = Floors::new(vec![vec![Some(0), Some(0)]], 0);
        let range = PlacedRange { partition: 1, first: 70, last: 79 };
        floors.acked([StreamId(0)].into_iter(), &[Placed { ranges: vec![range], duplicates: vec![] }]);
        floors.settle(1, 2);
        assert_eq!(floors.floor()[0], [Some(0), Some(0)], "one was sent before");
        floors.settle(2, 2);
        assert_eq!(floors.floor()[0], [Some(0), Some(80)]);
    }

    #[test]
    fn a_floor_never_rises_above_what_a_request_on_its_way_was_sent_at() {
        let mut chance = fastrand::Rng::with_seed(3);
        let mut floors = Floors::new(vec![vec![None]], 0);
        // Requests on their way: number, and where the partition stood as it was sent.
        let mut sent: Vec<(u64, Option<u64>)> = Vec::new();
        let (mut acked, mut end, mut rose) = (None, 0, false);
        for n in 0..20_000 {
            sent.push((n, acked));
            while sent.len() > chance.usize(1..60) {
                sent.remove(chance.usize(..sent.len()));
                let range = PlacedRange { partition: 0, first: end, last: end };
                floors.acked([StreamId(0)].into_iter(), &[Placed { ranges: vec![range], duplicates: vec![] }]);
                end += 1;
                acked = Some(end);
                floors.settle(sent.first().map_or(n + 1, |s| s.0), n + 1);
            }
            let floor = floors.floor()[0][0];
            assert!(sent.iter().all(|(_, stood)| floor <= *stood), "{floor:?} {sent:?}");
            rose |= floor.is_some_and(|floor| floor + 2_000 > end && floor > 10_000);
        }
        assert!(rose, "it follows");
    }
}
