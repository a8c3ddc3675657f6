//! What waits for the writer, in lanes: the writer takes from them in turn, and none may fill the room of all.
//!
//! Whose turn it is goes by bytes (deficit round robin): a lane earns a share of the group with every turn and spends it
//! on its next requests, so that one with huge requests gets no more than one with small ones. How much a lane may hold
//! goes by what is still free (the dynamic threshold of Choudhury and Hahne): one alone may hold half of the room, more
//! of them less each, and some of it is always left for a lane that comes. A lane that is empty is forgotten.
//!
//! One short lock a request, nothing an event. Rejected: a channel with counters beside it, since then the bound of a
//! lane, the sum of all and the order of turns are three truths.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use event::{Position, limits};
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use crate::{Append, LogError, Placed};

/// The least that a lane earns with a turn: with very many lanes, a turn must still be worth taking.
const SHARE_BYTES_MIN: usize = 4 << 10;
/// For how long groups stay small after two lanes waited at once: whoever sends now and then shall not wait for a large
/// one each time anew.
const SHARED_FOR: Duration = Duration::from_secs(1);

/// A request that waits.
pub(crate) struct Request {
    pub(crate) append: Append,
    pub(crate) weight: usize,
    /// Since when, by the clock's `elapsed`.
    pub(crate) since: Duration,
    pub(crate) reply: oneshot::Sender<Result<Vec<Placed>, LogError>>,
}

/// Offsets that were handed out and lost: the ends move up past them.
pub(crate) struct Raise {
    pub(crate) ends: Vec<Position>,
    pub(crate) done: oneshot::Sender<()>,
}

/// What waits at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) len: usize,
    pub(crate) bytes: usize,
    /// How long the oldest request without an answer has waited, those of the group at hand included: a disk that hangs
    /// shows even when nobody sends any more.
    pub(crate) age: Duration,
}

/// The doors' side and the writer's side of one queue.
#[derive(Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    filled: Condvar,
}

#[derive(Default)]
struct Waiting {
    lanes: HashMap<u32, Lane>,
    /// The lanes that hold something, the next one to be served first.
    turns: VecDeque<u32>,
    len: usize,
    bytes: usize,
    raises: Vec<Raise>,
    closed: bool,
    /// Until when groups are small.
    shared_until: Duration,
    /// Since when the oldest request of the group at hand has waited.
    at_hand: Option<Duration>,
}

#[derive(Default)]
struct Lane {
    requests: VecDeque<Request>,
    bytes: usize,
    /// What it earned and has not spent, in bytes.
    credit: usize,
}

impl Queue {
    /// Takes a request, or says that the lane has no room, or that the log is closed.
    pub(crate) fn push(&self, request: Request) -> Result<(), LogError> {
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            return Err(LogError::Closed);
        }
        waiting.push(request)?;
        drop(waiting);
        self.filled.notify_one();
        Ok(())
    }

    /// Takes ends that must move up; they come before any request that waits.
    pub(crate) fn raise(&self, raise: Raise) -> Result<(), LogError> {
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            return Err(LogError::Closed);
        }
        waiting.raises.push(raise);
        drop(waiting);
        self.filled.notify_one();
        Ok(())
    }

    /// Takes nothing more. What waits is still written.
    pub(crate) fn close(&self) {
        self.waiting.lock().closed = true;
        self.filled.notify_one();
    }

    /// The writer is gone: whoever waits is told so by the end of the reply's channel.
    pub(crate) fn abandon(&self) {
        let mut waiting = self.waiting.lock();
        let lost = std::mem::replace(&mut *waiting, Waiting { closed: true, ..Waiting::default() });
        drop(waiting);
        drop(lost);
    }

    /// Waits until there is something to do and gives the ends to raise before it; `None` when nothing is left and
    /// nothing will come.
    pub(crate) fn wait(&self) -> Option<Vec<Raise>> {
        let mut waiting = self.waiting.lock();
        self.filled.wait_while(&mut waiting, |w| w.len == 0 && w.raises.is_empty() && !w.closed);
        let raises = std::mem::take(&mut waiting.raises);
        (waiting.len > 0 || !raises.is_empty()).then_some(raises)
    }

    /// Takes the next requests for a group that has this weight already; none when it is full or nothing waits.
    pub(crate) fn take(&self, weight: usize, now: Duration, out: &mut Vec<Request>) {
        self.waiting.lock().take(weight, now, out);
    }

    /// Every request that was taken has its answer.
    pub(crate) fn answered(&self) {
        self.waiting.lock().at_hand = None;
    }

    pub(crate) fn load(&self, now: Duration) -> Load {
        let waiting = self.waiting.lock();
        let oldest = waiting.lanes.values().filter_map(|lane| lane.requests.front()).map(|request| request.since);
        let oldest = oldest.chain(waiting.at_hand).min();
        let age = oldest.map_or(Duration::ZERO, |since| now.saturating_sub(since));
        Load { len: waiting.len, bytes: waiting.bytes, age }
    }
}

impl Waiting {
    fn push(&mut self, request: Request) -> Result<(), LogError> {
        let (id, weight) = (request.append.lane, request.weight);
        let (bytes, len) = self.lanes.get(&id).map_or((0, 0), |lane| (lane.bytes, lane.requests.len()));
        let admitted = if len == 0 {
            // The first one of a lane gets in while there is any room, however large it is. So the queue may stand
            // above its bound by one request, and a request larger than all the room is taken when nothing waits.
            self.bytes < limits::APPEND_QUEUE_BYTES && self.len < limits::APPEND_QUEUE_LEN
        } else {
            self.bytes + bytes + weight <= limits::APPEND_QUEUE_BYTES && self.len + len < limits::APPEND_QUEUE_LEN
        };
        if !admitted {
            return Err(LogError::Busy);
        }
        if len == 0 {
            self.turns.push_back(id);
        }
        let lane = self.lanes.entry(id).or_default();
        lane.bytes += weight;
        lane.requests.push_back(request);
        self.bytes += weight;
        self.len += 1;
        Ok(())
    }

    fn take(&mut self, weight: usize, now: Duration, out: &mut Vec<Request>) {
        if self.turns.len() > 1 {
            self.shared_until = now + SHARED_FOR;
        }
        let shared = now < self.shared_until;
        let bound = if shared { limits::GROUP_BYTES_SHARED } else { limits::GROUP_BYTES_MAX };
        let mut group = Group { weight, bound, shared, out };
        // Turns in a row in which a lane could not afford its next request. While the group is empty they go on until
        // one can; after that, a round of them ends the group: nobody waits for another's savings.
        let mut passed = 0;
        while group.weight < bound && (group.weight == 0 || passed < self.turns.len()) {
            let before = group.weight;
            if self.turn(&mut group).is_none() {
                return;
            }
            passed = if group.weight > before { 0 } else { passed + 1 };
        }
    }

    /// One turn of the lane whose turn it is; `None` ends the group.
    fn turn(&mut self, group: &mut Group<'_>) -> Option<()> {
        let id = *self.turns.front()?;
        let lane = self.lanes.get_mut(&id)?;
        if lane.next().is_some_and(|next| next > lane.credit) {
            lane.credit += (group.bound / self.turns.len()).max(SHARE_BYTES_MIN);
        }
        // Alone there is nobody to be fair to.
        while let Some(next) = lane.next().filter(|next| !group.shared || *next <= lane.credit) {
            if !group.takes(next) {
                // It can pay and stays first, with a group of its own if need be: passed over, it might never be.
                return None;
            }
            let request = lane.requests.pop_front()?;
            lane.credit = lane.credit.saturating_sub(next);
            lane.bytes -= next;
            group.weight += next;
            self.bytes -= next;
            self.len -= 1;
            self.at_hand = self.at_hand.into_iter().chain([request.since]).min();
            group.out.push(request);
        }
        if lane.requests.is_empty() {
            self.turns.pop_front();
            self.lanes.remove(&id);
        } else {
            self.turns.rotate_left(1);
        }
        Some(())
    }
}

impl Lane {
    /// The weight of its next request.
    fn next(&self) -> Option<usize> {
        self.requests.front().map(|request| request.weight)
    }
}

/// The group at hand.
struct Group<'a> {
    weight: usize,
    bound: usize,
    /// Whether others waited of late.
    shared: bool,
    out: &'a mut Vec<Request>,
}

impl Group<'_> {
    /// Whether a request of this weight has room. The first one always does. Where nobody else waits, the last one may
    /// reach over the bound; where others do, they would wait for it.
    fn takes(&self, weight: usize) -> bool {
        match (self.weight, self.shared) {
            (0, _) => true,
            (held, true) => held + weight <= self.bound,
            (held, false) => held < self.bound,
        }
    }
}

#[cfg(test)]
mod tests {
    use event::Ack;

    use super::*;

    fn push(queue: &Queue, lane: u32, weight: usize) {
        let append = Append { batches: Vec::new(), lane, ack: Ack::Durable };
        let request = Request { append, weight, since: Duration::ZERO, reply: oneshot::channel().0 };
        queue.push(request).unwrap();
    }

    /// The lanes of the next group.
    fn group(queue: &Queue) -> Vec<u32> {
        let mut taken = Vec::new();
        queue.take(0, Duration::ZERO, &mut taken);
        taken.iter().map(|request| request.append.lane).collect()
    }

    #[test]
    fn a_huge_request_saves_up_while_others_come_and_goes_at_once_when_alone() {
        let queue = Queue::default();
        push(&queue, 1, 9 << 20);
        let mut groups = 0;
        loop {
            push(&queue, 2, 100);
            groups += 1;
            let group = group(&queue);
            if group.contains(&1) {
                assert_eq!(group, [1], "nobody waits with it");
                break;
            }
            assert_eq!(group, [2]);
        }
        assert!((5..=18).contains(&groups), "{groups} groups of 1 MiB at the most for its 9");
        assert_eq!(group(&queue), [2]);
        push(&queue, 1, 9 << 20);
        assert_eq!(group(&queue), [1]);
    }

    #[test]
    fn groups_are_large_for_one_lane_alone_and_small_for_a_while_after_two_waited() {
        let queue = Queue::default();
        let fill = |lane| (0..8).for_each(|_| push(&queue, lane, 1 << 20));
        fill(1);
        assert_eq!(group(&queue), [1; 4]);
        push(&queue, 2, 100);
        assert_eq!(group(&queue), [2], "the other's next does not fit with it");
        assert_eq!(group(&queue), [1]);
        let mut taken = Vec::new();
        queue.take(0, SHARED_FOR, &mut taken);
        assert_eq!(taken.len(), 3, "all that is left");
    }

    #[test]
    fn with_more_lanes_than_a_group_has_room_for_each_gets_its_turn() {
        let queue = Queue::default();
        (0..2_000).for_each(|lane| push(&queue, lane, 4_000));
        (0..2_000).for_each(|lane| push(&queue, lane, 4_000));
        let mut order = Vec::new();
        while order.len() < 4_000 {
            let group = group(&queue);
            assert!(!group.is_empty() && group.len() * 4_000 <= limits::GROUP_BYTES_SHARED);
            order.extend(group);
        }
        assert_eq!(order[..2_000], (0..2_000).collect::<Vec<_>>());
        assert_eq!(order[2_000..], (0..2_000).collect::<Vec<_>>());
        assert_eq!(queue.load(Duration::ZERO), Load { len: 0, bytes: 0, age: Duration::ZERO });
    }
}
